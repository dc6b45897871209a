"""What a network calls things: addresses, names, URLs."""

import ipaddress
from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pve_agents.types.marks import Number, Text
from pve_agents.types.words import is_credential_name, shown

__all__ = [
    "LABEL",
    "Bridge",
    "DnsServer",
    "Domain",
    "Gateway",
    "GuestAddress",
    "Hostname",
    "MacAddress",
    "Mtu",
    "VlanId",
    "plain_url",
]


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


def _mac_address(value: str) -> str:
    first = int(value[:2], 16)
    if first & 1:
        raise ValueError(f"{shown(value)} is a multicast address; write a unicast one, whose first byte is even")
    if not int(value.replace(":", ""), 16):
        raise ValueError(f"{shown(value)} is no address of a network card; write one such as BC:24:11:12:34:56")
    return value.upper()


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


LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = rf"{LABEL}(?:\.{LABEL})*"


VlanId = Annotated[int, Number("a VLAN tag", 1, 4094)]
"""IEEE 802.1Q tag."""

Mtu = Annotated[int, Number("an MTU", 64, 65_535)]
"""Largest packet in bytes."""


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


Hostname = Annotated[
    str, Text("a hostname", _NAME, "letters, digits and hyphens, such as agent1 or agent1.example.net", 253)
]
"""Hostname of a container: a DNS label or name."""

Domain = Annotated[str, Text("a domain", _NAME, "a DNS name such as home.arpa", 253)]
"""DNS search domain."""


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
