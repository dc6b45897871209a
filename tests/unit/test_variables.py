"""Which key a HOMELAB_... variable sets, and to what."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

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
        (
            "HOMELAB_BACKEND",
            'backend: null is not a mapping; write JSON such as {"key": "value"}, or leave backend out.',
        ),
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


def leaves(tree: object, key: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return [key]
    return [leaf for name, below in tree.items() for leaf in leaves(below, (*key, str(name)))] or [key]


EXAMPLE = yaml.safe_load((Path(__file__).parents[2] / "homelab.example.yaml").read_text())
NAMES = sorted("HOMELAB_" + "__".join(part.upper().replace("-", "_") for part in key) for key in leaves(EXAMPLE))
UNKNOWN = ("HOMELAB_X", "HOMELAB_AGENTS", "HOMELAB_BACKEND", "HOMELAB_BACKEND__TYPE", f"{H}__X", f"{H}__NETWORK__X")


@pytest.mark.parametrize("secret", ["hunter2 §", "-7654321", '["hunter2 §"]', '{"x": "hunter2 §"}'])
def test_what_a_variable_holds_is_in_no_sentence(secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a secret that went to a wrong name."""
    said = []
    for name in (*NAMES, *UNKNOWN):
        with monkeypatch.context() as patch:
            patch.setenv(name, secret)
            try:
                load_settings(tmp_path)
            except SettingsError as error:
                said += error.messages
    assert len(said) > len(NAMES) / 2
    assert [sentence for sentence in said if "hunter2" in sentence or "7654321" in sentence] == []


def test_a_number_in_the_advice_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{H}__VMID", "1")
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert error.value.messages == [
        f"{H}__VMID: agents.hermes.vmid: the value is not a VMID; write a whole number from 100 to 999999999."
    ]


def test_what_the_file_holds_is_shown_although_a_variable_holds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "homelab.yaml").write_text("agents: {hermes: {protect: 'ja'}}")
    monkeypatch.setenv(f"{H}__DESCRIPTION", "ja")
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert error.value.messages[0].startswith('homelab.yaml: agents.hermes.protect: "ja" is neither true nor false')
