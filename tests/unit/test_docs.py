"""What the pages say is there: links, commands and settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pve_agents import load_settings

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# `pipenv run` and the README's `asroot` start these without a script of the Pipfile's.
OF_THE_ENVIRONMENT = {"env", "pytest", "python", "scripts", "terraform"}


def anchors(page: Path) -> set[str]:
    """As the site that shows the pages makes them of headings."""
    text = FENCED.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in headings}


def named(page: Path) -> str:
    return str(page.relative_to(PROJECT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_something(page: Path) -> None:
    for target, anchor in LINK.findall(FENCED.sub("", page.read_text())):
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    scripts = (PROJECT / "Pipfile").read_text().partition("[scripts]")[2]
    known = set(re.findall(r"^([a-z]+) = ", scripts, re.MULTILINE)) | OF_THE_ENVIRONMENT
    text = page.read_text()
    said = set(re.findall(r"(?:pipenv run|(?<![\w.])asroot) ([a-z][a-z-]*)", re.sub(r"`asroot` \w+", "", text)))
    assert said - {"was", "in", "or", "left"} <= known
    makes = set(re.findall(r"`make ([a-z]+)`", text))
    assert makes <= set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def settings_of(page: Path) -> Iterator[str]:
    for language, text in FENCED.findall(page.read_text()):
        if language == "yaml" and text.startswith("agents:"):
            yield text


@pytest.mark.parametrize("page", [it for it in PAGES if [*settings_of(it)]], ids=named)
def test_settings_that_a_page_shows_are_accepted(page: Path, tmp_path: Path) -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIGxvbmctZW5vdWdoLWZvci1hLXRlc3QtMDEyMzQ1"
    for text in settings_of(page):
        shown = yaml.safe_load(text.replace("AAAA…", key))
        for agent in shown["agents"].values():
            agent.setdefault("vmid", 118)
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(shown))
        assert load_settings(tmp_path).agents


def test_the_commands_that_were_proven_are_on_the_page() -> None:
    """The report: README's "What was proven" named commands that are not there."""
    page, _, proven = (PROJECT / "README.md").read_text().partition("## What was proven")
    row = next(line for line in proven.splitlines() if "commands on this page" in line)
    for name in re.findall(r"`(\w+)`", row.partition(" commands on this page")[0].rpartition("the demo")[2]):
        assert re.search(rf"(?:^|`)(?:asroot|pipenv run) {name} ", page, re.MULTILINE), name


def test_the_limit_that_a_message_names_is_the_one_that_holds() -> None:
    """The report: "did not arrive within 50 minutes", where the bootstrap as a whole has 30."""
    minutes = re.search(
        r"^_PULL_MINUTES = ([0-9]+)$",
        (PROJECT / "constructs" / "pve_agents" / "guest" / "images.py").read_text(),
        re.MULTILINE,
    )
    whole = re.search(
        r"_BOOTSTRAP_SECONDS, _CHECKS_SECONDS = ([0-9]+)",
        (PROJECT / "constructs" / "pve_agents" / "root_spec.py").read_text(),
    )
    assert minutes
    assert whole
    assert int(minutes[1]) * 60 < int(whole[1])
    assert f"did not arrive within {minutes[1]} minutes" in (PROJECT / "docs" / "runbook.md").read_text()


def test_every_test_that_a_page_names_is_there() -> None:
    tests = "\n".join(path.read_text() for path in (PROJECT / "tests").rglob("*.py"))
    named_tests = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", page.read_text())}
    assert [name for name in sorted(named_tests) if f"def {name}(" not in tests] == []


def test_the_security_page_shows_all_that_ever_runs_as_root_on_a_first_deploy() -> None:
    (snapshot,) = (PROJECT / "tests" / "deploy" / "__snapshots__" / "test_root_transcript").glob("*first_deploy*.json")
    ran = [line.removeprefix("$ ") for line in json.loads(snapshot.read_text())["first deploy"]]
    page = (PROJECT / "docs" / "security.md").read_text()
    shown = re.findall(r"```sh\n(.*?)```", page.partition("first deploy of the default")[2], re.DOTALL)[0].splitlines()

    def short(line: str) -> str:
        line = re.sub(r"^timeout -k 30 [0-9]+ |  # .*", "", line).rstrip()
        # What runs inside is a script of several lines, and hashes change with every version.
        return re.sub(r"env -i .*", "env -i …", line)

    assert [short(line) for line in shown] == [short(line) for line in ran]
