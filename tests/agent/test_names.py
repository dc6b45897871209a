"""The names and values that the settings accept, against those of the real Hermes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.agents.hermes.providers import BUILT_IN_PROVIDERS, KEYLESS_PROVIDERS, PROVIDER_ALIASES
from tests.agent.hermes import Around, RealHermes

DEFAULTS = """
import json
from hermes_cli.config import DEFAULT_CONFIG
print(json.dumps(DEFAULT_CONFIG))
"""
PROVIDERS = """
import json, sys
from hermes_cli import auth, models
from providers import list_providers
names = {*auth.PROVIDER_REGISTRY, *models._PROVIDER_ALIASES, *json.loads(sys.argv[1])}
for profile in list_providers():
    names |= {profile.name, *profile.aliases}
found = {}
for name in names:
    try:
        found[name] = auth.resolve_provider(name)
    except auth.AuthError:
        found[name] = None
keys = {name: list(it.api_key_env_vars) for name, it in auth.PROVIDER_REGISTRY.items()}
print(json.dumps([found, keys]))
"""
# Of no provider by itself: an address belongs to it.
LOCAL = {"custom", "local", "ollama", "vllm", "llamacpp", "llama.cpp", "llama-cpp"}
# Where it is found elsewhere than all others, and where its key is.
ELSEWHERE = {"vertex"}
SERVER = """
from mcp.server.fastmcp import FastMCP
server = FastMCP("notes")
@server.tool()
def add(text: str) -> str:
    return text
@server.resource("notes://all")
def notes() -> str:
    return "none"
@server.prompt()
def summary() -> str:
    return "Summarise."
server.run()
"""


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_every_leaf_of_hermes_own_defaults_is_accepted_without_a_warning(hermes: RealHermes, tmp_path: Path) -> None:
    hermes.deliver({})
    defaults = dict(leaves(hermes.ask_python(DEFAULTS)))
    assert len(defaults) > 500
    said = {path: found for path, value in defaults.items() if (found := objections(tmp_path, path, value))}
    assert said == {}


def objections(directory: Path, path: tuple[str, ...], value: object) -> list[str]:
    """What the settings say to one of Hermes' own."""
    tree: Any = value
    for key in reversed(path):
        tree = {key: tree}
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": {"hermes": {"settings": tree}}}}))
    try:
        return list(load_settings(directory).warnings)
    except SettingsError as error:
        return list(error.messages)


def test_every_provider_is_known_by_each_of_its_names_and_by_its_keys(hermes: RealHermes) -> None:
    hermes.deliver({})
    found, keys = hermes.ask_python(PROVIDERS, [*BUILT_IN_PROVIDERS, *PROVIDER_ALIASES])

    resolved = {name: to for name, to in found.items() if to and to not in LOCAL}
    assert {name: to for name, to in resolved.items() if name != to} == dict(PROVIDER_ALIASES)
    assert {to for name, to in resolved.items() if name == to} == BUILT_IN_PROVIDERS.keys() - ELSEWHERE
    assert {name: list(BUILT_IN_PROVIDERS[name]) for name in keys if name in BUILT_IN_PROVIDERS} == {
        name: of for name, of in keys.items() if name in BUILT_IN_PROVIDERS
    }


def test_lm_studio_needs_no_key_and_takes_one(hermes: RealHermes) -> None:
    assert set(KEYLESS_PROVIDERS) == {"lmstudio"}
    program = """
import json
from hermes_cli.runtime_provider import resolve_runtime_provider
found = resolve_runtime_provider(requested="lmstudio")
print(json.dumps([found["base_url"], found["api_key"]]))
"""
    section: dict[str, Any] = {"settings": {"model": {"provider": "lmstudio"}}}
    section["environment"] = {"LM_BASE_URL": "http://10.1.10.30:1234/v1"}
    hermes.deliver(section)
    assert hermes.ask_python(program)[0] == "http://10.1.10.30:1234/v1"
    hermes.deliver({**section, "secrets": ["LM_API_KEY"]}, {"LM_API_KEY": "sk-of-lm-studio"})
    assert hermes.ask_python(program)[1] == "sk-of-lm-studio"


def test_a_provider_of_ones_own_goes_before_another_name_of_a_built_in_one(hermes: RealHermes) -> None:
    hermes.deliver(
        {
            "settings": {
                "model": {"provider": "fw"},
                "providers": {"fw": {"base_url": "http://10.1.10.30:1/v1", "key_env": "FW_KEY"}},
            }
        },
        {"FW_KEY": "sk-of-ones-own"},
    )
    program = """
import json
from hermes_cli.runtime_provider import resolve_runtime_provider
found = resolve_runtime_provider()
print(json.dumps([found["base_url"], found["api_key"]]))
"""
    assert hermes.ask_python(program) == ["http://10.1.10.30:1/v1", "sk-of-ones-own"]


def test_the_home_of_hermes_is_the_working_directory_where_a_dot_says_so(hermes: RealHermes, around: Around) -> None:
    hermes.deliver({"settings": {"terminal": {"cwd": "."}}})
    with hermes.gateway():
        assert str(hermes.home) in hermes.chat("run: pwd")
    assert around.turns


def test_resources_and_prompts_of_an_mcp_server_can_be_left_out(hermes: RealHermes, around: Around) -> None:
    (hermes.place / "server.py").write_text(SERVER)
    server = {"command": str(hermes.python), "args": [str(hermes.place / "server.py")]}
    servers = {
        "full": server,
        "bare": {**server, "tools": {"resources": False, "prompts": False}},
        "half": {**server, "tools": {"resources": False}},
    }
    hermes.deliver({"settings": {"mcp_servers": servers, "platform_toolsets": {"api_server": list(servers)}}})
    with hermes.gateway():
        hermes.chat("ping")
    offered = [it.split("__") for it in around.tools_offered() if it.startswith("mcp__")]
    of = {name: {tool for _, its, tool in offered if its == name} for name in servers}
    assert of["bare"] == {"add"}
    assert of["half"] == {"add", "list_prompts", "get_prompt"}
    assert of["full"] == {"add", "list_prompts", "get_prompt", "list_resources", "read_resource"}
