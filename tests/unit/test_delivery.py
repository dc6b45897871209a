"""delivery: console: what of an agent takes root, and is then refused; who has which credential."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pve_agents import SettingsError, load_settings
from pve_agents.environment import for_stacks
from pve_agents.privileges import CONSOLE, Wanted, lacking
from pve_agents.root_spec import payload_of, root_spec, steps_of
from pve_agents.settings import Agent

Load = Callable[[str], Agent]
NOBODY = "with delivery: console nobody is root on the node"
MOUNT = "{mp0: {host_path: /mnt/pve/hdd/x, guest_path: /data}}"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_one(text: str) -> Agent:
        (tmp_path / "homelab.yaml").write_text(f"agents: {{scribe: {{vmid: 119, {text}}}}}\n")
        return load_settings(tmp_path).agents["scribe"]

    return load_one


@pytest.mark.parametrize(
    ("text", "sentence", "instead"),
    [
        (
            f"mounts: {MOUNT}",
            f"mounts: mp0 would be a directory of the node, which only root mounts, and {NOBODY}; write mounts: {{}} or others",
            "mounts: {}",
        ),
        (
            "devices: {dev0: {path: /dev/dri/renderD128}}",
            f"devices: only root passes a device on, and {NOBODY}; write devices: {{}}",
            "devices: {}",
        ),
        (
            "keyctl: true",
            f"keyctl: only root lets a container use the kernel's keyring, and {NOBODY}; write keyctl: false",
            "keyctl: false",
        ),
    ],
)
def test_what_takes_root_is_refused_and_each_way_out_is_one(load: Load, text: str, sentence: str, instead: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(f"delivery: console, {text}")
    assert error.value.messages == [f"homelab.yaml: agents.scribe.{sentence}, or write delivery: root."]
    assert load(f"delivery: console, {instead}").delivery == "console"
    assert load(f"delivery: root, {text}").delivery == "root"


def test_without_root_there_is_no_keyring_and_no_step_of_the_nodes(load: Load) -> None:
    agent = load("delivery: console")
    assert agent.keyctl is False
    assert load("delivery: root").keyctl is True
    assert list(steps_of(agent)) == ["payload", "bootstrap"]
    spec = root_spec(agent, payload_of(agent), archive="x")
    assert [spec[it] for it in ("delivery", "directories", "mounts", "devices", "features")] == [
        "console",
        [],
        [],
        [],
        {},
    ]
    assert "delivery" not in root_spec(load(""), payload_of(agent), archive="x")


def test_the_token_needs_one_privilege_more(load: Load) -> None:
    needs = {mode: lacking(Wanted.by(load(f"delivery: {mode}")), lambda _: set())[0] for mode in ("root", "console")}
    assert {*needs["console"].privileges} - {*needs["root"].privileges} == {CONSOLE}


def test_only_a_stack_that_delivers_gets_secrets(load: Load) -> None:
    agents = [load("delivery: console, secrets: [A_KEY]"), load("secrets: [B_KEY]")]
    assert agents[0].delivery_variables == {"A_KEY", "SCRIBE_ENV_FILE"}
    assert agents[1].delivery_variables == frozenset()
    names = ("A_KEY", "B_KEY", "SCRIBE_ENV_FILE", "OTHER_ENV_FILE", "PVE_SSH", "HOME")
    everything: dict[str, str] = dict.fromkeys(names, "x")
    given = for_stacks(
        everything, token=True, root=False, secrets={"A_KEY", "B_KEY"}, delivered=agents[0].delivery_variables
    )
    assert sorted(given) == ["A_KEY", "HOME", "SCRIBE_ENV_FILE"]
