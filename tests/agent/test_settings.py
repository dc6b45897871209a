"""What the real Hermes makes of the settings: the effect, not the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pve_agents import load_settings
from pve_agents.agents.hermes.render import hermes_files
from pve_agents.agents.hermes.settings import Hermes
from tests.agent.hermes import Around, RealHermes

LIMITS = """
import json, os
import gateway.run
from hermes_cli.config import load_config
config = load_config()
print(json.dumps([os.environ.get("HERMES_MAX_ITERATIONS"), config["agent"]["max_turns"]]))
"""
COMPRESSION = """
import json
from agent.auxiliary_client import _resolve_task_provider_model
print(json.dumps(_resolve_task_provider_model("compression")[:2]))
"""


def test_agent_max_turns_ends_a_turn_and_what_is_refused_does_not(hermes: RealHermes, around: Around) -> None:
    hermes.deliver({"settings": {"agent": {"max_turns": 1}}})
    with hermes.gateway():
        # The model wants the tool's result; after one call there is no other to give it.
        hermes.chat("run: echo once")
    assert hermes.ask_python(LIMITS) == ["1", 1]
    tools = [it for it in around.turns if it.body["messages"][-1]["role"] == "tool"]
    assert [it.body.get("tools") for it in tools] == [None] * len(tools)

    hermes.deliver({})
    hermes.declare({"max_turns": 1, "max_iterations": 1, "agent": {"max_iterations": 1}})
    assert hermes.ask_python(LIMITS) == [None, 90]


def test_auxiliary_compression_says_who_summarises_and_what_is_refused_does_not(hermes: RealHermes) -> None:
    hermes.deliver({"settings": {"auxiliary": {"compression": {"model": "small", "provider": "litellm"}}}})
    assert hermes.ask_python(COMPRESSION) == ["litellm", "small"]

    hermes.deliver({})
    unchanged = hermes.ask_python(COMPRESSION)
    hermes.declare(
        {"compression": {"summary_model": "small", "summary_provider": "other", "summary_base_url": "http://h"}}
    )
    assert hermes.ask_python(COMPRESSION) == unchanged


CLOCK = """
import json, datetime, os, subprocess
import gateway.run
import hermes_time
hermes = hermes_time.now().strftime("%z")
tool = subprocess.run(["date", "+%z"], capture_output=True, text=True).stdout.strip()
print(json.dumps([hermes, datetime.datetime.now().astimezone().strftime("%z"), tool]))
"""


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "JST-9"])
def test_a_time_zone_is_that_of_hermes_of_its_process_and_of_its_tools(hermes: RealHermes, zone: str) -> None:
    hermes.deliver({"environment": {"TZ": zone}})
    assert hermes.ask_python(CLOCK) == ["+0900"] * 3


def test_a_job_is_due_in_the_time_zone_that_is_set(hermes: RealHermes) -> None:
    hermes.deliver({"environment": {"TZ": "Asia/Tokyo"}})
    with hermes.gateway():
        _, answer = hermes.ask("POST", "/api/jobs", {"prompt": "ping", "schedule": "0 9 * * *", "name": "morning"})
    assert answer["job"]["next_run_at"].endswith("T09:00:00+09:00")


ARGUMENTS = """
import json, logging
from hermes_cli.config import load_config
from hermes_logging import setup_logging
from agent.shell_hooks import _resolve_effective_accept
setup_logging(mode="gateway")
told = logging.getLogger("gateway.run").isEnabledFor(logging.DEBUG)
print(json.dumps([told, _resolve_effective_accept(load_config(), False)]))
"""


def test_what_the_refusal_of_extra_args_says_to_write_has_their_effect(hermes: RealHermes) -> None:
    hermes.deliver({})
    assert hermes.ask_python(ARGUMENTS) == [False, False]
    hermes.deliver({"settings": {"logging": {"level": "DEBUG"}, "hooks_auto_accept": True}})
    assert hermes.ask_python(ARGUMENTS) == [True, True]


def test_a_profile_that_the_agent_makes_itself_is_under_what_is_declared(hermes: RealHermes) -> None:
    """docs/hermes.md says so: the managed scope is of the whole container."""
    hermes.deliver({"platforms": {"telegram": {"allowed_users": [111]}}})
    assert "Profile 'coder' created" in hermes.run("profile", "create", "coder")
    coder = hermes.home / "profiles" / "coder"
    (coder / ".env").write_text("API_SERVER_PORT=12345\nTELEGRAM_BOT_TOKEN=of-the-coder\n")
    model = {"provider": "custom", "default": "mine", "base_url": "http://127.0.0.1:1/v1"}
    (coder / "config.yaml").write_text(json.dumps({"model": model}))

    found = hermes.ask_python(PROFILE, str(coder))

    assert found == {
        "model": ["litellm", "hermes", f"http://127.0.0.1:{hermes.around.model_port}/v1"],
        "port": hermes.port,
        "token": hermes.around.telegram.token,
    }
    # It answers, as the main one does.
    assert "pong" in hermes.run("-p", "coder", "chat", "-Q", "-q", "ping")
    assert hermes.around.turns[0].key == "sk-of-the-test"


PROFILE = """
import json, os, sys
os.environ["HERMES_HOME"] = json.loads(sys.argv[1])
from hermes_cli.env_loader import load_hermes_dotenv
load_hermes_dotenv()
from gateway.config import Platform, load_gateway_config
from hermes_cli.config import load_config
model, platforms = load_config()["model"], load_gateway_config().platforms
print(json.dumps({
    "model": [model["provider"], model["default"], model["base_url"]],
    "port": platforms[Platform.API_SERVER].extra["port"],
    "token": platforms[Platform.TELEGRAM].token,
}))
"""


READ = """
import json, sys
from hermes_cli.config import load_config
from tools.approval import _normalize_approval_mode
config = load_config()
found = [config["curator"]["enabled"], config["terminal"]["timeout"], _normalize_approval_mode(config["approvals"]["mode"])]
print(json.dumps(found))
"""


def test_a_config_file_means_what_it_means_to_hermes_itself(hermes: RealHermes, tmp_path: Path) -> None:
    words = "curator: {enabled: no}\napprovals: {mode: off}\nterminal: {cwd: /data/workspace, timeout: 1:30}\n"
    server = 'providers: {litellm: {base_url: "http://h:1/v1", key_env: LITELLM_API_KEY}}\n'
    (tmp_path / "mine.yaml").write_text(f"model: {{provider: litellm, default: m}}\n{server}{words}")
    (tmp_path / "homelab.yaml").write_text("agents: {hermes: {hermes: {config_file: mine.yaml}}}\n")
    agent = load_settings(tmp_path).agents["hermes"]
    section = Hermes.of(agent)
    assert section
    hermes.deliver({})
    managed = hermes.managed / "config.yaml"
    managed.write_text(hermes_files(agent, section)["services/hermes/managed/config.yaml"])
    declared = hermes.ask_python(READ)

    managed.unlink()
    (hermes.home / "config.yaml").write_text((tmp_path / "mine.yaml").read_text())
    assert declared == hermes.ask_python(READ) == [False, 90, "off"]


def test_an_mcp_server_that_is_declared_is_one_to_log_in_to(hermes: RealHermes) -> None:
    """docs/dashboard.md says so: the first login is made by a person in a terminal of the container."""
    server = {"url": "http://127.0.0.1:9/mcp", "auth": "oauth"}
    hermes.deliver({"settings": {"mcp_servers": {"notion": server}}})
    assert "not found" in hermes.run("mcp", "login", "other")
    said = hermes.run("mcp", "login", "notion")
    assert "not found" not in said
    assert "notion" in said
