"""Which spellings the domain types accept."""

import contextlib
import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pve_agents import types
from pve_agents.types import (
    AgentName,
    Bridge,
    CpuLimit,
    DatastoreId,
    DnsServer,
    Gateway,
    GuestAddress,
    GuestPath,
    Hostname,
    HostPath,
    MacAddress,
    Mtu,
    NodeName,
    PoolId,
    SshPublicKey,
    Tag,
    TemplateFileId,
    VlanId,
    Vmid,
    is_credential_name,
    shown,
)


def read(type_: Any, value: object) -> Any:
    return TypeAdapter(type_).validate_python(value)


def refusal(type_: Any, value: object) -> str:
    with pytest.raises(ValidationError) as error:
        read(type_, value)
    [details] = error.value.errors()
    assert details["type"] == "value_error"
    return str(details.get("ctx", {})["error"])


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Vmid, 100),
        (Vmid, 999_999_999),
        (VlanId, 4094),
        (Mtu, 64),
        (Mtu, 65_535),
        (CpuLimit, 0.5),
        (CpuLimit, 8192),
        (NodeName, "pve-1"),
        (NodeName, "PVE"),
        (Bridge, "vmbr0"),
        (Bridge, "abcdefghijklmno"),
        (DatastoreId, "local-lvm"),
        (PoolId, "lab/agents"),
        (Hostname, "hermes.home.arpa"),
        (AgentName, "a" * 40),
        (AgentName, "root"),
        (Tag, "a+b.c-d_1"),
        (MacAddress, "BC:24:11:00:00:01"),
        (GuestPath, "/data"),
        (GuestPath, "/with space/ünïcode/..hidden"),
        (HostPath, "/mnt/pve/hdd/hermes"),
        (HostPath, "/device"),
        (GuestPath, "/dev/hermes"),
        (TemplateFileId, "local:vztmpl/debian.tar.zst"),
        (TemplateFileId, "local:vztmpl/hermes_1.tar"),
        (GuestAddress, "dhcp"),
        (GuestAddress, "10.0.0.7/32"),
        (Gateway, "10.0.0.1"),
        (DnsServer, "fd00::1"),
    ],
)
def test_accepted_as_it_is(type_: Any, value: object) -> None:
    assert read(type_, value) == value


PATH = 'write an absolute path below /, without comma, =, ", \\ or control characters'
PLAIN = 'has an empty, "." or ".." part; write the plain path, without a slash at its end'


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        (GuestPath, "data", f'"data" is not a path in the container; {PATH}'),
        (GuestPath, "/", f'"/" is not a path in the container; {PATH}'),
        (GuestPath, "/a,b", f'"/a,b" is not a path in the container; {PATH}'),
        (GuestPath, "/a=b", f'"/a=b" is not a path in the container; {PATH}'),
        (GuestPath, '/a"b', f'"/a\\"b" is not a path in the container; {PATH}'),
        (GuestPath, "/a\nb", f'"/a\\nb" is not a path in the container; {PATH}'),
        (GuestPath, "/a\n", f'"/a\\n" is not a path in the container; {PATH}'),
        (GuestPath, None, f"null is not a path in the container; {PATH}"),
        (GuestPath, "/a/../b", f'"/a/../b" {PLAIN}'),
        (GuestPath, "/..", f'"/.." {PLAIN}'),
        (GuestPath, "/a/.", f'"/a/." {PLAIN}'),
        (GuestPath, "//a", f'"//a" {PLAIN}'),
        (GuestPath, "/a/", f'"/a/" {PLAIN}'),
        (HostPath, "~/x", f'"~/x" is not a path on the host; {PATH}'),
        (HostPath, "/mnt/../etc", f'"/mnt/../etc" {PLAIN}'),
        (HostPath, "/dev/sda", '"/dev/sda" is a device for Proxmox VE; write a directory outside /dev'),
        (HostPath, "/dev", '"/dev" is a device for Proxmox VE; write a directory outside /dev'),
        (Vmid, float("inf"), "Infinity is not a VMID; write a whole number from 100 to 999999999"),
        (CpuLimit, float("nan"), "NaN is not a CPU limit; write a number from 0 to 8192"),
        (CpuLimit, True, "true is not a CPU limit; write a number from 0 to 8192"),
        (
            GuestAddress,
            "0.0.0.5/24",
            (
                '"0.0.0.5/24" is not the address of a host in a network; '
                "write dhcp, or an IPv4 address with its prefix such as 192.168.1.20/24"
            ),
        ),
        (NodeName, b"pve", "\"b'pve'\" is not a node name; write letters, digits and hyphens, such as pve1"),
    ],
)
def test_refused(type_: Any, value: object, message: str) -> None:
    assert refusal(type_, value) == message


@given(st.integers())
def test_a_vmid_is_what_proxmox_ve_takes(number: int) -> None:
    if 100 <= number <= 999_999_999:
        assert read(Vmid, number) == number
    else:
        assert str(number)[:10] in refusal(Vmid, number)


@given(st.binary(min_size=6, max_size=6))
def test_a_mac_address_is_unicast_and_upper_case(raw: bytes) -> None:
    spelled = raw.hex(":")
    if raw[0] & 1 or not any(raw):
        assert spelled in refusal(MacAddress, spelled)
    else:
        assert read(MacAddress, spelled) == spelled.upper() == read(MacAddress, spelled.upper())


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_an_address_belongs_to_a_host(ip: ipaddress.IPv4Address, prefix: int) -> None:
    spelled = f"{ip}/{prefix}"
    try:
        assert read(GuestAddress, spelled) == spelled
    except ValidationError:
        return
    network = ipaddress.IPv4Interface(spelled).network
    assert prefix >= 8
    assert prefix > 30 or ip not in {network.network_address, network.broadcast_address}


@given(st.text())
def test_a_tag_never_changes_in_proxmox_ve(text: str) -> None:
    try:
        tag = read(Tag, text)
    except ValidationError:
        return
    assert tag == text == text.lower()
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_+.\-]*", tag)


@given(st.text() | st.from_regex(r"/[ -~]*", fullmatch=True))
def test_a_path_is_one_value_of_a_mount_point(text: str) -> None:
    try:
        path = read(GuestPath, text)
    except ValidationError:
        return
    assert path == text
    assert path.startswith("/")
    assert len(path) > 1
    assert not set(path) & set(',="\\\n\0')
    assert not {"", ".", ".."} & set(path[1:].split("/"))


@given(st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.lists(st.integers()))
def test_whatever_comes_the_phrase_is_ours(value: object) -> None:
    for name in types.__all__:
        type_ = getattr(types, name)
        if name[0].isupper() and not isinstance(type_, type):
            with contextlib.suppress(ValidationError):
                read(type_, value)
                continue
            assert "\n" not in refusal(type_, value), name


ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


@pytest.mark.parametrize(
    "text",
    [
        f"ssh-ed25519 {ED25519} me\nssh-ed25519 {ED25519} you",
        f"ssh-rsa {ED25519}",
        "ssh-dss AAAAB3NzaC1kc3MAAAAhAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
        "ssh-ed25519",
    ],
    ids=["two-lines", "another-type", "unsupported-type", "no-key"],
)
def test_what_is_not_one_public_key(text: str) -> None:
    assert read(SshPublicKey, f" ssh-ed25519 {ED25519} me\n") == f"ssh-ed25519 {ED25519} me"
    assert refusal(SshPublicKey, text).startswith("this is not an SSH public key; write one line from a .pub file")


def test_an_ssh_public_key_is_never_repeated() -> None:
    assert "hunter2" not in refusal(SshPublicKey, "ssh-ed25519 hunter2")


@pytest.mark.parametrize(
    "name",
    ["token", "api_token", "apiToken", "API-KEY", "litellm_api_key", "password", "secret", "private_key", "conn_str"],
)
def test_names_of_credentials(name: str) -> None:
    assert is_credential_name(name)


@pytest.mark.parametrize("name", ["key", "ssh_public_keys", "hostname", "max_tokens", "keyboard", "passage"])
def test_names_of_other_things(name: str) -> None:
    assert not is_credential_name(name)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("a", '"a"'),
        ("ä", '"ä"'),
        ("\x1b[0m", '"\\u001b[0m"'),
        ("\u202e", '"\\u202e"'),
        ("x" * 61, f'"{"x" * 60}…"'),
        ({"password": "hunter2"}, "a mapping"),
        (["hunter2"], "a list"),
    ],
)
def test_values_in_messages(value: object, spelled: str) -> None:
    assert shown(value) == spelled


@pytest.mark.parametrize(
    "value",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "root@pam!tf=12345678-1234-1234-1234-123456789abc",
        "https://me:hunter2@host/",
        "sk-0123456789abcdef",
        "ghp_0123456789abcdef",
    ],
)
def test_what_may_be_a_secret_is_hidden(value: str) -> None:
    assert shown(value) == "the value, hidden because it may be a secret,"
