"""Values in Hermes' own configuration."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pve_agents.types import Number, Text, plain_url, shown

__all__ = [
    "Argument",
    "BaseUrl",
    "Characters",
    "Context",
    "Count",
    "Fraction",
    "Line",
    "McpName",
    "ModelName",
    "ProviderName",
    "ProviderReference",
    "Seconds",
    "Tokens",
]

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


BaseUrl = Annotated[
    str, Text("an URL", r"https?://[\x21-\x7e]+", "one that starts with http:// or https://", check=_base_url)
]
Context = Annotated[
    int, Number("a context length that Hermes accepts, which needs at least 64000 tokens", 64_000, 100_000_000)
]
Tokens = Annotated[int, Number("a number of tokens", 1, 100_000_000)]
Seconds = Annotated[int, Number("a number of seconds", 1, 86_400)]
Count = Annotated[int, Number("a number", 1, 1_000_000)]
Fraction = Annotated[float, Number("a fraction", 0, 1, whole=False)]
Characters = Annotated[int, Number("a number of characters", 0, 1_000_000)]
Line = Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]+", "one line of text", 1024)]
Argument = Annotated[str, Text("a text", r"[^\x00]*", "text in quotes", 100_000)]
ModelName = Annotated[str, Text("a model", r"[^\x00-\x20\x7f]+", "the model's name, such as hermes", 256)]
ProviderName = Annotated[
    str,
    Text(
        "the name of a provider",
        r"[a-z0-9][a-z0-9._-]*",
        "lower-case letters, digits, dots, hyphens and underscores, such as litellm",
        64,
    ),
]
ProviderReference = Annotated[
    str, Text("a provider", r"[a-z0-9][a-z0-9._:-]*", "its name in lower case, such as litellm", 80)
]
McpName = Annotated[
    str, Text("the name of an MCP server", r"[A-Za-z0-9][A-Za-z0-9_-]*", "letters, digits, - and _, such as github", 64)
]
