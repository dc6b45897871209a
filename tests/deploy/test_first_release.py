"""An agent that the first release deployed: today's stacks take it over, and neither replace nor restart anything.

`data/first_release` has the JSON that the first release synthesized for the default homelab. What its programs left inside
the container, and that today's program takes it over, tests/scripts/test_taken_over.py shows.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.deploy.project import ADDRESS, CONTAINER, HERMES_ROOT, STEPS, TEMPLATE, TOKEN_CHECK, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

DATA = Path(__file__).parent / "data" / "first_release"
STACKS = ("hermes", HERMES_ROOT)


def as_the_first_release(project: Project) -> None:
    """Put its JSON in the place of ours, with programs that have nothing to do."""
    for stack in STACKS:
        text = (DATA / f"{stack}.json").read_text()
        (project.stack(stack) / "cdk.tf.json").write_text(text)
        for name in set(re.findall(r"python3 (assets/\S+)", text)):
            program = project.stack(stack) / name.rstrip('",\\')
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("")


@pytest.mark.long
def test_its_agent_is_taken_over_in_place(project: Project, virtual_node: VirtualNode) -> None:
    project.synthesize()
    as_the_first_release(project)
    assert project.apply().actions == dict.fromkeys((CONTAINER, TEMPLATE, TOKEN_CHECK), "create")
    project.agents("mend")
    assert project.apply(stack=HERMES_ROOT).actions == dict.fromkeys(STEPS, "create")
    before, reboots = virtual_node.container_config(118), virtual_node.reboots(118)
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()

    project.synthesize()
    by_token, by_root = project.apply(), project.apply(stack=HERMES_ROOT)

    assert by_token.actions == {ADDRESS: "create", CONTAINER: "update"}
    # Each step is run once by its new program, and finds what the old one did.
    assert by_root.actions == dict.fromkeys(STEPS, "replace")
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])
    assert (virtual_node.container_config(118), virtual_node.reboots(118)) == (before, reboots)
    assert [project.plan(stack=stack).actions for stack in STACKS] == [{}, {}]
