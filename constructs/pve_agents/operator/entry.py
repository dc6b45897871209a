"""Where ``agents`` begins: Ctrl-C while it still imports is one line, too."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command with this process's arguments, and exit with its status."""
    # It is over in seconds: garbage, and plugins of pydantic, are not worth looking for.
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from pve_agents.operator.main import main  # noqa: PLC0415 - what takes long to import
    except KeyboardInterrupt:
        print("interrupted; nothing was started", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    main()
