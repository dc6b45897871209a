"""What is in a volume is not lost unasked, whatever was changed in the settings or in the web interface before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode
from tests.virtual_node.pve import NODE

pytestmark = [
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

PET: dict[str, Any] = {"kind": "pet", "volume": "scribe-home", "guest_path": "/data", "uid": 0, "gid": 0}
VOLUME: dict[str, Any] = {"kind": "volume", "guest_path": "/fast", "size_gib": 4}
OWN = "local-lvm:vm-120-disk-1"
STORAGE: dict[str, Any] = {"volumes": {"scribe-home": {"size_gib": 32}}}
UP = ("up", "--auto-approve", "--no-doctor")


@pytest.fixture
def node(virtual_node: VirtualNode) -> VirtualNode:
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    return virtual_node


def configure(project: Project, *mounts: dict[str, Any], **agent: Any) -> None:
    keyed = {f"mp{number}": it for number, it in enumerate(mounts)}
    project.configure({"scribe": {"vmid": 120, "protect": False, "mounts": keyed, **agent}})


def remembered(node: VirtualNode, volume: str = OWN) -> Path:
    probe = node.pve.volume_content(volume) / "memory"
    probe.write_text("x")
    return probe


def reboot(node: VirtualNode, vmid: int = 120) -> None:
    node.api("POST", f"/nodes/{NODE}/lxc/{vmid}/status/reboot")


def test_a_volume_that_was_detached_in_the_web_interface_stays_where_the_settings_want_it(
    project: Project, node: VirtualNode
) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    probe = remembered(node)
    # While it runs, that waits for the next start.
    node.set_config(120, delete="mp0")
    assert f"mp0 ({OWN}), which was to be detached at the next start, stays" in project.agents(*UP).text
    reboot(node)
    assert str(node.container_config(120)["mp0"]).startswith(f"{OWN},mp=/fast")
    assert "unused0" not in node.container_config(120)
    assert probe.read_text() == "x"
    assert "nothing to do" in project.agents(*UP).text


def test_one_that_was_detached_and_is_gone_from_the_settings_is_named_until_it_is_gone(
    project: Project, node: VirtualNode
) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    probe = remembered(node)
    configure(project)
    project.agents(*UP)
    node.set_config(120, delete="mp0")
    gone = f"mp0 ({OWN}), which the settings do not know, goes with all that is in it"
    assert gone in project.agents("recreate", "scribe", "--auto-approve", ok=False).text
    reboot(node)
    gone = f"unused0 ({OWN}), which the settings do not know, goes with all that is in it"
    assert gone in project.agents("recreate", "scribe", "--auto-approve", ok=False).text
    assert gone in project.agents("down", "scribe", ok=False).text
    assert probe.read_text() == "x"
    # Another one in its place is not made unasked, and what is said to be done is accepted.
    configure(project, {**VOLUME, "guest_path": "/other"})
    refused = project.agents(*UP, ok=False)
    assert f"unused0 of container 120 is the volume {OWN}, which somebody has detached" in refused.text
    assert f"if it was at /other, attach it again (`pct set 120 --mp0 {OWN},mp=/other`)" in refused.text
    node.set_config(120, mp1=f"{OWN},mp=/fast")
    assert "stays where it is" in project.agents(*UP).text
    assert probe.read_text() == "x"
