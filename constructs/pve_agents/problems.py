"""What is wrong with the settings, as it is handed on from what finds it to what says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from pve_agents.types import shown

__all__ = [
    "MOST_SENTENCES",
    "InFile",
    "Key",
    "OfKind",
    "Problem",
    "ProblemsError",
    "SettingsError",
    "below",
    "checked",
    "dotted",
    "few",
    "likeliest",
    "placed",
    "stated",
]

Key = tuple[str | int, ...]
"""A setting's place: the keys on the way to it."""


def dotted(key: Key) -> str:
    """Return a place as one word, such as ``agents.librarian.vmid``."""
    return ".".join(str(part) if re.fullmatch(r"[\w-]{1,60}", str(part)) else shown(part) for part in key)


class InFile(str):
    """Part of a key: what follows stands in a file of its own, of this name."""

    __slots__ = ()


class OfKind(str):
    """Part of a key that stands in no file: of which kind it is, what the part before it holds."""

    __slots__ = ()


def stated(key: Key) -> Key:
    """Return a place as it is in the file."""
    return tuple(part for part in key if not isinstance(part, OfKind))


def placed(key: Key) -> str:
    """Return a place as a message names it: in a file of its own, by that file's name and the keys in there."""
    for i, part in enumerate(key):
        if isinstance(part, InFile):
            return ": ".join(filter(None, (part, dotted(key[i + 1 :]))))
    return dotted(key)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    key: Key
    """Where, below what was checked."""

    sentence: str
    """What is wrong, and what to write instead, without a full stop; of what pydantic found, its own phrase."""

    value: object = None
    """What stands there."""

    type: str = "value_error"
    """What it is for pydantic. Defaults to what has a sentence of ours."""

    context: Mapping[str, Any] = field(default_factory=dict)
    """What pydantic knows of it besides."""

    @classmethod
    def all_of(cls, error: ValidationError) -> list[Problem]:
        """Return all that is wrong, with what stands for several taken apart."""
        found: list[Problem] = []
        for it in error.errors(include_url=False):
            context = it.get("ctx", {})
            match context.get("error"):
                case ProblemsError() as several:
                    found += below(it["loc"], several.problems)
                case ValueError() as ours if it["type"] == "value_error":
                    found.append(cls(it["loc"], str(ours), it["input"]))
                case _:
                    found.append(cls(it["loc"], it["msg"], it["input"], it["type"], context))
        return found

    def below(self, key: Key) -> Problem:
        """Return it as it is seen from further up."""
        return replace(self, key=(*key, *self.key))


class ProblemsError(ValueError):
    """Several things are wrong, each at a key of its own below what was checked.

    Attributes:
        problems: They.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep the problems; ``str()`` joins them by line breaks."""
        self.problems = tuple(problems)
        super().__init__("\n".join(": ".join(filter(None, (dotted(it.key), it.sentence))) for it in self.problems))


def below(key: Key, problems: Iterable[Problem]) -> list[Problem]:
    """Return problems that were found below a key, with their whole places."""
    return [it.below(key) for it in problems]


def checked(
    values: Mapping[Any, Any] | Sequence[Any], check: Callable[[Any, Any], Iterable[tuple[Any, Any]]]
) -> list[tuple[Any, Any]]:
    """Check each item, so that all that is wrong is said at once.

    Args:
        values: A mapping, or a list with its positions as keys.
        check: Returns the items that become of one, given its key and its value; raises ``ValueError``.

    Raises:
        ProblemsError: Something is wrong.
    """
    found: list[tuple[Any, Any]] = []
    problems = []
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        try:
            found += check(key, value)
        except ValueError as error:
            problems.append(Problem((key,), str(error)))
    if problems:
        raise ProblemsError(problems)
    return found


MOST_SENTENCES = 20
"""How many sentences somebody reads before correcting the first."""

_LONGEST_SENTENCE = 2000


class SettingsError(Exception):
    """The settings cannot be used.

    Attributes:
        messages: One sentence each: where, what is wrong, what to write instead. As many as somebody reads.
    """

    def __init__(self, messages: Sequence[str], left: int = 0) -> None:
        """Keep the sentences; ``str()`` joins them by line breaks.

        Args:
            messages: The sentences.
            left: How many more there would be. Defaults to none.
        """
        self.messages = few(messages, "{} more {are} wrong; correct these first.", left)
        super().__init__("\n".join(self.messages))


def few(sentences: Sequence[str], about_the_rest: str, left: int = 0) -> list[str]:
    """Return as many sentences as somebody reads, each of them no longer than a screen.

    Args:
        sentences: All of them.
        about_the_rest: A last sentence, with {} for how many are left and {are} for the verb.
        left: How many there are besides. Defaults to none.
    """
    kept = [it if len(it) <= _LONGEST_SENTENCE else f"{it[:_LONGEST_SENTENCE]} …" for it in sentences[:MOST_SENTENCES]]
    left += len(sentences) - len(kept)
    return [*kept, about_the_rest.format(left, are="is" if left == 1 else "are")] if left else kept


def likeliest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the known names that is most like a name, if any is.

    Args:
        name: What was written.
        known: What there is.
        cutoff: How much alike they must be, up to 1. Defaults to 0.6.
    """
    import difflib  # noqa: PLC0415 - where all names are known, nobody waits for it

    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None
