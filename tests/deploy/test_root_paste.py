"""A node without ssh: the apply shows one text, waits, and goes on when it was pasted into the web interface's shell."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.deploy.project import HDD, HERMES_ROOT, STEPS, Project
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform


@pytest.fixture
def pasting(project: Project) -> Project:
    """The root stack, for somebody with a read-only token and the web interface."""
    project.create_container()
    # Secrets are never pasted, and Hermes does not start without them.
    project.configure(mounts={"mp0": {"host_path": HDD, "guest_path": "/data"}}, hermes=None)
    project.synthesize()
    project.env |= {"PVE_TRANSPORT": "paste", "PVE_PASTE_DEADLINE_SECONDS": "60"}
    for name in ("PVE_SSH", "PROXMOX_VE_API_TOKEN"):
        del project.env[name]
    return project


def test_one_paste_is_for_all_steps(pasting: Project, virtual_node: VirtualNode) -> None:
    where = f"-chdir={pasting.stack(HERMES_ROOT)}"
    pasting.run(pasting.binary, where, "init", "-input=false", "-no-color")
    said: list[str] = []
    with subprocess.Popen(
        [pasting.binary, where, "apply", "-auto-approve", "-json", "-input=false"],
        env=pasting.env,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as apply:
        assert apply.stdout
        for line in apply.stdout:
            said += [json.loads(line).get("hook", {}).get("output", "")]
            if "waiting up to 60 s for its effect" in said[-1]:
                break
        assert virtual_node.host_changes == []
        shown = next(line for line in said if "without them it is in the file" in line)
        script = Path(shown.rpartition(" ")[2]).read_text()
        assert "\n".join(said).count("# ---- begin hermes: paste from here") == 1
        # Terraform leaves out empty lines.
        assert {line.rstrip() for line in script.splitlines()} <= {"", *said}

        pasted = virtual_node.paste(script)

        assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        rest = [json.loads(line).get("hook", {}).get("output", "") for line in apply.stdout]
        assert apply.wait(60) == 0, rest

    again = "[hermes] was part of the text that you pasted for this deploy: nothing to paste"
    assert rest.count(again) == len(STEPS[1:])
    assert pasting.addresses(HERMES_ROOT) == set(STEPS)
    assert virtual_node.container_config(118)["mp0"] == f"{HDD},mp=/data,replicate=0"
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert virtual_node.ssh_calls == []
    assert pasting.plan(stack=HERMES_ROOT).actions == {}


def test_what_is_never_pasted_ends_with_what_is_missing(pasting: Project, virtual_node: VirtualNode) -> None:
    pasting.env["PVE_PASTE_DEADLINE_SECONDS"] = "1"

    applied = pasting.apply(stack=HERMES_ROOT, ok=False)

    assert len(applied.errors) == 1
    assert (
        "after 1 s the effect is not there: mp0 is not there; features is nesting=1; the running container gets its "
        "features only at a start; the text has not come to its end."
    ) in applied.errors[0]
    assert virtual_node.host_changes == []


def test_without_eyes_on_the_node_nothing_is_shown(pasting: Project) -> None:
    del pasting.env["PVE_READ_TOKEN"]

    applied = pasting.apply(stack=HERMES_ROOT, ok=False)

    assert (
        "PVE_TRANSPORT=paste: PVE_READ_TOKEN is not set: write it to ~/.config/pve-agents/root.env" in applied.errors[0]
    )
    assert "paste from here" not in applied.said
