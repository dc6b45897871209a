"""What an agent's container holds of an installation that was there before: set aside and moved, nothing is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pve_agents.host.commands import Plan
from pve_agents.host.facts import Facts
from pve_agents.host.plan_container import guards, why_not_ours
from pve_agents.host.plan_guest import script_in_guest
from pve_agents.host.wanted import Wanted

__all__ = ["Before", "plan_takeover"]

_MARGIN_SECONDS = 1800
# It can be run again after a kill anywhere, and finds nothing to do when the agent runs as it is wanted: its containers are
# those of the Compose project that is called as it is.
_TAKE_OVER = """\
set -eu
agent=$1 container=$2 seconds=$3 before=$4 data=$5 owner=$6
shift 6
moves=no
if [ -e "$before" ] && [ ! -e "$data" ]; then moves=yes; fi
label='{{index .Config.Labels "com.docker.compose.project"}}'
if project=$(docker container inspect --format "$label" "$container" 2>&1); then
  if [ "$moves" = yes ] || [ "$project" != "$agent" ]; then docker container stop -t "$seconds" "$container"; fi
  if [ "$project" != "$agent" ]; then
    docker container update --restart no "$container"
    docker container rename "$container" "$container-before"
  fi
fi
if [ "$moves" = yes ]; then mv -T -- "$before" "$data"; fi
if [ -e "$data" ]; then chown -R -h "$owner" -- "$data"; fi
for workspace; do chown -R -h --from=0 "$owner" -- "$workspace"; done
"""


@dataclass(frozen=True)
class Before:
    """An installation of the same software by hand, in the same container."""

    container: str
    """Name of its Docker container, which makes way for ours."""
    data: str
    """Directory that held its data."""
    new_data: str
    """Directory where ours looks for it."""
    owner: str
    """User and group that the data is to belong to, as ``chown`` writes them."""
    workspaces: Sequence[str]
    """Directories in which what belongs to the container's root is to belong to the same user."""
    stop_seconds: int
    """How long the Docker container may take to stop."""


def plan_takeover(wanted: Wanted, facts: Facts, before: Before) -> Plan:
    """Have the old installation make way, and its data where the agent looks for it.

    The old Docker container stays, under another name and stopped: it is the way back.
    """
    if why_not_ours(wanted, facts) or facts.guest is None:
        return Plan()
    old = (before.container, str(before.stop_seconds), before.data, before.new_data, before.owner)
    words = (wanted.agent, *old, *before.workspaces)
    reason = (
        f"{before.container} of before makes way, as {before.container}-before; {before.data} becomes {before.new_data}; "
        f"what belongs to root there, and in {' and '.join(before.workspaces) or 'no workspace'}, belongs to {before.owner}"
    )
    command = script_in_guest(wanted, _TAKE_OVER, words, reason, seconds=before.stop_seconds + _MARGIN_SECONDS)
    return Plan((replace(command, always=True),), guards=guards(wanted))
