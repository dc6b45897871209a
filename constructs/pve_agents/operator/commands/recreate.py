"""``agents recreate``."""

from __future__ import annotations

import click

from pve_agents.operator.approval import apply, approve
from pve_agents.operator.arguments import AUTO_APPROVE
from pve_agents.operator.deployment import Deployment, describe, planned
from pve_agents.operator.losses import kept_mounts, losses
from pve_agents.operator.output import Output
from pve_agents.operator.phases import Phases
from pve_agents.operator.project import open_project
from pve_agents.operator.rollout import deploy_into_a_new_one, reachable
from pve_agents.operator.stack import Planned
from pve_agents.operator.stopped import DONE, REFUSED, Stopped
from pve_agents.operator.synth import Synthesis
from pve_agents.operator.verification import verify_all
from pve_agents.operator.words import explained
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
        if agent.protect:
            sentence = f"agents.{name}.protect is true: write protect: false into homelab.yaml, and run this again"
            raise Stopped(sentence, status=REFUSED)
        # Before anything goes: that all can be planned, and root's way to the node is open.
        (deployment,) = planned(project, out, [agent], synthesis).agents
    lost = _lost(deployment, lose_rootfs=lose_rootfs)
    if deployment.refusals:
        raise Stopped(*(f"{name}: {it}" for it in deployment.refusals), status=REFUSED)
    address = next(it for it in deployment.token.synthesized.addresses if it.startswith(f"{CONTAINER}."))
    going = _planned(deployment, "-destroy", f"-target={address}")
    out.digest(describe(it) for it in going.changes)
    for line in (*lost, *kept_mounts(agent)):
        out.line(f"    {line}")
    approve(f"Type the agent's name to make it anew ({name})", auto_approve=auto_approve, word=name)
    phases = Phases(out, 3 + (2 if agent.started else 0) - (1 if agent.started and no_verify else 0))
    with phases.phase("container destroyed"):
        if going.is_change:
            # The plan that was shown; another one was made since.
            _planned(deployment, "-destroy", f"-target={address}")
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


def _lost(deployment: Deployment, *, lose_rootfs: bool) -> list[str]:
    """Return what is gone for good when the container is, and nobody can bring back.

    Raises:
        Stopped: There is something, and it is not to go.
    """
    name = deployment.agent.name
    lost = [*losses(deployment.agent), *deployment.volumes.unknown()]
    if lost and not lose_rootfs:
        raise Stopped(
            f"{name} would lose what lies in its container alone; nothing was done:",
            *(f"    {it}" for it in lost),
            "put it on a mount of kind pet or bind (docs/storage.md), or, if it may go, "
            f"`agents recreate {name} --lose-rootfs`",
            status=REFUSED,
        )
    return lost


def _planned(deployment: Deployment, *options: str) -> Planned:
    """Plan the token stack anew.

    Raises:
        Stopped: It cannot be planned.
    """
    found = deployment.token.plan(*options)
    if found.is_refused:
        raise Stopped(*explained(deployment.token.name, found.diagnostics), status=REFUSED)
    return found
