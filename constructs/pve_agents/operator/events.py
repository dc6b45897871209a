"""What Terraform says with ``-json``: what would change, what happens, and what went wrong, in a few words.

The format is Terraform's "Machine-Readable UI" (developer.hashicorp.com/terraform/internals/machine-readable-ui), which
OpenTofu has kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pve_agents.host.words import printable
from pve_agents.operator.output import lasted

__all__ = ["Change", "Diagnostic", "change_of", "diagnostic_of", "line_of", "output_of", "read_event"]

Event = Mapping[str, Any]

# A resource of these does nothing but run what it runs, which speaks for itself.
_SPEAK_FOR_THEMSELVES = ("null_resource", "terraform_data")
_LONGEST = 2000
_DOES = {"create": "creating", "update": "changing", "delete": "destroying", "read": "reading"}
_DID = {"create": "created", "update": "changed", "delete": "destroyed"}


@dataclass(frozen=True)
class Change:
    """What is planned for one resource."""

    address: str
    type: str
    action: str
    """``create``, ``update``, ``replace``, ``delete``, ``import``, ``move`` or ``forget``."""
    reason: str = ""
    """Why it is replaced or deleted, in Terraform's word."""


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning."""

    severity: str
    summary: str
    detail: str
    address: str = ""

    @property
    def is_of_a_program(self) -> bool:
        """Whether a program that Terraform has started failed, which has said so itself."""
        return self.summary == "local-exec provisioner error"


def read_event(line: str) -> Event:
    """Read a line; what is no event is something that is said."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    return event if isinstance(event, dict) else {"type": "text", "@message": line.rstrip("\n")}


def change_of(event: Event) -> Change | None:
    """Return what the event plans; none where it plans nothing."""
    if event.get("type") != "planned_change":
        return None
    change, resource = event["change"], event["change"]["resource"]
    # Whether it is changed as well, the settings decide.
    action = "import" if "importing" in change else change["action"]
    if action in ("noop", "read") or resource.get("resource_type") is None:
        return None
    return Change(resource["addr"], resource["resource_type"], action, change.get("reason", ""))


def diagnostic_of(event: Event) -> Diagnostic | None:
    """Return the error or the warning that the event is."""
    if event.get("type") != "diagnostic":
        return None
    found = event["diagnostic"]
    words = (str(found.get(key, "")) for key in ("severity", "summary", "detail", "address"))
    return Diagnostic(*(_shown(word) for word in words))


def line_of(event: Event) -> str | None:
    """Return what there is to see of something that happens, in a line; none where it is noise."""
    kind, hook = event.get("type"), event.get("hook", {})
    resource = hook.get("resource", {})
    if kind == "text":
        return _shown(str(event["@message"])) or None
    if kind == "provision_progress":
        said = str(hook.get("output", ""))
        # Terraform's own line about the command, whose words are no news.
        return None if said.startswith('Executing: ["') else _shown(said) or None
    if resource.get("resource_type") in _SPEAK_FOR_THEMSELVES:
        return None
    seconds, action = hook.get("elapsed_seconds", 0), hook.get("action", "")
    if kind == "apply_progress":
        return f"{resource['addr']} … {_DOES.get(action, action)}, {lasted(seconds)} so far"
    if kind == "apply_complete" and action in _DID:
        named = f" ({hook['id_value']})" if hook.get("id_value") and action == "create" else ""
        return f"{resource['addr']} … {_DID[action]}{named} {lasted(seconds)}"
    return None


def output_of(event: Event) -> Mapping[str, object]:
    """Return the stack's outputs, if the event is about them."""
    if event.get("type") != "outputs":
        return {}
    return {name: it["value"] for name, it in event["outputs"].items() if "value" in it and not it.get("sensitive")}


def _shown(text: str) -> str:
    """A text that no terminal obeys; line breaks stay."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text[:_LONGEST])
    return "\n".join(map(printable, plain.split("\n"))).strip("\n")
