"""What the deploy tests share: a virtual node, and a project on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode


@pytest.fixture
def virtual_node(tmp_path: Path) -> Iterator[VirtualNode]:
    """A Proxmox VE node of the test's own, running."""
    with VirtualNode(tmp_path / "virtual-node", serves_providers=True) as node:
        yield node


@pytest.fixture
def project(tmp_path: Path, virtual_node: VirtualNode) -> Project:
    """The default homelab, not yet synthesized."""
    return Project(tmp_path / "project", virtual_node)
