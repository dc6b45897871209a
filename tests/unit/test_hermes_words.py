"""Words and numbers that YAML 1.1, in which Hermes reads its config, takes for something else than homelab.yaml does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import Homelab, SettingsError, load_settings
from pve_agents.agents.hermes.render import hermes_files
from pve_agents.agents.hermes.settings import Hermes
from tests.yaml_readers import same

NEEDED = """\
model: {provider: litellm, default: m}
providers: {litellm: {base_url: "http://10.1.10.22:4000/v1", key_env: LITELLM_API_KEY}}
terminal: {cwd: /data/workspace}
"""
VALUES = (
    *("no", "No", "off", "OFF", "yes", "on", "true", "y", "n", "~", "", "null", "'no'", '"on"', "'017'"),
    *("017", "0o17", "0x1F", "0b11", "1_000", "08", "0891", "1e3", "1.0e+3", ".5", ".inf", "-0", "+1", "1:30"),
    *("12:30:45.5", "2026-01-02", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43", "[no, 1:30]", "{a: off}"),
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(directory: Path, hermes: str, config: str = "") -> Homelab:
    (directory / "homelab.yaml").write_text(f"agents: {{hermes: {{hermes: {{{hermes}}}}}}}\n")
    (directory / "mine.yaml").write_text(config)
    return load_settings(directory)


def refused(directory: Path, hermes: str, config: str = "") -> str:
    with pytest.raises(SettingsError) as refusal:
        load(directory, hermes, config)
    (message,) = refusal.value.messages
    return message


def delivered(homelab: Homelab) -> dict[str, Any]:
    agent = homelab.agents["hermes"]
    hermes = Hermes.of(agent)
    assert hermes
    tree: dict[str, Any] = yaml.safe_load(hermes_files(agent, hermes)["services/hermes/managed/config.yaml"])
    return tree


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_a_config_file_arrives_as_hermes_itself_reads_it(directory: Path, value: str) -> None:
    """The report: `curator: {enabled: no}` arrived as the text 'no', which Hermes takes for true."""
    config = f"{NEEDED}curator:\n  enabled: {value}\n"
    arrived = delivered(load(directory, "config_file: mine.yaml", config))
    assert same(arrived["curator"], yaml.safe_load(config)["curator"])


def test_what_is_checked_in_a_config_file_is_what_hermes_reads(directory: Path) -> None:
    config = f"{NEEDED}display: {{streaming: yes}}\ncompression: {{protect_last_n: 0o17}}\n"
    assert "protect_last_n" in refused(directory, "config_file: mine.yaml", config)
    arrived = delivered(load(directory, "config_file: mine.yaml", config.replace("0o17", "017")))
    assert arrived["display"] == {"streaming": True}
    assert arrived["compression"] == {"protect_last_n": 15}


@pytest.mark.parametrize("word", ["off", "false", '"off"'])
def test_approvals_that_are_off_without_quotes_are_off_and_warned_of(directory: Path, word: str) -> None:
    """Hermes takes the false that it reads for off."""
    homelab = load(directory, "config_file: mine.yaml", f"{NEEDED}approvals: {{mode: {word}}}\n")
    assert [it for it in homelab.warnings if "off lets every command run" in it]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a: 2024-13-99", 'line 4, column 4: "2024-13-99" is no date and no number; put it in quotes.'),
        ("a: 0b_", 'line 4, column 4: "0b_" is no date and no number; put it in quotes.'),
        ("a: =", 'line 4, column 4: "=" is no date and no number; put it in quotes.'),
        ("on: a", "line 4, column 1: on is not text and cannot be a key; put it in quotes."),
        ("123: a", "line 4, column 1: 123 is not text and cannot be a key; put it in quotes."),
    ],
)
def test_what_a_config_file_cannot_say_is_refused_with_what_it_can(directory: Path, line: str, said: str) -> None:
    message = refused(directory, "config_file: mine.yaml", f"{NEEDED}{line}\n")
    assert message == f"mine.yaml: {said}"
    key, _, value = line.partition(": ")
    remedied = f"'{key}': '{value}'\n"
    assert delivered(load(directory, "config_file: mine.yaml", NEEDED + remedied))[key] == value


@pytest.mark.parametrize(("word", "flag"), [("no", "false"), ("Off", "false"), ("yes", "true"), ("ON", "true")])
@pytest.mark.parametrize(
    ("area", "place"),
    [
        ("settings: {curator: {enabled: WORD}}", ["curator", "enabled"]),
        ("settings: {display: {show_reasoning: WORD}}", ["display", "show_reasoning"]),
        ("platforms: {slack: {allow_all: true, extra: {reply: WORD}}}", ["slack", "reply"]),
    ],
)
def test_a_word_that_hermes_would_take_for_true_is_refused_in_settings(
    directory: Path, area: str, place: list[str], word: str, flag: str
) -> None:
    message = refused(directory, area.replace("WORD", word))
    found = re.fullmatch(
        r'homelab\.yaml: \S+: (\S+) is text here, which Hermes may take for true; write (\S+), or "(\S+)" where the word '
        r"is meant\.",
        message,
    )
    assert found
    assert found.groups() == (word, flag, word)
    for remedy, value in ((found[2], flag == "true"), (f'"{found[3]}"', word)):
        arrived = delivered(load(directory, area.replace("WORD", remedy)))
        assert arrived[place[0]][place[1]] == value


def test_a_word_in_a_list_of_settings_is_refused_where_it_stands(directory: Path) -> None:
    assert "settings.curator.x.1: off is text here" in refused(directory, "settings: {curator: {x: [a, off]}}")


def test_words_stay_words_where_they_are_known_or_no_settings(directory: Path) -> None:
    homelab = load(directory, 'restart: no, settings: {approvals: {mode: off}}, environment: {DEBUG: on, "NO": yes}')
    hermes = Hermes.of(homelab.agents["hermes"])
    assert hermes
    assert (hermes.restart, hermes.environment["DEBUG"], hermes.environment["NO"]) == ("no", "on", "yes")
    assert delivered(homelab)["approvals"]["mode"] == "off"
