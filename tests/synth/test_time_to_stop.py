"""What each layer is told of the time that a stop may take, as it stands in what is rendered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.guest.plan import Plan
from pve_agents.root_spec import payload_of, root_spec
from tests.synth.conftest import Synthesize

CONTAINER = "proxmox_virtual_environment_container"
SIDECAR = {"cache": {"image": "redis:8.2", "stop_grace_period": "3m"}}
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"stop_grace_seconds": 30},
    "long": {"stop_grace_seconds": 240},
    "sidecar": {"sidecars": SIDECAR},
}


def settings(hermes: dict[str, Any], **agent: Any) -> dict[str, Any]:
    return {"agents": {"hermes": {"hermes": hermes, **agent}}}


def told(directory: Path, stack: dict[str, Any], values: dict[str, Any]) -> dict[str, int]:
    """What each layer is told, from the agent outwards."""
    (directory / "homelab.yaml").write_text(yaml.safe_dump(values))
    agent = load_settings(directory).agents["hermes"]
    payload = payload_of(agent)
    files = {name: file.text for name, file in payload.files.items()}
    spec: Any = root_spec(agent, payload, archive="x")
    services = yaml.safe_load(files["docker-compose.yml"])["services"].values()
    container = stack["resource"][CONTAINER]["hermes"]
    compose = Plan.from_json(files["plan.json"]).compose
    assert compose
    longest = max(Stop(it["stop_grace_period"]).seconds for it in services)
    assert compose.stop_seconds == longest
    return {
        "supervisor": int(yaml.safe_load(files["docker-compose.yml"])["services"]["hermes"]["environment"][MAXTIME])
        // 1000,
        "docker": longest,
        "daemon": compose.engine.daemon["shutdown-timeout"],
        "systemd": compose.engine.stop_seconds,
        "pct reboot": spec["stop_seconds"],
        "provider": container["timeout_delete"] - 5,
    }


MAXTIME = "S6_KILL_FINISH_MAXTIME"


class Stop:
    """A duration of Compose's."""

    def __init__(self, text: str) -> None:
        found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
        assert found
        self.seconds = int(found[1] or 0) * 60 + int(found[2] or 0)


@pytest.mark.parametrize("hermes", CASES.values(), ids=CASES)
def test_whoever_stands_further_out_is_told_to_wait_longer(
    synthesize: Synthesize, tmp_path: Path, hermes: dict[str, Any]
) -> None:
    stack = synthesize(settings(hermes))
    times = list(told(tmp_path, stack, settings(hermes)).values())
    assert times == sorted(set(times))
    # A node that shuts down waits 180 seconds by itself, a reboot by the provider 300.
    down = stack["resource"][CONTAINER]["hermes"].get("startup", {}).get("down_delay", 180)
    assert times[-2] <= down <= 300


def test_a_node_is_told_only_where_its_own_time_is_not_enough(synthesize: Synthesize) -> None:
    assert "startup" not in synthesize()["resource"][CONTAINER]["hermes"]
    stack = synthesize(settings({"stop_grace_seconds": 180}, startup={"order": 3}))
    assert stack["resource"][CONTAINER]["hermes"]["startup"] == {"order": 3, "down_delay": 240}


def test_all_profiles_stop_within_the_same_time(tmp_path: Path) -> None:
    values = settings({"stop_grace_seconds": 100, "profiles": {"work": {"api_server": {"port": 8643}}}})
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(values))
    files = payload_of(load_settings(tmp_path).agents["hermes"]).files
    services = yaml.safe_load(files["docker-compose.yml"].text)["services"]
    assert {name: it["stop_grace_period"] for name, it in services.items()} == {"hermes": "100s", "hermes-work": "100s"}


def test_a_sidecar_has_half_a_minute_unless_it_says_otherwise(tmp_path: Path) -> None:
    values = settings({"sidecars": {"one": {"image": "redis:8.2"}, **SIDECAR}})
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(values))
    files = payload_of(load_settings(tmp_path).agents["hermes"]).files
    services = yaml.safe_load(files["docker-compose.yml"].text)["services"]
    assert [services[name]["stop_grace_period"] for name in ("one", "cache")] == ["30s", "3m"]


def test_a_node_that_would_kill_the_agent_is_refused_and_what_to_write_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings({}, startup={"down_delay_seconds": 60})))
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path)
    assert (
        str(refused.value)
        .splitlines()[-1]
        .strip()
        .endswith(
            "agents.hermes.startup.down_delay_seconds: 60 seconds are less than the 180 that the agent may take to stop (120 "
            "for its containers, 60 for Docker and the system around them), and a node that shuts down would kill it; "
            "write 180 or more, or leave it out."
        )
    )
    for startup in ({"down_delay_seconds": 180}, {}):
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings({}, startup=startup)))
        load_settings(tmp_path)


def test_a_bare_container_may_be_stopped_as_its_owner_likes(tmp_path: Path) -> None:
    values = {"agents": {"bare": {"vmid": 119, "startup": {"down_delay_seconds": 5}}}}
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(values))
    load_settings(tmp_path)


def test_the_supervisor_of_the_image_is_given_a_script_that_waits(tmp_path: Path) -> None:
    files = payload_of(load_settings(tmp_path).agents["hermes"]).files
    assert files["stop-gateway"].mode == 0o755
    binds = yaml.safe_load(files["docker-compose.yml"].text)["services"]["hermes"]["volumes"]
    assert {
        "type": "bind",
        "source": "/var/lib/pve-agents/hermes/stop-gateway",
        "target": "/etc/cont-finish.d/50-stop-gateway",
        "read_only": True,
        "bind": {"create_host_path": False},
    } in binds


def test_the_terminals_scratch_stays_out_of_the_data(tmp_path: Path) -> None:
    def environment(hermes: dict[str, Any]) -> dict[str, str]:
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings(hermes)))
        files = payload_of(load_settings(tmp_path).agents["hermes"]).files
        return dict(yaml.safe_load(files["docker-compose.yml"].text)["services"]["hermes"]["environment"])

    assert environment({})["TERMINAL_TEMP_DIR"] == "/tmp"  # noqa: S108 - of Hermes' own container
    assert "TERMINAL_TEMP_DIR" not in environment({"settings": {"terminal": {"temp_dir": "/data/scratch"}}})
