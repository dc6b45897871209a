"""Which spellings the domain types accept."""

import contextlib
import ipaddress
import re
import string
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
    DeviceKey,
    DeviceMode,
    DevicePath,
    DnsServer,
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
    MountKey,
    Mtu,
    NodeName,
    PoolId,
    SshPublicKey,
    Tag,
    TemplateFileId,
    VlanId,
    Vmid,
    id_on_disk,
    is_credential_name,
    lies_in,
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
        (HostPath, "/mnt/pve/hdd/my files/ünïcode 日本"),
        (HostPath, "/mnt/other"),
        (HostPath, "/media/2tb"),
        (HostPath, "/device/x"),
        (HostPath, "/etcetera/x"),
        (HostPath, "/home/x"),
        (HostPath, "/var/lib/hermes"),
        (HostPath, "/var/lib/systemd-like/x"),
        (HostPath, "/mnt/pve2/hdd"),
        (HostPath, "/mnt/" + "ä" * 509 + "x"),
        (GuestPath, "/devices"),
        (GuestPath, "/srv"),
        (GuestPath, "/mnt"),
        (GuestPath, "/mnt/x"),
        (GuestPath, "/opt/x"),
        (GuestPath, "/home/x"),
        (GuestPath, "/var/lib/x"),
        (GuestPath, "/usr/local/x"),
        (GuestPath, "/root/x"),
        (GuestPath, "/etc/x"),
        (MountKey, "mp0"),
        (DeviceKey, "dev255"),
        (DevicePath, "/dev/dri/renderD128"),
        (DevicePath, "/dev/serial/by-id/usb-1_2:3+4.5"),
        (DevicePath, "/dev/mem2"),
        (GuestId, 0),
        (GuestId, 65_535),
        (FileMode, "0750"),
        (FileMode, "7777"),
        (DeviceMode, "0660"),
        (IdMap, "passthrough"),
        (IdMap, "u:0:100000:65536;g:0:100000:65536"),
        (IdMap, "u:65535:4294967294:1"),
        (IdMap, "u:10000:99999:1;g:10000:165536:9"),
        (IdMap, "u:10000:100500:2;u:501:7:1;u:500:8:1"),
        (EnvName, "LITELLM_API_KEY"),
        (EnvName, "A" * 15 + "_" + "1" * 48),
        (EnvName, "ABCDEFGHIJKLMNOPQRST"),
        (EnvName, "PATHS"),
        (EnvName, "MY_PATH"),
        (EnvName, "HERMES_DASHBOARD"),
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


PATH = "write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters"
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
        (GuestPath, "/a'b", f'"/a\'b" is not a path in the container; {PATH}'),
        (GuestPath, "/a ", '"/a " ends in a space, which gets lost on its way; write the path without it'),
        (GuestPath, "/a\u2028b", '"/a\\u2028b" has a character that cannot be printed; write the path without it'),
        (GuestPath, "/\ud800", '"/\\ud800" has a character that cannot be printed; write the path without it'),
        (
            GuestPath,
            "/" + "ä" * 512,
            f'"/{"ä" * 59}…" is 1025 bytes long; {PATH}',
        ),
        (GuestPath, "/" + "a" * 1024, f'"/{"a" * 59}…" is not a path in the container; {PATH}'),
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


HOST_SYSTEM = (
    *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc"),
    *("/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var", "/var/lib"),  # noqa: S108 - refused
)
HOST_STATE = (
    *("apt", "ceph", "chrony", "corosync", "dbus", "dhcp", "dpkg", "frr"),
    *("grub", "ifupdown2", "initramfs-tools", "iscsi", "lxc", "lxcfs", "machines", "nfs"),
    *("pam", "polkit-1", "portables", "postfix", "private", "proxmox-backup", "pve-cluster", "pve-firewall"),
    *("pve-manager", "qemu-server", "rrdcached", "samba", "smartmontools", "sudo", "systemd", "ucf"),
    "vz",
)


@pytest.mark.parametrize(
    "path",
    [
        *HOST_SYSTEM,
        *(f"{path}/x" for path in HOST_SYSTEM if path != "/var/lib"),
        *(f"/var/lib/{name}" for name in HOST_STATE),
        *(f"/var/lib/{name}/x" for name in HOST_STATE),
        "/var/tmp/x",  # noqa: S108 - refused
        "/var/library/x",
    ],
)
def test_what_is_the_hosts_own_is_no_host_path(path: str) -> None:
    assert refusal(HostPath, path) == (
        f'"{path}" belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent'
    )


@pytest.mark.parametrize("path", ["/home", "/media", "/mnt", "/opt", "/srv", "/tank", "/mnt/pve", "/my disk"])
def test_a_host_path_holds_the_files_of_one_agent(path: str) -> None:
    assert refusal(HostPath, path) == (f'"{path}" holds more than the files of one agent; write a directory inside it')


@pytest.mark.parametrize("path", ["/mnt/pve/hdd", "/mnt/pve/a b"])
def test_a_whole_storage_is_no_host_path(path: str) -> None:
    assert refusal(HostPath, path) == f'"{path}" is a whole storage of Proxmox VE; write a directory inside it'


GUEST_NOWHERE = (
    *("/bin", "/dev", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/proc", "/run", "/sbin", "/sys", "/var/lock", "/var/run"),
)


@pytest.mark.parametrize(
    "path",
    [
        *("/boot", "/etc", "/home", "/opt", "/root", "/tmp", "/usr", "/var"),  # noqa: S108 - refused
        *GUEST_NOWHERE,
        *(f"{path}/x" for path in GUEST_NOWHERE),
    ],
)
def test_what_is_the_containers_own_is_no_guest_path(path: str) -> None:
    assert refusal(GuestPath, path) == (
        f'"{path}" belongs to the system of the container; write another path, such as /data'
    )


@pytest.mark.parametrize("path", ["/dev/mem", "/dev/kmem", "/dev/port"])
def test_the_hosts_memory_is_no_device_for_a_container(path: str) -> None:
    assert refusal(DevicePath, path) == (
        f'"{path}" is the memory of the host, which no container may have; write another device, such as /dev/dri/renderD128'
    )


@pytest.mark.parametrize(
    "path", ["/dev", "/dev/", "/device/x", "dev/fuse", "/dev/a b", "/dev/a,b", "/dev/.x", "/dev//x", "/dev/x/"]
)
def test_what_is_no_device(path: str) -> None:
    assert refusal(DevicePath, path) == f'"{path}" is not a device; write a path in /dev, such as /dev/dri/renderD128'


@given(st.integers(0, 999))
def test_there_are_256_keys_of_each_kind(number: int) -> None:
    for type_, key in ((MountKey, f"mp{number}"), (DeviceKey, f"dev{number}")):
        if number <= 255:
            assert read(type_, key) == key
        else:
            assert key in refusal(type_, key)


@pytest.mark.parametrize(
    "key", ["mp", "mp256", "mp999", "mp00", "mp01", "MP0", "mp-1", "mp0 ", "mp0\n", "dev0", "rootfs"]
)
def test_what_is_no_key_of_a_mount_point(key: str) -> None:
    assert refusal(MountKey, key) == f"{shown(key)} is not the key of a mount point; write one from mp0 to mp255"


@pytest.mark.parametrize("key", ["dev", "dev256", "dev00", "Dev0", "mp0"])
def test_what_is_no_key_of_a_device(key: str) -> None:
    assert refusal(DeviceKey, key) == f"{shown(key)} is not the key of a device; write one from dev0 to dev255"


@given(st.integers(0, 0o7777))
def test_a_mode_has_four_digits(mode: int) -> None:
    assert read(FileMode, f"{mode:04o}") == f"{mode:04o}"
    if mode <= 0o777:
        assert read(FileMode, f"{mode:03o}") == read(DeviceMode, f"{mode:03o}") == f"0{mode:03o}"
    else:
        assert refusal(DeviceMode, f"{mode:04o}") == (
            f'"{mode:04o}" is not a device\'s mode; write three octal digits after a 0 in quotes, such as "0660"'
        )


RANGE = st.tuples(st.sampled_from("ug"), st.integers(0, 70_000), st.integers(0, 200_000), st.integers(1, 70_000))


@given(st.lists(RANGE, min_size=1, max_size=3))
def test_an_idmap_gives_each_id_of_the_container_its_own_on_the_disk(ranges: list[tuple[str, int, int, int]]) -> None:
    idmap = ";".join(":".join(map(str, entry)) for entry in ranges)
    kinds = {kind: [(guest, disk, count) for letter, guest, disk, count in ranges if letter == kind] for kind in "ug"}
    inside = all(guest + count <= 65_536 for _, guest, _, count in ranges)
    # What the kernel wants: the ids on the disk, those that no range moves among them, without one twice.
    apart = True
    for entries in kinds.values():
        moved, on_disk, stay = set[int](), set[int](), set(range(100_000, 165_536))
        for guest, disk, count in entries:
            moved.update(range(guest, guest + count))
            on_disk.update(range(disk, disk + count))
            stay.difference_update(range(100_000 + guest, 100_000 + guest + count))
        every = sum(count for *_, count in entries)
        apart = apart and len(moved) == len(on_disk) == every and stay.isdisjoint(on_disk)
    if inside and apart:
        assert read(IdMap, idmap) == idmap
    else:
        assert refusal(IdMap, idmap)


def test_a_range_of_groups_moves_no_user() -> None:
    assert refusal(IdMap, "u:10000:100500:1;g:500:1:1") == (
        "u:10000:100500:1 takes the uid 100500 on the disk, which is the uid 500 of the container; "
        "write ids on the disk below 100000, or a range for that id too"
    )


def test_an_id_on_the_disk() -> None:
    idmap = "u:5:1000:2;g:5:2000:1"
    assert [id_on_disk(idmap, "uid", 5), id_on_disk(idmap, "uid", 6), id_on_disk(idmap, "gid", 5)] == [1000, 1001, 2000]
    for kind, guest_id in (("uid", 4), ("uid", 7), ("gid", 6)):
        with pytest.raises(ValueError, match=f"^no range covers the {kind} {guest_id}, to which"):
            id_on_disk(idmap, kind, guest_id)


@given(st.text(string.ascii_letters + string.digits + "_=-!. ", max_size=80))
def test_the_name_of_a_variable_never_shows_a_value(text: str) -> None:
    try:
        assert read(EnvName, text) == text
    except ValidationError as error:
        message = str(error.errors()[0].get("ctx", {})["error"])
        assert "name" in message or message.startswith(f'"{text}" ')
        return
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", text)


RESERVED = {
    "decides which programs run in the guest": ["PATH"],
    "decides where programs keep their files in the guest": ["HOME"],
    "changes what every shell in the guest does": ["IFS", "ENV", "BASH_ENV"],
    "puts foreign code into every program of the guest": ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"],
    "changes the Python that the agent runs on": ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"],
    "is for the operator, never for an agent": [
        *("PROXMOX_VE_API_TOKEN", "PVE_SSH", "TF_HTTP_PASSWORD", "HOMELAB_FILE", "HOST_STEP_SPEC", "PG_CONN_STR"),
        "HERMES_ENV_FILE",
    ],
}


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason, names in RESERVED.items() for name in names])
def test_a_name_that_would_break_the_guest(reason: str, name: str) -> None:
    assert refusal(EnvName, name) == f'"{name}" {reason}; leave it out'


@pytest.mark.parametrize(
    ("path", "directory", "expected"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/a", "/a/b", False), ("/ab", "/a", False)],
)
def test_lies_in(path: str, directory: str, *, expected: bool) -> None:
    assert lies_in(path, directory) is expected


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
    assert not set(path) & set(",='\"\\\n\0")
    assert path.isprintable()
    assert not path.endswith(" ")
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
        "root@pam!tf=11111111-1111-1111-1111-111111111111",
        "https://me:hunter2@host/",
        "sk-0123456789abcdef",
        "ghp_0123456789abcdef",
    ],
)
def test_what_may_be_a_secret_is_hidden(value: str) -> None:
    assert shown(value) == "the value, hidden because it may be a secret,"


# They are put together here, so that nothing in the repository looks like one.
@pytest.mark.parametrize("around", ["{}", "use {} for it", '{{"key": "{}"}}', "key={}"])
@pytest.mark.parametrize(
    "token",
    [
        *(start + "0" * 20 for start in ("sk-", "hf_", "gsk_", "ghp_", "gho_", "glpat-")),
        *(start + "a" * 12 for start in ("xoxb-", "xoxp-", "xapp-", "github_pat_", "AIza")),
        "AKIA" + "A" * 16,
        "123456:" + "A" * 35,
        "eyJ" + "a" * 20 + "." + "a" * 20,
        "-----BEGIN RSA PRIVATE KEY",
        "https://me:" + "a" * 5 + "@host",
        "https://:" + "a" * 5 + "@host",
        "Bearer " + "a1" * 8,
    ],
)
def test_a_token_is_seen_in_any_text(token: str, around: str) -> None:
    assert types.holds_token(around.format(token))
    assert shown(around.format(token)) == "the value, hidden because it may be a secret,"


@pytest.mark.parametrize(
    "text",
    [
        "task-management-in-the-house-2026",
        "sk-learn-and-what-it-does",
        "/data/sk-" + "0" * 20,
        "https://me@host/x",
        "https://me:${A_PASSWORD}@host/x",
        "12:30",
        "sha256:" + "a" * 64,
        "Bearer ${A_TOKEN}",
        "the bearer of good news in 2026",
        "nousresearch/hermes-agent:v2026.9.14",
    ],
)
def test_a_text_without_a_token(text: str) -> None:
    assert not types.holds_token(text)
