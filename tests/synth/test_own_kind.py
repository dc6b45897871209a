"""A kind of agent is a folder: the one of docs/kinds.md is made in a temporary one, and no file outside of it is touched."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, agents, load_settings
from pve_agents.guest.checks import own_checks_of
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Checks, Plan, Workspace
from pve_agents.root_spec import payload_of, root_spec
from pve_agents.settings.schema import json_schema
from tests.own_kind import FILES, echoing, found_kind, write_kind
from tests.synth.conftest import Synthesize
from tests.virtual_node.node import ROOT

APP = "from pve_agents.agents.app import App\nfrom pve_agents.guest.plan import Checks\ndef app(agent): return App({})"
MODULE = "pve_agents.agents.echo.guest.checks"
MOUNTS = {"mp0": {"host_path": "/mnt/pve/hdd/librarian", "guest_path": "/data"}}

Load = Callable[..., Any]


@pytest.fixture
def kind(tmp_path: Path) -> Iterator[Path]:
    """The kind's folder, found beside those of this project."""
    with found_kind(tmp_path / "kinds") as folder:
        yield folder


@pytest.fixture
def load(kind: Path, tmp_path: Path) -> Load:  # noqa: ARG001 - it is there
    def settings(**by_name: Any) -> Any:
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": by_name}))
        return load_settings(tmp_path).agents

    return settings


def librarian(**stated: Any) -> dict[str, Any]:
    return {"vmid": 119, "mounts": MOUNTS, "echo": {}, **stated}


def refused(load: Load, **by_name: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(**by_name)
    return [message.removeprefix("homelab.yaml: ") for message in error.value.messages]


def test_the_page_has_the_whole_kind() -> None:
    assert FILES.keys() == {"settings.py", "app.py", "guest/checks.py"}


@pytest.mark.usefixtures("kind")
def test_an_agent_of_a_new_kind_is_synthesized(synthesize: Synthesize, tmp_path: Path) -> None:
    settings = {"agents": {"librarian": librarian(echo={"port": 7070})}}
    assert synthesize(settings, stack="librarian")["resource"]["proxmox_virtual_environment_container"]["librarian"]
    spec = synthesize(settings, stack="librarian-root")["locals"]["spec"]
    assert spec["secrets"]["names"] == ["ECHO_TOKEN"]
    assert spec["secrets"]["minimum_lengths"] == {"ECHO_TOKEN": 16}
    archive = tmp_path / "cdktf.out" / "payload" / "librarian.tar.gz"
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        texts = {name: file.read().decode() for name in tar.getnames() if (file := tar.extractfile(name))}
    assert texts["echo.conf"] == "port = 7070\n"
    assert texts["program/pve_agents/agents/echo/guest/checks.py"] == FILES["guest/checks.py"]
    plan = Plan.from_json(texts["plan.json"])
    assert plan.workspaces == (Workspace("/data", 10000, 10000),)
    assert plan.checks == Checks("pve_agents.agents.echo.guest.checks", {"port": 7070})


@pytest.mark.usefixtures("kind")
def test_its_checks_check() -> None:
    with echoing() as port:
        checks = own_checks_of(Machine(), Checks(MODULE, {"port": port}))
        assert (checks.prove().state, [it.status for it in checks.look(chat=True)]) == ("ok", ["ok"])
    (check,) = checks.look(chat=True)
    assert (check.name, check.status, check.remedy) == ("echo", "failed", "start the echo in the container")
    assert f"nothing answers at port {port}" in check.detail


def test_a_root_step_waits_for_its_answers(load: Load) -> None:
    agents_ = load(librarian=librarian(), empty={"vmid": 120})
    seconds = {}
    for name, agent in agents_.items():
        spec: Any = root_spec(agent, payload_of(agent), archive="x")
        seconds[name] = spec["payload"]["checks_timeout_seconds"]
    assert seconds["librarian"] == seconds["empty"] + 5


def test_what_is_wrong_in_its_section_is_said_where_it_stands(load: Load) -> None:
    assert refused(load, librarian=librarian(echo={"port": 80, "prot": 7070})) == [
        "agents.librarian.echo.port: 80 is not a port; write a whole number from 1024 to 65535.",
        "agents.librarian.echo.prot: there is no such setting; did you mean port?",
    ]
    assert refused(load, librarian=librarian(echo=7007)) == [
        "agents.librarian.echo: 7007 is not a mapping; write keys and values, or leave echo out."
    ]


def test_its_keys_and_those_of_other_kinds_are_suggested(load: Load) -> None:
    assert refused(load, librarian=librarian(ehco={}))[0].endswith("there is no such setting; did you mean echo?")
    assert refused(load, librarian=librarian(port=7070)) == [
        "agents.librarian.port: there is no such setting; did you mean echo.port or litellm.port?"
    ]
    assert "devices, compose, echo, hermes, litellm, keyctl, secrets" in refused(load, librarian=librarian(zzz={}))[0]


def test_a_secret_in_its_section_is_led_to_the_variable_that_the_kind_names(load: Load) -> None:
    (message,) = refused(load, librarian=librarian(echo={"token": "hunter2"}))
    assert message.endswith("put this one into the agent's secrets file, as ECHO_TOKEN.")


def test_an_agent_is_of_one_kind(load: Load) -> None:
    assert refused(load, librarian=librarian(hermes={})) == [
        "agents.librarian.hermes: an agent is of one kind, and this one is echo already; leave one of them out."
    ]
    assert load(librarian=librarian(hermes=None))["librarian"].section.kind == "echo"


def test_an_agent_called_after_another_kind_may_be_of_this_one(load: Load) -> None:
    agent = load(hermes={"echo": {}})["hermes"]
    assert (agent.vmid, agent.section.kind, agent.secrets) == (118, "echo", ("ECHO_TOKEN",))


def test_nobody_states_a_section_under_the_name_that_it_has_inside(load: Load) -> None:
    assert refused(load, librarian={"vmid": 119, "section": {"echo": {}}})[0].startswith(
        "agents.librarian.section: there is no such setting; "
    )


def test_what_it_misses_in_its_container_is_said_at_its_section(load: Load) -> None:
    assert refused(load, librarian=librarian(mounts={})) == [
        "agents.librarian.echo: there is no mount that it may write its log to; write one under mounts."
    ]


def test_what_its_container_may_lack_is_said_where_it_is_set(load: Load) -> None:
    assert load(librarian=librarian(memory={"dedicated_mib": 128}))["librarian"].warnings == (
        "agents.librarian.memory.dedicated_mib: the service needs 256 MiB at least; write more.",
    )


def test_what_two_agents_of_it_cannot_both_have_is_said(load: Load) -> None:
    other = {"vmid": 120, "mounts": {"mp0": {**MOUNTS["mp0"], "host_path": "/mnt/pve/hdd/other"}}}
    assert refused(load, librarian=librarian(), other=librarian(**other)) == [
        "agents: librarian and other both have the port 7007; give each its own."
    ]
    assert load(librarian=librarian(), other=librarian(**other, echo={"port": 7008}))


def test_a_kind_with_a_default_brings_an_agent_along(kind: Path, tmp_path: Path) -> None:
    (kind / "default.yaml").write_text(yaml.safe_dump({"vmid": 130, "mounts": MOUNTS}))
    homelab = load_settings(tmp_path)
    assert [(agent.name, agent.vmid, agent.section and agent.section.kind) for agent in homelab.agents.values()] == [
        ("echo", 130, "echo"),
        ("hermes", 118, "hermes"),
    ]


@pytest.mark.usefixtures("kind")
def test_a_variable_sets_a_key_of_its_section(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_AGENTS__LIBRARIAN__ECHO__PORT", "7171")
    assert load(librarian=librarian())["librarian"].section.port == 7171


@pytest.mark.usefixtures("kind")
def test_the_schema_describes_it() -> None:
    schema = json_schema()
    echo = schema["$defs"]["Agent"]["properties"]["echo"]
    assert echo["description"] == "A service that answers with what it is asked. Defaults to none."
    assert schema["$defs"]["Echo"]["properties"]["port"]["description"].startswith("Port that it listens on")


def test_settings_are_the_same_when_they_are_read_again(load: Load) -> None:
    agent = load(librarian=librarian(echo={"port": 7070}))["librarian"]
    again = yaml.safe_load(yaml.safe_dump(agent.model_dump(mode="json")))
    assert again["echo"] == {"port": 7070}
    assert load(librarian=again)["librarian"] == agent


# Kinds that cannot be used -----------------------------------------------------------------------------------------------


def found_at(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(agents, "__path__", [*agents.__path__[:1], str(place)])
    importlib.invalidate_caches()


def why_not(load: Load) -> str:
    (sentence,) = refused(load, librarian=librarian())
    return sentence


def test_a_folder_without_a_kind_is_refused_and_nothing_is_taken_for_nothing(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    found_at(monkeypatch, nowhere)
    assert why_not(load) == (
        f"AGENT_KINDS_PATH: {nowhere} holds no kind: name one that does, such as with echo/settings.py, or unset it."
    )
    write_kind(nowhere)
    assert load(librarian=librarian())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-echo", "is no name for a kind; write small letters, digits and underscores."),
        ("hermes", "there is a kind hermes already; give {} another name."),
    ],
)
def test_a_kind_has_a_name_of_its_own(
    load: Load, kind: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    found_at(monkeypatch, kind.parent)
    folder = kind.rename(kind.with_name(name))
    assert why_not(load).endswith(reason.format(folder))
    folder.rename(kind)
    assert load(librarian=librarian())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "def",
            "settings.py: this cannot be imported (SyntaxError: invalid syntax (settings.py, line 1)); correct it.",
        ),
        ("import nothing_like_it", "(ModuleNotFoundError: No module named 'nothing_like_it'); correct it."),
        ("Echo = 1", "settings.py: there is no class Echo that derives from Kind; write one."),
    ],
)
def test_a_kind_that_python_does_not_take_is_one_sentence(load: Load, kind: Path, text: str, reason: str) -> None:
    (kind / "settings.py").write_text(text)
    assert why_not(load).endswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def", "echo/app.py: app() fails (SyntaxError: invalid syntax (app.py, line 1)); correct it."),
        ("def app(agent): return None", "echo/app.py: app() returns NoneType; return an App."),
        ("def app(agent): return agent.nothing", "has no attribute 'nothing'); correct it."),
        (None, "No module named 'pve_agents.agents.echo.app'); correct it."),
        (
            APP.format("files={'plan.json': ''}"),
            "app.py: the file plan.json is the program's own; give it another name.",
        ),
        (
            APP.format("checks=Checks('pve_agents.agents.echo.guest.chekcs')"),
            "app.py: there is no module pve_agents.agents.echo.guest.chekcs among what `program` names; write one that is.",
        ),
    ],
)
def test_an_app_that_does_not_work_is_one_sentence(load: Load, kind: Path, text: str | None, reason: str) -> None:
    agent = load(librarian=librarian())["librarian"]
    (kind / "app.py").unlink()
    if text is not None:
        (kind / "app.py").write_text(text)
    with pytest.raises(SettingsError) as error:
        payload_of(agent)
    (sentence,) = error.value.messages
    assert sentence.endswith(reason)


AGENTS = ["-c", "from pve_agents.operator.entry import main; main()", "plan"]


@pytest.mark.long
@pytest.mark.parametrize("program", [["main.py"], AGENTS], ids=["main.py", "agents"])
@pytest.mark.parametrize(
    ("hook", "broken"),
    [
        ('return ("ECHO_TOKEN",)', "return 1 / 0"),
        ("return 5", "return 1 / 0"),
        ("if container.memory_mib < _LEAST_MIB:", "if 1 / 0:"),
    ],
    ids=["a method", "a property", "one that yields"],
)
def test_a_hook_that_fails_is_one_sentence_with_its_line(
    tmp_path: Path, program: list[str], hook: str, broken: str
) -> None:
    folder = write_kind(tmp_path / "kinds")
    text = (folder / "settings.py").read_text()
    (folder / "settings.py").write_text(text.replace(hook, broken))
    line = text[: text.index(hook)].count("\n") + 1
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"librarian": librarian()}}))
    done = subprocess.run(
        [sys.executable, *program],
        cwd=ROOT,
        env={**os.environ, "AGENT_KINDS_PATH": str(folder.parent), "HOMELAB_FILE": str(tmp_path / "homelab.yaml")},
        capture_output=True,
        text=True,
        check=False,
    )
    sentence = "this fails (ZeroDivisionError: division by zero); correct it."
    assert done.stderr == f"{folder / 'settings.py'}, line {line}: {sentence}\n"
    assert done.returncode == 2


def test_a_default_that_is_no_mapping_is_said_with_its_file(kind: Path, tmp_path: Path) -> None:
    (kind / "default.yaml").write_text("vmid")
    with pytest.raises(SettingsError, match=r"echo/default\.yaml: this holds no mapping; write keys such as vmid\."):
        load_settings(tmp_path)
