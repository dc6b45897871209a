"""YAML that every reader takes for the same: much software reads version 1.1, Docker Compose 1.2 and a little of its own."""

import re
from typing import Any

import yaml

from pve_agents.model import Unquoted

__all__ = ["to_yaml"]

# Begins as no number, date or mark of YAML's can, and ends as no key does. The few words of it that mean something to
# one reader or another are below.
_PLAIN = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./:@+-]*[A-Za-z0-9_/])?")
_MEANS_SOMETHING = frozenset(
    {"false", "inf", "infinity", "n", "nan", "no", "none", "null", "off", "on", "true", "undefined", "y", "yes"}
)
_TEXT = "tag:yaml.org,2002:str"


class _Writer(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002 - as inherited
        """Write a value out each time."""
        return True


def _text(writer: _Writer, text: str) -> yaml.ScalarNode:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _MEANS_SOMETHING
    # Breaks of lines and blanks that nobody sees are folded away between single quotes.
    quotes = "'" if text.isprintable() else '"'
    return writer.represent_scalar(_TEXT, text, style=None if is_plain else quotes)


for _kind in (str, Unquoted):
    _Writer.add_representer(_kind, _text)


def to_yaml(value: object) -> str:
    """Spell plain data as YAML, in which text stays text for every reader.

    Args:
        value: Mappings, lists, texts, numbers, dates, true, false and null.
    """
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120)
