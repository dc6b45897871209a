"""Constructs that run AI agents in Proxmox VE containers.

What is imported from here is the public interface; everything else may change.
"""

from pve_agents.container import AgentContainer, Container, ExistingContainer
from pve_agents.host_step import Host, HostStep
from pve_agents.payload import GuestFile, Payload
from pve_agents.settings import (
    Agent,
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
    "Container",
    "Cpu",
    "Disk",
    "Dns",
    "ExistingContainer",
    "GuestFile",
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
