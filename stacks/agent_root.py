"""The stack of one agent under root credentials: what no API token may do."""

from __future__ import annotations

from cdktf import TerraformStack
from constructs import Construct

from pve_agents.settings import Agent, Backend
from pve_agents.state_guard import StateGuard
from stacks.backend import store_state
from stacks.delivery import deliver


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
        deliver(self, agent)
