"""What comes from outside, shown so that no terminal obeys it."""

from __future__ import annotations

import json

__all__ = ["printable", "quoted"]

_LONGEST = 120


def printable(text: str) -> str:
    """A text without what a terminal would obey, or show in another order.

    Whatever is no whole UTF-8 has become U+FFFD before it gets here; lone bytes of C1 are among that.
    """
    return "".join(character if character.isprintable() else " " if character == "\t" else "" for character in text)


def quoted(text: str) -> str:
    """A value that was not accepted, in quotes: it may hold anything."""
    return json.dumps(printable(text)[:_LONGEST], ensure_ascii=False)
