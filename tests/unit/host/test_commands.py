"""What is written down for root's shell: only what the list allows, said as it runs, guarded for the moment it runs in."""

from __future__ import annotations

import base64
import contextlib
import os
import pty
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pve_agents.host.commands import ALLOWED, Command, Guard, Plan, render, written
from pve_agents.host.paste import plan_paste
from pve_agents.host.plan import plan
from pve_agents.host.plan_container import guards
from pve_agents.host.shell import Shell
from pve_agents.host.step import Node as RealNode
from tests.unit.host.model import DELIVERY, SECRETS, WANTED, Node

PCT = """#!/bin/bash
printf '%s\\n' "$*" >>"$CALLS"
cat >>"$INPUT"
echo "says something"
for end in 0 1 2; do [ ! -t "$end" ] || echo "end $end is a terminal"; done
exit "${STATUS:-0}"
"""


class Root:
    """A root shell on a node whose programs only note how they are called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls, self.input = directory / "calls", directory / "input"
        self.config = directory / "118.conf"
        self.config.write_text("arch: amd64\nhostname: hermes\ntags: x\n")
        (directory / "bin").mkdir()
        for name in ("pct", "chown"):
            program = directory / "bin" / name
            program.write_text(PCT)
            program.chmod(0o755)
        self.environment = {
            "PATH": f"{directory / 'bin'}:{os.defpath}",
            "HOSTNAME": "gihyeon.home.arpa",
            "CALLS": str(self.calls),
            "INPUT": str(self.input),
        }

    def text(self, *commands: Command) -> str:
        text = render(Plan(commands, guards=guards(WANTED)), WANTED)
        return text.replace("/etc/pve/nodes/gihyeon/lxc/118.conf", str(self.config))

    def __call__(
        self, *commands: Command, cut: int | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        text = self.text(*commands)[:cut]
        environment = {**self.environment, **environment}
        return subprocess.run(["bash", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def pct(*words: str, **more: object) -> Command:
    return Command("container-config", ("pct", *words), "for the test", **more)  # type: ignore[arg-type]


def test_each_command_is_said_before_it_runs_with_its_outcome_and_time(root: Root) -> None:
    done = root(pct("set", "118", "--mp0", "/srv/a b,mp=/data"), pct("reboot", "118"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"\d+ s", "0 s", done.stdout).splitlines() == [
        "$ pct set 118 --mp0 '/srv/a b,mp=/data'",
        "  says something",
        "… done in 0 s",
        "$ pct reboot 118",
        "  says something",
        "… done in 0 s",
    ]
    assert root.called() == ["set 118 --mp0 /srv/a b,mp=/data", "reboot 118"]


def test_a_command_in_a_directory_is_said_as_a_plan_writes_it(root: Root) -> None:
    command = Command("s", ("chown", "110000:110000", "."), "r", within=str(root.directory))
    (said,) = [line for line in root(command).stdout.splitlines() if line.startswith("$ ")]
    assert said == f"$ {command.line}"


def test_no_end_of_a_command_is_a_terminal_where_a_text_is_pasted(root: Root) -> None:
    ours, theirs = pty.openpty()
    text = root.text(pct("exec", "118", stdin=SECRETS), pct("exec", "119"))
    done = subprocess.run(
        ["bash", "-s"], input=text.encode(), env=root.environment, stdout=theirs, stderr=theirs, check=False
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(ours, 4096):
            output += part
    os.close(ours)
    assert done.returncode == 0
    assert output.count(b"says something") == 2
    assert b"is a terminal" not in output
    assert base64.b64encode(SECRETS) not in output


FORGERIES = [
    r"$ pct destroy 200\n",
    r"\r$ pct destroy 200\n",
    r"\000\001$ pct destroy 200\n",
    r"x\n$ pct destroy 200",
    r"$(printf 'x%.0s' {1..3900})$ pct destroy 200\n",
    r"$(printf 'x%.0s' {1..4000})$ pct destroy 200\n",
]


@pytest.mark.parametrize("said", FORGERIES, ids=[str(number) for number in range(len(FORGERIES))])
def test_what_a_container_says_is_never_taken_for_what_root_ran(root: Root, said: str) -> None:
    """The attack: output that begins as the line before a command does, and a command that then fails."""
    (root.directory / "bin" / "pct").write_text(f'#!/bin/bash\nprintf "{said}"\necho refused: x\nexit 7\n')
    heard: list[str] = []
    text, bash = root.text(pct("exec", "118")), Shell(["env", *assigned(root.environment), "bash", "-s"])
    node = RealNode(WANTED, bash, heard.append)
    assert bash.act(text, node._hear) == 3
    assert node.doing == "pct exec 118"
    assert [line.partition(" after ")[0] for line in heard if not line.startswith("  ")] == [
        "$ pct exec 118",
        "… FAILED with status 7",
    ]
    assert any("pct destroy 200" in line for line in heard)


def assigned(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def test_no_terminal_that_a_text_is_pasted_into_obeys_a_container(root: Root) -> None:
    """As xterm.js reads UTF-8: C0, DEL, and C1 in two bytes, whatever remains when one is taken out."""
    said = r"a\033[6n\007b\177\302\233c\302\302\233\233d\302\007\233e … ü"
    (root.directory / "bin" / "pct").write_text(f"#!/bin/bash\nprintf '{said}'\n")
    done = subprocess.run(
        ["bash", "-s"],
        input=root.text(pct("exec", "118")).encode(),
        env=root.environment,
        capture_output=True,
        check=True,
    )
    (line,) = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("  ")]
    assert not [character for character in line if not character.isprintable()]
    assert line.startswith("  a[6nb?c")
    assert line.endswith("e … ü")


def test_a_command_that_never_ends_its_line_fills_no_memory(root: Root) -> None:
    (root.directory / "bin" / "pct").write_text("#!/bin/bash\nhead -c 100000 /dev/zero | tr '\\0' x\n")
    lines = root(pct("exec", "118")).stdout.splitlines()
    assert max(map(len, lines)) <= 3902
    assert "".join(line[2:] for line in lines[1:-1]) == "x" * 100_000


def test_what_fails_ends_it(root: Root) -> None:
    done = root(pct("set", "118"), pct("reboot", "118"), STATUS="7")
    assert done.returncode == 3
    assert "… FAILED with status 7 after " in done.stdout
    assert root.called() == ["set 118"]


def test_what_may_fail_ends_nothing(root: Root) -> None:
    done = root(pct("exec", "118", may_fail=True), pct("exec", "119", may_fail=True), STATUS="7")
    assert done.returncode == 0
    assert root.called() == ["exec 118", "exec 119"]


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("pve2", "hostname: hermes\n", "refused: this is not node gihyeon"),
        ("gihyeon", "hostname: web\n", "refused: container 118 is not called hermes any more"),
        ("gihyeon", "#hostname: hermes\nhostname: hermes2\n", "refused: container 118 is not called hermes any more"),
    ],
)
def test_another_node_or_another_container_than_was_looked_at_gets_no_command(
    root: Root, name: str, config: str, said: str
) -> None:
    root.config.write_text(config)
    done = root(pct("reboot", "118"), HOSTNAME=name)
    assert (done.returncode, done.stderr.strip(), root.called()) == (3, said, [])


def test_nothing_runs_before_all_of_it_has_arrived(root: Root) -> None:
    whole = len(render(Plan((pct("reboot", "118"),)), WANTED))
    for cut in (whole // 2, whole - 20):
        assert root(pct("reboot", "118"), cut=cut).returncode != 0
    assert root.called() == []


def test_input_arrives_whole_and_is_shown_nowhere(root: Root) -> None:
    content = bytes(range(256)) * 40
    done = root(pct("exec", "118", stdin=content), pct("exec", "119"))
    assert base64.b64decode(root.input.read_bytes()) == content
    assert base64.b64encode(content)[:60].decode() not in done.stdout + done.stderr


def test_a_trace_that_somebody_turns_on_shows_no_secret(root: Root) -> None:
    done = root(pct("exec", "118", stdin=SECRETS), SHELLOPTS="xtrace")
    assert "+ pct exec 118" in done.stderr
    assert base64.b64encode(SECRETS).decode() not in done.stderr


@pytest.mark.parametrize("umask", [0o077, 0])
def test_what_is_made_does_not_depend_on_the_callers_umask(root: Root, umask: int) -> None:
    path = root.directory / "made"
    text = render(Plan((Command("s", ("mkdir", "-m", "0750", "--", str(path)), "r"),)), WANTED)
    subprocess.run(["bash", "-s"], input=text, text=True, check=True, umask=umask, capture_output=True)
    assert path.stat().st_mode & 0o7777 == 0o750


def test_a_link_that_takes_the_place_of_a_directory_leads_nowhere(root: Root) -> None:
    """The attack: between the look and the command, a link to another directory."""
    secret, place = root.directory / "secret", root.directory / "place"
    secret.mkdir(mode=0o700)
    place.symlink_to(secret)
    done = root(Command("s", ("chmod", "0777", "."), "r", within=str(place)))
    assert (done.returncode, secret.stat().st_mode & 0o777) == (3, 0o700)
    place.unlink()
    place.mkdir(mode=0o700)
    assert root(Command("s", ("chmod", "0777", "."), "r", within=str(place))).returncode == 0
    assert place.stat().st_mode & 0o777 == 0o777


def test_a_link_above_leads_nowhere_too(root: Root) -> None:
    (root.directory / "real" / "hermes").mkdir(parents=True, mode=0o700)
    (root.directory / "above").symlink_to(root.directory / "real")
    done = root(Command("s", ("chmod", "0777", "."), "r", within=str(root.directory / "above" / "hermes")))
    assert done.returncode == 3
    assert (root.directory / "real" / "hermes").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("word", ["$(touch x)", "`touch x`", "a;touch x", "a'b", 'a"b', "a\\b", "*", "ü", "a\tb", "-x"])
def test_no_value_runs(root: Root, word: str) -> None:
    done = root(pct("set", "118", word), pct("exec", "118", "x\ny", word))
    assert done.returncode == 0
    assert root.called() == [f"set 118 {word}", "exec 118 x", f"y {word}"]
    assert not (root.directory / "x").exists()


def test_a_reason_is_a_comment_whatever_it_holds(root: Root) -> None:
    command = replace(pct("reboot", "118"), reason="one\npct reboot 200\n\x1b[2J$(pct reboot 201)")
    done = root(command)
    assert (done.returncode, root.called()) == (0, ["reboot 118"])


@pytest.mark.parametrize(
    "argv", [("rm", "-rf", "/"), ("pct", "destroy", "118"), ("pct", "enter", "118"), ("bash", "-c", "x"), (), ("pct",)]
)
def test_what_is_not_on_the_list_cannot_even_be_said(argv: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="is not on the list of what may run as root"):
        Command("s", argv, "r")


def test_each_program_of_the_list_is_used_by_a_plan() -> None:
    node = Node()
    commands = plan(WANTED, node.facts(), DELIVERY).commands
    node.paths[WANTED.directories[0].path] = replace(node.paths["/"], mode=0o777)
    commands += plan(WANTED, node.facts(), DELIVERY).commands
    commands += plan_paste(WANTED, Node().facts(), DELIVERY).commands
    ran = [*(command.argv for command in commands), *(command.undo for command in commands if command.undo)]
    used = {argv[:1] if argv[0] != "pct" else argv[:2] for argv in ran}
    assert used == ALLOWED


def test_a_person_can_read_what_is_going_to_run() -> None:
    lines = written(plan(WANTED, Node().facts(), DELIVERY).commands)
    assert lines[:4] == [
        "# /mnt/pve/hdd/hermes is not there",
        "mkdir -m 0750 -- /mnt/pve/hdd/hermes",
        "# /mnt/pve/hdd/hermes is to belong to 110000:110000, not to 0:0",
        "(cd -P -- /mnt/pve/hdd/hermes && chown 110000:110000 .)",
    ]
    assert any(line.endswith("  < the values of LITELLM_API_KEY") for line in lines)
    assert SECRETS.decode().strip() not in "\n".join(lines)
    # What runs in the container, too.
    scripts = {line.rpartition("sh -c ")[2] for line in lines}
    assert {"'set -eu", 'mkdir "$1.new"', """'"$1/bootstrap" || exit"""} <= scripts
    assert all(line.isprintable() for line in lines)


def test_guards_that_two_parts_of_a_plan_share_are_written_once() -> None:
    guard = Guard("1 = 1", "x")
    assert (Plan(guards=(guard,)) + Plan(guards=(guard,))).guards == (guard,)


def test_a_first_deploys_text_is_short() -> None:
    planned = plan(WANTED, Node().facts(), DELIVERY)
    assert len(planned.commands) <= 15
    assert all(len(line.encode()) < 4096 for line in render(planned, WANTED).splitlines())
    assert shlex.split(written(planned.commands)[1])[0] == "mkdir"


def test_what_fails_is_taken_back_and_said_what_to_do_about(root: Root) -> None:
    """NFS with root_squash: root may make the directory, and give it to nobody."""
    place = root.directory / "made"
    make = Command("s", ("mkdir", "-m", "0750", "--", str(place)), "r", hint="never said")
    undo = ("rmdir", "--", str(place))
    give = Command("s", ("chown", "1:1", "."), "r", within=str(place), hint="Is it NFS? It's that", undo=undo)
    done = root(make, give, pct("reboot", "118"), STATUS="1")
    assert (done.returncode, place.exists(), [it for it in root.called() if "reboot" in it]) == (3, False, [])
    assert "Is it NFS? It's that" in done.stdout
    assert "never said" not in done.stdout
    assert root(make, give).returncode == 0
    assert place.exists()


def test_what_takes_back_is_on_the_list_too() -> None:
    with pytest.raises(ValueError, match="is not on the list"):
        Command("s", ("mkdir", "x"), "r", undo=("rm", "-rf", "/"))
