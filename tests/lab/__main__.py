"""The lab from the command line: `python -m tests.lab [test [PYTEST OPTIONS] | up | shell | down]`.

  test    (default) run the cases, and show how long the phases took; pytest's options may follow
  up      deploy Hermes in the lab, and keep it until Ctrl-C or `down`
  shell   a shell of root's on the node of the lab that is up: `pct`, `verify`, `steps` and `cdktf` are at hand
  down    end the lab that is up

It needs root on Linux. Nothing of it stays but its cache (see tests/lab/sandbox.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.sandbox import CACHE, ROOT, RUN, LabError, first_process, run_inside

# Hermes goes last: at its end it is destroyed.
CASES = tuple(f"tests/lab/test_{it}.py" for it in ("application", "storage", "console", "gateway", "native", "lab"))
PID = CACHE / "pid"
ENVIRONMENT = RUN / "environment.json"


def main(arguments: list[str]) -> int:
    """Run one of the commands."""
    command, *rest = arguments or ["test"]
    if command == "test":
        return _test(rest)
    if command == "up" and not rest:
        return _up()
    if command == "stay" and not rest:
        return _stay()
    if command == "shell":
        return _shell(rest)
    if command == "down" and not rest:
        return _down()
    print(__doc__, file=sys.stderr)
    return 2


def _test(options: list[str]) -> int:
    # One sentence where another lab is in the way.
    run_inside(["true"])
    # Each case is named while it runs: the first one takes minutes.
    pytest = [sys.executable, "-m", "pytest", "--verbose", "--no-header", "-p", "no:xdist"]
    if not options:
        # That the lab leaves no trace can only be seen from outside.
        outside = subprocess.run([*pytest, "tests/lab/test_sandbox.py"], cwd=ROOT, check=False)
        if outside.returncode:
            return outside.returncode
    return run_inside([*pytest, *CASES, *options])


def _up() -> int:
    CACHE.mkdir(parents=True, exist_ok=True)
    PID.write_text(str(os.getpid()))
    try:
        return run_inside([sys.executable, "-m", "tests.lab", "stay"])
    finally:
        PID.unlink(missing_ok=True)


def _stay() -> int:
    """Inside: deploy, say how to get in, and wait."""
    from tests.lab import lab as the_lab  # noqa: PLC0415 (slow, and only for this command)

    with the_lab.running() as lab:
        lab.services.wait()
        lab.first_deploy()
        ENVIRONMENT.write_text(json.dumps(lab.project.env))
        ENVIRONMENT.chmod(0o600)
        print(lab.phases.summary())
        print("\nThe lab is up. In another terminal:")
        print("  python -m tests.lab shell          a shell on its node: pct exec 118 -- docker ps")
        print("  python -m tests.lab shell agents verify hermes")
        print("  curl -X PUT -d slow http://127.0.0.1:4020/mode    there: the model answers, is slow, or fails")
        print("Ctrl-C here, or python -m tests.lab down, ends it.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()
    return 0


def _shell(command: list[str]) -> int:
    try:
        outside = int(PID.read_text())
        first = first_process(first_process(outside))
        # The sandbox's own root directory: this machine does not see what is mounted there.
        environment = json.loads(Path(f"/proc/{first}/root/{ENVIRONMENT}").read_text())
    except (OSError, ValueError, IndexError):
        raise LabError("no lab is up: start one with `python -m tests.lab up`, and wait until it says so") from None
    enter = ["nsenter", "--target", str(first), "--mount", "--net", "--pid", "--uts", "--ipc", "--"]
    # This directory, as it is in there.
    there = ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT)]
    return subprocess.run([*enter, *there, *(command or ["bash", "--norc"])], env=environment, check=False).returncode


def _down() -> int:
    try:
        pid = int(PID.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        raise LabError("no lab is up") from None
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
