"""A terminal of Proxmox VE, spoken to as its web interface does: a ticket, a websocket, frames.

What each side expects is told by the sources: pve-http-server (AnyEvent.pm: `binary` as protocol, no extension, no fragments,
131,072 bytes a frame), pve-xtermjs (termproxy/src/main.rs: 10 seconds for the connection, and for the first line) and
pve-access-control (a ticket is good for 40 seconds).
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from pve_agents.node_access import Access, NodeError, Ticket
from pve_agents.node_api import Node, StatusError, explained
from pve_agents.node_session import headers_of, tls_of

__all__ = ["LONGEST_FRAME", "OLDEST_VERSION", "PING_SECONDS", "Console", "ConsoleError"]

LONGEST_FRAME = 131_072
"""Bytes of a frame from us, above which Proxmox VE closes the connection."""
OLDEST_VERSION = "9.0.13"
"""Of pve-manager, before which no API token opens a console."""
PING_SECONDS = 20.0
"""After so long without a word from us, the terminal would soon be taken for left; the web interface says one every 30 s."""

_SECONDS = 10.0
_SEND_SECONDS = 30.0
_LONGEST_ANSWER = 4 * 1024 * 1024
_FEWEST_COLUMNS, _SIZES, _ROWS = 100, 100, 50
# Of a frame, for `0:LENGTH:`.
_HEAD = 16
_TOO_OLD = (
    f"opens no console for an API token, which pve-manager {OLDEST_VERSION}, pve-container 6.1.3 and termproxy 2.0.3 do: run "
    "`apt-get update && apt-get dist-upgrade` on the node, or write delivery: root"
)


class ConsoleError(NodeError):
    """Why there is no terminal, or none any more.

    Attributes:
        is_over: There was one, or nearly: it was closed, and not refused.
        is_unknown: Whoever asks is not known, or not any more.
    """

    def __init__(self, sentence: str, *, is_over: bool = False, is_unknown: bool = False) -> None:
        """Keep the sentence."""
        super().__init__(sentence)
        self.is_over, self.is_unknown = is_over, is_unknown


class Console:
    """An open terminal."""

    def __init__(self, who: Access | Ticket, path: str, *, privilege: str, seconds: float = _SECONDS) -> None:
        """Open it.

        Args:
            who: The token or the login that opens it.
            path: Whose: ``nodes/NODE``, or ``nodes/NODE/lxc/VMID``.
            privilege: What that takes, and where, in words.
            seconds: How long each step may take. Defaults to 10.

        Raises:
            ConsoleError: It cannot be opened.
        """
        self._who, self._seconds = who, seconds
        opened = self._ticket(path, privilege)
        self._socket = self._connected(path, opened)
        self._spoke = time.monotonic()
        self._early = b""
        self._columns = secrets.randbelow(_SIZES)
        try:
            self._introduce(opened)
        except BaseException:
            self.close()
            raise

    def send(self, data: bytes) -> None:
        """Type something.

        Raises:
            ConsoleError: The terminal is gone.
        """
        longest = LONGEST_FRAME - _HEAD
        for start in range(0, len(data), longest):
            part = data[start : start + longest]
            self._say(b"0:%d:%s" % (len(part), part))

    def refresh(self) -> None:
        """Have a shell show its prompt once more: only where the size is a new one it does.

        Raises:
            ConsoleError: The terminal is gone.
        """
        # Which one it has had is not known: the one of this time, or the next one, is another.
        self._columns = _FEWEST_COLUMNS + (self._columns + 1) % _SIZES
        self._say(b"1:%d:%d:" % (self._columns, _ROWS))

    def receive(self, seconds: float) -> bytes:
        """Return what it shows next; nothing if that is nothing within so many seconds.

        Raises:
            ConsoleError: The terminal is gone.
        """
        if self._early:
            early, self._early = self._early, b""
            return early
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            quiet = self._spoke + PING_SECONDS - time.monotonic()
            if quiet <= 0:
                self._say(b"2")
                continue
            if data := self._next(min(left, quiet)):
                return data
        return b""

    def close(self) -> None:
        """Leave it."""
        self._socket.close()

    def _ticket(self, path: str, privilege: str) -> dict[str, object]:
        try:
            return Node(self._who, seconds=self._seconds).terminal(path)
        except StatusError as error:
            if "does not look like a valid user name" in error.words + error.errors:
                raise ConsoleError(f"{self._who.address} {_TOO_OLD}") from None
            if error.status == HTTPStatus.FORBIDDEN:
                who = f"token {self._who.token_id}" if isinstance(self._who, Access) else self._who.user
                raise ConsoleError(f"{who} lacks {privilege} ({error.words}): run `pipenv run agents doctor`") from None
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise ConsoleError(str(error), is_unknown=True) from None
            raise ConsoleError(
                f"{self._who.address} opens no console of {path} (HTTP {error.status}: {error.words}): look at it in the "
                "web interface"
            ) from None
        except NodeError as error:
            raise ConsoleError(str(error)) from None

    def _connected(self, path: str, opened: dict[str, object]) -> _Socket:
        query = urlencode({"port": str(opened["port"]), "vncticket": str(opened["ticket"])}, quote_via=quote)
        address = self._who.address.replace("https://", "wss://", 1)
        socket_ = None
        try:
            socket_ = _Socket(f"{address}/api2/json/{path}/vncwebsocket?{query}", self._who, self._seconds)
            status = socket_.handshake()
        except (OSError, _GoneError) as error:
            if socket_:
                socket_.close()
            if isinstance(error, _GoneError):
                raise self._gone() from None
            raise ConsoleError(explained(self._who, error, self._seconds)) from None
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            socket_.close()
            why = (
                "its ticket is good for 40 seconds, and is not accepted any more"
                if status == HTTPStatus.UNAUTHORIZED
                else f"HTTP {status}"
            )
            raise ConsoleError(
                f"{self._who.address} lets nobody into the console that it opened ({why}): run it again",
                is_over=True,
            )
        return socket_

    def _introduce(self, opened: dict[str, object]) -> None:
        self._say(f"{opened['user']}:{opened['ticket']}\n".encode())
        end, answer = time.monotonic() + self._seconds, b""
        try:
            while len(answer) < len(b"OK") and (left := end - time.monotonic()) > 0:
                answer += self._next(left)
        except ConsoleError:
            answer = b""
        if not answer.startswith(b"OK"):
            why = f"; it {_TOO_OLD}" if isinstance(self._who, Access) else ""
            raise ConsoleError(
                f"the console of {self._who.address} does not answer to its own ticket: run it again; if it stays so, "
                f"the node may be too old{why}",
                is_over=True,
            )
        self._early = answer[len(b"OK") :]

    def _say(self, message: bytes) -> None:
        try:
            self._socket.send(message)
        except (_GoneError, OSError):
            raise self._gone() from None
        self._spoke = time.monotonic()

    def _next(self, seconds: float) -> bytes:
        try:
            return self._socket.receive(seconds)
        except (_GoneError, OSError):
            raise self._gone() from None

    def _gone(self) -> ConsoleError:
        return ConsoleError(f"the console of {self._who.address} was closed in the middle: run it again", is_over=True)


class _GoneError(Exception):
    """The other side has left, or says what is no websocket."""


class _Socket:
    """A websocket, read and written by one thread: TLS in Python does not bear two (before 3.13, and the library has two).

    It follows nobody elsewhere, and nothing is between here and there.
    """

    def __init__(self, address: str, who: Access | Ticket, seconds: float) -> None:
        from websockets.client import ClientProtocol  # noqa: PLC0415 - slow to import
        from websockets.uri import parse_uri  # noqa: PLC0415

        uri = parse_uri(address)
        self._protocol = ClientProtocol(uri, subprotocols=["binary"], max_size=_LONGEST_ANSWER)  # type: ignore[list-item]
        self._request = self._protocol.connect()
        self._request.headers.update(headers_of(who))
        plain = socket.create_connection((uri.host, uri.port), timeout=seconds)
        try:
            # What is typed is several short frames, and the second would wait 40 ms for the node to acknowledge the first.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._tls = tls_of(who).wrap_socket(plain, server_hostname=uri.host)
        except BaseException:
            plain.close()
            raise
        self._seconds = seconds
        self._messages: list[bytes] = []

    def handshake(self) -> int:
        """Ask to be let in, and return the HTTP status of the answer."""
        self._protocol.send_request(self._request)
        self._flush()
        end = time.monotonic() + self._seconds
        while not (events := self._protocol.events_received()):
            self._read(end - time.monotonic())
            if time.monotonic() >= end:
                raise TimeoutError
        answer, *frames = events
        self._keep(frames)
        status: int = getattr(answer, "status_code", 0)
        # What answers as no websocket does is as good as gone.
        if status == HTTPStatus.SWITCHING_PROTOCOLS and self._protocol.handshake_exc:
            raise _GoneError
        return status

    def send(self, message: bytes) -> None:
        """Send a frame."""
        from websockets.exceptions import InvalidState  # noqa: PLC0415 - as above

        try:
            self._protocol.send_text(message)
        except InvalidState:
            raise _GoneError from None
        self._flush()

    def receive(self, seconds: float) -> bytes:
        """Return the next frame; nothing if none comes within so many seconds."""
        end = time.monotonic() + seconds
        while not self._messages:
            if (left := end - time.monotonic()) <= 0:
                return b""
            self._read(left)
            self._keep(self._protocol.events_received())
            # A pong for what was a ping.
            self._flush()
        return self._messages.pop(0)

    def close(self) -> None:
        """Say goodbye, if anybody is there to hear it."""
        from websockets.exceptions import InvalidState  # noqa: PLC0415 - as above

        with contextlib.suppress(OSError, _GoneError, InvalidState):
            self._protocol.send_close()
            self._flush()
        self._tls.close()

    def _read(self, seconds: float) -> None:
        self._tls.settimeout(max(0.001, seconds))
        try:
            data = self._tls.recv(65536)
        except TimeoutError:
            return
        if not data:
            self._protocol.receive_eof()
            if not self._protocol.handshake_exc:
                self._keep(self._protocol.events_received())
            if not self._messages:
                raise _GoneError
            return
        self._protocol.receive_data(data)

    def _flush(self) -> None:
        self._tls.settimeout(_SEND_SECONDS)
        for data in self._protocol.data_to_send():
            # Nothing is the library's word for the end.
            if data:
                self._tls.sendall(data)

    def _keep(self, events: list[Any]) -> None:
        from websockets.frames import Frame, Opcode  # noqa: PLC0415 - as above

        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._messages.append(bytes(event.data))
            elif isinstance(event, Frame) and event.opcode is Opcode.CLOSE and not self._messages:
                raise _GoneError
