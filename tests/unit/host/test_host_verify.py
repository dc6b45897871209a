"""A verification: what the node shows, what is believed of the container, and the probe in a workspace."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pve_agents.host import step
from pve_agents.host.facts import Container, GuestFacts, PathFact
from pve_agents.host.plan import plan
from pve_agents.host.shell import Shell, UnreachedError
from pve_agents.host.shell import ssh as ssh_shell
from pve_agents.host.step import Node as Place
from pve_agents.host.verify import Check, verify
from pve_agents.host.wanted import Attached, Directory, Wanted
from tests.unit.host.model import DELIVERY, DIRECTORY, DISK, MOUNTED, ROOT, SHA256, WANTED, Node
from tests.unit.host.ssh import Root, serving

HERMES = f"{DISK}/hermes"
PROGRAM = f"{DIRECTORY}/verify"
MEND = "run `pipenv run agents mend hermes`"
DELIVER = "run `pipenv run agents up hermes`"
LOOK = "look at container 118: its load, its disk, what it said above; then verify again"
DIFF = "see what `pipenv run agents plan hermes` says"
DOCKER = "check\tdocker\tok\t120\tDocker 28.1.1\t"
MODEL = "check\tmodel endpoint\tfailed\t400\tanswers 401\tgive another key"
FOREIGN_TAG = (
    "container 118 does not carry the tag pve-agents-hermes: it is somebody else's, or `pipenv run agents up hermes` has to give it "
    "back to it"
)
Found = tuple[str, str, str, str]


class Deployed:
    """An agent that was deployed as its settings want it; tests exchange single parts of it."""

    def __init__(self) -> None:
        self.wanted: Wanted = WANTED
        self.node = Node()
        for command in plan(WANTED, self.node.facts(), DELIVERY).commands:
            self.node.obey(command)
        self.root = Root(self.node)
        self.root.says = self.answers
        self.shell: Shell | Root = self.root
        self.says: list[str] = [DOCKER, MODEL]
        self.status = 0
        self.writes: Callable[[str], tuple[int, str]] = self.write
        self.removes = True
        self.texts: list[str] = []

    def answers(self, asked: tuple[str, ...]) -> tuple[int, str]:
        """What the container says to a command."""
        if asked[1:2] == ("workspace-write",):
            return self.writes(f"{HERMES}/.pve-agents-probe-{asked[2]}")
        if asked[1:2] == ("workspace-remove",):
            probes = [path for path in self.node.paths if path.endswith(asked[2])]
            for path in probes if self.removes else []:
                del self.node.paths[path]
            return 0, ""
        return self.status, "".join(f"{line}\n" for line in self.says)

    def write(
        self,
        probe: str,
        *,
        owner: str = "110000:110000",
        kind: str = "regular empty file",
        says: str = "ok\t42\twritten",
    ) -> tuple[int, str]:
        """Let the agent write its probe."""
        uid, gid = map(int, owner.split(":"))
        if kind:
            self.node.paths[probe] = PathFact(kind, uid, gid, 0o644, DISK)
        return 0, f"probe\t/data\t{says}\n"

    def configure(self, **values: str | None) -> None:
        """Change the container's configuration."""
        running = {**self.node.containers[118].running, **values}
        self.node.containers[118] = Container(118, {key: value for key, value in running.items() if value is not None})

    def waiting(self, **pending: str | None) -> None:
        """Let this wait for its next start."""
        self.node.containers[118] = replace(self.node.containers[118], pending=pending)

    def verify(self, *, chat: bool = True) -> list[Found]:
        """All checks, as they come."""
        found: list[Check] = []
        place = Place(self.wanted, self.shell, self.texts.append)  # type: ignore[arg-type]
        is_well = verify(place, chat=chat, on_check=found.append, on_text=self.texts.append)
        assert is_well == all(check.status != "failed" for check in found)
        self.checks = found
        return [(check.name, check.status, check.detail, check.remedy) for check in found]

    def found(self) -> dict[str, tuple[str, str, str]]:
        """The last check of each name."""
        return {name: (status, detail, remedy) for name, status, detail, remedy in self.verify()}


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


@pytest.fixture
def heard(deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The same behind an ssh, so that what comes is filtered as it is."""
    with serving(tmp_path / "operator", deployed.root) as ssh:
        for name, value in ssh.variables(PVE_SSH="root@pve1").items():
            monkeypatch.setenv(name, value)
        deployed.shell = ssh_shell(WANTED, ssh.variables(PVE_SSH="root@pve1"))
        yield deployed


# --- all of it


def test_what_a_verification_says(deployed: Deployed) -> None:
    assert deployed.verify() == [
        ("container", "ok", "running on gihyeon", ""),
        ("config", "ok", "mp0, features", ""),
        ("host directories", "ok", HERMES, ""),
        ("payload", "ok", DIRECTORY, ""),
        ("docker", "ok", "Docker 28.1.1", ""),
        ("model endpoint", "failed", "answers 401", "give another key"),
        ("workspace /data", "ok", f"shows in {HERMES} as 110000:110000", ""),
    ]
    assert [check.seconds for check in deployed.checks if check.name in {"docker", "workspace /data"}] == [0.12, 0.042]
    assert deployed.texts == []


def test_what_is_skipped_is_no_failure(deployed: Deployed) -> None:
    deployed.says = [DOCKER, MODEL.replace("failed", "skipped")]
    assert ("model endpoint", "skipped", "answers 401", "give another key") in deployed.verify()


def test_a_verification_changes_nothing_but_its_probe(deployed: Deployed) -> None:
    before = deployed.node.facts()
    deployed.verify()
    assert deployed.node.facts() == before
    assert deployed.root.commands == []


def test_the_container_is_asked_for_exactly_this(deployed: Deployed) -> None:
    deployed.verify()
    everything, write, remove = deployed.root.asked
    assert everything == (PROGRAM,)
    assert write[:2] == (PROGRAM, "workspace-write")
    assert re.fullmatch("[0-9a-f]{16}", write[2])
    assert remove == (PROGRAM, "workspace-remove", write[2])
    deployed.verify(chat=False)
    everything, again, _ = deployed.root.asked[3:]
    assert everything == (PROGRAM, "--no-chat")
    assert again[2] != write[2]


def test_a_node_that_is_not_reached_is_no_verification(heard: Deployed, tmp_path: Path) -> None:
    (tmp_path / "operator" / "down").touch()
    with pytest.raises(UnreachedError, match="ssh to root@pve1 failed"):
        heard.verify()


def test_an_agent_with_little_has_few_checks(deployed: Deployed) -> None:
    deployed.wanted = Wanted("hermes", 118, "gihyeon", "hermes", WANTED.tag, 180)
    assert deployed.found() == {"container": ("ok", "running on gihyeon", ""), "config": ("ok", "", "")}


# --- the container


def test_a_stopped_container(deployed: Deployed) -> None:
    deployed.node.state = "stopped"
    stopped = ("skipped", "container 118 is stopped", "")
    assert deployed.found() == {
        "container": ("failed", "container 118 is stopped", "run `pct start 118` on gihyeon"),
        "config": ("ok", "mp0, features", ""),
        "host directories": ("ok", HERMES, ""),
        "payload": stopped,
        "guest checks": stopped,
        "workspace /data": stopped,
    }
    assert deployed.root.asked == []


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"hostname": "plex\x1b[2J"}, 'container 118 is called "plex[2J", not hermes: it is somebody else\'s'),
        ({"unprivileged": "0"}, "container 118 is privileged: its root would be the host's root"),
        ({"template": "1"}, "container 118 is a template"),
        ({"tags": "ai"}, FOREIGN_TAG),
        (None, "there is no container 118: run `pipenv run agents up hermes` first"),
    ],
)
def test_into_what_is_not_our_container_nobody_looks(
    deployed: Deployed, values: dict[str, str | None] | None, detail: str
) -> None:
    if values is None:
        deployed.node.containers.clear()
    else:
        deployed.configure(**values)
    foreign = ("skipped", "container 118 is not as declared", "")
    assert deployed.found() == {
        "container": ("failed", detail, DIFF),
        "config": foreign,
        "host directories": ("ok", HERMES, ""),
        "payload": foreign,
        "guest checks": foreign,
        "workspace /data": foreign,
    }
    assert deployed.root.asked == []


def test_another_node_than_the_declared_one_is_said(deployed: Deployed) -> None:
    deployed.node.name = "pve2"
    detail = "this is node pve2, and container 118 belongs to node gihyeon"
    assert deployed.found()["container"] == ("failed", detail, DIFF)


def test_a_node_that_does_not_answer_for_its_container(deployed: Deployed) -> None:
    deployed.node.state = ""
    found = deployed.found()
    assert found["container"] == ("failed", "container 118 is in no known state", "run `pct start 118` on gihyeon")
    assert found["workspace /data"][0] == "skipped"


# --- what was declared


@pytest.mark.parametrize(
    ("values", "details"),
    [
        ({"mp0": None}, ["mp0 is not there"]),
        (
            {"mp0": f"{HERMES},mp=/data,replicate=0,ro=1"},
            [
                f"mp0 is {HERMES},mp=/data,replicate=0,ro=1",
                "the running container gets its mp0 only at a start",
            ],
        ),
        (
            {"features": "nesting=1", "mp0": None},
            [
                "mp0 is not there; features is nesting=1",
                "the running container gets its features only at a start",
            ],
        ),
    ],
)
def test_each_difference_of_the_config_is_a_failed_check(
    deployed: Deployed, values: dict[str, str | None], details: list[str]
) -> None:
    deployed.configure(**values)
    found = deployed.verify()
    expected = [("config", "failed", f"would change: {detail}", MEND) for detail in details]
    assert [check for check in found if check[0] == "config"] == expected
    assert found[-1][:2] == ("workspace /data", "ok")


def test_what_waits_for_a_reboot_is_not_as_declared(deployed: Deployed) -> None:
    deployed.configure(features="nesting=1")
    deployed.waiting(features="keyctl=1,nesting=1")
    detail = "would change: the running container gets its features only at a start"
    assert deployed.found()["config"] == ("failed", detail, MEND)


@pytest.mark.parametrize(
    ("pending", "keys"),
    [
        ({"nameserver": "10.0.0.53", "searchdomain": "home"}, "nameserver, searchdomain"),
        ({"entrypoint": None}, "entrypoint"),
        ({"tty": "1", "entrypoint": None}, "entrypoint, tty"),
        ({"env": "A=1,size=2G"}, "env"),
    ],
)
def test_whatever_waits_for_a_start_is_not_as_declared(
    deployed: Deployed, pending: dict[str, str | None], keys: str
) -> None:
    deployed.configure(entrypoint="/sbin/init", tty="2", env="A=1,size=1G")
    deployed.waiting(**pending)
    found = [check for check in deployed.verify() if check[0] == "config"]
    assert found == [("config", "failed", f"{keys} waits for a start", "run `pct reboot 118 --timeout 180` on gihyeon")]


def test_what_a_step_would_refuse_says_so_itself(deployed: Deployed) -> None:
    deployed.configure(mp0="/mnt/x,mp=/data")
    detail = (
        f"mp0 is taken: it holds \"/mnt/x,mp=/data\", and we want '{HERMES},mp=/data,replicate=0'. Choose another key in "
        "the settings"
    )
    assert deployed.found()["config"] == ("failed", detail, "")


def test_each_difference_of_a_host_directory_is_a_failed_check(deployed: Deployed) -> None:
    deployed.node.paths[HERMES] = replace(deployed.node.paths[HERMES], mode=0o700)
    other = f"{DISK}/other"
    deployed.wanted = replace(WANTED, directories=(*WANTED.directories, Directory(other, 1, 2, 0o750)))
    assert [check for check in deployed.verify() if check[0] == "host directories"] == [
        ("host directories", "failed", f"would change: {HERMES} is to have the mode 0750, not 0700", MEND),
        ("host directories", "failed", f"would change: {other} is not there", MEND),
        ("host directories", "failed", f"would change: {other} is to belong to 1:2, not to 0:0", MEND),
    ]
    assert other not in deployed.node.paths


def test_a_disk_that_may_not_be_mounted_is_named(deployed: Deployed) -> None:
    deployed.node.paths[HERMES] = replace(deployed.node.paths[HERMES], mounted_at="/")
    detail = f"{HERMES}; {HERMES} is on the root file system: is the disk mounted?"
    assert deployed.found()["host directories"] == ("ok", detail, "")


def test_a_refused_host_directory_ends_nothing(deployed: Deployed) -> None:
    deployed.node.paths[DISK] = replace(MOUNTED, kind="symbolic link")
    found = deployed.found()
    assert found["host directories"][0] == "failed"
    assert f"{DISK} is a symbolic link" in found["host directories"][1]
    assert found["docker"][0] == "ok"


def test_what_nobody_can_look_at_is_a_failed_check(deployed: Deployed) -> None:
    deployed.node.paths = {"/": ROOT}
    found = deployed.found()
    assert found["host directories"][:2] == (
        "failed",
        f"{HERMES}: {DISK} does not exist. Is its disk mounted? Only the last part of a path is created here",
    )
    assert found["docker"][0] == "ok"


@pytest.mark.parametrize(("is_there", "shown"), [("0" * 64, "000000000000"), ("", "none"), ("\x1b[2J", "none")])
def test_another_payload(deployed: Deployed, is_there: str, shown: str) -> None:
    deployed.node.guest = replace(deployed.node.guest, payload=is_there)
    assert deployed.found()["payload"] == (
        "failed",
        f"would change: payload {shown} to {SHA256[:12]}",
        DELIVER,
    )


# --- the container's own checks


def test_a_payload_that_was_not_delivered(deployed: Deployed) -> None:
    deployed.node.guest = GuestFacts(is_whole=True)
    found = deployed.found()
    missing = f"container 118 has no executable {PROGRAM}"
    assert found["payload"][0] == "failed"
    assert found["guest checks"] == ("failed", f"{missing}: its payload was not delivered", DELIVER)
    assert found["workspace /data"] == ("skipped", missing, "")
    assert deployed.root.asked == []


def test_a_container_that_does_not_answer(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "BOOT_PAUSES_SECONDS", (0, 0, 0))
    deployed.node.guest = replace(deployed.node.guest, is_whole=False)
    detail = "container 118 gives no answer within 10 seconds"
    assert deployed.found()["payload"] == ("failed", detail, "run `pct reboot 118 --timeout 180` on gihyeon")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (7, "ended early with status 7"),
        (143, "ended early with status 143"),
        (124, "did not end within 240 seconds"),
        # The out-of-memory killer's.
        (137, "ended early with status 137"),
    ],
)
def test_checks_that_end_early(deployed: Deployed, status: int, why: str) -> None:
    deployed.says, deployed.status = [DOCKER], status
    found = deployed.found()
    assert found["docker"][0] == "ok"
    assert found["guest checks"] == ("failed", f"{PROGRAM} {why}: what it had still to check is unknown", LOOK)
    assert found["workspace /data"][0] == "ok"


def test_checks_that_only_a_kill_ended_took_too_long(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100_000, 250))
    monkeypatch.setattr("pve_agents.host.verify.time.monotonic", lambda: next(clock))
    deployed.status = 137
    assert "did not end within 240 seconds" in deployed.found()["guest checks"][1]


def test_checks_that_check_nothing(deployed: Deployed) -> None:
    deployed.says = []
    assert deployed.found()["guest checks"] == ("failed", f"{PROGRAM} checked nothing", DELIVER)


def test_who_never_stops_talking_is_not_listened_to(deployed: Deployed) -> None:
    deployed.says = [DOCKER, *["y"] * 2000, MODEL]
    found = deployed.found()
    assert found["guest checks"][1].startswith(f"{PROGRAM} said more than 500 lines, and nobody listened any more: ")
    assert len(deployed.texts) == 499
    assert "model endpoint" not in found


# --- how it is listened to, in a real bash

FAKES = {
    # What the node starts in the container, with nothing of the node's environment.
    "lxc-attach": 'echo "lxc-attach $*" >>"$CALLS"; shift 4; exec /usr/bin/env -i "$@"',
    # The limits themselves, in a fraction of their time, the later one still later.
    "timeout": 'echo "timeout $1 $2 $3" >>"$CALLS"; shift 2; exec /usr/bin/timeout -k 0.1 "0.$(($1 - 259))" "${@:2}"',
}


class Machine:
    """A node with one container, whose `verify` is a script."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.calls, self.program = directory, directory / "calls", directory / "verify"
        for name, text in FAKES.items():
            self.script(directory / "bin" / name, text)

    def script(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def run(self, guest: str) -> subprocess.CompletedProcess[str]:
        """Ask for the checks, and let the container do this."""
        self.script(self.program, guest)
        deployed = Deployed()
        deployed.verify()
        text = next(text for text in deployed.root.texts if PROGRAM in text)
        text = text.replace(PROGRAM, str(self.program))
        environment = {"PATH": f"{self.directory}/bin:/usr/bin:/bin", "CALLS": str(self.calls), "NODES_OWN": "x"}
        # Its pipe is a file: nobody waits for what is left of it.
        with (self.directory / "said").open("w+") as said:
            done = subprocess.run(["bash", "-s"], input=text, env=environment, stdout=said, text=True, check=False)
            said.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, said.read())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_container_gets_nothing_of_the_nodes_environment_and_no_input(machine: Machine) -> None:
    done = machine.run("env | sort; cat; [ ! -t 0 ] && echo 'no terminal' >&2; exit 7")
    assert done.returncode == 7
    lines = [line for line in done.stdout.splitlines() if not line.startswith(("_=", "SHLVL=", "PWD=", "OLDPWD="))]
    assert lines == [
        "HOME=/root",
        "LANG=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "no terminal",
    ]


def test_it_has_a_limit_of_its_own_and_one_of_the_nodes_which_comes_later(machine: Machine) -> None:
    machine.run("true")
    calls = machine.calls.read_text().splitlines()
    assert sorted(call for call in calls if call.startswith("timeout")) == ["timeout -k 5 260", "timeout -k 5 265"]
    (attach,) = (call for call in calls if not call.startswith("timeout"))
    assert attach.startswith("lxc-attach -n 118 --clear-env -- env -i PATH=")
    assert attach.endswith(f" timeout -k 10 240 {machine.program}")


@pytest.mark.parametrize("guest", ["exec sleep 5", "trap '' TERM; exec sleep 5", "sleep 5 & echo said; exec sleep 5"])
def test_who_never_ends_is_not_waited_for(machine: Machine, guest: str) -> None:
    # Whoever is root in the container may have no timeout that ends anything.
    machine.script(machine.directory / "bin" / "lxc-attach", f"{guest}")
    assert machine.run("").returncode in {124, 137}


def test_who_says_without_an_end_is_cut_off(machine: Machine) -> None:
    done = machine.run("exec yes")
    assert len(done.stdout) == 1_000_000
    assert done.returncode != 0


# --- a container that lies

HOSTS_OWN = ["config", "host directories", "payload", "guest checks", "verification", "workspace", "workspace /data"]


@pytest.mark.parametrize(
    "name", [*HOSTS_OWN, "Config", "WORKSPACE /data", "workspace /other", "workspace other", "Host Directories"]
)
def test_a_container_cannot_make_the_checks_of_the_host(heard: Deployed, name: str) -> None:
    heard.configure(mp0=None)
    heard.node.paths[HERMES] = replace(heard.node.paths[HERMES], mode=0o700)
    line = f"check\t{name}\tok\t1\tall is well\t"
    heard.says = [DOCKER, line]
    checks = heard.verify()
    assert "all is well" not in [detail for _, _, detail, _ in checks]
    found = {name: (status, detail, remedy) for name, status, detail, remedy in checks}
    assert found["config"][0] == found["host directories"][0] == "failed"
    shown = line.replace("\t", " ")
    assert found["guest checks"] == (
        "failed",
        f'container 118 says what is no check of a container: "{shown}"',
        f"{DELIVER}; if that does not help, somebody else is root in it",
    )


def test_the_container_of_the_agent_is_not_our_container(heard: Deployed) -> None:
    heard.says = ["check\tcontainer\tok\t1\tUp 3 hours\t", "check\tContainer hermes-work\tfailed\t2\tgone\tx"]
    checks = heard.verify()
    assert ("docker container", "ok", "Up 3 hours", "") in checks
    assert ("docker Container hermes-work", "failed", "gone", "x") in checks
    assert [check for check in checks if check[0] == "container"] == [("container", "ok", "running on gihyeon", "")]


@pytest.mark.parametrize(
    "line",
    [
        "check\tdocker\tperfect\t1\tx\t",
        "check\tdocker\tok\tsoon\tx\t",
        "check\tdocker\tok\t1\tx",
        "check\tdocker\tok\t1\tx\ty\tz",
        "check\tdocker\tok\t-1\tx\t",
        "check\tdocker\tok\t99999999\tx\t",
        "check\t\tok\t1\tx\t",
        "check\tdo[31mcker\tok\t1\tx\t",
        "check\tconfig \tok\t1\tx\t",
        "check\t config\tok\t1\tx\t",
        "check\tcontainer  x\tok\t1\tx\t",
        "check\tdöcker\tok\t1\tx\t",
        f"check\t{'x' * 61}\tok\t1\tx\t",
        "check\t",
    ],
)
def test_a_line_that_is_no_check_is_a_failed_one(deployed: Deployed, line: str) -> None:
    deployed.says = [DOCKER, line]
    found = deployed.verify()
    assert [name for name, *_ in found][4:] == ["docker", "guest checks", "workspace /data"]
    assert found[5][1] == "failed"
    assert found[5][2].startswith("container 118 says what is no check of a container: ")


@pytest.mark.parametrize("name", ["do\x1bcker", "con\x01fig", "con\u200bfig", "con\u202efig", "con\x9bfig"])
def test_what_is_left_of_a_name_without_what_nobody_sees_is_what_it_is_judged_by(heard: Deployed, name: str) -> None:
    heard.says = [f"check\t{name}\tok\t1\tforged\t"]
    found = heard.found()
    assert found["config"] == ("ok", "mp0, features", "")
    assert ("docker" in found) == ("cker" in name)


@pytest.mark.parametrize(
    "text",
    [
        "checked\t99",
        "\x1b[2J\x1b[1;1Hcheck\tconfig\tok\t1\tx\t",
        " check\tconfig\tok\t1\tx\t",
        "[hermes] refused: \x07x",
        "\u009b2Jx",
        "\u202etxet",
        "x" * 10000,
        "\x00x",
        "probe\t/data\tok\t1\tx",
    ],
)
def test_other_words_are_shown_as_the_containers_and_do_nothing(heard: Deployed, text: str) -> None:
    heard.says = [DOCKER, text]
    assert [name for name, *_ in heard.verify()][4:] == ["docker", "workspace /data"]
    assert heard.texts
    assert all(line.startswith("[hermes] ") and line.isprintable() for line in heard.texts)


def test_a_carriage_return_begins_no_line(heard: Deployed) -> None:
    heard.says = [DOCKER, "x\rcheck\tchat\tok\t1\tforged\t"]
    assert "chat" not in heard.found()


def test_details_of_a_container_cannot_touch_the_terminal(heard: Deployed) -> None:
    heard.says = [f"check\tdocker\tok\t0099\ta\x1b[2J\r\x07\u009b\u2066b{'c' * 1000}\tx\x1b]0;y\x07"]
    status, detail, remedy = heard.found()["docker"]
    assert (status, remedy) == ("ok", "x]0;y")
    assert detail.startswith("a[2Jbcc")
    assert len(detail) == 500
    assert next(check.seconds for check in heard.checks if check.name == "docker") == 0.099


# --- workspaces

ELSEWHERE = f"what is written there does not show in {HERMES} on gihyeon: the mount is not in place"
REBOOT = (
    "run `pct reboot 118 --timeout 180` on gihyeon: a disk that was mounted after the container's start shows only then"
)
NO_WORD = "container 118 made no probe there (status {}): its payload may be an older one"
BELONGS = f"{HERMES} must belong to 110000:110000 on gihyeon: {MEND}"


@pytest.mark.parametrize(
    ("change", "detail", "remedy"),
    [
        pytest.param(
            {"owner": "100000:100000"},
            "the container's root wrote it (100000:100000 on gihyeon), not the agent's user (110000:110000): it proves "
            "nothing",
            DELIVER,
            id="written by root",
        ),
        pytest.param(
            {"owner": "101000:101000"},
            "what is written there belongs to 101000:101000 on gihyeon, not to the declared 110000:110000",
            f"correct uid, gid or idmap of the mount in the settings, then {MEND}",
            id="written by somebody else",
        ),
        pytest.param(
            {"owner": "110000:100000"},
            "what is written there belongs to 110000:100000 on gihyeon, not to the declared 110000:110000",
            f"correct uid, gid or idmap of the mount in the settings, then {MEND}",
            id="another group",
        ),
        pytest.param({"kind": ""}, ELSEWHERE, REBOOT, id="not there"),
        pytest.param({"kind": "symbolic link"}, ELSEWHERE, REBOOT, id="a link"),
        pytest.param(
            {"says": "failed\t42\tRead-only\033[2J file system"},
            "the agent cannot write there: Read-only[2J file system",
            BELONGS,
            id="the agent cannot write",
        ),
        pytest.param(
            {"says": "failed\t42\t"}, "the agent cannot write there", BELONGS, id="it cannot, and does not say why"
        ),
        pytest.param({"says": "perfect\t42\twritten"}, NO_WORD.format(0), DELIVER, id="no such status"),
    ],
)
def test_a_workspace_that_is_none(heard: Deployed, change: dict[str, str], detail: str, remedy: str) -> None:
    heard.writes = lambda probe: heard.write(probe, **change)
    assert heard.found()["workspace /data"] == ("failed", detail, remedy)
    # Removed whatever came of it.
    assert heard.root.asked[-1][1] == "workspace-remove"
    assert not [path for path in heard.node.paths if "probe" in path]


@pytest.mark.parametrize("answer", [(0, "probe\t/old\tok\t1\tx\n"), (3, ""), (124, ""), (0, "")])
def test_a_container_that_makes_no_probe(deployed: Deployed, answer: tuple[int, str]) -> None:
    deployed.writes = lambda _: answer
    assert deployed.found()["workspace /data"] == ("failed", NO_WORD.format(answer[0]), DELIVER)


def test_a_probe_that_stays_is_named(deployed: Deployed) -> None:
    deployed.removes = False
    found = deployed.found()["workspace /data"]
    (probe,) = (path for path in deployed.node.paths if "probe" in path)
    assert found == ("failed", "its probe could not be removed", f"run `rm -- {probe}` on gihyeon")


def test_each_workspace_is_a_check_of_its_own_and_what_is_read_only_is_none(deployed: Deployed) -> None:
    more = [Attached(f"mp{n}", f"{HERMES}-{n}", f"/more{n}", {"ro": "1"} if n == 2 else {}) for n in (1, 2)]
    directories = [Directory(it.source, 110000, 110000, 0o750) for it in more]
    deployed.wanted = replace(WANTED, mounts=(*WANTED.mounts, *more), directories=(*WANTED.directories, *directories))
    # A mount whose directory is not of the settings says nobody whose it should be.
    deployed.wanted = replace(deployed.wanted, mounts=(*deployed.wanted.mounts, Attached("mp9", "/srv", "/srv", {})))
    assert [check[:2] for check in deployed.verify() if check[0].startswith("workspace")] == [
        ("workspace /data", "ok"),
        ("workspace /more1", "failed"),
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, UnreachedError])
def test_a_verification_that_is_ended_removes_its_probes(deployed: Deployed, error: type[BaseException]) -> None:
    def end(probe: str) -> tuple[int, str]:
        deployed.write(probe)
        raise error

    deployed.writes = end
    with pytest.raises(error):
        deployed.verify()
    assert deployed.root.asked[-1][1] == "workspace-remove"
    assert not [path for path in deployed.node.paths if "probe" in path]
