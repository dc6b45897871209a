"""What a compose file may not say here, a sentence each: a pure answer to a file, what is declared, and what lies beside it."""

import re
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from pve_agents.agents.compose.keys import CAPABILITIES, NO_HOST, OF_DEPLOY, REFUSED, SERVICE, SYSCTLS
from pve_agents.agents.compose.places import Found, env_files, place_problems, told_problem, travelling_problem, volumes
from pve_agents.agents.compose.tree import Around, environment, items, secret_problems
from pve_agents.agents.compose.volumes import Volume, below
from pve_agents.agents.docker import DIGEST, REPOSITORY, TAG
from pve_agents.compose_words import (
    OF_HEALTHCHECK,
    deploy_problems,
    label_problems,
    logging_problems,
    network_problems,
    unknown_keys,
)
from pve_agents.problems import Problem
from pve_agents.problems import below as placed
from pve_agents.types import holds_token, is_credential_name, shown

__all__ = ["dependencies", "problems"]

_NAMES = {bool: "true or false", dict: "a mapping", float: "a number", int: "a number", list: "a list", str: "text"}
_CONDITIONS = ("service_completed_successfully", "service_healthy", "service_started")
_NO = (False, "false", None)


def problems(tree: Mapping[str, Any], around: Around, found: Found) -> list[Problem]:
    """Return all that is wrong with a file.

    Args:
        tree: The file, with its variables filled in.
        around: What it is read for.
        found: What lies beside it.
    """
    shape = [it for name, service in tree["services"].items() for it in _shape_problems(name, service)]
    if shape:
        # What is not even of the right kind says nothing more.
        return shape
    services = tree["services"]
    return [
        *secret_problems(tree),
        *(
            it.below(("services", name))
            for name, service in services.items()
            for it in _service_problems(service, tree, around, found)
        ),
        *place_problems(services, around, found),
        *_top_problems(tree, around, found),
    ]


# The shape ------------------------------------------------------------------------------------------------------------


def _shape_problems(name: str, service: object) -> Iterator[Problem]:
    key = ("services", name)
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", name):
        yield Problem(key, "this is no name of a service; write letters, digits, hyphens and underscores")
    if not isinstance(service, Mapping):
        yield Problem(key, f"{shown(service)} is not a mapping; write its image")
        return
    refused = {it: reason for it, reason in REFUSED.items() if service.get(it) is not None}
    yield from (Problem((*key, it), reason) for it, reason in refused.items())
    known = {it: value for it, value in service.items() if it not in REFUSED}
    yield from unknown_keys(known, key, SERVICE, "a service")
    if not service.get("image") and "build" not in service:
        yield Problem((*key, "image"), "this is missing; write the image with its tag, such as redis:8.2")
    for it, value in known.items():
        kinds = SERVICE.get(it)
        if kinds and value is not None and not (isinstance(value, kinds) and _is_no_flag(value, kinds)):
            names = " or ".join(dict.fromkeys(_NAMES[kind] for kind in kinds))
            yield Problem((*key, it), f"{shown(value)} is not what belongs here; write {names}")


def _is_no_flag(value: object, kinds: tuple[type, ...]) -> bool:
    return not isinstance(value, bool) or bool in kinds


# One service ----------------------------------------------------------------------------------------------------------


def _service_problems(
    service: Mapping[str, Any], tree: Mapping[str, Any], around: Around, found: Found
) -> Iterator[Problem]:
    image = str(service.get("image", ""))
    if not re.fullmatch(rf"{REPOSITORY}(?::{TAG})?(?:@{DIGEST})?", image):
        yield Problem(("image",), f"{shown(image)} is not an image; write its name with a tag, such as redis:8.2")
    yield from _rights_problems(service)
    yield from _sharing_problems(service)
    yield from _network_mode_problems(service, tree)
    yield from _device_problems(service, around)
    yield from placed(("environment",), environment(service.get("environment"), around)[1])
    yield from _env_file_problems(service, found)
    yield from _dependency_problems(service, tree)
    yield from _part_problems(service, tree)
    yield from unknown_keys(service.get("healthcheck"), ("healthcheck",), OF_HEALTHCHECK, "a healthcheck")
    yield from logging_problems(service.get("logging"))
    yield from label_problems(service.get("labels"), ("labels",))
    yield from _deploy_problems(service)


def _rights_problems(service: Mapping[str, Any]) -> Iterator[Problem]:
    if service.get("privileged") not in _NO:
        sentence = "who is privileged is root in the LXC container; leave it out, and write the devices or the cap_add that it needs"
        yield Problem(("privileged",), sentence)
    for i, it in enumerate(service.get("cap_add") or ()):
        if str(it).removeprefix("CAP_").upper() not in CAPABILITIES:
            sentence = (
                f"{shown(it)} leads out of a Docker container, or cannot be had in an unprivileged LXC container; leave it "
                f"out, or write one of {', '.join(sorted(CAPABILITIES))}"
            )
            yield Problem(("cap_add", i), sentence)
    for i, it in enumerate(service.get("security_opt") or ()):
        if not re.fullmatch(r"no-new-privileges(?:[:=]true)?", str(it)):
            yield Problem(
                ("security_opt", i), f"{shown(it)} takes a guard away; write no-new-privileges:true, or leave it out"
            )


def _sharing_problems(service: Mapping[str, Any]) -> Iterator[Problem]:
    for key, what in NO_HOST.items():
        if (value := service.get(key)) and (value == "host" or str(value).startswith("container:")):
            yield Problem(
                (key,), f"{shown(value)} shares {what} of the LXC container, or of another application; leave it out"
            )
    for place, name, _ in items(service.get("sysctls")):
        if not name.startswith(SYSCTLS):
            yield Problem(("sysctls", place), f"{shown(name)} is the node's, and not the container's; leave it out")
    user = service.get("user")
    if user is not None and not re.fullmatch(r"[\w.-]+(?::[\w.-]+)?", str(user)):
        yield Problem(("user",), f'{shown(user)} is no user; write a name or numbers in quotes, such as "1000:1000"')


def _network_mode_problems(service: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[Problem]:
    mode = service.get("network_mode")
    names = [name for _, name, _ in items(service.get("networks"))]
    if mode is None:
        for name in names:
            if name != "default" and name not in tree["networks"]:
                yield Problem(("networks",), f"{shown(name)} is not among networks of the file; write it there too")
        return
    if names:
        yield Problem(("networks",), "network_mode is given too, and both cannot hold; keep one of them")
    if mode in {"host", "bridge", "none"}:
        if mode == "host" and service.get("ports"):
            yield Problem(("ports",), "in the network of the host Docker ignores them; leave them out, or network_mode")
        if mode == "host" and "NET_ADMIN" in {str(it).removeprefix("CAP_") for it in service.get("cap_add") or ()}:
            yield Problem(
                ("cap_add",), "with network_mode host NET_ADMIN rules the LXC container's network; leave one out"
            )
    elif str(mode).removeprefix("service:") not in tree["services"] or not str(mode).startswith("service:"):
        sentence = f"{shown(mode)} is no network of this application; write host, bridge, none or service: and a service's name"
        yield Problem(("network_mode",), sentence)


def _device_problems(service: Mapping[str, Any], around: Around) -> Iterator[Problem]:
    for i, it in enumerate(service.get("devices") or ()):
        path = str(it.get("source", "")) if isinstance(it, Mapping) else str(it).partition(":")[0]
        if path not in around.devices:
            sentence = f"{shown(path)} is no device of the agent; write it under agents.{around.agent}.devices too"
            yield Problem(("devices", i), sentence)


def _env_file_problems(service: Mapping[str, Any], found: Found) -> Iterator[Problem]:
    from dotenv import dotenv_values  # noqa: PLC0415 - for those who have such a file

    for key, path, is_required in env_files(service):
        plain = below(path)
        if plain and found.get(plain) is None and not is_required:
            continue
        if sentence := travelling_problem(path, found):
            yield Problem(key, sentence)
            continue
        for name, value in dotenv_values(stream=StringIO(_text(found, plain)), interpolate=False).items():
            is_written_out = is_credential_name(name) and value and not re.fullmatch(r"\$\{\w+\}", value)
            if is_written_out or holds_token(value or ""):
                sentence = (
                    f"{name} in {shown(path)} seems to be a secret; take it out of that file, write {name} alone under "
                    "environment and under secrets of the agent's compose, and the value into the agent's secrets file"
                )
                yield Problem(key, sentence)


def _text(found: Found, path: str | None) -> str:
    there = found.get(path or "")
    file = there.get("") if isinstance(there, Mapping) else None
    return file.text if file else ""


def dependencies(service: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return what a service waits for, each with what is said of it."""
    stated = service.get("depends_on") or {}
    return stated if isinstance(stated, Mapping) else {str(it): {} for it in stated}


def _dependency_problems(service: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[Problem]:
    for name, how in dependencies(service).items():
        condition = how.get("condition", _CONDITIONS[-1]) if isinstance(how, Mapping) else how
        required = how.get("required", True) if isinstance(how, Mapping) else True
        if name not in tree["services"] and required is not False:
            sentence = f"{shown(name)} is no service that runs here; write it, or name its profile under profiles of the compose"
            yield Problem(("depends_on", name), sentence)
        if condition not in _CONDITIONS:
            yield Problem(
                ("depends_on", name), f"{shown(condition)} is no condition; write one of {', '.join(_CONDITIONS)}"
            )


def _part_problems(service: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[Problem]:
    for area in ("configs", "secrets"):
        for i, it in enumerate(service.get(area) or ()):
            name = it.get("source") if isinstance(it, Mapping) else it
            if name not in tree[area]:
                yield Problem((area, i), f"{shown(name)} is not among {area} of the file; write it there too")


def _deploy_problems(service: Mapping[str, Any]) -> Iterator[Problem]:
    deploy = service.get("deploy")
    for name in deploy if isinstance(deploy, Mapping) else ():
        if name not in OF_DEPLOY:
            yield Problem(("deploy", str(name)), "without Swarm Compose ignores this; leave it out")
    if isinstance(deploy, Mapping):
        yield from deploy_problems({it: deploy[it] for it in ("resources",) if it in deploy}, "service")
    for key, count in (
        (("deploy", "replicas"), (deploy or {}).get("replicas", 1)),
        (("scale",), service.get("scale", 1)),
    ):
        if str(count) != "1":
            yield Problem(
                key, f"{shown(count)} of a service is not looked after here; write 1, and further services by name"
            )


# The file as a whole --------------------------------------------------------------------------------------------------


def _top_problems(tree: Mapping[str, Any], around: Around, found: Found) -> Iterator[Problem]:
    for name, it in tree["networks"].items():
        yield from placed(("networks", name), network_problems(it))
    for name, it in tree["volumes"].items():
        yield from placed(("volumes", name), _volume_problems(it))
    for name, it in tree["secrets"].items():
        yield from placed(("secrets", name), _secret_problems(it, around))
    for name, it in tree["configs"].items():
        yield from placed(("configs", name), _config_problems(it, around, found))
    declared = {name for service in tree["services"].values() for name in _named_volumes(service)}
    for name in sorted(declared - tree["volumes"].keys()):
        yield Problem(("volumes",), f"{name} is missing, and a service wants it; write {name}: {{}}")


def _named_volumes(service: Mapping[str, Any]) -> Iterator[str]:
    yield from (it.source for _, it in volumes(service) if isinstance(it, Volume) and it.type == "volume" and it.source)


def _volume_problems(volume: object) -> Iterator[Problem]:
    if not isinstance(volume, Mapping | None):
        yield Problem((), f"{shown(volume)} is not a mapping; write {{}}")
        return
    reasons = {
        "driver_opts": "this shows a service any place, or another machine; leave it out, and declare a directory",
        "external": "there is no volume yet that it could mean; leave it out, and Compose makes one",
        "name": "the name is made from the agent's and the volume's; leave it out",
    }
    stated: Mapping[str, Any] = volume or {}
    yield from (Problem((it,), reason) for it, reason in reasons.items() if stated.get(it) not in _NO)
    yield from unknown_keys({it: 0 for it in stated if it not in reasons}, (), ("driver", "labels"), "a volume")
    if stated.get("driver", "local") != "local":
        yield Problem(("driver",), f"{shown(stated['driver'])} is no driver that Docker brings; leave it out")
    yield from label_problems(stated.get("labels"), ("labels",))


def _secret_problems(secret: object, around: Around) -> Iterator[Problem]:
    stated = secret if isinstance(secret, Mapping) else {}
    name = stated.get("environment")
    if "file" in stated:
        yield Problem(
            ("file",),
            "a file with a secret would lie in cdktf.out; write environment: NAME in its place, NAME under secrets of the "
            "agent's compose, and the value into the agent's secrets file",
        )
    elif name is None or stated.get("external") not in _NO:
        yield Problem(
            (), "there is nobody who has it; write environment: NAME, and NAME under secrets of the agent's compose"
        )
    elif name not in around.secrets:
        yield Problem(("environment",), f"{shown(name)} is not among secrets of the agent's compose; write it there")
    else:
        yield from unknown_keys(stated, (), ("environment", "labels"), "a secret")


def _config_problems(config: object, around: Around, found: Found) -> Iterator[Problem]:
    stated = config if isinstance(config, Mapping) else {}
    sources = [it for it in ("content", "environment", "file") if it in stated]
    if len(sources) != 1:
        yield Problem((), "a config has one source; write content, environment or file")
        return
    yield from unknown_keys(stated, (), (*sources, "labels"), "a config")
    if "file" in stated:
        there = found.get(below(str(stated["file"])) or "")
        if sentence := travelling_problem(str(stated["file"]), found) or (
            told_problem(there) if isinstance(there, Mapping) else None
        ):
            yield Problem(("file",), sentence)
    if "environment" in stated and stated["environment"] not in {*around.variables, *around.secrets}:
        yield Problem(
            ("environment",), f"{shown(stated['environment'])} has no value; write it under variables or secrets"
        )
