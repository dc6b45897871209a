"""What Proxmox VE calls a guest, and what belongs to it: names, numbers, sizes, its template."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pve_agents.types.marks import Number, Text
from pve_agents.types.network import LABEL, plain_url
from pve_agents.types.words import shown

__all__ = [
    "AgentName",
    "Checksum",
    "CpuCores",
    "CpuLimit",
    "DatastoreId",
    "Description",
    "DiskGibibytes",
    "MemoryMebibytes",
    "NodeName",
    "PoolId",
    "Seconds",
    "StartupOrder",
    "SwapMebibytes",
    "Tag",
    "TemplateFileId",
    "TemplateUrl",
    "Vmid",
]


def _tag(value: str) -> str:
    if value != value.lower():
        raise ValueError(
            f"{shown(value)} has upper-case letters, which Proxmox VE would change; write {shown(value.lower())}"
        )
    if value.startswith("pve-agents-"):
        raise ValueError(
            f"{shown(value)} starts with pve-agents-, which marks the containers of this project; write another tag"
        )
    return value


def _agent_name(value: str) -> str:
    if value.endswith("-root"):
        raise ValueError(
            f"{shown(value)} ends in -root, which is kept for the stack that works as root; write a name without it"
        )
    return value


def _description(value: str) -> str:
    size = len(value.encode(errors="surrogatepass"))
    if size > 8192:  # noqa: PLR2004 - Proxmox VE's limit, named in the message
        raise ValueError(f"the text is {size} bytes long; write at most 8192 bytes")
    return value


def _template_url(value: str) -> str:
    path = urlsplit(plain_url(value)).path
    if not re.fullmatch(r".*/[A-Za-z0-9][A-Za-z0-9+._-]*\.tar\.(gz|xz|zst|bz2)", path):
        raise ValueError(
            f"{shown(value)} does not end in the name of a template; write an URL that ends in "
            "a plain file name with .tar.gz, .tar.xz, .tar.zst or .tar.bz2"
        )
    return value


_STORE = r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]"


Vmid = Annotated[int, Number("a VMID", 100, 999_999_999)]
"""The number of a container or VM, unique in the cluster."""

CpuCores = Annotated[int, Number("a number of cores", 1, 128)]
"""How many cores a container sees."""

CpuLimit = Annotated[float, Number("a CPU limit", 0, 8192, whole=False)]
"""CPU time in cores' worth; 0 means no limit."""

MemoryMebibytes = Annotated[int, Number("an amount of memory in MiB", 16, 268_435_456)]
"""Memory in MiB."""

SwapMebibytes = Annotated[int, Number("an amount of swap in MiB", 0, 268_435_456)]
"""Swap in MiB; 0 means none."""

DiskGibibytes = Annotated[int, Number("a disk size in GiB", 1, 1_048_576)]
"""Size of a disk in GiB."""


StartupOrder = Annotated[int, Number("a place in the startup order", 0, 999_999_999)]
"""Place in the order in which a node starts its guests; lower starts first."""

Seconds = Annotated[int, Number("a number of seconds", 0, 999_999_999)]
"""A delay in seconds."""

NodeName = Annotated[str, Text("a node name", LABEL, "letters, digits and hyphens, such as pve1", 63)]
"""Name of a Proxmox VE node."""


DatastoreId = Annotated[
    str,
    Text("a datastore", _STORE, "letters, digits, dots, hyphens and underscores, such as local-lvm", 100),
]
"""Name of a storage."""

PoolId = Annotated[
    str,
    Text(
        "a pool",
        r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}",
        "letters, digits, dots, hyphens and underscores, in at most three levels with / between",
        255,
    ),
]
"""Name of a resource pool."""


AgentName = Annotated[
    str,
    Text(
        "an agent's name",
        r"[a-z][a-z0-9-]{0,38}[a-z0-9]",
        "2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last",
        40,
        _agent_name,
    ),
]
"""Name of an agent, and so of its stack."""

Tag = Annotated[
    str,
    Text(
        "a tag",
        r"[A-Za-z0-9_][A-Za-z0-9_+.-]*",
        "lower-case letters, digits and _ + . -, with a letter, digit or _ first",
        255,
        _tag,
    ),
]
"""Tag of a guest, in the lower case that Proxmox VE stores."""

Description = Annotated[
    str,
    Text(
        "a description",
        r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*",
        "text without control characters other than line breaks, at most 8192 bytes long",
        1_000_000,
        _description,
    ),
]
"""Notes of a guest, at most 8192 bytes."""


TemplateUrl = Annotated[
    str, Text("an URL", r"https?://[\x21-\x7e]+", "one that starts with http:// or https://", check=_template_url)
]
"""Where to download a container template."""

TemplateFileId = Annotated[
    str,
    Text(
        "a template on a datastore",
        rf"{_STORE}:vztmpl/[A-Za-z0-9][A-Za-z0-9+._-]*\.tar(?:\.(?:gz|xz|zst|bz2))?",
        "<datastore>:vztmpl/<file>, such as local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst",
        255,
    ),
]
"""Volume id of a container template."""

Checksum = Annotated[
    str,
    Text(
        "a checksum",
        r"[0-9A-Fa-f]{32,128}",
        "the 32 to 128 hexadecimal digits that its publisher states",
        128,
        str.lower,
    ),
]
"""Checksum in hexadecimal digits, in lower case."""
