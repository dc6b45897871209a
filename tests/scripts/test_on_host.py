"""scripts/host/on-host: state in, commands out; what it refuses; what a kill at any point leaves behind."""

from __future__ import annotations

import base64
import os
import pathlib
import pty
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.scripts.fake_node import HOST_COMMANDS
from tests.scripts.helpers import REAL_COMMANDS, Run, bash, payload, script, with_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scripts.fake_node import Node

    OnHost = Callable[..., Run]

MOUNT_OPTIONS = "backup=0,replicate=0"


@pytest.fixture
def disk(node: Node) -> str:
    """A host directory that is there."""
    path = node.directory / "disks" / "hermes"
    path.mkdir()
    path.chmod(0o750)
    state = node.load()
    state["owners"][str(path)] = "110000:110000"
    node.save(state)
    return str(path)


def configure(node: Node, **values: str) -> None:
    state = node.load()
    state["containers"]["118"]["current"].update(values)
    node.save(state)


def set_container(node: Node, **values: object) -> None:
    state = node.load()
    state["containers"]["118"].update(values)
    node.save(state)


def refused(run: Run, node: Node, *messages: str) -> None:
    for message in messages:
        assert message in run.stderr
    assert run.returncode == 3, run.stdout + run.stderr
    assert node.changes() == []


# --- the text itself


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_what_the_host_makes_does_not_depend_on_the_callers_umask(node: Node, umask: int) -> None:
    run = bash(node, script(node, "umask", mode="check"), umask=umask)
    assert run.stdout.startswith("0022\n")


def test_the_allow_list_names_exactly_what_it_can_run(node: Node) -> None:
    comment = (node.directory / "scripts" / "on-host").read_text().split("The only commands")[1].split("set -euo")[0]
    named = [word for line in re.findall(r"^#   (.+?)  ", comment, re.MULTILINE) for word in line.split()]
    assert sorted(named) == sorted([*HOST_COMMANDS, *REAL_COMMANDS])


def test_nothing_runs_before_all_of_it_has_arrived(node: Node, disk: str) -> None:
    text = script(node, ["want_mount", "mp0", disk, "/data", ""], "container_config")
    cut = bash(node, text[: text.index("finish\n}")])
    assert cut.returncode != 0
    assert node.lines("calls") == []


def test_a_file_server_that_takes_root_for_nobody_is_named_and_nothing_is_left_on_it(
    node: Node, on_host: Callable[..., Run], disk: str
) -> None:
    disk = f"{pathlib.Path(disk).parent}/export"
    node.save({**node.load(), "squashes_root": True})
    wish = ["want_directory", disk, "110000", "110000", "0750"]
    run = on_host(wish, "host_directories")
    assert run.returncode == 3
    assert (
        f"could not chown {disk}. Is it NFS with root_squash, where root is nobody? Make it on the file server, with owner "
        "110000:110000 and mode 0750\n" in run.stderr
    )
    assert not pathlib.Path(disk).exists()
    # What it says is accepted.
    pathlib.Path(disk).mkdir()
    pathlib.Path(disk).chmod(0o750)
    state = node.load()
    node.save({**state, "owners": {**state["owners"], disk: "110000:110000"}})
    assert on_host(wish, "host_directories").returncode == 0


def test_a_directory_that_was_there_stays_where_its_owner_cannot_be_set(
    node: Node, on_host: Callable[..., Run], disk: str
) -> None:
    pathlib.Path(disk).mkdir(exist_ok=True)
    node.save({**node.load(), "squashes_root": True})
    assert on_host(["want_directory", disk, "110001", "110001", "0750"], "host_directories").returncode == 3
    assert pathlib.Path(disk).is_dir()


def test_a_terminal_can_paste_it(node: Node) -> None:
    text = script(node)
    assert "\t" not in text
    assert max(len(line.encode()) for line in text.splitlines()) < 4096


# --- begin


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (("Hermes", "118", "pve1", "hermes", "apply"), "not an agent's name: Hermes"),
        (("hermes\nx", "118", "pve1", "hermes", "apply"), "not an agent's name: $'hermes\\nx'"),
        (("hermes", "18", "pve1", "hermes", "apply"), "not a container id: 18"),
        (("hermes", "118;id", "pve1", "hermes", "apply"), "not a container id: 118\\;id"),
        (("hermes", "118", "$(id)", "hermes", "apply"), "not a node's name: \\$\\(id\\)"),
        (("hermes", "118", "pve1", "-x", "apply"), "not a host name: -x"),
        (("hermes", "118", "pve1", "hermes", "maybe"), "not a mode: maybe"),
        (("hermes", "118", "pve2", "hermes", "apply"), "this is node pve1, and container 118 belongs to node pve2"),
    ],
)
def test_begin_refuses(node: Node, on_host: OnHost, begin: tuple[str, ...], message: str) -> None:
    refused(on_host(begin=begin), node, message)


# --- host directories


def test_a_directory_is_created_once(node: Node, on_host: OnHost) -> None:
    path = str(node.directory / "disks" / "hermes")
    calls = (["want_directory", path, "110000", "110000", "0750"], "host_directories")
    run = on_host(*calls)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        f"[hermes] {path} … changed (created, owner 110000:110000)",
        "[hermes] 1 done: 1 changed, 0 ok",
    ]
    assert node.changes() == [f"mkdir -m 0750 -- {path}", f"chown -h -- 110000:110000 {path}"]
    node.forget()
    run = on_host(*calls)
    assert run.stdout.splitlines() == [f"[hermes] {path} … ok", "[hermes] 1 done: 0 changed, 1 ok"]
    assert node.changes() == []


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (["110000", "110000", "0750"], []),
        (["110000", "110000", "750"], []),
        (["110001", "110000", "0750"], ["chown -h -- 110001:110000 PATH"]),
        (["110000", "110000", "2770"], ["chmod -- 2770 PATH"]),
        (["0", "0", "0755"], ["chown -h -- 0:0 PATH", "chmod -- 0755 PATH"]),
    ],
)
def test_only_what_differs_is_changed(
    node: Node, on_host: OnHost, disk: str, wanted: list[str], changes: list[str]
) -> None:
    run = on_host(["want_directory", disk, *wanted], "host_directories")
    assert run.returncode == 0, run.stderr
    assert node.changes() == [change.replace("PATH", disk) for change in changes]


def test_no_directories_at_all(node: Node, on_host: OnHost) -> None:
    assert on_host("host_directories").stdout == "[hermes] 0 done: 0 changed, 0 ok\n"
    assert node.changes() == []


def test_a_directory_on_the_root_file_system_is_named(node: Node, on_host: OnHost, disk: str) -> None:
    state = node.load()
    state["disks"] = []
    node.save(state)
    run = on_host(["want_directory", disk, "110000", "110000", "0750"], "host_directories")
    assert "… ok (on the root file system: is the disk mounted?)" in run.stdout


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/", "is the root directory"),
        ("", "is empty"),
        ("data", "is not absolute"),
        ("/etc", "belongs to the system"),
        ("/etc/x", "belongs to the system"),
        ("/usr/local/x", "belongs to the system"),
        ("/root", "belongs to the system"),
        ("/dev/x", "belongs to the system"),
        ("/proc/1", "belongs to the system"),
        ("/sys", "belongs to the system"),
        ("/boot", "belongs to the system"),
        ("/lib/x", "belongs to the system"),
        ("/var/lib/dpkg/x", "belongs to the system"),
        ("/var", "is a system directory"),
        ("/var/lib", "is a system directory"),
        ("/mnt", "is a system directory"),
        ("/mnt/a,b", "holds a comma or an equals sign"),
        ("/mnt/a=b", "holds a comma or an equals sign"),
        ("/mnt/../etc", "has a . or .. component"),
        ("/mnt/.", "has a . or .. component"),
        ("/mnt//x", "has an empty component"),
        ("/mnt/x/", "has an empty component"),
        ("/mnt/x ", "ends with a space"),
        ("/mnt/a\nb", "holds a control character"),
        ("/mnt/a\x1b[2J", "holds a control character"),
        ("/mnt/a\u009b2J", "holds a control character"),
        ("/mnt/" + "x" * 4096, "is longer than 1024 bytes"),
        ("/mnt/not-mounted/hermes", "/mnt/not-mounted does not exist. Is its disk mounted?"),
    ],
)
def test_no_such_host_directory(node: Node, on_host: OnHost, disk: str, path: str, message: str) -> None:
    # The good one comes first and would be changed: everything is looked at before anything is done.
    good = ["want_directory", disk, "110001", "110001", "0750"]
    run = on_host(good, ["want_directory", path, "110000", "110000", "0750"], "host_directories")
    refused(run, node, message)
    assert "\x1b" not in run.stderr


def test_a_directory_with_a_wrong_owner_or_mode(node: Node, on_host: OnHost, disk: str) -> None:
    run = on_host(["want_directory", disk, "-1", "root", "999"], "host_directories")
    refused(run, node, "not an owner: -1:root", "not a mode: 999")


def test_a_link_in_the_path(node: Node, on_host: OnHost, disk: str) -> None:
    link = node.directory / "link"
    link.symlink_to(disk)
    run = on_host(["want_directory", f"{link}/inner", "110000", "110000", "0750"], "host_directories")
    refused(run, node, f"{link} is a symbolic link")


def test_a_file_in_its_place(node: Node, on_host: OnHost) -> None:
    file = node.directory / "disks" / "file"
    file.touch()
    run = on_host(["want_directory", str(file), "110000", "110000", "0750"], "host_directories")
    refused(run, node, f"{file} is not a directory")


def test_no_root_work_inside_what_the_agent_may_write(node: Node, on_host: OnHost, disk: str) -> None:
    run = on_host(["want_directory", f"{disk}/inner", "110000", "110000", "0750"], "host_directories")
    refused(run, node, f"lies in {disk}, which a container may write (owner 110000)")


# --- container config

MP0 = ["want_mount", "mp0", "DISK", "/data", MOUNT_OPTIONS]
KEYCTL = ["want_feature", "keyctl", "1"]
AS_WANTED = f"DISK,mp=/data,{MOUNT_OPTIONS}"


@pytest.mark.parametrize(
    ("container", "wanted", "changes"),
    [
        pytest.param({}, [], [], id="nothing wanted"),
        pytest.param({}, [MP0], [f"set 118 --mp0 {AS_WANTED}"], id="a new mount is plugged in, no reboot"),
        pytest.param(
            {},
            [MP0, KEYCTL],
            [f"set 118 --mp0 {AS_WANTED} --features keyctl=1,nesting=1", "reboot 118 --timeout 180"],
            id="one set, one reboot",
        ),
        pytest.param({"mp0": AS_WANTED}, [MP0], [], id="as wanted"),
        pytest.param({"mp0": "DISK,replicate=no,mp=/data/,backup=0"}, [MP0], [], id="other order and spelling"),
        pytest.param({"mp0": "DISK,replicate=0,mp=data,size=8G,ro=0"}, [MP0], [], id="defaults and size"),
        pytest.param({"mp0": "volume=DISK,replicate=0,mp=/data"}, [MP0], [], id="named volume"),
        pytest.param(
            {"mp0": "DISK,mp=/data,replicate=0,mountoptions=nosuid;noatime"},
            [["want_mount", "mp0", "DISK", "/data", "mountoptions=noatime;nosuid,replicate=0"]],
            [],
            id="mount options in another order",
        ),
        pytest.param(
            {"mp0": "DISK,mp=/data"},
            [MP0],
            [f"set 118 --mp0 {AS_WANTED}", "reboot 118 --timeout 180"],
            id="changed options wait",
        ),
        pytest.param(
            {"mp0": "DISK,mp=/old,replicate=0"},
            [MP0],
            [f"set 118 --mp0 {AS_WANTED}", "reboot 118 --timeout 180"],
            id="another place for our own path",
        ),
        pytest.param(
            {"features": "fuse=1,mount=nfs;cifs,nesting=1"},
            [KEYCTL],
            ["set 118 --features fuse=1,keyctl=1,mount=nfs;cifs,nesting=1", "reboot 118 --timeout 180"],
            id="other features stay",
        ),
        pytest.param({"features": "nesting=1,keyctl=1"}, [KEYCTL], [], id="feature there"),
        pytest.param({}, [["want_feature", "fuse", "0"]], [], id="a feature off is a feature absent"),
        pytest.param(
            {},
            [["want_device", "dev0", "/dev/null", "gid=44,mode=0666"]],
            ["set 118 --dev0 /dev/null,gid=44,mode=0666"],
            id="a new device is plugged in",
        ),
        pytest.param(
            {"dev0": "path=/dev/null,mode=0660,uid=0"},
            [["want_device", "dev0", "/dev/null", ""]],
            [],
            id="device there",
        ),
        pytest.param({"protection": "1", "mp0": AS_WANTED}, [MP0], [], id="protected, and as wanted"),
        pytest.param({"lock": "backup", "mp0": AS_WANTED}, [MP0], [], id="locked, and as wanted"),
        pytest.param(
            {"mp7": "local-lvm:vm-118-disk-1,mp=/other,size=8G", "mp0": AS_WANTED}, [MP0], [], id="a neighbour"
        ),
    ],
)
def test_container_config(
    node: Node, on_host: OnHost, disk: str, *, container: dict[str, str], wanted: list[list[str]], changes: list[str]
) -> None:
    configure(node, **{key: value.replace("DISK", disk) for key, value in container.items()})
    calls = [[word.replace("DISK", disk) for word in call] for call in wanted]
    expected = [f"pct {change}".replace("DISK", disk) for change in changes]

    check = on_host(*calls, "container_config", mode="check")
    assert check.returncode == (1 if expected else 0), check.stdout + check.stderr
    assert node.changes() == []

    run = on_host(*calls, "container_config")
    assert run.returncode == 0, run.stdout + run.stderr
    assert node.changes() == expected
    assert f"{len(calls) + sum('reboot' in c for c in changes)} done" in run.stdout

    node.forget()
    again = on_host(*calls, "container_config")
    assert again.returncode == 0
    assert node.changes() == []
    assert on_host(*calls, "container_config", mode="check").returncode == 0


def test_check_names_the_reboot(node: Node, on_host: OnHost, disk: str) -> None:
    run = on_host(["want_mount", "mp0", disk, "/data", ""], KEYCTL, "container_config", mode="check")
    assert run.stdout.splitlines() == [
        f"[hermes] mp0 {disk},mp=/data … would change (not there until now)",
        "[hermes] features keyctl=1,nesting=1 … would change (nesting=1 until now)",
        "[hermes] reboot … would change (the running container gets its features only at a start)",
        "[hermes] 3 checked: 3 would change, 0 ok",
    ]
    assert node.changes() == []


def test_a_stopped_container_is_not_started(node: Node, on_host: OnHost, disk: str) -> None:
    set_container(node, running=False)
    run = on_host(["want_mount", "mp0", disk, "/data", ""], KEYCTL, "container_config")
    assert node.changes() == [f"pct set 118 --mp0 {disk},mp=/data --features keyctl=1,nesting=1"]
    assert "container 118 is stopped: its next start uses all this" in run.stdout


def test_what_already_waits_only_needs_the_reboot(node: Node, on_host: OnHost) -> None:
    set_container(node, pending={"features": "keyctl=1,nesting=1"})
    run = on_host(KEYCTL, "container_config")
    assert node.changes() == ["pct reboot 118 --timeout 180"]
    assert "rebooting container 118: it gets its features only at a start" in run.stdout


def test_what_others_changed_does_not_reboot_us(node: Node, on_host: OnHost) -> None:
    configure(node, features="keyctl=1,nesting=1")
    set_container(node, pending={"nameserver": "10.0.0.1"})
    run = on_host(KEYCTL, "container_config")
    assert run.returncode == 0
    assert "nameserver … waits for a start (run `pct reboot 118 --timeout 180` on pve1)" in run.stdout
    assert node.changes() == []


def test_what_others_changed_is_named_beside_what_we_would_reboot_for(node: Node, on_host: OnHost) -> None:
    set_container(node, pending={"nameserver": "10.0.0.1", "features": "keyctl=1,nesting=1"})
    run = on_host(KEYCTL, "container_config", mode="check")
    assert run.returncode == 1
    assert "reboot … would change (the running container gets its features only at a start)" in run.stdout
    assert "nameserver … waits for a start (run `pct reboot 118 --timeout 180` on pve1)" in run.stdout

    # The reboot brings both.
    assert "waits" not in on_host(KEYCTL, "container_config").stdout
    assert on_host(KEYCTL, "container_config", mode="check").returncode == 0


def test_what_waits_in_a_container_that_is_off_comes_with_its_next_start(node: Node, on_host: OnHost) -> None:
    configure(node, features="keyctl=1,nesting=1")
    set_container(node, running=False, pending={"nameserver": "10.0.0.1"})
    run = on_host(KEYCTL, "container_config", mode="check")
    assert run.returncode == 0
    assert "container 118 is stopped: its next start uses all this" in run.stdout


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"hostname": "plex"}, "container 118 is called plex, not hermes: it is somebody else's"),
        ({"template": "1"}, "container 118 is a template"),
        ({"unprivileged": "0"}, "container 118 is privileged"),
        ({"lock": "backup"}, "container 118 is locked (lock: backup): wait until that task ends"),
        ({"protection": "1"}, "run `pct set 118 --protection 0`, then this step, then `pct set 118 --protection 1`"),
        (
            {"mp0": "local-lvm:vm-118-disk-1,mp=/x"},
            "mp0 is taken: it holds 'local-lvm:vm-118-disk-1,mp=/x', and we want 'DISK,mp=/data'",
        ),
        (
            {"mp3": "/mnt/x,mp=data/"},
            "/data is taken: mp3 holds '/mnt/x,mp=data/', and we want mp0 'DISK,mp=/data' there",
        ),
    ],
)
def test_container_config_refuses(
    node: Node, on_host: OnHost, disk: str, container: dict[str, str], message: str
) -> None:
    configure(node, **container)
    run = on_host(["want_mount", "mp0", disk, "/data", ""], "container_config")
    refused(run, node, message.replace("DISK", disk))


def etc_pve(node: Node, path: str, text: str = "") -> None:
    file = node.directory / "etc-pve" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("unrelated", "there is no container 119: run `cdktf deploy hermes` first"),
        ("nodes/pve2/lxc/119.conf", "container 119 is on node pve2, not on pve1"),
        ("nodes/pve2/qemu-server/119.conf", "119 is a virtual machine, not our container"),
    ],
)
def test_no_container_here(node: Node, on_host: OnHost, file: str, message: str) -> None:
    etc_pve(node, file)
    refused(on_host(KEYCTL, "container_config", begin=("hermes", "119", "pve1", "hermes", "apply")), node, message)


def test_a_container_under_ha(node: Node, on_host: OnHost) -> None:
    etc_pve(node, "ha/resources.cfg", "vm: 118\n\tstate started\n\nct: 1180\n")
    assert on_host(KEYCTL, "container_config", mode="check").returncode == 1
    etc_pve(node, "ha/resources.cfg", "ct: 118\n\tstate started\n")
    refused(on_host(KEYCTL, "container_config"), node, "managed by HA", "`ha-manager remove ct:118`")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["want_mount", "mp256", "DISK", "/data", ""], "not a mount point's key: mp256"),
        (["want_mount", "mp0;id", "DISK", "/data", ""], "not a mount point's key: mp0\\;id"),
        (["want_mount", "mp0", "DISK/missing", "/data", ""], "DISK/missing does not exist"),
        (["want_mount", "mp0", "/etc", "/data", ""], "host directory /etc belongs to the system"),
        (["want_mount", "mp0", "DISK", "/", ""], "guest path / is the root directory"),
        (["want_mount", "mp0", "DISK", "/etc", ""], "guest path /etc belongs to the system of the container"),
        (["want_mount", "mp0", "DISK", "/a,ro=1", ""], "holds a comma or an equals sign"),
        (["want_mount", "mp0", "DISK", "/data", "bogus=1"], "not a mount option: bogus=1"),
        (["want_mount", "mp0", "DISK", "/data", "ro=2"], "not a mount option: ro=2"),
        (["want_mount", "mp0", "DISK", "/data", "mountoptions=exec"], "not a mount option: mountoptions=exec"),
        (["want_mount", "mp0", "DISK", "/data", "idmap=u:0:0"], "not a mount option: idmap=u:0:0"),
        (["want_feature", "nested", "1"], "not a feature of a container: nested=1"),
        (["want_feature", "nesting", "2"], "not a feature of a container: nesting=2"),
        (["want_device", "dev0", "/dev/../etc/shadow", ""], "not a device for a container"),
        *(
            (["want_device", "dev0", f"/dev/{name}", ""], f"not a device for a container: /dev/{name}")
            for name in ("mem", "kmsg", "sg0", "bsg/0:0:0:0", "nst0", "nvme0", "mapper/control", "cpu/0/msr", "tty0")
        ),
        (["want_device", "dev0", "/dev/none-such", ""], "/dev/none-such is no character device of this node"),
        (["want_device", "dev0", "/dev/null", "mode=660"], "not a device option: mode=660"),
        (["drop_mount", "rootfs", "/x"], "not a mount point's or device's key: rootfs"),
    ],
)
def test_wrong_wishes(node: Node, on_host: OnHost, disk: str, call: list[str], message: str) -> None:
    run = on_host(KEYCTL, [word.replace("DISK", disk) for word in call], "container_config")
    refused(run, node, message.replace("DISK", disk))


def test_two_wishes_for_one_place(node: Node, on_host: OnHost, disk: str) -> None:
    one, two = (["want_mount", key, disk, "/data", ""] for key in ("mp0", "mp1"))
    refused(on_host(one, two, "container_config"), node, "mp1 and mp0 both want /data")
    refused(on_host(one, one, "container_config"), node, "mp0 is wanted twice")


def test_a_mount_through_a_link(node: Node, on_host: OnHost, disk: str) -> None:
    link = node.directory / "disks" / "link"
    link.symlink_to(disk)
    run = on_host(["want_mount", "mp0", str(link), "/data", ""], "container_config")
    refused(run, node, f"{link} is a symbolic link")


@pytest.mark.parametrize(
    ("version", "option", "accepted"),
    [
        ("6.1.1", "keepattrs=1", False),
        ("6.1.2", "keepattrs=1", True),
        ("6.1.10-1", "idmap=passthrough", True),
        ("6.1.5", "idmap=u:0:1000:1;g:0:1000:1", False),
        ("7.0~bpo1", "idmap=passthrough", True),
        ("5.9.9", "keepattrs=0", True),
    ],
)
def test_options_that_older_nodes_do_not_know(
    node: Node, on_host: OnHost, disk: str, version: str, option: str, *, accepted: bool
) -> None:
    state = node.load()
    state["version"] = version
    node.save(state)
    run = on_host(["want_mount", "mp0", disk, "/data", option], "container_config", mode="check")
    assert run.returncode == (1 if accepted else 3), run.stderr
    assert accepted or f"this node has {version}" in run.stderr


def test_a_failed_hot_plug_is_passed_on(node: Node, on_host: OnHost, disk: str) -> None:
    state = node.load()
    state["hotplug_fails"] = True
    node.save(state)
    run = on_host(["want_mount", "mp0", disk, "/data", ""], "container_config")
    refused(run, node, "unable to hotplug mp0", "wrote nothing: remove the cause, run this step again")


# --- detach


@pytest.mark.parametrize(
    ("container", "reboot", "changes"),
    [
        pytest.param({"mp0": "DISK,mp=/data"}, "no", ["set 118 --delete mp0"], id="replaced"),
        pytest.param(
            {"mp0": "DISK,mp=/data"}, "yes", ["set 118 --delete mp0", "reboot 118 --timeout 180"], id="destroyed"
        ),
        pytest.param({}, "yes", [], id="already gone"),
        pytest.param({"mp0": "/mnt/foreign,mp=/data"}, "yes", [], id="somebody else's by now"),
        pytest.param({"mp0": "DISK,mp=/data", "hostname": "renamed"}, "no", ["set 118 --delete mp0"], id="renamed"),
    ],
)
def test_detach(
    node: Node, on_host: OnHost, disk: str, *, container: dict[str, str], reboot: str, changes: list[str]
) -> None:
    configure(node, **{key: value.replace("DISK", disk) for key, value in container.items()})
    calls = (["drop_mount", "mp0", disk], ["detach_mounts", reboot])
    assert on_host(*calls, mode="check").returncode == (1 if changes else 0)
    assert node.changes() == []
    assert on_host(*calls).returncode == 0
    assert node.changes() == [f"pct {change}" for change in changes]
    node.forget()
    assert on_host(*calls).returncode == 0
    assert node.changes() == []
    assert pathlib.Path(disk).is_dir()


def test_detach_without_a_container(on_host: OnHost, disk: str) -> None:
    begin = ("hermes", "119", "pve1", "hermes", "apply")
    run = on_host(["drop_mount", "mp0", disk], ["detach_mounts", "yes"], begin=begin)
    assert (run.returncode, run.stderr) == (0, "")
    assert "[hermes] detach … ok (there is no container 119 any more)" in run.stdout


def test_detach_from_a_protected_container(node: Node, on_host: OnHost, disk: str) -> None:
    configure(node, mp0=f"{disk},mp=/data", protection="1")
    refused(on_host(["drop_mount", "mp0", disk], ["detach_mounts", "yes"]), node, "`pct set 118 --protection 0`")


# --- the guest

DIRECTORY = "/opt/pve-agents/hermes"
SECRET = b"LITELLM_API_KEY=canary-value\n"
PUT_SECRET = ["guest_secret", "/opt/hermes-data/.env", "10000", "10000"]


def put_payload(bootstrap: str = "#!/bin/sh\necho working\n") -> str:
    archive, sha256 = payload(bootstrap)
    return with_input(["guest_payload", DIRECTORY, sha256], archive)


def test_payload_arrives_once_and_is_replaced_whole(node: Node, on_host: OnHost) -> None:
    assert on_host(put_payload(), mode="check").returncode == 1
    assert node.changes() == []
    assert on_host(put_payload()).returncode == 0
    folder = node.guest / DIRECTORY[1:]
    assert (folder / "bootstrap").stat().st_mode & 0o777 == 0o755
    node.forget()
    assert f"[hermes] {DIRECTORY} … ok" in on_host(put_payload()).stdout
    assert node.changes() == []

    (folder / "left-over").touch()
    assert on_host(put_payload("#!/bin/sh\necho new\n")).returncode == 0
    assert sorted(path.name for path in folder.parent.iterdir()) == ["hermes"]
    assert sorted(path.name for path in folder.iterdir()) == [".sha256", "bootstrap"]


def test_a_damaged_payload_changes_nothing(node: Node, on_host: OnHost) -> None:
    archive, _ = payload()
    run = on_host(with_input(["guest_payload", DIRECTORY, "0" * 64], archive))
    assert run.returncode == 3
    assert "the archive did not arrive whole" in run.stdout
    assert not (node.guest / DIRECTORY[1:]).exists()


def test_a_secret_arrives_once_and_silently(node: Node, on_host: OnHost) -> None:
    put = with_input(PUT_SECRET, SECRET)
    assert on_host(put, mode="check").returncode == 1
    assert node.changes() == []
    run = on_host(put)
    assert run.returncode == 0, run.stderr
    file = node.guest / "opt/hermes-data/.env"
    assert file.read_bytes() == SECRET
    assert file.stat().st_mode & 0o777 == 0o600
    assert node.load()["owners"][str(file)] == "10000:10000"
    assert "canary" not in run.stdout + run.stderr + (node.directory / "calls").read_text()
    node.forget()
    assert on_host(put).returncode == 0
    assert node.changes() == []
    file.chmod(0o644)
    assert on_host(put).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_secret_for_root(node: Node, on_host: OnHost) -> None:
    (node.guest / "opt/secrets").mkdir()
    put = with_input(["guest_secret", "/opt/secrets/env", "0", "1000"], SECRET)
    assert on_host(put).returncode == 0
    assert node.load()["owners"][str(node.guest / "opt/secrets/env")] == "0:1000"


def test_root_does_not_write_where_another_user_rules(node: Node, on_host: OnHost) -> None:
    state = node.load()
    state["owners"][str(node.guest / "opt")] = "33:33"
    node.save(state)
    run = on_host(with_input(["guest_secret", "/opt/.env", "10000", "10000"], SECRET))
    assert run.returncode == 3
    assert "belongs neither to root nor to 10000" in run.stdout
    assert on_host(with_input(["guest_secret", "/opt/new/.env", "10000", "10000"], SECRET)).returncode == 3


def test_a_trace_shows_no_secret(node: Node) -> None:
    run = bash(node, "set -x\n" + script(node, with_input(PUT_SECRET, SECRET)))
    assert run.returncode == 0
    assert "canary" not in run.stderr
    assert base64.b64encode(SECRET).decode() not in run.stderr
    assert (node.guest / "opt/hermes-data/.env").exists()


@pytest.mark.parametrize(
    ("bootstrap", "seconds", "status", "message"),
    [
        ("#!/bin/sh\necho working\n", "20", 0, "working\n[hermes] /opt/pve-agents/hermes/bootstrap … ok"),
        ("#!/bin/sh\necho why >&2\nexit 7\n", "20", 3, "bootstrap ended with status 7: its own message is above"),
        ("#!/bin/sh\nsleep 30\n", "1", 3, "bootstrap did not end within 1 seconds"),
        ('#!/bin/sh\n[ -z "$HOSTNAME$MODE" ] && [ "$HOME" = /root ]\n', "20", 0, "ok"),
    ],
)
def test_bootstrap(on_host: OnHost, *, bootstrap: str, seconds: str, status: int, message: str) -> None:
    run = on_host(put_payload(bootstrap), ["guest_run", f"{DIRECTORY}/bootstrap", seconds])
    assert run.returncode == status, run.stderr
    assert message in run.stdout + run.stderr


def test_bootstrap_before_payload(node: Node, on_host: OnHost) -> None:
    refused(on_host(["guest_run", f"{DIRECTORY}/bootstrap", "9"]), node, "run the step `payload` first")


def test_bootstrap_is_no_check(on_host: OnHost) -> None:
    on_host(put_payload("#!/bin/sh\necho ran\n"))
    run = on_host(["guest_run", f"{DIRECTORY}/bootstrap", "9"], mode="check")
    assert run.returncode == 0
    assert "not run" in run.stdout
    assert "\nran" not in run.stdout


@pytest.mark.parametrize("call", [put_payload(), with_input(PUT_SECRET, SECRET), "guest_run /opt/x 9", "leave_receipt"])
def test_a_stopped_guest(node: Node, on_host: OnHost, call: str) -> None:
    set_container(node, running=False)
    refused(on_host(call), node, "container 118 is stopped: run `pct start 118` on pve1")


def test_the_guest_never_gets_a_terminal(node: Node) -> None:
    ours, theirs = pty.openpty()
    text = script(node, put_payload(), with_input(PUT_SECRET, SECRET), ["guest_run", f"{DIRECTORY}/bootstrap", "9"])
    options: dict[str, Any] = {"capture_output": False, "stdout": theirs, "stderr": theirs}
    run = bash(node, text, **options)
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 4096):
            output += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert run.returncode == 0, output.decode()
    assert b"\x1b[32mok" in output
    assert b"canary" not in output


# --- killed at any point

SCENARIOS: dict[str, tuple[int, Callable[[str], list[str | list[str]]]]] = {
    "directory": (
        4,
        lambda disk: [
            ["want_directory", f"{disk}-2", "110000", "110000", "0770"],
            ["want_directory", disk, "110001", "110001", "0755"],
            "host_directories",
        ],
    ),
    "config": (
        2,
        lambda disk: [["want_mount", "mp0", disk, "/data", "backup=0"], KEYCTL, "container_config"],
    ),
    "detach": (2, lambda disk: [["drop_mount", "mp5", disk], ["detach_mounts", "yes"]]),
    "payload": (9, lambda _: [put_payload("#!/bin/sh\necho new\n")]),
    "secret": (5, lambda _: [with_input(PUT_SECRET, SECRET)]),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "number"), [(name, number + 1) for name, (count, _) in SCENARIOS.items() for number in range(count)]
)
def test_killed_and_run_again(node: Node, on_host: OnHost, disk: str, *, name: str, number: int, when: str) -> None:
    _, calls = SCENARIOS[name]
    if name == "detach":
        configure(node, mp5=f"{disk},mp=/data")
    if name == "payload":
        on_host(put_payload())
    node.forget()
    state = node.load()
    state.update(changes=0, kill_at=number, kill_when=when)
    node.save(state)

    killed = on_host(*calls(disk))
    assert len(node.changes()) == number
    assert killed.returncode == -9

    state = node.load()
    state.update(kill_at=None)
    node.save(state)
    run = on_host(*calls(disk))
    assert run.returncode == 0, run.stdout + run.stderr
    picture = node.picture()
    node.forget()
    assert on_host(*calls(disk)).returncode == 0
    assert node.changes() == []
    assert node.picture() == picture
    wanted(name, node, disk)


def wanted(name: str, node: Node, disk: str) -> None:
    """The state that each scenario must end in, whatever happened on the way."""
    container = node.load()["containers"]["118"]
    if name == "directory":
        assert node.load()["owners"][f"{disk}-2"] == "110000:110000"
        assert node.load()["owners"][disk] == "110001:110001"
        assert [pathlib.Path(path).stat().st_mode & 0o7777 for path in (f"{disk}-2", disk)] == [0o770, 0o755]
    elif name == "config":
        assert container["current"]["mp0"] == f"{disk},mp=/data,backup=0"
        assert container["current"]["features"] == "keyctl=1,nesting=1"
        assert container["pending"] == {}
    elif name == "detach":
        assert "mp5" not in container["current"]
        assert container["delete"] == []
    elif name == "payload":
        folder = node.guest / "opt/pve-agents"
        assert [path.name for path in folder.iterdir()] == ["hermes"]
        assert "new" in (folder / "hermes/bootstrap").read_text()
    else:
        folder = node.guest / "opt"
        assert [path.name for path in folder.iterdir()] == ["hermes-data"]
        assert [path.name for path in (folder / "hermes-data").iterdir()] == [".env"]
        assert node.load()["owners"][str(folder / "hermes-data/.env")] == "10000:10000"
