"""scripts/check-token against an https server that answers as Proxmox VE does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.in_process import run_script
from tests.unit.fake_api import GRANTED, SECRET, TOKEN, TOKEN_ID, VM, Answer, Pve

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

SCRIPT = Path(__file__).parents[2] / "scripts" / "check-token"
OPTIONS = ["--node", "gihyeon", "--vmid", "118", "--rootfs-datastore", "local-lvm", "--stack", "hermes"]
TEMPLATE = ["--template-datastore", "local"]


def check(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    defaults = {"PROXMOX_VE_API_TOKEN": TOKEN, "PROXMOX_VE_INSECURE": "true"}
    run = run_script(SCRIPT, *options, env={**defaults, **environment})
    assert SECRET not in run.stdout + run.stderr
    return run


def refusal(*options: str, **environment: str) -> str:
    run = check(*options, **environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("check-token: ")
    assert run.stderr.count("\n") == 1
    return run.stderr.removeprefix("check-token: ").rstrip("\n")


def commands(path: str, role: str, privileges: str) -> str:
    return (
        f"  pveum role add {role} 2>/dev/null\n"
        f"  pveum role modify {role} --append 1 --privs '{privileges}'\n"
        f"  pveum acl modify {path} --roles {role} --users terraform@pve --tokens 'terraform@pve!deploy'\n"
    )


def lacks(privileges: str, path: str) -> str:
    return f"token {TOKEN_ID} lacks {privileges} on {path}; to mend it, as root on the node:\n"


def test_a_token_that_suffices(pve: Pve) -> None:
    run = check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"token {TOKEN_ID} may do what hermes needs\n", "")
    assert pve.authorizations == {f"PVEAPIToken={TOKEN}"}
    paths = ("%2Fvms%2F118", "%2Fstorage%2Flocal-lvm", "%2Fstorage%2Flocal", "%2Fnodes%2Fgihyeon")
    permissions = [f"/api2/json/access/permissions?path={path}" for path in paths]
    assert pve.asked == [*permissions, "/api2/json/cluster/nextid?vmid=118"]


def test_a_guest_that_the_token_may_not_see_has_the_vmid(pve: Pve) -> None:
    """With privileges on a pool alone the guard in the plan is blind for all other guests."""
    pve.grant({**GRANTED, "/vms/118": [], "/pool/agents": VM})
    options = [*OPTIONS, *TEMPLATE, "--pool", "agents"]
    assert check(*options, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0
    pve.taken = {118}
    assert refusal(*options, PROXMOX_VE_ENDPOINT=pve.url) == (
        f"VMID 118 is taken by a guest that token {TOKEN_ID} may not see: choose another vmid, or give the token "
        "VM.Audit on /vms"
    )


OURS = ["--tag", "pve-agents-hermes", "--hostname", "hermes"]


def guest(pve: Pve, config: dict[str, Any] | None, **listed: Any) -> None:
    """Let somebody have VMID 118."""
    pve.taken = {118}
    asked = pve.respond

    def respond(path: str) -> Answer:
        if "cluster/resources" in path:
            others = {"vmid": 1118, "type": "qemu", "node": "gihyeon", "name": "other"}
            it = {"vmid": 118, "type": "lxc", "node": "gihyeon", "status": "running", "name": "somebodys", **listed}
            return 200, json.dumps({"data": [others, it]}).encode()
        if "/nodes/gihyeon/lxc/118/config" in path:
            pve.reason = None if config else "Configuration file 'nodes/gihyeon/lxc/118.conf' does not exist"
            return (200, json.dumps({"data": config}).encode()) if config else (500, b"")
        return asked(path)

    pve.respond = respond


def test_our_own_container_may_have_the_vmid(pve: Pve) -> None:
    guest(pve, {"digest": "0", "hostname": "hermes", "tags": "ai;pve-agents-hermes"})
    assert check(*OPTIONS, *TEMPLATE, *OURS, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(
    "config",
    [
        {"digest": "0", "hostname": "somebodys", "tags": "pve-agents-hermes"},
        {"digest": "0", "hostname": "hermes", "tags": "pve-agents-other"},
        {"digest": "0", "hostname": "hermes"},
    ],
)
def test_a_container_with_our_tag_alone_or_our_name_alone_is_not_ours(pve: Pve, config: dict[str, Any]) -> None:
    guest(pve, config)
    assert refusal(*OPTIONS, *TEMPLATE, *OURS, PROXMOX_VE_ENDPOINT=pve.url) == (
        f"VMID 118 is taken by the container {config['hostname']} on node gihyeon, and this stack's own is called hermes "
        "and carries the tag pve-agents-hermes: nothing was changed. Choose another vmid in homelab.yaml; or, if that "
        "container is to be this agent, set adopt: true once"
    )
    # As it is called with adopt: true.
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"node": "pve2"}, "container somebodys on node pve2"),
        ({"node": "pve2", "status": "unknown", "name": None}, "container 118 on node pve2, which is offline"),
        ({"type": "qemu"}, "virtual machine somebodys on node gihyeon"),
    ],
)
def test_a_guest_elsewhere_in_the_cluster_has_the_vmid(pve: Pve, listed: dict[str, Any], words: str) -> None:
    guest(pve, None, **listed)
    assert refusal(*OPTIONS, *TEMPLATE, *OURS, PROXMOX_VE_ENDPOINT=pve.url) == (
        f"VMID 118 is taken by the {words}: nothing was changed. Choose another vmid in homelab.yaml"
    )


def test_variables_stand_for_options(pve: Pve) -> None:
    run = check(
        PROXMOX_VE_ENDPOINT=f"{pve.url}/",
        PROXMOX_VE_INSECURE="1",
        CHECK_TOKEN_NODE="gihyeon",
        CHECK_TOKEN_VMID="118",
        CHECK_TOKEN_POOL="",
        CHECK_TOKEN_ROOTFS_DATASTORE="local-lvm",
        CHECK_TOKEN_TEMPLATE_DATASTORE="local",
    )
    assert (run.returncode, run.stdout) == (0, f"token {TOKEN_ID} may do what container 118 needs\n")


@pytest.mark.parametrize("privilege", VM)
def test_every_privilege_on_the_container_is_asked_for(pve: Pve, privilege: str) -> None:
    pve.grant({**GRANTED, "/vms/118": [name for name in VM if name != privilege]})
    run = check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == lacks(privilege, "/vms/118") + commands("/vms", "AgentContainer", " ".join(VM))


def test_a_token_without_any_privilege_gets_one_answer_per_path(pve: Pve) -> None:
    pve.grant({})
    run = check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        lacks(", ".join(VM), "/vms/118")
        + commands("/vms", "AgentContainer", " ".join(VM))
        + lacks("Datastore.AllocateSpace", "/storage/local-lvm")
        + commands("/storage/local-lvm", "AgentRootfs", "Datastore.AllocateSpace")
        + lacks("Datastore.AllocateTemplate, Datastore.Audit", "/storage/local")
        + commands("/storage/local", "AgentTemplate", "Datastore.AllocateTemplate Datastore.Audit")
        + lacks("Sys.AccessNetwork", "/nodes/gihyeon")
        + commands("/nodes/gihyeon", "AgentDownload", "Sys.AccessNetwork")
    )


def test_without_a_download_its_privileges_are_not_asked_for(pve: Pve) -> None:
    pve.grant({path: GRANTED[path] for path in ("/vms/118", "/storage/local-lvm")})
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


def test_a_pool_and_the_container_add_up(pve: Pve) -> None:
    pve.grant({**GRANTED, "/vms/118": VM[:3], "/pool/agents": VM[3:]})
    assert check(*OPTIONS, "--pool", "agents", PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


def test_what_a_pool_lacks_is_granted_on_the_pool(pve: Pve) -> None:
    pve.grant({**GRANTED, "/vms/118": VM[:1], "/pool/agents": VM[2:]})
    run = check(*OPTIONS, "--pool", "agents", PROXMOX_VE_ENDPOINT=pve.url)
    assert run.stderr == lacks("VM.Audit", "/pool/agents") + commands("/pool/agents", "AgentContainer", " ".join(VM))


def test_one_datastore_for_both(pve: Pve) -> None:
    both = ["Datastore.AllocateSpace", "Datastore.AllocateTemplate"]
    options = [*OPTIONS, "--template-datastore", "local-lvm"]
    pve.grant({**GRANTED, "/storage/local-lvm": both})
    assert check(*options, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0
    pve.grant({**GRANTED, "/storage/local-lvm": both[:1]})
    run = check(*options, PROXMOX_VE_ENDPOINT=pve.url)
    assert run.stderr == (
        lacks("Datastore.AllocateTemplate", "/storage/local-lvm")
        + commands("/storage/local-lvm", "AgentStorage", " ".join(both))
    )


def test_allocate_space_stands_for_audit_on_the_template_store(pve: Pve) -> None:
    pve.grant({**GRANTED, "/storage/local": ["Datastore.AllocateTemplate", "Datastore.AllocateSpace"]})
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(("held", "code"), [(["Sys.Audit", "Sys.Modify"], 0), (["Sys.Audit"], 1), (["Sys.Modify"], 1)])
def test_two_privileges_on_the_root_stand_for_access_network(pve: Pve, held: list[str], code: int) -> None:
    pve.grant({**GRANTED, "/nodes/gihyeon": [], "/": held})
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == code


def test_a_privilege_that_does_not_propagate_counts_on_its_own_path(pve: Pve) -> None:
    pve.granted["/vms/118"] = dict.fromkeys(VM, 0)
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(("propagates", "code"), [(1, 0), (0, 1)])
def test_ancestors_count_as_far_as_they_propagate(pve: Pve, propagates: int, code: int) -> None:
    pve.respond = pve.everything
    pve.granted = {
        "/": {"Datastore.AllocateSpace": 1},
        "/vms": dict.fromkeys(VM, propagates),
        "/vms/11": dict.fromkeys(VM, 1),
        "/storage/other": {"Datastore.AllocateSpace": 1},
    }
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OPTIONS[2:], "--node or CHECK_TOKEN_NODE is needed"),
        ([*OPTIONS[:2], *OPTIONS[4:]], "--vmid or CHECK_TOKEN_VMID is needed"),
        (OPTIONS[:4], "--rootfs-datastore or CHECK_TOKEN_ROOTFS_DATASTORE is needed"),
        ([*OPTIONS, "--vmid", "99"], "--vmid cannot be '99'"),
        ([*OPTIONS, "--node", "a;b"], "--node cannot be 'a;b'"),
        ([*OPTIONS, "--pool", "a b"], "--pool cannot be 'a b'"),
        ([*OPTIONS, "--rootfs-datastore", "../x"], "--rootfs-datastore cannot be '../x'"),
        ([*OPTIONS, "--template-datastore", "a/b"], "--template-datastore cannot be 'a/b'"),
        ([*OPTIONS, "--stack", "a\nb"], "--stack cannot be 'a\\nb'"),
        ([*OPTIONS, "--timeout", "0"], "--timeout cannot be '0'"),
        ([*OPTIONS, "--token", "x"], "No such option '--token'. (see check-token --help)"),
        ([*OPTIONS, "--vm", "118"], "No such option '--vm'. Did you mean '--vmid'? (see check-token --help)"),
        ([*OPTIONS, "118"], "Got unexpected extra argument (118) (see check-token --help)"),
        ([*OPTIONS, "--pool"], "Option '--pool' requires an argument. (see check-token --help)"),
    ],
)
def test_a_wrong_option(options: list[str], message: str) -> None:
    assert refusal(*options, PROXMOX_VE_ENDPOINT="https://pve:8006") == message


def test_help_names_each_option_with_its_variable() -> None:
    for flag in ("-h", "--help"):
        run = check(flag)
        assert (run.returncode, run.stderr) == (0, "")
        for option in ("node", "vmid", "rootfs-datastore", "template-datastore", "pool", "file", "timeout"):
            assert f"--{option} " in run.stdout
            assert f"CHECK_TOKEN_{option.replace('-', '_').upper()}" in run.stdout


def test_a_variable_makes_a_check_no_other_one(pve: Pve) -> None:
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url, CHECK_TOKEN_BEFORE_DESTROY="1").stdout.startswith("token ")


def test_it_runs_by_itself_with_the_projects_python(pve: Pve) -> None:
    command = [sys.executable, "-I", str(SCRIPT), *OPTIONS]
    environment = {"PROXMOX_VE_ENDPOINT": pve.url, "PROXMOX_VE_API_TOKEN": TOKEN, "PROXMOX_VE_INSECURE": "true"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"token {TOKEN_ID} may do what hermes needs\n", "")


def test_without_the_projects_packages_it_says_how_to_run_it() -> None:
    # Neither the environment's packages nor the user's.
    run = subprocess.run([sys.executable, "-IS", SCRIPT], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        "check-token: the Python package click is missing: put `pipenv run` in front, in the project's folder\n"
    )


def test_what_is_wrong_with_the_credential_is_one_sentence(pve: Pve) -> None:
    """Word for word in test_node_api.py."""
    pve.respond = lambda _: (401, b"")
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).startswith(f"{pve.url} does not accept token {TOKEN_ID}")
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT="pve:8006").endswith("write https://pve:8006")


# Before something is destroyed ---------------------------------------------------------------------------------------

GOING = ["--before-destroy", "--stack", "hermes", "--address", "a_container.hermes", "--tag", "pve-agents-hermes"]
NAMED = {"CHECK_TOKEN_NODE": "gihyeon", "CHECK_TOKEN_VMID": "118"}
FORGET = "pipenv run terraform -chdir=cdktf.out/stacks/hermes state rm"


def holding(pve: Pve, config: dict[str, Any]) -> None:
    pve.respond = lambda path: (200, json.dumps({"data": config}).encode()) if "/lxc/118/config" in path else (404, b"")


def test_our_own_container_may_be_destroyed(pve: Pve) -> None:
    holding(pve, {"digest": "0", "hostname": "hermes", "tags": "ai;pve-agents-hermes"})
    run = check(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **NAMED)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert pve.asked == ["/api2/json/nodes/gihyeon/lxc/118/config"]


def test_a_container_that_is_gone_is_no_obstacle(pve: Pve) -> None:
    pve.respond = lambda _: (500, b"")
    pve.reason = "Configuration file 'nodes/gihyeon/lxc/118.conf' does not exist"
    assert check(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **NAMED).returncode == 0
    pve.reason = "got timeout"
    assert "answers HTTP 500" in refusal(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **NAMED)


@pytest.mark.parametrize("tags", [{}, {"tags": "ai;pve-agents-hermes-2"}, {"tags": ""}])
def test_a_container_without_our_tag_is_not_destroyed(pve: Pve, tags: dict[str, str]) -> None:
    holding(pve, {"digest": "0", "hostname": "somebodys", **tags})
    assert refusal(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **NAMED) == (
        "container 118 on node gihyeon (somebodys) does not carry the tag pve-agents-hermes: it is not the one of stack "
        "hermes, and was not destroyed. If it is, give it the tag back in the web interface; if not, let Terraform "
        f"forget it: {FORGET} a_container.hermes"
    )


def test_a_protected_container_is_not_stopped_for_nothing(pve: Pve) -> None:
    holding(pve, {"digest": "0", "tags": "pve-agents-hermes", "protection": 1})
    assert refusal(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **NAMED) == (
        "container 118 is protected (protection: 1), and a destroy would only stop it; as root on the node: "
        "pct set 118 --protection 0"
    )


@pytest.mark.parametrize("vmid", ["", "118/../200", "$(reboot)", "118 200", "-1"])
def test_what_a_state_says_instead_of_a_vmid_is_asked_of_nobody(pve: Pve, vmid: str) -> None:
    refusal(*GOING, PROXMOX_VE_ENDPOINT=pve.url, **{**NAMED, "CHECK_TOKEN_VMID": vmid})
    assert pve.asked == []


FILE = ["--before-destroy", "--stack", "hermes", "--address", "a_file.debian"]


def test_the_file_of_a_template_may_be_deleted(pve: Pve) -> None:
    named = {"CHECK_TOKEN_FILE": "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"}
    assert check(*FILE, PROXMOX_VE_ENDPOINT=pve.url, **named).returncode == 0
    assert pve.asked == []


@pytest.mark.parametrize("file", ["local:backup/vzdump-lxc-200.tar.zst", "local:iso/vztmpl/debian.iso"])
def test_no_other_file_is_deleted(pve: Pve, file: str) -> None:
    assert refusal(*FILE, PROXMOX_VE_ENDPOINT=pve.url, CHECK_TOKEN_FILE=file) == (
        f"the state names the file {file}, which is no container template, and it was not deleted. Put back a copy of "
        f"the state; or let Terraform forget the file: {FORGET} a_file.debian"
    )


@pytest.mark.parametrize(
    "file", ["", "local-lvm:vm-200-disk-0", "local:vztmpl/../../etc/passwd", "local:vztmpl/a;reboot"]
)
def test_what_a_state_says_instead_of_a_file_is_refused(pve: Pve, file: str) -> None:
    refusal(*FILE, PROXMOX_VE_ENDPOINT=pve.url, CHECK_TOKEN_FILE=file)
