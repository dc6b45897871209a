"""Constructs that run AI agents in Proxmox VE containers.

What is imported from here is the public interface; everything else may change.
"""

from pve_agents.agents.hermes.agent import HermesAgent
from pve_agents.container import AgentContainer, Container, ExistingContainer
from pve_agents.host_step import Host, HostStep
from pve_agents.payload import GuestFile, GuestPayload, Payload
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
