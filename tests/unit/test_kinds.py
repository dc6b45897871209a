"""Nothing outside of a kind's folder, its tests and its page knows the kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import Agent, load_settings
from pve_agents.agents.app import app_of
from pve_agents.agents.hermes.names import env_name
from pve_agents.agents.kind import default_agents, default_of, kinds, model_of

PROJECT = Path(__file__).parents[2]
KINDS = PROJECT / "constructs" / "pve_agents" / "agents"
SOURCES = [
    path
    for path in (
        PROJECT / "main.py",
        *(it for top in ("constructs", "stacks", "scripts") for it in (PROJECT / top).rglob("*")),
    )
    if path.is_file()
    and path.suffix not in {".pyc", ".md"}
    and not any(path.is_relative_to(KINDS / kind) for kind in kinds())
]
# What the kinds run, beside what their folders are called.
SOFTWARE = ("telegram", "discord", "slack", "litellm", "nousresearch", r"\bs6[_-]", "mattermost")
# Not yet: where, and why.
EXCEPTIONS = {
    "constructs/pve_agents/host/shell.py": "the prefix HERMES_, of variables that no child of the host's half gets",
    "scripts/demo": "it shows this one kind",
}


# What Docker calls it, too: the program in the container has it run what any kind wants.
NAMES = (r"agents[./]compose\b", *(it for it in kinds() if it != "compose"))
# What a kind cannot do without, and what must lie beside the settings for it.
STATED: dict[str, dict[str, Any]] = {"litellm": {"models": [{"name": "m", "model": "openai/m", "key_env": "A_KEY"}]}}
BESIDE = {"compose.yaml": "services: {web: {image: example/web:1.0}}\n"}


def places_of(text: str) -> list[str]:
    words = "|".join((*NAMES, *SOFTWARE))
    return [line.strip() for line in text.splitlines() if re.search(words, line, re.IGNORECASE)]


def test_no_source_outside_of_a_kind_names_its_software() -> None:
    assert len(SOURCES) > 80
    found = {str(path.relative_to(PROJECT)): places_of(path.read_text()) for path in SOURCES}
    named = {name: lines for name, lines in found.items() if lines}
    assert {name: lines for name, lines in named.items() if not name.startswith(tuple(EXCEPTIONS))} == {}
    # What has become true everywhere is no exception any more.
    there = {it for it in EXCEPTIONS if (PROJECT / it).exists()}
    assert {it for it in there if not any(name.startswith(it) for name in named)} == set()


def test_a_word_of_a_kind_would_be_found() -> None:
    assert places_of("x = 1\nif agent.hermes:\n") == ["if agent.hermes:"]
    assert places_of("a Telegram bot") == ["a Telegram bot"]
    assert places_of("from pve_agents.agents.compose import x") != []


def test_no_kind_is_called_as_a_setting_of_every_agent_is() -> None:
    assert not set(kinds()) & Agent.model_fields.keys()


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_has_a_section_that_describes_itself(kind: str) -> None:
    model = model_of(kind)
    assert model.model_construct().kind == kind
    assert str(model.__doc__).partition("\n")[0].endswith(".")


@pytest.mark.parametrize("kind", kinds())
def test_each_kind_has_a_page_and_says_what_its_container_gets(kind: str, tmp_path: Path) -> None:
    assert (PROJECT / "docs" / f"{kind}.md").is_file()
    section = STATED.get(kind, {})
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"librarian": {"vmid": 119, kind: section}}}))
    for name, text in BESIDE.items():
        (tmp_path / name).write_text(text)
    agent = load_settings(tmp_path).agents["librarian"]
    app = app_of(agent)
    assert app.files
    # Each secret that is asked for is one that is delivered.
    services = app.compose.services if app.compose else ()
    names = {secret.name for secret in app.secrets} | {it.source for service in services for it in service.secrets}
    assert names == set(agent.secret_names)


@pytest.mark.parametrize("name", default_agents())
def test_the_agent_that_a_kind_brings_along_is_of_this_kind(name: str, tmp_path: Path) -> None:
    assert default_of(name)[name] == {}
    agent = load_settings(tmp_path).agents[name]
    assert agent.section
    assert agent.section.kind == name


REFUSED = {
    "decides where Hermes keeps its memory, and this project sets it": ["HERMES_HOME"],
    "decides where Hermes finds what is declared here, and this project sets it": [
        "HERMES_MANAGED",
        "HERMES_MANAGED_DIR",
    ],
    "decides where Hermes may write, and this project sets it": ["HERMES_WRITE_SAFE_ROOT"],
    "is ignored by Hermes, which then sends the key to a third party": ["OPENAI_BASE_URL"],
    "makes Hermes pass over the endpoint that is declared here": ["CUSTOM_BASE_URL"],
}


@pytest.mark.parametrize(("reason", "name"), [(reason, name) for reason, names in REFUSED.items() for name in names])
def test_a_name_that_would_break_hermes_is_refused_for_hermes_alone(reason: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f'^"{name}" {reason}; leave it out$'):
        env_name(name)
    (tmp_path / "homelab.yaml").write_text(f"agents: {{librarian: {{vmid: 119, secrets: [{name}]}}}}\n")
    assert load_settings(tmp_path).agents["librarian"].secrets == (name,)
