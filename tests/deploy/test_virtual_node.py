"""The virtual node itself: does it behave as Proxmox VE 9 and bpg/proxmox 0.111.1 do, traps included?"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import terraform
from tests.virtual_node.client import ApiError, Client
from tests.virtual_node.node import ROOT, VirtualNode

NODE = "gihyeon"
LXC = f"/nodes/{NODE}/lxc"
TEMPLATE = "debian-12-standard_12.7-1_amd64.tar.zst"
TEMPLATE_ID = f"local:vztmpl/{TEMPLATE}"
TEMPLATE_URL = f"https://templates.example/{TEMPLATE}"
DOWNLOAD = {"content_type": "vztmpl", "datastore_id": "local", "node_name": NODE, "url": TEMPLATE_URL}
CONTAINER = "proxmox_virtual_environment_container"
HERMES = {
    "node_name": NODE,
    "vm_id": 118,
    "description": "Hermes",
    "tags": ["terraform", "ai", "agent"],
    "unprivileged": True,
    "timeout_create": 60,
    "cpu": {"cores": 2},
    "memory": {"dedicated": 4096, "swap": 512},
    "disk": {"datastore_id": "local-lvm", "size": 24},
    "features": {"nesting": True},
    "initialization": {
        "hostname": "hermes",
        "dns": {"servers": ["1.1.1.1"]},
        "ip_config": {"ipv4": {"address": "dhcp"}},
    },
    "network_interface": {"name": "eth0", "bridge": "intra01"},
    "operating_system": {"template_file_id": TEMPLATE_ID, "type": "debian"},
}
IGNORED = {"lifecycle": {"ignore_changes": ["mount_point", "features", "operating_system"]}}
BIND = "/mnt/pve/hdd/hermes,mp=/data"

needs_terraform = pytest.mark.terraform


class Workspace:
    """A directory with one Terraform configuration, on one virtual node."""

    def __init__(self, directory: Path, node: VirtualNode) -> None:
        self.directory, self.node = directory, node
        self.provider: dict[str, Any] = {}

    def write(self, **blocks: Any) -> None:
        versions = {"proxmox": ("bpg/proxmox", "0.111.1"), "null": ("hashicorp/null", "~> 3.0")}
        required = {name: {"source": source, "version": version} for name, (source, version) in versions.items()}
        config = {
            "terraform": {"required_providers": required},
            "provider": {"proxmox": self.provider},
            **blocks,
        }
        self.directory.mkdir(exist_ok=True)
        (self.directory / "main.tf.json").write_text(json.dumps(config))
        # Providers that are served are not installed.
        if "TF_REATTACH_PROVIDERS" not in self.node.env and not (self.directory / ".terraform").exists():
            self.run("init")

    def container(self, **changes: Any) -> None:
        self.write(resource={CONTAINER: {"hermes": {**HERMES, **changes}}})

    def run(self, *args: str, ok: bool = True) -> str:
        outside = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "PROXMOX_"))}
        environment = {**outside, **self.node.env}
        self.node.seen_by_providers(environment)
        done = subprocess.run(
            [terraform(), *args, "-no-color"],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is ok, done.stdout
        # Terraform wraps its messages at the width of a terminal that is not there.
        return re.sub(r"[\s│]+", " ", done.stdout)

    def apply(self, *, ok: bool = True) -> str:
        return self.run("apply", "-auto-approve", ok=ok)

    def plan(self) -> str:
        return self.run("plan")

    def state(self, address: str) -> dict[str, Any]:
        shown = subprocess.run(
            [terraform(), "show", "-json"],
            cwd=self.directory,
            env={**os.environ, **self.node.env},
            capture_output=True,
            check=True,
        )
        resources = json.loads(shown.stdout)["values"]["root_module"]["resources"]
        values: dict[str, Any] = next(item["values"] for item in resources if item["address"] == address)
        return values


@pytest.fixture
def workspace(tmp_path: Path, virtual_node: VirtualNode) -> Workspace:
    virtual_node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
    return Workspace(tmp_path / "workspace", virtual_node)


def bodies(node: VirtualNode, method: str, path: str) -> list[dict[str, str]]:
    """What was sent to a path, oldest first."""
    sent = [body for verb, where, body in node.pve.requests if (verb, where) == (method, f"/api2/json{path}")]
    return [dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)) for body in sent]


def calls(node: VirtualNode) -> list[str]:
    return [f"{verb} {path.removeprefix('/api2/json')}" for verb, path, _ in node.pve.requests]


def as_token(node: VirtualNode) -> Client:
    return Client(node.pve.url, token=node.env["PROXMOX_VE_API_TOKEN"], insecure=True)


def new_container(node: VirtualNode, vmid: int = 118, **options: Any) -> None:
    """A running, unprivileged container with nesting, made by root."""
    if not node.pve.volume_exists(TEMPLATE_ID):
        node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
    base = {"vmid": vmid, "ostemplate": TEMPLATE_ID, "rootfs": "local-lvm:8", "start": 1, "features": "nesting=1"}
    node.api("POST", LXC, **{**base, "net0": "name=eth0,bridge=intra01,ip=dhcp", "hostname": "made-by-root", **options})


# The container's life ------------------------------------------------------------------------------------------------


@needs_terraform
def test_create_plan_update_destroy(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    virtual_node.pve.requests.clear()
    workspace.apply()
    assert bodies(virtual_node, "POST", LXC) == [
        {
            "arch": "amd64",
            "cmode": "tty",
            "console": "1",
            "cores": "2",
            "cpulimit": "0",
            "description": "Hermes",
            "features": "nesting=1",
            "hostname": "hermes",
            "memory": "4096",
            "nameserver": "1.1.1.1",
            "net0": "bridge=intra01,host-managed=0,ip=dhcp,name=eth0",
            "onboot": "1",
            "ostemplate": TEMPLATE_ID,
            "ostype": "debian",
            "protection": "0",
            "rootfs": "volume=local-lvm:24",
            "start": "1",
            "storage": "local-lvm",
            "swap": "512",
            "tags": "agent;ai;terraform",
            "template": "0",
            "tty": "2",
            "unprivileged": "1",
            "vmid": "118",
        }
    ]
    order = [re.sub(r"/tasks/.*/", "/tasks/UPID/", call) for call in calls(virtual_node)]
    assert order == [
        "GET /version",
        f"POST {LXC}",
        f"GET /nodes/{NODE}/tasks/UPID/status",
        f"GET {LXC}/118/status/current",
        f"GET {LXC}/118/status/current",
        f"GET {LXC}/118/config",
        f"GET {LXC}/118/status/current",
        f"GET {LXC}/118/interfaces",
    ]
    config = virtual_node.container_config(118)
    assert re.fullmatch(
        r"name=eth0,bridge=intra01,host-managed=0,hwaddr=BC:24:11(:[0-9A-F]{2}){3},ip=dhcp,type=veth",
        str(config["net0"]),
    )
    assert config["rootfs"] == "local-lvm:vm-118-disk-0,size=24G"
    assert (config["cores"], config["onboot"], config["description"]) == (2, 1, "Hermes\n")
    assert workspace.state(f"{CONTAINER}.hermes")["ipv4"] == {"eth0": "10.1.10.118"}
    virtual_node.mutations.clear()
    assert "No changes" in workspace.plan()
    assert "0 added, 0 changed, 0 destroyed" in workspace.apply()
    assert virtual_node.mutations == []

    workspace.container(cpu={"cores": 3}, description="Hermes, bigger", tags=["agent"], memory={"dedicated": 8192})
    virtual_node.pve.requests.clear()
    assert "0 added, 1 changed, 0 destroyed" in workspace.apply()
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config") == [
        {
            "arch": "amd64",
            "cores": "3",
            "delete": "cpulimit",
            "description": "Hermes, bigger",
            "memory": "8192",
            "swap": "0",
            "tags": "agent",
        }
    ]
    assert bodies(virtual_node, "POST", f"{LXC}/118/status/reboot") == [{"timeout": "300"}]

    virtual_node.pve.requests.clear()
    workspace.run("destroy", "-auto-approve")
    assert bodies(virtual_node, "POST", f"{LXC}/118/status/shutdown") == [{"forceStop": "1", "timeout": "55"}]
    assert virtual_node.mutations[-1] == ("DELETE", f"{LXC}/118")
    assert virtual_node.pve.ct(118) is None


@needs_terraform
def test_out_of_band_mounts_and_keyctl(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container(**IGNORED)
    workspace.apply()
    virtual_node.set_config(118, mp0=BIND, features="keyctl=1,nesting=1")
    assert "No changes" in workspace.plan()
    mount = workspace.state(f"{CONTAINER}.hermes")
    assert mount["mount_point"] == []  # plan alone writes nothing
    workspace.container(cpu={"cores": 4}, **IGNORED)
    assert "1 changed" in workspace.apply()
    mounts = workspace.state(f"{CONTAINER}.hermes")["mount_point"]
    assert [(mount["volume"], mount["path"], mount["replicate"]) for mount in mounts] == [
        ("/mnt/pve/hdd/hermes", "/data", True)
    ]
    config = virtual_node.container_config(118)
    assert (config["mp0"], config["features"], config["cores"]) == (BIND, "keyctl=1,nesting=1", 4)

    workspace.container(cpu={"cores": 4}, lifecycle={"ignore_changes": ["features"]})
    plan = workspace.plan()
    assert "must be replaced" in plan
    assert "mount_point { # forces replacement" in plan

    workspace.container(cpu={"cores": 4}, lifecycle={"ignore_changes": ["mount_point"]})
    assert "keyctl = true -> false" in workspace.plan()
    assert "(changing feature flags (except nesting) is only allowed for root@pam)" in workspace.apply(ok=False)
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config")[-1] == {"features": "fuse=0,keyctl=0,nesting=1,mknod=0"}


@needs_terraform
def test_root_login_owns_mounts(workspace: Workspace, virtual_node: VirtualNode) -> None:
    # An API token in the environment wins unless the block empties it.
    password = Path(virtual_node.env["VIRTUAL_NODE_ROOT_PASSWORD_FILE"]).read_text()
    workspace.provider = {"api_token": "", "username": "root@pam", "password": password}
    bind = {"volume": "/mnt/pve/hdd/hermes", "path": "/data"}
    workspace.container(mount_point=[bind, {"volume": "local-lvm", "size": "8G", "path": "/fast"}])
    workspace.apply()
    config = virtual_node.container_config(118)
    assert (config["mp0"], config["mp1"]) == (BIND, "local-lvm:vm-118-disk-1,mp=/fast,size=8G")
    assert "No changes" in workspace.plan()

    workspace.container(
        mount_point=[{**bind, "read_only": True}, {"volume": "local-lvm", "size": "8G", "path": "/fast"}]
    )
    assert "1 changed, 0 destroyed" in workspace.apply()
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config")[-1] == {
        "mp0": "acl=0,backup=0,mp=/data,quota=0,ro=1,replicate=1,shared=0,volume=/mnt/pve/hdd/hermes",
        "mp1": "acl=0,backup=0,size=8G,mp=/fast,quota=0,ro=0,replicate=1,shared=0,volume=local-lvm:vm-118-disk-1",
    }
    assert virtual_node.mutations[-1] == ("POST", f"{LXC}/118/status/reboot")
    expected = "/mnt/pve/hdd/hermes,mp=/data,acl=0,backup=0,quota=0,replicate=1,ro=1,shared=0"
    assert virtual_node.container_config(118)["mp0"] == expected
    assert "No changes" in workspace.plan()

    for mounts in ([], [bind], [{**bind, "volume": "/mnt/pve/hdd/other"}, {"volume": "local-lvm", "path": "/fast"}]):
        workspace.container(mount_point=mounts)
        assert "must be replaced" in workspace.plan()


@needs_terraform
def test_a_token_may_have_directories_of_the_containers_own(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.grant("Datastore.AllocateSpace", "/storage/hdd")
    workspace.container(mount_point={"volume": "hdd", "size": "0T", "path": "/data"})
    workspace.apply()
    assert virtual_node.container_config(118)["mp0"] == "hdd:118/subvol-118-disk-0.subvol,mp=/data,size=0T"
    assert "No changes" in workspace.plan()
    workspace.container(mount_point={"volume": "hdd", "size": "0G", "path": "/data"})
    assert "must be replaced" in workspace.plan()


@needs_terraform
def test_part_of_a_block_can_be_ignored(workspace: Workspace) -> None:
    def write(key: str, **container: Any) -> None:
        account = {"keys": [f"ssh-ed25519 {key}"]}
        start = {"hostname": "hermes", "ip_config": {"ipv4": {"address": "dhcp"}}, "user_account": account}
        workspace.container(initialization=start, **container)

    write("AAAA")
    workspace.apply()
    assert "No changes" in workspace.plan()
    write("BBBB", lifecycle={"ignore_changes": ["initialization[0].user_account"]})
    assert "No changes" in workspace.plan()
    write("BBBB")
    assert "must be replaced" in workspace.plan()


@needs_terraform
@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"node_name": "other"}, True),
        ({"vm_id": 119}, True),
        ({"unprivileged": False}, True),
        ({"pool_id": "agents"}, True),
        ({"template": True}, True),
        ({"disk": {"datastore_id": "hdd", "size": 24}}, True),
        ({"operating_system": {"template_file_id": "local:vztmpl/other.tar.zst", "type": "debian"}}, True),
        ({"initialization": {**HERMES["initialization"], "user_account": {"keys": ["ssh-ed25519 AA"]}}}, True),  # type: ignore[dict-item]
        ({"operating_system": {"template_file_id": TEMPLATE_ID, "type": "ubuntu"}}, False),
        ({"initialization": {**HERMES["initialization"], "hostname": "other"}}, False),  # type: ignore[dict-item]
        ({"network_interface": {"name": "eth0", "bridge": "intra01", "firewall": True}}, False),
        ({"console": {"type": "shell"}}, False),
        ({"tags": ["ai", "agent", "terraform"]}, None),
    ],
)
def test_what_forces_a_replacement(
    planned_container: Workspace,
    change: dict[str, Any],
    replaces: bool | None,  # noqa: FBT001
) -> None:
    planned_container.container(**change)
    plan = planned_container.run("plan", "-refresh=false")
    expected = {True: "must be replaced", False: "will be updated in-place", None: "No changes"}[replaces]
    assert expected in plan


@pytest.fixture(scope="module")
def planned_container(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One container for all tests that only plan."""
    directory = tmp_path_factory.mktemp("planned")
    with VirtualNode(directory / "node", serves_providers=True) as node:
        node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
        workspace = Workspace(directory / "workspace", node)
        workspace.container()
        workspace.apply()
        yield workspace


@needs_terraform
def test_disk_grows_but_never_shrinks(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    workspace.apply()
    workspace.container(disk={"datastore_id": "local-lvm", "size": 30})
    workspace.apply()
    assert bodies(virtual_node, "PUT", f"{LXC}/118/resize") == [{"disk": "rootfs", "size": "30G"}]
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config") == [
        {"rootfs": f"acl=0,size={30 * 1024**3},quota=0,replicate=0,volume=local-lvm:vm-118-disk-0"}
    ]
    assert "No changes" in workspace.plan()
    workspace.container(disk={"datastore_id": "local-lvm", "size": 16})
    assert "will be updated in-place" in workspace.plan()
    assert "new disk size (16G) has to be greater than the current disk (30G)" in workspace.apply(ok=False)


@needs_terraform
def test_stop_start_and_vanish(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    workspace.apply()
    virtual_node.mutations.clear()
    workspace.container(started=False)
    workspace.apply()
    workspace.container()
    workspace.apply()
    assert virtual_node.mutations == [
        ("POST", f"{LXC}/118/status/shutdown"),
        ("POST", f"{LXC}/118/status/start"),
    ]
    virtual_node.api("DELETE", f"{LXC}/118", force=1)
    assert "1 to add, 0 to change, 0 to destroy" in workspace.plan()


@needs_terraform
def test_protection_leaves_the_container_stopped(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container(protection=True)
    workspace.apply()
    virtual_node.mutations.clear()
    output = workspace.run("destroy", "-auto-approve", ok=False)
    assert "can't remove CT 118 - protection mode enabled" in output
    assert "#3:" in output
    assert virtual_node.mutations == [("POST", f"{LXC}/118/status/shutdown"), *[("DELETE", f"{LXC}/118")] * 3]
    assert virtual_node.pve.ct(118).status == "stopped"


@needs_terraform
def test_import_replaces_unless_the_template_is_ignored(workspace: Workspace, virtual_node: VirtualNode) -> None:
    new_container(virtual_node, hostname="hermes", ostype="debian", nameserver="1.1.1.1", memory=4096)
    workspace.container()
    assert "Import successful" in workspace.run("import", f"{CONTAINER}.hermes", f"{NODE}/118")
    assert "operating_system" in workspace.plan()
    assert "must be replaced" in workspace.plan()
    workspace.container(lifecycle={"ignore_changes": ["operating_system"]})
    assert "0 to add, 1 to change, 0 to destroy" in workspace.plan()


IMPORTED = {"import": [{"to": f"{CONTAINER}.hermes", "id": f"{NODE}/118"}]}


@needs_terraform
def test_to_import_what_is_as_wanted_sends_nothing(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    workspace.apply()
    workspace.run("state", "rm", f"{CONTAINER}.hermes")
    virtual_node.mutations.clear()
    workspace.write(resource={CONTAINER: {"hermes": {**HERMES, **IGNORED}}}, **IMPORTED)
    assert "1 imported, 0 added, 1 changed, 0 destroyed" in workspace.apply()
    assert virtual_node.mutations == []
    assert "No changes" in workspace.plan()


@needs_terraform
def test_to_import_a_foreign_container_writes_out_its_console(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_container(118, status="running")
    assert "console" not in virtual_node.container_config(118)
    workspace.write(resource={CONTAINER: {"hermes": {**HERMES, **IGNORED}}}, **IMPORTED)
    workspace.apply()
    (sent,) = bodies(virtual_node, "PUT", f"{LXC}/118/config")
    assert {key: sent[key] for key in ("console", "cmode", "tty")} == {"console": "1", "cmode": "tty", "tty": "2"}
    assert "No changes" in workspace.plan()


@needs_terraform
def test_a_description_is_sent_raw_and_kept_trimmed(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container(description="  two\n\nlines \n\n")
    workspace.apply()
    assert bodies(virtual_node, "POST", LXC)[0]["description"] == "  two\n\nlines \n\n"
    assert virtual_node.container_config(118)["description"] == "  two\n\nlines \n"
    # What PVE keeps is not what the provider takes it for: there is always something to change.
    for _ in range(2):
        assert "1 to change" in workspace.plan()
        workspace.apply()
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config")[-1] == {"description": "  two\n\nlines \n\n"}

    workspace.container(description="")
    workspace.apply()
    assert bodies(virtual_node, "PUT", f"{LXC}/118/config")[-1] == {"description": ""}
    assert not virtual_node.container_config(118).get("description")
    assert "No changes" in workspace.plan()


@needs_terraform
def test_what_is_deleted_is_named_one_by_one(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container(startup={"order": 3})
    workspace.apply()
    virtual_node.set_config(118, net1="name=eth1,bridge=intra01,ip=dhcp")
    workspace.container(cpu={"cores": 3})
    workspace.apply()
    sent = [urllib.parse.parse_qsl(body.decode()) for method, _, body in virtual_node.pve.requests if method == "PUT"]
    deleted = {value for name, value in sent[-1] if name == "delete"}
    assert deleted == {"cpulimit", "startup", *(f"net{index}" for index in range(1, 10))}
    config = virtual_node.container_config(118)
    assert {"startup", "net1", "cpulimit"} & config.keys() == set()
    assert "No changes" in workspace.plan()


@needs_terraform
def test_devices_that_root_passed_on_end_in_an_empty_request(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    workspace.apply()
    virtual_node.set_config(118, dev0="/dev/dri/renderD128,gid=104")
    virtual_node.mutations.clear()
    assert "1 to change" in workspace.plan()
    assert "received an HTTP 500 response - Reason: no options specified" in workspace.apply(ok=False)
    assert virtual_node.mutations == [("PUT", f"{LXC}/118/config")]


@needs_terraform
def test_options_of_the_root_disk_set_by_hand_plan_nothing(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container()
    workspace.apply()
    virtual_node.api("POST", f"{LXC}/118/status/stop")
    virtual_node.set_config(118, rootfs="local-lvm:vm-118-disk-0,mountoptions=discard;noatime,size=24G")
    virtual_node.api("POST", f"{LXC}/118/status/start")
    assert "No changes" in workspace.plan()
    workspace.container(disk={"datastore_id": "local-lvm", "size": 24, "mount_options": ["noatime"]})
    assert "1 to change" in workspace.plan()


@needs_terraform
@pytest.mark.parametrize(("limit", "fits"), [(8192, True), (8193, False)])
def test_a_cpu_limit_goes_up_to_8192(workspace: Workspace, limit: int, *, fits: bool) -> None:
    workspace.container(cpu={"cores": 2, "limit": limit})
    assert ("1 to add" in workspace.run("plan", "-refresh=false", ok=fits)) is fits


# Traps ---------------------------------------------------------------------------------------------------------------


@needs_terraform
def test_a_token_may_not_set_what_only_root_may(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.container(features={"nesting": True, "keyctl": True})
    refusal = "403 response - Reason: Permission check failed"
    assert f"{refusal} (changing feature flags (except nesting) is only allowed for root@pam)" in workspace.apply(
        ok=False
    )
    workspace.container(mount_point={"volume": "/mnt/pve/hdd/hermes", "path": "/data"})
    assert f"{refusal} (mount point type bind is only allowed for root@pam)" in workspace.apply(ok=False)
    # A refusal is final: no retry, nothing created, nothing in the state.
    assert virtual_node.mutations == [("POST", LXC)] * 2
    assert virtual_node.pve.ct(118) is None
    assert workspace.run("state", "list").strip() == ""


@needs_terraform
def test_a_foreign_container_is_adopted_and_destroyed(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_container(118, hostname="someone-elses")
    workspace.container()
    workspace.apply()
    assert virtual_node.mutations == [("POST", LXC), ("POST", LXC), ("POST", f"{LXC}/118/status/start")]
    state = workspace.state(f"{CONTAINER}.hermes")
    assert (state["id"], state["initialization"][0]["hostname"]) == ("118", "someone-elses")
    workspace.run("destroy", "-auto-approve")
    assert virtual_node.pve.ct(118) is None


@needs_terraform
@pytest.mark.parametrize("cause", ["vm", "no VM.Audit"])
def test_apply_hangs_until_its_timeout(workspace: Workspace, virtual_node: VirtualNode, cause: str) -> None:
    if cause == "vm":
        virtual_node.add_foreign_vm(118)
    else:
        virtual_node.revoke("VM.Audit")
    workspace.container(timeout_create=1)
    output = workspace.apply(ok=False)
    assert "timeout while waiting for container 118 configuration to become unlocked" in output
    assert workspace.run("state", "list").strip() == f"{CONTAINER}.hermes"
    assert calls(virtual_node).count(f"GET {LXC}/118/status/current") > 5
    virtual_node.grant("VM.Audit", "/vms")
    if cause != "vm":
        assert "is tainted" in workspace.plan()


@needs_terraform
def test_a_changed_template_replaces_the_container(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.api("DELETE", f"/nodes/{NODE}/storage/local/content/{TEMPLATE_ID}")

    def write(overwrite: bool, **container: Any) -> None:  # noqa: FBT001
        reference = {"template_file_id": "${proxmox_download_file.debian.id}", "type": "debian"}
        resources = {
            "proxmox_download_file": {"debian": {**DOWNLOAD, **({} if overwrite else {"overwrite": False})}},
            CONTAINER: {"hermes": {**HERMES, "operating_system": reference, **container}},
        }
        workspace.write(resource=resources)

    virtual_node.pve.web[TEMPLATE_URL] = b"first edition"
    write(overwrite=True)
    workspace.apply()
    assert "No changes" in workspace.plan()
    virtual_node.pve.web[TEMPLATE_URL] = b"the second edition"
    plan = workspace.plan()
    assert "2 to add, 0 to change, 2 to destroy" in plan
    assert "The file size from URL has changed." in plan
    write(overwrite=False)
    assert "must be replaced" not in workspace.plan()
    virtual_node.api("DELETE", f"/nodes/{NODE}/storage/local/content/{TEMPLATE_ID}")
    assert "2 to add, 0 to change, 1 to destroy" in workspace.plan()
    write(overwrite=False, **IGNORED)
    assert "1 to add, 0 to change, 0 to destroy" in workspace.plan()


@needs_terraform
def test_no_dhcp_means_no_address_until_a_refresh(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.pve.dhcp = False
    workspace.container(wait_for_ip={"ipv4": True})
    workspace.apply()
    assert workspace.state(f"{CONTAINER}.hermes")["ipv4"] == {}
    virtual_node.pve.dhcp = True
    workspace.run("apply", "-refresh-only", "-auto-approve")
    assert workspace.state(f"{CONTAINER}.hermes")["ipv4"] == {"eth0": "10.1.10.118"}


@needs_terraform
def test_a_task_warning_is_a_terraform_warning(workspace: Workspace) -> None:
    workspace.container(features=[])
    output = workspace.apply()
    assert "Warning: Container create" in output
    assert "You may need to enable nesting" in output


# Files ---------------------------------------------------------------------------------------------------------------


@needs_terraform
def test_download_move_and_delete(workspace: Workspace, virtual_node: VirtualNode) -> None:
    url = "https://templates.example/other.tar.zst"
    file = {**DOWNLOAD, "url": url, "overwrite": False, "checksum": "ab" * 32, "checksum_algorithm": "sha256"}
    workspace.write(resource={"proxmox_virtual_environment_download_file": {"old": file}})
    assert 'Use "proxmox_download_file" instead' in workspace.apply()
    assert bodies(virtual_node, "POST", f"/nodes/{NODE}/storage/local/download-url") == [
        {
            "checksum": "ab" * 32,
            "checksum-algorithm": "sha256",
            "content": "vztmpl",
            "filename": "other.tar.zst",
            "node": NODE,
            "storage": "local",
            "url": url,
            "verify-certificates": "1",
        }
    ]
    moved = {"from": "proxmox_virtual_environment_download_file.old", "to": "proxmox_download_file.new"}
    workspace.write(resource={"proxmox_download_file": {"new": file}}, moved=[moved])
    virtual_node.mutations.clear()
    assert "0 to add, 0 to change, 0 to destroy" in workspace.plan()
    workspace.apply()
    assert virtual_node.mutations == []
    state = workspace.state("proxmox_download_file.new")
    assert state["id"] == "local:vztmpl/other.tar.zst"
    assert "Permission check failed (/storage/local, Datastore.Allocate)" in workspace.run(
        "destroy", "-auto-approve", ok=False
    )
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    workspace.run("destroy", "-auto-approve")
    assert not virtual_node.pve.volume_exists("local:vztmpl/other.tar.zst")


@needs_terraform
def test_a_file_that_is_there_already(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.write(resource={"proxmox_download_file": {"debian": {**DOWNLOAD, "overwrite": False}}})
    assert "refusing to override existing file" in workspace.apply(ok=False)
    assert "Import successful" in workspace.run("import", "proxmox_download_file.debian", f"{NODE}/{TEMPLATE_ID}")
    assert "must be replaced" in workspace.plan()
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    workspace.run("state", "rm", "proxmox_download_file.debian")
    workspace.write(resource={"proxmox_download_file": {"debian": {**DOWNLOAD, "overwrite_unmanaged": True}}})
    workspace.apply()
    assert "No changes" in workspace.plan()


@needs_terraform
def test_a_listing_is_tried_ten_times_and_then_the_file_counts_as_gone(
    workspace: Workspace, virtual_node: VirtualNode
) -> None:
    virtual_node.api("DELETE", f"/nodes/{NODE}/storage/local/content/{TEMPLATE_ID}")
    workspace.write(resource={"proxmox_download_file": {"debian": {**DOWNLOAD, "overwrite": False}}})
    workspace.apply()
    listing = f"/nodes/{NODE}/storage/local/content"
    virtual_node.pve.fail("GET", listing, 500, "storage 'local' is not online", times=9)
    assert "No changes" in workspace.plan()

    virtual_node.pve.fail("GET", listing, 596, "Connection timed out")
    virtual_node.pve.requests.clear()
    plan = workspace.plan()
    assert calls(virtual_node) == [f"GET {listing}"] * 10
    assert "1 to add" in plan
    assert (
        "unexpected error when listing datastore files: error listing files from datastore local: "
        "received an HTTP 596 response - Reason: Connection timed out"
    ) in plan

    virtual_node.pve.fail("GET", listing, 403, "Permission check failed", times=1)
    virtual_node.pve.requests.clear()
    workspace.plan()
    assert calls(virtual_node) == [f"GET {listing}"]

    workspace.provider = {"endpoint": "https://127.0.0.1:1"}
    workspace.write(resource={"proxmox_download_file": {"debian": {**DOWNLOAD, "overwrite": False}}})
    plan = workspace.plan()
    assert "The file does not exist in datastore and resource must be recreated." in plan
    assert "dial tcp 127.0.0.1:1: connect: connection refused" in plan


@needs_terraform
def test_the_task_of_a_failed_download_is_deleted(workspace: Workspace, virtual_node: VirtualNode) -> None:
    workspace.write(resource={"proxmox_download_file": {"debian": {**DOWNLOAD, "overwrite": False}}})
    assert "refusing to override existing file" in workspace.apply(ok=False)
    (post, deletion) = virtual_node.mutations
    assert post == ("POST", f"/nodes/{NODE}/storage/local/download-url")
    assert (deletion[0], urllib.parse.unquote(deletion[1])) == (
        "DELETE",
        f"/nodes/{NODE}/tasks/{virtual_node.pve.tasklog[-1]['upid']}",
    )


@needs_terraform
def test_oci_image(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    image = {"node_name": NODE, "datastore_id": "local", "reference": "docker.io/library/alpine:3.20"}
    workspace.write(resource={"proxmox_oci_image": {"alpine": image}})
    workspace.apply()
    assert bodies(virtual_node, "POST", f"/nodes/{NODE}/storage/local/oci-registry-pull") == [
        {"filename": "alpine_3.20", "reference": "docker.io/library/alpine:3.20", "storage": "local"}
    ]
    assert workspace.state("proxmox_oci_image.alpine")["id"] == "local:vztmpl/alpine_3.20.tar"
    assert "No changes" in workspace.plan()
    workspace.run("destroy", "-auto-approve")
    assert not virtual_node.pve.volume_exists("local:vztmpl/alpine_3.20.tar")


# Provider block, data sources, null ----------------------------------------------------------------------------------


@needs_terraform
def test_provider_block(workspace: Workspace, virtual_node: VirtualNode) -> None:
    source = {
        "data": {"proxmox_version": {"it": {}}},
        "output": {"it": {"value": "${data.proxmox_version.it.version}"}},
    }
    for block, message in (
        ({"endpoint": ""}, "Invalid Attribute Value Length"),
        ({"endpoint": ""}, 'expected "endpoint" url to not be empty, got'),
        ({"endpoint": "node:8006"}, 'expected "endpoint" to have a url with schema of: "http,https", got node:8006'),
        ({"endpoint": "http://127.0.0.1:8006"}, "you must specify a secure endpoint"),
        ({"api_token": "not-a-token"}, "the API token must be in the format 'USER@REALM!TOKENID=UUID'"),
        ({"api_token": ""}, "must provide either username and password, an API token, or a ticket"),
        ({"api_token": "", "username": "root", "password": "x"}, "username"),
        ({"api_token": "", "username": "root@pam", "password": "wrong"}, "401"),
        ({"insecure": False}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"),
    ):
        virtual_node.pve.requests.clear()
        workspace.provider = block
        workspace.write(**source)
        assert message in workspace.run("plan", ok=False)
    workspace.provider = {}
    workspace.write(**source)
    assert "9.1.4" in workspace.plan()


@needs_terraform
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("containers", "error listing nodes: failed to get nodes: "),
        ("vms", "error listing nodes: failed to get nodes: "),
        ("nodes", "failed to get nodes: "),
    ],
)
def test_a_data_source_words_what_failed(
    workspace: Workspace, virtual_node: VirtualNode, kind: str, words: str
) -> None:
    workspace.write(data={f"proxmox_virtual_environment_{kind}": {"all": {}}})
    virtual_node.pve.fail("GET", "/nodes", 502, "OK", html=True)
    assert f"Error: {words}received an HTTP 502 response - Reason: " in workspace.run("plan", ok=False)
    workspace.provider = {"endpoint": "https://127.0.0.1:1"}
    workspace.write(data={f"proxmox_virtual_environment_{kind}": {"all": {}}})
    assert (
        f'Error: {words}failed to perform HTTP GET request (path: nodes) - Reason: Get "https://127.0.0.1:1/api2/json/nodes"'
        ": dial tcp 127.0.0.1:1: connect: connection refused"
    ) in workspace.run("plan", ok=False)


@needs_terraform
def test_data_sources_see_what_the_token_may_see(workspace: Workspace, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_container(200, hostname="one", status="running")
    virtual_node.add_foreign_container(201, hostname="two")
    virtual_node.add_foreign_vm(300, name="three")
    kind = "proxmox_virtual_environment"
    running = {"filter": [{"name": "status", "values": ["running"]}], "node_name": NODE}
    pattern = {"filter": [{"name": "name", "values": ["^t"], "regex": True}]}
    sources: dict[str, dict[str, Any]] = {
        f"{kind}_containers": {"all": {}, "running": running, "pattern": pattern, "tagged": {"tags": ["agent"]}},
        f"{kind}_vms": {"all": {"node_name": NODE}},
        f"{kind}_nodes": {"all": {}},
        "proxmox_datastores": {"all": {"node_name": NODE}, "root": {"node_name": NODE, "filters": {"id": "local"}}},
    }
    ids = {name: f"${{data.{kind}_containers.{name}.containers[*].vm_id}}" for name in sources[f"{kind}_containers"]}
    outputs = ids | {
        "vms": f"${{data.{kind}_vms.all.vms[*].name}}",
        "nodes": f"${{data.{kind}_nodes.all.names}}",
        "stores": "${data.proxmox_datastores.all.datastores[*].id}",
        "store": "${data.proxmox_datastores.root.datastores[0].content_types}",
    }
    workspace.write(data=sources, output={name: {"value": value} for name, value in outputs.items()})
    workspace.apply()

    def answers() -> dict[str, Any]:
        text = (workspace.directory / "terraform.tfstate").read_text()
        return {name: output["value"] for name, output in json.loads(text)["outputs"].items()}

    assert answers() == {
        "all": [200, 201],
        "running": [200],
        "pattern": [201],
        "tagged": [],
        "vms": ["three"],
        "nodes": [NODE],
        "stores": ["local", "local-lvm"],
        "store": ["backup", "iso", "vztmpl"],
    }
    virtual_node.revoke("VM.Audit")
    workspace.apply()
    assert (answers()["all"], answers()["vms"]) == ([], [])


@needs_terraform
def test_providers_start_from_the_mirror_as_real_ones_do(tmp_path: Path) -> None:
    """All other tests have them in their own process."""
    with VirtualNode(tmp_path / "node") as node:
        node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
        workspace = Workspace(tmp_path / "workspace", node)
        step = {"provisioner": [{"local-exec": {"command": "echo the step has run"}}]}
        workspace.write(resource={CONTAINER: {"hermes": HERMES}, "null_resource": {"step": step}})
        assert "the step has run" in workspace.apply()
        assert "No changes" in workspace.plan()
        installed = workspace.directory / ".terraform" / "providers"
        assert {path.name for path in installed.glob("*/*/*/*/*/terraform-provider-*")} == {
            "terraform-provider-proxmox_v0.111.1",
            "terraform-provider-null_v3.2.4",
        }


@needs_terraform
def test_null_resource(workspace: Workspace) -> None:
    def write(trigger: str) -> None:
        run = {"local-exec": {"command": "echo step $STEP", "environment": {"STEP": trigger}}}
        workspace.write(resource={"null_resource": {"step": {"triggers": {"hash": trigger}, "provisioner": [run]}}})

    write("one")
    assert "step one" in workspace.apply()
    assert "No changes" in workspace.plan()
    write("two")
    output = workspace.apply()
    assert "must be replaced" in output
    assert "step two" in output


# The API alone -------------------------------------------------------------------------------------------------------

ROOT_ONLY = "is only allowed for root@pam"
FEATURES = f"changing feature flags (except nesting) {ROOT_ONLY}"


@pytest.mark.parametrize(
    ("option", "value", "refusal"),
    [
        ("cores", 3, None),
        ("memory", 1024, None),
        ("net0", "name=eth0,bridge=intra01,ip=10.1.10.7/24", None),
        ("net1", "name=eth1,bridge=vmbr0", "/sdn/zones/localnetwork/vmbr0, SDN.Use"),
        ("net1", "name=eth1,bridge=intra01,tag=5", None),
        ("nameserver", "9.9.9.9", None),
        ("hostname", "other", None),
        ("mp0", "local-lvm:8,mp=/fast", None),
        ("mp0", "hdd:0,mp=/data", "/storage/hdd, Datastore.AllocateSpace"),
        ("mp0", BIND, f"mount point type bind {ROOT_ONLY}"),
        ("mp0", "/dev/sdb,mp=/data", f"mount point type device {ROOT_ONLY}"),
        ("features", "nesting=0", None),
        ("features", "keyctl=1,nesting=1", FEATURES),
        ("features", "keyctl=0,nesting=1", FEATURES),
        ("features", "fuse=1,nesting=1", FEATURES),
        ("features", "mount=nfs,nesting=1", FEATURES),
        ("features", "mknod=1,nesting=1", FEATURES),
        ("features", "force_rw_sys=1,nesting=1", FEATURES),
        ("dev0", "/dev/dri/card0", f"configuring device passthrough {ROOT_ONLY}"),
        ("hookscript", "local:snippets/hook.pl", f"changing the hookscript {ROOT_ONLY}"),
        ("tags", "One;two", None),
        ("env", "A=1", None),
        ("cmode", "shell", None),
        ("protection", 1, None),
        ("delete", "features", None),
    ],
)
def test_who_may_set_an_option(virtual_node: VirtualNode, option: str, value: str | int, refusal: str | None) -> None:
    new_container(virtual_node)
    if refusal is None:
        as_token(virtual_node).request("PUT", f"{LXC}/118/config", {option: value})
        return
    with pytest.raises(ApiError) as caught:
        as_token(virtual_node).request("PUT", f"{LXC}/118/config", {option: value})
    assert (caught.value.code, caught.value.message) == (403, f"Permission check failed ({refusal})")
    virtual_node.api("PUT", f"{LXC}/118/config", **{option: value})


@pytest.mark.parametrize(
    ("privilege", "path"),
    [
        ("VM.Config.CPU", "/vms/119"),
        ("VM.Config.Disk", "/vms/119"),
        ("VM.Config.Memory", "/vms/119"),
        ("VM.Config.Network", "/vms/119"),
        ("VM.Config.Options", "/vms/119"),
        ("Datastore.AllocateSpace", "/storage/local-lvm"),
        ("SDN.Use", "/sdn/zones/intra/intra01"),
        ("VM.Allocate", ""),
        ("VM.PowerMgmt", None),
        ("VM.Audit", None),
    ],
)
def test_least_privileges(virtual_node: VirtualNode, privilege: str, path: str | None) -> None:
    virtual_node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
    body = {
        "vmid": 119,
        "ostemplate": TEMPLATE_ID,
        "rootfs": "volume=local-lvm:8",
        "storage": "local-lvm",
        "cores": 1,
        "memory": 512,
        "hostname": "agent",
        "net0": "name=eth0,bridge=intra01",
        "onboot": 1,
        "start": 1,
        "features": "nesting=1",
        "unprivileged": 1,
    }
    virtual_node.revoke(privilege)
    if path is None:
        as_token(virtual_node).request("POST", LXC, body)
        return
    with pytest.raises(ApiError) as caught:
        as_token(virtual_node).request("POST", LXC, body)
    assert caught.value.message == "Permission check failed" + (f" ({path}, {privilege})" if path else "")


def test_errors_are_worded_as_by_pve(virtual_node: VirtualNode) -> None:
    new_container(virtual_node)
    virtual_node.api("POST", f"{LXC}/118/status/stop")

    def refused(method: str, path: str, **params: Any) -> tuple[int, str]:
        with pytest.raises(ApiError) as caught:
            virtual_node.api(method, path, **params)
        return caught.value.code, caught.value.message

    missing = f"Configuration file 'nodes/{NODE}/lxc/404.conf' does not exist"
    assert refused("GET", f"{LXC}/404/config") == (500, missing)
    assert refused("GET", f"{LXC}/404/status/current") == (500, missing)
    base = {"vmid": 118, "ostemplate": TEMPLATE_ID, "rootfs": "local-lvm:8"}
    assert refused("POST", LXC, **base) == (500, f"CT 118 already exists on node '{NODE}'")
    virtual_node.add_foreign_vm(300)
    assert refused("POST", LXC, **{**base, "vmid": 300}) == (500, f"VM 300 already exists on node '{NODE}'")
    assert refused("POST", LXC, **{**base, "vmid": 119, "ssh-public-keys": "nonsense"}) == (
        500,
        "SSH public key validation error",
    )
    assert refused("POST", LXC, **{**base, "vmid": 119, "password": "1234"})[0] == 400
    assert refused("PUT", f"{LXC}/118/config") == (500, "no options specified")
    assert refused("PUT", f"{LXC}/118/config", unprivileged=0)[1] == "unable to modify read-only option: 'unprivileged'"
    for value, text in (
        ("/mnt/pve/hdd/hermes", "property is missing and it is not optional"),
        ("/mnt/../etc,mp=/d", "contains illegal character sequences"),
        (f"{BIND},bogus=1", "bogus"),
        ("/mnt/a,b,mp=/d", "duplicate key in comma-separated list property: volume"),
        (f"{BIND},mountoptions=exec", "regex"),
    ):
        code, message = refused("PUT", f"{LXC}/118/config", mp0=value)
        assert code == 400
        assert text in message
    assert refused("PUT", f"{LXC}/118/config", mp256=BIND)[0] == 400


def test_values_come_back_in_pves_spelling(virtual_node: VirtualNode) -> None:
    new_container(virtual_node, cores=2, onboot=1, description="two\nlines", tags="Agent;ai;AI")
    virtual_node.set_config(118, mp0="mp=/data,backup=0,acl=0,volume=/mnt/pve/hdd/hermes", mp1="hdd:0,mp=/work")
    config = virtual_node.container_config(118)
    assert config["mp0"] == "/mnt/pve/hdd/hermes,mp=/data,acl=0,backup=0"
    assert config["mp1"] == "hdd:118/subvol-118-disk-0.subvol,mp=/work,size=0T"
    assert (config["tags"], config["description"]) == ("agent;ai", "two\nlines\n")
    assert (config["cores"], config["memory"], config["onboot"], config["unprivileged"]) == (2, 512, 1, 1)
    # What runs changes at the next start; what the next start uses is what the configuration shows.
    virtual_node.set_config(118, mp0=f"{BIND},ro=1", features="keyctl=1,nesting=1")
    ct = virtual_node.pve.ct(118)
    assert ct.pending == {"mp0": f"{BIND},ro=1", "features": "keyctl=1,nesting=1"}
    assert virtual_node.container_config(118)["mp0"] == f"{BIND},ro=1"
    virtual_node.set_config(118, mp0=f"{BIND},ro=1")
    virtual_node.api("POST", f"{LXC}/118/status/reboot")
    assert ct.pending == {}
    assert ct.config["features"] == "keyctl=1,nesting=1"


def test_interfaces(virtual_node: VirtualNode) -> None:
    new_container(virtual_node, net1="name=eth1,bridge=intra01,ip=192.0.2.7/24,ip6=2001:db8::7/64")
    loopback, first, second = virtual_node.api("GET", f"{LXC}/118/interfaces")
    assert loopback["name"] == "lo"
    assert first["ip-addresses"][0]["ip-address"] == "10.1.10.118"
    assert [item["ip-address"] for item in second["ip-addresses"]][:2] == ["192.0.2.7", "2001:db8::7"]
    assert second["ip-addresses"][-1]["ip-address"].startswith("fe80::")
    virtual_node.api("POST", f"{LXC}/118/status/stop")
    assert virtual_node.api("GET", f"{LXC}/118/interfaces") is None


def test_downloads_compare_checksums(virtual_node: VirtualNode) -> None:
    virtual_node.pve.web["https://x.example/a.tar.zst"] = b"template"
    right = hashlib.sha256(b"template").hexdigest()

    def download(**checksum: str) -> str:
        path = f"/nodes/{NODE}/storage/local/download-url"
        body = {"content": "vztmpl", "filename": "a.tar.zst", "url": "https://x.example/a.tar.zst", **checksum}
        upid = as_token(virtual_node).request("POST", path, body)
        return str(virtual_node.pve.tasks[upid]["exitstatus"])

    assert "checksum mismatch" in download(checksum=right[::-1], **{"checksum-algorithm": "sha256"})
    assert download() == "OK"
    assert "refusing to override existing file" in download()

    assert download(checksum=right, **{"checksum-algorithm": "sha256"}) == "OK"
    assert "refusing" in download(checksum="0" * 64, **{"checksum-algorithm": "sha256"})
    metadata = as_token(virtual_node).get(f"/nodes/{NODE}/query-url-metadata", url="https://x.example/a.tar.zst")
    assert (metadata["filename"], metadata["size"]) == ("a.tar.zst", 8)
    virtual_node.revoke("Sys.AccessNetwork")
    with pytest.raises(ApiError, match="403"):
        download()


def test_permissions_are_readable(virtual_node: VirtualNode) -> None:
    token = as_token(virtual_node)
    assert "VM.Console" not in token.get("/access/permissions")["/vms"]
    virtual_node.grant("VM.Console", "/vms")
    assert token.get("/access/permissions", path="/vms/118")["/vms/118"]["VM.Console"] == 1
    virtual_node.revoke("VM.Console")
    assert "VM.Console" not in token.get("/access/permissions")["/vms"]


# The node's own life -------------------------------------------------------------------------------------------------


@needs_terraform
def test_two_nodes_at_once(tmp_path: Path) -> None:
    def deploy(name: str) -> tuple[str, int]:
        with VirtualNode(tmp_path / name, serves_providers=True) as node:
            node.pve.store_file("local", TEMPLATE, 1000, "vztmpl")
            workspace = Workspace(tmp_path / f"{name}-workspace", node)
            workspace.container(initialization={"hostname": name})
            workspace.apply()
            return str(node.container_config(118)["hostname"]), len(node.pve.cts)

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(deploy, ["left", "right"])) == [("left", 1), ("right", 1)]


def test_command_line(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys; from tests.virtual_node.client import Client; "
        "root = Client.as_root(); "
        f"root.request('POST', '/nodes/{NODE}/storage/local/download-url', dict(content='vztmpl', "
        "filename='a.tar.zst', url='https://x.example/a.tar.zst')); "
        f"root.request('POST', '{LXC}', dict(vmid=118, ostemplate='local:vztmpl/a.tar.zst', rootfs='local-lvm:8')); "
        "subprocess.run([sys.executable, '-m', 'tests.virtual_node.pct', 'config', '118'], check=True); "
        "sys.exit(subprocess.run([sys.executable, '-m', 'tests.virtual_node.pct', 'config', '119']).returncode + 5)"
    )
    command = [sys.executable, "-m", "tests.virtual_node", "--keep", str(tmp_path), "--", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert "rootfs: local-lvm:vm-118-disk-0,size=8G" in lines
    assert lines == sorted(lines)
    assert re.match(r"virtual node: listening on https://127\.0\.0\.1:\d+\n", done.stderr)
    assert "119.conf' does not exist" in done.stderr
    # The credentials went with the node.
    assert not {"root-password", "node.key"} & {path.name for path in tmp_path.iterdir()}


def test_files_that_hold_secrets_are_private(virtual_node: VirtualNode) -> None:
    for name in ("root-password", "node.key"):
        assert (virtual_node.directory / name).stat().st_mode & 0o777 == 0o600


def test_everything_is_freed_after_an_exception(tmp_path: Path) -> None:
    def fail() -> None:
        with VirtualNode(tmp_path) as node:
            urls.append(node.pve.url)
            raise KeyError

    urls: list[str] = []
    with pytest.raises(KeyError):
        fail()
    with pytest.raises(ApiError, match="connection refused"):
        Client(urls[0], token="a@b!c=d", insecure=True).get("/version")
