"""The lab leaves this machine as it found it, however it ends. These cases run outside, before there is a lab."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.sandbox import CGROUP_NAME, CGROUPS, INSIDE, ROOT, RUN, LabError, run_inside

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        bool(os.environ.get(INSIDE)) or os.geteuid() != 0 or shutil.which("unshare") is None,
        reason="needs root, outside of the lab",
    ),
]

# A little of everything that the lab does to a machine.
FURNISH = f"""
set -e
truncate -s 32M {RUN}/disk && mkfs.ext4 -q {RUN}/disk && mount -o loop {RUN}/disk /mnt/pve/hdd
nft add table ip lab
ip link add lab-test type bridge
for controller in memory pids; do mkdir -p {CGROUPS}/$controller/{CGROUP_NAME}/inner 2>/dev/null || true; done
mkdir -p {CGROUPS}/{CGROUP_NAME}/inner 2>/dev/null || true
touch /run/of-the-lab /var/lib/lxc/of-the-lab
sleep 600 &
echo furnished
"""


def picture() -> dict[str, str]:
    """What a lab could leave on this machine."""
    commands = {
        "links": ["ip", "-o", "link"],
        "addresses": ["ip", "-br", "address"],
        "firewall": ["nft", "list", "ruleset"],
        "loop devices": ["losetup", "--all"],
    }
    found = {
        name: subprocess.run(it, capture_output=True, text=True, check=True).stdout for name, it in commands.items()
    }
    for name in ("/proc/mounts", "/proc/sys/net/ipv4/ip_forward", "/etc/subuid", "/etc/subgid", "/etc/resolv.conf"):
        found[name] = Path(name).read_text() if Path(name).exists() else ""
    found["host name"] = os.uname().nodename
    for place in ("/", "/mnt", "/media", "/run", "/var/lib/lxc"):
        found[place] = str(sorted(Path(place).iterdir())) if Path(place).is_dir() else ""
    found["cgroups"] = str(sorted(CGROUPS.glob(f"**/{CGROUP_NAME}*")))
    sleeping = [it for it in Path("/proc").glob("[0-9]*/cmdline") if _read(it) == b"sleep\x00600\x00"]
    found["processes"] = str(len(sleeping))
    found["run directory"] = str(RUN.exists())
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def in_sandbox(script: str) -> list[str]:
    run = f"import sys; from tests.lab.sandbox import run_inside; sys.exit(run_inside(['bash', '-c', {script!r}]))"
    return [sys.executable, "-c", run]


@contextlib.contextmanager
def started(script: str, said: str) -> Iterator[subprocess.Popen[str]]:
    """A sandbox whose script has come as far as to say this."""
    pipe = subprocess.PIPE
    with subprocess.Popen(in_sandbox(script), cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == f"{said}\n"
        yield running


@pytest.fixture
def before() -> dict[str, str]:
    """This machine without a lab, once another one's leavings are gone."""
    assert run_inside(["true"]) == 0
    return picture()


def test_after_its_end_nothing_is_left(before: dict[str, str]) -> None:
    done = subprocess.run(in_sandbox(FURNISH), cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("furnished\n", 0)
    assert picture() == before


def test_killed_it_leaves_only_what_the_next_start_removes(before: dict[str, str]) -> None:
    with started(f"{FURNISH}\nwait", "furnished") as running:
        running.send_signal(signal.SIGKILL)
        # Its end is that of the last process with this pipe.
        assert running.communicate()[0] == ""
    assert picture() != before

    assert run_inside(["true"]) == 0
    assert picture() == before


def test_asked_to_end_it_cleans_up(before: dict[str, str]) -> None:
    with started(f"{FURNISH}\nwait", "furnished") as running:
        running.terminate()
        assert running.wait() == 128 + signal.SIGTERM
    assert picture() == before


def test_its_exit_status_is_the_commands(before: dict[str, str]) -> None:
    assert run_inside(["sh", "-c", "exit 7"]) == 7
    assert picture() == before


def test_two_labs_at_once_are_refused(before: dict[str, str]) -> None:
    with started("echo running; read -r _", "running") as running:
        with pytest.raises(LabError, match=r"^a lab is running already: `python -m tests.lab down` ends it$"):
            run_inside(["true"])
        running.communicate("\n")
    assert picture() == before
