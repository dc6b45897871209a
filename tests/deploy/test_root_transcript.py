"""All that runs as root: the commands of a first deploy, none in a second, and how often the node is looked at."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from pve_agents import host_step
from tests.deploy.project import FAST, HDD, HERMES_ROOT, STEPS, Project, TerraformRun, terraform
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

MOST_COMMANDS = 15


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """One reviewed JSON file for each snapshot."""
    return snapshot.use_extension(JSONSnapshotExtension)


def transcript(applied: TerraformRun) -> list[str]:
    """The commands that a deploy says it runs; what a hash is, another version of a document decides."""
    lines = re.findall(r"^\[hermes\] (\$ .*)", applied.said, re.MULTILINE)
    return [re.sub(r"\b[0-9a-f]{40,}\b", "…", line) for line in lines]


def run_again(project: Project) -> TerraformRun:
    """Deploy a program of another text: every step runs again, and finds what it has done."""
    file = project.stack(HERMES_ROOT) / "cdk.tf.json"
    text, stack = file.read_text(), project.json(HERMES_ROOT)
    for step in STEPS:
        kind, name = step.split(".")
        text = text.replace(stack["resource"][kind][name]["triggers"]["revision"], f"another-{name}")
    file.write_text(text)
    applied = project.apply(stack=HERMES_ROOT)
    assert applied.actions == dict.fromkeys(STEPS, "replace")
    return applied


def test_the_whole_transcript_of_a_first_deploy_and_of_a_second(
    project: Project, virtual_node: VirtualNode, snapshot: SnapshotAssertion
) -> None:
    first = transcript(project.deploy_both())
    ran = [call for call in virtual_node.host.lines("calls") if call[0] in {"mkdir", "chown", "chmod", "pct"}]
    second = transcript(run_again(project))

    # Nothing runs that is not said.
    assert len(ran) == len(first) <= MOST_COMMANDS
    assert second == []
    assert {"first deploy": first, "second deploy": second} == snapshot


@pytest.fixture
def done(project: Project, virtual_node: VirtualNode) -> Project:
    """An agent that is as wanted, and a node that nobody has looked at since."""
    project.create_container()
    project.configure(hermes=None, secrets=["LITELLM_API_KEY"])
    project.synthesize()
    project.apply(stack=HERMES_ROOT)
    forget(virtual_node)
    return project


def forget(node: VirtualNode) -> None:
    node.forget_host_changes()
    (node.host.directory / "ssh-calls").unlink()


def reached(node: VirtualNode) -> tuple[list[str], int]:
    """The programs of the node that have run besides those that look, and how often anything reached it."""
    looks = {"stat", "dpkg-query", "lxc-info", "lxc-attach"}
    others = [" ".join(call) for call in node.host.lines("calls") if call[0] not in looks]
    return [call for call in others if not call.startswith("guest-")] + node.host_changes, len(node.ssh_calls)


NOTHING_BUT_ONE_LOOK: tuple[list[str], int] = ([], 1)


def test_a_deploy_with_nothing_to_change_looks_once_for_all_steps(done: Project, virtual_node: VirtualNode) -> None:
    said = run_again(done).said

    assert said.count("[hermes] all is as wanted") == len(STEPS)
    assert reached(virtual_node) == NOTHING_BUT_ONE_LOOK


def test_a_plan_that_replaces_all_steps_for_a_new_program_says_that_nothing_leaves(
    done: Project, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_step, "_MAIN", host_step._MAIN + b"# another version\n")
    done.settings.write_text(f"{done.settings.read_text()}# the same settings\n")
    done.synthesize()

    shown = done.run(terraform(), f"-chdir={done.stack(HERMES_ROOT)}", "plan", "-no-color", "-input=false").text

    assert "Plan: 4 to add, 0 to change, 4 to destroy" in shown
    assert len(re.findall(r'~ "program" = "\w{8}; ([^"]+)" -> "\w{8}; \1"', shown)) == len(STEPS)
    assert "another one only runs each step again: nothing leaves the node or the container" in shown
    said = done.apply(stack=HERMES_ROOT).said
    again = "[hermes] replaced to run again: nothing is taken back, data and files stay where they are"
    assert said.count(again) == len(STEPS)
    assert reached(virtual_node) == NOTHING_BUT_ONE_LOOK


@pytest.mark.parametrize(("command", "says"), [("plan", "nothing would run as root"), ("drift", "all is as wanted")])
def test_a_look_with_nothing_to_change_is_one(
    done: Project, virtual_node: VirtualNode, command: str, says: str
) -> None:
    assert says in done.agents(command).text
    assert reached(virtual_node) == NOTHING_BUT_ONE_LOOK


def test_drift_before_the_first_deploy_as_root_says_all_that_it_would_do(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.create_container()

    first = project.agents("drift", "hermes", ok=False)

    assert first.code == 1
    found = [line.removeprefix("[hermes] ") for line in first.raw.splitlines()]
    begins = [
        *(f"mkdir -m 0750 -- {HDD}", f"(cd -P -- {HDD} && chown 110000:110000 .)"),
        *(f"mkdir -m 0750 -- {FAST}", f"(cd -P -- {FAST} && chown 110000:110000 .)"),
        *("pct set 118 --mp0 ", "pct reboot 118 --timeout 180"),
        *["timeout -k 30 300 pct exec 118 "] * 2,
        "timeout -k 30 ",
    ]
    # Each below its reason; what runs in the container is a script of several lines.
    commands = [line for before, line in pairwise(found) if before.startswith("# ")]
    assert [line[: len(start)] for line, start in zip(commands, begins, strict=True)] == begins
    assert found[-1] == "9 would change"
    assert reached(virtual_node) == NOTHING_BUT_ONE_LOOK
    assert project.agents("plan", "--root", "hermes").raw.splitlines() == first.raw.splitlines()[:-1]


def test_drift_before_any_deploy_says_what_to_deploy_first_and_what_it_would_do_to_the_node(
    project: Project, virtual_node: VirtualNode
) -> None:
    first = project.agents("drift", "hermes", ok=False)

    assert first.code == 3
    assert "there is no container 118: run `pipenv run agents up hermes` first" in first.text
    assert f"mkdir -m 0750 -- {HDD}" in first.text
    assert reached(virtual_node) == NOTHING_BUT_ONE_LOOK
