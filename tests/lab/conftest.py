"""One lab for all cases, with Hermes deployed in it from nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.lab import lab as the_lab
from tests.lab.lab import Lab
from tests.lab.sandbox import INSIDE

_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def empty_lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """The running lab, in which nothing may be deployed yet."""
    if not os.environ.get(INSIDE):
        pytest.skip("the lab has a sandbox of its own: run `make lab`")
    with the_lab.running() as lab:
        lab.services.wait()
        yield lab
        tables = [f"\n{title}:\n{table}" for title, table in lab.tables.items()]
        phases = [lab.phases.summary()] if lab.phases.first else []
        pytestconfig.stash[_SUMMARY] = "\n".join([*phases, *tables])


@pytest.fixture(scope="session")
def lab(empty_lab: Lab) -> Lab:
    """The lab with Hermes in it; its first deploy is the one that is measured."""
    try:
        empty_lab.first_deploy()
    except AssertionError as error:
        # Once, and not once a case.
        pytest.exit(f"the first deploy failed:\n{error}\n{empty_lab.last_words()}", returncode=1)
    return empty_lab


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show how long the phases took."""
    if summary := config.stash.get(_SUMMARY, ""):
        terminalreporter.section("the lab's phases")
        terminalreporter.write_line(summary)
