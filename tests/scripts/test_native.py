"""Hermes without Docker: its release, its units, another release and another runtime in their place, and the way back."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.guest import API_KEY, LITELLM_KEY
from tests.scripts.native_guest import DOCKER, GATEWAY, NATIVE, SWITCH, NativeGuest

MEMORY = "/opt/hermes-data/memories/MEMORY.md"
NEXT: dict[str, Any] = {"runtime": "native", "package": {"version": "0.19.1"}}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> NativeGuest:
    guest = NativeGuest(tmp_path_factory.mktemp("template"))
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return guest


@pytest.fixture
def deployed(template: NativeGuest, tmp_path: Path) -> NativeGuest:
    """A container whose agent has learnt something."""
    guest = NativeGuest.like(template, tmp_path)
    guest.write(MEMORY, "I like tea\n")
    guest.forget()
    return guest


@pytest.fixture(scope="module")
def docker_template(tmp_path_factory: pytest.TempPathFactory) -> NativeGuest:
    guest = NativeGuest(tmp_path_factory.mktemp("docker"))
    guest.use(**DOCKER)
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return guest


@pytest.fixture
def in_docker(docker_template: NativeGuest, tmp_path: Path) -> NativeGuest:
    guest = NativeGuest.like(docker_template, tmp_path)
    guest.hermes = DOCKER
    guest.write(MEMORY, "I like tea\n")
    guest.forget()
    return guest


def steps(said: str) -> list[str]:
    """The steps of a run, without the time that they took."""
    return [re.sub(r" [\d.]+s$", "", line) for line in said.splitlines() if re.search(r" … (ok|FAILED)", line)]


def deploy(guest: NativeGuest) -> str:
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


# --- a first and a second deploy


def test_a_first_deploy_has_these_steps(tmp_path: Path) -> None:
    guest = NativeGuest(tmp_path)
    assert steps(deploy(guest)) == [
        "[hermes 1/9] secrets … ok",
        "[hermes 2/9] packages … ok (installed)",
        "[hermes 3/9] user … ok (journal, user hermes)",
        "[hermes 4/9] release … ok (0.19.0)",
        "[hermes 5/9] workspaces … ok (/opt/hermes-data, /data/workspace, /fast/workspace)",
        "[hermes 6/9] files … ok (services/hermes/managed/config.yaml, services/hermes/managed/.env, config.yaml)",
        "[hermes 7/9] units … ok (release 0.19.0, pve-agent-hermes enabled, pve-agent-hermes started)",
        "[hermes 8/9] health … ok",
        "[hermes 9/9] first answer … ok",
    ]
    assert guest.runs() == {"native"}
    assert guest.system["containers"] == {}


def test_a_second_deploy_changes_nothing(deployed: NativeGuest) -> None:
    assert {it.rpartition("… ")[2] for it in steps(deploy(deployed))} == {"ok", "ok (unchanged)"}
    assert deployed.changes == []


def test_a_release_is_roots_and_a_half_made_one_is_made_anew(tmp_path: Path) -> None:
    guest = NativeGuest(tmp_path)
    guest.set(trouble={"pip": "ERROR: Could not install packages due to an OSError"})
    ran = guest.run()
    assert ran.returncode == 1
    assert "the release 0.19.0 cannot be made" in ran.stderr
    half = guest.root / "opt/hermes-agent/0.19.0"
    (half / "left").write_text("by the killed one")
    guest.set(trouble={})
    deploy(guest)
    assert not (half / "left").exists()
    assert guest.owner("/opt/hermes-agent/0.19.0/bin/hermes").startswith("0:0 ")


def test_a_version_that_is_not_there_leads_to_its_setting(tmp_path: Path) -> None:
    guest = NativeGuest(tmp_path)
    guest.set(trouble={"pip": "ERROR: No matching distribution found for hermes-agent==0.19.0"})
    ran = guest.run()
    assert ran.stderr.splitlines()[0] == (
        "  there is no Hermes 0.19.0 where it is looked for: look at agents.hermes.hermes.package"
    )


def test_secrets_are_in_private_files_alone(deployed: NativeGuest) -> None:
    env = deployed.root / "var/lib/pve-agents/hermes/services/hermes/managed/.env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    for path in deployed.root.rglob("*"):
        if path.is_file() and (text := path.read_text(errors="replace")) and (LITELLM_KEY in text or API_KEY in text):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert LITELLM_KEY not in deployed.calls


def test_another_user_of_that_name_is_said(tmp_path: Path) -> None:
    guest = NativeGuest(tmp_path)
    guest.write("/etc/passwd", "hermes:x:1000:1000::/home/hermes:/bin/sh\n")
    ran = guest.run()
    assert ran.stderr.startswith("  the container has a user hermes of another number than 10000")


# --- a change starts anew what it concerns


def test_a_changed_setting_restarts_the_one_service_that_it_concerns(tmp_path: Path) -> None:
    profiles = {"work": {"api_server": {"port": 8643}}}
    guest = NativeGuest(tmp_path)
    guest.give_secrets(WORK_API_SERVER_KEY="canary-of-the-profile-work")
    guest.use(**NATIVE, profiles=profiles)
    deploy(guest)
    before = {name: unit["run"] for name, unit in guest.units.items()}
    guest.use(**NATIVE, profiles={"work": {**profiles["work"], "settings": {"display": {"compact": True}}}})
    assert "units … ok (pve-agent-hermes-work restarted)" in deploy(guest)
    after = {name: unit["run"] for name, unit in guest.units.items()}
    assert after == {**before, "pve-agent-hermes-work.service": before["pve-agent-hermes-work.service"] + 1}
    # Its unit goes with it, and its data stays.
    guest.use(**NATIVE)
    assert "pve-agent-hermes-work removed" in deploy(guest)
    assert set(guest.units) == {GATEWAY}
    assert (guest.root / "opt/hermes-data-work").is_dir()


def test_a_changed_secret_restarts_it(deployed: NativeGuest) -> None:
    deployed.give_secrets(LITELLM_API_KEY="canary-another-one")
    assert "units … ok (pve-agent-hermes restarted)" in deploy(deployed)


# --- another release


def test_another_release_takes_its_place_with_a_copy_of_the_data_and_back(deployed: NativeGuest) -> None:
    deployed.use(**NEXT)
    said = deploy(deployed)
    assert "data copied: " in said
    assert (deployed.release(), deployed.runs()) == ("0.19.1", {"native"})
    deployed.use(**NATIVE)
    assert "release … ok (unchanged)" in deploy(deployed)
    assert deployed.release() == "0.19.0"
    assert deployed.read(MEMORY) == "I like tea\n"


def test_a_release_that_does_not_start_leaves_the_old_one_answering(deployed: NativeGuest) -> None:
    deployed.set(trouble={"release 0.19.1": "it ends at once"})
    deployed.use(**NEXT)
    ran = deployed.run()
    assert ran.returncode == 1
    assert "[hermes 8/9] health … FAILED" in ran.stdout
    assert ran.stderr.startswith("  hermes is not ready: unit pve-agent-hermes has failed: exit code 1.")
    assert "Until then the release 0.19.0 runs again" in ran.stderr
    assert (deployed.release(), deployed.runs()) == ("0.19.0", {"native"})


def test_two_releases_stay(deployed: NativeGuest) -> None:
    for version in ("0.19.1", "0.19.2"):
        deployed.use(runtime="native", package={"version": version})
        deploy(deployed)
    assert {it.name for it in (deployed.root / "opt/hermes-agent").iterdir()} == {"0.19.1", "0.19.2", "current"}


# --- another runtime


def test_docker_native_and_docker_again_keep_what_the_agent_knows(in_docker: NativeGuest) -> None:
    in_docker.use(**NATIVE)
    said = deploy(in_docker)
    assert "data copied: " in said
    assert "what ran by docker is removed" in said
    assert in_docker.runs() == {"native"}
    assert in_docker.system["containers"] == {}
    assert in_docker.system["active"] is False, "Docker rests when nothing is left for it to run"
    assert in_docker.run("verify", "--no-chat").returncode == 0

    in_docker.use(**DOCKER)
    said = deploy(in_docker)
    assert "what ran by native is removed" in said
    # It is still here: the way back loads nothing.
    assert "image … ok (unchanged)" in said
    assert in_docker.runs() == {"docker"}
    assert GATEWAY not in in_docker.units
    assert in_docker.read(MEMORY) == "I like tea\n"


@pytest.mark.parametrize("trouble", ["release 0.19.0", "pip"])
def test_a_new_runtime_that_does_not_run_leaves_docker_answering(in_docker: NativeGuest, trouble: str) -> None:
    in_docker.set(trouble={trouble: "ERROR: no"})
    in_docker.use(**NATIVE)
    ran = in_docker.run()
    assert ran.returncode == 1
    assert in_docker.runs() == {"docker"}
    policies = {it["HostConfig"]["RestartPolicy"]["Name"] for it in in_docker.system["containers"].values()}
    assert policies == {"always"}


def test_docker_that_does_not_run_leaves_the_units_answering(deployed: NativeGuest) -> None:
    deployed.set(trouble={"up": "Error response from daemon: no"})
    deployed.use(**DOCKER)
    ran = deployed.run()
    assert ran.returncode == 1
    assert "what runs by native runs again" in ran.stderr
    assert deployed.runs() == {"native"}
    assert deployed.units[GATEWAY]["enabled"]


def changes_of(guest: NativeGuest, hermes: dict[str, Any]) -> int:
    """How many changes there are until another runtime or release answers."""
    guest.use(**hermes)
    guest.forget()
    deploy(guest)
    return len(guest.changes)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param("docker", NATIVE, id="docker to native"),
        pytest.param("native", DOCKER, id="native to docker"),
        pytest.param("native", NEXT, id="another release"),
    ],
)
def test_power_lost_at_any_change_leaves_one_of_them_answering_and_never_two(
    template: NativeGuest, docker_template: NativeGuest, tmp_path: Path, begin: str, end: dict[str, Any]
) -> None:
    origin = {"docker": docker_template, "native": template}[begin]
    number = changes_of(NativeGuest.like(origin, tmp_path / "whole"), end)
    assert number > 20
    for at in range(1, number + 1, 3):
        guest = NativeGuest.like(origin, tmp_path / str(at))
        guest.write(MEMORY, "I like tea\n")
        guest.use(**end)
        guest.forget()
        guest.kill_at(at)
        guest.run()
        assert len(guest.runs()) <= 1, f"two at change {at}: {guest.changes[-3:]}"
        came_back = guest.lose_power()
        assert len(came_back) <= 1, f"two after a start, at change {at}: {guest.changes[-3:]}"
        assert len(guest.runs()) == 1, f"nobody answers after change {at}: {guest.changes[-3:]}"
        deploy(guest)
        assert guest.runs() == {end["runtime"]}
        assert guest.read(MEMORY) == "I like tea\n"
        assert not (guest.project / "switch").exists()
        assert not guest.units.get(SWITCH, {}).get("enabled")


# --- verify


def test_verify_names_release_unit_and_sandbox(deployed: NativeGuest) -> None:
    said = deployed.run("verify").stdout
    names = [line.split("\t")[1:3] for line in said.splitlines()]
    assert names == [
        ["release", "ok"],
        ["disk", "ok"],
        ["unit", "ok"],
        ["sandbox", "ok"],
        ["gateway", "ok"],
        ["model endpoint", "ok"],
        ["chat", "ok"],
        ["secrets", "ok"],
    ]


def checks(guest: NativeGuest) -> dict[str, list[str]]:
    return {it[1]: it[2:] for line in guest.run("verify", "--no-chat").stdout.splitlines() if (it := line.split("\t"))}


def test_verify_says_what_is_wrong_with_a_unit(deployed: NativeGuest) -> None:
    with deployed.host.changing() as state:
        state["systems"]["118"]["units"][GATEWAY].update(active="failed", pid=0)
    found = checks(deployed)
    assert found["unit"][0] == "failed"
    assert found["unit"][2] == "unit pve-agent-hermes has failed: exit code 1"
    assert "journalctl -u pve-agent-hermes" in found["unit"][3]
    assert found["gateway"][0] == "skipped"


def test_verify_says_that_a_unit_runs_with_older_settings(deployed: NativeGuest) -> None:
    deployed.use(**NATIVE, settings={"display": {"compact": True}})
    assert (
        checks(deployed)["unit"][2]
        == "unit pve-agent-hermes runs with older settings or secrets than the delivered ones"
    )


@pytest.mark.parametrize(
    ("line", "fault"),
    [("NoNewPrivs:\t0", "may gain privileges"), ("CapBnd:\t00ff", "has capabilities"), ("Seccomp:\t0", "may call all")],
)
def test_verify_looks_at_what_the_kernel_holds_a_process_to(deployed: NativeGuest, line: str, fault: str) -> None:
    status = deployed.root / f"proc/{deployed.units[GATEWAY]['pid']}/status"
    name = line.partition(":")[0]
    status.write_text(re.sub(rf"{name}:.*", line, status.read_text()))
    found = checks(deployed)
    assert found["sandbox"][0] == "failed"
    assert fault in found["sandbox"][2]


def test_a_probe_makes_its_file_where_the_agent_runs(deployed: NativeGuest) -> None:
    ran = deployed.run("verify", "workspace-write", "0123456789abcdef")
    assert [line.split("\t")[:3] for line in ran.stdout.splitlines()] == [
        ["probe", it, "ok"] for it in ("/data", "/fast")
    ]
    assert '"nsenter"' in deployed.calls or "guest-nsenter" in deployed.calls


# --- stop


def test_a_stop_leaves_nothing_that_starts_with_the_container(deployed: NativeGuest) -> None:
    assert deployed.run("bootstrap", "--stop").returncode == 0
    assert deployed.runs() == set()
    assert deployed.lose_power() == set()
    deploy(deployed)
    assert deployed.runs() == {"native"}
