"""Where the descriptions in the JSON Schema come from."""

from __future__ import annotations

from pve_agents.described import Described, docstrings
from pve_agents.model import Model


class Plain(Model):
    """A model."""

    cores: int = 2
    """Cores that the container sees.

    Two lines.
    """

    silent: int = 0


class Inheriting(Plain):
    limit: int = 0
    """CPU time."""

    cores: int = 4


def test_a_fields_docstring_is_its_description() -> None:
    assert docstrings(Plain)["cores"] == "Cores that the container sees.\n\nTwo lines."


def test_a_field_without_one_has_none() -> None:
    properties = Plain.model_json_schema(schema_generator=Described)["properties"]
    assert {name: field.get("description") for name, field in properties.items()} == {
        "cores": "Cores that the container sees.\n\nTwo lines.",
        "silent": None,
    }


def test_what_is_inherited_keeps_its_description() -> None:
    properties = Inheriting.model_json_schema(schema_generator=Described)["properties"]
    assert properties["limit"]["description"] == "CPU time."
    assert properties["cores"]["description"] == "Cores that the container sees.\n\nTwo lines."
