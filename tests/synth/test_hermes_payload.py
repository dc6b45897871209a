"""The files that Hermes gets, made from the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from pve_agents import SettingsError, load_settings
from pve_agents.agents.hermes.app import app
from pve_agents.guest.plan import Compose, Image, Plan, Service
from pve_agents.root_spec import payload_of
from tests.scripts import compose_reader
from tests.yaml_readers import MISREAD, READERS, as_core, same

PROJECT = Path(__file__).parent.parent.parent
PROGRAM = ("program/", "bootstrap", "verify", "stop-gateway")

Render = Callable[..., dict[str, str]]

EVERYTHING: dict[str, Any] = {
    "image": {"tag": "v2026.7.20", "digest": f"sha256:{'ab' * 32}", "apt_packages": ["jq"]},
    "docker": {"source": "debian", "registry_mirrors": ["http://10.1.10.5:5000"]},
    "network_mode": "bridge",
    "networks": {"inside": {"driver": "bridge"}},
    "logging": {"max_size": "5m", "max_file": 2},
    "healthcheck": {"interval_seconds": 10, "start_period_seconds": 60},
    "limits": {"memory": "2g", "cpus": 1.5, "pids": 512},
    "environment": {"PRICE": "5$"},
    "documents": {"SOUL.md": "Be brief.\n", "USER.md": "Likes tea.\n", "AGENTS.md": "Rules.\n", "notes/a.md": "A.\n"},
    "auth": {"overwrite": True},
    "platforms": {
        "telegram": {"allowed_users": [123456789], "base_url": "http://10.1.10.6:4030/bot"},
        "slack": {"allowed_users": ["U0123456789"]},
    },
    "dashboard": {"enabled": True, "host": "0.0.0.0", "auth": "basic", "username": "me"},
    "volumes": ["/srv/books:/srv/books:ro"],
    "sidecars": {"browser": {"image": "example/browser:1.2", "secrets": ["BROWSER_TOKEN"], "networks": ["inside"]}},
    "profiles": {
        "work": {
            "api_server": {"port": 8643},
            "settings": {"model": {"default": "work-model"}},
            "platforms": {"telegram": {"allowed_users": [987654321]}},
        }
    },
    "settings": {
        "mcp_servers": {
            "github": {"url": "https://mcp.home.arpa/mcp", "headers": {"Authorization": "Bearer ${GH_KEY}"}}
        }
    },
}
TEXTS = {"inker": {"image": "x:1", "environment": {f"V{i}": text for i, text in enumerate(MISREAD)}}}


@pytest.fixture
def render(tmp_path: Path) -> Render:
    def files(hermes: dict[str, Any] | None = None, /, **agent: Any) -> dict[str, str]:
        settings = {"agents": {"hermes": {**agent, **({} if hermes is None else {"hermes": hermes})}}}
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings))
        payload = payload_of(load_settings(tmp_path).agents["hermes"])
        return {name: file.text for name, file in payload.files.items() if not name.startswith(PROGRAM)}

    return files


def compose(files: dict[str, str]) -> dict[str, Any]:
    return dict(yaml.safe_load(files["docker-compose.yml"]))


def service(files: dict[str, str], name: str = "hermes") -> dict[str, Any]:
    return dict(compose(files)["services"][name])


def config(files: dict[str, str], name: str = "hermes") -> dict[str, Any]:
    return dict(yaml.safe_load(files[f"services/{name}/managed/config.yaml"]))


def planned(files: dict[str, str]) -> Compose:
    """What the program in the container is told of Hermes."""
    found = Plan.from_json(files["plan.json"]).compose
    assert found is not None
    return found


def image_of(files: dict[str, str]) -> Image:
    image = planned(files).image
    assert image
    return image


def told(files: dict[str, str], name: str = "hermes") -> Service:
    """What it is told of one profile."""
    return next(it for it in planned(files).services if it.name == name)


def test_the_default_payload(render: Render, snapshot: SnapshotAssertion) -> None:
    assert render() == snapshot


def test_a_payload_with_everything(render: Render, snapshot: SnapshotAssertion) -> None:
    assert render(EVERYTHING) == snapshot


@pytest.mark.parametrize("hermes", [{}, EVERYTHING, {"sidecars": TEXTS}], ids=["default", "everything", "texts"])
def test_every_reader_of_yaml_takes_what_is_written_for_the_same(render: Render, hermes: dict[str, Any]) -> None:
    """Hermes reads 1.1 and Compose 1.2; a text that one of them takes for a number arrives as another."""
    written = [text for name, text in render(hermes).items() if name.endswith((".yml", ".yaml"))]
    assert written
    for text in written:
        assert all(same(read(text), as_core(text)) for read in READERS)


def test_what_a_sidecar_is_given_arrives_as_it_was_written(render: Render) -> None:
    service = compose_reader.read(render({"sidecars": TEXTS})["docker-compose.yml"])["services"]["inker"]
    assert service["environment"] == TEXTS["inker"]["environment"]


def test_the_program_comes_along_and_can_be_run(tmp_path: Path) -> None:
    files = payload_of(load_settings(tmp_path).agents["hermes"]).files
    assert {files[name].mode for name in ("bootstrap", "verify", "stop-gateway")} == {0o755}
    assert f"program/{planned({'plan.json': files['plan.json'].text}).checks.replace('.', '/')}.py" in files


def test_what_the_program_is_told_is_read_back_as_it_was(render: Render) -> None:
    text = render(EVERYTHING)["plan.json"]
    assert Plan.from_json(text).to_json() == text


def test_of_an_agent_without_hermes_the_program_knows_its_workspaces_only(render: Render) -> None:
    assert render(None, hermes=None).keys() == {"plan.json"}


def test_hermes_files_are_of_agents_that_run_hermes_only(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"bare": {"vmid": 119}}}))
    with pytest.raises(ValueError, match="the agent bare runs no Hermes"):
        app(load_settings(tmp_path).agents["bare"])


def test_the_key_goes_to_litellm_by_a_provider_of_its_own(render: Render) -> None:
    """OPENAI_BASE_URL is ignored by Hermes, and the key then goes to a third party."""
    files = render()
    assert config(files)["model"]["provider"] == "litellm"
    assert config(files)["providers"]["litellm"] == {
        "name": "LiteLLM",
        "base_url": "http://10.1.10.22:4000/v1",
        "key_env": "LITELLM_API_KEY",
    }
    assert "OPENAI" not in "".join(files.values())


def test_the_address_in_the_images_own_config_is_overruled(render: Render) -> None:
    """The image seeds the user's config.yaml with OpenRouter's; undeclared, it would stay, and get the questions."""
    assert config(render())["model"]["base_url"] == "http://10.1.10.22:4000/v1"


def test_the_file_tools_may_write_in_every_mount_that_is_not_read_only(render: Render) -> None:
    mounts = {
        "mp0": {"host_path": "/mnt/pve/hdd/hermes", "guest_path": "/data"},
        "mp1": {"host_path": "/mnt/pve/hdd/books", "guest_path": "/books", "read_only": True},
    }
    hermes = service(render(mounts=mounts))
    assert hermes["environment"]["HERMES_WRITE_SAFE_ROOT"] == "/opt/data:/data"
    read_only = [it["target"] for it in hermes["volumes"] if it.get("read_only")]
    assert read_only == ["/managed", "/etc/cont-finish.d/50-stop-gateway", "/books"]


def test_workspaces_are_made_in_every_mount_that_is_not_read_only(render: Render) -> None:
    assert told(render()).directories == ("/data/workspace", "/fast/workspace")


def test_without_mounts_the_workspace_lies_in_the_data_directory(render: Render) -> None:
    files = render(mounts={})
    assert config(files)["terminal"]["cwd"] == "/opt/data/workspace"
    assert told(files).directories == ("/opt/hermes-data/workspace",)


def test_docker_makes_no_missing_directory(render: Render) -> None:
    """It would belong to root, and hide that a disk is not there."""
    for name in ("hermes", "hermes-work"):
        for volume in service(render(EVERYTHING), name)["volumes"]:
            assert volume["bind"] == {"create_host_path": False}


def test_the_gateway_is_what_runs(render: Render) -> None:
    """The image's own command is a chat that ends at once."""
    # Older settings have the key, and nothing in it.
    assert service(render({"extra_args": []}))["command"] == ["gateway", "run"]


def test_variables_reach_the_images_own_scripts_and_win_over_the_agents_own_file(render: Render) -> None:
    """The scripts run before Hermes reads a file; Hermes' own .env goes over the container's environment."""
    variables = {"HERMES_SKIP_CONFIG_MIGRATION": "1", "HERMES_HOME_MODE": "0750", "HTTP_PROXY": "http://10.1.10.1:3128"}
    files = render({"environment": variables})
    assert service(files)["environment"].items() >= variables.items()
    assert {f"{name}={value}" for name, value in variables.items()} <= set(
        files["services/hermes/managed/env"].splitlines()
    )


def test_no_variable_of_the_user_is_more_than_what_the_deploy_relies_on(render: Render) -> None:
    """Each of them is refused before."""
    ours = service(render({"audio": {"pulse_cookie": "/mnt/pulse/cookie"}, "dashboard": {"enabled": True}}))
    for name in ours["environment"].keys() - {"XDG_RUNTIME_DIR", "PULSE_SERVER", "PULSE_COOKIE"}:
        with pytest.raises(SettingsError):
            render({"environment": {name: "x"}})


def test_health_is_asked_past_a_proxy(render: Render) -> None:
    test = service(render({"environment": {"ALL_PROXY": "http://10.1.10.1:3128"}}))["healthcheck"]["test"]
    assert test[test.index("--noproxy") + 1] == "*"


@pytest.mark.parametrize(
    ("hermes", "clock"),
    [
        ({"environment": {"TZ": "Asia/Tokyo"}}, "HERMES_TIMEZONE=Asia/Tokyo"),
        ({"environment": {"TZ": "Asia/Tokyo"}, "settings": {"timezone": "UTC"}}, None),
        ({"environment": {"TZ": "Asia/Tokyo", "HERMES_TIMEZONE": "UTC"}}, "HERMES_TIMEZONE=UTC"),
        ({}, None),
    ],
)
def test_hermes_has_the_time_of_its_tools(render: Render, hermes: dict[str, Any], clock: str | None) -> None:
    lines = render(hermes)["services/hermes/managed/env"].splitlines()
    assert [line for line in lines if line.startswith("HERMES_TIMEZONE")] == ([clock] if clock else [])


def test_nothing_overrides_the_images_supervisor(render: Render) -> None:
    for hermes in (service(render()), service(render(EVERYTHING))):
        assert not hermes.keys() & {"user", "entrypoint", "init", "privileged", "env_file"}


def test_health_is_asked_where_hermes_listens(render: Render) -> None:
    files = render({"api_server": {"host": "0.0.0.0", "port": 8700}})
    assert service(files)["healthcheck"]["test"][-1] == "http://127.0.0.1:8700/health"
    assert told(files).checks["api_url"] == "http://127.0.0.1:8700"
    assert "API_SERVER_HOST=0.0.0.0\nAPI_SERVER_PORT=8700\n" in files["services/hermes/managed/env"]


@pytest.mark.parametrize(
    ("network", "host", "asked"),
    [
        ("host", "127.0.0.1", "127.0.0.1"),
        ("host", "0.0.0.0", "127.0.0.1"),
        ("host", "10.1.10.5", "10.1.10.5"),
        # The address is the LXC container's, and Hermes listens on all of its own.
        ("bridge", "10.1.10.5", "127.0.0.1"),
    ],
)
def test_probes_ask_gateway_and_dashboard_where_they_listen(
    render: Render, network: str, host: str, asked: str
) -> None:
    login = {"auth": "basic", "username": "me"}
    dashboard = {"enabled": True, "host": host, **login}
    files = render({"network_mode": network, "api_server": {"host": host}, "dashboard": dashboard})
    assert told(files).checks["api_url"] == f"http://{asked}:8642"
    assert told(files).checks["dashboard_url"] == f"http://{asked}:9119"
    assert service(files)["healthcheck"]["test"][-1] == f"http://{asked}:8642/health"


def test_without_a_dashboard_nobody_asks_it(render: Render) -> None:
    assert told(render()).checks["dashboard_url"] == ""


def test_without_a_network_of_its_own_nothing_is_published(render: Render) -> None:
    hermes = service(render())
    assert hermes["network_mode"] == "host"
    assert "ports" not in hermes


def test_on_a_network_of_its_own_ports_say_who_may_reach_it(render: Render) -> None:
    files = render({"network_mode": "bridge"})
    assert "network_mode" not in service(files)
    assert service(files)["ports"] == ["127.0.0.1:8642:8642"]
    assert "API_SERVER_HOST=0.0.0.0\n" in files["services/hermes/managed/env"]


def test_every_service_has_its_revision_and_bounded_logs(render: Render) -> None:
    services = compose(render(EVERYTHING))["services"]
    assert {name: it["labels"]["pve-agents.revision"] for name, it in services.items()} == {
        "hermes": "${REVISION_HERMES}",
        "hermes-work": "${REVISION_HERMES_WORK}",
        "browser": "${REVISION_BROWSER}",
    }
    assert all(it["logging"]["options"] == {"max-size": "5m", "max-file": "2"} for it in services.values())


def test_a_sidecar_keeps_its_own_labels(render: Render) -> None:
    for labels in ({"mine": "1$$"}, ["mine=1$$"], {"mine": "1$"}):
        page = service(render({"sidecars": {"page": {"image": "example/page:1", "labels": labels}}}), "page")
        assert page["labels"] == {"mine": "1$$", "pve-agents.revision": "${REVISION_PAGE}"}


def test_a_sidecar_shares_the_network_that_hermes_has(render: Render) -> None:
    sidecars = {"page": {"image": "example/page:1"}}
    assert service(render({"sidecars": sidecars}), "page")["network_mode"] == "host"
    assert "network_mode" not in service(render({"sidecars": sidecars, "network_mode": "bridge"}), "page")


def test_the_file_tools_may_write_in_a_volume_that_is_not_read_only(render: Render) -> None:
    hermes = service(render({"volumes": ["/srv/a:/srv/a", "/srv/b:/srv/b:ro", "/srv/c:/srv/c:rw"]}))
    assert hermes["environment"]["HERMES_WRITE_SAFE_ROOT"] == "/opt/data:/data:/fast:/srv/a:/srv/c"


def test_a_dollar_of_the_settings_is_no_variable_for_compose(render: Render) -> None:
    text = "5$ ${HOME} $HOME $$"
    files = render({"environment": {"PRICE": text.replace("${HOME} ", "")}, "volumes": ["/srv/$HOME:/srv/$x"]})
    arrived = compose_reader.interpolated(service(files), {"HOME": "wrong", "REVISION_HERMES": "1"})
    assert arrived["environment"]["PRICE"] == "5$ $HOME $$"
    assert arrived["volumes"][-1]["source"] == "/srv/$HOME"


def test_a_sidecar_is_written_in_the_words_of_compose_which_has_two_dollars_for_one(render: Render) -> None:
    """The report: `$${ADMIN_PIN}` arrived as `$$` and more, which is the shell's pid."""
    test = ["CMD-SHELL", "echo pin=$${ADMIN_PIN}"]
    files = render({"sidecars": {"page": {"image": "example/page:1", "healthcheck": {"test": test}}}})
    arrived = compose_reader.interpolated(service(files, "page"), {"REVISION_PAGE": "1", "ADMIN_PIN": "wrong"})
    assert arrived["healthcheck"]["test"][1] == "echo pin=${ADMIN_PIN}"


def test_a_lone_dollar_is_written_as_two_which_every_compose_takes(render: Render) -> None:
    networks = {"web": {"labels": {"a": "5$"}}}
    page = {"image": "example/page:1", "command": ["5$", "$1", "$$"], "labels": {"a": "5$"}}
    text = render({"network_mode": "bridge", "networks": networks, "sidecars": {"page": page}})["docker-compose.yml"]
    without = text.replace("$$", "").replace("${REVISION_", "")
    assert "$" not in without


def test_text_of_the_settings_is_text_and_nothing_else(render: Render) -> None:
    hostile = "$(touch /tmp/canary) `id` '\" ; x"
    files = render({"settings": {"model": {"default": "a$(id)b"}}, "environment": {"NOTE": hostile}})
    assert told(files).checks["model"] == "a$(id)b"
    line = next(it for it in files["services/hermes/managed/env"].splitlines() if it.startswith("NOTE="))
    assert line == "NOTE='$(touch /tmp/canary) `id` \\'\" ; x'"


def test_the_image_is_named_with_its_digest(render: Render) -> None:
    digest = f"sha256:{'0' * 64}"
    files = render({"image": {"tag": "v1", "digest": digest}})
    assert service(files)["image"] == f"nousresearch/hermes-agent:v1@{digest}"
    assert image_of(files).base == f"nousresearch/hermes-agent:v1@{digest}"


@pytest.mark.parametrize(
    ("image", "is_moving"),
    [
        ({}, False),
        ({"tag": "latest"}, True),
        ({"tag": "latest", "digest": f"sha256:{'0' * 64}"}, False),
    ],
    ids=["a release", "a moving tag", "a moving tag that a digest pins"],
)
def test_only_an_image_that_moves_is_pulled_again(*, render: Render, image: dict[str, str], is_moving: bool) -> None:
    assert image_of(render({"image": image})).is_moving == is_moving


def test_a_derived_image_is_named_by_what_is_in_it(render: Render) -> None:
    one, other = render({"image": {"apt_packages": ["jq"]}}), render({"image": {"apt_packages": ["jq", "vim"]}})
    assert service(one)["image"].startswith("pve-agents/hermes:")
    assert service(one)["image"] != service(other)["image"]
    assert image_of(one).run == service(one)["image"]
    assert "image/Dockerfile" not in render()


def test_the_agents_devices_reach_every_profile_and_the_sidecars_that_name_them(render: Render) -> None:
    files = render(
        {
            "profiles": {"work": {"api_server": {"port": 8643}}},
            "sidecars": {
                "ollama": {"image": "ollama/ollama:0.12.0", "devices": ["/dev/dri/renderD128"]},
                "notes": {"image": "a:1"},
            },
        },
        devices={"dev0": {"path": "/dev/dri/renderD128", "uid": 10000}},
    )
    of = {name: service(files, name).get("devices") for name in ("hermes", "hermes-work", "ollama", "notes")}
    gpu = ["/dev/dri/renderD128"]
    assert of == {"hermes": gpu, "hermes-work": gpu, "ollama": gpu, "notes": None}


def test_a_port_on_which_a_platform_is_called_is_let_through_to_a_network_of_its_own(render: Render) -> None:
    telegram = {"telegram": {"allowed_users": [123456], "webhook_url": "https://h/t", "webhook_port": 8500}}
    variables = {"WEBHOOK_ENABLED": "true", "SMS_WEBHOOK_PORT": "8081", "LINE_HOST": "127.0.0.1"}
    hermes = {
        "platforms": telegram,
        "environment": variables,
        "secrets": ["TWILIO_ACCOUNT_SID", "LINE_CHANNEL_ACCESS_TOKEN", "LINE_CHANNEL_SECRET"],
    }
    bridged = render({**hermes, "network_mode": "bridge"})
    assert service(bridged)["ports"] == [
        *(
            "127.0.0.1:8642:8642",
            "0.0.0.0:8500:8500",
            "127.0.0.1:8081:8081",
            "0.0.0.0:8644:8644",
            "127.0.0.1:8646:8646",
        ),
    ]
    # In a network of its own, its loopback is reached by nobody.
    assert {"SMS_WEBHOOK_HOST=0.0.0.0", "LINE_HOST=0.0.0.0", "TELEGRAM_WEBHOOK_PORT=8500"} <= set(
        bridged["services/hermes/managed/env"].splitlines()
    )
    own = render(hermes)
    assert "ports" not in service(own)
    assert "LINE_HOST=127.0.0.1" in own["services/hermes/managed/env"].splitlines()


@pytest.mark.parametrize(
    ("hermes", "messengers"),
    [
        ({"environment": {"WHATSAPP_ENABLED": "true"}}, ["whatsapp"]),
        ({"environment": {"WHATSAPP_ENABLED": "false"}}, []),
        ({"secrets": ["MATRIX_ACCESS_TOKEN"]}, ["matrix"]),
        ({"environment": {"SIGNAL_HTTP_URL": "http://h:1", "SIGNAL_ACCOUNT": "+49"}}, ["signal"]),
        ({"environment": {"SIGNAL_HTTP_URL": "http://h:1"}}, []),
        ({"settings": {"platforms": {"matrix": {"enabled": True}}}}, ["matrix"]),
        ({"secrets": ["MATRIX_ACCESS_TOKEN"], "settings": {"matrix": {"enabled": False}}}, []),
    ],
)
def test_a_messenger_that_is_turned_on_is_waited_for(
    render: Render, hermes: dict[str, Any], messengers: list[str]
) -> None:
    assert told(render(hermes)).checks["platforms"] == ["api_server", *messengers]


def test_sound_in_a_mount_is_mounted_once(render: Render) -> None:
    """Docker refuses two mounts at one place."""
    mounts = {"mp0": {"host_path": "/srv/hermes/pulse", "guest_path": "/mnt/pulse", "mode": "0777", "read_only": True}}
    volumes = service(render({"audio": {"pulse_cookie": "/mnt/pulse/cookie"}}, mounts=mounts))["volumes"]
    targets = [volume["target"] for volume in volumes]
    assert sorted(set(targets)) == sorted(targets)
    assert {"/mnt/pulse", "/etc/asound.conf"} <= set(targets)


def test_sound_brings_the_plugin_and_its_settings(render: Render) -> None:
    files = render({"audio": {"pulse_socket": "/run-pulse/pulse", "pulse_cookie": "/run-pulse/cookie"}})
    assert "libasound2-plugins" in files["image/Dockerfile"]
    assert service(files)["environment"]["PULSE_SERVER"] == "unix:/run-pulse/pulse/native"
    assert "type pulse" in files["asound.conf"]


def test_documents_lie_where_hermes_reads_them(render: Render) -> None:
    places = sorted(name.partition("documents/")[2] for name in render(EVERYTHING) if "documents/" in name)
    assert places == ["home/SOUL.md", "home/memories/USER.md", "workspace/AGENTS.md", "workspace/notes/a.md"]


def test_each_profile_has_its_own_data_ports_and_tokens(render: Render) -> None:
    files = render(EVERYTHING)
    main, work = (told(files, name) for name in ("hermes", "hermes-work"))
    assert [it.data_directory for it in (main, work)] == ["/opt/hermes-data", "/opt/hermes-data-work"]
    assert [it.checks["api_url"] for it in (main, work)] == ["http://127.0.0.1:8642", "http://127.0.0.1:8643"]
    sources = {it.name: it.source for it in work.secrets}
    assert sources["TELEGRAM_BOT_TOKEN"] == "WORK_TELEGRAM_BOT_TOKEN"
    assert sources["API_SERVER_KEY"] == "WORK_API_SERVER_KEY"
    # What a provider takes is shared, and what the profile does not state is as in the main one.
    assert sources["LITELLM_API_KEY"] == "LITELLM_API_KEY"
    assert config(files, "hermes-work")["model"]["default"] == "work-model"
    assert config(files, "hermes-work")["mcp_servers"] == config(files)["mcp_servers"]


def test_the_platforms_that_must_be_connected(render: Render) -> None:
    files = render(EVERYTHING)
    assert told(files).checks["platforms"] == ["api_server", "telegram", "slack"]
    assert config(files)["telegram"] == {"extra": {"base_url": "http://10.1.10.6:4030/bot"}}


def test_all_secrets_are_delivered_by_name(tmp_path: Path) -> None:
    settings = {"agents": {"hermes": {"secrets": ["EXTRA_KEY"], "hermes": EVERYTHING}}}
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings))
    payload = payload_of(load_settings(tmp_path).agents["hermes"])
    assert set(payload.secrets) == {
        *("LITELLM_API_KEY", "GH_KEY", "API_SERVER_KEY", "TELEGRAM_BOT_TOKEN", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"),
        *("HERMES_DASHBOARD_BASIC_AUTH_PASSWORD", "HERMES_DASHBOARD_BASIC_AUTH_SECRET", "HERMES_AUTH_JSON"),
        *("BROWSER_TOKEN", "WORK_TELEGRAM_BOT_TOKEN", "WORK_API_SERVER_KEY", "EXTRA_KEY"),
    }


def test_a_key_too_short_for_hermes_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": {"hermes": EVERYTHING}}}))
    payload = payload_of(load_settings(tmp_path).agents["hermes"])
    assert payload.minimum_lengths == {"API_SERVER_KEY": 16, "WORK_API_SERVER_KEY": 16}


def test_ollama_without_a_key(render: Render) -> None:
    files = render(
        {
            "settings": {
                "model": {"provider": "ollama", "default": "qwen3:32b", "context_length": 65536},
                "providers": {"ollama": {"base_url": "http://10.1.10.30:11434/v1"}},
            }
        }
    )
    known = told(files).checks
    assert [known[it] for it in ("base_url", "key_name", "model")] == ["http://10.1.10.30:11434/v1", "", "qwen3:32b"]


def test_a_provider_of_hermes_own_has_no_address_to_ask(render: Render) -> None:
    files = render({"settings": {"model": {"provider": "openrouter", "default": "x/y"}}})
    assert told(files).checks["base_url"] == ""
