"""Words for what is wrong with the settings: where it stands, what it is, and what to write instead."""

import re
from collections.abc import Mapping, Sequence
from typing import get_args, get_origin

from pve_agents.agents.kind import KindOf
from pve_agents.model import Model, OneOf, meant, offered
from pve_agents.problems import InFile, Key, OfKind, Problem, dotted, placed, stated
from pve_agents.settings.agent import Agent
from pve_agents.settings.backend import BACKENDS
from pve_agents.settings.file import FILE
from pve_agents.settings.homelab import Homelab
from pve_agents.types import is_credential_name, shown
from pve_agents.variables import in_json, unquoted, variables

__all__ = ["ABSENT", "origin", "sentences"]

ABSENT = object()


def origin(label: str, file: object, key: Key, value: object) -> str:
    """Name what states the key: the file, the variable at or above it, or the file and the variables below it."""
    in_file = file
    for part in key:
        try:
            in_file = in_file[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            in_file = ABSENT
            break
    if in_file is value or in_file == value:
        return label
    names = variables()
    if above := [name for at, name in names.items() if at == key[: len(at)]]:
        return max(above, key=len)
    below = [name for at, name in names.items() if len(at) > len(key) and at[: len(key)] == key]
    return " with ".join(filter(None, ["" if below and in_file is ABSENT else label, ", ".join(sorted(below))]))


def _model_at(parents: Sequence[str], backend: str) -> type[Model]:
    """Return the model of what stands at a place."""
    match parents:
        case ["backend"]:
            return BACKENDS[backend]
        case ["agents", _, *inner]:
            return _model_below(Agent, inner)
    return _model_below(Homelab, parents)


def _unknown(key: Key, backend: str, value: object) -> str:
    """Say what to do with a key that is no setting."""
    *parents, name = map(_part, key)
    model = _model_at(parents, backend)
    # What the state's backend needs, Terraform takes from its environment; the rest goes into the container.
    place = "the environment or .env" if parents[:1] == ["backend"] else "the agent's secrets file"
    if carrier := model.carriers.get(name):
        return f"secrets do not go into {FILE}; put this one into {place}, as {carrier}"
    if reason := model.not_here.get(name):
        return reason.format(agent=parents[1])
    if is_credential_name(name):
        return f"secrets do not go into {FILE}; put {name} into {place}"
    return f"there is no such setting; {_suggestion(model, name, value)}"


def _required(key: Key, backend: str) -> str:
    """Say what to write under a key that is missing."""
    *parents, name = map(_part, key)
    return _model_at(parents, backend).required.get(name, "a value")


def _part(part: str | int) -> str:
    return part if isinstance(part, OfKind) else str(part)


def _one_of_in(annotation: object) -> OneOf | None:
    if isinstance(annotation, OneOf):
        return annotation
    return next((found for part in get_args(annotation) if (found := _one_of_in(part))), None)


def _model_in(annotation: object) -> type[Model] | None:
    if isinstance(annotation, KindOf):
        return annotation.model
    if one_of := _one_of_in(annotation):
        return one_of.default
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _is_mapping(annotation: object) -> bool:
    return isinstance(generic := get_origin(annotation), type) and issubclass(generic, Mapping)


def _model_below(model: type[Model], keys: Sequence[str]) -> type[Model]:
    """Return the model of what stands at the keys below a model."""
    rest = iter(keys)
    annotation: object = None
    for key in rest:
        if isinstance(key, OfKind) and (one_of := _one_of_in(annotation)):
            model = one_of.models[key]
            continue
        annotation = model.known_keys()[key]
        if _is_mapping(annotation) or get_origin(annotation) is tuple:
            next(rest, None)  # The item's own key, or its place in a list.
        model = _model_in(annotation) or model
    return model


_LEVELS, _MOST_PLACES, _MISSPELT = 3, 3, 0.8

_FIRST_ITEM = {"mounts": "mp0", "devices": "dev0"}


def _parts(model: type[Model]) -> dict[str, type[Model]]:
    """Return the models right below a model, by the key of each."""
    return {
        f"{name}.{_FIRST_ITEM.get(name, '<name>')}" if _is_mapping(annotation) else name: part
        for name, annotation in model.known_keys().items()
        if (part := _model_in(annotation))
    }


def _suggestion(model: type[Model], name: str, value: object) -> str:
    if synonym := model.synonyms.get(name):
        return f"did you mean {synonym}?"
    if model is Agent and (slot := re.fullmatch(r"(?:mp|(dev))[0-9]+", name)):
        return f"did you mean {'devices' if slot[1] else 'mounts'}.{name}?"
    # A name that is right and stands on the wrong level is likelier than one that is half wrong.
    misspelt = meant(model, name, value, cutoff=_MISSPELT)
    below = _further_down(model, name, value, 1 if misspelt else _LEVELS)
    close = misspelt or meant(model, name, value)
    if found := " or ".join(below) or close:
        return f"did you mean {found}?"
    return f"write one of {', '.join(key for key in model.known_keys() if key not in model.opens)}"


def _further_down(model: type[Model], name: str, value: object, levels: int) -> list[str]:
    """Return where a key of this name stands below a model, on the level that is nearest."""
    level = {"": model}
    for _ in range(levels):
        level = {f"{path}{key}.": part for path, it in level.items() for key, part in _parts(it).items()}
        if found := [f"{path}{name}" for path, part in level.items() if name in offered(part, value)]:
            return found if len(found) <= _MOST_PLACES else []
    return []


_PHRASES: Mapping[str, str] = {
    "missing": "this is missing; write {required}",
    "bool_type": "{value} is neither true nor false; write true or false, without quotes",
    "tuple_type": "{value} is not a list; write one such as [first, second]",
    "literal_error": "{value} is not known here; write {expected}{otherwise}",
    "union_tag_invalid": "{tag} is not a kind of backend; write local, s3, http or pg",
    "union_tag_not_found": "this is missing; write local, s3, http or pg",
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type"),
        "{value} is not a mapping; write keys and values, or leave {name} out",
    ),
}


def _phrase(problem: Problem, key: Key, backend: str) -> str:
    """Say in plain words what pydantic found."""
    name = str(stated(key)[-1]) if key else "it"
    if problem.type == "value_error":
        return problem.sentence
    if problem.type == "extra_forbidden":
        return _unknown(key, backend, problem.value)
    expected = str(problem.context.get("expected")).replace("'", "")
    phrase = _PHRASES.get(problem.type, "{value} does not fit here; compare it with homelab.example.yaml")
    return phrase.format(
        value=shown(problem.value),
        name=name,
        required=_required(key, backend) if problem.type == "missing" else "",
        expected=expected,
        # What has one word has it beside a default that is none.
        otherwise="" if " or " in expected else f", or leave {name} out",
        tag=shown(problem.context.get("tag")),
    )


def _where(label: str, file: object, key: Key, value: object) -> str:
    if any(isinstance(part, InFile) for part in key):
        return placed(key)
    return f"{origin(label, file, key, value)}: {dotted(key)}"


def sentences(problem: Problem, label: str, file: object) -> list[str]:
    """Return a sentence for each thing that is wrong there.

    Args:
        problem: What was found.
        label: The file's name.
        file: What it holds.
    """
    if problem.type == "default_factory_not_called":
        return []  # It follows from another problem.
    backend = ""
    # What is wrong with a key itself is said where its value stands.
    match problem.key[:-1] if problem.key[-1:] == ("[key]",) else problem.key:
        case ("backend",) if problem.type.startswith("union_tag"):
            key: Key = ("backend", "type")
        case ("backend", kind, *rest):
            backend, key = str(kind), ("backend", *rest)
        case ("agents", agent, "name"):
            key = ("agents", agent)
        case ("agents", agent, "section", kind, *rest):
            key = ("agents", agent, kind, *rest)
        case place:
            key = place
    where = _where(label, file, stated(key), problem.value)
    phrases = _phrase(problem, key, backend).splitlines()
    if any(name in where for name in variables().values()):
        phrases = [in_json(unquoted(phrase)) for phrase in phrases]
    return [f"{where}: {phrase}" + ("" if phrase.endswith("?") else ".") for phrase in phrases]
