"""Root's shell on nodes in memory, and a fake ssh that leads to it."""

from __future__ import annotations

import base64
import os
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from pve_agents.host.commands import Command
from pve_agents.host.facts import Container, Facts, GuestFacts
from pve_agents.host.plan import plan
from pve_agents.host.plan_guest import Delivery
from pve_agents.host.wanted import Wanted
from tests.unit.host.model import MOUNTED, Node, RefusedError

SSH = """\
#!/bin/bash
cd {directory}
printf '%s\\n' "$@" >>arguments
env >>environment
[ ! -e down ] || exit 255
cat >"question.$$"
exec 3<>/dev/tcp/127.0.0.1/{port}
echo "$$" >&3
read -r status <&3
cat <&3
exit "$status"
"""

DISKS = ("/", "/mnt", "/mnt/pve", "/mnt/pve/hdd", "/media", "/media/2tb")
Says = Callable[[tuple[str, ...]], tuple[int, str]]


def says_nothing(_: tuple[str, ...]) -> tuple[int, str]:
    """A container that has nothing to say."""
    return 0, ""


class Root:
    """Root's shell on nodes in memory: it understands the texts that this project writes, and no other."""

    def __init__(self, *nodes: Node) -> None:
        """Lead to these nodes, one for each agent."""
        self.nodes = {node.vmid: node for node in nodes}
        self.texts: list[str] = []
        self.commands: list[str] = []
        """What ran, as one would type it."""
        self.asked: list[tuple[str, ...]] = []
        """What ran in a container besides."""
        self.fails_at = ""
        """A part of the command that fails."""
        self.says: Says = says_nothing
        """What such a command says, and its status."""
        self.broken: set[int] = set()
        """Where a look breaks off."""
        self.before_each: Callable[[], None] = lambda: None

    def looks(self) -> int:
        """How often somebody has looked."""
        return sum(_last(text).startswith("look ") for text in self.texts)

    def run(self, text: str) -> tuple[int, bytes]:
        """Do what a text says, and return status and output."""
        self.before_each()
        self.texts.append(text)
        last = _last(text)
        if last.startswith("look "):
            _, vmid, _, _, *paths, _ = shlex.split(last)
            return 0, answer_of(self.nodes[int(vmid)].facts(), paths)[: 100 if int(vmid) in self.broken else None]
        if last == "act </dev/null":
            return self._act(text)
        words = shlex.split(
            next(line for line in text.splitlines() if "lxc-attach -n" in line).partition(" </dev/null")[0]
        )
        asked = tuple(words[next(i for i, word in enumerate(words) if word.endswith("/verify")) :])
        self.asked.append(asked)
        status, said = self.says(asked)
        return status, said.encode()

    def _act(self, text: str) -> tuple[int, bytes]:
        said = []
        (vmid,) = re.findall(r"^# As root on \S+, for the agent \S+ in container (\d+)\.$", text, re.MULTILINE)
        node = self.nodes[int(vmid)]
        for command in commands_of(text):
            said.append(f"$ {command.line}")
            self.commands.append(command.line)
            if self.fails_at and self.fails_at in command.line:
                said.append("… FAILED with status 7 after 0 s")
                if not command.may_fail:
                    return 3, "\n".join([*said, ""]).encode()
            elif not (command.unless_directory and node.paths.get(command.argv[-1])):
                try:
                    node.obey(command)
                except RefusedError as error:
                    return 3, "\n".join([*said, str(error), ""]).encode()
                said.append("… done in 0 s")
        return 0, "\n".join([*said, ""]).encode()

    # As pve_agents.host.shell.Shell has them: for what is not about processes.

    def look(self, text: str) -> bytes:
        """Look."""
        return self.run(text)[1]

    def act(self, text: str, on_line: Callable[[str], None], *, tabs: bool = False) -> int:  # noqa: ARG002
        """Act."""
        status, output = self.run(text)
        for line in output.decode().splitlines():
            on_line(line)
        return status


def node_for(wanted: Wanted) -> Node:
    """A node with a new container of an agent's."""
    own = {"hostname": wanted.hostname, "tags": wanted.tag, "unprivileged": "1", "features": "nesting=1"}
    paths = {path: replace(MOUNTED, mounted_at=path if path.count("/") > 1 else "/") for path in DISKS}
    return Node(vmid=wanted.vmid, paths=paths, containers={wanted.vmid: Container(wanted.vmid, own)})


def settle(node: Node, wanted: Wanted, delivery: Delivery) -> None:
    """Let all be as wanted."""
    planned = plan(wanted, node.facts(), delivery)
    assert planned.refusals == ()
    for command in planned.commands:
        node.obey(command)


def _last(text: str) -> str:
    return text.rstrip("\n").rpartition("\n")[2]


def answer_of(facts: Facts, paths: Iterable[str]) -> bytes:
    """What the look prints where this is to be seen."""
    fields = [("node", "", facts.node), ("pve-container", "", facts.pve_container)]
    for vmid, container in facts.containers.items():
        fields.append(("guest", f"{facts.node}/lxc/{vmid}.conf", _file(container)))
    fields += [("guest", f"{place}/118.conf", "") for place in facts.elsewhere]
    fields += [("digest", "", f"{facts.digest}  -"), ("state", "", facts.state.upper())]
    fields.append(("ha", "", "".join(f"ct: {vmid}\n\tstate started\n" for vmid in facts.ha)))
    above = {parent for path in paths for parent in map(str, [Path(path), *Path(path).parents])}
    for path in sorted(above):
        found = facts.path(path)
        value = f"{found.uid} {found.gid} {found.mode:o} {found.mounted_at}|{found.kind}" if found.kind else ""
        fields.append(("path", path, value))
    if facts.guest is not None:
        fields.append(("inside", "", _inside(facts.guest)))
    fields.append(("end", "", str(len(fields))))
    return "".join(f"{text}\0" for triple in fields for text in triple).encode()


def _file(container: Container) -> str:
    lines = [f"{key}: {value}" for key, value in container.running.items()]
    if container.pending:
        gone = [key for key, value in container.pending.items() if value is None]
        lines += ["", "[pve:pending]", f"delete: {' '.join(gone)}"]
        lines += [f"{key}: {value}" for key, value in container.pending.items() if value is not None]
    return "\n".join([*lines, ""])


def _inside(guest: GuestFacts) -> str:
    lines = [f"payload {guest.payload}"] if guest.payload else []
    lines += [f"done {guest.done}"] if guest.done else []
    lines += [f"executable {name}" for name in sorted(guest.executables)]
    if guest.secrets:
        owner, mode, sha256 = guest.secrets
        lines += [f"secrets {owner} {mode}", f"{sha256}  -"]
    return "\n".join([*lines, *(["whole"] if guest.is_whole else []), ""])


def commands_of(text: str) -> Iterator[Command]:
    """The commands that a text would run."""
    lines = iter(text.partition("act() {\n")[2].rpartition("\n}\nact </dev/null")[0].splitlines())
    for line in lines:
        if not re.match(r"run |\(run |\[\[ -d .+ \]\] \|\| run ", line):
            continue
        words = None
        while words is None:
            try:
                words = shlex.split(line)
            except ValueError:
                # A word of several lines.
                line = f"{line}\n{next(lines)}"  # noqa: PLW2901
        if may_fail := line.startswith("("):
            words = shlex.split(line.removeprefix("(").removesuffix(") || true"))
        unless = words[0] == "[["
        words = words[words.index("run") + 1 :]
        stdin = None
        if words[-1] == "<<END_OF_INPUT":
            words.pop()
            stdin = base64.b64decode("".join(iter(lambda: next(lines), "END_OF_INPUT")))
        within = ""
        if words[0] == "within":
            within, words = words[1], words[2:]
        seconds = None
        if words[0] == "timeout":
            seconds, words = int(words[3]), words[4:]
        yield Command(
            "", tuple(words), "", within=within, stdin=stdin, timeout_seconds=seconds, may_fail=may_fail,
            unless_directory=unless,
        )  # fmt: skip


class Ssh:
    """A fake ssh in a directory for PATH, with a note of how it was called."""

    def __init__(self, directory: Path, root: Root, name: str = "ssh") -> None:
        """Lay it there."""
        self.directory, self.root = directory, root
        self.bin = directory / "bin"
        self.bin.mkdir(parents=True)
        self.error: Exception | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.program = self.bin / name
        self.program.write_text(SSH.format(directory=shlex.quote(str(directory)), port=self._port))
        self.program.chmod(0o755)

    def variables(self, **more: str) -> Mapping[str, str]:
        """An environment in which it is found."""
        return {
            "PATH": f"{self.bin}:{os.defpath}",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "PVE_SSH": "root@10.1.10.10",
            "XDG_RUNTIME_DIR": str(self.directory),
            **more,
        }

    def noted(self, name: str) -> str:
        """Its `arguments`, or its `environment`."""
        file = self.directory / name
        return file.read_text() if file.exists() else ""

    def down(self) -> None:
        """Let nobody reach the node."""
        (self.directory / "down").touch()

    def serve(self) -> None:
        """Answer until the end."""
        while True:
            connection, _ = self._listener.accept()
            # Whoever asked may not be there any more.
            with connection, connection.makefile("rwb") as stream, suppress(OSError):
                if not (number := stream.readline().decode().strip()):
                    return
                question = self.directory / f"question.{number}"
                text = question.read_text()
                question.unlink()
                try:
                    status, output = self.root.run(text)
                except Exception as error:  # noqa: BLE001 - raised where it is seen
                    self.error, status, output = error, 70, repr(error).encode()
                stream.write(f"{status}\n".encode() + output)

    def end(self) -> None:
        """Answer nothing any more."""
        socket.create_connection(("127.0.0.1", self._port)).close()

    def close(self) -> None:
        """Be gone."""
        self._listener.close()


@contextmanager
def serving(directory: Path, root: Root, name: str = "ssh") -> Iterator[Ssh]:
    """A fake ssh that answers."""
    ssh = Ssh(directory, root, name)
    thread = threading.Thread(target=ssh.serve, daemon=True)
    thread.start()
    try:
        yield ssh
    finally:
        ssh.end()
        thread.join()
        ssh.close()
    if ssh.error:
        raise ssh.error
