"""What goes when a step is destroyed or replaced: only what it had attached, from a container that carries our tag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_agents.host.commands import Plan
from pve_agents.host.facts import Container, GuestFacts
from pve_agents.host.plan_leaving import plan_leaving, plan_stop
from pve_agents.host.wanted import Attached, Leaving
from tests.unit.host.model import DISK, OURS, TAG, WANTED, Node

HERMES = f"{DISK}/hermes"
MOUNTED = {"mp0": f"{HERMES},mp=/data,replicate=0"}
LEAVING = Leaving(118, {"mp0": HERMES})
DETACHED = "pct set 118 --delete mp0 --digest DIGEST"


def node(values: Mapping[str, str | None] = MOUNTED, **more: object) -> Node:
    running = {key: value for key, value in {**OURS, **values}.items() if value is not None}
    return Node(containers={118: Container(118, running)}, **more)  # type: ignore[arg-type]


def planned(on: Node, leaving: Leaving = LEAVING, *, replaced: bool = False, wanted: object = WANTED) -> Plan:
    step = "container-config"
    return plan_leaving(wanted, on.facts(), leaving, is_replaced=replaced, step=step)  # type: ignore[arg-type]


def lines(plan: Plan) -> list[str]:
    assert plan.refusals == ()
    return [re.sub(r"(?<=--digest )\w+", "DIGEST", command.line) for command in plan.commands]


# --- mounts and devices


@pytest.mark.parametrize(
    ("values", "replaced", "commands"),
    [
        pytest.param(MOUNTED, False, [DETACHED, "pct reboot 118 --timeout 180"], id="destroyed"),
        pytest.param(
            {"mp0": f"mp=data/,volume={HERMES},ro=1"},
            False,
            [DETACHED, "pct reboot 118 --timeout 180"],
            id="in other words",
        ),
        pytest.param({}, False, [], id="already gone"),
        pytest.param({"mp0": "/mnt/foreign,mp=/data"}, False, [], id="somebody else's by now"),
        pytest.param(
            {**MOUNTED, "hostname": "renamed"}, False, [DETACHED, "pct reboot 118 --timeout 180"], id="renamed"
        ),
        pytest.param(
            {**MOUNTED, "mp7": "/srv/x,mp=/x"},
            False,
            [DETACHED, "pct reboot 118 --timeout 180"],
            id="a neighbour stays",
        ),
        pytest.param(MOUNTED, True, [], id="replaced by the same"),
    ],
)
def test_what_a_step_had_attached_is_detached_once(
    values: dict[str, str | None], commands: list[str], *, replaced: bool
) -> None:
    on = node(values)
    plan = planned(on, replaced=replaced)
    assert lines(plan) == commands
    for command in plan.commands:
        on.obey(command)
    assert lines(planned(on, replaced=replaced)) == []


def test_files_of_the_node_are_in_no_command() -> None:
    plan = planned(node())
    assert {command.argv[:2] for command in plan.commands} == {("pct", "set"), ("pct", "reboot")}


def test_a_device_goes_like_a_mount_and_with_it() -> None:
    on = node({**MOUNTED, "dev0": "/dev/net/tun,mode=0666"})
    plan = planned(on, Leaving(118, {"mp0": HERMES, "dev0": "/dev/net/tun"}))
    assert lines(plan) == ["pct set 118 --delete dev0,mp0 --digest DIGEST", "pct reboot 118 --timeout 180"]


@pytest.mark.parametrize(
    ("wanted", "commands"),
    [
        (replace(WANTED, mounts=()), [DETACHED]),
        (replace(WANTED, mounts=(Attached("mp0", "/srv/other", "/data", {}),)), [DETACHED]),
        (replace(WANTED, mounts=(Attached("mp1", HERMES, "/data", {}),)), [DETACHED]),
        (replace(WANTED, mounts=(Attached("mp0", HERMES, "/elsewhere", {"ro": "1"}),)), []),
        (replace(WANTED, features={}), []),
    ],
)
def test_in_a_replacement_goes_only_what_is_not_wanted_any_more_and_the_step_that_comes_restarts(
    wanted: object, commands: list[str]
) -> None:
    assert lines(planned(node(), replaced=True, wanted=wanted)) == commands


def test_a_stopped_container_is_not_started() -> None:
    plan = planned(node(state="stopped"))
    assert lines(plan) == [DETACHED]
    assert "container 118 is stopped: its next start uses all this" in plan.notes


def test_a_reboot_that_got_lost_is_made_again() -> None:
    on = node()
    on.obey(planned(on).commands[0])
    assert lines(planned(on)) == ["pct reboot 118 --timeout 180"]


def test_what_took_the_key_meanwhile_is_named_and_left_alone() -> None:
    plan = planned(node({"mp0": "local-lvm:vm-118-disk-1,mp=/x,size=8G"}))
    assert (lines(plan), plan.notes) == ([], (f"mp0 is left alone: it does not hold {HERMES} any more",))


NOTHING = {
    "another vmid": (
        node(),
        Leaving(200, {"mp0": HERMES}),
        "what the agent had in container 200 stays there, since the settings name 118 now: look at it with `pct config 200`",
    ),
    "another node": (node(name="pve2"), LEAVING, "this is node pve2, not gihyeon"),
    "no container": (Node(containers={}), LEAVING, "there is no container 118 any more"),
    "no tag of ours": (
        node({**MOUNTED, "tags": f"ai;x{TAG}"}),
        LEAVING,
        "container 118 does not carry the tag pve-agents-hermes: it is left alone",
    ),
}


@pytest.mark.parametrize(("on", "leaving", "note"), NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_taken_from_what_is_not_ours(on: Node, leaving: Leaving, note: str, *, replaced: bool) -> None:
    plan = planned(on, leaving, replaced=replaced)
    assert (lines(plan), plan.notes) == ([], (note,))


@pytest.mark.parametrize(
    ("values", "remedy"),
    [({"protection": "1"}, "`pct set 118 --protection 0`"), ({"lock": "backup"}, "`pct unlock 118`")],
)
def test_what_proxmox_ve_would_not_let_go_is_refused_only_while_there_is_something_to_go(
    values: dict[str, str | None], remedy: str
) -> None:
    plan = planned(node({**MOUNTED, **values}))
    assert plan.commands == ()
    (refusal,) = plan.refusals
    assert remedy in refusal.text
    assert lines(planned(node(values))) == []


def test_the_commands_are_guarded_by_node_and_name_and_after_a_renaming_by_the_node_alone() -> None:
    said = [guard.otherwise for guard in planned(node()).guards]
    assert said == ["this is not node gihyeon", "container 118 is not called hermes any more"]
    said = [guard.otherwise for guard in planned(node({**MOUNTED, "hostname": "renamed"})).guards]
    assert said == ["this is not node gihyeon"]


KEYS = st.sampled_from(["mp0", "mp1", "mp255", "dev0"])
VALUES = st.sampled_from([f"{HERMES},mp=/data", "/srv/x,mp=/x", "local-lvm:vm-118-disk-1,mp=/y", "/dev/null"])
HELD = st.dictionaries(KEYS, st.sampled_from([HERMES, "/srv/x", "/dev/null", "/srv"]))


@given(st.dictionaries(KEYS, VALUES), HELD, st.booleans())
def test_whatever_a_state_says_nothing_goes_that_holds_anything_else_than_it_says(
    values: dict[str, str | None],
    held: dict[str, str],
    replaced: bool,  # noqa: FBT001 - made up
) -> None:
    on = node(values)
    plan = planned(on, Leaving(118, held), replaced=replaced)
    for command in plan.commands:
        on.obey(command)
    after = on.containers[118].configured
    for key, value in node(values).containers[118].configured.items():
        assert after.get(key) == value or held.get(key) == value.partition(",")[0]


# --- the agent

READY = GuestFacts(is_whole=True, executables=frozenset({"bootstrap"}))


def test_the_agent_is_stopped_and_nothing_waits_for_it() -> None:
    (command,) = plan_stop(WANTED, node(guest=READY).facts()).commands
    assert command.argv[-2:] == ("/opt/pve-agents/hermes/bootstrap", "--stop")
    assert (command.may_fail, command.timeout_seconds, command.step) == (True, 200, "bootstrap")


@pytest.mark.parametrize(
    ("on", "note"),
    [
        (node(guest=READY, state="stopped"), "nothing of hermes runs in container 118"),
        (node(guest=GuestFacts(is_whole=True)), "nothing of hermes runs in container 118"),
        (node({"tags": "ai"}, guest=READY), "container 118 does not carry the tag pve-agents-hermes: it is left alone"),
        (Node(containers={}), "there is no container 118 any more"),
        (node(name="pve2", guest=READY), "this is node pve2, not gihyeon"),
    ],
)
def test_where_none_of_ours_runs_nothing_is_stopped(on: Node, note: str) -> None:
    plan = plan_stop(WANTED, on.facts())
    assert (plan.commands, plan.notes) == ((), (note,))


def test_an_agent_without_a_bootstrap_is_not_stopped() -> None:
    assert plan_stop(replace(WANTED, bootstrap=None), node(guest=READY).facts()) == Plan()
