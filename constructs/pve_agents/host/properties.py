"""Property strings, as a container's configuration holds them: `/srv/x,mp=/data,ro=1`.

Equal settings may be written in many ways (pve-guest-common, PVE::JSONSchema `pve-lxc-mp-string`, `pve-lxc-feature`).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SOURCE", "meaning", "place_of", "same", "source_of", "with_options"]

SOURCE = ""
"""The name of what stands in front without one: a mount's volume, a device's path."""

_SOURCES = frozenset({"volume", "path"})
_LISTS = frozenset({"mount", "mountoptions"})
_BOOLEANS = {"on": "1", "yes": "1", "true": "1", "off": "0", "no": "0", "false": "0"}
# What means the same when it is left out.
_DEFAULTS = {
    **dict.fromkeys(("backup", "keepattrs", "quota", "ro", "shared"), "0"),
    "replicate": "1",
    **dict.fromkeys(("deny-write", "gid", "uid"), "0"),
    "mode": "0660",
    **dict.fromkeys(("force_rw_sys", "fuse", "keyctl", "mknod", "nesting"), "0"),
}


def meaning(value: str) -> Mapping[str, str]:
    """What a property string says: without the size, which is Proxmox VE's to say, and without what only repeats a default."""
    return {name: text for name, text in _read(value).items() if name != "size" and _DEFAULTS.get(name) != text}


def same(one: str, other: str) -> bool:
    """Whether two property strings say the same."""
    return meaning(one) == meaning(other)


def source_of(value: str) -> str:
    """The volume of a mount, or the path of a device."""
    return _read(value).get(SOURCE, "")


def place_of(value: str) -> str:
    """Where in the container a mount is."""
    return _read(value).get("mp", "")


def with_options(value: str, options: Mapping[str, str]) -> str:
    """A property string with some of its options set anew; Proxmox VE replaces the whole value."""
    return ",".join(sorted(f"{name}={text}" for name, text in {**_read(value), **options}.items()))


def _read(value: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, value.split(",")):
        name, equals, text = part.partition("=")
        if not equals:
            name, text = SOURCE, part
        elif name in _SOURCES:
            name = SOURCE
        elif name == "mp":
            # Proxmox VE takes `data`, `/data` and `/data/` for the same place.
            text = "/" + "/".join(filter(None, text.split("/")))
        elif name in _LISTS:
            text = ";".join(sorted(text.split(";")))
        options[name] = _BOOLEANS.get(text, text)
    return options
