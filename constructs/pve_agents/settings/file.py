"""The file of settings, as plain data."""

import os
from pathlib import Path
from typing import Any

from pve_agents.problems import SettingsError
from pve_agents.reading import read_file
from pve_agents.types import shown
from pve_agents.variables import FILE_VARIABLE
from pve_agents.yaml_text import parse_yaml

__all__ = ["FILE", "read_settings"]

FILE = "homelab.yaml"
"""What it is called, unless a variable names another one."""


def _parse(label: str, raw: bytes, *, as_written: bool) -> object:
    try:
        return parse_yaml(raw, as_written=as_written)
    except ValueError as error:
        raise SettingsError([f"{label}: {error}."]) from None


def read_settings(directory: Path, *, as_written: bool = False) -> tuple[str, dict[str, Any]]:
    """Return the file's name for messages, and what it holds; for messages, numbers know how they were written."""
    named = os.environ.get(FILE_VARIABLE)
    label = named or FILE
    path = directory / label
    try:
        raw = read_file(path)
    except FileNotFoundError:
        if named:
            raise SettingsError(
                [f"{FILE_VARIABLE}: {shown(named)} does not exist; name a file that does, or unset the variable."]
            ) from None
        if path.is_symlink():
            raise SettingsError([f"{label}: the link points to nothing; correct or remove it."]) from None
        return label, {}
    except IsADirectoryError:
        raise SettingsError([f"{label}: this is a directory; make it a file."]) from None
    except OSError as error:
        raise SettingsError([f"{label}: the file cannot be read ({error.strerror}); check its permissions."]) from None
    except ValueError as error:
        raise SettingsError([f"{label}: the file {error}."]) from None
    data = _parse(label, raw, as_written=as_written)
    if data is None:
        return label, {}
    if not isinstance(data, dict):
        raise SettingsError([f"{label}: the file holds {shown(data)}, not a mapping; write keys such as agents."])
    return label, data
