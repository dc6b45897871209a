"""Compose files as people publish them: taken as the real Compose means them, or refused in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.guest.compose_files import lines_for_compose
from pve_agents.root_spec import payload_of
from tests.compose.real import command

PUBLISHED = Path(__file__).with_name("published")
NAMES = sorted(it.name for it in PUBLISHED.iterdir())
SECRET = "a $ecret 'with' ${signs}"
AGENT: dict[str, Any] = {
    "vmid": 120,
    "mounts": {"mp0": {"host_path": "/mnt/pve/hdd/wiki", "guest_path": "/data"}},
    "devices": {"dev0": {"path": "/dev/ttyUSB0"}, "dev1": {"path": "/dev/net/tun"}},
}


@cache
def settings_of(name: str) -> dict[str, Any]:
    stated: dict[str, Any] = yaml.safe_load((PUBLISHED / name / "settings.yaml").read_text())
    return stated


ACCEPTED = [name for name in NAMES if "refused" not in settings_of(name)]


def put(name: str, directory: Path) -> Path:
    """The operator's folder; the compose file lies in one of its own."""
    shutil.copytree(PUBLISHED / name, directory / "app")
    stated = {key: value for key, value in settings_of(name).items() if key != "refused"}
    agent = {**AGENT, "compose": {"file": "app/compose.yaml", **stated}}
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"wiki": agent}}))
    return directory


def as_compose_means_it(file: Path, folder: Path, values: Mapping[str, str]) -> dict[str, Any]:
    """What the real Compose makes of a file that lies in a folder, with these values in the environment."""
    ran = subprocess.run(
        [
            *command(),
            "--project-name",
            "wiki",
            "--project-directory",
            folder,
            "--file",
            file,
            "config",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **values},
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
    warnings = [line for line in ran.stderr.splitlines() if "the attribute `version` is obsolete" not in line]
    assert warnings == []
    meant: dict[str, Any] = json.loads(ran.stdout)
    return meant


def plain(meant: dict[str, Any], *, was: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """It without what is added for the container, and without what says the same in two ways."""
    for name, service in meant["services"].items():
        service.pop("profiles", None)
        if waits := service.pop("depends_on", None):
            # What need not be there is still shown where its profile is off.
            service["depends_on"] = {it: how for it, how in waits.items() if it in meant["services"]}
        labels = service.pop("labels", None) or {}
        if labels := {key: value for key, value in labels.items() if not key.startswith("pve-agents.")}:
            service["labels"] = labels
        for key in ("logging", "restart"):
            if was and key not in was["services"][name]:
                service.pop(key, None)
        for volume in service.get("volumes", []):
            for key in ("bind", "volume"):
                if kept := {it: on for it, on in volume.pop(key, {}).items() if it != "create_host_path"}:
                    volume[key] = kept
    return {key: it for key, it in meant.items() if not key.startswith("x-")}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_taken_is_what_compose_means(name: str, tmp_path: Path) -> None:
    folder = put(name, tmp_path) / "app"
    stated = settings_of(name)
    secrets = dict.fromkeys(stated.get("secrets", []), SECRET)
    original = plain(as_compose_means_it(folder / "compose.yaml", folder, {**stated.get("variables", {}), **secrets}))

    payload = payload_of(load_settings(tmp_path).agents["wiki"])
    text = payload.files["docker-compose.yml"].text
    text = text.replace("/var/lib/pve-agents/wiki/beside", str(folder)).replace("/srv/wiki", str(folder))
    (tmp_path / "rendered").mkdir()
    (tmp_path / "rendered" / "docker-compose.yml").write_text(text)
    revisions = [f"REVISION_{it.upper().replace('-', '_')}=1" for it in original["services"]]
    # As the program in the container writes it.
    (tmp_path / "rendered" / ".env").write_text("\n".join([*revisions, *lines_for_compose(secrets)]))
    rendered = as_compose_means_it(tmp_path / "rendered" / "docker-compose.yml", tmp_path / "rendered", {})

    assert plain(rendered, was=original) == original


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ACCEPTED])
def test_what_is_refused_is_one_sentence_for_each_reason(name: str, tmp_path: Path) -> None:
    put(name, tmp_path)
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    wanted = settings_of(name)["refused"]
    said = [it.partition("app/compose.yaml: ")[2] for it in error.value.messages]
    assert len(said) >= len(wanted)
    for beginning in wanted:
        assert any(it.startswith(beginning) for it in said), (beginning, said)
    assert all(it.endswith(".") for it in error.value.messages)


@pytest.mark.parametrize("name", NAMES)
def test_the_real_compose_takes_each_of_them_by_itself(name: str, tmp_path: Path) -> None:
    """What is refused is refused for what it would do, not since it is no compose file."""
    if name == "20-extends-and-include":
        pytest.skip("it names files that are not there")
    folder = put(name, tmp_path) / "app"
    ran = subprocess.run(
        [*command(), "--project-directory", folder, "--file", folder / "compose.yaml", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            **dict.fromkeys(settings_of(name).get("secrets", []), SECRET),
            **settings_of(name).get("variables", {}),
            "FAREWELL": "x",
        },
    )
    undeclared = "logs: undefined volume"
    assert ran.returncode == 0 or undeclared in ran.stderr or "refers to undefined volume logs" in ran.stderr, (
        ran.stderr
    )
