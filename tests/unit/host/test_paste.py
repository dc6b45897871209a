"""A node that nobody reaches as root but by pasting: what is shown, what the text itself looks at, and what is waited for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pytest

from pve_agents import node_api
from pve_agents.environment import ROOT_FILE
from pve_agents.host import api_look
from pve_agents.host import paste as module
from pve_agents.host.commands import Plan, render
from pve_agents.host.facts import Container
from pve_agents.host.paste import Paste, in_parts, plan_paste
from pve_agents.host.plan_guest import Delivery, deliver_part
from pve_agents.host.program import STEPS, main
from pve_agents.host.verify import Check, verify
from pve_agents.host.wanted import Wanted
from tests.unit.fake_api import Answer, Pve
from tests.unit.host.model import ARCHIVE, DISK, OURS, SPEC, WANTED, Node
from tests.unit.host.ssh import Root

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

SECRET = "0b9e1f00-dead-4bad-8bad-5ec2e75ec2e7"
TOKEN = f"audit@pve!reader={SECRET}"
KEY = "sk-canary"
HERMES = f"{DISK}/hermes"
MOUNT = SPEC["mounts"][0]
BEGIN, END = "# ---- begin hermes: paste from here\n", "# ---- end: up to here, then Enter\n"
# All that the API shows of it.
ONLY_CONFIG = {key: SPEC[key] for key in ("agent", "vmid", "node", "hostname", "tag", "stop_seconds", "features")}


class Console:
    """An operator with a token that may only read, and a person with the web console."""

    def __init__(self, pve: Pve, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.pve, self.capsys, self.root = pve, capsys, Root(Node())
        archive.write_bytes(ARCHIVE)
        self.spec: dict[str, Any] = {**SPEC, "payload": {**SPEC["payload"], "archive": str(archive)}}
        self.may_see_tasks = True
        self.instead: dict[str, Answer] = {}
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while somebody waits."""
        self.slept = 0.0
        pve.respond = self.respond

    @property
    def node(self) -> Node:
        """Where it is pasted."""
        return self.root.nodes[118]

    def respond(self, path: str) -> Answer:
        """Answer as Proxmox VE does."""
        url = urlsplit(path)
        self.pve.reason = None
        for part, answer in self.instead.items():
            if part in url.path:
                return answer
        data: object
        container = self.node.containers.get(118)
        match url.path.removeprefix("/api2/json/").split("/"):
            case ["access", "permissions"]:
                (place,) = parse_qs(url.query)["path"]
                data = {place: {"Sys.Audit": 1} if self.may_see_tasks else {}}
            case ["nodes", "gihyeon", "tasks"]:
                pushes = [line for line in self.root.commands if line.startswith("pct push 118")]
                data = [{"upid": f"UPID:{number}", "status": "OK"} for number, _ in enumerate(pushes)]
                data.append({"upid": "UPID:x", "status": "command failed"})
            case ["nodes", "gihyeon", "lxc", "118", "config"] if container:
                data = {
                    **(container.running if "current" in url.query else container.configured),
                    "digest": self.node.digest(),
                }
            case ["nodes", "gihyeon", "lxc", "118", "status", "current"] if container:
                data = {"status": self.node.state}
            case _:
                self.pve.reason = "Configuration file 'nodes/gihyeon/lxc/118.conf' does not exist"
                return 500, b""
        return 200, json.dumps({"data": data}).encode()

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of the operator."""
        return {
            "PVE_TRANSPORT": "paste",
            "PROXMOX_VE_ENDPOINT": self.pve.url,
            "PROXMOX_VE_INSECURE": "true",
            "PVE_READ_TOKEN": TOKEN,
            "PVE_PASTE_DEADLINE_SECONDS": "60",
            "LITELLM_API_KEY": KEY,
            "HOST_STEP_SPEC": json.dumps(self.spec),
            **more,
        }

    def step(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Run one step."""
        status = main(arguments, self.variables(**variables))
        out, err = self.capsys.readouterr()
        assert SECRET not in out + err
        return status, out, err

    def shown(self) -> str:
        """What stands between the markers, as somebody would select it."""
        out = self.capsys.readouterr().out
        self.said = out
        return out.partition(BEGIN)[2].partition(END)[0]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        raise KeyboardInterrupt

    def paste(self) -> None:
        """Paste what is shown."""
        text = self.shown()
        assert text.startswith("bash -s <<'END_OF_PASTE'\n")
        assert text.endswith("\nEND_OF_PASTE\n")
        status, _ = self.root.run("\n".join(text.splitlines()[1:-1]) + "\n")
        assert status == 0
        self.meanwhile = lambda: None


@pytest.fixture
def console(pve: Pve, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    found = Console(pve, tmp_path / "payload.tar.gz", capsys)

    def sleep(seconds: float) -> None:
        # The node's answers take longer than anything else here.
        found.slept += 8 * seconds
        found.meanwhile()

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.slept, sleep=sleep))
    return found


# --- a deploy


def test_one_paste_does_a_whole_deploy(console: Console) -> None:
    console.meanwhile = console.paste
    status, out, _ = console.step("host-directories", HOST_STEP_DEPLOY="today")
    assert status == 0, out
    assert console.node.containers[118].running["features"] == "keyctl=1,nesting=1"
    assert console.node.paths[HERMES].uid == 110000
    assert console.node.guest.executables
    ran = len(console.root.commands)
    for step in list(STEPS)[1:]:
        status, out, _ = console.step(step, HOST_STEP_DEPLOY="today")
        assert status == 0
        assert "[hermes] was part of the text that you pasted for this deploy: nothing to paste" in out or (
            "nothing to paste" in out
        )
    assert len(console.root.commands) == ran


def test_a_deploy_of_another_day_or_other_wishes_ask_again(console: Console) -> None:
    console.meanwhile = console.paste
    console.step("host-directories", HOST_STEP_DEPLOY="today")
    for change in ({"HOST_STEP_DEPLOY": "tomorrow"}, {"HOST_STEP_DEPLOY": ""}):
        status, out, _ = console.step("bootstrap", **change)
        assert (status, out.count(BEGIN)) == (4, 1)
    console.spec["features"] = {"keyctl": "1", "fuse": "1"}
    status, out, _ = console.step("bootstrap", HOST_STEP_DEPLOY="today")
    assert (status, out.count(BEGIN)) == (4, 1)


def test_the_text_is_shown_as_a_terminal_can_take_it_and_lies_in_a_file_of_ours_alone(console: Console) -> None:
    console.meanwhile = console.paste
    console.step("host-directories")
    text = console.said.partition(BEGIN)[2].partition(END)[0]
    assert "\t" not in text
    assert max(len(line.encode()) for line in text.splitlines()) < 4096
    found = re.search(r"without them it is in the file (\S+)", console.said)
    assert found
    assert Path(found[1]).read_text() == text
    assert Path(found[1]).parent.stat().st_mode & 0o777 == 0o700


def test_no_secret_is_in_the_text_and_it_is_said_how_to_give_them(console: Console) -> None:
    console.meanwhile = console.paste
    console.step("payload")
    assert KEY not in console.said
    assert (
        "[hermes] secrets … not in the text: write LITELLM_API_KEY as NAME=VALUE lines to a 0600 file hermes.env on\n"
        "[hermes]   the node and run `pct exec 118 -- mkdir -p /etc/pve-agents && pct push 118 hermes.env "
        "/etc/pve-agents/hermes.env --user 0 --group 0 --perms 0600` there, before the text or again after it\n"
    ) in console.said


def test_a_wrong_secret_is_nothing_that_a_paste_waits_for(console: Console) -> None:
    console.meanwhile = console.paste
    assert console.step("payload", LITELLM_API_KEY="REPLACE_ME", HERMES_ENV_FILE="/nowhere")[0] == 0


def test_it_gives_up_with_what_is_missing(console: Console) -> None:
    status, out, err = console.step("container-config", PVE_PASTE_DEADLINE_SECONDS="1")
    assert status == 4
    assert "[hermes] waiting up to 1 s for its effect\n" in out
    assert err == (
        "[hermes 2/4] container config … FAILED: after 1 s the effect is not there: mp0 is not there; features is "
        "nesting=1; the running container gets its features only at a start; the text has not come to its end. Look at what "
        "the text printed; this can be run again at any time\n"
    )


def test_a_text_that_broke_off_is_not_taken_for_whole(console: Console) -> None:
    def half() -> None:
        console.root.fails_at = "bootstrap"
        text = console.shown()
        console.root.run("\n".join(text.splitlines()[1:-1]) + "\n")
        console.meanwhile = lambda: None

    console.meanwhile = half
    status, _, err = console.step("container-config")
    assert status == 4
    assert "after 60 s the effect is not there: the text has not come to its end. " in err
    # What was not pasted to its end is asked for again.
    console.root.fails_at = ""
    console.meanwhile = console.paste
    assert console.step("payload")[0] == 0


def test_by_default_it_waits_for_as_long_as_the_bootstrap_may_take(console: Console) -> None:
    console.meanwhile = console.interrupt
    _, out, _ = console.step("payload", PVE_PASTE_DEADLINE_SECONDS="")
    assert "waiting up to 2700 s for its effect" in out


def test_ctrl_c_while_it_waits_calls_nothing_unchanged_that_may_have_been_pasted(console: Console) -> None:
    console.meanwhile = console.interrupt
    status, _, err = console.step("payload")
    assert status == 130
    assert err.endswith("FAILED: interrupted, and nothing was changed from here; run it again: it goes on from there\n")


# --- what needs no paste, or another one


def follow(console: Console) -> None:
    """Let the container be configured as it is wanted."""
    console.meanwhile = console.paste
    assert console.step("host-directories")[0] == 0
    console.root.commands.clear()


def test_it_looks_before_it_asks(console: Console) -> None:
    follow(console)
    console.spec = ONLY_CONFIG
    status, out, _ = console.step("container-config")
    assert status == 0
    assert "[hermes] the API shows everything as wanted: nothing to paste" in out
    assert BEGIN not in out


def test_the_config_alone_needs_no_task_list(console: Console) -> None:
    console.may_see_tasks = False
    status, out, err = console.step("host-directories")
    assert status == 2
    assert "FAILED: PVE_READ_TOKEN may not see tasks: give it the role PVEAuditor (Sys.Audit) on /nodes/gihyeon" in err
    # What leads nowhere is not even shown.
    assert BEGIN not in out
    console.spec = {**ONLY_CONFIG, "mounts": SPEC["mounts"]}
    console.node.paths[HERMES] = console.node.paths[DISK]
    plans = plan_paste(
        replace(WANTED, directories=(), payload=None, secrets=None, bootstrap=None), console.node.facts(), Delivery()
    )
    assert [command.argv[1] for command in plans.commands] == ["set", "reboot", "push"]


def test_what_still_waits_for_a_reboot_is_pasted_for(console: Console) -> None:
    console.spec = ONLY_CONFIG
    console.node.containers[118] = Container(118, OURS, {"features": "keyctl=1,nesting=1"})
    console.meanwhile = console.paste
    assert console.step("container-config")[0] == 0
    assert [line.split()[:2] for line in console.root.commands] == [["pct", "reboot"], ["pct", "push"]]


def test_what_a_lost_reboot_of_others_has_left_is_said_and_pasted_for_by_none(console: Console) -> None:
    follow(console)
    console.spec = ONLY_CONFIG
    console.node.containers[118] = replace(console.node.containers[118], pending={"nameserver": "10.0.0.53"})
    status, out, _ = console.step("container-config")
    assert status == 0
    assert "[hermes] nameserver waits for a start: run `pct reboot 118 --timeout 180` on gihyeon" in out
    assert BEGIN not in out


def test_a_destroy_is_pasted_and_waited_for(console: Console) -> None:
    follow(console)
    console.meanwhile = console.paste
    state = {"HOST_STEP_LEAVING": json.dumps({"vmid": 118, "mounts": [{"key": "mp0", "volume": HERMES}]})}
    assert console.step("container-config", "--destroy", **state)[0] == 0
    ran = [re.sub(r" --digest \w+", "", line) for line in console.root.commands]
    assert ran == ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]
    assert BEGIN not in console.step("container-config", "--destroy", **state)[1]
    console.node.containers.clear()
    status, out, _ = console.step("container-config", "--destroy", **state)
    assert (status, "there is no container 118 any more" in out) == (0, True)


def test_a_destroy_says_how_to_stop_the_agent_which_nobody_sees(console: Console) -> None:
    state = {"HOST_STEP_LEAVING": json.dumps({"vmid": 118})}
    status, out, _ = console.step("bootstrap", "--destroy", **state)
    assert status == 0
    assert "[hermes]   pct exec 118 -- /opt/pve-agents/hermes/bootstrap --stop\n" in out


@pytest.mark.parametrize(
    "name", ["$(touch HERE)", "it's", "`touch x`", "a;touch x", "grün", "END_OF_PASTE", "END_OF_INPUT"]
)
def test_strange_names_arrive_as_they_are(console: Console, name: str) -> None:
    path = f"{DISK}/{name}"
    console.spec |= {"directories": [{**SPEC["directories"][0], "path": path}], "mounts": [{**MOUNT, "volume": path}]}
    console.meanwhile = console.paste
    assert console.step("container-config")[0] == 0
    assert console.node.containers[118].running["mp0"] == f"{path},mp=/data,replicate=0"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hostname": "plex\x1b[2J"}, 'refused: container 118 is called "plex[2J", not hermes: it is somebody else\'s'),
        ({"unprivileged": "0"}, "refused: container 118 is privileged: its root would be the host's root"),
        ({"mp0": "/srv/x,mp=/x"}, 'refused: mp0 is taken: it holds "/srv/x,mp=/x"'),
        ({"protection": "1"}, "refused: container 118 is protected (protection: 1)"),
    ],
)
def test_what_the_api_shows_to_be_somebody_elses_is_refused_and_not_shown(
    console: Console, values: dict[str, str], words: str
) -> None:
    console.node.containers[118] = Container(118, {**OURS, **values})
    status, out, _ = console.step("host-directories")
    assert status == 3
    assert f"[hermes] {words}" in out
    assert BEGIN not in out
    assert "\x1b" not in out


# --- a text that is too long for one frame

FRAME = 131_072
BEGUN = re.compile(r"# ---- begin hermes(?:, text (\d) of (\d))?: paste from here\n(.*?)" + END, re.DOTALL)


class Texts:
    """The texts of a deploy with a large archive, and somebody who pastes each of them."""

    def __init__(self, console: Console, size: int) -> None:
        self.console, self.shown, self.said = console, list[tuple[str, str, str]](), ""
        archive = random.Random(0).randbytes(size)  # noqa: S311
        Path(console.spec["payload"]["archive"]).write_bytes(archive)
        console.spec["payload"] |= {"sha256": hashlib.sha256(archive).hexdigest()}
        self.then: Callable[[str], None] = self.paste
        console.meanwhile = self.look

    def look(self) -> None:
        """Do something with a text that is new."""
        said = self.console.capsys.readouterr().out
        self.said += said
        for found in BEGUN.findall(said):
            self.shown.append(found)
            self.then(found[2])

    def paste(self, text: str) -> None:
        """Paste it."""
        self.console.root.run("\n".join(text.splitlines()[1:-1]) + "\n")


@pytest.mark.parametrize(("size", "count"), [(90_000, 1), (100_000, 3), (300_000, 5)])
def test_no_text_is_longer_than_a_frame_and_each_is_waited_for(console: Console, size: int, count: int) -> None:
    texts = Texts(console, size)
    status, out, err = console.step("payload")
    assert (status, err) == (0, "")
    numbers = [(str(number), str(count)) for number in range(1, count + 1)] if count > 1 else [("", "")]
    assert [it[:2] for it in texts.shown] == numbers
    assert BEGIN not in out
    # What the console writes around it: the kind, the length, and the brackets of a paste.
    assert max(len(f"0:{len(it[2])}:\x1b[200~{it[2]}\x1b[201~".encode()) for it in texts.shown) <= FRAME
    assert console.node.guest.payload == console.spec["payload"]["sha256"]
    assert console.node.guest.done
    assert console.node.parts == {}
    assert texts.said.count("secrets … not in the text") == 1
    # All of it that is not the archive is in the last one, where a person can read it.
    assert [name for name in ("mkdir -m", "pct set", "pct reboot") if name in texts.shown[-1][2]] == [
        "mkdir -m",
        "pct set",
        "pct reboot",
    ]
    if count > 1:
        assert all("pct set" not in text for *_, text in texts.shown[:-1])


def test_each_text_lies_in_a_file_of_its_own(console: Console) -> None:
    texts = Texts(console, 100_000)
    assert console.step("payload")[0] == 0
    files = re.findall(r"without them it is in the file (\S+)", texts.said)
    assert [Path(file).read_text() for file in files] == [text for *_, text in texts.shown]


def test_a_part_that_is_never_pasted_is_waited_for_and_the_next_is_not_shown(console: Console) -> None:
    texts = Texts(console, 100_000)
    texts.then = lambda _: None
    status, _, err = console.step("payload")
    assert status == 4
    assert "after 60 s the effect is not there: the text has not come to its end. Look at" in err
    assert [it[0] for it in texts.shown] == ["1"]
    # What was given up is begun anew, and nothing of it is in the way.
    texts.then = texts.paste
    assert console.step("payload")[0] == 0
    assert [it[0] for it in texts.shown] == ["1", "1", "2", "3"]


def test_texts_of_two_runs_do_not_mix(console: Console) -> None:
    texts = Texts(console, 100_000)
    texts.then = lambda text: texts.paste(text) if len(texts.shown) == 1 else console.interrupt()
    assert console.step("payload")[0] == 130
    old = texts.shown[1][2]

    def mix(text: str) -> None:
        texts.paste(old)
        texts.paste(text)

    texts.then = mix
    texts.shown.clear()
    assert console.step("payload")[0] == 0
    assert console.node.guest.payload == console.spec["payload"]["sha256"]


@pytest.mark.parametrize("longest", [100, 3000])
def test_what_no_parting_makes_short_enough_is_not_shown(
    console: Console, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr(module, "LONGEST_PASTE", longest)
    texts = Texts(console, 30_000)
    status, out, err = console.step("payload")
    assert status == 2
    assert re.search(
        rf"the text to paste has \d+ bytes, and the web console closes its connection above {longest}: use another", err
    )
    assert texts.shown == []
    assert "# ---- begin" not in out


class Inside:
    """The scripts of a delivery in parts, in a real shell."""

    def __init__(self, place: Path) -> None:
        self.place, self.archive = place / "opt" / "agent", place / "archive.tar.gz"
        (place / "payload").mkdir()
        (place / "payload" / "bootstrap").write_text("x" * 1000)
        subprocess.run(["tar", "-czf", self.archive, "-C", place / "payload", "."], check=True)
        self.content = self.archive.read_bytes()
        self.plans = self.parted()

    def parted(self) -> list[Plan]:
        """The texts of another run."""
        assert WANTED.payload
        sha256 = hashlib.sha256(self.content).hexdigest()
        payload = replace(WANTED.payload, directory=str(self.place), sha256=sha256)
        wanted = replace(WANTED, payload=payload)
        whole = plan_paste(wanted, Node().facts(), Delivery(archive=self.content))
        # Three parts, whatever the head of a text is.
        half = len(self.content) // 3 // 57 + 1
        nothing = (deliver_part(wanted, "0" * 16, len(self.content), b""), whole.commands[-1])
        fixed = len(module._text(Plan(nothing, guards=whole.guards), wanted).encode())
        with patch.object(module, "LONGEST_PASTE", fixed + 77 * half):
            found = in_parts(whole, wanted)
        assert len(found) in {3, 4}
        return found

    def paste(
        self, number: int, plans: list[Plan] | None = None, *, half: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run what a text runs inside."""
        (command,) = [it for it in (plans or self.plans)[number].commands if it.step == "payload"]
        words = command.argv[command.argv.index("sh") :]
        given = base64.b64encode(command.stdin or b"").decode()
        limit = ["timeout", "-s", "KILL", "0.2"] if half else []
        with subprocess.Popen([*limit, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdin
            assert run.stdout
            # Who refuses does not wait for the rest.
            with contextlib.suppress(BrokenPipeError):
                run.stdin.write(given[: len(given) // 8 * 4] if half else given)
                run.stdin.flush()
            if half:
                run.wait()
                return subprocess.CompletedProcess(words, run.returncode, "")
            with contextlib.suppress(BrokenPipeError):
                run.stdin.close()
            return subprocess.CompletedProcess(words, run.wait(), run.stdout.read())

    def files(self) -> list[str]:
        """What there is of the agent."""
        return sorted(str(path.relative_to(self.place.parent)) for path in self.place.parent.rglob("*"))


DELIVERED = ["agent", "agent/.sha256", "agent/bootstrap"]
MISSING, ARRIVED = "refused: a text before this one is missing\n", "refused: this text has arrived already\n"


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


def test_parts_in_their_order_make_the_archive_and_leave_nothing(inside: Inside) -> None:
    assert [inside.paste(number).returncode for number in range(len(inside.plans))] == [0] * len(inside.plans)
    assert inside.files() == DELIVERED


def test_what_has_arrived_is_for_root_alone(inside: Inside) -> None:
    inside.paste(0)
    (part,) = Path(f"{inside.place}.parts").iterdir()
    assert (part.stat().st_mode & 0o777, part.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert inside.place.parent.stat().st_mode & 0o777 == 0o755


def test_a_part_that_is_pasted_twice_or_too_early_changes_nothing_and_leaves_no_trace(inside: Inside) -> None:
    last = len(inside.plans) - 1
    for number, status, said in (
        (1, 1, MISSING),
        (0, 0, ""),
        (0, 1, ARRIVED),
        (2, 1, MISSING) if last > 2 else (0, 1, ARRIVED),
    ):
        done = inside.paste(number)
        assert (done.returncode, done.stdout) == (status, said)
    assert "did not arrive whole" in inside.paste(last).stdout
    for number in range(1, last):
        assert inside.paste(number).returncode == 0
    assert inside.paste(0).stdout == ARRIVED
    assert inside.paste(last).returncode == 0
    assert inside.files() == DELIVERED


def test_a_part_that_is_killed_in_the_middle_is_pasted_again(inside: Inside) -> None:
    last = len(inside.plans) - 1
    inside.paste(0)
    assert inside.paste(1, half=True).returncode != 0
    for number in range(1, last + 1):
        assert inside.paste(number).returncode == 0
    assert inside.files() == DELIVERED


def test_another_run_begins_anew_and_clears_what_one_that_was_given_up_has_left(inside: Inside) -> None:
    inside.paste(0)
    others = inside.parted()
    assert inside.paste(1, others).stdout == MISSING
    assert inside.paste(0, others).returncode == 0
    # The old ones find nothing of theirs.
    assert inside.paste(1).stdout == MISSING
    assert all(inside.paste(number, others).returncode == 0 for number in range(1, len(others)))
    assert inside.files() == DELIVERED


def test_an_archive_that_somebody_has_changed_on_the_way_is_not_unpacked(inside: Inside) -> None:
    last = len(inside.plans) - 1
    for number in range(last):
        inside.paste(number)
    (part,) = Path(f"{inside.place}.parts").iterdir()
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    done = inside.paste(last)
    assert (done.returncode, done.stdout) == (1, "the archive did not arrive whole\n")
    assert not inside.place.exists()


# --- what the text itself looks at, in a real bash

FAKE = """#!/bin/bash
printf '%s\\n' "${0##*/} $*" >>"$CALLS"
"""
GUARDED = replace(WANTED, mounts=(), features={}, payload=None, secrets=None, bootstrap=None)


class Node118:
    """A node with a directory for disks, and programs that only note how they are called."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.calls, self.config = directory, directory / "calls", directory / "118.conf"
        self.config.write_text("arch: amd64\nhostname: hermes\n")
        (directory / "bin").mkdir()
        for name in ("pct", "chown"):
            (directory / "bin" / name).write_text(FAKE)
            (directory / "bin" / name).chmod(0o755)
        # Whoever runs the tests need not be root, and plays it.
        stat = directory / "bin" / "stat"
        stat.write_text('#!/bin/bash\nexec /usr/bin/stat "$@" | sed "s/^$UID:[0-9]*/0:${GROUP:-0}/"\n')
        stat.chmod(0o755)
        self.disk = directory / "disk"
        self.disk.mkdir(mode=0o755)

    def paste(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Paste the text for one directory."""
        facts = Node().facts()
        plan = plan_paste(
            replace(GUARDED, directories=(replace(WANTED.directories[0], path="/disk/hermes"),)), facts, Delivery()
        )
        text = render(plan, WANTED).replace("/disk", str(self.disk))
        text = text.replace("/etc/pve/nodes/gihyeon/lxc/118.conf", str(self.config))
        variables = {
            "PATH": f"{self.directory / 'bin'}:/usr/bin:/bin",
            "HOSTNAME": "gihyeon.home.arpa",
            "CALLS": str(self.calls),
        }
        text = f"bash -s <<'END_OF_PASTE'\n{text}END_OF_PASTE\necho still here\n"
        return subprocess.run(
            ["bash", "-s"], input=text, env={**variables, **environment}, capture_output=True, text=True, check=False
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def pasted(tmp_path: Path) -> Node118:
    return Node118(tmp_path)


def test_what_is_pasted_makes_a_directory_or_leaves_the_one_that_is_there(pasted: Node118) -> None:
    for _ in range(2):
        done = pasted.paste()
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("still here\n")
        assert (pasted.disk / "hermes").stat().st_mode & 0o7777 == 0o750
        (pasted.disk / "hermes").chmod(0o700)
    assert pasted.called() == ["chown 110000:110000 .", "pct push 118 /dev/null /run/pve-agents.receipt"] * 2


def spoil(pasted: Node118, what: str) -> str:
    """Let the directory above be what it may not be; say why."""
    match what:
        case "everybody's":
            pasted.disk.chmod(0o777)
        case "a group's":
            pasted.disk.chmod(0o775)
        case "a link":
            pasted.disk.rename(pasted.directory / "real")
            pasted.disk.symlink_to("real")
        case "a file":
            pasted.disk.rmdir()
            pasted.disk.touch()
        case _:
            pasted.disk.rmdir()
    return f"{pasted.disk} is not there, a symbolic link, or others than root may rename things in it"


@pytest.mark.parametrize("what", ["everybody's", "a group's", "a link", "a file", "not there"])
def test_a_directory_that_others_could_turn_elsewhere_ends_the_text_and_not_the_shell(
    pasted: Node118, what: str
) -> None:
    why = spoil(pasted, what)
    done = pasted.paste(GROUP="1000")
    assert done.stderr.splitlines()[-1] == f"refused: {why}"
    assert done.stdout == "still here\n"
    assert pasted.called() == []


def test_another_users_directory_ends_it_too(pasted: Node118) -> None:
    (pasted.directory / "bin" / "stat").write_text("#!/bin/bash\necho '1000:0 drwxr-xr-x'\n")
    assert "others than root may rename things in it" in pasted.paste().stderr
    assert pasted.called() == []


@pytest.mark.parametrize("mode", [0o1777, 0o755, 0o700])
def test_where_nobody_else_may_rename_all_is_well(pasted: Node118, mode: int) -> None:
    pasted.disk.chmod(mode)
    assert pasted.paste(GROUP="1000").stderr == ""


@pytest.mark.parametrize(
    ("hostname", "config", "why"),
    [
        ("pve2", "hostname: hermes\n", "this is not node gihyeon"),
        ("gihyeon", "hostname: plex\n", "container 118 is not called hermes any more"),
    ],
)
def test_pasted_elsewhere_it_does_nothing(pasted: Node118, hostname: str, config: str, why: str) -> None:
    pasted.config.write_text(config)
    with_config = plan_paste(WANTED, Node().facts(), Delivery(archive=ARCHIVE))
    assert why in [guard.otherwise for guard in with_config.guards]
    text = render(replace(with_config, guards=with_config.guards[-2:]), WANTED)
    text = text.replace("/etc/pve/nodes/gihyeon/lxc/118.conf", str(pasted.config))
    environment = {
        "PATH": f"{pasted.directory / 'bin'}:/usr/bin:/bin",
        "HOSTNAME": hostname,
        "CALLS": str(pasted.calls),
    }
    done = subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, f"refused: {why}\n")
    assert pasted.called() == []


def test_a_half_pasted_text_does_nothing(pasted: Node118) -> None:
    text = render(plan_paste(WANTED, Node().facts(), Delivery(archive=ARCHIVE)), WANTED)
    environment = {"PATH": f"{pasted.directory / 'bin'}:/usr/bin:/bin", "CALLS": str(pasted.calls)}
    for length in (len(text) // 2, len(text) - len("act </dev/null\n")):
        subprocess.run(
            ["bash", "-s"], input=text[:length], env=environment, capture_output=True, text=True, check=False
        )
    assert pasted.called() == []


# --- the API


@pytest.mark.parametrize(
    ("change", "message", "status"),
    [
        (
            {"PVE_READ_TOKEN": "nonsense"},
            "PVE_TRANSPORT=paste: PVE_READ_TOKEN is not in the form USER@REALM!TOKENID=SECRET",
            2,
        ),
        (
            {"PVE_READ_TOKEN": f"PVEAPIToken={TOKEN}"},
            "PVE_TRANSPORT=paste: PVE_READ_TOKEN begins with PVEAPIToken, which the provider adds by itself: write USER",
            2,
        ),
        (
            {"PVE_READ_TOKEN": ""},
            f"PVE_TRANSPORT=paste: PVE_READ_TOKEN is not set: write it to ~/{ROOT_FILE} (docs/node.md)",
            2,
        ),
        (
            {"PROXMOX_VE_ENDPOINT": "http://10.1.10.10:8006"},
            "PVE_TRANSPORT=paste: PROXMOX_VE_ENDPOINT does not begin with",
            2,
        ),
        (
            {"PROXMOX_VE_ENDPOINT": "https://127.0.0.1:1"},
            "https://127.0.0.1:1 cannot be reached (Connection refused): ",
            4,
        ),
        ({"PVE_PASTE_DEADLINE_SECONDS": "soon"}, "PVE_PASTE_DEADLINE_SECONDS must be a number of seconds", 2),
        ({"PVE_PASTE_DEADLINE_SECONDS": "0"}, "PVE_PASTE_DEADLINE_SECONDS must be a number of seconds", 2),
    ],
)
def test_wrong_settings_are_one_sentence(console: Console, change: dict[str, str], message: str, status: int) -> None:
    found, out, err = console.step("container-config", **change)
    assert found == status
    assert err.startswith(f"[hermes 2/4] container config … FAILED: {message}")
    assert err.count("\n") == 1
    assert BEGIN not in out


def test_a_token_that_the_node_does_not_know_is_called_by_its_own_variable(console: Console) -> None:
    console.instead["/config"] = (401, b"")
    status, _, err = console.step("container-config")
    assert status == 4
    assert "does not accept token audit@pve!reader" in err
    assert "correct PVE_READ_TOKEN, or make a new one" in err


FOREIGN = "does not answer as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API (port 8006)?"
NO_ANSWERS = [
    b"",
    b"<html>",
    b"\xff",
    b"[",
    b"[]",
    b"0",
    b'"data"',
    b"{}",
    b'{"data": null}',
    b'{"data": {}}',
    b"[" * 100_000,
]
SOME = [b"<html>", b'{"data": null}', b'{"data": 1}', b'{"data": [1]}']


@pytest.mark.parametrize(
    ("part", "body"),
    [
        *(("/config", body) for body in NO_ANSWERS),
        *((part, body) for part in ("/status", "permissions", "/tasks") for body in SOME),
        ("permissions", b'{"data": {"/nodes/gihyeon": 1}}'),
    ],
)
def test_an_answer_that_is_not_proxmox_ends_in_a_sentence(console: Console, part: str, body: bytes) -> None:
    console.instead[part] = (200, body)
    status, out, err = console.step("host-directories")
    assert (status, err.count("\n")) == (4, 1)
    assert FOREIGN in err
    assert BEGIN not in out


@pytest.mark.parametrize("value", [{}, [], 7, None, True])
def test_a_value_that_is_no_text_is_none_of_ours(console: Console, value: object) -> None:
    body = json.dumps({"data": {**OURS, "digest": "x", "hostname": value}}).encode()
    console.instead["/config"] = (200, body)
    assert console.step("host-directories")[0] == 3


def test_a_container_with_raw_lines_of_lxc_is_looked_at(console: Console) -> None:
    follow(console)
    console.spec = ONLY_CONFIG
    running = console.node.containers[118].running
    body = json.dumps({"data": {**running, "lxc": [["lxc.idmap", "u 0 100000 65536"]], "digest": "x"}}).encode()
    console.instead["/config"] = (200, body)
    assert console.step("container-config")[0] == 0


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_carries_the_read_token_away(console: Console, certificate: Path, status: int) -> None:
    with Pve(certificate) as other:
        console.instead["/config"] = (status, b"")
        console.pve.headers = {"Location": f"{other.url}/api2/json/elsewhere"}
        found, _, err = console.step("container-config")
    assert found == 4
    assert "sends us somewhere else, where the token does not go: PROXMOX_VE_ENDPOINT must name the API itself" in err
    assert other.asked == []


def test_an_answer_that_breaks_off_ends_in_a_sentence(console: Console) -> None:
    console.pve.headers = {"Content-Length": "1000"}
    status, _, err = console.step("container-config")
    assert (status, err.count("\n")) == (4, 1)
    assert "broke off in the middle of its answer" in err


def test_what_the_api_says_moves_no_terminal(console: Console) -> None:
    def respond(_: str) -> Answer:
        console.pve.reason = "\x1b[2J" + "x" * 1000
        return 500, b""

    console.pve.respond = respond
    status, _, err = console.step("container-config")
    assert status == 4
    assert "answers HTTP 500 ([2Jxxx" in err
    assert "\x1b" not in err
    assert len(err) < 500


def test_an_api_that_hangs_is_not_waited_for(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = []

    def too_late(limit: float, access: node_api.Access, _: Callable[[], object]) -> None:
        seconds.append(limit)
        raise node_api.NodeError(f"{access.address} does not answer")

    monkeypatch.setattr(api_look, "within", too_late)
    assert console.step("container-config")[0] == 4
    assert seconds == [20.0]


def test_the_token_is_all_that_goes_to_the_node(console: Console) -> None:
    console.meanwhile = console.paste
    console.step("host-directories", PROXMOX_VE_API_TOKEN=f"root@pam!x={SECRET}")
    assert console.pve.authorizations == {f"PVEAPIToken={TOKEN}"}


# --- a verification

UNSEEN = "the API does not show it; another PVE_TRANSPORT would look"


def found(console: Console, wanted: Wanted = WANTED) -> list[tuple[str, str, str, str]]:
    checks: list[Check] = []
    place = Paste(wanted, print, console.variables())
    verify(place, chat=True, on_check=checks.append, on_text=print)
    return [(check.name, check.status, check.detail, check.remedy) for check in checks]


def test_what_the_api_shows_is_verified_and_the_rest_is_said_to_be_skipped(console: Console) -> None:
    follow(console)
    assert found(console) == [
        ("container", "ok", "running on gihyeon", ""),
        ("config", "ok", "mp0, features", ""),
        ("host directories", "skipped", UNSEEN, ""),
        ("payload", "skipped", UNSEEN, ""),
        ("guest checks", "skipped", UNSEEN, ""),
        ("workspace /data", "skipped", UNSEEN, ""),
    ]


def test_each_difference_of_a_container_that_is_off_is_verified(console: Console) -> None:
    console.node.state = "stopped"
    assert found(console)[:2] == [
        ("container", "failed", "container 118 is stopped", "run `pct start 118` on gihyeon"),
        (
            "config",
            "failed",
            "would change: mp0 is not there; features is nesting=1",
            "run `pipenv run agents mend hermes`",
        ),
    ]


@pytest.mark.parametrize("pending", [{"nameserver": "10.0.0.53"}, {"nameserver": None}])
def test_what_waits_for_a_start_is_verified(console: Console, pending: Mapping[str, str | None]) -> None:
    follow(console)
    running = {**console.node.containers[118].running, "nameserver": "10.0.0.1"}
    console.node.containers[118] = Container(118, running, pending)
    assert found(console)[1] == (
        "config",
        "failed",
        "nameserver waits for a start",
        "run `pct reboot 118 --timeout 180` on gihyeon",
    )
    # One that is off cannot be rebooted, and needs no more than its start.
    console.node.state = "stopped"
    assert [name for name, status, *_ in found(console) if status == "failed"] == ["container"]


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"hostname": "plex\x1b[2J\t"}, 'container 118 is called "plex[2J ", not hermes: it is somebody else\'s'),
        ({"unprivileged": "0"}, "container 118 is privileged: its root would be the host's root"),
        (None, "there is no container 118: run `pipenv run agents up hermes` first"),
    ],
)
def test_no_container_of_somebody_else_is_verified(
    console: Console, values: dict[str, str] | None, detail: str
) -> None:
    console.node.containers = {118: Container(118, {**OURS, **values})} if values else {}
    checks = found(console)
    assert checks[0] == ("container", "failed", detail, "see what `pipenv run agents plan hermes` says")
    assert checks[1] == ("config", "skipped", "container 118 is not as declared", "")
    assert {status for _, status, *_ in checks[2:]} == {"skipped"}
