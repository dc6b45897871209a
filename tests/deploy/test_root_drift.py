"""agents drift against a node: what differs there, which no plan can see, and nothing is changed by looking."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy.project import FAST, HDD, HERMES_ROOT, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

LXC = "/nodes/gihyeon/lxc/118"


def test_each_difference_is_one_line_until_the_next_run_takes_it_back(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.create_container()
    project.synthesize()
    project.apply(stack=HERMES_ROOT)
    assert project.agents("drift").code == 0
    virtual_node.make_directory(HDD, "0:0", "750")
    virtual_node.make_directory(FAST, "110000:110000", "777")
    virtual_node.api("PUT", f"{LXC}/config", delete="mp1", mp0=f"{HDD},mp=/elsewhere,replicate=0")
    virtual_node.api("POST", f"{LXC}/status/reboot")
    virtual_node.set_config(118, features="nesting=1")
    virtual_node.guest(118, "/opt/pve-agents/hermes/.sha256").write_text(f"{'0' * 64}\n")
    virtual_node.forget_host_changes()
    virtual_node.mutations.clear()

    checked = project.agents("drift", "hermes", ok=False)

    assert checked.code == 1
    differences = [
        f"# {HDD} is to belong to 110000:110000, not to 0:0",
        f"# {FAST} is to have the mode 0750, not 0777",
        f"# mp0 is {HDD},mp=/elsewhere,replicate=0; mp1 is not there; features is nesting=1",
        "# the running container gets its mp0 only at a start",
        f"# the payload there is {'0' * 12}, and is to be ",
        "# the container is to be what its payload and its secrets say",
        "6 would change",
    ]
    found = [line.removeprefix("[hermes] ") for line in checked.raw.splitlines()]
    commands = [line for line in found if not line.startswith("# ")]
    found = [line for line in found if line.startswith("# ")] + commands[-1:]
    # How long a line is that ends in a hash, only the start says.
    assert [line[: len(wanted)] for line, wanted in zip(found, differences, strict=True)] == differences
    assert [line.partition(" --mp0")[0] for line in commands[:4]] == [
        f"(cd -P -- {HDD} && chown 110000:110000 .)",
        f"(cd -P -- {FAST} && chmod 0750 .)",
        "pct set 118",
        "pct reboot 118 --timeout 180",
    ]
    # What Terraform cannot see, it does not say: that is what the check is for.
    assert project.plan(stack=HERMES_ROOT).actions == {}
    assert (virtual_node.host_changes, virtual_node.mutations) == ([], [])

    project.agents("mend", "hermes")
    assert project.agents("drift").code == 0


def test_a_value_that_waits_since_a_reboot_got_lost_is_seen_and_the_remedy_brings_it(
    project: Project, virtual_node: VirtualNode
) -> None:
    bare: dict[str, Any] = {"hermes": None, "mounts": {}, "keyctl": False}
    project.deploy(**bare)
    project.configure(**bare, dns={"servers": ["10.0.0.53"]})
    project.synthesize()
    virtual_node.pve.fail("POST", f"{LXC}/status/reboot", 596, "Broken pipe")
    (error,) = project.apply(ok=False).errors
    assert "596" in error
    virtual_node.pve.failures.clear()
    # The provider compares with what the next start will use.
    assert project.apply().actions == {}
    assert virtual_node.pve.ct(118).pending == {"nameserver": "10.0.0.53"}

    look = ("drift", "--only", "container-config")
    checked = project.agents(*look, ok=False)

    assert checked.code == 1
    remedy = re.search(r"nameserver waits for a start: run `([^`]+)` on gihyeon", checked.text)
    assert remedy
    project.run("ssh", "root@127.0.0.1", remedy[1])
    assert virtual_node.pve.ct(118).config["nameserver"] == "10.0.0.53"
    assert project.agents(*look).code == 0


def test_an_unreached_node_is_the_worst_answer(project: Project) -> None:
    project.create_container()
    project.env["PVE_SSH"] = "root@elsewhere"

    assert project.agents("drift", ok=False).code == 4
