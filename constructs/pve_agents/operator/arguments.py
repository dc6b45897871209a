"""Arguments and options that several subcommands have."""

from __future__ import annotations

import click

from pve_agents.root_spec import STEPS

AGENTS = click.argument("names", metavar="[AGENT]...", nargs=-1)
ONLY = click.option(
    "--only", "steps", metavar="STEP", multiple=True, type=click.Choice(list(STEPS)), help="can be repeated"
)
AUTO_APPROVE = click.option("--auto-approve", is_flag=True, help="do not ask")
