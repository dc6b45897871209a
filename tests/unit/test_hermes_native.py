"""Hermes without Docker: what its settings take and refuse, and what is made of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.agents.app import app_of
from pve_agents.agents.hermes.docker import RELEASE
from pve_agents.agents.hermes.native import _NOT_WITH
from pve_agents.agents.hermes.settings import Hermes
from pve_agents.guest.plan import Native
from pve_agents.payload import Payload, container_payload
from pve_agents.root_spec import root_spec
from pve_agents.settings import Agent

# Each of Docker's settings, as somebody may state it.
DOCKERS: dict[str, Any] = {
    "image": {"tag": "v2026.7.20"},
    "docker": {"source": "debian"},
    "network_mode": "bridge",
    "networks": {"front": {}},
    "sidecars": {"notes": {"image": "example/notes:1"}},
    "healthcheck": {"retries": 5},
    "audio": {"pulse_cookie": "/data/cookie"},
    "shm_size": "2g",
    "volumes": ["/srv/books:/srv/books:ro"],
}
NATIVES: dict[str, Any] = {
    "package": {"version": "0.19.0"},
    "packages": ["chromium"],
    "python": "python3.12",
    "restart_sec": 10,
    "watchdog_seconds": None,
}


def agent(directory: Path, container: dict[str, Any] | None = None, **hermes: Any) -> Agent:
    (directory / "homelab.yaml").write_text(
        yaml.safe_dump({"agents": {"hermes": {**(container or {}), "hermes": hermes}}})
    )
    return load_settings(directory).agents["hermes"]


def refused(directory: Path, **hermes: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        agent(directory, **hermes)
    return [it.removeprefix("homelab.yaml: agents.hermes.hermes.") for it in error.value.messages]


def native(directory: Path, **hermes: Any) -> tuple[Native, Payload]:
    its = agent(directory, runtime="native", **hermes)
    app = app_of(its)
    assert app.native
    assert app.compose is None
    return app.native, container_payload(its, app)


def unit(directory: Path, name: str = "pve-agent-hermes", **hermes: Any) -> list[str]:
    return native(directory, **hermes)[1].files[f"units/{name}.service"].text.splitlines()


# --- what has no effect is refused


def test_the_table_is_all_that_is_tried_here() -> None:
    assert (set(_NOT_WITH["native"]), set(_NOT_WITH["docker"])) == (set(DOCKERS), set(NATIVES))


@pytest.mark.parametrize("name", DOCKERS)
def test_what_is_dockers_has_no_effect_without_it(tmp_path: Path, name: str) -> None:
    (said, *others) = refused(tmp_path, runtime="native", **{name: DOCKERS[name]})
    assert others == [] or name in ("networks", "network_mode", "audio")
    assert f"{name}: this has no effect with runtime native: " in "\n".join([said, *others])
    # What it tells people to do is taken.
    agent(tmp_path, runtime="native")


@pytest.mark.parametrize("name", NATIVES)
def test_what_is_natives_has_no_effect_with_docker(tmp_path: Path, name: str) -> None:
    (said,) = refused(tmp_path, **{name: NATIVES[name]})
    assert said.startswith(f"{name}: this has no effect with runtime docker: ")
    assert "write" in said
    agent(tmp_path, runtime="native", **{name: NATIVES[name]})


def test_a_profile_is_held_to_it_too(tmp_path: Path) -> None:
    (said,) = refused(tmp_path, runtime="native", profiles={"work": {"api_server": {"port": 8643}, "shm_size": "2g"}})
    assert said.startswith("profiles.work.shm_size: this has no effect with runtime native: ")


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ({"tag": RELEASE, "version": "0.19.0"}, "package.version: tag is given too; keep one of them."),
        ({"extras": ["messaging"]}, "package.extras: this is pip's; write version too, or leave it out."),
        (
            {"version": "0.19.0", "extras": ["mcp"]},
            "package.extras: without messaging Hermes has no API server, and nobody can tell whether it answers; write it too.",
        ),
        (
            {"version": "0.19.0", "index_url": "https://index.lan/simple", "find_links": "/wheels"},
            "package.find_links: index_url is given too; keep one of them.",
        ),
        ({"tag": "main"}, 'package.tag: "main" is not a tag; write that of a release in git, such as v2026.9.14.'),
        ({"version": "latest"}, 'package.version: "latest" is not a version; write one such as 0.19.0.'),
    ],
)
def test_a_release_is_one_and_pinned(tmp_path: Path, package: dict[str, Any], said: str) -> None:
    assert refused(tmp_path, runtime="native", package=package) == [said]


def test_the_watchdog_has_one_place(tmp_path: Path) -> None:
    found = refused(tmp_path, runtime="native", settings={"gateway": {"systemd_watchdog_seconds": 60}})
    assert found == ["settings.gateway.systemd_watchdog_seconds: this follows from watchdog_seconds; write that."]


def test_keyctl_is_for_docker_alone(tmp_path: Path) -> None:
    assert agent(tmp_path).keyctl
    assert not agent(tmp_path, runtime="native").keyctl
    assert agent(tmp_path, {"keyctl": True}, runtime="native").keyctl


def test_nobody_takes_keyctl_from_a_container_in_which_docker_may_still_run(tmp_path: Path) -> None:
    """Docker has to start again where Hermes without it does not answer."""

    def features(**container: Any) -> object:
        its = agent(tmp_path, container, runtime="native")
        return root_spec(its, container_payload(its, app_of(its)), archive="payload.tar.gz")["features"]

    assert features() == {}
    assert features(keyctl=False) == {"keyctl": "0"}
    assert features(keyctl=True) == {"keyctl": "1"}


def test_a_release_that_our_tests_cannot_fetch_is_said(tmp_path: Path) -> None:
    (said,) = agent(tmp_path, runtime="native").warnings
    assert said.startswith(f"agents.hermes.hermes.package.tag: {RELEASE} is installed by the installer")
    assert agent(tmp_path, runtime="native", package={"version": "0.19.0"}).warnings == ()


# --- what is made of it


def test_a_wheel_is_installed_by_its_exact_version(tmp_path: Path) -> None:
    release = native(tmp_path, package={"version": "0.19.0", "index_url": "https://index.lan/simple"})[0].release
    assert (release.name, release.directory) == ("0.19.0", "/opt/hermes-agent/0.19.0")
    venv, install, *_ = release.commands
    assert venv == ("python3", "-m", "venv", "{release}")
    assert install[-3:] == ("--index-url", "https://index.lan/simple", "hermes-agent[messaging,mcp]==0.19.0")
    assert (
        "--no-index" in native(tmp_path, package={"version": "0.19.0", "find_links": "/wheels"})[0].release.commands[1]
    )


def test_a_tag_is_installed_by_the_installer_of_that_tag_and_asks_nobody(tmp_path: Path) -> None:
    release = native(tmp_path)[0].release
    assert release.name == RELEASE
    words = [" ".join(it) for it in release.commands]
    assert f"--branch {RELEASE}" in words[0]
    assert "install.sh" in words[1]
    for option in ("--non-interactive", "--skip-setup", f"--branch {RELEASE}", "--dir {release}/hermes-agent"):
        assert option in words[1]
    # The pages of the dashboard are built at the installation, and not at a start.
    assert any("run build" in it for it in words)


def test_other_extras_are_another_release(tmp_path: Path) -> None:
    package = {"version": "0.19.0", "extras": ["messaging", "mcp", "voice"]}
    assert native(tmp_path, package=package)[0].release.name == "0.19.0-mcp-messaging-voice"


def test_each_profile_has_a_unit_and_a_dashboard_one_of_its_own(tmp_path: Path) -> None:
    plan, payload = native(tmp_path, dashboard={"enabled": True}, profiles={"work": {"api_server": {"port": 8643}}})
    names = ["pve-agent-hermes", "pve-dashboard-hermes", "pve-agent-hermes-work"]
    assert [it.name for it in plan.units] == names
    assert {f"units/{it}.service" for it in names} == {it for it in payload.files if it.startswith("units/")}
    assert "BindPaths=/opt/hermes-data-work:/opt/data" in payload.files["units/pve-agent-hermes-work.service"].text


def test_a_unit_runs_as_the_agents_user_and_ends_as_hermes_wants_it(tmp_path: Path) -> None:
    lines = unit(
        tmp_path, stop_grace_seconds=200, restart="on-failure", restart_sec=7, limits={"memory": "2g", "cpus": 1.5}
    )
    for line in (
        "User=10000",
        "TimeoutStopSec=200",
        "Restart=on-failure",
        "RestartSec=7",
        # Asked to be started again, and not to be: https://github.com/NousResearch/hermes-agent, gateway/restart.py.
        "RestartForceExitStatus=75",
        "RestartPreventExitStatus=78",
        "ExecStop=-/opt/hermes-agent/current/bin/hermes gateway stop",
        "MemoryMax=2147483648",
        "CPUQuota=150%",
        "NoNewPrivileges=true",
        "ReadWritePaths=/fast",
    ):
        assert line in lines


def test_the_watchdog_is_told_to_both_sides(tmp_path: Path) -> None:
    _, payload = native(tmp_path, watchdog_seconds=60)
    config = yaml.safe_load(payload.files["services/hermes/managed/config.yaml"].text)
    assert config["gateway"] == {"systemd_watchdog_seconds": 60}
    assert {"Type=notify", "WatchdogSec=60"} <= set(unit(tmp_path, watchdog_seconds=60))
    _, payload = native(tmp_path, watchdog_seconds=None)
    assert "gateway" not in yaml.safe_load(payload.files["services/hermes/managed/config.yaml"].text)
    assert not [it for it in unit(tmp_path, watchdog_seconds=None) if "Watchdog" in it or "notify" in it]


def test_what_is_declared_is_the_same_with_both_runtimes(tmp_path: Path) -> None:
    """The agent finds its data at the same place: nothing that it has noted leads nowhere."""
    stated: dict[str, Any] = {
        "platforms": {"telegram": {"allowed_users": [111]}},
        "settings": {"display": {"compact": True}},
    }
    one = agent(tmp_path, **stated)
    docker = container_payload(one, app_of(one)).files
    without = native(tmp_path, watchdog_seconds=None, **stated)[1].files
    for name in ("config.yaml", "env"):
        assert docker[f"services/hermes/managed/{name}"] == without[f"services/hermes/managed/{name}"]


def test_a_variable_is_read_back_by_systemd_as_it_is(tmp_path: Path) -> None:
    lines = unit(tmp_path, environment={"GREETING": 'say "100 %" \\o/'})
    assert r'Environment="GREETING=say \"100 %%\" \\o/"' in lines


def test_no_name_of_a_secret_is_in_a_unit(tmp_path: Path) -> None:
    text = "\n".join(unit(tmp_path, secrets=["FIRECRAWL_API_KEY"]))
    assert not re.search(r"API_KEY|TOKEN|EnvironmentFile", text)


def test_devices_are_seen_by_it(tmp_path: Path) -> None:
    container = {"devices": {"dev0": {"path": "/dev/dri/renderD128", "uid": 10000}}}
    its = agent(tmp_path, container, runtime="native")
    text = container_payload(its, app_of(its)).files["units/pve-agent-hermes.service"].text
    assert "PrivateDevices" not in text


def test_as_much_is_kept_in_the_journal_as_docker_keeps(tmp_path: Path) -> None:
    _, payload = native(tmp_path, logging={"max_size": "20m", "max_file": 5})
    assert "SystemMaxUse=104857600" in payload.files["journald.conf"].text


def test_a_person_is_told_how_to_talk_to_it(tmp_path: Path) -> None:
    its = agent(tmp_path, runtime="native")
    assert Hermes.of(its)
    assert app_of(its).next_steps[-1].endswith("-- /opt/pve-agents/hermes/bootstrap --enter hermes hermes chat")
