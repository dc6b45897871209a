"""``agents recreate``."""

from __future__ import annotations

import click

from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AUTO_APPROVE
from pve_agents.operator.deployment import Deployment, planned
from pve_agents.operator.describing import describe
from pve_agents.operator.going import the_one_that_goes
from pve_agents.operator.losses import kept_mounts, losses
from pve_agents.operator.output import Output
from pve_agents.operator.phases import Phases
from pve_agents.operator.project import open_project
from pve_agents.operator.rollout import deploy_into_a_new_one, reachable
from pve_agents.operator.stack import Planned
from pve_agents.operator.stopped import DONE, REFUSED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.unplanned import need_plans
from pve_agents.operator.verification import verify_all
from pve_agents.settings import Agent
from pve_agents.state_guard import CONTAINER
from pve_agents.volumes.wanted import attaches_volumes


@click.command
@click.argument("name", metavar="AGENT")
@AUTO_APPROVE
@click.option("--lose-rootfs", is_flag=True, help="whatever is on the root disk, and in volumes of its own, may go")
@click.option("--no-verify", is_flag=True, help="leave out the checks at the end")
def command(name: str, *, auto_approve: bool, lose_rootfs: bool, no_verify: bool) -> int:
    """Destroy an agent's container and make it again; what is in its pets and on the node stays.

    It is refused where something would be lost, which is named. Killed at any point, it is run again and goes on from there.
    Exit status: 0 all is well, 1 something failed, 2 wrong settings, 3 refused, 4 the node was not reached.
    """
    project, out = open_project(), Output()
    with Synthesis(project) as synthesis:
        (agent,) = project.chosen([name])
        _refuse(agent)
        # Before anything goes: that all can be planned, and root's way to the node is open.
        found = planned(project, out, [agent], synthesis)
    (deployment,) = found.agents
    if found.foundation and found.foundation.is_change:
        raise Stopped(f"what {name}'s volumes come from is to change first: run `agents up {name}`", status=REFUSED)
    if found.refusals:
        raise Stopped(*found.refusals, status=REFUSED)
    address = next(it for it in deployment.token.synthesized.addresses if it.startswith(f"{CONTAINER}."))
    going = _planned(deployment, "-destroy", f"-target={address}")
    lost = _lost(deployment, lose_rootfs=lose_rootfs)
    out.digest(describe(it) for it in going.changes)
    for line in (*lost, *kept_mounts(agent)):
        out.line(f"    {line}")
    approve(f"Type the agent's name to make it anew ({name})", auto_approve=auto_approve, word=name)
    phases = Phases(out, 3 + (2 if agent.started else 0) - (1 if agent.started and no_verify else 0))
    with phases.phase("container destroyed"):
        if going.is_change:
            apply(deployment.token, out, "destroyed")
        else:
            out.line("  it is not there")
    with phases.phase("container created"):
        if _planned(deployment, f"-target={address}").is_change:
            apply(deployment.token, out, "created")
    with phases.phase("volumes attached"):
        # What the token delivers itself belongs to the next phase.
        volumes = [f"-target={it}" for it in deployment.token.synthesized.addresses if attaches_volumes(it)]
        only = volumes if deployment.root is None else []
        if (deployment.root or only) and _planned(deployment, *only).is_change:
            apply(deployment.token, out, "attached")
    status = DONE
    if agent.started:
        with phases.phase("deployed into it"):
            deploy_into_a_new_one(deployment, out)
        if not no_verify:
            with phases.phase("verified"):
                status = verify_all([agent], project)
    phases.summary()
    for line in reachable(deployment) if status == DONE else ():
        out.line(line)
    return status


def _refuse(agent: Agent) -> None:
    """Stop where the settings say that the container is not to be made anew, or cannot be.

    Raises:
        Stopped: They do.
    """
    if agent.protect:
        sentence = f"agents.{agent.name}.protect is true: write protect: false into homelab.yaml, and run this again"
        raise Stopped(sentence, status=REFUSED)
    if agent.adopt:
        sentence = f"agents.{agent.name}.adopt is true, and a new container is not one to take over: leave it out, and run this again"
        raise Stopped(sentence, status=REFUSED)


def _lost(deployment: Deployment, *, lose_rootfs: bool) -> list[str]:
    """Return what is gone for good when the container that the plan destroys is, and nobody can bring back.

    Raises:
        Stopped: There is something, and it is not to go; or it is another container than the settings want.
    """
    agent = deployment.agent
    going = the_one_that_goes(deployment.token, deployment.volumes)
    if going is None:
        # What is gone already is not missed.
        return []
    if (going.node, going.vmid) != (agent.node, agent.vmid):
        raise Stopped(
            f"the container of {agent.name} is {going.vmid} on {going.node}, and the settings want {agent.vmid} on "
            f"{agent.node}: set vmid and node back, or have it moved by `agents up {agent.name}`",
            status=REFUSED,
        )
    lost = [*losses(agent), *going.unknown]
    if lost and not lose_rootfs:
        raise Stopped(
            f"{agent.name} would lose what lies in its container alone; nothing was done:",
            *(f"    {it}" for it in lost),
            "put it on a mount of kind pet or bind (docs/storage.md), or, if it may go, "
            f"`agents recreate {agent.name} --lose-rootfs`",
            status=REFUSED,
        )
    return lost


def _planned(deployment: Deployment, *options: str) -> Planned:
    """Plan the token stack anew.

    Raises:
        Stopped: It cannot be planned.
    """
    found = deployment.token.plan(*options)
    need_plans([(deployment.token, found)])
    return found
