"""What is done one after the other, each with the time that it takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from pve_agents.operator.output import Output, lasted

__all__ = ["Phases"]


class Phases:
    """The phases of a command: a line when one ends, and all of them at the end."""

    def __init__(self, out: Output, count: int) -> None:
        """Begin.

        Args:
            out: Where the lines go.
            count: How many there are.
        """
        self._out, self._count = out, count
        self._took: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Do one."""
        number = len(self._took) + 1
        self._out.line(f"[{number}/{self._count}] {name} …")
        began = time.monotonic()
        yield
        self._took.append((name, time.monotonic() - began))
        self._out.line(f"[{number}/{self._count}] {name} … done {lasted(self._took[-1][1])}")

    def summary(self) -> None:
        """Print all, with the sum."""
        for name, seconds in self._took:
            self._out.line(f"  {name:<28} {seconds:>7.1f} s")
        self._out.line(f"  {'all together':<28} {sum(seconds for _, seconds in self._took):>7.1f} s")
