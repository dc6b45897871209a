"""What root has to do, or why it does not: a pure function of what is wanted and of what was seen."""

from __future__ import annotations

from dataclasses import replace

from pve_agents.host.commands import Plan, refused
from pve_agents.host.facts import Container, Facts, GuestFacts
from pve_agents.host.plan_container import plan_config, why_not_ours
from pve_agents.host.plan_directories import plan_directories
from pve_agents.host.plan_guest import Delivery, plan_guest
from pve_agents.host.wanted import Wanted

__all__ = ["foreseen", "plan"]


def plan(wanted: Wanted, facts: Facts, delivery: Delivery) -> Plan:
    """All commands that make node and container what is wanted, in their order; none if they are."""
    if problem := why_not_ours(wanted, facts):
        # Before the first deploy, a look says all the same what is to be done on the node, or what is in the way there.
        is_first = facts.node == wanted.node and wanted.vmid not in facts.containers and not facts.elsewhere
        return (plan_directories(wanted, facts) if is_first else Plan()) + refused(problem)
    if wanted.by_console:
        return plan_guest(wanted, facts, delivery)
    return plan_directories(wanted, facts) + plan_config(wanted, facts) + plan_guest(wanted, facts, delivery)


def foreseen(wanted: Wanted, facts: Facts) -> Facts:
    """What would be seen if the token stack had just made the container, taken it over, or attached its volumes."""
    there = facts.containers.get(wanted.vmid)
    running = there.running if there else {"features": "nesting=1", "unprivileged": "1"}
    # Of a volume, its place alone is root's business.
    volumes = {it.key: f"VOLUME,mp={it.place}" for it in wanted.volumes}
    container = Container(wanted.vmid, {**running, **volumes, "hostname": wanted.hostname, "tags": wanted.tag})
    return replace(
        facts,
        containers={**facts.containers, wanted.vmid: container},
        state="running",
        # Of a configuration that is not there yet.
        digest="DIGEST",
        guest=facts.guest or GuestFacts(is_whole=True),
    )
