"""What a kind can find out before a deploy, of what its agents will ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from pydantic import SecretStr

from pve_agents import agents
from pve_agents.agents.kind import OfKind, own_kinds
from pve_agents.findings import Check
from pve_agents.problems import SettingsError

__all__ = ["Secret", "checks_of"]

Secret = Callable[[str], SecretStr]
"""Returns a secret of the agent by its name, while a check runs; an empty one where it has no value."""


def checks_of(agent: OfKind, secret: Secret) -> Sequence[Check]:
    """Return the checks of an agent's kind, by ``checks(agent, secret)`` in the kind's ``doctor.py``, if it has one.

    Raises:
        SettingsError: That cannot be imported, or fails.
    """
    if agent.section is None:
        return ()
    kind = agent.section.kind
    if not any(Path(place, kind, "doctor.py").is_file() for place in agents.__path__):
        return ()
    try:
        found: Sequence[Check] = import_module(f"{agents.__name__}.{kind}.doctor").checks(agent, secret)
    except Exception as error:
        if kind in own_kinds():
            raise
        raise SettingsError(
            [f"{kind}/doctor.py: checks() fails ({type(error).__name__}: {error}); correct it."]
        ) from None
    return found
