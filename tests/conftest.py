"""Tests that need Terraform, where there is none."""

from __future__ import annotations

import os
import shutil

import pytest

MISSING = "neither terraform nor tofu is on PATH"
REMEDY = "get one from https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install"


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
