"""What messages advise: it is what helps, and it is accepted."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pve_agents.agents.hermes.messengers import MESSENGERS
from pve_agents.agents.hermes.settings import Hermes
from pve_agents.settings import Homelab, SettingsError, load_settings
from pve_agents.yaml_text import parse_yaml

Read = Callable[[str], Homelab]
PLACE = "homelab.yaml: agents.hermes.hermes"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def of(text: str) -> Homelab:
        (tmp_path / "homelab.yaml").write_text(text, encoding="utf-8")
        return load_settings(tmp_path)

    return of


@pytest.fixture
def load(read: Read) -> Callable[[str], Hermes]:
    def of(text: str) -> Hermes:
        hermes = Hermes.of(read(f"agents: {{hermes: {{hermes: {{{text}}}}}}}").agents["hermes"])
        assert hermes
        return hermes

    return of


@pytest.fixture
def refuse(load: Callable[[str], Hermes]) -> Callable[[str], list[str]]:
    def of(text: str) -> list[str]:
        with pytest.raises(SettingsError) as refusal:
            load(text)
        return refusal.value.messages

    return of


Load = Callable[[str], Hermes]
Refuse = Callable[[str], list[str]]
SERVER = "settings: {{mcp_servers: {{a: {{url: 'http://h/mcp'{}}}}}}}"


@pytest.mark.parametrize("transport", ["streamable-http", "streamable_http", "streamableHttp", "http", "HTTP"])
def test_the_transport_that_hermes_speaks_anyway_is_left_out(refuse: Refuse, load: Load, transport: str) -> None:
    assert refuse(SERVER.format(f", transport: {transport}")) == [
        f'{PLACE}.settings.mcp_servers.a.transport: "{transport}" is what Hermes speaks without being told; leave transport out.'
    ]
    assert load(SERVER.format("")).config["mcp_servers"]["a"] == {"url": "http://h/mcp", "enabled": True}


def test_the_transport_of_a_command_is_left_out(refuse: Refuse, load: Load) -> None:
    server = "settings: {{mcp_servers: {{a: {{command: x{}}}}}}}"
    (said, *_) = refuse(server.format(", transport: stdio"))
    assert said == f'{PLACE}.settings.mcp_servers.a.transport: "stdio" follows from command; leave transport out.'
    load(server.format(""))


def test_a_key_with_one_word_may_also_be_left_out(refuse: Refuse, load: Load) -> None:
    assert refuse(SERVER.format(", transport: pigeon, auth: mtls")) == [
        f'{PLACE}.settings.mcp_servers.a.transport: "pigeon" is not known here; write sse, or leave transport out.',
        f'{PLACE}.settings.mcp_servers.a.auth: "mtls" is not known here; write oauth, or leave auth out.',
    ]
    load(SERVER.format(", transport: sse, auth: oauth"))


def test_a_token_for_an_mcp_server_goes_into_its_headers(refuse: Refuse, load: Load) -> None:
    (said,) = refuse(SERVER.format(", auth: bearer"))
    headers = said.rpartition("such as ")[2].removesuffix(".")
    assert headers == '{Authorization: "Bearer ${NAME}"}'
    hermes = load(SERVER.format(f", headers: {headers}"))
    assert "NAME" in hermes.secret_map


# Variables

A = "HOMELAB_AGENTS__HERMES"


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("TAGS", "ai,lab", 'write JSON such as ["first", "second"]'),
        ("TAGS", "[ai, lab]", 'write JSON such as ["first", "second"]'),
        ("SECRETS", "OTHER_KEY_OF_MINE", 'such as ["MODEL_API_KEY"]'),
        ("HERMES__SECRETS", "OTHER_KEY_OF_MINE", 'such as ["FIRECRAWL_API_KEY"]'),
        ("DNS__SERVERS", "1.1.1.1", 'such as ["first", "second"]'),
        ("CPU", "two", 'write JSON such as {"key": "value"}, or leave cpu out'),
        ("HOSTNAME", "118", "write a hostname in double quotes within single ones, such as '\"…\"'"),
        ("HERMES__ENVIRONMENT", '{"A": 5}', "write it in double quotes within single ones, such as '\"…\"'"),
    ],
)
def test_what_is_advised_for_a_variable_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, wrong: str, said: str
) -> None:
    monkeypatch.setenv(f"{A}__{name}", wrong)
    with pytest.raises(SettingsError) as refusal:
        load_settings(tmp_path)
    assert said in str(refusal.value)
    assert wrong not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "right", "expected"),
    [
        ("TAGS", '["first", "second"]', lambda agent: agent.tags == ("first", "second")),
        ("SECRETS", '["LITELLM_API_KEY"]', lambda agent: agent.secrets == ("LITELLM_API_KEY",)),
        ("HOSTNAME", '"118"', lambda agent: agent.hostname == "118"),
        ("HERMES__ENVIRONMENT", '{"A": "5"}', lambda agent: agent.section.environment == {"A": "5"}),
        ("CPU", '{"cores": 3}', lambda agent: agent.cpu.cores == 3),
    ],
)
def test_what_is_advised_for_a_variable_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, right: str, expected: Callable[[Any], bool]
) -> None:
    monkeypatch.setenv(f"{A}__{name}", right)
    assert expected(load_settings(tmp_path).agents["hermes"])


# Numbers


@pytest.mark.parametrize("written", ["24.10", "1.50", "+49123", "3.0e2", "-0", "0.10"])
def test_a_number_is_shown_as_it_was_written(refuse: Refuse, load: Load, written: str) -> None:
    assert refuse(f"environment: {{FEED_RELEASE: {written}}}") == [
        f"{PLACE}.environment.FEED_RELEASE: {written} is not text; write it in quotes."
    ]
    assert load(f'environment: {{FEED_RELEASE: "{written}"}}').environment == {"FEED_RELEASE": written}
    image = "sidecars: {{side: {{image: 'redis:8.2', {}: {{A: {}}}}}}}"
    for key in ("environment", "labels"):
        (said,) = refuse(image.format(key, written))
        assert said == f"{PLACE}.sidecars.side.{key}.A: {written} is not text; write it in quotes."


def test_a_number_of_a_file_of_hermes_is_shown_as_it_was_written(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "mine.yaml").write_text("model: {provider: openrouter, default: 24.10}\nterminal: {cwd: /data/work}\n")
    assert refuse("config_file: mine.yaml") == ["mine.yaml: model.default: 24.10 is not text; write a model in quotes."]


def test_what_is_right_has_plain_numbers() -> None:
    for as_written in (False, True):
        tree = parse_yaml(b"{a: 24.10, b: +5, c: 1.5, d: 5}", as_written=as_written)
        assert tree == {"a": 24.1, "b": 5, "c": 1.5, "d": 5}
        assert isinstance(tree, dict)
        plain = [type(it) in {int, float} for it in tree.values()]
        assert plain == ([False, False, True, True] if as_written else [True] * 4)


# Messengers


@pytest.mark.parametrize(
    ("platform", "who", "places"),
    [
        ("telegram", "661234", ("-1001234567", "17")),
        ("discord", "661234", ("123456789", "4567")),
        ("slack", "U012AB3CD", ("C012AB3CD", "1700000000.123456")),
    ],
)
def test_a_topic_in_a_chat_is_a_variable_of_its_own(
    refuse: Refuse, load: Load, platform: str, who: str, places: tuple[str, str]
) -> None:
    chat, topic = places
    text = f"platforms: {{{{{platform}: {{{{allowed_users: ['{who}'], home_channel: {{}}}}}}}}}}, environment: {{{{{{}}}}}}"
    (said,) = refuse(text.format(f'"{chat}:{topic}"', ""))
    found = re.search(r"before the colon here, and what is behind it under environment, as (\w+)\.$", said)
    assert found
    environment = load(text.format(f'"{chat}"', f'{found[1]}: "{topic}"')).managed_environment
    assert environment[f"{platform.upper()}_HOME_CHANNEL"] == chat
    assert environment[f"{platform.upper()}_HOME_CHANNEL_THREAD_ID"] == topic


@pytest.mark.parametrize("name", MESSENGERS)
def test_a_messenger_without_settings_of_its_own_is_turned_on_as_the_message_says(
    refuse: Refuse, load: Load, name: str
) -> None:
    (said,) = refuse(f"platforms: {{{name}: {{enabled: true}}}}")
    assert said.startswith(f"{PLACE}.platforms.{name}: variables turn this one on; leave it out here, and write ")
    hermes: dict[str, Any] = {"environment": {}, "secrets": []}
    for found in re.finditer(r"(?:write|and) ([A-Z][^()]*?) under (environment|secrets)", said):
        for written in found[1].split(", "):
            variable, _, value = written.partition(": ")
            if found[2] == "secrets":
                hermes["secrets"].append(variable)
            else:
                hermes["environment"][variable] = json.loads(value or '"x"')
    assert load(json.dumps(hermes)[1:-1]).messengers == (name,)
