"""What may be meant in a profile, and yet is worth a second look."""

from collections.abc import Iterator

from pve_agents.agents.hermes.profile import Profile
from pve_agents.agents.hermes.providers import BUILT_IN_PROVIDERS, KEYLESS_PROVIDERS, PROVIDER_ALIASES, named
from pve_agents.agents.hermes.spelling import near_misses
from pve_agents.agents.hermes.tools import tool_warnings
from pve_agents.problems import Key

__all__ = ["second_looks"]

_MEMORY_LIMITS = {"USER.md": ("user_char_limit", 1375), "MEMORY.md": ("memory_char_limit", 2200)}


def second_looks(profile: Profile) -> Iterator[tuple[Key, str]]:
    """Find what may be meant, and yet is worth a second look.

    Args:
        profile: The profile, with nothing left to inherit.

    Yields:
        The place of each below the profile, and a sentence without its full stop.
    """
    config = profile.config
    stated = named(config["model"]["provider"])
    provider = stated if stated in config.get("providers", {}) else PROVIDER_ALIASES.get(stated, stated)
    names = BUILT_IN_PROVIDERS.get(provider, ()) if provider not in KEYLESS_PROVIDERS else ()
    there = {*profile.secret_map, *profile.environment}
    if provider not in config.get("providers", {}) and names and not there & set(names) and not profile.auth:
        sentence = (
            f"{provider} takes its key from {names[0]}, which is not under secrets; "
            "write it there, unless Hermes is logged in by itself"
        )
        yield ("settings", "model", "provider"), sentence
    for name, (key, limit) in _MEMORY_LIMITS.items():
        size, most = len(profile.documents.get(name, "")), config.get("memory", {}).get(key, limit)
        if size > most:
            sentence = (
                f"the text has {size} characters, and Hermes keeps {most} in it; "
                f"shorten it, or write settings.memory.{key}"
            )
            yield ("documents", name), sentence
    # Where the file has it without quotes, false is what Hermes reads, and takes for off.
    if config.get("approvals", {}).get("mode") in ("off", False):
        yield ("settings", "approvals", "mode"), "off lets every command run with nobody asked; write smart or manual"
    yield from (((*profile.config_place, *key), sentence) for key, sentence in tool_warnings(config))
    if profile.config_file is None:
        yield from ((("settings", *key), sentence) for key, sentence in near_misses(profile.settings))
