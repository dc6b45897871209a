"""A file of the operator's that the settings name, relative to their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from pve_agents.reading import read_file
from pve_agents.types import Text, shown

__all__ = ["NamedFile", "directory_of", "read_named"]


def directory_of(info: ValidationInfo) -> Path:
    """Return where the file of the settings is."""
    return Path((info.context or {}).get("directory", ""))


def read_named(path: str, info: ValidationInfo, *, for_a_directory: str = "name a file") -> bytes:
    """Return what is in the file.

    Args:
        path: Where it is, relative to the file of the settings.
        info: Where that is.
        for_a_directory: What to write instead of a directory.

    Raises:
        ValueError: It cannot be read. The phrase says what to do instead.
    """
    try:
        return read_file(directory_of(info) / path)
    except FileNotFoundError:
        raise ValueError(f"{shown(path)} does not exist; name a file relative to homelab.yaml") from None
    except IsADirectoryError:
        raise ValueError(f"{shown(path)} is a directory; {for_a_directory}") from None
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise ValueError(f"{shown(path)} {error}") from None


class NamedFile(ABC):
    """The type of a setting that is such a file: it is read when it is stated, and written out as its path."""

    PATH: ClassVar[Text]
    """What the path may be."""

    path: str

    @classmethod
    @abstractmethod
    def read(cls, value: object, info: ValidationInfo) -> Self:
        """Read the file that is named."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read it when it is stated, and write its path out."""

        def check(value: object, info: ValidationInfo) -> NamedFile:
            return value if isinstance(value, cls) else cls.read(value, info)

        path = core_schema.plain_serializer_function_ser_schema(lambda file: file.path)
        return core_schema.with_info_plain_validator_function(check, serialization=path)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the path."""
        return cls.PATH.__get_pydantic_json_schema__(core_schema.str_schema(), handler)
