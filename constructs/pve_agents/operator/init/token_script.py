"""The script that makes the API token on a node, with what exactly these agents need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pve_agents.privileges import NETWORK, NETWORK_ROLE, Wanted, lacking, network_path, zone_commands
from pve_agents.settings import Agent, Storage
from pve_agents.settings.homelab import STORAGE_STACK

__all__ = ["token_script"]

_TEXT = r"""#!/usr/bin/env bash
# Gives the API token {token} what the stacks of homelab.yaml need. Written by `agents init`; as root on the node:
#   {command}
# It may be run again: what is there stays. Nothing but the token's line goes to standard output.
main() (
  set -euo pipefail
  exec 3>&1 1>&2
  user={user} token='{token}'
  users=$(pveum user list --output-format json)
  [[ $users == *"\"userid\":\"$user\""* ]] || pveum user add "$user" --comment 'deploys AI agents'
  tokens=$(pveum user token list "$user" --output-format json)
  if [[ $tokens == *'"tokenid":"{name}"'* ]]; then
    echo "$token is there already, and no secret is shown twice. For a new one, run this and then the script again:
  pveum user token remove $user {name}"
  else
    made=$(pveum user token add "$user" {name} --privsep 1 --output-format json)
    echo "PROXMOX_VE_API_TOKEN=$token=$(grep -o '"value":"[^"]*' <<<"$made" | cut -d'"' -f4)" >&3
  fi

  give() {{ # ROLE PATH PRIVILEGES; a token has what its user has too
    pveum role add "$1" --privs "$3" 2>/dev/null || pveum role modify "$1" --append 1 --privs "$3"
    pveum acl modify "$2" --roles "$1" --users "$user" --tokens "$token"
  }}
{gifts}
)
main
"""


def token_script(agents: Iterable[Agent], *, user: str, name: str, command: str, storage: Storage | None = None) -> str:
    """Return the script.

    Args:
        agents: Those whose token stacks it is for.
        user: The token's user.
        name: The token's name below its user.
        command: What runs the script on the node.
        storage: The pet container, for whose stack it is, too. Defaults to none.
    """
    wanted = list(agents)
    stacks = [*map(Wanted.by, wanted), *([Wanted.by_storage(storage, STORAGE_STACK)] if storage else [])]
    gifts = dict.fromkeys([*(line for it in stacks for line in _of(it)), *_of_bridges(wanted)])
    return _TEXT.format(
        token=f"{user}!{name}", user=user, name=name, command=command, gifts="\n".join(f"  {it}" for it in gifts)
    )


def _of(wanted: Wanted) -> Iterator[str]:
    """All that the token would lack if it had nothing."""
    for need in lacking(wanted, lambda _: set()):
        yield f"give {need.role} {need.grant_path} '{' '.join(need.privileges)}'"


def _of_bridges(agents: Iterable[Agent]) -> Iterator[str]:
    for bridge in dict.fromkeys(agent.network.bridge for agent in agents):
        yield f"# {bridge} is in the zone that its vnet names, or in localnetwork if it is none."
        yield from zone_commands(bridge)
        yield f'give {NETWORK_ROLE} "{network_path(bridge)}" {NETWORK}'
