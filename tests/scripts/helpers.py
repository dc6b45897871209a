"""How tests run steps on a fake node."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shlex
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pathlib

    from tests.scripts.fake_node import Node

Run = subprocess.CompletedProcess[str]

# What on-host may run beside the fakes: a command that is not here and not faked is "not found", and the test fails.
REAL_COMMANDS = ("base64", "sha256sum")


def environment(node: Node) -> dict[str, str]:
    """What sshd gives to a command on the node."""
    return {"PATH": str(node.bin), "HOSTNAME": "pve1.example.org", "LANG": "C.UTF-8", "HOME": "/root"}


def script(node: Node, *calls: str | list[str], mode: str = "apply", begin: tuple[str, ...] = ()) -> str:
    first = begin or ("hermes", "118", "pve1", "hermes", mode)
    lines = [call if isinstance(call, str) else shlex.join(call) for call in calls]
    text = (node.directory / "scripts" / "on-host").read_text()
    return "\n".join([text, "steps() {", shlex.join(["begin", *first]), *lines, "finish", "}", "steps </dev/null", ""])


def bash(node: Node, text: str, **options: Any) -> Run:
    # A session of its own: the fakes kill the whole process group.
    given = {"capture_output": True, "input": text, "env": environment(node), "start_new_session": True, **options}
    return subprocess.run([shutil.which("bash") or "bash", "-s"], check=False, text=True, **given)


def with_input(call: list[str], content: bytes) -> str:
    return f"{shlex.join(call)} <<'END_OF_BASE64'\n{base64.encodebytes(content).decode()}END_OF_BASE64"


def payload(bootstrap: str = "#!/bin/sh\necho working\n") -> tuple[bytes, str]:
    """An archive with a bootstrap command, and its SHA-256."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("bootstrap")
        member.size, member.mode = len(bootstrap), 0o755
        archive.addfile(member, io.BytesIO(bootstrap.encode()))
    content = gzip.compress(buffer.getvalue(), mtime=0)
    return content, hashlib.sha256(content).hexdigest()


def checks(output: str) -> list[tuple[str, str, str, str]]:
    """Name, status, detail and remedy of each check of a verification, which must have come to its end."""
    *lines, end = output.splitlines()
    found = [line.split("\t") for line in lines if line.startswith("check\t")]
    assert end == f"checked\t{len(found)}"
    for _, _, _, milliseconds, _, _ in found:
        assert milliseconds.isdigit()
    return [(name, status, detail, remedy) for _, name, status, _, detail, remedy in found]


FAKE_SSH = """#!/bin/sh
printf '%s\\n' "$@" >>'{directory}/ssh-arguments'
/usr/bin/env >>'{directory}/ssh-environment'
[ ! -e '{directory}/ssh-down' ] || exit 255
exec /usr/bin/env -i {environment} '{bash}' -s
"""


class Operator:
    """A machine with a fake ssh that leads to the node."""

    def __init__(self, node: Node, home: pathlib.Path, spec: dict[str, Any]) -> None:
        self.node = node
        self.spec = spec
        self.home = home
        home.mkdir()
        words = " ".join(f"{name}={value}" for name, value in environment(node).items())
        bash_path = shutil.which("bash")
        ssh = home / "ssh"
        ssh.write_text(FAKE_SSH.format(directory=home, environment=words, bash=bash_path))
        ssh.chmod(0o755)
        (home / "bash").symlink_to(bash_path or "/bin/bash")
        self.variables = {
            "PATH": f"{home}:{node.bin}",
            "HOME": str(home),
            "HOSTNAME": "pve1",
            "XDG_RUNTIME_DIR": str(home),
            "PVE_SSH": "root@10.1.10.10",
            "LANG": "C.UTF-8",
        }

    def environment(self, **variables: str) -> dict[str, str]:
        return {"HOST_STEP_SPEC": json.dumps(self.spec), **self.variables, **variables}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(self.node.directory / "scripts" / "host-step"), *arguments]

    def run(self, *arguments: str, **variables: str) -> Run:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def logged(self, name: str) -> str:
        path = self.home / name
        return path.read_text() if path.exists() else ""
