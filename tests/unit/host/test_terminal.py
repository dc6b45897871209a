"""A text behind a terminal: a real one with a real shell in it, others who have it open, and shells that are none."""

from __future__ import annotations

import base64
import os
import pty
import re
import select
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pve_agents.host import terminal as module
from pve_agents.host.terminal import LINE, Terminal, TerminalError

CANARY = "sk-canary-0b5e55ed0b5e55ed"
BASH = ("bash", "--norc", "--noprofile", "-i")
NAME = "the console of container 118"
LEAVE = "Leave it in the web interface with `exit`, or wait until that has ended, and run it again"


class Pty:
    """A pseudo terminal, of which all that was typed and shown is kept; others may do something, too."""

    def __init__(self, argv: tuple[str, ...], **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"PATH": os.environ["PATH"], "PS1": "root@hermes:~# ", "TERM": "xterm-256color", **environment},
        )
        os.close(slave)
        self.typed, self.shown = b"", b""
        self.before_typing: Callable[[bytes], bytes] = lambda data: data
        self.echoes = False
        self.early = b""
        self.refreshed = 0

    def send(self, data: bytes) -> None:
        self.typed += data
        if self.echoes:
            self.early += data
        os.write(self.master, self.before_typing(data))

    def receive(self, seconds: float) -> bytes:
        data, self.early = self.early, b""
        if not data and select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                raise GoneError from None
        self.shown += data
        return data

    def refresh(self) -> None:
        self.refreshed += 1

    def show(self, text: str, times: int = 1) -> None:
        """Wait until this is there to be read, so many times."""
        seen, end = b"", time.monotonic() + 30
        while seen.count(text.encode()) < times and time.monotonic() < end:
            seen += self.receive(1)
        assert seen.count(text.encode()) == times, seen
        self.early = seen

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.master >= 0:
            self.hang_up()
        self.process.kill()
        self.process.wait()


class GoneError(Exception):
    """The terminal has ended."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine a shell is quick, and what it waits for for ever is seen by then."""
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.1)


@pytest.fixture
def in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prompt will come: what there is to see is there before it is looked at."""
    monkeypatch.setattr(module, "_PROMPT_SECONDS", 0.3)


@pytest.fixture
def shells() -> Iterator[Callable[..., Pty]]:
    opened: list[Pty] = []

    def open_one(*argv: str, **environment: str) -> Pty:
        opened.append(Pty(argv or BASH, **environment))
        return opened[-1]

    yield open_one
    for it in opened:
        it.close()


def run(line: Pty, text: str, **options: Any) -> tuple[int, list[bytes]]:
    lines: list[bytes] = []
    status = Terminal(line, NAME).run(text.encode(), lines.append, **{"plain": True, "silence": 20, **options})
    return status, lines


# --- what a text does


@pytest.mark.parametrize(
    ("text", "status", "lines"),
    [
        ("echo one; echo two >&2; exit 3", 3, [b"one", b"two"]),
        ("printf 'no end'", 0, [b"no end"]),
        ("echo; echo; echo a; echo", 0, [b"", b"", b"a", b""]),
        ("true", 0, []),
        ("kill -9 $$", 137, []),
        ("cat", 0, []),
        ("test -t 0 || test -t 1 || test -t 2 || echo no terminal", 0, [b"no terminal"]),
        ("ps -o stat= -p $$ >/dev/null; echo 'grün ‽'", 0, ["grün ‽".encode()]),
        ("echo '$HOME' \"it's\" '!!' \\\\ '`x`'", 0, [b"$HOME it's !! \\ `x`"]),
    ],
)
def test_a_text_is_run_as_it_was_given(shells: Callable[..., Pty], text: str, status: int, lines: list[bytes]) -> None:
    assert run(shells(), text) == (status, lines)


def test_what_is_no_text_comes_as_base64(shells: Callable[..., Pty]) -> None:
    _, lines = run(shells(), "printf 'a\\0b\\r\\n\\33[2Jc'", plain=False)
    assert base64.b64decode(b"".join(lines)) == b"a\0b\r\n\33[2Jc"


@pytest.mark.parametrize("size", [LINE * 3 // 4 - 30, LINE * 9 // 4, 300_000])
def test_a_text_of_any_length_arrives_whole(shells: Callable[..., Pty], size: int) -> None:
    line = shells()
    assert run(line, f"x={'y' * size}; echo ${{#x}}") == (0, [str(size).encode()])
    # A terminal takes 4,095 characters of a line.
    assert max(map(len, line.typed.split(b"\n"))) < 4095


def test_the_reader_can_be_typed_in_quotes() -> None:
    assert "'" not in module._READER
    assert "\n" not in module._READER
    assert "!" not in module._READER


def test_nothing_of_it_is_in_the_history(shells: Callable[..., Pty], tmp_path: Path) -> None:
    history = tmp_path / "history"
    run(shells(HISTFILE=str(history), HOME=str(tmp_path)), "true")
    assert not history.exists()


# --- secrets


def test_a_secret_is_shown_nowhere(shells: Callable[..., Pty]) -> None:
    line = shells()
    # Of all processes, whatever they are, the argument or the environment of none has it.
    looks = (
        f"s={CANARY}; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -c {CANARY[:-1]}[{CANARY[-1]}]"
    )
    assert run(line, looks) == (1, [b"0"])
    assert CANARY.encode() in base64.b64decode(b"".join(line.typed.split(b"\n")[2:]))
    for shown in (line.shown, re.sub(rb"\s", b"", line.shown)):
        assert CANARY.encode() not in shown
        assert all(it not in shown for it in line.typed.split(b"\n")[2:] if it)


def test_where_a_terminal_shows_what_is_typed_no_secret_is_typed(shells: Callable[..., Pty], tmp_path: Path) -> None:
    line = shells()
    line.echoes = True

    with pytest.raises(TerminalError) as error:
        run(line, f"touch {tmp_path}/ran; echo {CANARY}")

    assert str(error.value) == f"{NAME} shows what is typed there: nothing secret was sent, and nothing was run"
    assert not error.value.is_worth_another
    typed = line.typed.split(b"\n")
    # The reader, and a word that is none.
    assert len(typed) == 3
    assert not (tmp_path / "ran").exists()


# --- others


@pytest.mark.usefixtures("in_vain")
def test_a_line_that_somebody_is_typing_is_left_alone(shells: Callable[..., Pty], tmp_path: Path) -> None:
    line = shells()
    os.write(line.master, f"touch {tmp_path}/half".encode())
    line.show("/half")

    with pytest.raises(TerminalError) as error:
        run(line, "echo")

    assert (
        str(error.value)
        == f"{NAME} shows no prompt of a shell that waits: somebody has it open, or what an earlier run began there goes on. {LEAVE}"
    )
    assert line.typed == b""
    assert not (tmp_path / "half").exists()


@pytest.mark.usefixtures("in_vain")
@pytest.mark.parametrize(
    "begun",
    [
        "rm -r {} \\\n",
        "rm -r {} &&\n",
        "cat >{}/conf <<END\nfirst\n",
        "touch '{}/half\n",
        "for it in {}; do\nrm -r $it\n",
        "python3 -q\n",
    ],
)
def test_a_command_that_somebody_has_in_the_middle_is_neither_completed_nor_added_to(
    shells: Callable[..., Pty], tmp_path: Path, begun: str
) -> None:
    """A line more, and bash would run `rm`: the prompt that continues a command is no prompt of a shell that waits."""
    line = shells()
    os.write(line.master, begun.format(tmp_path).encode())
    # After each line, a prompt that goes on.
    line.show(">>> " if "python" in begun else "h> ", begun.count("\n"))

    with pytest.raises(TerminalError, match="shows no prompt of a shell that waits"):
        run(line, "echo")

    assert line.typed == b""
    assert tmp_path.is_dir()


@pytest.mark.usefixtures("in_vain")
@pytest.mark.parametrize(
    "prompt",
    ["me@hermes:~$ ", "hermes% ", "> ", ">>> ", "root@hermes:~# rm -r /data #", "####      ", "Really? [y/N] "],
)
def test_only_roots_prompt_is_one_of_a_shell_that_waits(shells: Callable[..., Pty], prompt: str) -> None:
    line = shells("bash", "-c", f"read -p {shlex.quote(prompt)}")
    line.show(prompt)
    with pytest.raises(TerminalError, match="shows no prompt of a shell that waits"):
        run(line, "echo")
    assert line.typed == b""


def test_what_took_the_first_line_and_is_no_shell_gets_no_second_one(
    shells: Callable[..., Pty], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READER_SECONDS", 0.5)
    line = shells("bash", "-c", "read -p 'Which number? # '; sleep 30")

    with pytest.raises(TerminalError) as error:
        run(line, f"echo {CANARY}")

    assert str(error.value) == (
        f"{NAME} took what was typed, and did not answer: look at it in the web interface, leave it with `exit`, and run it "
        "again"
    )
    assert not error.value.is_worth_another
    assert line.typed.count(b"\n") == 1


@pytest.mark.usefixtures("in_vain")
@pytest.mark.parametrize("busy", ["sleep 30", "while :; do printf '\\33[H\\33[2Jload 0.1\\n'; sleep 0.05; done"])
def test_what_runs_there_is_left_alone(shells: Callable[..., Pty], busy: str) -> None:
    line = shells("bash", "-c", busy)
    with pytest.raises(TerminalError, match="somebody has it open, or what an earlier run began there goes on"):
        run(line, "echo")
    assert line.typed == b""


def test_a_shell_into_which_nobody_has_typed_anything_is_as_good_as_a_new_one(shells: Callable[..., Pty]) -> None:
    line = shells(SECONDS="6000")
    assert run(line, "echo here") == (0, [b"here"])


def test_a_shell_that_was_there_before_is_not_taken(shells: Callable[..., Pty], tmp_path: Path) -> None:
    line = shells()
    os.write(line.master, b"SECONDS=60; echo o''ne\n")
    line.show("one\r\n")
    os.write(line.master, b"cd /; echo t''wo\n")
    line.show("two\r\n")

    with pytest.raises(TerminalError) as error:
        run(line, f"touch {tmp_path}/ran")

    assert str(error.value) == (
        f"{NAME} is a shell that was there before: somebody has it open, or left it. Leave it in the web interface with "
        "`exit`, and run it again"
    )
    assert not (tmp_path / "ran").exists()
    # It is still whose it was.
    os.write(line.master, b"echo mi''ne\n")
    deadline = time.monotonic() + 5
    while b"mine" not in line.shown and time.monotonic() < deadline:
        line.receive(0.2)
    assert b"mine" in line.shown


@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("foreign", [b"ls\n", b"x", b"rm -rf /\n\n\n"])
def test_what_somebody_types_into_it_keeps_it_from_running(
    shells: Callable[..., Pty], tmp_path: Path, number: int, foreign: bytes
) -> None:
    line, count = shells(), 0

    def with_others(data: bytes) -> bytes:
        nonlocal count
        count += 1
        return foreign + data if count == number else data

    line.before_typing = with_others
    with pytest.raises((TerminalError, GoneError)) as error:
        run(line, f"touch {tmp_path}/ran; : {'x' * 4000}")

    if isinstance(error.value, TerminalError):
        assert "somebody else has it open, too. Nothing was run" in str(error.value)
        assert error.value.is_worth_another
    assert not (tmp_path / "ran").exists()


def test_an_interrupt_of_somebodys_ends_nothing(shells: Callable[..., Pty], tmp_path: Path) -> None:
    line = shells()
    text = f"trap 'echo hit' INT; touch {tmp_path}/runs; until [ -e {tmp_path}/hit ]; do sleep 0.05; done; echo whole"

    def interrupt() -> None:
        while not (tmp_path / "runs").exists():
            time.sleep(0.05)
        os.write(line.master, b"\x03")
        (tmp_path / "hit").touch()

    threading.Thread(target=interrupt, daemon=True).start()
    assert run(line, text) == (0, [b"whole"])


@pytest.mark.parametrize("prompt", ["hermes login: ", "Password: "])
def test_a_login_is_no_shell(shells: Callable[..., Pty], prompt: str) -> None:
    line = shells("bash", "-c", f"read -p {shlex.quote(prompt)}")
    with pytest.raises(TerminalError, match="asks for a login, and is to be a shell of root's"):
        run(line, "echo")
    assert line.typed == b""


def test_a_motd_and_a_colourful_prompt_are_no_hindrance(shells: Callable[..., Pty]) -> None:
    line = shells(PS1="\\[\\e]0;title: x\\a\\]\\[\\e[1;32m\\]root@hermes\\[\\e[0m\\]:\\w\\n\\[\\e[31m\\]# \\[\\e[m\\]")
    assert run(line, "echo here") == (0, [b"here"])


# --- what it prints


def test_nobody_can_say_that_it_has_ended(shells: Callable[..., Pty]) -> None:
    forged = "".join(f"printf '%s\\n' {word}\n" for word in ("'end 0'", "'pve-agents end 0'", f"'{'0' * 64} end 0'"))
    status, lines = run(shells(), f"{forged}exit 7")
    assert status == 7
    assert len(lines) == 3


def test_what_goes_on_and_on_is_not_waited_for(shells: Callable[..., Pty]) -> None:
    began = time.monotonic()
    with pytest.raises(TerminalError, match=r"was given to do has not ended in 0\.3 seconds"):
        run(shells(), "yes", seconds=0.3)
    with pytest.raises(TerminalError, match=r"was given to do has said nothing for 0\.3 seconds"):
        run(shells(), "sleep 30", silence=0.3)
    assert time.monotonic() - began < 20


def test_a_line_without_an_end_comes_in_pieces(shells: Callable[..., Pty]) -> None:
    _, lines = run(shells(), "head -c 20000 /dev/zero | tr '\\0' x")
    assert b"".join(lines) == b"x" * 20000
    assert max(map(len, lines)) <= 4000


def test_where_nobody_types_any_more_it_ends_by_itself() -> None:
    done = subprocess.run(
        ["script", "-qec", f"bash -c {shlex.quote(module._READER)} pve-agents a b plain 1", os.devnull],
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert b"ab garbled" in done.stdout


# --- where it breaks off


class Cut:
    """A line that breaks off at a frame, which was still typed, or not any more; at none, it does not."""

    def __init__(self, line: Pty, frame: int = 0, *, arrives: bool = True) -> None:
        self._line, self._frame, self._arrives = line, frame, arrives
        self.frames = 0
        self.receive, self.refresh = line.receive, line.refresh

    def send(self, data: bytes) -> None:
        self.frames += 1
        is_last = self.frames == self._frame
        if self._arrives or not is_last:
            self._line.send(data)
        if is_last:
            raise GoneError


# Half of what Hermes gets: from the fourth line on, one is like another.
FRAMES = 2 + 60


def text_of_all_frames(ran: Path) -> str:
    return f"echo begun >>{ran}; : {'x' * (LINE * 3 // 4 * 59 + 200)}; echo ended >>{ran}"


def test_the_reader_and_what_it_is_to_expect_are_a_frame_each(shells: Callable[..., Pty], tmp_path: Path) -> None:
    line = Cut(shells())
    assert Terminal(line, NAME).run(text_of_all_frames(tmp_path / "ran").encode(), print, plain=True) == 0
    assert line.frames == FRAMES


@pytest.mark.long
@pytest.mark.parametrize("stays", [True, False], ids=["a shell that stays", "a shell that is hung up on"])
@pytest.mark.parametrize("arrives", [True, False], ids=["after the frame", "before the frame"])
def test_wherever_it_breaks_off_nothing_ran_or_all_of_it(
    shells: Callable[..., Pty], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, arrives: bool, stays: bool
) -> None:
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 1)
    left: list[Pty] = []
    for frame in range(1, FRAMES + 1):
        line = shells()
        text = text_of_all_frames(tmp_path / f"{frame}").encode()
        with pytest.raises(GoneError):
            Terminal(Cut(line, frame, arrives=arrives), NAME).run(text, print, plain=True)
        if not stays:
            line.hang_up()
        left.append(line)
    # The first one, with nothing typed, is a shell like any other.
    for line in left if arrives or not stays else left[1:]:
        line.process.wait(30)
    ran = {int(it.name): it.read_text() for it in tmp_path.iterdir()}
    # Whoever is hung up on may have got as far as the last one.
    if arrives and stays:
        assert ran == {FRAMES: "begun\nended\n"}
    else:
        assert ran.keys() <= ({FRAMES} if arrives else set())
