"""A Compose application beside Hermes, in a real container of its own: two services and a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cache import REPOSITORY, TAGS
from tests.lab.container import Container
from tests.lab.lab import Lab, kill_bootstrap
from tests.lab.sandbox import GATEWAY
from tests.lab.services import REGISTRY_PORT

pytestmark = pytest.mark.lab

VMID, STEPS = 120, 9
COMPOSE = Path(__file__).with_name("application") / "compose.yaml"
KEY, OTHER_KEY = "canary of 'the $application'", "another canary"


class Application:
    """The agent `app`."""

    def __init__(self, lab: Lab) -> None:
        """Know the lab."""
        self.lab, self.variables = lab, {"IMAGE": REPOSITORY, "TAG": TAGS[0], "GREETING": "hello"}
        lab.project.env["APP_KEY"] = KEY

    @property
    def container(self) -> Container:
        return self.lab.node.container(VMID)

    def configure(self, **variables: str) -> None:
        self.variables |= variables
        compose = {
            "file": str(COMPOSE),
            "variables": self.variables,
            "secrets": ["APP_KEY"],
            "directories": ["./store"],
            "checks": [{"http": "http://127.0.0.1:8080/health", "contains": "well"}],
            "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{REGISTRY_PORT}"]},
        }
        network = {"address": "10.1.10.120/16", "gateway": GATEWAY}
        app = {"vmid": VMID, "protect": False, "network": network, "dns": {"servers": [GATEWAY]}, "compose": compose}
        self.lab.project.configure({"hermes": self.lab.settings(), "app": app})
        self.lab.project.synthesize()

    def deploy(self, **variables: str) -> str:
        self.configure(**variables)
        self.lab.project.apply(stack="app")
        return self.lab.project.apply(stack="app-root").said

    def ask(self) -> str:
        return self.container.run("wget", "-qO-", "--timeout=10", "http://127.0.0.1:8080/").stdout

    def count(self) -> int:
        return int(self.ask().rpartition(" ")[2])

    def failed(self) -> dict[str, str]:
        import json  # noqa: PLC0415

        ran = self.lab.project.agents("verify", "app", "--json", ok=None)
        found = re.search(r"^\{.*^\}", ran.raw, re.MULTILINE | re.DOTALL)
        assert found, ran.raw
        checks: list[dict[str, Any]] = json.loads(found[0])["agents"]["app"]["checks"]
        return {it["name"]: it["detail"] for it in checks if it["status"] == "failed"}

    def started(self) -> dict[str, str]:
        form = '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.StartedAt}}'
        ids = self.container.run("docker", "ps", "--quiet").stdout.split()
        lines = self.container.run("docker", "inspect", "--format", form, *ids).stdout.splitlines()
        return dict(line.split(" ", 1) for line in lines)


@pytest.fixture(scope="module")
def app(lab: Lab) -> Iterator[Application]:
    app = Application(lab)
    said = app.deploy()
    assert "first answer … ok" in said
    yield app
    lab.project.destroy(stack="app-root")
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack="app")
    lab.configure()


def test_the_services_have_each_other_their_secret_and_their_files(app: Application) -> None:
    assert app.ask().startswith("hello ")
    assert app.failed() == {}
    # What a service was given is in no file that others read, and in no file of Terraform's.
    readable = app.container.run(
        "grep", "-rlF", KEY, "/opt/pve-agents", "/var/lib/pve-agents", check=False
    ).stdout.split()
    modes = [app.container.run("stat", "-c", "%a %u", it).stdout.strip() for it in readable]
    assert set(modes) <= {"600 0"}
    for file in app.lab.project.directory.rglob("*.json"):
        assert KEY not in file.read_text()


def test_a_second_deploy_changes_nothing(app: Application) -> None:
    before = app.started()
    said = app.lab.project.agents("mend", "app").raw
    assert set(re.findall(r"… ok \((\w+)", said)) == {"unchanged"}
    assert app.started() == before


def test_an_update_keeps_the_data_and_the_way_back_is_the_copy(app: Application) -> None:
    before = app.count()
    said = app.deploy(TAG=TAGS[1], GREETING="good day")
    assert "data copied: " in said
    assert app.ask() == f"good day {before + 1}"
    assert app.failed() == {}
    restored = app.container.run("/opt/pve-agents/app/bootstrap", "--restore").stdout
    assert f"under {REPOSITORY}:{TAGS[0]}" in restored
    said = app.deploy(TAG=TAGS[0], GREETING="hello")
    assert "image … ok (unchanged)" in said
    assert app.ask() == f"hello {before + 1}"


def test_a_changed_secret_reaches_both_and_starts_nobody_else_anew(app: Application) -> None:
    app.lab.project.env["APP_KEY"] = OTHER_KEY
    said = app.lab.project.agents("secrets", "app").raw
    assert re.search(r"containers … ok \((?:store recreated, web recreated|web recreated, store recreated)\)", said)
    assert app.ask().startswith("hello ")
    assert app.failed() == {}


def test_what_somebody_stops_or_removes_is_named_and_mended(app: Application) -> None:
    name = app.container.run("docker", "ps", "--format", "{{.Names}}", "--filter", "name=store").stdout.strip()
    app.container.run("docker", "stop", "--time", "1", name)
    failed = app.failed()
    assert "has ended" in failed["docker container store"]
    assert "store started" in app.lab.project.agents("mend", "app").raw
    app.container.run("docker", "rm", "--force", name)
    assert "there is no container" in app.failed()["docker container store"]
    assert "store created" in app.lab.project.agents("mend", "app").raw
    assert app.ask().startswith("hello ")
    assert app.failed() == {}


def test_after_a_reboot_all_are_there_again(app: Application) -> None:
    before = app.count()
    app.lab.node.reboot(VMID)
    app.lab.wait_until("the application answers", lambda: app.count() > before, 120)
    app.lab.wait_until("verify is green", lambda: app.failed() == {}, 90)


def test_a_bootstrap_killed_in_each_of_its_steps_ends_like_any_other(app: Application) -> None:
    before = app.count()
    for number in range(1, STEPS + 1):
        # To another image and back, so that each time there is something to be done.
        app.configure(TAG=TAGS[number % 2])
        for step in ("host-directories", "container-config", "payload"):
            app.lab.project.agents("mend", "--only", step, "app")
        kill_bootstrap(app.container, "app", number, 0.7 if number in (7, 8) else 0)
    said = app.lab.project.agents("mend", "--only", "bootstrap", "app").raw
    assert "first answer … ok" in said
    assert app.count() == before + 1
    assert app.failed() == {}
