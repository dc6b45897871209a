"""The plan: a table of what is wanted and seen, and of what root then does, or why it does not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pve_agents.host.commands import Plan
from pve_agents.host.facts import Container, GuestFacts, PathFact
from pve_agents.host.plan import plan
from pve_agents.host.plan_guest import Delivery
from pve_agents.host.plan_leaving import plan_stop
from pve_agents.host.wanted import Attached, Directory, Wanted
from tests.unit.host.model import DELIVERY, DIRECTORY, DISK, OURS, ROOT, TAG, WANTED, Node, RefusedError

HERMES = f"{DISK}/hermes"
BARE = replace(WANTED, directories=(), mounts=(), payload=None, secrets=None, bootstrap=None)
BACKUP = Attached("mp0", HERMES, "/data", {"replicate": "0"})
HOT = "mp0 ist not there"
MADE = PathFact("directory", 110000, 110000, 0o750, DISK)


def made(wanted: Wanted = WANTED) -> Node:
    """A node on which all is as wanted."""
    node = Node()
    follow(node, wanted)
    return node


def follow(node: Node, wanted: Wanted) -> Plan:
    """Do all that the plan says."""
    done = plan(wanted, node.facts(), DELIVERY)
    assert done.refusals == ()
    for command in done.commands:
        node.obey(command)
    return done


def lines(planned: Plan) -> list[str]:
    """The commands without what every command in the container has."""
    assert planned.refusals == ()
    texts = []
    for command in planned.commands:
        words = ["(script)" if "\n" in word else word for word in command.argv]
        text = shlex.join(words).replace("--digest " + words[-1], "--digest DIGEST")
        text = re.sub(r"--keep-env 0 -- env -i PATH=\S+ HOME=/root LANG=C.UTF-8", "…", text)
        texts.append(f"{command.within}: {text}" if command.within else text)
    return [re.sub(r"[0-9a-f]{64}", "SHA256", text) for text in texts]


def config(node: Node, **values: str) -> None:
    node.containers[118] = Container(118, {**node.containers[118].running, **values})


def refusals(wanted: Wanted, node: Node) -> list[str]:
    planned = plan(wanted, node.facts(), DELIVERY)
    return [refusal.text for refusal in planned.refusals]


# --- commands


def test_a_first_deploy() -> None:
    assert lines(plan(WANTED, Node().facts(), DELIVERY)) == [
        f"mkdir -m 0750 -- {HERMES}",
        f"{HERMES}: chown 110000:110000 .",
        f"pct set 118 --mp0 {HERMES},mp=/data,replicate=0 --features keyctl=1,nesting=1 --digest DIGEST",
        "pct reboot 118 --timeout 180",
        "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes SHA256",
        "pct exec 118 … sh -c '(script)' sh /etc/pve-agents/hermes.env 0 0",
        "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes 'SHA256 SHA256'",
    ]


def test_what_is_as_wanted_needs_nothing() -> None:
    planned = plan(WANTED, made().facts(), DELIVERY)
    assert (planned.commands, planned.refusals, planned.notes) == ((), (), ())


CHANGES: dict[str, tuple[Callable[[Node], object], list[str]]] = {
    "owner": (
        lambda node: node.paths.update({HERMES: replace(MADE, uid=0)}),
        [f"{HERMES}: chown 110000:110000 ."],
    ),
    "group": (
        lambda node: node.paths.update({HERMES: replace(MADE, gid=5)}),
        [f"{HERMES}: chown 110000:110000 ."],
    ),
    "mode": (lambda node: node.paths.update({HERMES: replace(MADE, mode=0o777)}), [f"{HERMES}: chmod 0750 ."]),
    "a bit that mkdir does not know": (
        lambda node: node.paths.update({HERMES: replace(MADE, mode=0o2750)}),
        [f"{HERMES}: chmod 0750 ."],
    ),
    "missing directory": (
        lambda node: node.paths.pop(HERMES),
        [f"mkdir -m 0750 -- {HERMES}", f"{HERMES}: chown 110000:110000 ."],
    ),
    "missing mount": (
        lambda node: without(node, "mp0"),
        [f"pct set 118 --mp0 {HERMES},mp=/data,replicate=0 --digest DIGEST"],
    ),
    "changed mount": (
        lambda node: config(node, mp0=f"{HERMES},mp=/data,ro=1"),
        [f"pct set 118 --mp0 {HERMES},mp=/data,replicate=0 --digest DIGEST", "pct reboot 118 --timeout 180"],
    ),
    "the same mount in other words": (
        lambda node: config(node, mp0=f"volume={HERMES},mp=data/,replicate=no,ro=off,size=0T"),
        [],
    ),
    "feature": (
        lambda node: config(node, features="nesting=1,fuse=1"),
        ["pct set 118 --features fuse=1,keyctl=1,nesting=1 --digest DIGEST", "pct reboot 118 --timeout 180"],
    ),
    "a value that waits for a start": (
        lambda node: node.containers.update({118: replace(node.containers[118], pending={"features": "keyctl=0"})}),
        ["pct set 118 --features keyctl=1 --digest DIGEST", "pct reboot 118 --timeout 180"],
    ),
    "a key that waits to go": (
        lambda node: node.containers.update({118: replace(node.containers[118], pending={"mp0": None})}),
        [f"pct set 118 --mp0 {HERMES},mp=/data,replicate=0 --digest DIGEST"],
    ),
    "payload": (
        lambda node: setattr(node, "guest", replace(node.guest, payload="0" * 64)),
        [
            "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes SHA256",
            "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes 'SHA256 SHA256'",
        ],
    ),
    "secrets": (
        lambda node: setattr(node, "guest", replace(node.guest, secrets=("0:0", "600", "0" * 64))),
        [
            "pct exec 118 … sh -c '(script)' sh /etc/pve-agents/hermes.env 0 0",
            "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes 'SHA256 SHA256'",
        ],
    ),
    "secrets that others may read": (
        lambda node: setattr(node, "guest", replace(node.guest, secrets=("0:0", "644", node.guest.secrets[2]))),  # type: ignore[index]
        [
            "pct exec 118 … sh -c '(script)' sh /etc/pve-agents/hermes.env 0 0",
            "pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes 'SHA256 SHA256'",
        ],
    ),
    "a bootstrap that did not end": (
        lambda node: setattr(node, "guest", replace(node.guest, done="")),
        ["pct exec 118 … sh -c '(script)' sh /opt/pve-agents/hermes 'SHA256 SHA256'"],
    ),
}


def without(node: Node, key: str) -> None:
    running = {name: value for name, value in node.containers[118].running.items() if name != key}
    node.containers[118] = Container(118, running)


@pytest.mark.parametrize(("change", "commands"), CHANGES.values(), ids=CHANGES)
def test_what_differs_is_mended_and_nothing_else(change: Callable[[Node], object], commands: list[str]) -> None:
    node = made()
    change(node)
    assert lines(plan(WANTED, node.facts(), DELIVERY)) == commands
    follow(node, WANTED)
    assert plan(WANTED, node.facts(), DELIVERY).commands == ()


def test_a_reboot_that_got_lost_is_made_again() -> None:
    node = Node()
    for command in plan(WANTED, node.facts(), DELIVERY).commands:
        if command.argv[:2] == ("pct", "reboot"):
            break
        node.obey(command)
    assert lines(plan(WANTED, node.facts(), DELIVERY))[0] == "pct reboot 118 --timeout 180"


def test_before_its_mounts_leave_the_agent_is_given_its_time_to_stop() -> None:
    (stop,) = plan_stop(WANTED, made().facts()).commands
    assert stop.argv[-2:] == (f"{DIRECTORY}/bootstrap", "--stop")
    assert stop.timeout_seconds == 200


def test_what_somebody_else_has_waiting_for_a_start_is_said_and_left_to_them() -> None:
    node = made()
    node.containers[118] = replace(node.containers[118], pending={"nameserver": "1.1.1.1"})
    planned = plan(WANTED, node.facts(), DELIVERY)
    assert planned.commands == ()
    assert planned.left == ("nameserver waits for a start: run `pct reboot 118 --timeout 180` on gihyeon",)


def test_who_mends_has_the_bootstrap_run_whatever_was_seen_and_once() -> None:
    again = replace(DELIVERY, run_again=True)
    (command,) = plan(WANTED, made().facts(), again).commands
    assert (command.step, command.always) == ("bootstrap", True)
    assert [it.always for it in plan(WANTED, Node().facts(), again).commands] == [False] * 7


def test_secrets_that_are_not_at_hand_stay_as_they_are_and_run_nothing_again() -> None:
    assert plan(WANTED, made().facts(), Delivery(secrets=None)).commands == ()


def test_a_stopped_container_is_configured_and_not_started() -> None:
    node = Node(state="stopped")
    planned = plan(WANTED, node.facts(), DELIVERY)
    assert "pct reboot 118 --timeout 180" not in [shlex.join(command.argv) for command in planned.commands]
    assert planned.of("host-directories", "container-config").refusals == ()
    told = "container 118 is stopped: run `pct start 118` on gihyeon, then this again"
    assert [(it.step, it.text) for it in planned.refusals] == [("payload", told), ("bootstrap", told)]


def test_a_device_is_attached_and_changed_like_a_mount() -> None:
    wanted = replace(BARE, devices=(Attached("dev0", "/dev/net/tun", "", {"mode": "0666"}),), features={})
    node = Node()
    node.paths |= {"/dev": ROOT, "/dev/net": ROOT, "/dev/net/tun": PathFact("character special file")}
    assert lines(plan(wanted, node.facts(), DELIVERY)) == ["pct set 118 --dev0 /dev/net/tun,mode=0666 --digest DIGEST"]
    follow(node, wanted)
    assert plan(wanted, node.facts(), DELIVERY).commands == ()


def test_a_directory_on_the_root_file_system_is_named_before_and_after_it_is_made() -> None:
    node = Node()
    assert plan(WANTED, node.facts(), DELIVERY).notes == ()
    node.paths[DISK] = ROOT
    question = "on the root file system: is the disk mounted?"
    assert plan(WANTED, node.facts(), DELIVERY).notes == (f"{HERMES} will be {question}",)
    follow(node, WANTED)
    assert plan(WANTED, node.facts(), DELIVERY).notes == (f"{HERMES} is {question}",)


# --- refusals


def container(**values: str | None) -> Node:
    running = {key: value for key, value in {**OURS, **values}.items() if value is not None}
    return Node(containers={118: Container(118, running)})


NOT_OURS = {
    "another node": (Node(name="pve2"), "this is node pve2, and container 118 belongs to node gihyeon"),
    "elsewhere": (
        Node(containers={}, elsewhere=("pve2/lxc",)),
        "container 118 is on node pve2, not on gihyeon: correct `node` in the settings",
    ),
    "a virtual machine": (
        Node(containers={}, elsewhere=("gihyeon/qemu-server",)),
        "118 is a virtual machine, not our container: give the agent another vmid",
    ),
    "being created": (
        container(lock="create", hostname=None),
        "container 118 is still being created: run this again after that",
    ),
    "another name": (
        container(hostname="web\x1b[2J"),
        'container 118 is called "web[2J", not hermes: it is somebody else\'s',
    ),
    "no tag of ours": (
        container(tags=f"x{TAG};ai"),
        (
            "container 118 does not carry the tag pve-agents-hermes: it is somebody else's, or `pipenv run agents up hermes` has to "
            "give it back to it"
        ),
    ),
    "a template": (container(template="1"), "container 118 is a template"),
    "privileged": (
        container(unprivileged=None),
        "container 118 is privileged: its root would be the host's root",
    ),
    "under HA": (
        Node(ha=frozenset({118})),
        "container 118 is managed by HA, but its mounts tie it to gihyeon: run `ha-manager remove ct:118`",
    ),
}


@pytest.mark.parametrize(("node", "refusal"), NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_our_container_is_left_alone_altogether(node: Node, refusal: str) -> None:
    planned = plan(WANTED, node.facts(), DELIVERY)
    assert ([it.text for it in planned.refusals], planned.commands) == ([refusal], ())


def test_where_no_container_is_yet_a_look_says_what_the_node_lacks_and_that_nothing_is_done() -> None:
    planned = plan(WANTED, Node(containers={}).facts(), DELIVERY)
    assert [it.text for it in planned.refusals] == [
        "there is no container 118: run `pipenv run agents up hermes` first"
    ]
    assert [it.line for it in planned.commands][:1] == [f"mkdir -m 0750 -- {HERMES}"]
    assert {it.step for it in planned.commands} == {"host-directories"}

    no_disk = replace(Node(containers={}).facts(), paths={"/": PathFact("directory")})
    assert f"{DISK} does not exist" in plan(WANTED, no_disk, DELIVERY).refusals[0].text


def on_disk(**paths: PathFact) -> Node:
    node = Node()
    node.paths |= {f"{DISK}/{name.replace('__', '/')}": found for name, found in paths.items()}
    return node


def at_disk(found: PathFact) -> Node:
    node = Node()
    node.paths[DISK] = found
    return node


LINK = PathFact("symbolic link")
DIRECTORIES = {
    "a link": (
        on_disk(hermes=LINK),
        f"{HERMES}: {HERMES} is a symbolic link, and Proxmox VE mounts no path with one; write the path that it leads to",
    ),
    "a link above": (
        at_disk(LINK),
        f"{HERMES}: {DISK} is a symbolic link, and Proxmox VE mounts no path with one; write the path that it leads to",
    ),
    "no parent": (
        at_disk(PathFact("")),
        f"{HERMES}: {DISK} does not exist. Is its disk mounted? Only the last part of a path is created here",
    ),
    "a file": (
        on_disk(hermes=PathFact("regular file")),
        f"{HERMES} is no directory; write another one, or move it away",
    ),
    "a container's": (
        at_disk(replace(ROOT, uid=100000)),
        f"{HERMES} lies in {DISK}, which a container may write (owner 100000): create it inside the container",
    ),
    "another user's": (
        at_disk(replace(ROOT, uid=1000)),
        (
            f"{HERMES} lies in {DISK}, which belongs to user 1000, who could turn it elsewhere: run `chown root {DISK}` on "
            "gihyeon, or write another directory"
        ),
    ),
    "a group's": (
        at_disk(replace(ROOT, gid=1000, mode=0o775)),
        (
            f"{HERMES} lies in {DISK}, where group 1000 may rename things: run `chmod 0755 {DISK}` on gihyeon, or write "
            "another directory"
        ),
    ),
    "everybody's": (
        at_disk(replace(ROOT, mode=0o777)),
        (
            f"{HERMES} lies in {DISK}, where everybody may rename things: run `chmod 0755 {DISK}` on gihyeon, or write "
            "another directory"
        ),
    ),
    "a privileged container's": (
        Node(containers={118: Container(118, OURS), 200: Container(200, {"mp3": f"{DISK},mp=/disk"})}),
        (
            f"{HERMES} lies in {DISK}, which the privileged container 200 has as a mount and may rename things in: write "
            "another directory"
        ),
    ),
}


@pytest.mark.parametrize(("node", "refusal"), DIRECTORIES.values(), ids=DIRECTORIES)
def test_a_directory_that_somebody_could_turn_elsewhere_is_not_touched(node: Node, refusal: str) -> None:
    assert refusal in refusals(WANTED, node)


@pytest.mark.parametrize("found", [replace(ROOT, mode=0o1777), replace(ROOT, mode=0o775)], ids=["sticky", "group root"])
def test_where_nobody_else_may_rename_all_is_well(found: PathFact) -> None:
    assert refusals(WANTED, at_disk(found)) == []


def test_what_a_message_about_a_parent_says_to_run_ends_it() -> None:
    node = at_disk(replace(ROOT, uid=1000, mode=0o777))
    for _ in range(2):
        (refusal,) = (it for it in refusals(WANTED, node) if "lies in" in it)
        said = re.search(r"`(chown root|chmod [0-7]{4}) ", refusal)
        assert said
        found = node.paths[DISK]
        owner = said[1] == "chown root"
        node.paths[DISK] = replace(found, uid=0) if owner else replace(found, mode=int(said[1][-4:], 8))
    assert refusals(WANTED, node) == []


DEVICE = replace(BARE, devices=(Attached("dev0", "/dev/sound", "", {}),))
IDMAP = replace(WANTED, mounts=(replace(BACKUP, options={"idmap": "passthrough"}),))
SLOTS: dict[str, tuple[Wanted, Node, str]] = {
    "a key that is taken": (
        WANTED,
        container(mp0="/srv/other,mp=/data"),
        (
            'mp0 is taken: it holds "/srv/other,mp=/data", and we want '
            f"'{HERMES},mp=/data,replicate=0'. Choose another key in the settings"
        ),
    ),
    "a volume under the key": (
        WANTED,
        container(mp0="local-lvm:vm-118-disk-1,mp=/data,size=8G"),
        "mp0 is taken: it holds",
    ),
    "a place that is taken": (
        WANTED,
        container(mp7="/srv/other,mp=data/"),
        f"/data is taken: mp7 holds \"/srv/other,mp=data/\", and we want mp0 '{HERMES},mp=/data,replicate=0' there",
    ),
    "no device": (DEVICE, Node(), "dev0: /dev/sound is no character device of this node"),
    "no directory": (
        replace(WANTED, directories=()),
        Node(),
        f"mp0: host directory {HERMES} does not exist: run `mkdir {HERMES}` on gihyeon first",
    ),
    "an old Proxmox VE": (
        IDMAP,
        Node(version="6.1.5-1"),
        "mp0: idmap needs pve-container 6.1.6 or newer; this node has 6.1.5-1",
    ),
    "locked": (
        WANTED,
        container(lock="backup"),
        'container 118 is locked (lock: "backup"): wait until that task ends, and after a crash run `pct unlock 118`',
    ),
    "protected": (
        WANTED,
        container(protection="1"),
        (
            "container 118 is protected (protection: 1), and Proxmox VE then refuses every change of a mount: run "
            "`pct set 118 --protection 0`, then this again, then `pct set 118 --protection 1`"
        ),
    ),
}


@pytest.mark.parametrize(("wanted", "node", "refusal"), SLOTS.values(), ids=SLOTS)
def test_what_proxmox_ve_or_somebody_else_would_not_let_us_is_refused_before_the_first_command(
    wanted: Wanted, node: Node, refusal: str
) -> None:
    planned = plan(wanted, node.facts(), DELIVERY)
    assert any(it.text.startswith(refusal) and not it.step for it in planned.refusals), planned.refusals


def test_protection_and_locks_hold_nothing_up_that_is_as_wanted() -> None:
    node = made()
    config(node, protection="1", lock="backup")
    assert plan(WANTED, node.facts(), DELIVERY).refusals == ()


@pytest.mark.parametrize(
    ("guest", "words"),
    [(GuestFacts(), "gives no answer within 10 seconds"), (GuestFacts(payload="0" * 64), "gives no answer")],
)
def test_a_container_that_does_not_answer_is_not_waited_for(guest: GuestFacts, words: str) -> None:
    planned = plan(WANTED, Node(guest=guest).facts(), DELIVERY)
    assert {it.step for it in planned.refusals} == {"payload", "bootstrap"}
    assert all(words in it.text for it in planned.refusals)


# --- whatever is there

PATHS = st.sampled_from(
    [
        ROOT,
        MADE,
        LINK,
        PathFact(""),
        PathFact("regular file"),
        PathFact("directory", 0, 5, 0o2775),
        PathFact("directory", 100000, 100000, 0o700),
    ]
)
VALUES = st.sampled_from(
    [f"{HERMES},mp=/data", f"{HERMES},mp=data,replicate=0,ro=1", "/srv/x,mp=/x", f"{HERMES},mp=/data,replicate=0"]
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "mp0": VALUES,
        "mp1": VALUES,
        "features": st.sampled_from(["keyctl=1", "nesting=1", "keyctl=0,fuse=1"]),
        "lock": st.sampled_from(["backup", "create"]),
        "protection": st.sampled_from(["0", "1"]),
        "hostname": st.sampled_from(["hermes", "web"]),
        "unprivileged": st.sampled_from(["0", "1"]),
    },
)
PENDING = st.fixed_dictionaries(
    {},
    optional={"mp0": st.none() | VALUES, "features": st.sampled_from(["keyctl=1"]), "nameserver": st.just("1.1.1.1")},
)
GUESTS = st.builds(
    GuestFacts,
    is_whole=st.booleans(),
    payload=st.sampled_from(["", "0" * 64]),
    done=st.sampled_from(["", "x"]),
    secrets=st.none() | st.just(("0:0", "644", "0" * 64)),
)


@st.composite
def nodes(draw: Any) -> Node:
    node = Node(state=draw(st.sampled_from(["running", "running", "stopped"])), guest=draw(GUESTS))
    node.paths |= draw(st.fixed_dictionaries({}, optional={DISK: PATHS, HERMES: PATHS}))
    pending = draw(PENDING) if node.state == "running" else {}
    node.containers[118] = Container(118, {**OURS, **draw(CONFIGS)}, pending)
    return node


WANTS = st.builds(
    replace,
    st.just(WANTED),
    directories=st.just(WANTED.directories) | st.just((Directory(HERMES, 5, 6, 0o700),)),
    mounts=st.just(WANTED.mounts) | st.just(()) | st.just((replace(BACKUP, options={"ro": "1"}),)),
    features=st.sampled_from([{}, {"keyctl": "1"}, {"keyctl": "0"}]),
)


@settings(max_examples=150, deadline=None)
@given(nodes(), WANTS, st.data())
def test_from_whatever_is_there_and_after_a_kill_anywhere_the_wanted_state_is_reached_or_refused(
    node: Node, wanted: Wanted, data: st.DataObject
) -> None:
    first = plan(wanted, node.facts(), DELIVERY)
    if any(not refusal.step for refusal in first.refusals):
        return
    survived = data.draw(st.integers(0, len(first.commands)))
    for command in first.commands[:survived]:
        node.obey(command)
    again = plan(wanted, node.facts(), DELIVERY)
    assert not any(not refusal.step for refusal in again.refusals)
    for command in again.commands:
        node.obey(command)
    last = plan(wanted, node.facts(), DELIVERY)
    assert last.commands == ()
    assert {it.step for it in last.refusals} <= {"payload", "bootstrap"}


def test_a_configuration_that_changed_since_the_look_is_not_overwritten() -> None:
    node = Node()
    change = next(it for it in plan(WANTED, node.facts(), DELIVERY).commands if it.argv[:2] == ("pct", "set"))
    config(node, memory="512")
    with pytest.raises(RefusedError, match="digest"):
        node.obey(change)


def test_the_steps_follow_each_other() -> None:
    order = ["host-directories", "container-config", "payload", "bootstrap"]
    steps = [command.step for command in plan(WANTED, Node().facts(), DELIVERY).commands]
    assert all(order.index(one) <= order.index(other) for one, other in pairwise(steps))
