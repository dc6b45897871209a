"""Hermes' own configuration, the tree of its ``config.yaml``: typed where a wrong value hurts, open elsewhere.

Names and values are those of hermes-agent 0.19 to 0.21: https://hermes-agent.nousresearch.com/docs/user-guide/configuration
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pve_agents.agents.hermes.names import EnvName, env_name
from pve_agents.agents.hermes.tools import PLATFORMS, Names, PlatformName, tool_problems
from pve_agents.model import Flag, OpenModel, Unquoted, distinct, meant, merged
from pve_agents.problems import Key, Problem, below
from pve_agents.types import Number, Text, holds_token, is_credential_name, plain_url, shown

__all__ = [
    "BUILT_IN_PROVIDERS",
    "HOME_CWDS",
    "KEYLESS_PROVIDERS",
    "PROVIDER_ALIASES",
    "AgentLoop",
    "AgentMemory",
    "Approvals",
    "Compression",
    "Display",
    "McpServer",
    "Model",
    "ModelCatalog",
    "Provider",
    "Sampling",
    "Security",
    "Settings",
    "Terminal",
    "ToolFilter",
    "literal_secrets",
    "named",
    "names_needed",
    "near_misses",
    "tree_problems",
    "unquoted_words",
    "words_in",
]

BUILT_IN_PROVIDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alibaba": ("DASHSCOPE_API_KEY",),
        "alibaba-coding-plan": ("ALIBABA_CODING_PLAN_API_KEY", "DASHSCOPE_API_KEY"),
        "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        "arcee": ("ARCEEAI_API_KEY",),
        "azure-foundry": ("AZURE_FOUNDRY_API_KEY",),
        "bedrock": (),
        "copilot": ("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        "copilot-acp": (),
        "deepinfra": ("DEEPINFRA_API_KEY",),
        "deepseek": ("DEEPSEEK_API_KEY",),
        "fireworks": ("FIREWORKS_API_KEY",),
        "gemini": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "gmi": ("GMI_API_KEY",),
        "huggingface": ("HF_TOKEN",),
        "kilocode": ("KILOCODE_API_KEY",),
        "kimi-coding": ("KIMI_API_KEY", "KIMI_CODING_API_KEY"),
        "kimi-coding-cn": ("KIMI_CN_API_KEY",),
        "lmstudio": ("LM_API_KEY",),
        "minimax": ("MINIMAX_API_KEY",),
        "minimax-cn": ("MINIMAX_CN_API_KEY",),
        "minimax-oauth": (),
        "nous": (),
        "novita": ("NOVITA_API_KEY",),
        "nvidia": ("NVIDIA_API_KEY",),
        "ollama-cloud": ("OLLAMA_API_KEY",),
        "openai-api": ("OPENAI_API_KEY",),
        "openai-codex": (),
        "opencode-go": ("OPENCODE_GO_API_KEY",),
        "opencode-zen": ("OPENCODE_ZEN_API_KEY",),
        "openrouter": ("OPENROUTER_API_KEY",),
        "qwen-oauth": (),
        "stepfun": ("STEPFUN_API_KEY",),
        "tencent-tokenhub": ("TOKENHUB_API_KEY",),
        "upstage": ("UPSTAGE_API_KEY",),
        "vertex": (),
        "xai": ("XAI_API_KEY",),
        "xai-oauth": (),
        "xiaomi": ("XIAOMI_API_KEY",),
        "zai": ("GLM_API_KEY", "ZAI_API_KEY", "Z_AI_API_KEY"),
    }
)
"""The providers that Hermes knows by itself, each with the variables that may hold its key; none: it logs in."""

KEYLESS_PROVIDERS = frozenset({"lmstudio"})
"""Those of them that need no key, although they take one."""

PROVIDER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        alias: provider
        for provider, aliases in {
            "alibaba": "alibaba-cloud dashscope qwen-dashscope",
            "alibaba-coding-plan": "alibaba-coding alibaba_coding alibaba_coding_plan dashscope-coding",
            "anthropic": "claude claude-code claude-oauth",
            "arcee": "arcee-ai arceeai",
            "azure-foundry": "azure azure-ai azure-ai-foundry",
            "bedrock": "amazon amazon-bedrock aws aws-bedrock",
            "copilot": "github github-copilot github-model github-models",
            "copilot-acp": "copilot-acp-agent github-copilot-acp",
            "deepinfra": "deep-infra deepinfra-ai",
            "deepseek": "deepseek-chat",
            "fireworks": "fireworks-ai fw",
            "gemini": "google google-ai-studio google-gemini",
            "gmi": "gmi-cloud gmicloud",
            "huggingface": "hf hugging-face huggingface-hub",
            "kilocode": "kilo kilo-code kilo-gateway",
            "kimi-coding": "kimi kimi-for-coding moonshot",
            "kimi-coding-cn": "kimi-cn moonshot-cn",
            "lmstudio": "lm-studio lm_studio",
            "minimax": "mini-max",
            "minimax-cn": "minimax-china minimax_cn",
            "minimax-oauth": "minimax-global minimax-oauth-io minimax-portal minimax_oauth",
            "nous": "nous-portal nousresearch",
            "novita": "novita-ai novitaai",
            "nvidia": "nvidia-nim",
            "ollama-cloud": "ollama_cloud",
            "openai-codex": "codex openai_codex",
            "opencode-go": "go opencode-go-sub opencode_go",
            "opencode-zen": "opencode opencode_zen zen",
            "openrouter": "or",
            "qwen-oauth": "qwen qwen-cli qwen-portal",
            "stepfun": "step stepfun-coding-plan",
            "tencent-tokenhub": "tencent tencent-cloud tencentmaas tokenhub",
            "upstage": "solar",
            "xai": "grok x-ai x.ai",
            "xai-oauth": "grok-oauth x-ai-oauth xai-grok-oauth",
            "xiaomi": "mimo xiaomi-mimo",
            "zai": "glm z-ai z.ai zhipu",
        }.items()
        for alias in aliases.split()
    }
)
"""Other names that Hermes has for them; one under providers goes before."""

_LITELLM: Mapping[str, str] = MappingProxyType(
    {"name": "LiteLLM", "base_url": "http://10.1.10.22:4000/v1", "key_env": "LITELLM_API_KEY"}
)
_NO_KEY_ENV: Mapping[str, None] = MappingProxyType({"key_env": None})

HOME_CWDS = frozenset({".", "auto", "cwd"})
"""What Hermes takes for its home, as a working directory."""

# Values -----------------------------------------------------------------------------------------------------------

_CALL = re.compile(r"/(chat/completions|completions|responses|embeddings|messages|models)$")
_SEGMENT_TWICE = re.compile(r"/([^/]+)/\1(/|$)")


def _base_url(value: str) -> str:
    url = urlsplit(plain_url(value))
    if url.query or url.fragment or value.endswith(("?", "#")):
        raise ValueError(f"{shown(value)} has a query or a fragment; write the URL without")
    if url.path.endswith("/"):
        raise ValueError(f"{shown(value)} ends in a slash; write {shown(value.rstrip('/'))}")
    if call := _CALL.search(url.path):
        raise ValueError(
            f"{shown(value)} is the URL of one call, to which Hermes adds {call[0]} by itself; "
            f"write {shown(value.removesuffix(call[0]))}"
        )
    if twice := _SEGMENT_TWICE.search(url.path):
        raise ValueError(f"{shown(value)} has /{twice[1]} twice in a row; write it once")
    return value


HttpUrl = Annotated[
    str, Text("an URL", r"https?://[\x21-\x7e]+", "one that starts with http:// or https://", check=plain_url)
]
"""An http or https URL without credentials."""

_BaseUrl = Annotated[
    str, Text("an URL", r"https?://[\x21-\x7e]+", "one that starts with http:// or https://", check=_base_url)
]
_Context = Annotated[
    int, Number("a context length that Hermes accepts, which needs at least 64000 tokens", 64_000, 100_000_000)
]
_Tokens = Annotated[int, Number("a number of tokens", 1, 100_000_000)]
_Seconds = Annotated[int, Number("a number of seconds", 1, 86_400)]
_Count = Annotated[int, Number("a number", 1, 1_000_000)]
_Fraction = Annotated[float, Number("a fraction", 0, 1, whole=False)]
_Characters = Annotated[int, Number("a number of characters", 0, 1_000_000)]
_Line = Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]+", "one line of text", 1024)]
_Argument = Annotated[str, Text("a text", r"[^\x00]*", "text in quotes", 100_000)]
_ModelName = Annotated[str, Text("a model", r"[^\x00-\x20\x7f]+", "the model's name, such as hermes", 256)]
_ProviderName = Annotated[
    str,
    Text(
        "the name of a provider",
        r"[a-z0-9][a-z0-9._-]*",
        "lower-case letters, digits, dots, hyphens and underscores, such as litellm",
        64,
    ),
]
_ProviderReference = Annotated[
    str, Text("a provider", r"[a-z0-9][a-z0-9._:-]*", "its name in lower case, such as litellm", 80)
]
_McpName = Annotated[
    str, Text("the name of an MCP server", r"[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, - and _, such as github", 64)
]


# The tree ---------------------------------------------------------------------------------------------------------


class Model(OpenModel):
    """The main model."""

    provider: _ProviderReference = "litellm"
    """A key of providers, or a provider that is built into Hermes. Defaults to litellm."""

    default: _ModelName = "hermes"
    """The model's name at the provider; for LiteLLM its model_name. Defaults to hermes."""

    context_length: _Context | None = 131_072
    """Tokens that the model takes, at least 64000. Defaults to 131072; null leaves it to Hermes."""

    max_tokens: _Tokens | None = 8192
    """Tokens of one answer. Defaults to 8192; null leaves it to Hermes."""

    base_url: _BaseUrl | None = None
    """Where the provider custom is. Defaults to none, since providers.<name>.base_url is the better place."""

    api_key: _Line | None = None
    """Key of the provider custom, as ${NAME} only. Defaults to none."""


class Provider(OpenModel):
    """A server that answers as OpenAI's does, such as LiteLLM, vLLM or Ollama."""

    name: _Line | None = None
    """Name to show. Defaults to the key."""

    base_url: _BaseUrl | None = None
    """Where it is, such as http://10.1.10.22:4000/v1. Required, but for litellm."""

    key_env: EnvName | None = None
    """Name of the variable with its key. Defaults to none; litellm's to LITELLM_API_KEY."""

    api_key: _Line | None = None
    """Its key as ${NAME}, instead of key_env. Defaults to none."""

    context_length: _Context | None = None
    """Tokens that its models take, at least 64000. Defaults to what Hermes finds out."""


class Terminal(OpenModel):
    """Where the agent's commands run."""

    backend: Literal["local", "docker", "ssh", "modal", "singularity", "daytona", "vercel_sandbox"] = "local"
    """What runs them. Defaults to local: the agent's own container."""

    cwd: _Argument | None = None
    """Working directory; . is Hermes' home. Defaults to workspace in the first mount that is not read-only, or there."""

    timeout: _Seconds | None = 180
    """Seconds that a command may take. Defaults to 180."""


class AgentLoop(OpenModel):
    """How the agent works."""

    max_turns: _Count | None = None
    """Calls of the model for one message. Defaults to Hermes' own, 90."""

    disabled_toolsets: Names | None = None
    """Toolsets that it has nowhere, such as terminal. Defaults to none."""


class AgentMemory(OpenModel):
    """What the agent remembers."""

    memory_enabled: Flag | None = None
    """Whether it keeps MEMORY.md. Defaults to Hermes' own, true."""

    user_profile_enabled: Flag | None = None
    """Whether it keeps USER.md. Defaults to Hermes' own, true."""

    memory_char_limit: _Characters | None = None
    """Largest size of MEMORY.md in characters. Defaults to Hermes' own, 2200."""

    user_char_limit: _Characters | None = None
    """Largest size of USER.md in characters. Defaults to Hermes' own, 1375."""

    provider: Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]*", "one line of text", 1024)] | None = None
    """Memory of another kind; empty: none. Defaults to none."""


class Compression(OpenModel):
    """How a long conversation is cut."""

    enabled: Flag | None = None
    """Whether it is. Defaults to Hermes' own, true."""

    threshold: _Fraction | None = None
    """Share of the context at which it begins, 0 to 1. Defaults to Hermes' own, 0.5."""

    target_ratio: _Fraction | None = None
    """Share that is left, 0 to 1. Defaults to Hermes' own, 0.2."""

    protect_first_n: Annotated[int, Number("a number of messages", 0, 1_000_000)] | None = None
    """Messages at the beginning that stay as they are. Defaults to Hermes' own, 3."""

    protect_last_n: _Count | None = None
    """Messages at the end that stay as they are. Defaults to Hermes' own, 20."""


class Display(OpenModel):
    """How answers look."""

    compact: Flag | None = None
    """Whether they are short. Defaults to Hermes' own, false."""

    personality: _Argument | None = None
    """Name of a personality. Defaults to none."""

    streaming: Flag | None = None
    """Whether they come word by word. Defaults to Hermes' own, false."""

    language: _Line | None = None
    """Language of Hermes' own messages. Defaults to Hermes' own, en."""


def _as_hermes_takes_it(mode: object) -> object:
    # In YAML 1.1, which Hermes reads, off without quotes is false.
    return "off" if mode is False else mode


class Approvals(OpenModel):
    """Which commands need a yes."""

    mode: Annotated[Literal["smart", "manual", "off"], BeforeValidator(_as_hermes_takes_it)] = "smart"
    """smart asks the model first, manual always a human, off nobody. Defaults to smart."""

    timeout: _Seconds | None = None
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


class ToolFilter(OpenModel):
    """Which tools of an MCP server the agent gets."""

    include: Names | None = None
    """These alone. Defaults to all."""

    exclude: Names | None = None
    """All but these. Defaults to none."""

    resources: Flag | None = None
    """Whether it may list and read what the server offers to read. Defaults to Hermes' own, true."""

    prompts: Flag | None = None
    """Whether it may list and get the prompts of the server. Defaults to Hermes' own, true."""


class Sampling(OpenModel):
    """Questions that an MCP server may ask the model."""

    enabled: Flag = True
    """Whether it may. Defaults to true."""

    model: _ModelName | None = None
    """Model that answers. Defaults to the main one."""

    max_tokens_cap: _Tokens | None = None
    """Largest number of tokens of an answer. Defaults to Hermes' own."""

    timeout: _Seconds | None = None
    """Seconds that an answer may take. Defaults to Hermes' own."""

    max_rpm: _Count | None = None
    """Questions in a minute. Defaults to Hermes' own."""

    max_tool_rounds: Annotated[int, Number("a number of rounds", 0, 1000)] | None = None
    """Rounds of tools in an answer. Defaults to Hermes' own."""

    allowed_models: Annotated[tuple[_ModelName, ...], AfterValidator(distinct)] | None = None
    """Models that the server may ask for. Defaults to Hermes' own."""

    log_level: Literal["debug", "info", "warning"] | None = None
    """How much is logged of it. Defaults to Hermes' own."""


_SPOKEN_ANYWAY = frozenset({"http", "streamable-http", "streamable_http", "streamablehttp"})


def _transport(value: object) -> object:
    word = value.lower() if isinstance(value, str) else ""
    if word in _SPOKEN_ANYWAY:
        raise ValueError(f"{shown(value)} is what Hermes speaks without being told; leave transport out")
    if word == "stdio":
        raise ValueError(f"{shown(value)} follows from command; leave transport out")
    return value


def _login(value: object) -> object:
    if isinstance(value, str) and value.lower() in {
        "bearer",
        "token",
        "api_key",
        "apikey",
        "basic",
        "header",
        "headers",
    }:
        raise ValueError(
            f"{shown(value)} is no login that Hermes makes; leave auth out, and write headers, such as "
            '{Authorization: "Bearer ${NAME}"}'
        )
    return value


class McpServer(OpenModel):
    """An MCP server: a command that Hermes starts, or an URL."""

    command: _Argument | None = None
    """Command to start; excludes url."""

    args: tuple[_Argument, ...] | None = None
    """Arguments of the command. Defaults to none."""

    env: dict[str, _Argument] | None = None
    """Environment of the command; secrets as ${NAME}. Defaults to none."""

    url: HttpUrl | None = None
    """Where the server is; excludes command."""

    headers: dict[str, _Argument] | None = None
    """HTTP headers; secrets as ${NAME}. Defaults to none."""

    transport: Annotated[Literal["sse"] | None, BeforeValidator(_transport)] = None
    """sse for a server of the older kind; with url only. Defaults to streamable HTTP."""

    auth: Annotated[Literal["oauth"] | None, BeforeValidator(_login)] = None
    """oauth to log in at the server; with url only. Defaults to none."""

    enabled: Flag = True
    """Whether Hermes uses it. Defaults to true."""

    timeout: _Seconds | None = None
    """Seconds that a tool may take. Defaults to Hermes' own, 120."""

    connect_timeout: _Seconds | None = None
    """Seconds that the connection may take. Defaults to Hermes' own, 60."""

    tools: ToolFilter | None = None
    """Those of its tools that the agent gets. Defaults to all."""

    sampling: Sampling | None = None
    """What it may ask the model. Defaults to Hermes' own."""


def _by_name(model: object) -> object:
    return {"default": model} if isinstance(model, str) else model


class Settings(OpenModel):
    """Hermes' configuration. What is declared here wins over the agent's own ``config.yaml``, key by key."""

    model: Annotated[Model, BeforeValidator(_by_name)] = Model()
    """The main model; a text alone is its name."""

    providers: dict[_ProviderName, Provider] = Field(
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

    mcp_servers: dict[_McpName, McpServer] = Field(default={})
    """MCP servers by name. Defaults to none."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_stated_by_hermes_own_nothing(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        return {key: value for key, value in values.items() if (key, value) not in (("model", ""), ("providers", {}))}

    @property
    def stated(self) -> dict[str, Any]:
        """What is stated, as plain data, without any default."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def tree(self) -> dict[str, Any]:
        """The whole tree as plain data: what is stated over the defaults, without what is null."""
        tree = self.model_dump(mode="json")
        if litellm := self.providers.get("litellm"):
            stated = litellm.model_dump(mode="json", exclude_unset=True)
            tree["providers"]["litellm"] = merged(
                {**_LITELLM, **_NO_KEY_ENV} if stated.get("api_key") else _LITELLM, stated
            )
        return {key: value for key, value in _without_null(tree).items() if value != {}}


def _without_null(value: Any) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, Mapping):
        return {key: _without_null(it) for key, it in value.items() if it is not None}
    return [_without_null(it) for it in value] if isinstance(value, list) else value


def named(provider: str) -> str:
    """Return the key of providers that a reference means, which may be spelled custom:<name>."""
    return provider.removeprefix("custom:")


# What concerns more than one key --------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}?")
_WHOLE_PLACEHOLDER = re.compile(r"(?:(?:Bearer|Basic|Token|Bot) +)?(?:\$\{[^}]+\})+", re.IGNORECASE)
_KEY_NAMES = frozenset({"key_env", "api_key_env"})
_LOCAL_SERVERS = frozenset({"ollama", "vllm", "llamacpp", "llama.cpp", "llama-cpp"})

_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


def literal_secrets(value: object, key: Key = (), name: str = "") -> Iterator[tuple[Key, object]]:
    """Find what seems to be a secret itself, where a name belongs.

    Args:
        value: A tree of plain data.
        key: Where it stands.
        name: The last name on the way to it.

    Yields:
        The place of each, and what stands there.
    """
    if isinstance(value, Mapping):
        for inner, it in value.items():
            yield from literal_secrets(it, (*key, str(inner)), str(inner))
    elif isinstance(value, list | tuple):
        before = ""
        for i, it in enumerate(value):
            # Of a command's words, the one before says what the next one is.
            yield from literal_secrets(it, (*key, i), before.lstrip("-") if before.startswith("-") else name)
            before = it if isinstance(it, str) else ""
    elif isinstance(value, bool | None):
        return
    elif holds_token(text := str(value)) or any(_is_literal(what, it) for what, it in [(name, text), *_option(text)]):
        yield key, value


def _option(text: str) -> list[tuple[str, str]]:
    option, equals, value = text.partition("=")
    return [(option.lstrip("-"), value)] if equals and re.fullmatch(r"-{1,2}[A-Za-z][\w-]*", option) else []


def _is_literal(name: str, value: str) -> bool:
    if not (is_credential_name(name) or name.lower() in _HEADERS):
        return False
    # An empty one is none, and the path of a file with a key in it is no key.
    return not (value == "" or _WHOLE_PLACEHOLDER.fullmatch(value) or re.fullmatch(r"~?/[^\s+=]*", value))


def references(value: object, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Find the variables that a tree needs: each ``${NAME}`` in it, and each name under ``key_env``.

    Yields:
        The place of each, and the name as it stands there.
    """
    if isinstance(value, Mapping):
        for name, it in value.items():
            if name in _KEY_NAMES and isinstance(it, str):
                yield (*key, name), it
            else:
                yield from references(it, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for i, it in enumerate(value):
            yield from references(it, (*key, i))
    elif isinstance(value, str):
        for found in _PLACEHOLDER.finditer(value):
            yield key, found[1]


def tree_problems(tree: Mapping[str, Any]) -> list[Problem]:
    """Say what is wrong with a tree as a whole, whose single values are right.

    Args:
        tree: What Hermes gets.
    """
    return [
        *_reference_problems(tree),
        *_model_problems(tree),
        *_terminal_problems(_mapping(tree, "terminal")),
        *_provider_problems(tree),
        *_block_problems(tree),
        *tool_problems(tree),
        *(it for name, server in _mapping(tree, "mcp_servers").items() for it in _mcp_problems(name, server)),
    ]


def _block_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    for name in PLATFORMS:
        if name in tree and not isinstance(tree[name], Mapping | None):
            sentence = f"{shown(tree[name])} is not a mapping; write keys and values, or leave {name} out"
            yield Problem((name,), sentence, tree[name])


def _mapping(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _reference_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    for key, name in references(tree):
        try:
            env_name(name)
        except ValueError as error:
            yield Problem(key, str(error))


def _model_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    model = _mapping(tree, "model")
    if "model" in model:
        yield Problem(("model", "model"), "Hermes calls this default; write default", model["model"])
    yield from _known_provider(tree, ("model", "provider"), model["provider"])
    fallbacks = tree.get("fallback_providers") or []
    if not isinstance(fallbacks, list):
        sentence = f"{shown(fallbacks)} is not a list; write one such as [{{provider: openrouter, model: hermes}}]"
        yield Problem(("fallback_providers",), sentence, fallbacks)
        fallbacks = []
    for i, fallback in enumerate(fallbacks):
        if isinstance(fallback, Mapping) and "provider" in fallback:
            yield from _known_provider(tree, ("fallback_providers", i, "provider"), fallback["provider"])
    if model["provider"] == "custom" and "custom" not in _mapping(tree, "providers"):
        for key, without in _CUSTOM_NEEDS.items():
            if key not in model:
                yield Problem(("model", key), f"the provider custom needs one, {without}")
    elif "base_url" in model:
        yield from _second_base_url(tree, model["provider"], model["base_url"])


_CUSTOM_NEEDS = {
    "base_url": "without which Hermes sends the key to a third party; "
    "write it, or better name the server under providers",
    "api_key": "without which Hermes sends no key at all; "
    "write ${NAME}, or better name the server under providers with its key_env",
}


def _second_base_url(tree: Mapping[str, Any], provider: str, base_url: str) -> Iterator[Problem]:
    key = ("model", "base_url")
    if named(provider) in _mapping(tree, "providers"):
        yield Problem(key, f"the provider {named(provider)} has a base_url of its own; write it there", base_url)
    elif provider == "openai-api":
        yield Problem(
            key,
            "Hermes would still send the key to api.openai.com for its side tasks; name the server under providers",
            base_url,
        )


def _terminal_problems(terminal: Mapping[str, Any]) -> Iterator[Problem]:
    backend = terminal.get("backend", "local")
    if backend == "docker":
        yield Problem(
            ("terminal", "backend"),
            "docker needs Docker's socket, and who speaks to Docker is root in the LXC container; write local",
            backend,
        )
    elif backend != "local" and "cwd" not in terminal:
        yield Problem(
            ("terminal", "cwd"), f"backend: {backend} has its directories elsewhere; write the working directory there"
        )


def _known_provider(tree: Mapping[str, Any], key: Key, provider: object) -> Iterator[Problem]:
    providers = _mapping(tree, "providers")
    if not isinstance(provider, str) or named(provider) in providers:
        return
    if provider in {*BUILT_IN_PROVIDERS, *PROVIDER_ALIASES, "custom"}:
        return
    names = f"one under providers, which are {', '.join(providers)}" if providers else "the name of one under providers"
    if provider == "openai":
        reason = "is no provider of Hermes; write openai-api for OpenAI itself, or"
    elif provider == "auto":
        reason = "lets Hermes choose, which may send the key to a third party; write"
    elif provider in _LOCAL_SERVERS:
        reason = f"needs an address; write providers.{provider}.base_url, or"
    else:
        reason = "is neither a key of providers nor built into Hermes; write a built-in one such as openrouter, or"
    yield Problem(key, f"{shown(provider)} {reason} {names}", provider)


def _provider_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    for name, provider in _mapping(tree, "providers").items():
        key = ("providers", name, "base_url")
        if name == "auto":
            yield Problem(key[:2], "auto lets Hermes choose a provider; write another name")
        elif name in BUILT_IN_PROVIDERS and "base_url" in provider:
            yield Problem(
                key, f"{name} is built into Hermes, which would pass over this; give the server a name of its own"
            )
        elif name not in BUILT_IN_PROVIDERS and "base_url" not in provider:
            yield Problem(key, "this is missing; write where the server is, such as http://10.1.10.22:4000/v1")
        if "key_env" in provider and "api_key" in provider:
            yield Problem(("providers", name), "key_env and api_key are both given; keep key_env")


_BY_URL = ("headers", "transport", "auth")
_BY_COMMAND = ("args", "env")


def _mcp_problems(name: str, server: Mapping[str, Any]) -> Iterator[Problem]:
    key = ("mcp_servers", name)
    if ("command" in server) == ("url" in server):
        found = "are both given; keep one of them" if "url" in server else "are both missing; write one of them"
        yield Problem(key, f"command and url {found}")
    elif foreign := [it for it in (_BY_URL if "command" in server else _BY_COMMAND) if it in server]:
        other = "url" if "command" in server else "command"
        yield Problem(key, f"only a server with {other} has {' or '.join(foreign)}; leave it out")
    tools = _mapping(server, "tools")
    stated = [tools.get(it) for it in ("include", "exclude")] + [it in tools for it in ("resources", "prompts")]
    if "tools" in server and not any(stated):
        yield Problem((*key, "tools"), "include and exclude are both empty; write names in one, or leave tools out")
    if both := [it for it in tools.get("include", ()) if it in tools.get("exclude", ())]:
        yield Problem((*key, "tools"), f"include and exclude both have {', '.join(both)}; keep each in one of them")


def names_needed(tree: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the variables that a tree needs, each once, in the order in which they come."""
    return tuple(dict.fromkeys(name for _, name in references(tree)))


def near_misses(model: OpenModel, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Find keys that are passed on to Hermes as they are, and are spelled almost like one that is checked.

    Yields:
        The place of each, and a sentence without its full stop.
    """
    for name, value in (model.model_extra or {}).items():
        if close := meant(type(model), name, value, cutoff=0.8):
            yield (*key, name), f"this goes to Hermes as it is; did you mean {close}?"
    for name in type(model).model_fields:
        value = getattr(model, name)
        for inner, it in value.items() if isinstance(value, dict) else [("", value)]:
            if isinstance(it, OpenModel):
                yield from near_misses(it, (*key, name, inner) if inner else (*key, name))


def unquoted_words(model: OpenModel) -> list[Problem]:
    """Say which words Hermes would get as text, and take for true, that mean true or false in its own file.

    Args:
        model: Settings; what they know the type of is checked already.
    """
    found: list[Problem] = []
    for name, value in {
        **{it: getattr(model, it) for it in type(model).model_fields},
        **(model.model_extra or {}),
    }.items():
        is_known = name in type(model).model_fields
        found += below((name,), words_in(value, is_known=is_known))
    return found


def words_in(value: object, *, is_known: bool = False) -> list[Problem]:
    """Say the same of a part of the settings.

    Args:
        value: The part.
        is_known: Whether its type is checked already.
    """
    if isinstance(value, OpenModel):
        return unquoted_words(value)
    if isinstance(value, Mapping):
        return [it for key, inner in value.items() for it in below((str(key),), words_in(inner, is_known=is_known))]
    if isinstance(value, list | tuple):
        return [it for i, inner in enumerate(value) for it in below((i,), words_in(inner, is_known=is_known))]
    if is_known or not isinstance(value, Unquoted):
        return []
    flag = "true" if value.lower() in {"yes", "on"} else "false"
    sentence = (
        f'{value} is text here, which Hermes may take for true; write {flag}, or "{value}" where the word is meant'
    )
    return [Problem((), sentence, value)]
