"""A JSON Schema in which each key is described by the docstring below its field.

The docstrings are read from the source, and only for the schema: pydantic's ``use_attribute_docstrings`` would do so
for each model of each synth.
"""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pve_agents.model import Model

__all__ = ["Described", "docstrings"]


class Described(GenerateJsonSchema):
    """Describes each key, and gives it no title of its own."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - as inherited
        """Say no: a title would only repeat the key."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model, with the docstrings of its fields."""
        described = super().model_schema(schema)
        texts = docstrings(schema["cls"])
        for name, field in described.get("properties", {}).items():
            if name in texts:
                field["description"] = texts[name]
        return described


def docstrings(model: type[Any]) -> dict[str, str]:
    """Return what stands below the fields of a model, by their names."""
    texts: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, Model):
            body = _classes(cls.__module__)[cls.__name__]
            for field, below in pairwise(body):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        texts[name] = inspect.cleandoc(text)
    return texts


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """Return the bodies of a module's classes."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}
