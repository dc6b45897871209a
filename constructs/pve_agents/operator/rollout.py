"""What several commands do with deployments: refuse what would be lost, deploy, say where an agent is."""

from __future__ import annotations

from collections.abc import Sequence

from pve_agents.agents.app import app_of
from pve_agents.operator.approval import apply
from pve_agents.operator.deployment import Deployment
from pve_agents.operator.output import Output
from pve_agents.operator.stopped import REFUSED, Stopped

__all__ = ["deploy", "deploy_into_a_new_one", "reachable", "refuse_what_is_lost"]


def refuse_what_is_lost(deployments: Sequence[Deployment], allowed: Sequence[str]) -> None:
    """Stop where a container would go that nobody has named.

    Raises:
        Stopped: It would.
    """
    lost = [(it.agent.name, going) for it in deployments if it.agent.name not in allowed for going in it.going]
    if lost:
        sentences = [
            f"container {it.vmid} of {name} would be destroyed or made anew, with all that is "
            f"{' and in '.join(['on its root disk', *it.owned])}: nothing was done. If that is what you want, `agents up {name} "
            f"--allow-replace {name}`"
            for name, it in lost
        ]
        raise Stopped(*sentences, status=REFUSED)


def deploy(deployment: Deployment, out: Output) -> None:
    """Deploy an agent's stacks, one after the other.

    Raises:
        Stopped: One of them failed.
    """
    if deployment.by_token.is_change:
        apply(deployment.token, out, "deployed")
    volumes = deployment.volumes
    if volumes.is_unseen:
        volumes.see()
    if has_attached := bool(volumes.plan.actions):
        volumes.attach(lambda line: out.line(f"  [{deployment.agent.name}] {line}"))
    # In a container that is to be stopped, root can do nothing.
    if not deployment.agent.started:
        return
    if deployment.root and deployment.by_root and deployment.by_root.is_change:
        apply(deployment.root, out, "deployed")
        return
    # A container that has just been started was seen from outside alone.
    _mend(deployment, again=deployment.by_token.is_change or has_attached)


def deploy_into_a_new_one(deployment: Deployment, out: Output) -> None:
    """Deploy into a container that was just made, of which the state of the stack that delivers may know nothing.

    Raises:
        Stopped: It failed.
    """
    stack = deployment.root or deployment.token
    if stack.plan().is_change:
        apply(stack, out, "deployed")
    _mend(deployment, again=True)


def _mend(deployment: Deployment, *, again: bool) -> None:
    """Run as root what Terraform knows of no need for, where the node is not as it should be."""
    look = deployment.look
    due = look.see() if again else look.plan
    if (due.commands or due.refusals) and (status := look.mend()):
        raise Stopped(f"{deployment.agent.name}: the node could not be mended", status=status)


def reachable(deployment: Deployment) -> list[str]:
    """Return where the agent is, and what to do with it, a line each."""
    agent = deployment.agent
    if not agent.started:
        return [f"{agent.name}'s container {agent.vmid} on {agent.node} is stopped, as the settings want it"]
    outputs = deployment.token.outputs or deployment.token.read_outputs()
    address = str(outputs.get(f"{agent.name}_ipv4") or agent.hostname)
    steps = (f"  {it.replace('{address}', address)}" for it in app_of(agent).next_steps)
    return [f"{agent.name} runs in container {agent.vmid} on {agent.node} at {address}", *steps]
