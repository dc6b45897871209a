"""``agents target``."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AUTO_APPROVE
from pve_agents.operator.describing import describe
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.stack import Stack
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.words import explained

_INSTANCE = re.compile(r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]$')
_DID = {"apply": "applied", "destroy": "destroyed"}


@click.command
@click.argument("stack_name", metavar="STACK")
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option("--plan", "action", flag_value="plan", default="plan", help="only show what would change (the default)")
@click.option("--apply", "action", flag_value="apply", help="make it so")
@click.option("--destroy", "action", flag_value="destroy", help="destroy them, and what depends on them")
@AUTO_APPROVE
def command(stack_name: str, addresses: tuple[str, ...], *, action: str, auto_approve: bool) -> int:
    """Plan, apply or destroy a few resources of one stack.

    An address is TYPE.NAME, such as proxmox_virtual_environment_container.librarian; one with an instance key is quoted.
    """
    if action == "plan" and auto_approve:
        raise click.UsageError("--auto-approve goes with --apply or --destroy")
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        by_root = {f"{name}-root" for name in project.homelab.agents}
        stacks = synthesis.stacks()
    if stack_name not in stacks:
        raise Stopped(f"there is no stack {stack_name}; there are:{_listed(stacks)}")
    stack = Stack(stack_name, stacks[stack_name], project.of_root if stack_name in by_root else project.of_the_token)
    # Terraform takes an unknown address for "No changes".
    known = stack.synthesized.addresses
    if unknown := [address for address in addresses if _INSTANCE.sub("", address) not in known]:
        raise Stopped(f"{stack_name} has no {' and no '.join(unknown)}; it has:{_listed(known)}")
    reach = "what depends on it" if action == "destroy" else "what it depends on"
    out.line(f"{action} of {', '.join(addresses)} and {reach}; the rest of {stack_name} is left")
    found = stack.plan(*(f"-target={it}" for it in addresses), *(["-destroy"] if action == "destroy" else []))
    if problems := explained(stack_name, found.diagnostics):
        raise Stopped(*problems, status=FAILED)
    out.digest(describe(it) for it in found.changes)
    if not found.is_change:
        out.line("    no changes")
    elif action != "plan":
        approve("Do it?", auto_approve=auto_approve)
        apply(stack, out, _DID[action])
    return 0


def _listed(names: Iterable[str]) -> str:
    return "".join(f"\n  {name}" for name in sorted(names)) or " nothing"
