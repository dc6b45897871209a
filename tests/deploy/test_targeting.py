"""-target, with which a part of a stack is deployed: through `agents target`, and through Terraform alone."""

from __future__ import annotations

import pytest

from tests.deploy.project import ADDRESS, CONTAINER, TEMPLATE, TEMPLATE_ID, TOKEN_CHECK, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

GUARDS = (
    "data.proxmox_virtual_environment_containers.hermes_vmid_guard",
    "data.proxmox_virtual_environment_vms.hermes_vmid_guard",
)


def drift(node: VirtualNode) -> None:
    """Somebody changed the container and deleted the template."""
    node.set_config(118, memory=1024)
    node.api("DELETE", f"/nodes/gihyeon/storage/local/content/{TEMPLATE_ID}")
    node.mutations.clear()


def test_a_target_is_mended_and_the_rest_of_the_stack_is_left(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    drift(virtual_node)

    said = project.agents("target", "hermes", TEMPLATE, "--apply", "--auto-approve").text

    assert f"apply of {TEMPLATE} and what it depends on; the rest of hermes is left" in said
    assert virtual_node.mutations == [("POST", "/nodes/gihyeon/storage/local/download-url")]
    assert virtual_node.container_config(118)["memory"] == 1024

    # Terraform itself does the same, in the directory that cdktf has left.
    assert project.apply(f"-target={CONTAINER}").actions == {CONTAINER: "update"}
    assert virtual_node.container_config(118)["memory"] == 4096
    assert project.plan().actions == {}


def test_a_target_takes_along_what_it_depends_on(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    drift(virtual_node)

    applied = project.apply(f"-target={CONTAINER}")

    assert applied.actions == {TEMPLATE: "create", CONTAINER: "update"}


def test_a_plan_is_what_a_target_does_unless_it_is_told_otherwise(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    drift(virtual_node)
    said = project.agents("target", "hermes", CONTAINER).text
    assert f"~ {CONTAINER} is changed" in said
    assert virtual_node.mutations == []


@pytest.mark.long
def test_a_target_that_is_destroyed_takes_what_depends_on_it(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy(protect=False)
    said = project.agents("target", "hermes", CONTAINER, "--destroy", "--auto-approve").text
    assert f"destroy of {CONTAINER} and what depends on it; the rest of hermes is left" in said
    assert f"- {CONTAINER} is destroyed, and with it all that is on its root disk" in said
    assert ("DELETE", "/nodes/gihyeon/lxc/118") in virtual_node.mutations
    assert project.plan().actions == {CONTAINER: "create"}


def test_a_target_of_roots_stack_has_roots_environment(project: Project) -> None:
    project.deploy()
    done = project.agents("target", "hermes-root", "null_resource.hermes_host_directories", "--apply", "--auto-approve")
    assert "[hermes 1/4] host directories … ok" in done.text
    assert "[hermes 2/4]" not in done.text


UNKNOWN = "proxmox_virtual_environment_container.hemres"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hermes", UNKNOWN], f"hermes has no {UNKNOWN}; it has:"),
        (["hermes", CONTAINER, "a.b", "a.c"], "hermes has no a.b and no a.c; it has:"),
        (["hermes", f"{CONTAINER}[x]"], f"hermes has no {CONTAINER}[x]; it has:"),
        (["herm*", CONTAINER], "there is no stack herm*; there are: hermes hermes-root"),
        (["hermes"], "Missing argument 'ADDRESS...' (see agents target --help)"),
        (["hermes", CONTAINER, "--auto-approve"], "--auto-approve goes with --apply or --destroy (see agents"),
        (["hermes", CONTAINER, "--apply"], "this asks before it acts, and there is no terminal to answer on"),
    ],
)
def test_a_wrong_target_is_refused_and_nothing_runs(
    project: Project, virtual_node: VirtualNode, arguments: list[str], said: str
) -> None:
    refused = project.agents("target", *arguments, ok=False)
    assert (refused.code, virtual_node.mutations) == (2, [])
    assert said in refused.text


def test_an_unknown_address_is_refused_with_those_that_exist(project: Project) -> None:
    refused = project.agents("target", "hermes", UNKNOWN, ok=False)
    known = "".join(f"\n  {address}" for address in sorted((ADDRESS, CONTAINER, TEMPLATE, TOKEN_CHECK, *GUARDS)))
    assert refused.raw == f"hermes has no {UNKNOWN}; it has:{known}\n"


@pytest.mark.parametrize("instance", ["[0]", '["x"]', '["x y"]'])
def test_an_instance_of_a_resource_can_be_named(project: Project, instance: str) -> None:
    assert f"plan of {CONTAINER}{instance} and " in project.agents("target", "hermes", CONTAINER + instance).text
