"""A server that answers as a gateway does, on this machine: what is asked is kept, what is answered is set."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeGateway:
    """What it answers by path, each with its status, and what it was asked."""

    answers: dict[str, tuple[int, Any]]
    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Path, key and body of each request."""


@contextmanager
def gateway(**answers: tuple[int, Any]) -> Iterator[FakeGateway]:
    """A gateway; a path's slashes are written as two underscores."""
    fake = FakeGateway({f"/{path.replace('__', '/')}": answer for path, answer in answers.items()})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            fake.asked.append((self.path, key, json.loads(content) if content else None))
            status, said = fake.answers.get(self.path, (404, {"error": {"message": "nothing is here"}}))
            said = said(fake) if callable(said) else said
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - as inherited

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        fake.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
