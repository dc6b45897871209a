"""What the services keep, and which images run on it."""

from __future__ import annotations

from dataclasses import dataclass

from pve_agents.guest.work import Work

__all__ = ["Holding", "holdings"]


@dataclass(frozen=True)
class Holding:
    """A directory that another image may change, so that the one before cannot read it any more."""

    name: str
    """What its copy is called."""

    directory: str
    services: tuple[str, ...]
    """Who must stand still while it is copied."""

    images: tuple[str, ...]
    """What runs on it."""


def holdings(work: Work) -> list[Holding]:
    """Return all that the services keep: each agent's data, and that of all others together, whose images go together."""
    compose = work.compose
    runs = (compose.image.run,) if compose.image else ()
    found = [Holding(it.name, it.data_directory, (it.name,), runs) for it in compose.services]
    names = tuple(it.name for it in compose.sidecars)
    images = tuple(dict.fromkeys(it.image for it in compose.sidecars))
    return found + [Holding(it.name, it.directory, names, images) for it in compose.data]
