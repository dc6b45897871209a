"""The program in a container of the virtual node: the real one, in this process, on the node's files and commands.

What it changes is written down and may be its last act, as with every command of the virtual node. Whose a file is, the
node's state knows.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pve_agents import agents
from pve_agents.guest.machine import Machine, Ran, Status
from pve_agents.guest.main import main
from pve_agents.guest.work import Patience
from tests.scripts.fake_node import outcome
from tests.scripts.fake_systemd import SWITCH
from tests.virtual_node.host import GUEST_IDS, READ, WRITE, Guest, VirtualHost, forget_owners
from tests.virtual_node.session import is_stand_in

NO_PATIENCE = Patience(network=0, daemon=0, retry=0, name=3)
NOT_FOUND = 127


class VirtualMachine(Machine):
    """A container of the virtual node."""

    def __init__(self, host: VirtualHost, vmid: str) -> None:
        super().__init__()
        self.host, self.vmid = host, vmid
        self.root = host.guest(vmid)
        self.user = (0, 0)
        self.skipped = 0.0

    # programs -------------------------------------------------------------------------------------------------------

    def _program(self, name: str) -> Path | None:
        self.host.guest_path(self.vmid)
        if name.startswith("/"):
            return place if (place := self.place(name)).exists() else None
        folders = (self.host.directory / "guest-bin" / self.vmid, self.host.directory / "guest-tools")
        return next((folder / name for folder in folders if (folder / name).exists()), None)

    def has(self, program: str) -> bool:
        return self._program(program) is not None

    def run(
        self,
        *command: str,
        seconds: float,
        stdin: bytes = b"",
        joined: bool = False,
        user: tuple[int, int] | None = None,
    ) -> Ran:
        name, *arguments = command
        if name == "env":
            # Variables alone: nobody here reads them.
            rest = [it for it in arguments if it != "-i" and not re.match("[A-Z_]+=", it)]
            return self.run(*rest, seconds=seconds, stdin=stdin, joined=joined, user=user)
        if name == "systemctl" and "start" in arguments and (job := next(filter(SWITCH.fullmatch, arguments), "")):
            return self._carry_out(job)
        program = self._program(name)
        if program is None:
            return Ran(NOT_FOUND, f"{name}: command not found")
        if not name.startswith("/") and (program.is_symlink() or not is_stand_in(program)):
            return self._run_real(program, arguments)
        self._command(name, user).log("calls", [str(it) for it in arguments])
        out, errors = io.StringIO(), io.StringIO()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out if joined else errors):
                status = self._outcome(name, arguments, user)
        finally:
            sys.stdin = before
        return Ran(status, out.getvalue().rstrip("\n"), errors.getvalue().rstrip("\n"))

    def _carry_out(self, job: str) -> Ran:
        """Be systemd, which starts the job that ends what a deploy has begun."""
        agent = job.removeprefix("pve-agents-switch-").removesuffix(".service")
        log = self.place(f"/var/lib/pve-agents/{agent}/switch.log")
        with log.open("a") as out, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            machine = VirtualMachine(self.host, self.vmid)
            status = main(["bootstrap", "--switch"], f"/opt/pve-agents/{agent}", machine, NO_PATIENCE)
        return Ran(status, "")

    def _command(self, name: str, user: tuple[int, int] | None = None) -> Guest:
        guest = Guest(self.host, self.vmid, name)
        uid, gid = user or self.user
        guest.user = (uid + GUEST_IDS.start, gid + GUEST_IDS.start)
        return guest

    def _outcome(self, name: str, arguments: list[str], user: tuple[int, int] | None) -> int:
        guest = self._command(name, user)
        with guest.held:
            return outcome(lambda: guest.run(arguments))

    def _run_real(self, program: Path, arguments: list[str]) -> Ran:
        if program.name == "sync" and program.is_symlink():
            return Ran(0, "")
        words = [str(self.place(it)) if it.startswith("/") else it for it in arguments]
        ran = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        shown = "\n".join(
            line.replace(f"{self.root} ", "/ ").replace(str(self.root), "") for line in ran.stdout.splitlines()
        )
        return Ran(ran.returncode, shown, ran.stderr)

    def follow(self, *command: str, seconds: float, on_line: Callable[[str], None]) -> int:
        ran = self.run(*command, seconds=seconds, joined=True)
        for line in ran.out.splitlines():
            on_line(line)
        return ran.status

    # time -----------------------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        return time.monotonic() + self.skipped

    def sleep(self, seconds: float) -> None:
        """Nobody waits for what a test knows to come at once, or never."""
        pause = min(seconds, 0.01)
        self.skipped += seconds - pause
        time.sleep(pause)

    # files ----------------------------------------------------------------------------------------------------------

    def place(self, path: str) -> Path:
        # The last name may be a link, to wherever it likes.
        above, _, name = path.rpartition("/")
        return self.host.in_guest(self.vmid, above or "/") / name

    def status(self, path: str) -> Status | None:
        found = super().status(path)
        if found is None:
            return None
        uid, gid = (it - GUEST_IDS.start for it in self._command("stat").ids(self.place(path)))
        return Status(uid, gid, found.mode, found.changed_ns)

    def permits(self, path: str, mode: int) -> bool:
        place = self.place(path)
        bit = {os.R_OK: READ, os.W_OK: WRITE}[mode]
        return place.exists() and self._command("test")._allowed(place, bit)

    def write(self, path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        self._need_permission(path)
        super().write(path, content, mode, owner)

    def make(self, path: str, mode: int) -> None:
        self._need_permission(path)
        with self._changing("mkdir", path) as guest:
            super().make(path, mode)
            guest._give(self.place(path))

    def give(self, path: str, owner: tuple[int, int]) -> None:
        with self._changing("chown", f"{owner[0]}:{owner[1]}", path) as guest:
            uid, gid = (it + GUEST_IDS.start for it in owner)
            guest.state["owners"][guest.key(self.place(path))] = f"{uid}:{gid}"

    def move(self, path: str, target: str) -> None:
        self._need_permission(target)
        with self._changing("mv", path, target) as guest:
            # A link has no owner of its own here.
            old, new = (os.path.relpath(self.place(it), self.host.node) for it in (path, target))
            super().move(path, target)
            owners = guest.state["owners"]
            forget_owners(guest.state, new)
            owners = guest.state["owners"]
            for key in [key for key in owners if f"{key}/".startswith(f"{old}/")]:
                owners[new + key.removeprefix(old)] = owners.pop(key)
            if new not in owners:
                guest._give(self.place(target))

    def remove(self, path: str) -> None:
        if not self.exists(path):
            return
        with self._changing("rm", path) as guest:
            super().remove(path)
            forget_owners(guest.state, os.path.relpath(self.place(path), self.host.node))

    def _need_permission(self, path: str) -> None:
        above = str(Path(path).parent)
        if self.user != (0, 0) and not self.permits(above, os.W_OK):
            raise PermissionError(13, "Permission denied", path)

    @contextlib.contextmanager
    def _changing(self, *words: str) -> Iterator[Guest]:
        guest = self._command(words[0])
        guest.log("calls", [*words[1:], "as {}:{}".format(*self.user)])
        with guest.held:
            guest.change(list(words[1:]))
            yield guest
            guest.finish()

    def as_user(self, user: tuple[int, int], do: Callable[..., Any], *arguments: object) -> Any:
        before, self.user = self.user, user
        try:
            return do(self, *arguments)
        finally:
            self.user = before


def run_program(host: VirtualHost, vmid: str, words: Sequence[str], patience: Patience = NO_PATIENCE) -> int:
    """Run the program of a payload in a container: the launcher's `PROGRAM NAME ARGUMENT...`."""
    program, *arguments = words
    # A kind that this project does not have is there alone.
    agents.__path__.append(f"{program}/pve_agents/agents")
    directory = str(Path(program).parent).removeprefix(str(host.guest(vmid)))
    return main(arguments, directory, VirtualMachine(host, vmid), patience)
