"""What the guest can reach: LiteLLM with a scripted model, a Telegram, a registry, and nothing else.

Bridge addresses answer on the ports of those three. Debian's mirrors are let through, for apt. Every other name leads
to an address of nobody, every other connection to the recorder, which notes where it wanted to go and what it said
first, and refuses it.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import secrets
import socket
import socketserver
import struct
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cache import Cached, mirror_hosts, registry
from tests.lab.sandbox import BRIDGE, GATEWAY, LITELLM, RUN, LabError, log, sh
from tests.lab.tls import answering_as_anybody

LITELLM_PORT, REGISTRY_PORT, TELEGRAM_PORT, RECORDER_PORT = 4000, 5000, 8081, 9
OTHER_TELEGRAM_PORT = 8082
BEHIND_RELAY, OTHER_LITELLM, UPSTREAM_PORT = 4001, 4002, 4020
# For an agent that is a gateway itself: its images, and the model that it asks.
GATEWAY_REGISTRY_PORT, GATEWAY_UPSTREAM_PORT = 5001, 4021
# What goes from one guest to another passes the node's firewall as well.
GATEWAY_AGENT = "10.1.10.121"
# What dnsmasq answers for names that lead nowhere here (RFC 2544: no network has it).
NOWHERE = "198.18.0.1"
GUEST = "10.1.10.118"
MODEL = "hermes"
START_SECONDS = 90
SO_ORIGINAL_DST = 80
TLS_HANDSHAKE = b"\x16"
HEAR_SECONDS = 3

FIREWALL = """
table ip lab {{
  set mirrors {{
    type ipv4_addr
    elements = {{ {mirrors} }}
  }}
  set refused {{
    type ipv4_addr . inet_proto . inet_service
    flags dynamic
  }}
  chain arriving {{
    type nat hook prerouting priority dstnat
    iifname != "{bridge}" accept
    udp dport 53 redirect
    tcp dport 53 redirect
    ip daddr @mirrors tcp dport {{ 80, 443 }} accept
    ip daddr {{ {gateway}, {litellm} }} tcp dport {{ {ports} }} accept
    ip daddr {agent} tcp dport {{ {litellm_port} }} accept
    meta l4proto tcp redirect to :{recorder}
  }}
  chain passing {{
    type filter hook forward priority filter
    iifname "{bridge}" ip daddr @mirrors accept
    iifname "{bridge}" ip daddr {agent} tcp dport {{ {litellm_port} }} accept
    iifname "{bridge}" ip saddr {agent} tcp sport {{ {litellm_port} }} accept
    iifname "{bridge}" meta l4proto udp add @refused {{ ip daddr . meta l4proto . udp dport }}
    iifname "{bridge}" drop
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat
    oifname "tap0" masquerade
  }}
}}
"""


@dataclass
class Request:
    """One that reached LiteLLM or the scripted model."""

    method: str
    path: str
    key: str
    body: dict[str, Any] = field(default_factory=dict)


@dataclass
class Refused:
    """A connection of the guest's that went nowhere."""

    address: str
    port: int
    said: bytes
    """What it said first; of a TLS connection what was inside."""

    @property
    def host(self) -> str:
        """The host that an HTTP request names, or the address."""
        found = re.search(rb"\r\nhost: ([^\r:]+)", self.said, re.IGNORECASE)
        return found[1].decode() if found else self.address


_PORTS = (LITELLM_PORT, REGISTRY_PORT, TELEGRAM_PORT, OTHER_TELEGRAM_PORT, GATEWAY_REGISTRY_PORT, GATEWAY_UPSTREAM_PORT)


class Services:
    """All of them, running."""

    def __init__(self, cached: Cached) -> None:
        """Start nothing yet."""
        self.cached = cached
        self.litellm_key = f"sk-lab-{secrets.token_hex(16)}"
        self.upstream = Upstream()
        self.relay = Relay()
        self.telegram = Telegram()
        # A bot of another agent.
        self.other_telegram = Telegram(OTHER_TELEGRAM_PORT)
        self.recorder: Recorder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._servers: list[socketserver.BaseServer] = []
        self._relay_server: socketserver.BaseServer
        self._other_litellm: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start them all; LiteLLM takes a while: `wait` for it before it is needed."""
        self._start_network()
        self._processes.append(registry(self.cached.registry, f"{GATEWAY}:{REGISTRY_PORT}"))
        self._serve(("127.0.0.1", UPSTREAM_PORT), self.upstream.answer)
        self._start_relay()
        self._serve((GATEWAY, TELEGRAM_PORT), self.telegram.answer)
        self._serve((GATEWAY, OTHER_TELEGRAM_PORT), self.other_telegram.answer)
        self.recorder = Recorder(self.cached.authority)
        self._run(self.recorder)
        self._start_litellm(BEHIND_RELAY, MODEL)

    def wait(self, port: int = BEHIND_RELAY) -> None:
        """Return once LiteLLM answers."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health/liveliness")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
            time.sleep(0.2)
        raise LabError(f"LiteLLM does not start: see {RUN}/log/litellm")

    def stop(self) -> None:
        """Stop them all."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for process in self._processes:
            process.kill()
            process.wait()

    def rename_model(self, name: str = MODEL) -> None:
        """Let LiteLLM list its model under another name: by another LiteLLM, since it reads its list at the start."""
        if self._other_litellm:
            self._other_litellm.kill()
            self._other_litellm.wait()
            self._other_litellm = None
        if name != MODEL:
            self._other_litellm = self._start_litellm(OTHER_LITELLM, name)
            self.wait(OTHER_LITELLM)
        self.relay.behind = OTHER_LITELLM if self._other_litellm else BEHIND_RELAY

    def serve_gateway(self, images: Path) -> None:
        """Serve what an agent needs that is a gateway itself: images, and the scripted model."""
        self._processes.append(registry(images, f"{GATEWAY}:{GATEWAY_REGISTRY_PORT}"))
        self._serve((GATEWAY, GATEWAY_UPSTREAM_PORT), self.upstream.answer)

    def refuse_litellm(self) -> Callable[[], None]:
        """Let nobody listen where LiteLLM was; returns what undoes it."""
        server = self._relay_server
        server.shutdown()
        server.server_close()
        self._servers.remove(server)
        return self._start_relay

    def names_asked(self) -> set[str]:
        """The names that the guest has asked for, but for those of Debian's mirrors."""
        text = (RUN / "log" / "dnsmasq").read_text()
        return {name for name in re.findall(r"query\[\w+\] (\S+) from", text) if name not in mirror_hosts()}

    def refused_datagrams(self) -> str:
        """What the guest sent to others by UDP, as nft lists it."""
        found = re.search(r"elements = \{([^}]*)", sh("nft", "list", "set", "ip", "lab", "refused"))
        return found[1].strip() if found else ""

    def _start_network(self) -> None:
        mirrors = {host: _addresses(host) for host in sorted(mirror_hosts())}
        sh(
            *("nft", "-f", "-"),
            input=FIREWALL.format(
                bridge=BRIDGE,
                gateway=GATEWAY,
                litellm=LITELLM,
                mirrors=", ".join(sorted({address for found in mirrors.values() for address in found})),
                ports=", ".join(map(str, _PORTS)),
                agent=GATEWAY_AGENT,
                litellm_port=LITELLM_PORT,
                recorder=RECORDER_PORT,
            ),
        )
        known = [f"--address=/{host}/{address}" for host, found in mirrors.items() for address in found]
        command = [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="),
            *("--no-resolv", "--no-hosts", f"--interface={BRIDGE}", "--bind-interfaces", "--except-interface=lo"),
            *("--log-queries", "--log-facility=-", f"--address=/#/{NOWHERE}", *known),
            # As on the node's network: the container always gets the same address.
            *(f"--dhcp-range={GUEST},static,255.255.0.0", f"--dhcp-host=hermes,{GUEST}", "--dhcp-authoritative"),
            # Its name server is what its settings say.
            *("--dhcp-option=option:dns-server", f"--dhcp-leasefile={RUN}/leases"),
        ]
        self._spawn("dnsmasq", command)

    def _start_relay(self) -> None:
        self._relay_server = self._serve((LITELLM, LITELLM_PORT), self.relay.answer)

    def _start_litellm(self, port: int, model: str) -> subprocess.Popen[bytes]:
        settings = {
            "model_list": [
                {
                    "model_name": model,
                    "litellm_params": {
                        "model": "openai/scripted",
                        "api_base": f"http://127.0.0.1:{UPSTREAM_PORT}/v1",
                        "api_key": "of-the-upstream",
                    },
                    "model_info": {"max_input_tokens": 131072},
                }
            ],
            "general_settings": {"master_key": self.litellm_key},
            "litellm_settings": {"telemetry": False, "drop_params": True, "num_retries": 0},
        }
        file = RUN / f"litellm-{port}.yaml"
        file.write_text(yaml.safe_dump(settings))
        environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_ADMIN_UI": "True", "NO_DOCS": "True"}
        command = [self.cached.litellm / "bin/python", "-c", "from litellm import run_server; run_server()"]
        options = ["--config", file, "--host", "127.0.0.1", "--port", str(port)]
        return self._spawn("litellm", [*command, *options], {"PATH": "/usr/bin:/bin", "HOME": str(RUN), **environment})

    def _spawn(
        self, name: str, command: list[Any], environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log(name), stderr=subprocess.STDOUT, env=environment
        )
        self._processes.append(process)
        return process

    def _serve(self, address: tuple[str, int], answer: Callable[[Handler], None]) -> socketserver.BaseServer:
        server = ThreadingHTTPServer(address, functools.partial(Handler, answer))
        self._run(server)
        return server

    def _run(self, server: socketserver.BaseServer) -> None:
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()


def _addresses(host: str) -> list[str]:
    try:
        return sorted({str(found[4][0]) for found in socket.getaddrinfo(host, None, socket.AF_INET)})
    except OSError as error:
        raise LabError(f"the lab needs Debian's packages, and {host} cannot be found: {error}") from None


class Handler(BaseHTTPRequestHandler):
    """One request, read whole."""

    protocol_version = "HTTP/1.1"
    body = b""

    def __init__(self, answer: Callable[[Handler], None], *connection: Any) -> None:
        """Be answered by `answer`."""
        self._answer = answer
        # From here on it is handled.
        super().__init__(*connection)

    def handle(self) -> None:
        # Who asks may go at any time.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(self)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = _handle  # noqa: N815 (http.server's names)

    def log_message(self, *_: object) -> None:
        """Say nothing: what matters is recorded."""

    def request_line(self) -> Request:
        """What is worth remembering."""
        body: Any = {}
        with contextlib.suppress(ValueError):
            body = json.loads(self.body)
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return Request(self.command, self.path, key, body if isinstance(body, dict) else {})

    def send_json(self, value: object, status: int = http.HTTPStatus.OK) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Relay:
    """Stands before LiteLLM, and notes who comes with which key."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.behind = BEHIND_RELAY
        self._forgotten = False

    def forget_key(self) -> None:
        """Let LiteLLM see a key that it does not know in place of the right one."""
        self._forgotten = True

    def know_key(self) -> None:
        """Let it see the right one."""
        self._forgotten = False

    def answer(self, handler: Handler) -> None:
        self.requests.append(handler.request_line())
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=300)
        headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        if self._forgotten:
            headers["Authorization"] = "Bearer sk-of-yesterday"
        with contextlib.closing(connection):
            try:
                connection.request(handler.command, handler.path, handler.body, headers)
                response = connection.getresponse()
            except OSError:
                handler.send_json({"error": "LiteLLM is down"}, http.HTTPStatus.BAD_GATEWAY)
                return
            handler.send_response(response.status, response.reason)
            for name, value in response.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    handler.send_header(name, value)
            handler.send_header("Connection", "close")
            handler.end_headers()
            while piece := response.read1():
                handler.wfile.write(piece)
                handler.wfile.flush()


class Upstream:
    """The model behind LiteLLM: it does what it is told, and says so.

    `ping` gets `pong`. `run: COMMAND` becomes a call of the tool `terminal`, whose result it repeats. With
    `PUT /mode` and one of the words of `MODES` as the body, or the attribute `mode`, it becomes slow or fails.
    """

    MODES = ("answer", "slow", "fail")
    SLOW_SECONDS = 180
    COMMAND = re.compile(r"run: (.+)")

    def __init__(self) -> None:
        self.mode = "answer"
        self.requests: list[Request] = []
        self._changed = threading.Event()

    def set_mode(self, mode: str) -> None:
        """Change how it answers from now on; what waits because it was slow is answered."""
        if mode not in self.MODES:
            raise LabError(f"the scripted model knows the modes {', '.join(self.MODES)}")
        self.mode = mode
        changed, self._changed = self._changed, threading.Event()
        changed.set()

    def answer(self, handler: Handler) -> None:
        if handler.path == "/mode":
            try:
                self.set_mode(handler.body.decode().strip())
            except LabError as error:
                handler.send_json({"error": str(error)}, http.HTTPStatus.BAD_REQUEST)
            else:
                handler.send_json({"mode": self.mode})
            return
        request = handler.request_line()
        self.requests.append(request)
        if not handler.path.endswith("/chat/completions"):
            handler.send_json({"error": "only chat completions"}, http.HTTPStatus.NOT_FOUND)
            return
        if self.mode == "slow":
            self._changed.wait(self.SLOW_SECONDS)
        if self.mode == "fail":
            handler.send_json({"error": {"message": "scripted failure"}}, http.HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        text, command = self.reply(request.body)
        if request.body.get("stream"):
            self._stream(handler, text, command)
        else:
            message = {"role": "assistant", "content": text, **_tool_calls(command)}
            reason = "tool_calls" if command else "stop"
            handler.send_json(_chunk("chat.completion", [{"index": 0, "message": message, "finish_reason": reason}]))

    def reply(self, body: dict[str, Any]) -> tuple[str, str]:
        """A text, or a command for the terminal."""
        last = (body.get("messages") or [{}])[-1]
        content = last.get("content") or ""
        text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)
        if last.get("role") == "tool":
            return f"done: {text[:500]}", ""
        tools = {tool.get("function", {}).get("name") for tool in body.get("tools") or []}
        found = self.COMMAND.search(text)
        if found and "terminal" in tools:
            return "", found[1].strip()
        return ("pong" if "ping" in text.lower() else f"you said: {text[-200:]}"), ""

    def _stream(self, handler: Handler, text: str, command: str) -> None:
        delta = {"role": "assistant", "content": text, **_tool_calls(command, index=0)}
        reason = "tool_calls" if command else "stop"
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        handler.send_response(http.HTTPStatus.OK)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for chunk in (
            _chunk("chat.completion.chunk", [{"index": 0, "delta": delta, "finish_reason": None}]),
            _chunk("chat.completion.chunk", [{"index": 0, "delta": {}, "finish_reason": reason}]),
            {**_chunk("chat.completion.chunk", []), "usage": usage},
        ):
            handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        handler.wfile.write(b"data: [DONE]\n\n")


def _tool_calls(command: str, **more: int) -> dict[str, Any]:
    if not command:
        return {}
    function = {"name": "terminal", "arguments": json.dumps({"command": command})}
    return {"tool_calls": [{"id": f"call_{secrets.token_hex(6)}", "type": "function", "function": function, **more}]}


def _chunk(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(6)}",
        "object": kind,
        "created": int(time.time()),
        "model": "scripted",
        "choices": choices,
        "usage": None if kind.endswith("chunk") else {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


class Telegram:
    """A Bot API with one bot: `send` is a user writing to it, `answers` what it has sent."""

    POLL_SECONDS = 5

    def __init__(self, port: int = TELEGRAM_PORT) -> None:
        self._port = port
        self.token = f"118118:{secrets.token_hex(16)}"
        self.sent: list[dict[str, Any]] = []
        self.strangers_tokens: list[str] = []
        self._updates: list[dict[str, Any]] = []
        self._news = threading.Condition()

    @property
    def base_url(self) -> str:
        """What the token is appended to."""
        return f"http://{GATEWAY}:{self._port}/bot"

    def send(self, user: int, text: str) -> None:
        """Let a user write to the bot, in a chat of its own."""
        person = {"id": user, "is_bot": False, "first_name": f"User {user}", "username": f"user{user}"}
        chat = {"id": user, "type": "private", "first_name": person["first_name"]}
        with self._news:
            number = len(self._updates) + 1
            message = {"message_id": number, "from": person, "chat": chat, "date": int(time.time()), "text": text}
            self._updates.append({"update_id": number, "message": message})
            self._news.notify_all()

    def answers(self, user: int) -> list[str]:
        """The texts that the bot has sent to a user."""
        return [str(it["text"]) for it in self.sent if str(it.get("chat_id")) == str(user)]

    def answer(self, handler: Handler) -> None:
        found = re.fullmatch(r"/bot([^/]+)/(\w+)(?:\?.*)?", handler.path)
        if not found or found[1] != self.token:
            self.strangers_tokens.append(handler.path)
            handler.send_json({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
            return
        values = self._values(handler)
        handler.send_json({"ok": True, "result": self._result(found[2], values)})

    def _values(self, handler: Handler) -> dict[str, Any]:
        if "json" in (handler.headers.get("Content-Type") or ""):
            body: dict[str, Any] = json.loads(handler.body or b"{}")
            return body
        query = urllib.parse.urlsplit(handler.path).query
        pairs = urllib.parse.parse_qsl(handler.body.decode(errors="replace")) + urllib.parse.parse_qsl(query)
        return dict(pairs)

    def _result(self, method: str, values: dict[str, Any]) -> Any:
        if method == "getMe":
            return {"id": 118118, "is_bot": True, "first_name": "Hermes", "username": "hermes_lab_bot"}
        if method == "getUpdates":
            return self._wait_for_updates(int(values.get("offset") or 0), float(values.get("timeout") or 0))
        if method in ("sendMessage", "editMessageText"):
            self.sent.append(values)
            chat = {"id": int(values["chat_id"]), "type": "private"}
            return {"message_id": 1000 + len(self.sent), "date": int(time.time()), "chat": chat, "text": values["text"]}
        return True

    def _wait_for_updates(self, offset: int, seconds: float) -> list[dict[str, Any]]:
        with self._news:
            self._news.wait_for(lambda: len(self._updates) >= max(offset, 1), min(seconds, self.POLL_SECONDS))
            return self._updates[max(offset, 1) - 1 :]


class Recorder(socketserver.ThreadingTCPServer):
    """Takes the connections that the guest should not have tried, and hears what they say first."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, authority: Path) -> None:
        self.refused: list[Refused] = []
        self.tls = answering_as_anybody(authority)
        super().__init__((GATEWAY, RECORDER_PORT), _Refusing)


class _Refusing(socketserver.BaseRequestHandler):
    """Hear one connection, and reset it."""

    server: Recorder
    request: socket.socket

    def handle(self) -> None:
        _, port, address, _ = struct.unpack("!2sH4s8s", self.request.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
        self.request.settimeout(HEAR_SECONDS)
        heard = Refused(socket.inet_ntoa(address), port, b"")
        self.server.refused.append(heard)
        with contextlib.suppress(OSError):
            if self.request.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
                heard.said = b"(encrypted)"
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            heard.said = self.request.recv(65536)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


@contextlib.contextmanager
def running(cached: Cached) -> Iterator[Services]:
    """The services, for as long as the `with` block runs."""
    services = Services(cached)
    try:
        services.start()
        yield services
    finally:
        services.stop()


def console() -> Path:
    """Where the background processes write."""
    return RUN / "log"
