"""The virtual node's host side: the real host half over a stand-in ssh, and the API that shows what root did."""

from __future__ import annotations

import hashlib
import json
import os
import random
import string
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from pve_agents.guest import plan as guest
from pve_agents.host.commands import Command, Plan, render
from pve_agents.host.facts import look_at
from pve_agents.host.plan_container import guards
from pve_agents.host.spec import wanted_from
from pve_agents.host_step import stage
from pve_agents.node_api import Node as Api
from pve_agents.node_api import access
from pve_agents.payload import GuestFile, Payload
from tests.virtual_node.client import ApiError, Client
from tests.virtual_node.host import SSH_FAILED, on_virtual_root, parse_ssh
from tests.virtual_node.node import ROOT, VirtualNode

LXC = "/nodes/gihyeon/lxc"
TEMPLATE = "debian-12-standard_12.12-1_amd64.tar.zst"
STEPS = ("host-directories", "container-config", "payload", "bootstrap")
HDD, FAST = "/mnt/pve/hdd/hermes", "/media/2tb/hermes"
KEYCTL = "--features keyctl=1,nesting=1"
SECRET = "sk-canary-81c3"


class Operator:
    """Somebody with the node's environment, a spec, and the program that a stack would start."""

    def __init__(self, node: VirtualNode, directory: Path) -> None:
        self.node = node
        self.program = directory / "program"
        stage(self.program)
        archive = directory / "payload.tar.gz"
        payload = self.pack(archive)
        self.spec: dict[str, Any] = {
            "agent": "hermes",
            "vmid": 118,
            "node": "gihyeon",
            "hostname": "hermes",
            "tag": "pve-agents-hermes",
            "stop_seconds": 180,
            "directories": [{"path": path, "uid": 110000, "gid": 110000, "mode": "0750"} for path in (HDD, FAST)],
            "mounts": [
                {"key": "mp0", "volume": HDD, "path": "/data", "options": {"replicate": "0"}},
                {"key": "mp1", "volume": FAST, "path": "/fast", "options": {"replicate": "0", "ro": "1"}},
            ],
            "devices": [],
            "features": {"keyctl": "1"},
            "payload": {
                "directory": payload.directory,
                "archive": str(archive),
                "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                "checks_timeout_seconds": 20,
            },
            "secrets": {
                "names": ["A_KEY"],
                "of_compose": [],
                "path": "/etc/pve-agents/hermes.env",
                "uid": 10000,
                "gid": 10000,
            },
            "bootstrap": {"command": "/opt/pve-agents/hermes/bootstrap", "timeout_seconds": 20, "stop_seconds": 20},
        }

    def pack(self, archive: Path, **more: str) -> Payload:
        """What is delivered."""
        workspaces = (guest.Workspace("/data", 10000, 10000), guest.Workspace("/fast", 10000, 10000, read_only=True))
        files = {
            "bootstrap": GuestFile((ROOT / "constructs/pve_agents/guest/launcher.sh").read_text(), mode=0o755),
            "plan.json": GuestFile(guest.Plan("hermes", workspaces).to_json()),
            **{name: GuestFile(text) for name, text in more.items()},
        }
        payload = Payload(directory="/opt/pve-agents/hermes", files=files)
        archive.write_bytes(payload.archive)
        return payload

    def environment(self, **variables: str) -> dict[str, str]:
        spec = {"HOST_STEP_SPEC": json.dumps(self.spec)}
        runtime = {"XDG_RUNTIME_DIR": str(self.node.directory), "A_KEY": SECRET}
        return {**os.environ, **self.node.env, **runtime, **spec, **variables}

    def step(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(os.environ["PREPARED_PROGRAMS"], "python3"), *self.command(*arguments)[1:]],
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.program), *arguments]

    def steps(self, *names: str, **variables: str) -> str:
        said = ""
        for name in names or STEPS:
            done = self.step(name, **variables)
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
        return said

    def steps_back(self, name: str, **variables: str) -> None:
        done = self.step(name, "--destroy", **variables)
        assert done.returncode == 0, done.stdout + done.stderr

    def ssh(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ssh", *arguments], env=self.environment(), input=text, capture_output=True, text=True, check=False
        )

    def root(self, command: str) -> str:
        done = self.ssh("root@127.0.0.1", command)
        return done.stdout + done.stderr


@pytest.fixture
def operator(virtual_node: VirtualNode, tmp_path: Path) -> Operator:
    virtual_node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
    virtual_node.api(
        "POST",
        LXC,
        vmid=118,
        hostname="hermes",
        ostemplate=f"local:vztmpl/{TEMPLATE}",
        rootfs="local-lvm:24",
        features="nesting=1",
        net0="name=eth0,bridge=intra01,ip=dhcp",
        start=1,
        tags="pve-agents-hermes",
    )
    virtual_node.mutations.clear()
    return Operator(virtual_node, tmp_path)


# The steps -----------------------------------------------------------------------------------------------------------


def test_all_steps_and_again_nothing(operator: Operator, virtual_node: VirtualNode) -> None:
    said = operator.steps()
    assert "[hermes 1/2] workspace /data … ok" in said
    assert "[hermes 2/2] workspace /fast … ok" in said
    assert virtual_node.host_changes[:7] == [
        f"mkdir -m 0750 -- {HDD}",
        f"chown 110000:110000 {HDD}",
        f"mkdir -m 0750 -- {FAST}",
        f"chown 110000:110000 {FAST}",
        f"pct set 118 --mp0 {HDD},mp=/data,replicate=0 --mp1 {FAST},mp=/fast,replicate=0,ro=1 {KEYCTL} --digest …",
        "pct reboot 118 --timeout 180",
        "guest-rm -rf /opt/pve-agents/hermes.new /opt/pve-agents/hermes.new.tar.gz",
    ]
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert virtual_node.reboots(118) == 1
    # One state, seen from both sides.
    config = virtual_node.container_config(118)
    assert config["mp0"] == f"{HDD},mp=/data,replicate=0"
    assert config["features"] == "keyctl=1,nesting=1"
    assert virtual_node.mutations == [("PUT", f"{LXC}/118/config"), ("POST", f"{LXC}/118/status/reboot")]
    assert (
        guest.Plan.from_json(virtual_node.guest(118, "/opt/pve-agents/hermes/plan.json").read_text()).agent == "hermes"
    )
    assert (virtual_node.guest(118, "/etc/pve-agents/hermes.env")).read_text() == f"A_KEY={SECRET}\n"
    # A file made in the container shows on the host.
    operator.root("pct exec 118 -- setpriv --reuid 10000 --regid 10000 --clear-groups -- touch /data/note")
    assert virtual_node.host.real(f"{HDD}/note").exists()
    assert virtual_node.stat(f"{HDD}/note").startswith("110000:110000 ")

    virtual_node.forget_host_changes()
    virtual_node.mutations.clear()
    operator.steps()
    assert (virtual_node.host_changes, virtual_node.mutations) == ([], [])

    # Taking back what was attached: a mount in use goes with a reboot, and its directory stays.
    leaving = {"vmid": 118, "mounts": operator.spec["mounts"]}
    operator.steps_back("container-config", HOST_STEP_LEAVING=json.dumps(leaving))
    assert virtual_node.host_changes == ["pct set 118 --delete mp0,mp1 --digest …", "pct reboot 118 --timeout 180"]
    assert "mp0" not in virtual_node.container_config(118)
    assert operator.root("pct exec 118 -- ls /data") == ""
    assert virtual_node.host.real(f"{HDD}/note").exists()


def test_the_bootstrap_believes_owners_and_modes(operator: Operator, virtual_node: VirtualNode) -> None:
    operator.steps(*STEPS[:3])
    write, read = "user 10000:10000 cannot write in /data", "user 10000:10000 cannot read in /fast"
    for path, owner, mode, problem in (
        (HDD, "110000:110000", "550", write),
        (HDD, "100000:110000", "770", ""),
        (FAST, "0:0", "700", read),
        (FAST, "0:0", "755", ""),
    ):
        virtual_node.make_directory(path, owner, mode)
        done = operator.ssh("root@127.0.0.1", "pct exec 118 -- /opt/pve-agents/hermes/bootstrap")
        assert (done.returncode, problem in done.stderr) == (int(bool(problem)), True), done.stderr
        virtual_node.make_directory(path, "110000:110000", "750")
    virtual_node.make_directory(HDD, "100000:100000", "750")
    done = operator.step("bootstrap")
    assert (done.returncode, write in done.stdout) == (3, True), done.stdout
    # Root of the container may do what he likes, but with what belongs to the host or is mounted read-only.
    may = "pct exec 118 -- test -w {}".format
    assert operator.ssh("root@127.0.0.1", may("/data")).returncode == 0
    assert operator.ssh("root@127.0.0.1", may("/fast")).returncode == 1
    virtual_node.make_directory(HDD, "0:0", "755")
    assert operator.ssh("root@127.0.0.1", may("/data")).returncode == 1


def test_a_step_that_dies_goes_on_from_there(operator: Operator, virtual_node: VirtualNode) -> None:
    kills: tuple[tuple[int, Literal["before", "after"], str, str], ...] = (
        (1, "after", "host-directories", f"mkdir -m 0750 -- {HDD}"),
        (1, "before", "container-config", f"pct set 118 --mp0 {HDD}"),
        (2, "before", "container-config", "pct reboot 118 --timeout 180"),
        (5, "after", "payload", "guest-rm -f"),
        (6, "before", "payload", "guest-mv -T"),
    )
    for number, when, step, command in kills:
        virtual_node.kill_host_command_at(number, when)
        died = operator.step(step)
        assert died.returncode == 4, died.stdout + died.stderr
        assert "ssh to root@127.0.0.1 failed" in died.stderr
        assert virtual_node.host_changes[-1].startswith(command)
        if step == "host-directories":
            assert virtual_node.stat(HDD) == "0:0 750"
            operator.steps(step)
    assert not virtual_node.guest(118, "/opt/pve-agents/hermes").exists()
    assert "keyctl=1" in str(virtual_node.container_config(118)["features"])
    assert virtual_node.reboots(118) == 0
    operator.steps()
    assert virtual_node.reboots(118) == 1
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert virtual_node.guest(118, "/opt/pve-agents/hermes/bootstrap").exists()


def test_paste(operator: Operator, virtual_node: VirtualNode) -> None:
    variables = {"PVE_TRANSPORT": "paste", "PVE_PASTE_DEADLINE_SECONDS": "20"}
    with subprocess.Popen(
        operator.command("payload"),
        env=operator.environment(**variables),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as step:
        assert step.stdout
        text = ""
        for line in step.stdout:
            text += line
            if "# ---- end" in line:
                break
        begin = text.index("# ---- begin")
        pasted = virtual_node.paste(text[begin:])
        assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        assert step.wait(30) == 0
    assert virtual_node.host_changes[-1] == "pct push 118 /dev/null /run/pve-agents.receipt"
    assert virtual_node.ssh_calls == []
    assert virtual_node.container_config(118)["mp1"] == f"{FAST},mp=/fast,replicate=0,ro=1"
    # The reader of all this can change nothing.
    reader = Client(virtual_node.pve.url, token=virtual_node.env["PVE_READ_TOKEN"], insecure=True)
    tasks = reader.get("/nodes/gihyeon/tasks", vmid=118, typefilter="push_file")
    assert [(task["type"], task["status"]) for task in tasks] == [("push_file", "OK")]
    for method, path, change in (
        ("PUT", f"{LXC}/118/config", {"cores": 3}),
        ("POST", f"{LXC}/118/push_file", {}),
    ):
        with pytest.raises(ApiError) as refused:
            reader.request(method, path, change)
        assert refused.value.code == 403


@pytest.mark.long
def test_a_payload_that_is_too_long_for_one_paste_comes_in_several(
    operator: Operator, virtual_node: VirtualNode
) -> None:
    letters = random.Random(0).choices(string.ascii_letters, k=150_000)  # noqa: S311
    payload = operator.pack(Path(operator.spec["payload"]["archive"]), memories="".join(letters))
    operator.spec["payload"]["sha256"] = hashlib.sha256(payload.archive).hexdigest()
    with subprocess.Popen(
        operator.command("payload"),
        env=operator.environment(PVE_TRANSPORT="paste", PVE_PASTE_DEADLINE_SECONDS="10"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as step:
        assert step.stdout
        begun, lines = list[str](), list[str]()
        for line in step.stdout:
            lines.append(line)
            if line.startswith("[hermes] # ---- begin"):
                begun, lines = [*begun, line.strip()], []
            elif line == "# ---- end: up to here, then Enter\n":
                pasted = virtual_node.paste("".join(lines))
                assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        assert step.wait(30) == 0
    assert begun == [f"[hermes] # ---- begin hermes, text {number} of 3: paste from here" for number in (1, 2, 3)]
    place = virtual_node.guest(118, "/opt/pve-agents")
    assert (place / "hermes" / "memories").read_text() == "".join(letters)
    assert [path.name for path in place.iterdir()] == ["hermes"]


def test_a_push_that_failed_ends_well_and_yet_no_paste_counts_it(operator: Operator, virtual_node: VirtualNode) -> None:
    """As measured on Proxmox VE: only the task has failed."""
    api = Api(access(virtual_node.env | {"PROXMOX_VE_INSECURE": "true"}, token="PVE_READ_TOKEN"))
    for words, said in (
        ("/nowhere /run/x", "failed to open /nowhere for reading: No such file or directory\n"),
        ("/dev/null /nowhere/x", "failed to create file: /nowhere/x: No such file or directory\n"),
    ):
        failed = operator.ssh("root@127.0.0.1", f"pct push 118 {words}")
        assert (failed.returncode, failed.stderr) == (0, said)
    assert api.ended_well("gihyeon", "118", "push_file") == set()
    operator.root("pct push 118 /dev/null /run/x")
    assert len(api.ended_well("gihyeon", "118", "push_file")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="the transport `local` is for root")
def test_local(operator: Operator, virtual_node: VirtualNode) -> None:
    path = os.pathsep.join([str(virtual_node.host.local_bin), virtual_node.env["PATH"]])
    operator.steps("host-directories", PVE_TRANSPORT="local", PATH=path)
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert virtual_node.ssh_calls == []


# What a step refuses -------------------------------------------------------------------------------------------------


def test_what_is_not_as_wanted_is_refused(operator: Operator, virtual_node: VirtualNode) -> None:
    directories, operator.spec["directories"] = operator.spec["directories"], []
    done = operator.step("container-config")
    assert (done.returncode, f"mp0: host directory {HDD} does not exist" in done.stdout) == (3, True)
    operator.spec["directories"] = directories
    operator.spec["directories"][0]["path"] = "/mnt/pve/other/hermes"
    assert "/mnt/pve/other does not exist" in operator.step("host-directories").stdout
    virtual_node.make_directory("/mnt/pve/hdd/real")
    virtual_node.host.real("/mnt/pve/hdd/link").symlink_to("real")
    operator.spec["directories"][0]["path"] = "/mnt/pve/hdd/link/hermes"
    assert "/mnt/pve/hdd/link is a symbolic link" in operator.step("host-directories").stdout
    operator.spec["directories"] = []
    operator.spec["mounts"] = []
    for vmid, says in ((300, "300 is a virtual machine"), (301, "301 is on node other"), (302, "no container 302")):
        virtual_node.pve.nodes["other"] = {"online": True}
        if vmid == 300:
            virtual_node.add_foreign_vm(vmid)
        if vmid == 301:
            virtual_node.pve.add_ct(vmid, "elsewhere", node="other", status="stopped")
        operator.spec["vmid"] = vmid
        done = operator.step("container-config")
        assert (done.returncode, says in done.stdout) == (3, True), done.stdout
    operator.spec["vmid"] = 118
    virtual_node.pve.ct(118).ha_state = "started"
    assert "managed by HA" in operator.step("container-config").stdout
    assert virtual_node.host_changes == []


# pct and ssh ---------------------------------------------------------------------------------------------------------


def test_pct(operator: Operator, virtual_node: VirtualNode) -> None:
    assert operator.root("pct status 118") == "status: running\n"
    assert operator.root("pct status 404") == "Configuration file 'nodes/gihyeon/lxc/404.conf' does not exist\n"
    lines = operator.root("pct config 118").splitlines()
    assert lines == sorted(lines)
    assert {"features: nesting=1", "hostname: hermes", "unprivileged: 1"} <= set(lines)
    assert "rootfs: local-lvm:vm-118-disk-0,size=24G" in lines

    # A new mount is made at once, or nothing is written at all.
    missing = operator.root("pct set 118 --mp0 /x,mp=/data --mp1 local-lvm:8,mp=/work")
    assert missing.startswith("400 Parameter verification failed.")
    assert "mp0: unable to hotplug mp0: directory '/x' does not exist" in missing
    assert not {"mp0", "mp1"} & virtual_node.container_config(118).keys()
    virtual_node.make_directory("/x")
    assert operator.root("pct set 118 --mp0 /x,mp=/data --features nesting=1,keyctl=1") == ""
    assert "mp0: /x,mp=/data" in operator.root("pct config 118 --current")
    # What changes or goes waits for a start, and so do features.
    operator.root("pct set 118 --mp0 /x,mp=/data,ro=1")
    assert "features: keyctl=1,nesting=1\n" in operator.root("pct config 118")
    assert "mp0: /x,mp=/data,ro=1\n" in operator.root("pct config 118")
    now = operator.root("pct config 118 --current")
    assert "features: nesting=1\n" in now
    assert "mp0: /x,mp=/data\n" in now
    operator.root("pct reboot 118")
    assert operator.root("pct config 118") == operator.root("pct config 118 --current")
    operator.root("pct set 118 --delete mp0")
    assert "mp0" not in operator.root("pct config 118")
    assert "mp0" in operator.root("pct config 118 --current")
    assert virtual_node.reboots(118) == 1

    # A stopped container takes everything, and has nothing to run in.
    operator.root("pct stop 118")
    assert operator.root("pct exec 118 -- true") == "container '118' not running!\n"
    assert operator.root("pct push 118 /dev/null /run/x") == "can only push files to a running CT\n"
    assert operator.root("pct set 118 --mp3 /not/there,mp=/later") == ""
    assert "mp3: /not/there,mp=/later\n" in operator.root("pct config 118 --current")


def test_a_container_starts_empty(operator: Operator, virtual_node: VirtualNode) -> None:
    operator.root("pct exec 118 -- mkdir /opt/mine")
    operator.root("pct exec 118 -- chown 10000:10000 /opt/mine")
    asked = operator.root("pct exec 118 --keep-env 0 -- env -i PATH=/bin stat -c '%u:%g' /opt/mine")
    assert asked == "10000:10000\n"
    assert virtual_node.guest(118, "/opt/mine").is_dir()
    operator.root("pct stop 118")
    virtual_node.api("DELETE", f"{LXC}/118")
    assert not virtual_node.guest(118).exists()


def test_ssh(operator: Operator, virtual_node: VirtualNode) -> None:
    assert parse_ssh(["-oA=b", "-o", "C=d", "-4tp22", "--", "root@node", "bash", "-s"]) == (
        "root@node",
        ["bash", "-s"],
    )
    assert parse_ssh(["-l", "root", "node", "-v", "true"]) == ("root@node", ["true"])
    assert parse_ssh(["root@node", "pct", "config", "-x"]) == ("root@node", ["pct", "config", "-x"])
    assert operator.ssh("root@gihyeon", "pct status 118").stdout == "status: running\n"
    for login, says in (("root@10.1.10.10", "Could not resolve hostname"), ("me@127.0.0.1", "Permission denied")):
        refused = operator.ssh(login, "true")
        assert (refused.returncode, says in refused.stderr) == (SSH_FAILED, True)
    assert virtual_node.ssh_calls[0] == ["root@gihyeon", "pct status 118"]


def test_nothing_leads_out_of_the_nodes_directory(
    operator: Operator, virtual_node: VirtualNode, tmp_path: Path
) -> None:
    leak = tmp_path / "leak"
    assert "restricted" in operator.root(f"echo x >{leak}")
    assert "command not found" in operator.root(f"touch {leak}")
    refused = operator.ssh("root@127.0.0.1", "bash", "-s", text=f"echo x >{leak}")
    assert (refused.returncode, "this is none" in refused.stderr) == (SSH_FAILED, True)
    virtual_node.host.real("/mnt/pve/hdd/out").symlink_to(tmp_path)
    assert "leads out of it" in operator.root("mkdir -m 0755 -- /mnt/pve/hdd/out/leak")
    operator.root("pct exec 118 -- mkdir /opt/x")
    for name, line in (("redirects", f"echo x >{leak}"), ("makes", f"mkdir -p {leak}")):
        script = virtual_node.guest(118, f"/opt/{name}")
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    assert "would write to this machine's own files" in operator.root("pct exec 118 -- /opt/redirects")
    assert operator.root("pct exec 118 -- /opt/makes") == ""
    assert virtual_node.guest(118, str(leak)).is_dir()
    assert not leak.exists()


def test_every_place_of_the_real_root_in_a_text_is_led_to_the_nodes(operator: Operator) -> None:
    wanted, root = wanted_from(operator.spec), Path("/n/root")
    look = on_virtual_root(look_at(wanted), root)
    assert "root=/n/root # of the file system" in look

    directory, config = Command("host-directories", ("chmod", "0750", "."), "", within=HDD), guards(wanted)
    new = Command("host-directories", ("mkdir", "--", HDD), "", unless_directory=True)
    act = on_virtual_root(render(Plan((new, directory), guards=config), wanted), root)

    assert 'cd -P -- /n/root"$1" && [ "$PWD" = /n/root"$1" ]' in act
    assert "$(</n/root/etc/pve/nodes/gihyeon/lxc/118.conf)" in act
    assert f"[[ -d /n/root{HDD} ]] || run mkdir" in act
    with pytest.raises(ValueError, match="this is none"):
        on_virtual_root(look_at(wanted).replace("root='' #", "root='' # now"), root)


def test_steps_of_two_agents_at_once(operator: Operator, virtual_node: VirtualNode) -> None:
    began = time.monotonic()
    running = []
    for name in ("one", "two", "three"):
        spec = {**operator.spec, "agent": name}
        spec["directories"] = [{"path": f"/mnt/pve/hdd/{name}", "uid": 110000, "gid": 110000, "mode": "0700"}]
        spec["mounts"] = []
        environment = operator.environment(HOST_STEP_SPEC=json.dumps(spec))
        running.append(
            subprocess.Popen(operator.command("host-directories"), env=environment, stdout=subprocess.DEVNULL)
        )
    assert [step.wait(30) for step in running] == [0, 0, 0]
    assert [virtual_node.stat(f"/mnt/pve/hdd/{name}") for name in ("one", "two", "three")] == ["110000:110000 700"] * 3
    assert time.monotonic() - began < 30
