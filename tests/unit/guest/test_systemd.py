"""What systemd says of a unit, judged."""

from __future__ import annotations

import pytest

from pve_agents.guest.machine import Machine
from pve_agents.guest.systemd import UnitState, environment_of


@pytest.mark.parametrize(
    ("values", "is_over"),
    [
        ({"ActiveState": "inactive", "Job": "0"}, True),
        ({"ActiveState": "failed", "Job": "0"}, True),
        # It was told to start, and has not come to it yet: on a busy machine that takes a while.
        ({"ActiveState": "inactive", "Job": "812"}, False),
        ({"ActiveState": "failed", "Job": "812"}, False),
        ({"ActiveState": "active", "Job": "0", "MainPID": "7"}, False),
        ({"ActiveState": "activating", "Job": "0", "NRestarts": "5"}, True),
    ],
)
def test_a_unit_is_over_where_nothing_is_about_to_start_it(values: dict[str, str], is_over: bool) -> None:  # noqa: FBT001
    assert UnitState("pve-agent-hermes", values).is_over is is_over


class Starting(Machine):
    """One on which a process shows its environment after so many looks, or never."""

    def __init__(self, *errors: OSError) -> None:
        super().__init__()
        self.errors = list(errors)

    def read(self, path: str) -> bytes | None:
        assert path == "/proc/7/environ"
        if self.errors:
            raise self.errors.pop(0)
        return b"A=1\0B=2=3\0"

    def sleep(self, seconds: float) -> None:
        """Take no time."""


def test_a_process_that_becomes_another_program_is_asked_again() -> None:
    denied = PermissionError(13, "Permission denied", "/proc/7/environ")
    assert environment_of(Starting(denied, denied), 7) == {"A": "1", "B": "2=3"}
    assert environment_of(Starting(*[denied] * 100), 7) == {}


def test_a_process_that_has_ended_has_no_environment() -> None:
    assert environment_of(Starting(ProcessLookupError(3, "No such process")), 7) == {}
    assert environment_of(Starting(), 0) == {}
