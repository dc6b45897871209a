"""What a state may hold, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pve_agents.state_guard import StateGuard, read_state

CONTAINER = "proxmox_virtual_environment_container"
FILE = "proxmox_download_file"
GUARD = StateGuard("hermes", "hermes", "gihyeon", 118)
OURS = {"id": "118", "vm_id": 118, "node_name": "gihyeon"}
THEIRS = {"id": "200", "vm_id": 200, "node_name": "gihyeon"}
TEMPLATE = {"id": "local:vztmpl/debian.tar.zst", "node_name": "gihyeon"}


def resource(kind: str, name: str, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    module = {"module": more.pop("module")} if "module" in more else {}
    provider = 'provider["registry.terraform.io/bpg/proxmox"]'
    instances = [{"schema_version": 0, "attributes": attributes, **more}]
    return {"mode": "managed", "type": kind, "name": name, "provider": provider, "instances": instances, **module}


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"version": 4, "serial": 1, "resources": list(resources)}


@pytest.mark.parametrize(
    "held",
    [
        [resource(CONTAINER, "hermes", OURS), resource(FILE, "debian12_template_gihyeon", TEMPLATE)],
        # As a setting had it before: what the plan then says, the plan's own guards know.
        [resource(CONTAINER, "hermes", {**OURS, "id": "117", "vm_id": 117})],
        [resource(CONTAINER, "hermes", OURS, status="tainted")],
        [resource("proxmox_virtual_environment_download_file", "debian12_template_pve2", TEMPLATE)],
        [{**resource(CONTAINER, "hermes_vmid_guard", THEIRS), "mode": "data"}],
        [{"mode": "managed", "type": "terraform_data", "name": "hermes_token_check", "instances": [{}]}],
    ],
)
def test_what_this_project_puts_into_a_state_is_no_problem(held: list[dict[str, Any]]) -> None:
    assert GUARD.problems(state(*held)) == []


FOREIGN = {
    "another name": resource(CONTAINER, "other", THEIRS),
    "a second one": resource(CONTAINER, "hermes", THEIRS, index_key=0),
    "a deposed one": resource(CONTAINER, "hermes", THEIRS, deposed="0badc0de"),
    "a tainted one": resource(CONTAINER, "hermes", THEIRS, status="tainted"),
    "a tainted one of another node": resource(CONTAINER, "hermes", {**OURS, "node_name": "pve2"}, status="tainted"),
    "in a module": resource(CONTAINER, "hermes", THEIRS, module="module.x"),
    "a virtual machine": resource("proxmox_virtual_environment_vm", "hermes", THEIRS),
    "a backup": resource(FILE, "debian12_template_gihyeon", {"id": "local:backup/vzdump-lxc-200.tar.zst"}),
    "a disk": resource(FILE, "debian12_template_gihyeon", {"id": "local-lvm:vm-200-disk-0"}),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_what_the_next_deploy_would_destroy_for_somebody_is_named(foreign: dict[str, Any]) -> None:
    (sentence,) = GUARD.problems(state(resource(CONTAINER, "hermes", OURS), foreign))
    kind, name = foreign["type"], foreign["name"]
    assert sentence.startswith(f'the state of stack hermes holds "{kind}" "{name}" with the id "')
    assert sentence.endswith(
        "which the next deploy would destroy, and this project did not put there: put back a copy of the state; or let "
        f"Terraform forget it: pipenv run terraform -chdir=cdktf.out/stacks/hermes state rm {kind}.{name}; "
        "the state of an older repository belongs elsewhere, and `agents adopt hermes --state FILE` reads it"
    )


def test_the_root_stacks_state_holds_nothing_of_proxmox_ve() -> None:
    assert len(StateGuard("hermes-root").problems(state(resource(FILE, "x", TEMPLATE)))) == 1


def test_no_command_is_made_of_what_a_state_says() -> None:
    (sentence,) = GUARD.problems(state(resource("proxmox_x", "$(reboot)\n\x1b[2J", THEIRS)))
    assert "state rm" not in sentence
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        "x",
        {},
        {"resources": 3},
        {"resources": [3, {"mode": "managed"}, {"mode": "managed", "instances": [3]}]},
    ],
)
def test_what_is_no_state_is_left_to_terraform(nonsense: object) -> None:
    assert (GUARD.problems(nonsense), GUARD.warnings(nonsense)) == ([], [])


def test_our_own_tainted_container_is_named_with_the_way_on() -> None:
    assert GUARD.warnings(state(resource(CONTAINER, "hermes", OURS))) == []
    (sentence,) = GUARD.warnings(state(resource(CONTAINER, "hermes", OURS, status="tainted")))
    assert f"pipenv run terraform -chdir=cdktf.out/stacks/hermes untaint {CONTAINER}.hermes" in sentence


def test_a_state_that_cannot_be_read_is_left_to_terraform(tmp_path: Path) -> None:
    file = tmp_path / "terraform.hermes.tfstate"
    assert read_state(file) is None
    for text in ("", "[" * 100_000, "\ud800"):
        file.write_text(text, errors="surrogatepass")
        assert read_state(file) is None
    file.write_text(json.dumps(state()))
    assert read_state(file) == state()
