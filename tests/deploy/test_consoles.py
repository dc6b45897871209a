"""Terminals of the virtual node, as root@pam and as a token: the handshake, the limits, and all that may go wrong."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from pve_agents import node_console
from pve_agents.host import console as console_module
from pve_agents.host import terminal
from pve_agents.host.console import ConsoleShell, of_container
from pve_agents.host.shell import UnreachedError
from pve_agents.node_access import Access, access
from pve_agents.node_console import LONGEST_FRAME, Console, ConsoleError
from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")]

PATH = "nodes/gihyeon/lxc/118"
PRIVILEGE = "VM.Console on /vms/118"
CANARY = "sk-canary-c0501eca11c0501eca11"


@pytest.fixture
def who(project: Project, virtual_node: VirtualNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    """A token that may open the console of a container."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    # Nobody waits for those who met.
    monkeypatch.setattr(console_module, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(terminal, "_PATIENCE_SECONDS", 1)
    project.create_container(cmode="shell")
    virtual_node.grant("VM.Console", "/vms")
    return access(virtual_node.env)


@pytest.fixture
def shell(who: Access) -> ConsoleShell:
    return of_container(who, "gihyeon", 118)


def unreached(shell: ConsoleShell, text: str = "echo") -> str:
    with pytest.raises(UnreachedError) as error:
        shell.act(text, lambda _: None)
    return str(error.value)


def test_a_text_is_run_and_looked_at(shell: ConsoleShell, virtual_node: VirtualNode) -> None:
    said: list[str] = []
    assert shell.act(f": {CANARY}; printf 'a\\tb\\033[31m\\n'; exit 4", said.append) == 4
    assert said == ["a b[31m"]
    assert shell.look("printf 'a\\0b'") == b"a\0b"
    assert CANARY.encode() not in bytes(virtual_node.pve.consoles.shown)
    # Each text has a shell of its own, and leaves none.
    deadline = time.monotonic() + 10
    while virtual_node.pve.consoles.shared and time.monotonic() < deadline:
        time.sleep(0.05)
    assert virtual_node.pve.consoles.shared == {}


def test_a_frame_is_never_larger_than_the_node_takes(who: Access, virtual_node: VirtualNode) -> None:
    console = Console(who, PATH, privilege=PRIVILEGE)
    console.receive(2)
    console.send(b"x" * (2 * LONGEST_FRAME))
    console.refresh()
    console.send(b"\n")
    # The node would have closed the connection, and the last ones would never arrive.
    deadline = time.monotonic() + 30
    while virtual_node.pve.consoles.frames < 1 + 3 + 1 + 1 and time.monotonic() < deadline:
        console.receive(0.1)
    console.close()
    assert virtual_node.pve.consoles.frames == 1 + 3 + 1 + 1
    with pytest.raises(ConsoleError, match="was closed in the middle"):
        console.send(b"x")


def test_a_frame_waits_for_no_acknowledgement_of_the_one_before(who: Access) -> None:
    console = Console(who, PATH, privilege=PRIVILEGE)
    assert console._socket._tls.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    console.close()


def test_a_frame_of_ours_that_were_larger_would_end_it(who: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_console, "LONGEST_FRAME", 2 * LONGEST_FRAME)
    console = Console(who, PATH, privilege=PRIVILEGE)
    console.send(b"x" * (LONGEST_FRAME + 1))
    with pytest.raises(ConsoleError, match="was closed in the middle"):  # noqa: PT012 - until it is
        for _ in range(100):
            console.receive(5)
    console.close()


def test_who_says_nothing_for_long_says_that_it_is_there(
    who: Access, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_console, "PING_SECONDS", 0.05)
    console = Console(who, PATH, privilege=PRIVILEGE)
    console.receive(2)
    before = virtual_node.pve.consoles.frames
    while virtual_node.pve.consoles.frames < before + 3:
        console.receive(0.2)
    # A ping is nothing that anybody types.
    assert virtual_node.pve.consoles.typed == b""
    console.close()


def test_a_ticket_that_is_too_old_is_asked_for_anew_and_then_is_one_sentence(
    shell: ConsoleShell, virtual_node: VirtualNode
) -> None:
    virtual_node.pve.consoles.faults.expired = True
    assert unreached(shell).endswith(
        "lets nobody into the console that it opened (its ticket is good for 40 seconds, and is not accepted any more): run "
        "it again"
    )
    virtual_node.pve.consoles.faults.expired = False
    assert shell.act("exit 0", lambda _: None) == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            "too_old",
            "opens no console for an API token, which pve-manager 9.0.13, pve-container 6.1.3 and termproxy 2.0.3 do",
        ),
        ("refuses", "does not answer to its own ticket: run it again; if it stays so, the node may be too old"),
        ("deaf", "took what was typed, and did not answer: look at it in the web interface"),
        ("echoes", "shows what is typed there: nothing secret was sent, and nothing was run"),
    ],
)
def test_each_fault_is_one_sentence_and_the_next_run_goes_on(
    shell: ConsoleShell, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch, fault: str, sentence: str
) -> None:
    monkeypatch.setattr("pve_agents.host.terminal._READER_SECONDS", 1.0)
    setattr(virtual_node.pve.consoles.faults, fault, True)
    assert sentence in unreached(shell)
    setattr(virtual_node.pve.consoles.faults, fault, False)
    # What the deaf one has begun, nobody ended.
    virtual_node._run(_close(virtual_node))
    assert shell.act("exit 0", lambda _: None) == 0


async def _close(node: VirtualNode) -> None:
    node.pve.consoles.close()


def test_without_the_privilege_it_is_said_which(shell: ConsoleShell, virtual_node: VirtualNode) -> None:
    virtual_node.revoke("VM.Console")
    sentence = unreached(shell)
    assert sentence.startswith("token terraform@pve!deploy lacks VM.Console on /vms/118 (Permission check failed")


def test_a_console_with_a_login_is_not_typed_into(shell: ConsoleShell, virtual_node: VirtualNode) -> None:
    virtual_node.pve.ct(118).config["cmode"] = "tty"
    assert "the console of container 118 asks for a login" in unreached(shell)
    assert virtual_node.pve.consoles.typed == b""


def test_a_credential_follows_nobody_elsewhere(who: Access, virtual_node: VirtualNode) -> None:
    async def elsewhere(*_: object) -> object:
        from aiohttp import web  # noqa: PLC0415

        return web.Response(status=302, headers={"Location": f"{virtual_node.pve.url}/elsewhere"})

    with (
        mock.patch.object(virtual_node.pve.consoles, "serve", elsewhere),
        pytest.raises(ConsoleError, match=r"lets nobody into the console that it opened \(HTTP 302\)"),
    ):
        Console(who, PATH, privilege=PRIVILEGE)


@pytest.mark.parametrize(("size", "after"), [*((2600, frame) for frame in range(1, 8)), (44_500, 33), (44_500, 63)])
def test_wherever_the_connection_breaks_off_nothing_ran_or_all_of_it(
    shell: ConsoleShell, virtual_node: VirtualNode, size: int, after: int
) -> None:
    """Each frame of a text as long as the last two is one of `tests/unit/host/test_terminal.py`."""
    faults = virtual_node.pve.consoles.faults
    place = virtual_node.guest(118, "/tmp")  # noqa: S108
    faults.drop_after = after
    assert "run it again" in unreached(shell, f"echo x >>{place}/ran; : {'x' * size}")
    faults.drop_after = None
    # The last line, which was the seventh frame, or the sixty-third, did not arrive.
    assert not (place / "ran").exists()
    virtual_node._run(_close(virtual_node))

    assert shell.act(f"echo x >>{place}/ran", lambda _: None) == 0
    assert (place / "ran").read_text() == "x\n"


@pytest.mark.parametrize("after", range(1, 6))
def test_a_connection_that_breaks_off_while_something_is_shown(
    shell: ConsoleShell, virtual_node: VirtualNode, after: int
) -> None:
    virtual_node.pve.consoles.faults.drop_after_shown = after
    assert "run it again" in unreached(shell, "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")
    virtual_node.pve.consoles.faults.drop_after_shown = None
    # It goes on there, and ends; the next one has a shell of its own.
    said: list[str] = []
    assert shell.act("echo again", said.append) == 0
    assert said == ["again"]


def test_a_terminal_that_has_the_size_already_shows_its_prompt_all_the_same(
    shell: ConsoleShell, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that was there before shows its prompt once more when its terminal gets another size, and only then."""
    monkeypatch.setattr(secrets, "randbelow", lambda _: 7)
    monkeypatch.setattr(terminal, "_REFRESH_SECONDS", 0.5)
    monkeypatch.setattr(terminal, "_PROMPT_SECONDS", 20.0)
    virtual_node.pve.consoles.faults.drop_after_shown = 1
    assert "run it again" in unreached(shell)
    virtual_node.pve.consoles.faults.drop_after_shown = None
    assert virtual_node.pve.consoles.shared
    assert shell.act("exit 3", lambda _: None) == 3


def test_what_somebody_has_in_the_middle_in_the_same_console_is_not_completed(
    shell: ConsoleShell, who: Access, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_PROMPT_SECONDS", 2.0)
    place = virtual_node.guest(118, "/tmp")  # noqa: S108
    (place / "kept").mkdir(parents=True)
    with contextlib.closing(Console(who, PATH, privilege=PRIVILEGE)) as somebody:
        somebody.receive(2)
        begun = f"rm -r {place}/kept \\\n".encode()
        somebody.send(begun)
        somebody.receive(2)
        assert "the console of container 118 shows no prompt of a shell that waits" in unreached(shell)
    assert virtual_node.pve.consoles.typed == begun
    assert (place / "kept").is_dir()


def test_into_what_took_the_first_line_and_did_not_answer_nothing_is_typed_again(
    shell: ConsoleShell, who: Access, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_READER_SECONDS", 1.0)
    with contextlib.closing(Console(who, PATH, privilege=PRIVILEGE)) as somebody:
        somebody.receive(2)
        question = b"while read -ep 'Which number? # '; do :; done\n"
        somebody.send(question)
        somebody.receive(2)
        assert "took what was typed, and did not answer" in unreached(shell)
    assert virtual_node.pve.consoles.typed.count(b"pve-agents") == 1


@pytest.mark.parametrize("after", [2, 3, 4])
def test_somebody_who_types_at_the_same_time_keeps_it_from_running(
    shell: ConsoleShell, virtual_node: VirtualNode, after: int
) -> None:
    virtual_node.pve.consoles.faults.typist = (after, b"ls -l\n")
    place = virtual_node.guest(118, "/tmp")  # noqa: S108
    sentence = unreached(shell, f"touch {place}/ran; : {'x' * 4000}")
    assert "somebody else has it open, too" in sentence or "was closed in the middle" in sentence
    assert not (place / "ran").exists()


def test_of_two_at_once_one_waits(shell: ConsoleShell, who: Access) -> None:
    other = of_container(who, "gihyeon", 118)
    statuses: list[int] = []

    def act(it: ConsoleShell) -> Callable[[], None]:
        return lambda: statuses.append(it.act("sleep 0.3; exit 5", lambda _: None))

    threads = [threading.Thread(target=act(it)) for it in (shell, other)]
    for it in threads:
        it.start()
    for it in threads:
        it.join(60)
    assert statuses == [5, 5]


def test_whoever_is_waited_for_too_long_is_named(
    shell: ConsoleShell, who: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "_WAITS_SECONDS", 0)
    with of_container(who, "gihyeon", 118)._alone():
        assert unreached(shell) == (
            "another command has had the console of container 118 for 0 seconds: run this again when that has ended"
        )
