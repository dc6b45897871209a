"""What the pages say is there: links, commands and settings."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml

from pve_agents import load_settings
from pve_agents.operator.main import agents
from pve_agents.privileges import Wanted, lacking

PROJECT = Path(__file__).parents[2]
PAGES = [
    *(PROJECT / it for it in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# `pipenv run` starts these without a script of the Pipfile's.
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
    known = {*re.findall(r"^([a-z]+) = ", scripts, re.MULTILINE), "agents", *OF_THE_ENVIRONMENT}
    text = page.read_text()
    assert set(re.findall(r"pipenv run ([a-z][a-z-]*)(?![a-z-]*…)", text)) <= known
    makes = set(re.findall(r"`make ([a-z]+)`", text))
    assert makes <= set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def commands_of(page: Path) -> Iterator[str]:
    """What stands behind `agents`, in a block or within a line."""
    text = page.read_text()
    for language, block in FENCED.findall(text):
        if language == "sh":
            for line in block.splitlines():
                if found := re.search(r"(?:pipenv run|scripts/)[ ]?agents(?: |$)(?P<rest>[^#>|&']*)", line):
                    yield found["rest"]
    yield from re.findall(r"`(?:[A-Z_]+=\S+ )?(?:pipenv run )?agents ([^`]*)`", FENCED.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_agents_command_on_a_page_is_one_with_those_options(page: Path) -> None:
    # With the group's settings: a command keeps the help option it was first made with.
    context = click.Context(agents, **agents.context_settings)
    for rest in commands_of(page):
        name, *words = shlex.split(rest)
        if name == "COMMAND":
            continue
        command = agents.get_command(context, name)
        assert command, rest
        # Named in the middle of a sentence it stands for itself, without what it is about.
        if words:
            command.make_context(name, words, parent=context)


MARK = re.compile(r"<!-- (?P<what>run|not run: [^>]+) -->\n *$")
# `tf` is what the runbook calls Terraform on a stack.
OWN = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make [a-z]+|sudo make lab|(?:pipenv run|scripts/) ?[a-z/-]+.*|tf .*)(?:\s+#.*)?")
# Nobody needs a test of these.
HARMLESS = re.compile(r"(?:install|mkdir|cp|cd|nano|export) .*")


@dataclass(frozen=True)
class Block:
    """A block of a page with commands for a shell."""

    page: Path
    mark: str
    text: str

    @property
    def is_file(self) -> bool:
        """Whether it shows the lines of a file and no commands."""
        lines = [it for it in self.text.splitlines() if not it.lstrip().startswith("#")]
        return all(re.match(r"\s*[A-Z_]+=\S+(\s+#.*)?$", it) for it in lines)


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in FENCED.finditer(text):
            if found[1] == "sh":
                mark = MARK.search(text[: found.start()])
                yield Block(page, mark["what"] if mark else "", textwrap.dedent(found[2]))


def test_each_block_of_commands_is_our_own_or_run_here_or_says_why_not() -> None:
    unmarked = [it for it in blocks() if not it.mark and not it.is_file]
    strangers = [
        f"{named(it.page)}: {line}"
        for it in unmarked
        for line in it.text.splitlines()
        if line and not line.startswith("#") and not (OWN.fullmatch(line) or HARMLESS.match(line))
    ]
    assert strangers == []


@pytest.mark.parametrize(
    "block", [it for it in blocks() if it.mark == "run"], ids=lambda it: f"{named(it.page)}:{it.text[:20]}"
)
def test_a_block_that_is_marked_so_runs_twice_and_leaves_files_for_their_owner_alone(
    block: Block, tmp_path: Path
) -> None:
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    files = [it for it in tmp_path.rglob("*") if it.is_file()]
    assert files
    assert {stat.S_IMODE(it.stat().st_mode) for it in files} == {0o600}


def test_a_page_with_a_command_that_was_not_run_says_so_to_its_reader() -> None:
    """The mark itself is seen by nobody but us."""
    index = (PROJECT / "docs" / "README.md").read_text()
    assert "not run by our tests" in index.replace("\n", " ")


def test_every_page_is_in_the_index() -> None:
    index = PROJECT / "docs" / "README.md"
    listed = {(index.parent / target).resolve() for target, _ in LINK.findall(index.read_text())}
    decisions = PROJECT / "docs" / "adr"
    pages = {it for it in PAGES if it != index and it.parent != decisions}
    assert pages - listed == set()


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len((PROJECT / "README.md").read_text().splitlines()) <= 200


def test_nobody_is_told_to_write_a_shell_function_for_root() -> None:
    places = [
        *PAGES,
        *(it for top in ("constructs", "scripts", "stacks") for it in (PROJECT / top).rglob("*") if it.is_file()),
    ]
    found = [
        named(it) for it in places if b"asroot" in it.read_bytes() and it.name != "CHANGELOG.md" and it.suffix != ".pyc"
    ]
    assert found == []


def test_the_token_by_hand_may_do_exactly_what_a_deploy_needs() -> None:
    page = (PROJECT / "docs" / "node.md").read_text()
    needs = lacking(Wanted.by(load_settings(PROJECT / "docs").agents["hermes"]), lambda _: set())
    wanted = {f"give {it.role} {it.grant_path} '{' '.join(it.privileges)}'" for it in needs}
    given = set(re.findall(r"^give .*", page, re.MULTILINE))
    optional = {"give AgentTemplateDelete /storage/local 'Datastore.Allocate'"}
    assert given - optional == wanted | {"give AgentNetwork /sdn/zones/localnetwork/intra01 'SDN.Use'"}


def test_the_changelog_begins_with_the_version_that_this_is() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    versions = re.findall(
        r"^## \[?([0-9.]+)\]? - \d{4}-\d\d-\d\d$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert versions[0] == project["version"]


def test_no_hook_before_a_commit_comes_from_elsewhere() -> None:
    repos = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [it["repo"] for it in repos] == ["local"]
    lint = (PROJECT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    for hook in repos[0]["hooks"]:
        program, *_ = hook["entry"].split()
        assert hook["language"] == "system"
        assert program.startswith(".venv/bin/")
        assert f"@{Path(program).name}" in lint


def settings_of(page: Path) -> Iterator[str]:
    for language, text in FENCED.findall(page.read_text()):
        if language == "yaml" and text.startswith(("agents:", "storage:")):
            yield text


@pytest.mark.parametrize("page", [it for it in PAGES if [*settings_of(it)]], ids=named)
def test_settings_that_a_page_shows_are_accepted(page: Path, tmp_path: Path) -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIGxvbmctZW5vdWdoLWZvci1hLXRlc3QtMDEyMzQ1"
    for text in settings_of(page):
        shown = yaml.safe_load(text.replace("AAAA…", key))
        for agent in shown["agents"].values():
            agent.setdefault("vmid", 118)
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(shown))
        for name, content in re.findall(
            r"^`([\w/.]+)`:\n\n```yaml\n(.*?)```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        assert load_settings(tmp_path).agents


def test_the_commands_that_were_proven_are_all_that_there_are() -> None:
    proven = (PROJECT / "README.md").read_text().partition("## What was proven")[2]
    row = next(line for line in proven.splitlines() if "the demo, and `agents`" in line)
    names = set(re.findall(r"`(\w+)`", row.partition("| the virtual node")[0])) - {"agents"}
    assert names == set(agents.list_commands(click.Context(agents)))
    table = (PROJECT / "docs" / "README.md").read_text()
    assert names == set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE))


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
