"""verify in the container: what it says of a container that is well, and of everything that can be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pve_agents.guest.plan import Workspace
from tests.scripts.guest import API_KEY, IMAGE, LITELLM_KEY, Guest, service_plan

TOKEN = "0123456789abcdef"
MEND = "run `pipenv run agents mend hermes`"
MEMORY = "raise agents.hermes.hermes.limits.memory, and agents.hermes.memory.dedicated_mib with it"
LINE = re.compile(r"check\t([^\t]+)\t(ok|failed|skipped)\t\d+\t([^\t]*)\t([^\t]*)")
# What the host's half takes for the name of a check.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*")

Checks = dict[str, tuple[str, str, str]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    guest = Guest(tmp_path_factory.mktemp("template"))
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return guest


@pytest.fixture
def deployed(template: Guest, tmp_path: Path) -> Iterator[Guest]:
    guest = Guest.like(template, tmp_path)
    guest.forget()
    yield guest
    assert guest.changes == []
    assert "canary" not in guest.calls


def verify(guest: Guest, *arguments: str) -> Checks:
    """What each check says; a name comes once."""
    ran = guest.run("verify", *arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "canary" not in ran.stdout
    found: Checks = {}
    for line in ran.stdout.splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        assert NAME.fullmatch(match[1])
        assert match[1] not in found
        found[match[1]] = (match[2], match[3], match[4])
    return found


def failed(checks: Checks) -> Checks:
    return {name: check for name, check in checks.items() if check[0] == "failed"}


def skipped(checks: Checks) -> dict[str, str]:
    return {name: check[1] for name, check in checks.items() if check[0] == "skipped"}


# --- well


def test_all_is_well(deployed: Guest) -> None:
    checks = verify(deployed)
    disk = checks.pop("disk")
    # Which file system a test writes to, its machine decides.
    assert re.fullmatch(r"/\S* \d+% used, \d+ [GM]iB free", disk[1]), disk
    assert checks == {
        "docker": ("ok", "Docker 28.3.2, Compose 2.38.2", ""),
        "image": ("ok", IMAGE, ""),
        "container": ("ok", "running since 2026-01-01 00:00 UTC", ""),
        "gateway": ("ok", "Hermes 0.19.0, api_server connected", ""),
        "model endpoint": ("ok", "hermes at http://10.1.10.22:4000/v1/models", ""),
        "chat": ("ok", "answered in 4 characters", ""),
        "secrets": ("ok", "2 files, each for its owner alone", ""),
    }


def test_without_a_chat_turn(deployed: Guest) -> None:
    assert verify(deployed, "--no-chat")["chat"] == ("skipped", "not asked for", "")
    assert '"chat"' not in deployed.calls


def test_several_services_are_told_apart(deployed: Guest) -> None:
    deployed.services["hermes"]["platforms"] = ["api_server", "telegram"]
    deployed.services["hermes-work"] = service_plan(
        data_directory="/opt/hermes-data-work", platforms=["api_server", "slack"]
    )
    deployed.sidecars["browser"] = {"image": IMAGE}
    deployed.deliver()
    assert deployed.run().returncode == 0
    deployed.forget()
    deployed.set(answers={"platform": "waiting\tslack is retrying (invalid_auth)\tlook at the token"})
    checks = verify(deployed)
    assert list(checks) == [
        "docker",
        "disk",
        *("image hermes", "container hermes", "gateway hermes", "platform telegram hermes"),
        *("model endpoint hermes", "chat hermes"),
        *("image hermes-work", "container hermes-work", "gateway hermes-work", "platform slack hermes-work"),
        *("model endpoint hermes-work", "chat hermes-work"),
        "container browser",
        "secrets",
    ]
    assert checks["platform slack hermes-work"] == ("failed", "slack is retrying (invalid_auth)", "look at the token")
    assert checks["container browser"] == ("ok", "running since 2026-01-01 00:00 UTC", "")
    deployed.set_container("hermes-browser", Status="exited", ExitCode=3)
    assert verify(deployed)["container browser"] == (
        "failed",
        "container hermes-browser has ended: exit code 3",
        (
            "look at `docker logs --tail 50 hermes-browser` in the container, then start it with"
            " `docker start hermes-browser`"
        ),
    )


def test_an_agent_without_hermes(deployed: Guest) -> None:
    deployed.has_app = False
    deployed.deliver()
    assert list(verify(deployed)) == ["disk", "secrets"]


@pytest.mark.parametrize("arguments", [["--chat"], ["workspace-write"], ["workspace-write", "../x"], ["", ""]])
def test_an_option_that_there_is_not(deployed: Guest, arguments: list[str]) -> None:
    ran = deployed.run("verify", *arguments)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        2,
        "",
        "usage: verify [--no-chat] | workspace-write TOKEN | workspace-remove TOKEN\n",
    )


# --- docker


def test_docker_is_dead(deployed: Guest) -> None:
    deployed.set(active=False)
    checks = verify(deployed)
    assert failed(checks) == {
        "docker": (
            "failed",
            "the Docker daemon does not answer",
            "run `systemctl start docker` in the container, and look at `journalctl -u docker` where that does not help",
        )
    }
    assert skipped(checks) == dict.fromkeys(
        ("image", "container", "gateway", "model endpoint", "chat"), "Docker does not answer"
    )
    deployed.set(active=True)
    assert failed(verify(deployed)) == {}


def test_docker_was_never_installed(tmp_path: Path) -> None:
    checks = verify(Guest(tmp_path))
    assert checks["docker"] == ("failed", "Docker is not installed", MEND)


def test_a_compose_file_of_an_older_deploy(deployed: Guest) -> None:
    deployed.files["docker-compose.yml"] = '{"services": {}}'
    deployed.deliver()
    assert verify(deployed)["docker"] == (
        "failed",
        "the containers are from another compose file than the delivered one",
        MEND,
    )


def test_a_compose_file_that_compose_does_not_take(deployed: Guest) -> None:
    (deployed.project / "docker-compose.yml").write_text('{"services": {"hermes": {"image": "${"}}}')
    assert verify(deployed)["docker"] == (
        "failed",
        'Docker 28.3.2, but Compose does not take the compose file: invalid interpolation format: "${"',
        MEND,
    )


# --- disk


@pytest.mark.parametrize(
    ("line", "status", "detail", "remedy"),
    [
        ("/ 10485760 40% 3%", "ok", "/ 40% used, 10 GiB free", ""),
        (
            "/ 1048576 96% 3%",
            "failed",
            "/ has 1 GiB left",
            "make room (`docker image prune -a` removes unused images), or raise agents.hermes.disk.size_gib",
        ),
        (
            "/ 10240 30% 3%",
            "failed",
            "/ has 10 MiB left",
            "make room (`docker image prune -a` removes unused images), or raise agents.hermes.disk.size_gib",
        ),
        # A large disk may be nearly full and still have room for months.
        ("/data 41943040 99% 3%", "ok", "/data 99% used, 40 GiB free", ""),
        ("/data 0 100% 3%", "failed", "/data has 0 MiB left", "make room on the disk of /data on the host"),
        (
            "/data 41943040 20% 99%",
            "failed",
            "/data has no room for more files (99% of its inodes are used)",
            "make room on the disk of /data on the host",
        ),
        ("/data 41943040 20% -", "ok", "/data 20% used, 40 GiB free", ""),
    ],
)
def test_the_disk(*, deployed: Guest, line: str, status: str, detail: str, remedy: str) -> None:
    target, rest = line.split(" ", 1)
    # The place of a mount as df shows it, here below the container's own root.
    shown = f"{deployed.root}{target}".rstrip("/")
    deployed.stub("df", "echo Mounted Avail Use% IUse%", *[f"echo '{shown} {rest}'"] * 2)
    assert verify(deployed)["disk"] == (status, detail, remedy)


# --- image and container


def test_another_image_than_the_pinned_one(deployed: Guest) -> None:
    deployed.plan.update(image="nousresearch/hermes-agent:v2026.9.30", run_image="nousresearch/hermes-agent:v2026.9.30")
    deployed.deliver()
    checks = verify(deployed)
    assert checks["image"] == ("failed", "the image nousresearch/hermes-agent:v2026.9.30 is not here", MEND)
    with deployed.host.changing() as state:
        images = state["systems"]["118"]["images"]
        images["sha256:new"] = {"Id": "sha256:new", "RepoTags": [deployed.plan["image"]], "RepoDigests": []}
    assert verify(deployed)["image"] == (
        "failed",
        "container hermes runs another image than nousresearch/hermes-agent:v2026.9.30",
        MEND,
    )


def test_the_pinned_digest(deployed: Guest) -> None:
    digest = f"sha256:{'ab' * 32}"
    deployed.plan.update(image=f"{IMAGE}@{digest}", run_image=f"{IMAGE}@{digest}")
    deployed.deliver()
    assert deployed.run().returncode == 0
    deployed.forget()
    assert verify(deployed)["image"] == ("ok", f"{IMAGE}@{digest}", "")
    # An image of one's own hides whose digest its base has.
    own = "pve-agents/hermes:0123456789ab"
    deployed.plan["run_image"] = own
    deployed.files["image/Dockerfile"] = f"FROM {IMAGE}@{digest}\n"
    deployed.deliver()
    assert deployed.run().returncode == 0
    deployed.forget()
    assert verify(deployed)["image"] == ("ok", own, "")
    with deployed.host.changing() as state:
        for image in state["systems"]["118"]["images"].values():
            image["Config"]["Labels"] = {}
    assert verify(deployed)["image"] == ("failed", f"{own} is not built from {IMAGE}@{digest}", MEND)


def test_there_is_no_container(deployed: Guest) -> None:
    with deployed.host.changing() as state:
        state["systems"]["118"]["containers"].clear()
    checks = verify(deployed)
    assert checks["container"] == ("failed", "there is no container hermes", MEND)
    assert skipped(checks) == {
        "image": "there is no container hermes",
        **dict.fromkeys(("gateway", "model endpoint", "chat"), "container hermes is not running"),
    }


LOGS = "look at `docker logs --tail 50 hermes` in the container, then start it with `docker start hermes`"


@pytest.mark.parametrize(
    ("state", "restarts", "detail", "remedy"),
    [
        ({"Status": "exited", "ExitCode": 78}, 0, "container hermes has ended: exit code 78", LOGS),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            0,
            "container hermes has ended: out of memory",
            MEMORY,
        ),
        (
            {"Status": "exited", "ExitCode": 137},
            0,
            "container hermes has ended: killed (exit code 137)",
            f"start it with `docker start hermes` in the container; if it is killed again, {MEMORY}",
        ),
        (
            {"Status": "restarting", "ExitCode": 1},
            7,
            "container hermes ends again and again (7 restarts): exit code 1",
            LOGS,
        ),
        (
            {"Status": "created", "ExitCode": 128, "Error": f"no such mount {API_KEY}"},
            0,
            "container hermes was made and could not be started: exit code 128, no such mount ***",
            LOGS,
        ),
        ({"Status": "paused", "ExitCode": 0}, 0, "container hermes is paused", LOGS),
        ({"Status": "running", "StartedAt": "now"}, 4, "container hermes was restarted 4 times, just now again", LOGS),
        (
            {"Status": "running", "StartedAt": "now", "OOMKilled": True},
            4,
            "container hermes was restarted 4 times, just now again: out of memory",
            MEMORY,
        ),
    ],
)
def test_a_container_that_is_not_up(
    *, deployed: Guest, state: dict[str, Any], restarts: int, detail: str, remedy: str
) -> None:
    if state.get("StartedAt") == "now":
        state = {**state, "StartedAt": datetime.now(UTC).isoformat()}
    deployed.set_container(restarts=restarts, **state)
    checks = verify(deployed)
    assert failed(checks) == {"container": ("failed", detail, remedy)}
    assert set(skipped(checks)) == {"gateway", "model endpoint", "chat"}


def test_what_is_over_is_told_and_is_no_failure(deployed: Guest) -> None:
    out_of_memory(deployed)
    deployed.set_container(restarts=2, OOMKilled=True, Pid=77)
    assert verify(deployed)["container"] == (
        "ok",
        (
            "running since 2026-01-01 00:00 UTC; restarted 2 times; the kernel has ended 3 of its processes for want of"
            " memory since container hermes started"
        ),
        "",
    )


def test_a_container_from_other_settings(deployed: Guest) -> None:
    (deployed.project / "services/hermes/managed/.env").touch()
    older = "container hermes runs with older settings or secrets than the delivered ones"
    assert verify(deployed)["container"] == ("failed", older, MEND)


def test_settings_that_were_delivered_and_not_used(deployed: Guest) -> None:
    deployed.configs["hermes"] = "model: {default: other}\n"
    deployed.deliver()
    older = "container hermes runs with older settings or secrets than the delivered ones"
    assert verify(deployed)["container"] == ("failed", older, MEND)


def test_a_container_that_somebody_has_made_anew(deployed: Guest) -> None:
    with deployed.host.changing() as state:
        for container in state["systems"]["118"]["containers"].values():
            container["Config"]["Labels"]["com.docker.compose.config-hash"] = "0"
            container["Id"] = "another"
    assert verify(deployed)["container"] == (
        "failed",
        "container hermes is not as the compose file wants it",
        MEND,
    )


# --- answers


def out_of_memory(guest: Guest, *, version: int = 2) -> None:
    """The kernel has ended what runs in the container."""
    guest.set_container(Pid=77)
    if version == 2:
        guest.write("/proc/77/cgroup", "0::/elsewhere/docker/x\n")
        path = f"/sys/fs/cgroup/docker/{guest.container()['Id']}/memory.events"
        guest.write(path, "low 0\nhigh 0\nmax 9\noom 5\noom_kill 3\noom_group_kill 0\n")
    else:
        guest.write("/proc/77/cgroup", "5:cpu:/docker/x\n4:memory:/docker/x\n0::/docker/x\n")
        path = "/sys/fs/cgroup/memory/docker/x/memory.oom_control"
        guest.write(path, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")


@pytest.mark.parametrize("version", [1, 2])
def test_a_gateway_that_the_kernel_has_ended(deployed: Guest, version: int) -> None:
    out_of_memory(deployed, version=version)
    deployed.set(answers={"gateway": "waiting\tthe gateway does not listen on URL\tlook at its log"})
    assert failed(verify(deployed)) == {
        "gateway": (
            "failed",
            (
                "the gateway does not listen on URL; the kernel has ended 3 of its processes for want of memory since"
                " container hermes started"
            ),
            MEMORY,
        )
    }


def test_the_dashboard_is_looked_at_where_there_is_one(deployed: Guest) -> None:
    assert "dashboard" not in verify(deployed)
    deployed.services["hermes"]["dashboard_url"] = "http://127.0.0.1:9119"
    deployed.deliver()
    assert verify(deployed)["dashboard"] == ("ok", "listens on http://127.0.0.1:9119", "")
    deployed.set(answers={"dashboard": "waiting\tthe dashboard does not listen\tlook"})
    assert verify(deployed)["dashboard"] == ("failed", "the dashboard does not listen", "look")
    deployed.set_container(Status="exited", ExitCode=1)
    assert verify(deployed)["dashboard"] == ("skipped", "container hermes is not running", "")


def test_a_gateway_that_does_not_answer(deployed: Guest) -> None:
    deployed.services["hermes"]["platforms"] = ["api_server", "telegram"]
    deployed.deliver()
    log = f"INFO\nERROR the key {LITELLM_KEY} is too short"
    deployed.set(answers={"gateway": "waiting\tthe gateway does not listen on URL\tlook at its log", "log": log})
    checks = verify(deployed)
    assert failed(checks) == {
        "gateway": (
            "failed",
            "the gateway does not listen on URL; its log: ERROR the key *** is too short",
            "look at its log",
        )
    }
    assert skipped(checks) == {"platform telegram": "the gateway is not ready", "chat": "the gateway is not ready"}


def test_a_long_line_of_the_log_ends_with_a_whole_character(deployed: Guest) -> None:
    deployed.set(answers={"gateway": "waiting\tno\tlook", "log": f"E{'ü' * 300}"})
    assert verify(deployed)["gateway"] == ("failed", f"no; its log: E{'ü' * 99} …", "look")


def test_a_model_endpoint_that_fails_is_not_asked_for_a_chat(deployed: Guest) -> None:
    deployed.set(answers={"models": "failed\tURL refuses the key LITELLM_API_KEY\t`pipenv run agents secrets AGENT`"})
    checks = verify(deployed)
    assert failed(checks) == {
        "model endpoint": ("failed", "URL refuses the key LITELLM_API_KEY", "`pipenv run agents secrets hermes`")
    }
    assert skipped(checks) == {"chat": "the model endpoint does not answer"}


def test_the_model_has_as_long_as_the_settings_say(deployed: Guest) -> None:
    deployed.plan["answer_seconds"] = "77"
    deployed.deliver()
    verify(deployed)
    assert '"python3", "-I", "-", "chat", "http://127.0.0.1:8642", "77"]' in deployed.calls


def test_a_chat_turn_that_fails(deployed: Guest) -> None:
    deployed.set(answers={"chat": "failed\tno answer within 60 seconds to a chat turn\tthe model is slow"})
    assert failed(verify(deployed)) == {
        "chat": ("failed", "no answer within 60 seconds to a chat turn", "the model is slow")
    }


def test_an_endpoint_that_lists_no_models_is_asked_for_a_chat(deployed: Guest) -> None:
    deployed.set(answers={"models": "skipped\tURL lists no models\tlook whether base_url is right"})
    checks = verify(deployed)
    assert checks["model endpoint"] == ("skipped", "URL lists no models", "look whether base_url is right")
    assert checks["chat"][0] == "ok"


def test_a_provider_whose_address_only_hermes_knows(deployed: Guest) -> None:
    deployed.services["hermes"].update(base_url="", provider="anthropic")
    deployed.deliver()
    checks = verify(deployed)
    assert checks["model endpoint"] == ("skipped", "the address of the provider anthropic is known to Hermes alone", "")
    assert checks["chat"][0] == "ok"


def test_a_probe_that_says_something_else(deployed: Guest) -> None:
    deployed.set(answers={"gateway": f"exec: python3: not found {API_KEY}"})
    assert verify(deployed)["gateway"] == (
        "failed",
        "cannot look into container hermes: exec: python3: not found ***",
        "look at `docker logs --tail 50 hermes` in the container",
    )


# --- secrets


@pytest.mark.parametrize(
    ("change", "detail", "remedy"),
    [
        (
            lambda guest: (guest.root / "etc/pve-agents/hermes.env").chmod(0o644),
            "/etc/pve-agents/hermes.env has mode 644",
            "chmod 600 /etc/pve-agents/hermes.env",
        ),
        (
            lambda guest: (guest.project / "services/hermes/managed/.env").chmod(0o640),
            "/var/lib/pve-agents/hermes/services/hermes/managed/.env has mode 640",
            "chmod 600 /var/lib/pve-agents/hermes/services/hermes/managed/.env",
        ),
        (
            lambda guest: private(guest, "/opt/hermes-data/auth.json", "100000:100000", 0o600),
            "/opt/hermes-data/auth.json belongs to 0:0",
            "chown 10000:10000 /opt/hermes-data/auth.json",
        ),
        (
            lambda guest: private(guest, "/opt/hermes-data/.env", "110000:110000", 0o604),
            "/opt/hermes-data/.env has mode 604",
            "chmod 600 /opt/hermes-data/.env",
        ),
    ],
)
def test_secrets_that_others_can_read(
    deployed: Guest, change: Callable[[Guest], None], detail: str, remedy: str
) -> None:
    change(deployed)
    assert failed(verify(deployed)) == {
        "secrets": ("failed", f"secrets that others can read: {detail}", f"run `{remedy}` in the container")
    }


def private(guest: Guest, path: str, owner: str, mode: int) -> None:
    guest.write(path, "canary")
    place = guest.root / path[1:]
    place.chmod(mode)
    with guest.host.changing() as state:
        state["owners"][str(place.relative_to(guest.host.node))] = owner


# --- workspaces


def probes(guest: Guest, *arguments: str) -> list[str]:
    ran = guest.run("verify", *arguments)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [re.sub(r"\t\d+\t", "\t0\t", line) for line in ran.stdout.splitlines()]


@pytest.mark.parametrize("running", [True, False])
def test_workspaces_are_written_as_the_agent_and_cleaned(template: Guest, tmp_path: Path, *, running: bool) -> None:
    guest = Guest.like(template, tmp_path)
    guest.workspaces = [
        Workspace("/data", 10000, 10000),
        Workspace("/etc", 10000, 10000, read_only=True),
        Workspace("/fast", 10001, 10001),
    ]
    guest.deliver()
    guest.make_directory("/fast", "110001:110001")
    if not running:
        guest.set_container(Status="exited")
    guest.forget()
    assert probes(guest, "workspace-write", TOKEN) == ["probe\t/data\tok\t0\t", "probe\t/fast\tok\t0\t"]
    assert guest.owner(f"/data/.pve-agents-probe-{TOKEN}").startswith("10000:10000 ")
    assert guest.owner(f"/fast/.pve-agents-probe-{TOKEN}").startswith("10001:10001 ")
    assert ('"exec", "-u", "10001:10001", "hermes", "touch"' in guest.calls) == running
    assert probes(guest, "workspace-remove", TOKEN) == []
    assert [path.name for path in (guest.root / "fast").iterdir()] == ["workspace"]


def test_a_workspace_that_the_agent_cannot_write(deployed: Guest) -> None:
    deployed.make_directory("/data", "100000:100000")
    place = f"/data/.pve-agents-probe-{TOKEN}"
    deployed.make_directory("/fast", "100000:100000")
    assert probes(deployed, "workspace-write", TOKEN) == [
        f"probe\t/data\tfailed\t0\ttouch: cannot touch '{place}': Permission denied",
        f"probe\t/fast\tfailed\t0\ttouch: cannot touch '{place.replace('data', 'fast')}': Permission denied",
    ]


def test_workspaces_of_an_agent_without_hermes(template: Guest, tmp_path: Path) -> None:
    guest = Guest.like(template, tmp_path)
    guest.has_app = False
    guest.deliver()
    assert probes(guest, "workspace-write", TOKEN) == ["probe\t/data\tok\t0\t", "probe\t/fast\tok\t0\t"]
    assert probes(guest, "workspace-remove", TOKEN) == []
