"""agents up, plan, output and down on a virtual node: what they show, what they do, and what they refuse to."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.project import CONTAINER, HDD, HERMES_ROOT, TEMPLATE_FILE, Project, terraform
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

# The doctor asks a gateway and a messenger, too: it has tests of its own.
UP = ("up", "hermes", "--auto-approve", "--no-doctor")
DELETED = ("DELETE", "/nodes/gihyeon/lxc/118")


# What an agent runs is no subject here, but where it answers.
PLAIN = {"hermes": None, "mounts": {"mp0": {"host_path": HDD, "guest_path": "/data"}}}


@pytest.fixture
def plain(project: Project) -> Project:
    """A container with a mount and no software of a kind's."""
    project.configure(**PLAIN)
    return project


@pytest.fixture
def done(plain: Project, virtual_node: VirtualNode) -> Project:
    """The same, deployed."""
    plain.begin_with_agents(*UP)
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()
    return plain


def test_up_shows_all_that_it_will_do_before_it_does_it_and_ends_with_an_answer(
    project: Project, virtual_node: VirtualNode
) -> None:
    lines = project.agents(*UP).raw.splitlines()
    shown = lines[: lines.index("hermes …")]
    assert f"  + {CONTAINER} is created" in shown
    assert f"    $ mkdir -m 0750 -- {HDD}" in shown
    assert any(line.startswith("    $ pct set 118 --mp0 /mnt/pve/hdd/hermes,mp=/data") for line in shown)
    assert "    $ pct reboot 118 --timeout 180" in shown
    # What ran as root is what was shown, in its order.
    announced = [line.split()[1:3] for line in shown if line.startswith("    $ ")]
    ran = [line.split()[2:4] for line in lines[len(shown) :] if line.startswith("  [hermes] $ ")]
    assert ran == announced
    assert any(re.fullmatch(r"✓ chat +answered in 4 characters +\d\.\ds", line) for line in lines)
    assert lines[-3:-1] == [
        "hermes runs in container 118 on gihyeon at 10.1.10.118",
        "  talk to it, as root on gihyeon: pct exec 118 -- docker exec -it hermes hermes chat",
    ]
    assert virtual_node.container_config(118)["features"] == "keyctl=1,nesting=1"


def test_the_second_time_there_is_nothing_to_do_and_nothing_is_asked(done: Project, virtual_node: VirtualNode) -> None:
    # Without --auto-approve, and without a terminal.
    lines = done.agents("up", "hermes", "--no-doctor").raw.splitlines()
    assert lines == [
        *("hermes, with the API token:", "    no changes", "hermes, as root on gihyeon:", "    nothing"),
        "nothing to do: `agents verify hermes` asks whether all is well",
    ]
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])


def test_what_terraform_does_not_know_of_is_mended(done: Project, virtual_node: VirtualNode) -> None:
    virtual_node.make_directory(HDD, owner="0:0", mode="700")
    shown, _, ran = done.agents(*UP).raw.partition("\n\n")
    owner = f"$ (cd -P -- {HDD} && chown 110000:110000 .)"
    assert f"    {owner}" in shown.splitlines()
    # Each is said again when it runs, as in a step of Terraform's.
    assert f"  [hermes] {owner}" in ran.splitlines()
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert done.agents("drift").code == 0


def test_a_container_is_stopped_and_started_by_a_setting(done: Project, virtual_node: VirtualNode) -> None:
    done.configure(**PLAIN, started=False)
    said = done.agents(*UP).raw.splitlines()
    assert "    nothing: the settings want the container stopped" in said
    assert said[-2] == "hermes's container 118 on gihyeon is stopped, as the settings want it"
    assert done.agents(*UP).raw.splitlines()[-1].startswith("nothing to do")
    done.configure(**PLAIN)
    said = done.agents(*UP).raw.splitlines()
    assert said[-2] == "hermes runs in container 118 on gihyeon at 10.1.10.118"
    assert virtual_node.host_changes == [it for it in virtual_node.host_changes if "probe" in it or "bootstrap" in it]


def test_a_mount_that_leaves_is_shown_before_it_goes(done: Project, virtual_node: VirtualNode) -> None:
    done.configure(hermes=None, mounts={})
    shown = done.agents("plan").text
    assert "# these leave; the files on the node stay pct set 118 --delete mp0" in shown
    assert virtual_node.host_changes == []
    done.agents(*UP)
    assert "mp0" not in virtual_node.container_config(118)
    assert virtual_node.stat(HDD) == "110000:110000 750"


def test_a_plan_says_why_and_does_nothing(plain: Project, virtual_node: VirtualNode) -> None:
    said = plain.agents("plan").text
    assert f"+ {CONTAINER} is created" in said
    assert f"# {HDD} is not there mkdir -m 0750 -- {HDD}" in said
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])


def test_nothing_is_done_unasked(plain: Project, virtual_node: VirtualNode) -> None:
    refused = plain.agents("up", "--no-doctor", ok=False)
    assert refused.code == 2
    assert refused.raw.splitlines()[-1] == (
        "this asks before it acts, and there is no terminal to answer on: write --auto-approve"
    )
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])


def test_what_the_look_refuses_is_refused_before_the_container_is_made(
    project: Project, virtual_node: VirtualNode
) -> None:
    del project.env["API_SERVER_KEY"]
    refused = project.agents(*UP, ok=False)
    assert refused.code == 3
    assert "hermes: missing secrets: API_SERVER_KEY." in refused.text
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])


def test_what_the_doctor_finds_is_said_before_anything_runs(project: Project, virtual_node: VirtualNode) -> None:
    del project.env["API_SERVER_KEY"]
    virtual_node.revoke("VM.Allocate")
    refused = project.agents("up", "--auto-approve", ok=False)
    assert refused.code == 1
    lines = [line for line in refused.raw.splitlines() if not line.startswith(" ")]
    # What it asks of the outside may be well or not; what is well is not said.
    assert [line.split()[:2] for line in lines if line.startswith("✗")] == [["✗", "privileges"], ["✗", "secrets"]]
    assert not [line for line in lines if line.startswith("✓")]
    assert lines[-1] == "nothing was changed; `agents doctor` shows all that was looked at"
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])
    assert not project.out.exists() or not list(project.out.parent.glob("terraform.*"))


# --- what would be lost


def test_a_container_that_would_be_made_anew_is_refused(done: Project, virtual_node: VirtualNode) -> None:
    done.configure(**PLAIN, protect=False, vmid=120)
    refused = done.agents(*UP, ok=False)
    assert refused.code == 3
    assert f"-/+ {CONTAINER} is destroyed and made anew" in refused.text
    last = refused.raw.splitlines()[-1]
    assert last.startswith("container 118 of hermes would be destroyed or made anew")
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])

    # What the sentence says works.
    found = re.search(r"`agents (up .*)`", last)
    assert found
    done.agents(*found[1].split(), "--auto-approve")
    assert virtual_node.container_config(120)["hostname"] == "hermes"


def test_a_protected_one_is_refused_in_a_sentence(done: Project, virtual_node: VirtualNode) -> None:
    done.configure(**PLAIN, vmid=120)
    refused = done.agents(*UP, "--allow-replace", "hermes", ok=False)
    assert refused.code == 3
    assert refused.raw.splitlines()[-1].startswith("hermes: agents.hermes.protect is true, and this would destroy")
    assert "lifecycle" not in refused.raw
    assert virtual_node.mutations == []


def test_an_unknown_agent_cannot_be_allowed_to_go(plain: Project) -> None:
    refused = plain.agents(*UP, "--allow-replace", "hremes", ok=False)
    assert (refused.code, refused.raw) == (2, "There is no agent hremes; the settings have hermes.\n")


# --- errors


def test_an_error_is_said_once_and_the_next_run_goes_on(plain: Project, virtual_node: VirtualNode) -> None:
    # The directory above is gone after the look: nobody can foresee that.
    virtual_node.kill_host_command_at(3, "before")
    failed = plain.agents(*UP, ok=False)
    assert failed.code == 1
    ends = [line for line in failed.raw.splitlines() if "FAILED" in line]
    assert len(ends) == 1
    assert failed.raw.splitlines()[-1] == (
        "hermes-root was not deployed to its end: run it again when the cause is gone, it goes on from there"
    )
    assert "Error running command" not in failed.raw
    assert plain.agents(*UP).code == 0


def test_a_provider_that_fails_is_a_sentence_with_its_words_below(plain: Project, virtual_node: VirtualNode) -> None:
    virtual_node.revoke("SDN.Use")
    failed = plain.agents(*UP, ok=False)
    assert failed.code == 1
    assert failed.raw.count("SDN.Use") == 1
    assert len(failed.raw.partition("hermes …\n")[2].splitlines()) <= 8


def test_without_terraform_it_says_how_to_get_one(plain: Project) -> None:
    plain.env["TERRAFORM_BINARY_NAME"] = "terrafrom"
    refused = plain.agents("plan", ok=False)
    said = "terrafrom cannot be run (No such file or directory): run `make setup`, or unset TERRAFORM_BINARY_NAME\n"
    assert (refused.code, refused.raw) == (2, said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_it_lets_terraform_end_in_order_and_says_one_line(plain: Project, number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from pve_agents.operator.entry import main; main()"]
    plain.env["VIRTUAL_NODE_SLOW"] = "1"
    plain.node.seen_by_providers(plain.env)
    with subprocess.Popen(
        [*command, "--output", str(plain.out), *UP, "--no-verify"],
        cwd=ROOT,
        env=plain.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        said = []
        for line in process.stdout:
            said.append(line)
            if line.endswith("container config …\n"):
                process.send_signal(number)
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in "".join(said)
    assert said[-1].startswith("interrupted: Terraform has ended in order, and hermes-root holds what was done")
    assert plain.agents(*UP).code == 0


# --- its credentials


def test_each_terraform_has_its_own_credential_alone(project: Project, tmp_path: Path) -> None:
    noting = tmp_path / "terraform"
    noting.write_text(
        f'#!/bin/sh\nenv | cut -d= -f1 | sort >"{tmp_path}/$(basename -- "$1").names"\nexec {terraform()} "$@"\n'
    )
    noting.chmod(0o755)
    project.env["TERRAFORM_BINARY_NAME"] = str(noting)
    project.agents("plan")
    by_token, by_root = (set((tmp_path / f"{it}.names").read_text().split()) for it in ("hermes", HERMES_ROOT))
    assert by_token & {"PROXMOX_VE_API_TOKEN", "PVE_SSH", "LITELLM_API_KEY"} == {"PROXMOX_VE_API_TOKEN"}
    assert by_root & {"PROXMOX_VE_API_TOKEN", "PVE_SSH", "LITELLM_API_KEY"} == {"PVE_SSH", "LITELLM_API_KEY"}


# --- from cdktf and back


@pytest.mark.cli
def test_cdktf_and_agents_work_on_the_same_states(plain: Project, virtual_node: VirtualNode) -> None:
    deploy = ("deploy", "hermes", HERMES_ROOT, "--auto-approve", "--parallelism", "1")
    plain.cdktf(*deploy)
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()
    assert plain.agents("up", "--no-doctor").raw.splitlines()[1:4:2] == ["    no changes", "    nothing"]
    plain.cdktf(*deploy)
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])
    assert plain.plan().actions == plain.plan(stack=HERMES_ROOT).actions == {}


@pytest.mark.cli
def test_the_providers_lock_outlives_what_is_synthesized(tmp_path: Path) -> None:
    with VirtualNode(tmp_path / "virtual-node") as node:
        project = Project(tmp_path / "project", node)
        project.agents("plan")
        lock = project.directory / "terraform.hermes.lock.hcl"
        assert "bpg/proxmox" in lock.read_text()
        used = project.stack("hermes") / ".terraform.lock.hcl"
        for path in (used, project.stack("hermes") / ".terraform" / "agents-initialized"):
            path.unlink()
        lock.write_text(re.sub(r"h1:[^\"]+", "h1:" + "A" * 43 + "=", lock.read_text()))
        refused = project.agents("plan", ok=False)
        assert "checksum" in refused.text


def test_main_writes_the_stacks_and_gets_no_credential(plain: Project) -> None:
    command = [sys.executable, "-c", "from pve_agents.operator.entry import main; main()"]
    (plain.directory / "secrets.env").touch(mode=0o600)
    done = subprocess.run(
        [*command, "--output", str(plain.out), "output", "--json"],
        cwd=plain.directory,
        env=plain.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", '{\n  "hermes": {}\n}\n')
    assert (plain.stack("hermes") / "cdk.tf.json").is_file()


def test_output_says_where_the_agent_is(done: Project) -> None:
    assert done.agents("output").raw.splitlines() == [
        "hermes_container_id = 118",
        "hermes_hostname = hermes",
        "hermes_ipv4 = 10.1.10.118",
    ]


# --- down


def test_down_says_what_stays_and_leaves_it(project: Project, virtual_node: VirtualNode) -> None:
    project.configure(**PLAIN, protect=False)
    project.begin_with_agents(*UP)
    virtual_node.revoke("Datastore.Allocate")
    virtual_node.mutations.clear()
    said = project.agents("down", "hermes", "--auto-approve").text
    assert f"- {CONTAINER} is destroyed, and with it all that is on its root disk" in said
    assert f"{HDD} and its files stay on gihyeon" in said
    assert DELETED in virtual_node.mutations
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert not [path for method, path in virtual_node.mutations if method == "DELETE" and TEMPLATE_FILE in path]
    assert "hermes is not there: nothing to destroy" in project.agents("down", "hermes").text
    assert "✓ container" in project.agents(*UP).text


def test_down_respects_protect(done: Project, virtual_node: VirtualNode) -> None:
    refused = done.agents("down", "hermes", "--auto-approve", ok=False)
    assert refused.code == 3
    assert refused.raw == (
        "agents.hermes.protect is true: write protect: false into homelab.yaml, and run this again\n"
    )
    done.configure(**PLAIN, protect=False)
    assert done.agents("down", "hermes", "--auto-approve").code == 0
    assert DELETED in virtual_node.mutations


def test_down_takes_the_template_along_if_it_may(project: Project, virtual_node: VirtualNode) -> None:
    project.configure(**PLAIN, protect=False)
    project.begin_with_agents(*UP)
    virtual_node.mutations.clear()
    virtual_node.revoke("Datastore.Allocate")
    refused = project.agents("down", "hermes", "--template", "--auto-approve", ok=False)
    assert (refused.code, virtual_node.mutations) == (3, [])
    assert "lacks Datastore.Allocate on /storage/local" in refused.raw
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.agents("down", "hermes", "--template", "--auto-approve")
    assert [path for method, path in virtual_node.mutations if method == "DELETE" and TEMPLATE_FILE in path]
    assert project.plan().actions.keys() >= {CONTAINER}


def test_down_asks_for_the_agents_name(project: Project, virtual_node: VirtualNode) -> None:
    project.configure(**PLAIN, protect=False)
    project.begin_with_agents(*UP)
    virtual_node.mutations.clear()
    refused = project.agents("down", "hermes", ok=False)
    assert (refused.code, virtual_node.mutations) == (2, [])


def test_a_node_that_is_not_reached_is_one_sentence_and_status_4_whatever_is_asked(project: Project) -> None:
    project.configure(protect=False)
    project.begin_with_agents("up", "--auto-approve", "--no-doctor")
    project.env["PROXMOX_VE_ENDPOINT"] = "https://127.0.0.1:1"
    for command in (("up", "--auto-approve", "--no-doctor"), ("plan",), ("down", "hermes", "--auto-approve")):
        refused = project.agents(*command, ok=False)
        assert refused.code == 4
        assert "hermes: https://127.0.0.1:1 cannot be reached (Connection refused): is the node on" in refused.text
