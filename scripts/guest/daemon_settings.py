"""Prints the settings of Docker's daemon with ours in them: `daemon_settings.py FILE DELIVERED WANTED`.

FILE is what the daemon reads now, DELIVERED what was ours in it the last time (it may be missing), WANTED what is ours
from now on. Standard library only: it runs in the container.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any


def main(arguments: list[str]) -> int:
    file, delivered, wanted = map(pathlib.Path, arguments)
    try:
        current = json.loads(file.read_text(encoding="utf-8").strip() or "{}")
    except ValueError as error:
        print(f"it is not JSON ({error})", file=sys.stderr)
        return 1
    if not isinstance(current, dict):
        print("it holds no JSON object", file=sys.stderr)
        return 1
    before = json.loads(delivered.read_text(encoding="utf-8")) if delivered.exists() else {}
    print(json.dumps(merged(current, before, json.loads(wanted.read_text(encoding="utf-8"))), indent=2))
    return 0


def merged(current: dict[str, Any], before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The settings in their order, with ours as wanted; what was ours, and is wanted no more, is left out."""
    stay = {name: value for name, value in current.items() if name in wanted or before.get(name, ...) != value}
    return {**stay, **wanted}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
