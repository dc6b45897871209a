"""The example of Hermes on volumes that outlive its container, deployed and made anew."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.deploy.project import Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [
    pytest.mark.long,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]


def test_hermes_remembers_after_its_container_was_made_anew(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    settings = yaml.safe_load((ROOT / "examples" / "hermes-pet.yaml").read_text())
    project.storage = settings["storage"]
    project.configure(settings["agents"])
    project.agents("up", "--auto-approve", "--no-doctor")
    home, _, options = str(virtual_node.container_config(118)["mp0"]).partition(",")
    assert (home.startswith("local-lvm:vm-999-disk-"), options) == (True, "mp=/opt/hermes-data,size=16G")
    # The container's own root has given both to Hermes' user; root on the node made no directory for them.
    for disk in ("vm-999-disk-1", "vm-999-disk-2"):
        assert virtual_node.stat(f"/.volumes/local-lvm/{disk}") == "110000:110000 750"
    assert [it for it in virtual_node.host_changes if it.split()[0] in ("mkdir", "chown", "chmod")] == []
    assert set(re.findall(r"… ok \(([^)]*)\)", project.agents("mend", "hermes").text)) == {"unchanged"}
    checks = json.loads(project.agents("verify", "--json", "hermes").raw)["agents"]["hermes"]["checks"]
    found = {it["name"]: (it["status"], it["detail"]) for it in checks}
    assert found["volumes"] == ("ok", "/opt/hermes-data is open to user 10000:10000, /data is open to user 10000:10000")
    assert found["config"] == ("ok", "mp0, mp1, features")
    memory = virtual_node.pve.volume_content(home) / "memories.md"
    memory.write_text("The user takes tea.")
    said = project.agents("recreate", "hermes", "--auto-approve").text
    assert "all together" in said
    assert memory.read_text() == "The user takes tea."
    for stack in ("pet-storage", "hermes", "hermes-root"):
        assert project.plan(stack=stack).actions == {}


def test_hermes_with_its_memory_on_the_root_disk_is_not_made_anew(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy_both(protect=False)
    virtual_node.mutations.clear()
    refused = project.agents("recreate", "hermes", "--auto-approve", ok=False)
    assert refused.code == 3
    assert (
        "hermes would lose what lies in its container alone; nothing was done: the data of hermes, /opt/hermes-data, on its "
        "root disk put it on a mount of kind pet or bind"
    ) in refused.text
    assert virtual_node.mutations == []
