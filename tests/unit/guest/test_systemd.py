"""What systemd says of a unit, judged."""

from __future__ import annotations

import pytest

from pve_agents.guest.systemd import UnitState


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
