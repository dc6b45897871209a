"""agents adopt: a container of an older repository, with its data, and nothing else of that repository."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import CONTAINER, FAST, HDD, HERMES_ROOT, Project
from tests.deploy.test_deploy import GENUINE, fetch_by_hand, own_template
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

PBS = "proxmox_virtual_environment_container.pbs"
OLD_TEMPLATE = "proxmox_virtual_environment_download_file.debian12_template_gihyeon"
ADOPT = ("adopt", "hermes", "--auto-approve")


def instance(address: str, **attributes: Any) -> Mapping[str, Any]:
    kind, name = address.split(".")
    provider = 'provider["registry.terraform.io/bpg/proxmox"]'
    instances = [{"schema_version": 0, "attributes": attributes}]
    return {"mode": "managed", "type": kind, "name": name, "provider": provider, "instances": instances}


@pytest.fixture
def old_state(tmp_path: Path) -> Path:
    """The state of a repository that made hermes and a backup server, whose disk somebody has made larger since."""
    file = tmp_path / "old" / "terraform.tfstate"
    file.parent.mkdir()
    resources = [
        instance(CONTAINER, id="118", node_name="gihyeon", vm_id=118),
        instance(PBS, id="111", node_name="gihyeon", vm_id=111, disk=[{"size": 16}]),
        instance(OLD_TEMPLATE, id="local:vztmpl/debian-12-own_1.tar.zst", node_name="gihyeon"),
    ]
    head = {"version": 4, "terraform_version": "1.9.0", "serial": 7, "lineage": "5e2c", "outputs": {}}
    file.write_text(json.dumps({**head, "resources": resources, "check_results": None}))
    return file


@pytest.fixture
def before(project: Project, virtual_node: VirtualNode) -> Path:
    """The container of before on the node, with mounts, a Docker container of its own and data; the guest's directory."""
    virtual_node.make_directory(HDD, owner="100000:100000", mode="755")
    virtual_node.make_directory(FAST, owner="100000:100000", mode="755")
    project.create_container(tags="terraform")
    template = own_template(virtual_node)
    fetch_by_hand(virtual_node, template, GENUINE)
    project.configure(template=template)
    virtual_node.add_foreign_container(111, "pbs")
    mounts = {"mp0": f"{HDD},mp=/data", "mp1": f"{FAST},mp=/fast"}
    virtual_node.set_config(118, features="keyctl=1,nesting=1", **mounts)
    with virtual_node.host.changing() as state:
        virtual_node.host.make_guest("118", state)
    guest = virtual_node.guest(118)
    (guest / "opt" / "hermes").mkdir(parents=True)
    (guest / "opt" / "hermes" / "state.db").write_text("what it remembers")
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()
    return guest


def addresses(file: Path) -> list[str]:
    return [f"{it['type']}.{it['name']}" for it in json.loads(file.read_text())["resources"]]


def test_it_ends_with_no_changes_and_everything_else_of_the_old_state_is_as_it_was(
    project: Project, virtual_node: VirtualNode, before: Path, old_state: Path
) -> None:
    was, pbs = json.loads(old_state.read_text()), virtual_node.container_config(111)

    # As one types it, from where one is.
    said = project.agents(*ADOPT, "--state", os.path.relpath(old_state, ROOT)).raw

    assert f"  taken over  {CONTAINER}\n  stays       {PBS}\n  taken over  {OLD_TEMPLATE}\n" in said
    assert f"= {CONTAINER} is taken over, with these settings" in said
    assert addresses(old_state) == [PBS]
    (kept,) = (it for it in was["resources"] if it["name"] == "pbs")
    assert (
        json.loads(old_state.read_text())["resources"][0]["instances"][0]["attributes"]
        == (kept["instances"][0]["attributes"])
    )
    (copy,) = old_state.parent.glob("terraform.tfstate.before-*")
    assert addresses(copy) == [CONTAINER, PBS, OLD_TEMPLATE]
    assert virtual_node.container_config(111) == pbs
    assert not any("111" in path for _, path in virtual_node.mutations)
    assert ("DELETE", "/nodes/gihyeon/lxc/118") not in virtual_node.mutations
    assert project.plan().actions == project.plan(stack=HERMES_ROOT).actions == {}

    config = virtual_node.container_config(118)
    assert str(config["mp0"]).startswith(f"{HDD},mp=/data")
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert (before / "opt" / "hermes-data" / "state.db").read_text() == "what it remembers"
    assert project.agents("drift").code == 0


def test_it_shows_all_of_it_before_it_asks_and_does_nothing_unasked(
    project: Project, virtual_node: VirtualNode, before: Path, old_state: Path
) -> None:
    was = old_state.read_bytes()
    refused = project.agents("adopt", "hermes", "--state", str(old_state), ok=False)
    assert refused.code == 2
    assert 'mv -T -- "$before" "$data"' in refused.raw
    assert " sh hermes hermes 120 /opt/hermes /opt/hermes-data 10000:10000 /data /fast" in refused.raw
    assert (virtual_node.mutations, virtual_node.host_changes, old_state.read_bytes()) == ([], [], was)
    assert (before / "opt" / "hermes").is_dir()


def test_it_can_be_run_again_after_a_kill_anywhere(
    project: Project, virtual_node: VirtualNode, before: Path, old_state: Path
) -> None:
    # At a command of the takeover, and in the root stack.
    for number in (2, 9):
        virtual_node.kill_host_command_at(number, "before")
        assert project.agents(*ADOPT, "--state", str(old_state), ok=None).code in (1, 4)
    project.agents(*ADOPT, "--state", str(old_state))
    assert addresses(old_state) == [PBS]
    assert (before / "opt" / "hermes-data" / "state.db").read_text() == "what it remembers"
    project.agents(*ADOPT)


def test_where_there_is_nothing_to_take_over_nothing_is_made(project: Project, virtual_node: VirtualNode) -> None:
    refused = project.agents(*ADOPT, ok=False)
    assert refused.code == 1
    assert refused.raw.splitlines()[0].startswith(
        "hermes: there is no container to take over: correct vmid and node of "
    )
    assert virtual_node.mutations == []


def test_the_old_state_in_the_place_of_ours_is_refused_with_what_is_right(
    project: Project, virtual_node: VirtualNode, before: Path, old_state: Path
) -> None:
    """The report: with it there and adopt: true, the plan is to destroy the backup server."""
    own = project.directory / "terraform.hermes.tfstate"
    own.write_bytes(old_state.read_bytes())
    refused = project.agents("up", "--auto-approve", "--no-doctor", ok=False, main=True)
    assert refused.code == 2
    kind, name = PBS.split(".")
    assert f'holds "{kind}" "{name}" with the id "111" on node "gihyeon"' in refused.text
    found = re.search(r"`agents (adopt hermes) --state FILE`", refused.text)
    assert found
    named = project.agents(*ADOPT, "--state", str(own), ok=False)
    assert (named.code, named.raw.splitlines()[-1].partition(": ")[2]) == (
        3,
        "move the old state elsewhere, and name it from there",
    )
    assert virtual_node.mutations == []

    project.agents(*found[1].split(), "--auto-approve", "--state", str(own.rename(old_state)))
    assert addresses(old_state) == [PBS]
    assert (before / "opt" / "hermes-data").is_dir()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"resources": [{}]}'])
def test_what_is_no_state_is_one_sentence(project: Project, tmp_path: Path, text: str) -> None:
    file = tmp_path / "some.tfstate"
    file.write_text(text)
    refused = project.agents(*ADOPT, "--state", str(file), ok=False)
    said = "cannot be read (it is no state of Terraform's): name the old repository's terraform.tfstate"
    assert (refused.code, refused.raw) == (2, f"{file} {said}\n")
    assert re.fullmatch(r"\S+", str(file))
