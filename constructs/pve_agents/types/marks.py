"""Numbers with bounds and texts with a pattern, which say in a whole phrase what does not fit."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pve_agents.types.words import shown

__all__ = ["Number", "Text"]


@dataclass(frozen=True)
class Number:
    """Marks a number with bounds.

    Attributes:
        what: The quantity with its article, for messages: "a VMID".
        low: Smallest number accepted.
        high: Largest number accepted.
        whole: Whether fractions are refused. Defaults to true.
    """

    what: str
    low: int
    high: int
    whole: bool = True

    def __call__(self, value: object) -> object:
        """Return the value if it fits.

        Raises:
            ValueError: It does not.
        """
        if isinstance(value, str) and re.fullmatch(r"(0|[1-9][0-9]{0,17})(\.[0-9]+)?", value):
            raise ValueError(f"{shown(value)} is text, not a number; write it without quotes")
        accepted = int if self.whole else (int, float)
        # An infinity or a NaN is in no range.
        if isinstance(value, accepted) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        kind = "whole number" if self.whole else "number"
        raise ValueError(f"{shown(value)} is not {self.what}; write a {kind} from {self.low} to {self.high}")

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic does, whose own phrases are for programmers."""
        return core_schema.no_info_before_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the bounds to the JSON Schema."""
        return {**handler(schema), "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text:
    """Marks a text that must match a pattern.

    Attributes:
        what: The thing with its article, for messages: "a node name".
        pattern: Regular expression for the whole text, in the dialect that Python and JSON Schema share.
        write: What to write instead, for messages.
        longest: Largest number of characters. Defaults to 4096.
        check: Further check; returns the text in its canonical spelling or raises ``ValueError``. Defaults to none.
    """

    what: str
    pattern: str
    write: str
    longest: int = 4096
    check: Callable[[str], str] | None = None

    def __call__(self, value: object) -> str:
        """Return the text, in its canonical spelling, if it fits.

        Raises:
            ValueError: It does not.
        """
        if isinstance(value, bool | int | float):
            raise ValueError(f"{shown(value)} is not text; write {self.what} in quotes")  # noqa: TRY004 - pydantic's way
        if not isinstance(value, str) or len(value) > self.longest or not re.fullmatch(self.pattern, value):
            raise ValueError(f"{shown(value)} is not {self.what}; write {self.write}")
        return self.check(value) if self.check else value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic does, whose own phrases are for programmers."""
        return core_schema.no_info_before_validator_function(self, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the pattern to the JSON Schema."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}
