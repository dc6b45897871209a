"""What the app says, and how it exits, when its input is wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CREDENTIALS = (
    *("PROXMOX_VE_API_TOKEN", "PROXMOX_VE_PASSWORD", "PVE_READ_TOKEN", "PVE_SSH", "HERMES_ENV_FILE", "LITELLM_API_KEY"),
    *("TELEGRAM_BOT_TOKEN", "API_SERVER_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "TF_HTTP_PASSWORD"),
)

PROJECT = Path(__file__).parent.parent.parent


def run(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "main.py"],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def project_without(directory: Path, missing: str) -> Path:
    """A checkout in which a generated folder is not there."""
    for name in ("main.py", "stacks"):
        source = PROJECT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, directory / name)
    assert not (directory / missing).exists()
    return directory


def test_good_settings_are_synthesized_in_silence(tmp_path: Path) -> None:
    done = run(PROJECT, CDKTF_OUTDIR=str(tmp_path / "cdktf.out"), HOMELAB_FILE="homelab.example.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "cdktf.out" / "stacks" / "hermes" / "cdk.tf.json").exists()


def test_a_synth_looks_neither_for_docstrings_nor_for_plugins_nor_for_software_that_is_not_stated(
    tmp_path: Path,
) -> None:
    (tmp_path / "homelab.yaml").write_text("agents: {scribe: {vmid: 119}}\n")
    script = """if True:
        import ast, importlib.metadata, runpy, sys

        def refuse(*args: object, **named: object) -> None:
            raise AssertionError("not at a synth")

        ast.parse = importlib.metadata.entry_points = refuse
        try:
            runpy.run_path("main.py", run_name="__main__")
        except SystemExit as end:
            print(end.code, [it for it in sys.modules if "hermes" in it])
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env={
            **os.environ,
            "CDKTF_OUTDIR": str(tmp_path / "cdktf.out"),
            "HOMELAB_FILE": str(tmp_path / "homelab.yaml"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("0 []\n", "")


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What is written where everybody may read and write what is made, and the environment that Node was started with."""
    directory = tmp_path_factory.mktemp("synthesized")
    node = directory / "node"
    node.write_text(f'#!/bin/sh\nenv >"{directory}/environment"\nexec node "$@"\n')
    node.chmod(0o755)
    given = dict.fromkeys(CREDENTIALS, "of-nobodys-business")
    settings = {"HOMELAB_FILE": "homelab.example.yaml", "HOMELAB_AGENTS__HERMES__DESCRIPTION": "with its own key"}
    before = os.umask(0)
    try:
        done = run(PROJECT, CDKTF_OUTDIR=str(directory / "cdktf.out"), JSII_NODE=str(node), **settings, **given)
    finally:
        os.umask(before)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (line.partition("=") for line in (directory / "environment").read_text().splitlines())
    return directory / "cdktf.out", {name: value for name, _, value in lines}


def test_what_is_synthesized_is_for_its_owner_alone_whatever_the_umask(
    synthesized: tuple[Path, dict[str, str]],
) -> None:
    # A copied script keeps its own mode, behind directories that nobody else enters.
    copies = {path.name for path in (PROJECT / "scripts").rglob("*")}
    written = [synthesized[0], *(path for path in synthesized[0].rglob("*") if path.name not in copies)]
    assert {"cdk.tf.json", "assets", "manifest.json"} <= {path.name for path in written}
    assert [str(path) for path in written if path.stat().st_mode & 0o077] == []


def test_node_gets_no_credential(synthesized: tuple[Path, dict[str, str]]) -> None:
    environment = synthesized[1]
    assert environment.keys() & set(CREDENTIALS) == set()
    assert "HOMELAB_AGENTS__HERMES__DESCRIPTION" in environment


def test_bad_settings_are_one_sentence_each_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text("agents: {hermes: {vmid: 99, hostname: -x}}\n")
    done = run(PROJECT, CDKTF_OUTDIR=str(tmp_path / "cdktf.out"), HOMELAB_FILE=str(tmp_path / "homelab.yaml"))
    assert done.returncode == 2
    assert done.stdout == ""
    vmid, hostname = done.stderr.splitlines()
    assert vmid.endswith("agents.hermes.vmid: 99 is not a VMID; write a whole number from 100 to 999999999.")
    assert "agents.hermes.hostname: " in hostname
    assert not (tmp_path / "cdktf.out").exists()


def test_missing_bindings_name_the_command_that_makes_them(tmp_path: Path) -> None:
    done = run(project_without(tmp_path, "imports"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The Python package imports is missing: run `make bindings`.\n"


def test_what_a_construct_refuses_is_one_sentence_too(tmp_path: Path) -> None:
    project = project_without(tmp_path, "homelab.yaml")
    (project / "imports").symlink_to(PROJECT / "imports")
    (project / "scripts").symlink_to(PROJECT / "scripts")
    (project / "cdktf.json").symlink_to(PROJECT / "cdktf.json")
    stack = project / "stacks" / "agent.py"
    stack.write_text(
        stack.read_text().replace(
            "        outputs = {",
            '        container.resource.add_override("features.keyctl", True)\n        outputs = {',
        )
    )
    done = run(project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "the feature flag keyctl cannot be set by the stack hermes: Proxmox VE allows it to root@pam only and refuses "
        "every API token; it belongs to the stack hermes-root\n"
    )
