"""What is wrong with Hermes' configuration as a whole, whose single values are right."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pve_agents.agents.hermes.names import env_name
from pve_agents.agents.hermes.providers import BUILT_IN_PROVIDERS, PROVIDER_ALIASES, named
from pve_agents.agents.hermes.tools import PLATFORMS, tool_problems
from pve_agents.problems import Key, Problem
from pve_agents.types import holds_token, is_credential_name, shown

__all__ = ["literal_secrets", "names_needed", "tree_problems"]

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
    # Empty values and paths of key files are not secrets.
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
