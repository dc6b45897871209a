"""The node's `pct`: what the API knows, it asks the API for; `exec` and `push` go into the real container."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.lab.container import Container
from tests.lab.host import LabHost
from tests.scripts.fake_node import fail
from tests.virtual_node.host import Host


class Pct(Host):
    """One call of it."""

    def _push(self, vmid: str, rest: list[str]) -> int:
        source, target, *words = rest
        values = dict(zip(words[::2], words[1::2], strict=True))
        container = self._running(vmid, "can only push files to a running CT")
        self.change(self.arguments)
        owner = f"{values.get('--user', '0')}:{values.get('--group', '0')}"
        script = 'umask 077; cat >"$1" && chown "$2" "$1" && chmod "$3" "$1"'
        with Path(source).open("rb") as content:
            command = ("sh", "-c", script, "sh", target, owner, values.get("--perms", "0644"))
            done = container.run(*command, check=False, stdin=content)
        if done.returncode:
            # As the real one: its status is 0 all the same, and only its task fails.
            print(done.stderr.strip(), file=sys.stderr)
            return 0
        self.api.request("POST", f"{self.lxc}/push_file")
        return self.finish()

    def _exec(self, vmid: str, rest: list[str]) -> int:
        self._running(vmid, f"container '{vmid}' not running!")
        keep = True
        while rest and rest[0].startswith("-"):
            option, *rest = rest
            if option == "--":
                break
            if option != "--keep-env" or not rest:
                fail(f"Unknown option: {option}")
            keep, rest = rest[0] == "1", rest[1:]
        if not rest:
            fail("400 not enough arguments")
        environment = "--keep-env" if keep else "--clear-env"
        os.execvp("lxc-attach", ["lxc-attach", "-n", vmid, environment, "--", *rest])  # noqa: S606

    def _running(self, vmid: str, message: str) -> Container:
        container = Container(int(vmid), Path())
        if not container.running:
            fail(message)
        return container


def main() -> None:
    """Be `pct`: `NODE'S-DIRECTORY ARGUMENT...`."""
    directory, *arguments = sys.argv[1:]
    pct = Pct(LabHost(Path(directory)), "pct")
    pct.log("calls", arguments)
    try:
        found = pct.pct(arguments)
        sys.exit(found if isinstance(found, int) else found.run())
    except OSError as error:
        fail(f"pct: {error}")
