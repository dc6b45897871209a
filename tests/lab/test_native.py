"""Hermes without Docker, in a real container of its own, beside the one with Docker.

The cases share one agent and leave it as they found it; they run in this order.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cache import HERMES_VERSION
from tests.lab.directives import tried
from tests.lab.lab import ALLOWED_USER, STRANGER, Lab, kill_bootstrap
from tests.lab.native import BROKEN_VERSION, DATA, FAST, HOME, NAME, NEXT_VERSION, UNIT, VMID, NativeAgent

pytestmark = pytest.mark.lab

DASHBOARD = "pve-dashboard-native"
STEPS, RELEASE_STEP, UNITS_STEP, HEALTH_STEP = 9, 4, 7, 8
# Seconds into a step after which it is in the middle of what it does.
MOMENTS = {RELEASE_STEP: 4.0, UNITS_STEP: 1.0, HEALTH_STEP: 1.0}


@pytest.fixture(scope="module")
def agent(lab: Lab) -> Iterator[NativeAgent]:
    agent = NativeAgent(lab)
    said = agent.first_deploy()
    if "first answer … ok" not in said:
        pytest.fail(f"{said}\n{agent.last_words()}")
    yield agent
    lab.tables["from nothing to the first answer"] = agent.table()
    lab.project.destroy(stack=f"{NAME}-root")
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack=NAME)
    lab.configure()


# --- it answers


def test_it_answers_ping_through_litellm(agent: NativeAgent) -> None:
    assert agent.chat("ping") == "pong"
    assert agent.verify().failed == {}


@pytest.mark.parametrize(("workspace", "place"), [("/data/workspace", DATA), ("/fast/workspace", FAST)])
def test_a_file_of_the_agents_tool_is_on_the_host(agent: NativeAgent, workspace: str, place: Path) -> None:
    assert "written" in agent.chat(f"run: id -u > {workspace}/by-the-agent && echo written")

    file = place / "workspace" / "by-the-agent"
    assert (file.read_text(), agent.lab.node.stat(str(file))[:13]) == ("10000\n", "110000:110000")


def test_it_can_write_nowhere_else_and_become_nobody_else(agent: NativeAgent) -> None:
    for command in (
        "touch /etc/by-the-agent",
        "touch /opt/hermes-agent/current/by-the-agent",
        "su -c id",
        "mount -t tmpfs none /mnt",
    ):
        assert "refused" in agent.chat(f"run: {command} 2>/dev/null || echo refused")
    assert "CapEff:\t0000000000000000" in agent.inside("cat", "/proc/self/status")


def test_telegram_answers_an_allowed_user_and_no_stranger(agent: NativeAgent) -> None:
    telegram = agent.lab.services.other_telegram
    telegram.send(STRANGER, "ping from a stranger")
    telegram.send(ALLOWED_USER, "ping")

    agent.lab.wait_until("the allowed user is answered", lambda: "pong" in telegram.answers(ALLOWED_USER), 60)

    assert telegram.answers(STRANGER) == []
    assert telegram.strangers_tokens == []


def test_no_secret_is_shown_by_systemd(agent: NativeAgent) -> None:
    secret = [agent.token, agent.lab.api_key, agent.lab.services.litellm_key]
    shown = agent.container.run("systemctl", "show", UNIT).stdout
    shown += agent.container.run("systemctl", "cat", UNIT).stdout
    shown += agent.container.run("journalctl", "--no-pager", "-n", "5000").stdout
    pid = agent.property("MainPID")
    shown += agent.container.run("sh", "-c", f"tr '\\0' '\\n' </proc/{pid}/environ; ps axeww").stdout
    assert [it for it in secret if it in shown] == []
    files = agent.container.run(
        "grep", "-rlF", agent.token, "/etc", "/opt/pve-agents", "/var/lib/pve-agents", check=False
    )
    for file in files.stdout.split():
        assert agent.container.run("stat", "-c", "%a", file).stdout == "600\n"


# --- the second time


def test_a_second_deploy_changes_nothing(agent: NativeAgent) -> None:
    before = agent.identity()
    agent.second_deploy()
    said = agent.lab.project.agents("mend", NAME).raw
    assert set(re.findall(r"… ok \(([^)]*)\)", said)) == {"unchanged"}
    assert agent.identity() == before
    if not agent.lab.phases.second:
        # For the table: the other one, too.
        agent.lab.second_deploy()


def test_a_dashboard_joins_and_leaves_and_a_change_restarts_the_two_that_it_concerns(agent: NativeAgent) -> None:
    agent.lab.project.env |= {
        "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD": "of-the-dashboards-user",
        "HERMES_DASHBOARD_BASIC_AUTH_SECRET": "that-signs-the-dashboards-sessions",
    }
    more: dict[str, Any] = {"dashboard": {"enabled": True, "auth": "basic", "username": "me"}}
    agent.apply(**more)
    assert agent.verify().failed == {}
    # The pages are those of the release, and nobody sees a session without the password.
    status = ("curl", "-sS", "-L", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}")
    assert agent.container.run(*status, "http://127.0.0.1:9119/").stdout == "200"
    assert agent.container.run(*status, "http://127.0.0.1:9119/api/sessions").stdout == "401"
    before = {it: agent.identity(it) for it in (UNIT, DASHBOARD)}

    said = agent.apply(**more, settings={"display": {"compact": True}})

    assert f"units … ok ({UNIT} restarted, {DASHBOARD} restarted)" in said
    assert not [it for it in before if agent.identity(it) == before[it]]
    said = agent.apply()
    assert f"units … ok ({DASHBOARD} removed, {UNIT} restarted)" in said
    assert agent.verify().failed == {}


# --- what holds it


def test_each_directive_by_itself_does_what_it_says_where_we_use_it(agent: NativeAgent) -> None:
    found = {trial.directive: word for trial, word in tried(agent.container)}
    agent.lab.tables["directives of systemd, each by itself"] = "\n".join(
        f"{it:<64} {word}" for it, word in found.items()
    )
    ours = agent.container.run("systemctl", "cat", UNIT).stdout.splitlines()
    # What is so anyway, and what only Docker's container would add, is no reason to leave a line out.
    assert {it: word for it, word in found.items() if it in ours and word not in ("works", "so without it")} == {}


def test_our_unit_is_more_secure_than_upstreams_own(agent: NativeAgent) -> None:
    script = "from hermes_cli.gateway import generate_systemd_unit as g; print(g(system=True, run_as_user='hermes'))"
    theirs = agent.inside("/opt/hermes-agent/current/bin/python", "-c", script)
    place = "/run/systemd/system/hermes-gateway.service"
    agent.container.run("sh", "-c", f"cat >{place}", stdin=None, input=theirs)
    agent.container.run("systemctl", "daemon-reload")
    try:
        ours, upstreams = (agent.exposure(it) for it in (UNIT, "hermes-gateway"))
    finally:
        agent.container.run("rm", place)
        agent.container.run("systemctl", "daemon-reload")
    agent.lab.tables["systemd-analyze security"] = f"ours {ours}, upstream's own {upstreams}"
    assert ours < upstreams / 2


def test_limits_are_the_kernels(agent: NativeAgent) -> None:
    found = agent.container.run(
        "sh",
        "-c",
        f"cat /sys/fs/cgroup/memory/system.slice/{UNIT}.service/memory.limit_in_bytes"
        f" /sys/fs/cgroup/system.slice/{UNIT}.service/memory.max 2>/dev/null",
        check=False,
    ).stdout.split()
    assert str(3 * 2**30) in found
    assert agent.property("TimeoutStopUSec") == "2min"


def test_the_watchdog_starts_one_again_that_hangs(agent: NativeAgent) -> None:
    agent.apply(watchdog_seconds=30)
    agent.wait_until_it_answers()
    before = agent.property("MainPID")
    agent.container.run("kill", "-STOP", before)
    agent.lab.wait_until("it was started again", lambda: agent.property("MainPID") not in ("0", before), 120)
    agent.wait_until_it_answers()
    agent.apply()


# --- it ends in order


def test_a_stop_in_the_middle_of_a_turn_leaves_no_failed_unit_and_a_whole_database(agent: NativeAgent) -> None:
    agent.chat("run: echo remember the milk")
    agent.lab.services.other_telegram.send(ALLOWED_USER, "run: sleep 61; echo never said")
    agent.lab.wait_until("its tool runs", lambda: agent.container.run("pgrep", "-f", "sleep 61").stdout, 60)

    agent.container.run("systemctl", "stop", UNIT)

    found = [agent.property(it) for it in ("ActiveState", "Result", "ExecMainStatus")]
    assert found == ["inactive", "success", "0"]
    # Mounts of the kernel's fail in any container.
    failed_units = agent.container.run("systemctl", "--failed", "--plain", "--no-legend", "--type=service").stdout
    assert UNIT not in failed_units
    assert agent.container.run("pgrep", "-u", "10000", check=False).stdout == ""
    assert "remember the milk" in agent.conversations()
    failed = agent.verify().failed
    assert "has ended" in failed["unit"]
    assert "pve-agent-native started" in agent.mend()


def test_after_a_reboot_and_after_a_power_cut_it_answers_with_its_data(agent: NativeAgent) -> None:
    agent.chat("run: echo before the cut > /data/workspace/diary && sync /data/workspace/diary")
    agent.lab.node.reboot(VMID)
    agent.wait_until_it_answers()

    agent.inside("sh", "-c", "sync /opt/data/state.db*")
    agent.lab.services.other_telegram.send(ALLOWED_USER, "run: sleep 2; echo interrupted")
    time.sleep(secrets.randbelow(3000) / 1000)
    agent.lose_power()

    agent.wait_until_it_answers()
    assert "before the cut" in agent.chat("run: cat /data/workspace/diary")
    assert agent.verify().failed == {}


# --- another release


def package(version: str) -> dict[str, Any]:
    return {"package": {"version": version, "find_links": "/wheels"}}


def test_an_upgrade_and_the_way_back_are_one_setting(agent: NativeAgent) -> None:
    said = agent.apply(**package(NEXT_VERSION))
    assert "data copied: " in said
    assert agent.inside("hermes", "--version").startswith("Hermes Agent v0.19.0")
    assert NEXT_VERSION in agent.container.run("readlink", "/opt/hermes-agent/current").stdout
    assert agent.chat("ping") == "pong"
    said = agent.apply()
    # It was kept, so that the way back loads nothing.
    assert "release … ok (unchanged)" in said
    assert agent.chat("ping") == "pong"
    assert agent.verify().failed == {}


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("0.99.0", "there is no Hermes 0.99.0 where it is looked for"),
        (BROKEN_VERSION, "Until then the release 0.19.0 runs again"),
    ],
)
def test_an_upgrade_that_fails_leaves_the_old_one_answering(agent: NativeAgent, version: str, why: str) -> None:
    agent.deliver(**package(version))
    said = agent.bootstrap()
    assert why in said
    agent.wait_until_it_answers(60)
    agent.deliver()
    assert "first answer … ok" in agent.bootstrap()
    assert agent.verify().failed == {}


def test_an_installation_killed_in_each_of_its_steps_leaves_one_answering(agent: NativeAgent) -> None:
    for number in range(1, STEPS + 1):
        # To the other release, so that each time there is something to be done.
        current = Path(agent.container.run("readlink", "/opt/hermes-agent/current").stdout.strip()).name
        other = NEXT_VERSION if current == HERMES_VERSION else HERMES_VERSION
        agent.deliver(**package(other))
        if number == RELEASE_STEP:
            # There is none of it yet, and it is killed in the middle.
            agent.container.run("rm", "-rf", f"/opt/hermes-agent/{other}")
        kill_bootstrap(agent.container, NAME, number, MOMENTS.get(number, 0))
        agent.wait_until_it_answers()
    agent.deliver()
    assert "first answer … ok" in agent.bootstrap()
    assert agent.verify().failed == {}


# --- another runtime


def test_native_docker_and_native_again_keep_what_it_knows(agent: NativeAgent) -> None:
    agent.chat("run: echo said without docker")
    agent.inside("sh", "-c", "echo 'The user likes tea.' >/opt/data/memories/MEMORY.md")
    agent.inside("hermes", "config", "set", "display.personality", "pirate")
    agent.lab.tables["beside each other"] = agent.beside_each_other()

    said = agent.apply(runtime="docker")
    assert "what ran by native is removed" in said
    assert agent.runs() == {"docker"}
    assert agent.verify().failed == {}
    assert "The user likes tea." in agent.chat("run: cat /opt/data/memories/MEMORY.md")
    assert "pirate" in (HOME / "config.yaml").read_text()
    agent.chat("run: echo said in docker")

    said = agent.apply()
    assert "what ran by docker is removed" in said
    assert agent.runs() == {"native"}
    assert agent.verify().failed == {}
    assert (HOME / "memories/MEMORY.md").read_text() == "The user likes tea.\n"
    agent.container.run("systemctl", "stop", UNIT)
    assert {"run: echo said without docker", "run: echo said in docker"} <= set(agent.conversations().splitlines())
    agent.container.run("systemctl", "start", UNIT)


def test_a_change_of_runtime_that_is_killed_or_loses_power_leaves_one_answering(agent: NativeAgent) -> None:
    # All that takes long is there since the case before: what is left is the change itself.
    agent.deliver(runtime="docker")
    kill_bootstrap(agent.container, NAME, HEALTH_STEP, 1.0)
    agent.wait_until_it_answers()
    assert len(agent.runs()) == 1
    assert "first answer … ok" in agent.bootstrap()
    assert agent.runs() == {"docker"}

    agent.deliver()
    kill_bootstrap(agent.container, NAME, UNITS_STEP, secrets.randbelow(4000) / 1000)
    agent.lose_power()
    agent.wait_until_it_answers(180)
    assert len(agent.runs()) == 1
    assert "first answer … ok" in agent.bootstrap()
    assert agent.runs() == {"native"}
    assert agent.verify().failed == {}


def test_a_new_runtime_that_does_not_work_leaves_docker_answering(agent: NativeAgent) -> None:
    agent.apply(runtime="docker")
    agent.deliver(**package(BROKEN_VERSION))
    said = agent.bootstrap()
    assert "Until then what runs by docker runs again" in said
    agent.wait_until_it_answers()
    assert agent.runs() == {"docker"}
    agent.deliver()
    assert "first answer … ok" in agent.bootstrap()
    assert agent.runs() == {"native"}


# --- its memory is on the node's disk


def test_destroyed_and_deployed_again_it_remembers(agent: NativeAgent) -> None:
    agent.chat("run: echo before the end of the container")
    lab = agent.lab
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack=f"{NAME}-root")
    lab.project.destroy(stack=NAME)
    assert not agent.container.exists
    assert "before the end of the container" in agent.conversations()

    lab.project.apply(stack=NAME)
    said = lab.project.apply(stack=f"{NAME}-root").said

    assert "first answer … ok" in said
    assert (HOME / "memories/MEMORY.md").read_text() == "The user likes tea.\n"
    agent.container.run("systemctl", "stop", UNIT)
    assert "before the end of the container" in agent.conversations()
    agent.container.run("systemctl", "start", UNIT)
