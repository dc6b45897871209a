"""Reading what the operator wrote, whatever it is: regular files alone, and no more of anything than somebody writes."""

import re
import stat
from pathlib import Path

from pve_agents.problems import Key

__all__ = ["LONGEST_FILE", "MOST_LEVELS", "MOST_VALUES", "bad_character", "read_file", "tree_fault"]

LONGEST_FILE = 2_000_000
"""Bytes of a file of settings; a long document has a file of its own."""

MOST_VALUES = 50_000
"""Values in a file, each counted as often as an alias repeats it. A hundred agents with all their settings have fewer."""

MOST_LEVELS = 50
"""Levels of lists and mappings, three times those of the deepest setting."""

_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def read_file(path: Path, longest: int = LONGEST_FILE) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: The file.
        longest: How many bytes it may have. Defaults to those of a file of settings.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else, or longer. The phrase says what to do instead.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if not stat.S_ISREG(mode):
        # A pipe may never give anything, and a device never end.
        raise ValueError("is a pipe, a device or a socket; write what it gives into a file, and name that")
    with path.open("rb") as file:
        raw = file.read(longest + 1)
    if len(raw) > longest:
        raise ValueError(f"is longer than {longest} bytes, the most that is read; shorten it")
    return raw


def bad_character(text: str) -> str | None:
    """Say which character no setting can have, if there is one: none can be written into a file as UTF-8."""
    if found := _NO_TEXT.search(text):
        return f"the text has the character U+{ord(found[0]):04X}, which no setting can have; write it without"
    return None


def tree_fault(tree: object) -> tuple[Key, str] | None:
    """Find what a tree of plain data may not be, wherever it came from; no way down it is too deep for this.

    Returns:
        The place, and a sentence without its full stop; none if nothing is wrong.
    """
    rest: list[tuple[Key, object]] = [((), tree)]
    values = 0
    while rest:
        key, value = rest.pop()
        values += 1
        if values > MOST_VALUES:
            return (), f"there are more than {MOST_VALUES} values; write fewer"
        if len(key) > MOST_LEVELS:
            return key[:1], f"this is nested more than {MOST_LEVELS} levels deep; write it flatter"
        if isinstance(value, str) and (fault := bad_character(value)):
            return key, fault
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for name, below in items:
                if isinstance(name, str) and (fault := bad_character(name)):
                    return key, fault
                rest.append(((*key, name), below))
    return None
