"""Run a command against a virtual node: `python -m tests.virtual_node [--keep DIR] -- COMMAND ARGS...`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.answering import answering
from tests.virtual_node.node import temporary_node


def models(path: str, _: str | None) -> tuple[int, str]:
    """What a gateway answers that has the model of the default settings, whatever the key."""
    return (200, json.dumps({"data": [{"id": "hermes"}]})) if path == "/v1/models" else (404, "")


def main() -> int:
    """Start a node, run the command in its environment, and exit as the command does."""
    parser = argparse.ArgumentParser(prog="python -m tests.virtual_node", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the node's files in DIR")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    arguments = parser.parse_args()
    # Clean up when somebody else ends this, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with temporary_node(arguments.keep) as node, answering(models) as gateway:
        print(f"virtual node: listening on {node.pve.url}", file=sys.stderr, flush=True)
        environment = {**os.environ, **node.env, "VIRTUAL_NODE_GATEWAY": gateway}
        status = subprocess.run(arguments.command, env=environment, check=False).returncode
    # As a shell does for a command that a signal ended.
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
