"""What somebody who was asked says, and one thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Answer", "Check"]


@dataclass(frozen=True)
class Answer:
    """What somebody who was asked says."""

    state: str
    """ok, waiting (may still become ok), failed, or skipped (cannot be judged)."""

    detail: str
    remedy: str = ""
    is_logged: bool = True
    """Whether the log of who was asked may say more."""

    @property
    def ok(self) -> bool:
        """Whether it is well."""
        return self.state == "ok"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: str
    """ok, failed or skipped."""

    detail: str
    remedy: str = ""
