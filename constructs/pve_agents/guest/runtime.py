"""What runs an agent's services in the container, as all other parts see it. ``by_docker.py`` and ``by_systemd.py`` are the ways."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pve_agents.guest.answers import Check
from pve_agents.guest.machine import Ran
from pve_agents.guest.services import Workspace

__all__ = ["Facts", "Holding", "Runtime", "Step"]


@dataclass(frozen=True)
class Step:
    """A step of a deploy."""

    name: str
    do: Callable[[], object]
    changes: bool = True
    """Whether it may change something, and says whether it did."""


@dataclass(frozen=True)
class Facts:
    """How a service is."""

    what: str
    """What it is called in a sentence, such as ``container wiki``."""

    is_running: bool = False
    is_over: bool = False
    """Whether it does not come up by itself."""

    is_there: bool = True
    detail: str = ""
    """What it is at, while it is neither."""

    fault: str = ""
    """Why it is not up."""

    remedy: str = ""


@dataclass(frozen=True)
class Holding:
    """A directory that another version may change, so that the one before cannot read it any more."""

    name: str
    """What its copy is called."""

    directory: str
    services: tuple[str, ...]
    """Who must stand still while it is copied."""

    versions: tuple[str, ...]
    """What runs on it: the references of images, or the name of a release."""


class Runtime(ABC):
    """One way to run an agent's services."""

    version_word: str
    """What a version is: an image, a release."""

    side: str
    """What it is called where only one may run (``sides.py``)."""

    # deploy -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self) -> list[Step]:
        """Return the steps that disturb nobody: what runs goes on meanwhile."""

    @abstractmethod
    def replace(self) -> Step:
        """Return the step that stops what is to be replaced, and starts what is wanted."""

    @abstractmethod
    def replaced_version(self) -> str:
        """Return which version answers until :meth:`replace`, and is to answer again if the new one does not; or nothing."""

    @abstractmethod
    def go_back_to(self, version: str) -> None:
        """Have a version run that :meth:`replaced_version` has named."""

    @abstractmethod
    def wait_for_others(self) -> None:
        """Wait until the services beside the agents are ready."""

    @abstractmethod
    def tidy(self) -> None:
        """Remove versions that nobody goes back to, once all have answered."""

    # one service ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def facts(self, service: str) -> Facts:
        """Return how a service is."""

    @abstractmethod
    def memory_fault(self, service: str) -> str:
        """Return whether the kernel has ended processes of a running service for want of memory, or nothing."""

    @abstractmethod
    def log(self, service: str) -> list[str]:
        """Return the last lines of a service's output that say what went wrong."""

    @abstractmethod
    def run_inside(self, service: str, *words: str, seconds: float, stdin: bytes, joined: bool) -> Ran:
        """Run a program where a service runs, as the agent's user and in its environment."""

    @abstractmethod
    def entrance(self, service: str) -> tuple[str, ...]:
        """Return what comes before a command that a person wants to run where a service runs; nothing where it does not."""

    @abstractmethod
    def as_owner(self, workspace: Workspace, command: tuple[str, ...], seconds: float) -> Ran:
        """Run a program as the owner of a workspace, where the agent runs as the agent sees it."""

    @abstractmethod
    def remedy_of_silence(self, service: str) -> str:
        """Return what to do about a service that does not answer from inside."""

    @abstractmethod
    def remedy_of_log(self, service: str) -> str:
        """Return where to look for what a service says."""

    # the data ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def holdings(self) -> list[Holding]:
        """Return all that the services keep."""

    @abstractmethod
    def wanted_on(self, holding: Holding) -> str:
        """Return the id of what is to run on it, without a blank; empty if that is not here."""

    @abstractmethod
    def found_on(self, holding: Holding) -> str:
        """Return the id and the name of what is there to run on it, where nothing else is known of it; or nothing."""

    @abstractmethod
    def ended(self, holding: Holding) -> str:
        """Return a word that tells one end of its services from another one; empty if they never ran."""

    @abstractmethod
    def stop_services(self, names: Iterable[str]) -> None:
        """Stop services, with the time that they need.

        Raises:
            FailureError: They do not stop.
        """

    @abstractmethod
    def start_services(self, names: Iterable[str]) -> None:
        """Start services again that :meth:`stop_services` has stopped."""

    @property
    @abstractmethod
    def version_setting(self) -> str:
        """What the setting is called that says which version runs."""

    # verify -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield what is well and what is not of all services."""

    @abstractmethod
    def private_files(self) -> dict[str, str]:
        """Return files with secrets beside those of the agents, and whose each must be."""
