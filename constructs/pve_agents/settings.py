"""The settings: ``homelab.yaml`` and ``HOMELAB_...`` variables, read into frozen models.

Every setting has a default but the VMID of an agent that is not ``hermes``, and the paths of a mount or device.
A variable such as ``HOMELAB_AGENTS__HERMES__VMID=119`` overrides one key of the file; its value is read as JSON where
it is JSON (``119``, ``true``, ``null``, ``["ai", "agent"]``) and as text otherwise. An agent's hyphens become
underscores in a variable's name.

``python -m pve_agents.settings`` prints the JSON Schema of the file, for editors.
"""

import ipaddress
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from pve_agents.described import Described
from pve_agents.model import (
    MOST_SENTENCES,
    Flag,
    InFile,
    Key,
    Model,
    Neighbour,
    Place,
    ProblemsError,
    Section,
    at_most,
    distinct,
    dotted,
    few,
    flattened,
    listed,
    meant,
    merged,
    offered,
    problem,
)
from pve_agents.reading import read_file, tree_fault
from pve_agents.stopping import Stopping
from pve_agents.types import (
    AgentName,
    Bridge,
    Checksum,
    CpuCores,
    CpuLimit,
    DatastoreId,
    Description,
    DeviceKey,
    DeviceMode,
    DevicePath,
    DiskGibibytes,
    DnsServer,
    Domain,
    EnvName,
    FileMode,
    Gateway,
    GuestAddress,
    GuestId,
    GuestPath,
    Hostname,
    HostPath,
    IdMap,
    MacAddress,
    MemoryMebibytes,
    MountKey,
    Mtu,
    NodeName,
    PoolId,
    Seconds,
    SshPublicKey,
    StartupOrder,
    SwapMebibytes,
    Tag,
    TemplateFileId,
    TemplateUrl,
    Text,
    VlanId,
    Vmid,
    id_on_disk,
    is_credential_name,
    lies_in,
    plain_url,
    shown,
)
from pve_agents.variables import FILE_VARIABLE, in_json, set_by_variables, unquoted, variables
from pve_agents.yaml_text import parse_yaml

if TYPE_CHECKING:
    from pve_agents.agents.hermes.settings import Hermes
else:
    Hermes = Annotated[Any, Section("pve_agents.agents.hermes.settings", "Hermes")]

__all__ = [
    "Agent",
    "Backend",
    "BindMount",
    "Cpu",
    "Device",
    "Disk",
    "Dns",
    "Homelab",
    "HttpBackend",
    "LocalBackend",
    "Memory",
    "Network",
    "PgBackend",
    "S3Backend",
    "SettingsError",
    "Startup",
    "Template",
    "json_schema",
    "load_settings",
]

_FILE = "homelab.yaml"

_HERMES: Mapping[str, object] = MappingProxyType(
    {
        "vmid": 118,
        "description": "Hermes Agent (Nous Research), managed by Terraform",
        "mounts": {
            "mp0": {"host_path": "/mnt/pve/hdd/hermes", "guest_path": "/data"},
            "mp1": {"host_path": "/media/2tb/hermes", "guest_path": "/fast"},
        },
        "hermes": {},
    }
)
_MOST_AGENTS = 200
_HERMES_MIB = 1024
_HERMES_USER = 10000
_HERMES_GIB = 16
_HERMES_MOUNTS: Key = ("agents", "hermes", "mounts")


class SettingsError(Exception):
    """The settings cannot be used.

    Attributes:
        messages: One sentence each: where, what is wrong, what to write instead. As many as somebody reads.
    """

    def __init__(self, messages: Sequence[str], left: int = 0) -> None:
        """Keep the sentences; ``str()`` joins them by line breaks.

        Args:
            messages: The sentences.
            left: How many more there would be. Defaults to none.
        """
        self.messages = few(messages, "{} more {are} wrong; correct these first.", left)
        super().__init__("\n".join(self.messages))


_DEBIAN_URL = "http://download.proxmox.com/images/system/debian-12-standard_12.12-1_amd64.tar.zst"
_DEBIAN_SHA512 = (
    "50c85eaaece677a3ebe01cc909b83872e9da2a22c29ae652838afce71e83222f"
    "df40f6accecd7d52b180e912fc1f85ecdf7b3fc4d3027da4d865e509a9e76597"
)
_CHECKSUM_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


class Cpu(Model):
    """CPU of a container."""

    cores: CpuCores = 2
    """Cores that the container sees, 1 to 128. Defaults to 2."""

    limit: CpuLimit = 0
    """CPU time in cores' worth, 0 to 8192, with fractions. Defaults to 0, no limit."""


class Memory(Model):
    """Memory of a container."""

    dedicated_mib: MemoryMebibytes = 4096
    """Memory in MiB, at least 16. Defaults to 4096."""

    swap_mib: SwapMebibytes = 512
    """Swap in MiB. Defaults to 512; 0 means none."""


class Disk(Model):
    """Root disk of a container."""

    datastore: DatastoreId = "local-lvm"
    """Datastore that holds the disk. Defaults to local-lvm."""

    size_gib: DiskGibibytes = 24
    """Size in GiB. Defaults to 24; a disk can grow, never shrink."""


class Network(Model):
    """Network card ``eth0`` of a container."""

    bridge: Bridge = "intra01"
    """Bridge or SDN vnet that the card is plugged into. Defaults to intra01."""

    address: GuestAddress = "dhcp"
    """IPv4 address with its prefix, such as 192.168.1.20/24. Defaults to dhcp."""

    gateway: Gateway | None = None
    """IPv4 address of the router, in the network of a static address. Defaults to none."""

    vlan: VlanId | None = None
    """VLAN tag, 1 to 4094. Defaults to none."""

    mac_address: MacAddress | None = None
    """Unicast MAC address. Defaults to one that Proxmox VE makes up."""

    mtu: Mtu | None = None
    """Largest packet in bytes, 64 to 65535. Defaults to the bridge's."""

    firewall: Flag = False
    """Whether Proxmox VE's firewall filters the card. Defaults to false."""

    @property
    def is_dhcp(self) -> bool:
        """Whether the address comes from DHCP."""
        return self.address == "dhcp"

    @field_validator("gateway")
    @classmethod
    def _gateway_is_reachable(cls, gateway: str | None, info: ValidationInfo) -> str | None:
        address = info.data.get("address")
        if gateway is None or address is None:
            return gateway
        if address == "dhcp":
            raise ValueError(
                f"{shown(gateway)} needs a static address, and DHCP brings its own gateway; "
                "write an address with its prefix, or leave gateway out"
            )
        interface, router = ipaddress.IPv4Interface(address), ipaddress.IPv4Address(gateway)
        network = interface.network
        if router not in network:
            raise ValueError(f"{shown(gateway)} is not in the network {network}; write an address in it")
        if router == interface.ip:
            raise ValueError(f"{shown(gateway)} is the container's own address; write the router's")
        if network.num_addresses > 2 and router in {network.network_address, network.broadcast_address}:  # noqa: PLR2004 - a /31 has hosts only
            raise ValueError(f"{shown(gateway)} is no host of the network {network}; write the router's address")
        return gateway


class Dns(Model):
    """Name resolution in a container."""

    servers: Annotated[tuple[DnsServer, ...], AfterValidator(distinct)] = ("1.1.1.1",)
    """IP addresses of DNS servers. Defaults to 1.1.1.1; an empty list means the node's own."""

    domain: Domain | None = None
    """Search domain. Defaults to the node's."""


class Template(Model):
    """Container template: one to download, or one that a datastore already holds."""

    url: TemplateUrl | None = None
    """Where the node downloads the template; needs a checksum. Defaults to Debian 12, unless file_id is given."""

    checksum: Checksum | None = None
    """Checksum of the file behind the url. Defaults to that of Debian 12."""

    checksum_algorithm: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] = "sha512"
    """Algorithm of the checksum. Defaults to sha512."""

    file_id: TemplateFileId | None = None
    """Template that is already there, as <datastore>:vztmpl/<file>; excludes url. Defaults to none."""

    datastore: DatastoreId = Field(default_factory=lambda data: (data["file_id"] or "local").partition(":")[0])
    """Datastore that holds the file. Defaults to local, or to the one that file_id names."""

    @property
    def file_name(self) -> str:
        """Name of the template's file, without its place."""
        place = urlsplit(self.url).path if self.url else self.file_id or ""
        return place.rpartition("/")[2]

    @model_validator(mode="before")
    @classmethod
    def _debian_unless_stated(cls, values: object) -> object:
        if isinstance(values, Mapping) and all(values.get(key) is None for key in ("url", "file_id", "checksum")):
            return {**values, "url": _DEBIAN_URL, "checksum": _DEBIAN_SHA512}
        return values

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if self.url and self.file_id:
            raise ValueError("url and file_id are both given; keep one of them")
        if self.url and not self.checksum:
            raise ValueError(
                "an url needs a checksum, with which Proxmox VE accepts an identical file that is already there "
                "and refuses a tampered one; write checksum and checksum_algorithm"
            )
        if self.checksum and not self.url:
            raise ValueError("a checksum belongs to an url, and none is given; write url, or leave checksum out")
        digits = _CHECKSUM_DIGITS[self.checksum_algorithm]
        if self.checksum and len(self.checksum) != digits:
            raise ValueError(
                f"the checksum has {len(self.checksum)} digits, and {self.checksum_algorithm} has {digits}; "
                "write the checksum and the algorithm that belong together"
            )
        if self.file_id and self.datastore != self.file_id.partition(":")[0]:
            raise ValueError(
                f"the datastore is {shown(self.datastore)}, and file_id names another; leave datastore out"
            )
        return self


class Startup(Model):
    """Place of a container among the guests that its node starts and stops."""

    order: StartupOrder | None = None
    """Place in the order; lower starts first and stops last. Defaults to after all that have one."""

    up_delay_seconds: Seconds | None = None
    """Pause after the start in seconds. Defaults to the node's."""

    down_delay_seconds: Seconds | None = None
    """Time to shut down in seconds. Defaults to the node's."""


class BindMount(Model):
    """Directory of the node in a container, made and mounted by the agent's root stack."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "mp": "guest_path",
        "path": "host_path or guest_path",
        "ro": "read_only",
        "source": "host_path",
        "target": "guest_path",
        "volume": "host_path",
    }

    host_path: HostPath
    """Directory on the node. Made if it is missing; it and its files stay when the mount goes."""

    guest_path: GuestPath
    """Where the directory shows in the container."""

    uid: GuestId = 10000
    """Owner of the directory as the container sees it, 0 to 65535. Defaults to 10000, as whom Hermes runs."""

    gid: GuestId = 10000
    """Group of the directory as the container sees it, 0 to 65535. Defaults to 10000."""

    mode: FileMode = "0750"
    """Permissions of the directory in octal digits, in quotes. Defaults to "0750"."""

    read_only: Flag = False
    """Whether the container may only read. Defaults to false."""

    backup: Flag = False
    """The mount's backup flag, though Proxmox VE never backs up a directory of the node. Defaults to false."""

    replicate: Flag = False
    """The mount's replicate flag; true keeps Proxmox VE from replicating the container at all. Defaults to false."""

    shared: Flag = False
    """Whether the directory is the same on every node, so that the container can migrate. Defaults to false."""

    keepattrs: Flag = False
    """Whether the mount takes on owner and mode of what it covers; pve-container 6.1.2 or newer. Defaults to false."""

    idmap: IdMap | None = None
    """Ids of the container on the disk: passthrough or ranges; pve-container 6.1.6 or newer. Defaults to +100000."""

    @property
    def host_uid(self) -> int:
        """Owner of the directory as the node sees it."""
        return id_on_disk(self.idmap, "uid", self.uid)

    @property
    def host_gid(self) -> int:
        """Group of the directory as the node sees it."""
        return id_on_disk(self.idmap, "gid", self.gid)

    @property
    def options(self) -> dict[str, str]:
        """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""
        options = {
            "backup": self.backup and "1",
            "idmap": self.idmap,
            "keepattrs": self.keepattrs and "1",
            "replicate": not self.replicate and "0",
            "ro": self.read_only and "1",
            "shared": self.shared and "1",
        }
        return {name: value for name, value in options.items() if value}

    @field_validator("idmap")
    @classmethod
    def _idmap_covers_the_owner(cls, idmap: str | None, info: ValidationInfo) -> str | None:
        problems = []
        for kind in ("uid", "gid"):
            try:
                id_on_disk(idmap, kind, info.data.get(kind, 0))
            except ValueError as error:
                problems += [str(error)] if kind in info.data else []
        if problems:
            raise ValueError("\n".join(problems))
        return idmap


class Device(Model):
    """Device of the node in a container, passed on by the agent's root stack."""

    synonyms: ClassVar[Mapping[str, str]] = {"host_path": "path", "read_only": "deny_write"}

    path: DevicePath
    """Path of the device, on the node and in the container."""

    uid: GuestId = 0
    """Owner of the device as the container sees it, 0 to 65535. Defaults to 0."""

    gid: GuestId = 0
    """Group of the device as the container sees it, 0 to 65535. Defaults to 0."""

    mode: DeviceMode = "0660"
    """Permissions of the device in octal digits, in quotes. Defaults to "0660"."""

    deny_write: Flag = False
    """Whether the container may only read from the device. Defaults to false."""

    def is_open_to(self, user: int) -> bool:
        """Tell whether a user of the container, who is in a group of the same number, may read and write it."""
        owner, group, others = (int(digit) & 6 == 6 for digit in self.mode[-3:])  # noqa: PLR2004 - rw
        return owner if user == self.uid else group if user == self.gid else others

    @property
    def options(self) -> dict[str, str]:
        """Options of the device as Proxmox VE spells them, without those that only repeat its defaults."""
        options = {
            "deny-write": self.deny_write and "1",
            "gid": self.gid and str(self.gid),
            "mode": self.mode != "0660" and self.mode,
            "uid": self.uid and str(self.uid),
        }
        return {name: value for name, value in options.items() if value}


_Item = TypeVar("_Item", BindMount, Device)


def _in_order(items: Mapping[str, _Item]) -> dict[str, _Item]:
    return dict(sorted(items.items(), key=lambda item: int(re.sub(r"\D", "", item[0]))))


def _mounts_apart(mounts: Mapping[str, BindMount]) -> Mapping[str, BindMount]:
    problems = []
    for (low, first), (high, second) in itertools.combinations(_in_order(mounts).items(), 2):
        if first.guest_path == second.guest_path:
            problems.append(f"{low} and {high} both have the guest_path {shown(first.guest_path)}; give each its own")
        elif lies_in(first.guest_path, second.guest_path):
            problems.append(
                f"{high} at {shown(second.guest_path)} would hide {low} at {shown(first.guest_path)}, since Proxmox VE "
                "mounts in the order of the keys; give the outer one the lower key"
            )
        if first.host_path == second.host_path:
            problems.append(f"{low} and {high} both have the host_path {shown(first.host_path)}; keep one of them")
        elif _nested(first, second):
            problems.append(_nested_problem((low, first), (high, second)))
    if problems:
        raise ValueError("\n".join(problems))
    return MappingProxyType(_in_order(mounts))


def _nested(one: BindMount, other: BindMount) -> bool:
    return lies_in(one.host_path, other.host_path) or lies_in(other.host_path, one.host_path)


def _nested_problem(*mounts: tuple[str, BindMount]) -> str:
    (outer, around), (inner, within) = sorted(mounts, key=lambda mount: len(mount[1].host_path))
    return (
        f"the host_path {shown(within.host_path)} of {inner} lies in {shown(around.host_path)} of {outer}, whose owner "
        "could put a link in its place; write directories that lie side by side"
    )


def _devices_apart(devices: Mapping[str, Device]) -> Mapping[str, Device]:
    first: dict[str, str] = {}
    problems = [
        f"{first[device.path]} and {key} both have the path {shown(device.path)}; keep one of them"
        for key, device in _in_order(devices).items()
        if first.setdefault(device.path, key) != key
    ]
    if problems:
        raise ValueError("\n".join(problems))
    return MappingProxyType(_in_order(devices))


def _mounts_as_dict(mounts: Mapping[str, BindMount]) -> dict[str, BindMount]:
    return dict(mounts)


def _devices_as_dict(devices: Mapping[str, Device]) -> dict[str, Device]:
    return dict(devices)


class _Backend(Model):
    def for_stack(self, stack: str) -> Self:
        """Return a copy in which ``{stack}`` is the stack's name."""
        return self.model_copy(
            update={key: value.replace("{stack}", stack) for key, value in self if isinstance(value, str)}
        )


def _per_stack(value: str) -> str:
    if "{stack}" not in value:
        raise ValueError(
            f"{shown(value)} is the same for every stack, and their states would overwrite each other; "
            "write {stack} where the stack's name belongs"
        )
    return value


def _state_url(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError(
            "the URL carries a user name or a password; write it without, and put them into the environment variables "
            "TF_HTTP_USERNAME and TF_HTTP_PASSWORD"
        )
    return _per_stack(plain_url(value))


_URL = r"https?://[\x21-\x7e]+"
_URL_WRITE = "one that starts with http:// or https://"
_StateUrl = Annotated[str, Text("an URL", _URL, _URL_WRITE, check=_state_url)]


class LocalBackend(_Backend):
    """Terraform's state in a file beside the app."""

    type: Literal["local"] = "local"
    """Kind of backend."""


class S3Backend(_Backend):
    """Terraform's state in S3 or a store that speaks its protocol.

    Credentials come from ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
    """

    carriers: ClassVar[Mapping[str, str]] = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "token": "AWS_SESSION_TOKEN",
    }

    type: Literal["s3"] = "s3"
    """Kind of backend."""

    bucket: Annotated[
        str,
        Text(
            "a bucket",
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            "3 to 63 lower-case letters, digits, dots and hyphens",
            63,
        ),
    ]
    """Name of the bucket."""

    key: Annotated[
        str,
        Text(
            "a key",
            r"[A-Za-z0-9{][A-Za-z0-9{}!_.*'()/-]*",
            "letters, digits, slashes and hyphens, such as homelab/{stack}.tfstate",
            1024,
            _per_stack,
        ),
    ] = "{stack}.tfstate"
    """Path of the state in the bucket, with {stack} for the stack's name. Defaults to {stack}.tfstate."""

    region: Annotated[str, Text("a region", r"[A-Za-z0-9-]+", "letters, digits and hyphens", 64)] | None = None
    """Region of the bucket. Defaults to AWS_REGION's."""

    endpoint: Annotated[str, Text("an URL", _URL, _URL_WRITE, check=plain_url)] | None = None
    """URL of a store other than Amazon's. Defaults to Amazon's."""

    use_path_style: Flag = False
    """Whether the bucket is named in the path, as most stores other than Amazon's need. Defaults to false."""


class HttpBackend(_Backend):
    """Terraform's state behind a REST service.

    Credentials come from ``TF_HTTP_USERNAME`` and ``TF_HTTP_PASSWORD``.
    """

    carriers: ClassVar[Mapping[str, str]] = {"username": "TF_HTTP_USERNAME", "password": "TF_HTTP_PASSWORD"}

    type: Literal["http"] = "http"
    """Kind of backend."""

    address: _StateUrl
    """URL of the state, with {stack} for the stack's name."""

    lock_address: _StateUrl | None = None
    """URL that locks the state, with {stack} for the stack's name. Defaults to no locking."""

    unlock_address: _StateUrl | None = None
    """URL that unlocks the state, with {stack} for the stack's name; goes with lock_address. Defaults to none."""

    @model_validator(mode="after")
    def _locks_and_unlocks(self) -> Self:
        if (self.lock_address is None) != (self.unlock_address is None):
            raise ValueError("lock_address and unlock_address go together; write both or none")
        return self


class PgBackend(_Backend):
    """Terraform's state in PostgreSQL, which ``PG_CONN_STR`` names."""

    carriers: ClassVar[Mapping[str, str]] = dict.fromkeys(("conn_str", "username", "password"), "PG_CONN_STR")

    type: Literal["pg"] = "pg"
    """Kind of backend."""

    schema_name: Annotated[
        str,
        Text(
            "a schema",
            r"[A-Za-z_{][A-Za-z0-9_{}-]*",
            "letters, digits, underscores and hyphens, such as terraform_{stack}",
            63,
            _per_stack,
        ),
    ] = "{stack}"
    """Schema that holds the state, with {stack} for the stack's name. Defaults to {stack}."""


Backend = Annotated[LocalBackend | S3Backend | HttpBackend | PgBackend, Field(discriminator="type")]
"""Where Terraform keeps its state."""


def _place(
    name: str, mounts: Mapping[str, BindMount], memory: Memory, cpu: Cpu, devices: Mapping[str, Device]
) -> Place:
    return Place(
        name=name,
        mounts={mount.guest_path: not mount.read_only for mount in mounts.values()},
        memory_mib=memory.dedicated_mib,
        cores=cpu.cores,
        devices={device.path: device.is_open_to(_HERMES_USER) and not device.deny_write for device in devices.values()},
    )


class Agent(Model):
    """One agent and its container.

    Left out, a key has the default that is named with it. ``hermes`` alone has a default VMID.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        "device_passthrough": "devices",
        "env": "secrets",
        "environment": "secrets",
        "mount_points": "mounts",
    }
    opens: ClassVar[frozenset[str]] = frozenset({"adopt"})
    not_here: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("fuse", "hook_script", "hook_script_file_id"),
            "this needs root@pam on the host, and the stack {agent}-root does not offer it; leave it out",
        ),
        "features": "nesting is always on, keyctl is a key of its own, and no other feature is offered; "
        "leave it out, and write keyctl",
        "idmap": "the container's ids are always 100000 more on the host; "
        "leave it out, and write idmap in the mount that needs another mapping",
        "nesting": "nesting is always on; leave it out",
        "unprivileged": "every container here is unprivileged, always; leave it out",
    }

    name: AgentName = Field(exclude=True)
    """Name of the agent and of its stack: the agent's key in homelab.yaml."""

    node: NodeName = "gihyeon"
    """Node that runs the container. Defaults to gihyeon."""

    vmid: Vmid
    """Number of the container in the cluster, 100 to 999999999. Required; hermes defaults to 118."""

    hostname: Hostname = Field(default_factory=lambda data: data["name"])
    """Hostname. Defaults to the agent's name."""

    description: Description = Field(default_factory=lambda data: f"{data['name']}, managed by Terraform")
    """Notes for the web interface, without blanks at their ends. Defaults to "<name>, managed by Terraform"."""

    tags: Annotated[tuple[Tag, ...], AfterValidator(distinct)] = ("ai", "agent", "terraform")
    """Tags in lower case. Defaults to ai, agent, terraform."""

    cpu: Cpu = Cpu()
    """CPU."""

    memory: Memory = Memory()
    """Memory."""

    disk: Disk = Disk()
    """Root disk."""

    network: Network = Network()
    """Network card."""

    dns: Dns = Dns()
    """Name resolution."""

    template: Template = Field(default={}, validate_default=True)
    """Container template."""

    os_type: Literal[
        "alpine",
        "archlinux",
        "centos",
        "debian",
        "devuan",
        "fedora",
        "gentoo",
        "nixos",
        "opensuse",
        "ubuntu",
        "unmanaged",
    ] = "debian"
    """Operating system in the template. Defaults to debian."""

    start_on_boot: Flag = True
    """Whether the node starts the container when it boots. Defaults to true."""

    started: Flag = True
    """Whether the container runs. Defaults to true."""

    protect: Flag = True
    """Whether Terraform refuses to destroy or replace the container. Defaults to true."""

    adopt: Flag = False
    """Whether to take over a container that already has this VMID. Defaults to false."""

    pool: PoolId | None = None
    """Resource pool. Defaults to none."""

    ssh_public_keys: Annotated[tuple[SshPublicKey, ...], AfterValidator(distinct)] = ()
    """Public keys that may log in as root in the container. Defaults to none."""

    startup: Startup | None = None
    """Place among the guests that the node starts. Defaults to none; one in which nothing is stated is none."""

    mounts: Annotated[
        Mapping[MountKey, BindMount],
        AfterValidator(_mounts_apart),
        PlainSerializer(_mounts_as_dict, return_type=dict[str, BindMount]),
    ] = Field(default={}, validate_default=True, json_schema_extra={"additionalProperties": False})
    """Directories of the node in the container, by mp0 to mp255. Defaults to none; hermes has /data and /fast."""

    devices: Annotated[
        Mapping[DeviceKey, Device],
        AfterValidator(_devices_apart),
        PlainSerializer(_devices_as_dict, return_type=dict[str, Device]),
    ] = Field(default={}, validate_default=True, json_schema_extra={"additionalProperties": False})
    """Devices of the node in the container, by dev0 to dev255. Defaults to none."""

    keyctl: Flag = True
    """Whether the container may use the kernel's keyring, as Docker in it wants. Defaults to true."""

    hermes: Hermes | None = None
    """Hermes Agent in the container. Defaults to none; hermes has it with all its defaults."""

    secrets: Annotated[tuple[EnvName, ...], BeforeValidator(listed), AfterValidator(distinct)] = Field(
        default_factory=lambda data: data["hermes"].secret_names(data["name"]) if data["hermes"] else ()
    )
    """Names of the variables that the agent gets, besides those that Hermes needs. Defaults to those alone."""

    @model_validator(mode="before")
    @classmethod
    def _hermes_has_defaults(cls, values: object) -> object:
        if isinstance(values, Mapping) and values.get("name") == "hermes":
            return {**_HERMES, **values}
        return values

    @property
    def stopping(self) -> Stopping:
        """How long each layer may take to stop."""
        return self.hermes.stopping if self.hermes else Stopping()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a second look, a sentence each."""
        sentences = [
            f"{dotted(('agents', self.name, *key))}: {sentence}" + ("" if sentence.endswith("?") else ".")
            for key, sentence in self._second_looks()
        ]
        return tuple(few(sentences, f"agents.{self.name}: {{}} more {{are}} worth a second look, after these."))

    def _second_looks(self) -> Iterator[tuple[Key, str]]:
        if self.hermes is None:
            return
        if self.memory.dedicated_mib < _HERMES_MIB:
            yield ("memory", "dedicated_mib"), f"Hermes needs {_HERMES_MIB} MiB at least; write more"
        if self.disk.size_gib < _HERMES_GIB:
            yield ("disk", "size_gib"), f"the image of Hermes alone takes more than 5 GiB; write {_HERMES_GIB} or more"
        if not self.keyctl:
            yield ("keyctl",), "Docker in an unprivileged container wants it; write true"
        for key, sentence in self.hermes.warnings(self.place):
            yield ("hermes", *key), sentence

    @property
    def neighbour(self) -> Neighbour:
        """What another agent's section sees of it."""
        mounts = {mount.guest_path: (mount.host_path, mount.shared) for mount in self.mounts.values()}
        return Neighbour(self.name, self.node, mounts)

    @property
    def place(self) -> Place:
        """What a section's software finds here."""
        return _place(self.name, self.mounts, self.memory, self.cpu, self.devices)

    @field_validator("hermes")
    @classmethod
    def _hermes_fits_its_container(cls, hermes: Hermes | None, info: ValidationInfo) -> Hermes | None:
        known = info.data
        if hermes is None or not set(needed := ("name", "mounts", "memory", "cpu", "devices")) <= known.keys():
            return hermes
        return hermes.fitted(_place(*(known[name] for name in needed)))

    @model_validator(mode="after")
    def _the_node_waits_for_the_agent(self) -> Self:
        down, needed = self.startup.down_delay_seconds if self.startup else None, self.stopping.container
        if self.hermes and down is not None and down < needed:
            service = self.stopping.service
            sentence = (
                f"{down} seconds are less than the {needed} that the agent may take to stop ({service} for its "
                f"containers, {needed - service} for Docker and the system around them), and a node that shuts down "
                f"would kill it; write {needed} or more, or leave it out"
            )
            raise ProblemsError([problem(("startup", "down_delay_seconds"), sentence, down)])
        return self

    @field_validator("startup")
    @classmethod
    def _startup_states_something(cls, startup: Startup | None) -> Startup | None:
        return None if startup == Startup() else startup


def _named(agents: object) -> object:
    if agents is None or agents == {}:
        raise ValueError("there is no agent; write at least one, or leave agents out for hermes")
    if not isinstance(agents, Mapping):
        return agents
    for name, agent in agents.items():
        if isinstance(agent, Mapping) and "name" in agent:
            raise ValueError(f"{name} has a key name, and its own key is its name; leave name out")
    return {name: {**agent, "name": name} if isinstance(agent, Mapping) else agent for name, agent in agents.items()}


_UNIQUE: Mapping[str, Callable[[Agent], str | int | None]] = MappingProxyType(
    {
        "VMID": lambda agent: agent.vmid,
        "hostname": lambda agent: agent.hostname.lower(),
        "address": lambda agent: None if agent.network.is_dhcp else agent.network.address.partition("/")[0],
        "MAC address": lambda agent: agent.network.mac_address,
    }
)


def _met_on_a_node(agents: Mapping[str, Agent]) -> Iterator[tuple[Agent, str, Agent, str]]:
    """Yield the mounts of two agents whose directories are the same or lie one in the other, in the agents' order."""
    places = [(i, agent, key) for i, agent in enumerate(agents.values()) for key in agent.mounts]
    by_path: dict[str, list[int]] = {}
    for n, (_, agent, key) in enumerate(places):
        by_path.setdefault(agent.mounts[key].host_path, []).append(n)
    pairs = set()
    for n, (i, agent, key) in enumerate(places):
        # Each looks up its parents, since comparing all with all takes minutes for some thousands.
        path = PurePosixPath(agent.mounts[key].host_path)
        for other in (it for above in (path, *path.parents) for it in by_path.get(str(above), ())):
            if places[other][0] != i:
                pairs.add((min(n, other), max(n, other)))
    for n, other in sorted(pairs, key=lambda pair: (places[pair[0]][0], places[pair[1]][0], pair)):
        yield (*places[n][1:], *places[other][1:])


def _directory_problems(agents: Mapping[str, Agent]) -> Iterator[str]:
    """Say which directories two agents cannot both have."""
    for one, key, other, other_key in _met_on_a_node(agents):
        mount, its = one.mounts[key], other.mounts[other_key]
        # Another node has directories of its own, unless both are said to be everywhere.
        if one.node != other.node and not (mount.shared and its.shared):
            continue
        name, its_name = f"{one.name}.mounts.{key}", f"{other.name}.mounts.{other_key}"
        owner, its_owner = (f"{m.host_uid}:{m.host_gid} with mode {m.mode}" for m in (mount, its))
        if mount.host_path != its.host_path:
            yield _nested_problem((name, mount), (its_name, its))
        elif owner != its_owner:
            yield (
                f"{name} and {its_name} both have the host_path {shown(mount.host_path)}, which on the node would "
                f"belong to {owner} and to {its_owner}; "
                "give both the same owner and mode, or each agent its own directory"
            )


def _apart(agents: Mapping[str, Agent]) -> Mapping[str, Agent]:
    problems = [
        f"{name} is the key of the agent {agent.name}; use the agent's name as its key"
        for name, agent in agents.items()
        if name != agent.name
    ]
    for what, value_of in _UNIQUE.items():
        first: dict[str | int, str] = {}
        for name, agent in agents.items():
            value = value_of(agent)
            if value is not None and first.setdefault(value, name) != name:
                problems.append(f"{first[value]} and {name} both have the {what} {value}; give each agent its own")
    problems += _directory_problems(agents)
    holders = [(agent.hermes, agent.hermes.holders(agent.neighbour)) for agent in agents.values() if agent.hermes]
    for (hermes, mine), (_, theirs) in itertools.combinations(holders, 2):
        problems += hermes.neighbour_problems(mine, theirs)
    if problems:
        raise ValueError("\n".join(problems))
    return MappingProxyType(dict(agents))


def _as_dict(agents: Mapping[str, Agent]) -> dict[str, Agent]:
    return dict(agents)


class Homelab(Model):
    """All settings."""

    backend: Backend = LocalBackend()
    """Where Terraform keeps its state. Defaults to a file beside the app."""

    agents: Annotated[
        Mapping[str, Agent],
        BeforeValidator(_named),
        at_most(_MOST_AGENTS, "agents"),
        AfterValidator(_apart),
        PlainSerializer(_as_dict, return_type=dict[str, Agent]),
    ] = Field(default={"hermes": {}}, validate_default=True)
    """Agents by name. Defaults to hermes."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a second look, a sentence each."""
        return tuple(sentence for agent in self.agents.values() for sentence in agent.warnings)


# Reading --------------------------------------------------------------------------------------------------------------


def _parse(label: str, raw: bytes, *, as_written: bool) -> object:
    try:
        return parse_yaml(raw, as_written=as_written)
    except ValueError as error:
        raise SettingsError([f"{label}: {error}."]) from None


def _read_file(directory: Path, *, as_written: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the file's name for messages, and what it holds; for messages, numbers know how they were written."""
    named = os.environ.get(FILE_VARIABLE)
    label = named or _FILE
    path = directory / label
    try:
        raw = read_file(path)
    except FileNotFoundError:
        if named:
            raise SettingsError(
                [f"{FILE_VARIABLE}: {shown(named)} does not exist; name a file that does, or unset the variable."]
            ) from None
        if path.is_symlink():
            raise SettingsError([f"{label}: the link points to nothing; correct or remove it."]) from None
        return label, {}
    except IsADirectoryError:
        raise SettingsError([f"{label}: this is a directory; make it a file."]) from None
    except OSError as error:
        raise SettingsError([f"{label}: the file cannot be read ({error.strerror}); check its permissions."]) from None
    except ValueError as error:
        raise SettingsError([f"{label}: the file {error}."]) from None
    data = _parse(label, raw, as_written=as_written)
    if data is None:
        return label, {}
    if not isinstance(data, dict):
        raise SettingsError([f"{label}: the file holds {shown(data)}, not a mapping; write keys such as agents."])
    return label, data


# Messages -------------------------------------------------------------------------------------------------------------

_BACKENDS: Mapping[str, type[_Backend]] = MappingProxyType(
    {"local": LocalBackend, "s3": S3Backend, "http": HttpBackend, "pg": PgBackend}
)

_ABSENT = object()

_REQUIRED = {
    "vmid": "the container's VMID, a whole number from 100 to 999999999",
    "bucket": "the name of the bucket",
    "address": "the URL of the state, with {stack} for the stack's name",
    "host_path": "the directory on the node, such as /mnt/pve/hdd/hermes",
    "guest_path": "where the directory shows in the container, such as /data",
    "path": "the path of the device on the node, such as /dev/dri/renderD128",
    "image": "the image with its tag, such as redis:8.2",
    "pulse_cookie": "where PulseAudio's cookie is in the container, such as /mnt/pulse/cookie",
}


def _origin(label: str, file: object, key: Key, value: object) -> str:
    """Name what states the key: the file, the variable at or above it, or the file and the variables below it."""
    in_file = file
    for part in key:
        try:
            in_file = in_file[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            in_file = _ABSENT
            break
    if in_file is value or in_file == value:
        return label
    names = variables()
    if above := [name for at, name in names.items() if at == key[: len(at)]]:
        return max(above, key=len)
    below = [name for at, name in names.items() if len(at) > len(key) and at[: len(key)] == key]
    return " with ".join(filter(None, ["" if below and in_file is _ABSENT else label, ", ".join(sorted(below))]))


def _unknown(key: Key, backend: str, value: object) -> str:
    """Say what to do with a key that is no setting."""
    *parents, name = map(str, key)
    model: type[Model] = Homelab
    agent = ""
    match parents:
        case ["backend"]:
            model = _BACKENDS[backend]
        case ["agents", agent, *inner]:
            model = _model_below(Agent, inner)
    if carrier := model.carriers.get(name):
        return f"secrets do not go into {_FILE}; put this one into the environment or .env, as {carrier}"
    if reason := model.not_here.get(name):
        return reason.format(agent=agent)
    if is_credential_name(name):
        return f"secrets do not go into {_FILE}; put {name} into the environment or .env"
    return f"there is no such setting; {_suggestion(model, name, value)}"


def _model_in(annotation: object) -> type[Model] | None:
    if isinstance(annotation, Section):
        return annotation.model
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _is_mapping(annotation: object) -> bool:
    return isinstance(origin := get_origin(annotation), type) and issubclass(origin, Mapping)


def _model_below(model: type[Model], keys: Sequence[str]) -> type[Model]:
    """Return the model of what stands at the keys below a model."""
    rest = iter(keys)
    for key in rest:
        annotation = model.model_fields[key].annotation
        if _is_mapping(annotation):
            next(rest)  # The item's own key.
        model = _model_in(annotation) or model
    return model


_FIRST_ITEM = {"mounts": "mp0", "devices": "dev0"}


def _parts(model: type[Model]) -> dict[str, type[Model]]:
    """Return the models right below a model, by the key of each."""
    return {
        f"{name}.{_FIRST_ITEM.get(name, '<name>')}" if _is_mapping(field.annotation) else name: part
        for name, field in model.model_fields.items()
        if (part := _model_in(field.annotation))
    }


def _suggestion(model: type[Model], name: str, value: object) -> str:
    if synonym := model.synonyms.get(name):
        return f"did you mean {synonym}?"
    if model is Agent and (slot := re.fullmatch(r"(?:mp|(dev))[0-9]+", name)):
        return f"did you mean {'devices' if slot[1] else 'mounts'}.{name}?"
    inner = [f"{path}.{field}" for path, part in _parts(model).items() for field in offered(part, value)]
    if nested := [path for path in inner if path.endswith(f".{name}")]:
        return f"did you mean {' or '.join(nested)}?"
    if close := meant(model, name, value):
        return f"did you mean {close}?"
    keys = [key for key, field in model.model_fields.items() if not field.exclude and key not in model.opens]
    return f"write one of {', '.join(keys)}"


_PHRASES: Mapping[str, str] = {
    "missing": "this is missing; write {required}",
    "bool_type": "{value} is neither true nor false; write true or false, without quotes",
    "tuple_type": "{value} is not a list; write one such as [first, second]",
    "literal_error": "{value} is not known here; write {expected}{otherwise}",
    "union_tag_invalid": "{tag} is not a kind of backend; write local, s3, http or pg",
    "union_tag_not_found": "this is missing; write local, s3, http or pg",
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type"),
        "{value} is not a mapping; write keys and values, or leave {name} out",
    ),
}


def _problem(error: ErrorDetails, key: Key, backend: str) -> str:
    """Say in plain words what pydantic found."""
    context = error.get("ctx", {})
    name = str(key[-1]) if key else "it"
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] == "extra_forbidden":
        return _unknown(key, backend, error["input"])
    expected = str(context.get("expected")).replace("'", "")
    phrase = _PHRASES.get(error["type"], "{value} does not fit here; compare it with homelab.example.yaml")
    return phrase.format(
        value=shown(error["input"]),
        name=name,
        required=_REQUIRED.get(name, "a value"),
        expected=expected,
        # What has one word has it beside a default that is none.
        otherwise="" if " or " in expected else f", or leave {name} out",
        tag=shown(context.get("tag")),
    )


def _where(label: str, file: object, key: Key, value: object) -> str:
    for i, part in enumerate(key):
        if isinstance(part, InFile):
            return ": ".join(filter(None, (part, dotted(key[i + 1 :]))))
    return f"{_origin(label, file, key, value)}: {dotted(key)}"


def _sentences(error: ErrorDetails, label: str, file: object) -> list[str]:
    """Return a sentence for each problem that pydantic's error stands for."""
    if error["type"] == "default_factory_not_called":
        return []  # It follows from another error.
    backend = ""
    match error["loc"]:
        case ("backend",) if error["type"].startswith("union_tag"):
            key: Key = ("backend", "type")
        case ("backend", kind, *rest):
            backend, key = str(kind), ("backend", *rest)
        case ("agents", agent, "name"):
            key = ("agents", agent)
        case (*item, "[key]"):
            key = tuple(item)
        case loc:
            key = loc
    where = _where(label, file, key, error["input"])
    problems = _problem(error, key, backend)
    if any(name in where for name in variables().values()):
        problems = "\n".join(in_json(unquoted(problem)) for problem in problems.splitlines())
    return [f"{where}: {problem}" + ("" if problem.endswith("?") else ".") for problem in problems.splitlines()]


def _with_default_mounts(file: dict[str, Any]) -> dict[str, Any]:
    """Return the file, with the default mounts of hermes in it where variables change a key of them."""
    keys = variables()
    agents = file.get("agents", {"hermes": {}})
    hermes = agents.get("hermes") if isinstance(agents, dict) else None
    if not isinstance(hermes, dict) or "mounts" in hermes or _HERMES_MOUNTS in keys:
        return file
    if not any(at[: len(_HERMES_MOUNTS)] == _HERMES_MOUNTS for at in keys):
        return file
    return file | {"agents": agents | {"hermes": hermes | {"mounts": _HERMES["mounts"]}}}


def _merged(label: str, file: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the file with the variables over it, and a sentence for each agent that only the variables name."""
    file = _with_default_mounts(file)
    tree = set_by_variables()
    if fault := tree_fault(tree):
        key, sentence = fault
        raise SettingsError([f"{_origin(label, file, key, _ABSENT)}: {dotted(key)}: {sentence}."])
    # What is no mapping in the file must be refused, not hidden by a variable for one of its keys.
    over = {key: value for key, value in tree.items() if isinstance(file.get(key, {}), dict)}
    values = merged(file, over)
    agents, stated = values.get("agents"), file.get("agents", {"hermes": {}})
    if not isinstance(agents, dict) or not isinstance(stated, dict):
        return values, []
    # A variable changes an agent that is there: a slip in its name must not make another one.
    messages = []
    for agent in (name for name in agents if name not in stated):
        place = ("agents", agent)
        there = f"the agents there are {', '.join(stated)}" if stated else "it has none"
        messages.append(
            f"{_origin(label, file, place, agents[agent])}: {dotted(place)}: {label} has no such agent; {there}."
        )
    return values | {"agents": {name: agents.get(name, stated[name]) for name in stated}}, messages


def _validated(values: dict[str, Any], file: Path) -> Homelab:
    return Homelab.model_validate(values, context={"directory": file.parent})


def _in_their_words(values: dict[str, Any], file: Path, error: ValidationError) -> list[ErrorDetails]:
    """Return the errors of what was read once more, in which each number is spelled as the file has it."""
    try:
        _validated(values, file)
    except ValidationError as again:
        error = again
    return error.errors(include_url=False)


def load_settings(directory: Path = Path()) -> Homelab:
    """Read the settings.

    Args:
        directory: Where ``homelab.yaml`` is; a relative ``HOMELAB_FILE`` starts there too. Defaults to the current one.

    Returns:
        The settings. Without a file and variables they are the defaults: one agent, ``hermes``.

    Raises:
        SettingsError: They cannot be used. All that is wrong is said at once.
    """
    label, file = _read_file(directory)
    values, messages = _merged(label, file)
    try:
        homelab = _validated(values, directory / label)
    except ValidationError as error:
        label, file = _read_file(directory, as_written=True)
        errors = flattened(_in_their_words(_merged(label, file)[0], directory / label, error))
        while errors and len(messages) <= MOST_SENTENCES:
            messages += _sentences(errors.pop(0), label, file)
        # What is left is not worked out: each sentence costs a search for what may be meant.
        raise SettingsError(messages, left=len(errors)) from None
    if messages:
        raise SettingsError(messages)
    return homelab


# JSON Schema ----------------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``homelab.yaml``, for editors."""
    schema = Homelab.model_json_schema(schema_generator=Described)
    agent = schema["$defs"]["Agent"]
    del agent["properties"]["name"], agent["required"]
    reference = {"$ref": "#/$defs/Agent"}
    schema["properties"]["agents"] |= {
        "minProperties": 1,
        "propertyNames": {**TypeAdapter(AgentName).json_schema(), "not": {"pattern": "-root$"}},
        "properties": {"hermes": reference},
        "additionalProperties": {"allOf": [reference, {"required": ["vmid"]}]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": _FILE}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
