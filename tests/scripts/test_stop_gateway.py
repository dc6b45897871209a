"""agents/hermes/guest/stop-gateway: which services it tells to stop, and that it waits for them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "constructs/pve_agents/agents/hermes/guest/stop-gateway"
STAND_IN = """\
#!/bin/sh
echo "${{0##*/}} $*" >>{log}
case "${{0##*/}} $1" in "s6-svok "*idle) exit 1 ;; esac
"""


def run(directory: Path, *services: str) -> list[str]:
    """What it asks of s6, with these services registered."""
    commands, running, log = directory / "command", directory / "service", directory / "log"
    commands.mkdir()
    running.mkdir()
    log.touch()
    for name in ("s6-svok", "s6-svc", "s6-svwait"):
        (commands / name).write_text(STAND_IN.format(log=log))
        (commands / name).chmod(0o755)
    for name in services:
        (running / name).mkdir()
    text = SCRIPT.read_text()
    for real, stand_in in (("/command/", f"{commands}/"), ("/run/service/", f"{running}/")):
        assert real in text
        text = text.replace(real, stand_in)
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.replace(f"{running}/", "") for line in log.read_text().splitlines() if not line.startswith("s6-svok")]


def test_all_gateways_are_told_before_one_is_waited_for(tmp_path: Path) -> None:
    """The agent may have made further ones, each a service of its own."""
    assert run(tmp_path, "gateway-coder", "gateway-default", "s6-linux-init-shutdownd") == [
        "s6-svc -d gateway-coder",
        "s6-svc -d gateway-default",
        "s6-svwait -D gateway-coder gateway-default",
    ]


@pytest.mark.parametrize("services", [(), ("gateway-idle",), ("dashboard",)])
def test_without_a_gateway_there_is_nothing_to_wait_for(tmp_path: Path, services: tuple[str, ...]) -> None:
    assert run(tmp_path, *services) == []
