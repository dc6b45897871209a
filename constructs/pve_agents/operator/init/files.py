"""New files, all of them or none; one that is there already is never written over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pve_agents.operator.stopped import Stopped

__all__ = ["NewFile", "write_all"]


@dataclass(frozen=True)
class NewFile:
    """A file that is to be made, for its owner alone."""

    path: Path
    text: str
    is_made_anew: bool = False
    """Whether it is nobody's own, and takes the place of an older one."""

    @property
    def stays(self) -> bool:
        """Whether one is there already."""
        return not self.is_made_anew and os.path.lexists(self.path)


def write_all(files: Sequence[NewFile]) -> None:
    """Write all files that are not there yet.

    Raises:
        Stopped: One cannot be written. Then there is none of them.
    """
    made: list[Path] = []
    path = Path()
    try:
        for file in files:
            path = file.path
            if file.stays:
                continue
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.new")
            beside.unlink(missing_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:  # noqa: PTH123 - for the mode
                stream.write(file.text)
            if file.is_made_anew:
                beside.replace(path)
            else:
                # Unlike a rename, it fails where somebody else has just made one.
                with contextlib.ExitStack() as tidy:
                    tidy.callback(beside.unlink)
                    path.hardlink_to(beside)
                made.append(path)
    except OSError as error:
        for it in made:
            it.unlink()
        raise Stopped(f"{path} cannot be written ({error.strerror}), and nothing was: correct that.") from None
    except BaseException:
        for it in made:
            it.unlink()
        raise
