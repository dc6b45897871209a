"""What YAML says does not depend on whether PyYAML brings libyaml along; only how long it takes to read does."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from yaml.scanner import Scanner

from pve_agents.reading import MOST_LEVELS
from pve_agents.yaml_text import parse_yaml, parse_yaml_1_1

ROOT = Path(__file__).parents[2]
GOOD_FILES = [ROOT / "homelab.example.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]

Read = Callable[..., object]
READERS = (parse_yaml, parse_yaml_1_1)
OF_BOTH_VERSIONS = pytest.mark.parametrize("read", READERS, ids=lambda it: it.__name__)


def told(value: Any) -> Any:
    """A value with its types, and with how its numbers were written."""
    if isinstance(value, dict):
        return [(told(key), told(below)) for key, below in value.items()]
    if isinstance(value, list):
        return [told(it) for it in value]
    return type(value).__name__, repr(value), getattr(value, "written", None)


def outcome(read: Read, text: str) -> Any:
    """What becomes of a text: the value, or the sentence."""
    try:
        return told(read(text.encode(), as_written=True))
    except ValueError as error:
        return str(error)


def without_libyaml(read: Read, text: str) -> Any:
    """The same where PyYAML was built without libyaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        patch.delattr(yaml, "CSafeLoader")
        return outcome(read, text)


# Where libyaml takes what is refused, or reads it as something else.
OTHER_TO_LIBYAML = {
    "a-tab-after-a-value": "a: 1\t\nb: 2\n",
    "a-tab-before-a-value": "a:\t1\n",
    "a-tab-within-words": "a: b\tc\n",
    "a-tab-in-brackets": "[a,\tb]",
    "a-byte-order-mark-alone": "\n\ufeff",
    "two-byte-order-marks": "\ufeff\ufeffa: 1\n",
    "a-comment-at-a-version": "%YAML 1.2#c\n---\na: 1\n",
    "a-comment-at-a-literal-block": "a: |#c\n  b\n",
    "a-comment-at-a-folded-block": "a: >-2#c\n    b\n",
    "a-question-mark-in-a-list": "[http://h/?b=c]",
    "a-question-mark-in-a-mapping": "{a: b?}",
    "a-question-mark-in-a-key": "{a?: b}",
    "a-question-mark-in-a-pair": "[a?: b]",
}

GOOD = {
    "nothing": "",
    "words": "a: no\nb: Yes\n'no': 'no'\nc: null\nd: ~\ne: true\nf:\n",
    "numbers": "[24.10, +5, 1.5, 5, 0200, 12:34, 1_000, 0x1F, 1e3, 1.0e+400, .inf, 123456789012345678901]",
    "dates": "a: 2001-01-01\nb: 2001-12-14T21:59:43.10-05:00\n",
    "blocks": "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n\n  z\nc: |+\n  x\n\nd: |2 # a comment\n    x\n",
    "quoted": "a: 'it''s\n  two lines'\nb: \"\\x41\\u00e9\\U0001F600\\\n  \\L\\N\\_\"\nc: 'd' # e\n",
    "aliases": "a: &a {b: 1, c: [x]}\nd: {<<: *a, c: 2}\ne: [*a, *a]\n",
    "question-marks": "a: http://h/?b=c\nb: who?\nc: ['who?']\n? d\n: e\n",
    "line-breaks": "a: 1\r\nb: |\r\n  c\r\n  d\r\re: 'f\r\n  g'\x85h: i\u2028  j\u2029  k\n",
    "characters": "a: \u00a0b\u00e9\U0001f600\n",
    "a-byte-order-mark": "\ufeffa: 1\n",
    "a-directive": "%YAML 1.1\n%TAG !e! x\n---\na: 1\n...\n",
    "sequences": "a:\n- b\n-\n- - c\n  - d: e\n-\n  f: g\n",
    "brackets": "{a, b: , 'c':d, e:f, g: [h: i, j], k: -l}",
    "a-long-key": f"{'k' * 1024}: 1\n",
    "deep": "[" * MOST_LEVELS + "]" * MOST_LEVELS,
}

BAD = {
    "twice": "a: 1\nb:\n  c: 1\n  c: 2\n",
    "a-key-that-is-no-text": "a: 1\n5: 2\n",
    "a-list-as-a-key": "? [a]\n: b\n",
    "a-tag": "a: !!str b\n",
    "no-tag-at-all": "a: ! b\n",
    "inside-itself": "a: &a [*a]\n",
    "no-such-anchor": "a: *b\n",
    "an-anchor-twice": "a: &a 1\nb: &a 2\n",
    "too-deep": "[" * 60 + "]" * 60,
    "two-documents": "a: 1\n---\nb: 2\n",
    "unclosed": "a: [b\nc: d\n",
    "a-quote": "a: 'b\n",
    "indentation": "a: 1\n b: 2\n",
    "two-colons": "a: b: c\n",
    "half-a-character": 'a: "\\ud800"\n',
    "no-character": 'a: "\\UFFFFFFFF"\n',
    "zero": 'a: "\\0"\n',
    "a-control-character": "a: 1\nb: \x07\n",
    "an-escape": 'a: "\\q"\n',
    "a-longer-key": f"{'k' * 1025}: 1\n",
    "a-directive": "%YAML 2.0\n---\na: 1\n",
    "no-date": "a: 2024-13-99\n",
    "a-lone-sign": "a: =\n",
    "an-indicator": "a: @b\n",
}


@OF_BOTH_VERSIONS
@pytest.mark.parametrize(
    "text",
    [*OTHER_TO_LIBYAML.values(), *GOOD.values(), *BAD.values()],
    ids=[*OTHER_TO_LIBYAML, *(f"good-{it}" for it in GOOD), *(f"bad-{it}" for it in BAD)],
)
def test_libyaml_changes_no_value_and_no_word(read: Read, text: str) -> None:
    assert outcome(read, text) == without_libyaml(read, text)


# All that means anything in YAML, and a little that does not.
SIGNS = [*":-[]{}\"'|>&*!#%@,?\t\n \r\\~<.=09ab", "\x85", "\u2028", "\ufeff", "\u00a0", "\0"]
SIGNS += ["\n---\n", "\n...\n", "%YAML 1.1", "&a ", "*a", "<<: ", ": ", "- ", "? ", "|\n  ", ">-\n ", "\n  ", " #"]


@settings(max_examples=150, derandomize=True)
@given(st.lists(st.sampled_from(SIGNS), max_size=16).map("".join))
def test_libyaml_changes_nothing_of_what_nobody_would_write(text: str) -> None:
    for read in READERS:
        assert outcome(read, text) == without_libyaml(read, text)


@OF_BOTH_VERSIONS
@pytest.mark.parametrize("file", GOOD_FILES, ids=lambda it: it.name)
def test_a_good_file_is_read_by_libyaml_alone(read: Read, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Scanner, "fetch_more_tokens")
    assert read(file.read_bytes())


def test_libyaml_gets_no_tags_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them with all before it, which in the longest file would take it half a minute."""
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert parse_yaml(b"%TAG !a! x\n%TAG !b! y\n---\na: 1\n") == {"a": 1}


def test_nothing_of_libyaml_is_asked_for_before_a_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_spec("pve_agents.yaml_text")
    assert spec
    assert spec.loader
    monkeypatch.delattr(yaml, "CSafeLoader")
    spec.loader.exec_module(module_from_spec(spec))
