"""Files of the operator's: documents that the agent gets, and how both they and Hermes' own settings are read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from pve_agents.model import ReadOnly
from pve_agents.named_file import directory_of, read_named
from pve_agents.problems import checked
from pve_agents.types import holds_token, shown

__all__ = ["HOME_DOCUMENTS", "Documents", "read_local"]

HOME_DOCUMENTS = ("SOUL.md", "USER.md", "MEMORY.md")
"""Documents that Hermes reads in its home; all others are read in its working directory."""

_LONGEST = 1_000_000
_LONGEST_NAME = 255


def read_local(path: str, info: ValidationInfo) -> bytes:
    """Return what is in a file of the operator's, relative to the file of the settings.

    Raises:
        ValueError: It cannot be read. The phrase says what to do instead.
    """
    if not path.isprintable():
        raise ValueError(f"{shown(path)} is not the path of a file; write one such as documents/SOUL.md")
    return read_named(path, info)


# What nobody writes as a whole text, such as ./notes, ../a b.md, ~/AGENTS.md, /etc/motd and docs/a.md; other programs want a
# sign before it.
_LIKE_A_PATH = re.compile(r"(?:\.{1,2}|~)/.*|/\S+|\S+\.(?:md|markdown|txt)")
_SIGN = re.compile(r"(?:@|file:(?://)?)(?=\S+$)")


def _path_in(text: str, info: ValidationInfo) -> str | None:
    """Return the path that a text is, where it is no document."""
    line = text.strip()
    if not line or len(line) > _LONGEST_NAME or not line.isprintable():
        return None
    path = _SIGN.sub("", line)
    if path != line or _LIKE_A_PATH.fullmatch(path):
        return path
    with suppress(OSError):
        return line if (directory_of(info) / line).is_file() else None
    return None


def _document(name: Any, content: Any, info: ValidationInfo) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked
    parts = name.split("/") if isinstance(name, str) else [""]
    if any(part in {"", ".", ".."} or not part.isprintable() for part in parts) or len(str(name)) > _LONGEST_NAME:
        raise ValueError(
            f"{shown(name)} is not a document; write SOUL.md, USER.md, MEMORY.md, AGENTS.md, or a path below the "
            "working directory"
        )
    if isinstance(content, Mapping):
        if content.keys() != {"file"} or not isinstance(content["file"], str):
            raise ValueError("this is neither a text nor a file; write the text, or {file: path}")
        try:
            content = read_local(content["file"], info).decode()
        except UnicodeDecodeError:
            raise ValueError(f"{shown(content['file'])} is not UTF-8; save the file as UTF-8") from None
    elif isinstance(content, str) and (path := _path_in(content, info)):
        # A part of a value is as secret as the whole.
        write = f"{{file: {shown(content)}}}" if path == content else "{file: path}, with the path alone"
        raise ValueError(
            f"{shown(content)} is the path of a file, and would be delivered as this very text; write {write}"
        )
    if not isinstance(content, str) or "\0" in content:
        raise ValueError(f"{shown(content)} is neither a text nor a file; write the text, or {{file: path}}")
    if len(content.encode()) > _LONGEST:
        raise ValueError(f"the document is {len(content.encode())} bytes long; write at most {_LONGEST}")
    if holds_token(content):
        raise ValueError("there seems to be a secret in the document; take it out, since the agent would read it aloud")
    yield name, content


def _read(values: object, info: ValidationInfo) -> object:
    if isinstance(values, str):
        raise ValueError(  # noqa: TRY004 - pydantic's way
            f"{shown(values)} is no mapping; write each document, such as {{AGENTS.md: {{file: documents/AGENTS.md}}}}"
        )
    if not isinstance(values, Mapping):
        return values
    return dict(checked(values, lambda name, content: _document(name, content, info)))


_SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {"file": {"type": "string"}},
                "required": ["file"],
                "additionalProperties": False,
            },
        ]
    },
}
Documents = Annotated[Mapping[str, str], ReadOnly(), WithJsonSchema(_SCHEMA), BeforeValidator(_read)]
"""Documents by their names; a file in the place of a text is read."""
