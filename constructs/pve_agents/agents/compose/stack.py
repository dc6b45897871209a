"""The compose file of the operator's, and what lies beside it: read here, and judged elsewhere."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationInfo

from pve_agents.named_file import NamedFile, directory_of, read_named
from pve_agents.problems import InFile, Key
from pve_agents.reading import read_file
from pve_agents.types import Text, shown
from pve_agents.yaml_text import parse_yaml

__all__ = ["Beside", "ComposeFile", "LocalFile"]

_MOST_FILES, _MOST_BYTES = 200, 1_000_000


@dataclass(frozen=True)
class LocalFile:
    """A file that travels with the deploy."""

    text: str = field(repr=False)
    is_program: bool = False


Beside = Mapping[str, Mapping[str, LocalFile]]
"""What lies beside a compose file, by its plain relative path: a file is its own only part, called ``""``."""


@dataclass(frozen=True)
class ComposeFile(NamedFile):
    """A compose file."""

    PATH: ClassVar[Text] = Text("the path of a file", r"[^\x00-\x1f\x7f]+", "one such as apps/wiki/compose.yaml", 1024)

    path: str
    """Relative to the file of the settings."""

    tree: Any = None
    """What it holds; nothing of it is checked yet."""

    folder: Path = field(default=Path(), compare=False, repr=False)
    """Where it lies."""

    @property
    def place(self) -> Key:
        """Where its keys are, below the section that names it."""
        return ("file", InFile(self.path))

    @classmethod
    def read(cls, value: object, info: ValidationInfo) -> Self:
        """Read the file that is named.

        Raises:
            ValueError: It cannot be read, or is no YAML. The phrase says what to do instead.
        """
        path = cls.PATH(value)
        raw = read_named(path, info, for_a_directory=f"name the file in it, such as {path}/compose.yaml")
        try:
            tree = parse_yaml(raw)
        except ValueError as error:
            raise ValueError(f"{shown(path)}: {error}") from None
        return cls(path, tree, (directory_of(info) / path).parent)

    def beside(self, path: str) -> Mapping[str, LocalFile] | None:
        """Return what lies at a plain path below the folder of this file, as far as it can travel; none where nothing does.

        Raises:
            ValueError: It cannot. The phrase says what to do instead.
        """
        place = self.folder / path
        if not place.exists():
            return None
        if not place.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{shown(path)} is a link that leads out of the folder; copy the file into it")
        found: dict[str, LocalFile] = {}
        size = 0
        for name, file in _files(place):
            if file.is_symlink() and not file.resolve().is_relative_to(self.folder.resolve()):
                raise ValueError(
                    f"{shown(f'{path}/{name}')} is a link that leads out of the folder; copy the file into it"
                )
            found[name] = _read(file, f"{path}/{name}".rstrip("/"))
            size += len(found[name].text)
            if len(found) > _MOST_FILES or size > _MOST_BYTES:
                raise ValueError(
                    f"{shown(path)} has more than {_MOST_FILES} files or {_MOST_BYTES} bytes, which is data rather than "
                    "settings; declare it under directories of the agent's compose, and fill it in the container"
                )
        return found


def _files(place: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names and places of all files there, in order; no folder is a link."""
    if place.is_file():
        yield "", place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            yield str(file.relative_to(place)), file


def _read(file: Path, path: str) -> LocalFile:
    try:
        return LocalFile(read_file(file, _MOST_BYTES).decode(), os.access(file, os.X_OK))
    except UnicodeDecodeError:
        raise ValueError(f"{shown(path)} is no text, and only text travels; put it into a mount of the agent") from None
    except OSError as error:
        raise ValueError(f"{shown(path)} cannot be read ({error.strerror}); check its permissions") from None
    except ValueError as error:
        raise ValueError(f"{shown(path)} {error}") from None
