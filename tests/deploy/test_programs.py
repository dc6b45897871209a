"""A program that is a fork of a prepared process does what it would do if it were started, and so do stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pve_agents import host_step


@pytest.fixture
def python() -> str:
    return str(Path(os.environ["PREPARED_PROGRAMS"], "python3"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The program of the steps, as a stack carries it."""
    host_step.stage(tmp_path / "program")
    return tmp_path / "program"


def ran(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_packed_program_is_a_fork_and_not_a_start(python: str, packed: Path) -> None:
    write(packed / "__main__.py", "import sys, pve_agents.host.plan as plan; print(plan.__file__, sys.argv, __name__)")
    done = ran(python, packed, "a b", "--c")
    assert done.stdout == f"{Path(host_step.__file__).parent}/host/plan.py {[str(packed), 'a b', '--c']} __main__\n"


def test_a_packed_program_of_another_text_does_what_it_says(python: str, packed: Path) -> None:
    module = packed / "pve_agents" / "host" / "plan.py"
    write(module, f"{module.read_text()}\nprint('another text')\n")
    write(packed / "__main__.py", "import pve_agents.host.plan as plan; print(plan.__file__)")
    assert ran(python, packed).stdout == f"another text\n{module}\n"


def test_a_packed_program_finds_nothing_that_is_not_packed(python: str, packed: Path) -> None:
    write(packed / "__main__.py", "import pve_agents.settings")
    assert "ModuleNotFoundError: No module named 'pve_agents.settings'" in ran(python, packed).stderr
    (packed / "pve_agents" / "node_api.py").unlink()
    write(packed / "__main__.py", "import pve_agents.host.paste")
    assert "ModuleNotFoundError: No module named 'pve_agents.node_api'" in ran(python, packed).stderr


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('in words')", 1, "in words\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
    ],
)
def test_a_program_ends_as_it_would(python: str, tmp_path: Path, text: str, status: int, said: str) -> None:
    done = ran(python, write(tmp_path / "program.py", text))
    assert (done.returncode, done.stderr) == (status, said)


def test_an_error_that_nobody_expects_is_a_traceback(python: str, tmp_path: Path) -> None:
    done = ran(python, write(tmp_path / "program.py", "1 / 0"))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback ")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_program_has_the_files_the_directory_the_umask_and_the_environment_of_its_caller(
    python: str, tmp_path: Path
) -> None:
    text = (
        "import os, sys; umask = os.umask(0)\n"
        "print(sys.stdin.read(), os.getcwd(), f'{umask:o}', sorted(set(os.environ) - {'LC_CTYPE'}), os.environ['A'])"
    )
    directory = tmp_path / "a directory"
    directory.mkdir()
    program = write(tmp_path / "program.py", text)
    done = ran(python, program, input="asked", cwd=directory, umask=0o027, env={"A": "two\nlines", "PATH": os.defpath})
    assert done.stdout == f"asked {directory} 27 {['A', 'PATH']} two\nlines\n"


def test_what_goes_to_a_file_is_in_its_place_between_what_others_write(python: str, tmp_path: Path) -> None:
    program = write(tmp_path / "program.py", "import os; os.write(1, b'second\\n'); os.write(2, b'third\\n')")
    with (tmp_path / "out").open("w") as out:
        script = f'echo first; "{python}" "{program}" 2>&1; echo fourth'
        subprocess.run(["sh", "-c", script], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "first\nsecond\nthird\nfourth\n"


def test_where_nobody_reads_a_program_ends_by_that(python: str, tmp_path: Path) -> None:
    program = write(tmp_path / "program.py", "import signal; signal.signal(13, signal.SIG_DFL); print('x' * 100_000)")
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([python, program], stdout=writing, stderr=subprocess.DEVNULL) as process:
        os.close(writing)
    assert process.returncode == -signal.SIGPIPE


@pytest.mark.parametrize("whole_group", [False, True])
def test_who_ends_the_caller_ends_the_program(python: str, tmp_path: Path, *, whole_group: bool) -> None:
    text = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    program = write(tmp_path / "program.py", text)
    process = subprocess.Popen(
        [python, program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
    )
    assert process.stdout
    pid = int(process.stdout.readline())
    group = os.getpgid(pid)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    # Its end is that of its output.
    said = process.stdout.read()

    assert (process.wait(), said) == (-signal.SIGTERM, "")
    assert group == process.pid != pid
