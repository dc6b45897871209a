"""The launcher of the payload: it finds a Python, installs one where there is none, and starts the program with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.guest import LAUNCHER, VMID, Guest
from tests.scripts.test_bootstrap import TITLES, said

NO_PYTHON = (
    "  the container has no Python 3.11 or newer, which apt-get brings from Debian 12 and Ubuntu 24.04 on: look at its template"
    " and its network, and deploy again\n"
)
USAGE = "usage: verify [--no-chat] | workspace-write TOKEN | workspace-remove TOKEN\n"


@pytest.fixture
def bare(tmp_path: Path) -> Guest:
    guest = Guest(tmp_path)
    guest.host.guest_path(VMID)
    guest.stub("sleep", "exit 0")
    return guest


def without_python(guest: Guest) -> None:
    (guest.host.directory / "guest-bin" / VMID / "python3").unlink()


def test_it_is_short_enough_to_be_read() -> None:
    assert len(LAUNCHER.splitlines()) <= 15


def test_it_starts_the_program_with_the_arguments_that_it_got(bare: Guest) -> None:
    ran = bare.launch()
    assert ran.returncode == 0, ran.stderr
    assert [line.partition("] ")[2].partition(" …")[0] for line in said(ran) if " … " in line] == list(TITLES)
    assert bare.launch("verify", "--no-chat").stdout.count("check\t") == 8
    ran = bare.launch("verify", "a b")
    assert (ran.returncode, ran.stderr) == (2, USAGE)


def test_where_there_is_no_python_it_is_installed_and_the_program_goes_on(bare: Guest) -> None:
    without_python(bare)
    ran = bare.launch()
    assert ran.returncode == 0, ran.stderr
    assert "python3" in bare.system["packages"]
    assert ran.stderr == "[hermes] installing python3\n"
    assert said(ran)[0] == "[hermes 1/9] secrets … ok"
    before = bare.changes.count("apt-get install python3")
    assert bare.launch().stderr == ""
    assert bare.changes.count("apt-get install python3") == before


def test_an_installation_that_fails_for_a_moment_is_tried_again(bare: Guest) -> None:
    without_python(bare)
    bare.set(trouble={"apt-get install": ["E: Failed to fetch"]})
    ran = bare.launch()
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == "[hermes] installing python3\nE: Failed to fetch\n[hermes] installing python3\n"


def test_a_python_that_cannot_be_installed_is_one_sentence(bare: Guest) -> None:
    without_python(bare)
    bare.set(trouble={"apt-get install": "E: Failed to fetch"})
    ran = bare.launch()
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.endswith(NO_PYTHON)


def test_a_python_that_is_too_old_is_none(bare: Guest) -> None:
    bare.stub("python3", "exit 1")
    bare.set(trouble={"apt-get install": "E: it is there"})
    assert bare.launch().stderr.endswith(NO_PYTHON)


def test_who_only_looks_installs_nothing(bare: Guest) -> None:
    without_python(bare)
    ran = bare.launch("verify")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", NO_PYTHON)
    assert bare.changes == []


@pytest.mark.parametrize("system", ["ID=alpine\n", "ID=fedora\nID_LIKE=debian\n", ""])
@pytest.mark.parametrize("name", ["bootstrap", "verify"])
def test_what_is_neither_debian_nor_ubuntu_is_refused_before_anything_is_done(
    bare: Guest, system: str, name: str
) -> None:
    bare.write("/etc/os-release", system)
    ran = bare.launch(name)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "  the container runs neither Debian nor Ubuntu: choose a template of one of them, and deploy again\n",
    )
    assert bare.changes == []


@pytest.mark.parametrize("system", ["ID=debian\n", 'ID="ubuntu"\n'])
def test_debian_and_ubuntu_are_known_however_they_are_written(bare: Guest, system: str) -> None:
    bare.write("/etc/os-release", f"NAME=x\n{system}")
    assert bare.launch("verify", "?").returncode == 2


# --- the program as it travels


@pytest.mark.parametrize("has_app", [True, False])
def test_what_travels_is_all_that_the_program_needs(tmp_path: Path, *, has_app: bool) -> None:
    """A Python of its own, without anything that is installed here."""
    guest = Guest(tmp_path)
    guest.has_app = has_app
    guest.deliver()
    guest.deliver_program()
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(guest.payload / "program"), "verify"]
    where = {"PATH": "/nowhere", "HOME": "/"}
    ran = subprocess.run([*command, "?"], env=where, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", USAGE)
    # The kind's own module is looked for only when it is needed.
    ran = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    names = [line.split("\t")[1] for line in ran.stdout.splitlines()]
    answers = ["gateway", "model endpoint", "chat"]
    assert names == (["docker", "disk", "image", "container", *answers, "secrets"] if has_app else ["disk", "secrets"])
    assert not list(guest.payload.rglob("__pycache__"))


def test_a_payload_of_another_version_is_one_sentence(tmp_path: Path) -> None:
    guest = Guest(tmp_path)
    (guest.payload / "plan.json").write_text('{"agent": "hermes", "colour": "red"}')
    ran = guest.run()
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "  /opt/pve-agents/hermes/plan.json cannot be read: plan.colour is not known here; deploy again\n",
    )


@pytest.mark.parametrize("arguments", [["--start"], ["--stop", "now"], ["--restore", "a", "b"]])
def test_an_option_that_there_is_not(bare: Guest, arguments: list[str]) -> None:
    ran = bare.run("bootstrap", *arguments)
    assert (ran.returncode, ran.stderr) == (
        2,
        "usage: bootstrap [--stop | --restore [NAME] | --enter NAME COMMAND...]\n",
    )
    assert os.listdir(bare.root / "run") == []  # noqa: PTH208
