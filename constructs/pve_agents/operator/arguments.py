"""Arguments and options that several subcommands have."""

from __future__ import annotations

import click

AGENTS = click.argument("names", metavar="[AGENT]...", nargs=-1)
AUTO_APPROVE = click.option("--auto-approve", is_flag=True, help="do not ask")
