"""What Terraform reads for the stack of an agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cdktf
import pytest
from imports.proxmox.provider import ProxmoxProvider
from syrupy.assertion import SnapshotAssertion

from pve_agents import AgentContainer, LxcTemplate, Template
from tests.deploy.by_root import BY_ROOT
from tests.synth.conftest import Synthesize, reviewable

CONTAINER = "proxmox_virtual_environment_container"
TEMPLATE = "proxmox_download_file"

EVERY_SETTING: dict[str, Any] = {
    "backend": {
        "type": "s3",
        "bucket": "homelab",
        "key": "terraform/{stack}",
        "region": "eu",
        "endpoint": "https://s3.lan",
        "use_path_style": True,
    },
    "agents": {
        "hermes": {
            "node": "pve2",
            "vmid": 4711,
            "hostname": "agent.lan",
            "description": "costs ${money} and %{time}",
            "tags": ["lab"],
            "cpu": {"cores": 4, "limit": 2.5},
            "memory": {"dedicated_mib": 8192, "swap_mib": 0},
            "disk": {"datastore": "tank", "size_gib": 32},
            "network": {
                "bridge": "vmbr1",
                "address": "10.1.10.118/24",
                "gateway": "10.1.10.1",
                "vlan": 10,
                "mac_address": "BC:24:11:00:00:01",
                "mtu": 1400,
                "firewall": True,
            },
            "dns": {"servers": ["10.1.10.1", "9.9.9.9"], "domain": "lan"},
            "template": {"file_id": "local:vztmpl/debian-13-standard_13.6-1_amd64.tar.zst"},
            "os_type": "debian",
            "start_on_boot": False,
            "started": False,
            "protect": False,
            "pool": "agents",
            "ssh_public_keys": [
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMGZ5z0yV4jvYk3Jr8g1c3l0bq0Zt8q0p1s2t3u4v5w6 me@lan"
            ],
            "startup": {"order": 3, "up_delay_seconds": 10, "down_delay_seconds": 200},
        }
    },
}


def resource(stack: dict[str, Any], kind: str, name: str = "hermes") -> dict[str, Any]:
    return dict(stack["resource"][kind][name])


def agent(**settings: Any) -> dict[str, Any]:
    return {"agents": {"hermes": settings}}


def test_the_default_homelab(synthesize: Synthesize, snapshot: SnapshotAssertion) -> None:
    assert reviewable(synthesize()) == snapshot


def test_every_setting(synthesize: Synthesize, snapshot: SnapshotAssertion) -> None:
    assert reviewable(synthesize(EVERY_SETTING)) == snapshot


def test_addresses_are_public_interface(synthesize: Synthesize) -> None:
    stack = synthesize()
    resources = {f"{kind}.{name}" for kind, named in stack["resource"].items() for name in named}
    data = {f"data.{kind}.{name}" for kind, named in stack["data"].items() for name in named}
    assert resources | data == {
        "proxmox_virtual_environment_container.hermes",
        "proxmox_download_file.debian12_template_gihyeon",
        "terraform_data.hermes_address",
        "terraform_data.hermes_token_check",
        "data.proxmox_virtual_environment_containers.hermes_vmid_guard",
        "data.proxmox_virtual_environment_vms.hermes_vmid_guard",
    }
    assert list(stack["output"]) == ["hermes_container_id", "hermes_hostname", "hermes_ipv4"]


def test_the_token_stack_sets_no_feature_but_nesting(synthesize: Synthesize) -> None:
    assert resource(synthesize(), CONTAINER)["features"] == {"nesting": True}


def test_what_root_may_set_is_none_of_terraforms_business(synthesize: Synthesize) -> None:
    # What each of them is needed for, tests/deploy/test_guards.py shows; this one cannot be read back.
    ignored = {*BY_ROOT.values(), "initialization[0].user_account"}
    assert set(resource(synthesize(), CONTAINER)["lifecycle"]["ignore_changes"]) == ignored


def test_the_container_is_unprivileged_and_creating_it_has_a_bound(synthesize: Synthesize) -> None:
    container = resource(synthesize(), CONTAINER)
    assert container["unprivileged"] is True
    assert container["timeout_create"] == 300


def test_a_vmid_is_guarded_against_containers_and_virtual_machines(synthesize: Synthesize) -> None:
    containers, machines = resource(synthesize(), CONTAINER)["lifecycle"]["precondition"]
    assert "data.proxmox_virtual_environment_containers.hermes_vmid_guard" in containers["condition"]
    assert 'contains(guest.tags, "pve-agents-hermes")' in containers["condition"]
    assert "data.proxmox_virtual_environment_vms.hermes_vmid_guard" in machines["condition"]


def test_our_own_container_carries_the_tag_that_the_guard_looks_for(synthesize: Synthesize) -> None:
    assert resource(synthesize(agent(tags=["mine"])), CONTAINER)["tags"] == ["mine", "pve-agents-hermes"]


@pytest.mark.terraform  # cdktf asks it for its version where there is an import block
def test_adopting_imports_the_container_and_asks_for_no_tag(synthesize: Synthesize) -> None:
    stack = synthesize(agent(adopt=True))
    assert stack["import"] == [{"id": "gihyeon/118", "to": f"{CONTAINER}.hermes"}]
    containers, machines = resource(stack, CONTAINER)["lifecycle"]["precondition"]
    assert "tags" not in containers["condition"]
    assert "vm_id != 118" in machines["condition"]


def test_the_template_is_checked_and_never_overwritten(synthesize: Synthesize) -> None:
    template = resource(synthesize(), TEMPLATE, "debian12_template_gihyeon")
    assert template["overwrite"] is False
    assert template["checksum_algorithm"] == "sha512"
    assert len(template["checksum"]) == 128


def test_state_under_the_templates_long_name_moves_along(synthesize: Synthesize) -> None:
    stack = synthesize()
    (moved,) = stack["moved"]
    assert moved == {
        "from": "proxmox_virtual_environment_download_file.debian12_template_gihyeon",
        "to": "proxmox_download_file.debian12_template_gihyeon",
    }
    # Moving between resource types came with Terraform 1.8.
    assert stack["terraform"]["required_version"] == ">= 1.8.0"


def test_an_existing_template_is_neither_downloaded_nor_moved(synthesize: Synthesize) -> None:
    stack = synthesize(agent(template={"file_id": "local:vztmpl/mine.tar.zst"}))
    assert TEMPLATE not in stack["resource"]
    assert "moved" not in stack
    assert resource(stack, CONTAINER)["operating_system"]["template_file_id"] == "local:vztmpl/mine.tar.zst"


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("debian-12-standard_12.12-1_amd64.tar.zst", "debian12_template_gihyeon"),
        ("debian-12-standard_12.99-1_amd64.tar.zst", "debian12_template_gihyeon"),
        ("ubuntu-24.04-standard_24.04-2_amd64.tar.zst", "ubuntu24_04_template_gihyeon"),
        ("mine.tar.zst", "template_gihyeon"),
    ],
)
def test_a_new_point_release_keeps_the_templates_address(file_name: str, name: str) -> None:
    assert LxcTemplate.name_for(Template(file_id=f"local:vztmpl/{file_name}"), "gihyeon") == name


@pytest.mark.parametrize("protect", [True, False])
def test_destroying_an_agent_is_deliberate(synthesize: Synthesize, *, protect: bool) -> None:
    assert resource(synthesize(agent(protect=protect)), CONTAINER)["lifecycle"]["prevent_destroy"] is protect


@pytest.mark.parametrize(("backend", "says"), [({"type": "local"}, False), ({"type": "pg"}, True)])
def test_where_the_state_is_no_file_the_way_on_from_tainted_is_said_beforehand(
    synthesize: Synthesize, tmp_path: Path, backend: dict[str, str], *, says: bool
) -> None:
    synthesize({"backend": backend})
    annotations = json.loads((tmp_path / "cdktf.out" / "manifest.json").read_text())["stacks"]["hermes"]["annotations"]
    (protected,) = (it["message"] for it in annotations if it["message"].startswith("protected: "))
    untaint = f"pipenv run terraform -chdir=cdktf.out/stacks/hermes untaint {CONTAINER}.hermes"
    assert (untaint in protected) is says


def test_an_address_is_waited_for_where_an_output_needs_it(synthesize: Synthesize) -> None:
    assert resource(synthesize(), CONTAINER)["wait_for_ip"] == {"ipv4": True}
    assert "wait_for_ip" not in resource(synthesize(agent(started=False)), CONTAINER)


def test_no_address_yet_is_said_and_is_no_error(synthesize: Synthesize) -> None:
    value = synthesize()["output"]["hermes_ipv4"]["value"]
    assert f'try({CONTAINER}.hermes.ipv4["eth0"], "not known yet: ' in value


@pytest.mark.parametrize("started", [True, False])
def test_a_static_address_is_known_from_the_settings(synthesize: Synthesize, *, started: bool) -> None:
    stack = synthesize(agent(network={"address": "10.1.10.50/24"}, started=started))
    assert stack["output"]["hermes_ipv4"]["value"] == "10.1.10.50"


def test_a_stopped_container_has_no_address_of_a_dhcp_server(synthesize: Synthesize) -> None:
    assert synthesize(agent(started=False))["output"]["hermes_ipv4"]["value"] == "none: the container is stopped"


def test_the_provider_block_holds_no_credential(synthesize: Synthesize) -> None:
    assert synthesize()["provider"] == {"proxmox": [{}]}


def test_the_token_is_checked_before_anything_is_created(synthesize: Synthesize) -> None:
    stack = synthesize()
    check = "terraform_data.hermes_token_check"
    assert resource(stack, CONTAINER)["depends_on"] == [check]
    assert resource(stack, TEMPLATE, "debian12_template_gihyeon")["depends_on"] == [check]


def test_text_of_the_settings_is_no_terraform_expression(synthesize: Synthesize) -> None:
    container = resource(synthesize(agent(description="costs ${money} and %{time}")), CONTAINER)
    assert container["description"] == "costs $${money} and %%{time}"


@pytest.mark.parametrize(
    ("written", "sent"), [(" a\r\nb\r\n", "a\nb"), ("\u3000a\u00a0", "a"), (" ", ""), ("a  b", "a  b")]
)
def test_a_description_is_sent_as_the_provider_remembers_it(written: str, sent: str) -> None:
    stack, _ = container_in_a_stack(description=written)
    assert resource(json.loads(cdktf.Testing.synth(stack)), CONTAINER)["description"] == sent


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ({"type": "local"}, {"local": {"path": "../../../terraform.hermes.tfstate"}}),
        (
            {"type": "s3", "bucket": "homelab"},
            {"s3": {"bucket": "homelab", "key": "hermes.tfstate", "use_path_style": False}},
        ),
        (
            {"type": "http", "address": "https://state.lan/{stack}"},
            {"http": {"address": "https://state.lan/hermes"}},
        ),
        ({"type": "pg"}, {"pg": {"schema_name": "hermes"}}),
    ],
    ids=["local", "s3", "http", "pg"],
)
def test_each_backend_keeps_a_state_for_each_stack(
    synthesize: Synthesize, backend: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert synthesize({"backend": backend})["terraform"]["backend"] == expected


def test_fifty_agents_are_fifty_stacks(synthesize: Synthesize) -> None:
    names = [f"agent-{number}" for number in range(50)]
    stack = synthesize(
        {"agents": {name: {"vmid": 1000 + number} for number, name in enumerate(names)}}, stack=names[49]
    )
    assert resource(stack, CONTAINER, "agent-49")["vm_id"] == 1049


# What belongs to root ------------------------------------------------------------------------------------------------


def container_in_a_stack(description: str = "") -> tuple[cdktf.TerraformStack, AgentContainer]:
    stack = cdktf.TerraformStack(cdktf.Testing.app(), "hermes")
    ProxmoxProvider(stack, "proxmox")
    template = LxcTemplate(stack, "template", node_name="gihyeon", source=Template())
    return stack, AgentContainer(
        stack,
        "hermes",
        node_name="gihyeon",
        vmid=118,
        hostname="hermes",
        template=template,
        description=description,
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("features.keyctl", True, "the feature flag keyctl"),
        ("features.fuse", True, "the feature flag fuse"),
        ("features.mknod", True, "the feature flag mknod"),
        ("features.mount", ["nfs"], "the feature flag mount"),
        ("mount_point", [{"volume": "/mnt/pve/hdd/hermes", "path": "/data"}], "mount points of host directories"),
        ("device_passthrough", [{"path": "/dev/dri/renderD128"}], "devices"),
        ("hook_script_file_id", "local:snippets/hook.sh", "a hook script"),
        ("idmap", [{"type": "uid", "container_id": 0, "host_id": 100000, "size": 65536}], "a user id mapping"),
    ],
)
def test_what_no_token_may_set_is_refused_at_synth(path: str, value: object, words: str) -> None:
    stack, container = container_in_a_stack()
    container.resource.add_override(path, value)
    with pytest.raises(RuntimeError) as refused:
        cdktf.Testing.synth(stack, True)
    assert (
        f"{words} cannot be set by the stack hermes: Proxmox VE allows it to root@pam only and refuses every API "
        f"token; it belongs to the stack hermes-root"
    ) in str(refused.value)


def test_a_feature_set_through_the_l1_is_refused_too() -> None:
    stack, container = container_in_a_stack()
    container.resource.put_features(nesting=True, keyctl=True)
    with pytest.raises(RuntimeError, match="the feature flag keyctl cannot be set by the stack hermes"):
        cdktf.Testing.synth(stack, True)


def test_a_token_may_mount_a_volume_of_a_datastore() -> None:
    stack, container = container_in_a_stack()
    container.resource.add_override("mount_point", [{"volume": "hdd", "size": "0T", "path": "/data"}])
    assert "/data" in cdktf.Testing.synth(stack, True)


def test_the_l1_is_the_default_child() -> None:
    _, container = container_in_a_stack()
    assert container.node.default_child is container.resource
