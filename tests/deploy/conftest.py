"""What the deploy tests share: a virtual node, and a project on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_agents.host import terminal
from tests.deploy import programs
from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode
from tests.virtual_node.session import behind_a_door


@pytest.fixture(scope="session", autouse=True)
def door() -> Iterator[None]:
    """One process for every ssh of the session: to start one takes longer than what most of them do."""
    with behind_a_door("from tests.virtual_node.host import door; door(number)", "-S") as port:
        os.environ["VIRTUAL_NODE_DOOR"] = port
        yield


@pytest.fixture(scope="session", autouse=True)
def prepared_programs() -> Iterator[None]:
    """One process for every program of the project's own that a test starts without the cdktf CLI."""
    with programs.prepared() as folder:
        os.environ["PREPARED_PROGRAMS"] = str(folder)
        yield


@pytest.fixture(autouse=True)
def quick_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in those programs."""
    monkeypatch.setattr(terminal, "_QUIET_SECONDS", programs.QUIET_SECONDS)


@pytest.fixture
def virtual_node(tmp_path: Path) -> Iterator[VirtualNode]:
    """A Proxmox VE node of the test's own, running."""
    with VirtualNode(tmp_path / "virtual-node", serves_providers=True) as node:
        yield node


@pytest.fixture
def project(tmp_path: Path, virtual_node: VirtualNode) -> Project:
    """The default homelab, not yet synthesized."""
    return Project(tmp_path / "project", virtual_node)
