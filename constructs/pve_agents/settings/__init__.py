"""The settings: ``homelab.yaml`` and ``HOMELAB_...`` variables, read into frozen models.

Every setting has a default but the VMID of an agent that no kind brings along, and the paths of a mount or device.
A variable such as ``HOMELAB_AGENTS__LIBRARIAN__VMID=119`` overrides one key of the file; its value is read as JSON where
it is JSON (``119``, ``true``, ``null``, ``["ai", "agent"]``) and as text otherwise. An agent's hyphens become
underscores in a variable's name.

``python -m pve_agents.settings`` prints the JSON Schema of the file, for editors.
"""

from pve_agents.problems import SettingsError
from pve_agents.settings.agent import Agent
from pve_agents.settings.backend import Backend, HttpBackend, LocalBackend, PgBackend, S3Backend
from pve_agents.settings.container import Cpu, Disk, Dns, Memory, Network, Startup, Template
from pve_agents.settings.homelab import Homelab
from pve_agents.settings.load import load_settings
from pve_agents.settings.mounts import DirectoryMount, Mount, PetMount, VolumeMount
from pve_agents.settings.pets import Storage, StoredVolume
from pve_agents.settings.storage import BindMount, Device

__all__ = [
    "Agent",
    "Backend",
    "BindMount",
    "Cpu",
    "Device",
    "DirectoryMount",
    "Disk",
    "Dns",
    "Homelab",
    "HttpBackend",
    "LocalBackend",
    "Memory",
    "Mount",
    "Network",
    "PetMount",
    "PgBackend",
    "S3Backend",
    "SettingsError",
    "Startup",
    "Storage",
    "StoredVolume",
    "Template",
    "VolumeMount",
    "load_settings",
]
