"""From nothing to a token: what `agents init` writes, run on the node, makes one that may do exactly what a deploy needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from pve_agents import load_settings
from pve_agents.node_api import access
from pve_agents.node_stock import Stock
from pve_agents.operator import project
from pve_agents.privileges import Wanted, check
from tests.in_process import run_agents
from tests.virtual_node.client import Client
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

LINE = re.compile(r"^PROXMOX_VE_API_TOKEN=terraform@pve!deploy=[0-9a-f-]{36}$", re.MULTILINE)


class Newcomer:
    """Somebody with nothing but a node."""

    def __init__(self, directory: Path, node: VirtualNode) -> None:
        self.directory, self.home, self.node = directory / "project", directory / "home", node
        self.directory.mkdir()
        self.home.mkdir()

    def init(self, *options: str) -> None:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"]}
        done = run_agents("init", "--yes", *options, env=environment)
        assert (done.returncode, done.stderr) == (0, "")

    def run_script(self) -> str:
        """As the command that is said: into the standard input of bash on the node. What it says goes nowhere else."""
        script = (self.directory / "build" / "token.sh").read_text()
        done = subprocess.run(
            ["ssh", "root@127.0.0.1", "bash", "-s"],
            input=script,
            env={**os.environ, **self.node.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return done.stdout

    def put_into_env(self, line: str) -> None:
        file = self.directory / ".env"
        text = f"{file.read_text()}{line}\n"
        # Where the node really is, no newcomer of a test can say.
        file.write_text(
            re.sub(r"^PROXMOX_VE_ENDPOINT=.*$", f"PROXMOX_VE_ENDPOINT={self.node.pve.url}", text, flags=re.MULTILINE)
        )

    @property
    def variables(self) -> dict[str, str]:
        return {name: str(value) for name, value in dotenv_values(self.directory / ".env").items()}

    def lacks(self) -> list[str]:
        """What the token of .env lacks for all agents."""
        agents = load_settings(self.directory).agents.values()
        return [need.sentence for agent in agents for need in check(access(self.variables), Wanted.by(agent))]


@pytest.fixture
def newcomer(tmp_path: Path, virtual_node: VirtualNode, monkeypatch: pytest.MonkeyPatch) -> Newcomer:
    virtual_node.without_token()
    it = Newcomer(tmp_path, virtual_node)
    monkeypatch.setattr(project, "DIRECTORY", it.directory)
    return it


def test_the_scripts_line_in_env_is_a_token_that_suffices(newcomer: Newcomer, virtual_node: VirtualNode) -> None:
    newcomer.init()
    said = newcomer.run_script()
    (line,) = LINE.findall(said)
    # It is put behind .env as it comes.
    assert said == f"{line}\n"
    newcomer.put_into_env(line)
    assert newcomer.lacks() == []
    # And the bridge, which no check of privileges sees, in the zone that the script has found.
    assert Stock(access(newcomer.variables)).bridges("gihyeon") == {"intra01"}
    assert ("/sdn/zones/intra/intra01", {"SDN.Use"}) in virtual_node.pve.acl["terraform@pve"]


def test_a_plain_bridge_is_in_the_zone_localnetwork(newcomer: Newcomer, virtual_node: VirtualNode) -> None:
    newcomer.init("--bridge", "vmbr0")
    (line,) = LINE.findall(newcomer.run_script())
    newcomer.put_into_env(line)
    assert Stock(access(newcomer.variables)).bridges("gihyeon") == {"vmbr0"}
    assert ("/sdn/zones/localnetwork/vmbr0", {"SDN.Use"}) in virtual_node.pve.acl["terraform@pve!deploy"]


def test_the_token_has_no_more_than_a_deploy_needs(newcomer: Newcomer, virtual_node: VirtualNode) -> None:
    newcomer.init()
    newcomer.run_script()
    of_user, of_token = (virtual_node.pve.acl[name] for name in ("terraform@pve", "terraform@pve!deploy"))
    assert of_user == of_token
    assert virtual_node.pve.separated == {"terraform@pve!deploy"}
    # A deploy is known to fail without any of these (test_virtual_node.py).
    held = {path: set(privileges) for path, privileges in of_token}
    assert held == {
        "/vms": {"VM.Allocate", "VM.Audit", "VM.PowerMgmt", *(f"VM.Config.{it}" for it in ["CPU", "Disk", "Memory", "Network", "Options"])},
        "/storage/local-lvm": {"Datastore.AllocateSpace"},
        "/storage/local": {"Datastore.AllocateTemplate", "Datastore.Audit"},
        "/nodes/gihyeon": {"Sys.AccessNetwork"},
        "/sdn/zones/intra/intra01": {"SDN.Use"},
    }  # fmt: skip


def test_a_second_run_changes_nothing_and_says_how_to_get_a_new_secret(
    newcomer: Newcomer, virtual_node: VirtualNode
) -> None:
    newcomer.init()
    (line,) = LINE.findall(newcomer.run_script())
    newcomer.put_into_env(line)
    acl = {who: list(entries) for who, entries in virtual_node.pve.acl.items()}

    assert newcomer.run_script() == ""
    assert virtual_node.pve.acl == acl
    assert newcomer.lacks() == []
    # What it says works: another secret, with the same privileges.
    (command,) = re.findall(r"^  (pveum user token remove .*)$", newcomer.said, re.MULTILINE)
    assert virtual_node.paste(f"{command}\n").returncode == 0
    (another,) = LINE.findall(newcomer.run_script())
    assert another != line
    newcomer.put_into_env(another)
    assert newcomer.lacks() == []


def test_a_role_with_less_than_it_takes_gets_the_rest(newcomer: Newcomer, virtual_node: VirtualNode) -> None:
    virtual_node.pve.roles["AgentContainer"] = {"VM.Audit", "VM.Console"}
    newcomer.init()
    (line,) = LINE.findall(newcomer.run_script())
    newcomer.put_into_env(line)
    assert newcomer.lacks() == []
    # What somebody else has put there stays.
    assert "VM.Console" in virtual_node.pve.roles["AgentContainer"]


def test_the_secret_is_shown_though_something_fails_after_it_was_made(
    newcomer: Newcomer, virtual_node: VirtualNode
) -> None:
    newcomer.init()
    virtual_node.pve.fail("PUT", "/access/acl", 500, "cluster not ready - no quorum?")
    script = (newcomer.directory / "build" / "token.sh").read_text()
    done = virtual_node.paste(script)
    assert done.returncode != 0
    assert "no quorum" in done.stderr
    assert LINE.search(done.stdout)


def test_a_token_has_only_what_its_user_has_too(virtual_node: VirtualNode) -> None:
    """The rule of Proxmox VE that the script's every line is given twice for."""
    root = Client(virtual_node.pve.url, login=("root@pam", virtual_node._password), insecure=True)
    root.request("POST", "/access/roles", {"roleid": "Looks", "privs": "VM.Audit"})
    made = root.request("POST", "/access/users/audit@pve/token/new", {"privsep": "1"})
    root.request("PUT", "/access/acl", {"path": "/vms", "roles": "Looks", "tokens": "audit@pve!new"})
    assert virtual_node.pve.allowed("audit@pve!new", "/vms/118", "VM.Audit")
    # Its user has this on all of it, and nobody has given it to the token.
    assert not virtual_node.pve.allowed("audit@pve!new", "/nodes/gihyeon", "Sys.Audit")
    root.request("POST", "/access/users/terraform@pve/token/other", {"privsep": "1"})
    root.request("POST", "/access/roles", {"roleid": "Opens", "privs": "VM.Console"})
    root.request("PUT", "/access/acl", {"path": "/vms", "roles": "Opens", "tokens": "terraform@pve!other"})
    assert not virtual_node.pve.allowed("terraform@pve!other", "/vms/118", "VM.Console")
    assert made["value"]
