"""bootstrap in the container: from a bare Debian to an agent that answers; again without a change; killed at any point."""

from __future__ import annotations

import fcntl
import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pve_agents.guest.machine import Machine
from pve_agents.guest.progress import Progress
from tests.scripts.fake_docker import DOCKER_KEY
from tests.scripts.guest import API_KEY, AUTH_JSON, IMAGE, LITELLM_KEY, Guest, service_plan

INSTALLED = "ok (installed, daemon.json, time to stop, daemon told)"
WITH_MIRROR = '{"registry-mirrors": ["https://mirror.example.org"], "shutdown-timeout": 135}\n'
CANARY = re.compile(r"canary")
IN_THE_WAY = (
    "a container of the same name that does not belong to this deploy is in the way: look at it with `docker ps -a` in the"
    " container, and remove it with `docker stop -t 120 NAME` and `docker rm NAME`"
)
SECONDS = re.compile(r" \d+\.\ds$", re.MULTILINE)
TITLES = (
    *("secrets", "docker engine", "docker smoke test", "workspaces", "files", "image", "containers", "health"),
    "first answer",
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    guest = Guest(tmp_path_factory.mktemp("template"))
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return guest


@pytest.fixture
def deployed(template: Guest, tmp_path: Path) -> Iterator[Guest]:
    """A container whose agent answers; whatever happens to it, no secret shows."""
    guest = Guest.like(template, tmp_path)
    guest.forget()
    yield guest
    assert not CANARY.search(guest.calls)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Guest]:
    """A fresh container with the payload."""
    guest = Guest(tmp_path)
    yield guest
    assert not CANARY.search(guest.calls)


def said(ran: subprocess.CompletedProcess[str]) -> list[str]:
    assert not CANARY.search(ran.stdout + ran.stderr)
    return SECONDS.sub("", ran.stdout).splitlines()


def steps(*results: str) -> list[str]:
    """The lines of a run, by what they say after the title; the rest is as a run without changes says it."""
    usual = ["ok", *["ok (unchanged)"] * 6, "ok", "ok"]
    usual[: len(results)] = [result or usual[at] for at, result in enumerate(results)]
    return [f"[hermes {at + 1}/9] {title} … {usual[at]}" for at, title in enumerate(TITLES)]


def unchanged(guest: Guest) -> None:
    """Another run changes nothing and says so."""
    guest.forget()
    ran = guest.run()
    assert (said(ran), ran.stderr, ran.returncode) == (steps(), "", 0)
    assert guest.changes == []


def refused(guest: Guest, step: int, *sentences: str) -> list[str]:
    """The run ends at that step with these lines, and the next steps are not begun."""
    ran = guest.run()
    lines = said(ran)
    assert ran.returncode == 1
    assert lines[-1] == f"[hermes {step}/9] {TITLES[step - 1]} … FAILED"
    assert ran.stderr.splitlines() == [f"  {sentences[0]}", *(f"    {line}" for line in sentences[1:])]
    return lines


# --- the whole way


def test_from_a_bare_debian_to_an_answer_and_again_nothing(bare: Guest) -> None:
    ran = bare.run()
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = said(ran)
    assert [line for line in lines if " … " not in line] == [
        "[hermes 2/9] docker engine: installing ca-certificates curl gpg",
        (
            "[hermes 2/9] docker engine: installing docker-ce docker-ce-cli containerd.io docker-buildx-plugin"
            " docker-compose-plugin"
        ),
    ]
    assert [line for line in lines if " … " in line] == steps(
        "",
        INSTALLED,
        "ok (a container runs)",
        "ok (/opt/hermes-data, /data/workspace, /fast/workspace)",
        "ok (services/hermes/managed/config.yaml, services/hermes/managed/.env, docker-compose.yml, stop-gateway, .env)",
        f"ok ({IMAGE})",
        "ok (hermes created)",
    )
    for directory in ("/opt/hermes-data", "/data/workspace", "/fast/workspace"):
        assert bare.owner(directory) == "10000:10000 750"
    managed = "/var/lib/pve-agents/hermes/services/hermes/managed"
    assert bare.owner(f"{managed}/config.yaml") == "0:0 644"
    assert bare.owner(f"{managed}/.env") == "10000:10000 600"
    assert bare.read(f"{managed}/.env") == (
        f"API_SERVER_ENABLED=true\nAPI_SERVER_PORT=8642\nLITELLM_API_KEY={LITELLM_KEY}\nAPI_SERVER_KEY={API_KEY}\n"
    )
    assert re.fullmatch(r"REVISION_HERMES=[0-9a-f]{16}\n", bare.read("/var/lib/pve-agents/hermes/.env"))
    assert bare.container()["State"]["Status"] == "running"
    assert bare.read("/etc/apt/sources.list.d/docker.list") == (
        "deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable\n"
    )
    unchanged(bare)
    assert not CANARY.search(str(bare.picture()))


def test_an_agent_without_hermes_only_has_its_workspaces_checked(bare: Guest) -> None:
    bare.has_app = False
    bare.deliver()
    ran = bare.run()
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        0,
        "[hermes 1/2] workspace /data … ok\n[hermes 2/2] workspace /fast … ok\n",
        "",
    )
    bare.make_directory("/fast", "100000:100000")
    ran = bare.run()
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "[hermes 1/2] workspace /data … ok\n[hermes 2/2] workspace /fast … FAILED\n",
        "  user 10000:10000 cannot write in /fast: look at owner and mode of its directory on the host\n",
    )
    assert bare.changes == []


def test_a_second_one_waits_for_the_first_and_takes_what_was_delivered_meanwhile(deployed: Guest) -> None:
    with (deployed.root / "run/pve-agents-hermes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [str(deployed.payload / "bootstrap")],
            env={"PATH": deployed.host.guest_path("118"), "HOME": "/root"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout
        first = waiting.stdout.readline()
        deployed.give_secrets(LITELLM_API_KEY="sk-canary-other")
    rest = waiting.communicate()[0]
    assert first == "[hermes] another bootstrap is at work here: waiting for it\n"
    assert waiting.returncode == 0, rest
    assert "[hermes 7/9] containers … ok (hermes recreated)" in rest
    managed = deployed.read("/var/lib/pve-agents/hermes/services/hermes/managed/.env")
    assert "LITELLM_API_KEY=sk-canary-other\n" in managed


def test_what_nobody_thought_of_is_one_sentence_too(deployed: Guest) -> None:
    deployed.configs["hermes"] = "model: {}\n"
    deployed.deliver()
    deployed.stub("sync", "exit 1")
    ran = deployed.run()
    assert said(ran)[-1] == "[hermes 5/9] files … FAILED"
    assert re.fullmatch(
        r"  `sync -f /var/lib/pve-agents/hermes` failed unexpectedly \(compose_files\.py, line \d+\): deploy again; if it stays, report"
        r" it\n",
        ran.stderr,
    )
    deployed.free_mebibytes = 3
    deployed.configs["hermes"] = "model: {default: other}\n"
    deployed.deliver()
    refused(deployed, 5, "the disk of the container is full: make room, or raise agents.hermes.disk.size_gib")
    (deployed.host.directory / "guest-bin/118/sync").unlink()
    # All files are in place since, and the container is older.
    assert said(deployed.run()) == steps("", "", "", "", "", "", "ok (hermes recreated)")


def test_a_failure_that_nobody_thought_of_shows_no_secret(deployed: Guest) -> None:
    deployed.configs["hermes"] = "model: {}\n"
    deployed.deliver()
    # A directory in the place of a file, with a name that no directory has.
    place = deployed.project / "services/hermes/managed/config.yaml"
    place.unlink()
    place.mkdir()
    (place / LITELLM_KEY).touch()
    broken = deployed.project / LITELLM_KEY
    deployed.payload.joinpath("stop-gateway").unlink()
    deployed.payload.joinpath("stop-gateway").symlink_to(broken)
    broken.symlink_to(broken)
    ran = deployed.run()
    assert ran.returncode == 1
    assert re.search(r"^  the program \(\w+: .*\) failed unexpectedly \(files\.py, line \d+\)", ran.stderr)
    assert not CANARY.search(ran.stdout + ran.stderr)


def test_what_takes_long_is_told_every_ten_seconds() -> None:
    said, machine = io.StringIO(), Clock()
    progress = Progress("hermes", 9, machine, said)
    progress.begin("containers")
    for machine.now in (3, 9, 11, 20, 22):
        progress.still()
    assert said.getvalue() == (
        "[hermes 0/9] containers: at work for 11 seconds\n[hermes 0/9] containers: at work for 22 seconds\n"
    )


class Clock(Machine):
    """A machine whose time a test tells."""

    now = 0.0

    def seconds(self) -> float:
        return self.now


# --- killed at any point


def furnished(guest: Guest) -> None:
    """Everything that a bootstrap can have to do in one run."""
    guest.services["hermes"] = service_plan(auth_secret="HERMES_AUTH_JSON")
    guest.sidecars["browser"] = {"image": "ghcr.io/browserless/chromium:v2.30.0", "secrets": ["BROWSER_TOKEN"]}
    guest.documents = {"home/SOUL.md": "You are Hermes.\n"}
    guest.plan.update(run_image="pve-agents/hermes:0123456789ab", registry_mirrors=["https://mirror.example.org"])
    guest.files = {"image/Dockerfile": f"FROM {IMAGE}\nUSER root\n"}
    guest.deliver()
    guest.give_secrets(HERMES_AUTH_JSON=AUTH_JSON, BROWSER_TOKEN="canary-token")


@pytest.fixture(scope="module")
def goal(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an undisturbed run leaves behind."""
    guest = Guest(tmp_path_factory.mktemp("goal"))
    furnished(guest)
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    picture = guest.picture()
    unchanged(guest)
    assert guest.picture() == picture
    return picture


# Of the whole run, and of it until Docker is there and has run a container.
ALL_CHANGES, DOCKER_CHANGES = 59, 23


@pytest.fixture(scope="module")
def halfway(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """Where a run has died when Docker was there."""
    guest = Guest(tmp_path_factory.mktemp("halfway"))
    furnished(guest)
    guest.kill_at(DOCKER_CHANGES)
    assert guest.run().returncode == -9
    assert guest.changes[-1].endswith("/smoke-test")
    return guest


def dies_and_goes_on(guest: Guest, number: int, goal: dict[str, Any]) -> None:
    guest.kill_at(number)
    assert guest.run().returncode == -9
    assert len(guest.changes) == number
    guest.kill_at(None)
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert guest.picture() == goal


@pytest.mark.parametrize("number", range(1, DOCKER_CHANGES + 1))
def test_killed_before_docker_is_there_and_run_again(bare: Guest, goal: dict[str, Any], number: int) -> None:
    furnished(bare)
    dies_and_goes_on(bare, number, goal)


@pytest.mark.parametrize("number", range(1, ALL_CHANGES - DOCKER_CHANGES + 1))
def test_killed_when_docker_is_there_and_run_again(
    halfway: Guest, tmp_path: Path, goal: dict[str, Any], number: int
) -> None:
    guest = Guest.like(halfway, tmp_path)
    furnished(guest)
    guest.forget()
    dies_and_goes_on(guest, number, goal)


def test_that_were_all_changes(bare: Guest) -> None:
    furnished(bare)
    assert bare.run().returncode == 0
    assert len(bare.changes) == ALL_CHANGES


def test_killed_between_the_secrets_and_the_restart(deployed: Guest) -> None:
    before = deployed.container()["Id"]
    deployed.give_secrets(LITELLM_API_KEY="sk-canary-other")
    deployed.kill_at(2)
    assert deployed.run().returncode == -9
    assert deployed.changes[-1].endswith("managed/.env")
    assert deployed.container()["Id"] == before
    deployed.kill_at(None)
    assert said(deployed.run()) == steps("", "", "", "", "ok (.env)", "", "ok (hermes recreated)")
    assert deployed.container()["Id"] != before
    unchanged(deployed)


@pytest.mark.parametrize("number", range(1, 9))
def test_killed_while_a_container_is_replaced(deployed: Guest, number: int) -> None:
    before = deployed.container()["Id"]
    deployed.configs["hermes"] = "model: {default: other}\n"
    deployed.deliver()
    deployed.kill_at(number)
    assert deployed.run().returncode == -9
    if number == 3:
        assert deployed.changes[-1] == f"docker container create {before[:12]}_hermes"
    if number == 8:
        assert deployed.changes[-1].endswith("hermes/containers")
    deployed.kill_at(None)
    ran = deployed.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [it["Name"] for it in deployed.system["containers"].values()] == ["/hermes"]
    assert deployed.container()["Id"] != before
    unchanged(deployed)


def name_is_taken(identity: str) -> str:
    conflict = f'Conflict. The container name "/hermes" is already in use by container "{identity}".'
    return f"Error response from daemon: {conflict} You have to remove it."


def recreate(guest: Guest) -> list[str]:
    guest.configs["hermes"] = "model: {default: other}\n"
    guest.deliver()
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return said(ran)


def test_a_name_that_a_half_made_container_of_ours_holds_is_waited_for(deployed: Guest) -> None:
    """Docker goes on with what it was asked for when Compose is killed: the name is taken, the container shows later."""
    deployed.set(trouble={"up": [name_is_taken("0123456789ab")] * 2})
    assert recreate(deployed)[6] == "[hermes 7/9] containers … ok (hermes recreated)"
    unchanged(deployed)


def test_a_half_made_container_of_ours_goes_and_is_nobody_elses(deployed: Guest) -> None:
    half_made = {
        **deployed.container(),
        "Id": "0123456789ab",
        "Name": "/hermes-half",
        "Config": {"Labels": {"com.docker.compose.project": "hermes", "com.docker.compose.service": "half"}},
        "State": {**deployed.container()["State"], "Status": "created"},
    }
    with deployed.host.changing() as state:
        state["systems"]["118"]["containers"]["0123456789ab"] = half_made
    deployed.set(trouble={"up": [name_is_taken("0123456789ab")]})
    line = recreate(deployed)[6]
    assert line == "[hermes 7/9] containers … ok (half-made container removed, hermes recreated)"
    assert [it["Name"] for it in deployed.system["containers"].values()] == ["/hermes"]
    unchanged(deployed)


def test_a_name_that_nobody_gives_back_is_told_in_the_end(deployed: Guest) -> None:
    deployed.configs["hermes"] = "model: {default: other}\n"
    deployed.deliver()
    conflict = name_is_taken("0123456789ab")
    deployed.set(trouble={"up": conflict})
    refused(
        deployed,
        7,
        "Docker keeps a name for a container of ours that it was making when it was interrupted: run `systemctl restart"
        " docker` in the container, and deploy again",
        conflict,
    )
    deployed.set(trouble={})
    assert said(deployed.run())[6] == "[hermes 7/9] containers … ok (hermes recreated)"


# --- 1 secrets

GIVE = "pipenv run agents secrets hermes"


@pytest.mark.parametrize(
    ("secrets", "sentence"),
    [
        (
            {"LITELLM_API_KEY": "", "API_SERVER_KEY": ""},
            (
                "secrets missing in /etc/pve-agents/hermes.env: LITELLM_API_KEY, API_SERVER_KEY. Write them as NAME=VALUE"
                f" lines to the 0600 file that HERMES_ENV_FILE names on your machine, and run `{GIVE}`"
            ),
        ),
        (
            {"API_SERVER_KEY": "canary-15-chars"},
            (
                "the secret API_SERVER_KEY in /etc/pve-agents/hermes.env has fewer than 16 characters, and Hermes then opens"
                f" no API server: make one with `openssl rand -hex 32`, and deliver it with `{GIVE}`"
            ),
        ),
        (
            {"LITELLM_API_KEY": "REPLACE_ME", "API_SERVER_KEY": "change-me-change-me"},
            (
                "these secrets in /etc/pve-agents/hermes.env are placeholders: LITELLM_API_KEY, API_SERVER_KEY. Write the"
                f" real ones as NAME=VALUE lines to the 0600 file that HERMES_ENV_FILE names on your machine, and run `{GIVE}`"
            ),
        ),
    ],
)
def test_secrets_that_cannot_be_right(bare: Guest, secrets: dict[str, str], sentence: str) -> None:
    bare.give_secrets(**secrets)
    assert refused(bare, 1, sentence) == ["[hermes 1/9] secrets … FAILED"]
    assert bare.changes == []


def by_hand(guest: Guest, content: str) -> None:
    """Replace the file of secrets by one that somebody put there, as with a pasted step."""
    (guest.root / "etc/pve-agents/hermes.env").write_bytes(content.encode())


def test_secrets_that_were_put_there_by_hand_are_read_without_what_an_editor_leaves(bare: Guest) -> None:
    by_hand(bare, f"\ufeffLITELLM_API_KEY= {LITELLM_KEY}\r\nAPI_SERVER_KEY='{API_KEY}' \r\n")
    assert bare.run().returncode == 0
    managed = (bare.project / "services/hermes/managed/.env").read_text()
    assert f"LITELLM_API_KEY={LITELLM_KEY}\n" in managed
    assert f"API_SERVER_KEY='{API_KEY}'\n" in managed
    assert "\r" not in managed


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("value", ["{}\u00a0", "\u200b{}", "{}\u2060x", "' {}'", "'{} '", "{}\ufe0f"])
def test_a_secret_that_holds_what_cannot_be_seen(bare: Guest, value: str, locale: str) -> None:
    by_hand(bare, f"LITELLM_API_KEY={value.format(LITELLM_KEY)}\nAPI_SERVER_KEY={API_KEY}\n")
    ran = bare.run(LANG=locale, LC_ALL=locale)
    assert ran.returncode == 1
    assert (
        "the secret LITELLM_API_KEY in /etc/pve-agents/hermes.env has a blank at an end, or a character" in ran.stderr
    )
    assert LITELLM_KEY not in ran.stderr + ran.stdout
    assert bare.changes == []


def test_a_secret_that_begins_like_a_placeholder_is_one(bare: Guest) -> None:
    bare.give_secrets(LITELLM_API_KEY="dummy-5ec2e75e")
    assert "[hermes 1/9] secrets … ok" in bare.run().stdout


def test_no_secrets_file_at_all(bare: Guest) -> None:
    (bare.root / "etc/pve-agents/hermes.env").unlink()
    sentence = "secrets missing in /etc/pve-agents/hermes.env: LITELLM_API_KEY, API_SERVER_KEY."
    assert sentence in bare.run().stderr


def test_a_secret_that_compose_cannot_read(bare: Guest) -> None:
    bare.sidecars["browser"] = {"image": IMAGE, "secrets": ["BROWSER_TOKEN"]}
    bare.deliver()
    bare.give_secrets(BROWSER_TOKEN="canary\\'s")
    refused(
        bare,
        1,
        "the secret BROWSER_TOKEN has a backslash before a quote or at its end, which Compose cannot read from a file:"
        f" choose another value, and deliver it with `{GIVE}`",
    )


# --- 2 docker engine


def test_docker_of_debian_13(bare: Guest) -> None:
    bare.plan["docker_source"] = "debian"
    bare.deliver()
    bare.write("/etc/os-release", 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n')
    assert said(bare.run())[1:3] == [
        "[hermes 2/9] docker engine: installing docker.io ca-certificates iptables docker-cli docker-compose",
        f"[hermes 2/9] docker engine … {INSTALLED}",
    ]
    unchanged(bare)


def test_docker_of_debian_12_has_no_compose(bare: Guest) -> None:
    bare.plan["docker_source"] = "debian"
    bare.deliver()
    refused(
        bare,
        2,
        "this Debian has no package with `docker compose` v2: set agents.hermes.hermes.docker.source to docker, or use"
        " a Debian 13 template, or put the plugin docker-compose into /usr/libexec/docker/cli-plugins",
    )
    assert bare.changes == ["mkdir /var/lib/pve-agents"]


def test_a_compose_plugin_that_is_there_is_good_enough(bare: Guest) -> None:
    bare.plan["docker_source"] = "debian"
    bare.deliver()
    bare.write("/usr/libexec/docker/cli-plugins/docker-compose", "")
    (bare.root / "usr/libexec/docker/cli-plugins/docker-compose").chmod(0o755)
    assert said(bare.run())[1] == "[hermes 2/9] docker engine: installing docker.io ca-certificates iptables"
    unchanged(bare)


def test_another_key_than_dockers(bare: Guest) -> None:
    for key in ("key 0123456789ABCDEF0123456789ABCDEF01234567\n", f"key {DOCKER_KEY}\nkey {'A' * 40}\n"):
        bare.set(key=key)
        refused(
            bare,
            2,
            f"what https://download.docker.com/linux/debian/gpg sends is not Docker's key {DOCKER_KEY}: who stands in"
            " between?",
        )
    assert not (bare.root / "etc/apt/keyrings/docker.asc").exists()


def test_a_repository_that_is_not_reached(bare: Guest) -> None:
    bare.set(trouble={"curl": "curl: (6) Could not resolve host: download.docker.com"})
    ran = bare.run()
    assert ran.returncode == 1
    assert (
        "  cannot fetch the key of Docker's repository: can the container reach https://download.docker.com/linux?\n"
    ) in ran.stderr


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (
            "E: You don't have enough free space in /var/cache/apt/archives/.",
            (
                "no room for the packages ca-certificates curl gpg: make room in the container, or raise"
                " agents.hermes.disk.size_gib"
            ),
        ),
        (
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 77 (apt-get)",
            "another program keeps apt locked for more than 120 seconds: wait for it, and deploy again",
        ),
        (
            "E: Failed to fetch something  Temporary failure resolving",
            (
                "apt-get cannot install ca-certificates curl gpg: look at /var/lib/pve-agents/apt.log in the container, mend"
                " it, and deploy again"
            ),
        ),
    ],
)
def test_packages_that_cannot_be_installed(bare: Guest, trouble: str, sentence: str) -> None:
    bare.set(trouble={"apt-get install": trouble})
    refused(bare, 2, sentence, *[trouble] * 3)


def test_a_failure_that_passes_is_tried_again(bare: Guest) -> None:
    bare.set(trouble={"apt-get update": "W: it is dark here", "apt-get install": ["E: Failed to fetch", "E: again"]})
    assert bare.run().returncode == 0


def test_an_installation_that_was_interrupted_goes_on(bare: Guest) -> None:
    bare.set(dpkg_interrupted=True)
    assert bare.run().returncode == 0
    assert "dpkg --configure -a" in bare.changes


def test_no_default_route(bare: Guest) -> None:
    bare.write("/proc/net/route", "Iface\tDestination\tGateway\tFlags\neth0\t0001A8C0\t00000000\t0001\n")
    refused(
        bare,
        2,
        "the container has no default route after 0 seconds: look at agents.hermes.network and at its DHCP server",
    )
    default = "0" * 32
    bare.write("/proc/net/ipv6_route", f"{default} 00 {default} 00 {default} ffffffff 1 0 00200200 lo\n")
    assert bare.run().returncode == 1
    bare.write("/proc/net/ipv6_route", f"{default} 00 {default} 00 fe800001 00000400 1 0 00450003 eth0\n")
    assert bare.run().returncode == 0


def test_a_daemon_that_is_down_is_started_and_enabled(deployed: Guest) -> None:
    deployed.set(active=False, enabled=False)
    assert said(deployed.run()) == steps("", "ok (started, enabled)")
    assert deployed.changes == ["systemctl start docker", "systemctl enable --quiet docker"]


def test_a_daemon_that_does_not_start(deployed: Guest) -> None:
    deployed.set(active=False, trouble={"daemon": "Job failed."}, journal="failed to start daemon: no disk\nexited")
    refused(
        deployed,
        2,
        "the Docker daemon does not run, and `systemctl start docker` did not help: look at `journalctl -u docker` in"
        " the container",
        "failed to start daemon: no disk",
        "exited",
    )


def test_a_docker_that_is_too_old(deployed: Guest) -> None:
    deployed.set(engine="19.03.15")
    refused(
        deployed,
        2,
        "Docker 19.03.15 is too old: Hermes needs 20.10 or newer; remove it in the container, and deploy again",
    )


def daemon(guest: Guest) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(guest.read("/etc/docker/daemon.json"))
    return settings


def test_registry_mirrors_come_and_go_without_a_restart(deployed: Guest) -> None:
    deployed.plan["registry_mirrors"] = ["https://mirror.example.org"]
    deployed.deliver()
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (daemon.json, daemon told)"
    assert deployed.system["mirrors"] == ["https://mirror.example.org/"]
    assert "systemctl reload docker" in deployed.changes
    unchanged(deployed)
    # The daemon has been started by somebody with another file.
    deployed.set(mirrors=[])
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (daemon told)"

    deployed.plan["registry_mirrors"] = []
    deployed.files.clear()
    deployed.deliver()
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (daemon.json, daemon told)"
    assert (deployed.system["mirrors"], daemon(deployed)) == ([], {"shutdown-timeout": 135})
    unchanged(deployed)


def test_settings_of_the_daemon_that_somebody_else_made_stay(deployed: Guest) -> None:
    deployed.write("/etc/docker/daemon.json", '{"log-level": "warn", "shutdown-timeout": 5}\n')
    deployed.plan["registry_mirrors"] = ["https://mirror.example.org"]
    deployed.deliver()
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (daemon.json, daemon told)"
    assert daemon(deployed) == {"log-level": "warn", **json.loads(WITH_MIRROR)}
    unchanged(deployed)

    deployed.plan["registry_mirrors"] = []
    deployed.files.clear()
    deployed.deliver()
    assert deployed.run().returncode == 0
    assert daemon(deployed) == {"log-level": "warn", "shutdown-timeout": 135}
    assert deployed.system["shutdown_timeout"] == 135
    unchanged(deployed)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            '{"log-level": "warn",}\n',
            "it is not JSON (Expecting property name enclosed in double quotes: line 1 column 22",
        ),
        ("[]\n", "it holds no JSON object"),
    ],
)
def test_settings_of_the_daemon_that_nobody_can_read_are_not_lost(deployed: Guest, text: str, why: str) -> None:
    deployed.write("/etc/docker/daemon.json", text)
    ran = deployed.run()
    assert said(ran)[-1] == "[hermes 2/9] docker engine … FAILED"
    assert f"/etc/docker/daemon.json in the container cannot be read: {why}" in ran.stderr
    assert ran.stderr.endswith(". Correct it, or remove it, and deploy again\n")
    assert deployed.read("/etc/docker/daemon.json") == text
    (deployed.root / "etc/docker/daemon.json").unlink()
    assert deployed.run().returncode == 0


def test_systemd_and_the_daemon_wait_longer_than_docker_for_the_agent(deployed: Guest) -> None:
    conf = "/etc/systemd/system/docker.service.d/pve-agents.conf"
    assert deployed.read(conf) == "[Service]\nTimeoutStopSec=150\n"
    assert deployed.system["unit_files"] == {"pve-agents.conf": deployed.read(conf)}
    assert deployed.system["shutdown_timeout"] == 135
    # Killed between the file and what tells systemd of it.
    deployed.set(unit_files={})
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (time to stop)"
    deployed.write(conf, "[Service]\nTimeoutStopSec=1\n")
    assert said(deployed.run())[1] == "[hermes 2/9] docker engine … ok (time to stop)"
    unchanged(deployed)


# --- 3 docker smoke test


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (
            (
                "docker: Error response from daemon: OCI runtime create failed: open sysctl net.ipv4.ip_unprivileged_port_start"
                " file: reopen fd 8: permission denied: unknown."
            ),
            (
                "Docker cannot run containers: this node's lxc-pve is too old for this Docker (runc 1.3.3 and newer). On the"
                " node, upgrade lxc-pve to 6.0.5-2 or newer, then restart the container; or set"
                " agents.hermes.hermes.network_mode to host"
            ),
        ),
        (
            "docker: Error response from daemon: could not create session key: function not implemented: keyctl",
            "Docker cannot run containers without keyctl: set agents.hermes.keyctl to true, and deploy hermes-root",
        ),
        (
            "docker: write /var/lib/docker/x: no space left on device",
            "the disk of the container is full: make room, or raise agents.hermes.disk.size_gib",
        ),
        (
            "docker: something else",
            "Docker cannot run containers: look at the features of the container (nesting, keyctl)",
        ),
    ],
)
def test_docker_that_cannot_run_a_container(deployed: Guest, trouble: str, sentence: str) -> None:
    deployed.set(runc="1.3.3", trouble={"run": trouble})
    refused(deployed, 3, sentence, trouble)
    deployed.set(trouble={})
    assert said(deployed.run()) == steps("", "", "ok (a container runs)")
    unchanged(deployed)


def test_the_smoke_test_uses_the_network_of_the_agent(deployed: Guest) -> None:
    deployed.plan["network"] = "bridge"
    deployed.deliver()
    assert said(deployed.run()) == steps("", "", "ok (a container runs)")
    assert '"--network", "bridge"' in deployed.calls


# --- 4 workspaces


def test_a_workspace_that_is_not_writable(deployed: Guest) -> None:
    deployed.make_directory("/data", "100000:100000")
    deployed.make_directory("/fast", "100000:100000")
    why = "look at owner and mode of its directory on the host"
    refused(
        deployed,
        4,
        f"user 10000:10000 cannot write in /data: {why}; user 10000:10000 cannot write in /fast: {why}",
    )


def test_a_directory_that_belongs_to_somebody_else(deployed: Guest) -> None:
    deployed.make_directory("/opt/hermes-data", "100000:100000")
    refused(
        deployed,
        4,
        "user 10000:10000 cannot write in /opt/hermes-data: give it to that user (`chown 10000:10000 /opt/hermes-data`"
        " in the container), or correct its owner on the host where it is mounted",
    )
    assert deployed.changes == []


def test_where_the_agent_rules_it_makes_its_directories_itself(bare: Guest) -> None:
    bare.services["hermes"]["directories"] = ["/data/a/b/workspace", "/srv/new/workspace"]
    bare.deliver()
    assert bare.run().returncode == 0
    assert bare.owner("/data/a/b/workspace") == "10000:10000 750"
    assert bare.owner("/data/a") == "10000:10000 755"
    assert bare.owner("/srv/new") == "0:0 755"
    assert bare.owner("/srv/new/workspace") == "10000:10000 750"


# --- 5 files

SOUL = "/opt/hermes-data/SOUL.md"


def declare(guest: Guest, text: str) -> list[str]:
    guest.documents = {"home/SOUL.md": text, "workspace/AGENTS.md": "# Agents\n"}
    guest.deliver()
    ran = guest.run()
    assert ran.returncode == 0, ran.stderr
    return said(ran)


def test_a_document_is_written_only_when_its_declared_text_changes(deployed: Guest) -> None:
    assert declare(deployed, "one\n") == steps("", "", "", "", "ok (SOUL.md, AGENTS.md)")
    assert deployed.read("/data/workspace/AGENTS.md") == "# Agents\n"
    assert deployed.owner(SOUL) == "10000:10000 640"
    # The agent makes it its own.
    deployed.write(SOUL, "one, and what I have learned\n")
    unchanged(deployed)
    assert deployed.read(SOUL) == "one, and what I have learned\n"
    # What it had is kept beside the new text.
    assert declare(deployed, "two\n") == steps("", "", "", "", "ok (SOUL.md)")
    assert deployed.read(SOUL) == "two\n"
    assert deployed.read(f"{SOUL}.previous") == "one, and what I have learned\n"
    # A text that nobody has changed is simply replaced.
    declare(deployed, "three\n")
    assert deployed.read(f"{SOUL}.previous") == "one, and what I have learned\n"
    # One that the agent has removed stays away, until it is declared anew.
    (deployed.root / SOUL[1:]).unlink()
    unchanged(deployed)
    assert not (deployed.root / SOUL[1:]).exists()
    declare(deployed, "four\n")
    assert deployed.read(SOUL) == "four\n"
    unchanged(deployed)


def test_a_document_that_was_there_before_the_first_delivery_is_kept(deployed: Guest) -> None:
    deployed.write(SOUL, "mine\n")
    declare(deployed, "theirs\n")
    assert (deployed.read(SOUL), deployed.read(f"{SOUL}.previous")) == ("theirs\n", "mine\n")
    # Not declared any more: it stays, and is as new when it is declared again.
    deployed.documents = {}
    deployed.deliver()
    assert said(deployed.run()) == steps()
    deployed.write(SOUL, "mine again\n")
    declare(deployed, "theirs\n")
    assert (deployed.read(SOUL), deployed.read(f"{SOUL}.previous")) == ("theirs\n", "mine again\n")


def test_the_agents_links_lead_nobody_astray(deployed: Guest) -> None:
    victim = deployed.root / "etc/victim"
    victim.write_text("precious\n")
    for name in ("SOUL.md", "SOUL.md.new", "auth.json", "auth.json.new"):
        (deployed.root / "opt/hermes-data" / name).symlink_to(victim)
    deployed.services["hermes"] = service_plan(auth_secret="HERMES_AUTH_JSON", auth_overwrite="yes")
    deployed.give_secrets(HERMES_AUTH_JSON=AUTH_JSON)
    declare(deployed, "one\n")
    assert victim.read_text() == "precious\n"
    places = (str(deployed.root / "opt/hermes-data"), "/opt/hermes-data", "/data/workspace")
    touched = [call for call in deployed.host.lines("calls") if any(it.startswith(places) for it in call[1:])]
    moved = [call for call in touched if call[0] == "guest-mv"]
    assert len(moved) == 4
    assert all(call[-1] == "as 10000:10000" for call in moved)


def test_a_link_in_the_place_of_its_environment_is_replaced_by_a_file(deployed: Guest) -> None:
    file = deployed.root / "var/lib/pve-agents/hermes/services/hermes/managed/.env"
    kept = file.rename(deployed.root / "etc/elsewhere")
    file.symlink_to(kept)
    deployed.run()
    assert (file.is_symlink(), file.read_text()) == (False, kept.read_text())
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_document_in_a_place_that_is_not_to_be_written(deployed: Guest) -> None:
    (deployed.root / SOUL[1:]).mkdir()
    (deployed.root / f"{SOUL}.previous"[1:]).write_text("")
    deployed.documents = {"home/SOUL.md": "one\n"}
    deployed.deliver()
    ran = deployed.run()
    assert ran.returncode == 1
    assert ran.stderr.endswith(
        "  user 10000:10000 cannot write /opt/hermes-data/SOUL.md: look at who owns that place, and whether its disk is"
        " full\n"
    )


def test_auth_json_is_a_seed(deployed: Guest) -> None:
    deployed.services["hermes"] = service_plan(auth_secret="HERMES_AUTH_JSON")
    deployed.deliver()
    deployed.give_secrets(HERMES_AUTH_JSON=AUTH_JSON)
    auth = "/opt/hermes-data/auth.json"
    assert said(deployed.run()) == steps("", "", "", "", "ok (auth.json)")
    assert json.loads(deployed.read(auth)) == json.loads(AUTH_JSON)
    assert deployed.owner(auth) == "10000:10000 600"
    # Hermes refreshes what is in it.
    deployed.write(auth, '{"token": "refreshed"}\n')
    unchanged(deployed)
    deployed.services["hermes"]["auth_overwrite"] = "yes"
    deployed.deliver()
    assert said(deployed.run()) == steps("", "", "", "", "ok (auth.json)")
    assert json.loads(deployed.read(auth)) == json.loads(AUTH_JSON)
    unchanged(deployed)


def test_a_changed_setting_restarts_only_what_it_concerns(deployed: Guest) -> None:
    deployed.services["hermes-work"] = service_plan(
        data_directory="/opt/hermes-data-work",
        api_url="http://127.0.0.1:8643",
        secrets=["LITELLM_API_KEY=LITELLM_API_KEY", "API_SERVER_KEY=WORK_API_SERVER_KEY"],
    )
    deployed.sidecars["browser"] = {"image": IMAGE, "secrets": ["BROWSER_TOKEN"]}
    work = {"WORK_API_SERVER_KEY": "canary-work-0123456789", "BROWSER_TOKEN": "canary's token"}
    deployed.give_secrets(**work)
    deployed.deliver()
    assert said(deployed.run())[6] == "[hermes 7/9] containers … ok (hermes-work created, browser created)"
    assert deployed.read("/var/lib/pve-agents/hermes/services/hermes-work/managed/.env").endswith(
        "API_SERVER_KEY=canary-work-0123456789\n"
    )
    assert deployed.read("/var/lib/pve-agents/hermes/sidecars/browser.env") == "BROWSER_TOKEN='canary\\'s token'\n"
    assert deployed.owner("/var/lib/pve-agents/hermes/sidecars/browser.env") == "0:0 600"
    unchanged(deployed)

    deployed.configs["hermes-work"] = "model: {default: other}\n"
    deployed.deliver()
    assert said(deployed.run())[6] == "[hermes 7/9] containers … ok (hermes-work recreated)"
    deployed.give_secrets(**{**work, "BROWSER_TOKEN": "canary-other"})
    assert said(deployed.run())[6] == "[hermes 7/9] containers … ok (browser recreated)"
    unchanged(deployed)

    # What is gone takes its secrets along, and leaves its data.
    del deployed.services["hermes-work"], deployed.sidecars["browser"]
    deployed.deliver()
    assert said(deployed.run())[6] in (
        "[hermes 7/9] containers … ok (hermes-work removed, browser removed)",
        "[hermes 7/9] containers … ok (browser removed, hermes-work removed)",
    )
    assert sorted(path.name for path in (deployed.project / "services").iterdir()) == ["hermes"]
    assert list((deployed.project / "sidecars").iterdir()) == []
    assert (deployed.root / "opt/hermes-data-work").is_dir()
    unchanged(deployed)


def test_secrets_that_others_could_read_are_closed_again(deployed: Guest) -> None:
    managed = "/var/lib/pve-agents/hermes/services/hermes/managed/.env"
    (deployed.root / managed[1:]).chmod(0o644)
    assert said(deployed.run())[4] == "[hermes 5/9] files … ok (services/hermes/managed/.env, .env)"
    assert deployed.owner(managed) == "10000:10000 600"


# --- 6 image

OTHER = "nousresearch/hermes-agent:v2026.9.30"


def use_image(guest: Guest, image: str, run_image: str = "") -> None:
    guest.plan.update(image=image, run_image=run_image or image)
    if run_image:
        guest.files["image/Dockerfile"] = f"FROM {image}\nUSER root\n"
    else:
        guest.files.clear()
    guest.deliver()


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (
            "Error response from daemon: manifest for nousresearch/hermes-agent:v2026.9.30 not found: manifest unknown",
            f"there is no image {OTHER}: look for its tags, and set agents.hermes.hermes.image.tag (and digest)",
        ),
        (
            (
                'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io:'
                " no such host"
            ),
            "the registry is not reached: look at the container's network and name server, and deploy again",
        ),
        (
            "Error response from daemon: pull access denied for nousresearch/hermes-agent, repository does not exist",
            (
                "the registry refuses the image nousresearch/hermes-agent:v2026.9.30: does"
                " agents.hermes.hermes.image.repository exist, and is it public?"
            ),
        ),
        (
            "toomanyrequests: You have reached your pull rate limit.",
            "the registry allows no more pulls for now: try later, or set agents.hermes.hermes.docker.registry_mirrors",
        ),
        (
            "Error response from daemon: something else",
            f"cannot pull the image {OTHER}: try `docker pull {OTHER}` in the container",
        ),
    ],
)
def test_an_image_that_cannot_be_pulled(deployed: Guest, trouble: str, sentence: str) -> None:
    use_image(deployed, OTHER)
    deployed.set(trouble={"pull": trouble})
    refused(deployed, 6, sentence, trouble)
    assert deployed.container()["State"]["Status"] == "running"


def test_no_room_for_an_image(deployed: Guest) -> None:
    use_image(deployed, OTHER)
    said_by_docker = "failed to register layer: write /opt/hermes/x: no space left on device"
    deployed.set(trouble={"pull": said_by_docker})
    ran = deployed.run()
    first, second = ran.stderr.splitlines()
    assert re.fullmatch(
        rf"  the disk of the container is full: the image {re.escape(OTHER)} needs about 5 GB, and \d+ GB are free\."
        r" Raise agents\.hermes\.disk\.size_gib, or make room",
        first,
    )
    assert second == f"    {said_by_docker}"


def test_a_pull_says_how_far_it_is(bare: Guest) -> None:
    bare.progress_seconds = 0
    bare.deliver()
    lines = [line for line in said(bare.run()) if line.startswith("[hermes 6/9]")]
    assert lines[0] == f"[hermes 6/9] image: {IMAGE}: 0 of 0 layers here"
    assert f"[hermes 6/9] image: {IMAGE}: 1 of 2 layers here" in lines
    assert lines[-1] == f"[hermes 6/9] image … ok ({IMAGE})"


def test_upgrade_and_roll_back_keep_two_images(deployed: Guest) -> None:
    names = [IMAGE, OTHER, "nousresearch/hermes-agent:v2026.10.1"]
    for name in names[1:]:
        use_image(deployed, name)
        lines = said(deployed.run())
        assert without_copies(lines) == steps("", "", "", "", "ok (docker-compose.yml)", f"ok ({name})", RECREATED)
        unchanged(deployed)
    tags = [tag for image in deployed.system["images"].values() for tag in image["RepoTags"]]
    assert sorted(tags) == sorted(names[1:])
    # Back to the one before needs no pull.
    use_image(deployed, names[1])
    assert without_copies(said(deployed.run())) == steps("", "", "", "", "ok (docker-compose.yml)", "", RECREATED)
    unchanged(deployed)


RECREATED = "ok (hermes recreated)"


def without_copies(lines: list[str]) -> list[str]:
    """What is said of copies has a file of tests of its own."""
    said_of_them = re.compile(r"data copied: \S+?, ")
    return [said_of_them.sub("", line) for line in lines if ": stopping " not in line]


def test_an_image_that_something_else_uses_stays(deployed: Guest) -> None:
    for name in (OTHER, "nousresearch/hermes-agent:v2026.10.1"):
        with deployed.host.changing() as state:
            state["systems"]["118"]["containers"]["other"] = {
                **deployed.container(),
                "Id": "other",
                "Name": "/other",
                "Image": next(iter(state["systems"]["118"]["images"])),
                "Config": {"Labels": {}},
            }
        use_image(deployed, name)
        ran = deployed.run()
        assert (ran.returncode, "could not be removed" in ran.stdout) == (0, False)
    tags = [tag for image in deployed.system["images"].values() for tag in image["RepoTags"]]
    assert IMAGE in tags


def test_an_image_by_its_digest(bare: Guest) -> None:
    digest = f"sha256:{'ab' * 32}"
    use_image(bare, f"{IMAGE}@{digest}")
    assert bare.run().returncode == 0
    unchanged(bare)
    assert sum(call[:2] == ["guest-docker", "pull"] for call in bare.host.lines("calls")) == 0


def test_a_moving_tag_is_pulled_again_and_restarts_only_when_it_moved(bare: Guest) -> None:
    name = "nousresearch/hermes-agent:latest"
    bare.plan["pull"] = "always"
    bare.set(registry={name: f"sha256:{'1' * 64}"})
    use_image(bare, name)
    assert bare.run().returncode == 0
    bare.forget()
    assert said(bare.run()) == steps()
    assert bare.changes == [f"docker pull {name}"]
    bare.set(registry={name: f"sha256:{'2' * 64}"})
    assert without_copies(said(bare.run())) == steps("", "", "", "", "", f"ok ({name})", RECREATED)
    # A registry that is away stops nobody.
    bare.set(trouble={"pull": "dial tcp: lookup registry-1.docker.io: no such host"})
    ran = bare.run()
    assert ran.returncode == 0
    assert said(ran)[5] == (
        f"[hermes 6/9] image: no look for a newer {name} (dial tcp: lookup registry-1.docker.io: no such host);"
        " going on with the one that is here"
    )


def test_an_image_of_ones_own_is_built_again_when_its_base_moves(bare: Guest) -> None:
    base, own = "nousresearch/hermes-agent:latest", "pve-agents/hermes:0123456789ab"
    bare.plan["pull"] = "always"
    bare.set(registry={base: f"sha256:{'1' * 64}"})
    use_image(bare, base, own)
    assert bare.run().returncode == 0
    assert f"docker build {own}" in bare.changes
    bare.forget()
    assert said(bare.run()) == steps()
    for digit in "23":
        bare.set(registry={base: f"sha256:{digit * 64}"})
        lines = without_copies(said(bare.run()))
        assert f"[hermes 6/9] image … ok ({base}, {own})" in lines
        assert f"[hermes 7/9] containers … {RECREATED}" in lines
    # The two newest of both, though only the newest have names.
    images = bare.system["images"].values()
    assert {image["Id"] for image in images if image["RepoDigests"]} == {f"sha256:{digit * 64}" for digit in "23"}
    assert len([image for image in images if not image["RepoDigests"]]) == 2


def test_an_image_of_ones_own_is_built_in_the_network_of_the_agent(deployed: Guest) -> None:
    use_image(deployed, IMAGE, "pve-agents/hermes:0123456789ab")
    assert deployed.run().returncode == 0
    assert '"build", "--network", "host", "--label"' in deployed.calls
    deployed.forget()
    deployed.plan["network"] = "bridge"
    use_image(deployed, IMAGE, "pve-agents/hermes:ba9876543210")
    assert deployed.run().returncode == 0
    assert '"build", "--label"' in deployed.calls


def test_an_image_of_ones_own_that_cannot_be_built(deployed: Guest) -> None:
    use_image(deployed, IMAGE, "pve-agents/hermes:0123456789ab")
    deployed.set(trouble={"build": "E: Unable to locate package no-such\nThe command returned a non-zero code: 100"})
    refused(
        deployed,
        6,
        "the image pve-agents/hermes:0123456789ab cannot be built: are all of agents.hermes.hermes.image.apt_packages"
        " packages of Debian?",
        "E: Unable to locate package no-such",
        "The command returned a non-zero code: 100",
    )


# --- 7 containers


def test_a_container_that_was_stopped_is_started(deployed: Guest) -> None:
    deployed.set_container(Status="exited", ExitCode=0)
    assert said(deployed.run()) == steps("", "", "", "", "", "", "ok (hermes started)")
    assert deployed.changes[0] == "docker container start /hermes"


def test_a_container_that_is_not_ours_is_left_alone(deployed: Guest) -> None:
    with deployed.host.changing() as state:
        for container in state["systems"]["118"]["containers"].values():
            container["Config"]["Labels"] = {}
    identity = deployed.container()["Id"]
    refused(
        deployed,
        7,
        IN_THE_WAY,
        f'Error response from daemon: Conflict. The container name "/hermes" is already in use by container "{identity}".'
        " You have to remove it.",
    )
    assert deployed.changes == []


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        (
            "Error response from daemon: driver failed: Bind for 0.0.0.0:8642 failed: port is already allocated",
            "a port that a container publishes is in use: free it, or choose another one",
        ),
        (
            "Error response from daemon: mkdir /var/lib/docker/x: no space left on device",
            "the disk of the container is full: make room, or raise agents.hermes.disk.size_gib",
        ),
        (
            (
                'Error response from daemon: error gathering device information while adding custom device "/dev/dri/card0": '
                "no such file or directory"
            ),
            (
                "a device of agents.hermes.devices is not in the container: it comes with the container's next start, so "
                "restart it, and deploy again"
            ),
        ),
        (
            "Error response from daemon: something else",
            "the containers do not start: look at `docker ps -a` in the container",
        ),
    ],
)
def test_containers_that_do_not_start(deployed: Guest, trouble: str, sentence: str) -> None:
    deployed.configs["hermes"] = "model: {}\n"
    deployed.deliver()
    deployed.set(trouble={"up": trouble})
    refused(deployed, 7, sentence, trouble)


def test_a_compose_file_that_compose_does_not_take(deployed: Guest) -> None:
    deployed.files["docker-compose.yml"] = '{"services": {"hermes": {"image": "${"}}}'
    deployed.deliver()
    refused(
        deployed,
        7,
        'Compose does not take /var/lib/pve-agents/hermes/docker-compose.yml: invalid interpolation format: "${"',
    )


# --- 8 health


def test_the_gateway_is_waited_for(deployed: Guest) -> None:
    deployed.progress_seconds = 0
    deployed.deliver()
    waiting = "waiting\tthe gateway does not listen on http://127.0.0.1:8642 (Connection refused)\tlook at its log"
    deployed.set(answers={"gateway": [waiting, "ok\tHermes 0.19.0\t"]})
    lines = [line for line in said(deployed.run()) if line.startswith("[hermes 8/9]")]
    assert [re.sub(r"\d+ of", "N of", line) for line in lines] == [
        (
            "[hermes 8/9] health: hermes: the gateway does not listen on http://127.0.0.1:8642 (Connection refused)"
            " (N of 180 seconds)"
        ),
        "[hermes 8/9] health … ok",
    ]


def test_a_gateway_that_does_not_become_ready(deployed: Guest) -> None:
    deployed.plan["health_seconds"] = "0"
    deployed.deliver()
    deployed.set(
        answers={
            "gateway": "waiting\ttelegram is retrying (Unauthorized)\tlook at the platform's token",
            "log": "[Telegram] Unauthorized\n[Telegram] retrying in 60 s",
        }
    )
    refused(
        deployed,
        8,
        "hermes is not ready: telegram is retrying (Unauthorized) (waited 0 seconds). What to do: look at the platform's"
        " token",
        "[Telegram] Unauthorized",
        "[Telegram] retrying in 60 s",
    )


def test_the_dashboard_is_waited_for(deployed: Guest) -> None:
    deployed.progress_seconds = 0
    deployed.services["hermes"]["dashboard_url"] = "http://127.0.0.1:9119"
    deployed.deliver()
    deployed.set(answers={"dashboard": ["waiting\tthe dashboard does not listen\tlook", "ok\tlistens\t"]})
    lines = [line for line in said(deployed.run()) if line.startswith("[hermes 8/9]")]
    assert [re.sub(r"\d+ of", "N of", line) for line in lines] == [
        "[hermes 8/9] health: hermes: the dashboard does not listen (N of 180 seconds)",
        "[hermes 8/9] health … ok",
    ]
    assert '"python3", "-I", "-", "dashboard", "http://127.0.0.1:9119"]' in deployed.calls


def test_a_dashboard_that_does_not_come(deployed: Guest) -> None:
    deployed.plan["health_seconds"] = "0"
    deployed.services["hermes"]["dashboard_url"] = "http://127.0.0.1:9119"
    deployed.deliver()
    deployed.set(answers={"dashboard": "waiting\tthe dashboard does not listen\tlook at the container's own log"})
    refused(
        deployed,
        8,
        "hermes is not ready: the dashboard does not listen (waited 0 seconds). What to do: look at the container's own"
        " log",
    )


def test_a_gateway_that_ends_for_want_of_memory(deployed: Guest) -> None:
    deployed.plan["health_seconds"] = "0"
    deployed.deliver()
    deployed.set_container(Pid=77)
    deployed.write("/proc/77/cgroup", "0::/system.slice/docker-x.scope\n")
    deployed.write("/sys/fs/cgroup/system.slice/docker-x.scope/memory.events", "low 0\noom 3\noom_kill 2\n")
    deployed.set(answers={"gateway": "waiting\tthe gateway does not listen\tlook at its log"})
    refused(
        deployed,
        8,
        "hermes is not ready: the gateway does not listen; the kernel has ended 2 of its processes for want of memory"
        " since container hermes started (waited 0 seconds). What to do: raise agents.hermes.hermes.limits.memory, and"
        " agents.hermes.memory.dedicated_mib with it",
    )


@pytest.mark.parametrize(
    ("state", "restarts", "fault", "remedy"),
    [
        (
            {"Status": "restarting", "ExitCode": 1},
            5,
            "container hermes ends again and again (5 restarts): exit code 1",
            "look at `docker logs --tail 50 hermes` in the container, then start it with `docker start hermes`",
        ),
        (
            {"Status": "restarting", "ExitCode": 137, "OOMKilled": True},
            5,
            "container hermes ends again and again (5 restarts): out of memory",
            "raise agents.hermes.hermes.limits.memory, and agents.hermes.memory.dedicated_mib with it",
        ),
    ],
)
def test_a_container_that_ends(deployed: Guest, state: dict[str, Any], restarts: int, fault: str, remedy: str) -> None:
    deployed.set_container(restarts=restarts, **state)
    with deployed.host.changing() as everything:
        for container in everything["systems"]["118"]["containers"].values():
            container["Log"] = f"starting\nERROR the key {LITELLM_KEY} is refused\x1b[0m\nTraceback: no\n"
    refused(
        deployed,
        8,
        f"hermes is not ready: {fault}. What to do: {remedy}",
        "ERROR the key *** is refused [0m",
        "Traceback: no",
    )


def test_nobody_can_look_into_the_container(deployed: Guest) -> None:
    deployed.plan["health_seconds"] = "0"
    deployed.deliver()
    deployed.set(answers={"gateway": f"no line of the probe, but {API_KEY}"})
    refused(
        deployed,
        8,
        "hermes is not ready: cannot look into container hermes: no line of the probe, but *** (waited 0 seconds). What"
        " to do: look at `docker logs --tail 50 hermes` in the container",
    )


def test_what_is_said_inside_shows_no_secret(deployed: Guest) -> None:
    deployed.plan["health_seconds"] = "0"
    deployed.deliver()
    said_inside = f"waiting\tthe platform refuses {API_KEY}\tdo not write {API_KEY}"
    deployed.set(answers={"gateway": said_inside, "log": f"ERROR {API_KEY}"})
    refused(
        deployed,
        8,
        "hermes is not ready: the platform refuses *** (waited 0 seconds). What to do: do not write ***",
        "ERROR ***",
    )


# --- 9 first answer


def test_a_model_endpoint_that_refuses(deployed: Guest) -> None:
    answer = "failed\tit refuses the key\tcorrect it and deliver it: `pipenv run agents secrets AGENT`"
    deployed.set(answers={"models": answer})
    refused(
        deployed,
        9,
        "hermes: it refuses the key. What to do: correct it and deliver it: `pipenv run agents secrets hermes`",
    )


def test_an_endpoint_that_lists_no_models_may_answer_all_the_same(deployed: Guest) -> None:
    deployed.set(answers={"models": "skipped\tit lists no models\t"})
    assert said(deployed.run()) == steps()


def test_the_model_has_as_long_as_the_settings_say(deployed: Guest) -> None:
    deployed.plan["answer_seconds"] = "77"
    deployed.deliver()
    deployed.run()
    assert '"python3", "-I", "-", "chat", "http://127.0.0.1:8642", "77"]' in deployed.calls


def test_a_chat_turn_that_fails(deployed: Guest) -> None:
    deployed.set(answers={"chat": "failed\tthe chat turn failed: HTTP 500\tlook at Hermes' log", "log": "ERROR boom"})
    refused(deployed, 9, "hermes: the chat turn failed: HTTP 500. What to do: look at Hermes' log", "ERROR boom")


def test_a_provider_whose_address_only_hermes_knows(deployed: Guest) -> None:
    deployed.services["hermes"]["base_url"] = ""
    deployed.deliver()
    assert said(deployed.run()) == steps()
    assert '"models"' not in deployed.calls
