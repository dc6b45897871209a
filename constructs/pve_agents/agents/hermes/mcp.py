"""MCP servers in Hermes' own configuration."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from pve_agents.agents.docker import HttpUrl
from pve_agents.agents.hermes.tools import Names
from pve_agents.agents.hermes.values import Argument, Count, ModelName, Seconds, Tokens
from pve_agents.model import Flag, OpenModel, distinct
from pve_agents.types import Number, shown

__all__ = ["McpServer", "Sampling", "ToolFilter"]


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

    model: ModelName | None = None
    """Model that answers. Defaults to the main one."""

    max_tokens_cap: Tokens | None = None
    """Largest number of tokens of an answer. Defaults to Hermes' own."""

    timeout: Seconds | None = None
    """Seconds that an answer may take. Defaults to Hermes' own."""

    max_rpm: Count | None = None
    """Questions in a minute. Defaults to Hermes' own."""

    max_tool_rounds: Annotated[int, Number("a number of rounds", 0, 1000)] | None = None
    """Rounds of tools in an answer. Defaults to Hermes' own."""

    allowed_models: Annotated[tuple[ModelName, ...], AfterValidator(distinct)] | None = None
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

    command: Argument | None = None
    """Command to start; excludes url."""

    args: tuple[Argument, ...] | None = None
    """Arguments of the command. Defaults to none."""

    env: dict[str, Argument] | None = None
    """Environment of the command; secrets as ${NAME}. Defaults to none."""

    url: HttpUrl | None = None
    """Where the server is; excludes command."""

    headers: dict[str, Argument] | None = None
    """HTTP headers; secrets as ${NAME}. Defaults to none."""

    transport: Annotated[Literal["sse"] | None, BeforeValidator(_transport)] = None
    """sse for a server of the older kind; with url only. Defaults to streamable HTTP."""

    auth: Annotated[Literal["oauth"] | None, BeforeValidator(_login)] = None
    """oauth to log in at the server; with url only. Defaults to none."""

    enabled: Flag = True
    """Whether Hermes uses it. Defaults to true."""

    timeout: Seconds | None = None
    """Seconds that a tool may take. Defaults to Hermes' own, 120."""

    connect_timeout: Seconds | None = None
    """Seconds that the connection may take. Defaults to Hermes' own, 60."""

    tools: ToolFilter | None = None
    """Those of its tools that the agent gets. Defaults to all."""

    sampling: Sampling | None = None
    """What it may ask the model. Defaults to Hermes' own."""
