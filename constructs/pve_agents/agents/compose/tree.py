"""A compose file with its variables filled in: what of it is here, and what of it is a secret."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pve_agents.agents.compose.keys import TOP, TOP_REFUSED
from pve_agents.agents.compose.variables import filled, for_compose, secrets_in
from pve_agents.compose_words import unknown_keys
from pve_agents.problems import Key, Problem
from pve_agents.types import holds_token, is_credential_name, shown

__all__ = ["Around", "environment", "filled_tree", "items", "secret_problems"]

# Where a secret stays in the container of its service.
_PLACES = ("command", "entrypoint", "environment", "healthcheck")


@dataclass(frozen=True)
class Around:
    """What a compose file is read for."""

    agent: str
    mounts: Mapping[str, bool]
    """Paths in the LXC container at which directories of the node are mounted, and whether they can be written."""

    devices: Collection[str]
    directories: Mapping[str, str]
    """Directories that are declared, as the file has them, and where they are in the LXC container."""

    variables: Mapping[str, str]
    secrets: Collection[str]
    profiles: Collection[str]


def filled_tree(tree: object, around: Around) -> tuple[dict[str, Any], list[Problem]]:
    """Return what of a file is meant, with its variables filled in, and what is wrong with its shape.

    Args:
        tree: What the file holds.
        around: What it is read for.
    """
    if not isinstance(tree, dict) or not isinstance(services := tree.get("services"), dict) or not services:
        return {}, [Problem((), "this has no services; write a compose file with services, each with its image")]
    problems = [Problem((name,), reason) for name, reason in TOP_REFUSED.items() if name in tree]
    top = {name: it for name, it in tree.items() if not name.startswith("x-") and name not in TOP_REFUSED}
    problems += unknown_keys(top, (), TOP, "a compose file")
    kept: dict[str, Any] = {name: top.get(name) or {} for name in ("configs", "networks", "secrets", "volumes")}
    kept["services"] = {name: it for name, it in services.items() if _is_active(it, around.profiles)}
    for area, values in kept.items():
        if not isinstance(values, dict):
            problems.append(Problem((area,), f"{shown(values)} is not a mapping; write names and what each is"))
            kept[area] = {}
    if not kept["services"] and not problems:
        sentence = "every service here has a profile; name one under profiles of the agent's compose"
        problems.append(Problem(("services",), sentence))
    result: dict[str, Any] = _filled(kept, (), around, problems)
    return result, problems


def _is_active(service: object, profiles: Collection[str]) -> bool:
    its = service.get("profiles") if isinstance(service, dict) else None
    return not isinstance(its, list) or not its or any(it in profiles for it in its)


def _filled(value: Any, key: Key, around: Around, problems: list[Problem]) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, dict):
        return {
            name: _filled(it, (*key, name), around, problems)
            for name, it in value.items()
            if not (str(name).startswith("x-") and len(key) == len(("services", "web")))
        }
    if isinstance(value, list):
        return [_filled(it, (*key, i), around, problems) for i, it in enumerate(value)]
    if isinstance(value, str) and "$" in value:
        try:
            return filled(value, around.variables, around.secrets)
        except ValueError as error:
            problems.append(Problem(key, str(error)))
            return ""
    return value


# Secrets --------------------------------------------------------------------------------------------------------------


def secret_problems(value: object, key: Key = ()) -> Iterator[Problem]:
    """Find secrets where none may be, and those that are written out.

    Args:
        value: What is filled in.
        key: Where it stands.
    """
    for below, it in (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from secret_problems(it, (*key, below))
    if not isinstance(value, str):
        return
    is_service, is_content = key[:1] == ("services",) and key[2:3], key[:1] == ("configs",) and key[2:] == ("content",)
    if secrets_in(value) and not (is_content or (is_service and is_service[0] in _PLACES)):
        yield Problem(key, f"{shown(for_compose(value))} has a secret, which belongs into environment; write it there")
    elif holds_token(for_compose(value)):
        yield Problem(
            key, "this seems to be a secret; write ${NAME} in its place, and NAME under secrets of the compose"
        )


def environment(stated: object, around: Around) -> tuple[dict[str, Any], list[Problem]]:
    """Return the variables of a service as a mapping, and what is wrong with them.

    Args:
        stated: Its ``environment``, a mapping or a list.
        around: What has values for those that are named alone.
    """
    found: dict[str, Any] = {}
    problems = []
    for key, name, value in items(stated):
        if value is None:
            try:
                value = filled(f"${{{name}}}", around.variables, around.secrets)  # noqa: PLW2901
            except ValueError as error:
                problems.append(Problem((key,), str(error)))
        found[name] = value
        if isinstance(value, str) and value and is_credential_name(name) and not secrets_in(value):
            sentence = (
                f"{name} is a secret by its name; write ${{{name}}} as its value, {name} under secrets of the agent's "
                "compose, and the value into the agent's secrets file"
            )
            problems.append(Problem((key,), sentence))
        elif isinstance(value, list | dict):
            problems.append(Problem((key,), f"{shown(value)} is no value of a variable; write one in quotes"))
    return found, problems


def items(stated: object) -> Iterator[tuple[str | int, str, Any]]:
    """Yield what a mapping, or a list of NAME=VALUE, says: where each stands, its name, and its value if it has one."""
    if isinstance(stated, Mapping):
        yield from ((name, str(name), value) for name, value in stated.items())
    for i, it in enumerate(stated if isinstance(stated, list) else ()):
        name, equals, value = str(it).partition("=")
        yield i, name, value if equals else None
