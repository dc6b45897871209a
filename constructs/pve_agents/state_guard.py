"""Looks at what a state holds before Terraform does: whoever can write it must get no guest of others destroyed."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_agents.types import NodeName, Vmid, shown

CONTAINER = "proxmox_virtual_environment_container"
# The second one is the name of before, under which older states hold it.
FILES = ("proxmox_download_file", "proxmox_virtual_environment_download_file")
_TEMPLATE = re.compile(r"[A-Za-z][\w.-]*:vztmpl/[^/]+")
_PLAIN = re.compile(r"[A-Za-z0-9_][\w.-]*")


@dataclass(frozen=True)
class StateGuard:
    """What a stack's state may hold of Proxmox VE.

    Terraform destroys what a state holds and the configuration does not: a resource of another name, a second instance,
    a deposed object, a tainted one. No condition and no ``prevent_destroy`` is asked about any of them.
    """

    stack: str
    """The stack's name."""

    container: str | None = None
    """Name of its container's resource. Defaults to none, and then it holds nothing of Proxmox VE."""

    node_name: NodeName = ""
    """The container's node."""

    vmid: Vmid = 0
    """The container's VMID."""

    def problems(self, state: object) -> list[str]:
        """What the state holds and must not, a sentence each."""
        return [
            f"the state of stack {self.stack} holds {what}, which the next deploy would destroy, and this project did "
            f"not put there: put back a copy of the state" + self._forget(kind, name) + self._how_to_adopt()
            for kind, name, what in self._foreign(state)
        ]

    def warnings(self, state: object) -> list[str]:
        """What is worth knowing before the plan, a sentence each."""
        if not any(self._is_ours(it) and it.get("status") == "tainted" for _, _, it in _instances(state)):
            return []
        terraform = f"pipenv run terraform -chdir=cdktf.out/stacks/{self.stack}"
        sentence = (
            f"the container is tainted: a deploy was cut short after it had been made, and the next one would replace "
            f"it, which protect: true refuses (Instance cannot be destroyed). Look at it in the web interface. If it is "
            f"whole, run {terraform} untaint {CONTAINER}.{self.container} and deploy; if not, set protect: false and "
            f"deploy"
        )
        return [sentence]

    def _foreign(self, state: object) -> Iterator[tuple[str, str, str]]:
        for kind, name, instance in _instances(state):
            named = instance["attributes"]
            what = f"{shown(kind)} {shown(name)} with the id {shown(named.get('id'))} on node {shown(named.get('node_name'))}"
            plain = not instance["module"] and instance.get("index_key") is None and not instance.get("deposed")
            if kind == CONTAINER and name == self.container and plain:
                if instance.get("status") == "tainted" and not self._is_ours(instance):
                    yield kind, name, f"{what}, marked as tainted"
            elif not (self.container and kind in FILES and plain and _TEMPLATE.fullmatch(str(named.get("id")))):
                yield kind, name, what

    def _is_ours(self, instance: Mapping[str, Any]) -> bool:
        named = instance["attributes"]
        return (str(named.get("id")), named.get("node_name")) == (str(self.vmid), self.node_name)

    def _how_to_adopt(self) -> str:
        """What is right where the state is that of a repository of before."""
        if not self.container:
            return ""
        return f"; the state of an older repository belongs elsewhere, and `agents adopt {self.stack} --state FILE` reads it"

    def _forget(self, kind: str, name: str) -> str:
        if not (_PLAIN.fullmatch(kind) and _PLAIN.fullmatch(name)):
            return ""
        address = shlex.quote(f"{kind}.{name}")
        return f"; or let Terraform forget it: pipenv run terraform -chdir=cdktf.out/stacks/{self.stack} state rm {address}"


def _instances(state: object) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Type, name and object of everything of Proxmox VE; what is no state at all, Terraform itself refuses."""
    resources = state.get("resources") if isinstance(state, dict) else None
    for resource in resources if isinstance(resources, list) else []:
        if not isinstance(resource, dict) or resource.get("mode") != "managed":
            continue
        kind, name, instances = str(resource.get("type")), str(resource.get("name")), resource.get("instances")
        if not kind.startswith("proxmox") and "/proxmox" not in str(resource.get("provider")):
            continue
        for instance in instances if isinstance(instances, list) else []:
            if isinstance(instance, dict):
                attributes = instance.get("attributes")
                known = attributes if isinstance(attributes, dict) else {}
                yield kind, name, {**instance, "attributes": known, "module": resource.get("module")}


def read_state(file: Path) -> object:
    """What a state file holds; nothing where there is none that can be read."""
    try:
        return json.loads(file.read_text()) if file.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
