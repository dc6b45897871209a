"""A kind brings its own checks and questions along, by files in its folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pve_agents import SettingsError, load_settings
from pve_agents.agents.doctor import checks_of
from pve_agents.agents.init import introduced, introduction_of
from pve_agents.findings import Finding
from pve_agents.operator.doctor.run import run
from pve_agents.operator.init.asking import Asking, questions_of
from tests.own_kind import found_kind

SETTINGS = """\
agents:
  echo: {vmid: 119, mounts: {mp0: {host_path: /srv/echo, guest_path: /data}}, echo: {}}
"""
DOCTOR = """\
from pve_agents.findings import Check, ok

def checks(agent, secret):
    return [Check("port", lambda: ok(f"{agent.section.port} {secret('ECHO_TOKEN').get_secret_value()}"))]
"""
INIT = """\
from pve_agents.agents.init import Introduction
from pve_agents.questions import Question, SecretNote

def section(answers, defaults):
    return {} if answers["port"] == defaults["port"] else {"port": int(answers["port"])}

INTRODUCTION = Introduction(
    questions=[Question("port", "Port that it listens on", lambda agent: str(agent.section.port))],
    section=section,
    secrets={"ECHO_TOKEN": SecretNote("What its callers say first.", lambda: "x" * 16)},
)
"""
DEFAULT = "vmid: 119\nmounts:\n  mp0: {host_path: /srv/echo, guest_path: /data}\n"


@pytest.fixture
def kind(tmp_path: Path) -> Iterator[Path]:
    """The folder of a kind of the operator's own."""
    with found_kind(tmp_path / "kinds") as folder:
        yield folder


def asked(directory: Path) -> list[Finding]:
    (directory / "homelab.yaml").write_text(SETTINGS)
    agent = load_settings(directory).agents["echo"]
    return run(checks_of(agent, lambda name: SecretStr(f"the {name}")), lambda _: None)


def test_a_kinds_own_checks_are_made_with_its_secrets(kind: Path, tmp_path: Path) -> None:
    assert asked(tmp_path) == []
    (kind / "doctor.py").write_text(DOCTOR)
    (found,) = asked(tmp_path)
    assert (found.name, found.status, found.detail) == ("port", "ok", "7007 the ECHO_TOKEN")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def checks(agent, secret): return 1 / 0", "ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("", "AttributeError: module 'pve_agents.agents.echo.doctor' has no attribute 'checks'"),
    ],
)
def test_checks_that_cannot_be_used_are_one_sentence(kind: Path, tmp_path: Path, text: str, why: str) -> None:
    (kind / "doctor.py").write_text(text)
    with pytest.raises(SettingsError) as error:
        asked(tmp_path)
    assert error.value.messages == [f"echo/doctor.py: checks() fails ({why}); correct it."]


def test_a_kinds_own_questions_make_its_section(kind: Path) -> None:
    (kind / "init.py").write_text(INIT)
    (kind / "default.yaml").write_text(DEFAULT)
    introduction = introduction_of("echo")
    questions = questions_of("echo", introduction)
    assert [it.name for it in questions][-2:] == ["data-directory", "port"]
    asking = Asking("echo", introduction, questions)
    assert asking.settings() == {"agents": {"echo": {}}}
    assert asking.answer("port", "80") == (
        "homelab.yaml: agents.echo.echo.port: 80 is not a port; write a whole number from 1024 to 65535."
    )
    assert asking.answer("port", "8007") == ""
    assert asking.settings() == {"agents": {"echo": {"echo": {"port": 8007}}}}


def test_who_begins_is_asked_about_the_first_agent_whose_kind_asks_something(kind: Path) -> None:
    assert introduced() == "hermes"
    (kind / "default.yaml").write_text(DEFAULT)
    assert introduced() == "hermes"
    (kind / "init.py").write_text(INIT)
    assert introduced() == "echo"


def test_a_kind_that_asks_nothing_has_no_questions(kind: Path) -> None:
    assert kind.is_dir()
    assert introduction_of("echo").questions == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("INTRODUCTION = 1", "INTRODUCTION is int; write an Introduction."),
        ("INTRODUCTION = 1 / 0", "INTRODUCTION cannot be read (ZeroDivisionError: division by zero); correct it."),
    ],
)
def test_questions_that_cannot_be_used_are_one_sentence(kind: Path, text: str, why: str) -> None:
    (kind / "init.py").write_text(text)
    with pytest.raises(SettingsError) as error:
        introduction_of("echo")
    assert error.value.messages == [f"echo/init.py: {why}"]
