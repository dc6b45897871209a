"""What is written as YAML is read the same by whoever reads it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pve_agents.yaml_writer import to_yaml
from tests.yaml_readers import MISREAD, READERS, as_core, as_hermes, same

EVERY_READER = pytest.mark.parametrize("read", READERS, ids=lambda it: it.__name__)
Read = Callable[[str], Any]

# What no YAML holds at all, escaped or not.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_NUMBER = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15)
_WORD = st.sampled_from(MISREAD) | st.from_regex(r"[-+.0-9_:eExXoObBaAfFtTzZ]{1,12}", fullmatch=True)
_TREE = st.recursive(
    _TEXT | _WORD | _NUMBER | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT | _WORD, inner, max_size=3),
    max_leaves=8,
)


@EVERY_READER
@pytest.mark.parametrize("text", MISREAD)
def test_text_stays_text(text: str, read: Read) -> None:
    written = to_yaml({"value": text, "list": [text], text: "a key"})
    assert same(read(written), {"value": text, "list": [text], text: "a key"})


@pytest.mark.parametrize("text", MISREAD)
def test_what_may_be_misread_stands_in_quotes(text: str) -> None:
    (scalar,) = (it for it in yaml.scan(to_yaml([text])) if isinstance(it, yaml.ScalarToken))
    assert not scalar.plain


@EVERY_READER
@given(tree=_TREE)
def test_data_are_read_back_as_they_were(read: Read, tree: Any) -> None:
    assert same(read(to_yaml([tree])), [tree])


def test_what_is_easy_to_read_stays_so() -> None:
    lines = {"image": "nousresearch/hermes-agent:v2026.8.31", "target": "/opt/data", "read_only": True, "max": 3}
    assert to_yaml(lines) == (
        "image: nousresearch/hermes-agent:v2026.8.31\ntarget: /opt/data\nread_only: true\nmax: 3\n"
    )


def test_a_value_that_stands_twice_is_written_twice() -> None:
    """An alias is one more thing that a reader may not know."""
    shared = ["a"]
    assert to_yaml({"one": shared, "two": shared}) == "one:\n- a\ntwo:\n- a\n"


def test_a_date_of_a_file_stays_a_date_where_there_are_dates() -> None:
    written = to_yaml({"since": dt.date(2026, 1, 2)})
    assert as_hermes(written) == {"since": dt.date(2026, 1, 2)}
    assert as_core(written) == {"since": "2026-01-02"}
