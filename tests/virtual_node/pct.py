"""The little of `pct` that looks at a container: `python -m tests.virtual_node.pct config VMID`.

It speaks to the node that the environment names, as root@pam.
"""

from __future__ import annotations

import argparse
import sys
import urllib.parse
from typing import Any

from tests.virtual_node.client import ApiError, Client


def format_config(config: dict[str, Any]) -> str:
    """`key: value` lines by key, as pve-container's CLI prints them: a description is percent-encoded."""
    shown = {key: value for key, value in config.items() if key != "digest"}
    if "description" in shown:
        shown["description"] = urllib.parse.quote(shown["description"], safe=" !\"$&'()*+,-./;<=>?@[\\]^_`{|}~#")
    return "".join(f"{key}: {shown[key]}\n" for key in sorted(shown))


def main() -> int:
    """Print the configuration as `pct config` does; fail as it does when there is no such container."""
    parser = argparse.ArgumentParser(prog="pct")
    commands = parser.add_subparsers(dest="command", required=True)
    config = commands.add_parser("config", help="show what the next start of a container uses")
    config.add_argument("vmid", type=int)
    arguments = parser.parse_args()
    root = Client.as_root()
    node = root.get("/nodes")[0]["node"]
    try:
        values = root.get(f"/nodes/{node}/lxc/{arguments.vmid}/config")
    except ApiError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    sys.stdout.write(format_config(values))
    return 0


if __name__ == "__main__":
    sys.exit(main())
