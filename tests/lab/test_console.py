"""An application delivered through its container's own console: a terminal of the real container, and nobody is root."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cache import REPOSITORY, TAGS
from tests.lab.container import Container
from tests.lab.lab import Lab
from tests.lab.sandbox import GATEWAY
from tests.lab.services import REGISTRY_PORT
from tests.lab.test_application import COMPOSE, KEY, OTHER_KEY, Application

pytestmark = pytest.mark.lab

VMID = 121


class ByConsole(Application):
    """The same application as an agent of another name, in a container of its own, with a token alone."""

    def __init__(self, lab: Lab) -> None:
        """Know the lab, of whose ways to root nobody here has one."""
        super().__init__(lab)
        self.environment = dict(lab.project.env)
        host = lab.node.host
        others = {str(host.ssh_bin), str(host.bin)}
        path = os.pathsep.join(it for it in lab.project.env["PATH"].split(os.pathsep) if it not in others)
        lab.project.env |= {"APP_KEY": KEY, "PATH": path}
        for name in ("PVE_SSH", "PVE_TRANSPORT", "PVE_READ_TOKEN"):
            lab.project.env.pop(name, None)
        lab.node.grant("VM.Console", "/vms")

    @property
    def container(self) -> Container:
        return self.lab.node.container(VMID)

    def configure(self, **variables: str) -> None:
        self.variables |= variables
        compose = {
            "file": str(Path(COMPOSE)),
            "variables": {"IMAGE": REPOSITORY, "TAG": TAGS[0], "GREETING": "hello"} | self.variables,
            "secrets": ["APP_KEY"],
            "directories": ["./store"],
            "checks": [{"http": "http://127.0.0.1:8080/health", "contains": "well"}],
            "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{REGISTRY_PORT}"]},
        }
        network = {"address": "10.1.10.121/16", "gateway": GATEWAY}
        quiet = {"vmid": VMID, "protect": False, "delivery": "console", "network": network}
        quiet |= {"dns": {"servers": [GATEWAY]}, "compose": compose}
        self.lab.project.configure({"hermes": self.lab.settings(), "quiet": quiet})
        self.lab.project.synthesize()

    def deploy(self, **variables: str) -> str:
        self.configure(**variables)
        return self.lab.project.apply(stack="quiet").said


@pytest.fixture(scope="module")
def quiet(lab: Lab) -> Iterator[ByConsole]:
    quiet = ByConsole(lab)
    said = quiet.deploy()
    assert "first answer … ok" in said
    yield quiet
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack="quiet")
    lab.project.env.clear()
    lab.project.env |= quiet.environment
    lab.configure()


def test_it_was_installed_through_the_console_and_answers(quiet: ByConsole) -> None:
    assert not (quiet.lab.project.out / "stacks" / "quiet-root").exists()
    assert quiet.ask().startswith("hello ")
    inside = quiet.container
    assert inside.run("stat", "-c", "%a %u:%g", "/etc/pve-agents/quiet.env").stdout.strip() == "600 0:0"
    shown = bytes(quiet.lab.node.pve.consoles.shown)
    assert b"ready" in shown
    assert KEY.encode() not in shown
    # The shell was root's own, and wrote down nothing of what was typed.
    history = inside.run("cat", "/root/.bash_history", check=False).stdout
    assert "pve-agents" not in history
    assert quiet.lab.node.pve.consoles.shared == {}


def test_nothing_is_to_do_the_second_time(quiet: ByConsole) -> None:
    before = quiet.started()
    assert quiet.lab.project.plan(stack="quiet").actions == {}
    assert quiet.lab.project.agents("drift", "quiet").code == 0
    said = quiet.lab.project.agents("mend", "quiet").raw
    assert set(re.findall(r"… ok \((\w+)", said)) == {"unchanged"}
    assert quiet.started() == before


def test_it_is_verified_through_the_console(quiet: ByConsole) -> None:
    ran = quiet.lab.project.agents("verify", "quiet", ok=None)
    assert ran.code == 0, ran.raw
    assert "guest checks" not in ran.raw


def test_a_changed_secret_is_drift_and_reaches_the_application(quiet: ByConsole) -> None:
    quiet.lab.project.env["APP_KEY"] = OTHER_KEY
    drift = quiet.lab.project.agents("drift", "quiet", ok=None)
    assert drift.code == 1
    assert "the secrets in /etc/pve-agents/quiet.env are not these" in drift.raw
    said = quiet.lab.project.agents("secrets", "quiet").raw
    assert "recreated" in said
    assert OTHER_KEY not in said
    assert quiet.ask().startswith("hello ")
    assert quiet.lab.project.agents("drift", "quiet").code == 0


def test_what_was_cut_off_goes_on(quiet: ByConsole) -> None:
    """The connection breaks off in the middle of the payload; the reader in the container ends, and the next run goes on."""
    faults = quiet.lab.node.pve.consoles.faults
    faults.drop_after = 6
    quiet.container.run("rm", "-rf", "/opt/pve-agents/quiet")
    cut = quiet.lab.project.agents("mend", "quiet", ok=None)
    faults.drop_after = None
    assert cut.code == 4, cut.raw
    said = quiet.lab.project.agents("mend", "quiet").raw
    assert "first answer … ok" in said or "… ok (unchanged)" in said
    assert quiet.ask().startswith("hello ")
