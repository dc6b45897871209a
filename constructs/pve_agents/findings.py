"""What can be asked before a deploy, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["SECONDS", "Check", "Finding", "Outcome", "Status", "failed", "ok", "parted", "skipped", "warning"]

SECONDS = 5.0
"""How long a check may take."""

Status = Literal["ok", "failed", "warning", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """What a check found."""

    status: Status
    detail: str
    remedy: str = ""
    """What to do, in lines that work as they are."""


def ok(detail: str) -> Outcome:
    """All is well."""
    return Outcome("ok", detail)


def failed(detail: str, remedy: str) -> Outcome:
    """A deploy would fail, or do something else than is meant."""
    return Outcome("failed", detail, remedy)


def warning(detail: str, remedy: str) -> Outcome:
    """It may be meant, or cannot be known from here."""
    return Outcome("warning", detail, remedy)


def skipped(detail: str) -> Outcome:
    """It was not looked at."""
    return Outcome("skipped", detail)


# What a sentence goes on with that tells somebody what to do.
_REMEDY = re.compile(
    r"(?:: |[.] |[?] )(?=`|(?:choose|correct|create|give|install|is|look|make|move|name|put|remove|run|set|start|try|use|wait|write)\b)",
    re.IGNORECASE,
)


def parted(sentence: str, otherwise: str) -> tuple[str, str]:
    """Part a sentence into what is wrong, and what to do.

    Args:
        sentence: The sentence.
        otherwise: The remedy of one that says only what is wrong.
    """
    if found := _REMEDY.search(sentence):
        return sentence[: found.start()], sentence[found.end() :]
    return sentence.rstrip("."), otherwise


@dataclass(frozen=True, eq=False)
class Check:
    """One thing to look at."""

    name: str
    ask: Callable[[], Outcome]
    """Looks, and changes nothing. It may run beside all others."""
    after: tuple[Check, ...] = ()
    """Those without which this one has no ground: it is skipped if one of them failed or was skipped."""
    seconds: float = SECONDS
    agent: str = ""
    """The agent that it is about. Defaults to none: all of them."""


@dataclass(frozen=True)
class Finding:
    """What came of a check."""

    name: str
    status: Status
    detail: str
    remedy: str
    seconds: float
    agent: str = ""
