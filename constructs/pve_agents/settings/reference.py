"""Every setting on one page, from the same models as the JSON Schema."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pve_agents.settings.file import FILE
from pve_agents.settings.schema import json_schema

__all__ = ["reference"]

_HEAD = f"""\
# All settings

Every key of `{FILE}`, as the models have it. This page is generated; change the docstring below the field, and run
`pipenv run python -m pve_agents.settings reference > docs/reference.md`.
"""

_Json = Mapping[str, Any]


def reference() -> str:
    """Return the page, in Markdown."""
    schema = json_schema()
    return "\n".join([_HEAD, *_sections("", schema, schema["$defs"], {})])


def _sections(place: str, model: _Json, models: Mapping[str, _Json], seen: dict[str, str]) -> Iterator[str]:
    """Yield the table of a model, and below it those of the models in it, each at the first place that has it."""
    below = []
    if place:
        yield f"## `{place}`\n\n{_line(model.get('description', ''))}\n"
    yield "| key | what |\n|---|---|"
    for key, field in model.get("properties", {}).items():
        links = []
        for suffix, name in _models_in(field, models):
            inner = f"{place}.{key}{suffix}".removeprefix(".")
            if name not in seen:
                seen[name] = inner
                below.append((inner, models[name]))
            links.append(f" See [`{seen[name]}`](#{_anchor(seen[name])}).")
        yield f"| `{key}` | {_line(field.get('description', ''))}{''.join(links)} |"
    yield ""
    for inner, part in below:
        yield from _sections(inner, part, models, seen)


def _models_in(field: Any, models: Mapping[str, _Json], suffix: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - plain data
    """Yield the names of the models that a key leads to, each with what stands between."""
    if isinstance(field, list):
        for it in field:
            yield from _models_in(it, models, suffix)
    if not isinstance(field, dict):
        return
    if "$ref" in field:
        yield suffix, _named(field)
    for key in ("anyOf", "allOf", "items"):
        yield from _models_in(field.get(key), models, suffix)
    for it in field.get("oneOf", ()):
        yield f"{suffix}{_kind(models[_named(it)])}", _named(it)
    of_items = [field.get("additionalProperties"), *field.get("patternProperties", {}).values()]
    yield from _models_in(of_items, models, f"{suffix}.<name>")


def _named(reference: _Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _kind(model: _Json) -> str:
    """Return which of several models it is, in words."""
    key = next(it for it in ("type", "kind") if it in model["properties"])
    return f" of {key} {model['properties'][key]['const']}"


def _line(text: str) -> str:
    line = re.sub(r"\s+", " ", text.replace("``", "`")).strip().replace("|", r"\|")
    # What is no code would be taken for a tag.
    return re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", line)


def _anchor(place: str) -> str:
    """Return what the site that shows the page makes of a heading."""
    return re.sub(r"[^\w\- ]", "", place.lower()).replace(" ", "-")
