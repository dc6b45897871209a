"""What all tests share: an environment that is the same on every machine, and a home that nothing is written to."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Whatever the caller has for a real node, a real state or a real agent.
FOREIGN = re.compile(
    r"(TF|PROXMOX|PVE(?!_AGENTS_LAB)|HERMES|HOST_STEP|LITELLM|API_SERVER|HOMELAB|CDKTF|CHECK_TOKEN|NODE_COMPILE)_"
)
CACHE = Path(__file__).parents[1] / "build" / "cache"
ALWAYS = {
    # Neither cdktf nor Terraform phones home.
    "CHECKPOINT_DISABLE": "1",
    "DISABLE_VERSION_CHECK": "1",
    # What jsii unpacks at its first start; by default in the home.
    "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(CACHE / "jsii"),
    # pip asks rustc for its version, and where that is rustup's, it writes its settings.
    "RUSTUP_HOME": str(CACHE / "rustup"),
    # Terraform lives for a tenth of a second, too short a time to collect garbage in.
    "GOGC": "off",
    # No test speaks to a server that the world's authorities vouch for, and to read their certificates takes 20 ms each time.
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
}

# What tests write, a disk would have to keep, and each of a node's states is flushed to it as it takes the last one's place.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 2 << 30  # noqa: S108

_TEMPORARY = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_HOME = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl(optionalhook=True)  # The lab has no workers.
def pytest_xdist_auto_num_workers() -> int:
    """Half as many more as there are cores: a test of a deploy waits for a third of its time."""
    cores = len(os.sched_getaffinity(0))
    return cores + (cores + 1) // 2


def pytest_configure(config: pytest.Config) -> None:
    """Start every test, in whatever process, from the same environment."""
    for name in list(os.environ):
        if FOREIGN.match(name):
            del os.environ[name]
    # Whoever starts the tests in the background makes them, and all that they start, ignore what a test is about.
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    # Many images for CI set it, and hundreds of processes would compile the same modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ and _is_fit(MEMORY):
        config.stash[_TEMPORARY] = tempfile.TemporaryDirectory(prefix="tests-", dir=MEMORY, ignore_cleanup_errors=True)
        # As in /tmp, other users find what is for them.
        Path(config.stash[_TEMPORARY].name).chmod(0o711)
        os.environ["TMPDIR"] = tempfile.tempdir = config.stash[_TEMPORARY].name
        # What a test that failed has left outlives the rest.
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)
    config.stash[_HOME] = tempfile.TemporaryDirectory(prefix="home-")
    # The programs of this project, by their names, as under `make` and `pipenv run`.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    os.environ |= {"HOME": config.stash[_HOME].name, "PATH": path, **ALWAYS}


def _is_fit(directory: Path) -> bool:
    """Whether tests can write there, a lot, and run what they have written."""
    if not (directory.is_dir() and os.access(directory, os.W_OK)):
        return False
    found = os.statvfs(directory)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= ENOUGH_BYTES


def pytest_collection_finish() -> None:
    """Do not look again and again, among thousands of tests, for garbage that is none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(autouse=True)
def nothing_is_written_to_the_home(pytestconfig: pytest.Config) -> Iterator[None]:
    """Whatever a test runs, the user's home stays as it was."""
    yield
    home = Path(pytestconfig.stash[_HOME].name)
    found = sorted(path.name for path in home.iterdir())
    # The next test is not to blame.
    for name in found:
        path = home / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert found == []
