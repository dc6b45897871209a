"""Constructs that run AI agents in Proxmox VE containers.

What is imported from here is the public interface; everything else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pve_agents.agents.hermes.agent import HermesAgent
    from pve_agents.container import AgentContainer, Container, ExistingContainer
    from pve_agents.guest_payload import GuestPayload
    from pve_agents.host_step import Host, HostStep
    from pve_agents.payload import GuestFile, Payload
    from pve_agents.settings import (
        Agent,
        BindMount,
        Cpu,
        Disk,
        Dns,
        Homelab,
        Memory,
        Network,
        SettingsError,
        Startup,
        Template,
        load_settings,
    )
    from pve_agents.template import LxcTemplate
    from pve_agents.token_check import TokenCheck
    from pve_agents.vmid_guard import VmidGuard

__all__ = [
    "Agent",
    "AgentContainer",
    "BindMount",
    "Container",
    "Cpu",
    "Disk",
    "Dns",
    "ExistingContainer",
    "GuestFile",
    "GuestPayload",
    "HermesAgent",
    "Homelab",
    "Host",
    "HostStep",
    "LxcTemplate",
    "Memory",
    "Network",
    "Payload",
    "SettingsError",
    "Startup",
    "Template",
    "TokenCheck",
    "VmidGuard",
    "load_settings",
]

# With cdktf comes a Node process, for which who only reads the settings need not wait: each module is imported when
# something of it is asked for.
_MODULES = (
    *("settings", "payload", "guest_payload", "container", "template", "token_check", "vmid_guard", "host_step"),
    "agents.hermes.agent",
)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name from where it is."""
        if name in __all__:
            for module in map(import_module, (f"pve_agents.{it}" for it in _MODULES)):
                if name in vars(module):
                    globals()[name] = vars(module)[name]
                    return vars(module)[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
