"""What is synthesized does not tell on whose machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.project import Project
from tests.virtual_node.node import ROOT

# All that the app reads.
SOURCES = ("main.py", "constructs", "stacks", "scripts", "imports")


def checkout(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name)
        else:
            shutil.copy(ROOT / name, directory)
    return directory


def synthesized(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_same_settings_give_the_same_bytes_on_every_machine(project: Project, tmp_path: Path) -> None:
    machines = [checkout(tmp_path / name) for name in ("mine", "home/somebody else/checkouts/homelab")]
    runs = [
        subprocess.Popen(
            [sys.executable, "main.py"],
            cwd=machine,
            env={**project.env, "PYTHONPATH": str(machine / "constructs")},
            stdout=subprocess.DEVNULL,
        )
        for machine in machines
    ]
    assert [run.wait() for run in runs] == [0, 0]

    mine, theirs = (synthesized(machine / "cdktf.out") for machine in machines)

    assert "stacks/hermes/cdk.tf.json" in mine
    assert mine == theirs
    places = [str(place).encode() for place in (tmp_path, ROOT, tempfile.gettempdir())]
    # The scripts are copied as they are, and name /tmp themselves.
    written = {name: content for name, content in mine.items() if name.endswith(".json")}
    assert [name for name, content in written.items() if any(place in content for place in places)] == []
