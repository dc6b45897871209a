"""What Hermes would take for something else than was meant, though it is spelled like nothing that is checked."""

from collections.abc import Iterator, Mapping

from pve_agents.model import OpenModel, Unquoted, meant
from pve_agents.problems import Key, Problem, below

__all__ = ["near_misses", "unquoted_words", "words_in"]


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
