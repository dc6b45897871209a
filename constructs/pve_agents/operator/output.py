"""How a line looks on what it is printed to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TextIO

__all__ = ["Output", "lasted"]

MARKS: Mapping[str, str] = MappingProxyType({"ok": "✓", "failed": "✗", "warning": "!", "skipped": "-"})
_ASCII: Mapping[str, str] = MappingProxyType({"ok": "+", "failed": "x", "warning": "!", "skipped": "-"})
_CODES: Mapping[str, str] = MappingProxyType(
    {"ok": "\033[32m", "failed": "\033[31m", "warning": "\033[33m", "skipped": "\033[33m"}
)
_PLAIN = "\033[0m"


class Output:
    """Lines for people, in what the stream can show: marks and colours, or neither."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to the stream. Defaults to standard output."""
        self._stream = stream or sys.stdout
        self._encoding = self._stream.encoding or "ascii"
        self._coloured = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._marks = MARKS
        try:
            "".join(MARKS.values()).encode(self._encoding)
        except UnicodeEncodeError:
            self._marks = _ASCII

    def mark(self, status: str) -> str:
        """Return the sign of a status."""
        return self.coloured(self._marks[status], status)

    def coloured(self, text: str, status: str) -> str:
        """Return a text in the colour of a status, where there are colours."""
        return f"{_CODES[status]}{text}{_PLAIN}" if self._coloured and status in _CODES else text

    def line(self, text: str = "") -> None:
        """Print a line."""
        print(text.encode(self._encoding, "replace").decode(self._encoding), file=self._stream, flush=True)

    def digest(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print lines, each in the colour of its status."""
        for status, line in lines:
            self.line(self.coloured(line, status))

    def check(self, status: str, name: str, detail: str, seconds: float, remedy: str = "") -> None:
        """Print what came of a check, and below it what to do."""
        self.line(f"{self.mark(status)} {name:<18} {detail:<50} {seconds:>4.1f}s")
        for line in remedy.splitlines() if status in ("failed", "warning") else ():
            self.line(f"    {line}")


def lasted(seconds: float) -> str:
    """Return a duration as people say it."""
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60} s"  # noqa: PLR2004
