"""agents verify against a node: its own look, and what an agent writes in the container shows on the host."""

from __future__ import annotations

import json
from typing import Any

from tests.deploy.project import FAST, HDD, Project
from tests.virtual_node.node import VirtualNode

LXC = "/nodes/gihyeon/lxc/118"

# In the place of the payload's own, which needs Docker: an agent that writes as the user of its workspaces.
GUEST_VERIFY = r"""#!/bin/sh
cd "$(dirname "$0")"
while IFS=' ' read -r access owner path; do
  [ "$access" = write ] || continue
  probe=$path/.pve-agents-probe-$2
  case $1 in
  workspace-write)
    if setpriv --reuid "${owner%:*}" --regid "${owner#*:}" --clear-groups touch "$probe" 2>/dev/null; then
      printf 'probe\t%s\tok\t1\t\n' "$path"
    else
      printf 'probe\t%s\tfailed\t1\tpermission denied\n' "$path"
    fi
    ;;
  workspace-remove) rm -f "$probe" ;;
  esac
done <workspaces
[ -n "$1" ] || printf 'check\tdocker\tok\t1\tDocker 28.1.1\t\n'
"""


def deployed(project: Project, node: VirtualNode) -> None:
    project.create_container()
    # All but the bootstrap, which needs Docker.
    project.agents(
        "mend", *(f"--only={step}" for step in ("host-directories", "container-config", "payload")), "hermes"
    )
    node.guest(118, "/opt/pve-agents/hermes/workspaces").write_text(
        "write 10000:10000 /data\nwrite 10000:10000 /fast\n"
    )
    file = node.guest(118, "/opt/pve-agents/hermes/verify")
    file.write_text(GUEST_VERIFY)
    file.chmod(0o755)
    node.forget_host_changes()
    node.mutations.clear()


def verified(project: Project, code: int) -> list[dict[str, Any]]:
    ran = project.agents("verify", "--json", "hermes", ok=None)
    assert ran.code == code, ran.raw
    checks: list[dict[str, Any]] = json.loads(ran.raw[ran.raw.index("{") :])["agents"]["hermes"]["checks"]
    return checks


def test_what_the_agent_writes_shows_on_the_host(project: Project, virtual_node: VirtualNode) -> None:
    deployed(project, virtual_node)

    checks = verified(project, 0)

    assert [(check["name"], check["status"], check["detail"]) for check in checks] == [
        ("container", "ok", "running on gihyeon"),
        ("config", "ok", "mp0, mp1, features"),
        ("host directories", "ok", f"{HDD}, {FAST}"),
        ("payload", "ok", "/opt/pve-agents/hermes"),
        ("docker", "ok", "Docker 28.1.1"),
        ("workspace /data", "ok", f"shows in {HDD} as 110000:110000"),
        ("workspace /fast", "ok", f"shows in {FAST} as 110000:110000"),
    ]
    # Two probes come and go, and that is all.
    assert len(virtual_node.host_changes) == 4
    assert all(".pve-agents-probe-" in str(change) for change in virtual_node.host_changes)
    assert virtual_node.mutations == []
    assert [list(virtual_node.host.real(path).iterdir()) for path in (HDD, FAST)] == [[], []]


def test_each_cause_has_its_check_and_hides_no_other(project: Project, virtual_node: VirtualNode) -> None:
    deployed(project, virtual_node)
    virtual_node.make_directory(HDD, "0:0", "750")
    virtual_node.api("PUT", f"{LXC}/config", delete="mp1")
    virtual_node.api("POST", f"{LXC}/status/reboot")
    virtual_node.set_config(118, features="nesting=1")
    virtual_node.guest(118, "/opt/pve-agents/hermes/.sha256").write_text(f"{'0' * 64}\n")

    checks = verified(project, 1)

    failed = [(check["name"], check["detail"][:100]) for check in checks if check["status"] == "failed"]
    differences = [
        ("config", "would change: mp1 is not there; features is nesting=1"),
        ("host directories", f"would change: {HDD} is to belong to 110000:110000, not to 0:0"),
        ("payload", "would change: payload 000000000000 to "),
        ("workspace /data", "the agent cannot write there: permission denied"),
        ("workspace /fast", "the agent cannot write there: permission denied"),
    ]
    assert [(name, detail[: len(wanted)]) for (name, detail), (_, wanted) in zip(failed, differences, strict=True)] == (
        differences
    )
    assert {check["name"]: check["status"] for check in checks}["docker"] == "ok"


def test_a_node_that_is_not_reached_is_not_well(project: Project) -> None:
    project.env["PVE_SSH"] = "root@elsewhere"
    ran = project.agents("verify", "hermes", ok=False)
    assert ran.code == 4
    assert "ssh to root@elsewhere failed" in ran.text
    assert "hermes: 1 check, 1 failed" in ran.text
