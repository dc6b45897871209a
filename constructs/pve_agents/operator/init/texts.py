"""What the files of credentials begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from pydantic import SecretStr

from pve_agents.environment import ROOT_FILE
from pve_agents.host.given import secret_line
from pve_agents.node_access import TOKEN
from pve_agents.operator.init.asking import endpoint_of, host_of
from pve_agents.questions import SecretNote
from pve_agents.secret_values import secrets_variable

__all__ = ["root_text", "secrets_file", "secrets_text", "token_text"]

_DIRECTORY = f"~/{PurePosixPath(ROOT_FILE).parent}"


def secrets_file(agent: str) -> str:
    """Return the file for an agent's secrets, as the operator would write it."""
    return f"{_DIRECTORY}/{agent}.env"


def token_text(address: str, agents: Iterable[str] = ()) -> str:
    """Return ``.env``.

    Args:
        address: The node's.
        agents: Those whose secrets the token's stacks deliver. Defaults to none.
    """
    files = _files(agents)
    delivered = f"\n# Secrets that go through a container's console (delivery: console).\n{files}" if files else ""
    return f"""\
# For the stacks that use the API token. Nothing of root's belongs here: that is in {_DIRECTORY}/root.env.
PROXMOX_VE_ENDPOINT={endpoint_of(address)}

# true: the node's certificate is not verified. Better: install /etc/pve/pve-root-ca.pem of the node here, and say false.
PROXMOX_VE_INSECURE=true
{delivered}
# Below comes the line that build/token.sh prints: {TOKEN}=USER@REALM!NAME=SECRET
"""


def root_text(address: str, agents: Iterable[str]) -> str:
    """Return ``root.env``."""
    return f"""\
# For the stacks of root. Nobody is asked for a password: the key is in your ssh agent, the host key known.
PVE_SSH=root@{host_of(address)}
{_files(agents)}"""


def _files(agents: Iterable[str]) -> str:
    return "".join(f"{secrets_variable(it)}={secrets_file(it)}\n" for it in agents)


def secrets_text(
    agent: str, names: Iterable[str], notes: Mapping[str, SecretNote], values: Mapping[str, SecretStr]
) -> str:
    """Return an agent's secrets file.

    Args:
        agent: Its name.
        names: Its secrets.
        notes: What is to be known of them; one that says how is made up here.
        values: Those that the operator has given.
    """
    lines = [f"# The secrets of the agent {agent}: a value behind each =, and nothing behind the value.\n"]
    for name in names:
        note = notes.get(name, SecretNote("The settings name this one."))
        value = values[name].get_secret_value() if name in values else note.generate() if note.generate else ""
        lines.append(f"\n# {note.comment}\n{secret_line(name, value)}")
    return "".join(lines)
