"""What the models of the settings have in common."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self, get_args

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
from pydantic_core import CoreSchema, core_schema

from pve_agents.problems import OfKind, Problem, ProblemsError, likeliest
from pve_agents.types import shown

__all__ = [
    "Flag",
    "Model",
    "OneOf",
    "OpenModel",
    "ReadOnly",
    "Unquoted",
    "at_most",
    "distinct",
    "listed",
    "meant",
    "merged",
    "offered",
]

Flag = Annotated[bool, Strict()]
"""true or false, and no word for it."""


class Model(BaseModel):
    """Settings with known keys, which never change."""

    # A misplaced value may be a secret: no error repeats it by itself.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    synonyms: ClassVar[Mapping[str, str]] = {}
    """What people write, and the key that they mean."""

    opens: ClassVar[frozenset[str]] = frozenset()
    """Keys with which more people or programs get in: to none of them is anybody led by a likeness of names."""

    carriers: ClassVar[Mapping[str, str]] = {}
    """Secrets that people write here, and the variable that each belongs into."""

    not_here: ClassVar[Mapping[str, str]] = {}
    """Keys that people write here, and why there is none, with {agent} for the agent's name."""

    required: ClassVar[Mapping[str, str]] = {}
    """What to write under a key that is missing."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a changed copy, which has nothing of what was worked out from the old values."""
        copied = super().model_copy(update=update, deep=deep)
        for name in vars(copied).keys() - type(copied).model_fields.keys():
            del vars(copied)[name]
        return copied

    @classmethod
    def known_keys(cls) -> dict[str, Any]:
        """Return the keys that can be stated, each with its type."""
        return {name: field.annotation for name, field in cls.model_fields.items() if not field.exclude}


class OpenModel(Model):
    """Settings of which some keys are known, and all others are passed on as they are."""

    model_config = ConfigDict(extra="allow")


class OneOf:
    """Marks settings that are of one of several kinds, as their own key ``kind`` says."""

    def __init__(self, *models: type[Model]) -> None:
        """Keep the models by their kinds.

        Args:
            models: Each has a field ``kind`` with its kind as the default. The first one is that of settings without the key.
        """
        self.models: Mapping[str, type[Model]] = MappingProxyType(
            {it.model_fields["kind"].default: it for it in models}
        )
        self.default = models[0]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check with the one model that is meant, so that nothing is said about the others."""
        return core_schema.with_info_plain_validator_function(
            self._checked, serialization=core_schema.plain_serializer_function_ser_schema(lambda it: it)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe each by reference."""
        described = {
            it: handler(core_schema.chain_schema([it.__pydantic_core_schema__])) for it in self.models.values()
        }
        needed = {"required": ["kind"]}
        return {"oneOf": [found if it is self.default else {**found, **needed} for it, found in described.items()]}

    def _checked(self, value: object, info: ValidationInfo) -> Model:
        if isinstance(value, tuple(self.models.values())):
            return value  # type: ignore[return-value]
        model = self.default
        if isinstance(value, Mapping) and "kind" in value:
            kind = value["kind"]
            if not isinstance(kind, str) or kind not in self.models:
                *others, last = sorted(self.models)
                sentence = f"{shown(kind)} is not known here; write {', '.join(others)} or {last}"
                raise ProblemsError([Problem(("kind",), sentence, kind)])
            model = self.models[kind]
        try:
            return model.model_validate(value, context=info.context)
        except ValidationError as error:
            tag = OfKind(model.model_fields["kind"].default)
            raise ProblemsError(it.below((tag,)) for it in Problem.all_of(error)) from None


class Unquoted(str):
    """A word without quotes, such as ``no``, that other readers of YAML take for true or false."""

    __slots__ = ()


def meant(model: type[Model], name: str, value: object, cutoff: float = 0.6) -> str | None:
    """Return the key of a model that somebody may have meant; never one that opens more than what was written.

    Args:
        model: The model.
        name: What was written as the key.
        value: What was written as its value.
        cutoff: How much alike the names must be, up to 1. Defaults to 0.6.
    """
    return likeliest(name.lower(), offered(model, value), cutoff)


def offered(model: type[Model], value: object) -> list[str]:
    """Return the keys of a model to which a message may lead who wrote a value under another one.

    A flag is a decision: who wrote something else than true or false has not taken it.
    """
    return [
        key
        for key, annotation in model.known_keys().items()
        if key not in model.opens and (isinstance(value, bool) or not _is_flag(annotation))
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
        raise ValueError("this is not a list; write the names of environment variables, such as [MODEL_API_KEY]")  # noqa: TRY004 - pydantic's way
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
