"""The checks of agents that are deployed: that they are as declared, answer, and write to the host."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from pve_agents.host.place import place_of
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.verify import Check, verify
from pve_agents.operator.output import Output
from pve_agents.operator.project import Project
from pve_agents.operator.stopped import DONE, FAILED, UNREACHED, WRONG_INPUT
from pve_agents.operator.wants import wanted_of
from pve_agents.settings import Agent

__all__ = ["verify_all"]


@dataclass
class _Verification:
    """What came of the checks of one agent."""

    checks: list[Check] = field(default_factory=list)
    status: int = DONE

    def count(self, status: str) -> int:
        """Return how many checks have this status."""
        return sum(check.status == status for check in self.checks)

    def end(self, agent: str) -> str:
        """Return how many there were of which kind, in a line."""
        number, failed, skipped = len(self.checks), self.count("failed"), self.count("skipped")
        counts = [f"{number} check{'' if number == 1 else 's'}", f"{failed} failed"]
        return f"{agent}: {', '.join(counts + [f'{skipped} skipped'] * bool(skipped))}"


def verify_all(
    agents: Iterable[Agent],
    project: Project,
    *,
    chat: bool = True,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Verify agents, one after the other, and print what comes of it.

    Args:
        agents: The agents.
        project: The project, with the variables of whoever looks.
        chat: Whether each shall have a turn with its model.
        as_json: Print one document for machines, and not a line for each check.
        quiet: Print only what failed.

    Returns:
        The worst exit status.
    """
    out = Output()

    def print_check(check: Check) -> None:
        if not as_json and (check.status == "failed" or not quiet):
            out.check(check.status, check.name, check.detail, check.seconds, check.remedy)

    results: dict[str, _Verification] = {}
    for agent in agents:
        texts: list[str] = []
        results[agent.name] = found = _verify(
            agent,
            project.of(agent),
            chat=chat,
            on_check=print_check,
            on_text=texts.append if as_json or quiet else out.line,
        )
        if not as_json and (found.count("failed") or not quiet):
            out.line(found.end(agent.name))
        if texts and (as_json or found.status == UNREACHED):
            print(*texts, sep="\n", file=sys.stderr)  # noqa: T201
    if as_json:
        documents = {
            name: {"ok": result.status == DONE, "checks": [asdict(check) for check in result.checks]}
            for name, result in results.items()
        }
        out.line(json.dumps({"agents": documents}, indent=2))
    return max(result.status for result in results.values())


def _verify(
    agent: Agent,
    variables: Mapping[str, str],
    *,
    chat: bool,
    on_check: Callable[[Check], None],
    on_text: Callable[[str], None],
) -> _Verification:
    found = _Verification()

    def add(check: Check) -> None:
        found.checks.append(check)
        on_check(check)

    def broken(status: int, reason: str, error: Exception) -> _Verification:
        # What was not checked is not well.
        add(Check("verification", "failed", 0.0, reason, "read the message on standard error"))
        print(f"[{agent.name}] {error}", file=sys.stderr)  # noqa: T201
        found.status = status
        return found

    try:
        wanted = wanted_of(agent)
        place = place_of(wanted, variables, on_text)
        is_well = verify(place, chat=chat, on_check=add, on_text=on_text)
    except WrongSettingsError as error:
        return broken(WRONG_INPUT, "it did not begin: the settings are wrong", error)
    except UnreachedError as error:
        return broken(UNREACHED, "it did not come to its end: what is not listed here was not checked", error)
    found.status = DONE if is_well else FAILED
    return found
