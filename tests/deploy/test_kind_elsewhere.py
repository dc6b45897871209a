"""A kind of agent in a folder of its own is deployed like any other: no file outside of that folder knows it."""

from __future__ import annotations

import json

import pytest

from tests.deploy.project import Project
from tests.own_kind import echoing, write_kind
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

AGENT = {"vmid": 119, "mounts": {"mp0": {"host_path": "/mnt/pve/hdd/librarian", "guest_path": "/data"}}}


@pytest.mark.cli
def test_an_agent_of_a_kind_that_lies_elsewhere_is_deployed_and_proves_itself(
    project: Project, virtual_node: VirtualNode
) -> None:
    folder = write_kind(project.directory / "kinds")
    secrets = project.directory / "librarian.env"
    secrets.write_text("ECHO_TOKEN=0123456789abcdef\n")
    secrets.chmod(0o600)
    project.env |= {"AGENT_KINDS_PATH": str(folder.parent), "LIBRARIAN_ENV_FILE": str(secrets)}
    options = ("--auto-approve", "--skip-provider-lock", "--output", str(project.out))
    verify = ("verify", "--json", "librarian")

    with echoing() as port:
        project.configure({"librarian": {**AGENT, "echo": {"port": port}}})
        project.run(ROOT / "scripts" / "cdktf", "deploy", "librarian", "librarian-root", *options)
        well = json.loads(project.agents(*verify).raw)["agents"]["librarian"]["checks"]
    unwell = json.loads(project.agents(*verify, ok=False).raw)["agents"]["librarian"]["checks"]
    refused = project.agents("mend", "librarian", ok=False).text

    assert virtual_node.guest(119, "/opt/pve-agents/librarian/echo.conf").read_text() == f"port = {port}\n"
    assert virtual_node.guest(119, "/etc/pve-agents/librarian.env").read_text() == "ECHO_TOKEN=0123456789abcdef\n"
    assert {it["name"]: it["status"] for it in well}["echo"] == "ok"
    assert [it["name"] for it in unwell if it["status"] == "failed"] == ["echo"]
    assert f"nothing answers at port {port} ([Errno 111] Connection refused). What to do: start the echo" in refused
