"""Domain types: what Proxmox VE calls things, and which spellings it accepts.

Each type is an ``Annotated`` alias for a pydantic field. A value that does not fit raises ``ValueError`` with a whole
phrase: what is wrong with the value, and what to write instead.

Reference: https://pve.proxmox.com/pve-docs/chapter-pct.html
"""

import base64
import binascii
import ipaddress
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pve_agents.node_devices import part_of_the_node

__all__ = [
    "AgentName",
    "Bridge",
    "Checksum",
    "CpuCores",
    "CpuLimit",
    "DatastoreId",
    "Description",
    "DeviceKey",
    "DeviceMode",
    "DevicePath",
    "DiskGibibytes",
    "DnsServer",
    "Domain",
    "EnvName",
    "FileMode",
    "Gateway",
    "GuestAddress",
    "GuestId",
    "GuestPath",
    "HostPath",
    "Hostname",
    "IdMap",
    "MacAddress",
    "MemoryMebibytes",
    "MountKey",
    "Mtu",
    "NodeName",
    "Number",
    "PoolId",
    "Seconds",
    "SshPublicKey",
    "StartupOrder",
    "SwapMebibytes",
    "Tag",
    "TemplateFileId",
    "TemplateUrl",
    "Text",
    "VlanId",
    "Vmid",
    "env_name",
    "holds_token",
    "id_on_disk",
    "is_credential_name",
    "is_system_state",
    "lies_in",
    "plain_url",
    "shown",
]

_LONGEST_SHOWN = 60

_CREDENTIAL_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|pass|token|secrets?|credentials?|signature|conn_str"
    r"|(api|access|secret|private|auth|ssh)_?key)(_id)?$"
)

_LOOKS_SECRET = re.compile(
    r"PRIVATE KEY|PuTTY-User-Key-File"  # PEM, OpenSSH and PuTTY
    # A Proxmox VE API token. Each way through a text is short, so that a long one takes no longer than it is.
    r"|[^\s@]@[^\s@!]{1,128}![^\s!=]{1,128}="
    r"|://[^/\s]*@"  # userinfo in an URL
    r"|^(sk-|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|AKIA|hf_)\S{8}"
)


_TOKEN = re.compile(
    r"(?<![A-Za-z0-9/_.-])(?:"
    r"(?:sk-|hf_|gsk_|gh[pousr]_|glpat-)(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{16,}"
    r"|(?:xox[a-z]-|xapp-|github_pat_|AIza)[A-Za-z0-9_-]{8,}"
    r"|AKIA[A-Z0-9]{12,}"
    r"|[0-9]{6,}:[A-Za-z0-9_-]{30,}"  # a Telegram bot's
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # a JSON web token
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]*:(?!\$\{)[^/\s@]+@"  # a password in an URL
    r"|\bBearer +(?=[A-Za-z0-9._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{8,}"
)


def holds_token(text: str) -> bool:
    """Tell whether a text has in it what looks like a key or token of a service that is widely used."""
    return bool(_TOKEN.search(text))


def is_credential_name(name: str) -> bool:
    """Tell whether a key names a secret, such as ``api_token``, ``password`` or ``litellm_api_key``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return bool(_CREDENTIAL_NAME.search(snake))


def shown(value: object) -> str:
    """Spell a value for an error message: as YAML would, on one line, cut when long, hidden when it may be a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, str):
        if _LOOKS_SECRET.search(value) or holds_token(value):
            return "the value, hidden because it may be a secret,"
        cut = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        return json.dumps(cut, ensure_ascii=not cut.isprintable())
    text = getattr(value, "written", None) or json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


@dataclass(frozen=True)
class Number:
    """Marks a number with bounds.

    Attributes:
        what: The quantity with its article, for messages: "a VMID".
        low: Smallest number accepted.
        high: Largest number accepted.
        whole: Whether fractions are refused. Defaults to true.
    """

    what: str
    low: int
    high: int
    whole: bool = True

    def __call__(self, value: object) -> object:
        """Return the value if it fits.

        Raises:
            ValueError: It does not.
        """
        if isinstance(value, str) and re.fullmatch(r"(0|[1-9][0-9]{0,17})(\.[0-9]+)?", value):
            raise ValueError(f"{shown(value)} is text, not a number; write it without quotes")
        accepted = int if self.whole else (int, float)
        # An infinity or a NaN is in no range.
        if isinstance(value, accepted) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        kind = "whole number" if self.whole else "number"
        raise ValueError(f"{shown(value)} is not {self.what}; write a {kind} from {self.low} to {self.high}")

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic does, whose own phrases are for programmers."""
        return core_schema.no_info_before_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the bounds to the JSON Schema."""
        return {**handler(schema), "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text:
    """Marks a text that must match a pattern.

    Attributes:
        what: The thing with its article, for messages: "a node name".
        pattern: Regular expression for the whole text, in the dialect that Python and JSON Schema share.
        write: What to write instead, for messages.
        longest: Largest number of characters. Defaults to 4096.
        check: Further check; returns the text in its canonical spelling or raises ``ValueError``. Defaults to none.
    """

    what: str
    pattern: str
    write: str
    longest: int = 4096
    check: Callable[[str], str] | None = None

    def __call__(self, value: object) -> str:
        """Return the text, in its canonical spelling, if it fits.

        Raises:
            ValueError: It does not.
        """
        if isinstance(value, bool | int | float):
            raise ValueError(f"{shown(value)} is not text; write {self.what} in quotes")  # noqa: TRY004 - pydantic's way
        if not isinstance(value, str) or len(value) > self.longest or not re.fullmatch(self.pattern, value):
            raise ValueError(f"{shown(value)} is not {self.what}; write {self.write}")
        return self.check(value) if self.check else value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic does, whose own phrases are for programmers."""
        return core_schema.no_info_before_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the pattern to the JSON Schema."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}


def plain_url(value: str) -> str:
    """Return an http or https URL that carries no credentials.

    Raises:
        ValueError: It is no such URL. The phrase never repeats a credential.
    """
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host:
        raise ValueError(f"{shown(value)} is not an URL; write one such as https://host.example/path")
    if "@" in url.netloc:
        raise ValueError(
            "the URL carries a user name or a password; write it without, and put credentials into the environment"
        )
    if any(is_credential_name(key) for key, _ in parse_qsl(url.query, keep_blank_values=True)):
        raise ValueError("the URL carries a credential in its query; write an URL that needs none")
    return value


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


def lies_in(path: str, directory: str) -> bool:
    """Tell whether a path is the directory or lies in it."""
    return path == directory or path.startswith(f"{directory}/")


def _path(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)} has a character that cannot be printed; write the path without it")
    if len(value.encode()) > _LONGEST_PATH:
        raise ValueError(f"{shown(value)} is {len(value.encode())} bytes long; write {_PATH_WRITE}")
    if value.endswith(" "):
        raise ValueError(f"{shown(value)} ends in a space, which gets lost on its way; write the path without it")
    if any(part in {"", ".", ".."} for part in value[1:].split("/")):
        raise ValueError(
            f'{shown(value)} has an empty, "." or ".." part; write the plain path, without a slash at its end'
        )
    return value


_HOST_SYSTEM = (
    *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys"),
    *("/tmp", "/usr"),  # noqa: S108 - refused
)
_SYSTEM_STATE = frozenset(
    {
        *("apt", "ceph", "chrony", "corosync", "dbus", "dhcp", "dpkg", "frr", "grub", "ifupdown2", "initramfs-tools"),
        *("iscsi", "lxc", "lxcfs", "machines", "nfs", "pam", "polkit-1", "portables", "postfix", "private"),
        *("qemu-server", "rrdcached", "samba", "smartmontools", "sudo", "systemd", "ucf", "vz"),
    }
)


def is_system_state(name: str) -> bool:
    """Tell whether a directory of this name in /var/lib is Debian's or Proxmox VE's own."""
    return name in _SYSTEM_STATE or name.startswith(("pve-", "proxmox-"))


def _is_host_system(path: str) -> bool:
    if lies_in(path, "/var"):
        # What a service of the operator's own keeps in /var/lib is not the system's.
        name = path.removeprefix("/var/lib/").partition("/")[0]
        return not path.startswith("/var/lib/") or is_system_state(name)
    return any(lies_in(path, directory) for directory in _HOST_SYSTEM)


def _host_path(value: str) -> str:
    if lies_in(_path(value), "/dev"):
        raise ValueError(f"{shown(value)} is a device for Proxmox VE; write a directory outside /dev")
    if _is_host_system(value):
        raise ValueError(
            f"{shown(value)} belongs to the system of the host; write another directory, such as /mnt/pve/hdd/hermes"
        )
    if re.fullmatch(r"/[^/]+|/mnt/pve", value):
        raise ValueError(f"{shown(value)} holds more than the files of one agent; write a directory inside it")
    if re.fullmatch(r"/mnt/pve/[^/]+", value):
        raise ValueError(f"{shown(value)} is a whole storage of Proxmox VE; write a directory inside it")
    return value


# What is virtual, or a symbolic link, which Proxmox VE mounts nothing through.
_GUEST_NOWHERE = (
    *("/bin", "/dev", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys"),
    *("/var/lock", "/var/run"),
)
_GUEST_SYSTEM = frozenset({"/boot", "/etc", "/home", "/opt", "/root", "/tmp", "/usr", "/var"})  # noqa: S108 - refused


def _guest_path(value: str) -> str:
    if _path(value) in _GUEST_SYSTEM or any(lies_in(value, directory) for directory in _GUEST_NOWHERE):
        raise ValueError(f"{shown(value)} belongs to the system of the container; write another path, such as /data")
    return value


def _device_path(value: str) -> str:
    if part := part_of_the_node(value):
        raise ValueError(
            f"{shown(value)} is {part}, which no container may have; write another device, such as /dev/dri/renderD128"
        )
    return value


def _mode(value: str) -> str:
    return value.zfill(4)


def _ranges(idmap: str) -> list[tuple[str, int, int, int]]:
    entries = (entry.split(":") for entry in idmap.split(";"))
    return [(kind, int(guest), int(disk), int(count)) for kind, guest, disk, count in entries]


def id_on_disk(idmap: str | None, kind: str, guest_id: int) -> int:
    """Return what an id of an unprivileged container is in the directory behind a mount.

    Args:
        idmap: The mount's own mapping, an ``IdMap``, or none for the container's.
        kind: ``uid`` or ``gid``.
        guest_id: The id as the container sees it.

    Raises:
        ValueError: No range of the mapping covers the id.
    """
    if idmap is None:
        return _FIRST_HOST_ID + guest_id
    if idmap == "passthrough":
        return guest_id
    for letter, guest, disk, count in _ranges(idmap):
        if letter == kind[0] and guest <= guest_id < guest + count:
            return disk + guest_id - guest
    # Proxmox VE would take the container's mapping; who writes ranges is asked to say so.
    example = f"{kind[0]}:{guest_id}:{_FIRST_HOST_ID + guest_id}:1"
    raise ValueError(
        f"no range covers the {kind} {guest_id}, to which the directory is to belong; add one such as {example}"
    )


def _unmoved(kind: str, disk: int, count: int, ranges: Sequence[tuple[str, int, int, int]]) -> int | None:
    """Return the first of these ids on the disk that also belongs to an id of the container which no range moves."""
    first = max(disk, _FIRST_HOST_ID)
    for letter, guest, _, length in sorted(ranges):
        if letter == kind and guest <= first - _FIRST_HOST_ID < guest + length:
            first = _FIRST_HOST_ID + guest + length
    return first if first < min(disk + count, _FIRST_HOST_ID + _GUEST_IDS) else None


def _idmap(value: str) -> str:
    if value == "passthrough":
        return value
    ranges = _ranges(value)
    for kind, guest, disk, count in ranges:
        entry = f"{kind}:{guest}:{disk}:{count}"
        if guest + count > _GUEST_IDS:
            raise ValueError(f"{entry} goes beyond 65535, the last id of an unprivileged container; write fewer ids")
        if disk + count > _HOST_IDS:
            raise ValueError(f"{entry} goes beyond 4294967294, the last id on a disk; write fewer ids")
    for where, starts in (
        ("in the container", [(kind, guest, count) for kind, guest, _, count in ranges]),
        ("on the disk", [(kind, disk, count) for kind, _, disk, count in ranges]),
    ):
        for (kind, start, count), (next_kind, next_start, _) in itertools.pairwise(sorted(starts)):
            if kind == next_kind and next_start < start + count:
                raise ValueError(f"two ranges have the {kind}id {next_start} {where}; keep them apart")
    for kind, guest, disk, count in ranges:
        # The kernel takes no mapping with an id in it twice, and the container then does not start.
        if (clash := _unmoved(kind, disk, count, ranges)) is not None:
            raise ValueError(
                f"{kind}:{guest}:{disk}:{count} takes the {kind}id {clash} on the disk, which is the "
                f"{kind}id {clash - _FIRST_HOST_ID} of the container; write ids on the disk below 100000, "
                "or a range for that id too"
            )
    return value


_ENV_NAME = r"[A-Z][A-Z0-9_]*"
_LONGEST_ENV_NAME = 64
_ENV_REASONS = {
    r"PATH": "decides which programs run in the guest",
    r"HOME": "decides where programs keep their files in the guest",
    r"IFS|ENV|BASH_ENV": "changes what every shell in the guest does",
    r"LD_.*": "puts foreign code into every program of the guest",
    r"PYTHON.*": "changes the Python that the agent runs on",
    r"HERMES_HOME": "decides where Hermes keeps its memory, and this project sets it",
    r"HERMES_MANAGED.*": "decides where Hermes finds what is declared here, and this project sets it",
    r"HERMES_WRITE_SAFE_ROOT": "decides where Hermes may write, and this project sets it",
    r"OPENAI_BASE_URL": "is ignored by Hermes, which then sends the key to a third party",
    r"CUSTOM_BASE_URL": "makes Hermes pass over the endpoint that is declared here",
    r"(PROXMOX_VE|PVE|TF|HOMELAB|HOST_STEP)_.*|PG_CONN_STR|HERMES_ENV_FILE": "is for the operator, never for an agent",
}


def env_name(value: object) -> str:
    """Return the name of an environment variable that an agent may have.

    Raises:
        ValueError: It is none. The phrase never repeats what may be the secret itself.
    """
    # The value is never shown before it is known to be a name: it may be the secret itself.
    if isinstance(value, str) and "=" in value:
        raise ValueError(
            "this is more than a name; write the name alone, and put the value into the environment or .env"
        )
    if not isinstance(value, str) or len(value) > _LONGEST_ENV_NAME or not re.fullmatch(_ENV_NAME, value):
        raise ValueError(
            "this is not the name of an environment variable; write at most 64 upper-case letters, digits and "
            "underscores, such as LITELLM_API_KEY, and never the secret itself"
        )
    if _LOOKS_SECRET.search(value) or re.fullmatch(r"(?=.*[0-9])[A-Z0-9]{16,}", value):
        raise ValueError(
            "this may be a secret; write the name of its variable, and put the secret into the environment or .env"
        )
    for pattern, reason in _ENV_REASONS.items():
        if re.fullmatch(pattern, value):
            raise ValueError(f"{shown(value)} {reason}; leave it out")
    return value


def _mac_address(value: str) -> str:
    first = int(value[:2], 16)
    if first & 1:
        raise ValueError(f"{shown(value)} is a multicast address; write a unicast one, whose first byte is even")
    if not int(value.replace(":", ""), 16):
        raise ValueError(f"{shown(value)} is no address of a network card; write one such as BC:24:11:12:34:56")
    return value.upper()


def _description(value: str) -> str:
    size = len(value.encode(errors="surrogatepass"))
    if size > 8192:  # noqa: PLR2004 - Proxmox VE's limit, named in the message
        raise ValueError(f"the text is {size} bytes long; write at most 8192 bytes")
    return value


_ADDRESS = "dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24"
_SMALLEST_PREFIX = 8
_POINT_TO_POINT = 31


def _guest_address(value: str) -> str:
    if value == "dhcp":
        return value
    try:
        interface = ipaddress.IPv4Interface(value)
    except ValueError:
        raise ValueError(f"{shown(value)} is not an address; write {_ADDRESS}") from None
    if "/" not in value:
        raise ValueError(f"{shown(value)} has no prefix; write it like {value}/24")
    network = interface.network
    if network.prefixlen < _SMALLEST_PREFIX:
        raise ValueError(f"{shown(value)} has a prefix that Proxmox VE refuses; write one from 8 to 32")
    if network.prefixlen < _POINT_TO_POINT and interface.ip == network.network_address:
        raise ValueError(f"{shown(value)} is the network itself; write the address of a host in it")
    if network.prefixlen < _POINT_TO_POINT and interface.ip == network.broadcast_address:
        raise ValueError(f"{shown(value)} is the broadcast address of its network; write the address of a host in it")
    if interface.is_loopback or interface.is_multicast or interface.is_reserved or interface.ip.packed[0] == 0:
        raise ValueError(f"{shown(value)} is not the address of a host in a network; write {_ADDRESS}")
    return str(interface)


def _ip(what: str, version: type[ipaddress.IPv4Address] | None, write: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            return str(version(value) if version else ipaddress.ip_address(value))
        except ValueError:
            raise ValueError(f"{shown(value)} is not {what}; write {write}") from None

    return check


def _template_url(value: str) -> str:
    path = urlsplit(plain_url(value)).path
    if not re.fullmatch(r".*/[A-Za-z0-9][A-Za-z0-9+._-]*\.tar\.(gz|xz|zst|bz2)", path):
        raise ValueError(
            f"{shown(value)} does not end in the name of a template; write an URL that ends in "
            "a plain file name with .tar.gz, .tar.xz, .tar.zst or .tar.bz2"
        )
    return value


_PUBLIC_KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)


def _ssh_public_key(value: object) -> str:
    # The value is never shown: what does not parse may be half of a private key.
    text = value.strip() if isinstance(value, str) else ""
    if "PRIVATE KEY" in text or text.startswith("PuTTY-User-Key-File"):
        raise ValueError("this is a private key; write the public one, the line in the file that ends in .pub")
    kind, _, rest = text.partition(" ")
    blob = rest.split(" ", 1)[0]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        inside = b""
    name = kind.encode(errors="replace")
    if (
        kind not in _PUBLIC_KEY_TYPES
        or not text.isprintable()
        or not inside.startswith(len(name).to_bytes(4, "big") + name)
    ):
        raise ValueError(
            "this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop"
        )
    return text


_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_STORE = r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]"
_PATH = r"""/[^,="'\\\x00-\x1f\x7f-\x9f]+"""
_LONGEST_PATH = 1024
_PATH_WRITE = (
    "an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters"
)
_SLOT = r"(?:[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_ID = r"(?:0|[1-9][0-9]{0,9})"
_RANGE = rf"[ug]:{_ID}:{_ID}:[1-9][0-9]{{0,9}}"

_FIRST_HOST_ID = 100_000
_GUEST_IDS = 65_536
_HOST_IDS = 2**32 - 1

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

VlanId = Annotated[int, Number("a VLAN tag", 1, 4094)]
"""IEEE 802.1Q tag."""

Mtu = Annotated[int, Number("an MTU", 64, 65_535)]
"""Largest packet in bytes."""

StartupOrder = Annotated[int, Number("a place in the startup order", 0, 999_999_999)]
"""Place in the order in which a node starts its guests; lower starts first."""

Seconds = Annotated[int, Number("a number of seconds", 0, 999_999_999)]
"""A delay in seconds."""

NodeName = Annotated[str, Text("a node name", _LABEL, "letters, digits and hyphens, such as pve1", 63)]
"""Name of a Proxmox VE node."""

Bridge = Annotated[
    str,
    Text(
        "a bridge",
        r"[A-Za-z][A-Za-z0-9._-]*",
        "at most 15 letters, digits, dots, hyphens and underscores, such as vmbr0",
        15,
    ),
]
"""Name of a Linux bridge or SDN vnet."""

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

Hostname = Annotated[
    str, Text("a hostname", _NAME, "letters, digits and hyphens, such as hermes or hermes.example.net", 253)
]
"""Hostname of a container: a DNS label or name."""

Domain = Annotated[str, Text("a domain", _NAME, "a DNS name such as home.arpa", 253)]
"""DNS search domain."""

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

HostPath = Annotated[str, Text("a path on the host", _PATH, _PATH_WRITE, _LONGEST_PATH, _host_path)]
"""Absolute path of a directory on the node that may belong to a container."""

GuestPath = Annotated[str, Text("a path in the container", _PATH, _PATH_WRITE, _LONGEST_PATH, _guest_path)]
"""Absolute path in a container at which something may be mounted."""

MountKey = Annotated[str, Text("the key of a mount point", rf"mp{_SLOT}", "one from mp0 to mp255", 5)]
"""Key of a mount point in the configuration of a container."""

DeviceKey = Annotated[str, Text("the key of a device", rf"dev{_SLOT}", "one from dev0 to dev255", 6)]
"""Key of a device in the configuration of a container."""

DevicePath = Annotated[
    str,
    Text(
        "a device",
        r"/dev(?:/[A-Za-z0-9_:+-][A-Za-z0-9._:+-]*)+",
        "a path in /dev, such as /dev/dri/renderD128",
        255,
        _device_path,
    ),
]
"""Path of a device node on the node."""

GuestId = Annotated[int, Number("a user's or group's id in an unprivileged container", 0, _GUEST_IDS - 1)]
"""Id of a user or group as an unprivileged container sees it."""

FileMode = Annotated[
    str, Text("a file's mode", r"[0-7]{3,4}", 'three or four octal digits in quotes, such as "0750"', 4, _mode)
]
"""Permissions of a directory in four octal digits."""

DeviceMode = Annotated[
    str, Text("a device's mode", r"0?[0-7]{3}", 'three octal digits after a 0 in quotes, such as "0660"', 4, _mode)
]
"""Permissions of a device node in four octal digits, of which Proxmox VE wants the first to be 0."""

IdMap = Annotated[
    str,
    Text(
        "a mapping of ids",
        rf"passthrough|{_RANGE}(?:;{_RANGE})*",
        "passthrough, or ranges <u or g>:<in the container>:<on the disk>:<count> with ; between, "
        "such as u:10000:1000:1;g:10000:1000:1",
        check=_idmap,
    ),
]
"""How the ids of a container and those on a disk belong together, for one mount."""

EnvName = Annotated[
    str,
    BeforeValidator(env_name),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_ENV_NAME})$", "maxLength": _LONGEST_ENV_NAME}),
]
"""Name of an environment variable that an agent may have."""

MacAddress = Annotated[
    str,
    Text(
        "a MAC address",
        r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}",
        "six pairs of hexadecimal digits with colons between, such as BC:24:11:12:34:56",
        17,
        _mac_address,
    ),
]
"""Unicast MAC address, in upper case."""

GuestAddress = Annotated[str, Text("an address", r"dhcp|[0-9.]+(?:/[0-9]{1,2})?", _ADDRESS, 18, _guest_address)]
"""``dhcp``, or an IPv4 address of a host with its prefix."""

_IPV4 = "an IPv4 address such as 192.168.1.1"
Gateway = Annotated[str, Text("a gateway", r"[0-9.]+", _IPV4, 15, _ip("a gateway", ipaddress.IPv4Address, _IPV4))]
"""IPv4 address of a router."""

_IP = "an IP address such as 1.1.1.1"
DnsServer = Annotated[str, Text("a DNS server", r"[0-9A-Fa-f.:]+", _IP, 45, _ip("a DNS server", None, _IP))]
"""IPv4 or IPv6 address of a DNS server."""

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

SshPublicKey = Annotated[str, BeforeValidator(_ssh_public_key)]
"""One line of an OpenSSH ``.pub`` file."""
