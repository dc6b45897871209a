"""What a kind of agent is to everything else: a folder beside this file, found by its name.

``<kind>/settings.py`` has the model of the section that an agent states it by, a ``Kind`` which is called as the folder is, in
capitals: ``class MyKind`` in ``my_kind/``. ``<kind>/app.py`` has ``app(agent)``, which says what goes into the agent's container.
``<kind>/default.yaml``, where there is one, is what an agent of the kind's own name has that its settings do not state; without
any file of settings there is such an agent. None of them is read for an agent of another kind.
``<kind>/init.py`` and ``<kind>/doctor.py``, where there are any, say what is asked of a newcomer, and what can be known before a
deploy (``agents/init.py`` and ``agents/doctor.py``).
``<kind>/commands/*.py``, where there are any, are subcommands of ``agents``: each has a click command named ``command``.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from pve_agents import agents
from pve_agents.model import Model
from pve_agents.problems import Key, Problem, ProblemsError, SettingsError
from pve_agents.stopping import Stopping
from pve_agents.yaml_text import parse_yaml

__all__ = [
    "Ask",
    "Container",
    "Endpoint",
    "Kind",
    "KindOf",
    "Neighbour",
    "OfKind",
    "OneSection",
    "Sections",
    "commands_of_kinds",
    "default_agents",
    "default_of",
    "fault_of_own_kind",
    "kinds",
    "model_of",
    "own_kinds",
]


class Container(NamedTuple):
    """The container that a kind's software runs in, as its section sees it."""

    name: str
    """Name of the agent."""

    mounts: Mapping[str, bool]
    """Paths at which directories of the node are mounted, and whether they can be written."""

    memory_mib: int
    """Memory in MiB."""

    cores: int
    """Cores."""

    devices: Mapping[str, Callable[[int], bool]]
    """Paths of the node's devices in it, and what tells whether a user may read and write one."""

    disk_gib: int
    """Root disk in GiB."""

    keyctl: bool
    """Whether it may use the kernel's keyring."""


class Neighbour(NamedTuple):
    """An agent, as others of its kind see it."""

    name: str
    """Name of the agent."""

    node: str
    """Node that it is on."""

    mounts: Mapping[str, tuple[str, bool]]
    """Paths at which directories of the node are mounted, each with the directory, and whether every node has it."""

    address: str = ""
    """Where others reach it: its static address, or the hostname that is stated; empty where nobody knows."""


class Endpoint(NamedTuple):
    """Where an agent answers others of the same file, in the words of OpenAI's API."""

    port: int
    path: str
    """What follows the address and the port, such as ``/v1``."""

    models: Mapping[str, int | None]
    """Names of its models, each with the tokens that it takes, as far as that is known."""

    def base_url(self, address: str) -> str:
        """Return its address as a whole."""
        return f"http://{address}:{self.port}{self.path}"


class Ask(NamedTuple):
    """What an agent wants of another one's endpoint."""

    key: Key
    """Where its section says so."""

    agent: str
    """Whose endpoint."""

    secret: str
    """Name of the secret with the key that it shows there; empty where it has none."""


class Kind(Model):
    """The section of a kind. What a kind has nothing to say about, it leaves as it is here."""

    @classmethod
    def of(cls, agent: OfKind) -> Self | None:
        """Return an agent's section, if it is of this kind."""
        return agent.section if isinstance(agent.section, cls) else None

    @property
    def kind(self) -> str:
        """Name of the kind: of its folder, and the key of the section."""
        return type(self).__module__.split(".")[-2]

    @property
    def stopping(self) -> Stopping:
        """How long each layer around the software waits for its end."""
        return Stopping()

    @property
    def needs_keyctl(self) -> bool:
        """Whether the container's ``keyctl`` is on by default, as Docker in it wants."""
        return True

    @property
    def answers_seconds(self) -> int:
        """Seconds that the answers which the deploy and ``verify`` ask for may take, all together."""
        return 0

    def variable_name(self, name: str) -> str:
        """Return the name of a variable that the software may have.

        Raises:
            ValueError: It may not. The phrase says why.
        """
        return name

    def fitted(self, container: Container) -> Self:  # noqa: ARG002 - for others to say
        """Return a copy with the defaults that follow from the container.

        Raises:
            ProblemsError: Something does not fit into it.
        """
        return self

    def secret_names(self, agent_name: str) -> tuple[str, ...]:  # noqa: ARG002 - for others to say
        """Return the names of all secrets that are to be delivered."""
        return ()

    def warnings(self, container: Container) -> Iterator[tuple[Key, str]]:  # noqa: ARG002 - for others to say
        """Find what may be meant, and yet is worth a second look.

        Yields:
            The place of each below the section, and a sentence without its full stop.
        """
        yield from ()

    def container_warnings(self, container: Container) -> Iterator[tuple[Key, str]]:  # noqa: ARG002 - for others to say
        """Find what the container may lack for it.

        Yields:
            The place of each below the agent, and a sentence without its full stop.
        """
        yield from ()

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it answers other agents; none where it does not."""
        return None

    def asks(self) -> Sequence[Ask]:
        """Return whose endpoints it wants to ask."""
        return ()

    def answered(self, endpoints: Mapping[str, tuple[str, Endpoint]]) -> Self:  # noqa: ARG002 - for others to say
        """Return a copy in which the endpoints are known that it asks for.

        Args:
            endpoints: The URL of each, and what is there, by the name of its agent.

        Raises:
            ProblemsError: They are not what it needs.
        """
        return self

    @classmethod
    def neighbour_problems(cls, neighbours: Sequence[tuple[Neighbour, Self]]) -> Iterator[str]:  # noqa: ARG003 - for others to say
        """Say what two agents of the kind cannot both have, a sentence each without its full stop."""
        yield from ()


class OfKind(Protocol):
    """What has a section of a kind, or none."""

    @property
    def section(self) -> Kind | None: ...


# Kinds of the operator's own may lie elsewhere.
_VARIABLE = "AGENT_KINDS_PATH"
_ELSEWHERE = tuple(str(Path(it).expanduser()) for it in os.environ.get(_VARIABLE, "").split(os.pathsep) if it)
agents.__path__.extend(_ELSEWHERE)


# Finding them -----------------------------------------------------------------------------------------------------


def kinds() -> tuple[str, ...]:
    """Return the names of all kinds there are."""
    return tuple(_folders(tuple(agents.__path__)))


def own_kinds() -> tuple[str, ...]:
    """Return the names of the kinds that lie here, and not in a folder of the operator's."""
    return tuple(
        name for name, folder in _folders(tuple(agents.__path__)).items() if str(folder.parent) == agents.__path__[0]
    )


@cache
def _folders(places: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for place in places:
        folders = sorted(path.parent for path in Path(place).glob("*/settings.py"))
        if not folders:
            raise SettingsError(
                [f"{_VARIABLE}: {place} holds no kind: name one that does, such as with echo/settings.py, or unset it."]
            )
        for folder in folders:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", folder.name):
                raise SettingsError(
                    [f"{_VARIABLE}: {folder} is no name for a kind; write small letters, digits and underscores."]
                )
            if folder.name in found:
                raise SettingsError(
                    [f"{_VARIABLE}: there is a kind {folder.name} already; give {folder} another name."]
                )
            found[folder.name] = folder
    return {name: found[name] for name in sorted(found)}


def _folder(kind: str) -> Path:
    return _folders(tuple(agents.__path__))[kind]


def model_of(kind: str) -> type[Kind]:
    """Return the model of a kind's section.

    Raises:
        SettingsError: It cannot be imported, or is not there.
    """
    name = "".join(map(str.capitalize, kind.split("_")))
    file = _folder(kind) / "settings.py"
    try:
        module = import_module(f"{agents.__name__}.{kind}.settings")
    except Exception as error:  # noqa: BLE001 - whatever a file of the operator's does
        raise SettingsError(
            [f"{file}: this cannot be imported ({type(error).__name__}: {error}); correct it."]
        ) from None
    model = getattr(module, name, None)
    if not (isinstance(model, type) and issubclass(model, Kind)):
        raise SettingsError([f"{file}: there is no class {name} that derives from Kind; write one."])
    return model


def commands_of_kinds() -> Mapping[str, str]:
    """Return the modules of the subcommands of ``agents`` that kinds bring along, by the command's name."""
    return {
        file.stem: f"{agents.__name__}.{kind}.commands.{file.stem}"
        for kind in kinds()
        for file in sorted((_folder(kind) / "commands").glob("[!_]*.py"))
    }


def default_agents() -> tuple[str, ...]:
    """Return the names of the agents that kinds bring along."""
    return tuple(kind for kind in kinds() if (_folder(kind) / "default.yaml").is_file())


def default_of(agent_name: object) -> Mapping[str, Any]:
    """Return what an agent of this name has that its settings do not state."""
    return _default(_folder(agent_name)) if isinstance(agent_name, str) and agent_name in default_agents() else {}


@cache
def _default(folder: Path) -> Mapping[str, Any]:
    file = folder / "default.yaml"
    try:
        stated = parse_yaml(file.read_bytes())
    except ValueError as error:
        raise SettingsError([f"{file}: {error}."]) from None
    if not isinstance(stated, dict):
        raise SettingsError([f"{file}: this holds no mapping; write keys such as vmid."])
    return {**stated, folder.name: {}}


def fault_of_own_kind(error: BaseException) -> str | None:
    """Return a sentence about the file of a kind of the operator's that an error comes from; none where it comes from elsewhere."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if any(Path(frame.filename).is_relative_to(place) for place in agents.__path__[1:]):
            return f"{frame.filename}, line {frame.lineno}: this fails ({type(error).__name__}: {error}); correct it."
    return None


# One of them in an agent's settings -------------------------------------------------------------------------------


class Sections(dict[str, Any]):
    """What an agent states under the names of kinds, none of it checked yet."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> tuple[Sections, dict[str, Any]]:
        """Take apart what an agent states: its sections, and all else."""
        known = kinds()
        stated = cls({key: value for key, value in values.items() if key in known})
        return stated, {key: value for key, value in values.items() if key not in known}


class KindOf:
    """The type of a kind's section, which is imported when somebody asks for it."""

    def __init__(self, kind: str) -> None:
        """Keep the kind's name."""
        self._kind = kind

    @property
    def model(self) -> type[Kind]:
        """The section's model."""
        return model_of(self._kind)


class OneSection:
    """Marks the one section of an agent, whose errors and whose JSON Schema are at the key of its kind."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check with the kind's model, which is imported for that."""
        return core_schema.with_info_plain_validator_function(
            _checked, serialization=core_schema.plain_serializer_function_ser_schema(lambda it: it)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe each kind, by reference: what stands alone would be written out."""
        properties = {}
        for kind in kinds():
            model = model_of(kind)
            section = handler(core_schema.chain_schema([model.__pydantic_core_schema__]))
            what = str(model.__doc__).partition("\n")[0]
            properties[kind] = {
                "anyOf": [section, {"type": "null"}],
                "default": None,
                "description": f"{what} Defaults to none.",
            }
        return {"properties": properties}


def _checked(value: object, info: ValidationInfo) -> Kind | None:
    if value is None or isinstance(value, Kind):
        return value
    if not isinstance(value, Sections):
        # Nobody states it under the name that it has here.
        raise PydanticKnownError("extra_forbidden")
    stated = {kind: section for kind, section in value.items() if section is not None}
    if len(stated) > 1:
        first, *others = stated
        sentence = f"an agent is of one kind, and this one is {first} already; leave one of them out"
        raise ProblemsError([Problem((other,), sentence) for other in others])
    for kind, section in stated.items():
        try:
            return model_of(kind).model_validate(section, context=info.context)
        except ValidationError as error:
            raise ProblemsError(it.below((kind,)) for it in Problem.all_of(error)) from None
    return None
