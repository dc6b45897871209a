"""The kind of agent that docs/kinds.md shows how to write."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "kinds.md").read_text()
FILES = dict(
    re.findall(r"^## [^\n]*`echo/([\w./]+)`\n(?:(?!^## ).*\n)*?```python\n((?:(?!```).*\n)*)", PAGE, re.MULTILINE)
)


def write_kind(kinds: Path) -> Path:
    """Write it into a folder of kinds, as the page has it; returns its own folder."""
    folder = kinds / "echo"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@contextmanager
def echoing() -> Iterator[int]:
    """What such an agent runs; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    if not (said := connection.recv(5)):
                        return
                    connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            # One that says nothing ends it.
            socket.create_connection(server.getsockname()).close()
            thread.join()
