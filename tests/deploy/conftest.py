"""What the deploy tests share: a virtual node, and a Terraform to run against it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode

MISSING = "neither terraform nor tofu is on PATH"
REMEDY = "get one from https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install"


@pytest.fixture
def virtual_node(tmp_path: Path) -> Iterator[VirtualNode]:
    """A Proxmox VE node of the test's own, running."""
    with VirtualNode(tmp_path / "virtual-node") as node:
        yield node


@pytest.fixture
def project(tmp_path: Path, virtual_node: VirtualNode) -> Project:
    """The default homelab, not yet synthesized."""
    return Project(tmp_path / "project", virtual_node)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Terraform, skip what needs it; in CI that would hide a broken setup, so fail there."""
    if item.get_closest_marker("terraform") is None or shutil.which("terraform") or shutil.which("tofu"):
        return
    if os.environ.get("CI"):
        pytest.fail(f"{MISSING}: {REMEDY}", pytrace=False)
    pytest.skip(MISSING)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly how much was not tested."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if MISSING in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} test(s) need Terraform: {MISSING}; {REMEDY}.", red=True, bold=True)
