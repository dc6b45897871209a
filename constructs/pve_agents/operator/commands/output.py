"""``agents output``."""

from __future__ import annotations

import json

import click

from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.stack import Stack
from pve_agents.operator.synth import Synthesis


@click.command
@AGENTS
@click.option("--json", "as_json", is_flag=True, help="print one JSON document")
def command(names: tuple[str, ...], *, as_json: bool) -> int:
    """Print the outputs: VMID, hostname, address."""
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        agents, stacks = project.chosen(names), synthesis.stacks()
    found = {it.name: Stack(it.name, stacks[it.name], project.of_the_token).read_outputs() for it in agents}
    if as_json:
        out.line(json.dumps(found, indent=2))
        return 0
    for name, outputs in found.items():
        for key, value in outputs.items():
            out.line(f"{key} = {value}")
        if not outputs:
            out.line(f"{name} has no outputs yet: run `agents up {name}`")
    return 0
