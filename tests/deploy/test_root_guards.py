"""What root leaves alone, and says so by name: other people's containers and mounts, and text that would be a command."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.project import HDD, HERMES_ROOT, Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = pytest.mark.terraform

MOUNTS = {"mp0": {"host_path": HDD, "guest_path": "/data"}}
ELSEWHERE = "/mnt/pve/hdd/elsewhere"


def refused(project: Project, node: VirtualNode, **hermes: Any) -> str:
    """Apply as root, and return why it was refused; the container and everything in it stays as it was."""
    project.configure(**{"mounts": MOUNTS, **hermes})
    project.synthesize()
    applied = project.apply(stack=HERMES_ROOT, ok=False)
    assert len(applied.errors) == 1
    assert [change for change in node.host_changes if change.startswith(("pct", "guest"))] == []
    return applied.errors[0]


def test_a_mount_of_somebody_elses_is_refused_with_both_values(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.make_directory(ELSEWHERE)
    project.create_container(mp0=f"{ELSEWHERE},mp=/theirs")
    before = virtual_node.container_config(118)

    said = refused(project, virtual_node)

    assert (
        f"mp0 is taken: it holds \"{ELSEWHERE},mp=/theirs\", and we want '{HDD},mp=/data,replicate=0'. "
        "Choose another key in the settings"
    ) in said
    assert virtual_node.container_config(118) == before


def test_a_place_of_somebody_elses_is_refused_with_both_values(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.make_directory(ELSEWHERE)
    project.create_container(mp7=f"{ELSEWHERE},mp=/data")

    said = refused(project, virtual_node)

    assert (
        f"/data is taken: mp7 holds \"{ELSEWHERE},mp=/data\", and we want mp0 '{HDD},mp=/data,replicate=0' there"
        in said
    )


def test_what_took_our_key_behind_our_back_is_left_alone_by_destroy(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.create_container()
    project.configure(mounts=MOUNTS, hermes=None)
    project.synthesize()
    project.apply(stack=HERMES_ROOT)
    virtual_node.set_config(118, mp0=f"{ELSEWHERE},mp=/theirs")
    virtual_node.forget_host_changes()

    said = project.destroy(stack=HERMES_ROOT).said

    assert f"[hermes] mp0 is left alone: it does not hold {HDD} any more" in said
    assert virtual_node.container_config(118)["mp0"] == f"{ELSEWHERE},mp=/theirs"


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"protection": 1}, "container 118 is protected (protection: 1)"),
        ({"lock": "backup"}, 'container 118 is locked (lock: "backup"): wait until that task ends'),
        ({"hostname": "someone-elses"}, 'container 118 is called "someone-elses", not hermes: it is somebody else\'s'),
        ({"unprivileged": 0}, "container 118 is privileged: its root would be the host's root"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ",".join(value),
)
def test_a_container_that_is_not_ours_to_change_is_refused(
    project: Project, virtual_node: VirtualNode, made: dict[str, str | int], says: str
) -> None:
    project.create_container()
    virtual_node.pve.ct(118).config |= made

    assert says in refused(project, virtual_node)


def test_a_container_that_is_still_being_made_is_nobody_elses(project: Project, virtual_node: VirtualNode) -> None:
    project.create_container()
    config = virtual_node.pve.ct(118).config
    config["lock"] = "create"
    del config["hostname"]

    assert "container 118 is still being created: run this again after that" in refused(project, virtual_node)


def test_a_virtual_machine_at_the_id_is_refused(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_vm(118)

    assert "118 is a virtual machine, not our container: give the agent another vmid" in refused(project, virtual_node)


# Text that would be a command -----------------------------------------------------------------------------------------

# mkdir is on both sides of ssh and in the container, and would be seen.
COMMANDS = "; mkdir pwned; $(mkdir pwned)`mkdir pwned` & ${HOME} %{x} $${y} #ü*?~!"


def test_text_that_would_be_a_command_is_passed_on_as_it_is(project: Project, virtual_node: VirtualNode) -> None:
    path, place = f"/mnt/pve/hdd/{COMMANDS}", f"/{COMMANDS}"
    mounts = {"mp0": {"host_path": path, "guest_path": place}}
    # Hermes itself would replace variables in its working directory.
    hermes = {"settings": {"terminal": {"cwd": "/opt/data/workspace"}}}

    project.deploy_both(description=f"'\"\\{COMMANDS}", mounts=mounts, hermes=hermes, protect=False)

    assert virtual_node.container_config(118)["mp0"] == f"{path},mp={place},replicate=0"
    assert virtual_node.stat(path) == "110000:110000 750"
    assert virtual_node.stat(f"{path}/workspace") == "110000:110000 750"
    assert "[hermes] all is as wanted" in project.agents("drift").raw.splitlines()
    assert project.plan(stack=HERMES_ROOT).actions == {}
    project.destroy(stack=HERMES_ROOT)
    assert "mp0" not in virtual_node.container_config(118)

    assert [change for change in virtual_node.host_changes if change.endswith("mkdir pwned")] == []
    assert list(project.directory.parent.rglob("pwned")) == []
    assert not (ROOT / "pwned").exists()


@pytest.mark.parametrize(
    "path",
    [
        *("/mnt/pve/hdd/x,mp=/etc", "/mnt/pve/hdd/'x", '/mnt/pve/hdd/"x', "/mnt/pve/hdd/\\x"),
        *("/mnt/pve/hdd/x\nmkdir pwned", "/mnt/pve/hdd/\u202ex", "/etc", "/mnt/pve/hdd/../../x"),
    ],
    ids=["option", "quote", "double quote", "backslash", "line break", "reversed", "system", "parent"],
)
def test_a_path_that_would_be_something_else_is_refused_before_terraform(project: Project, path: str) -> None:
    project.configure(mounts={"mp0": {"host_path": path, "guest_path": "/data"}})

    said = project.run("python", "main.py", ok=False).raw

    assert "agents.hermes.mounts.mp0.host_path: " in said
    assert not project.out.exists()
