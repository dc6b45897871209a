"""What homelab.yaml and the environment may say, and the exact words for what they may not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pve_agents.agents.kind import kinds
from pve_agents.settings import (
    Agent,
    BindMount,
    Cpu,
    Device,
    Homelab,
    LocalBackend,
    Network,
    PgBackend,
    S3Backend,
    SettingsError,
    Startup,
    Storage,
    StoredVolume,
    Template,
    load_settings,
)
from pve_agents.settings.reference import reference
from pve_agents.settings.schema import json_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "homelab.example.yaml"
SCHEMA = ROOT / "schemas" / "homelab.schema.json"
DEBIAN = "debian-12-standard_12.12-1_amd64.tar.zst"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"

Load = Callable[[str], Homelab]
Refuse = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("HOMELAB_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def from_text(text: str) -> Homelab:
        (tmp_path / "homelab.yaml").write_text(text, encoding="utf-8")
        return load_settings(tmp_path)

    return from_text


@pytest.fixture
def refuse(load: Load) -> Refuse:
    def from_text(text: str) -> list[str]:
        with pytest.raises(SettingsError) as refusal:
            load(text)
        return refusal.value.messages

    return from_text


# What is refused, by rule: what stands below agents.hermes or in the file, and what is said after the place.
IN_AN_AGENT = {
    "vmid": {
        "too-small": ("vmid: 99", "vmid: 99 is not a VMID; write a whole number from 100 to 999999999."),
        "too-large": (
            "vmid: 1000000000",
            "vmid: 1000000000 is not a VMID; write a whole number from 100 to 999999999.",
        ),
        "quoted": ('vmid: "118"', 'vmid: "118" is text, not a number; write it without quotes.'),
        "word": ("vmid: hermes", 'vmid: "hermes" is not a VMID; write a whole number from 100 to 999999999.'),
        "fraction": ("vmid: 118.5", "vmid: 118.5 is not a VMID; write a whole number from 100 to 999999999."),
        "true": ("vmid: true", "vmid: true is not a VMID; write a whole number from 100 to 999999999."),
        "null": ("vmid:", "vmid: null is not a VMID; write a whole number from 100 to 999999999."),
        "list": ("vmid: [118]", "vmid: a list is not a VMID; write a whole number from 100 to 999999999."),
        "leading-zero": ("vmid: 0118", 'vmid: "0118" is not a VMID; write a whole number from 100 to 999999999.'),
        "huge": (
            "vmid: 99999999999999999999",
            'vmid: "99999999999999999999" is not a VMID; write a whole number from 100 to 999999999.',
        ),
    },
    "names": {
        "node-dots": (
            "node: pve1.lan",
            'node: "pve1.lan" is not a node name; write letters, digits and hyphens, such as pve1.',
        ),
        "node-number": ("node: 1", "node: 1 is not text; write a node name in quotes."),
        "hostname-underscore": (
            "hostname: my_agent",
            'hostname: "my_agent" is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net.',
        ),
        "hostname-hyphen-first": (
            "hostname: -x",
            'hostname: "-x" is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net.',
        ),
        "hostname-number": ("hostname: 118", "hostname: 118 is not text; write a hostname in quotes."),
        "hostname-long": (
            "hostname: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            'hostname: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net.',
        ),
        "hostname-null": (
            "hostname: null",
            "hostname: null is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net.",
        ),
        "datastore": (
            "disk: {datastore: 1disk!}",
            'disk.datastore: "1disk!" is not a datastore; write letters, digits, dots, hyphens and underscores, such as local-lvm.',
        ),
        "pool": (
            "pool: a/b/c/d",
            'pool: "a/b/c/d" is not a pool; write letters, digits, dots, hyphens and underscores, in at most three levels with / between.',
        ),
        "bridge-long": (
            "network: {bridge: abcdefghijklmnop}",
            'network.bridge: "abcdefghijklmnop" is not a bridge; write at most 15 letters, digits, dots, hyphens and underscores, such as vmbr0.',
        ),
        "bridge-digit": (
            "network: {bridge: 0br}",
            'network.bridge: "0br" is not a bridge; write at most 15 letters, digits, dots, hyphens and underscores, such as vmbr0.',
        ),
        "domain": (
            "dns: {domain: home..arpa}",
            'dns.domain: "home..arpa" is not a domain; write a DNS name such as home.arpa.',
        ),
    },
    "description": {
        "bell": (
            'description: "a\\ab"',
            'description: "a\\u0007b" is not a description; write text without control characters other than line breaks, at most 8192 bytes long.',
        ),
        "long": (
            "description: äääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääääää",
            "description: the text is 8194 bytes long; write at most 8192 bytes.",
        ),
        "number": ("description: 7", "description: 7 is not text; write a description in quotes."),
        "tab": (
            'description: "a\\tb"',
            'description: "a\\tb" is not a description; write text without control characters other than line breaks, at most 8192 bytes long.',
        ),
    },
    "tags": {
        "upper": ("tags: [AI]", 'tags.0: "AI" has upper-case letters, which Proxmox VE would change; write "ai".'),
        "space": (
            "tags: [two words]",
            'tags.0: "two words" is not a tag; write lower-case letters, digits and _ + . -, with a letter, digit or _ first.',
        ),
        "twice": ("tags: [ai, ai]", 'tags: "ai" stands twice in the list; keep one.'),
        "reserved": (
            "tags: [pve-agents-hermes]",
            'tags.0: "pve-agents-hermes" starts with pve-agents-, which marks the containers of this project; write another tag.',
        ),
        "text": ("tags: ai", 'tags: "ai" is not a list; write one such as [first, second].'),
        "number": ("tags: [1]", "tags.0: 1 is not text; write a tag in quotes."),
        "semicolon": (
            "tags: ['a;b']",
            'tags.0: "a;b" is not a tag; write lower-case letters, digits and _ + . -, with a letter, digit or _ first.',
        ),
        "null": (
            "tags: [null]",
            "tags.0: null is not a tag; write lower-case letters, digits and _ + . -, with a letter, digit or _ first.",
        ),
    },
    "resources": {
        "no-cores": ("cpu: {cores: 0}", "cpu.cores: 0 is not a number of cores; write a whole number from 1 to 128."),
        "cores": ("cpu: {cores: 129}", "cpu.cores: 129 is not a number of cores; write a whole number from 1 to 128."),
        "limit": ("cpu: {limit: -1}", "cpu.limit: -1 is not a CPU limit; write a number from 0 to 8192."),
        "limit-high": ("cpu: {limit: 8192.5}", "cpu.limit: 8192.5 is not a CPU limit; write a number from 0 to 8192."),
        "limit-quoted": ("cpu: {limit: '1.5'}", 'cpu.limit: "1.5" is text, not a number; write it without quotes.'),
        "memory": (
            "memory: {dedicated_mib: 15}",
            "memory.dedicated_mib: 15 is not an amount of memory in MiB; write a whole number from 16 to 268435456.",
        ),
        "memory-unit": (
            "memory: {dedicated_mib: 4G}",
            'memory.dedicated_mib: "4G" is not an amount of memory in MiB; write a whole number from 16 to 268435456.',
        ),
        "swap": (
            "memory: {swap_mib: -1}",
            "memory.swap_mib: -1 is not an amount of swap in MiB; write a whole number from 0 to 268435456.",
        ),
        "disk": (
            "disk: {size_gib: 0}",
            "disk.size_gib: 0 is not a disk size in GiB; write a whole number from 1 to 1048576.",
        ),
        "disk-unit": (
            "disk: {size_gib: 24G}",
            'disk.size_gib: "24G" is not a disk size in GiB; write a whole number from 1 to 1048576.',
        ),
        "cpu-number": ("cpu: 2", "cpu: 2 is not a mapping; write keys and values, or leave cpu out."),
        "memory-null": ("memory: null", "memory: null is not a mapping; write keys and values, or leave memory out."),
    },
    "address": {
        "no-prefix": (
            "network: {address: 192.168.1.20}",
            'network.address: "192.168.1.20" has no prefix; write it like 192.168.1.20/24.',
        ),
        "network": (
            "network: {address: 192.168.1.0/24}",
            'network.address: "192.168.1.0/24" is the network itself; write the address of a host in it.',
        ),
        "broadcast": (
            "network: {address: 192.168.1.255/24}",
            'network.address: "192.168.1.255/24" is the broadcast address of its network; write the address of a host in it.',
        ),
        "octet": (
            "network: {address: 192.168.1.256/24}",
            'network.address: "192.168.1.256/24" is not an address; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "prefix": (
            "network: {address: 192.168.1.2/33}",
            'network.address: "192.168.1.2/33" is not an address; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "wide": (
            "network: {address: 10.1.1.1/7}",
            'network.address: "10.1.1.1/7" has a prefix that Proxmox VE refuses; write one from 8 to 32.',
        ),
        "word": (
            "network: {address: static}",
            'network.address: "static" is not an address; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "ipv6": (
            "network: {address: 'fd00::1/64'}",
            'network.address: "fd00::1/64" is not an address; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "loopback": (
            "network: {address: 127.0.0.2/8}",
            'network.address: "127.0.0.2/8" is not the address of a host in a network; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "multicast": (
            "network: {address: 224.0.0.5/24}",
            'network.address: "224.0.0.5/24" is not the address of a host in a network; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.',
        ),
        "null": (
            "network: {address: null}",
            "network.address: null is not an address; write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24.",
        ),
    },
    "gateway": {
        "dhcp": (
            "network: {gateway: 192.168.1.1}",
            'network.gateway: "192.168.1.1" needs a static address, and DHCP brings its own gateway; write an address with its prefix, or leave gateway out.',
        ),
        "outside": (
            "network: {address: 192.168.1.20/24, gateway: 192.168.2.1}",
            'network.gateway: "192.168.2.1" is not in the network 192.168.1.0/24; write an address in it.',
        ),
        "own": (
            "network: {address: 192.168.1.20/24, gateway: 192.168.1.20}",
            "network.gateway: \"192.168.1.20\" is the container's own address; write the router's.",
        ),
        "broadcast": (
            "network: {address: 192.168.1.20/24, gateway: 192.168.1.255}",
            'network.gateway: "192.168.1.255" is no host of the network 192.168.1.0/24; write the router\'s address.',
        ),
        "not-ip": (
            "network: {address: 192.168.1.20/24, gateway: router}",
            'network.gateway: "router" is not a gateway; write an IPv4 address such as 192.168.1.1.',
        ),
        "octet": (
            "network: {address: 192.168.1.20/24, gateway: 192.168.1.300}",
            'network.gateway: "192.168.1.300" is not a gateway; write an IPv4 address such as 192.168.1.1.',
        ),
    },
    "card": {
        "mac-multicast": (
            "network: {mac_address: '01:00:5e:00:00:01'}",
            'network.mac_address: "01:00:5e:00:00:01" is a multicast address; write a unicast one, whose first byte is even.',
        ),
        "mac-zero": (
            "network: {mac_address: '00:00:00:00:00:00'}",
            'network.mac_address: "00:00:00:00:00:00" is no address of a network card; write one such as BC:24:11:12:34:56.',
        ),
        "mac-short": (
            "network: {mac_address: 'BC:24:11'}",
            'network.mac_address: "BC:24:11" is not a MAC address; write six pairs of hexadecimal digits with colons between, such as BC:24:11:12:34:56.',
        ),
        "mac-hyphens": (
            "network: {mac_address: BC-24-11-12-34-56}",
            'network.mac_address: "BC-24-11-12-34-56" is not a MAC address; write six pairs of hexadecimal digits with colons between, such as BC:24:11:12:34:56.',
        ),
        "mac-number": (
            "network: {mac_address: 123456}",
            "network.mac_address: 123456 is not text; write a MAC address in quotes.",
        ),
        "vlan-zero": ("network: {vlan: 0}", "network.vlan: 0 is not a VLAN tag; write a whole number from 1 to 4094."),
        "vlan": ("network: {vlan: 4095}", "network.vlan: 4095 is not a VLAN tag; write a whole number from 1 to 4094."),
        "mtu": ("network: {mtu: 63}", "network.mtu: 63 is not an MTU; write a whole number from 64 to 65535."),
        "mtu-high": (
            "network: {mtu: 65536}",
            "network.mtu: 65536 is not an MTU; write a whole number from 64 to 65535.",
        ),
        "firewall": (
            "network: {firewall: on}",
            'network.firewall: "on" is neither true nor false; write true or false, without quotes.',
        ),
    },
    "dns": {
        "name": (
            "dns: {servers: [dns.example]}",
            'dns.servers.0: "dns.example" is not a DNS server; write an IP address such as 1.1.1.1.',
        ),
        "ip": (
            "dns: {servers: [1.1.1.999]}",
            'dns.servers.0: "1.1.1.999" is not a DNS server; write an IP address such as 1.1.1.1.',
        ),
        "text": ("dns: {servers: 1.1.1.1}", 'dns.servers: "1.1.1.1" is not a list; write one such as [first, second].'),
        "twice": ("dns: {servers: [1.1.1.1, 1.1.1.1]}", 'dns.servers: "1.1.1.1" stands twice in the list; keep one.'),
    },
    "template": {
        "both": (
            "template: {url: 'http://h/t.tar.zst', checksum: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, file_id: 'local:vztmpl/t.tar.zst'}",
            "template: url and file_id are both given; keep one of them.",
        ),
        "no-checksum": (
            "template: {url: 'http://h/t.tar.zst'}",
            "template: an url needs a checksum, with which Proxmox VE accepts an identical file that is already there and refuses a tampered one; write checksum and checksum_algorithm.",
        ),
        "checksum-alone": (
            "template: {checksum: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
            "template: a checksum belongs to an url, and none is given; write url, or leave checksum out.",
        ),
        "checksum-short": (
            "template: {url: 'http://h/t.tar.zst', checksum: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
            "template: the checksum has 64 digits, and sha512 has 128; write the checksum and the algorithm that belong together.",
        ),
        "checksum-hex": (
            "template: {url: 'http://h/t.tar.zst', checksum: xyz}",
            'template.checksum: "xyz" is not a checksum; write the 32 to 128 hexadecimal digits that its publisher states.',
        ),
        "algorithm": (
            "template: {checksum_algorithm: crc32}",
            'template.checksum_algorithm: "crc32" is not known here; write md5, sha1, sha224, sha256, sha384 or sha512.',
        ),
        "ftp": (
            "template: {url: 'ftp://h/t.tar.zst'}",
            'template.url: "ftp://h/t.tar.zst" is not an URL; write one that starts with http:// or https://.',
        ),
        "userinfo": (
            "template: {url: 'https://me:hunter2@h/t.tar.zst'}",
            "template.url: the URL carries a user name or a password; write it without, and put credentials into the environment.",
        ),
        "query-token": (
            "template: {url: 'https://h/t.tar.zst?token=hunter2', checksum: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
            "template.url: the URL carries a credential in its query; write an URL that needs none.",
        ),
        "not-a-template": (
            "template: {url: 'https://h/t.iso'}",
            'template.url: "https://h/t.iso" does not end in the name of a template; write an URL that ends in a plain file name with .tar.gz, .tar.xz, .tar.zst or .tar.bz2.',
        ),
        "no-host": (
            "template: {url: 'https:///t.tar.zst'}",
            'template.url: "https:///t.tar.zst" is not an URL; write one such as https://host.example/path.',
        ),
        "bad-port": (
            "template: {url: 'https://h:x/t.tar.zst'}",
            'template.url: "https://h:x/t.tar.zst" is not an URL; write one such as https://host.example/path.',
        ),
        "file-id": (
            "template: {file_id: /var/lib/vz/template/cache/t.tar.zst}",
            'template.file_id: "/var/lib/vz/template/cache/t.tar.zst" is not a template on a datastore; write <datastore>:vztmpl/<file>, such as local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst.',
        ),
        "file-id-iso": (
            "template: {file_id: 'local:iso/debian.iso'}",
            'template.file_id: "local:iso/debian.iso" is not a template on a datastore; write <datastore>:vztmpl/<file>, such as local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst.',
        ),
        "other-datastore": (
            "template: {file_id: 'nas:vztmpl/t.tar.zst', datastore: local}",
            'template: the datastore is "local", and file_id names another; leave datastore out.',
        ),
    },
    "choices": {
        "os-type": (
            "os_type: Debian",
            'os_type: "Debian" is not known here; write alpine, archlinux, centos, debian, devuan, fedora, gentoo, nixos, opensuse, ubuntu or unmanaged.',
        ),
        "yes": ("protect: yes", 'protect: "yes" is neither true nor false; write true or false, without quotes.'),
        "quoted-true": (
            "started: 'true'",
            'started: "true" is neither true nor false; write true or false, without quotes.',
        ),
        "one": ("start_on_boot: 1", "start_on_boot: 1 is neither true nor false; write true or false, without quotes."),
        "off": ("adopt: off", 'adopt: "off" is neither true nor false; write true or false, without quotes.'),
    },
    "ssh": {
        "private": (
            "ssh_public_keys: ['-----BEGIN OPENSSH PRIVATE KEY-----']",
            "ssh_public_keys.0: this is a private key; write the public one, the line in the file that ends in .pub.",
        ),
        "putty": (
            "ssh_public_keys: ['PuTTY-User-Key-File-3: ssh-ed25519']",
            "ssh_public_keys.0: this is a private key; write the public one, the line in the file that ends in .pub.",
        ),
        "word": (
            "ssh_public_keys: [hunter2]",
            "ssh_public_keys.0: this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop.",
        ),
        "no-blob": (
            "ssh_public_keys: [ssh-ed25519]",
            "ssh_public_keys.0: this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop.",
        ),
        "other-type": (
            "ssh_public_keys: ['ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f']",
            "ssh_public_keys.0: this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop.",
        ),
        "options": (
            "ssh_public_keys: ['no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me']",
            "ssh_public_keys.0: this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop.",
        ),
        "path": (
            "ssh_public_keys: ~/.ssh/id_ed25519.pub",
            'ssh_public_keys: "~/.ssh/id_ed25519.pub" is not a list; write one such as [first, second].',
        ),
        "number": (
            "ssh_public_keys: [1]",
            "ssh_public_keys.0: this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop.",
        ),
    },
    "startup": {
        "order": (
            "startup: {order: -1}",
            "startup.order: -1 is not a place in the startup order; write a whole number from 0 to 999999999.",
        ),
        "delay": (
            "startup: {up_delay_seconds: 30s}",
            'startup.up_delay_seconds: "30s" is not a number of seconds; write a whole number from 0 to 999999999.',
        ),
        "number": ("startup: 3", "startup: 3 is not a mapping; write keys and values, or leave startup out."),
    },
    "root-only": {
        "keyctl": ("keyctl: 1", "keyctl: 1 is neither true nor false; write true or false, without quotes."),
        "fuse": (
            "fuse: x",
            "fuse: this needs root@pam on the host, and the stack hermes-root does not offer it; leave it out.",
        ),
        "mount_points": ("mount_points: x", "mount_points: there is no such setting; did you mean mounts?"),
        "device_passthrough": (
            "device_passthrough: x",
            "device_passthrough: there is no such setting; did you mean devices?",
        ),
        "hook_script": (
            "hook_script: x",
            "hook_script: this needs root@pam on the host, and the stack hermes-root does not offer it; leave it out.",
        ),
        "hook_script_file_id": (
            "hook_script_file_id: x",
            "hook_script_file_id: this needs root@pam on the host, and the stack hermes-root does not offer it; leave it out.",
        ),
        "idmap": (
            "idmap: x",
            "idmap: the container's ids are always 100000 more on the host; leave it out, and write idmap in the mount that needs another mapping.",
        ),
        "features": (
            "features: x",
            "features: nesting is always on, keyctl is a key of its own, and no other feature is offered; leave it out, and write keyctl.",
        ),
        "unprivileged": (
            "unprivileged: x",
            "unprivileged: every container here is unprivileged, always; leave it out.",
        ),
        "nesting": ("nesting: x", "nesting: nesting is always on; leave it out."),
        "mp0": ("mp0: x", "mp0: there is no such setting; did you mean mounts.mp0?"),
        "dev3": ("dev3: x", "dev3: there is no such setting; did you mean devices.dev3?"),
        "host_path": ("host_path: /mnt/x", "host_path: there is no such setting; did you mean mounts.mp0.host_path?"),
        "mode": ("mode: x", "mode: there is no such setting; did you mean mounts.mp0.mode or devices.dev0.mode?"),
        "mount": ("mount: {}", "mount: there is no such setting; did you mean mounts?"),
        "environment": ("environment: {}", "environment: there is no such setting; did you mean secrets?"),
    },
    "mounts": {
        "null": ("mounts:", "mounts: null is not a mapping; write keys and values, or leave mounts out."),
        "list": (
            "mounts: [{host_path: /mnt/a/b, guest_path: /b}]",
            "mounts: a list is not a mapping; write keys and values, or leave mounts out.",
        ),
        "text": (
            "mounts: /mnt/pve/hdd/x:/x",
            'mounts: "/mnt/pve/hdd/x:/x" is not a mapping; write keys and values, or leave mounts out.',
        ),
        "high": (
            "mounts: {mp256: {host_path: /mnt/pve/hdd/x, guest_path: /x}}",
            'mounts.mp256: "mp256" is not the key of a mount point; write one from mp0 to mp255.',
        ),
        "zero": (
            "mounts: {mp00: {host_path: /mnt/pve/hdd/x, guest_path: /x}}",
            'mounts.mp00: "mp00" is not the key of a mount point; write one from mp0 to mp255.',
        ),
        "word": (
            "mounts: {data: {host_path: /mnt/pve/hdd/x, guest_path: /x}}",
            'mounts.data: "data" is not the key of a mount point; write one from mp0 to mp255.',
        ),
        "upper": (
            "mounts: {MP0: {host_path: /mnt/pve/hdd/x, guest_path: /x}}",
            'mounts.MP0: "MP0" is not the key of a mount point; write one from mp0 to mp255.',
        ),
        "one-text": (
            "mounts: {mp0: /mnt/pve/hdd/x}",
            'mounts.mp0: "/mnt/pve/hdd/x" is not a mapping; write keys and values, or leave mp0 out.',
        ),
        "one-null": (
            "mounts: {mp0: null}",
            "mounts.mp0: null is not a mapping; write keys and values, or leave mp0 out.",
        ),
        "no-host-path": (
            "mounts: {mp0: {guest_path: /x}}",
            "mounts.mp0.host_path: this is missing; write the directory on the node, such as /mnt/pve/hdd/agent.",
        ),
        "no-guest-path": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x}}",
            "mounts.mp0.guest_path: this is missing; write where the directory shows in the container, such as /data.",
        ),
        "typo": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, guset_path: /y}}",
            "mounts.mp0.guset_path: there is no such setting; did you mean guest_path?",
        ),
        "path": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, path: /y}}",
            "mounts.mp0.path: there is no such setting; did you mean host_path or guest_path?",
        ),
        "volume": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, volume: /y}}",
            "mounts.mp0.volume: there is no such setting; did you mean host_path?",
        ),
        "mp": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, mp: /y}}",
            "mounts.mp0.mp: there is no such setting; did you mean guest_path?",
        ),
        "ro": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, ro: true}}",
            "mounts.mp0.ro: there is no such setting; did you mean read_only?",
        ),
        "owner": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, owner: hermes}}",
            "mounts.mp0.owner: there is no such setting; write one of kind, host_path, guest_path, uid, gid, mode, read_only, backup, replicate, shared, keepattrs, idmap.",
        ),
        "password": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, password: hunter2}}",
            "mounts.mp0.password: secrets do not go into homelab.yaml; put password into the agent's secrets file.",
        ),
    },
    "host-path": {
        "relative": (
            "mounts: {mp0: {host_path: mnt/x, guest_path: /x}}",
            'mounts.mp0.host_path: "mnt/x" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "home": (
            "mounts: {mp0: {host_path: ~/x, guest_path: /x}}",
            'mounts.mp0.host_path: "~/x" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "null": (
            "mounts: {mp0: {host_path: null, guest_path: /x}}",
            "mounts.mp0.host_path: null is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.",
        ),
        "number": (
            "mounts: {mp0: {host_path: 5, guest_path: /x}}",
            "mounts.mp0.host_path: 5 is not text; write a path on the host in quotes.",
        ),
        "parent": (
            "mounts: {mp0: {host_path: /mnt/pve/../x, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/pve/../x" has an empty, "." or ".." part; write the plain path, without a slash at its end.',
        ),
        "dot": (
            "mounts: {mp0: {host_path: /mnt/./x, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/./x" has an empty, "." or ".." part; write the plain path, without a slash at its end.',
        ),
        "double": (
            "mounts: {mp0: {host_path: /mnt//x, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt//x" has an empty, "." or ".." part; write the plain path, without a slash at its end.',
        ),
        "slash-last": (
            "mounts: {mp0: {host_path: /mnt/x/, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/x/" has an empty, "." or ".." part; write the plain path, without a slash at its end.',
        ),
        "comma": (
            "mounts: {mp0: {host_path: '/mnt/a,b', guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/a,b" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "equals": (
            "mounts: {mp0: {host_path: /mnt/a=b, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/a=b" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "quote": (
            "mounts: {mp0: {host_path: '/mnt/a\"b', guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/a\\"b" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "apostrophe": (
            'mounts: {mp0: {host_path: "/mnt/a\'b", guest_path: /x}}',
            'mounts.mp0.host_path: "/mnt/a\'b" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "backslash": (
            "mounts: {mp0: {host_path: '/mnt/a\\b', guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/a\\\\b" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "control": (
            'mounts: {mp0: {host_path: "/mnt/a\\tb", guest_path: /x}}',
            'mounts.mp0.host_path: "/mnt/a\\tb" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "invisible": (
            'mounts: {mp0: {host_path: "/mnt/a\\u200bb", guest_path: /x}}',
            'mounts.mp0.host_path: "/mnt/a\\u200bb" has a character that cannot be printed; write the path without it.',
        ),
        "space-last": (
            "mounts: {mp0: {host_path: '/mnt/a ', guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/a " ends in a space, which gets lost on its way; write the path without it.',
        ),
        "root": (
            "mounts: {mp0: {host_path: /, guest_path: /x}}",
            'mounts.mp0.host_path: "/" is not a path on the host; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "etc": (
            "mounts: {mp0: {host_path: /etc/x, guest_path: /x}}",
            'mounts.mp0.host_path: "/etc/x" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent.',
        ),
        "var": (
            "mounts: {mp0: {host_path: /var/log, guest_path: /x}}",
            'mounts.mp0.host_path: "/var/log" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent.',
        ),
        "pve": (
            "mounts: {mp0: {host_path: /var/lib/pve-cluster/x, guest_path: /x}}",
            'mounts.mp0.host_path: "/var/lib/pve-cluster/x" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent.',
        ),
        "vz": (
            "mounts: {mp0: {host_path: /var/lib/vz/images, guest_path: /x}}",
            'mounts.mp0.host_path: "/var/lib/vz/images" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent.',
        ),
        "tmp": (
            "mounts: {mp0: {host_path: /tmp/x, guest_path: /x}}",
            'mounts.mp0.host_path: "/tmp/x" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent.',
        ),
        "dev": (
            "mounts: {mp0: {host_path: /dev/sda, guest_path: /x}}",
            'mounts.mp0.host_path: "/dev/sda" is a device for Proxmox VE; write a directory outside /dev.',
        ),
        "mnt": (
            "mounts: {mp0: {host_path: /mnt, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt" holds more than the files of one agent; write a directory inside it.',
        ),
        "top": (
            "mounts: {mp0: {host_path: /tank, guest_path: /x}}",
            'mounts.mp0.host_path: "/tank" holds more than the files of one agent; write a directory inside it.',
        ),
        "storages": (
            "mounts: {mp0: {host_path: /mnt/pve, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/pve" holds more than the files of one agent; write a directory inside it.',
        ),
        "storage": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd, guest_path: /x}}",
            'mounts.mp0.host_path: "/mnt/pve/hdd" is a whole storage of Proxmox VE; write a directory inside it.',
        ),
    },
    "guest-path": {
        "relative": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: data}}",
            'mounts.mp0.guest_path: "data" is not a path in the container; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "root": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /}}",
            'mounts.mp0.guest_path: "/" is not a path in the container; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "parent": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /data/..}}",
            'mounts.mp0.guest_path: "/data/.." has an empty, "." or ".." part; write the plain path, without a slash at its end.',
        ),
        "etc": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /etc}}",
            'mounts.mp0.guest_path: "/etc" belongs to the system of the container; write another path, such as /data.',
        ),
        "var": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /var}}",
            'mounts.mp0.guest_path: "/var" belongs to the system of the container; write another path, such as /data.',
        ),
        "proc": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /proc/x}}",
            'mounts.mp0.guest_path: "/proc/x" belongs to the system of the container; write another path, such as /data.',
        ),
        "bin": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /bin/x}}",
            'mounts.mp0.guest_path: "/bin/x" belongs to the system of the container; write another path, such as /data.',
        ),
        "run": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /var/run/x}}",
            'mounts.mp0.guest_path: "/var/run/x" belongs to the system of the container; write another path, such as /data.',
        ),
    },
    "mount": {
        "uid": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, uid: 65536}}",
            "mounts.mp0.uid: 65536 is not a user's or group's id in an unprivileged container; write a whole number from 0 to 65535.",
        ),
        "uid-negative": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, uid: -1}}",
            "mounts.mp0.uid: -1 is not a user's or group's id in an unprivileged container; write a whole number from 0 to 65535.",
        ),
        "gid-name": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, gid: hermes}}",
            "mounts.mp0.gid: \"hermes\" is not a user's or group's id in an unprivileged container; write a whole number from 0 to 65535.",
        ),
        "gid-quoted": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, gid: '10000'}}",
            'mounts.mp0.gid: "10000" is text, not a number; write it without quotes.',
        ),
        "mode-number": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, mode: 750}}",
            "mounts.mp0.mode: 750 is not text; write a file's mode in quotes.",
        ),
        "mode-digit": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, mode: '0780'}}",
            'mounts.mp0.mode: "0780" is not a file\'s mode; write three or four octal digits in quotes, such as "0750".',
        ),
        "mode-long": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, mode: '00750'}}",
            'mounts.mp0.mode: "00750" is not a file\'s mode; write three or four octal digits in quotes, such as "0750".',
        ),
        "mode-letters": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, mode: rwxr-x---}}",
            'mounts.mp0.mode: "rwxr-x---" is not a file\'s mode; write three or four octal digits in quotes, such as "0750".',
        ),
        "read-only": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, read_only: 1}}",
            "mounts.mp0.read_only: 1 is neither true nor false; write true or false, without quotes.",
        ),
        "shared": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, shared: yes}}",
            'mounts.mp0.shared: "yes" is neither true nor false; write true or false, without quotes.',
        ),
        "idmap-word": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: none}}",
            'mounts.mp0.idmap: "none" is not a mapping of ids; write passthrough, or ranges <u or g>:<in the container>:<on the disk>:<count> with ; between, such as u:10000:1000:1;g:10000:1000:1.',
        ),
        "idmap-lxc": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: u 0 100000 65536}}",
            'mounts.mp0.idmap: "u 0 100000 65536" is not a mapping of ids; write passthrough, or ranges <u or g>:<in the container>:<on the disk>:<count> with ; between, such as u:10000:1000:1;g:10000:1000:1.',
        ),
        "idmap-no-ids": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:0:100000:0'}}",
            'mounts.mp0.idmap: "u:0:100000:0" is not a mapping of ids; write passthrough, or ranges <u or g>:<in the container>:<on the disk>:<count> with ; between, such as u:10000:1000:1;g:10000:1000:1.',
        ),
        "idmap-guest-end": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:1:100000:65536'}}",
            "mounts.mp0.idmap: u:1:100000:65536 goes beyond 65535, the last id of an unprivileged container; write fewer ids.",
        ),
        "idmap-disk-end": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:0:4294967295:1'}}",
            "mounts.mp0.idmap: u:0:4294967295:1 goes beyond 4294967294, the last id on a disk; write fewer ids.",
        ),
        "idmap-twice-guest": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:0:1000:2;u:1:2000:1'}}",
            "mounts.mp0.idmap: two ranges have the uid 1 in the container; keep them apart.",
        ),
        "idmap-twice-disk": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'g:5:1000:1;g:0:999:2'}}",
            "mounts.mp0.idmap: two ranges have the gid 1000 on the disk; keep them apart.",
        ),
        "idmap-no-gid": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:10000:1000:1'}}",
            "mounts.mp0.idmap: no range covers the gid 10000, to which the directory is to belong; add one such as g:10000:110000:1.",
        ),
        "idmap-no-uid": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, uid: 7, idmap: 'u:8:8:1;u:0:0:7;g:0:0:65536'}}",
            "mounts.mp0.idmap: no range covers the uid 7, to which the directory is to belong; add one such as u:7:100007:1.",
        ),
        "idmap-clash": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'u:10000:101000:1;g:10000:1000:1'}}",
            "mounts.mp0.idmap: u:10000:101000:1 takes the uid 101000 on the disk, which is the uid 1000 of the container; write ids on the disk below 100000, or a range for that id too.",
        ),
        "idmap-clash-last": (
            "mounts: {mp0: {host_path: /mnt/pve/hdd/x, guest_path: /x, idmap: 'g:10000:165535:1;u:10000:1000:1'}}",
            "mounts.mp0.idmap: g:10000:165535:1 takes the gid 165535 on the disk, which is the gid 65535 of the container; write ids on the disk below 100000, or a range for that id too.",
        ),
    },
    "mounts-apart": {
        "guest-path": (
            "mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}, mp1: {host_path: /mnt/a/c, guest_path: /x}}",
            'mounts: mp0 and mp1 both have the guest_path "/x"; give each its own.',
        ),
        "hidden": (
            "mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x/y}, mp1: {host_path: /mnt/a/c, guest_path: /x}}",
            'mounts: mp1 at "/x" would hide mp0 at "/x/y", since Proxmox VE mounts in the order of the keys; give the outer one the lower key.',
        ),
        "hidden-by-number": (
            "mounts: {mp10: {host_path: /mnt/a/b, guest_path: /x}, mp9: {host_path: /mnt/a/c, guest_path: /x/y}}",
            'mounts: mp10 at "/x" would hide mp9 at "/x/y", since Proxmox VE mounts in the order of the keys; give the outer one the lower key.',
        ),
        "host-path": (
            "mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}, mp1: {host_path: /mnt/a/b, guest_path: /y}}",
            'mounts: mp0 and mp1 both have the host_path "/mnt/a/b"; keep one of them.',
        ),
        "nested": (
            "mounts: {mp0: {host_path: /mnt/a/b/c, guest_path: /x}, mp1: {host_path: /mnt/a/b, guest_path: /y}}",
            'mounts: the host_path "/mnt/a/b/c" of mp0 lies in "/mnt/a/b" of mp1, whose owner could put a link in its place; write directories that lie side by side.',
        ),
    },
    "devices": {
        "list": (
            "devices: [/dev/dri/renderD128]",
            "devices: a list is not a mapping; write keys and values, or leave devices out.",
        ),
        "key": (
            "devices: {dev256: {path: /dev/fuse}}",
            'devices.dev256: "dev256" is not the key of a device; write one from dev0 to dev255.',
        ),
        "mount-key": (
            "devices: {mp0: {path: /dev/fuse}}",
            'devices.mp0: "mp0" is not the key of a device; write one from dev0 to dev255.',
        ),
        "text": (
            "devices: {dev0: /dev/fuse}",
            'devices.dev0: "/dev/fuse" is not a mapping; write keys and values, or leave dev0 out.',
        ),
        "no-path": (
            "devices: {dev0: {uid: 1}}",
            "devices.dev0.path: this is missing; write the path of the device on the node, such as /dev/dri/renderD128.",
        ),
        "elsewhere": (
            "devices: {dev0: {path: /mnt/x}}",
            'devices.dev0.path: "/mnt/x" is not a device; write a path in /dev, such as /dev/dri/renderD128.',
        ),
        "dev": (
            "devices: {dev0: {path: /dev}}",
            'devices.dev0.path: "/dev" is not a device; write a path in /dev, such as /dev/dri/renderD128.',
        ),
        "parent": (
            "devices: {dev0: {path: /dev/../etc/passwd}}",
            'devices.dev0.path: "/dev/../etc/passwd" is not a device; write a path in /dev, such as /dev/dri/renderD128.',
        ),
        "memory": (
            "devices: {dev0: {path: /dev/mem}}",
            'devices.dev0.path: "/dev/mem" is the memory of the host, which no container may have; write another device, such as /dev/dri/renderD128.',
        ),
        "mode": (
            "devices: {dev0: {path: /dev/fuse, mode: '1660'}}",
            'devices.dev0.mode: "1660" is not a device\'s mode; write three octal digits after a 0 in quotes, such as "0660".',
        ),
        "mode-number": (
            "devices: {dev0: {path: /dev/fuse, mode: 660}}",
            "devices.dev0.mode: 660 is not text; write a device's mode in quotes.",
        ),
        "uid": (
            "devices: {dev0: {path: /dev/fuse, uid: 100000}}",
            "devices.dev0.uid: 100000 is not a user's or group's id in an unprivileged container; write a whole number from 0 to 65535.",
        ),
        "deny": (
            "devices: {dev0: {path: /dev/fuse, deny_write: 'no'}}",
            'devices.dev0.deny_write: "no" is neither true nor false; write true or false, without quotes.',
        ),
        "hyphen": (
            "devices: {dev0: {path: /dev/fuse, deny-write: true}}",
            "devices.dev0.deny-write: there is no such setting; did you mean deny_write?",
        ),
        "read-only": (
            "devices: {dev0: {path: /dev/fuse, read_only: true}}",
            "devices.dev0.read_only: there is no such setting; did you mean deny_write?",
        ),
        "twice": (
            "devices: {dev10: {path: /dev/fuse}, dev9: {path: /dev/fuse}}",
            'devices: dev9 and dev10 both have the path "/dev/fuse"; keep one of them.',
        ),
        "kernel-memory": (
            "devices: {dev0: {path: /dev/kmem}}",
            'devices.dev0.path: "/dev/kmem" is the memory of the host, which no container may have; write another device, such as /dev/dri/renderD128.',
        ),
    },
    "names-of-secrets": {
        "null": (
            "secrets:",
            "secrets: this is not a list; write the names of environment variables, such as [MODEL_API_KEY].",
        ),
        "text": (
            "secrets: LITELLM_API_KEY=hunter2",
            "secrets: this is not a list; write the names of environment variables, such as [MODEL_API_KEY].",
        ),
        "mapping": (
            "secrets: {LITELLM_API_KEY: hunter2}",
            "secrets: this is not a list; write the names of environment variables, such as [MODEL_API_KEY].",
        ),
        "value": (
            "secrets: [LITELLM_API_KEY=hunter2]",
            "secrets.0: this is more than a name; write the name alone, and put the value into the agent's secrets file.",
        ),
        "item-mapping": (
            "secrets: [LITELLM_API_KEY: hunter2]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "lower": (
            "secrets: [hunter2]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "key": (
            "secrets: [sk-hunter2hunter2]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "digit": (
            "secrets: [1PASSWORD]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "long": (
            "secrets: [AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "number": (
            "secrets: [12345678]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "aws": (
            "secrets: [AKIAIOSFODNN7HUNTER2]",
            "secrets.0: this may be a secret; write the name of its variable, and put the secret into the agent's secrets file.",
        ),
        "base32": (
            "secrets: [JBSWY3DPEHPK3PXP]",
            "secrets.0: this may be a secret; write the name of its variable, and put the secret into the agent's secrets file.",
        ),
        "twice": ("secrets: [A_KEY, A_KEY]", 'secrets: "A_KEY" stands twice in the list; keep one.'),
        "path": ("secrets: [PATH]", 'secrets.0: "PATH" decides which programs run in the guest; leave it out.'),
        "home": (
            "secrets: [HOME]",
            'secrets.0: "HOME" decides where programs keep their files in the guest; leave it out.',
        ),
        "bash_env": (
            "secrets: [BASH_ENV]",
            'secrets.0: "BASH_ENV" changes what every shell in the guest does; leave it out.',
        ),
        "ld_preload": (
            "secrets: [LD_PRELOAD]",
            'secrets.0: "LD_PRELOAD" puts foreign code into every program of the guest; leave it out.',
        ),
        "pythonpath": (
            "secrets: [PYTHONPATH]",
            'secrets.0: "PYTHONPATH" changes the Python that the agent runs on; leave it out.',
        ),
        "hermes_home": (
            "secrets: [HERMES_HOME]",
            'secrets.0: "HERMES_HOME" decides where Hermes keeps its memory, and this project sets it; leave it out.',
        ),
        "hermes_managed_dir": (
            "secrets: [HERMES_MANAGED_DIR]",
            'secrets.0: "HERMES_MANAGED_DIR" decides where Hermes finds what is declared here, and this project sets it; leave it out.',
        ),
        "hermes_managed": (
            "secrets: [HERMES_MANAGED]",
            'secrets.0: "HERMES_MANAGED" decides where Hermes finds what is declared here, and this project sets it; leave it out.',
        ),
        "hermes_write_safe_root": (
            "secrets: [HERMES_WRITE_SAFE_ROOT]",
            'secrets.0: "HERMES_WRITE_SAFE_ROOT" decides where Hermes may write, and this project sets it; leave it out.',
        ),
        "openai_base_url": (
            "secrets: [OPENAI_BASE_URL]",
            'secrets.0: "OPENAI_BASE_URL" is ignored by Hermes, which then sends the key to a third party; leave it out.',
        ),
        "custom_base_url": (
            "secrets: [CUSTOM_BASE_URL]",
            'secrets.0: "CUSTOM_BASE_URL" makes Hermes pass over the endpoint that is declared here; leave it out.',
        ),
        "proxmox_ve_api_token": (
            "secrets: [PROXMOX_VE_API_TOKEN]",
            'secrets.0: "PROXMOX_VE_API_TOKEN" is for the operator, never for an agent; leave it out.',
        ),
        "tf_http_password": (
            "secrets: [TF_HTTP_PASSWORD]",
            'secrets.0: "TF_HTTP_PASSWORD" is for the operator, never for an agent; leave it out.',
        ),
        "pg_conn_str": (
            "secrets: [PG_CONN_STR]",
            'secrets.0: "PG_CONN_STR" is for the operator, never for an agent; leave it out.',
        ),
        "hermes_env_file": (
            "secrets: [HERMES_ENV_FILE]",
            'secrets.0: "HERMES_ENV_FILE" is for the operator, never for an agent; leave it out.',
        ),
        "key-in-capitals": (
            "secrets: [AKIAHUNTERTWO]",
            "secrets.0: this may be a secret; write the name of its variable, and put the secret into the agent's secrets file.",
        ),
    },
    "secrets": {
        "api_token": (
            "api_token: hunter2",
            "api_token: secrets do not go into homelab.yaml; put api_token into the agent's secrets file.",
        ),
        "token": (
            "token: hunter2",
            "token: secrets do not go into homelab.yaml; put token into the agent's secrets file.",
        ),
        "password": (
            "password: hunter2",
            "password: secrets do not go into homelab.yaml; put password into the agent's secrets file.",
        ),
        "secret": (
            "secret: hunter2",
            "secret: secrets do not go into homelab.yaml; put secret into the agent's secrets file.",
        ),
        "private_key": (
            "private_key: hunter2",
            "private_key: secrets do not go into homelab.yaml; put private_key into the agent's secrets file.",
        ),
        "litellm_api_key": (
            "litellm_api_key: hunter2",
            "litellm_api_key: secrets do not go into homelab.yaml; put litellm_api_key into the agent's secrets file.",
        ),
        "telegramBotToken": (
            "telegramBotToken: hunter2",
            "telegramBotToken: secrets do not go into homelab.yaml; put telegramBotToken into the agent's secrets file.",
        ),
        "nested": (
            "network: {password: hunter2}",
            "network.password: secrets do not go into homelab.yaml; put password into the agent's secrets file.",
        ),
        "pasted": (
            "hostname: root@pam!x=11111111-1111-1111-1111-111111111111",
            "hostname: the value, hidden because it may be a secret, is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net.",
        ),
    },
    "unknown": {
        "typo": ("vmdi: 118", "vmdi: there is no such setting; did you mean vmid?"),
        "unit": (
            "memory: {dedicated: 4096}",
            "memory.dedicated: there is no such setting; did you mean dedicated_mib?",
        ),
        "nested": ("cores: 4", "cores: there is no such setting; did you mean cpu.cores?"),
        "ambiguous": (
            "datastore: x",
            "datastore: there is no such setting; did you mean disk.datastore or template.datastore?",
        ),
        "far": (
            "colour: blue",
            "colour: there is no such setting; write one of node, vmid, hostname, description, tags, cpu, memory, disk, network, dns, template, os_type, start_on_boot, started, protect, pool, ssh_public_keys, startup, delivery, mounts, devices, compose, hermes, litellm, keyctl, secrets.",
        ),
        "nested-typo": ("network: {brigde: vmbr0}", "network.brigde: there is no such setting; did you mean bridge?"),
        "case": ("Node: pve1", "Node: there is no such setting; did you mean node?"),
        "space": (
            "'a key': 1",
            '"a key": there is no such setting; write one of node, vmid, hostname, description, tags, cpu, memory, disk, network, dns, template, os_type, start_on_boot, started, protect, pool, ssh_public_keys, startup, delivery, mounts, devices, compose, hermes, litellm, keyctl, secrets.',
        ),
        "startup": (
            "startup: {delay: 1}",
            "startup.delay: there is no such setting; write one of order, up_delay_seconds, down_delay_seconds.",
        ),
    },
}

IN_THE_FILE = {
    "agents": {
        "none": ("agents: {}", "agents: there is no agent; write at least one, or leave agents out for hermes."),
        "null": ("agents:", "agents: there is no agent; write at least one, or leave agents out for hermes."),
        "list": ("agents: [hermes]", "agents: a list is not a mapping; write keys and values, or leave agents out."),
        "agent-null": (
            "agents: {hermes: }",
            "agents.hermes: null is not a mapping; write keys and values, or leave hermes out.",
        ),
        "agent-number": (
            "agents: {hermes: 118}",
            "agents.hermes: 118 is not a mapping; write keys and values, or leave hermes out.",
        ),
        "upper": (
            "agents: {Hermes: {vmid: 1000}}",
            'agents.Hermes: "Hermes" is not an agent\'s name; write 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last.',
        ),
        "short": (
            "agents: {a: {vmid: 1000}}",
            'agents.a: "a" is not an agent\'s name; write 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last.',
        ),
        "root": (
            "agents: {hermes-root: {vmid: 1000}}",
            'agents.hermes-root: "hermes-root" ends in -root, which is kept for the stack that works as root; write a name without it.',
        ),
        "underscore": (
            "agents: {my_agent: {vmid: 1000}}",
            'agents.my_agent: "my_agent" is not an agent\'s name; write 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last.',
        ),
        "hyphen-last": (
            "agents: {a-: {vmid: 1000}}",
            'agents.a-: "a-" is not an agent\'s name; write 2 to 40 lower-case letters, digits and hyphens, with a letter first and no hyphen last.',
        ),
        "name": (
            "agents: {hermes: {name: hermes}}",
            "agents: hermes has a key name, and its own key is its name; leave name out.",
        ),
        "no-vmid": (
            "agents: {librarian: {}}",
            "agents.librarian.vmid: this is missing; write the container's VMID, a whole number from 100 to 999999999.",
        ),
        "number-key": (
            "agents: {118: {vmid: 118}}",
            "line 1, column 10: 118 is not text and cannot be a key; write a name.",
        ),
    },
    "apart": {
        "vmid": (
            "agents: {hermes: {}, librarian: {vmid: 118}}",
            "agents: hermes and librarian both have the VMID 118; give each agent its own.",
        ),
        "hostname": (
            "agents: {hermes: {}, librarian: {vmid: 119, hostname: Hermes}}",
            "agents: hermes and librarian both have the hostname hermes; give each agent its own.",
        ),
        "address": (
            "agents: {a1: {vmid: 101, network: {address: 10.0.0.5/24}}, a2: {vmid: 102, network: {address: 10.0.0.5/16}}}",
            "agents: a1 and a2 both have the address 10.0.0.5; give each agent its own.",
        ),
        "mac": (
            "agents: {a1: {vmid: 101, network: {mac_address: 'BC:24:11:12:34:56'}}, a2: {vmid: 102, network: {mac_address: 'bc:24:11:12:34:56'}}}",
            "agents: a1 and a2 both have the MAC address BC:24:11:12:34:56; give each agent its own.",
        ),
        "directory-owner": (
            "agents: {a1: {vmid: 101, mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}}}, a2: {vmid: 102, mounts: {mp1: {host_path: /mnt/a/b, guest_path: /x, uid: 0}}}}",
            'agents: a1.mounts.mp0 and a2.mounts.mp1 both have the host_path "/mnt/a/b", which on the node would belong to 110000:110000 with mode 0750 and to 100000:110000 with mode 0750; give both the same owner and mode, or each agent its own directory.',
        ),
        "directory-mode": (
            "agents: {a1: {vmid: 101, mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}}}, a2: {vmid: 102, mounts: {mp1: {host_path: /mnt/a/b, guest_path: /x, mode: '755'}}}}",
            'agents: a1.mounts.mp0 and a2.mounts.mp1 both have the host_path "/mnt/a/b", which on the node would belong to 110000:110000 with mode 0750 and to 110000:110000 with mode 0755; give both the same owner and mode, or each agent its own directory.',
        ),
        "directory-idmap": (
            "agents: {a1: {vmid: 101, mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}}}, a2: {vmid: 102, mounts: {mp1: {host_path: /mnt/a/b, guest_path: /x, idmap: passthrough}}}}",
            'agents: a1.mounts.mp0 and a2.mounts.mp1 both have the host_path "/mnt/a/b", which on the node would belong to 110000:110000 with mode 0750 and to 10000:10000 with mode 0750; give both the same owner and mode, or each agent its own directory.',
        ),
        "directory-nested": (
            "agents: {a1: {vmid: 101, mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x}}}, a2: {vmid: 102, mounts: {mp1: {host_path: /mnt/a/b/c, guest_path: /x}}}}",
            'agents: the host_path "/mnt/a/b/c" of a2.mounts.mp1 lies in "/mnt/a/b" of a1.mounts.mp0, whose owner could put a link in its place; write directories that lie side by side.',
        ),
        "directory-nested-outer": (
            "agents: {a1: {vmid: 101, mounts: {mp0: {host_path: /mnt/a/b/c, guest_path: /x}}}, a2: {vmid: 102, mounts: {mp1: {host_path: /mnt/a/b, guest_path: /x}}}}",
            'agents: the host_path "/mnt/a/b/c" of a1.mounts.mp0 lies in "/mnt/a/b" of a2.mounts.mp1, whose owner could put a link in its place; write directories that lie side by side.',
        ),
        "directory-shared": (
            "agents: {a1: {vmid: 101, node: n1, mounts: {mp0: {host_path: /mnt/a/b, guest_path: /x, shared: true}}}, a2: {vmid: 102, node: n2, mounts: {mp1: {host_path: /mnt/a/b, guest_path: /x, shared: true, gid: 1}}}}",
            'agents: a1.mounts.mp0 and a2.mounts.mp1 both have the host_path "/mnt/a/b", which on the node would belong to 110000:110000 with mode 0750 and to 110000:100001 with mode 0750; give both the same owner and mode, or each agent its own directory.',
        ),
    },
    "backend": {
        "text": ("backend: s3", 'backend: "s3" is not a mapping; write keys and values, or leave backend out.'),
        "no-type": ("backend: {bucket: b}", "backend.type: this is missing; write local, s3, http or pg."),
        "null": ("backend:", "backend: null is not a mapping; write keys and values, or leave backend out."),
        "kind": ("backend: {type: gcs}", 'backend.type: "gcs" is not a kind of backend; write local, s3, http or pg.'),
        "kind-list": (
            "backend: {type: [s3]}",
            "backend.type: \"['s3']\" is not a kind of backend; write local, s3, http or pg.",
        ),
        "no-bucket": ("backend: {type: s3}", "backend.bucket: this is missing; write the name of the bucket."),
        "bucket": (
            "backend: {type: s3, bucket: My_Bucket}",
            'backend.bucket: "My_Bucket" is not a bucket; write 3 to 63 lower-case letters, digits, dots and hyphens.',
        ),
        "key": (
            "backend: {type: s3, bucket: states, key: all.tfstate}",
            'backend.key: "all.tfstate" is the same for every stack, and their states would overwrite each other; write {stack} where the stack\'s name belongs.',
        ),
        "endpoint": (
            "backend: {type: s3, bucket: states, endpoint: minio.lan}",
            'backend.endpoint: "minio.lan" is not an URL; write one that starts with http:// or https://.',
        ),
        "endpoint-user": (
            "backend: {type: s3, bucket: states, endpoint: 'https://me:hunter2@minio.lan'}",
            "backend.endpoint: the URL carries a user name or a password; write it without, and put credentials into the environment.",
        ),
        "access-key": (
            "backend: {type: s3, bucket: states, access_key: AKIA}",
            "backend.access_key: secrets do not go into homelab.yaml; put this one into the environment or .env, as AWS_ACCESS_KEY_ID.",
        ),
        "secret-key": (
            "backend: {type: s3, bucket: states, secret_key: hunter2}",
            "backend.secret_key: secrets do not go into homelab.yaml; put this one into the environment or .env, as AWS_SECRET_ACCESS_KEY.",
        ),
        "no-address": (
            "backend: {type: http}",
            "backend.address: this is missing; write the URL of the state, with {stack} for the stack's name.",
        ),
        "same-address": (
            "backend: {type: http, address: 'https://h/state'}",
            'backend.address: "https://h/state" is the same for every stack, and their states would overwrite each other; write {stack} where the stack\'s name belongs.',
        ),
        "address-user": (
            "backend: {type: http, address: 'https://me:hunter2@h/{stack}'}",
            "backend.address: the URL carries a user name or a password; write it without, and put them into the environment variables TF_HTTP_USERNAME and TF_HTTP_PASSWORD.",
        ),
        "lock-alone": (
            "backend: {type: http, address: 'https://h/{stack}', lock_address: 'https://h/{stack}/lock'}",
            "backend: lock_address and unlock_address go together; write both or none.",
        ),
        "http-password": (
            "backend: {type: http, address: 'https://h/{stack}', password: hunter2}",
            "backend.password: secrets do not go into homelab.yaml; put this one into the environment or .env, as TF_HTTP_PASSWORD.",
        ),
        "http-username": (
            "backend: {type: http, address: 'https://h/{stack}', username: me}",
            "backend.username: secrets do not go into homelab.yaml; put this one into the environment or .env, as TF_HTTP_USERNAME.",
        ),
        "conn-str": (
            "backend: {type: pg, conn_str: 'postgres://me:hunter2@h/db'}",
            "backend.conn_str: secrets do not go into homelab.yaml; put this one into the environment or .env, as PG_CONN_STR.",
        ),
        "schema": (
            "backend: {type: pg, schema_name: terraform}",
            'backend.schema_name: "terraform" is the same for every stack, and their states would overwrite each other; write {stack} where the stack\'s name belongs.',
        ),
        "local-password": (
            "backend: {type: local, password: hunter2}",
            "backend.password: secrets do not go into homelab.yaml; put password into the environment or .env.",
        ),
        "local-path": ("backend: {type: local, path: x}", "backend.path: there is no such setting; write one of type."),
        "typo": (
            "backend: {type: s3, bucket: states, regoin: x}",
            "backend.regoin: there is no such setting; did you mean region?",
        ),
    },
    "top": {
        "typo": ("agent: {}", "agent: there is no such setting; did you mean agents?"),
        "far": ("proxmox: {}", "proxmox: there is no such setting; write one of backend, storage, agents."),
        "secret": (
            "api_token: hunter2",
            "api_token: secrets do not go into homelab.yaml; put api_token into the agent's secrets file.",
        ),
    },
    "yaml": {
        "list": ("- hermes", "the file holds a list, not a mapping; write keys such as agents."),
        "text": ("hermes", 'the file holds "hermes", not a mapping; write keys such as agents.'),
        "number": ("118", "the file holds 118, not a mapping; write keys such as agents."),
        "broken": (
            "agents: [",
            "line 1, column 10: this is not YAML (expected the node content, but found '<stream end>'); check the indentation, quotes and colons there.",
        ),
        "colon": (
            "agents: hermes: x",
            "line 1, column 15: this is not YAML (mapping values are not allowed here); check the indentation, quotes and colons there.",
        ),
        "tab": ("agents:\n\thermes: {}", "line 2, column 1: there is a tab; write spaces."),
        "indent": (
            "agents:\n  hermes:\n    vmid: 118\n   node: x",
            "line 4, column 4: this is not YAML (expected <block end>, but found '<block mapping start>'); check the indentation, quotes and colons there.",
        ),
        "twice": (
            "agents:\n  hermes:\n    vmid: 118\n    vmid: 119\n",
            "line 4, column 5: the key vmid stands twice here, first in line 3; keep one.",
        ),
        "agent-twice": (
            "agents:\n  hermes: {}\n  hermes: {}\n",
            "line 3, column 3: the key hermes stands twice here, first in line 2; keep one.",
        ),
        "unknown-alias": (
            "agents: *nothing",
            "line 1, column 9: this is not YAML (found undefined alias 'nothing'); check the indentation, quotes and colons there.",
        ),
        "itself": ("agents: &a {hermes: *a}", "line 1, column 21: *a stands inside itself; write the value out."),
        "tag": (
            "agents: !!python/object:os.system {}",
            "line 1, column 9: the tag tag:yaml.org,2002:python/object:os.system is not used here; leave it out.",
        ),
        "int-tag": (
            "agents: {hermes: {vmid: !!int '118'}}",
            "line 1, column 25: the tag tag:yaml.org,2002:int is not used here; leave it out.",
        ),
        "complex-key": ("? [a]\n: b", "line 1, column 3: a list or mapping cannot be a key; write a name."),
        "null-key": ("~: b", 'line 1, column 1: "~" is not text and cannot be a key; write a name.'),
        "two-documents": (
            "agents: {hermes: {}}\n---\nagents: {hermes: {}}",
            "line 2, column 1: this is not YAML (but found another document); check the indentation, quotes and colons there.",
        ),
        "control": (
            "agents: {hermes: {description: a\x07}}",
            "line 1: the character U+0007 is not allowed in YAML; remove it.",
        ),
    },
}


def cases(table: dict[str, dict[str, tuple[str, str]]]) -> list[Any]:
    return [
        pytest.param(text, message, id=f"{rule}-{name}")
        for rule, examples in table.items()
        for name, (text, message) in examples.items()
    ]


@pytest.mark.parametrize(("text", "message"), cases(IN_AN_AGENT))
def test_an_agent_refuses(refuse: Refuse, text: str, message: str) -> None:
    assert refuse(f"agents: {{hermes: {{{text}}}}}") == [f"homelab.yaml: agents.hermes.{message}"]


@pytest.mark.parametrize(("text", "message"), cases(IN_THE_FILE))
def test_the_file_refuses(refuse: Refuse, text: str, message: str) -> None:
    assert refuse(text) == [f"homelab.yaml: {message}"]


def test_every_message_is_one_sentence_in_plain_words() -> None:
    for table in (IN_AN_AGENT, IN_THE_FILE):
        for examples in table.values():
            for _, message in examples.values():
                assert message[-1] in ".?"
                assert "\n" not in message
                assert "hunter2" not in message
                for jargon in ("Input should", "pydantic", "type=", "Value error", "validat"):
                    assert jargon not in message


def test_all_problems_are_said_at_once(refuse: Refuse) -> None:
    assert refuse("agents: {hermes: {vmid: 1, cpu: {cores: 0}, vmdi: 1}, librarian: {tags: [A, B]}}") == [
        "homelab.yaml: agents.hermes.vmid: 1 is not a VMID; write a whole number from 100 to 999999999.",
        "homelab.yaml: agents.hermes.cpu.cores: 0 is not a number of cores; write a whole number from 1 to 128.",
        "homelab.yaml: agents.hermes.vmdi: there is no such setting; did you mean vmid?",
        (
            "homelab.yaml: agents.librarian.vmid: this is missing; "
            "write the container's VMID, a whole number from 100 to 999999999."
        ),
        'homelab.yaml: agents.librarian.tags.0: "A" has upper-case letters, which Proxmox VE would change; write "a".',
        'homelab.yaml: agents.librarian.tags.1: "B" has upper-case letters, which Proxmox VE would change; write "b".',
    ]


def test_the_error_joins_its_sentences_by_line_breaks() -> None:
    assert str(SettingsError(["One.", "Two."])) == "One.\nTwo."


def test_every_clash_is_said(refuse: Refuse) -> None:
    clash = "vmid: 101, hostname: same, network: {address: 10.0.0.5/24}"
    assert refuse(f"agents: {{a1: {{{clash}}}, a2: {{{clash}}}, a3: {{vmid: 101}}}}") == [
        "homelab.yaml: agents: a1 and a2 both have the VMID 101; give each agent its own.",
        "homelab.yaml: agents: a1 and a3 both have the VMID 101; give each agent its own.",
        "homelab.yaml: agents: a1 and a2 both have the hostname same; give each agent its own.",
        "homelab.yaml: agents: a1 and a2 both have the address 10.0.0.5; give each agent its own.",
    ]


# The file itself


def test_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_bytes(b"agents:\n  hermes: {description: \xff}\n")
    with pytest.raises(SettingsError, match=r"^homelab\.yaml: line 2: this is not UTF-8; save the file as UTF-8\.$"):
        load_settings(tmp_path)


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").mkdir()
    with pytest.raises(SettingsError, match=r"^homelab\.yaml: this is a directory; make it a file\.$"):
        load_settings(tmp_path)


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").symlink_to("gone.yaml")
    with pytest.raises(SettingsError, match=r"^homelab\.yaml: the link points to nothing; correct or remove it\.$"):
        load_settings(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").symlink_to("homelab.yaml")
    with pytest.raises(SettingsError) as refusal:
        load_settings(tmp_path)
    assert refusal.value.messages == [
        "homelab.yaml: the file cannot be read (Too many levels of symbolic links); check its permissions."
    ]


def test_the_named_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.yaml").write_text("agents: {hermes: {vmid: 120}}")
    monkeypatch.setenv("HOMELAB_FILE", "lab.yaml")
    assert load_settings(tmp_path).agents["hermes"].vmid == 120
    (tmp_path / "lab.yaml").write_text("agents: {hermes: {vmid: 1}}")
    with pytest.raises(SettingsError, match=r"^lab\.yaml: agents\.hermes\.vmid: 1 is not a VMID"):
        load_settings(tmp_path)


def test_the_named_file_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_FILE", "lab.yaml")
    with pytest.raises(SettingsError) as refusal:
        load_settings(tmp_path)
    assert refusal.value.messages == [
        'HOMELAB_FILE: "lab.yaml" does not exist; name a file that does, or unset the variable.'
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "\ufeff", "agents: {hermes: {}}"])
def test_a_file_that_changes_nothing(load: Load, text: str) -> None:
    assert load(text) == Homelab()


@pytest.mark.parametrize("text", ["no", "12:34:56", "0200", "2026-01-01", "off", "1_000"])
def test_plain_words_stay_text(load: Load, text: str) -> None:
    assert load(f"agents: {{hermes: {{description: {text}}}}}").agents["hermes"].description == text


def test_a_mac_address_needs_no_quotes(load: Load) -> None:
    network = load("agents: {hermes: {network: {mac_address: 10:20:30:40:50:10}}}").agents["hermes"].network
    assert network.mac_address == "10:20:30:40:50:10"


def test_anchors_and_merge_keys(load: Load) -> None:
    homelab = load(
        "agents:\n"
        "  hermes: {cpu: &cpu {cores: 4}}\n"
        "  librarian: &base {vmid: 119, cpu: *cpu, node: pve2}\n"
        "  scribe: {<<: *base, vmid: 120}\n"
    )
    assert homelab.agents["scribe"] == Agent(name="scribe", vmid=120, node="pve2", cpu=Cpu(cores=4))


# The environment


def test_variables_override_the_file_key_by_key(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__VMID", "119")
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__CPU__LIMIT", "1.5")
    monkeypatch.setenv("homelab_agents__hermes__protect", "false")
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__TAGS", '["lab"]')
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__POOL", "null")
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__DESCRIPTION", "Hermes: the agent")
    hermes = load("agents: {hermes: {vmid: 118, node: pve1, pool: lab, cpu: {cores: 4}}}").agents["hermes"]
    assert hermes == Agent(
        name="hermes",
        vmid=119,
        node="pve1",
        cpu=Cpu(cores=4, limit=1.5),
        protect=False,
        tags=("lab",),
        description="Hermes: the agent",
    )


def test_a_variable_right_below_a_section_is_read_as_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "homelab.yaml").write_text("backend: {type: s3, bucket: states}\nagents: {hermes: {}}\n")
    monkeypatch.setenv("HOMELAB_BACKEND__USE_PATH_STYLE", "true")
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES", '{"vmid": 120}')
    homelab = load_settings(tmp_path)
    assert isinstance(homelab.backend, S3Backend)
    assert homelab.backend.use_path_style is True
    assert homelab.agents["hermes"].vmid == 120


def test_a_variable_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__NETWORK", '{"bridge": "vmbr0"}')
    monkeypatch.setenv("HOMELAB_AGENTS__HERMES__NETWORK__VLAN", "7")
    monkeypatch.setenv("HOMELAB_BACKEND__TYPE", "pg")
    homelab = load_settings(tmp_path)
    assert homelab.agents["hermes"].network == Network(bridge="vmbr0", vlan=7)
    assert homelab.backend == PgBackend()


def test_hyphens_are_underscores_in_variables(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_AGENTS__MY_AGENT__VMID", "121")
    assert load("agents: {my-agent: {vmid: 120}}").agents["my-agent"].vmid == 121


def test_empty_variables_count_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOMELAB_FILE", "HOMELAB_AGENTS__HERMES__VMID", "HOMELAB_TYPO"):
        monkeypatch.setenv(name, "")
    assert load_settings(tmp_path) == Homelab()


H = "HOMELAB_AGENTS__HERMES"
NO_SETTING = "there is no such setting;"


@pytest.mark.parametrize(
    ("variables", "text", "messages"),
    [
        pytest.param(
            {f"{H}__VMID": "99"},
            "",
            [f"{H}__VMID: agents.hermes.vmid: the value is not a VMID; write a whole number from 100 to 999999999."],
            id="value",
        ),
        pytest.param(
            {f"{H}__PROTECT": "yes"},
            "",
            [
                f"{H}__PROTECT: agents.hermes.protect: the value is neither true nor false; write true or false, without quotes."
            ],
            id="boolean",
        ),
        pytest.param(
            {f"{H}__CPU": '{"cores": 0}'},
            "agents: {hermes: {cpu: {cores: 2}}}",
            [
                f"{H}__CPU: agents.hermes.cpu.cores: the value is not a number of cores; write a whole number from 1 to 128."
            ],
            id="inside-a-value",
        ),
        pytest.param(
            {f"{H}__CPU": '{"cores": 4}'},
            "agents: {hermes: {cpu: {limit: -1}}}",
            ["homelab.yaml: agents.hermes.cpu.limit: -1 is not a CPU limit; write a number from 0 to 8192."],
            id="beside-a-value",
        ),
        pytest.param(
            {"HOMELAB_AGENT__HERMES__VMID": "119"},
            "",
            [f"HOMELAB_AGENT__HERMES__VMID: agent: {NO_SETTING} did you mean agents?"],
            id="typo-at-the-top",
        ),
        pytest.param(
            {f"{H}__VMDI": "119"},
            "",
            [f"{H}__VMDI: agents.hermes.vmdi: {NO_SETTING} did you mean vmid?"],
            id="typo-in-an-agent",
        ),
        pytest.param(
            {"HOMELAB_AGENTS__HERMS__VMID": "119"},
            "",
            ["HOMELAB_AGENTS__HERMS__VMID: agents.herms: homelab.yaml has no such agent; the agents there are hermes."],
            id="typo-in-the-name",
        ),
        pytest.param(
            {"HOMELAB_AGENTS__HERMS__VMID": "119", f"{H}__VMID": "1"},
            "agents: {hermes: {}, librarian: {vmid: 119}}",
            [
                (
                    "HOMELAB_AGENTS__HERMS__VMID: agents.herms: homelab.yaml has no such agent; "
                    "the agents there are hermes, librarian."
                ),
                f"{H}__VMID: agents.hermes.vmid: the value is not a VMID; write a whole number from 100 to 999999999.",
            ],
            id="two-problems",
        ),
        pytest.param(
            {"HOMELAB_AGENTS": '{"scribe": {"vmid": 130}}'},
            "",
            ["HOMELAB_AGENTS: agents.scribe: homelab.yaml has no such agent; the agents there are hermes."],
            id="another-agent-in-a-value",
        ),
        pytest.param(
            {"HOMELAB_AGENTS": "hermes"},
            "",
            [
                'HOMELAB_AGENTS: agents: the value is not a mapping; write JSON such as {"key": "value"}, or leave agents out.'
            ],
            id="not-a-mapping",
        ),
        pytest.param(
            {f"{H}__API_TOKEN": "hunter2"},
            "",
            [
                (
                    f"{H}__API_TOKEN: agents.hermes.api_token: "
                    "secrets do not go into homelab.yaml; put api_token into the agent's secrets file."
                )
            ],
            id="secret",
        ),
        pytest.param(
            {f"{H}__VMID": "119"},
            "agents: {hermes: {}, librarian: {vmid: 119}}",
            [
                (
                    f"homelab.yaml with {H}__VMID: agents: "
                    "hermes and librarian both have the VMID 119; give each agent its own."
                )
            ],
            id="clash-with-the-file",
        ),
        pytest.param(
            {f"{H}__VMID__X": "1"},
            "",
            [f"{H}__VMID__X: agents.hermes.vmid: a mapping is not a VMID; write a whole number from 100 to 999999999."],
            id="too-deep",
        ),
        pytest.param(
            {f"{H}__MOUNTS__MP1__GUEST_PATH": "/data"},
            "",
            [
                (
                    f"{H}__MOUNTS__MP1__GUEST_PATH: agents.hermes.mounts: "
                    "mp0 and mp1 both have the guest_path (not shown); give each its own."
                )
            ],
            id="clash-with-a-default-mount",
        ),
        pytest.param(
            {f"{H}__MOUNTS__MP300__HOST_PATH": "/mnt/x"},
            "",
            [
                (
                    f"{H}__MOUNTS__MP300__HOST_PATH: agents.hermes.mounts.mp300: "
                    '"mp300" is not the key of a mount point; write one from mp0 to mp255.'
                ),
                (
                    "homelab.yaml: agents.hermes.mounts.mp300.guest_path: this is missing; "
                    "write where the directory shows in the container, such as /data."
                ),
            ],
            id="key-of-a-mount",
        ),
        pytest.param(
            {f"{H}__MOUNTS__MP0__PATH": "/mnt/x"},
            "",
            [
                f"{H}__MOUNTS__MP0__PATH: agents.hermes.mounts.mp0.path: {NO_SETTING} did you mean host_path or guest_path?"
            ],
            id="key-in-a-mount",
        ),
        pytest.param(
            {f"{H}__SECRETS__LITELLM_API_KEY": "hunter2"},
            "",
            [
                (
                    f"{H}__SECRETS__LITELLM_API_KEY: agents.hermes.secrets: this is not a list; "
                    'write the names of environment variables, such as ["MODEL_API_KEY"].'
                )
            ],
            id="value-of-a-secret",
        ),
        pytest.param(
            {f"{H}__MOUNTS__MP0__UID": "0"},
            "agents: [hermes]",
            ["homelab.yaml: agents: a list is not a mapping; write keys and values, or leave agents out."],
            id="mount-over-a-broken-file",
        ),
        pytest.param(
            {"HOMELAB_BACKEND__TYPE": "gcs"},
            "",
            ["HOMELAB_BACKEND__TYPE: backend.type: the value is not a kind of backend; write local, s3, http or pg."],
            id="backend",
        ),
        pytest.param(
            {f"{H}__VMID": "119"},
            "agents: hermes",
            ['homelab.yaml: agents: "hermes" is not a mapping; write keys and values, or leave agents out.'],
            id="over-a-broken-file",
        ),
    ],
)
def test_the_environment_refuses(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str, messages: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refuse(text) == messages


# What is accepted


MOUNT_DEFAULTS = {
    "kind": "bind",
    "uid": 10000,
    "gid": 10000,
    "mode": "0750",
    "read_only": False,
    "backup": False,
    "replicate": False,
    "shared": False,
    "keepattrs": False,
    "idmap": None,
}


def test_without_a_file_the_settings_are_the_seed(tmp_path: Path) -> None:
    homelab = load_settings(tmp_path)
    assert homelab.backend == LocalBackend()
    # Hermes has a test of its own.
    assert {name: agent.model_dump(mode="json", exclude={"section"}) for name, agent in homelab.agents.items()} == {
        "hermes": {
            "node": "gihyeon",
            "vmid": 118,
            "hostname": "hermes",
            "description": "Hermes Agent (Nous Research), managed by Terraform",
            "tags": ["ai", "agent", "terraform"],
            "cpu": {"cores": 2, "limit": 0},
            "memory": {"dedicated_mib": 4096, "swap_mib": 512},
            "disk": {"datastore": "local-lvm", "size_gib": 24},
            "network": {
                "bridge": "intra01",
                "address": "dhcp",
                "gateway": None,
                "vlan": None,
                "mac_address": None,
                "mtu": None,
                "firewall": False,
            },
            "dns": {"servers": ["1.1.1.1"], "domain": None},
            "template": {
                "url": f"http://download.proxmox.com/images/system/{DEBIAN}",
                "checksum": "50c85eaaece677a3ebe01cc909b83872e9da2a22c29ae652838afce71e83222f"
                "df40f6accecd7d52b180e912fc1f85ecdf7b3fc4d3027da4d865e509a9e76597",
                "checksum_algorithm": "sha512",
                "file_id": None,
                "datastore": "local",
            },
            "os_type": "debian",
            "start_on_boot": True,
            "started": True,
            "protect": True,
            "adopt": False,
            "pool": None,
            "ssh_public_keys": [],
            "startup": None,
            "delivery": "root",
            "mounts": {
                "mp0": {"host_path": "/mnt/pve/hdd/hermes", "guest_path": "/data", **MOUNT_DEFAULTS},
                "mp1": {"host_path": "/media/2tb/hermes", "guest_path": "/fast", **MOUNT_DEFAULTS},
            },
            "devices": {},
            "keyctl": True,
            "secrets": ["LITELLM_API_KEY", "API_SERVER_KEY"],
        }
    }
    assert homelab.agents["hermes"].name == "hermes"


def test_another_agent_differs_by_what_is_its_own(load: Load) -> None:
    agents = load("agents: {hermes: {}, librarian: {vmid: 119}}").agents
    hermes, librarian = (agents[name].model_dump() for name in ("hermes", "librarian"))
    assert hermes.keys() - librarian.keys() == {"hermes"}
    assert {key: value for key, value in librarian.items() if value != hermes[key]} == {
        "vmid": 119,
        "hostname": "librarian",
        "description": "librarian, managed by Terraform",
        "mounts": {},
        "secrets": (),
    }


def test_fifty_agents(load: Load) -> None:
    names = [f"agent-{number}" for number in range(50)]
    text = yaml.safe_dump({"agents": {name: {"vmid": 200 + i} for i, name in enumerate(names)}}, sort_keys=False)
    assert [(agent.name, agent.vmid) for agent in load(text).agents.values()] == [
        (name, 200 + i) for i, name in enumerate(names)
    ]


def test_a_static_address(load: Load) -> None:
    text = "agents: {hermes: {network: {address: 192.168.1.20/24, gateway: 192.168.1.1, mac_address: 'bc:24:11:12:34:56'}}}"
    network = load(text).agents["hermes"].network
    assert not network.is_dhcp
    assert (network.address, network.gateway) == ("192.168.1.20/24", "192.168.1.1")
    assert network.mac_address == "BC:24:11:12:34:56"
    assert Network().is_dhcp


def test_a_point_to_point_network_has_hosts_only() -> None:
    assert Network(address="10.0.0.0/31", gateway="10.0.0.1").gateway == "10.0.0.1"


def test_two_agents_may_use_dhcp_and_have_no_mac_address(load: Load) -> None:
    assert len(load("agents: {a1: {vmid: 101}, a2: {vmid: 102}}").agents) == 2


def test_a_template_that_is_already_there(load: Load) -> None:
    template = load(f"agents: {{hermes: {{template: {{file_id: 'nas:vztmpl/{DEBIAN}'}}}}}}").agents["hermes"].template
    assert (template.url, template.checksum, template.datastore) == (None, None, "nas")
    assert template.file_name == DEBIAN


def test_the_file_name_of_a_download() -> None:
    assert Template().file_name == DEBIAN
    assert Template(url="https://h/a/t.tar.gz?raw=1", checksum="A" * 128).file_name == "t.tar.gz"
    assert Template(url="https://h/a/t.tar.gz", checksum="A" * 128).checksum == "a" * 128


def test_another_datastore_keeps_the_default_template() -> None:
    assert Template(datastore="nas") == Template().model_copy(update={"datastore": "nas"})


def test_a_startup_in_which_nothing_is_stated_is_none(load: Load) -> None:
    assert load("agents: {hermes: {startup: {order: null}}}").agents["hermes"].startup is None
    assert load("agents: {hermes: {startup: {order: 0}}}").agents["hermes"].startup == Startup(order=0)


def test_public_keys(load: Load) -> None:
    assert load(f"agents: {{hermes: {{ssh_public_keys: ['{PUBLIC_KEY}']}}}}").agents["hermes"].ssh_public_keys == (
        PUBLIC_KEY,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{type: local}", {}),
        ("{type: s3, bucket: states}", {"bucket": "states", "key": "hermes.tfstate"}),
        (
            "{type: s3, bucket: states, key: 'lab/{stack}', region: eu, endpoint: 'https://s3.lan:9000'}",
            {"bucket": "states", "key": "lab/hermes", "region": "eu", "endpoint": "https://s3.lan:9000"},
        ),
        (
            (
                "{type: http, address: 'https://h/{stack}', lock_address: 'https://h/{stack}/l', "
                "unlock_address: 'https://h/{stack}/u'}"
            ),
            {
                "address": "https://h/hermes",
                "lock_address": "https://h/hermes/l",
                "unlock_address": "https://h/hermes/u",
            },
        ),
        ("{type: pg}", {"schema_name": "hermes"}),
    ],
    ids=["local", "s3", "s3-elsewhere", "http", "pg"],
)
def test_a_backend_keeps_each_stack_apart(load: Load, text: str, expected: dict[str, str]) -> None:
    backend = load(f"backend: {text}").backend.for_stack("hermes")
    assert {key: value for key, value in backend if value and key != "type"} == expected


# Mounts, devices, secrets

MOUNT = "host_path: /mnt/pve/hdd/x, guest_path: /x"
JSON_MOUNT = '"host_path": "/mnt/pve/hdd/x", "guest_path": "/x"'


def mount(**fields: Any) -> BindMount:
    return BindMount(**{"host_path": "/mnt/pve/hdd/x", "guest_path": "/x", **fields})


def test_the_mounts_that_are_stated_are_all_there_are(load: Load) -> None:
    assert load("agents: {hermes: {mounts: {}}}").agents["hermes"].mounts == {}
    assert load(f"agents: {{hermes: {{mounts: {{mp7: {{{MOUNT}}}}}}}}}").agents["hermes"].mounts == {"mp7": mount()}


def test_mounts_and_devices_are_in_the_order_of_their_numbers(load: Load) -> None:
    mounts = ", ".join(f"mp{n}: {{host_path: /mnt/x/{n}, guest_path: /x/{n}}}" for n in (10, 9, 255, 0))
    devices = ", ".join(f"dev{n}: {{path: /dev/x{n}}}" for n in (10, 9, 255, 0))
    agent = load(f"agents: {{hermes: {{mounts: {{{mounts}}}, devices: {{{devices}}}}}}}").agents["hermes"]
    assert list(agent.mounts) == ["mp0", "mp9", "mp10", "mp255"]
    assert list(agent.devices) == ["dev0", "dev9", "dev10", "dev255"]


def test_a_guest_path_may_lie_in_that_of_a_lower_key(load: Load) -> None:
    text = "mp9: {host_path: /mnt/a/b, guest_path: /x}, mp10: {host_path: /mnt/a/c, guest_path: /x/y}"
    assert len(load(f"agents: {{hermes: {{mounts: {{{text}}}}}}}").agents["hermes"].mounts) == 2


def test_paths_that_only_begin_alike_are_apart(load: Load) -> None:
    text = "mp0: {host_path: /mnt/a/bc, guest_path: /xy}, mp1: {host_path: /mnt/a/b, guest_path: /x}"
    assert len(load(f"agents: {{hermes: {{mounts: {{{text}}}}}}}").agents["hermes"].mounts) == 2


def test_every_clash_of_mounts_is_said(refuse: Refuse) -> None:
    text = ", ".join(f"mp{n}: {{{MOUNT}}}" for n in (0, 1))
    devices = ", ".join(f"dev{n}: {{path: /dev/fuse}}" for n in (0, 1, 2))
    assert refuse(f"agents: {{hermes: {{mounts: {{{text}}}, devices: {{{devices}}}}}}}") == [
        'homelab.yaml: agents.hermes.mounts: mp0 and mp1 both have the guest_path "/x"; give each its own.',
        'homelab.yaml: agents.hermes.mounts: mp0 and mp1 both have the host_path "/mnt/pve/hdd/x"; keep one of them.',
        'homelab.yaml: agents.hermes.devices: dev0 and dev1 both have the path "/dev/fuse"; keep one of them.',
        'homelab.yaml: agents.hermes.devices: dev0 and dev2 both have the path "/dev/fuse"; keep one of them.',
    ]


def test_a_mount_says_all_that_is_wrong_with_it(refuse: Refuse) -> None:
    assert refuse("agents: {hermes: {mounts: {data: /mnt/x}}}") == [
        'homelab.yaml: agents.hermes.mounts.data: "data" is not the key of a mount point; write one from mp0 to mp255.',
        (
            'homelab.yaml: agents.hermes.mounts.data: "/mnt/x" is not a mapping; '
            "write keys and values, or leave data out."
        ),
    ]
    ranges = "idmap: 'u:0:0:1;g:0:0:1'"
    assert refuse(f"agents: {{hermes: {{mounts: {{mp0: {{{MOUNT}, {ranges}}}}}}}}}") == [
        (
            f"homelab.yaml: agents.hermes.mounts.mp0.idmap: no range covers the {kind} 10000, "
            f"to which the directory is to belong; add one such as {kind[0]}:10000:110000:1."
        )
        for kind in ("uid", "gid")
    ]


def test_ids_that_are_wrong_are_not_looked_up_in_an_idmap(refuse: Refuse) -> None:
    assert refuse(f"agents: {{hermes: {{mounts: {{mp0: {{{MOUNT}, uid: -1, idmap: 'g:10000:5:1'}}}}}}}}") == [
        (
            "homelab.yaml: agents.hermes.mounts.mp0.uid: -1 is not a user's or group's id in an unprivileged container; "
            "write a whole number from 0 to 65535."
        )
    ]


@pytest.mark.parametrize(
    "agents",
    [
        "a1: {vmid: 101, mounts: {mp0: {%(m)s}}}, a2: {vmid: 102, mounts: {mp0: {%(m)s, read_only: true}}}",
        "a1: {vmid: 101, node: n1, mounts: {mp0: {%(m)s}}}, a2: {vmid: 102, node: n2, mounts: {mp0: {%(m)s, uid: 0}}}",
        (
            "a1: {vmid: 101, node: n1, mounts: {mp0: {%(m)s, shared: true}}}, "
            "a2: {vmid: 102, node: n2, mounts: {mp0: {%(m)s, uid: 0}}}"
        ),
        (
            "a1: {vmid: 101, mounts: {mp0: {%(m)s, uid: 5}}}, "
            "a2: {vmid: 102, mounts: {mp0: {%(m)s, idmap: 'u:10000:100005:1;u:5:110000:1;g:10000:110000:1'}}}"
        ),
    ],
    ids=["same-owner", "other-node", "other-node-shared-once", "same-owner-on-the-node"],
)
def test_two_agents_may_have_one_directory(load: Load, agents: str) -> None:
    assert len(load(f"agents: {{{agents % {'m': MOUNT}}}}").agents) == 2


@pytest.mark.parametrize(
    ("fields", "owner"),
    [
        ({}, (110000, 110000)),
        ({"uid": 0, "gid": 65535}, (100000, 165535)),
        ({"idmap": "passthrough"}, (10000, 10000)),
        ({"idmap": "u:0:100000:65536;g:0:100000:65536"}, (110000, 110000)),
        ({"idmap": "u:10000:1000:1;g:0:0:1;g:9999:33:2"}, (1000, 34)),
        ({"uid": 3, "gid": 4, "idmap": "g:0:5:5;u:0:7:4"}, (10, 9)),
        ({"idmap": None}, (110000, 110000)),
    ],
)
def test_the_owner_on_the_node(fields: dict[str, Any], owner: tuple[int, int]) -> None:
    assert (mount(**fields).host_uid, mount(**fields).host_gid) == owner


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_a_container_has_its_own_ids_on_the_node(uid: int, gid: int) -> None:
    assert (mount(uid=uid, gid=gid).host_uid, mount(uid=uid, gid=gid).host_gid) == (100000 + uid, 100000 + gid)
    straight = mount(uid=uid, gid=gid, idmap="passthrough")
    assert (straight.host_uid, straight.host_gid) == (uid, gid)
    moved = mount(uid=uid, gid=gid, idmap=f"u:{uid}:7:1;g:{gid}:9:1")
    assert (moved.host_uid, moved.host_gid) == (7, 9)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"replicate": "0"}),
        ({"replicate": True}, {}),
        ({"read_only": True}, {"replicate": "0", "ro": "1"}),
        ({"backup": True, "shared": True}, {"backup": "1", "replicate": "0", "shared": "1"}),
        ({"keepattrs": True, "replicate": True}, {"keepattrs": "1"}),
        ({"idmap": "passthrough", "mode": "777", "uid": 0}, {"idmap": "passthrough", "replicate": "0"}),
    ],
)
def test_the_options_of_a_mount(fields: dict[str, Any], options: dict[str, str]) -> None:
    assert list(mount(**fields).options.items()) == list(options.items())


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {}),
        ({"mode": "660"}, {}),
        ({"gid": 104, "mode": "0666"}, {"gid": "104", "mode": "0666"}),
        ({"uid": 10000, "deny_write": True}, {"deny-write": "1", "uid": "10000"}),
    ],
)
def test_the_options_of_a_device(fields: dict[str, Any], options: dict[str, str]) -> None:
    assert list(Device(path="/dev/dri/renderD128", **fields).options.items()) == list(options.items())


def test_octal_text_needs_no_quotes(load: Load) -> None:
    agent = load(f"agents: {{hermes: {{mounts: {{mp0: {{{MOUNT}, mode: 0755}}}}}}}}").agents["hermes"]
    assert agent.mounts["mp0"].mode == "0755"


def test_variables_change_a_default_mount(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{H}__MOUNTS__MP0__HOST_PATH", "/mnt/other")
    monkeypatch.setenv(f"{H}__MOUNTS__MP0__MODE", "0770")
    seed = Homelab().agents["hermes"].mounts
    expected = {"mp0": BindMount(host_path="/mnt/other", guest_path="/data", mode="0770"), "mp1": seed["mp1"]}
    assert load_settings(tmp_path).agents["hermes"].mounts == expected
    assert load("agents: {hermes: {vmid: 120}}").agents["hermes"].mounts == expected
    # Nothing of it stays in the defaults.
    assert Homelab().agents["hermes"].mounts == seed


def test_variables_change_a_mount_that_is_stated(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{H}__MOUNTS__MP0__READ_ONLY", "true")
    monkeypatch.setenv("HOMELAB_AGENTS__SCRIBE__DEVICES__DEV0__PATH", "/dev/fuse")
    agents = load(f"agents: {{hermes: {{mounts: {{mp0: {{{MOUNT}}}}}}}, scribe: {{vmid: 119}}}}").agents
    assert agents["hermes"].mounts == {"mp0": mount(read_only=True)}
    assert (agents["scribe"].mounts, agents["scribe"].devices) == ({}, {"dev0": Device(path="/dev/fuse")})


def test_a_variable_states_all_mounts(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_AGENTS", f'{{"hermes": {{"mounts": {{"mp3": {{{JSON_MOUNT}}}}}}}}}')
    assert load_settings(tmp_path).agents["hermes"].mounts == {"mp3": mount()}
    monkeypatch.delenv("HOMELAB_AGENTS")
    monkeypatch.setenv(f"{H}__MOUNTS", "{}")
    assert load_settings(tmp_path).agents["hermes"].mounts == {}
    monkeypatch.setenv(f"{H}__MOUNTS__MP3", f"{{{JSON_MOUNT}}}")
    assert load("agents: {hermes: {}}").agents["hermes"].mounts == {"mp3": mount()}


def test_secrets_are_names(load: Load) -> None:
    text = "agents: {hermes: {secrets: [TELEGRAM_BOT_TOKEN, K, AWS_REGION, HERMES_DASHBOARD, A_VERY_LONG_NAME_2]}}"
    assert load(text).agents["hermes"].secrets == (
        *("TELEGRAM_BOT_TOKEN", "K", "AWS_REGION", "HERMES_DASHBOARD", "A_VERY_LONG_NAME_2"),
    )
    assert load("agents: {hermes: {secrets: []}}").agents["hermes"].secrets == ()


# Frozen, written out, described


@pytest.mark.parametrize(
    "change",
    [
        lambda homelab: setattr(homelab, "backend", LocalBackend()),
        lambda homelab: setattr(homelab.agents["hermes"], "vmid", 1),
        lambda homelab: setattr(homelab.agents["hermes"].cpu, "cores", 1),
        lambda homelab: setattr(homelab.backend, "type", "pg"),
        lambda homelab: setattr(homelab.agents["hermes"].mounts["mp0"], "uid", 0),
    ],
    ids=["homelab", "agent", "cpu", "backend", "mount"],
)
def test_settings_are_frozen(change: Callable[[Homelab], None]) -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        change(Homelab())


def test_the_agents_cannot_be_changed() -> None:
    agents: Any = Homelab().agents
    with pytest.raises(TypeError):
        agents["librarian"] = agents["hermes"]
    for mapping in (agents["hermes"].mounts, agents["hermes"].devices):
        with pytest.raises(TypeError):
            mapping["mp0"] = None
    assert isinstance(agents["hermes"].tags, tuple)


def test_an_agent_keeps_its_own_name() -> None:
    with pytest.raises(pydantic.ValidationError, match="scribe is the key of the agent librarian"):
        Homelab(agents={"scribe": Agent(name="librarian", vmid=119)})


LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])", fullmatch=True)
AGENT = st.fixed_dictionaries(
    {},
    optional={
        "node": LABEL,
        "description": st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters="\n"), max_size=80),
        "tags": st.lists(LABEL, unique=True, max_size=3),
        "cpu": st.fixed_dictionaries({"limit": st.floats(0, 8192) | st.integers(0, 8192)}),
        "memory": st.fixed_dictionaries({"dedicated_mib": st.integers(16, 65536)}),
        "network": st.fixed_dictionaries({"vlan": st.none() | st.integers(1, 4094), "firewall": st.booleans()}),
        "template": st.just({"file_id": f"nas:vztmpl/{DEBIAN}"}),
        "startup": st.none() | st.fixed_dictionaries({"order": st.none() | st.integers(0, 9)}),
        "ssh_public_keys": st.just([PUBLIC_KEY]),
        "protect": st.booleans(),
        "mounts": st.just({})
        | st.just({"mp10": {"host_path": "/mnt/ä b/x", "guest_path": "/x", "mode": "755", "idmap": "passthrough"}}),
        "devices": st.just({"dev1": {"path": "/dev/fuse", "mode": "666", "uid": 5}}),
        "keyctl": st.booleans(),
        "secrets": st.lists(st.from_regex(r"[A-F]_[A-Z0-9_]{0,9}", fullmatch=True), unique=True, max_size=2),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(agents=st.dictionaries(LABEL.filter(lambda name: not name.endswith("-root")), AGENT, min_size=1, max_size=3))
def test_what_is_loaded_and_written_out_loads_the_same(tmp_path: Path, agents: dict[str, dict[str, Any]]) -> None:
    path = tmp_path / "homelab.yaml"
    numbered = {name: {**agent, "vmid": 100 + i} for i, (name, agent) in enumerate(agents.items())}
    path.write_text(yaml.safe_dump({"agents": numbered}, allow_unicode=True), encoding="utf-8")
    homelab = load_settings(tmp_path)
    path.write_text(yaml.safe_dump(homelab.model_dump(mode="json"), allow_unicode=True), encoding="utf-8")
    assert load_settings(tmp_path) == homelab


def test_the_example_is_the_defaults(load: Load) -> None:
    assert load(EXAMPLE.read_text(encoding="utf-8")) == Homelab()


def test_the_example_states_every_setting() -> None:
    hermes = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["agents"]["hermes"]
    # Each of the other kinds has an example of its own.
    assert hermes.keys() == Agent.known_keys().keys() - (set(kinds()) - {"hermes"})
    assert hermes["mounts"]["mp0"].keys() == BindMount.model_fields.keys()
    for section, fields in hermes.items():
        if isinstance(fields, dict) and section not in {"mounts", "devices", "hermes"}:
            annotation: Any = Agent.model_fields[section].annotation
            model = Startup if section == "startup" else annotation
            assert fields.keys() == model.model_fields.keys() - {"file_id"}, section


def test_what_the_example_shows_in_comments_loads(load: Load) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    _, *kinds = text.split("  # type: ")
    for kind in kinds:
        lines = [line.removeprefix("  # ") for line in f"type: {kind}".splitlines()]
        settings_of = lines[: next((i for i, line in enumerate(lines) if line.strip() in {"", "#"}), None)]
        assert load(yaml.safe_dump({"backend": yaml.safe_load("\n".join(settings_of))})).backend
    device = text.replace("    devices: {}", "    # here:").replace("\n    # devices:\n", "\n    devices:\n")
    for key in ("  dev0:", *(f"    {field}:" for field in Device.model_fields)):
        assert f"\n    # {key}" in device
        device = device.replace(f"\n    # {key}", f"\n    {key}")
    assert load(device).agents["hermes"].devices == {"dev0": Device(path="/dev/dri/renderD128")}
    assert "librarian" in load(text.replace("  # librarian:\n  #   vmid", "  librarian:\n    vmid")).agents


def test_the_storage_that_the_example_shows_in_comments_loads_and_has_every_setting(load: Load) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    head, _, rest = text.partition("storage: null\n# storage:")
    commented, agents = rest.split("\n\n", 1)
    section = "storage:" + commented.replace("\n# ", "\n")
    assert load(f"{head}{section}\n\n{agents}").storage == Storage(volumes={"hermes-home": StoredVolume(size_gib=32)})
    stated = yaml.safe_load(section)["storage"]
    assert stated.keys() == Storage.model_fields.keys()
    assert stated["volumes"]["hermes-home"].keys() == StoredVolume.model_fields.keys()


def test_the_example_names_the_schema() -> None:
    assert EXAMPLE.read_text(encoding="utf-8").startswith(
        f"# yaml-language-server: $schema={SCHEMA.relative_to(ROOT)}\n"
    )


def test_the_schema_is_current() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "pve_agents.settings"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    assert SCHEMA.read_text(encoding="utf-8") == printed, (
        "run: python -m pve_agents.settings > schemas/homelab.schema.json"
    )


def test_the_page_of_all_settings_is_current() -> None:
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference(), (
        "run: python -m pve_agents.settings reference > docs/reference.md"
    )


def test_the_page_of_all_settings_has_every_setting() -> None:
    page = reference()
    for model, definition in json_schema()["$defs"].items():
        for name, field in definition.get("properties", {}).items():
            assert f"\n| `{name}` | {field['description'][:20]}" in page.replace("&lt;", "<"), f"{model}.{name}"


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_schema_accepts_the_example(schema: jsonschema.Draft202012Validator) -> None:
    schema.validate(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    schema.validate({"agents": {"librarian": {"vmid": 119}}, "backend": {"type": "s3", "bucket": "states"}})


@pytest.mark.parametrize(
    "settings_",
    [
        {"agent": {}},
        {"agents": {}},
        {"agents": {"librarian": {}}},
        {"agents": {"hermes-root": {"vmid": 119}}},
        {"agents": {"Hermes": {"vmid": 119}}},
        {"agents": {"hermes": {"vmdi": 118}}},
        {"agents": {"hermes": {"name": "hermes"}}},
        {"agents": {"hermes": {"vmid": 99}}},
        {"agents": {"hermes": {"vmid": "118"}}},
        {"agents": {"hermes": {"network": {"brigde": "vmbr0"}}}},
        {"agents": {"hermes": {"protect": "yes"}}},
        {"agents": {"hermes": {"os_type": "Debian"}}},
        {"agents": {"hermes": {"mounts": {"mp256": {"host_path": "/mnt/x/y", "guest_path": "/x"}}}}},
        {"agents": {"hermes": {"mounts": {"mp0": {"host_path": "/mnt/x/y"}}}}},
        {"agents": {"hermes": {"mounts": {"mp0": {"host_path": "mnt/x/y", "guest_path": "/x"}}}}},
        {"agents": {"hermes": {"devices": {"fuse": {"path": "/dev/fuse"}}}}},
        {"agents": {"hermes": {"devices": {"dev0": {"path": "/etc/fuse"}}}}},
        {"agents": {"hermes": {"secrets": ["LITELLM_API_KEY=hunter2"]}}},
        {"agents": {"hermes": {"keyctl": 1}}},
        {"backend": {"type": "gcs"}},
        {"backend": {"type": "s3"}},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses(schema: jsonschema.Draft202012Validator, settings_: dict[str, Any]) -> None:
    assert not schema.is_valid(settings_)


def test_every_setting_is_described_in_the_schema() -> None:
    for model, definition in json_schema()["$defs"].items():
        for name, field in definition.get("properties", {}).items():
            assert field.get("description"), f"{model}.{name}"


def test_loading_prints_nothing(load: Load, capfd: pytest.CaptureFixture[str]) -> None:
    load("agents: {hermes: {}}")
    assert capfd.readouterr() == ("", "")
