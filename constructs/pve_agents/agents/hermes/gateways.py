"""Providers that are other agents of the same file: where each is, and which models it has."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pve_agents.agents.hermes.config import Settings
from pve_agents.agents.hermes.profile import Profile
from pve_agents.agents.hermes.providers import named
from pve_agents.agents.kind import Ask, Endpoint
from pve_agents.problems import Key, Problem
from pve_agents.types import shown

__all__ = ["Endpoints", "asked", "filled", "model_problems", "stated_twice"]

Endpoints = Mapping[str, tuple[str, Endpoint]]
"""The URL of each, and what is there, by the name of its agent."""

_LEAST_TOKENS = 64_000


def asked(key: Key, profile: Profile) -> Iterator[Ask]:
    """Yield whose endpoints a profile wants to ask.

    Args:
        key: The keys on the way to the profile.
        profile: It, with nothing left to inherit.
    """
    for name, provider in profile.settings.providers.items():
        if provider.gateway:
            variable = _key_name(profile.config.get("providers", {}).get(name, {}))
            secret = profile.secret_map.get(variable, variable)
            yield Ask((*key, "settings", "providers", name, "gateway"), provider.gateway, secret)


def _key_name(provider: Mapping[str, Any]) -> str:
    reference = re.fullmatch(r"\$\{(\w+)\}", str(provider.get("api_key", "")))
    return reference[1] if reference else str(provider.get("key_env") or "")


def filled(settings: Settings, endpoints: Endpoints, main: Settings | None = None) -> Settings:
    """Return settings in which the addresses are known, and the model where none is stated.

    Args:
        settings: As they are stated.
        endpoints: What was asked for.
        main: What they inherit, with all of it filled in. Defaults to nothing.
    """
    stated = settings.model.model_fields_set
    own = settings.providers if main is None or "providers" in settings.model_fields_set else {}
    providers = {
        name: it.model_copy(update={"base_url": endpoints[it.gateway][0]}) if it.gateway else it
        for name, it in own.items()
    }
    update: dict[str, Any] = {"providers": providers} if any(it.gateway for it in providers.values()) else {}
    name = named(settings.model.provider if main is None or "provider" in stated else main.model.provider)
    there = providers.get(name)
    if main and not (there and there.gateway):
        there = main.providers.get(name)
    if there and there.gateway:
        models = endpoints[there.gateway][1].models
        chosen: dict[str, Any] = {"default": next(iter(models))} if main is None and "default" not in stated else {}
        tokens = models.get(chosen.get("default", settings.model.default))
        # An inherited model has its tokens where it is stated.
        if tokens and "context_length" not in stated and (chosen or "default" in stated):
            chosen["context_length"] = tokens
        if chosen:
            update["model"] = settings.model.model_copy(update=chosen)
    return settings.model_copy(update=update) if update else settings


def model_problems(key: Key, profile: Profile, endpoints: Endpoints) -> Iterator[Problem]:
    """Find models that are not there, and addresses that are stated twice.

    Args:
        key: The keys on the way to the profile.
        profile: It, with nothing left to inherit, and its addresses filled in.
        endpoints: What was asked for.
    """
    tree = profile.settings.tree
    wanted: list[tuple[Key, Any, Any]] = [(("model", "default"), tree["model"]["provider"], tree["model"]["default"])]
    fallbacks = tree.get("fallback_providers")
    for i, it in enumerate(fallbacks if isinstance(fallbacks, list) else ()):
        if isinstance(it, Mapping) and "model" in it:
            wanted.append((("fallback_providers", i, "model"), it.get("provider"), it["model"]))
    for place, provider, model in wanted:
        there = profile.settings.providers.get(named(str(provider)))
        if not there or not there.gateway:
            continue
        models = endpoints[there.gateway][1].models
        if model not in models:
            sentence = f"the agent {there.gateway} has no model {shown(model)}; write one of {', '.join(models)}"
            yield Problem((*key, "settings", *place), sentence, model)
        elif (tokens := models[model]) and tokens < _LEAST_TOKENS:
            sentence = (
                f"{shown(model)} of the agent {there.gateway} takes {tokens} tokens, and Hermes needs {_LEAST_TOKENS}; "
                "write another model"
            )
            yield Problem((*key, "settings", *place), sentence, model)


def stated_twice(key: Key, settings: Settings, endpoints: Endpoints) -> Iterator[Problem]:
    """Find providers with an address besides that of the agent which they name."""
    for name, it in settings.providers.items():
        if it.gateway and it.base_url not in {None, endpoints[it.gateway][0]}:
            sentence = f"this is where the agent {it.gateway} is, which gateway names; leave base_url out"
            yield Problem((*key, "settings", "providers", name, "base_url"), sentence, it.base_url)
