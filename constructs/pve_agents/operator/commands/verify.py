"""``agents verify``."""

from __future__ import annotations

import signal

import click

from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.project import open_project
from pve_agents.operator.signals import ending_on
from pve_agents.operator.stopped import INTERRUPTED, Stopped
from pve_agents.operator.verification import verify_all


@click.command
@AGENTS
@click.option("--json", "as_json", is_flag=True, help="print one JSON document")
@click.option("--quiet", is_flag=True, help="print only what failed")
@click.option("--no-chat", is_flag=True, help="leave out the turn with the model")
def command(names: tuple[str, ...], *, as_json: bool, quiet: bool, no_chat: bool) -> int:
    """Ask the agents; look whether what they write shows on the host.

    It changes nothing: the probe that it writes to each workspace is removed again. Exit status: 0 no check failed, 1 one did,
    2 wrong settings, 4 the node was not reached.
    """
    if as_json and quiet:
        raise click.UsageError("--json and --quiet exclude each other: write one of them")
    try:
        # What it has written to workspaces is removed on the way out.
        with ending_on(signal.SIGTERM, signal.SIGHUP):
            project = open_project()
            return verify_all(project.chosen(names), project, chat=not no_chat, as_json=as_json, quiet=quiet)
    except KeyboardInterrupt:
        raise Stopped("interrupted; nothing was changed, and it can be run again", status=INTERRUPTED) from None
