"""What only the operator knows, asked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pve_agents.settings import Agent

__all__ = ["NONE", "Answers", "Question", "SecretNote"]

NONE = "none"
"""The answer of those who want to do without."""

Answers = Mapping[str, str]
"""What was answered, by the names of the questions."""


@dataclass(frozen=True)
class Question:
    """A question, which is an option as well."""

    name: str
    """Name of the option, without its dashes."""
    text: str
    """What is asked, a sentence without its full stop."""
    default: Callable[[Agent], str]
    """Returns the answer of those who have none, from the agent's default settings."""


@dataclass(frozen=True)
class SecretNote:
    """What is to be known of a secret by who writes its value."""

    comment: str
    """A sentence about what it is."""
    generate: Callable[[], str] | None = None
    """Makes a value of its own, where nobody else has to know it. Defaults to none."""
