"""Which key a HOMELAB_... variable sets, and to what."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from pve_agents.settings import Cpu, SettingsError, load_settings
from pve_agents.variables import set_by_variables, variables

H = "HOMELAB_AGENTS__HERMES"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("HOMELAB_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("119", 119),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('["ai"]', ["ai"]),
        ('{"cores": 4}', {"cores": 4}),
        ('"119"', "119"),
        ("0770", "0770"),
        ("yes", "yes"),
        ("a: b", "a: b"),
        ('{"cores": ', '{"cores": '),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=lambda it: str(it)[:12],
)
def test_a_value_is_json_where_it_is_json_and_text_otherwise(
    text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{H}__X", text)
    assert set_by_variables() == {"agents": {"hermes": {"x": value}}}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("HOMELAB_BACKEND", ("backend",)),
        ("homelab_Backend__TYPE", ("backend", "type")),
        ("HOMELAB_AGENTS__MY_AGENT__START_ON_BOOT", ("agents", "my-agent", "start_on_boot")),
        ("HOMELAB_TYPO__MY_AGENT", ("typo", "my_agent")),
        ("HOMELAB_AGENTS__A____B", ("agents", "a", "", "b")),
    ],
)
def test_a_name_is_a_key_in_any_case(name: str, key: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert variables() == {key: name}


def test_the_variable_of_the_file_and_empty_ones_set_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOMELAB_FILE": "lab.yaml", "homelab_file": "lab.yaml", "HOMELAB_BACKEND": ""}.items():
        monkeypatch.setenv(name, value)
    assert set_by_variables() == {}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_variables_for_a_key_and_for_one_below_it_mean_the_same_in_any_order(
    order: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [(f"{H}__CPU__LIMIT", "1.5"), (f"{H}__CPU", '{"cores": 4, "limit": 1}'), (H, '{"cpu": {"cores": 3}}')]
    for i in order:
        monkeypatch.setenv(*said[i])
    assert load_settings(tmp_path).agents["hermes"].cpu == Cpu(cores=4, limit=1.5)


@pytest.mark.parametrize("value", ["s3", "[]", "7"])
def test_a_variable_hides_no_wrong_value_above_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_BACKEND__TYPE__X", "1")
    monkeypatch.setenv("HOMELAB_BACKEND", value)
    wrong: Any = set_by_variables()["backend"]
    assert not isinstance(wrong, dict)


def test_an_agents_hyphens_may_be_underscores_in_a_value_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "homelab.yaml").write_text("agents: {my-agent: {vmid: 120}}\n")
    monkeypatch.setenv("HOMELAB_AGENTS__MY_AGENT__NODE", "pve2")
    monkeypatch.setenv("HOMELAB_AGENTS", '{"my_agent": {"vmid": 121}}')
    agent = load_settings(tmp_path).agents["my-agent"]
    assert (agent.vmid, agent.node) == (121, "pve2")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("HOMELAB_BACKEND", "backend: null is not a mapping; write keys and values, or leave backend out."),
        ("HOMELAB_AGENTS", "agents: there is no agent; write at least one, or leave agents out for hermes."),
    ],
)
def test_null_is_as_wrong_in_a_variable_as_in_the_file(
    name: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "null")
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path)
    assert refused.value.messages == [f"{name}: {problem}"]
