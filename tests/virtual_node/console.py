"""Proxmox VE's terminals: `termproxy` and `vncwebsocket`, with a real terminal behind them.

The rules are those of the sources: pve-manager PVE/API2/Nodes.pm and pve-container PVE/API2/LXC.pm (who may, and what runs),
pve-access-control (a ticket is good from 20 seconds before to 40 seconds after its time), pve-http-server AnyEvent.pm
(`binary`, 131,072 bytes a frame), pve-xtermjs termproxy/src/main.rs (10 seconds for the connection and for the first line,
frames that may end anywhere). A container's terminal is one for all who open it (`dtach -r winch`), and lives on without them;
a node's is each one's own.

What runs in the terminal is whatever `spawn` says: a shell of the virtual node, or of a real container.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import secrets
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import WSMsgType, web

MAX_FRAME = 131_072
BEFORE, AFTER = 20, 40
PORTS = range(5900, 6000)
TERMPROXY_SECONDS = 10.0
FOREIGN_USER = "value '{}' does not look like a valid user name\n"


@dataclass
class Spawn:
    """What runs in a terminal."""

    argv: Sequence[str]
    """It leads a session of its own, whose terminal that is."""
    environment: Mapping[str, str]
    directory: Path


@dataclass
class Faults:
    """What may be wrong; each holds until it is taken back."""

    too_old: bool = False
    """The node's packages let no token open a terminal."""
    expired: bool = False
    """A ticket's time is over before it is used."""
    drop_after: int | None = None
    """The connection breaks off after so many frames of the client."""
    drop_after_shown: int | None = None
    """Or after so many of the terminal."""
    typist: tuple[int, bytes] | None = None
    """Somebody else types this into the same terminal, after so many frames of the client."""
    echoes: bool = False
    """Whatever is typed is shown, whatever the terminal is told."""
    deaf: bool = False
    """Nothing that is typed arrives."""
    refuses: bool = False
    """Nobody's first line is accepted."""


class Terminal:
    """A pseudo terminal with what runs in it, for all who have it open."""

    def __init__(self, spawn: Spawn, ended: Callable[[], None]) -> None:
        """Start it, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 80, 0, 0))
        os.set_blocking(self._master, False)
        try:
            self.process = subprocess.Popen(
                spawn.argv,
                env={**spawn.environment, "TERM": "xterm-256color"},
                cwd=spawn.directory,
                stdin=slave,
                stdout=slave,
                stderr=slave,
            )
        finally:
            os.close(slave)
        self.readers: list[asyncio.Queue[bytes]] = []
        self._ended = ended
        self._waiting = b""
        self.is_open = True
        self._loop.add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        for reader in self.readers:
            reader.put_nowait(data)

    def write(self, data: bytes) -> None:
        self._waiting += data
        self._flush()

    def _flush(self) -> None:
        if not self.is_open:
            return
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                self._waiting = self._waiting[os.write(self._master, self._waiting) :]
        if self._waiting:
            self._loop.add_writer(self._master, self._flush)
        else:
            self._loop.remove_writer(self._master)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def redraw(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(os.tcgetpgrp(self._master), signal.SIGWINCH)

    def close(self) -> None:
        """Hang up."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._master)
            self._loop.remove_writer(self._master)
            os.close(self._master)
            self._ended()
            for reader in self.readers:
                reader.put_nowait(b"")
            self._loop.run_in_executor(None, self.process.wait)


@dataclass
class _Opened:
    """What `termproxy` waits for."""

    user: str
    path: str
    port: int
    since: float
    key: str
    spawn: Callable[[], Spawn]
    shared: bool


@dataclass
class Consoles:
    """All terminals of a node."""

    faults: Faults = field(default_factory=Faults)
    typed: bytearray = field(default_factory=bytearray)
    """All that clients have typed."""
    shown: bytearray = field(default_factory=bytearray)
    """All that was sent to clients."""
    frames: int = 0
    """How many frames clients have sent."""
    shared: dict[str, Terminal] = field(default_factory=dict)
    _waiting: dict[str, _Opened] = field(default_factory=dict)
    _terminals: list[Terminal] = field(default_factory=list)

    def open(self, user: str, path: str, *, key: str, spawn: Callable[[], Spawn], shared: bool) -> dict[str, str | int]:
        """What `POST termproxy` answers.

        Args:
            user: Who asks.
            path: What the ticket is for, as in an ACL.
            key: Which terminal it is.
            spawn: What runs in it.
            shared: Whether all who open it have the same one.
        """
        port = next(it for it in PORTS if it not in {opened.port for opened in self._alive()})
        ticket = f"PVEVNC:{int(time.time()):08X}::{secrets.token_urlsafe(120)}"
        since = time.time() - (AFTER + 1 if self.faults.expired else 0)
        self._waiting[ticket] = _Opened(user, path, port, since, key, spawn, shared)
        return {"user": user, "ticket": ticket, "port": port, "upid": f"UPID:n:0:0:0:vncproxy:{key}:{user}:"}

    def _alive(self) -> list[_Opened]:
        return [it for it in self._waiting.values() if time.time() - it.since < TERMPROXY_SECONDS]

    async def serve(self, request: web.Request, user: str, path: str) -> web.StreamResponse:
        """What `GET vncwebsocket` does, for who asks and what the address names."""
        opened = self._waiting.get(request.query.get("vncticket", ""))
        is_good = opened is not None and (opened.user, opened.path) == (user, path)
        if opened is None or not is_good or not -BEFORE < time.time() - opened.since < AFTER:
            return web.Response(status=401, reason="permission denied - invalid PVEVNC ticket")
        if request.query.get("port") != str(opened.port):
            return web.Response(status=401, reason="permission denied - invalid PVEVNC ticket")
        if request.headers.get("Sec-WebSocket-Version") != "13":
            return web.Response(status=501, reason="unsupported websocket-version")
        if "binary" not in request.headers.get("Sec-WebSocket-Protocol", ""):
            return web.Response(status=501, reason="missing websocket-protocol header")
        del self._waiting[request.query["vncticket"]]
        if time.time() - opened.since > TERMPROXY_SECONDS:
            # Nobody listens there any more.
            if request.transport:
                request.transport.close()
            return web.Response()
        socket = web.WebSocketResponse(protocols=("binary",), compress=False, max_msg_size=MAX_FRAME)
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            await _Client(self, socket, request).run(opened, request.query["vncticket"])
        await socket.close()
        return socket

    def terminal(self, opened: _Opened) -> Terminal:
        """The terminal that was asked for."""
        found = self.shared.get(opened.key) if opened.shared else None
        if found is None:
            found = Terminal(opened.spawn(), lambda: self._forget(opened.key, terminal))
            terminal = found
            self._terminals.append(found)
            if opened.shared:
                self.shared[opened.key] = found
        return found

    def _forget(self, key: str, terminal: Terminal) -> None:
        self._terminals.remove(terminal)
        if self.shared.get(key) is terminal:
            del self.shared[key]

    def close(self) -> None:
        """Hang up everywhere."""
        for terminal in list(self._terminals):
            terminal.close()


class _Client:
    """One connection."""

    def __init__(self, consoles: Consoles, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._consoles, self._socket, self._request = consoles, socket, request
        self._stream = b""
        self._frames = 0

    async def run(self, opened: _Opened, ticket: str) -> None:
        async with asyncio.timeout(TERMPROXY_SECONDS):
            while b"\n" not in self._stream:
                if not await self._take():
                    return
        line, _, self._stream = self._stream.partition(b"\n")
        if self._consoles.faults.refuses or line.decode("utf-8", "replace") != f"{opened.user}:{ticket}":
            return
        await self._socket.send_bytes(b"OK")
        is_new = opened.key not in self._consoles.shared
        terminal = self._consoles.terminal(opened)
        reader: asyncio.Queue[bytes] = asyncio.Queue()
        terminal.readers.append(reader)
        if not is_new:
            terminal.redraw()
        self._frames = 0
        showing = asyncio.create_task(self._show(reader))
        try:
            await self._hear(terminal)
        finally:
            showing.cancel()
            terminal.readers.remove(reader)
            if not opened.shared:
                terminal.close()

    async def _take(self) -> bool:
        """Take in a frame; whether there was one."""
        message = await self._socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return False
        self._stream += message.data.encode() if isinstance(message.data, str) else message.data
        self._frames += 1
        self._consoles.frames += 1
        if self._frames == self._consoles.faults.drop_after:
            self._drop()
            return False
        return True

    async def _hear(self, terminal: Terminal) -> None:
        while terminal.is_open and await self._take():
            faults = self._consoles.faults
            for kind, data in self._messages():
                if kind == "data" and not faults.deaf:
                    self._consoles.typed += data
                    if faults.echoes:
                        for reader in terminal.readers:
                            reader.put_nowait(data)
                    terminal.write(data)
                elif kind == "size":
                    columns, rows = data.split(b":")
                    terminal.resize(int(columns), int(rows))
            if faults.typist and self._frames == faults.typist[0]:
                terminal.write(faults.typist[1])

    def _messages(self) -> list[tuple[str, bytes]]:
        """What is whole of the stream; the pieces may come in any frames."""
        found: list[tuple[str, bytes]] = []
        while self._stream:
            kind = self._stream[:1]
            if kind not in b"01":
                self._stream = self._stream[1:]
                continue
            parts = self._stream.split(b":", 2 if kind == b"0" else 3)
            if kind == b"0" and len(parts) == 3 and len(parts[2]) >= int(parts[1]):
                length = int(parts[1])
                found.append(("data", parts[2][:length]))
                self._stream = parts[2][length:]
            elif kind == b"1" and len(parts) == 4:
                found.append(("size", b"%s:%s" % (parts[1], parts[2])))
                self._stream = parts[3]
            else:
                break
        return found

    async def _show(self, reader: asyncio.Queue[bytes]) -> None:
        count = 0
        while data := await reader.get():
            self._consoles.shown += data
            await self._socket.send_bytes(data)
            count += 1
            if count == self._consoles.faults.drop_after_shown:
                self._drop()
                return
        await self._socket.close()

    def _drop(self) -> None:
        if self._request.transport:
            self._request.transport.abort()
