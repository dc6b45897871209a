"""Services that are no agents, on a virtual container: brought up, updated, rolled back, killed, drifted from, and looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pve_agents.guest import plan as planned
from tests.scripts.guest import Guest, bind

PROJECT, COPIES = "/var/lib/pve-agents/hermes", "/var/lib/pve-agents/hermes/copies"
PASSWORD = "canary-of-the-database"
DATA = "/srv/wiki/db"
VOLUME = "/var/lib/docker/volumes/hermes_files/_data"


class Application(Guest):
    """A container with a web server, its database, and a job that has to be done first."""

    def __init__(self, directory: Path) -> None:
        """Make it."""
        self.images = {"job": "example/wiki:1.0", "db": "postgres:17.6", "web": "example/wiki:1.0"}
        self.moving: tuple[str, ...] = ()
        self.beside = {"beside/wiki.conf": "a = 1\n"}
        self.checks: planned.Checks | None = None
        super().__init__(directory)
        self.give_secrets(DB_PASSWORD=PASSWORD, FILE_KEY="canary-of-the-file")
        # Docker makes it with the container.
        self.make_directory(VOLUME, "100000:100000")

    def deliver(self) -> None:
        self.files = dict(self.beside)
        super().deliver()

    def to_plan(self) -> planned.Plan:
        return planned.Plan("hermes", (), self._app(), self.checks)

    def _app(self) -> planned.Compose:
        section = "agents.hermes.compose"
        return planned.Compose(
            title="the application",
            engine=planned.Engine("docker", {"shutdown-timeout": 25}, 40),
            network="bridge",
            settings=planned.SettingNames(
                *[f"{section}.{it}" for it in ("a", "b", "c", "image", "e", "f", "g", "copies")]
            ),
            sidecars=tuple(
                planned.Sidecar(name, image, ("FILE_KEY",) if name == "db" else (), ends=name == "job")
                for name, image in self.images.items()
            ),
            moving=self.moving,
            variables=("DB_PASSWORD",),
            directories=(planned.Directory(DATA, 70, 70, 0o700),),
            data=(planned.Data("db", DATA), planned.Data("volume:files", VOLUME)),
            files=("docker-compose.yml", *self.beside),
            health_seconds=30,
        )

    def compose(self) -> dict[str, Any]:
        services: Mapping[str, dict[str, Any]] = {
            "job": {},
            "db": {"volumes": [bind(DATA, "/data")], "labels": {"pve-agents.revision": "${REVISION_DB}"}},
            "web": {
                "environment": {"URL": "postgres://wiki:${DB_PASSWORD}@db/wiki"},
                "volumes": [bind(f"{PROJECT}/beside/wiki.conf", "/wiki.conf")],
                "labels": {"pve-agents.contents": str(hash(str(self.beside)))},
            },
        }
        return {name: {"image": self.images[name], **services.get(name, {})} for name in self.images}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Application:
    guest = Application(tmp_path_factory.mktemp("template"))
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    guest.set_container("hermes-job-1", Status="exited", ExitCode=0)
    return guest


@pytest.fixture
def deployed(template: Application, tmp_path: Path) -> Application:
    guest = Application.like(template, tmp_path)
    guest.write(f"{DATA}/table", "under the first\n")
    guest.write(f"{VOLUME}/page", "under the first\n")
    guest.forget()
    return guest


def deploy(guest: Application, *, ok: bool = True) -> str:
    guest.deliver()
    guest.forget()
    ran = guest.run()
    said = ran.stdout + ran.stderr
    assert (ran.returncode == 0) is ok, said
    assert not [it for it in (PASSWORD, "canary-of-the-file") if it in said + guest.calls]
    return said


def looked(guest: Application) -> dict[str, tuple[str, str]]:
    lines = [line.split("\t") for line in guest.run("verify").stdout.splitlines()]
    return {line[1]: (line[2], line[4]) for line in lines}


def test_a_deploy_ends_when_all_are_well_and_the_second_changes_nothing(deployed: Application) -> None:
    assert deployed.owner(DATA) == "70:70 700"
    assert deployed.owner(f"{PROJECT}/.env") == "0:0 600"
    assert f"DB_PASSWORD='{PASSWORD}'" in deployed.read(f"{PROJECT}/.env")
    assert deployed.owner(f"{PROJECT}/sidecars/db.env") == "0:0 600"
    said = deploy(deployed)
    assert (set(re.findall(r"… ok \(([^)]*)\)", said)), deployed.changes) == ({"unchanged"}, [])
    checks = looked(deployed)
    assert {name: status for name, (status, _) in checks.items()} == dict.fromkeys(
        ("docker", "disk", "container job", "container db", "container web", "secrets"), "ok"
    )
    assert checks["container job"][1] == "container hermes-job-1 has done its work"


def test_a_changed_secret_starts_those_anew_that_have_it(deployed: Application) -> None:
    deployed.give_secrets(DB_PASSWORD="another-canary", FILE_KEY="canary-of-the-file")
    said = deploy(deployed)
    assert "containers … ok (web recreated)" in said
    deployed.give_secrets(DB_PASSWORD="another-canary", FILE_KEY="another-of-the-file")
    said = deploy(deployed)
    assert "containers … ok (db recreated)" in said


def test_a_changed_file_starts_its_service_anew_and_one_that_is_gone_is_removed(deployed: Application) -> None:
    deployed.beside = {"beside/wiki.conf": "a = 2\n", "beside/more/x.conf": "x\n"}
    assert "containers … ok (web recreated)" in deploy(deployed)
    assert deployed.read(f"{PROJECT}/beside/more/x.conf") == "x\n"
    deployed.beside = {"beside/wiki.conf": "a = 2\n"}
    deploy(deployed)
    assert not (deployed.root / f"{PROJECT[1:]}/beside/more/x.conf").exists()


def test_missing_secrets_are_named_before_anything_is_done(deployed: Application) -> None:
    deployed.give_secrets(DB_PASSWORD="", FILE_KEY="")
    said = deploy(deployed, ok=False)
    assert "secrets missing in /etc/pve-agents/hermes.env: FILE_KEY, DB_PASSWORD." in said
    assert deployed.changes == []


# Health -----------------------------------------------------------------------------------------------------------------


def test_a_service_that_is_not_healthy_fails_the_deploy_with_what_its_check_has_said(deployed: Application) -> None:
    health = {"Status": "unhealthy", "Log": [{"Output": f"refused {PASSWORD}\n"}, {"Output": "no connection\n"}]}
    deployed.set_container("hermes-web-1", Health=health)
    said = deploy(deployed, ok=False)
    assert (
        "web is not ready: container hermes-web-1 is unhealthy: no connection (waited 30 seconds). What to do: look at"
        in said
    )
    assert looked(deployed)["container web"] == ("failed", "container hermes-web-1 is unhealthy: no connection")


def test_a_service_that_is_still_starting_is_waited_for(deployed: Application) -> None:
    deployed.set_container("hermes-web-1", Health={"Status": "starting", "Log": []})
    said = deploy(deployed, ok=False)
    assert "web is not ready: container hermes-web-1 is starting (waited 30 seconds)" in said
    deployed.set_container("hermes-web-1", Health={"Status": "healthy", "Log": []})
    deploy(deployed)


def test_a_job_that_failed_is_done_again_and_one_that_is_done_is_not(deployed: Application) -> None:
    deployed.set_container("hermes-job-1", Status="exited", ExitCode=1)
    assert looked(deployed)["container job"] == ("failed", "container hermes-job-1 has ended: exit code 1")
    assert "containers … ok (job started)" in deploy(deployed)
    deployed.set_container("hermes-job-1", Status="exited", ExitCode=0)
    assert deploy(deployed)
    assert deployed.changes == []


def test_a_service_that_has_ended_a_few_times_is_waited_for(deployed: Application) -> None:
    deployed.set_container("hermes-web-1", Status="restarting", ExitCode=1, restarts=2)
    said = deploy(deployed, ok=False)
    assert "container hermes-web-1 ends again and again (2 restarts): exit code 1 (waited 30 seconds)" in said


def test_a_service_that_ends_again_and_again_fails_the_deploy(deployed: Application) -> None:
    deployed.set_container("hermes-web-1", Status="restarting", ExitCode=1, restarts=7)
    said = deploy(deployed, ok=False)
    assert "web is not ready: container hermes-web-1 ends again and again (7 restarts): exit code 1" in said


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("dependency failed to start: container hermes-db-1 is unhealthy", "hermes-db-1"),
        ('service "job" didn\'t complete successfully: exit 1', "job"),
    ],
)
def test_what_others_wait_for_in_vain_is_named(said: str, name: str, deployed: Application) -> None:
    deployed.set(trouble={"up": said})
    deployed.images["web"] = "example/wiki:1.1"
    found = deploy(deployed, ok=False)
    assert f"{name} is not well, and others wait for it: look at `docker ps -a`" in found
    assert said in found


def test_what_looks_from_the_outside_is_asked_until_it_is_well(deployed: Application) -> None:
    http = {"url": "http://127.0.0.1:1/", "status": 200, "contains": "", "seconds": 1}
    deployed.checks = planned.Checks("pve_agents.agents.compose.guest.checks", {"http": [http]})
    said = deploy(deployed, ok=False)
    assert re.search(
        r"hermes is not ready: http://127.0.0.1:1/ is not reached \(.*\) \(waited 30 seconds\)\. What to do: look", said
    )
    assert looked(deployed)["http 127.0.0.1 1"][0] == "failed"


# Drift ------------------------------------------------------------------------------------------------------------------


def test_what_somebody_stopped_or_removed_is_brought_back(deployed: Application) -> None:
    deployed.set_container("hermes-db-1", Status="exited", ExitCode=0)
    assert looked(deployed)["container db"][0] == "failed"
    assert "containers … ok (db started)" in deploy(deployed)
    with deployed.host.changing() as state:
        containers = state["systems"]["118"]["containers"]
        (gone,) = [key for key, it in containers.items() if it["Name"] == "/hermes-web-1"]
        del containers[gone]
    assert looked(deployed)["container web"] == ("failed", "there is no container hermes-web")
    assert "containers … ok (web created)" in deploy(deployed)


def test_a_service_that_is_wanted_no_more_is_removed_and_its_data_stays(deployed: Application) -> None:
    del deployed.images["web"]
    assert "web removed" in deploy(deployed)
    assert deployed.read(f"{DATA}/table") == "under the first\n"


# Update and back --------------------------------------------------------------------------------------------------------


def copies(guest: Application) -> list[str]:
    return sorted(it.name for it in (guest.root / COPIES[1:]).glob("[0-9]*"))


def test_another_image_runs_on_data_that_was_copied_with_all_standing_still(deployed: Application) -> None:
    deployed.images |= {"job": "example/wiki:2.0", "web": "example/wiki:2.0"}
    said = deploy(deployed)
    stops = [it for it in deployed.changes if it.startswith("docker container stop")]
    assert {it.split()[3] for it in stops} >= {"/hermes-db-1", "/hermes-web-1"}
    (copy,) = copies(deployed)
    assert f"data copied: {copy}" in said
    assert deployed.read(f"{COPIES}/{copy}/db/data/table") == "under the first\n"
    assert deployed.read(f"{COPIES}/{copy}/volume:files/data/page") == "under the first\n"
    # The images of the deploy before stay, to go back to.
    tags = {tag for image in deployed.system["images"].values() for tag in image["RepoTags"]}
    assert {"example/wiki:1.0", "example/wiki:2.0", "postgres:17.6"} <= tags
    deployed.images |= {"job": "example/wiki:3.0", "web": "example/wiki:3.0"}
    deployed.set_container("hermes-job-1", Status="exited", ExitCode=0)
    deploy(deployed)
    tags = {tag for image in deployed.system["images"].values() for tag in image["RepoTags"]}
    assert "example/wiki:1.0" not in tags
    assert {"example/wiki:2.0", "example/wiki:3.0", "postgres:17.6"} <= tags


def test_the_way_back_is_the_copy_and_the_image_before(deployed: Application) -> None:
    deployed.images |= {"job": "example/wiki:2.0", "web": "example/wiki:2.0"}
    deploy(deployed)
    deployed.write(f"{DATA}/table", "under the second\n")
    deployed.write(f"{VOLUME}/new", "under the second\n")
    ran = deployed.run("bootstrap", "--restore")
    assert ran.returncode == 0, ran.stderr
    assert "the data of db is as in the copy" in ran.stdout
    assert "under example/wiki:1.0, postgres:17.6" in ran.stdout
    deployed.images |= {"job": "example/wiki:1.0", "web": "example/wiki:1.0"}
    said = deploy(deployed)
    assert deployed.read(f"{DATA}/table") == "under the first\n"
    assert not (deployed.root / f"{VOLUME[1:]}/new").exists()
    assert "image … ok (unchanged)" in said
    assert len(copies(deployed)) == 2


def test_a_deploy_of_the_same_images_copies_nothing(deployed: Application) -> None:
    deploy(deployed)
    assert copies(deployed) == []


def test_a_tag_that_moves_is_looked_up_again(deployed: Application) -> None:
    deployed.images["web"] = "example/web:latest"
    deployed.moving = ("example/web:latest",)
    deploy(deployed)
    assert [it for it in deployed.changes if it.startswith("docker pull")] == ["docker pull example/web:latest"]
    deploy(deployed)
    assert [it for it in deployed.changes if it.startswith("docker pull")] == ["docker pull example/web:latest"]
    with deployed.host.changing() as state:
        state["systems"]["118"]["registry"]["example/web:latest"] = "sha256:" + "b" * 64
    assert "web recreated" in deploy(deployed)


# Sudden death -----------------------------------------------------------------------------------------------------------


def test_an_update_that_is_killed_at_any_change_ends_like_any_other(template: Application, tmp_path: Path) -> None:
    def updated(name: str) -> Application:
        guest = Application.like(template, tmp_path / name)
        guest.write(f"{DATA}/table", "under the first\n")
        guest.images |= {"job": "example/wiki:2.0", "web": "example/wiki:2.0"}
        guest.deliver()
        guest.forget()
        return guest

    whole = updated("whole")
    assert whole.run().returncode == 0
    goal = picture(whole)
    for number in range(1, len(whole.changes) + 1, 3):
        guest = updated(f"killed-{number}")
        guest.kill_at(number)
        assert guest.run().returncode != 0
        guest.kill_at(None)
        ran = guest.run()
        assert ran.returncode == 0, (number, ran.stdout, ran.stderr)
        assert picture(guest) == goal, number


def picture(guest: Application) -> dict[str, Any]:
    """What is there, without the time in the name of a copy."""
    found = guest.picture()
    kept = {re.sub(r"\d{4}-\d\d-\d\dT\d{6}Z(\.\d+)?", "TIME", name): it for name, it in found["files"].items()}
    no_matter = re.compile(r"copies/TIME/of$")
    return {**found, "files": {name: it for name, it in kept.items() if not no_matter.search(name)}}
