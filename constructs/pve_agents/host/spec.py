"""What a stack says in JSON of what an agent wants: read once, here, and believed from here on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pve_agents.host.wanted import Attached, Bootstrap, Directory, Leaving, Payload, Secrets, Volume, Wanted
from pve_agents.host.words import quoted
from pve_agents.node_devices import part_of_the_node

__all__ = ["WrongSettingsError", "read_leaving", "read_wanted", "wanted_from"]

_T = TypeVar("_T")
_Check = Callable[[Any, str], _T]
"""Takes a value, and where it stands; returns what it means, or raises a WrongSettingsError."""

_AGAIN = "; synthesize the stack again"
_LONGEST_PATH = 1024


class WrongSettingsError(Exception):
    """What was given cannot be right; the message says what to correct."""


def read_wanted(text: str) -> Wanted:
    """Read what the stack says.

    Raises:
        WrongSettingsError: It is none.
    """
    return wanted_from(_parsed(text))


def wanted_from(values: object) -> Wanted:
    """Read it where it is no text any more.

    Raises:
        WrongSettingsError: It is none.
    """
    wanted = _WANTED(values, "spec")
    keys, places = [it.key for it in wanted.attached], [it.place for it in wanted.mounts]
    for what, found in (("key", keys), ("place in the container", places)):
        if twice := [it for it in found if found.count(it) > 1]:
            raise WrongSettingsError(f"{twice[0]} is the {what} of two mounts or devices; give each its own")
    return wanted


def read_leaving(text: str) -> Leaving:
    """Read what the trigger of a step says that it had attached.

    Raises:
        WrongSettingsError: It is none.
    """
    return _LEAVING(_parsed(text), "spec")


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongSettingsError(f"what the step is to do is no JSON: {error}{_AGAIN}") from None


# --- what a value can be


def _wrong(value: object, where: str, what: str) -> WrongSettingsError:
    if value is None:
        return WrongSettingsError(f"{where} is missing{_AGAIN}")
    return WrongSettingsError(
        f"{where}: {quoted(value if isinstance(value, str) else json.dumps(value))} is not {what}"
    )


def _text(pattern: str = r".*", what: str = "a text") -> _Check[str]:
    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or not value.isprintable() or not re.fullmatch(pattern, value):
            raise _wrong(value, where, what)
        return value

    return check


def _number(least: int, most: int) -> _Check[int]:
    def check(value: object, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(value, where, f"a number from {least} to {most}")
        return value

    return check


def _path(value: object, where: str) -> str:
    text = _text(r"/[^,=]+", "an absolute path without a comma or an equals sign")(value, where)
    if len(text.encode()) > _LONGEST_PATH or text.endswith(" "):
        raise _wrong(text, where, f"a path of at most {_LONGEST_PATH} bytes that does not end in a space")
    if any(part in {"", ".", ".."} for part in text[1:].split("/")):
        raise _wrong(text, where, 'a path without an empty, "." or ".." part')
    return text


def _node_device(value: object, where: str) -> str:
    path = _text(r"/dev(?:/[A-Za-z0-9_:+-][A-Za-z0-9._:+-]*)+", "a device such as /dev/net/tun")(value, where)
    if part := part_of_the_node(path):
        raise _wrong(path, where, f"a device for a container: it is {part}")
    return path


def _mode(value: object, where: str) -> int:
    return int(_text(r"[0-7]{3,4}", "a mode such as 0750")(value, where), 8)


# --- what values are made of; a list, a mapping and what is optional may be left out


def _each(check: _Check[_T]) -> _Check[tuple[_T, ...]]:
    def checks(values: object, where: str) -> tuple[_T, ...]:
        found = values or []
        if not isinstance(found, list):
            raise WrongSettingsError(f"{where} is no list{_AGAIN}")
        return tuple(check(value, f"{where}.{number}") for number, value in enumerate(found))

    return checks


def _mapping(check: _Check[_T], pattern: str = "", what: str = "") -> _Check[Mapping[str, _T]]:
    def checks(values: object, where: str) -> Mapping[str, _T]:
        found = {_text()(name, where): check(value, f"{where}.{name}") for name, value in _items(values or {}, where)}
        for option in (f"{name}={value}" for name, value in found.items()):
            if pattern and not re.fullmatch(pattern, option):
                raise _wrong(option, where, f"{what} of Proxmox VE")
        return found

    return checks


def _object(make: Callable[..., _T], **checks: _Check[Any]) -> _Check[_T]:
    def check(values: object, where: str) -> _T:
        found = dict(_items(values, where))
        return make(**{name: it(found.get(name), f"{where}.{name}") for name, it in checks.items()})

    return check


def _optional(check: _Check[_T]) -> _Check[_T | None]:
    return lambda value, where: check(value, where) if value else None


def _items(values: object, where: str) -> list[tuple[str, object]]:
    if not isinstance(values, dict):
        raise WrongSettingsError(f"{where} is no JSON object{_AGAIN}")
    return list(values.items())


# --- what a stack says

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_SLOT = r"(?:0|[1-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_FLAG = r"(?:discard|lazytime|noatime|nodev|noexec|nosuid)"
_RANGE = r"[ug]:[0-9]+:[0-9]+:[1-9][0-9]*"
_MOUNT_OPTION = (
    r"(?:acl|backup|keepattrs|quota|replicate|ro|shared)=[01]"
    rf"|idmap=(?:passthrough|{_RANGE}(?:;{_RANGE})*)|mountoptions={_FLAG}(?:;{_FLAG})*"
)
_DEVICE_OPTION = r"deny-write=[01]|(?:uid|gid)=[0-9]{1,10}|mode=0[0-7]{3}"
_FEATURE = r"(?:force_rw_sys|fuse|keyctl|mknod|nesting)=[01]|mount=[a-zA-Z0-9_]+(?:;[a-zA-Z0-9_]+)*"

_VMID, _ID, _SECONDS = _number(100, 999_999_999), _number(0, 2**32 - 2), _number(1, 99_999)
_KEY = _text(rf"(?:mp|dev){_SLOT}", "a key such as mp0 or dev0")

_MOUNT = _object(
    lambda key, volume, path, options: Attached(key=key, source=volume, place=path, options=options),
    key=_text(rf"mp{_SLOT}", "a key such as mp0"),
    volume=_path,
    path=_path,
    options=_mapping(_text(), _MOUNT_OPTION, "an option"),
)
_DEVICE = _object(
    lambda key, path, options: Attached(key, path, "", options),
    key=_text(rf"dev{_SLOT}", "a key such as dev0"),
    path=_node_device,
    options=_mapping(_text(), _DEVICE_OPTION, "an option"),
)
_PAYLOAD = _object(
    Payload,
    directory=_path,
    archive=_text(),
    sha256=_text(r"[0-9a-f]{64}", "a SHA-256"),
    checks_timeout_seconds=_SECONDS,
)
_SECRETS = _object(
    Secrets,
    names=_each(_text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")),
    minimum_lengths=_mapping(_number(0, 10_000)),
    path=_path,
    uid=_ID,
    gid=_ID,
    of_compose=_each(_text()),
)
_WANTED = _object(
    Wanted,
    agent=_text(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "a name"),
    vmid=_VMID,
    node=_text(_LABEL, "a node's name"),
    hostname=_text(_LABEL, "a host name"),
    tag=_text(r"[a-z0-9_][a-z0-9_+.-]*", "a tag"),
    stop_seconds=_SECONDS,
    directories=_each(_object(Directory, path=_path, uid=_ID, gid=_ID, mode=_mode)),
    mounts=_each(_MOUNT),
    devices=_each(_DEVICE),
    volumes=_each(_object(Volume, key=_text(rf"mp{_SLOT}", "a key such as mp0"), place=_path)),
    features=_mapping(_text(), _FEATURE, "a feature"),
    payload=_optional(_PAYLOAD),
    secrets=_optional(_SECRETS),
    delivery=lambda value, where: _text(r"root|console", "root or console")(value or "root", where),
    bootstrap=_optional(_object(Bootstrap, command=_path, timeout_seconds=_SECONDS, stop_seconds=_SECONDS)),
)
_LEAVING = _object(
    lambda vmid, mounts, devices: Leaving(vmid, dict([*mounts, *devices])),
    vmid=_VMID,
    mounts=_each(_object(lambda key, volume: (key, volume), key=_KEY, volume=_path)),
    devices=_each(_object(lambda key, path: (key, path), key=_KEY, path=_path)),
)
