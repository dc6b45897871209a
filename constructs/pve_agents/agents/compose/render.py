"""What becomes of a compose file that has been judged: the file that Compose reads in the container, and all that it needs.

The operator's own file is not delivered as it is: variables are filled in, what travels has its place in the container, and
what a service would otherwise lack there is added.
"""

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pve_agents.agents.compose.judge import dependencies
from pve_agents.agents.compose.places import Found, env_files, in_container, is_declared, volumes
from pve_agents.agents.compose.stack import LocalFile
from pve_agents.agents.compose.tree import Around, environment, items
from pve_agents.agents.compose.variables import for_compose, secrets_in
from pve_agents.agents.compose.volumes import Volume, below
from pve_agents.agents.docker import LOGGING, in_seconds, is_moving

__all__ = ["Application", "Running", "application", "secrets_used"]

_STOP_SECONDS = 10
# Compose itself has no word for them, and recreates no container because of them.
_CONTENTS, _REVISION = "pve-agents.contents", "pve-agents.revision"


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    name: str
    image: str
    ends: bool
    """Whether it may do its work and end."""

    secrets: tuple[str, ...]
    """Those that it gets as files."""

    tells: tuple[str, ...]
    """Secrets in its command, which every process in the LXC container can see."""

    stays_down: bool
    """Whether nobody starts it when the container has been rebooted."""

    stop_seconds: int


@dataclass(frozen=True)
class Application:
    """A compose file, ready for the container."""

    tree: Mapping[str, Any]
    services: tuple[Running, ...]
    files: Mapping[str, LocalFile]
    """What travels, by its path in the payload."""

    data: Mapping[str, str]
    """Directories that the services keep data in, by the names of their copies."""

    secrets: tuple[str, ...]
    """Those that Compose puts into the file."""

    network: str

    @property
    def moving(self) -> tuple[str, ...]:
        """References that may be another image tomorrow."""
        return tuple(dict.fromkeys(it.image for it in self.services if is_moving(it.image)))


def application(tree: Mapping[str, Any], around: Around, found: Found) -> Application:
    """Return what a file that has been judged becomes.

    Args:
        tree: The file, with its variables filled in.
        around: What it is read for.
        found: What lies beside it.
    """
    services = tree["services"]
    waited_for = {
        name
        for service in services.values()
        for name, how in dependencies(service).items()
        if isinstance(how, Mapping) and how.get("condition") == "service_completed_successfully"
    }
    running = tuple(_running(name, service, tree, ends=name in waited_for) for name, service in services.items())
    rendered = {
        "name": around.agent,
        "services": {
            it.name: _service(it, services[it.name], tree, around, found, ends=it.name in waited_for) for it in running
        },
        "networks": {name: it or {} for name, it in tree["networks"].items()},
        "volumes": {name: it or {} for name, it in tree["volumes"].items()},
        "configs": {name: _config(it, around) for name, it in tree["configs"].items()},
        "secrets": tree["secrets"],
    }
    hosts = [service.get("network_mode") == "host" for service in services.values()]
    return Application(
        tree=_spelled({name: it for name, it in rendered.items() if it}),
        services=running,
        files=_files(tree, around, found),
        data=_data(tree, around),
        secrets=tuple(it for it in around.secrets if it in secrets_used(tree, around.secrets, found)),
        network="host" if all(hosts) else "bridge",
    )


def secrets_used(tree: Mapping[str, Any], secrets: Collection[str], found: Found) -> set[str]:
    """Return the names of the secrets that a file has a use for."""
    used = {name for it in tree["secrets"].values() if isinstance(it, Mapping) and (name := it.get("environment"))}
    used |= {name for it in tree["configs"].values() if isinstance(it, Mapping) and (name := it.get("environment"))}
    used |= {name for text in _texts(tree) for name in secrets_in(text)}
    for service in tree["services"].values():
        used |= {name for _, name, value in items(service.get("environment")) if value is None}
        for _, path, _ in env_files(service):
            texts = [it.text for it in _there(found, path).values()]
            used |= {name for text in texts for name in secrets if re.search(rf"\$\{{?{name}\b", text)}
    return used & {*secrets}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for it in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(it)


def _spelled(value: Any) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, Mapping):
        return {key: _spelled(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_spelled(it) for it in value]
    return for_compose(value) if isinstance(value, str) else value


# Services -------------------------------------------------------------------------------------------------------------


def _running(name: str, service: Mapping[str, Any], tree: Mapping[str, Any], *, ends: bool) -> Running:
    restart = str(service.get("restart") or ("no" if ends else "unless-stopped")).partition(":")[0]
    told = [text for it in ("command", "entrypoint") for text in _texts(service.get(it))]
    grace = service.get("stop_grace_period")
    return Running(
        name=name,
        image=service["image"],
        ends=restart in {"no", "on-failure"} and "deploy" not in service,
        secrets=tuple(
            dict.fromkeys(_stated(tree, "secrets", it)["environment"] for it in service.get("secrets") or ())
        ),
        tells=tuple(dict.fromkeys(it for text in told for it in secrets_in(text))),
        stays_down=restart == "no" and not ends,
        stop_seconds=in_seconds(str(grace)) if grace is not None else _STOP_SECONDS,
    )


def _service(
    running: Running,
    service: Mapping[str, Any],
    tree: Mapping[str, Any],
    around: Around,
    found: Found,
    *,
    ends: bool,
) -> dict[str, Any]:
    rendered = {key: it for key, it in service.items() if it is not None and key not in {"profiles", "scale"}}
    if "environment" in rendered:
        rendered["environment"] = environment(rendered["environment"], around)[0]
    if "volumes" in rendered:
        rendered["volumes"] = [_volume(it, around) for _, it in volumes(service) if isinstance(it, Volume)]
    if "env_file" in rendered:
        rendered["env_file"] = [
            in_container(path, around) for _, path, _ in env_files(service) if found.get(below(path) or "")
        ]
    if isinstance(rendered.get("depends_on"), Mapping):
        # One whose profile is off need not be there; older versions of Compose want it all the same.
        rendered["depends_on"] = {it: how for it, how in rendered["depends_on"].items() if it in tree["services"]}
    for area in ("configs", "secrets"):
        if area in rendered:
            rendered[area] = [_with_mode(it) for it in rendered[area]]
    if "restart" not in rendered and not ends and "restart_policy" not in (service.get("deploy") or {}):
        # Compose's default is no: then the container is down when the node has been rebooted.
        rendered["restart"] = "unless-stopped"
    rendered.setdefault("logging", dict(LOGGING))
    if labels := _labels(running, service, tree, found):
        rendered["labels"] = labels
    return rendered


def _labels(running: Running, service: Mapping[str, Any], tree: Mapping[str, Any], found: Found) -> dict[str, Any]:
    labels = {name: "" if value is None else value for _, name, value in items(service.get("labels"))}
    if contents := _contents(service, tree, found):
        labels[_CONTENTS] = contents
    if running.secrets:
        # The sign is Compose's own; the program in the container sets the variable.
        labels[_REVISION] = f"\0REVISION_{re.sub(r'[^A-Z0-9_]', '_', running.name.upper())}\0"
    return labels


def _volume(stated: Volume, around: Around) -> dict[str, Any]:
    if stated.type != "bind":
        return stated.spelled
    # Docker would make a missing directory, owned by root, and hide that a disk is not there.
    bind = {"create_host_path": False}
    return {**stated.spelled, "source": in_container(stated.source, around), "bind": bind}


def _with_mode(stated: Any) -> Any:  # noqa: ANN401 - plain data
    mode = stated.get("mode") if isinstance(stated, Mapping) else None
    if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3}", mode):
        # As YAML 1.1 reads it, and Compose with it.
        return {**stated, "mode": int(mode, 8)}
    return stated


def _config(config: Mapping[str, Any], around: Around) -> dict[str, Any]:
    kept = {key: it for key, it in config.items() if key != "environment"}
    if "file" in config:
        kept["file"] = in_container(config["file"], around)
    if name := config.get("environment"):
        kept["content"] = around.variables.get(name, f"\0{name}\0")
    return kept


# What travels ---------------------------------------------------------------------------------------------------------


def _sources(service: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths, as the file has them, of what a service reads and Compose does not look into."""
    yield from (it.source for _, it in volumes(service) if isinstance(it, Volume) and it.type == "bind")
    yield from (path for _, path, _ in env_files(service))
    for it in service.get("configs") or ():
        yield str(_stated(tree, "configs", it).get("file", ""))


def _contents(service: Mapping[str, Any], tree: Mapping[str, Any], found: Found) -> str:
    """Return a word that changes with all that a service reads only when it starts; empty where that is nothing."""
    read = [
        f"{source}/{name}\0{file.is_program}\0{file.text}"
        for source in _sources(service, tree)
        for name, file in sorted(_there(found, source).items())
    ]
    read += [str(_stated(tree, "configs", it)) for it in service.get("configs") or ()]
    return hashlib.sha256("\0".join(read).encode()).hexdigest()[:16] if read else ""


def _there(found: Found, path: str) -> Mapping[str, LocalFile]:
    there = found.get(below(path) or "")
    return there if isinstance(there, Mapping) else {}


def _stated(tree: Mapping[str, Any], area: str, named: Any) -> Mapping[str, Any]:  # noqa: ANN401 - plain data
    """Return what a config or secret is that a service names."""
    stated: Mapping[str, Any] = tree[area][named["source"] if isinstance(named, Mapping) else named]
    return stated


def _files(tree: Mapping[str, Any], around: Around, found: Found) -> dict[str, LocalFile]:
    sources = [source for service in tree["services"].values() for source in _sources(service, tree)]
    files: dict[str, LocalFile] = {}
    for source in sources:
        if (path := below(source)) and not is_declared(path, around):
            files |= {f"beside/{path}/{name}".rstrip("/"): it for name, it in _there(found, path).items()}
    return files


def _data(tree: Mapping[str, Any], around: Around) -> dict[str, str]:
    data: dict[str, str] = {}
    for service in tree["services"].values():
        for _, it in volumes(service):
            if not isinstance(it, Volume) or it.read_only or not it.source:
                continue
            if it.type == "volume":
                data[f"volume:{it.source}"] = f"/var/lib/docker/volumes/{around.agent}_{it.source}/_data"
            elif declared := is_declared(below(it.source) or it.source, around):
                data[declared.strip("/").replace("/", "-")] = around.directories[declared]
    return data
