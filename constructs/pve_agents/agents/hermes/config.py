"""Hermes' own configuration, the tree of its ``config.yaml``: typed where a wrong value hurts, open elsewhere.

Names and values are those of hermes-agent 0.19 to 0.21: https://hermes-agent.nousresearch.com/docs/user-guide/configuration
"""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from pve_agents.agents.hermes.mcp import McpServer
from pve_agents.agents.hermes.names import EnvName
from pve_agents.agents.hermes.providers import named
from pve_agents.agents.hermes.tools import Names, PlatformName
from pve_agents.agents.hermes.values import (
    Argument,
    BaseUrl,
    Characters,
    Context,
    Count,
    Fraction,
    Line,
    McpName,
    ModelName,
    ProviderName,
    ProviderReference,
    Seconds,
    Tokens,
)
from pve_agents.model import Flag, OpenModel, merged
from pve_agents.types import AgentName, Number, Text

__all__ = [
    "HOME_CWDS",
    "AgentLoop",
    "AgentMemory",
    "Approvals",
    "Compression",
    "Display",
    "MainModel",
    "ModelCatalog",
    "Provider",
    "Security",
    "Settings",
    "Terminal",
]

_LITELLM: Mapping[str, str] = MappingProxyType(
    {"name": "LiteLLM", "base_url": "http://10.1.10.22:4000/v1", "key_env": "LITELLM_API_KEY"}
)
# Until the agent is known that is asked; such a tree is never delivered.
_UNKNOWN = "http://gateway.invalid/v1"
_NO_KEY_ENV: Mapping[str, None] = MappingProxyType({"key_env": None})

HOME_CWDS = frozenset({".", "auto", "cwd"})


class MainModel(OpenModel):
    """The main model."""

    provider: ProviderReference = "litellm"
    """A key of providers, or a provider that is built into Hermes. Defaults to litellm."""

    default: ModelName = "hermes"
    """The model's name at the provider; for LiteLLM its model_name. Defaults to hermes."""

    context_length: Context | None = 131_072
    """Tokens that the model takes, at least 64000. Defaults to 131072; null leaves it to Hermes."""

    max_tokens: Tokens | None = 8192
    """Tokens of one answer. Defaults to 8192; null leaves it to Hermes."""

    base_url: BaseUrl | None = None
    """Where the provider custom is. Defaults to none, since providers.<name>.base_url is the better place."""

    api_key: Line | None = None
    """Key of the provider custom, as ${NAME} only. Defaults to none."""


class Provider(OpenModel):
    """A server that answers as OpenAI's does, such as LiteLLM, vLLM or Ollama."""

    name: Line | None = None
    """Name to show. Defaults to the key."""

    base_url: BaseUrl | None = None
    """Where it is, such as http://10.1.10.22:4000/v1. Required, but for litellm."""

    gateway: AgentName | None = None
    """Agent of this file that is asked instead: its address is the base_url, and its models are known. Defaults to none."""

    key_env: EnvName | None = None
    """Name of the variable with its key. Defaults to none; litellm's to LITELLM_API_KEY."""

    api_key: Line | None = None
    """Its key as ${NAME}, instead of key_env. Defaults to none."""

    context_length: Context | None = None
    """Tokens that its models take, at least 64000. Defaults to what Hermes finds out."""


class Terminal(OpenModel):
    """Where the agent's commands run."""

    backend: Literal["local", "docker", "ssh", "modal", "singularity", "daytona", "vercel_sandbox"] = "local"
    """What runs them. Defaults to local: the agent's own container."""

    cwd: Argument | None = None
    """Working directory; . is Hermes' home. Defaults to workspace in the first mount that is not read-only, or there."""

    timeout: Seconds | None = 180
    """Seconds that a command may take. Defaults to 180."""


class AgentLoop(OpenModel):
    """How the agent works."""

    max_turns: Count | None = None
    """Calls of the model for one message. Defaults to Hermes' own, 90."""

    disabled_toolsets: Names | None = None
    """Toolsets that it has nowhere, such as terminal. Defaults to none."""


class AgentMemory(OpenModel):
    """What the agent remembers."""

    memory_enabled: Flag | None = None
    """Whether it keeps MEMORY.md. Defaults to Hermes' own, true."""

    user_profile_enabled: Flag | None = None
    """Whether it keeps USER.md. Defaults to Hermes' own, true."""

    memory_char_limit: Characters | None = None
    """Largest size of MEMORY.md in characters. Defaults to Hermes' own, 2200."""

    user_char_limit: Characters | None = None
    """Largest size of USER.md in characters. Defaults to Hermes' own, 1375."""

    provider: Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]*", "one line of text", 1024)] | None = None
    """Memory of another kind; empty: none. Defaults to none."""


class Compression(OpenModel):
    """How a long conversation is cut."""

    enabled: Flag | None = None
    """Whether it is. Defaults to Hermes' own, true."""

    threshold: Fraction | None = None
    """Share of the context at which it begins, 0 to 1. Defaults to Hermes' own, 0.5."""

    target_ratio: Fraction | None = None
    """Share that is left, 0 to 1. Defaults to Hermes' own, 0.2."""

    protect_first_n: Annotated[int, Number("a number of messages", 0, 1_000_000)] | None = None
    """Messages at the beginning that stay as they are. Defaults to Hermes' own, 3."""

    protect_last_n: Count | None = None
    """Messages at the end that stay as they are. Defaults to Hermes' own, 20."""


class Display(OpenModel):
    """How answers look."""

    compact: Flag | None = None
    """Whether they are short. Defaults to Hermes' own, false."""

    personality: Argument | None = None
    """Name of a personality. Defaults to none."""

    streaming: Flag | None = None
    """Whether they come word by word. Defaults to Hermes' own, false."""

    language: Line | None = None
    """Language of Hermes' own messages. Defaults to Hermes' own, en."""


def _as_hermes_takes_it(mode: object) -> object:
    # In YAML 1.1, which Hermes reads, off without quotes is false.
    return "off" if mode is False else mode


class Approvals(OpenModel):
    """Which commands need a yes."""

    mode: Annotated[Literal["smart", "manual", "off"], BeforeValidator(_as_hermes_takes_it)] = "smart"
    """smart asks the model first, manual always a human, off nobody. Defaults to smart."""

    timeout: Seconds | None = None
    """Seconds to wait for the yes. Defaults to Hermes' own, 60."""

    cron_mode: Literal["deny", "approve"] = "deny"
    """What becomes of a dangerous command in a scheduled job. Defaults to deny."""


class Security(OpenModel):
    """What Hermes guards."""

    opens: ClassVar[frozenset[str]] = frozenset({"allow_lazy_installs"})

    redact_secrets: Flag = True
    """Whether keys are taken out of what the model sees. Defaults to true."""

    allow_lazy_installs: Flag = False
    """Whether Hermes may install packages as it runs. Defaults to false."""

    tirith_enabled: Flag = False
    """Whether Hermes fetches and runs its command scanner. Defaults to false."""


class ModelCatalog(OpenModel):
    """Hermes' list of models in the Internet."""

    enabled: Flag = False
    """Whether Hermes fetches it. Defaults to false."""


def _by_name(model: object) -> object:
    return {"default": model} if isinstance(model, str) else model


class Settings(OpenModel):
    """Hermes' configuration. What is declared here wins over the agent's own ``config.yaml``, key by key."""

    model: Annotated[MainModel, BeforeValidator(_by_name)] = MainModel()
    """The main model; a text alone is its name."""

    providers: dict[ProviderName, Provider] = Field(
        default_factory=lambda data: (
            {"litellm": Provider.model_validate(_LITELLM)} if named(data["model"].provider) == "litellm" else {}
        )
    )
    """Servers that answer as OpenAI's does, by name. Defaults to litellm, where model.provider is litellm."""

    terminal: Terminal = Terminal()
    """What runs the agent's commands, and where."""

    agent: AgentLoop = AgentLoop()
    """How long it works on a message, and what it has nowhere."""

    platform_toolsets: dict[PlatformName, Names] = Field(default={})
    """Toolsets that the agent has, by where it is spoken to. Defaults to Hermes' own: nearly all of them."""

    memory: AgentMemory = AgentMemory()
    """What the agent keeps in mind."""

    compression: Compression = Compression()
    """When and how a long conversation is cut."""

    display: Display = Display()
    """Look of the answers."""

    approvals: Approvals = Approvals()
    """Commands that need a yes."""

    security: Security = Security()
    """Guards of Hermes."""

    model_catalog: ModelCatalog = ModelCatalog()
    """Whether Hermes fetches a list of models from the Internet."""

    mcp_servers: dict[McpName, McpServer] = Field(default={})
    """MCP servers by name. Defaults to none."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_stated_by_hermes_own_nothing(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if (key, value) not in (("model", ""), ("providers", {}))}

    @cached_property
    def stated(self) -> dict[str, Any]:
        """What is stated, as plain data, without any default."""
        return self.model_dump(mode="json", exclude_unset=True)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The whole tree as plain data: what is stated over the defaults, without what is null."""
        tree = self.model_dump(mode="json")
        if litellm := self.providers.get("litellm"):
            stated = litellm.model_dump(mode="json", exclude_unset=True)
            defaults = {**_LITELLM, **_NO_KEY_ENV} if stated.get("api_key") else _LITELLM
            tree["providers"]["litellm"] = merged(
                {**defaults, **({"base_url": _UNKNOWN} if litellm.gateway else {})}, stated
            )
        for provider in tree["providers"].values():
            # Hermes knows the address alone.
            if provider.pop("gateway", None) and provider.get("base_url") is None:
                provider["base_url"] = _UNKNOWN
        return {key: value for key, value in _without_null(tree).items() if value != {}}


def _without_null(value: Any) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, Mapping):
        return {key: _without_null(it) for key, it in value.items() if it is not None}
    return [_without_null(it) for it in value] if isinstance(value, list) else value
