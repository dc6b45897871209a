"""Why a command ends before its end."""

from __future__ import annotations

DONE, FAILED, WRONG_INPUT, REFUSED, UNREACHED, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit statuses: all is well; something is not; wrong settings, and nothing was started; refused; not reached; Ctrl-C."""


class Stopped(Exception):  # noqa: N818 - it is an answer to the operator
    """Ends a command with sentences for the operator, and an exit status."""

    def __init__(self, *sentences: str, status: int = WRONG_INPUT) -> None:
        """Keep what is to be said.

        Args:
            sentences: The first one says what is wrong and what to do; what others said follows.
            status: The exit status. Defaults to that of wrong input.
        """
        super().__init__("\n".join(sentences))
        self.status = status
