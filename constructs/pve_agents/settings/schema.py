"""The JSON Schema of ``homelab.yaml``, for editors."""

from typing import Any

from pydantic import TypeAdapter

from pve_agents.agents.kind import default_agents
from pve_agents.described import Described
from pve_agents.settings.file import FILE
from pve_agents.settings.homelab import Homelab
from pve_agents.types import AgentName

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``homelab.yaml``, for editors."""
    schema = Homelab.model_json_schema(schema_generator=Described)
    agent = schema["$defs"]["Agent"]
    del agent["properties"]["name"], agent["required"]
    agent["properties"] = {
        key: field
        for name, property_ in agent["properties"].items()
        for key, field in (property_["properties"] if name == "section" else {name: property_}).items()
    }
    reference = {"$ref": "#/$defs/Agent"}
    schema["properties"]["agents"] |= {
        "default": {name: {} for name in default_agents()},
        "minProperties": 1,
        "propertyNames": {**TypeAdapter(AgentName).json_schema(), "not": {"pattern": "-root$"}},
        "properties": dict.fromkeys(default_agents(), reference),
        "additionalProperties": {"allOf": [reference, {"required": ["vmid"]}]},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": FILE}
