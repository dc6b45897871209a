"""What the models of the settings have in common."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    ValidationError,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from pve_agents.types import shown

__all__ = [
    "MOST_SENTENCES",
    "Flag",
    "InFile",
    "Key",
    "Model",
    "Neighbour",
    "OpenModel",
    "Place",
    "ProblemsError",
    "ReadOnly",
    "Section",
    "Unquoted",
    "at_most",
    "below",
    "checked",
    "distinct",
    "dotted",
    "few",
    "flattened",
    "listed",
    "meant",
    "merged",
    "offered",
    "problem",
]

Key = tuple[str | int, ...]
"""A setting's place: the keys on the way to it."""


def dotted(key: Key) -> str:
    """Return a place as one word, such as ``agents.hermes.vmid``."""
    return ".".join(str(part) if re.fullmatch(r"[\w-]{1,60}", str(part)) else shown(part) for part in key)


Flag = Annotated[bool, Strict()]
"""true or false, and no word for it."""


class Model(BaseModel):
    """Settings with known keys, which never change."""

    # What stands in a wrong place may be a secret: no error repeats it by itself.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    synonyms: ClassVar[Mapping[str, str]] = {}
    """What people write, and the key that they mean."""

    opens: ClassVar[frozenset[str]] = frozenset()
    """Keys with which more people or programs get in: to none of them is anybody led by a likeness of names."""

    carriers: ClassVar[Mapping[str, str]] = {}
    """Secrets that people write here, and the variable that each belongs into."""

    not_here: ClassVar[Mapping[str, str]] = {}
    """Keys that people write here, and why there is none, with {agent} for the agent's name."""


class OpenModel(Model):
    """Settings of which some keys are known, and all others are passed on as they are."""

    model_config = ConfigDict(extra="allow")


class Section:
    """Marks a section that is optional: its model is imported when it is stated, since most agents lack most sections."""

    def __init__(self, module: str, name: str) -> None:
        """Keep the model's place."""
        self._module, self._name = module, name

    @property
    def model(self) -> type[Model]:
        """The section's model."""
        model: type[Model] = getattr(import_module(self._module), self._name)
        return model

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check with a model that pydantic does not know yet."""
        return core_schema.with_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the model, by reference: what stands alone would be written out."""
        return handler(core_schema.chain_schema([self.model.__pydantic_core_schema__]))

    def _check(self, value: object, info: ValidationInfo) -> Model:
        try:
            return self.model.model_validate(value, context=info.context)
        except ValidationError as error:
            raise ProblemsError(error.errors()) from None


@dataclass(frozen=True)
class Place:
    """The container that a section's software runs in."""

    name: str
    """Name of the agent."""

    mounts: Mapping[str, bool]
    """Paths at which directories of the node are mounted, and whether they can be written."""

    memory_mib: int
    """Memory in MiB."""

    cores: int
    """Cores."""

    devices: Mapping[str, bool]
    """Paths of the node's devices in it, and whether user 10000 may read and write them."""


@dataclass(frozen=True)
class Neighbour:
    """An agent, as another one's section sees it."""

    name: str
    """Name of the agent."""

    node: str
    """Node that it is on."""

    mounts: Mapping[str, tuple[str, bool]]
    """Paths at which directories of the node are mounted, each with the directory, and whether every node has it."""


class InFile(str):
    """Part of a key: what follows stands in a file of its own, of this name."""

    __slots__ = ()


class Unquoted(str):
    """A word without quotes, such as ``no``, that other readers of YAML take for true or false."""

    __slots__ = ()


class ProblemsError(ValueError):
    """Several things are wrong, each at a key of its own below what was checked.

    Attributes:
        errors: They, as pydantic describes errors.
    """

    def __init__(self, errors: Iterable[ErrorDetails]) -> None:
        """Keep the errors; ``str()`` joins them by line breaks."""
        self.errors = list(errors)
        super().__init__(
            "\n".join(": ".join(filter(None, (dotted(error["loc"]), error["msg"]))) for error in self.errors)
        )


def problem(key: Key, sentence: str, value: object = None) -> ErrorDetails:
    """Return an error of ours.

    Args:
        key: Where, below what is checked.
        sentence: What is wrong, and what to write instead; without a full stop.
        value: What stands there. Defaults to none.
    """
    return ErrorDetails(type="value_error", loc=key, msg=sentence, input=value, ctx={"error": ValueError(sentence)})


def below(key: Key, errors: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Return errors that were found below a key, with their whole places."""
    moved = [error.copy() for error in errors]
    for error in moved:
        error["loc"] = (*key, *error["loc"])
    return moved


def flattened(errors: Iterable[ErrorDetails]) -> list[ErrorDetails]:
    """Return errors with those that stand for several taken apart."""
    flat = []
    for error in errors:
        several = error.get("ctx", {}).get("error")
        inner = flattened(below(error["loc"], several.errors)) if isinstance(several, ProblemsError) else [error]
        flat += inner
    return flat


MOST_SENTENCES = 20
"""How many sentences somebody reads before correcting the first."""

_LONGEST_SENTENCE = 2000


def few(sentences: Sequence[str], about_the_rest: str, left: int = 0) -> list[str]:
    """Return as many sentences as somebody reads, each of them no longer than a screen.

    Args:
        sentences: All of them.
        about_the_rest: A last sentence, with {} for how many are left and {are} for the verb.
        left: How many there are besides. Defaults to none.
    """
    kept = [it if len(it) <= _LONGEST_SENTENCE else f"{it[:_LONGEST_SENTENCE]} …" for it in sentences[:MOST_SENTENCES]]
    left += len(sentences) - len(kept)
    return [*kept, about_the_rest.format(left, are="is" if left == 1 else "are")] if left else kept


def meant(model: type[Model], name: str, value: object, cutoff: float = 0.6) -> str | None:
    """Return the key of a model that somebody may have meant; never one that opens more than what was written.

    Args:
        model: The model.
        name: What was written as the key.
        value: What was written as its value.
        cutoff: How much alike the names must be, up to 1. Defaults to 0.6.
    """
    close = difflib.get_close_matches(name.lower(), offered(model, value), n=1, cutoff=cutoff)
    return close[0] if close else None


def offered(model: type[Model], value: object) -> list[str]:
    """Return the keys of a model to which a message may lead who wrote a value under another one.

    A flag is a decision: who wrote something else than true or false has not taken it.
    """
    return [
        key
        for key, field in model.model_fields.items()
        if not field.exclude and key not in model.opens and (isinstance(value, bool) or not _is_flag(field.annotation))
    ]


def _is_flag(annotation: object) -> bool:
    return annotation is bool or any(map(_is_flag, get_args(annotation)))


def at_most(number: int, what: str) -> BeforeValidator:
    """Return the check that there are no more of something than make sense, before each of them costs time."""

    def check(values: object) -> object:
        if isinstance(values, Mapping | list | tuple) and len(values) > number:
            raise ValueError(f"there are {len(values)} {what}; write at most {number}")
        return values

    return BeforeValidator(check)


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values, of which none stands twice.

    Raises:
        ValueError: One does.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{shown(value)} stands twice in the list; keep one")
        seen.add(value)
    return values


def listed(names: object) -> object:
    """Return names of variables, which stand in a list.

    Raises:
        ValueError: They do not. The phrase never repeats what stands there, which may be a secret.
    """
    if not isinstance(names, list | tuple):
        raise ValueError("this is not a list; write the names of environment variables, such as [LITELLM_API_KEY]")  # noqa: TRY004 - pydantic's way
    return names


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return one tree over another: mappings key by key, all else as a whole."""
    tree = dict(base)
    for key, value in over.items():
        below = tree.get(key)
        tree[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return tree


class ReadOnly:
    """Marks a mapping that nothing can be put into."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Wrap what was checked, and unwrap it to be written out."""
        return core_schema.no_info_after_validator_function(
            _read_only, handler(source), serialization=core_schema.plain_serializer_function_ser_schema(dict)
        )


def _read_only(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(mapping))


def checked(
    values: Mapping[Any, Any] | Sequence[Any], check: Callable[[Any, Any], Iterable[tuple[Any, Any]]]
) -> list[tuple[Any, Any]]:
    """Check each item, so that all that is wrong is said at once.

    Args:
        values: A mapping, or a list with its positions as keys.
        check: Returns the items that become of one, given its key and its value; raises ``ValueError``.

    Raises:
        ProblemsError: Something is wrong.
    """
    found: list[tuple[Any, Any]] = []
    errors = []
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        try:
            found += check(key, value)
        except ValueError as error:
            errors.append(problem((key,), str(error)))
    if errors:
        raise ProblemsError(errors)
    return found
