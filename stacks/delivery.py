"""What gets an agent's files, secrets and bootstrap into its container, as steps of a stack."""

from __future__ import annotations

from collections.abc import Sequence

from cdktf import Annotations, ITerraformDependable, TerraformResource
from cdktf_cdktf_provider_null.provider import NullProvider
from constructs import Construct

from pve_agents import Agent, GuestPayload, Host, HostStep
from pve_agents.root_spec import payload_of, root_spec, steps_of


def deliver(
    stack: Construct,
    agent: Agent,
    *,
    made_for: TerraformResource | None = None,
    after: Sequence[ITerraformDependable] = (),
) -> None:
    """Add the steps that the agent's delivery takes, in their order.

    Args:
        stack: The stack.
        agent: The agent's settings.
        made_for: The container, where it is in the same stack. Defaults to none.
        after: What the container has to have before, in the same stack. Defaults to nothing.
    """
    NullProvider(stack, "null")
    for sentence in agent.warnings:
        Annotations.of(stack).add_warning(sentence)
    content = GuestPayload(stack, "payload", name=agent.name, payload=payload_of(agent))
    host = Host(stack, "host", spec=root_spec(agent, content.payload, archive=content.path))
    previous: list[ITerraformDependable] = [*([made_for] if made_for else []), *after]
    for step, owns in steps_of(agent).items():
        name = f"{agent.name}_{step.replace('-', '_')}"
        added = HostStep(stack, name, host=host, step=step, owns=owns, depends_on=previous, made_for=made_for)
        previous = [added.resource]
