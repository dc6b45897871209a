"""What Hermes needs of its container, and of the agents beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents.agents.hermes.settings import Hermes
from pve_agents.settings import Homelab, SettingsError, load_settings

DATA = "/mnt/pve/hdd/hermes"
TELEGRAM = {"telegram": {"allowed_users": [111]}}
TOGETHER = (
    "agents.hermes.hermes.limits.memory: the profiles may take 6144 MiB together, and the container has 4096, so that "
    "one may end for want of what another uses; write lower limits, or memory.dedicated_mib: 6144."
)
CLOSED = (
    "agents.hermes.hermes: Hermes runs as user 10000, who cannot read and write /dev/dri/renderD128; "
    "write uid: 10000 for it in devices."
)


def load(directory: Path, **agents: dict[str, Any]) -> Homelab:
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": agents}))
    return load_settings(directory)


def refused(directory: Path, **agents: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(directory, **agents)
    return [message.removeprefix("homelab.yaml: ") for message in refusal.value.messages]


def second(hermes: dict[str, Any], **agent: Any) -> dict[str, Any]:
    """Another agent with Hermes, whose disk is the first one's."""
    return {"vmid": 119, "mounts": {"mp0": {"host_path": DATA, "guest_path": "/data"}}, "hermes": hermes, **agent}


# --- the container


def test_profiles_that_may_take_more_memory_than_there_is_warn_and_what_is_said_to_write_ends_it(
    tmp_path: Path,
) -> None:
    hermes = {"profiles": {"work": {"api_server": {"port": 8643}}}}
    assert load(tmp_path, hermes={"hermes": hermes}).warnings == (TOGETHER,)
    roomy = load(tmp_path, hermes={"memory": {"dedicated_mib": 6144}, "hermes": hermes})
    low = load(tmp_path, hermes={"hermes": {**hermes, "limits": {"memory": "1g"}}})
    assert (roomy.warnings, low.warnings) == ((), ())


@pytest.mark.parametrize(
    ("device", "warnings"),
    [
        ({}, (CLOSED,)),
        ({"uid": 10000}, ()),
        ({"gid": 10000}, ()),
        ({"mode": "0666"}, ()),
        ({"uid": 10000, "mode": "0060"}, (CLOSED,)),
        ({"uid": 10000, "deny_write": True}, (CLOSED,)),
    ],
)
def test_a_device_that_hermes_cannot_open_warns(
    tmp_path: Path, device: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    devices = {"dev0": {"path": "/dev/dri/renderD128", **device}}
    assert load(tmp_path, hermes={"devices": devices}).warnings == warnings


def test_sound_comes_from_a_mount(tmp_path: Path) -> None:
    hermes = {"audio": {"pulse_cookie": "/mnt/pulse/cookie"}}
    assert load(tmp_path, hermes={"hermes": hermes}).warnings == (
        "agents.hermes.hermes.audio.pulse_socket: no mount of the agent brings /mnt/pulse; write one that does.",
        "agents.hermes.hermes.audio.pulse_cookie: no mount of the agent brings /mnt/pulse/cookie; write one that does.",
    )
    mounts = {"mp2": {"host_path": "/srv/hermes/pulse", "guest_path": "/mnt/pulse", "mode": "0777", "read_only": True}}
    assert load(tmp_path, hermes={"mounts": mounts, "hermes": hermes}).warnings == ()


# --- other agents


def test_two_agents_have_no_data_directory_in_common(tmp_path: Path) -> None:
    hermes = {"data_directory": "/data/hermes"}
    (message,) = refused(tmp_path, hermes={"hermes": hermes}, scribe=second(hermes))
    assert message == (
        "agents: hermes.hermes.data_directory and scribe.hermes.data_directory are "
        f'"{DATA}/hermes" and "{DATA}/hermes" on the node, and two gateways destroy each other\'s data; '
        "write directories that lie apart, or outside the mounts."
    )


@pytest.mark.parametrize("its", ["/data/hermes/inside", "/data/hermes-work"])
def test_neither_one_in_another_nor_a_profiles_with_anothers(tmp_path: Path, its: str) -> None:
    main = {"data_directory": "/data/hermes"}
    profile = {"work": {"api_server": {"port": 8643}, "data_directory": "/opt/work", "limits": {"memory": "1g"}}}
    one = {**main, "profiles": {}} if its.endswith("inside") else {"data_directory": its}
    other = {"data_directory": its, "profiles": profile}
    assert len(refused(tmp_path, hermes={"hermes": one}, scribe=second(other))) == 1


@pytest.mark.parametrize(
    "agent",
    [
        {"hermes": {"data_directory": "/data/scribe"}},
        {"hermes": {}},
        {"hermes": {"data_directory": "/data/hermes"}, "node": "another"},
    ],
)
def test_data_that_lies_apart_on_another_node_or_outside_the_mounts_is_no_problem(
    tmp_path: Path, agent: dict[str, Any]
) -> None:
    main = {"hermes": {"data_directory": "/data/hermes"}}
    assert load(tmp_path, hermes=main, scribe=second(**agent))


def test_two_agents_are_no_one_and_the_same_bot(tmp_path: Path) -> None:
    (message,) = refused(tmp_path, hermes={"hermes": {"platforms": TELEGRAM}}, scribe=second({"platforms": TELEGRAM}))
    assert message == (
        "agents: hermes.hermes and scribe.hermes both have the token TELEGRAM_BOT_TOKEN, and each would take messages "
        "from the other; write secrets: {TELEGRAM_BOT_TOKEN: SCRIBE_TELEGRAM_BOT_TOKEN} in scribe.hermes, and give it a "
        "bot of its own."
    )
    written = re.search(r"secrets: (\{.*\})", message)
    assert written
    own = {"platforms": TELEGRAM, "secrets": yaml.safe_load(written[1])}
    scribe = Hermes.of(load(tmp_path, hermes={"hermes": {"platforms": TELEGRAM}}, scribe=second(own)).agents["scribe"])
    assert scribe
    assert scribe.secret_map["TELEGRAM_BOT_TOKEN"] == "SCRIBE_TELEGRAM_BOT_TOKEN"


def test_a_login_of_a_messenger_is_one_agents_and_one_profiles_too(tmp_path: Path) -> None:
    matrix = {"environment": {"MATRIX_HOMESERVER": "https://m.home.arpa"}, "secrets": ["MATRIX_ACCESS_TOKEN"]}
    (between,) = refused(tmp_path, hermes={"hermes": matrix}, scribe=second(matrix))
    assert "both have the token MATRIX_ACCESS_TOKEN" in between
    profile = {**matrix, "api_server": {"port": 8643}, "limits": {"memory": "1g"}}
    (within,) = refused(tmp_path, hermes={"hermes": {**matrix, "profiles": {"work": profile}}})
    assert "another profile has the token MATRIX_ACCESS_TOKEN too" in within
    # One home is for all.
    home = {"secrets": ["HASS_TOKEN"]}
    assert load(tmp_path, hermes={"hermes": home}, scribe=second(home))


# --- ports


def test_each_listener_of_a_profile_has_a_port_of_its_own(tmp_path: Path) -> None:
    telegram = {"telegram": {"allowed_users": [111], "webhook_url": "https://h/t", "webhook_port": 8644}}
    hermes = {"platforms": telegram, "environment": {"WEBHOOK_ENABLED": "true"}}
    (message,) = refused(tmp_path, hermes={"hermes": hermes})
    assert message.endswith(
        "environment.WEBHOOK_PORT: platforms.telegram.webhook_port is the port 8644; write another one."
    )
    hermes["environment"] = {"WEBHOOK_ENABLED": "true", "WEBHOOK_PORT": "8645"}
    assert load(tmp_path, hermes={"hermes": hermes}).warnings == ()
    variables = {"WEBHOOK_ENABLED": "true", "WEBHOOK_PORT": "8700"}
    profile = {"environment": variables, "api_server": {"port": 8645}, "limits": {"memory": "1g"}}
    assert refused(tmp_path, hermes={"hermes": {**hermes, "profiles": {"work": profile}}}) == [
        "agents.hermes.hermes.profiles.work.api_server.port: environment.WEBHOOK_PORT is 8645 too; give each its own."
    ]
