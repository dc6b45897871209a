"""What Terraform reads for an agent that nobody is root for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.synth.conftest import Synthesize

ADDRESS = "proxmox_virtual_environment_container.scribe"


@pytest.fixture
def stack(synthesize: Synthesize) -> dict[str, Any]:
    return synthesize({"agents": {"scribe": {"vmid": 119, "delivery": "console"}}}, stack="scribe")


def container(stack: dict[str, Any]) -> dict[str, Any]:
    return dict(stack["resource"]["proxmox_virtual_environment_container"]["scribe"])


def test_there_is_no_stack_of_root(synthesize: Synthesize) -> None:
    with pytest.raises(FileNotFoundError):
        synthesize({"agents": {"scribe": {"vmid": 119, "delivery": "console"}}}, stack="scribe-root")


def test_its_console_is_a_shell_of_root_s_and_stays_one(stack: dict[str, Any], synthesize: Synthesize) -> None:
    assert container(stack)["console"] == {"type": "shell"}
    assert "console" not in container(stack)["lifecycle"]["ignore_changes"]
    # Elsewhere whatever root has set stays.
    other = synthesize({"agents": {"scribe": {"vmid": 119}}}, stack="scribe")
    assert "console" not in container(other)
    assert "console" in container(other)["lifecycle"]["ignore_changes"]


def test_its_steps_follow_the_container_and_are_repeated_with_a_new_one(stack: dict[str, Any]) -> None:
    steps = stack["resource"]["null_resource"]
    assert {name: step["depends_on"] for name, step in steps.items()} == {
        "scribe_payload": [ADDRESS],
        "scribe_bootstrap": ["null_resource.scribe_payload"],
    }
    for step in steps.values():
        assert step["lifecycle"]["replace_triggered_by"] == [f"{ADDRESS}.id"]
        # What goes, goes with the container.
        assert [it["local-exec"].get("when") for it in step["provisioner"]] == [None]


def test_nothing_of_it_is_for_root(stack: dict[str, Any]) -> None:
    spec = stack["locals"]["spec"]
    assert spec["delivery"] == "console"
    assert (spec["directories"], spec["mounts"], spec["devices"], spec["features"]) == ([], [], [], {})
    text = json.dumps(stack)
    assert "pct" not in text
    assert "PVE_SSH" not in text


def test_the_token_is_asked_for_one_privilege_more(stack: dict[str, Any]) -> None:
    (check,) = stack["resource"]["terraform_data"]["scribe_token_check"]["provisioner"]
    assert check["local-exec"]["command"].split("--console ")[1].split()[0] == "yes"


def test_what_root_has_set_up_before_is_not_forgotten_in_silence(synthesize: Synthesize, tmp_path: Path) -> None:
    settings = {"agents": {"scribe": {"vmid": 119, "delivery": "console"}}}
    for resources, count in (([], 0), ([{"type": "null_resource"}], 1)):
        (tmp_path / "terraform.scribe-root.tfstate").write_text(json.dumps({"resources": resources}))
        synthesize(settings, stack="scribe")
        manifest = json.loads((tmp_path / "cdktf.out" / "manifest.json").read_text())
        said = [it["message"] for it in manifest["stacks"]["scribe"]["annotations"] if it["level"] == "@cdktf/warn"]
        assert [it for it in said if "run `pipenv run cdktf destroy scribe-root`" in it] == said
        assert len(said) == count
