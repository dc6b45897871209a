"""A container: its size, its network, its template and its place among the guests of its node."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pve_agents.model import Flag, Model, distinct
from pve_agents.types import (
    Bridge,
    Checksum,
    CpuCores,
    CpuLimit,
    DatastoreId,
    DiskGibibytes,
    DnsServer,
    Domain,
    Gateway,
    GuestAddress,
    MacAddress,
    MemoryMebibytes,
    Mtu,
    Seconds,
    StartupOrder,
    SwapMebibytes,
    TemplateFileId,
    TemplateUrl,
    VlanId,
    shown,
)

__all__ = ["Cpu", "Disk", "Dns", "Memory", "Network", "Startup", "Template"]

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

    @property
    def volume(self) -> str:
        """What Proxmox VE calls the file, as <datastore>:vztmpl/<file>."""
        return self.file_id or f"{self.datastore}:vztmpl/{self.file_name}"

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
