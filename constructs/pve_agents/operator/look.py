"""A look at an agent's node as root, what is not as the settings want it, and what mends it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pve_agents.host.commands import Plan
from pve_agents.host.facts import Facts
from pve_agents.host.given import read_given
from pve_agents.host.place import place_of
from pve_agents.host.plan import foreseen, plan
from pve_agents.host.plan_container import plan_config, why_not_ours
from pve_agents.host.plan_guest import Delivery
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import AS_WANTED, Node, act, interrupted
from pve_agents.operator.project import Project
from pve_agents.operator.stopped import INTERRUPTED, UNREACHED, WRONG_INPUT, Stopped
from pve_agents.operator.wants import wanted_of
from pve_agents.root_spec import payload_of, steps_of
from pve_agents.settings import Agent

__all__ = ["Look", "each"]


class Look:
    """One look at an agent's node, and what came of it."""

    def __init__(self, agent: Agent, variables: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Know where to look.

        Args:
            agent: The agent.
            variables: Root's own, and the agents' secrets.
            say: Gets each line about the agent.

        Raises:
            WrongSettingsError: The variables do not say how to get there.
        """
        self.say = say
        self._payload = payload_of(agent)
        self._variables = variables
        self.wanted = wanted_of(agent, self._payload)
        self._steps = tuple(steps_of(agent))
        self.place = place_of(self.wanted, variables, say)
        self.plan = Plan()

    @property
    def node(self) -> Node | None:
        """The node, where root's shell is reached without a person's hands."""
        return self.place if isinstance(self.place, Node) else None

    def see(self) -> Plan:
        """Look, and judge what was seen.

        Raises:
            WrongSettingsError: A secret cannot be right.
            UnreachedError: The node was not reached.
        """
        if self.node is None:
            self.plan = self._see_through_the_api()
        else:
            given = read_given(self.wanted.secrets, self._variables, agent=self.wanted.agent)
            self._delivery = given.with_payload(self._payload.archive)
            self.facts = self.node.look()
            self.plan = plan(self.wanted, self.facts, self._delivery)
        return self.plan

    def foresee(self) -> Plan:
        """Judge what would be seen if the token stack had just made the container."""
        if self.node is None:
            return Plan(notes=("what is to be pasted is shown when the container is there",))
        found = plan(self.wanted, foreseen(self.wanted, self.facts), self._delivery)
        if self.facts.state == "stopped":
            # What it holds already, nobody can see.
            outside = found.of("host-directories", "container-config")
            return outside + Plan(notes=("what is in the container is looked at when it runs",))
        return found

    def mend(self, *steps: str) -> int:
        """Run the commands, step by step, and the bootstrap in any case: what is amiss inside, it alone sees."""
        if not isinstance(self.place, Node):
            return self.place.act(self._whole, "")
        facts, delivery = self.facts, replace(self._delivery, run_again=True)

        def judge(facts: Facts) -> Plan:
            return plan(self.wanted, facts, delivery)

        for step in steps or self._steps:
            # What a later step needs was refused: it would only say the same once more.
            if status := act(self.place, facts, judge, step):
                return status
            facts = self.place.look(seen=self.place.seen)
        return AS_WANTED

    def _see_through_the_api(self) -> Plan:
        from pve_agents.host.paste import plan_paste  # noqa: PLC0415 - imports what speaks to the API

        facts = self.place.look()
        self._whole = plan_paste(self.wanted, facts, Delivery(archive=self._payload.archive))
        seen = plan_config(self.wanted, facts) if not why_not_ours(self.wanted, facts) else self._whole
        return seen + Plan(notes=("directories, payload and bootstrap are not looked at: the API does not show them",))


def each(agents: Iterable[Agent], project: Project, do: Callable[[Look], int]) -> int:
    """Look at one agent after the other, and do something with it; the worst status is the answer."""
    return max([_one(agent, project.of(agent), do) for agent in agents])


def _one(agent: Agent, variables: Mapping[str, str], do: Callable[[Look], int]) -> int:
    look: Look | None = None
    try:
        look = Look(agent, variables, lambda text: print(f"[{agent.name}] {text}", flush=True))  # noqa: T201
        look.see()
        return do(look)
    except WrongSettingsError as error:
        return _said(agent, error, WRONG_INPUT)
    except UnreachedError as error:
        return _said(agent, error, UNREACHED)
    except KeyboardInterrupt:
        raise Stopped(f"[{agent.name}] {interrupted(look.node if look else None)}", status=INTERRUPTED) from None


def _said(agent: Agent, error: Exception, status: int) -> int:
    print(f"[{agent.name}] {error}", file=sys.stderr)  # noqa: T201
    return status
