"""Whatever a file of settings holds: it is read in time, and what is wrong is said in a few sentences, never by a traceback."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pve_agents.reading import LONGEST_FILE, MOST_LEVELS, MOST_VALUES
from pve_agents.root_spec import payload_of, root_spec
from pve_agents.settings import Agent, BindMount, SettingsError, load_settings
from pve_agents.settings.homelab import directory_problems

EXAMPLE = (Path(__file__).parents[2] / "homelab.example.yaml").read_text(encoding="utf-8")
A_MINUTE = 60.0
MOST_TEXT = 45_000

Outcome = Callable[[str | bytes], list[str]]


@pytest.fixture(autouse=True)
def _it_ends() -> Iterator[None]:
    """What is read in milliseconds, and would be waited for for ever, fails; no test is measured."""

    def stop(*_: object) -> None:
        pytest.fail("this takes more than a minute, and so has no limit")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, A_MINUTE)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def use(directory: Path) -> list[str]:
    """All that becomes of a file without a node: what is refused is returned, and nothing else may happen."""
    refused: list[str] = []
    worth_a_look: list[str] = []
    try:
        homelab = load_settings(directory)
    except SettingsError as error:
        refused = error.messages
    else:
        for agent in homelab.agents.values():
            worth_a_look += agent.warnings
            payload = payload_of(agent)
            json.dumps(root_spec(agent, payload, archive="x"))
            assert payload.archive
    text = "\n".join([*refused, *worth_a_look])
    text.encode()
    assert len(text) < MOST_TEXT
    return refused


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    def of(content: str | bytes) -> list[str]:
        (tmp_path / "homelab.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return use(tmp_path)

    return of


def hermes(**keys: object) -> str:
    return json.dumps({"agents": {"hermes": {"hermes": keys}}})


def sidecar(**keys: object) -> str:
    return hermes(sidecars={"side": {"image": "redis:8.2", **keys}})


def numbered(text: str, count: int, between: str = "") -> str:
    return between.join(text.format(i) for i in range(count))


def bomb(start: str, line: str) -> str:
    """Nine lines, each of which repeats the one before nine times."""
    return start + "".join(line.format(i, ", ".join([f"*a{i - 1}"] * 9)) for i in range(1, 10))


SIDE = "agents.hermes.hermes.sidecars.side"
NO_HOSTNAME = "is not a hostname; write letters, digits and hyphens, such as agent1 or agent1.example.net."
NOWHERE = "which no setting can have; write it without."
WRONG = {
    "labels-text": (
        sidecar(labels="x"),
        f'{SIDE}.labels: "x" is not a mapping; write keys and values, or leave labels out.',
    ),
    "labels-null-in-a-list": (
        sidecar(labels=[None]),
        f"{SIDE}.labels.0: null is not a label; write one such as com.example.role=cache.",
    ),
    "labels-without-a-name": (
        sidecar(labels=["=x"]),
        f'{SIDE}.labels.0: "=x" is not a label; write one such as com.example.role=cache.',
    ),
    "labels-number": (sidecar(labels={"a": 1}), f"{SIDE}.labels.a: 1 is not text; write it in quotes."),
    "labels-no-name": (
        sidecar(labels={"": "x"}),
        f'{SIDE}.labels."": a label has a name; write one such as com.example.role.',
    ),
    "platform-is-no-mapping": (
        hermes(settings={"telegram": 5}, platforms={"telegram": {"allowed_users": [12345], "extra": {"a": 1}}}),
        "agents.hermes.hermes.settings.telegram: 5 is not a mapping; write keys and values, or leave telegram out.",
    ),
    "fallback-is-no-list": (
        hermes(settings={"fallback_providers": True}),
        (
            "agents.hermes.hermes.settings.fallback_providers: true is not a list; write one such as "
            "[{provider: openrouter, model: hermes}]."
        ),
    ),
    "half-a-character": (
        hermes(environment={"A": "\udfff"}),
        f"line 1, column 56: the text has the character U+DFFF, {NOWHERE}",
    ),
    "half-a-character-as-a-key": ('"\\ud800": 1', f"line 1, column 1: the text has the character U+D800, {NOWHERE}"),
    "no-character": (
        'agents: "\\UFFFFFFFF"',
        "an escape that begins with \\U is no character; write the character itself.",
    ),
    "zero": ('agents: "\\0"', f"line 1, column 9: the text has the character U+0000, {NOWHERE}"),
    "long-hostname": (
        f"agents: {{hermes: {{hostname: {'a' * 300_000}}}}}",
        f'agents.hermes.hostname: "{"a" * 60}…" {NO_HOSTNAME}',
    ),
    "long-and-nearly-a-token": (
        f"agents: {{hermes: {{hostname: {'a@b!c' * 50_000}}}}}",
        f'agents.hermes.hostname: "{"a@b!c" * 12}…" {NO_HOSTNAME}',
    ),
    "aliases-of-aliases": (
        bomb("a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n", "a{0}: &a{0} [{1}]\n"),
        f"line 5, column 35: with what the aliases repeat there are more than {MOST_VALUES} values; write fewer of them.",
    ),
    "merges-of-merges": (
        bomb("a0: &a0 {k: 1}\n", "a{0}: &a{0} {{<<: [{1}]}}\n"),
        f"line 6, column 20: with what the aliases repeat there are more than {MOST_VALUES} values; write fewer of them.",
    ),
    "deep": (
        f"a: {'[' * 60}{']' * 60}",
        f"line 1, column 54: this is nested more than {MOST_LEVELS} levels deep; write it flatter.",
    ),
    "long-file": (
        "#" * (LONGEST_FILE + 1),
        f"the file is longer than {LONGEST_FILE} bytes, the most that is read; shorten it.",
    ),
    "many-agents": (
        f"agents: {{{numbered('a{0}: {{vmid: 1{0}}}', 201, ', ')}}}",
        "agents: there are 201 agents; write at most 200.",
    ),
    "many-sidecars": (
        hermes(sidecars={f"s{i}": {"image": "a:1"} for i in range(65)}),
        "agents.hermes.hermes.sidecars: there are 65 sidecars; write at most 64.",
    ),
    "many-volumes": (
        hermes(volumes=[f"/srv/a{i}:/srv/a{i}" for i in range(257)]),
        "agents.hermes.hermes.volumes: there are 257 volumes; write at most 256.",
    ),
    "many-volumes-of-a-sidecar": (
        sidecar(volumes=[f"/srv/a{i}:/srv/a{i}" for i in range(257)]),
        f"{SIDE}.volumes: there are 257 volumes; write at most 256.",
    ),
    "many-profiles": (
        hermes(profiles={f"p{i}": {} for i in range(33)}),
        "agents.hermes.hermes.profiles: there are 33 profiles; write at most 32.",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_no_program_likes_to_read_is_one_sentence(outcome: Outcome, text: str, message: str) -> None:
    assert outcome(text) == [f"homelab.yaml: {message}"]


RIGHT = {
    "a-long-document": hermes(documents={"a.md": "://a:" * 50_000}),
    "many-names": hermes(secrets=[f"S{i}" for i in range(500)]),
    "many-tags": json.dumps({"agents": {"hermes": {"tags": [f"t{i}" for i in range(5000)]}}}),
    "labels-as-a-list": sidecar(labels=["a=b=c", "d", "e="]),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_much_that_is_right_is_read_in_time(outcome: Outcome, text: str) -> None:
    assert outcome(text) == []


def many_mounts(name: str, *, first: str) -> Agent:
    paths = [first, *(f"/mnt/{name}/{i}" for i in range(1, 256))]
    mounts = {
        f"mp{i}": BindMount.model_construct(host_path=path, guest_path=f"/{i}", uid=0, gid=0, mode="0750")
        for i, path in enumerate(paths)
    }
    return Agent.model_construct(name=name, vmid=100, node="pve1", mounts=mounts)


def test_the_directories_of_many_agents_are_compared_in_time() -> None:
    agents = {f"a{i}": many_mounts(f"a{i}", first=f"/mnt/a{i}/0") for i in range(40)}
    assert list(directory_problems(agents)) == []
    around = {**agents, "a7": many_mounts("a7", first="/mnt/a3")}
    assert len(list(directory_problems(around))) == 256


def test_labels_are_the_same_in_both_spellings(tmp_path: Path) -> None:
    composed = []
    for labels in (["a=b=c", "d", "e="], {"a": "b=c", "d": "", "e": ""}):
        (tmp_path / "homelab.yaml").write_text(sidecar(labels=labels))
        files = payload_of(load_settings(tmp_path).agents["hermes"]).files
        composed.append(yaml.safe_load(files["docker-compose.yml"].text)["services"]["side"]["labels"])
    assert composed[0] == composed[1]
    assert {"a": "b=c", "d": "", "e": ""}.items() <= composed[0].items()


@pytest.mark.long
@pytest.mark.parametrize("count", [21, 5000])
def test_no_more_is_said_than_somebody_reads(outcome: Outcome, count: int) -> None:
    said = outcome(numbered("k{0}: 1\n", count))
    assert len(said) == 21 if count == 21 else 22
    assert said[0] == "homelab.yaml: k0: there is no such setting; write one of backend, storage, agents."
    assert said[-1] == f"{count - 20} more {'is' if count == 21 else 'are'} wrong; correct these first."


def test_no_more_is_worth_a_second_look_than_somebody_looks_at(tmp_path: Path) -> None:
    settings_ = {f"terminal{i}": 1 for i in range(500)}
    (tmp_path / "homelab.yaml").write_text(hermes(settings=settings_))
    warnings = load_settings(tmp_path).agents["hermes"].warnings
    assert len(warnings) == 21
    assert warnings[-1] == "agents.hermes: 480 more are worth a second look, after these."


def test_no_sentence_is_longer_than_a_screen(outcome: Outcome) -> None:
    names = [f"service{i}" for i in range(4000)]
    (said,) = outcome(sidecar(depends_on=names))
    assert said.startswith(f"homelab.yaml: {SIDE}.depends_on: service0, service1, ")
    assert said.endswith(" …")
    assert len(said) < 2010


# What is no file

IRREGULAR = "is a pipe, a device or a socket; write what it gives into a file, and name that."


@pytest.fixture(params=["pipe", "/dev/zero"])
def irregular(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "pipe":
        os.mkfifo(tmp_path / "pipe")
    return str(request.param)


def test_the_file_of_settings_is_a_regular_one(irregular: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_FILE", irregular)
    assert use(tmp_path) == [f"{irregular}: the file {IRREGULAR}"]
    monkeypatch.delenv("HOMELAB_FILE")
    (tmp_path / "homelab.yaml").symlink_to(irregular)
    assert use(tmp_path) == [f"homelab.yaml: the file {IRREGULAR}"]


def test_what_settings_name_is_a_regular_file(irregular: str, outcome: Outcome) -> None:
    place = "homelab.yaml: agents.hermes.hermes"
    assert outcome(hermes(documents={"a.md": {"file": irregular}})) == [
        f'{place}.documents."a.md": "{irregular}" {IRREGULAR}'
    ]
    assert outcome(hermes(config_file=irregular)) == [f'{place}.config_file: "{irregular}" {IRREGULAR}']


@pytest.mark.parametrize("path", ["a\nb", "a\x1bb"])
def test_the_path_of_a_document_can_be_printed(outcome: Outcome, path: str) -> None:
    (said,) = outcome(hermes(documents={"a.md": {"file": path}}))
    assert said.endswith("is not the path of a file; write one such as documents/SOUL.md.")


def test_what_a_file_of_hermes_holds_has_the_same_limits(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"a: {'[' * 60}{']' * 60}")
    assert outcome(hermes(config_file="mine.yaml")) == [
        f"mine.yaml: line 1, column 54: this is nested more than {MOST_LEVELS} levels deep; write it flatter."
    ]


# Variables

H = "HOMELAB_AGENTS__HERMES"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (f"{H}__DESCRIPTION", b"\xff", f"agents.hermes.description: the text has the character U+DCFF, {NOWHERE}"),
        (f"{H}__DESCRIPTION", '"\\u0000"', f"agents.hermes.description: the text has the character U+0000, {NOWHERE}"),
        (f"{H}__CPU", '{"\\ud800": 1}', f"agents.hermes.cpu: the text has the character U+D800, {NOWHERE}"),
        (f"{H}__TAGS", "[" * 60 + "]" * 60, "agents: this is nested more than 50 levels deep; write it flatter."),
        (f"{H}{'__X' * 2000}", "1", "agents: this is nested more than 50 levels deep; write it flatter."),
    ],
    ids=["no-utf-8", "zero", "key", "deep-value", "deep-name"],
)
def test_a_variable_has_the_limits_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | bytes, message: str
) -> None:
    monkeypatch.setenv(name, os.fsdecode(value) if isinstance(value, bytes) else value)
    (said,) = use(tmp_path)
    assert said.endswith(f": {message}")


# Made-up files

RICH: dict[str, Any] = {
    "backend": {"type": "s3", "bucket": "states"},
    "agents": {
        "hermes": {
            "secrets": ["A_TOKEN"],
            "mounts": {
                "mp0": {"host_path": "/mnt/a/b", "guest_path": "/data", "idmap": "u:10000:1000:1;g:10000:1000:1"}
            },
            "devices": {"dev0": {"path": "/dev/dri/renderD128"}},
            "hermes": {
                "settings": {
                    "model": {"provider": "vllm", "default": "qwen"},
                    "providers": {"vllm": {"base_url": "http://10.1.10.23:8000/v1", "api_key": "${VLLM_KEY}"}},
                    "fallback_providers": [{"provider": "openrouter"}],
                    "platform_toolsets": {"telegram": ["web"]},
                    "agent": {"disabled_toolsets": ["terminal"]},
                    "mcp_servers": {
                        "a": {"command": "x", "args": ["--y"], "env": {"A": "${B_KEY}"}, "tools": {"include": ["x"]}},
                        "b": {"url": "http://h", "headers": {"Authorization": "Bearer ${T_KEY}"}},
                    },
                },
                "environment": {"TZ": "Europe/Berlin", "WEBHOOK_ENABLED": "true", "WEBHOOK_PORT": "9000"},
                "documents": {"SOUL.md": "x", "a/b.md": "y"},
                "platforms": {
                    "telegram": {"allowed_users": [12345], "extra": {"a": {"b": 1}}, "webhook_url": "https://h"},
                    "slack": {"allowed_users": ["U012AB3CD"]},
                },
                "dashboard": {"enabled": True, "auth": "basic", "username": "me"},
                "audio": {"pulse_cookie": "/srv/pulse/cookie"},
                "network_mode": "bridge",
                "networks": {"n": {"driver": "bridge"}},
                "volumes": ["/srv/a:/srv/a:ro"],
                "auth": {"overwrite": True},
                "image": {"apt_packages": ["vim"]},
                "docker": {"registry_mirrors": ["http://m"]},
                "sidecars": {
                    "redis": {
                        "image": "redis:8.2",
                        "command": ["a"],
                        "environment": {"A": "b"},
                        "labels": {"a": "b"},
                        "volumes": ["/srv/x:/x"],
                        "devices": ["/dev/dri/renderD128"],
                        "networks": ["n"],
                        "ports": ["80:80"],
                        "depends_on": ["hermes"],
                        "healthcheck": {"test": ["CMD", "x"]},
                        "secrets": ["S_TOKEN"],
                    }
                },
                "profiles": {
                    "work": {
                        "settings": {"model": "small"},
                        "api_server": {"port": 8700},
                        "documents": {"USER.md": "u"},
                        "secrets": {"C_TOKEN": "C_KEY"},
                        "platforms": {"discord": {"allowed_users": ["123456"]}},
                    }
                },
            },
        },
        "other": {"vmid": 130, "network": {"address": "10.0.0.5/24", "gateway": "10.0.0.1"}},
    },
}
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 118, 10**18, 1.5, float("inf"), float("nan"), "", "x", "/", ".", "..", "a:b", ":"),
    *("${", "${}", "${A}", "$", "\udfff", "\0", "\n", "\x85", "\u2028", "\ufeff", "x" * 5000, "=", "a=b", "--x=y"),
    *("http://", "http://[", "http://h:x/", "/a//b", "/data", "mp0", "10.0.0.1/33", "u:0:0:1", "A_TOKEN", "hermes"),
    *("{0}", "{agent}", "{", "%s", "*", "[a", "(", "\\", "1" * 5000, "٣", [], [None], [[]], [{}], ["x", "x"], {}),
    *({"": ""}, {"a": None}, {"x": {"y": [1]}}, {"file": "/dev/null"}, {"file": None}, {"file": "\0"}),
]
KEYS = ["", "x", "name", "hermes", "mp0", "mp999", "extra", "labels", "{agent}", "\0", "\udfff", "x" * 300, "settings"]
BYTES = [b"\t", b"\0", b"&a ", b"*a ", b"<<: *a", b"{", b"]", b'"', b": ", b"!!x ", b"\xff", b"\xef\xbb\xbf", b"\r"]
BYTES += [b"? ", b"|", b"---\n", b'"\\udfff"', b'"\\UFFFFFFFF"', b"<<", b"\xed\xa0\x80", b"\xc2\x85", b"%"]


def places(tree: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield (*place, key)
        yield from places(value, (*place, key))


def changed(tree: Any, chance: random.Random) -> Any:
    """A tree with a value, a key or both of it in the wrong place."""
    tree = deepcopy(tree)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        *parents, key = chance.choice(list(places(tree)) or [("x",)])
        at = tree
        for parent in parents:
            at = at[parent]
        if isinstance(at, dict) and chance.random() < 0.3:
            at[chance.choice(KEYS)] = at.pop(key, None) if chance.random() < 0.5 else chance.choice(VALUES)
        else:
            at[key] = deepcopy(chance.choice(VALUES))
    return tree


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """A text in which something was lost, typed or pasted."""
    for _ in range(chance.choice([1, 1, 2, 5])):
        here, there = sorted(chance.randrange(len(raw) + 1) for _ in range(2))
        what = chance.choice([b"", chance.choice(BYTES), raw[here : here + 200]])
        raw = (
            raw[:here] + what + raw[min(there, here + 20) :]
            if chance.random() < 0.5
            else raw[:here] + what + raw[here:]
        )
    return raw


def file_of(tree: Any) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False).encode()


BASES = [yaml.safe_load(EXAMPLE), RICH, RICH]


def test_the_files_that_are_damaged_below_are_right(outcome: Outcome) -> None:
    assert [outcome(file_of(base)) for base in BASES] == [[], [], []]


@pytest.mark.long
@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_a_wrong_value_or_key_anywhere_is_said_in_sentences(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    directory = tmp_path_factory.mktemp("settings")
    (directory / "homelab.yaml").write_bytes(file_of(changed(chance.choice(BASES), chance)))
    use(directory)


@pytest.mark.long
@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_a_damaged_file_is_said_in_sentences(tmp_path_factory: pytest.TempPathFactory, chance: random.Random) -> None:
    directory = tmp_path_factory.mktemp("settings")
    (directory / "homelab.yaml").write_bytes(damaged(chance.choice([EXAMPLE.encode(), file_of(RICH)]), chance))
    use(directory)
