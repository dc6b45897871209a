"""Signals that end a command as Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

__all__ = ["ending_on"]


@contextlib.contextmanager
def ending_on(*signals: signal.Signals) -> Iterator[None]:
    """Let these end what runs here by an exception, so that it tidies up on its way out."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, end) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
