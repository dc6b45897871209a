"""The kind litellm: its settings, what its container gets, and agents that name it as their gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import Homelab, SettingsError, load_settings
from pve_agents.agents.app import app_of
from pve_agents.agents.kind import Endpoint
from pve_agents.agents.litellm.settings import Litellm
from pve_agents.guest.plan import Data, Directory, Plan, Sidecar
from pve_agents.payload import Payload
from pve_agents.root_spec import payload_of

MODEL = {"name": "my-model", "model": "openai/gpt-5-mini", "key_env": "OPENAI_API_KEY", "context_length": 272_000}
LOCAL = {"name": "at-home", "model": "openai/qwen3", "api_base": "http://10.1.10.30:8000/v1", "context_length": 65_536}
GATEWAY: dict[str, Any] = {
    "vmid": 117,
    "network": {"address": "10.1.10.22/24", "gateway": "10.1.10.1"},
    "litellm": {"models": [MODEL, LOCAL]},
}

Load = Callable[..., Homelab]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def of(**agents: Any) -> Homelab:
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": agents}))
        return load_settings(tmp_path)

    return of


def gateway(**section: Any) -> dict[str, Any]:
    return {**GATEWAY, "litellm": {**GATEWAY["litellm"], **section}}


def hermes(provider: Mapping[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    providers = {"litellm": provider or {"gateway": "gateway"}}
    return {"vmid": 118, "hermes": {"settings": {"providers": providers, **settings}}}


def refused(load: Load, **agents: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(**agents)
    return [it.removeprefix("homelab.yaml: agents.") for it in error.value.messages]


def files(payload: Payload, name: str) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(payload.files[name].text)
    return tree


# Its settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"models": []}, "models: there is none; write at least one, such as"),
        ({"models": [{"name": "m"}]}, "models.0.model: this is missing; write provider and model as LiteLLM calls them"),
        ({"models": [{**MODEL, "model": "gpt-5"}]}, 'models.0.model: "gpt-5" is not a provider\'s model; write one such as openai/gpt-5.'),
        ({"models": [{**MODEL, "api_key": "x"}]}, "models.0.api_key: "),
        ({"models": [{**MODEL, "fallbacks": ["other"]}]}, 'models.0.fallbacks.0: "other" is no other model here; the others are none.'),
        ({"models": [{**MODEL, "fallbacks": ["my-model"]}, LOCAL]}, 'models.0.fallbacks.0: "my-model" is no other model here; the others are at-home.'),
        ({"models": [{**MODEL, "params": {"api_key": "x"}}]}, "models.0.params.api_key: this is set by a setting of its own beside it"),
        ({"models": [{**MODEL, "params": {"aws_secret_access_key": "hunter2"}}]}, "models.0.params.aws_secret_access_key: this seems to be a secret; write os.environ/NAME"),
        ({"models": [{**MODEL, "input_cost_per_token": 2}]}, "models.0.input_cost_per_token: 2 is not a price of one token"),
        ({"general_settings": {"master_key": "x"}}, "general_settings.master_key: this is set by a setting of its own"),
        ({"litellm_settings": {"cache_params": {"password": "hunter2"}}}, "litellm_settings.cache_params.password: this seems to be a secret"),
        ({"master_key": "sk-1234567890abcdef"}, "master_key: this"),
        ({"database": {"directory": "/etc/x"}}, 'database.directory: "/etc/x" holds Docker\'s socket'),
        ({"database": {"image": "postgres"}}, 'database.image: "postgres" is not an image with a tag'),
        ({"listen": "all"}, 'listen: "all" is not an address; write one of the container\'s, such as 10.1.10.22.'),
        ({"model_list": []}, "model_list: there is no such setting; did you mean models?"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_right_is_said_at_its_place(
    section: dict[str, Any], sentence: str, load: Load
) -> None:
    assert refused(load, gateway=gateway(**section))[0].startswith(f"gateway.litellm.{sentence}")


def test_without_models_it_says_what_to_write(load: Load) -> None:
    (sentence,) = refused(load, gateway={**GATEWAY, "litellm": {}})
    assert sentence.startswith(
        "gateway.litellm.models: this is missing; write what it offers, such as [{name: my-model, "
    )
    assert load(
        gateway={**GATEWAY, "litellm": {"models": yaml.safe_load(sentence.partition("such as ")[2].rstrip("."))}}
    )


def test_a_database_has_its_own_directory_in_a_mount_that_can_be_written(load: Load) -> None:
    mounts = {"mp0": {"host_path": "/mnt/pve/hdd/gateway", "guest_path": "/data"}}
    for path, word in {"/data": "write /data/database", "/": ""}.items():
        found = refused(load, gateway={**gateway(database={"directory": path}), "mounts": mounts})
        assert word in found[0]
    assert load(gateway={**gateway(database={"directory": "/data/database"}), "mounts": mounts})
    mounts["mp0"]["read_only"] = True  # type: ignore[assignment]
    (sentence,) = refused(load, gateway={**gateway(database={"directory": "/data/database"}), "mounts": mounts})
    assert "the mount /data is read only" in sentence


def test_what_moves_and_what_asks_nobody_is_worth_a_look(load: Load) -> None:
    section = gateway(
        image={"tag": "main-stable"}, models=[{"name": "m", "model": "openai/m"}], admin_ui=True, database=None
    )
    assert load(gateway={**section, "memory": {"dedicated_mib": 1024}}).warnings == (
        "agents.gateway.memory.dedicated_mib: LiteLLM and its database want 2048 MiB at least; write more.",
        "agents.gateway.litellm.image.tag: ghcr.io/berriai/litellm-database:main-stable means another image from time to time; write a release, or a digest.",
        "agents.gateway.litellm.models.0: m has neither a key nor an address of its own; write key_env, or api_base.",
        "agents.gateway.litellm.admin_ui: without a database LiteLLM's web interface shows nothing; write database, or leave it out.",
    )  # fmt: skip


# What its container gets ------------------------------------------------------------------------------------------------


def test_its_configuration_names_keys_and_holds_none(load: Load) -> None:
    models = [
        {**MODEL, "fallbacks": ["at-home"], "rpm": 10, "timeout_seconds": 30, "params": {"api_version": "x"}},
        {**LOCAL, "input_cost_per_token": 0.0000001},
    ]
    section = gateway(models=models, litellm_settings={"num_retries": 2}, router_settings={"routing_strategy": "x"})
    payload = payload_of(load(gateway=section).agents["gateway"])
    assert files(payload, "beside/config.yaml") == {
        "model_list": [
            {
                "model_name": "my-model",
                "litellm_params": {
                    "model": "openai/gpt-5-mini",
                    "rpm": 10,
                    "api_key": "os.environ/OPENAI_API_KEY",
                    "timeout": 30,
                    "api_version": "x",
                },
                "model_info": {"max_input_tokens": 272_000},
            },
            {
                "model_name": "at-home",
                "litellm_params": {
                    "model": "openai/qwen3",
                    "api_base": "http://10.1.10.30:8000/v1",
                    "input_cost_per_token": 1e-7,
                    "api_key": "none",
                },
                "model_info": {"max_input_tokens": 65_536},
            },
        ],
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
        "litellm_settings": {
            "telemetry": False,
            "drop_params": True,
            "fallbacks": [{"my-model": ["at-home"]}],
            "num_retries": 2,
        },
        "router_settings": {"routing_strategy": "x"},
    }
    assert payload.secrets == ("LITELLM_MASTER_KEY", "LITELLM_DATABASE_PASSWORD", "OPENAI_API_KEY")
    assert payload.minimum_lengths == {"LITELLM_MASTER_KEY": 16, "LITELLM_DATABASE_PASSWORD": 16}


def test_the_gateway_waits_for_its_database_which_alone_has_its_password_in_full(load: Load) -> None:
    agent = load(gateway={**gateway(port=4444, listen="10.1.10.22"), "secrets": ["EXTRA_KEY"]}).agents["gateway"]
    services = files(payload_of(agent), "docker-compose.yml")["services"]
    assert services["litellm"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["litellm"]["ports"] == ["10.1.10.22:4444:4000"]
    environment = services["litellm"]["environment"]
    assert environment["DATABASE_PASSWORD"] == "${LITELLM_DATABASE_PASSWORD}"
    assert environment["EXTRA_KEY"] == "${EXTRA_KEY}"
    assert not {"LITELLM_DATABASE_PASSWORD", "DATABASE_URL"} & environment.keys()
    assert services["database"]["environment"]["POSTGRES_PASSWORD"] == "${LITELLM_DATABASE_PASSWORD}"
    assert "OPENAI_API_KEY" not in services["database"]["environment"]
    told = Plan.from_json(payload_of(agent).files["plan.json"].text).compose
    assert told
    assert told.sidecars == (
        Sidecar("litellm", "ghcr.io/berriai/litellm-database:v1.104.0"),
        Sidecar("database", "postgres:17.6"),
    )
    # Another image of the gateway changes the database's tables.
    assert told.data == (Data("database", "/srv/gateway/database"),)
    assert told.directories == (Directory("/srv/gateway/database", mode=0o755),)


def test_without_a_database_there_is_the_gateway_alone(load: Load) -> None:
    agent = load(gateway=gateway(database=None)).agents["gateway"]
    services = files(payload_of(agent), "docker-compose.yml")["services"]
    assert [*services] == ["litellm"]
    assert "depends_on" not in services["litellm"]
    assert not [it for it in services["litellm"]["environment"] if it.startswith("DATABASE")]
    app = app_of(agent)
    assert app.compose
    assert (app.compose.data, app.compose.directories) == ((), ())
    assert app.checks
    assert app.checks.arguments["has_database"] is False


def test_a_changed_model_starts_the_gateway_anew(load: Load) -> None:
    def label(**section: Any) -> str:
        services = files(payload_of(load(gateway=gateway(**section)).agents["gateway"]), "docker-compose.yml")[
            "services"
        ]
        return str(services["litellm"]["labels"]["pve-agents.contents"])

    assert label() == label()
    assert label() != label(models=[LOCAL])


def test_no_model_is_asked_that_says_so(load: Load) -> None:
    models = [{**MODEL, "answers_checks": False}, LOCAL]
    for asked, section in {"at-home": models, "": [models[0]]}.items():
        checks = app_of(load(gateway=gateway(models=section)).agents["gateway"]).checks
        assert checks
        assert checks.arguments["asked"] == asked


# Agents that name it ----------------------------------------------------------------------------------------------------


def config(load: Load, agent: dict[str, Any], **section: Any) -> dict[str, Any]:
    homelab = load(gateway=gateway(**section), hermes=agent)
    return files(payload_of(homelab.agents["hermes"]), "services/hermes/managed/config.yaml")


def test_an_agent_asks_the_gateway_that_it_names(load: Load) -> None:
    found = config(load, hermes())
    assert found["providers"]["litellm"] == {
        "name": "LiteLLM",
        "base_url": "http://10.1.10.22:4000/v1",
        "key_env": "LITELLM_API_KEY",
    }
    assert {key: found["model"][key] for key in ("default", "context_length", "base_url")} == {
        "default": "my-model",
        "context_length": 272_000,
        "base_url": "http://10.1.10.22:4000/v1",
    }


def test_what_an_agent_states_of_its_model_stays(load: Load) -> None:
    found = config(load, hermes(model={"default": "at-home", "context_length": 64_000}))
    assert (found["model"]["default"], found["model"]["context_length"]) == ("at-home", 64_000)
    assert config(load, hermes(model={"default": "at-home"}))["model"]["context_length"] == 65_536


def test_a_provider_of_another_name_may_be_a_gateway_too(load: Load) -> None:
    agent = hermes(model={"provider": "house"})
    agent["hermes"]["settings"]["providers"] = {"house": {"gateway": "gateway", "key_env": "HOUSE_KEY"}}
    found = config(load, agent, port=4444)
    assert found["providers"] == {"house": {"base_url": "http://10.1.10.22:4444/v1", "key_env": "HOUSE_KEY"}}


def test_a_profile_inherits_the_gateway_and_may_ask_another_model(load: Load) -> None:
    agent = hermes()
    agent["hermes"]["profiles"] = {
        "work": {"settings": {"model": {"default": "at-home"}}, "api_server": {"port": 8643}},
        "play": {"api_server": {"port": 8644}},
    }
    payload = payload_of(load(gateway=GATEWAY, hermes=agent).agents["hermes"])
    models = {name: files(payload, f"services/hermes-{name}/managed/config.yaml")["model"] for name in ("work", "play")}
    assert (models["work"]["default"], models["work"]["context_length"]) == ("at-home", 65_536)
    assert models["play"]["default"] == "my-model"
    assert {it["base_url"] for it in models.values()} == {"http://10.1.10.22:4000/v1"}
    agent["hermes"]["profiles"]["work"]["settings"]["model"]["default"] = "nope"
    why = 'the agent gateway has no model "nope"; write one of my-model, at-home.'
    assert refused(load, gateway=GATEWAY, hermes=agent) == [
        f"hermes.hermes.profiles.work.settings.model.default: {why}"
    ]


PLACE = "hermes.hermes.settings.providers.litellm.gateway"


@pytest.mark.parametrize(
    ("agents", "sentence"),
    [
        ({"hermes": hermes({"gateway": "gatweay"}), "gateway": GATEWAY}, f'{PLACE}: "gatweay" is no other agent of this file; write one that does, which are gateway.'),
        ({"hermes": hermes({"gateway": "hermes"})}, f'{PLACE}: "hermes" is no other agent of this file; write one that does; none is here.'),
        ({"hermes": hermes({"gateway": "bare"}), "bare": {"vmid": 119}}, f"{PLACE}: the agent bare answers no other agent; write one that does; none is here."),
        (
            {"hermes": hermes(), "gateway": {**GATEWAY, "network": {}}},
            f"{PLACE}: nobody knows where the agent gateway is, whose address comes from DHCP; write agents.gateway.network.address, or agents.gateway.hostname with a name that the others can look up.",
        ),
        (
            {"hermes": hermes({"gateway": "gateway", "base_url": "http://10.1.1.1/v1"}), "gateway": GATEWAY},
            "hermes.hermes.settings.providers.litellm.base_url: this is where the agent gateway is, which gateway names; leave base_url out.",
        ),
        (
            {"hermes": hermes(model={"default": "gpt"}), "gateway": GATEWAY},
            'hermes.hermes.settings.model.default: the agent gateway has no model "gpt"; write one of my-model, at-home.',
        ),
        (
            {"hermes": hermes(fallback_providers=[{"provider": "litellm", "model": "gpt"}]), "gateway": GATEWAY},
            'hermes.hermes.settings.fallback_providers.0.model: the agent gateway has no model "gpt"; write one of my-model, at-home.',
        ),
        (
            {"hermes": hermes(), "gateway": gateway(models=[{**MODEL, "context_length": 32_000}])},
            'hermes.hermes.settings.model.default: "my-model" of the agent gateway takes 32000 tokens, and Hermes needs 64000; write another model.',
        ),
    ],
)  # fmt: skip
def test_a_gateway_that_cannot_be_asked_is_said_at_its_place(agents: dict[str, Any], sentence: str, load: Load) -> None:
    assert refused(load, **agents) == [sentence]


def test_a_hostname_that_is_stated_is_an_address(load: Load) -> None:
    agents = {"hermes": hermes(), "gateway": {**GATEWAY, "network": {}, "hostname": "gateway.home.arpa"}}
    found = files(payload_of(load(**agents).agents["hermes"]), "services/hermes/managed/config.yaml")
    assert found["model"]["base_url"] == "http://gateway.home.arpa:4000/v1"


def test_the_settings_of_who_asks_are_read_again_as_they_were(load: Load) -> None:
    agent = load(gateway=GATEWAY, hermes=hermes()).agents["hermes"]
    again = yaml.safe_load(yaml.safe_dump(agent.model_dump(mode="json", exclude_unset=True)))
    assert load(gateway=GATEWAY, hermes=again).agents["hermes"].section == agent.section


def test_a_config_file_of_hermes_knows_no_other_agents(load: Load, tmp_path: Path) -> None:
    tree = {
        "model": {"provider": "litellm", "default": "my-model"},
        "providers": {"litellm": {"gateway": "gateway"}},
        "terminal": {"cwd": "/data/workspace"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    found = refused(load, gateway=GATEWAY, hermes={"vmid": 118, "hermes": {"config_file": "config.yaml"}})
    assert any(
        "providers.litellm.gateway: homelab.yaml alone knows the other agents; write base_url" in it for it in found
    )


def test_of_two_models_of_one_name_the_smaller_counts(load: Load) -> None:
    section = Litellm.of(load(gateway=gateway(models=[MODEL, {**MODEL, "context_length": 100_000}])).agents["gateway"])
    assert section
    assert section.endpoint == Endpoint(4000, "/v1", {"my-model": 100_000})
