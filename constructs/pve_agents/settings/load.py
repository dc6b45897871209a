"""Reading the settings: the file, the variables over it, and the models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pve_agents.agents.kind import default_agents, default_of
from pve_agents.model import merged
from pve_agents.problems import MOST_SENTENCES, Key, Problem, SettingsError, dotted
from pve_agents.reading import tree_fault
from pve_agents.settings.file import read_settings
from pve_agents.settings.homelab import Homelab
from pve_agents.variables import set_by_variables, variables

__all__ = ["load_settings"]


def load_settings(directory: Path = Path()) -> Homelab:
    """Read the settings.

    Args:
        directory: Where ``homelab.yaml`` is; a relative ``HOMELAB_FILE`` starts there too. Defaults to the current one.

    Returns:
        The settings. Without a file and variables they are the defaults: the agents that kinds bring along.

    Raises:
        SettingsError: They cannot be used. All that is wrong is said at once.
    """
    label, file = read_settings(directory)
    values, messages = _with_variables(label, file)
    try:
        homelab = _validated(values, directory / label)
    except ValidationError as error:
        from pve_agents.settings.words import sentences  # noqa: PLC0415 - where nothing is wrong, nobody waits for them

        label, file = read_settings(directory, as_written=True)
        problems = _in_their_words(_with_variables(label, file)[0], directory / label, error)
        while problems and len(messages) <= MOST_SENTENCES:
            messages += sentences(problems.pop(0), label, file)
        # What is left is not worked out: each sentence costs a search for what may be meant.
        raise SettingsError(messages, left=len(problems)) from None
    if messages:
        raise SettingsError(messages)
    return homelab


def _validated(values: dict[str, Any], file: Path) -> Homelab:
    return Homelab.model_validate(values, context={"directory": file.parent})


def _in_their_words(values: dict[str, Any], file: Path, error: ValidationError) -> list[Problem]:
    """Return the problems of what was read once more, in which each number is spelled as the file has it."""
    try:
        _validated(values, file)
    except ValidationError as again:
        error = again
    return Problem.all_of(error)


# The variables over the file --------------------------------------------------------------------------------------


def _with_variables(label: str, file: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the file with the variables over it, and a sentence for each agent that only the variables name."""
    file = _with_default_mounts(file)
    tree = set_by_variables()
    if fault := tree_fault(tree):
        key, sentence = fault
        raise SettingsError([f"{_origin(label, file, key)}: {dotted(key)}: {sentence}."])
    # What is no mapping in the file must be refused, not hidden by a variable for one of its keys.
    over = {key: value for key, value in tree.items() if isinstance(file.get(key, {}), dict)}
    values = merged(file, over)
    agents, stated = values.get("agents"), _agents(file)
    if not isinstance(agents, dict) or not isinstance(stated, dict):
        return values, []
    # A variable changes an agent that is there: a slip in its name must not make another one.
    messages = []
    for agent in (name for name in agents if name not in stated):
        place = ("agents", agent)
        there = f"the agents there are {', '.join(stated)}" if stated else "it has none"
        messages.append(
            f"{_origin(label, file, place, agents[agent])}: {dotted(place)}: {label} has no such agent; {there}."
        )
    return values | {"agents": {name: agents.get(name, stated[name]) for name in stated}}, messages


def _agents(file: Mapping[str, Any]) -> object:
    return file.get("agents", {name: {} for name in default_agents()})


def _with_default_mounts(file: dict[str, Any]) -> dict[str, Any]:
    """Return the file, with the default mounts of an agent in it where variables change a key of them."""
    agents, keys = _agents(file), variables()
    if not isinstance(agents, dict):
        return file
    changed = {}
    for name in default_agents():
        agent, place = agents.get(name), ("agents", name, "mounts")
        if not isinstance(agent, dict) or "mounts" in agent or place in keys:
            continue
        if any(key[: len(place)] == place for key in keys):
            changed[name] = {**agent, "mounts": default_of(name).get("mounts", {})}
    return {**file, "agents": {**agents, **changed}} if changed else file


def _origin(label: str, file: object, key: Key, value: object = None) -> str:
    from pve_agents.settings.words import ABSENT, origin  # noqa: PLC0415 - as above

    return origin(label, file, key, ABSENT if value is None else value)
