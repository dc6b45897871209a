"""What a kind asks before its first deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from pve_agents import agents
from pve_agents.agents.kind import default_agents
from pve_agents.problems import SettingsError
from pve_agents.questions import Answers, Question, SecretNote

__all__ = ["Introduction", "introduced", "introduction_of"]


@dataclass(frozen=True)
class Introduction:
    """What ``<kind>/init.py`` has, as ``INTRODUCTION``."""

    questions: Sequence[Question] = ()
    """What is asked."""
    section: Callable[[Answers, Answers], Mapping[str, Any]] = lambda _answers, _defaults: {}
    """Returns the section that the answers make: what differs from the defaults, the other argument."""
    secrets: Mapping[str, SecretNote] = field(default_factory=dict)
    """What is to be known of the kind's secrets, by their names."""


def introduced() -> str:
    """Return the default agent that a newcomer begins with: the first whose kind asks something, or the first of all."""
    names = default_agents()
    return next((it for it in names if _has_one(it)), names[0])


def introduction_of(kind: str) -> Introduction:
    """Return what a kind asks; nothing, if it has no ``init.py``.

    Raises:
        SettingsError: That cannot be imported, or holds something else.
    """
    if not _has_one(kind):
        return Introduction()
    try:
        found = import_module(f"{agents.__name__}.{kind}.init").INTRODUCTION
    except Exception as error:  # noqa: BLE001 - whatever a file of the operator's does
        raise SettingsError(
            [f"{kind}/init.py: INTRODUCTION cannot be read ({type(error).__name__}: {error}); correct it."]
        ) from None
    if not isinstance(found, Introduction):
        raise SettingsError([f"{kind}/init.py: INTRODUCTION is {type(found).__name__}; write an Introduction."])
    return found


def _has_one(kind: str) -> bool:
    return any(Path(place, kind, "init.py").is_file() for place in agents.__path__)
