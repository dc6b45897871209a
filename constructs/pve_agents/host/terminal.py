"""A text run by a shell behind a terminal, where all that is typed may be echoed and all that is shown may be somebody's.

One line is typed, which holds nothing that matters: it puts a small reader in the shell's place, with the terminal's echo off.
The reader gets the text as lines of Base64, says how far it has come, so that no buffer on the way overflows, and runs the text
only if all of it arrived as it was sent. What it says of itself begins with a word that nobody could know before.

A secret goes to the reader alone. Before the first one, the reader gets a word, and none of that may have come back.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import secrets
import shlex
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["LINE", "Line", "Terminal", "TerminalError"]

LINE = 1000
"""Characters of a line that is typed: a terminal takes 4,095 at once, and the rest of a longer one is lost."""
_WINDOW = 3
"""Lines that are typed before the reader has to say that they arrived."""

_PROMPT_SECONDS, _QUIET_SECONDS, _REFRESH_SECONDS = 90.0, 0.3, 5.0
_READER_SECONDS = 30.0
_PATIENCE_SECONDS = 20
"""How long the reader waits for a line; then somebody has left."""
_FRESH_SECONDS = 8
"""How much older than our connection a shell of ours can be."""
_MOST_SHOWN = 1024 * 1024
_LONGEST_LINE = 4000

# For bash -c, in single quotes: none may be in it. Its arguments: two halves of the mark, what comes out of the text's shell as
# it is (plain) or as Base64 (base64). `stty` before all else: from there on nothing that is typed is shown. Ctrl-C is a
# character like others until the end. Whoever has left gets no answer: it ends after the seconds of the fourth argument.
_READER = (
    "m=$1$2; "
    "stty -echo -isig -ixon -opost icanon icrnl && [[ $(stty -a) == *-echo[[:space:]]* ]] || exit; "
    'printf "\\n%s ready\\n" "$m"; '
    'IFS=" " read -rt $4 n sum _ && [[ $n =~ ^[0-9]{1,6}$ && $sum =~ ^[0-9a-f]{64}$ ]] || '
    '{ printf "%s garbled\\n" "$m"; exit; }; '
    'printf "%s go\\n" "$m"; '
    "text=$(i=0; while ((i < n)) && IFS= read -rt $4 l; do "
    f'printf "%s\\n" "$l"; ((++i % {_WINDOW})) || printf "%s got %s\\n" "$m" "$i" >&2; done); '
    '[[ $(printf "%s" "$text" | base64 -d 2>/dev/null | sha256sum) == "$sum "* ]] || { printf "%s garbled\\n" "$m"; exit; }; '
    'printf "%s run\\n" "$m"; '
    # No here-string: a long one is a file for a moment.
    'if [[ $3 == base64 ]]; then printf "%s" "$text" | base64 -d | bash -s 2>/dev/null | base64; '
    # Nothing that runs has the terminal for its output.
    'else printf "%s" "$text" | base64 -d | bash -s 2>&1 | cat; fi; s=${PIPESTATUS[2]}; '
    'printf "\\n%s end %s\\n" "$m" "$s"'
)
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_]|[ -/]+[0-~])")
# Root's, and no other: `> ` is the middle of a command that another line would complete, and have run. A bar of progress has more
# than one of them.
_PROMPT = re.compile(r"[^#]*#\s*")
_LOGIN = re.compile(r"(?:login|[Pp]assword):\s*$")


class TerminalError(Exception):
    """Why a text was not run, or not to its end; the message is a sentence.

    Attributes:
        is_worth_another: Our own reader has said that nothing ran, and another connection may fare better. Where it says nothing,
            what was typed may have gone into something else, and so might the next line.
    """

    def __init__(self, sentence: str, *, is_worth_another: bool = False) -> None:
        """Keep the sentence."""
        super().__init__(sentence)
        self.is_worth_another = is_worth_another


class Line(Protocol):
    """What a terminal is reached through."""

    def send(self, data: bytes) -> None:
        """Type something."""
        ...

    def receive(self, seconds: float) -> bytes:
        """Return what is shown next; nothing if that is nothing within so many seconds."""
        ...

    def refresh(self) -> None:
        """Have a shell that was there before show its prompt once more."""
        ...


class Terminal:
    """A shell behind a terminal, for one text."""

    def __init__(self, line: Line, name: str) -> None:
        """Know it.

        Args:
            line: How it is reached. What it raises when it breaks off goes through to the caller.
            name: What it is called in sentences.
        """
        self._line, self._name = line, name
        self._opened = time.monotonic()
        self._shown, self._read = b"", 0
        self._mark = b""
        self.is_begun = False
        """Whether the text may have run in part."""

    def run(
        self,
        text: bytes,
        on_line: Callable[[bytes], None],
        *,
        plain: bool,
        silence: float = 1800,
        seconds: float = math.inf,
    ) -> int:
        """Run a text, hand out each line of what it prints, and return its exit status.

        Args:
            text: For bash. It may hold secrets.
            on_line: Gets the lines.
            plain: Whether they come as they are. Otherwise they are Base64 of all that it prints.
            silence: How many seconds it may say nothing. Defaults to half an hour.
            seconds: How many it may take, whatever it says. Defaults to as many as it likes.

        Raises:
            TerminalError: It was not run, or not to its end.
        """
        self._wait_for_prompt()
        self._start_reader(plain=plain)
        self._deliver(text)
        return self._hear(on_line, silence, seconds)

    # before the text

    def _wait_for_prompt(self) -> None:
        """Wait until a shell of root's shows that it has nothing to do, with nothing behind its prompt.

        Nothing is typed before: whoever has the same terminal open may be in the middle of a command.
        """
        end, last = time.monotonic() + _PROMPT_SECONDS, time.monotonic()
        seen = b""
        while time.monotonic() < end and len(seen) < _MOST_SHOWN:
            data = self._line.receive(_QUIET_SECONDS)
            if data:
                seen += data
                last = time.monotonic()
            elif seen and time.monotonic() - last >= _QUIET_SECONDS:
                shown = _last_line(seen)
                if _LOGIN.search(shown):
                    raise TerminalError(
                        f"{self._name} asks for a login, and is to be a shell of root's: a container's has the console mode "
                        "`shell` once its stack is deployed, a node's is given to root@pam alone"
                    )
                if _PROMPT.fullmatch(shown):
                    return
            elif not seen and time.monotonic() - last >= _REFRESH_SECONDS:
                # It may have had the size that it was told.
                self._line.refresh()
                last = time.monotonic()
        what = "says nothing" if not seen else "shows no prompt of a shell that waits"
        raise TerminalError(
            f"{self._name} {what}: somebody has it open, or what an earlier run began there goes on. Leave it in the web "
            "interface with `exit`, or wait until that has ended, and run it again"
        )

    def _start_reader(self, *, plain: bool) -> None:
        first, second = secrets.token_hex(16), secrets.token_hex(16)
        self._mark = f"{first}{second}".encode()
        how = f"{'plain' if plain else 'base64'} {_PATIENCE_SECONDS}"
        # A shell that is older may be one that an earlier run has opened and never typed into: `\#` counts its commands.
        oldest = int(time.monotonic() - self._opened) + _FRESH_SECONDS
        command = shlex.join(["exec", "bash", "-c"]) + f" '{_READER}' pve-agents {first} {second}"
        self._type(
            f' x="\\#"; if [ "${{SECONDS:-0}}" -le {oldest} ] || [ "${{x@P}}" = 1 ]; then unset HISTFILE; {command} {how}; '
            f"else printf '\\n%s%s stale\\n' {first} {second}; fi"
        )
        word, _ = self._answer(_READER_SECONDS, "took what was typed, and did not answer")
        if word == "stale":
            raise TerminalError(
                f"{self._name} is a shell that was there before: somebody has it open, or left it. Leave it in the web "
                "interface with `exit`, and run it again"
            )
        if word != "ready":
            raise self._garbled()

    def _deliver(self, text: bytes) -> None:
        encoded = base64.b64encode(text).decode()
        lines = [encoded[at : at + LINE] for at in range(0, len(encoded), LINE)]
        word = secrets.token_hex(16)
        since = len(self._shown)
        self._type(f"{len(lines)} {hashlib.sha256(text).hexdigest()} {word}")
        said, _ = self._answer(_READER_SECONDS, "did not answer, though it had")
        if word.encode() in _plain(self._shown[since:]):
            raise TerminalError(f"{self._name} shows what is typed there: nothing secret was sent, and nothing was run")
        if said != "go":
            raise self._garbled()
        for number, line in enumerate(lines, 1):
            if number == len(lines):
                # What follows the last one is the text's own.
                self.is_begun = True
            self._type(line)
            if number % _WINDOW == 0:
                said, count = self._answer(_READER_SECONDS, f"took no more after {number} of {len(lines)} lines")
                if (said, count) != ("got", str(number)):
                    raise self._garbled()
        said, _ = self._answer(_READER_SECONDS, "did not say that all has arrived")
        if said != "run":
            raise self._garbled()

    # while it runs

    def _hear(self, on_line: Callable[[bytes], None], silence: float, seconds: float) -> int:
        rest, self._shown, self._read = self._shown[self._read :], b"", 0
        end = re.compile(re.escape(self._mark) + rb" end (\d{1,3})\r?")
        began = last = time.monotonic()
        is_blank = False
        while True:
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if found := end.fullmatch(line):
                    # The blank line before it is the reader's.
                    return int(found[1])
                if is_blank:
                    on_line(b"")
                is_blank = not line.strip(b"\r")
                if not is_blank:
                    on_line(line.rstrip(b"\r"))
            while len(rest) > _LONGEST_LINE:
                on_line(rest[:_LONGEST_LINE])
                rest = rest[_LONGEST_LINE:]
            now = time.monotonic()
            if now - began >= seconds or now - last >= silence:
                what = (
                    f"said nothing for {silence:g} seconds"
                    if now - last >= silence
                    else f"not ended in {seconds:g} seconds"
                )
                raise TerminalError(
                    f"what {self._name} was given to do has {what}: look at it in the web interface, and run it again"
                )
            if data := self._line.receive(max(0.01, min(1, began + seconds - now))):
                rest += data
                last = time.monotonic()

    # what both have

    def _type(self, line: str) -> None:
        self._line.send(f"{line}\n".encode())

    def _answer(self, seconds: float, otherwise: str) -> tuple[str, str]:
        """The next line that the reader says: a word, and what is behind it."""
        end = time.monotonic() + seconds
        pattern = re.compile(re.escape(self._mark) + rb" (\w+)(?: (\w+))?\r*\n")
        while not (found := pattern.search(self._shown, self._read)):
            left = end - time.monotonic()
            if left <= 0 or len(self._shown) > _MOST_SHOWN:
                raise TerminalError(
                    f"{self._name} {otherwise}: look at it in the web interface, leave it with `exit`, and run it again"
                )
            self._shown += self._line.receive(left)
        self._read = found.end()
        return found[1].decode(), (found[2] or b"").decode()

    def _garbled(self) -> TerminalError:
        return TerminalError(
            f"{self._name} did not get what was typed as it was typed: somebody else has it open, too. Nothing was run; leave "
            "it in the web interface, and run it again",
            is_worth_another=True,
        )


def _plain(shown: bytes) -> bytes:
    return _ESCAPES.sub(b"", shown)


def _last_line(shown: bytes) -> str:
    text = _plain(shown).decode("utf-8", "replace")
    last = re.split(r"[\r\n]", text)[-1]
    return "".join(it for it in last if it.isprintable())
