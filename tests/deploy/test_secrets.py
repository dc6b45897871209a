"""Where the API token may be: in the environment, and nowhere else."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = pytest.mark.terraform


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


@dataclass(frozen=True)
class Deployed:
    """A deploy as `pipenv run cdktf` makes it, with all logs on, where everybody may read and write what is made."""

    project: Project
    said: Mapping[str, str]
    arguments: str
    """Of every program that ran."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("deployed")
    with VirtualNode(directory / "virtual-node", serves_providers=True) as node:
        project = Project(directory / "project", node)
        record = project.record_arguments(Path(project.binary).name, "python3", "python", "node", "sh")
        logs = project.directory / "logs"
        logs.mkdir()
        project.env |= {
            "TF_LOG": "TRACE",
            "TF_LOG_PATH": str(logs / "terraform.log"),
            "CDKTF_LOG_LEVEL": "debug",
            "CDKTF_LOG_FILE_DIRECTORY": str(logs),
            "PVE_AGENTS_KEEP": "TF_REATTACH_PROVIDERS TF_LOG",
        }
        options = ("--auto-approve", "--output", project.out, "--skip-provider-lock")
        before = os.umask(0)
        try:
            deploy = project.run(sys.executable, ROOT / "scripts" / "cdktf", "deploy", "hermes", *options)
        finally:
            os.umask(before)
        yield Deployed(project, {"deploy": deploy.raw}, record.read_text())


@pytest.mark.cli
def test_the_token_is_written_nowhere(deployed: Deployed) -> None:
    """By what is ours and by Terraform; the real provider would write it into a log at this level (docs/security.md)."""
    project = deployed.project
    secret = project.node.env["PROXMOX_VE_API_TOKEN"].partition("=")[2]
    where = f"-chdir={project.stack()}"
    plan = project.run(project.binary, where, "plan", "-input=false", f"-out={project.directory / 'plan'}")
    shown = project.run(project.binary, where, "show", "-json", str(project.directory / "plan"))

    files = written(project.directory)
    names = {Path(name).name for name in files}
    assert {"cdk.tf.json", "check-token", "terraform.hermes.tfstate", "plan", "plan!tfstate", "terraform.log"} <= names
    assert "check-token" in deployed.arguments
    assert "apply" in deployed.arguments
    said = {**deployed.said, "plan": plan.raw, "show": shown.raw, "argv": deployed.arguments}
    found = [name for name, content in files.items() if secret.encode() in content]
    assert found + [name for name, text in said.items() if secret in text] == []
    assert not (ROOT / "cdktf.log").exists()


@pytest.mark.cli
def test_what_a_deploy_writes_is_for_its_owner_alone_whatever_the_umask(deployed: Deployed) -> None:
    project = deployed.project
    made = (project.state(), project.out, project.stack(), *(project.directory / "logs").iterdir())
    below = [path for path in project.out.rglob("*") if path.is_dir() and not path.is_symlink()]
    assert len(made) >= 5
    assert [str(path) for path in (*made, *below) if path.stat().st_mode & 0o077] == []
