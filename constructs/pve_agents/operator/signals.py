"""Signals that end a command as Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

__all__ = ["ending_on", "handled"]


@contextlib.contextmanager
def handled(handler: Callable[[int, object], None], *signals: signal.Signals) -> Iterator[None]:
    """Have a handler for these, and afterwards those that they had before."""
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def ending_on(*signals: signal.Signals) -> AbstractContextManager[None]:
    """Let these end what runs here by an exception, so that it tidies up on its way out."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    return handled(end, *signals)
