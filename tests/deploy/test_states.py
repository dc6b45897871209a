"""A state that somebody has written: it changes and deletes nothing of others."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from main import compose
from pve_agents import load_settings
from tests.deploy.project import CONTAINER, HERMES_ROOT, STEPS, TEMPLATE, TEMPLATE_FILE, Project
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

FORGET = f"pipenv run terraform -chdir=cdktf.out/stacks/hermes state rm {CONTAINER}"
ANOTHER_GUEST = (
    "the state holds guest 200 of node gihyeon for this agent, which is container 118 of node gihyeon: somebody has "
    "changed the state, and nothing was changed. Put back a copy of the state; or let Terraform forget that guest, and "
    f"adopt the right one: {FORGET}, then set adopt: true once."
)
NOT_OURS = (
    "check-token: container 200 on node gihyeon (somebodys) does not carry the tag pve-agents-hermes: it is not the one "
    "of stack hermes, and was not destroyed. If it is, give it the tag back in the web interface; if not, let Terraform "
    f"forget it: {FORGET}"
)


@pytest.fixture
def victim(virtual_node: VirtualNode) -> Any:
    """Somebody else's guest, running."""
    virtual_node.add_foreign_container(200, hostname="somebodys", status="running")
    guest = virtual_node.pve.guest(200)
    guest.config["mp0"] = "/srv/theirs,mp=/srv"
    before = copy.deepcopy(guest.config)
    yield guest
    assert virtual_node.pve.guest(200) is guest
    assert (guest.config, guest.status) == (before, "running")
    assert [path for _, path in virtual_node.mutations if "/200" in path] == []


def write_into_the_state(project: Project, address: str, /, stack: str = "hermes", **values: Any) -> None:
    """Change attributes of a resource in the state, with an editor."""
    file = project.state(stack)
    state = json.loads(file.read_text())
    kind, name = address.split(".")
    for resource in state["resources"]:
        if (resource["type"], resource["name"]) == (kind, name):
            resource["instances"][0]["attributes"].update(values)
    state["serial"] += 1
    file.write_text(json.dumps(state))


@pytest.mark.usefixtures("victim")
def test_a_state_that_names_another_guest_is_refused_in_the_plan(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    write_into_the_state(project, CONTAINER, id="200")
    virtual_node.mutations.clear()
    assert project.plan(ok=False).errors == [f"Resource postcondition failed: {ANOTHER_GUEST}"]
    assert project.apply("-refresh=false", ok=False).errors == [f"Resource postcondition failed: {ANOTHER_GUEST}"]
    assert virtual_node.mutations == []

    # What the sentence says helps.
    project.run(project.binary, f"-chdir={project.stack()}", "state", "rm", CONTAINER)
    project.deploy(adopt=True)
    assert project.deploy().actions == {}


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize(
    "arguments",
    [(), ("-refresh=false",), (f"-target={CONTAINER}",), (f"-target={TEMPLATE}",)],
    ids=["all", "without looking", "the container", "the template"],
)
def test_a_destroy_takes_no_other_guest_whatever_the_state_says(
    project: Project, virtual_node: VirtualNode, arguments: tuple[str, ...]
) -> None:
    project.deploy(protect=False)
    write_into_the_state(project, CONTAINER, id="200")
    virtual_node.mutations.clear()

    destroyed = project.terraform("destroy", "-auto-approve", *arguments, ok=False)

    assert NOT_OURS in " ".join(destroyed.errors[0].split())
    assert virtual_node.mutations == []
    assert {CONTAINER, TEMPLATE} <= project.addresses()


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("values", [{"id": "200", "vm_id": 200}, {"id": "200", "pool_id": "others"}])
def test_a_replacement_takes_no_other_guest_whatever_the_state_says(
    project: Project, virtual_node: VirtualNode, values: dict[str, Any]
) -> None:
    project.deploy(protect=False)
    write_into_the_state(project, CONTAINER, **values)
    virtual_node.mutations.clear()

    applied = project.apply(ok=False)

    assert applied.actions[CONTAINER] == "replace"
    assert NOT_OURS in " ".join(applied.errors[0].split())
    assert virtual_node.mutations == []


def test_our_own_container_is_replaced_where_the_settings_say_so(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy(protect=False)

    deployed = project.deploy(protect=False, vmid=119)

    assert deployed.actions[CONTAINER] == "replace"
    assert [container.vmid for container in virtual_node.pve.cts] == [119]


def test_what_is_gone_is_no_obstacle_to_a_destroy(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy(protect=False)
    virtual_node.api("DELETE", "/nodes/gihyeon/lxc/118", force=1)
    virtual_node.grant("Datastore.Allocate", "/storage/local")

    project.terraform("destroy", "-auto-approve", "-refresh=false", ok=None)
    project.destroy()

    assert project.addresses() == set()


def test_a_container_that_somebody_protects_is_not_stopped_by_a_destroy(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.deploy(protect=False)
    virtual_node.set_config(118, protection=1)
    virtual_node.mutations.clear()

    destroyed = project.destroy(ok=False)

    assert (
        "container 118 is protected (protection: 1), and a destroy would only stop it; as root on the node: "
        "pct set 118 --protection 0"
    ) in " ".join(destroyed.errors[0].split())
    assert virtual_node.mutations == []
    assert virtual_node.pve.ct(118).status == "running"

    virtual_node.set_config(118, protection=0)
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.destroy()
    assert project.addresses() == set()


# What Terraform asks no condition about --------------------------------------------------------------------------------


def compose_here(project: Project) -> dict[str, Any]:
    """Synthesize beside the state, as cdktf does; returns the manifest."""
    compose(load_settings(project.directory), outdir=str(project.out)).synth()
    manifest: dict[str, Any] = json.loads((project.out / "manifest.json").read_text())
    return manifest


def add_to_the_state(project: Project, **instance: Any) -> None:
    state = json.loads(project.state().read_text())
    (container,) = (
        it for it in state["resources"] if it["type"] == CONTAINER.split(".")[0] and it["mode"] == "managed"
    )
    ours = container["instances"][0]
    values = {**ours["attributes"], "id": "200", "vm_id": 200}
    if "name" in instance:
        state["resources"].append(
            {**container, "name": instance["name"], "instances": [{**ours, "attributes": values}]}
        )
    elif "deposed" in instance:
        container["instances"].append({**ours, **instance, "attributes": values})
    else:
        container["instances"] = [{**ours, **instance, "attributes": values}]
    state["serial"] += 1
    project.state().write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("instance", "protect"),
    [({"name": "other"}, True), ({"deposed": "0badc0de"}, True), ({"status": "tainted"}, False)],
    ids=["an orphan", "deposed", "tainted"],
)
def test_a_state_with_what_the_next_deploy_would_destroy_is_refused_before_terraform_runs(
    project: Project,
    virtual_node: VirtualNode,
    instance: dict[str, Any],
    protect: bool,  # noqa: FBT001
) -> None:
    virtual_node.add_foreign_container(200, hostname="somebodys")
    project.deploy(protect=protect)
    add_to_the_state(project, **instance)

    with pytest.raises(RuntimeError, match=r'the state of stack hermes holds .* with the id "200"'):
        compose_here(project)

    # Terraform itself would do it.
    project.apply(ok=None)
    assert virtual_node.pve.ct(200) is None


def test_a_tainted_container_of_ours_is_named_with_the_way_on(project: Project, virtual_node: VirtualNode) -> None:
    project.synthesize()
    virtual_node.pve.fail("GET", "/lxc/118/config", 500, "got timeout", times=1)
    project.apply(ok=False)
    assert project.plan(ok=False).errors[0].startswith("Instance cannot be destroyed")

    manifest = compose_here(project)

    said = [it["message"] for it in manifest["stacks"]["hermes"]["annotations"] if it["level"] == "@cdktf/warn"]
    (sentence,) = said
    untaint = re.search(r"pipenv run terraform -chdir=cdktf.out/stacks/hermes (untaint \S+) and deploy", sentence)
    assert untaint
    project.run(project.binary, f"-chdir={project.stack()}", *untaint[1].split())
    project.apply()
    assert project.plan().actions == {}


# Files ----------------------------------------------------------------------------------------------------------------

BACKUP = "vzdump-lxc-200-2026_11_01-03_00_00.tar.zst"


def test_a_state_that_names_another_file_is_refused_in_the_plan(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    virtual_node.pve.store_file("local", "other.tar.zst", 1000, "vztmpl")
    write_into_the_state(project, TEMPLATE, id="local:vztmpl/other.tar.zst")
    virtual_node.mutations.clear()

    (error,) = project.plan(ok=False).errors
    assert error == (
        "Resource postcondition failed: the state holds the file local:vztmpl/other.tar.zst of node gihyeon for the "
        f"template, which is local:vztmpl/{TEMPLATE_FILE} of node gihyeon: somebody has changed the state, and nothing "
        "was changed. Put back a copy of the state; or let Terraform forget that file: pipenv run terraform "
        f"-chdir=cdktf.out/stacks/hermes state rm {TEMPLATE}"
    )
    assert virtual_node.mutations == []

    # What the sentence says helps.
    project.run(project.binary, f"-chdir={project.stack()}", "state", "rm", TEMPLATE)
    project.apply()
    assert project.plan().actions == {}


@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_no_file_but_a_template_is_deleted_whatever_the_state_says(
    project: Project, virtual_node: VirtualNode, command: str
) -> None:
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.deploy(protect=False)
    virtual_node.pve.store_file("local", BACKUP, 1000, "backup")
    values = {"id": f"local:backup/{BACKUP}", "content_type": "backup", "file_name": BACKUP}
    write_into_the_state(project, TEMPLATE, **values)
    virtual_node.mutations.clear()

    ran = project.terraform(command, "-auto-approve", ok=False)

    assert f"check-token: the state names the file local:backup/{BACKUP}, which is no container template" in " ".join(
        ran.errors[0].split()
    )
    assert virtual_node.pve.volume_exists(f"local:backup/{BACKUP}")
    assert [path for method, path in virtual_node.mutations if method == "DELETE" and "storage" in path] == []


# What root's steps had attached ---------------------------------------------------------------------------------------

EVIL = "/opt/evil"


def a_program_that_leaves_a_trace(node: VirtualNode, vmid: int) -> Path:
    """The program that an attacker wants root to start; returns the file that it would write."""
    program = node.guest(vmid, EVIL)
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text('#!/bin/sh\nmkdir "$(dirname "$0")/was-run"\n')
    program.chmod(0o755)
    return program.with_name("was-run")


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize("command", ["apply", "destroy"])
@pytest.mark.parametrize("vmid", [200, 118], ids=["another container", "ours"])
def test_a_written_trigger_runs_no_command_anywhere_and_takes_nothing_from_others(
    project: Project, virtual_node: VirtualNode, vmid: int, command: str
) -> None:
    """The attack: whoever writes the state names what is stopped, and where."""
    project.create_container()
    project.configure(mounts={}, hermes=None)
    project.synthesize()
    project.apply(stack=HERMES_ROOT)
    traces = [a_program_that_leaves_a_trace(virtual_node, it) for it in (118, 200)]
    written = {
        "vmid": vmid,
        "mounts": [{"key": "mp0", "volume": "/srv/theirs"}],
        "bootstrap": {"command": EVIL, "timeout_seconds": 20},
        "payload": {"directory": "/opt", "archive": "/etc/hostname", "sha256": "0" * 64},
    }
    for address in STEPS:
        triggers = {"spec": json.dumps(written), "revision": "written"}
        write_into_the_state(project, address, stack=HERMES_ROOT, triggers=triggers)
    virtual_node.forget_host_changes()
    virtual_node.mutations.clear()

    ran = project.terraform(command, "-auto-approve", ok=None, stack=HERMES_ROOT)

    assert set(ran.actions.values()) == {"replace" if command == "apply" else "delete"}
    words = [word for call in virtual_node.host.lines("calls") for word in call]
    assert not [word for word in words if "200" in word or "evil" in word]
    assert [trace.exists() for trace in traces] == [False, False]
    assert virtual_node.mutations == []
