"""One sentence for what nobody has thought of."""

from __future__ import annotations

import traceback

from pve_agents.guest.machine import CommandError

__all__ = ["unexpected"]

# What all parts use tells less than who has used it.
_COMMON = ("/machine.py", "/work.py")


def unexpected(error: Exception) -> str:
    """Return where in the program something has gone wrong, and what."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [it for it in frames if "/pve_agents/" in it.filename] or frames
    frame = next((it for it in reversed(ours) if not it.filename.endswith(_COMMON)), ours[-1])
    what = f"`{error}`" if isinstance(error, CommandError) else f"the program ({type(error).__name__}: {error})"
    where = f"{frame.filename.rpartition('/')[2]}, line {frame.lineno}"
    return f"{what} failed unexpectedly ({where}): deploy again; if it stays, report it"
