"""The kind of agent that docs/kinds.md shows how to write."""

from __future__ import annotations

import importlib
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from pve_agents import agents

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
def found_kind(kinds: Path) -> Iterator[Path]:
    """Have this process find it beside those of this project; yields its folder."""
    folder = write_kind(kinds)
    with (
        mock.patch.object(agents, "__path__", [*agents.__path__, str(kinds)]),
        mock.patch.object(sys, "dont_write_bytecode", new=True),
    ):
        importlib.invalidate_caches()
        yield folder
        for name in [name for name in sys.modules if name.startswith("pve_agents.agents.echo")]:
            del sys.modules[name]
        if hasattr(agents, "echo"):
            delattr(agents, "echo")


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
