"""Makes checks: all at once that need no answer of another one, each within its time."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pve_agents.findings import Check, Finding, Outcome, failed, skipped

__all__ = ["run"]

Report = Callable[[Finding], None]

_AGAIN = "run it again; if it stays so, look at what is between here and there"


@dataclass
class _Making:
    """Checks, those of them that are being made, and what came of the others."""

    checks: Sequence[Check]
    began: dict[Check, float] = field(default_factory=dict)
    found: dict[Check, Finding] = field(default_factory=dict)
    answers: queue.SimpleQueue[tuple[Check, Outcome]] = field(default_factory=queue.SimpleQueue)

    def begin(self) -> None:
        """Begin each check whose ground is there, and skip those whose ground is gone."""
        waiting = [it for it in self.checks if it not in self.began and it not in self.found]
        for check in waiting:
            grounds = [it for it in check.after if it in self.checks]
            if not all(it in self.found for it in grounds):
                continue
            if gone := [self.found[it] for it in grounds if self.found[it].status in ("failed", "skipped")]:
                self.end(check, skipped(_why_skipped(gone[0])))
            else:
                self.began[check] = time.monotonic()
                # A daemon: nobody waits for what hangs.
                threading.Thread(target=self._ask, args=(check,), daemon=True).start()

    def wait(self) -> None:
        """Wait for the next answer, or for the end of somebody's time."""
        running = [it for it in self.began if it not in self.found]
        if not running:
            return
        deadline = min(self.began[it] + it.seconds for it in running)
        try:
            check, outcome = self.answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            for check in running:
                if self.began[check] + check.seconds <= time.monotonic():
                    self.end(check, failed(f"no answer within {check.seconds:g} seconds", _AGAIN))
            return
        if check not in self.found:
            self.end(check, outcome)

    def end(self, check: Check, outcome: Outcome) -> None:
        """Keep what came of a check."""
        seconds = time.monotonic() - self.began[check] if check in self.began else 0.0
        self.found[check] = Finding(
            check.name, outcome.status, outcome.detail, outcome.remedy, seconds, agent=check.agent
        )

    def _ask(self, check: Check) -> None:
        try:
            outcome = check.ask()
        except Exception as error:  # noqa: BLE001 - one broken check is no reason to say nothing of the others
            # Its words may hold a URL, and with it a token.
            outcome = failed(f"this check itself is broken ({type(error).__name__})", "report it, with this line")
        self.answers.put((check, outcome))


def run(checks: Sequence[Check], report: Report) -> list[Finding]:
    """Make all checks.

    Args:
        checks: They, those first that others come after.
        report: Gets each finding, in the order of the checks, as soon as those before it are there.

    Returns:
        The findings in that order.
    """
    making = _Making(checks)
    reported = 0
    while reported < len(checks):
        making.begin()
        while reported < len(checks) and checks[reported] in making.found:
            report(making.found[checks[reported]])
            reported += 1
        making.wait()
    return [making.found[it] for it in checks]


def _why_skipped(ground: Finding) -> str:
    """Why a check has no ground; where the ground was skipped itself, for the same reason."""
    return ground.detail if ground.status == "skipped" else f"{ground.name} has to be well first"
