"""How tests run steps on a fake node."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import shlex
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
