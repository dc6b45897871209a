"""How long a stop may take, from the agent outwards: whoever stands further out waits longer.

An agent that is killed in the middle of a write may lose its memory. Each layer below kills what it holds when its own
time is over, so that each has to be given more than the one inside it:

====================  =============================================================================================
gateway               the agent itself, under the supervisor of its Docker container
service               a Docker container: Compose's ``stop_grace_period``, and ``--timeout`` where Compose stops it
engine                Docker's daemon, when it is stopped itself: ``shutdown-timeout`` in daemon.json
unit                  systemd in the LXC container: ``TimeoutStopSec`` of docker.service
container             the LXC container: ``pct reboot --timeout``, and the node's shutdown (``startup``, ``down``)
provider              Terraform's provider: ``timeout_delete``, of which it gives the container five seconds less
====================  =============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SECONDS = 120
"""What an agent gets that may take 90 seconds by itself, with what is around it."""

NODE_SECONDS = 180
"""What a node that shuts down gives a container whose startup options do not say ``down`` (pve-manager, Nodes.pm)."""

PROVIDER_REBOOT_SECONDS = 300
"""What bpg/proxmox gives a container that it reboots, whatever the settings say (container.go)."""

_WITHIN_SERVICE, _ENGINE, _UNIT, _CONTAINER, _PROVIDER = 10, 15, 30, 60, 120

LEAST_SECONDS, MOST_SECONDS = 30, PROVIDER_REBOOT_SECONDS - _CONTAINER
"""Of a service. More would outlast a reboot by the provider."""


@dataclass(frozen=True)
class Stopping:
    """The times of one container, each in seconds."""

    agent: int = DEFAULT_SECONDS
    """What the Docker container of each agent may take; they stop at the same time."""

    others: tuple[int, ...] = ()
    """What each of the Docker containers beside them may take."""

    @property
    def gateway(self) -> int:
        """What the agent itself may take; its supervisor needs the rest."""
        return self.agent - _WITHIN_SERVICE

    @property
    def service(self) -> int:
        """The longest that any Docker container may take."""
        return max(self.agent, *self.others, 0)

    @property
    def services(self) -> int:
        """What all may take together, since those that depend on each other stop one after the other."""
        return self.agent + sum(self.others)

    @property
    def engine(self) -> int:
        """What Docker's daemon may take to stop."""
        return self.service + _ENGINE

    @property
    def unit(self) -> int:
        """What systemd gives Docker's daemon."""
        return self.service + _UNIT

    @property
    def container(self) -> int:
        """What the LXC container may take to stop."""
        return self.service + _CONTAINER

    @property
    def provider(self) -> int:
        """What the provider may take to stop and delete the container."""
        return self.service + _PROVIDER
