"""The files that LiteLLM and its database need in their container; none holds a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pve_agents.agents.docker import LOGGING
from pve_agents.agents.litellm.settings import Database, GatewayModel, Litellm
from pve_agents.model import merged
from pve_agents.settings import Agent

__all__ = ["CONFIG", "DATABASE", "GATEWAY", "compose_file", "config_file"]

GATEWAY, DATABASE = "litellm", "database"
"""The services."""

CONFIG = "beside/config.yaml"
"""LiteLLM's own configuration, in the payload."""

_ALIVE = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:{}/health/liveliness', timeout=5)"
_PORT = 4000


def config_file(litellm: Litellm) -> dict[str, Any]:
    """Return LiteLLM's configuration."""
    fallbacks: dict[str, list[str]] = {}
    for it in litellm.models:
        if it.fallbacks:
            fallbacks[it.name] = list(dict.fromkeys([*fallbacks.get(it.name, []), *it.fallbacks]))
    settings = {
        # It would tell its makers who asks, and ask a model for what it cannot do.
        "telemetry": False,
        "drop_params": True,
        **({"fallbacks": [{name: others} for name, others in fallbacks.items()]} if fallbacks else {}),
    }
    config = {
        "model_list": [_model(it) for it in litellm.models],
        "general_settings": {"master_key": f"os.environ/{litellm.master_key}", **litellm.general_settings},
        "litellm_settings": merged(settings, litellm.litellm_settings),
        "router_settings": dict(litellm.router_settings),
    }
    return {key: it for key, it in config.items() if it}


def _model(model: GatewayModel) -> dict[str, Any]:
    stated = model.model_dump(mode="json")
    names = ("api_base", "max_tokens", "rpm", "tpm", "input_cost_per_token", "output_cost_per_token")
    params: dict[str, Any] = {
        "model": model.model,
        **{name: stated[name] for name in names if stated[name] is not None},
        **({"api_key": f"os.environ/{model.key_env}"} if model.key_env else {}),
        **({"timeout": model.timeout_seconds} if model.timeout_seconds else {}),
        **model.params,
    }
    if model.key_env is None and model.api_base is not None and "api_key" not in params:
        # OpenAI's library refuses to ask without any, and a server without keys takes whatever comes.
        params["api_key"] = "none"
    info = {"model_info": {"max_input_tokens": model.context_length}} if model.context_length else {}
    return {"model_name": model.name, "litellm_params": params, **info}


def compose_file(agent: Agent, litellm: Litellm, contents: str) -> dict[str, Any]:
    """Return what Docker Compose reads.

    Args:
        agent: The agent's settings.
        litellm: What runs in its container.
        contents: A word that changes with LiteLLM's configuration.
    """
    services: dict[str, Any] = {GATEWAY: _gateway(agent, litellm, contents)}
    if litellm.database:
        services[DATABASE] = _database(litellm, litellm.database, litellm.data_directory(agent.name))
    return {"name": agent.name, "services": services}


def _gateway(agent: Agent, litellm: Litellm, contents: str) -> dict[str, Any]:
    secrets = {name: f"${{{name}}}" for name in _secrets(agent, litellm)}
    environment: Mapping[str, str] = {
        **secrets,
        # No list of prices is fetched as it starts, and nothing is shown that nobody is asked a password for.
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
        **({} if litellm.admin_ui else {"DISABLE_ADMIN_UI": "True"}),
        **(_of_database(litellm.database.password) if litellm.database else {}),
    }
    return {
        "image": litellm.image.reference,
        "command": ["--config", "/app/config.yaml", "--port", str(_PORT)],
        "restart": "unless-stopped",
        "stop_grace_period": f"{litellm.stopping.agent}s",
        "environment": environment,
        "ports": [f"{litellm.listen}:{litellm.port}:{_PORT}"],
        "volumes": [_bind(f"/var/lib/pve-agents/{agent.name}/{CONFIG}", "/app/config.yaml", read_only=True)],
        **({"depends_on": {DATABASE: {"condition": "service_healthy"}}} if litellm.database else {}),
        "healthcheck": {
            "test": ["CMD", "python3", "-c", _ALIVE.format(_PORT)],
            "interval": "10s",
            "timeout": "10s",
            "retries": 6,
            # It brings the database's tables up to date first.
            "start_period": f"{litellm.start_seconds}s",
        },
        "security_opt": ["no-new-privileges:true"],
        "logging": dict(LOGGING),
        "labels": {"pve-agents.contents": contents},
    }


def _secrets(agent: Agent, litellm: Litellm) -> list[str]:
    """Return the names of what LiteLLM reads: its own, and those that the agent's settings add."""
    password = litellm.database.password if litellm.database else ""
    return [name for name in agent.secret_names if name != password]


def _of_database(password: str) -> dict[str, str]:
    # Taken apart: LiteLLM makes an URL of it by itself, in which a password may have any sign.
    return {
        "DATABASE_HOST": DATABASE,
        "DATABASE_NAME": "litellm",
        "DATABASE_USERNAME": "litellm",
        "DATABASE_PASSWORD": f"${{{password}}}",
    }


def _database(litellm: Litellm, database: Database, directory: str) -> dict[str, Any]:
    return {
        "image": database.image,
        "restart": "unless-stopped",
        "stop_grace_period": f"{litellm.stopping.agent}s",
        # Killed in the middle of a write, it would look through all of its data first.
        "stop_signal": "SIGINT",
        "environment": {
            "POSTGRES_USER": "litellm",
            "POSTGRES_DB": "litellm",
            "POSTGRES_PASSWORD": f"${{{database.password}}}",
            # Below it, so that the image may give it to whichever user its PostgreSQL runs as.
            "PGDATA": "/var/lib/postgresql/data/pgdata",
        },
        "volumes": [_bind(directory, "/var/lib/postgresql/data")],
        "shm_size": "128m",
        "healthcheck": {
            "test": ["CMD-SHELL", "pg_isready --username litellm --dbname litellm"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
            "start_period": "60s",
        },
        "security_opt": ["no-new-privileges:true"],
        "logging": dict(LOGGING),
    }


def _bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    # Docker would make a missing directory, owned by root, and hide that a disk is not there.
    what = {"read_only": True} if read_only else {}
    return {"type": "bind", "source": source, "target": target, **what, "bind": {"create_host_path": False}}
