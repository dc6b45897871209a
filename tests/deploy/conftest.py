"""What the deploy tests share: a virtual node, and a project on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import ROOT, VirtualNode


@pytest.fixture(scope="session", autouse=True)
def door() -> Iterator[None]:
    """One process for every ssh of the session: to start one takes longer than what most of them do."""
    address = f"virtual-node-door-{os.getpid()}"
    program = f"from tests.virtual_node.host import door; door({address!r})"
    command = [sys.executable, "-P", "-S", "-c", program]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE) as process:
        os.environ["VIRTUAL_NODE_DOOR"] = address
        yield
        # It ends with its standard input.
        process.communicate()


@pytest.fixture
def virtual_node(tmp_path: Path) -> Iterator[VirtualNode]:
    """A Proxmox VE node of the test's own, running."""
    with VirtualNode(tmp_path / "virtual-node", serves_providers=True) as node:
        yield node


@pytest.fixture
def project(tmp_path: Path, virtual_node: VirtualNode) -> Project:
    """The default homelab, not yet synthesized."""
    return Project(tmp_path / "project", virtual_node)
