"""What Terraform reads for the stack that needs root on the host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.synth.conftest import Synthesize, reviewable

STEPS = ["hermes_host_directories", "hermes_container_config", "hermes_payload", "hermes_bootstrap"]


def steps(stack: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(stack["resource"]["null_resource"])


def revisions(stack: dict[str, Any]) -> dict[str, str]:
    return {name: step["triggers"]["revision"] for name, step in steps(stack).items()}


def on_destroy(step: dict[str, Any]) -> dict[str, str]:
    return dict(step["provisioner"][1]["local-exec"]["environment"])


@pytest.fixture
def root(synthesize: Synthesize) -> dict[str, Any]:
    return synthesize(stack="hermes-root")


def test_the_default_homelab(root: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert reviewable(root) == snapshot


def test_addresses_are_public_interface(root: dict[str, Any]) -> None:
    assert list(root["resource"]) == ["null_resource"]
    assert sorted(steps(root)) == sorted(STEPS)
    assert "data" not in root


def test_each_step_waits_for_the_one_before(root: dict[str, Any]) -> None:
    assert [steps(root)[name]["depends_on"] for name in STEPS] == [
        [],
        ["null_resource.hermes_host_directories"],
        ["null_resource.hermes_container_config"],
        ["null_resource.hermes_payload"],
    ]


def test_the_stacks_share_nothing_but_settings(synthesize: Synthesize) -> None:
    token, root = json.dumps(synthesize()), json.dumps(synthesize(stack="hermes-root"))
    assert "terraform_remote_state" not in token + root
    assert "proxmox" not in json.dumps(synthesize(stack="hermes-root")["terraform"]["required_providers"])
    assert "null" not in synthesize()["terraform"]["required_providers"]
    assert synthesize(stack="hermes-root")["terraform"]["backend"] == {
        "local": {"path": "../../../terraform.hermes-root.tfstate"}
    }


def test_directories_belong_to_the_agents_user_as_the_host_sees_it(root: dict[str, Any]) -> None:
    """Hermes runs as 10000 in an unprivileged container: 110000 on the host. Owned by 100000 it could not write."""
    assert root["locals"]["spec"]["directories"] == [
        {"path": "/mnt/pve/hdd/hermes", "uid": 110000, "gid": 110000, "mode": "0750"},
        {"path": "/media/2tb/hermes", "uid": 110000, "gid": 110000, "mode": "0750"},
    ]


def test_a_destroy_knows_from_the_triggers_what_to_take_back(root: dict[str, Any]) -> None:
    step = steps(root)["hermes_container_config"]
    assert [mount["key"] for mount in json.loads(step["triggers"]["spec"])["mounts"]] == ["mp0", "mp1"]
    assert on_destroy(step)["HOST_STEP_LEAVING"] == "${self.triggers.spec}"


def test_a_state_names_keys_and_paths_and_neither_what_to_run_nor_where(root: dict[str, Any]) -> None:
    """Whoever can write a state must get no command run: the settings say what, and in which container."""
    for step in steps(root).values():
        held = json.loads(step["triggers"]["spec"])
        assert held.keys() <= {"vmid", "mounts", "devices"}
        assert all(
            it.keys() <= {"key", "volume", "path"} for kind in ("mounts", "devices") for it in held.get(kind, [])
        )
        # The same in each step, and no expression that a state could answer.
        assert json.loads(on_destroy(step)["HOST_STEP_SPEC"]) == root["locals"]["spec"]


def test_a_destroy_refers_to_nothing_but_itself(root: dict[str, Any]) -> None:
    for step in steps(root).values():
        for value in on_destroy(step).values():
            assert "${local." not in value


def test_a_changed_step_takes_back_only_what_left(root: dict[str, Any]) -> None:
    step = steps(root)["hermes_container_config"]
    revision = step["triggers"]["revision"]
    assert on_destroy(step)["HOST_STEP_REPLACED"] == f'${{self.triggers.revision == "{revision}" ? "no" : "yes"}}'
    assert json.loads(on_destroy(step)["HOST_STEP_SPEC"])["mounts"] == root["locals"]["spec"]["mounts"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"cpu": {"cores": 4}}, set()),
        ({"keyctl": False}, {"hermes_container_config"}),
        ({"secrets": ["EXTRA_KEY"]}, {"hermes_payload", "hermes_bootstrap"}),
        ({"hermes": {"image": {"tag": "v2026.7.20"}}}, {"hermes_payload", "hermes_bootstrap"}),
        ({"hostname": "agent7"}, set(STEPS)),
    ],
    ids=["cores", "keyctl", "secrets", "image", "hostname"],
)
def test_a_setting_runs_only_the_steps_again_that_it_concerns(
    synthesize: Synthesize, root: dict[str, Any], change: dict[str, Any], again: set[str]
) -> None:
    before = revisions(root)
    after = revisions(synthesize({"agents": {"hermes": change}}, stack="hermes-root"))
    assert {name for name in STEPS if before[name] != after[name]} == again


def test_bootstrap_and_checks_have_time_for_the_answers_of_all_profiles(synthesize: Synthesize) -> None:
    def limits(**hermes: Any) -> tuple[int, int]:
        settings = {"agents": {"hermes": {"hermes": hermes or None}}}
        spec = synthesize(settings, stack="hermes-root")["locals"]["spec"]
        return spec["bootstrap"]["timeout_seconds"], spec["payload"]["checks_timeout_seconds"]

    work = {"api_server": {"port": 8643}}
    bare, bare_checks = limits()
    assert limits(answer_seconds=600) == (bare + 600, bare_checks + 600)
    assert limits(answer_seconds=600, profiles={"work": work}) == (bare + 1200, bare_checks + 1200)


def test_the_same_settings_make_the_same_payload(synthesize: Synthesize, root: dict[str, Any]) -> None:
    assert synthesize(stack="hermes-root") == root


def test_secrets_are_names_only(synthesize: Synthesize, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_API_KEY", "canary-5f1e")
    root = synthesize(stack="hermes-root")
    assert root["locals"]["spec"]["secrets"]["names"] == ["LITELLM_API_KEY", "API_SERVER_KEY"]
    assert "canary-5f1e" not in json.dumps(root)


def test_text_of_the_settings_is_no_terraform_expression(synthesize: Synthesize) -> None:
    root = synthesize(
        {"agents": {"hermes": {"mounts": {"mp0": {"host_path": "/mnt/pve/hdd/${x}", "guest_path": "/data"}}}}},
        stack="hermes-root",
    )
    assert root["locals"]["spec"]["mounts"][0]["volume"] == "/mnt/pve/hdd/$${x}"
    assert "/mnt/pve/hdd/$${x}" in steps(root)["hermes_host_directories"]["triggers"]["spec"]


def test_what_is_worth_a_second_look_is_shown_by_cdktf(synthesize: Synthesize, tmp_path: Path) -> None:
    def shown(image: dict[str, str]) -> list[str]:
        synthesize({"agents": {"hermes": {"hermes": {"image": image}}}}, stack="hermes-root")
        stacks = json.loads((tmp_path / "cdktf.out" / "manifest.json").read_text())["stacks"]
        return [it["message"] for it in stacks["hermes-root"]["annotations"]]

    assert shown({}) == []
    assert shown({"tag": "latest", "digest": f"sha256:{'0' * 64}"}) == []
    (message,) = shown({"tag": "latest"})
    assert message.startswith("agents.hermes.hermes.image.tag: ")
