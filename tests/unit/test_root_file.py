"""A command of root's that a message names works as it is printed: with `pipenv run`, which reads .env alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pve_agents.environment import ROOT_FILE, as_root
from pve_agents.operator.main import agents
from tests.unit.host.ssh import Root, serving
from tests.unit.test_steps import SECRETS, Steps

PROJECT = Path(__file__).parents[2]
# What `pipenv run` brings: .env, for the stacks of the token.
OF_THE_TOKEN = {
    "PROXMOX_VE_API_TOKEN": "terraform@pve!deploy=secret",
    "PROXMOX_VE_ENDPOINT": "https://gihyeon.home.arpa:8006",
}


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    with serving(tmp_path / "operator", Root()) as ssh:
        yield Steps(tmp_path, ssh)


def root_file(home: Path, text: str, mode: int = 0o600) -> Path:
    file = home / ROOT_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


def test_mend_and_secrets_find_roots_own_file(steps: Steps, tmp_path: Path) -> None:
    """The report: `pipenv run agents mend` fails for want of PVE_SSH, which is in root.env."""
    del steps.env["PVE_SSH"]
    assert "PVE_SSH is not set" in steps("mend", "hermes", HOME=str(tmp_path)).stderr
    root_file(tmp_path, "# root's way in\nHERMES_ENV_FILE=~/hermes.env\nPVE_SSH='root@10.1.10.10'\n")
    (tmp_path / "hermes.env").touch(mode=0o600)
    (tmp_path / "hermes.env").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    done = steps("mend", "--only", "host-directories", "hermes", HOME=str(tmp_path), **OF_THE_TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert steps.ran()[0] == "mkdir -m 0750 -- /mnt/pve/hdd/hermes"


def test_root_gets_no_token_of_the_api(steps: Steps) -> None:
    """Not even where it was left out: .env is read by pipenv before."""
    assert steps("mend", "--only", "host-directories", "hermes", **OF_THE_TOKEN).returncode == 0
    assert "PROXMOX_VE_API_TOKEN" not in steps.ssh.noted("environment")


def test_roots_file_that_others_can_read_is_refused_with_what_closes_it(steps: Steps, tmp_path: Path) -> None:
    del steps.env["PVE_SSH"]
    file = root_file(tmp_path, "PVE_SSH=root@node\n", 0o644)
    done = steps("mend", HOME=str(tmp_path))
    assert (done.returncode, steps.ran()) == (2, [])
    found = re.fullmatch(r"(\S+) can be read by others \(mode 0644\): run `chmod 600 (\S+)`\.\n", done.stderr)
    assert found
    Path(found[2]).chmod(0o600)
    assert steps("mend", "--only", "host-directories", HOME=str(tmp_path)).returncode == 0
    assert found[1] == str(file)


def test_what_was_said_before_the_command_wins_over_roots_file(tmp_path: Path) -> None:
    root_file(tmp_path, "HERMES_ENV_FILE=of-the-file\nPROXMOX_VE_ENDPOINT=https://of-root:8006\nPVE_TRANSPORT=paste\n")
    got = as_root({"HOME": str(tmp_path), "HERMES_ENV_FILE": "stated", **OF_THE_TOKEN})
    assert got["HERMES_ENV_FILE"] == "stated"
    # The endpoint that root watches may be another one than .env's.
    assert got["PROXMOX_VE_ENDPOINT"] == "https://of-root:8006"
    assert got["PVE_TRANSPORT"] == "paste"


@pytest.mark.parametrize("name", ["PVE_SSH", "PVE_TRANSPORT", "PIPENV_DOTENV_LOCATION"])
def test_roots_file_is_not_looked_at_where_the_way_is_known(tmp_path: Path, name: str) -> None:
    root_file(tmp_path, "PVE_READ_TOKEN=x\n", 0o644)
    stated = {"HOME": str(tmp_path), name: "x"}
    assert as_root(stated) == stated


@pytest.mark.parametrize("page", ["README.md", "docs/node.md", "docs/cdktf.md"])
def test_a_page_has_roots_file_where_it_is_looked_for(page: str) -> None:
    assert f"~/{ROOT_FILE}" in (PROJECT / page).read_text()


PRINTED = re.compile(r"(?:pipenv run |`)agents ([a-z-]+)")


def test_every_command_that_a_message_names_is_one_of_the_projects() -> None:
    known = set(agents.list_commands(click.Context(agents)))
    texts = [*(PROJECT / "scripts").rglob("*"), *(PROJECT / "constructs").rglob("*.py")]
    said = {
        name for path in texts if path.is_file() and path.suffix != ".pyc" for name in PRINTED.findall(path.read_text())
    }
    assert {"mend", "secrets"} < said
    assert said <= known
