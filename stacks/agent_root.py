"""The stack of one agent under root credentials: what no API token may do."""

from __future__ import annotations

from cdktf import Annotations, ITerraformDependable, TerraformStack
from cdktf_cdktf_provider_null.provider import NullProvider
from constructs import Construct

from pve_agents import Agent, GuestPayload, Host, HostStep
from pve_agents.root_spec import STEPS, payload_of, root_spec
from pve_agents.settings import Backend
from pve_agents.state_guard import StateGuard
from stacks.backend import store_state


class AgentRootStack(TerraformStack):
    """Host directories, mount points, ``keyctl``, devices, and the delivery of payload, secrets and bootstrap.

    It shares nothing with the agent's other stack but the settings, and deploys in a process that needs no API token.
    How it reaches the host as root is said by ``PVE_TRANSPORT``.
    """

    def __init__(self, scope: Construct, id_: str, *, agent: Agent, backend: Backend) -> None:
        """Wire the steps, in their order.

        Args:
            scope: The app.
            id_: The stack's name: the agent's and ``-root``.
            agent: Its settings.
            backend: Where Terraform keeps the state.
        """
        super().__init__(scope, id_)
        store_state(self, backend, StateGuard(id_))
        NullProvider(self, "null")

        for sentence in agent.warnings:
            Annotations.of(self).add_warning(sentence)
        content = GuestPayload(self, "payload", name=agent.name, payload=payload_of(agent))
        spec = root_spec(agent, content.payload, archive=content.path)
        host = Host(self, "host", spec=spec)
        previous: list[ITerraformDependable] = []
        for step, owns in STEPS.items():
            name = f"{agent.name}_{step.replace('-', '_')}"
            previous = [HostStep(self, name, host=host, step=step, owns=owns, depends_on=previous).resource]
