"""A ``config.yaml`` of Hermes' on the operator's machine, in the place of settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

from pydantic import ValidationError, ValidationInfo

from pve_agents.agents.hermes.config import Settings
from pve_agents.agents.hermes.documents import read_local
from pve_agents.agents.hermes.literal import found_secrets
from pve_agents.agents.hermes.trees import tree_problems
from pve_agents.named_file import NamedFile
from pve_agents.problems import InFile, Key, Problem, below
from pve_agents.types import Text, shown
from pve_agents.yaml_text import parse_yaml_1_1

__all__ = ["ConfigFile"]

_NEEDS: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        ("model", "provider"): "the provider, without which Hermes may send the key to a third party",
        ("model", "default"): "the model's name",
        ("terminal", "cwd"): "the working directory, such as /data/workspace",
    }
)


@dataclass(frozen=True)
class ConfigFile(NamedFile):
    """What was read where the settings name a file; what is wrong with it is said with the rest."""

    PATH: ClassVar[Text] = Text("the path of a file", r"[^\x00-\x1f\x7f]+", "one such as hermes/config.yaml", 1024)

    path: str
    """The file, relative to that of the settings."""

    tree: Mapping[str, Any] | None = None
    """What it holds, as Hermes itself reads it; none if that is no mapping."""

    problems: tuple[Problem, ...] = ()
    """What is wrong with it, below the profile that names it."""

    @property
    def place(self) -> Key:
        """Where its keys are, below the profile that names it."""
        return ("config_file", InFile(self.path))

    @classmethod
    def read(cls, value: object, info: ValidationInfo) -> Self:
        """Read the file that is named.

        Raises:
            ValueError: This is no path.
        """
        named = cls(cls.PATH(value))
        try:
            raw = read_local(named.path, info)
        except ValueError as error:
            return cls(named.path, problems=(Problem(("config_file",), str(error), named.path),))
        try:
            tree = parse_yaml_1_1(raw)
        except ValueError as error:
            return cls(named.path, problems=(Problem(named.place, str(error)),))
        # Once more for the words, in which a number is spelled as the file has it.
        problems = _problems(tree) and _problems(parse_yaml_1_1(raw, as_written=True))
        return cls(named.path, tree if isinstance(tree, dict) else None, tuple(below(named.place, problems)))


def _problems(tree: object) -> Iterable[Problem]:
    """Say what is wrong with a file to which no default is added."""
    if not isinstance(tree, dict):
        return [Problem((), f"the file holds {shown(tree)}, not a mapping; write keys such as model")]
    problems = [Problem(it.key[1:], it.sentence) for it in found_secrets("config_file", tree)]
    try:
        Settings.model_validate(tree)
    except ValidationError as error:
        return problems + Problem.all_of(error)
    for place, write in _NEEDS.items():
        there: Any = tree
        for part in place:
            there = there.get(part) if isinstance(there, Mapping) else None
        if there is None:
            problems.append(Problem(place, f"this is missing; write {write}"))
    for name, provider in (tree.get("providers") or {}).items():
        if "gateway" in provider:
            sentence = (
                "homelab.yaml alone knows the other agents; write base_url, or settings in the place of config_file"
            )
            problems.append(Problem(("providers", name, "gateway"), sentence))
    return problems or tree_problems(tree)
