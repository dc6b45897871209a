"""-target, with which a part of a stack is deployed: through scripts/target, and through Terraform alone."""

from __future__ import annotations

import sys

import pytest

from tests.deploy.project import ADDRESS, CONTAINER, TEMPLATE, TEMPLATE_ID, TOKEN_CHECK, Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = pytest.mark.terraform

TARGET = (sys.executable, ROOT / "scripts" / "target")
GUARDS = (
    "data.proxmox_virtual_environment_containers.hermes_vmid_guard",
    "data.proxmox_virtual_environment_vms.hermes_vmid_guard",
)


def drift(node: VirtualNode) -> None:
    """Somebody changed the container and deleted the template."""
    node.set_config(118, memory=1024)
    node.api("DELETE", f"/nodes/gihyeon/storage/local/content/{TEMPLATE_ID}")
    node.mutations.clear()


@pytest.mark.cli
def test_a_target_is_mended_and_the_rest_of_the_stack_is_left(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    drift(virtual_node)
    options = ("--apply", "--auto-approve", "--", "--output", str(project.out), "--skip-provider-lock")

    said = project.run(*TARGET, "hermes", TEMPLATE, *options).text

    assert f"target: apply of {TEMPLATE} and what it depends on; the rest of hermes is left." in said
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


@pytest.mark.cli
def test_an_unknown_address_is_refused_with_those_that_exist(project: Project) -> None:
    options = ("--apply", "--auto-approve", "--", "--output", str(project.out), "--skip-provider-lock")

    refused = project.run(*TARGET, "hermes", "proxmox_virtual_environment_container.hemres", *options, ok=False)

    known = "".join(f"\n  {address}" for address in sorted((ADDRESS, CONTAINER, TEMPLATE, TOKEN_CHECK, *GUARDS)))
    assert refused.raw == (f"target: hermes has no proxmox_virtual_environment_container.hemres; it has:{known}\n")
    assert not project.out.exists()
