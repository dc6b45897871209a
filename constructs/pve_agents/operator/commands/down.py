"""``agents down``."""

from __future__ import annotations

import click

from pve_agents.node_api import access
from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AUTO_APPROVE
from pve_agents.operator.describing import describe
from pve_agents.operator.going import the_one_that_goes
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.stack import Stack
from pve_agents.operator.stopped import REFUSED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.unplanned import need_plans
from pve_agents.operator.volumes import Volumes
from pve_agents.privileges import Wanted, why_keep_template
from pve_agents.settings import Agent
from pve_agents.state_guard import CONTAINER
from pve_agents.volume_spec import wanted_volumes


@click.command
@click.argument("name", metavar="AGENT")
@AUTO_APPROVE
@click.option("--template", is_flag=True, help="delete the file of the template, too")
def command(name: str, *, auto_approve: bool, template: bool) -> int:
    """Destroy an agent's container; say first what stays.

    The agent's name is to be typed. The directories of the node and the template stay. Exit status: 0 done, 1 failed, 2 wrong
    settings, 3 refused, 4 the node was not reached.
    """
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        (agent,) = project.chosen([name])
        if agent.protect:
            raise Stopped(
                f"agents.{name}.protect is true: write protect: false into homelab.yaml, and run this again",
                status=REFUSED,
            )
        if template and (why := why_keep_template(access(project.of_the_token), Wanted.by(agent))):
            raise Stopped(why, status=REFUSED)
        stacks = synthesis.stacks()
    by_name = f"{name}-root"
    root = Stack(by_name, stacks[by_name], project.of_root) if by_name in stacks else None
    token = Stack(name, stacks[name], project.of_the_token)
    # What root has attached is taken back before its container goes.
    found = [(root, root.plan("-destroy"), "taken back")] if root else []
    options = [] if template else _without_template(token)
    found.append((token, token.plan("-destroy", *options), "destroyed"))
    need_plans((stack, planned) for stack, planned, _ in found)
    # Looked at before root's part stops the agent.
    going = the_one_that_goes(token, Volumes(wanted_volumes(agent, project.homelab.storage), project.of_the_token))
    changing = [(stack, did) for stack, planned, did in found if planned.is_change]
    if not changing:
        out.line(f"{name} is not there: nothing to destroy")
        return 0
    out.digest(describe(it) for _, planned, _ in found for it in planned.changes)
    for line in (*(going.unknown if going else ()), *_stays(agent, template=template)):
        out.line(f"    {line}")
    approve(f"Type the agent's name to destroy it ({name})", auto_approve=auto_approve, word=name)
    for stack, did in changing:
        apply(stack, out, did)
    return 0


def _without_template(stack: Stack) -> list[str]:
    """The options that leave the template: what depends on the container goes with it."""
    return [f"-target={address}" for address in stack.synthesized.addresses if address.startswith(f"{CONTAINER}.")]


def _stays(agent: Agent, *, template: bool) -> list[str]:
    """What is there afterwards."""
    stays = [mount.at_destroy(key, agent.node) for key, mount in agent.mounts.items()]
    if agent.template.url and not template:
        stays.append(f"the template stays on {agent.template.datastore}: --template deletes it, too")
    return [*stays, f"the settings stay: `agents up {agent.name}` makes a new container, without this one's memory"]
