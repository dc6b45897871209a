"""How long a stop may take: whoever stands further out waits longer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pve_agents.stopping import LEAST_SECONDS, MOST_SECONDS, NODE_SECONDS, PROVIDER_REBOOT_SECONDS, Stopping

PROJECT = Path(__file__).parents[2]
HERMES_BUDGET = 90


@pytest.mark.parametrize("others", [(), (30,), (240, 5)])
@pytest.mark.parametrize("agent", [LEAST_SECONDS, 120, MOST_SECONDS])
def test_each_layer_waits_longer_than_the_one_inside_it(agent: int, others: tuple[int, ...]) -> None:
    stopping = Stopping(agent=agent, others=others)
    layers = [stopping.gateway, stopping.service, stopping.engine, stopping.unit, stopping.container, stopping.provider]
    assert layers == sorted(set(layers))
    assert stopping.gateway < agent <= stopping.service <= stopping.services


def test_the_default_covers_hermes_own_budget_and_needs_no_setting_of_the_node() -> None:
    assert Stopping().gateway > HERMES_BUDGET
    assert Stopping().container == NODE_SECONDS


def test_the_longest_fits_into_a_reboot_by_the_provider() -> None:
    assert Stopping(agent=MOST_SECONDS).container <= PROVIDER_REBOOT_SECONDS


def test_the_provider_gives_the_container_less_than_it_takes_itself_and_still_enough() -> None:
    # container.go: the shutdown's timeout is timeout_delete less 5 seconds.
    assert Stopping().provider - 5 > Stopping().container


def test_services_that_depend_on_each_other_stop_one_after_the_other() -> None:
    assert Stopping(agent=120, others=(30, 60)).services == 210


@pytest.mark.parametrize("word", ["state.db", "sqlite", "hermes config", "hermes sessions", "hermes chat"])
def test_nothing_of_ours_opens_the_agents_database_while_it_runs(word: str) -> None:
    """A process that opens it for a moment may take what is not yet written with it (hermes-agent 110497)."""
    scripts = [path for path in (PROJECT / "scripts").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert [path.name for path in scripts if word in path.read_text()] == []


@pytest.mark.parametrize("place", ["README.md", "docs", "scripts", "constructs"])
def test_nobody_is_told_to_reboot_a_container_without_its_time_to_stop(place: str) -> None:
    """By itself Proxmox VE kills after 60 seconds."""
    root = PROJECT / place
    files = [root] if root.is_file() else [it for it in root.rglob("*") if it.is_file() and it.suffix != ".pyc"]
    told = [line for it in files for line in re.findall(r"pct reboot +[\w$\"{].*", it.read_text(encoding="utf-8"))]
    assert [line for line in told if not re.match(r"pct reboot \S+ --timeout", line)] == []
