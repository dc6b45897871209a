"""What a stack says in JSON of what an agent wants: read once, here, and believed from here on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pve_agents.host.wanted import Attached, Bootstrap, Directory, Leaving, Payload, Secrets, Wanted
from pve_agents.host.words import quoted
from pve_agents.node_devices import part_of_the_node

__all__ = ["WrongSettingsError", "read_leaving", "read_wanted", "wanted_from"]

_T = TypeVar("_T")

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
_LAST_ID = 2**32 - 2
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
    spec = _Section.checked(values, "spec")
    features = spec.mapping("features", _text())
    for name, value in features.items():
        spec.require(bool(re.fullmatch(_FEATURE, f"{name}={value}")), "features", f"{name}={value}", "a feature")
    wanted = Wanted(
        agent=spec.get("agent", _text(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "a name")),
        vmid=spec.get("vmid", _number(100, 999_999_999)),
        node=spec.get("node", _text(_LABEL, "a node's name")),
        hostname=spec.get("hostname", _text(_LABEL, "a host name")),
        tag=spec.get("tag", _text(r"[a-z0-9_][a-z0-9_+.-]*", "a tag")),
        stop_seconds=spec.get("stop_seconds", _SECONDS),
        directories=spec.each("directories", _directory),
        mounts=spec.each("mounts", _mount),
        devices=spec.each("devices", _device),
        features=features,
        payload=spec.optional("payload", _payload),
        secrets=spec.optional("secrets", _secrets),
        bootstrap=spec.optional("bootstrap", _bootstrap),
    )
    keys, places = [it.key for it in wanted.attached], [it.place for it in wanted.mounts]
    for what, found in (("key", keys), ("place in the container", places)):
        twice = [it for it in found if found.count(it) > 1]
        if twice:
            raise WrongSettingsError(f"{twice[0]} is the {what} of two mounts or devices; give each its own")
    return wanted


def read_leaving(text: str) -> Leaving:
    """Read what the trigger of a step says that it had attached.

    Raises:
        WrongSettingsError: It is none.
    """
    spec = _Section.checked(_parsed(text), "spec")
    pairs = [
        *spec.each("mounts", lambda it: (it.get("key", _KEY), it.get("volume", _PATH))),
        *spec.each("devices", lambda it: (it.get("key", _KEY), it.get("path", _PATH))),
    ]
    return Leaving(vmid=spec.get("vmid", _number(100, 999_999_999)), held=dict(pairs))


# --- values


def _text(pattern: str = r".*", what: str = "a text") -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not value.isprintable() or not re.fullmatch(pattern, value):
            raise ValueError(what)
        return value

    return check


def _number(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"a number from {least} to {most}")
        return value

    return check


def _path(value: object) -> str:
    text = _text(r"/[^,=]+", "an absolute path without a comma or an equals sign")(value)
    if len(text.encode()) > _LONGEST_PATH or text.endswith(" "):
        raise ValueError(f"a path of at most {_LONGEST_PATH} bytes that does not end in a space")
    if any(part in {"", ".", ".."} for part in text[1:].split("/")):
        raise ValueError('a path without an empty, "." or ".." part')
    return text


_PATH = _path
_KEY = _text(rf"(?:mp|dev){_SLOT}", "a key such as mp0 or dev0")
_ID = _number(0, _LAST_ID)
_SECONDS = _number(1, 99_999)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongSettingsError(f"what the step is to do is no JSON: {error}; synthesize the stack again") from None


class _Section:
    """An object of the JSON, whose values are checked as they are taken."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = values, where

    @classmethod
    def checked(cls, values: object, where: str) -> _Section:
        if not isinstance(values, dict):
            raise WrongSettingsError(f"{where} is no JSON object; synthesize the stack again")
        return cls(values, where)

    def get(self, name: str, check: Callable[[object], _T]) -> _T:
        if name not in self._values:
            raise WrongSettingsError(f"{self._where}.{name} is missing; synthesize the stack again")
        return self._check(name, self._values[name], check)

    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    def mapping(self, name: str, check: Callable[[object], _T]) -> Mapping[str, _T]:
        section = self.checked(self._values.get(name) or {}, f"{self._where}.{name}")
        return {self._check(name, key, _text()): section.get(key, check) for key in section.names()}

    def each(self, name: str, make: Callable[[_Section], _T]) -> tuple[_T, ...]:
        values = self._values.get(name) or []
        if not isinstance(values, list):
            raise WrongSettingsError(f"{self._where}.{name} is no list; synthesize the stack again")
        return tuple(make(self.checked(value, f"{self._where}.{name}.{i}")) for i, value in enumerate(values))

    def texts(self, name: str, check: Callable[[object], str]) -> tuple[str, ...]:
        values = self.get(name, lambda value: value)
        if not isinstance(values, list):
            raise WrongSettingsError(f"{self._where}.{name} is no list; synthesize the stack again")
        return tuple(self._check(f"{name}.{i}", value, check) for i, value in enumerate(values))

    def optional(self, name: str, make: Callable[[_Section], _T]) -> _T | None:
        return make(self.checked(self._values[name], f"{self._where}.{name}")) if self._values.get(name) else None

    def options(self, pattern: str) -> Mapping[str, str]:
        options = self.mapping("options", _text())
        for name, value in options.items():
            self.require(bool(re.fullmatch(pattern, f"{name}={value}")), "options", f"{name}={value}", "an option")
        return options

    def require(self, holds: bool, name: str, value: str, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        if not holds:
            raise WrongSettingsError(f"{self._where}.{name}: {quoted(value)} is not {what} of Proxmox VE")

    def _check(self, name: str, value: object, check: Callable[[object], _T]) -> _T:
        try:
            return check(value)
        except ValueError as error:
            text = value if isinstance(value, str) else json.dumps(value)
            raise WrongSettingsError(f"{self._where}.{name}: {quoted(text)} is not {error}") from None


def _directory(spec: _Section) -> Directory:
    return Directory(
        path=spec.get("path", _PATH),
        uid=spec.get("uid", _ID),
        gid=spec.get("gid", _ID),
        mode=int(spec.get("mode", _text(r"[0-7]{3,4}", "a mode such as 0750")), 8),
    )


def _mount(spec: _Section) -> Attached:
    return Attached(
        key=spec.get("key", _text(rf"mp{_SLOT}", "a key such as mp0")),
        source=spec.get("volume", _PATH),
        place=spec.get("path", _PATH),
        options=spec.options(_MOUNT_OPTION),
    )


def _node_device(value: object) -> str:
    path = _text(r"/dev(?:/[A-Za-z0-9_:+-][A-Za-z0-9._:+-]*)+", "a device such as /dev/net/tun")(value)
    if part := part_of_the_node(path):
        raise ValueError(f"a device for a container: it is {part}")
    return path


def _device(spec: _Section) -> Attached:
    return Attached(
        key=spec.get("key", _text(rf"dev{_SLOT}", "a key such as dev0")),
        source=spec.get("path", _node_device),
        place="",
        options=spec.options(_DEVICE_OPTION),
    )


def _payload(spec: _Section) -> Payload:
    return Payload(
        directory=spec.get("directory", _PATH),
        archive=spec.get("archive", _text()),
        sha256=spec.get("sha256", _text(r"[0-9a-f]{64}", "a SHA-256")),
        checks_timeout_seconds=spec.get("checks_timeout_seconds", _SECONDS),
    )


def _secrets(spec: _Section) -> Secrets:
    return Secrets(
        names=spec.texts("names", _text(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a variable")),
        minimum_lengths=spec.mapping("minimum_lengths", _number(0, 10_000)),
        path=spec.get("path", _PATH),
        uid=spec.get("uid", _ID),
        gid=spec.get("gid", _ID),
        of_compose=spec.texts("of_compose", _text()),
    )


def _bootstrap(spec: _Section) -> Bootstrap:
    return Bootstrap(
        command=spec.get("command", _PATH),
        timeout_seconds=spec.get("timeout_seconds", _SECONDS),
        stop_seconds=spec.get("stop_seconds", _SECONDS),
    )
