"""Constructs that run AI agents in Proxmox VE containers.

What is imported from here is the public interface; everything else may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pve_agents.container import AgentContainer
    from pve_agents.guest_payload import GuestPayload
    from pve_agents.host_step import Host, HostStep
    from pve_agents.payload import GuestFile, Payload
    from pve_agents.pet_storage import PetStorage
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
    from pve_agents.volume_mounts import VolumeMounts

__all__ = [
    "Agent",
    "AgentContainer",
    "BindMount",
    "Cpu",
    "Disk",
    "Dns",
    "GuestFile",
    "GuestPayload",
    "Homelab",
    "Host",
    "HostStep",
    "LxcTemplate",
    "Memory",
    "Network",
    "Payload",
    "PetStorage",
    "SettingsError",
    "Startup",
    "Template",
    "TokenCheck",
    "VmidGuard",
    "VolumeMounts",
    "load_settings",
]

# With cdktf comes a Node process, for which who only reads the settings need not wait: each module is imported when
# something of it is asked for. What stands in none of these comes from the settings.
_MODULES = {
    "AgentContainer": "container",
    "GuestFile": "payload",
    "GuestPayload": "guest_payload",
    "Host": "host_step",
    "HostStep": "host_step",
    "LxcTemplate": "template",
    "Payload": "payload",
    "PetStorage": "pet_storage",
    "TokenCheck": "token_check",
    "VmidGuard": "vmid_guard",
    "VolumeMounts": "volume_mounts",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name from where it is."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'settings')}"), name)
        globals()[name] = value
        return value
