"""How an agent's node is reached: each way by its name, with all that others know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pve_agents.host.shell import RootShell, local, ssh
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import Node, Say
from pve_agents.host.wanted import Wanted

if TYPE_CHECKING:
    from pve_agents.host.paste import Paste

__all__ = ["Transport", "is_by_hand", "place_of", "transport_of"]

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Transport:
    """A way to root's shell on a node."""

    name: str
    """What PVE_TRANSPORT says."""
    shell: Callable[[Wanted, Environment], RootShell] | None
    """Returns root's shell, which reaches nobody yet; none: a person carries everything there, secrets included."""
    login: Callable[[Environment, str], str]
    """Says in words who one is, and how, on a node."""
    seconds: float = 11.0
    """How long the first answer may take. Defaults to what ssh gives up after, and a little."""


def place_of(wanted: Wanted, environment: Environment, say: Say) -> Node | Paste:
    """Return the place where a plan's commands run: the node, as PVE_TRANSPORT names the way, or the container's console.

    Raises:
        WrongSettingsError: The environment does not say how to get there.
    """
    if wanted.by_console:
        # Here, and with it what speaks to the API: a step over ssh is over sooner than this is imported.
        from pve_agents.host.inside import Inside  # noqa: PLC0415

        return Inside.entered(wanted, environment, say)
    if shell := transport_of(environment).shell:
        return Node(wanted, shell(wanted, environment), say)
    from pve_agents.host.paste import Paste  # noqa: PLC0415 - as above

    return Paste(wanted, say, environment)


def transport_of(environment: Environment) -> Transport:
    """Return the way that PVE_TRANSPORT names.

    Raises:
        WrongSettingsError: There is none such.
    """
    name = environment.get("PVE_TRANSPORT") or "ssh"
    if name not in _TRANSPORTS:
        raise WrongSettingsError(f"PVE_TRANSPORT is {name!r}; write one of {', '.join(_TRANSPORTS)}")
    return _TRANSPORTS[name]


def is_by_hand(environment: Environment) -> bool:
    """Tell whether a person carries everything to the node."""
    found = _TRANSPORTS.get(environment.get("PVE_TRANSPORT", ""))
    return found is not None and found.shell is None


def _by_console(wanted: Wanted, environment: Environment) -> RootShell:
    from pve_agents.host.console import of_node  # noqa: PLC0415 - as above
    from pve_agents.host.login import Login  # noqa: PLC0415

    return of_node(Login(environment), wanted.node)


_ALL = (
    Transport("ssh", ssh, lambda it, node: f"{it.get('PVE_SSH', '')} on {node}, without a password"),
    Transport("local", local, lambda _, node: f"root on {node}, which this is"),
    Transport("paste", None, lambda *_: "paste: the read-only token is answered"),
    # Somebody types a password, and looks for a code.
    Transport("console", _by_console, lambda _, node: f"root@pam on {node}, in its own console", seconds=120.0),
)
_TRANSPORTS: Mapping[str, Transport] = {it.name: it for it in _ALL}
