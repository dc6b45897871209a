"""Where the API token may be: in the environment, and nowhere else."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = pytest.mark.terraform

# Hands on to the real program, after noting what it was called with.
RECORDER = """#!/bin/sh
printf '%s\\n' "$0" "$@" >>"{record}"
exec "{program}" "$@"
"""


@pytest.fixture
def argv(project: Project, tmp_path: Path) -> Path:
    """The arguments of every program that a deploy runs."""
    programs, record = tmp_path / "recorders", tmp_path / "argv"
    programs.mkdir()
    for name in (Path(project.binary).name, "python3", "python", "node", "sh", "cdktf"):
        program = shutil.which(name, path=project.env["PATH"])
        if program:
            (programs / name).write_text(RECORDER.format(record=record, program=program))
            (programs / name).chmod(0o755)
    project.env["PATH"] = f"{programs}:{project.env['PATH']}"
    return record


def written(directory: Path) -> dict[str, bytes]:
    """All files below a directory, and what is in those that are archives."""
    files: dict[str, bytes] = {}
    for path in directory.rglob("*"):
        if path.is_file() and ".terraform/providers" not in str(path):
            files[str(path)] = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    files |= {f"{path}!{name}": archive.read(name) for name in archive.namelist()}
    return files


@pytest.mark.cli
def test_the_token_is_written_nowhere(project: Project, virtual_node: VirtualNode, argv: Path) -> None:
    secret = virtual_node.env["PROXMOX_VE_API_TOKEN"].partition("=")[2]
    logs = project.directory / "logs"
    logs.mkdir()
    project.env |= {
        "TF_LOG": "TRACE",
        "TF_LOG_PATH": str(logs / "terraform.log"),
        "CDKTF_LOG_LEVEL": "debug",
        "CDKTF_LOG_FILE_DIRECTORY": str(logs),
    }

    deployed = project.cdktf("deploy", "hermes", "--auto-approve")
    where = f"-chdir={project.stack()}"
    plan = project.run(project.binary, where, "plan", "-input=false", f"-out={project.directory / 'plan'}")
    shown = project.run(project.binary, where, "show", "-json", str(project.directory / "plan"))

    files = written(project.directory)
    names = {Path(name).name for name in files}
    assert {"cdk.tf.json", "check-token", "terraform.hermes.tfstate", "plan", "plan!tfstate", "terraform.log"} <= names
    arguments = argv.read_text()
    assert "check-token" in arguments
    assert "apply" in arguments
    said = {"deploy": deployed.raw, "plan": plan.raw, "show": shown.raw, "argv": arguments}
    found = [name for name, content in files.items() if secret.encode() in content]
    assert found + [name for name, text in said.items() if secret in text] == []
    assert not (ROOT / "cdktf.log").exists()
