"""A kind whose software Compose does not run: what it says of itself holds no secret, and Compose's warnings are no answers."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_agents.guest.checks import Answer, Check, OwnChecks
from pve_agents.guest.machine import Machine, Ran
from pve_agents.guest.main import main
from pve_agents.guest.plan import Checks, Plan
from pve_agents.guest.revisions import read_hashes
from pve_agents.guest.runtimes import work_of
from pve_agents.guest.work import ComposeWork, Patience
from tests.unit.guest.test_guest_plan import APP

SECRET = "canary-of-the-agent"
PAYLOAD = "/opt/pve-agents/light"


class Rooted(Machine):
    """A container below a directory."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def place(self, path: str) -> Path:
        return self.root / path.lstrip("/")


class Leaky(OwnChecks):
    def prove(self) -> Answer:
        return Answer("failed", f"it says {SECRET}\x1b[2J", "look at it")

    def look(self, *, chat: bool) -> Iterator[Check]:
        del chat
        yield Check("leak", "waiting", f"it says {SECRET}")


class Raising(OwnChecks):
    def prove(self) -> Answer:
        raise RuntimeError(f"401 for {SECRET}")


@pytest.fixture
def container(tmp_path: Path) -> Rooted:
    machine = Rooted(tmp_path)
    for folder in ("/etc/pve-agents", PAYLOAD):
        machine.place(folder).mkdir(parents=True)
    machine.place("/etc/pve-agents/light.env").write_text(f"TOKEN={SECRET}\n")
    machine.place(f"{PAYLOAD}/plan.json").write_text(Plan("light", checks=Checks("leaky")).to_json())
    return machine


@pytest.mark.parametrize(
    ("checks", "said"), [(Leaky, "it says *** [2J. What to do: look at it"), (Raising, "(RuntimeError: 401 for ***)")]
)
def test_what_proves_nothing_is_said_without_a_secret(
    container: Rooted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checks: object, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "leaky", types.SimpleNamespace(Checks=checks))
    assert main([], PAYLOAD, container) == 1
    out, err = capsys.readouterr()
    assert said in err
    assert SECRET not in out + err
    assert "\x1b" not in err


def test_what_may_still_become_well_is_not_well_now(
    container: Rooted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "leaky", types.SimpleNamespace(Checks=Leaky))
    assert main(["verify"], PAYLOAD, container) == 0
    (line,) = [it.split("\t") for it in capsys.readouterr().out.splitlines() if "\tleak\t" in it]
    assert (line[2], line[4]) == ("failed", "it says ***")


class Talkative(Machine):
    """Compose with a word of its own for whoever looks."""

    def run(self, *command: str, seconds: float, **how: object) -> Ran:
        del command, seconds
        return Ran(0, "a warning\nhermes abc" if how.get("joined") else "hermes abc", "a warning")


def test_a_warning_of_compose_is_no_service() -> None:
    work = work_of(Plan("hermes", compose=APP), Talkative(), PAYLOAD, Patience())
    assert work
    assert isinstance(work, ComposeWork)
    assert read_hashes(work).wanted == {"hermes": "abc"}
