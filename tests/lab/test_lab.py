"""What a deploy is worth: an agent in a real container that answers, and whose files lie on the big disk.

The cases share one deployed agent and leave it as they found it; they run in this order.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.project import HERMES_ROOT
from tests.lab.cache import REPOSITORY, TAGS
from tests.lab.lab import ALLOWED_USER, ANSWER_SECONDS, FAST, HDD, STRANGER, Lab
from tests.lab.sandbox import ROOT, LabError
from tests.lab.services import MODEL

pytestmark = pytest.mark.lab

IN_GUEST = Path("/var/lib/pve-agents/hermes")
STEPS = 9
WORK_PORT = 8643
# A sidecar that tells its secret to who asks.
NOTES = [
    "python3",
    "-c",
    (
        "import os, http.server as h\n"
        "class Notes(h.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(os.environ['NOTES_TOKEN'].encode())\n"
        "h.HTTPServer(('', 9000), Notes).serve_forever()"
    ),
]
# With Telegram, Hermes 0.19.0 asks public name servers for its addresses.
TRIED_WITHOUT_A_KEY = {"api.telegram.org", "cloudflare-dns.com", "dns.google"}


def on_host(guest_path: str) -> Path:
    """Where a file of a workspace is on the node."""
    return Path(guest_path.replace("/data", str(HDD), 1).replace("/fast", str(FAST), 1))


def identity(lab: Lab) -> tuple[str, str]:
    """Which Docker container it is, and since when it runs."""
    container, started = lab.inspect("{{.Id}} {{.State.StartedAt}}").split()
    return container, started


# --- it answers


def test_the_agent_answers_ping_through_litellm(lab: Lab) -> None:
    lab.services.upstream.requests.clear()

    assert lab.chat("ping") == "pong"

    assert [request.path for request in lab.services.upstream.requests] == ["/v1/chat/completions"]


@pytest.mark.parametrize("workspace", ["/data/workspace", "/fast/workspace"])
def test_a_file_of_the_agents_tool_is_on_the_host(lab: Lab, workspace: str) -> None:
    answer = lab.chat(f"run: id -u > {workspace}/by-the-agent && echo written")

    assert "written" in answer
    file = on_host(f"{workspace}/by-the-agent")
    assert (file.read_text(), lab.node.stat(str(file))[:13]) == ("10000\n", "110000:110000")


def test_telegram_answers_an_allowed_user_and_no_stranger(lab: Lab) -> None:
    telegram = lab.services.telegram
    telegram.send(STRANGER, "ping from a stranger")
    telegram.send(ALLOWED_USER, "ping")

    lab.wait_until("the allowed user is answered", lambda: "pong" in telegram.answers(ALLOWED_USER), 60)

    assert telegram.answers(STRANGER) == []
    assert telegram.strangers_tokens == []


def test_the_keys_reach_those_they_are_for_and_nobody_else(lab: Lab) -> None:
    around = lab.services
    lab.chat("ping")

    assert {request.key for request in around.relay.requests if request.path == "/v1/chat/completions"} == {
        around.litellm_key
    }
    assert {request.key for request in around.upstream.requests} == {"of-the-upstream"}
    secrets = [around.litellm_key, lab.api_key, around.telegram.token]
    # Whatever else was tried, encrypted or not, was heard by the recorder, and refused.
    heard = around.recorder.refused
    assert [it for it in heard if any(key.encode() in it.said for key in secrets)] == []
    assert [it for it in heard if re.search(rb"authorization|api-key|cookie", it.said, re.IGNORECASE)] == []
    assert {it.host for it in heard} <= TRIED_WITHOUT_A_KEY
    assert around.refused_datagrams() == ""


# --- the second time


def test_a_second_deploy_changes_nothing(lab: Lab) -> None:
    before = identity(lab), lab.container.run("cat", "/proc/sys/kernel/random/boot_id").stdout
    began = str(int(time.time()))
    lab.node.forget_host_changes()
    lab.node.mutations.clear()

    lab.second_deploy()

    assert (lab.node.host_changes, lab.node.mutations) == ([], [])
    # Terraform saw no reason to run a step: look at all of it, and let the bootstrap look for itself.
    assert "nothing would run as root" in lab.project.agents("plan", "--root", "hermes").raw
    said = lab.steps()
    assert [line for line in said.splitlines() if "] $ " in line and "sh -c" not in line] == []
    assert [
        line for line in said.splitlines() if re.search(r"\] (?!secrets|health|first).* … ok \((?!unchanged)", line)
    ] == []
    assert (lab.node.host_changes, lab.node.mutations) == ([], [])
    assert (identity(lab), lab.container.run("cat", "/proc/sys/kernel/random/boot_id").stdout) == before
    events = ("docker", "events", "--since", began, "--until", str(int(time.time()) + 1), "--filter", "type=container")
    told = lab.container.run(*events, "--format", "{{.Action}}").stdout.split("\n")
    assert {line.split(":")[0] for line in told if line} <= {"exec_create", "exec_start", "exec_die", "health_status"}


def test_what_the_user_and_the_agent_have_set_survives_redeploy_image_change_rollback_and_reboot(lab: Lab) -> None:
    lab.in_hermes("hermes", "config", "set", "display.personality", "pirate")
    lab.in_hermes("sh", "-c", "mkdir -p /opt/data/memories; echo 'The user likes tea.' >/opt/data/memories/MEMORY.md")

    def kept() -> tuple[str, str, str]:
        config = yaml.safe_load(lab.in_hermes("cat", "/opt/data/config.yaml"))
        memory = lab.in_hermes("cat", "/opt/data/memories/MEMORY.md")
        return config["display"]["personality"], memory, lab.inspect("{{.Config.Image}}").rpartition(":")[2]

    mine = ("pirate", "The user likes tea.\n")
    lab.steps()
    assert kept() == (*mine, TAGS[0])

    # A changed setting recreates the container; an upgrade and the way back are one setting each.
    lab.apply(image={"tag": TAGS[1]})
    assert kept() == (*mine, TAGS[1])
    assert lab.in_hermes("cat", "/opt/hermes/release") == f"{TAGS[1]}\n"
    said = lab.apply(image={"tag": TAGS[0]})
    assert kept() == (*mine, TAGS[0])
    # The previous image was kept, so that the way back loads nothing.
    assert "image … ok (unchanged)" in said

    lab.node.reboot()
    lab.wait_until_healthy()
    assert kept() == (*mine, TAGS[0])
    assert lab.chat("ping") == "pong"


# --- a stop gives it its time


# Longer than the ten seconds of Docker's and the three of the image's supervisor.
BUSY_SECONDS = 14


@pytest.fixture
def busy(lab: Lab) -> Iterator[Path]:
    """The agent is in the middle of a turn, and something in its container needs its time to stop."""
    lab.chat("run: echo remember the milk")
    left = lab.have_a_slow_gateway(BUSY_SECONDS)
    lab.services.telegram.send(ALLOWED_USER, "run: sleep 61; echo never said")
    lab.wait_until("the agent's tool runs", lambda: lab.in_hermes("pgrep", "-f", "sleep 61"), 60)
    yield left
    left.unlink(missing_ok=True)
    lab.container.run("docker", "start", "hermes")
    lab.wait_until_healthy()


def test_a_stop_in_the_middle_of_a_turn_ends_by_itself_and_leaves_a_whole_database(lab: Lab, busy: Path) -> None:
    before = len(lab.gateway_ends())
    began = time.monotonic()
    lab.container.run("docker", "stop", "hermes")
    took = time.monotonic() - began

    # An end by SIGKILL is 256 9, and leaves nothing.
    assert [end.split()[0] for end in lab.gateway_ends()[before:]] in (["0"], ["1"])
    assert busy.read_text() == "whole\n"
    assert lab.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}") == "0 false"
    assert BUSY_SECONDS < took < 110
    assert lab.database_faults() == "ok"


def test_a_reboot_of_the_container_in_the_middle_of_a_turn_does_too(lab: Lab, busy: Path) -> None:
    before = len(lab.gateway_ends())
    lab.project.run("pct", "reboot", "118", "--timeout", "180")
    lab.wait_until_healthy()

    assert [end.split()[0] for end in lab.gateway_ends()[before:]] in (["0"], ["1"])
    assert busy.read_text() == "whole\n"
    lab.container.run("docker", "stop", "hermes")
    assert lab.database_faults() == "ok"


def test_docker_and_systemd_in_the_container_know_how_long_to_wait(lab: Lab) -> None:
    shown = lab.container.run("systemctl", "show", "--property", "TimeoutStopUSec,NeedDaemonReload", "docker").stdout
    assert sorted(shown.split("\n")[:2]) == ["NeedDaemonReload=no", "TimeoutStopUSec=2min 30s"]
    assert lab.inspect("{{.Config.StopTimeout}}") == "120"
    assert lab.container.run("docker", "info", "--format", "{{.RegistryConfig.Mirrors}}").stdout != "[]\n"


def test_the_way_back_from_an_image_that_spoilt_the_data(lab: Lab) -> None:
    lab.chat("run: echo before the upgrade")
    copies = lab.container.rootfs / "var/lib/pve-agents/hermes/copies"
    said = lab.apply(image={"tag": TAGS[1]})
    assert "data copied: " in said
    assert lab.chat("ping") == "pong"
    lab.container.run("docker", "stop", "hermes")
    lab.data("state.db").write_bytes(b"not a database" * 512)

    # As the runbook has it, as root on the node.
    written = re.search(r"^pct exec .* --restore$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert written
    said = lab.project.run(*written[0].split()).raw
    assert f"under {REPOSITORY}:{TAGS[0]}" in said
    assert lab.database_faults() == "ok"
    lab.apply(image={"tag": TAGS[0]})

    assert lab.chat("ping") == "pong"
    assert lab.verify().failed == {}
    assert copies.stat().st_mode & 0o777 == 0o700
    assert len(list(copies.glob("[0-9]*"))) in (2, 3)


# --- all that may stand beside it


def test_packages_dashboard_profile_and_sidecar_join_and_leave_an_agent(lab: Lab) -> None:
    keys = {
        "WORK_API_SERVER_KEY": "of-the-profile-work",
        "NOTES_TOKEN": "of-the-sidecar-notes",
        "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD": "of-the-dashboards-user",
        "HERMES_DASHBOARD_BASIC_AUTH_SECRET": "that-signs-the-dashboards-sessions",
    }
    lab.project.env |= keys
    lab.apply(
        image={"tag": TAGS[0], "apt_packages": ["jq"]},
        network_mode="bridge",
        dashboard={"enabled": True, "auth": "basic", "username": "me"},
        profiles={"work": {"api_server": {"port": WORK_PORT}}},
        sidecars={"notes": {"image": f"{REPOSITORY}:{TAGS[0]}", "entrypoint": NOTES, "secrets": ["NOTES_TOKEN"]}},
    )

    checks = lab.verify().checks
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert {"dashboard hermes", "chat hermes-work", "docker container notes"} <= checks.keys()
    # Built in the container, from the image that is declared.
    assert lab.in_hermes("jq", "--version").startswith("jq-")
    # Each profile answers for itself, with its own key, data and working directory.
    assert lab.chat("ping") == "pong"
    work: dict[str, Any] = {"service": "hermes-work", "port": WORK_PORT, "key": keys["WORK_API_SERVER_KEY"]}
    assert lab.chat("run: pwd > where && echo written", **work)
    assert on_host("/data/workspace-work/where").read_text() == "/data/workspace-work\n"
    with pytest.raises(LabError, match="401"):
        lab.chat("ping", service="hermes-work", port=WORK_PORT)
    # The dashboard shows nothing without the password, and takes no other.
    url = "http://127.0.0.1:9119"
    login = {"provider": "basic", "username": "me", "password": keys["HERMES_DASHBOARD_BASIC_AUTH_PASSWORD"]}
    assert "Authentication Failed" in lab.wget(f"{url}/api/sessions")
    assert "Authentication Failed" in lab.wget(f"{url}/auth/password-login", {**login, "password": "another"})
    assert '"ok":true' in lab.wget(f"{url}/auth/password-login", login)
    # The sidecar is reached by its name, and has its secret to itself.
    assert lab.in_hermes("curl", "-fsS", "http://notes:9000/") == "of-the-sidecar-notes"
    for service in ("hermes", "hermes-work"):
        assert keys["NOTES_TOKEN"] not in lab.in_hermes("env", service=service)

    lab.apply()

    names = lab.container.run("docker", "ps", "--all", "--format", "{{.Names}}").stdout
    assert (names, lab.chat("ping"), lab.verify().failed) == ("hermes\n", "pong", {})
    # What the profile has learnt waits for its return.
    assert lab.container.run("ls", "/opt/hermes-data-work/config.yaml").stdout


# --- verify names the cause


def wrong_key(lab: Lab) -> Callable[[], object]:
    lab.services.relay.forget_key()
    return lab.services.relay.know_key


def unknown_model(lab: Lab) -> Callable[[], object]:
    lab.services.rename_model("another")
    return lab.services.rename_model


def litellm_down(lab: Lab) -> Callable[[], object]:
    return lab.services.refuse_litellm()


def litellm_slow(lab: Lab) -> Callable[[], object]:
    lab.services.upstream.set_mode("slow")
    return lambda: lab.services.upstream.set_mode("answer")


def gateway_down(lab: Lab) -> Callable[[], object]:
    lab.in_hermes("hermes", "gateway", "stop", check=False)
    return lambda: lab.container.run("docker", "restart", "hermes")


def gateway_slow(lab: Lab) -> Callable[[], object]:
    pids = lab.in_hermes("pgrep", "-f", "hermes gateway run").split()
    lab.in_hermes("kill", "-STOP", *pids)
    return lambda: lab.in_hermes("kill", "-CONT", *pids)


def full_disk(lab: Lab) -> Callable[[], object]:
    free = int(lab.container.run("df", "--output=avail", "-B1", "/").stdout.split()[-1])
    lab.container.run("fallocate", "--length", str(free - (64 << 20)), "/var/filler")
    lab.container.run("dd", "if=/dev/zero", "of=/var/filler.rest", "bs=64k", check=False)
    return lambda: lab.container.run("rm", "/var/filler", "/var/filler.rest")


def full_workspace(_: Lab) -> Callable[[], object]:
    filler = HDD / "filler"
    found = os.statvfs(HDD)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - (4 << 20))
    return filler.unlink


def docker_dead(lab: Lab) -> Callable[[], object]:
    lab.container.run("systemctl", "stop", "docker.socket", "docker")
    return lambda: lab.container.run("systemctl", "start", "docker")


def out_of_memory(lab: Lab) -> Callable[[], object]:
    return lab.starve()


@pytest.mark.parametrize(
    ("cause", "check", "named"),
    [
        pytest.param(wrong_key, "model endpoint", "refuses the key LITELLM_API_KEY", id="wrong key"),
        pytest.param(
            unknown_model, "model endpoint", "does not list the model hermes; it lists another", id="unknown model"
        ),
        pytest.param(litellm_down, "model endpoint", "is not reached", id="LiteLLM down"),
        pytest.param(
            litellm_slow, "chat", f"no answer within {ANSWER_SECONDS} seconds to a chat turn", id="LiteLLM slow"
        ),
        pytest.param(gateway_down, "gateway", "the gateway does not listen on", id="gateway down"),
        pytest.param(gateway_slow, "gateway", "no answer within 10 seconds", id="gateway slow"),
        pytest.param(full_disk, "disk", r"/ has \d MiB left", id="full disk"),
        pytest.param(full_workspace, "disk", r"/data has \d MiB left", id="full workspace"),
        pytest.param(docker_dead, "docker", "the Docker daemon does not answer", id="Docker daemon dead"),
        pytest.param(out_of_memory, "gateway", "for want of memory", id="container out of memory"),
    ],
)
def test_verify_names_the_cause_and_is_green_again_without_a_deploy(
    lab: Lab, cause: Callable[[Lab], Callable[[], object]], check: str, named: str
) -> None:
    mend = cause(lab)
    try:
        found = lab.verify()
    finally:
        mend()

    assert (found.code, next(iter(found.failed))) == (1, check)
    assert re.search(named, found.failed[check])
    assert found.remedy(check)
    lab.wait_until_healthy()
    lab.wait_until("verify is green again", lambda: lab.verify().failed == {}, 90)


# --- real parsers


def test_the_real_parsers_take_the_rendered_files(lab: Lab) -> None:
    project = ("--project-directory", str(IN_GUEST), "--file", str(IN_GUEST / "docker-compose.yml"))
    assert lab.container.run("docker", "compose", *project, "config", "--quiet").stderr == ""
    checked = lab.in_hermes("hermes", "config", "check")
    assert re.search(r"Config version: \d+ ✓", checked)
    assert re.search(r"failed to parse|invalid|unknown", checked, re.IGNORECASE) is None
    # The seeded file says otherwise: the declared one wins, key by key.
    for key, value in {
        "model.provider": "litellm",
        "model.default": MODEL,
        "model.base_url": "http://10.1.10.22:4000/v1",
        "terminal.cwd": "/data/workspace",
    }.items():
        assert lab.in_hermes("hermes", "config", "get", key) == f"{value}\n"
    # A deploy in Docker has no systemd unit of its own.
    assert lab.container.run("sh", "-c", "ls /etc/systemd/system | grep -i hermes", check=False).stdout == ""


# --- sudden death


def test_after_a_power_cut_during_writes_the_agent_comes_back_with_its_data(lab: Lab) -> None:
    lab.chat("run: echo before the cut > /data/workspace/diary && sync /data/workspace/diary")
    lab.in_hermes(
        "sh", "-c", "echo 'The user likes coffee.' >/opt/data/memories/MEMORY.md; sync /opt/data/memories/MEMORY.md"
    )
    lab.in_hermes("sh", "-c", "sync /opt/data/state.db*")
    before = identity(lab)[0]
    busy = "while :; do dd if=/dev/urandom of=$1/$RANDOM bs=64k count=8 2>/dev/null; sync -d $1/* 2>/dev/null; done"
    for place in ("/data/workspace", "/opt/data/home"):
        lab.container.run(
            "docker", "exec", "--detach", "-u", "10000:10000", "hermes", "bash", "-c", busy, "bash", place
        )
    lab.services.telegram.send(ALLOWED_USER, "run: sleep 2; echo interrupted")
    time.sleep(secrets.randbelow(3000) / 1000)

    lab.node.lose_power()
    lab.node.start()

    lab.wait_until_healthy()
    assert identity(lab)[0] == before
    assert lab.in_hermes("cat", "/data/workspace/diary", "/opt/data/memories/MEMORY.md") == (
        "before the cut\nThe user likes coffee.\n"
    )
    lab.in_hermes("sh", "-c", "rm -f /data/workspace/[0-9]* /opt/data/home/[0-9]*")
    assert lab.chat("ping") == "pong"
    assert lab.verify().failed == {}
    lab.container.run("docker", "stop", "hermes")
    assert lab.database_faults() == "ok"
    assert "run: echo before the cut" in lab.conversations()
    lab.container.run("docker", "start", "hermes")
    lab.wait_until_healthy()


def test_destroyed_stacks_leave_the_directories_and_their_files(lab: Lab) -> None:
    lab.node.grant("Datastore.Allocate", "/storage/local")
    diary = HDD / "workspace" / "diary"

    lab.project.destroy(stack=HERMES_ROOT)
    assert not {"mp0", "mp1"} & lab.node.container_config(118).keys()
    assert lab.container.run("ls", "/data", "/fast").stdout.split() == ["/data:", "/fast:"]
    lab.project.destroy()

    assert not lab.container.exists
    assert diary.read_text() == "before the cut\n"
    assert [lab.node.stat(str(path)) for path in (HDD, FAST)] == ["110000:110000 750"] * 2


def test_a_bootstrap_killed_in_each_of_its_steps_ends_like_any_other(lab: Lab) -> None:
    """On a new container: the files that the old one left are in it again."""
    lab.configure()
    lab.project.synthesize()
    lab.project.apply()
    for step in ("host-directories", "container-config", "payload"):
        lab.project.agents("mend", "--only", step, "hermes")
    lab.container.wait_until_booted()

    # Killed while it is at a step, or, where that takes no time, right after it has told the one before.
    died_in = [lab.kill_bootstrap_in(number) for number in range(1, STEPS + 1)]

    assert died_in == sorted(died_in)
    assert all(number <= there <= STEPS for number, there in enumerate(died_in, start=1))
    said = lab.project.agents("mend", "--only", "bootstrap", "hermes").raw
    assert "first answer … ok" in said
    assert "before the cut" in lab.chat("run: cat /data/workspace/diary")
    assert lab.verify().failed == {}
    before = identity(lab)
    assert set(re.findall(r"… ok \((\w+)", lab.project.agents("mend", "--only", "bootstrap", "hermes").raw)) == {
        "unchanged"
    }
    assert identity(lab) == before
