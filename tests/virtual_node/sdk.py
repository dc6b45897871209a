"""How a provider on Terraform's old SDK plans: defaults, suppressed differences, what forces a replacement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.virtual_node.plugin import UNKNOWN, Path_, State


def _never(_old: Any, _new: Any) -> bool:
    return False


@dataclass(frozen=True)
class Attr:
    """An attribute. `suppress` tells whether a new value is as good as the old one."""

    default: Any = None
    computed: bool = False
    force_new: bool = False
    suppress: Callable[[Any, Any], bool] = _never
    normalise: Callable[[Any], Any] = field(default=lambda value: value)


@dataclass(frozen=True)
class Block:
    """A nested block. With `force_new`, more or fewer of them replace the resource."""

    inside: Mapping[str, Attr | Block]
    force_new: bool = False
    suppress: Callable[[Any, Any], bool] = _never


Spec = Mapping[str, Attr | Block]


def fill(spec: Spec, prior: State | None, proposed: State) -> State:
    """The planned value: what is proposed, with defaults, computed values and suppressed differences filled in."""
    planned: State = {}
    for name, item in spec.items():
        old, new = prior[name] if prior else None, proposed[name]
        if isinstance(item, Block):
            planned[name] = _fill_blocks(item, old or [], new)
            continue
        if new is None:
            new = copy.copy(item.default)
        if new is not None and new is not UNKNOWN:
            new = item.normalise(new)
        if new is None and item.computed:
            new = old if prior else UNKNOWN
        if prior and new is not UNKNOWN and item.suppress(old, new):
            new = old
        planned[name] = new
    return planned


def _fill_blocks(item: Block, olds: list[State], news: Any) -> Any:
    if news is UNKNOWN:
        return news
    filled = [fill(item.inside, olds[i] if i < len(olds) else None, new) for i, new in enumerate(news)]
    return olds if item.suppress(olds, filled) else filled


def replacements(spec: Spec, prior: State, planned: State, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of the changes that cannot be made in place."""
    for name, item in spec.items():
        old, new, here = prior.get(name), planned.get(name), (*path, name)
        if isinstance(item, Attr):
            if item.force_new and differ(old, new):
                yield here
        elif new is UNKNOWN:
            yield from [here] if item.force_new else []
        else:
            yield from _block_replacements(item, old or [], new or [], here)


def _block_replacements(item: Block, olds: list[State], news: list[State], path: Path_) -> Iterator[Path_]:
    if item.force_new and len(olds) != len(news):
        yield path
    for index in range(max(len(olds), len(news))):
        if index < min(len(olds), len(news)):
            yield from replacements(item.inside, olds[index], news[index], (*path, index))
        elif any(replacements(item.inside, _at(olds, index), _at(news, index))):
            # One side has no such element, so that the path into it would not mean anything there.
            yield path


def _at(items: list[State], index: int) -> State:
    return items[index] if index < len(items) else {}


def differ(old: Any, new: Any) -> bool:
    """Is it a change? The SDK does not tell null from an empty or zero value, in a block neither."""
    return bool(_without_zeros(old) != _without_zeros(new))


def _without_zeros(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner for name, inner in ((name, _without_zeros(it)) for name, it in value.items()) if inner}
    return [_without_zeros(item) for item in value] if isinstance(value, list) else value or None


def same_in_any_order(old: Any, new: Any) -> bool:
    """For lists that PVE keeps in an order of its own."""
    if new is None:
        # What is not configured is read from the state, and so compared with itself (structure/schema.go).
        return True
    known = isinstance(old, list) and isinstance(new, list) and UNKNOWN not in new
    return known and sorted(old) == sorted(new)


def settle(spec: Spec, old: State, new: State) -> State:
    """What was read, without what is no news: an empty collection for null, a list in another order."""
    settled: State = {}
    for name, item in spec.items():
        before, now = old[name], new[name]
        if isinstance(item, Block):
            pairs = ((before[i] if i < len(before) else None, block) for i, block in enumerate(now))
            settled[name] = [settle(item.inside, was, block) if was else block for was, block in pairs]
        elif (before is None and now in ({}, []) and not item.computed) or (
            item.suppress is same_in_any_order and same_in_any_order(before, now)
        ):
            settled[name] = before
        else:
            settled[name] = now
    return settled
