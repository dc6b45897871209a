"""Values of a plan as plain data, and back: whatever does not belong there is refused."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping

__all__ = ["Json", "PlanError", "from_plain", "to_plain"]

Json = typing.Any
"""Plain data, which only the kind of agent can read that has written it."""


class PlanError(ValueError):
    """What was read is no plan; the message says where and why."""


def to_plain(value: Json) -> Json:
    """Return dataclasses as plain data; whatever has its default is left out."""
    if dataclasses.is_dataclass(value):
        fields = {it.name: (getattr(value, it.name), it) for it in dataclasses.fields(value)}
        return {name: to_plain(it) for name, (it, field) in fields.items() if it != _default(field)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(it) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(it) for it in value]
    return value


def _default(field: dataclasses.Field[Json]) -> Json:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def from_plain(kind: Json, data: Json, where: str) -> Json:
    """Return what plain data says, as the types want it.

    Args:
        kind: A dataclass, or the type of one of its fields.
        data: The data.
        where: Its place, for the message.

    Raises:
        PlanError: It does not fit.
    """
    if kind is Json:
        return data
    if dataclasses.is_dataclass(kind):
        return _read_fields(kind, data, where)
    origin: object = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is types.UnionType:
        return None if data is None else from_plain(arguments[0], data, where)
    if origin is tuple and isinstance(data, list):
        return tuple(from_plain(arguments[0], it, f"{where}[{at}]") for at, it in enumerate(data))
    if origin is Mapping and isinstance(data, dict):
        return {key: from_plain(arguments[1], it, f"{where}.{key}") for key, it in data.items()}
    if isinstance(kind, type) and type(data) is kind:
        return data
    raise PlanError(f"{where} is {json.dumps(data)[:40]}, which does not belong there")


def _read_fields(kind: Json, data: Json, where: str) -> Json:
    if not isinstance(data, dict):
        raise PlanError(f"{where} is {json.dumps(data)[:40]}, which does not belong there")
    hints = typing.get_type_hints(kind)
    if foreign := sorted(data.keys() - hints.keys()):
        raise PlanError(f"{where}.{foreign[0]} is not known here")
    needed = {it.name for it in dataclasses.fields(kind) if _default(it) is dataclasses.MISSING}
    if missing := sorted(needed - data.keys()):
        raise PlanError(f"{where}.{missing[0]} is missing")
    return kind(**{name: from_plain(hints[name], it, f"{where}.{name}") for name, it in data.items()})
