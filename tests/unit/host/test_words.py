"""What comes from outside is shown so that no terminal obeys it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_agents.host.words import printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain … grün-木", "plain … grün-木"),
        ("a\tb", "a b"),
        ("\x1b[2Jx\x07\x00\r\n\x7f", "[2Jx"),
        ("\x9b2Jx\x85y", "2Jxy"),
        (b"\x9b2Jx\xff".decode("utf-8", "replace"), "\ufffd2Jx\ufffd"),
        ("left\u202etfel\u2066x\u200f", "lefttfelx"),
        ("one\u2028two\u2029three\u200b\ufeff", "onetwothree"),
        ("a\ud800b\udc9b", "ab"),
        ("\ue000\U000e0041", ""),
    ],
)
def test_what_a_terminal_would_obey_or_turn_around_is_left_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_whatever_it_is_it_can_be_printed_on_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    shown.encode()


def test_a_refused_value_is_in_quotes_and_short() -> None:
    assert quoted('a "b"\x1b[2J') == '"a \\"b\\"[2J"'
    assert json.loads(quoted("x" * 4096)) == "x" * 120
