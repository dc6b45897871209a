"""From a fresh clone to an agent that answers, by the commands of the README and nothing typed but answers."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.answering import answering
from tests.conftest import ALWAYS
from tests.virtual_node.__main__ import models
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [
    pytest.mark.long,
    pytest.mark.cli,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

LONGEST_SILENCE = 60
KEY = "sk-canary-of-litellm"


class Newcomer:
    """Somebody at a terminal, with a clone, an empty home and a node."""

    def __init__(self, directory: Path, node: VirtualNode) -> None:
        self.node, self.clone, self.home = node, directory / "pve-agents", directory / "home"
        self.home.mkdir()
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in listed.stdout.splitlines():
            (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).exists():
                shutil.copy2(ROOT / name, self.clone / name)
                # Older than all that was made of it: `make setup` must not install into the environment that is lent.
                os.utime(self.clone / name, (1, 1))
        # What `make setup` takes a minute for.
        for made in (".venv", "node_modules", "imports"):
            (self.clone / made).symlink_to(ROOT / made)
        # Of the virtual node all but what only its owner knows.
        of_node = {
            it: value for it, value in node.env.items() if not re.match(r"PROXMOX_VE_|PVE_(?!AGENTS)|PIPENV_", it)
        }
        self.env = {**ALWAYS, **of_node}
        # The environment there knows the modules of the checkout that it was made in.
        self.env |= {
            "HOME": str(self.home),
            "PYTHONPATH": str(self.clone / "constructs"),
            "TERM": "dumb",
            "COLUMNS": "200",
        }
        self.env["PATH"] = os.pathsep.join([str(ROOT / ".venv" / "bin"), node.env["PATH"]])
        self.said = ""

    def types(self, command: str, answers: Sequence[str] = ()) -> str:
        """Run a command on a terminal and give the answers; return what it said."""
        terminal, its_end = pty.openpty()
        said, rest = "", list(answers)
        with subprocess.Popen(
            ["bash", "-c", command], stdin=its_end, stdout=its_end, stderr=its_end, cwd=self.clone, env=self.env
        ) as process:
            os.close(its_end)
            while select.select([terminal], [], [], LONGEST_SILENCE)[0]:
                try:
                    said += os.read(terminal, 65536).decode()
                except OSError:
                    break
                if rest and re.search(r"(> |\[y/N\]: )$", said):
                    os.write(terminal, f"{rest.pop(0)}\n".encode())
                    said += "\n"
            os.close(terminal)
        said = re.sub(r"\x1b\[[0-9;]*m", "", said).replace("\r\n", "\n")
        self.said += f"$ {command}\n{said}"
        assert (process.returncode, rest) == (0, []), said
        return said


def shown_in_the_readme() -> list[str]:
    """The lines of output that its walk shows; one of three dots stands for lines left out."""
    walk = (ROOT / "README.md").read_text().partition("## From nothing")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```text\n(.*?)^```", walk, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip() != "…"]


def as_said(line: str) -> str:
    """A pattern for a line of the README: numbers and what three dots stand for are another time's."""
    pattern = re.escape(line).replace("…", ".*")
    return re.sub(r"(\\ )+", r"\\s+", re.sub(r"\d+", r"\\d+", pattern))


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    # Its providers start as they do for a user.
    with VirtualNode(tmp_path / "virtual-node") as node:
        node.without_token()
        yield Newcomer(tmp_path, node)
        assert KEY not in "".join(
            it.read_text(errors="replace") for it in tmp_path.rglob("terraform.*") if it.is_file()
        )


def test_six_commands_lead_to_an_agent_that_answers(newcomer: Newcomer) -> None:
    with answering(models) as gateway:
        newcomer.types("make setup")
        host = newcomer.node.pve.url.removeprefix("https://")
        answers = ["", host, "", "", "", "", "", f"{gateway}/v1", "", "none", KEY]
        said = newcomer.types("agents init", answers)
        commands = re.findall(r"^  (ssh .*|pipenv run agents .*)$", said.partition("Next:")[2], re.MULTILINE)
        for command in commands:
            newcomer.types(command.removeprefix("pipenv run "))
        assert commands[-1] == "pipenv run agents doctor"
        last = newcomer.types("agents up", ["y"])
    assert re.search(r"^✓ chat +answered", last, re.MULTILINE)
    assert "hermes runs in container 118 on gihyeon at " in last
    assert KEY not in newcomer.said
    # The README shows this, in this order.
    at = 0
    for line in shown_in_the_readme():
        found = re.compile(rf"^{as_said(line)}\s*$", re.MULTILINE).search(newcomer.said, at)
        assert found, f"{line!r} is not said after {newcomer.said[:at].splitlines()[-1:]}"
        at = found.end()
    modes = {it.name: it.stat().st_mode & 0o777 for it in (newcomer.home / ".config" / "pve-agents").iterdir()}
    assert modes == {"root.env": 0o600, "hermes.env": 0o600}
    assert (newcomer.clone / ".env").stat().st_mode & 0o777 == 0o600
    # Nothing is left of what was planned, and the provider's lock is kept.
    assert not list(newcomer.clone.rglob("agents.plan"))
    assert {it.name for it in newcomer.clone.glob("terraform.*.lock.hcl")} == {
        "terraform.hermes.lock.hcl",
        "terraform.hermes-root.lock.hcl",
    }
    assert "hermes: 14 checks, 0 failed" in newcomer.types("agents verify")
