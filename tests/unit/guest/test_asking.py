"""A question to what runs in the container: whatever answers is an answer, and a key goes nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pve_agents.guest.asking import NoAnswerError, TooLateError, ask

KEY = "sk-canary-of-the-master"


class Server(ThreadingHTTPServer):
    """Sends everybody elsewhere, and remembers who came with what."""

    def __init__(self, location: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.location = location
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        self.send_response(302)
        self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(b"elsewhere")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def other() -> Iterator[Server]:
    with Server("/") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_redirect_is_an_answer_and_no_key_follows_it(other: Server) -> None:
    with Server(other.url) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        answer = ask(server.url, seconds=5, most_bytes=4, headers={"Authorization": KEY})
        thread.join()
    assert answer == (302, b"else")
    assert (server.keys, other.keys) == ([KEY], [])


def test_a_server_that_says_nothing_is_too_late_and_one_that_is_not_there_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(TooLateError, match=r"nothing within 0\.1 seconds"):
            ask(url, seconds=0.1, most_bytes=1)
    with pytest.raises(NoAnswerError, match="refused"):
        ask(url, seconds=5, most_bytes=1)
