"""What the section hermes of an agent may say, what becomes of it, and the exact words for what it may not."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
import yaml

from pve_agents.agents.hermes.config import Settings
from pve_agents.agents.hermes.docker import RELEASE, VERSION, Image
from pve_agents.agents.hermes.platforms import ApiServer
from pve_agents.agents.hermes.providers import BUILT_IN_PROVIDERS, PROVIDER_ALIASES
from pve_agents.agents.hermes.settings import Hermes, Profile
from pve_agents.model import Model
from pve_agents.settings import Agent, Homelab, SettingsError, load_settings
from pve_agents.settings.schema import json_schema

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "homelab.example.yaml"
# They look like secrets, and are put together here so that nothing in the repository does.
KEY = "sk-" + "0" * 20
BOT = "123456:" + "A" * 35
DIGEST = "sha256:" + "a" * 64
H = "HOMELAB_AGENTS__HERMES__HERMES"

Load = Callable[[str], Hermes]
Refuse = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("HOMELAB_"):
            monkeypatch.delenv(name)


@pytest.fixture
def homelab(tmp_path: Path) -> Callable[[str], Homelab]:
    def from_text(text: str) -> Homelab:
        (tmp_path / "homelab.yaml").write_text(text, encoding="utf-8")
        return load_settings(tmp_path)

    return from_text


def section(text: str, rest: str = "") -> str:
    """A file with this in the section hermes of the agent hermes, and that beside the section."""
    return f"agents: {{hermes: {{{rest}hermes: {{{text}}}}}}}"


@pytest.fixture
def load(homelab: Callable[[str], Homelab]) -> Load:
    def from_text(text: str) -> Hermes:
        hermes = Hermes.of(homelab(section(text)).agents["hermes"])
        assert hermes
        return hermes

    return from_text


@pytest.fixture
def refuse(homelab: Callable[[str], Homelab]) -> Refuse:
    def from_text(text: str) -> list[str]:
        with pytest.raises(SettingsError) as refusal:
            homelab(text)
        return refusal.value.messages

    return from_text


# What is refused, by rule: what stands below agents.hermes.hermes, and what is said after the place.
IN_HERMES = {
    "model": {
        "context-length": (
            "settings: {model: {context_length: 32768}}",
            "settings.model.context_length: 32768 is not a context length that Hermes accepts, which needs at least 64000 tokens; write a whole number from 64000 to 100000000.",
        ),
        "context-length-of-a-provider": (
            "settings: {providers: {litellm: {context_length: 8192}}}",
            "settings.providers.litellm.context_length: 8192 is not a context length that Hermes accepts, which needs at least 64000 tokens; write a whole number from 64000 to 100000000.",
        ),
        "context-length-quoted": (
            'settings: {model: {context_length: "131072"}}',
            'settings.model.context_length: "131072" is text, not a number; write it without quotes.',
        ),
        "max-tokens": (
            "settings: {model: {max_tokens: 0}}",
            "settings.model.max_tokens: 0 is not a number of tokens; write a whole number from 1 to 100000000.",
        ),
        "no-name": (
            "settings: {model: {default: null}}",
            "settings.model.default: null is not a model; write the model's name, such as hermes.",
        ),
        "model-for-default": (
            "settings: {model: {model: x}}",
            "settings.model.model: Hermes calls this default; write default.",
        ),
        "not-a-mapping": (
            "settings: {model: [x]}",
            "settings.model: a list is not a mapping; write keys and values, or leave model out.",
        ),
    },
    "provider": {
        "openai": (
            "settings: {model: {provider: openai}}",
            'settings.model.provider: "openai" is no provider of Hermes; write openai-api for OpenAI itself, or the name of one under providers.',
        ),
        "auto": (
            "settings: {model: {provider: auto}}",
            'settings.model.provider: "auto" lets Hermes choose, which may send the key to a third party; write the name of one under providers.',
        ),
        "ollama": (
            "settings: {model: {provider: ollama}}",
            'settings.model.provider: "ollama" needs an address; write providers.ollama.base_url, or the name of one under providers.',
        ),
        "unknown": (
            "settings: {model: {provider: nonsense}}",
            'settings.model.provider: "nonsense" is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or the name of one under providers.',
        ),
        "unknown-with-providers": (
            'settings: {providers: {litellm: {}, big: {base_url: "http://h:1"}}, model: {provider: nonsense}}',
            'settings.model.provider: "nonsense" is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or one under providers, which are litellm, big.',
        ),
        "openai-with-providers": (
            "settings: {providers: {litellm: {}}, model: {provider: openai}}",
            'settings.model.provider: "openai" is no provider of Hermes; write openai-api for OpenAI itself, or one under providers, which are litellm.',
        ),
        "custom-of-nothing": (
            'settings: {model: {provider: "custom:nonsense"}}',
            'settings.model.provider: "custom:nonsense" is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or the name of one under providers.',
        ),
        "custom-without-key": (
            'settings: {model: {provider: custom, base_url: "http://h:1/v1"}}',
            "settings.model.api_key: the provider custom needs one, without which Hermes sends no key at all; write ${NAME}, or better name the server under providers with its key_env.",
        ),
        "custom-without-url": (
            'settings: {model: {provider: custom, api_key: "${MY_KEY}"}}',
            "settings.model.base_url: the provider custom needs one, without which Hermes sends the key to a third party; write it, or better name the server under providers.",
        ),
        "openai-api-elsewhere": (
            'settings: {model: {provider: openai-api, base_url: "http://h:1/v1"}}',
            "settings.model.base_url: Hermes would still send the key to api.openai.com for its side tasks; name the server under providers.",
        ),
        "url-twice": (
            'settings: {model: {base_url: "http://h:1/v1"}}',
            "settings.model.base_url: the provider litellm has a base_url of its own; write it there.",
        ),
        "fallback": (
            "settings: {fallback_providers: [{provider: litellm, model: x}, {provider: nonsense, model: x}]}",
            'settings.fallback_providers.1.provider: "nonsense" is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or one under providers, which are litellm.',
        ),
        "without-url": (
            "settings: {providers: {vllm: {}}, model: {provider: vllm}}",
            "settings.providers.vllm.base_url: this is missing; write where the server is, such as http://10.1.10.22:4000/v1.",
        ),
        "built-in-name": (
            'settings: {providers: {openrouter: {base_url: "http://h:8000/v1"}, litellm: {}}}',
            "settings.providers.openrouter.base_url: openrouter is built into Hermes, which would pass over this; give the server a name of its own.",
        ),
        "named-auto": (
            'settings: {providers: {auto: {base_url: "http://h:8000/v1"}, litellm: {}}}',
            "settings.providers.auto: auto lets Hermes choose a provider; write another name.",
        ),
        "upper-case": (
            'settings: {providers: {LiteLLM: {base_url: "http://h:8000/v1"}, litellm: {}}}',
            'settings.providers.LiteLLM: "LiteLLM" is not the name of a provider; write lower-case letters, digits, dots, hyphens and underscores, such as litellm.',
        ),
        "two-keys": (
            'settings: {providers: {litellm: {key_env: A_KEY, api_key: "${B_KEY}"}}}',
            "settings.providers.litellm: key_env and api_key are both given; keep key_env.",
        ),
        "key-as-key-env": (
            "settings: {providers: {litellm: {key_env: hunter2}}}",
            "settings.providers.litellm.key_env: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "key-env-reserved": (
            "settings: {providers: {litellm: {key_env: PROXMOX_VE_API_TOKEN}}}",
            'settings.providers.litellm.key_env: "PROXMOX_VE_API_TOKEN" is for the operator, never for an agent; leave it out.',
        ),
    },
    "base-url": {
        "slash": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1/"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1/" ends in a slash; write "http://h:4000/v1".',
        ),
        "chat-completions": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1/chat/completions"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1/chat/completions" is the URL of one call, to which Hermes adds /chat/completions by itself; write "http://h:4000/v1".',
        ),
        "completions": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1/completions"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1/completions" is the URL of one call, to which Hermes adds /completions by itself; write "http://h:4000/v1".',
        ),
        "models": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1/models"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1/models" is the URL of one call, to which Hermes adds /models by itself; write "http://h:4000/v1".',
        ),
        "twice": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1/v1"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1/v1" has /v1 twice in a row; write it once.',
        ),
        "query": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1?x=1"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1?x=1" has a query or a fragment; write the URL without.',
        ),
        "fragment": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1#x"}}}',
            'settings.providers.litellm.base_url: "http://h:4000/v1#x" has a query or a fragment; write the URL without.',
        ),
        "credentials": (
            'settings: {providers: {litellm: {base_url: "http://me:hunter2@h:4000/v1"}}}',
            "settings.providers.litellm.base_url: the URL carries a user name or a password; write it without, and put credentials into the environment.",
        ),
        "credential-in-query": (
            'settings: {providers: {litellm: {base_url: "http://h:4000/v1?api_key=hunter2"}}}',
            "settings.providers.litellm.base_url: the URL carries a credential in its query; write an URL that needs none.",
        ),
        "no-scheme": (
            'settings: {providers: {litellm: {base_url: "h:4000"}}}',
            'settings.providers.litellm.base_url: "h:4000" is not an URL; write one that starts with http:// or https://.',
        ),
        "of-custom": (
            'settings: {model: {provider: custom, base_url: "http://h:1/v1/", api_key: "${MY_KEY}"}}',
            'settings.model.base_url: "http://h:1/v1/" ends in a slash; write "http://h:1/v1".',
        ),
    },
    "names of secrets": {
        "lower-case": (
            'settings: {foo: {bar: "${lower}"}}',
            "settings.foo.bar: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "default-value": (
            'settings: {foo: {bar: "${A:-b}"}}',
            "settings.foo.bar: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "empty": (
            'settings: {foo: {bar: "${}"}}',
            "settings.foo.bar: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "unclosed": (
            'settings: {foo: {bar: "${A b"}}',
            "settings.foo.bar: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "reserved": (
            'settings: {foo: [{bar: "x ${HOME} y"}]}',
            'settings.foo.0.bar: "HOME" decides where programs keep their files in the guest; leave it out.',
        ),
        "two-in-one": (
            'settings: {foo: {bar: "${HOST_NAME}:${port}"}}',
            "settings.foo.bar: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "key-env-anywhere": (
            "settings: {auxiliary: {vision: {key_env: hunter2}}}",
            "settings.auxiliary.vision.key_env: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
    },
    "literal secrets": {
        "api-key": (
            "settings: {providers: {litellm: {key_env: null, api_key: hunter2}}}",
            "settings.providers.litellm.api_key: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name; where the server needs none, leave it out.",
        ),
        "api-key-of-custom": (
            'settings: {model: {provider: custom, base_url: "http://h:1/v1", api_key: hunter2}}',
            "settings.model.api_key: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name; where the server needs none, name it under providers, with its base_url alone.",
        ),
        "token": (
            "settings: {foo: {token: hunter2}}",
            "settings.foo.token: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "number": (
            "settings: {foo: {password: 12345678}}",
            "settings.foo.password: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "in-a-list": (
            "settings: {foo: [{client_secret: hunter2}]}",
            "settings.foo.0.client_secret: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "by-its-looks": (
            f'settings: {{foo: {{note: "{KEY}"}}}}',
            "settings.foo.note: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "bot-token": (
            f'settings: {{foo: {{note: "{BOT}"}}}}',
            "settings.foo.note: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "url": (
            'settings: {foo: {note: "postgres://me:hunter2@h/db"}}',
            "settings.foo.note: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "header": (
            'settings: {mcp_servers: {a: {url: "https://h/mcp", headers: {Authorization: Bearer hunter2}}}}',
            "settings.mcp_servers.a.headers.Authorization: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "bearer-anywhere": (
            'settings: {foo: {note: "use Bearer hunter2hunter2"}}',
            "settings.foo.note: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "half-a-placeholder": (
            'settings: {foo: {token: "${A_TOKEN}hunter2"}}',
            "settings.foo.token: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "next-argument": (
            "settings: {mcp_servers: {a: {command: npx, args: [--token, hunter2]}}}",
            "settings.mcp_servers.a.args.1: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "argument": (
            'settings: {mcp_servers: {a: {command: npx, args: ["--api-key=hunter2"]}}}',
            "settings.mcp_servers.a.args.0: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "environment-of-mcp": (
            "settings: {mcp_servers: {a: {command: npx, env: {FOO_TOKEN: hunter2}}}}",
            "settings.mcp_servers.a.env.FOO_TOKEN: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "extra-of-a-platform": (
            "platforms: {telegram: {allowed_users: [123456], extra: {token: hunter2}}}",
            "platforms.telegram.extra.token: this seems to be a secret; write ${NAME} in its place, and put the value into the agent's secrets file under that name.",
        ),
        "extra-argument": (
            "extra_args: [--token=hunter2]",
            "extra_args: the image's supervisor starts `hermes gateway run` by itself, and drops every further argument; write settings.logging.level: DEBUG for --verbose, settings.hooks_auto_accept: true for --accept-hooks, and leave all others out.",
        ),
        "environment": (
            f'environment: {{FOO: "{KEY}"}}',
            "environment.FOO: this seems to be a secret; list a name for it under secrets, and put the value into the agent's secrets file.",
        ),
        "environment-by-name": (
            "environment: {FOO_TOKEN: hunter2}",
            "environment.FOO_TOKEN: this is a secret by its name; list the name under secrets, and put the value into the agent's secrets file.",
        ),
        "document": (
            f'documents: {{SOUL.md: "My key is {KEY}."}}',
            'documents."SOUL.md": there seems to be a secret in the document; take it out, since the agent would read it aloud.',
        ),
        "sidecar-environment": (
            f'sidecars: {{browser: {{image: "a:1", environment: {{FOO: "{KEY}"}}}}}}',
            "sidecars.browser.environment.FOO: this seems to be a secret; list a name for it under the sidecar's secrets, and put the value into the agent's secrets file.",
        ),
        "sidecar-environment-by-name": (
            'sidecars: {browser: {image: "a:1", environment: {FOO_TOKEN: hunter2}}}',
            "sidecars.browser.environment.FOO_TOKEN: this is a secret by its name; list the name under the sidecar's secrets, and put the value into the agent's secrets file.",
        ),
        "sidecar-command": (
            'sidecars: {browser: {image: "a:1", command: [--token, hunter2]}}',
            "sidecars.browser.command.1: this seems to be a secret; list a name for it under the sidecar's secrets, and put the value into the agent's secrets file.",
        ),
        "sidecar-anywhere": (
            f'sidecars: {{browser: {{image: "a:1", labels: {{x: "{KEY}"}}}}}}',
            "sidecars.browser.labels.x: this seems to be a secret; list a name for it under the sidecar's secrets, and put the value into the agent's secrets file.",
        ),
        "network": (
            "network_mode: bridge, networks: {web: {driver_opts: {token: hunter2}}}",
            "networks.web.driver_opts.token: this seems to be a secret; leave it out.",
        ),
        "api-server": (
            "api_server: {key: hunter2}",
            "api_server.key: secrets do not go into homelab.yaml; put this one into the agent's secrets file, as API_SERVER_KEY.",
        ),
        "dashboard": (
            "dashboard: {password: hunter2}",
            "dashboard.password: secrets do not go into homelab.yaml; put this one into the agent's secrets file, as HERMES_DASHBOARD_BASIC_AUTH_PASSWORD.",
        ),
        "platform": (
            "platforms: {telegram: {allow_all: true, bot_token: hunter2}}",
            "platforms.telegram.bot_token: secrets do not go into homelab.yaml; put this one into the agent's secrets file, as TELEGRAM_BOT_TOKEN.",
        ),
        "platform-user": (
            f'platforms: {{telegram: {{allowed_users: ["{BOT}"]}}}}',
            "platforms.telegram.allowed_users.0: the value, hidden because it may be a secret, is not a numeric id; write the number, not the name.",
        ),
        "anywhere": (
            "api_token: hunter2",
            "api_token: secrets do not go into homelab.yaml; put api_token into the agent's secrets file.",
        ),
    },
    "terminal": {
        "backend": (
            "settings: {terminal: {backend: cloud}}",
            'settings.terminal.backend: "cloud" is not known here; write local, docker, ssh, modal, singularity, daytona or vercel_sandbox.',
        ),
        "docker": (
            "settings: {terminal: {backend: docker}}",
            "settings.terminal.backend: docker needs Docker's socket, and who speaks to Docker is root in the LXC container; write local.",
        ),
        "ssh-without-cwd": (
            "settings: {terminal: {backend: ssh}}",
            "settings.terminal.cwd: backend: ssh has its directories elsewhere; write the working directory there.",
        ),
        "ssh-with-document": (
            'settings: {terminal: {backend: ssh, cwd: "~/x"}}, documents: {SOUL.md: a, AGENTS.md: b}',
            'documents."AGENTS.md": this belongs into the working directory, and terminal.backend: ssh has it elsewhere; leave it out.',
        ),
        "cwd-relative": (
            "settings: {terminal: {cwd: workspace}}",
            'settings.terminal.cwd: "workspace" is not a plain absolute path; write one such as /fast/workspace.',
        ),
        "cwd-outside": (
            "settings: {terminal: {cwd: /srv/x}}",
            'settings.terminal.cwd: "/srv/x" is not in a directory that Hermes may write, which are /opt/data, /data, /fast; write one such as /fast/workspace.',
        ),
        "cwd-beside": (
            "settings: {terminal: {cwd: /data2}}",
            'settings.terminal.cwd: "/data2" is not in a directory that Hermes may write, which are /opt/data, /data, /fast; write one such as /fast/workspace.',
        ),
        "cwd-dots": (
            "settings: {terminal: {cwd: /data/../x}}",
            'settings.terminal.cwd: "/data/../x" is not a plain absolute path; write one such as /fast/workspace.',
        ),
        "cwd-colon": (
            'settings: {terminal: {cwd: "/data/a:b"}}',
            'settings.terminal.cwd: "/data/a:b" is not a plain absolute path; write one such as /fast/workspace.',
        ),
        "timeout": (
            "settings: {terminal: {timeout: 0}}",
            "settings.terminal.timeout: 0 is not a number of seconds; write a whole number from 1 to 86400.",
        ),
    },
    "rest of settings": {
        "toolsets": (
            "settings: {platform_toolsets: {telegram: web}}",
            'settings.platform_toolsets.telegram: "web" is not a list; write one such as [first, second].',
        ),
        "toolset": (
            'settings: {platform_toolsets: {telegram: ["a b"]}}',
            'settings.platform_toolsets.telegram.0: "a b" is not the name of a tool or toolset; write letters, digits and _ . : * -, such as web.',
        ),
        "toolset-twice": (
            "settings: {platform_toolsets: {telegram: [web, web]}}",
            'settings.platform_toolsets.telegram: "web" stands twice in the list; keep one.',
        ),
        "threshold": (
            "settings: {compression: {threshold: 1.5}}",
            "settings.compression.threshold: 1.5 is not a fraction; write a number from 0 to 1.",
        ),
        "threshold-negative": (
            "settings: {compression: {threshold: -0.1}}",
            "settings.compression.threshold: -0.1 is not a fraction; write a number from 0 to 1.",
        ),
        "approvals": (
            "settings: {approvals: {mode: auto}}",
            'settings.approvals.mode: "auto" is not known here; write smart, manual or off.',
        ),
        "cron-mode": (
            "settings: {approvals: {cron_mode: allow}}",
            'settings.approvals.cron_mode: "allow" is not known here; write deny or approve.',
        ),
        "memory": (
            "settings: {memory: {memory_enabled: yes}}",
            'settings.memory.memory_enabled: "yes" is neither true nor false; write true or false, without quotes.',
        ),
        "redact": (
            "settings: {security: {redact_secrets: null}}",
            "settings.security.redact_secrets: null is neither true nor false; write true or false, without quotes.",
        ),
        "list": ("settings: []", "settings: a list is not a mapping; write keys and values, or leave settings out."),
        "section": (
            "settings: {terminal: []}",
            "settings.terminal: a list is not a mapping; write keys and values, or leave terminal out.",
        ),
    },
    "mcp": {
        "both": (
            'settings: {mcp_servers: {a: {command: npx, url: "https://h"}}}',
            "settings.mcp_servers.a: command and url are both given; keep one of them.",
        ),
        "neither": (
            "settings: {mcp_servers: {a: {enabled: false}}}",
            "settings.mcp_servers.a: command and url are both missing; write one of them.",
        ),
        "oauth-of-a-command": (
            "settings: {mcp_servers: {a: {command: x, auth: oauth}}}",
            "settings.mcp_servers.a: only a server with url has auth; leave it out.",
        ),
        "headers-and-sse-of-a-command": (
            "settings: {mcp_servers: {a: {command: x, headers: {a: b}, transport: sse}}}",
            "settings.mcp_servers.a: only a server with url has headers or transport; leave it out.",
        ),
        "args-of-an-url": (
            'settings: {mcp_servers: {a: {url: "https://h", args: [x]}}}',
            "settings.mcp_servers.a: only a server with command has args; leave it out.",
        ),
        "auth": (
            'settings: {mcp_servers: {a: {url: "https://h", auth: basic}}}',
            'settings.mcp_servers.a.auth: "basic" is no login that Hermes makes; leave auth out, and write headers, such as {Authorization: "Bearer ${NAME}"}.',
        ),
        "transport": (
            'settings: {mcp_servers: {a: {url: "https://h", transport: http}}}',
            'settings.mcp_servers.a.transport: "http" is what Hermes speaks without being told; leave transport out.',
        ),
        "no-tools": (
            "settings: {mcp_servers: {a: {command: x, tools: {include: []}}}}",
            "settings.mcp_servers.a.tools: include and exclude are both empty; write names in one, or leave tools out.",
        ),
        "tools-twice": (
            "settings: {mcp_servers: {a: {command: x, tools: {include: [a, b], exclude: [b]}}}}",
            "settings.mcp_servers.a.tools: include and exclude both have b; keep each in one of them.",
        ),
        "log-level": (
            "settings: {mcp_servers: {a: {command: x, sampling: {log_level: trace}}}}",
            'settings.mcp_servers.a.sampling.log_level: "trace" is not known here; write debug, info or warning.',
        ),
        "max-rpm": (
            "settings: {mcp_servers: {a: {command: x, sampling: {max_rpm: 0}}}}",
            "settings.mcp_servers.a.sampling.max_rpm: 0 is not a number; write a whole number from 1 to 1000000.",
        ),
        "name": (
            'settings: {mcp_servers: {"a b": {command: x}}}',
            'settings.mcp_servers."a b": "a b" is not the name of an MCP server; write letters, digits, - and _, such as github.',
        ),
        "timeout": (
            "settings: {mcp_servers: {a: {command: x, timeout: 0}}}",
            "settings.mcp_servers.a.timeout: 0 is not a number of seconds; write a whole number from 1 to 86400.",
        ),
        "connect-timeout": (
            "settings: {mcp_servers: {a: {command: x, connect_timeout: 1.5}}}",
            "settings.mcp_servers.a.connect_timeout: 1.5 is not a number of seconds; write a whole number from 1 to 86400.",
        ),
        "url": (
            'settings: {mcp_servers: {a: {url: "ftp://h"}}}',
            'settings.mcp_servers.a.url: "ftp://h" is not an URL; write one that starts with http:// or https://.',
        ),
    },
    "environment": {
        "openai-base-url": (
            "environment: {OPENAI_BASE_URL: x}",
            "environment.OPENAI_BASE_URL: this is ignored by Hermes, which then sends the key to a third party; write settings.providers.<name>.base_url.",
        ),
        "custom-base-url": (
            "environment: {CUSTOM_BASE_URL: x}",
            "environment.CUSTOM_BASE_URL: this makes Hermes pass over the endpoint that is declared here; write settings.providers.<name>.base_url.",
        ),
        "openai-model": (
            "environment: {OPENAI_MODEL: x}",
            "environment.OPENAI_MODEL: this is not read by Hermes any more; write settings.model.default.",
        ),
        "llm-model": (
            "environment: {LLM_MODEL: x}",
            "environment.LLM_MODEL: this is not read by Hermes any more; write settings.model.default.",
        ),
        "messaging-cwd": (
            "environment: {MESSAGING_CWD: x}",
            "environment.MESSAGING_CWD: this is not read by Hermes any more; write settings.terminal.cwd.",
        ),
        "terminal-cwd": (
            "environment: {TERMINAL_CWD: x}",
            "environment.TERMINAL_CWD: this is not read by Hermes any more; write settings.terminal.cwd.",
        ),
        "insecure": (
            "environment: {HERMES_DASHBOARD_INSECURE: x}",
            "environment.HERMES_DASHBOARD_INSECURE: this does nothing any more; write dashboard.auth.",
        ),
        "dashboard": (
            "environment: {HERMES_DASHBOARD_HOST: x}",
            "environment.HERMES_DASHBOARD_HOST: this is set here; write dashboard.enabled and the keys beside it.",
        ),
        "dashboard-password": (
            "environment: {HERMES_DASHBOARD_BASIC_AUTH_PASSWORD: x}",
            "environment.HERMES_DASHBOARD_BASIC_AUTH_PASSWORD: this is a secret that dashboard.auth: basic brings along; leave it out.",
        ),
        "supervisor": (
            "environment: {HERMES_GATEWAY_NO_SUPERVISE: '1'}",
            "environment.HERMES_GATEWAY_NO_SUPERVISE: this starts a second gateway on the same data beside the one that the image's supervisor starts; leave it out.",
        ),
        "variable-of-the-supervisor": (
            "environment: {HERMES_S6_SUPERVISED_CHILD: '1'}",
            "environment.HERMES_S6_SUPERVISED_CHILD: this starts a second gateway on the same data beside the one that the image's supervisor starts; leave it out.",
        ),
        "home": (
            "environment: {HERMES_HOME: x}",
            "environment.HERMES_HOME: this is always /opt/data; write data_directory for what lies there.",
        ),
        "uid": (
            "environment: {HERMES_UID: x}",
            "environment.HERMES_UID: this is always 10000, whom the workspaces belong to; leave it out.",
        ),
        "gid": (
            "environment: {HERMES_GID: x}",
            "environment.HERMES_GID: this is always 10000, whom the workspaces belong to; leave it out.",
        ),
        "puid": (
            "environment: {PUID: x}",
            "environment.PUID: this is always 10000, whom the workspaces belong to; leave it out.",
        ),
        "managed": (
            "environment: {HERMES_MANAGED: x}",
            "environment.HERMES_MANAGED: this decides where Hermes finds what is declared here; leave it out.",
        ),
        "managed-dir": (
            "environment: {HERMES_MANAGED_DIR: x}",
            "environment.HERMES_MANAGED_DIR: this decides where Hermes finds what is declared here; leave it out.",
        ),
        "safe-root": (
            "environment: {HERMES_WRITE_SAFE_ROOT: x}",
            "environment.HERMES_WRITE_SAFE_ROOT: this follows from the agent's mounts; write mounts.",
        ),
        "auth-json": (
            "environment: {HERMES_AUTH_JSON_BOOTSTRAP: x}",
            "environment.HERMES_AUTH_JSON_BOOTSTRAP: this is what auth does; write auth.",
        ),
        "supervisors-time-to-stop": (
            'environment: {S6_KILL_FINISH_MAXTIME: "5000"}',
            "environment.S6_KILL_FINISH_MAXTIME: this is what the image's supervisor makes of the time to stop; write stop_grace_seconds.",
        ),
        "supervisors-grace": (
            'environment: {S6_KILL_GRACETIME: "0"}',
            "environment.S6_KILL_GRACETIME: this is what the image's supervisor makes of the time to stop; write stop_grace_seconds.",
        ),
        "terminals-scratch": (
            "environment: {TERMINAL_TEMP_DIR: /data/scratch}",
            "environment.TERMINAL_TEMP_DIR: this is set here; write settings.terminal.temp_dir.",
        ),
        "api-server-port": (
            "environment: {API_SERVER_PORT: x}",
            "environment.API_SERVER_PORT: this is set here; write api_server.port.",
        ),
        "api-server-cors": (
            "environment: {API_SERVER_CORS_ORIGINS: x}",
            "environment.API_SERVER_CORS_ORIGINS: this is set here; write api_server.cors_origins.",
        ),
        "api-server-enabled": (
            "environment: {API_SERVER_ENABLED: x}",
            "environment.API_SERVER_ENABLED: this is always true, since the health of the agent is asked there; leave it out.",
        ),
        "api-server-key": (
            "environment: {API_SERVER_KEY: x}",
            "environment.API_SERVER_KEY: this is a secret that Hermes gets anyway; leave it out.",
        ),
        "telegram-users": (
            "environment: {TELEGRAM_ALLOWED_USERS: x}",
            "environment.TELEGRAM_ALLOWED_USERS: this is set here; write it under platforms.telegram.",
        ),
        "slack-everybody": (
            "environment: {SLACK_ALLOW_ALL_USERS: x}",
            "environment.SLACK_ALLOW_ALL_USERS: this is set here; write platforms.slack.allow_all.",
        ),
        "discord-token": (
            "environment: {DISCORD_BOT_TOKEN: x}",
            "environment.DISCORD_BOT_TOKEN: this is a secret that platforms.discord brings along; leave it out.",
        ),
        "slack-token": (
            "environment: {SLACK_APP_TOKEN: x}",
            "environment.SLACK_APP_TOKEN: this is a secret that platforms.slack brings along; leave it out.",
        ),
        "everybody": (
            "environment: {GATEWAY_ALLOW_ALL_USERS: x}",
            "environment.GATEWAY_ALLOW_ALL_USERS: this is about all platforms; write allow_all or allowed_users under the platform.",
        ),
        "reference": (
            'environment: {FOO: "${BAR}"}',
            'environment.FOO: "${BAR}" refers to another variable; write the value, or list the name under secrets.',
        ),
        "number": ("environment: {FOO: 1}", "environment.FOO: 1 is not text; write it in quotes."),
        "line-break": (
            'environment: {FOO: "a\\nb"}',
            "environment.FOO: the text has a line break, which no variable can have; write one line.",
        ),
        "lower-case": (
            "environment: {foo: x}",
            "environment.foo: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "path": (
            "environment: {PATH: x}",
            'environment.PATH: "PATH" decides which programs run in the guest; leave it out.',
        ),
        "operator": (
            "environment: {TF_LOG: x}",
            'environment.TF_LOG: "TF_LOG" is for the operator, never for an agent; leave it out.',
        ),
        "list": (
            "environment: [A=b]",
            "environment: a list is not a mapping; write keys and values, or leave environment out.",
        ),
    },
    "secrets": {
        "text": (
            "secrets: hunter2",
            "secrets: this is neither a list of names nor a mapping; write the names of environment variables, such as [FIRECRAWL_API_KEY].",
        ),
        "value": (
            "secrets: [hunter2]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "value-of-a-mapping": (
            "secrets: {FOO: hunter2}",
            "secrets.FOO: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "value-as-a-key": (
            "secrets: {hunter2: FOO}",
            "secrets: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "number": (
            "secrets: [1]",
            "secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "setting": ("secrets: [API_SERVER_PORT]", "secrets.API_SERVER_PORT: this is set here; write api_server.port."),
        "dead": (
            "secrets: [OPENAI_BASE_URL]",
            'secrets.0: "OPENAI_BASE_URL" is ignored by Hermes, which then sends the key to a third party; leave it out.',
        ),
        "path": ("secrets: [PATH]", 'secrets.0: "PATH" decides which programs run in the guest; leave it out.'),
        "telegram": (
            "secrets: [TELEGRAM_BOT_TOKEN]",
            "secrets.TELEGRAM_BOT_TOKEN: this turns Telegram on with nothing said about who may talk to the agent; write platforms.telegram.",
        ),
        "slack": (
            "secrets: {SLACK_APP_TOKEN: MY_TOKEN}",
            "secrets.SLACK_APP_TOKEN: this turns Slack on with nothing said about who may talk to the agent; write platforms.slack.",
        ),
        "in-environment-too": (
            "secrets: [FOO], environment: {FOO: x}",
            "secrets.FOO: environment has this name too; keep one of them.",
        ),
    },
    "platforms": {
        "nobody-telegram": (
            "platforms: {telegram: {}}",
            "platforms.telegram: nobody may talk to the agent; write allowed_users or group_allowed_users.",
        ),
        "nobody-discord": (
            'platforms: {discord: {home_channel: "123456"}}',
            "platforms.discord: nobody may talk to the agent; write allowed_users.",
        ),
        "nobody-slack": (
            "platforms: {slack: {allowed_users: []}}",
            "platforms.slack: nobody may talk to the agent; write allowed_users.",
        ),
        "everybody-and-some": (
            "platforms: {telegram: {allowed_users: [123456], allow_all: true}}",
            "platforms.telegram: allow_all lets everybody in, and allowed_users would not matter; leave allow_all out.",
        ),
        "everybody-and-groups": (
            "platforms: {telegram: {group_allowed_chats: [-123456], group_allowed_users: [123456], allow_all: true}}",
            "platforms.telegram: allow_all lets everybody in, and group_allowed_users and group_allowed_chats would not matter; leave allow_all out.",
        ),
        "telegram-name": (
            "platforms: {telegram: {allowed_users: [me]}}",
            'platforms.telegram.allowed_users.0: "me" is not a numeric id; write the number, not the name.',
        ),
        "telegram-star": (
            'platforms: {telegram: {allowed_users: ["*"]}}',
            'platforms.telegram.allowed_users.0: "*" is not a numeric id; write the number, not the name.',
        ),
        "telegram-chat-as-user": (
            "platforms: {telegram: {allowed_users: [-123456]}}",
            'platforms.telegram.allowed_users.0: "-123456" is not a numeric id; write the number, not the name.',
        ),
        "telegram-user-twice": (
            'platforms: {telegram: {allowed_users: [123456, "123456"]}}',
            'platforms.telegram.allowed_users: "123456" stands twice in the list; keep one.',
        ),
        "telegram-home": (
            'platforms: {telegram: {allowed_users: [123456], home_channel: "#home"}}',
            'platforms.telegram.home_channel: "#home" is not a numeric id; write the number, not the name.',
        ),
        "telegram-typo": (
            "platforms: {telegram: {allowed_user: [123456], allow_all: true}}",
            "platforms.telegram.allowed_user: there is no such setting; did you mean allowed_users?",
        ),
        "telegram-proxy": (
            'platforms: {telegram: {allowed_users: [123456], proxy: "socks5://me:hunter2@h:1080"}}',
            "platforms.telegram.proxy: the value, hidden because it may be a secret, is not the URL of a proxy; write one without credentials, such as socks5://10.1.10.1:1080.",
        ),
        "telegram-webhook": (
            "platforms: {telegram: {allowed_users: [123456], webhook_url: h}}",
            'platforms.telegram.webhook_url: "h" is not an URL; write one that starts with http:// or https://.',
        ),
        "telegram-base-url": (
            'platforms: {telegram: {allowed_users: [123456], base_url: "http://me:hunter2@h/bot"}}',
            "platforms.telegram.base_url: the URL carries a user name or a password; write it without, and put credentials into the environment.",
        ),
        "discord-name": (
            'platforms: {discord: {allowed_users: ["name#1"]}}',
            'platforms.discord.allowed_users.0: "name#1" is not a numeric id; write the number, not the name.',
        ),
        "discord-role": (
            "platforms: {discord: {allowed_roles: [admins]}}",
            'platforms.discord.allowed_roles.0: "admins" is not a numeric id; write the number, not the name.',
        ),
        "slack-name": (
            "platforms: {slack: {allowed_users: [me]}}",
            'platforms.slack.allowed_users.0: "me" is not the id of a Slack member; write one that starts with U or W, such as U012AB3CD.',
        ),
        "slack-lower-case": (
            "platforms: {slack: {allowed_users: [u012ab3cd]}}",
            'platforms.slack.allowed_users.0: "u012ab3cd" is not the id of a Slack member; write one that starts with U or W, such as U012AB3CD.',
        ),
        "slack-channel": (
            "platforms: {slack: {allowed_users: [U012AB3CD], home_channel: general}}",
            'platforms.slack.home_channel: "general" is not the id of a Slack channel; write one that starts with C, D or G.',
        ),
        "another": (
            "platforms: {matrix: {}}",
            "platforms.matrix: variables turn this one on; leave it out here, and write MATRIX_ACCESS_TOKEN under secrets (docs/hermes.md, other messengers).",
        ),
        "flag": (
            "platforms: {slack: {allow_all: yes}}",
            'platforms.slack.allow_all: "yes" is neither true nor false; write true or false, without quotes.',
        ),
    },
    "dashboard": {
        "open-in-a-bridge": (
            "network_mode: bridge, dashboard: {enabled: true}",
            "dashboard.auth: with network_mode: bridge Hermes starts no dashboard that nobody is asked a password for; write auth: basic and username.",
        ),
        "open-in-a-bridge-of-a-profile": (
            "network_mode: bridge, profiles: {work: {api_server: {port: 8643}, dashboard: {enabled: true}}}",
            "profiles.work.dashboard.auth: with network_mode: bridge Hermes starts no dashboard that nobody is asked a password for; write auth: basic and username.",
        ),
        "open": (
            "dashboard: {enabled: true, host: 0.0.0.0}",
            "dashboard.auth: the dashboard would listen on 0.0.0.0 with nobody asked for a password, and Hermes refuses to start it so; write auth: basic and username, or host: 127.0.0.1.",
        ),
        "basic-without-name": (
            "dashboard: {enabled: true, host: 0.0.0.0, auth: basic}",
            "dashboard.username: auth: basic needs this; write it.",
        ),
        "oidc-without-client": (
            'dashboard: {auth: oidc, oidc_issuer: "https://h"}',
            "dashboard.oidc_client_id: auth: oidc needs this; write it.",
        ),
        "oidc-without-issuer": (
            "dashboard: {auth: oidc, oidc_client_id: x}",
            "dashboard.oidc_issuer: auth: oidc needs this; write it.",
        ),
        "nous-without-client": (
            "dashboard: {auth: nous}",
            "dashboard.oauth_client_id: auth: nous needs this; write it.",
        ),
        "of-another": (
            'dashboard: {auth: basic, username: me, oidc_issuer: "https://h"}',
            "dashboard.oidc_issuer: this belongs to auth: oidc; write that too, or leave it out.",
        ),
        "name-without-auth": (
            "dashboard: {username: me}",
            "dashboard.username: this belongs to auth: basic; write that too, or leave it out.",
        ),
        "port": (
            "dashboard: {enabled: true, port: 8642}",
            "dashboard.port: the API server has the port 8642; write another one.",
        ),
        "low-port": (
            "dashboard: {port: 80}",
            "dashboard.port: 80 is not a port for a program that is not root; write a whole number from 1024 to 65535.",
        ),
        "auth": ("dashboard: {auth: none}", 'dashboard.auth: "none" is not known here; write basic, oidc or nous.'),
        "host": (
            "dashboard: {host: localhost}",
            'dashboard.host: "localhost" is not an address; write an IPv4 address such as 127.0.0.1.',
        ),
        "public-url": (
            "dashboard: {public_url: h}",
            'dashboard.public_url: "h" is not an URL; write one that starts with http:// or https://.',
        ),
    },
    "api server": {
        "host": (
            'api_server: {host: "::1"}',
            'api_server.host: "::1" is not an address; write an IPv4 address such as 127.0.0.1.',
        ),
        "octet": (
            "api_server: {host: 127.0.0.256}",
            'api_server.host: "127.0.0.256" is not an address; write an IPv4 address such as 127.0.0.1.',
        ),
        "port": (
            "api_server: {port: 70000}",
            "api_server.port: 70000 is not a port for a program that is not root; write a whole number from 1024 to 65535.",
        ),
        "low-port": (
            "api_server: {port: 443}",
            "api_server.port: 443 is not a port for a program that is not root; write a whole number from 1024 to 65535.",
        ),
        "port-quoted": (
            'api_server: {port: "8642"}',
            'api_server.port: "8642" is text, not a number; write it without quotes.',
        ),
        "origin-path": (
            'api_server: {cors_origins: ["https://h/x"]}',
            'api_server.cors_origins.0: "https://h/x" is more than an origin; write https://h.',
        ),
        "origin": (
            "api_server: {cors_origins: [h]}",
            'api_server.cors_origins.0: "h" is not an origin; write one such as https://chat.home.arpa.',
        ),
    },
    "image": {
        "tag": (
            'image: {tag: "a b"}',
            f'image.tag: "a b" is not a tag; write letters, digits, dots, hyphens and underscores, such as {RELEASE}.',
        ),
        "digest": (
            'image: {digest: "sha256:aaa"}',
            'image.digest: "sha256:aaa" is not a digest; write sha256: and 64 hexadecimal digits.',
        ),
        "digest-md5": (
            'image: {digest: "md5:aaa"}',
            'image.digest: "md5:aaa" is not a digest; write sha256: and 64 hexadecimal digits.',
        ),
        "tag-in-the-name": (
            'image: {repository: "nousresearch/hermes-agent:latest"}',
            'image.repository: "nousresearch/hermes-agent:latest" is not an image; write its name without a tag, such as nousresearch/hermes-agent.',
        ),
        "name": (
            'image: {repository: "a//b"}',
            'image.repository: "a//b" is not an image; write its name without a tag, such as nousresearch/hermes-agent.',
        ),
        "package": (
            'image: {apt_packages: ["a;b"]}',
            'image.apt_packages.0: "a;b" is not a Debian package; write its name, such as libasound2-plugins.',
        ),
        "text": (
            "image: nousresearch/hermes-agent",
            'image: "nousresearch/hermes-agent" is not a mapping; write keys and values, or leave image out.',
        ),
    },
    "docker": {
        "source": ("docker: {source: podman}", 'docker.source: "podman" is not known here; write docker or debian.'),
        "mirror": (
            "docker: {registry_mirrors: [mirror.home.arpa]}",
            'docker.registry_mirrors.0: "mirror.home.arpa" is not an URL; write one that starts with http:// or https://.',
        ),
        "network-mode": ("network_mode: none", 'network_mode: "none" is not known here; write host or bridge.'),
        "networks-of-host": (
            "networks: {web: {}}",
            "networks: with network_mode: host all services are in the container's own network, where Docker has none to offer; leave it out, or write network_mode: bridge.",
        ),
        "restart": (
            "restart: never",
            'restart: "never" is not known here; write unless-stopped, always, on-failure or no.',
        ),
        "restart-false": (
            "restart: false",
            "restart: false is not known here; write unless-stopped, always, on-failure or no.",
        ),
        "retries": (
            "healthcheck: {retries: 0}",
            "healthcheck.retries: 0 is not a number of checks; write a whole number from 1 to 100.",
        ),
        "interval": (
            "healthcheck: {interval_seconds: 0}",
            "healthcheck.interval_seconds: 0 is not a number of seconds; write a whole number from 1 to 86400.",
        ),
        "answer": (
            "answer_seconds: 0",
            "answer_seconds: 0 is not a number of seconds; write a whole number from 1 to 86400.",
        ),
        "log-size": ("logging: {max_size: 10}", "logging.max_size: 10 is not text; write a size in quotes."),
        "log-files": (
            "logging: {max_file: 0}",
            "logging.max_file: 0 is not a number of files; write a whole number from 1 to 1000.",
        ),
        "cookie": (
            "audio: {}",
            "audio.pulse_cookie: this is missing; write where PulseAudio's cookie is in the container, such as /mnt/pulse/cookie.",
        ),
        "socket": (
            "audio: {pulse_socket: pulse, pulse_cookie: /c}",
            'audio.pulse_socket: "pulse" is not a path; write an absolute one without a slash at its end, such as /mnt/pulse.',
        ),
        "arguments": (
            "extra_args: [--verbose]",
            "extra_args: the image's supervisor starts `hermes gateway run` by itself, and drops every further argument; write settings.logging.level: DEBUG for --verbose, settings.hooks_auto_accept: true for --accept-hooks, and leave all others out.",
        ),
        "auth-file": (
            "auth: {file: auth.json}",
            "auth.file: there is no such setting; write one of secret, overwrite.",
        ),
        "auth-value": (
            "auth: {secret: hunter2}",
            "auth.secret: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
    },
    "limits": {
        "memory": ("limits: {memory: 512m}", 'limits.memory: "512m" is less than Hermes needs; write at least 1g.'),
        "memory-number": ("limits: {memory: 3}", "limits.memory: 3 is not text; write a size in quotes."),
        "memory-of-the-container": (
            "limits: {memory: 4.1g}",
            "limits.memory: 4.1g is more than the container's 4096 MiB; write less, or null for no limit.",
        ),
        "cpus": ("limits: {cpus: 0}", "limits.cpus: 0 is no CPU time at all; write more, or null for no limit."),
        "cpus-of-the-container": (
            "limits: {cpus: 2.5}",
            "limits.cpus: 2.5 is more than the container's 2 cores; write less, or null for no limit.",
        ),
        "pids": (
            "limits: {pids: 1}",
            "limits.pids: 1 is not a number of processes; write a whole number from 64 to 4194304.",
        ),
        "shm": (
            "shm_size: 1GB",
            'shm_size: "1GB" is not a size; write a number with k, m or g behind it, such as "1g".',
        ),
    },
    "data directory": {
        "relative": (
            "data_directory: data",
            'data_directory: "data" is not a path in the container; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "root": (
            "data_directory: /",
            'data_directory: "/" is not a path in the container; write an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters.',
        ),
        "etc": (
            "data_directory: /etc/hermes",
            'data_directory: "/etc/hermes" belongs to the system; write another directory, such as /opt/hermes-data.',
        ),
        "docker": (
            "data_directory: /var/lib/docker/x",
            'data_directory: "/var/lib/docker/x" belongs to the system; write another directory, such as /opt/hermes-data.',
        ),
        "ours": (
            "data_directory: /var/lib/pve-agents/x",
            'data_directory: "/var/lib/pve-agents/x" belongs to the system; write another directory, such as /opt/hermes-data.',
        ),
        "payload": (
            "data_directory: /opt/pve-agents/hermes",
            'data_directory: "/opt/pve-agents/hermes" belongs to the system; write another directory, such as /opt/hermes-data.',
        ),
        "usr": (
            "data_directory: /usr/local/hermes",
            'data_directory: "/usr/local/hermes" belongs to the system; write another directory, such as /opt/hermes-data.',
        ),
        "var": (
            "data_directory: /var",
            'data_directory: "/var" belongs to the system of the container; write another path, such as /data.',
        ),
        "shared": (
            "data_directory: /data/hermes, profiles: {work: {api_server: {port: 8643}}}",
            'data_directory: "/data/hermes" lies in the mount "/data", which every profile has; write a directory outside the mounts.',
        ),
    },
    "volumes": {
        "name": (
            'volumes: ["books:/srv/books"]',
            'volumes.0: "books:/srv/books" is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.',
        ),
        "half": (
            'volumes: ["/srv/books"]',
            'volumes.0: "/srv/books" is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.',
        ),
        "mode": (
            'volumes: ["/srv/books:/srv/books:rx"]',
            'volumes.0: "/srv/books:/srv/books:rx" ends in "rx", which is no mode of a volume; write ro in its place.',
        ),
        "four": (
            'volumes: ["/srv/books:/srv/books:ro:z"]',
            'volumes.0: "/srv/books:/srv/books:ro:z" is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.',
        ),
        "dots": (
            'volumes: ["/srv/../etc:/x"]',
            'volumes.0: "/srv/../etc:/x" is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.',
        ),
        "number": (
            "volumes: [1]",
            "volumes.0: 1 is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.",
        ),
        "text": ("volumes: /srv:/x", 'volumes: "/srv:/x" is not a list; write one such as [first, second].'),
        "twice": ('volumes: ["/srv:/x", "/srv:/x"]', 'volumes: "/srv:/x" stands twice in the list; keep one.'),
        "docker-socket": (
            'volumes: ["/var/run/docker.sock:/var/run/docker.sock"]',
            'volumes.0: "/var/run/docker.sock" gives Docker away, and who speaks to Docker is root in the LXC container; leave it out.',
        ),
        "docker-socket-elsewhere": (
            'volumes: ["/srv/docker.sock:/x:ro"]',
            'volumes.0: "/srv/docker.sock" gives Docker away, and who speaks to Docker is root in the LXC container; leave it out.',
        ),
        "root": (
            'volumes: ["/:/host:ro"]',
            "volumes.0: \"/\" holds Docker's socket, this project's secrets or the system; write another directory, such as /srv/books.",
        ),
        "etc": (
            'volumes: ["/etc:/x"]',
            "volumes.0: \"/etc\" holds Docker's socket, this project's secrets or the system; write another directory, such as /srv/books.",
        ),
        "secrets-of-others": (
            'volumes: ["/var/lib/pve-agents/hermes:/x"]',
            "volumes.0: \"/var/lib/pve-agents/hermes\" holds Docker's socket, this project's secrets or the system; write another directory, such as /srv/books.",
        ),
        "above-docker": (
            'volumes: ["/var/lib:/x"]',
            "volumes.0: \"/var/lib\" holds Docker's socket, this project's secrets or the system; write another directory, such as /srv/books.",
        ),
        "over-data": (
            'volumes: ["/srv:/opt/data"]',
            'volumes.0: "/opt/data" is Hermes\' own in its container; write another place, such as /srv.',
        ),
        "in-data": (
            'volumes: ["/srv:/opt/data/x"]',
            'volumes.0: "/opt/data/x" is Hermes\' own in its container; write another place, such as /srv.',
        ),
        "over-managed": (
            'volumes: ["/srv:/managed"]',
            'volumes.0: "/managed" is Hermes\' own in its container; write another place, such as /srv.',
        ),
        "in-hermes": (
            'volumes: ["/srv:/opt/hermes/x"]',
            'volumes.0: "/opt/hermes/x" is Hermes\' own in its container; write another place, such as /srv.',
        ),
        "above-data": (
            'volumes: ["/srv:/opt"]',
            'volumes.0: "/opt" is Hermes\' own in its container; write another place, such as /srv.',
        ),
        "over-root": (
            'volumes: ["/srv:/"]',
            'volumes.0: "/srv:/" would hide the whole container; write a directory in it.',
        ),
        "over-a-mount": ('volumes: ["/srv:/data"]', 'volumes.0: "/data" is a mount of the agent; write another place.'),
    },
    "documents": {
        "missing-file": (
            "documents: {AGENTS.md: {file: nope.md}}",
            'documents."AGENTS.md": "nope.md" does not exist; name a file relative to homelab.yaml.',
        ),
        "directory": ("documents: {AGENTS.md: {file: .}}", 'documents."AGENTS.md": "." is a directory; name a file.'),
        "absolute": (
            "documents: {/etc/x: y}",
            'documents."/etc/x": "/etc/x" is not a document; write SOUL.md, USER.md, MEMORY.md, AGENTS.md, or a path below the working directory.',
        ),
        "parent": (
            "documents: {../x: y}",
            'documents."../x": "../x" is not a document; write SOUL.md, USER.md, MEMORY.md, AGENTS.md, or a path below the working directory.',
        ),
        "mapping": (
            "documents: {SOUL.md: {path: x}}",
            'documents."SOUL.md": this is neither a text nor a file; write the text, or {file: path}.',
        ),
        "file-number": (
            "documents: {SOUL.md: {file: 1}}",
            'documents."SOUL.md": this is neither a text nor a file; write the text, or {file: path}.',
        ),
        "number": (
            "documents: {SOUL.md: 1}",
            'documents."SOUL.md": 1 is neither a text nor a file; write the text, or {file: path}.',
        ),
        "list": (
            "documents: [x]",
            "documents: a list is not a mapping; write keys and values, or leave documents out.",
        ),
    },
    "config file": {
        "missing": (
            "config_file: nope.yaml",
            'config_file: "nope.yaml" does not exist; name a file relative to homelab.yaml.',
        ),
        "directory": ("config_file: .", 'config_file: "." is a directory; name a file.'),
    },
    "sidecars": {
        "no-tag": (
            "sidecars: {browser: {image: browserless/chrome}}",
            'sidecars.browser.image: "browserless/chrome" is not an image with a tag; write its name with a tag or digest, such as redis:8.2.',
        ),
        "no-image": (
            "sidecars: {browser: {}}",
            "sidecars.browser.image: this is missing; write the image with its tag, such as redis:8.2.",
        ),
        "privileged": (
            'sidecars: {browser: {image: "a:1", privileged: true}}',
            "sidecars.browser.privileged: who is privileged is root in the LXC container; leave it out.",
        ),
        "pid": (
            'sidecars: {browser: {image: "a:1", pid: host}}',
            "sidecars.browser.pid: no sidecar sees the processes of another container; leave it out.",
        ),
        "ipc": (
            'sidecars: {browser: {image: "a:1", ipc: host}}',
            "sidecars.browser.ipc: no sidecar shares memory with another container; leave it out.",
        ),
        "userns": (
            'sidecars: {browser: {image: "a:1", userns_mode: host}}',
            "sidecars.browser.userns_mode: ids stay as Docker has them; leave it out.",
        ),
        "uts": (
            'sidecars: {browser: {image: "a:1", uts: host}}',
            "sidecars.browser.uts: a sidecar has its own host name; leave it out.",
        ),
        "cap-add": (
            'sidecars: {browser: {image: "a:1", cap_add: [SYS_ADMIN]}}',
            "sidecars.browser.cap_add: more rights than a container has by default are not given here; leave it out.",
        ),
        "security-opt": (
            'sidecars: {browser: {image: "a:1", security_opt: ["seccomp:unconfined"]}}',
            "sidecars.browser.security_opt: the guards of a container stay on; leave it out.",
        ),
        "devices": (
            'sidecars: {browser: {image: "a:1", devices: [/dev/kvm]}}',
            'sidecars.browser.devices.0: "/dev/kvm" is no device of the agent; write it under agents.hermes.devices too.',
        ),
        "device": (
            'sidecars: {browser: {image: "a:1", devices: [kvm]}}',
            'sidecars.browser.devices.0: "kvm" is not a device; write one such as /dev/dri/renderD128.',
        ),
        "gpus": (
            'sidecars: {browser: {image: "a:1", gpus: all}}',
            "sidecars.browser.gpus: a GPU comes by the paths of its devices, such as /dev/dri/renderD128; write devices.",
        ),
        "network-mode": (
            'sidecars: {browser: {image: "a:1", network_mode: host}}',
            "sidecars.browser.network_mode: a sidecar is in the network that Hermes' own network_mode says; leave it out.",
        ),
        "env-file": (
            'sidecars: {browser: {image: "a:1", env_file: .env}}',
            "sidecars.browser.env_file: secrets come by their names; write secrets.",
        ),
        "api-socket": (
            'sidecars: {browser: {image: "a:1", use_api_socket: true}}',
            "sidecars.browser.use_api_socket: who speaks to Docker is root in the LXC container; leave it out.",
        ),
        "post-start": (
            'sidecars: {browser: {image: "a:1", post_start: [{command: x, privileged: true}]}}',
            "sidecars.browser.post_start: a command in a running container may be privileged, and so root in the LXC container; leave it out.",
        ),
        "volume-over-root": (
            'sidecars: {browser: {image: "a:1", volumes: ["/srv:/"]}}',
            'sidecars.browser.volumes.0: "/srv:/" would hide the whole container; write a directory in it.',
        ),
        "build": (
            'sidecars: {browser: {image: "a:1", build: .}}',
            "sidecars.browser.build: an image is made elsewhere; write image.",
        ),
        "container-name": (
            'sidecars: {browser: {image: "a:1", container_name: x}}',
            "sidecars.browser.container_name: the name is made from the agent's and the sidecar's; leave it out.",
        ),
        "ports-of-host": (
            'sidecars: {browser: {image: "a:1", ports: ["8080:80"]}}',
            "sidecars.browser.ports: with network_mode: host all services are in the container's own network, where Docker has none to offer; leave it out, or write network_mode: bridge.",
        ),
        "networks-of-host": (
            'sidecars: {browser: {image: "a:1", networks: [web]}}',
            "sidecars.browser.networks: with network_mode: host all services are in the container's own network, where Docker has none to offer; leave it out, or write network_mode: bridge.",
        ),
        "unknown-network": (
            'network_mode: bridge, sidecars: {browser: {image: "a:1", networks: [web]}}',
            "sidecars.browser.networks: web is not under networks; write it there too.",
        ),
        "port": (
            'network_mode: bridge, sidecars: {browser: {image: "a:1", ports: [8080]}}',
            "sidecars.browser.ports.0: 8080 is not text; write a port in quotes.",
        ),
        "name-of-hermes": (
            'sidecars: {hermes: {image: "a:1"}}',
            "sidecars.hermes: a profile's service has this name; write another one.",
        ),
        "name-of-a-profile": (
            'profiles: {work: {api_server: {port: 8643}}}, sidecars: {hermes-work: {image: "a:1"}}',
            "sidecars.hermes-work: a profile's service has this name; write another one.",
        ),
        "container-of-a-profile": (
            'profiles: {work: {api_server: {port: 8643}}}, sidecars: {work: {image: "a:1"}}',
            "sidecars.work: a profile's service has this name; write another one.",
        ),
        "depends-on": (
            'sidecars: {browser: {image: "a:1", depends_on: [redis]}}',
            "sidecars.browser.depends_on: redis is no service here; they are hermes, browser.",
        ),
        "environment-list": (
            'sidecars: {browser: {image: "a:1", environment: [A=b]}}',
            "sidecars.browser.environment: a list is not a mapping; write keys and values, or leave environment out.",
        ),
        "environment-reference": (
            'sidecars: {browser: {image: "a:1", environment: {A: "${B}"}}}',
            'sidecars.browser.environment.A: "${B}" has a variable of Compose\'s, which has none here; write $$ for the sign itself, so "$${B}"; a secret belongs under the sidecar\'s secrets, by its name.',
        ),
        "environment-number": (
            'sidecars: {browser: {image: "a:1", environment: {A: 1}}}',
            "sidecars.browser.environment.A: 1 is not text; write it in quotes.",
        ),
        "environment-name": (
            'sidecars: {browser: {image: "a:1", environment: {"A-B": x}}}',
            "sidecars.browser.environment.A-B: this is not the name of an environment variable; write letters, digits and underscores.",
        ),
        "secrets-text": (
            'sidecars: {browser: {image: "a:1", secrets: hunter2}}',
            "sidecars.browser.secrets: this is not a list; write the names of environment variables, such as [MODEL_API_KEY].",
        ),
        "secrets-value": (
            'sidecars: {browser: {image: "a:1", secrets: [hunter2]}}',
            "sidecars.browser.secrets.0: this is not the name of an environment variable; write at most 64 upper-case letters, digits and underscores, such as MODEL_API_KEY, and never the secret itself.",
        ),
        "volume-name": (
            'sidecars: {browser: {image: "a:1", volumes: ["data:/x"]}}',
            'sidecars.browser.volumes.0: "data:/x" is not a volume; write host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro.',
        ),
        "docker-socket": (
            'sidecars: {browser: {image: "a:1", volumes: ["/run/docker.sock:/x"]}}',
            'sidecars.browser.volumes.0: "/run/docker.sock" gives Docker away, and who speaks to Docker is root in the LXC container; leave it out.',
        ),
        "name": (
            'sidecars: {Browser: {image: "a:1"}}',
            'sidecars.Browser: "Browser" is not the name of a sidecar; write 2 to 30 lower-case letters, digits and hyphens, such as browser.',
        ),
        "command": (
            'sidecars: {browser: {image: "a:1", command: "a b"}}',
            'sidecars.browser.command: "a b" is not a list; write one such as [first, second].',
        ),
    },
    "profiles": {
        "token": (
            "platforms: {telegram: {allow_all: true}}, profiles: {work: {api_server: {port: 8643}, platforms: {telegram: {allow_all: true}}, secrets: [TELEGRAM_BOT_TOKEN]}}",
            "profiles.work.secrets.TELEGRAM_BOT_TOKEN: another profile has the token TELEGRAM_BOT_TOKEN too, and each would take messages from the other; give each its own.",
        ),
        "port": (
            "profiles: {work: {}}",
            "profiles.work.api_server.port: api_server.port is 8642 too; give each its own.",
        ),
        "dashboard-port": (
            "profiles: {work: {api_server: {port: 8643}, dashboard: {enabled: true}}}, dashboard: {enabled: true}",
            "profiles.work.dashboard.port: dashboard.port is 9119 too; give each its own.",
        ),
        "port-of-a-dashboard": (
            "profiles: {work: {api_server: {port: 9119}}}, dashboard: {enabled: true}",
            "profiles.work.api_server.port: dashboard.port is 9119 too; give each its own.",
        ),
        "port-in-a-bridge": (
            "network_mode: bridge, profiles: {work: {}}",
            "profiles.work.api_server.port: api_server.port is 8642 too; give each its own.",
        ),
        "directory": (
            "profiles: {work: {api_server: {port: 8643}, data_directory: /opt/hermes-data}}",
            'profiles.work.data_directory: "/opt/hermes-data" is not apart from data_directory, "/opt/hermes-data", and two gateways destroy each other\'s data; write directories that lie side by side.',
        ),
        "directory-inside": (
            "profiles: {work: {api_server: {port: 8643}, data_directory: /opt/hermes-data/work}}",
            'profiles.work.data_directory: "/opt/hermes-data/work" is not apart from data_directory, "/opt/hermes-data", and two gateways destroy each other\'s data; write directories that lie side by side.',
        ),
        "directory-around": (
            "profiles: {work: {api_server: {port: 8643}, data_directory: /opt/x}}, data_directory: /opt/x/y",
            'profiles.work.data_directory: "/opt/x" is not apart from data_directory, "/opt/x/y", and two gateways destroy each other\'s data; write directories that lie side by side.',
        ),
        "volume": (
            'profiles: {work: {api_server: {port: 8643}, volumes: ["/opt/hermes-data:/x"]}}',
            'profiles.work.volumes.0: "/opt/hermes-data:/x" shows the data of another profile; leave it out.',
        ),
        "volume-of-the-main": (
            'profiles: {work: {api_server: {port: 8643}}}, volumes: ["/opt/hermes-data-work/memories:/x"]',
            'volumes.0: "/opt/hermes-data-work/memories:/x" shows the data of another profile; leave it out.',
        ),
        "name": (
            "profiles: {my-work: {api_server: {port: 8643}}}",
            'profiles.my-work: "my-work" is not the name of a profile; write lower-case letters and digits, such as work.',
        ),
        "provider": (
            "profiles: {work: {api_server: {port: 8643}, settings: {model: {provider: vllm}}}}",
            'profiles.work.settings.model.provider: "vllm" needs an address; write providers.vllm.base_url, or the name of one under providers.',
        ),
        "inherited-once": (
            "profiles: {work: {api_server: {port: 8643}}}, settings: {model: {provider: nonsense}}",
            'settings.model.provider: "nonsense" is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or the name of one under providers.',
        ),
        "cwd": (
            "profiles: {work: {api_server: {port: 8643}, settings: {terminal: {cwd: /x}}}}",
            'profiles.work.settings.terminal.cwd: "/x" is not in a directory that Hermes may write, which are /opt/data, /data, /fast; write one such as /fast/workspace.',
        ),
        "limits": (
            "profiles: {work: {api_server: {port: 8643}, limits: {memory: 9g}}}",
            "profiles.work.limits.memory: 9g is more than the container's 4096 MiB; write less, or null for no limit.",
        ),
        "mcp-of-two-kinds": (
            'profiles: {work: {api_server: {port: 8643}, settings: {mcp_servers: {a: {url: "https://h"}}}}}, settings: {mcp_servers: {a: {command: x}}}',
            "profiles.work.settings.mcp_servers.a: command and url are both given; keep one of them.",
        ),
        "secret": (
            "profiles: {work: {api_server: {port: 8643}, environment: {A_TOKEN: hunter2}}}",
            "profiles.work.environment.A_TOKEN: this is a secret by its name; list the name under secrets, and put the value into the agent's secrets file.",
        ),
        "image": (
            "profiles: {work: {api_server: {port: 8643}, image: {tag: x}}}",
            "profiles.work.image: all profiles share this; write it beside profiles.",
        ),
        "nobody": (
            "profiles: {work: {api_server: {port: 8643}, platforms: {telegram: {}}}}",
            "profiles.work.platforms.telegram: nobody may talk to the agent; write allowed_users or group_allowed_users.",
        ),
    },
    "stop": {
        "short": (
            "stop_grace_seconds: 10",
            "stop_grace_seconds: 10 is not a number of seconds for a stop; write a whole number from 30 to 240.",
        ),
        "long": (
            "stop_grace_seconds: 241",
            "stop_grace_seconds: 241 is not a number of seconds for a stop; write a whole number from 30 to 240.",
        ),
        "words": (
            "stop_grace_seconds: 2m",
            'stop_grace_seconds: "2m" is not a number of seconds for a stop; write a whole number from 30 to 240.',
        ),
        "copy": (
            "copy_data_before_upgrade: 2",
            "copy_data_before_upgrade: 2 is neither true nor false; write true or false, without quotes.",
        ),
        "sidecar-number": (
            'sidecars: {browser: {image: "a:1", stop_grace_period: 30}}',
            "sidecars.browser.stop_grace_period: 30 is not text; write a duration in quotes.",
        ),
        "sidecar-words": (
            'sidecars: {browser: {image: "a:1", stop_grace_period: half a minute}}',
            'sidecars.browser.stop_grace_period: "half a minute" is not a duration; write one such as 30s or 1m30s.',
        ),
        "sidecar-long": (
            'sidecars: {browser: {image: "a:1", stop_grace_period: 5m}}',
            'sidecars.browser.stop_grace_period: "5m" is longer than a reboot of the container waits; write at most 240s.',
        ),
    },
    "unknown": {
        "typo": ("imgae: {tag: x}", "imgae: there is no such setting; did you mean image?"),
        "nested": ("tag: x", "tag: there is no such setting; did you mean package.tag or image.tag?"),
        "nested-settings": (
            "mcp_servers: {}",
            "mcp_servers: there is no such setting; did you mean settings.mcp_servers?",
        ),
        "synonym": ("extra_volumes: []", "extra_volumes: there is no such setting; did you mean volumes?"),
        "profile-synonym": (
            "profiles: {work: {api_server: {port: 8643}, env: {}}}",
            "profiles.work.env: there is no such setting; did you mean environment?",
        ),
        "in-a-section": ("limits: {mem: x}", "limits.mem: there is no such setting; did you mean memory?"),
        "far": (
            "colour: blue",
            "colour: there is no such setting; write one of runtime, package, packages, python, restart_sec, watchdog_seconds, settings, config_file, environment, documents, auth, platforms, api_server, dashboard, limits, shm_size, volumes, data_directory, secrets, image, docker, network_mode, restart, stop_grace_seconds, copy_data_before_upgrade, healthcheck, answer_seconds, logging, audio, networks, sidecars, profiles.",
        ),
    },
}


def cases(table: Mapping[str, Mapping[str, tuple[str, str]]]) -> list[Any]:
    return [
        pytest.param(text, message, id=f"{rule}-{name}".replace(" ", "-"))
        for rule, examples in table.items()
        for name, (text, message) in examples.items()
    ]


@pytest.mark.parametrize(("text", "message"), cases(IN_HERMES))
def test_hermes_refuses(refuse: Refuse, text: str, message: str) -> None:
    assert refuse(section(text)) == [f"homelab.yaml: agents.hermes.hermes.{message}"]


def test_every_message_is_one_sentence_in_plain_words() -> None:
    for _, message in (example for examples in IN_HERMES.values() for example in examples.values()):
        assert message[-1] in ".?"
        assert "\n" not in message
        for secret in ("hunter2", KEY, BOT):
            assert secret not in message
        for jargon in ("Input should", "pydantic", "type=", "Value error", "validat"):
            assert jargon not in message


def test_all_problems_are_said_at_once(refuse: Refuse) -> None:
    text = (
        "image: {tag: 1}, environment: {OPENAI_MODEL: x, A_TOKEN: y}, settings: {foo: {token: hunter2}, "
        "model: {max_tokens: 0}}, sidecars: {a1: {image: a, pid: host, ipc: host}}, "
        "profiles: {work: {volumes: [x, y], documents: {SOUL.md: 1, /x: a}}}"
    )
    place = "homelab.yaml: agents.hermes.hermes"
    volume = "is not a volume; write host:container or host:container:ro with absolute paths, such as "
    assert refuse(section(text, "vmid: 1, ")) == [
        "homelab.yaml: agents.hermes.vmid: 1 is not a VMID; write a whole number from 100 to 999999999.",
        (
            f"{place}.settings.foo.token: this seems to be a secret; "
            "write ${NAME} in its place, and put the value into the agent's secrets file under that name."
        ),
        f"{place}.settings.model.max_tokens: 0 is not a number of tokens; write a whole number from 1 to 100000000.",
        f"{place}.environment.OPENAI_MODEL: this is not read by Hermes any more; write settings.model.default.",
        (
            f"{place}.environment.A_TOKEN: this is a secret by its name; "
            "list the name under secrets, and put the value into the agent's secrets file."
        ),
        f"{place}.image.tag: 1 is not text; write a tag in quotes.",
        f"{place}.sidecars.a1.pid: no sidecar sees the processes of another container; leave it out.",
        f"{place}.sidecars.a1.ipc: no sidecar shares memory with another container; leave it out.",
        (
            f'{place}.profiles.work.documents."SOUL.md": '
            "1 is neither a text nor a file; write the text, or {file: path}."
        ),
        (
            f'{place}.profiles.work.documents."/x": "/x" is not a document; '
            "write SOUL.md, USER.md, MEMORY.md, AGENTS.md, or a path below the working directory."
        ),
        f'{place}.profiles.work.volumes.0: "x" {volume}/srv/books:/srv/books:ro.',
        f'{place}.profiles.work.volumes.1: "y" {volume}/srv/books:/srv/books:ro.',
    ]


def test_what_does_not_fit_together_is_said_at_once(refuse: Refuse) -> None:
    text = (
        "settings: {model: {provider: custom}, mcp_servers: {a: {}}}, networks: {web: {}}, "
        "profiles: {work: {data_directory: /opt/hermes-data}}"
    )
    place = "homelab.yaml: agents.hermes.hermes"
    assert [message.removeprefix(f"{place}.").partition(": ")[0] for message in refuse(section(text))] == [
        "settings.model.base_url",
        "settings.model.api_key",
        "settings.mcp_servers.a",
        "networks",
        "profiles.work.api_server.port",
        "profiles.work.data_directory",
    ]


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        (
            "mp0: {host_path: /mnt/a/b, guest_path: /opt/data}",
            'the mount "/opt/data" would hide what Hermes has there; give the mount another guest_path.',
        ),
        (
            "mp0: {host_path: /mnt/a/b, guest_path: /opt/hermes/x}",
            'the mount "/opt/hermes/x" would hide what Hermes has there; give the mount another guest_path.',
        ),
    ],
)
def test_a_mount_leaves_hermes_its_own_directories(refuse: Refuse, mounts: str, message: str) -> None:
    assert refuse(section("", f"mounts: {{{mounts}}}, ")) == [f"homelab.yaml: agents.hermes.hermes: {message}"]
    assert refuse(f"agents: {{hermes: {{mounts: {{{mounts}}}}}}}") == [f"homelab.yaml: agents.hermes.hermes: {message}"]


def test_only_what_is_stated_must_fit_a_small_container(homelab: Callable[[str], Homelab], refuse: Refuse) -> None:
    small = "memory: {dedicated_mib: 2048}, cpu: {cores: 1}, "
    hermes = Hermes.of(homelab(section("profiles: {work: {api_server: {port: 8643}}}", small)).agents["hermes"])
    assert hermes
    for profile in hermes.services("hermes").values():
        assert (profile.limits.memory, profile.limits.cpus) == (None, None)
    assert refuse(section("limits: {memory: 3g, cpus: 2.0}", small)) == [
        (
            "homelab.yaml: agents.hermes.hermes.limits.memory: 3g is more than the container's 2048 MiB; "
            "write less, or null for no limit."
        ),
        (
            "homelab.yaml: agents.hermes.hermes.limits.cpus: 2 is more than the container's 1 cores; "
            "write less, or null for no limit."
        ),
    ]
    roomy = Hermes.of(homelab(section("limits: {memory: 2G, cpus: 1}", small)).agents["hermes"])
    assert roomy
    assert (roomy.limits.memory, roomy.limits.cpus) == ("2g", 1)


# Files of the operator's


def test_documents_are_read_from_where_the_settings_are(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "AGENTS.md").write_text("Look after the house, größtenteils.\n", encoding="utf-8")
    expected = {"SOUL.md": "You are Hermes.", "AGENTS.md": "Look after the house, größtenteils.\n", "notes/a.md": ""}
    text = "documents: {SOUL.md: You are Hermes., AGENTS.md: {file: AGENTS.md}, notes/a.md: ''}"
    hermes = load(text)
    assert hermes.documents == expected
    place = tmp_path / "elsewhere"
    place.mkdir()
    (place / "mine.yaml").write_text(section(text.replace("{file: AGENTS.md}", "{file: ../AGENTS.md}")))
    monkeypatch.setenv("HOMELAB_FILE", "elsewhere/mine.yaml")
    found = Hermes.of(load_settings(tmp_path).agents["hermes"])
    assert found
    assert found.documents == expected


def test_a_document_is_text(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "latin").write_bytes(b"gr\xfcn")
    (tmp_path / "long").write_text("x" * 1_000_001)
    (tmp_path / "secret").write_text(f"My key is {KEY}.")
    place = 'homelab.yaml: agents.hermes.hermes.documents."'
    assert refuse(section("documents: {a.md: {file: latin}, b.md: {file: long}, c.md: {file: secret}}")) == [
        f'{place}a.md": "latin" is not UTF-8; save the file as UTF-8.',
        f'{place}b.md": the document is 1000001 bytes long; write at most 1000000.',
        (
            f'{place}c.md": there seems to be a secret in the document; '
            "take it out, since the agent would read it aloud."
        ),
    ]


PATHS = [
    *(
        "./documents/AGENTS.md",
        "../AGENTS.md",
        "~/AGENTS.md",
        "/srv/notes/AGENTS.md",
        "documents/AGENTS.md",
        "AGENTS.md",
    ),
    *("./my notes/AGENTS.md", "notes.txt", "there", "a b", " ./there\n"),
]


@pytest.mark.parametrize("text", PATHS)
@pytest.mark.parametrize("prefix", ["", "@", "file:", "file://"])
def test_the_path_of_a_document_is_not_delivered_in_its_place(
    tmp_path: Path, refuse: Refuse, load: Load, prefix: str, text: str
) -> None:
    for name in ("there", "a b"):
        (tmp_path / name).write_text("x")
    path = text.strip()
    if " " in path:
        prefix = ""
    written = json.dumps(text.replace(path, prefix + path))
    (said,) = refuse(section(f"documents: {{AGENTS.md: {written}}}"))
    remedy = f'{{file: "{path}"}}' if path == text and not prefix else "{file: path}, with the path alone"
    assert said == (
        f'homelab.yaml: agents.hermes.hermes.documents."AGENTS.md": {written} is the path of a file, '
        f"and would be delivered as this very text; write {remedy}."
    )
    # What it says is accepted, where there is such a file.
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "AGENTS.md").write_text("Look after the house.")
    if path == "./documents/AGENTS.md":
        remedy = remedy.removesuffix(", with the path alone").replace("file: path}", f"file: {path}}}")
        assert load(f"documents: {{AGENTS.md: {remedy}}}").documents == {"AGENTS.md": "Look after the house."}


@pytest.mark.parametrize(
    "text",
    [
        "You are Hermes.",
        "See docs/a.md first.",
        "Line\n./a.md\n",
        "/help shows what you can do",
        "",
        "no",
        "Hermes",
        "a/b",
    ],
)
def test_a_text_that_only_names_a_path_is_a_document(load: Load, text: str) -> None:
    assert load(f"documents: {{AGENTS.md: {json.dumps(text)}}}").documents == {"AGENTS.md": text}


def test_files_in_the_place_of_a_mapping(tmp_path: Path, refuse: Refuse, load: Load) -> None:
    place = "homelab.yaml: agents.hermes.hermes"
    assert refuse(section("settings: ./mine.yaml, documents: ./documents/")) == [
        (f'{place}.settings: "./mine.yaml" is a text; write config_file: "./mine.yaml" in the place of settings.'),
        (
            f'{place}.documents: "./documents/" is no mapping; write each document, such as '
            "{AGENTS.md: {file: documents/AGENTS.md}}."
        ),
    ]
    (tmp_path / "mine.yaml").write_text(CONFIG_FILE)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "AGENTS.md").write_text("x")
    hermes = load('config_file: "./mine.yaml", documents: {AGENTS.md: {file: documents/AGENTS.md}}')
    assert hermes.documents == {"AGENTS.md": "x"}


def test_a_file_that_cannot_be_read(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "SOUL.md").symlink_to("SOUL.md")
    assert refuse(section("documents: {SOUL.md: {file: SOUL.md}}")) == [
        (
            'homelab.yaml: agents.hermes.hermes.documents."SOUL.md": "SOUL.md" cannot be read '
            "(Too many levels of symbolic links); check its permissions."
        )
    ]


CONFIG_FILE = """\
model: {provider: vllm, default: qwen}
providers: {vllm: {base_url: "http://10.1.10.23:8000/v1", api_key: "${VLLM_KEY}"}}
terminal: {cwd: /data/work}
"""


def test_a_config_file_is_taken_as_it_is(tmp_path: Path, load: Load) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG_FILE)
    hermes = load("config_file: mine.yaml, platforms: {slack: {allow_all: true, extra: {reply: thread}}}")
    assert hermes.config == yaml.safe_load(CONFIG_FILE) | {"slack": {"reply": "thread"}}
    assert hermes.workspace == "/data/work"
    assert list(hermes.secret_map) == ["VLLM_KEY", "API_SERVER_KEY", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"]


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        ("", ["mine.yaml: the file holds null, not a mapping; write keys such as model."]),
        (
            "a: [",
            [
                (
                    "mine.yaml: line 1, column 5: this is not YAML "
                    "(expected the node content, but found '<stream end>'); check the indentation, quotes and colons there."
                )
            ],
        ),
        (
            "model: x",
            [
                (
                    "mine.yaml: model.provider: this is missing; "
                    "write the provider, without which Hermes may send the key to a third party."
                ),
                "mine.yaml: model.default: this is missing; write the model's name.",
                "mine.yaml: terminal.cwd: this is missing; write the working directory, such as /data/workspace.",
            ],
        ),
        (
            CONFIG_FILE.replace("qwen}", "qwen, context_length: 8192, api_key: hunter2}"),
            [
                (
                    "mine.yaml: model.api_key: this seems to be a secret; "
                    "write ${NAME} in its place, and put the value into the agent's secrets file under that name; "
                    "where the server needs none, name it under providers, with its base_url alone."
                ),
                (
                    "mine.yaml: model.context_length: 8192 is not a context length that Hermes accepts, which needs at "
                    "least 64000 tokens; write a whole number from 64000 to 100000000."
                ),
            ],
        ),
        (
            CONFIG_FILE.replace("provider: vllm", "provider: openai"),
            [
                (
                    'mine.yaml: model.provider: "openai" is no provider of Hermes; write openai-api for OpenAI itself, '
                    "or one under providers, which are vllm."
                )
            ],
        ),
        (
            CONFIG_FILE.replace("/data/work", "/srv/work"),
            [
                (
                    'mine.yaml: terminal.cwd: "/srv/work" is not in a directory that Hermes may write, '
                    "which are /opt/data, /data, /fast; write one such as /fast/workspace."
                )
            ],
        ),
        (
            CONFIG_FILE + "mcp_servers: {a: {}}",
            ["mine.yaml: mcp_servers.a: command and url are both missing; write one of them."],
        ),
    ],
    ids=["empty", "broken", "incomplete", "values", "provider", "cwd", "mcp"],
)
def test_a_config_file_is_checked_too(tmp_path: Path, refuse: Refuse, content: str, messages: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    assert refuse(section("config_file: mine.yaml")) == messages


def test_a_config_file_excludes_settings(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG_FILE)
    assert refuse(section("config_file: mine.yaml, settings: {agent: {max_turns: 5}}")) == [
        "homelab.yaml: agents.hermes.hermes.config_file: settings are given too; keep one of them."
    ]


def test_a_profile_may_have_a_config_file_of_its_own(tmp_path: Path, load: Load) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG_FILE)
    work = "profiles: {work: {api_server: {port: 8643}, config_file: mine.yaml}}"
    main, profile = load(f"settings: {{platform_toolsets: {{cli: [web]}}}}, {work}").services("hermes").values()
    assert profile.config == yaml.safe_load(CONFIG_FILE)
    assert main.config["platform_toolsets"] == {"cli": ["web"]}
    # Where the main profile has one, the others start from the defaults.
    _, other = load("config_file: mine.yaml, profiles: {work: {api_server: {port: 8643}}}").services("hermes").values()
    assert other.config["model"]["provider"] == "litellm"


# The environment


def test_variables_change_hermes(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{H}__IMAGE__TAG", "v2026.7.20")
    monkeypatch.setenv(f"{H}__SETTINGS__PROVIDERS__LITELLM__BASE_URL", "http://litellm.home.arpa:4000")
    monkeypatch.setenv(f"{H}__PLATFORMS__TELEGRAM__ALLOWED_USERS", "[123456]")
    monkeypatch.setenv(f"{H}__PROFILES__WORK__API_SERVER__PORT", "8643")
    for hermes in (Hermes.of(load_settings(tmp_path).agents["hermes"]), load("image: {tag: latest}, shm_size: 2g")):
        assert hermes
        assert hermes.image.tag == "v2026.7.20"
        assert hermes.config["providers"] == {
            "litellm": {
                "name": "LiteLLM",
                "base_url": "http://litellm.home.arpa:4000",
                "key_env": "LITELLM_API_KEY",
            }
        }
        assert hermes.platforms.enabled == ("telegram",)
        assert hermes.profiles["work"].api_server.port == 8643


def test_a_variable_takes_hermes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(H, "null")
    agent = load_settings(tmp_path).agents["hermes"]
    assert (agent.section, agent.secrets) == (None, ())


@pytest.mark.parametrize(
    ("variables", "text", "messages"),
    [
        (
            {f"{H}__IMAGE__TAG": "a b"},
            "",
            [
                (
                    f"{H}__IMAGE__TAG: agents.hermes.hermes.image.tag: the value is not a tag; "
                    f"write letters, digits, dots, hyphens and underscores, such as {RELEASE}."
                )
            ],
        ),
        (
            {f"{H}__SETTINGS__MODEL__PROVIDER": "openai"},
            "image: {tag: x}",
            [
                (
                    f"{H}__SETTINGS__MODEL__PROVIDER: agents.hermes.hermes.settings.model.provider: the value is no "
                    "provider of Hermes; write openai-api for OpenAI itself, or the name of one under providers."
                )
            ],
        ),
        (
            {f"{H}__LIMITS__MEMORY": "8g"},
            "",
            [
                (
                    f"{H}__LIMITS__MEMORY: agents.hermes.hermes.limits.memory: 8g is more than the container's 4096 MiB; "
                    "write less, or null for no limit."
                )
            ],
        ),
        (
            {f"{H}__SETTINGS__PROVIDERS__LITELLM__API_KEY": "hunter2"},
            "settings: {providers: {litellm: {key_env: null}}}",
            [
                (
                    f"{H}__SETTINGS__PROVIDERS__LITELLM__API_KEY: agents.hermes.hermes.settings.providers.litellm.api_key: "
                    "this seems to be a secret; "
                    "write ${NAME} in its place, and put the value into the agent's secrets file under that name; "
                    "where the server needs none, leave it out."
                )
            ],
        ),
        (
            {f"{H}__IMGAE": "x"},
            "",
            [f"{H}__IMGAE: agents.hermes.hermes.imgae: there is no such setting; did you mean image?"],
        ),
        (
            {f"{H}__DOCUMENTS": '{"SOUL.md": {"file": "nope"}}'},
            "",
            [
                (
                    f'{H}__DOCUMENTS: agents.hermes.hermes.documents."SOUL.md": the value does not exist; '
                    "name a file relative to homelab.yaml."
                )
            ],
        ),
    ],
    ids=["value", "reference", "container", "secret", "typo", "document"],
)
def test_the_environment_refuses(
    refuse: Refuse, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], text: str, messages: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert refuse(section(text)) == messages


# What becomes of it

CONFIG: dict[str, dict[str, Any]] = {
    "model": {"provider": "litellm", "default": "hermes", "context_length": 131072, "max_tokens": 8192},
    "providers": {
        "litellm": {"name": "LiteLLM", "base_url": "http://10.1.10.22:4000/v1", "key_env": "LITELLM_API_KEY"}
    },
    "terminal": {"backend": "local", "cwd": "/data/workspace", "timeout": 180},
    "approvals": {"mode": "smart", "cron_mode": "deny"},
    "security": {"redact_secrets": True, "allow_lazy_installs": False, "tirith_enabled": False},
    "model_catalog": {"enabled": False},
}
ENVIRONMENT = {
    "API_SERVER_ENABLED": "true",
    "API_SERVER_HOST": "127.0.0.1",
    "API_SERVER_PORT": "8642",
    "GATEWAY_ALLOW_ALL_USERS": "false",
}


def test_without_a_file_hermes_has_its_defaults(tmp_path: Path) -> None:
    agent = load_settings(tmp_path).agents["hermes"]
    hermes = Hermes.of(agent)
    assert hermes
    assert hermes.config == CONFIG
    assert hermes.managed_environment == ENVIRONMENT
    assert hermes.secret_map == {"LITELLM_API_KEY": "LITELLM_API_KEY", "API_SERVER_KEY": "API_SERVER_KEY"}
    assert hermes.services("hermes") == {"hermes": hermes}
    assert hermes.secret_names("hermes") == agent.secrets == ("LITELLM_API_KEY", "API_SERVER_KEY")
    assert hermes.image.reference == f"nousresearch/hermes-agent:{RELEASE}"
    assert (hermes.workspace, hermes.data_directory, hermes.image_packages) == (
        "/data/workspace",
        "/opt/hermes-data",
        (),
    )
    assert agent.warnings == ()
    assert agent.model_dump(mode="json")["hermes"] == {
        # What is not stated is not written out: a profile would take it for the operator's word.
        "runtime": "docker",
        "package": {
            "tag": None,
            "version": None,
            "extras": ["messaging", "mcp"],
            "index_url": None,
            "find_links": None,
        },
        "packages": [],
        "python": "python3",
        "restart_sec": 5,
        "watchdog_seconds": 180,
        "settings": {"terminal": {"cwd": "/data/workspace"}},
        "config_file": None,
        "environment": {},
        "documents": {},
        "auth": None,
        "platforms": {"telegram": None, "discord": None, "slack": None},
        "api_server": {"host": "127.0.0.1", "port": 8642, "cors_origins": [], "model_name": None},
        "dashboard": {
            "enabled": False,
            "host": "127.0.0.1",
            "port": 9119,
            "auth": None,
            "username": None,
            "public_url": None,
            "oidc_issuer": None,
            "oidc_client_id": None,
            "oauth_client_id": None,
        },
        "limits": {"memory": "3g", "cpus": 2.0, "pids": None},
        "shm_size": "1g",
        "volumes": [],
        "data_directory": "/opt/hermes-data",
        "secrets": {},
        "image": {
            "repository": "nousresearch/hermes-agent",
            "tag": RELEASE,
            "digest": None,
            "apt_packages": [],
        },
        "docker": {"source": "docker", "registry_mirrors": []},
        "network_mode": "host",
        "restart": "unless-stopped",
        "stop_grace_seconds": 120,
        "copy_data_before_upgrade": True,
        "healthcheck": {
            "interval_seconds": 30,
            "timeout_seconds": 5,
            "retries": 3,
            "start_period_seconds": 120,
        },
        "answer_seconds": 120,
        "logging": {"max_size": "10m", "max_file": 3},
        "audio": None,
        "networks": {},
        "sidecars": {},
        "profiles": {},
    }


def test_hermes_alone_has_hermes_by_default(homelab: Callable[[str], Homelab]) -> None:
    agents = homelab(
        "agents: {hermes: {hermes: null}, bare: {vmid: 119}, second: {vmid: 120, hermes: {}}, third: {vmid: 121}}"
    ).agents
    assert [name for name, agent in agents.items() if agent.section] == ["second"]
    assert agents["hermes"].secrets == ()
    second = Hermes.of(agents["second"])
    assert second
    # It has no mounts.
    assert second.workspace == "/opt/data/workspace"
    assert list(second.services("second")) == ["second"]


def test_secrets_of_the_agent_are_besides_those_of_hermes(homelab: Callable[[str], Homelab]) -> None:
    agent = homelab(section("", "secrets: [FIRECRAWL_API_KEY], ")).agents["hermes"]
    assert (hermes := Hermes.of(agent))
    assert agent.secrets == ("FIRECRAWL_API_KEY",)
    assert hermes.secret_names("hermes") == ("LITELLM_API_KEY", "API_SERVER_KEY")


@pytest.mark.parametrize(
    ("mounts", "workspace"),
    [
        ("", "/opt/data/workspace"),
        ("mp1: {host_path: /mnt/a/b, guest_path: /books, read_only: true}", "/opt/data/workspace"),
        (
            (
                "mp1: {host_path: /mnt/a/b, guest_path: /books, read_only: true}, "
                "mp2: {host_path: /mnt/a/c, guest_path: /work}, mp3: {host_path: /mnt/a/d, guest_path: /fast}"
            ),
            "/work/workspace",
        ),
    ],
    ids=["none", "read-only", "second"],
)
def test_the_workspace_is_in_the_first_mount_that_can_be_written(
    homelab: Callable[[str], Homelab], mounts: str, workspace: str
) -> None:
    text = section("profiles: {work: {api_server: {port: 8643}}}", f"mounts: {{{mounts}}}, ")
    hermes = Hermes.of(homelab(text).agents["hermes"])
    assert hermes
    main, work = hermes.services("hermes").values()
    assert main.workspace == workspace
    # In /opt/data each profile has its own anyway.
    assert work.workspace == (workspace if workspace.startswith("/opt/data") else f"{workspace}-work")


@pytest.mark.parametrize("cwd", ["/data", "/fast/a/b", "/opt/data/workspace"])
def test_a_workspace_that_is_stated(load: Load, cwd: str) -> None:
    hermes = load(f"settings: {{terminal: {{cwd: {cwd}}}}}, profiles: {{work: {{api_server: {{port: 8643}}}}}}")
    main, work = hermes.services("hermes").values()
    assert (main.workspace, work.workspace) == (cwd, "/data/workspace-work")


def test_another_machine_has_the_working_directory(load: Load) -> None:
    text = "settings: {terminal: {backend: ssh, cwd: ~/work}}, documents: {SOUL.md: x}"
    hermes = load(f"{text}, profiles: {{work: {{api_server: {{port: 8643}}}}}}")
    for profile in hermes.services("hermes").values():
        assert profile.workspace is None
        assert profile.config["terminal"]["cwd"] == "~/work"


def test_what_is_stated_goes_over_the_defaults_and_null_leaves_out(load: Load) -> None:
    hermes = load(
        "settings: {model: {default: large, max_tokens: null, api_mode: x}, terminal: {timeout: null}, "
        "memory: {user_char_limit: 3000}, agent: {max_turns: 50, nothing: null}, platform_toolsets: {cli: [web, file]}}"
    )
    assert hermes.config == CONFIG | {
        "model": {"provider": "litellm", "default": "large", "context_length": 131072, "api_mode": "x"},
        "terminal": {"backend": "local", "cwd": "/data/workspace"},
        "platform_toolsets": {"cli": ["web", "file"]},
        "memory": {"user_char_limit": 3000},
        "agent": {"max_turns": 50},
    }


@pytest.mark.parametrize("directory", ["/srv/hermes", "/fast/hermes", "/var/lib/hermes", "/opt/hermes-data/x"])
def test_one_profile_may_have_its_data_anywhere(load: Load, directory: str) -> None:
    assert load(f"data_directory: {directory}").data_directory == directory


def test_a_text_is_the_name_of_the_model(load: Load) -> None:
    assert load("settings: {model: large}").config["model"] == {**CONFIG["model"], "default": "large"}


@pytest.mark.parametrize(
    ("text", "provider", "secrets"),
    [
        (
            "providers: {litellm: {base_url: 'http://h:4000'}}",
            {"name": "LiteLLM", "base_url": "http://h:4000", "key_env": "LITELLM_API_KEY"},
            ["LITELLM_API_KEY"],
        ),
        (
            "providers: {litellm: {key_env: null, models: [a]}}",
            {"name": "LiteLLM", "base_url": "http://10.1.10.22:4000/v1", "models": ["a"]},
            [],
        ),
        (
            "providers: {litellm: {api_key: '${MY_KEY}'}}",
            {"name": "LiteLLM", "base_url": "http://10.1.10.22:4000/v1", "api_key": "${MY_KEY}"},
            ["MY_KEY"],
        ),
        (
            "providers: {vllm: {base_url: 'http://h:8000/v1'}}, model: {provider: vllm}",
            {"base_url": "http://h:8000/v1"},
            [],
        ),
        (
            "providers: {ollama: {base_url: 'http://h:11434/v1', key_env: A_KEY}}, model: {provider: custom:ollama}",
            {"base_url": "http://h:11434/v1", "key_env": "A_KEY"},
            ["A_KEY"],
        ),
        (
            "providers: {custom: {base_url: 'http://h:1/v1', key_env: A_KEY}}, model: {provider: custom}",
            {"base_url": "http://h:1/v1", "key_env": "A_KEY"},
            ["A_KEY"],
        ),
        ("model: {provider: custom, base_url: 'http://h:1', api_key: '${A_KEY}'}", None, ["A_KEY"]),
        ("model: {provider: azure-foundry, base_url: 'https://h/x'}", None, []),
        ("providers: {openrouter: {timeout: 60}}, model: {provider: openrouter}", {"timeout": 60}, []),
    ],
    ids=["url", "no-key", "api-key", "vllm", "ollama", "named-custom", "custom", "built-in-with-url", "built-in-block"],
)
def test_an_inference_server(load: Load, text: str, provider: dict[str, Any] | None, secrets: list[str]) -> None:
    hermes = load(f"settings: {{{text}}}")
    assert list(hermes.config.get("providers", {}).values()) == ([provider] if provider else [])
    assert list(hermes.secret_map) == [*secrets, "API_SERVER_KEY"]


@pytest.mark.parametrize("provider", BUILT_IN_PROVIDERS)
def test_a_provider_that_is_built_in(load: Load, provider: str) -> None:
    hermes = load(f"settings: {{model: {{provider: {provider}, default: large}}}}")
    # The default LiteLLM is not there, and neither is its key.
    assert "providers" not in hermes.config
    assert hermes.secret_names("hermes") == ("API_SERVER_KEY",)


@pytest.mark.parametrize("provider", list(PROVIDER_ALIASES))
def test_a_built_in_provider_by_another_name(load: Load, provider: str) -> None:
    hermes = load(f"settings: {{model: {{provider: {provider}, default: m}}}}")
    assert hermes.config["model"]["provider"] == provider


def test_the_key_of_a_provider_is_missed_under_any_of_its_names_where_it_needs_one(load: Load) -> None:
    missed = {
        provider: [
            sentence.partition(",")[0]
            for _, sentence in load(f"settings: {{model: {{provider: {provider}}}}}").warnings()
        ]
        for provider in ("fw", "solar", "lmstudio", "lm-studio")
    }
    assert missed == {
        "fw": ["fireworks takes its key from FIREWORKS_API_KEY"],
        "solar": ["upstage takes its key from UPSTAGE_API_KEY"],
        "lmstudio": [],
        "lm-studio": [],
    }


def test_what_hermes_has_by_itself_is_no_problem_where_it_is_stated(load: Load) -> None:
    hermes = load(
        "settings: {model: '', providers: {}, memory: {provider: ''}, terminal: {cwd: .}, toolsets: [hermes-cli], "
        "compression: {protect_first_n: 3}}"
    )
    assert (hermes.config["model"]["default"], hermes.config["model"]["provider"]) == ("hermes", "litellm")
    assert (hermes.config["terminal"]["cwd"], hermes.workspace) == (".", "/opt/data")
    assert list(hermes.warnings()) == []


@pytest.mark.parametrize("tools", ["resources: false", "prompts: false", "resources: false, prompts: false"])
def test_an_mcp_server_may_keep_all_its_tools_and_nothing_else(load: Load, tools: str) -> None:
    hermes = load(f"settings: {{mcp_servers: {{notes: {{url: 'http://h:1', tools: {{{tools}}}}}}}}}")
    assert set(hermes.config["mcp_servers"]["notes"]["tools"].values()) == {False}


def test_every_reference_becomes_a_secret(load: Load) -> None:
    hermes = load(
        "environment: {HOST_NAME: h}, secrets: {FIRECRAWL_API_KEY: MY_FIRECRAWL, LITELLM_API_KEY: MY_LITELLM}, "
        "settings: {mcp_servers: {a: {url: 'https://h', headers: {Authorization: 'Bearer ${A_TOKEN}'}}}, "
        "web: {url: 'http://${HOST_NAME}:${PORT_NAME}/${A_TOKEN}'}, auxiliary: {vision: {api_key_env: B_KEY}}}"
    )
    assert hermes.secret_map == {
        "LITELLM_API_KEY": "MY_LITELLM",
        "A_TOKEN": "A_TOKEN",
        "PORT_NAME": "PORT_NAME",
        "B_KEY": "B_KEY",
        "API_SERVER_KEY": "API_SERVER_KEY",
        "FIRECRAWL_API_KEY": "MY_FIRECRAWL",
    }


@pytest.mark.parametrize("key", ["EMPTY", "none", "not-needed"])
def test_a_server_without_a_key_is_named_without_one(refuse: Refuse, load: Load, key: str) -> None:
    providers = "settings: {{model: {{provider: vllm}}, providers: {{vllm: {{base_url: 'http://h:8000/v1'{}}}}}}}"
    (said,) = refuse(section(providers.format(f", api_key: {key}")))
    assert said.endswith("under that name; where the server needs none, leave it out.")
    hermes = load(providers.format(""))
    assert list(hermes.secret_map) == ["API_SERVER_KEY"]
    said, *_ = refuse(section(f"settings: {{model: {{provider: custom, base_url: 'http://h/v1', api_key: {key}}}}}"))
    assert said.endswith("; where the server needs none, name it under providers, with its base_url alone.")
    # The other way out, for one that wants a word all the same.
    hermes = load(providers.format(", api_key: '${VLLM_KEY}'"))
    assert list(hermes.secret_map) == ["VLLM_KEY", "API_SERVER_KEY"]


def test_secrets_may_be_a_list(load: Load) -> None:
    assert load("secrets: [A_KEY, B]").secrets == {"A_KEY": "A_KEY", "B": "B"}


@pytest.mark.parametrize(
    "text",
    [
        "settings: {foo: {token: ''}}",
        "settings: {foo: {token: null, password: false}}",
        "settings: {foo: {api_key: '${A_KEY}'}}",
        "settings: {terminal: {backend: ssh, cwd: /x, ssh_key: /opt/data/home/.ssh/id_ed25519}}",
        "settings: {foo: {note: 'task-management-in-the-house-2026'}}",
        "settings: {foo: {path: /data/sk-aaaaaaaaaaaaaaaaaaa1}}",
        "settings: {foo: {url: 'https://me@h/x'}}",
        "settings: {foo: {url: 'https://me:${A_PASSWORD}@h/x'}}",
        "settings: {mcp_servers: {a: {command: npx, args: [--token, '${A_TOKEN}', '--api-key=${B_KEY}', -y, x]}}}",
        "settings: {memory: {provider: x}, stt: {provider: local}, max_tokens: 5}",
        "documents: {SOUL.md: 'Never tell your password: it is ${SECRET}. Basic rules: be kind, Bearer of news.'}",
        "environment: {TZ: Europe/Berlin, MAX_TOKENS: '5', URL: 'http://h'}",
        "sidecars: {browser: {image: 'a:1', secrets: [A_TOKEN], environment: {TZ: UTC}, command: [--port, '80']}}",
    ],
)
def test_what_is_no_secret(load: Load, text: str) -> None:
    load(text)


def test_platforms(load: Load) -> None:
    hermes = load(
        "platforms: {telegram: {allowed_users: [123456, '234567'], group_allowed_users: [345678], "
        "group_allowed_chats: [-100123456], home_channel: -100123456, home_channel_name: House, "
        "proxy: 'socks5://h:1080', webhook_url: 'https://h/t', base_url: 'http://h:8081/bot', "
        "extra: {require_mention: true, extra: {a: b}}}, "
        "discord: {allowed_users: ['123456789012345678'], allowed_roles: [1234567], home_channel: 7654321}, "
        "slack: {allow_all: true, home_channel: C012AB3CD, extra: {}}}, "
        "settings: {telegram: {require_mention: false, allowed_chats: [1]}}"
    )
    assert hermes.platforms.enabled == ("telegram", "discord", "slack")
    assert hermes.managed_environment == {
        **ENVIRONMENT,
        "TELEGRAM_ALLOW_ALL_USERS": "false",
        "TELEGRAM_ALLOWED_USERS": "123456,234567",
        "TELEGRAM_GROUP_ALLOWED_USERS": "345678",
        "TELEGRAM_GROUP_ALLOWED_CHATS": "-100123456",
        "TELEGRAM_HOME_CHANNEL": "-100123456",
        "TELEGRAM_HOME_CHANNEL_NAME": "House",
        "TELEGRAM_PROXY": "socks5://h:1080",
        "TELEGRAM_WEBHOOK_URL": "https://h/t",
        "TELEGRAM_WEBHOOK_PORT": "8443",
        "DISCORD_ALLOW_ALL_USERS": "false",
        "DISCORD_ALLOWED_USERS": "123456789012345678",
        "DISCORD_ALLOWED_ROLES": "1234567",
        "DISCORD_HOME_CHANNEL": "7654321",
        "SLACK_ALLOW_ALL_USERS": "true",
        "SLACK_HOME_CHANNEL": "C012AB3CD",
    }
    assert hermes.config["telegram"] == {
        "require_mention": True,
        "allowed_chats": [1],
        "extra": {"a": "b", "base_url": "http://h:8081/bot"},
    }
    assert not {"discord", "slack"} & hermes.config.keys()
    assert list(hermes.secret_map) == [
        "LITELLM_API_KEY",
        "API_SERVER_KEY",
        "TELEGRAM_BOT_TOKEN",
        "TELEGRAM_WEBHOOK_SECRET",
        "DISCORD_BOT_TOKEN",
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
    ]


def test_an_api_server_and_a_dashboard_for_others(load: Load) -> None:
    hermes = load(
        "api_server: {host: 0.0.0.0, port: 9000, cors_origins: ['https://chat.home.arpa', 'http://h:3000'], "
        "model_name: House}, environment: {TZ: Europe/Berlin}, "
        "dashboard: {enabled: true, host: 0.0.0.0, auth: basic, username: me, public_url: 'https://h/x'}"
    )
    assert hermes.managed_environment == {
        "API_SERVER_ENABLED": "true",
        "API_SERVER_HOST": "0.0.0.0",
        "API_SERVER_PORT": "9000",
        "API_SERVER_CORS_ORIGINS": "https://chat.home.arpa,http://h:3000",
        "API_SERVER_MODEL_NAME": "House",
        "HERMES_DASHBOARD_PUBLIC_URL": "https://h/x",
        "HERMES_DASHBOARD_BASIC_AUTH_USERNAME": "me",
        "GATEWAY_ALLOW_ALL_USERS": "false",
        "TZ": "Europe/Berlin",
        "HERMES_TIMEZONE": "Europe/Berlin",
    }
    assert list(hermes.secret_map) == [
        "LITELLM_API_KEY",
        "API_SERVER_KEY",
        "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD",
        "HERMES_DASHBOARD_BASIC_AUTH_SECRET",
    ]
    oidc = load("dashboard: {enabled: true, host: 10.0.0.5, auth: oidc, oidc_issuer: 'https://id', oidc_client_id: x}")
    assert oidc.dashboard.environment == {
        "HERMES_DASHBOARD_OIDC_ISSUER": "https://id",
        "HERMES_DASHBOARD_OIDC_CLIENT_ID": "x",
    }
    nous = load("dashboard: {enabled: true, host: 10.0.0.5, auth: nous, oauth_client_id: x}")
    assert nous.dashboard.environment == {"HERMES_DASHBOARD_OAUTH_CLIENT_ID": "x"}
    # On loopback nobody need log in, and one that is off brings nothing along.
    assert load("dashboard: {enabled: true, host: 127.0.0.2}").dashboard.environment == {}
    off = load("dashboard: {host: 0.0.0.0, auth: basic, username: me}")
    assert (off.dashboard.environment, list(off.secret_map)) == ({}, ["LITELLM_API_KEY", "API_SERVER_KEY"])


def test_an_image(load: Load) -> None:
    hermes = load(
        f"image: {{repository: 'registry.home.arpa:5000/hermes', tag: latest, digest: '{DIGEST}', "
        "apt_packages: [ffmpeg, libasound2-plugins]}, audio: {pulse_cookie: /mnt/pulse/cookie}"
    )
    assert hermes.image.reference == f"registry.home.arpa:5000/hermes:latest@{DIGEST}"
    assert hermes.image.is_moving
    assert hermes.image_packages == ("ffmpeg", "libasound2-plugins")
    assert load("audio: {pulse_cookie: /c}").image_packages == ("libasound2-plugins",)


@pytest.mark.parametrize(
    ("tag", "moves"),
    [("latest", True), ("main", True), ("stable", True), (RELEASE, False), ("0.21.0", False), ("latest-1", False)],
)
def test_a_tag_that_moves(tag: str, *, moves: bool) -> None:
    assert Image(tag=tag).is_moving is moves


@pytest.mark.parametrize(
    "repository",
    ["hermes", "a/b", "ghcr.io/a/b-c", "localhost:5000/a", "registry.home.arpa/a/b/c", "a_b/c__d", "a.b/c.d"],
)
def test_the_name_of_an_image(repository: str) -> None:
    assert Image(repository=repository).reference == f"{repository}:{RELEASE}"


def test_a_sidecar_in_the_words_of_compose(load: Load) -> None:
    hermes = load(
        f"network_mode: bridge, networks: {{web: {{internal: true}}}}, sidecars: {{browser: {{image: 'a/b:1@{DIGEST}', "
        "command: [--port, '80'], environment: {TZ: UTC}, volumes: ['/srv/a:/etc/a:ro'], networks: [web, default], "
        "ports: ['127.0.0.1:8080:80', '9000-9010:9000-9010/udp'], depends_on: [hermes, redis], restart: no, "
        "healthcheck: {test: [CMD, 'true']}, secrets: [A_TOKEN], mem_limit: 1g, init: true}, redis: {image: 'redis:8.2'}}"
    )
    assert hermes.sidecars["browser"].compose == {
        "image": f"a/b:1@{DIGEST}",
        "command": ["--port", "80"],
        "environment": {"TZ": "UTC"},
        "volumes": ["/srv/a:/etc/a:ro"],
        "networks": ["web", "default"],
        "ports": ["127.0.0.1:8080:80", "9000-9010:9000-9010/udp"],
        "depends_on": ["hermes", "redis"],
        "restart": "no",
        "healthcheck": {"test": ["CMD", "true"]},
        "mem_limit": "1g",
        "init": True,
    }
    assert hermes.sidecars["redis"].compose == {"image": "redis:8.2"}
    assert hermes.secret_names("hermes") == ("LITELLM_API_KEY", "API_SERVER_KEY", "A_TOKEN")


PROFILES = (
    "settings: {model: {default: large, max_tokens: 100}, platform_toolsets: {cli: [web, file]}, agent: {max_turns: 50, x: 1}, "
    "mcp_servers: {a: {command: npx}}}, secrets: [FIRECRAWL_API_KEY], limits: {memory: 2g}, auth: {}, "
    "environment: {TZ: UTC}, platforms: {telegram: {allowed_users: [123456]}}, "
    "profiles: {work: {api_server: {port: 8643}, platforms: {telegram: {allow_all: true}, slack: {allow_all: true}}, "
    "settings: {model: {default: small}, platform_toolsets: {cli: [web]}, agent: {x: null, y: 2}, mcp_servers: {a: {enabled: false}}}, "
    "auth: {overwrite: true}, secrets: {SLACK_APP_TOKEN: OTHER_APP_TOKEN, A_KEY: A_KEY}, "
    "dashboard: {enabled: true, auth: basic, username: me}}, "
    "home: {api_server: {port: 8644}, data_directory: /opt/home, auth: {secret: MY_AUTH}}}"
)


def test_a_profile_starts_from_the_settings_of_the_main_one(load: Load) -> None:
    hermes = load(PROFILES)
    services = hermes.services("hermes")
    assert list(services) == ["hermes", "hermes-work", "hermes-home"]
    main, work, home = services.values()
    assert main == hermes
    assert work.config == main.config | {
        "model": {**main.config["model"], "default": "small"},
        "platform_toolsets": {"cli": ["web"]},
        "agent": {"max_turns": 50, "y": 2},
        "mcp_servers": {"a": {"command": "npx", "enabled": False}},
        "terminal": {**main.config["terminal"], "cwd": "/data/workspace-work"},
    }
    assert home.config == main.config | {"terminal": {**main.config["terminal"], "cwd": "/data/workspace-home"}}
    # All else is its own.
    assert (work.limits.memory, work.environment, home.platforms.enabled) == ("3g", {}, ())
    assert [it.data_directory for it in services.values()] == ["/opt/hermes-data", "/opt/hermes-data-work", "/opt/home"]
    assert [it.auth.secret for it in services.values() if it.auth] == [
        *("HERMES_AUTH_JSON", "WORK_HERMES_AUTH_JSON", "MY_AUTH")
    ]


def test_a_profile_has_secrets_of_its_own_and_shares_the_keys_of_providers(load: Load) -> None:
    hermes = load(PROFILES)
    _, work, home = hermes.services("hermes").values()
    assert work.secret_map == {
        "LITELLM_API_KEY": "LITELLM_API_KEY",
        "API_SERVER_KEY": "WORK_API_SERVER_KEY",
        "TELEGRAM_BOT_TOKEN": "WORK_TELEGRAM_BOT_TOKEN",
        "SLACK_BOT_TOKEN": "WORK_SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN": "OTHER_APP_TOKEN",
        "HERMES_DASHBOARD_BASIC_AUTH_PASSWORD": "WORK_HERMES_DASHBOARD_BASIC_AUTH_PASSWORD",
        "HERMES_DASHBOARD_BASIC_AUTH_SECRET": "WORK_HERMES_DASHBOARD_BASIC_AUTH_SECRET",
        "A_KEY": "A_KEY",
    }
    assert home.secret_map == {"LITELLM_API_KEY": "LITELLM_API_KEY", "API_SERVER_KEY": "HOME_API_SERVER_KEY"}
    assert hermes.secret_names("hermes") == (
        *("LITELLM_API_KEY", "API_SERVER_KEY", "TELEGRAM_BOT_TOKEN", "FIRECRAWL_API_KEY", "WORK_API_SERVER_KEY"),
        *("WORK_TELEGRAM_BOT_TOKEN", "WORK_SLACK_BOT_TOKEN", "OTHER_APP_TOKEN"),
        *("WORK_HERMES_DASHBOARD_BASIC_AUTH_PASSWORD", "WORK_HERMES_DASHBOARD_BASIC_AUTH_SECRET", "A_KEY"),
        *("HOME_API_SERVER_KEY", "HERMES_AUTH_JSON", "WORK_HERMES_AUTH_JSON", "MY_AUTH"),
    )


@pytest.mark.parametrize(
    ("text", "rest", "warnings"),
    [
        (
            "image: {tag: latest}, profiles: {work: {api_server: {port: 8643}, limits: {memory: 1g}}}",
            "",
            [
                (
                    "hermes.image.tag: latest means another image from time to time, and nothing says which one runs; "
                    f"write a release such as {RELEASE}, or a digest."
                )
            ],
        ),
        (f"image: {{tag: main, digest: '{DIGEST}'}}", "", []),
        (
            "sidecars: {a1: {image: 'a:latest'}, a2: {image: 'a:1'}}",
            "",
            ["hermes.sidecars.a1.image: a:latest means another image from time to time; write a release, or a digest."],
        ),
        (f"sidecars: {{a1: {{image: 'a:latest@{DIGEST}'}}}}", "", []),
        (
            "settings: {model: {provider: anthropic}}",
            "",
            [
                (
                    "hermes.settings.model.provider: anthropic takes its key from ANTHROPIC_API_KEY, which is not under "
                    "secrets; write it there, unless Hermes is logged in by itself."
                )
            ],
        ),
        ("settings: {model: {provider: anthropic}}, secrets: [ANTHROPIC_TOKEN]", "", []),
        ("settings: {model: {provider: anthropic}}, auth: {}", "", []),
        ("settings: {model: {provider: nous}}", "", []),
        (
            "settings: {approvals: {mode: off}}",
            "",
            ["hermes.settings.approvals.mode: off lets every command run with nobody asked; write smart or manual."],
        ),
        (
            "settings: {model: {contextlength: 1}, providers: {litellm: {baseurl: x}}, terminl: {}}",
            "",
            [
                "hermes.settings.terminl: this goes to Hermes as it is; did you mean terminal?",
                "hermes.settings.model.contextlength: this goes to Hermes as it is; did you mean context_length?",
                "hermes.settings.providers.litellm.baseurl: this goes to Hermes as it is; did you mean base_url?",
            ],
        ),
        (
            f"documents: {{USER.md: {'x' * 1376}, MEMORY.md: {'x' * 2200}, SOUL.md: {'x' * 9999}}}",
            "",
            [
                (
                    'hermes.documents."USER.md": the text has 1376 characters, and Hermes keeps 1375 in it; '
                    "shorten it, or write settings.memory.user_char_limit."
                )
            ],
        ),
        (f"documents: {{USER.md: {'x' * 1376}}}, settings: {{memory: {{user_char_limit: 1376}}}}", "", []),
        (
            "profiles: {work: {api_server: {port: 8643}, limits: {memory: 1g}, settings: {approvals: {mode: off}}}}",
            "",
            [
                (
                    "hermes.profiles.work.settings.approvals.mode: off lets every command run with nobody asked; "
                    "write smart or manual."
                )
            ],
        ),
        (
            "",
            "memory: {dedicated_mib: 1023}, disk: {size_gib: 15}, keyctl: false, ",
            [
                "memory.dedicated_mib: Hermes needs 1024 MiB at least; write more.",
                "disk.size_gib: the image of Hermes alone takes more than 5 GiB; write 16 or more.",
                "keyctl: Docker in an unprivileged container wants it; write true.",
            ],
        ),
        ("", "memory: {dedicated_mib: 1024}, disk: {size_gib: 16}, ", []),
    ],
)
def test_what_is_worth_a_second_look(
    homelab: Callable[[str], Homelab], text: str, rest: str, warnings: list[str]
) -> None:
    assert homelab(section(text, rest)).warnings == tuple(f"agents.hermes.{it}" for it in warnings)


def test_a_bare_container_needs_no_second_look(homelab: Callable[[str], Homelab]) -> None:
    assert homelab("agents: {bare: {vmid: 119, disk: {size_gib: 1}, keyctl: false}}").warnings == ()


# Frozen, written out, described


@pytest.mark.parametrize(
    "change",
    [
        lambda hermes: setattr(hermes, "restart", "no"),
        lambda hermes: setattr(hermes.image, "tag", "latest"),
        lambda hermes: setattr(hermes.settings.model, "default", "x"),
        lambda hermes: setattr(hermes.settings, "agent", {}),
        lambda hermes: setattr(hermes.profiles["work"].api_server, "port", 1),
    ],
    ids=["hermes", "image", "settings", "open", "profile"],
)
def test_hermes_is_frozen(load: Load, change: Callable[[Hermes], None]) -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        change(load(PROFILES))


def test_what_is_read_cannot_be_changed(load: Load) -> None:
    hermes: Any = load(PROFILES)
    for mapping in (hermes.profiles, hermes.sidecars, hermes.documents, hermes.environment, hermes.secrets):
        with pytest.raises(TypeError):
            mapping["x"] = None
    hermes.config["model"]["default"] = "another"
    assert hermes.config["model"]["default"] == "large"


def test_what_is_written_out_loads_the_same(tmp_path: Path, homelab: Callable[[str], Homelab]) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG_FILE)
    for text in (
        "",
        f"{PROFILES}, sidecars: {{a1: {{image: 'a:1', init: true}}}}, documents: {{SOUL.md: x}}",
        "config_file: mine.yaml, profiles: {work: {api_server: {port: 8643}}}",
    ):
        first = homelab(section(text, "memory: {dedicated_mib: 3000}, "))
        again = homelab(yaml.safe_dump(first.model_dump(mode="json"), sort_keys=False))
        assert again == first
        before, after = (Hermes.of(it.agents["hermes"]) for it in (first, again))
        assert before
        assert after
        assert after.services("hermes") == before.services("hermes")
        assert [it.config for it in after.services("x").values()] == [it.config for it in before.services("x").values()]


@pytest.mark.parametrize(
    "wrong", [{"api_server": {"token": KEY}}, {"settings": {"foo": {"token": "hunter2"}}}, {"secrets": "hunter2"}]
)
def test_an_error_never_repeats_what_was_given(wrong: Any) -> None:
    with pytest.raises(pydantic.ValidationError) as refusal:
        Agent.model_validate({"name": "hermes", "vmid": 118, "hermes": wrong})
    assert "hermes" in str(refusal.value)
    for secret in ("hunter2", KEY):
        assert secret not in str(refusal.value)


def test_hermes_may_be_built_in_python() -> None:
    hermes = Hermes(
        profiles={"work": Profile(api_server=ApiServer(port=8643))},
        settings=Settings(platform_toolsets={"cli": ("web",)}),
    )
    assert hermes.workspace is None
    placed = Hermes.of(Agent.model_validate({"name": "scribe", "vmid": 119, "hermes": hermes}))
    assert placed
    assert [it.workspace for it in placed.services("scribe").values()] == ["/opt/data/workspace"] * 2
    assert placed.services("scribe")["scribe-work"].config["platform_toolsets"] == {"cli": ["web"]}
    assert placed.profiles["work"].data_directory == "/opt/hermes-data-work"
    # What was given stays as it was.
    assert hermes.workspace is None


def test_an_error_says_each_place_even_without_a_file() -> None:
    with pytest.raises(pydantic.ValidationError, match=r"settings\.foo\.token: this seems to be a secret") as refusal:
        Hermes.model_validate({"settings": {"foo": {"token": "hunter2"}}, "image": {"tag": 1}})
    assert "image.tag: " in str(refusal.value)


def test_files_are_read_from_here_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SOUL.md").write_text("You are Hermes.")
    monkeypatch.chdir(tmp_path)
    assert Hermes.model_validate({"documents": {"SOUL.md": {"file": "SOUL.md"}}}).documents == {
        "SOUL.md": "You are Hermes."
    }


# The example


def commented(text: str) -> str:
    """The example's section hermes with the blocks that it shows in comments in place of their empty defaults."""
    lines: list[str] = []
    shown = False
    for line in text.splitlines():
        indent, comment = re.match(r"( *)(# )?", line).groups()  # type: ignore[union-attr]
        key = line.strip().removeprefix("# ").partition(":")[0]
        if comment and (shown or (lines and lines[-1].strip().partition(":")[0] == key)):
            if not shown:
                lines.pop()
            shown = True
            lines.append(indent + line[len(indent) + 2 :])
        else:
            shown = False
            lines.append(line)
    return "\n".join(lines)


def models(annotation: object) -> list[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models(part)]


def missing(model: type[Model], stated: Any, place: str) -> list[str]:
    """The settings of a model that a mapping does not state, and so on for what lies below."""
    found = [f"{place}.{name}" for name in model.model_fields if name not in stated]
    for name, field in model.model_fields.items():
        below = stated.get(name)
        for inner in models(field.annotation):
            if not isinstance(below, dict) or inner is Profile:
                continue
            items = below.values() if "Mapping" in str(field.annotation) or "dict" in str(field.annotation) else [below]
            # A server is a command or an URL: together they show all.
            together = {key: value for item in items for key, value in item.items()}
            found += missing(inner, together, f"{place}.{name}")
    return found


def test_the_example_states_every_setting_of_hermes() -> None:
    text = commented(EXAMPLE.read_text(encoding="utf-8").partition("\n    keyctl:")[2].partition("\n  # Another")[0])
    shown = yaml.safe_load("    keyctl:" + text)
    assert missing(Hermes, shown["hermes"], "hermes") == [
        "hermes.settings.mcp_servers.tools.exclude"  # named in the comment beside include
    ]


def test_the_example_shows_the_defaults_of_what_it_comments(homelab: Callable[[str], Homelab]) -> None:
    hermes = Hermes.of(homelab(EXAMPLE.read_text(encoding="utf-8")).agents["hermes"])
    default = Hermes.of(Homelab().agents["hermes"])
    assert hermes
    assert default
    assert hermes == default
    assert hermes.config == default.config
    assert hermes.secret_map == default.secret_map


def test_what_the_default_release_changes_is_written_down() -> None:
    """The release before it stands in the same heading."""
    page = (ROOT / "docs" / "hermes.md").read_text(encoding="utf-8")
    assert re.search(rf"^### From [0-9.]+ to {re.escape(VERSION)}$", page, re.MULTILINE)
    assert f"now, {RELEASE} |" in page
    assert f"tag: {RELEASE} # {VERSION};" in EXAMPLE.read_text(encoding="utf-8")


def test_what_the_example_shows_in_comments_loads(tmp_path: Path, homelab: Callable[[str], Homelab]) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "AGENTS.md").write_text("x")
    hermes = Hermes.of(homelab(commented(EXAMPLE.read_text(encoding="utf-8"))).agents["hermes"])
    assert hermes
    assert hermes.platforms.enabled == ("telegram", "discord", "slack")
    assert (hermes.audio and hermes.auth and hermes.documents and hermes.environment) is not None
    assert list(hermes.config["mcp_servers"]) == ["files", "github"]
    assert list(hermes.services("hermes")) == ["hermes", "hermes-work"]
    assert {"FIRECRAWL_API_KEY", "GITHUB_TOKEN", "BROWSER_TOKEN", "WORK_TELEGRAM_BOT_TOKEN", "HERMES_AUTH_JSON"} <= {
        *hermes.secret_names("hermes")
    }


# The schema


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


@pytest.mark.parametrize(
    "hermes",
    [
        None,
        {},
        {"settings": {"model": {"default": "x"}, "anything": {"at": ["all"]}}},
        {"documents": {"SOUL.md": "x", "AGENTS.md": {"file": "x"}}, "secrets": ["A_KEY"]},
        {"secrets": {"A_KEY": "B_KEY"}, "platforms": {"telegram": {"allowed_users": [123456, "123456"]}}},
        {"sidecars": {"browser": {"image": "a:1", "init": True}}, "profiles": {"work": {"api_server": {"port": 8643}}}},
    ],
    ids=json.dumps,
)
def test_the_schema_accepts(schema: jsonschema.Draft202012Validator, hermes: Any) -> None:
    schema.validate({"agents": {"hermes": {"hermes": hermes}}})


@pytest.mark.parametrize(
    "hermes",
    [
        {"imgae": {}},
        {"image": {"tag": "a b"}},
        {"settings": {"model": {"context_length": 8192}}},
        {"settings": {"approvals": {"mode": "auto"}}},
        {"settings": {"mcp_servers": {"a": {"sampling": {"log_level": "trace"}}}}},
        {"documents": {"SOUL.md": 1}},
        {"secrets": "A_KEY"},
        {"secrets": ["A_KEY=hunter2"]},
        {"platforms": {"matrix": {}}},
        {"platforms": {"slack": {"allowed_users": ["me"]}}},
        {"sidecars": {"browser": {}}},
        {"profiles": {"work": {"image": {}}}},
        {"limits": {"cpus": "2"}},
        {"network_mode": "none"},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses(schema: jsonschema.Draft202012Validator, hermes: Any) -> None:
    assert not schema.is_valid({"agents": {"hermes": {"hermes": hermes}}})


def test_the_tree_is_open_where_nothing_hurts() -> None:
    assert Settings.model_validate({"x": {"y": [1, None, "z"]}}).tree["x"] == {"y": [1, None, "z"]}
