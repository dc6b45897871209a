"""Volumes on an agent's container, with the API token alone: what Terraform makes of them, and what Proxmox VE does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.project import CONTAINER, TOKEN_CHECK, Project
from tests.virtual_node.client import ApiError
from tests.virtual_node.node import TOKEN, VirtualNode
from tests.virtual_node.pve import NODE

pytestmark = [pytest.mark.long, pytest.mark.terraform]

VOLUMES = "terraform_data.hermes_volumes"
CONFIG = f"/nodes/{NODE}/lxc/118/config"
VOLUME: dict[str, Any] = {"kind": "volume", "guest_path": "/data", "size_gib": 8}
DIRECTORY: dict[str, Any] = {"kind": "directory", "datastore": "hdd", "guest_path": "/fast"}


@pytest.fixture
def node(virtual_node: VirtualNode) -> VirtualNode:
    virtual_node.grant("Datastore.AllocateSpace", "/storage/hdd")
    return virtual_node


def mounts(node: VirtualNode, vmid: int = 118) -> dict[str, str]:
    return {key: str(it) for key, it in node.container_config(vmid).items() if key.startswith(("mp", "unused"))}


def changes(node: VirtualNode) -> list[tuple[str, str]]:
    found = [(verb, path.removeprefix(f"/nodes/{NODE}/lxc")) for verb, path in node.mutations]
    node.mutations.clear()
    return found


def test_a_volume_and_a_directory_are_made_by_the_token_and_planned_no_second_time(
    project: Project, node: VirtualNode
) -> None:
    said = project.deploy(mounts={"mp0": VOLUME, "mp1": DIRECTORY}, protect=False).said
    assert mounts(node) == {
        "mp0": "local-lvm:vm-118-disk-1,mp=/data,backup=1,size=8G",
        "mp1": "hdd:118/subvol-118-disk-0.subvol,mp=/fast,backup=1,size=0T",
    }
    assert "a new volume of 8 GiB on local-lvm is attached at /data as mp0" in said
    assert ("PUT", "/118/config") in changes(node)
    # A directory is one of the node's, in the datastore, which belongs to the container's root.
    assert node.stat("/mnt/pve/hdd/images/118/subvol-118-disk-0.subvol") == "100000:100000 755"
    plan = project.plan()
    assert plan.actions == {}
    assert plan.summary == {}
    project.apply()
    assert changes(node) == []
    # No root anywhere.
    assert node.host_changes == []
    assert all(task["user"] == TOKEN for task in node.pve.tasklog)


def test_what_the_provider_would_do_to_a_mount_is_not_done(project: Project, node: VirtualNode) -> None:
    """Whatever changes in a mount_point block, the provider replaces the container."""
    project.deploy(mounts={"mp0": VOLUME, "mp1": DIRECTORY})
    stack = project.json()
    lifecycle = project.lifecycle(stack)
    lifecycle["ignore_changes"] = [it for it in lifecycle["ignore_changes"] if it != "mount_point"]
    lifecycle["prevent_destroy"] = False
    project.edit(stack)
    assert project.plan().actions[CONTAINER] == "replace"
    project.synthesize()
    # `pct rescan` writes sizes.
    node.pve.ct(118).config["mp0"] = "local-lvm:vm-118-disk-1,mp=/data,backup=1"
    node.pve.rescan(118)
    assert mounts(node)["mp0"] == "local-lvm:vm-118-disk-1,mp=/data,backup=1,size=8G"
    assert project.plan().actions == {}


def test_a_mount_that_comes_is_plugged_into_the_running_container(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME})
    changes(node)
    run = project.deploy(mounts={"mp0": VOLUME, "mp1": DIRECTORY})
    # What the token needs is asked again, too.
    assert run.actions == {VOLUMES: "replace", TOKEN_CHECK: "replace"}
    assert changes(node) == [("PUT", "/118/config")]
    assert node.reboots(118) == 0
    assert list(mounts(node)) == ["mp0", "mp1"]


def test_a_mount_that_changes_waits_for_a_start_which_is_made(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME})
    changes(node)
    said = project.deploy(mounts={"mp0": {**VOLUME, "guest_path": "/srv/data", "read_only": True}}).said
    assert mounts(node) == {"mp0": "local-lvm:vm-118-disk-1,mp=/srv/data,backup=1,ro=1,size=8G"}
    assert "mp0 only changes at a start" in said
    assert changes(node) == [("PUT", "/118/config"), ("POST", "/118/status/reboot")]
    assert node.api("GET", CONFIG, current=1)["mp0"] == mounts(node)["mp0"]


def test_a_volume_grows_and_never_shrinks(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME})
    project.deploy(mounts={"mp0": {**VOLUME, "size_gib": 12}})
    assert mounts(node) == {"mp0": "local-lvm:vm-118-disk-1,mp=/data,backup=1,size=12G"}
    assert project.plan().actions == {}
    project.configure(mounts={"mp0": VOLUME})
    project.synthesize()
    changes(node)
    failed = project.apply(ok=False)
    assert (
        "attach-volumes: mp0 (local-lvm:vm-118-disk-1) has 12 GiB, and the settings want 8 GiB: a volume only grows; write "
        "size_gib: 12"
    ) in failed.said
    assert changes(node) == []
    # What it says to write is accepted.
    project.deploy(mounts={"mp0": {**VOLUME, "size_gib": 12}})


def test_a_volume_that_leaves_the_settings_stays_on_the_container(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME, "mp1": DIRECTORY})
    said = project.deploy(mounts={"mp0": VOLUME}).said
    assert "mp1 (hdd:118/subvol-118-disk-0.subvol) stays where it is" in said
    assert list(mounts(node)) == ["mp0", "mp1"]


def test_a_volume_that_somebody_detached_is_not_replaced_by_an_empty_one(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME}, started=False)
    probe = node.pve.volume_content("local-lvm:vm-118-disk-1") / "probe"
    probe.write_text("remember me")
    node.set_config(118, delete="mp0")
    assert mounts(node) == {"unused0": "local-lvm:vm-118-disk-1"}
    # Terraform sees none of it; the next change does.
    project.configure(mounts={"mp0": {**VOLUME, "backup": False}}, started=False)
    project.synthesize()
    failed = project.apply(ok=False)
    assert (
        "unused0 of container 118 is the volume local-lvm:vm-118-disk-1, which somebody has detached, and which goes when the "
        "container goes: if it was at /data, attach it again (`pct set 118 --mp0 local-lvm:vm-118-disk-1,mp=/data`)"
    ) in failed.said
    node.set_config(118, mp0="local-lvm:vm-118-disk-1,mp=/data")
    project.apply()
    assert probe.read_text() == "remember me"


def test_a_key_or_a_place_that_somebody_else_uses_is_not_taken(project: Project, node: VirtualNode) -> None:
    project.deploy()
    node.set_config(118, mp0="/srv/others,mp=/data")
    project.configure(mounts={"mp0": {**VOLUME, "guest_path": "/x"}, "mp1": VOLUME})
    project.synthesize()
    failed = project.apply(ok=False)
    assert (
        'mp0 is taken: it holds "/srv/others,mp=/data", and we want a volume of 8 GiB on local-lvm at /x' in failed.said
    )
    assert '/data is taken: mp0 holds "/srv/others,mp=/data"' in failed.said
    assert list(mounts(node)) == ["mp0"]


def test_a_protected_container_is_refused_with_a_way_that_works(project: Project, node: VirtualNode) -> None:
    project.deploy()
    node.set_config(118, protection=1)
    with pytest.raises(ApiError, match="can't update CT 118 drive 'mp0' - protection mode enabled"):
        node.set_config(118, mp0="local-lvm:1,mp=/x")
    project.configure(mounts={"mp0": VOLUME})
    project.synthesize()
    failed = project.apply(ok=False)
    assert (
        "container 118 is protected (protection: 1), and Proxmox VE then refuses every change of a mount" in failed.said
    )
    assert mounts(node) == {}
    node.set_config(118, protection=0)
    project.apply()
    assert list(mounts(node)) == ["mp0"]


def test_a_volume_that_cannot_be_made_leaves_nothing_half_attached(project: Project, node: VirtualNode) -> None:
    project.configure(mounts={"mp0": {**DIRECTORY, "datastore": "local-lvm"}})
    project.synthesize()
    failed = project.apply(ok=False)
    assert (
        "attach-volumes: Proxmox VE refuses it: Parameter verification failed.; mp0: unable to hotplug mp0"
        in failed.said
    )
    assert mounts(node) == {}
    assert {volume for volume, disk in node.pve.disks.items() if disk.owner == 118} == {"local-lvm:vm-118-disk-0"}
    project.deploy(mounts={"mp0": DIRECTORY})
    assert mounts(node) == {"mp0": "hdd:118/subvol-118-disk-0.subvol,mp=/fast,backup=1,size=0T"}


def test_what_a_container_owns_goes_when_it_goes(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME, "mp1": DIRECTORY}, protect=False)
    place = node.pve.volume_content("hdd:118/subvol-118-disk-0.subvol")
    assert place.is_dir()
    # Of the template.
    node.grant("Datastore.Allocate", "/storage/local")
    project.destroy()
    assert node.pve.disks == {}
    assert not place.exists()


def test_a_container_that_is_made_anew_gets_its_volumes_again(project: Project, node: VirtualNode) -> None:
    project.deploy(mounts={"mp0": VOLUME}, protect=False)
    project.apply(f"-replace={CONTAINER}")
    assert mounts(node) == {"mp0": "local-lvm:vm-118-disk-1,mp=/data,backup=1,size=8G"}
    assert project.plan().actions == {}


@pytest.mark.parametrize(
    ("mount", "lacking"),
    [
        (VOLUME | {"datastore": "tank"}, "Datastore.AllocateSpace on /storage/tank"),
        (DIRECTORY, "Datastore.AllocateSpace on /storage/hdd"),
    ],
)
def test_what_the_token_lacks_is_named_before_anything_is_made(
    project: Project, virtual_node: VirtualNode, mount: dict[str, Any], lacking: str
) -> None:
    project.configure(mounts={"mp0": mount})
    project.synthesize()
    failed = project.apply(ok=False)
    assert f"token {TOKEN} lacks {lacking}; to mend it, as root on the node:" in failed.said
    assert virtual_node.pve.ct(118) is None


SCRIBE: dict[str, Any] = {"vmid": 119, "protect": False}


def test_the_containers_root_gives_a_volume_to_the_user_who_works_there(project: Project, node: VirtualNode) -> None:
    mount = {**VOLUME, "uid": 1000, "gid": 1001, "mode": "0700"}
    project.configure({"scribe": {**SCRIBE, "mounts": {"mp0": mount}}})
    project.synthesize()
    project.apply(stack="scribe")
    place = node.pve.volume_content("local-lvm:vm-119-disk-1")
    assert node.stat(node.host.volume_path("local-lvm:vm-119-disk-1")) == "100000:100000 755"
    said = project.apply(stack="scribe-root").said
    assert "[scribe 1/1] workspace /data … ok" in said
    assert node.stat(node.host.volume_path("local-lvm:vm-119-disk-1")) == "101000:101001 700"
    (place / "probe").write_text("mine")
    project.agents("verify", "scribe")
    # Root on the node has made and changed nothing of it.
    assert [it for it in node.host_changes if it.split()[0] in ("mkdir", "chown", "chmod")] == []


def test_without_its_volume_the_agent_is_not_deployed_onto_the_root_disk(project: Project, node: VirtualNode) -> None:
    project.configure({"scribe": {**SCRIBE, "mounts": {"mp0": VOLUME}}})
    project.synthesize()
    project.apply(stack="scribe")
    node.set_config(119, delete="mp0")
    node.api("POST", f"/nodes/{NODE}/lxc/119/status/reboot", timeout=5)
    failed = project.apply(ok=False, stack="scribe-root")
    assert "mp0 at /data is missing" in failed.said


def test_a_volume_that_is_not_the_agents_to_write_in_fails_the_checks(project: Project, node: VirtualNode) -> None:
    project.configure({"scribe": {**SCRIBE, "mounts": {"mp0": VOLUME}}})
    project.synthesize()
    project.apply(stack="scribe")
    project.apply(stack="scribe-root")
    node.pve.volume_content("local-lvm:vm-119-disk-1").chmod(0o500)
    said = project.agents("verify", "scribe", ok=False).text
    assert "✗ volumes user 10000:10000 cannot write in /data" in said
    project.agents("mend", "scribe")
    assert "✓ volumes /data is open to user 10000:10000" in project.agents("verify", "scribe").text
