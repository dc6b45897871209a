"""What the program before this one, in bash, has left in a container is taken over: nothing starts anew for nothing.

`data/left_by_bash.json` was written by it: its settings, files with their times, containers and images.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import load_settings
from pve_agents.root_spec import payload_of
from tests.scripts.guest import VMID, Guest
from tests.scripts.test_bootstrap import said, steps
from tests.scripts.test_guest_verify import failed, verify

LEFT = Path(__file__).parent / "data" / "left_by_bash.json"


class Older(Guest):
    """A container that the older program has deployed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / "node")
        self.left: dict[str, Any] = json.loads(LEFT.read_text())
        self.home = directory / "home"
        self.home.mkdir()
        for name, it in self.left["files"].items():
            place = self.root / name[1:]
            if "text" in it:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(it["text"])
                os.utime(place, ns=(it["mtime_ns"], it["mtime_ns"]))
            else:
                place.mkdir(parents=True, exist_ok=True)
            place.chmod(int(it["mode"], 8))
        prefix = self.root.relative_to(self.host.node)
        with self.host.changing() as state:
            state["systems"][VMID] = self.left["system"]
            state["owners"].update({f"{prefix}{name}": owner for name, owner in self.left["owners"].items()})
        for name in self.left["commands"]:
            self.host.add_guest_command(VMID, name)
        self.deliver_settings(self.left["settings"])
        self.forget()

    def deliver_settings(self, settings: dict[str, Any]) -> None:
        """Deliver what today's renderer makes of settings."""
        (self.home / "homelab.yaml").write_text(yaml.safe_dump(settings))
        for name, file in payload_of(load_settings(self.home).agents["hermes"]).files.items():
            path = self.payload / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)

    @property
    def containers(self) -> dict[str, str]:
        return {it["Name"]: it["Id"] for it in self.system["containers"].values()}


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Older]:
    guest = Older(tmp_path)
    yield guest
    assert "canary" not in guest.calls


def test_the_same_settings_change_nothing(older: Older) -> None:
    before = older.containers
    ran = older.run()
    assert (said(ran), ran.stderr, ran.returncode) == (steps(), "", 0)
    assert older.changes == []
    assert older.containers == before


def test_its_containers_are_as_they_should_be(older: Older) -> None:
    older.set(answers={"platform": "ok\tconnected\t"})
    assert failed(verify(older)) == {}


def test_other_settings_replace_the_containers_that_they_concern_and_keep_the_data(older: Older) -> None:
    settings = older.left["settings"]
    settings["agents"]["hermes"]["hermes"]["profiles"]["work"]["settings"]["model"]["default"] = "other-model"
    older.deliver_settings(settings)
    before = older.containers
    lines = said(older.run())
    assert lines[6] == "[hermes 7/9] containers … ok (hermes-work recreated)"
    assert {name for name, it in older.containers.items() if before[name] != it} == {"/hermes-work"}


def test_its_documents_are_still_the_agents_own(older: Older) -> None:
    older.write("/opt/hermes-data/SOUL.md", "Be brief, and kind.\n")
    assert said(older.run()) == steps()
    assert older.read("/opt/hermes-data/SOUL.md") == "Be brief, and kind.\n"
