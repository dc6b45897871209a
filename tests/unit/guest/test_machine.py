"""The container as the program sees it, on this machine: programs, files, and what is done as another user."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from pve_agents.guest.machine import TIMED_OUT, Machine, Status

MACHINE = Machine()
AGENT = (10000, 10000)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def shell(script: str, seconds: float = 10, **options: object) -> tuple[int, str, str]:
    ran = MACHINE.run("sh", "-c", script, seconds=seconds, **options)  # type: ignore[arg-type]
    return ran.status, ran.out, ran.errors


# --- programs


def test_a_program_says_what_it_says_and_how_it_ends() -> None:
    assert shell("cat; echo two >&2; exit 3", stdin=b"one\n\n") == (3, "one", "two")
    assert shell("echo one; echo two >&2", joined=True) == (0, "one\ntwo", "")
    assert shell("kill -9 $$") == (137, "", "")


def test_a_program_that_is_not_there_has_failed() -> None:
    assert MACHINE.run("no-such-program", seconds=1).status == 127
    assert not MACHINE.has("no-such-program")


def test_a_program_that_takes_too_long_ends_with_all_that_it_has_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    assert shell(f"echo begun; sleep 100 & echo $! >{pid}; wait", seconds=0.5)[:2] == (TIMED_OUT, "begun")
    until = time.monotonic() + 10
    while Path(f"/proc/{pid.read_text().strip()}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid.read_text().strip()}/exe").exists()


def test_a_program_that_takes_long_is_told_of_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, waited = Machine(), list[str]()
    monkeypatch.setattr("pve_agents.guest.machine._WAIT_SECONDS", 0.05)
    machine.on_wait = lambda: waited.append("still")
    given = b"x" * 300_000
    ran = machine.run("sh", "-c", "echo one; sleep 0.3; wc -c; echo two >&2", seconds=10, stdin=given)
    assert (ran.status, ran.out.split(), ran.errors) == (0, ["one", "300000"], "two")
    assert waited


def test_what_a_program_says_is_heard_as_it_says_it() -> None:
    heard: list[str] = []
    assert (
        MACHINE.follow("sh", "-c", "echo one; echo two >&2; printf three; exit 4", seconds=10, on_line=heard.append)
        == 4
    )
    assert heard == ["one", "two", "three"]


def test_a_program_that_says_nothing_is_given_up_in_the_end() -> None:
    heard: list[str] = []
    assert MACHINE.follow("sleep", "100", seconds=0.2, on_line=heard.append) == TIMED_OUT


def test_a_program_holds_what_is_to_be_held(tmp_path: Path) -> None:
    """A lock holds until the last program has ended that was started under it."""
    machine = Machine()
    with (tmp_path / "lock").open("w") as lock:
        machine.kept_open = (lock.fileno(),)
        assert machine.run("readlink", f"/proc/self/fd/{lock.fileno()}", seconds=10).out == str(tmp_path / "lock")
        machine.kept_open = ()
        assert machine.run("readlink", f"/proc/self/fd/{lock.fileno()}", seconds=10).out == ""


# --- files


def test_a_file_is_the_old_one_or_the_new_one_and_no_link_is_followed(tmp_path: Path) -> None:
    victim, file = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    file.symlink_to(victim)
    (tmp_path / "file.new").symlink_to(victim)
    MACHINE.write(str(file), b"mine", 0o600)
    assert (file.read_text(), file.is_symlink(), victim.read_text()) == ("mine", False, "precious")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert MACHINE.names(str(tmp_path)) == ["file", "victim"]


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing/below")
    assert (MACHINE.read(missing), MACHINE.text(missing), MACHINE.status(missing)) == (None, "", None)
    assert (MACHINE.names(missing), MACHINE.files_below(missing)) == ([], [])
    assert MACHINE.read(str(tmp_path)) is None
    MACHINE.remove(missing)


def test_directories_above_are_made_open_and_the_last_one_as_it_is_to_be(tmp_path: Path) -> None:
    MACHINE.make_directory(str(tmp_path / "a/b/c"), 0o700)
    modes = [stat.S_IMODE((tmp_path / it).stat().st_mode) for it in ("a", "a/b", "a/b/c")]
    assert modes == [0o755, 0o755, 0o700]


def test_a_link_is_removed_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    MACHINE.remove(str(tmp_path / "link"))
    assert MACHINE.files_below(str(tmp_path)) == ["there/file"]
    MACHINE.remove(str(tmp_path / "there"))
    assert MACHINE.names(str(tmp_path)) == []


def test_the_time_of_a_file_is_known_to_the_nanosecond(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", ns=(1, 1_700_000_000_000_000_007))
    status = MACHINE.status(str(tmp_path / "file"))
    assert status == Status(
        os.geteuid(), os.getegid(), stat.S_IMODE((tmp_path / "file").stat().st_mode), 1700000000000000007
    )


# --- as the agent


def who(_: Machine) -> list[int]:
    return [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), *os.getgroups()]


def write_there(machine: Machine, path: str) -> None:
    machine.write(path, b"mine")


def crash(_: Machine) -> None:
    raise ValueError("nobody has thought of it")


@as_root
def test_what_is_done_as_the_agent_is_done_by_it_alone() -> None:
    assert MACHINE.as_user(AGENT, who) == [10000] * 4
    assert MACHINE.run("id", "-u", seconds=10, user=AGENT).out == "10000"
    assert os.geteuid() == 0


@as_root
def test_the_agent_cannot_do_what_only_root_may() -> None:
    # Not below pytest's own directory, which is for its user alone.
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        with pytest.raises(PermissionError) as error:
            MACHINE.as_user(AGENT, write_there, str(place / "file"))
        assert error.value.filename == str(place / "file.new")
        own = place / "own"
        own.mkdir()
        os.chown(own, *AGENT)
        MACHINE.as_user(AGENT, write_there, str(own / "file"))
        assert ((own / "file").stat().st_uid, (own / "file").read_text()) == (10000, "mine")


@as_root
def test_a_process_of_the_agent_that_crashes_is_an_error_here() -> None:
    with pytest.raises(OSError, match="ended early"):
        MACHINE.as_user(AGENT, crash)
