"""The life of an agent: the real cdktf and the real Terraform on a virtual node."""

from __future__ import annotations

import hashlib
import json
import re
import urllib.parse
from typing import Any

import pytest

from pve_agents.stopping import Stopping
from tests.deploy.project import ADDRESS, CONTAINER, TEMPLATE, TEMPLATE_FILE, TEMPLATE_ID, TOKEN_CHECK, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

UNPROTECTED = {"protect": False}
TWO_AGENTS = {"hermes": UNPROTECTED, "librarian": {"vmid": 119, **UNPROTECTED}}
NO_RIGHT_TO_DELETE = "Permission check failed (/storage/local, Datastore.Allocate)"


def templates(node: VirtualNode) -> list[str]:
    return list(node.pve.storages["local"]["volumes"])


def containers(node: VirtualNode) -> list[int]:
    return [container.vmid for container in node.pve.cts]


@pytest.mark.cli
def test_from_nothing_to_an_agent_and_back(project: Project, virtual_node: VirtualNode) -> None:
    project.configure()
    virtual_node.grant("Datastore.Allocate", "/storage/local")

    assert "Plan: 4 to add, 0 to change, 0 to destroy." in project.cdktf("diff", "hermes").text
    assert virtual_node.mutations == []

    project.cdktf("deploy", "hermes", "--auto-approve", synth=False)
    assert containers(virtual_node) == [118]
    assert project.addresses() == {ADDRESS, CONTAINER, TEMPLATE, TOKEN_CHECK}
    outputs = project.directory / "outputs.json"
    project.cdktf("output", "hermes", "--outputs-file", str(outputs), synth=False)
    assert json.loads(outputs.read_text()) == {
        "hermes": {"hermes_container_id": 118, "hermes_hostname": "hermes", "hermes_ipv4": "10.1.10.118"}
    }

    virtual_node.mutations.clear()
    assert project.plan().actions == {}
    assert project.apply().actions == {}
    refused = project.cdktf("destroy", "hermes", "--auto-approve", ok=False, synth=False).text
    assert (
        "protected: Terraform refuses to destroy or replace it until homelab.yaml says agents.hermes.protect: false"
    ) in refused
    assert virtual_node.mutations == []

    project.configure(**UNPROTECTED)
    project.synthesize()
    project.cdktf("destroy", "hermes", "--auto-approve", synth=False)
    assert containers(virtual_node) == []
    assert templates(virtual_node) == []
    assert project.addresses() == set()


def test_a_protected_agent_survives_destroy(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    before = virtual_node.container_config(118)
    virtual_node.mutations.clear()

    destroyed = project.terraform("destroy", "-auto-approve", ok=False)
    assert destroyed.errors[0].startswith("Instance cannot be destroyed: ")
    assert virtual_node.mutations == []
    assert virtual_node.container_config(118) == before


def test_what_the_node_has_after_the_first_deploy(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()

    config = virtual_node.container_config(118)

    assert re.fullmatch(
        r"name=eth0,bridge=intra01,host-managed=0,hwaddr=BC:24:11(:[0-9A-F]{2}){3},ip=dhcp,type=veth",
        str(config.pop("net0")),
    )
    assert config == {
        "arch": "amd64",
        "cmode": "tty",
        "console": 1,
        "cores": 2,
        "cpulimit": 0,
        "description": "Hermes Agent (Nous Research), managed by Terraform\n",
        "features": "nesting=1",
        "hostname": "hermes",
        "memory": 4096,
        "nameserver": "1.1.1.1",
        "onboot": 1,
        "ostype": "debian",
        "protection": 0,
        "rootfs": "local-lvm:vm-118-disk-0,size=24G",
        "swap": 512,
        "tags": "agent;ai;pve-agents-hermes;terraform",
        "template": 0,
        "tty": 2,
        "unprivileged": 1,
    }
    assert virtual_node.api("GET", "/nodes/gihyeon/lxc/118/status/current")["status"] == "running"
    assert templates(virtual_node) == [f"vztmpl/{TEMPLATE_FILE}"]


def test_changed_settings_are_applied_in_place(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    virtual_node.mutations.clear()

    deployed = project.deploy(
        cpu={"cores": 4}, memory={"dedicated_mib": 8192}, disk={"size_gib": 32}, start_on_boot=False
    )

    assert deployed.actions == {CONTAINER: "update"}
    config = virtual_node.container_config(118)
    assert (config["cores"], config["memory"], config["onboot"]) == (4, 8192, 0)
    assert "size=32G" in str(config["rootfs"])
    assert project.plan().actions == {}


def test_free_text_is_nobodys_expression(project: Project, virtual_node: VirtualNode) -> None:
    text = "costs ${x} and %{y}, not $${x}"

    project.deploy(description=text)

    assert virtual_node.container_config(118)["description"] == f"{text}\n"
    assert project.plan().actions == {}


@pytest.mark.parametrize(
    ("description", "kept"),
    [
        ("\n\n  two\n\n  lines \n \n", "two\n\n  lines\n"),
        (" \n\n", None),
        ("", None),
    ],
)
def test_blanks_around_a_description_are_no_change_for_ever(
    project: Project, virtual_node: VirtualNode, description: str, kept: str | None
) -> None:
    project.deploy(description="before")

    project.deploy(description=description)

    assert (virtual_node.container_config(118).get("description") or None) == kept
    assert project.plan().actions == {}


STATIC = {"network": {"address": "10.1.10.50/24", "gateway": "10.1.10.1"}}
BY_DHCP = "10.1.10.118"


@pytest.mark.long
def test_an_output_is_true_after_the_deploy_that_changes_it(project: Project) -> None:
    steps: list[tuple[dict[str, Any], str]] = [
        ({}, BY_DHCP),
        (STATIC, "10.1.10.50"),
        ({}, BY_DHCP),
        ({"started": False}, "none: the container is stopped"),
        ({}, BY_DHCP),
    ]
    for settings, address in steps:
        deployed = project.deploy(**settings)
        assert (settings, deployed.outputs["hermes_ipv4"]) == (settings, address)
        # A changed output alone would be a change to plan, too.
        assert project.plan("-detailed-exitcode").code == 0


@pytest.mark.long
def test_however_the_provider_stops_an_agent_it_gives_it_its_time(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.deploy()
    virtual_node.pve.requests.clear()

    project.deploy(dns={"servers": ["10.1.10.2"]})
    project.deploy(started=False)
    project.deploy(**UNPROTECTED)
    project.destroy()

    stops = [
        (path.rpartition("/")[2], urllib.parse.parse_qs(body.decode())) for _, path, body in virtual_node.pve.requests
    ]
    given = [(how, int(body["timeout"][0])) for how, body in stops if how in ("reboot", "shutdown", "stop")]
    assert [how for how, _ in given] == ["reboot", "shutdown", "shutdown"]
    assert all(seconds >= Stopping().container for _, seconds in given)


def test_destroy_with_the_least_token_leaves_the_template_and_names_the_privilege(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.deploy(**UNPROTECTED)

    destroyed = project.terraform("destroy", "-auto-approve", ok=False)

    assert len(destroyed.errors) == 1
    assert destroyed.errors[0].startswith("Error deleting datastore file: ")
    assert f"received an HTTP 403 response - Reason: {NO_RIGHT_TO_DELETE}" in destroyed.errors[0]
    assert containers(virtual_node) == []
    assert project.addresses() == {TEMPLATE, TOKEN_CHECK}

    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.terraform("destroy", "-auto-approve")
    assert templates(virtual_node) == []
    assert project.addresses() == set()


# The template ---------------------------------------------------------------------------------------------------------

GENUINE = b"a root file system"


def own_template(node: VirtualNode) -> dict[str, Any]:
    """Settings of a template whose content the virtual internet knows."""
    url = "https://templates.example/debian-12-own_1.tar.zst"
    node.pve.web[url] = GENUINE
    checksum = hashlib.sha256(GENUINE).hexdigest()
    return {"url": url, "checksum": checksum, "checksum_algorithm": "sha256"}


def fetch_by_hand(node: VirtualNode, template: dict[str, Any], content: bytes) -> None:
    """As the web interface does, or `pveam`: without Terraform."""
    node.pve.web["https://elsewhere.example/"] = content
    name = template["url"].rpartition("/")[2]
    node.api(
        "POST",
        "/nodes/gihyeon/storage/local/download-url",
        content="vztmpl",
        filename=name,
        url="https://elsewhere.example/",
    )
    node.mutations.clear()


def test_the_same_template_fetched_by_hand_is_no_obstacle(project: Project, virtual_node: VirtualNode) -> None:
    template = own_template(virtual_node)
    fetch_by_hand(virtual_node, template, GENUINE)

    project.deploy(template=template)

    assert containers(virtual_node) == [118]
    assert project.plan().actions == {}


def test_another_file_under_the_templates_name_is_refused(project: Project, virtual_node: VirtualNode) -> None:
    template = own_template(virtual_node)
    fetch_by_hand(virtual_node, template, b"something else")
    project.configure(template=template)
    project.synthesize()

    applied = project.apply(ok=False)

    assert "refusing to override existing file" in applied.errors[0]
    assert containers(virtual_node) == []


def test_a_template_that_was_tampered_with_on_its_way_is_refused(project: Project, virtual_node: VirtualNode) -> None:
    template = own_template(virtual_node)
    virtual_node.pve.web[template["url"]] = b"something else"
    project.configure(template=template)
    project.synthesize()

    applied = project.apply(ok=False)

    assert "checksum mismatch" in applied.errors[0]
    assert templates(virtual_node) == []
    assert containers(virtual_node) == []


def test_a_template_that_is_there_is_left_alone(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.pve.store_file("local", TEMPLATE_FILE, 1000, "vztmpl")

    project.deploy(template={"file_id": TEMPLATE_ID}, **UNPROTECTED)
    assert containers(virtual_node) == [118]

    project.terraform("destroy", "-auto-approve")
    assert containers(virtual_node) == []
    assert templates(virtual_node) == [f"vztmpl/{TEMPLATE_FILE}"]


# Several agents -------------------------------------------------------------------------------------------------------


@pytest.mark.cli
def test_two_agents_are_deployed_in_one_go_and_destroyed_one_by_one(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.configure(TWO_AGENTS)
    virtual_node.grant("Datastore.Allocate", "/storage/local")

    project.cdktf("deploy", "hermes", "librarian", "--auto-approve", "--parallelism", "2")
    assert sorted(containers(virtual_node)) == [118, 119]
    assert project.addresses("librarian") == {
        "proxmox_virtual_environment_container.librarian",
        "terraform_data.librarian_address",
        "terraform_data.librarian_token_check",
        TEMPLATE,
    }

    project.terraform("destroy", "-auto-approve")
    assert containers(virtual_node) == [119]
    assert project.addresses() == set()

    # Both have the same file, and it went with the first: the other one's next deploy fetches it again.
    assert project.plan(stack="librarian").actions == {TEMPLATE: "create"}
    project.apply(stack="librarian")
    assert project.plan(stack="librarian").actions == {}
    assert containers(virtual_node) == [119]


def test_one_of_two_agents_is_deployed_alone(project: Project, virtual_node: VirtualNode) -> None:
    project.configure(TWO_AGENTS)
    project.synthesize()

    project.apply(stack="librarian")

    assert containers(virtual_node) == [119]
    assert not project.state("hermes").exists()


# State ----------------------------------------------------------------------------------------------------------------

LONG_TEMPLATE = TEMPLATE.replace("proxmox_", "proxmox_virtual_environment_", 1)


def test_state_made_under_the_templates_long_name_moves_along(project: Project, virtual_node: VirtualNode) -> None:
    project.synthesize()
    old = json.loads(json.dumps(project.json()).replace(TEMPLATE.split(".")[0], LONG_TEMPLATE.split(".")[0]))
    del old["moved"]
    project.edit(old)
    project.apply()
    assert LONG_TEMPLATE in project.addresses()
    virtual_node.mutations.clear()

    project.synthesize()
    planned = project.plan()
    assert planned.actions == {TEMPLATE: "move"}
    assert planned.summary == {}
    project.apply()

    assert project.addresses() == {ADDRESS, CONTAINER, TEMPLATE, TOKEN_CHECK}
    assert virtual_node.mutations == []
