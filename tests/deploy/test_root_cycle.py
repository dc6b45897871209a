"""The life of an agent under both stacks: the container made with a token, the rest by root on the node."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.deploy.project import CONTAINER, FAST, HDD, HERMES_ROOT, STEPS, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

DATA, WORK = {"host_path": HDD, "guest_path": "/data"}, {"host_path": FAST, "guest_path": "/fast"}
THIRD, OTHER = "/mnt/pve/hdd/third", "/media/2tb/other"
DIRECTORIES, CONFIG, PAYLOAD, BOOTSTRAP = STEPS


def shown(project: Project) -> list[str]:
    """The mounts and features that `pct config` shows."""
    lines = project.run("ssh", "root@127.0.0.1", "pct config 118").raw.splitlines()
    return [line for line in lines if re.match(r"(mp\d+|dev\d+|features):", line)]


def changes_nothing(project: Project, node: VirtualNode) -> bool:
    """Whether both stacks, applied once more, leave host and API alone."""
    node.forget_host_changes()
    node.mutations.clear()
    for stack in ("hermes", HERMES_ROOT):
        assert project.apply(stack=stack).actions == {}
    return (node.host_changes, node.mutations) == ([], [])


def test_from_nothing_to_a_finished_agent_that_passes_every_check(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy_both()

    assert project.addresses(HERMES_ROOT) == set(STEPS)
    assert shown(project) == [
        "features: keyctl=1,nesting=1",
        f"mp0: {HDD},mp=/data,replicate=0",
        f"mp1: {FAST},mp=/fast,replicate=0",
    ]
    assert [virtual_node.stat(path) for path in (HDD, FAST)] == ["110000:110000 750"] * 2
    assert virtual_node.guest(118, "/opt/pve-agents/hermes/bootstrap").is_file()
    assert virtual_node.reboots(118) == 1

    assert changes_nothing(project, virtual_node)

    ran = project.agents("verify", "--json", "hermes")

    checks = json.loads(ran.raw[ran.raw.index("{") :])["agents"]["hermes"]["checks"]
    assert {check["name"]: check["status"] for check in checks} == dict.fromkeys(
        (
            *("container", "config", "host directories", "payload", "docker", "disk", "image", "docker container"),
            *("gateway", "model endpoint", "chat", "secrets", "workspace /data", "workspace /fast"),
        ),
        "ok",
    )


@pytest.mark.long
def test_a_changed_setting_changes_what_it_names_and_nothing_else(project: Project, virtual_node: VirtualNode) -> None:
    mounts: dict[str, Mapping[str, Any]] = {"mp0": DATA, "mp1": WORK}
    # How the bootstrap takes a change, others test; this one is about the host.
    settings: dict[str, Any] = {"mounts": mounts, "hermes": None}
    project.deploy_both(**settings)

    def host_changes_after(**changed: Any) -> tuple[set[str], list[str]]:
        """The root stack's changed resources, and what the host ran outside the container."""
        settings.update(changed)
        virtual_node.forget_host_changes()
        project.configure(**settings)
        project.synthesize()
        actions = project.apply(stack=HERMES_ROOT).actions
        return set(actions), [change for change in virtual_node.host_changes if not change.startswith("guest-")]

    # What the token stack owns is none of root's business.
    assert host_changes_after(cpu={"cores": 4}) == (set(), [])
    assert project.apply().actions == {CONTAINER: "update"}
    assert virtual_node.container_config(118)["cores"] == 4

    # A new mount is plugged into the running container. A directory that was there is given to the agent.
    (virtual_node.host.real(THIRD)).mkdir()
    virtual_node.host.real(f"{THIRD}/note").touch()
    assert host_changes_after(mounts={**mounts, "mp2": {"host_path": THIRD, "guest_path": "/third"}}) == (
        set(STEPS),
        [
            f"chown 110000:110000 {THIRD}",
            f"chmod 0750 {THIRD}",
            f"pct set 118 --mp2 {THIRD},mp=/third,replicate=0 --digest …",
        ],
    )

    # A mount that leaves the settings is detached; its directory and files stay.
    assert host_changes_after(mounts=mounts)[1] == [
        "pct set 118 --delete mp2 --digest …",
        "pct reboot 118 --timeout 180",
    ]
    assert "mp2" not in virtual_node.container_config(118)
    assert virtual_node.host.real(f"{THIRD}/note").exists()

    # A flag of a mount waits for a start.
    read_only = {**DATA, "read_only": True}
    assert host_changes_after(mounts={"mp0": read_only, "mp1": WORK}) == (
        set(STEPS),
        [f"pct set 118 --mp0 {HDD},mp=/data,replicate=0,ro=1 --digest …", "pct reboot 118 --timeout 180"],
    )

    # The same mount of another directory: the old one goes, the new one comes, and one reboot is for both.
    assert host_changes_after(mounts={"mp0": read_only, "mp1": {**WORK, "host_path": OTHER}}) == (
        {DIRECTORIES, CONFIG},
        [
            "pct set 118 --delete mp1 --digest …",
            f"mkdir -m 0750 -- {OTHER}",
            f"chown 110000:110000 {OTHER}",
            f"pct set 118 --mp1 {OTHER},mp=/fast,replicate=0 --digest …",
            "pct reboot 118 --timeout 180",
        ],
    )
    assert virtual_node.host.real(FAST).is_dir()

    assert host_changes_after(keyctl=False) == (
        {CONFIG},
        ["pct set 118 --features keyctl=0,nesting=1 --digest …", "pct reboot 118 --timeout 180"],
    )
    assert virtual_node.container_config(118)["features"] == "keyctl=0,nesting=1"
    assert changes_nothing(project, virtual_node)


@pytest.mark.parametrize("order", [(HERMES_ROOT, "hermes"), ("hermes", HERMES_ROOT)], ids=" first, then ".join)
def test_destroy_in_either_order_keeps_the_directories(
    project: Project, virtual_node: VirtualNode, order: tuple[str, str]
) -> None:
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.deploy_both(protect=False, hermes=None)
    note = virtual_node.host.real(HDD) / "note"
    note.write_text("remember")
    virtual_node.forget_host_changes()

    first = project.destroy(stack=order[0])
    if order[0] == HERMES_ROOT:
        assert virtual_node.host_changes == ["pct set 118 --delete mp0,mp1 --digest …", "pct reboot 118 --timeout 180"]
        assert not {"mp0", "mp1"} & virtual_node.container_config(118).keys()
        assert "mp0, mp1 of container 118 will be detached; the files on the node stay" in first.said
        # The token stack has nothing to do with any of it.
        assert project.plan().actions == {}
    second = project.destroy(stack=order[1])
    if order[1] == HERMES_ROOT:
        assert "[hermes] there is no container 118 any more" in second.said
        assert virtual_node.host_changes == []

    assert virtual_node.pve.cts == []
    assert project.addresses() == project.addresses(HERMES_ROOT) == set()
    assert note.read_text() == "remember"
    assert [virtual_node.stat(path) for path in (HDD, FAST)] == ["110000:110000 750"] * 2


def test_the_root_stack_alone_says_what_to_deploy_first_and_then_goes_on(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.configure()
    project.synthesize()

    applied = project.apply(stack=HERMES_ROOT, ok=False)

    assert len(applied.errors) == 1
    assert "there is no container 118: run `pipenv run agents up hermes` first" in applied.errors[0]
    assert virtual_node.host_changes == []
    assert not {PAYLOAD, BOOTSTRAP} & project.addresses(HERMES_ROOT)

    project.apply()
    project.apply(stack=HERMES_ROOT)
    assert virtual_node.container_config(118)["mp1"] == f"{FAST},mp=/fast,replicate=0"
    assert changes_nothing(project, virtual_node)


def test_root_stacks_of_two_agents_leave_each_other_alone(project: Project, virtual_node: VirtualNode) -> None:
    librarian = {"vmid": 119, "mounts": {"mp0": {"host_path": "/mnt/pve/hdd/books", "guest_path": "/books"}}}
    for vmid, hostname in ((118, "hermes"), (119, "librarian")):
        project.create_container(vmid, hostname)
    project.configure({"hermes": {"mounts": {"mp0": DATA}, "hermes": None}, "librarian": librarian})
    project.synthesize()
    for stack in (HERMES_ROOT, "librarian-root"):
        project.apply(stack=stack)
    before = virtual_node.container_config(118)
    assert virtual_node.container_config(119)["mp0"] == "/mnt/pve/hdd/books,mp=/books,replicate=0"

    virtual_node.forget_host_changes()
    project.destroy(stack="librarian-root")

    assert virtual_node.host_changes == ["pct set 119 --delete mp0 --digest …", "pct reboot 119 --timeout 180"]
    assert virtual_node.container_config(118) == before
    assert project.plan(stack=HERMES_ROOT).actions == {}


@pytest.fixture
def half_deployed(project: Project, virtual_node: VirtualNode) -> Project:
    """An agent whose second step has attached its mount and then failed."""
    project.create_container()
    project.configure(mounts={"mp0": DATA}, hermes=None)
    project.synthesize()
    virtual_node.kill_host_command_at(4, "before")
    assert "FAILED" in project.apply(stack=HERMES_ROOT, ok=False).errors[0]
    assert virtual_node.host_changes[-1] == "pct reboot 118 --timeout 180"
    virtual_node.forget_host_changes()
    return project


def test_what_a_failed_step_attached_is_detached_by_destroy(half_deployed: Project, virtual_node: VirtualNode) -> None:
    half_deployed.destroy(stack=HERMES_ROOT)

    assert virtual_node.host_changes == ["pct set 118 --delete mp0 --digest …", "pct reboot 118 --timeout 180"]
    assert "mp0" not in virtual_node.container_config(118)


def test_what_a_failed_step_attached_can_be_moved(half_deployed: Project, virtual_node: VirtualNode) -> None:
    half_deployed.configure(mounts={"mp0": {**DATA, "host_path": OTHER}}, hermes=None)
    half_deployed.synthesize()
    half_deployed.apply(stack=HERMES_ROOT)

    assert virtual_node.container_config(118)["mp0"] == f"{OTHER},mp=/data,replicate=0"
    assert virtual_node.host.real(HDD).is_dir()
