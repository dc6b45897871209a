"""The steps as root that several subcommands can be confined to."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pve_agents.root_spec import STEPS

__all__ = ["ONLY", "only"]

ONLY = click.option(
    "--only", "steps", metavar="STEP", multiple=True, type=click.Choice(list(STEPS)), help="can be repeated"
)


def only(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the chosen steps, or all."""
    return tuple(steps or STEPS)
