"""YAML as the settings speak it: version 1.2's plain values, no tags, no key twice, and plain words for a slip."""

import re
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from pve_agents.model import Unquoted
from pve_agents.problems import dotted
from pve_agents.reading import MOST_LEVELS, MOST_VALUES, bad_character
from pve_agents.types import shown

__all__ = ["parse_yaml", "parse_yaml_1_1"]

# What version 1.1 takes for true or false, and 1.2 for text.
_WORDS_OF_1_1 = re.compile("yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")

# Where libyaml takes what PyYAML's own parser refuses, or reads it as something else: a tab, a byte order mark within the
# text, a comment that touches a version or the | or > of a block of text. Each tag it compares with all before it.
_OTHER_TO_LIBYAML = ("\t", "\ufeff", "%YAML", "%TAG")
_TOUCHED_HEADER = re.compile("[|>][-+0-9]*#")


class _Loader(Composer, SafeConstructor, Resolver):
    """Reads YAML 1.2's plain values, as editors do: ``no``, ``12:34``, ``0200`` and dates stay text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as inherited
    key_remedy = "write a name"

    # In quotes: a PyYAML without libyaml has no CSafeLoader.
    def __init__(self, parser: "yaml.CSafeLoader | yaml.SafeLoader", *, as_written: bool) -> None:
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        # All that a composer asks of a parser.
        self.check_event, self.peek_event, self.get_event = parser.check_event, parser.peek_event, parser.get_event
        self.as_written = as_written
        self._open: set[str] = set()
        self._sizes: dict[str | None, int] = {}
        self._values = self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._open:
                raise _refusal(event.start_mark, f"*{event.anchor} stands inside itself; write the value out")
            self._count(event.start_mark, self._sizes.get(event.anchor, 1))
            return super().compose_node(parent, index)
        if event.tag is not None:
            raise _refusal(event.start_mark, f"the tag {event.tag} is not used here; leave it out")
        if self._level > MOST_LEVELS:
            raise _refusal(event.start_mark, f"this is nested more than {MOST_LEVELS} levels deep; write it flatter")
        before = self._values
        self._count(event.start_mark, 1)
        self._level += 1
        self._open.add(event.anchor)
        node = super().compose_node(parent, index)
        self._open.discard(event.anchor)
        self._level -= 1
        self._sizes[event.anchor] = self._values - before
        if isinstance(node, yaml.ScalarNode):
            if fault := bad_character(node.value):
                raise _refusal(event.start_mark, fault)
            if "?" in node.value and not node.style and isinstance(parent, yaml.CollectionNode) and parent.flow_style:
                # Within brackets this is no text for PyYAML's own parser, and here comes from libyaml alone.
                raise yaml.YAMLError
        return node

    def _count(self, mark: Any, values: int) -> None:  # noqa: ANN401 - the C loader has marks of its own
        # An alias is one line, and stands for all that it repeats.
        self._values += values
        if self._values > MOST_VALUES:
            raise _refusal(
                mark, f"with what the aliases repeat there are more than {MOST_VALUES} values; write fewer of them"
            )

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            mark = key.start_mark
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal(mark, "a list or mapping cannot be a key; write a name")
            if key.tag not in {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}:
                raise _refusal(mark, f"{dotted((key.value,))} is not text and cannot be a key; {self.key_remedy}")
            if key.value in lines:
                raise _refusal(
                    mark,
                    f"the key {dotted((key.value,))} stands twice here, first in line {lines[key.value]}; keep one",
                )
            lines[key.value] = mark.line + 1
        return node


for _tag_name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag_name}", re.compile(f"^(?:{_pattern})$"), _first)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    return Unquoted(text) if not node.style and _WORDS_OF_1_1.fullmatch(text) else text


class _WrittenInt(int):
    """A whole number that knows how it was written, such as +49123."""

    written: str


class _WrittenFloat(float):
    """A number that knows how it was written, such as 24.10."""

    written: str


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    is_whole = node.tag.endswith(":int")
    value: float = loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)
    if not loader.as_written or str(value) == node.value:
        return value
    written = _WrittenInt(value) if is_whole else _WrittenFloat(value)
    written.written = node.value
    return written


_Loader.yaml_constructors = {
    **SafeConstructor.yaml_constructors,
    "tag:yaml.org,2002:str": _text,
    "tag:yaml.org,2002:int": _number,
    "tag:yaml.org,2002:float": _number,
}


class _Loader11(_Loader):
    """Reads YAML 1.1's plain values, as PyYAML does: ``no`` is false, ``1:30`` is 90, and a date is one."""

    yaml_implicit_resolvers = yaml.SafeLoader.yaml_implicit_resolvers
    key_remedy = "put it in quotes"

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as inherited
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):
            raise _refusal(node.start_mark, f"{shown(node.value)} is no date and no number; put it in quotes") from None


def _no_value(_: _Loader, node: yaml.ScalarNode) -> None:
    raise ValueError(node.value)


# A lone =, of which PyYAML makes nothing.
_Loader11.yaml_constructors = {**_Loader.yaml_constructors, "tag:yaml.org,2002:value": _no_value}


def _refusal(mark: Any, problem: str) -> yaml.MarkedYAMLError:  # noqa: ANN401 - the C loader has marks of its own
    return yaml.MarkedYAMLError(note="ours", problem=problem, problem_mark=mark)


def _yaml_problem(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: the character U+{ord(text[error.position]):04X} is not allowed in YAML; remove it"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "this is not YAML; compare it with homelab.example.yaml"
    mark = error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    if error.note == "ours":
        return f"{where}: {error.problem}"
    if "'\\t'" in (error.problem or ""):
        return f"{where}: there is a tab; write spaces"
    return f"{where}: this is not YAML ({error.problem}); check the indentation, quotes and colons there"


def parse_yaml(raw: bytes, *, as_written: bool = False) -> object:
    """Return what the bytes of a file say.

    Args:
        raw: UTF-8 text.
        as_written: Whether numbers know how they were written, for messages about them. Defaults to false.

    Raises:
        ValueError: This is no such text. The phrase names the line, and what to write instead.
    """
    return _parsed(raw, _Loader, as_written=as_written)


def parse_yaml_1_1(raw: bytes, *, as_written: bool = False) -> object:
    """Return what the bytes of a file say to a reader of version 1.1, such as PyYAML; no tags, and no key twice.

    Args:
        raw: UTF-8 text.
        as_written: Whether numbers know how they were written, for messages about them. Defaults to false.

    Raises:
        ValueError: This is no such text. The phrase names the line, and what to write instead.
    """
    return _parsed(raw, _Loader11, as_written=as_written)


def _parsed(raw: bytes, loader: type[_Loader], *, as_written: bool) -> object:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: this is not UTF-8; save the file as UTF-8") from None
    if yaml.__with_libyaml__ and not _is_other_to_libyaml(text):
        # In a sixth of the time. What is wrong is found anew by PyYAML's own parser: its words are the same everywhere.
        with suppress(yaml.YAMLError, ValueError, OverflowError):
            return loader(yaml.CSafeLoader(text), as_written=as_written).get_single_data()
    try:
        return loader(yaml.SafeLoader(text), as_written=as_written).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(_yaml_problem(error, text)) from None
    except OverflowError:
        # Such as "\\UFFFFFFFF", which the library hands to chr().
        raise ValueError("an escape that begins with \\U is no character; write the character itself") from None


def _is_other_to_libyaml(text: str) -> bool:
    return any(it in text for it in _OTHER_TO_LIBYAML) or _TOUCHED_HEADER.search(text) is not None
