"""The stand-in for hashicorp/null 3.2.4: a resource that only remembers its triggers."""

from __future__ import annotations

import random
from typing import Any

from tests.virtual_node.plugin import UNKNOWN, Diagnostics, Plan, Provider, Resource, State, serve

_ID = {"type": "string", "computed": True}
_STRINGS = {"type": ["map", "string"], "optional": True}
SCHEMA: dict[str, Any] = {
    "provider": {"block": {}},
    "resource_schemas": {"null_resource": {"block": {"attributes": {"id": _ID, "triggers": _STRINGS}}}},
    "data_source_schemas": {},
}


class NullResource(Resource):
    """`null_resource`: any change of its triggers replaces it."""

    def plan(self, prior: State | None, proposed: State, config: State, private: bytes, diags: Diagnostics) -> Plan:
        """Know the id of what is there already."""
        del config, diags
        changed = prior is not None and prior["triggers"] != proposed["triggers"]
        planned = {**proposed, "id": prior["id"] if prior else UNKNOWN}
        return Plan(planned, [("triggers",)] if changed else [], private)

    def create(self, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Make up an id."""
        del private, diags
        return {**planned, "id": str(random.getrandbits(63))}

    def read(self, state: State, private: bytes, diags: Diagnostics) -> tuple[State, bytes]:
        """Believe the state: there is nothing else."""
        del diags
        return state, private

    def update(self, prior: State, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Never called: nothing can change in place."""
        del prior, private, diags
        return planned

    def delete(self, state: State, diags: Diagnostics) -> None:
        """Forget it."""


class Null(Provider):
    """The provider `hashicorp/null`."""

    def __init__(self) -> None:
        """Offer the one resource."""
        self.schema = SCHEMA
        self.resources = {"null_resource": NullResource()}
        self.data_sources = {}


def main() -> None:
    """Be the plugin: this is what Terraform starts."""
    serve(Null())
