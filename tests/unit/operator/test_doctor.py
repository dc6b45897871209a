"""agents doctor: how checks are made, and what each answer means."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from pve_agents import load_settings
from pve_agents.agents.doctor import checks_of
from pve_agents.agents.hermes.doctor import judge_bot, judge_models
from pve_agents.findings import Check, Finding, Outcome, failed, ok, parted, skipped, warning
from pve_agents.host.facts import Container, Facts, PathFact
from pve_agents.host.given import Given
from pve_agents.host.wanted import Attached, Wanted
from pve_agents.node_access import NodeError, access
from pve_agents.node_stock import Datastore
from pve_agents.operator.doctor.judging import (
    judge_bridge,
    judge_certificate,
    judge_disk,
    judge_download,
    judge_endpoint,
    judge_node,
    judge_template,
    judge_template_store,
    judge_token,
    judge_vmid,
)
from pve_agents.operator.doctor.machine import Answer, judge_files, judge_terraform
from pve_agents.operator.doctor.machine import judge_node as judge_node_js
from pve_agents.operator.doctor.root import (
    judge_container,
    judge_devices,
    judge_directories,
    judge_packages,
    judge_ssh,
)
from pve_agents.operator.doctor.run import run
from pve_agents.operator.doctor.secrets import judge_given
from pve_agents.operator.wants import wanted_of
from pve_agents.settings import Agent, Disk, Template
from pve_agents.vmid_holder import Holder
from tests.answering import answering
from tests.unit.fake_api import TOKEN, TOKEN_ID

# --- how they are made


def made(*checks: Check) -> list[Finding]:
    reported: list[Finding] = []
    findings = run(checks, reported.append)
    assert findings == reported
    return findings


def said(*checks: Check) -> list[tuple[str, str, str]]:
    return [(it.name, it.status, it.detail) for it in made(*checks)]


def test_findings_come_in_the_order_of_the_checks_whichever_ends_first() -> None:
    second_is_over = threading.Event()

    def first() -> Outcome:
        second_is_over.wait(4)
        return ok("one")

    def second() -> Outcome:
        second_is_over.set()
        return ok("two")

    assert said(Check("first", first), Check("second", second)) == [("first", "ok", "one"), ("second", "ok", "two")]


def test_checks_that_need_nothing_of_each_other_run_at_once() -> None:
    all_there = threading.Barrier(5)

    def meet() -> Outcome:
        all_there.wait(4)
        return ok("met")

    assert {it.status for it in made(*(Check(str(i), meet) for i in range(5)))} == {"ok"}


def test_one_wrong_endpoint_is_one_failure_and_the_rest_is_skipped_with_why() -> None:
    asked = []

    def ask() -> Outcome:
        asked.append(1)
        return ok("")

    endpoint = Check("endpoint", lambda: failed("off", "turn it on"))
    node = Check("node", ask, after=(endpoint,))
    disk = Check("disk", ask, after=(node,))
    other = Check("other", lambda: ok("fine"))

    assert said(endpoint, node, disk, other) == [
        ("endpoint", "failed", "off"),
        ("node", "skipped", "endpoint has to be well first"),
        ("disk", "skipped", "endpoint has to be well first"),
        ("other", "ok", "fine"),
    ]
    assert asked == []


def test_what_is_only_worth_a_look_is_ground_enough() -> None:
    ground = Check("ground", lambda: warning("half full", "make room"))
    assert said(ground, Check("house", lambda: ok("stands"), after=(ground,)))[1] == ("house", "ok", "stands")


def test_a_check_that_hangs_is_over_at_the_end_of_its_time_and_holds_up_no_other() -> None:
    never = threading.Event()

    def hang() -> Outcome:
        never.wait()
        return ok("")

    slow = Check("slow", hang, seconds=0.05)
    found = made(slow, Check("after it", lambda: ok(""), after=(slow,)), Check("other", lambda: ok("fine")))
    never.set()
    assert [(it.status, it.detail) for it in found] == [
        ("failed", "no answer within 0.05 seconds"),
        ("skipped", "slow has to be well first"),
        ("ok", "fine"),
    ]
    assert found[0].remedy


def test_a_check_that_breaks_says_so_without_the_words_of_the_error() -> None:
    def broken() -> Outcome:
        raise ValueError("https://api.telegram.org/bot123:secret/getMe")

    (found,) = made(Check("telegram", broken))
    assert (found.status, found.detail) == ("failed", "this check itself is broken (ValueError)")
    assert "secret" not in found.remedy


def test_a_ground_that_nobody_looks_at_is_none() -> None:
    elsewhere = Check("elsewhere", lambda: failed("", ""))
    assert said(Check("here", lambda: ok("fine"), after=(elsewhere,))) == [("here", "ok", "fine")]


@pytest.mark.parametrize(
    ("sentence", "detail", "remedy"),
    [
        ("https://a:8006 cannot be reached (refused): is it on?", "https://a:8006 cannot be reached (refused)", "is it on?"),
        ("/x: /mnt does not exist. Is its disk mounted? Only the last", "/x: /mnt does not exist", "Is its disk mounted? Only the last"),
        ("VMID 118 is taken by x: nothing was changed. Choose another", "VMID 118 is taken by x: nothing was changed", "Choose another"),
        ("HERMES_ENV_FILE /x, line 3: not NAME=VALUE", "HERMES_ENV_FILE /x, line 3: not NAME=VALUE", "otherwise"),
        ("PROXMOX_VE_MIN_TLS must be one of 1.0, 1.1.", "PROXMOX_VE_MIN_TLS must be one of 1.0, 1.1", "otherwise"),
    ],
)  # fmt: skip
def test_a_sentence_is_parted_where_what_to_do_begins(sentence: str, detail: str, remedy: str) -> None:
    assert parted(sentence, "otherwise") == (detail, remedy)


# --- what the answers mean

ACCESS = access({"PROXMOX_VE_ENDPOINT": "https://pve:8006", "PROXMOX_VE_API_TOKEN": TOKEN})
INSECURE = replace(ACCESS, verified=False)
OFF = NodeError("https://pve:8006 cannot be reached (Connection refused): is the node on?")
UNTRUSTED = NodeError(
    "the certificate of https://pve:8006 cannot be verified (self-signed): install its CA", "certificate"
)
UNKNOWN = NodeError("https://pve:8006 does not accept token x: correct it", "token")
NO_TOKEN = NodeError("PROXMOX_VE_API_TOKEN is not set: write it into .env", "token")
NO_ENDPOINT = NodeError("PROXMOX_VE_ENDPOINT is not set: write it into .env")
NO_FORM = NodeError("PROXMOX_VE_ENDPOINT must have the form https://HOST:8006")

GIB = 1024**3
STORES = {
    "local-lvm": Datastore("lvmthin", frozenset({"rootdir", "images"}), enabled=True, active=True, free=100 * GIB),
    "local": Datastore("dir", frozenset({"vztmpl", "iso"}), enabled=True, active=True, free=GIB),
}


def with_store(name: str, **change: Any) -> dict[str, Datastore]:
    return {**STORES, name: replace(STORES[name], **change)}


TEMPLATE = Template.model_validate({})
FILE = f"local:vztmpl/{TEMPLATE.file_name}"
WITH_FILE = Template.model_validate({"file_id": "local:vztmpl/own.tar.zst"})


def disk(stores: dict[str, Datastore], *, is_new: bool = True) -> Outcome:
    return judge_disk("gihyeon", Disk(), stores, is_new=is_new)


def store(stores: dict[str, Datastore]) -> Outcome:
    return judge_template_store("gihyeon", "local", stores)


JUDGED: list[tuple[Callable[[], Outcome], str, str, str]] = [
    # the way to the API
    (lambda: judge_endpoint(ACCESS, None), "ok", "https://pve:8006", ""),
    (lambda: judge_endpoint(ACCESS, OFF), "failed", "https://pve:8006 cannot be reached (Connection refused)", "is the node on?"),
    (lambda: judge_endpoint(ACCESS, UNTRUSTED), "ok", "https://pve:8006", ""),
    (lambda: judge_endpoint(NO_ENDPOINT, None), "failed", "PROXMOX_VE_ENDPOINT is not set", "write it into .env"),
    (lambda: judge_endpoint(NO_FORM, None), "failed", "PROXMOX_VE_ENDPOINT must have the form https://HOST:8006", "correct it in .env"),
    (lambda: judge_endpoint(NO_TOKEN, None), "skipped", "the token has to be well first", ""),
    (lambda: judge_certificate(ACCESS, None), "ok", "trusted by this machine", ""),
    (lambda: judge_certificate(ACCESS, UNTRUSTED), "failed", "the certificate of https://pve:8006 cannot be verified (self-signed)", "install its CA"),
    (lambda: judge_certificate(ACCESS, UNKNOWN), "ok", "trusted by this machine", ""),
    (lambda: judge_certificate(INSECURE, None), "skipped", "not verified, since PROXMOX_VE_INSECURE is set", ""),
    (lambda: judge_token(ACCESS, None), "ok", TOKEN_ID, ""),
    (lambda: judge_token(ACCESS, UNKNOWN), "failed", "https://pve:8006 does not accept token x", "correct it"),
    (lambda: judge_token(NO_TOKEN, None), "failed", "PROXMOX_VE_API_TOKEN is not set", "write it into .env"),
    (lambda: judge_token(ACCESS, OFF), "skipped", "the endpoint has to be well first", ""),
    (lambda: judge_token(ACCESS, UNTRUSTED), "skipped", "the certificate has to be well first", ""),
    (lambda: judge_token(NO_ENDPOINT, None), "skipped", "the endpoint has to be well first", ""),
    # what there is for a container
    (lambda: judge_node("gihyeon", {"gihyeon": True, "other": False}), "ok", "gihyeon", ""),
    (lambda: judge_node("pve", {"gihyeon": True}), "failed", "there is no node pve; there is gihyeon", "correct node in homelab.yaml"),
    (lambda: judge_node("pve", {"pve": False}), "failed", "node pve is offline", "start pve, and look at `pvecm status` on another node"),
    (lambda: judge_vmid(118, Holder(is_free=True)), "ok", "118 is free", ""),
    (lambda: judge_vmid(118, Holder(is_free=False)), "ok", "118 is this agent's own container", ""),
    (lambda: judge_vmid(118, Holder(is_free=False, problem="VMID 118 is taken by x: choose another")), "failed", "VMID 118 is taken by x", "choose another"),
    (lambda: disk(STORES), "ok", "local-lvm has 100 GiB free", ""),
    (lambda: disk({"local": STORES["local"]}), "failed", "gihyeon has no datastore local-lvm; there is local", "correct disk.datastore in homelab.yaml"),
    (lambda: disk(with_store("local-lvm", free=9 * GIB)), "warning", "local-lvm has 9 GiB free, and the disk may grow to 24",
     "make room on local-lvm, or write a smaller disk.size_gib or another disk.datastore in homelab.yaml"),
    (lambda: disk(with_store("local-lvm", free=9 * GIB, kind="lvm")), "failed", "local-lvm has 9 GiB free, and the disk takes 24",
     "make room on local-lvm, or write a smaller disk.size_gib or another disk.datastore in homelab.yaml"),
    (lambda: disk(with_store("local-lvm", free=9 * GIB, kind="lvm"), is_new=False), "ok", "local-lvm has 9 GiB free", ""),
    (lambda: disk(with_store("local-lvm", enabled=False)), "failed", "datastore local-lvm is disabled or not for gihyeon",
     "correct disk.datastore in homelab.yaml, or enable it (Datacenter, Storage)"),
    (lambda: disk(with_store("local-lvm", active=False)), "failed", "datastore local-lvm is not active on gihyeon",
     "look at `pvesm status` on gihyeon, or correct disk.datastore in homelab.yaml"),
    (lambda: disk(with_store("local-lvm", content=frozenset({"images"}))), "failed", "datastore local-lvm holds images, not rootdir",
     "run `pvesm set local-lvm --content images,rootdir` on gihyeon, or correct disk.datastore in homelab.yaml"),
    (lambda: store(STORES), "ok", "local", ""),
    (lambda: store(with_store("local", content=frozenset({"none"}))), "failed", "datastore local holds none, not vztmpl",
     "run `pvesm set local --content vztmpl` on gihyeon, or correct template.datastore in homelab.yaml"),
    (lambda: judge_template("gihyeon", TEMPLATE, [FILE]), "ok", f"{FILE} is there", ""),
    (lambda: judge_template("gihyeon", WITH_FILE, [FILE]), "failed", f"local:vztmpl/own.tar.zst is not there; there is {FILE}",
     "put it there (`pveam available` on gihyeon lists Proxmox's own), or leave template.file_id out"),
    (lambda: judge_download("gihyeon", TEMPLATE, GIB, 124 << 20, ""), "ok", f"{TEMPLATE.file_name} can be downloaded (124 MiB)", ""),
    (lambda: judge_download("gihyeon", TEMPLATE, GIB, 0, ""), "ok", TEMPLATE.file_name, ""),
    (lambda: judge_download("gihyeon", TEMPLATE, 9 << 20, 124 << 20, ""), "failed", "local has 9 MiB free, and the template 124",
     "make room on local, or write another template.datastore in homelab.yaml"),
    (lambda: judge_download("gihyeon", TEMPLATE, GIB, 0, "404 Not Found"), "failed", f"gihyeon gets nothing from {TEMPLATE.url} (404 Not Found)",
     f"try `curl -sSI {TEMPLATE.url}` on gihyeon; correct its name servers, its way out, or template.url"),
    (lambda: judge_bridge("gihyeon", "intra01", {"intra01"}, ACCESS), "ok", "intra01", ""),
    # this machine
    (lambda: judge_terraform(Answer("terraform", 0, "Terraform v1.15.5\non linux_amd64\n")), "ok", "Terraform 1.15.5", ""),
    (lambda: judge_terraform(Answer("tofu", 0, "OpenTofu v1.10.0\non linux_amd64\n")), "ok", "OpenTofu 1.10.0", ""),
    (lambda: judge_node_js(Answer("node", 0, "v22.20.0\n")), "ok", "Node.js v22.20.0", ""),
    (lambda: judge_node_js(Answer("node", 0, "v18.1.0\n")), "failed", "Node.js v18.1.0 is too old", "run `make setup`, which installs Node.js 22 into the project"),
    (lambda: judge_node_js(Answer("node", None)), "failed", "there is no Node.js on PATH", "run `make setup`, which installs Node.js 22 into the project"),
    (lambda: judge_node_js(Answer("node", 0, "v24.1.0\n")), "warning", "Node.js v24.1.0: the cdktf command line runs on 20 and 22",
     "run `make setup`, which installs Node.js 22 into the project"),
    # secrets
    (lambda: judge_given("hermes", Given({"A": "x"}, ()), ""), "ok", "A", ""),
    (lambda: judge_given("hermes", Given({}, ("A",)), "~/hermes.env"), "failed", "A has no value", "write it into ~/hermes.env"),
    (lambda: judge_given("hermes", Given({}, ("API_KEY",), {"API_KEI": "API_KEY"}), "x.env"), "failed",
     "API_KEY has no value; API_KEI is there: did you mean API_KEY?", "write it into x.env"),
    (lambda: judge_given("hermes", Given({}, ("A", "B")), ""), "failed", "A, B have no value", "name the file with them in root.env, as HERMES_ENV_FILE=…"),
]  # fmt: skip


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: f"{row[1]} {row[2][:40]}")
def test_what_an_answer_means(row: tuple[Callable[[], Outcome], str, str, str]) -> None:
    judge, status, detail, remedy = row
    assert judge() == Outcome(status, detail, remedy)  # type: ignore[arg-type]
    assert bool(remedy) is (status in ("failed", "warning"))


@pytest.mark.parametrize("text", ["Terraform v1.7.9\n", "Terraform v0.12.31\n", "OpenTofu v1.6.2\n"])
def test_a_terraform_that_is_too_old_is_said_with_how_to_get_one(text: str) -> None:
    found = judge_terraform(Answer("terraform", 0, text))
    name, version = text.split()
    assert (found.status, found.detail) == ("failed", f"{name} {version.removeprefix('v')} is too old")
    assert "make setup" in found.remedy
    assert "opentofu.org" in found.remedy


def test_without_terraform_there_is_how_to_get_it() -> None:
    found = judge_terraform(Answer("tofu", None))
    assert (found.status, found.detail) == ("failed", "tofu is not on PATH")
    assert "developer.hashicorp.com/terraform/install" in found.remedy
    # What the project's own launcher says.
    of_launcher = judge_terraform(Answer("terraform", 127, "terraform: none is on PATH, and …: install Terraform\n"))
    assert (of_launcher.status, bool(of_launcher.remedy)) == ("failed", True)


def test_a_file_that_others_can_read_is_said_with_what_to_run(tmp_path: Path) -> None:
    env, root = tmp_path / ".env", tmp_path / "root.env"
    assert judge_files([env, root]) == skipped("neither .env nor root.env is there yet")
    env.touch(0o600)
    assert judge_files([env, root]) == ok(".env: readable by you alone")
    root.touch()
    root.chmod(0o644)
    found = judge_files([env, root])
    assert found.detail == f"{root} can be read by others (mode 0644)"
    assert found.remedy == f"run `chmod 600 {root}`"


def test_a_bridge_that_the_token_is_not_shown_has_both_remedies() -> None:
    found = judge_bridge("gihyeon", "intra01", {"vmbr1", "vmbr0"}, ACCESS)
    assert found.detail == "the token may use no bridge or vnet intra01 on gihyeon; it may use vmbr0, vmbr1"
    first, *commands = found.remedy.splitlines()
    assert first == (
        "correct network.bridge in homelab.yaml; or, if `ip link show intra01` on gihyeon shows it, as root there:"
    )
    assert commands[-2] == (
        "pveum acl modify /sdn/zones/${zone:-localnetwork}/intra01 --roles AgentNetwork --tokens 'terraform@pve!deploy'"
    )


@pytest.mark.parametrize(
    ("words", "detail", "remedy"),
    [
        ("Host key verification failed.", "this machine does not know the host key of 10.1.10.10", "ssh root@10.1.10.10 true"),
        (
            "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\nHost key verification failed.",
            "the host key of 10.1.10.10 is not the one that this machine knows",
            "ssh-keygen -R 10.1.10.10",
        ),
        (
            "root@10.1.10.10: Permission denied (publickey,password).",
            "root@10.1.10.10 asks for a password, and nobody is there to type it",
            "ssh-copy-id root@10.1.10.10",
        ),
        (
            "ssh: Could not resolve hostname 10.1.10.10: Name or service not known",
            "there is no host of the name 10.1.10.10",
            "PVE_SSH in root.env",
        ),
        ("ssh: connect to host x port 22: Connection refused", "ssh does not reach 10.1.10.10", "PVE_TRANSPORT=paste"),
        ("kex_exchange: \x1b[31mweird\x07", "ssh to root@10.1.10.10 fails: kex_exchange: [31mweird", "ssh -v root@10.1.10.10 true"),
    ],
)  # fmt: skip
def test_what_ssh_says_has_a_remedy(words: str, detail: str, remedy: str) -> None:
    found = judge_ssh("root@10.1.10.10", words)
    assert (found.status, found.detail) == ("failed", detail)
    assert remedy in found.remedy


# --- what root sees

MOUNTED = PathFact("directory", 0, 0, 0o755)
HOST = {"/": MOUNTED, "/mnt": MOUNTED, "/mnt/pve": MOUNTED, "/media": MOUNTED} | {
    path: replace(MOUNTED, mounted_at=path) for path in ("/mnt/pve/hdd", "/media/2tb")
}
SEEN = Facts(node="gihyeon", pve_container="6.1.10", lxc_pve="6.0.5-3", paths=HOST)
OURS = {"hostname": "hermes", "tags": "ai;pve-agents-hermes", "unprivileged": "1", "features": "nesting=1"}


def agent(directory: Path, **hermes: Any) -> Agent:
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": hermes}}))
    return load_settings(directory).agents["hermes"]


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    it = agent(tmp_path)
    return wanted_of(it)


def test_host_directories_are_well_on_a_disk_that_is_mounted(wanted: Wanted) -> None:
    assert judge_directories(wanted, SEEN) == ok(
        "/mnt/pve/hdd/hermes (on /mnt/pve/hdd), /media/2tb/hermes (on /media/2tb)"
    )


def test_a_parent_that_is_not_there_fails(wanted: Wanted) -> None:
    found = judge_directories(wanted, replace(SEEN, paths={k: v for k, v in HOST.items() if k != "/media/2tb"}))
    assert found.status == "failed"
    assert found.detail == "/media/2tb/hermes: /media/2tb does not exist"
    assert found.remedy.startswith("Is its disk mounted?")


def test_a_directory_on_the_root_file_system_is_worth_a_look(wanted: Wanted) -> None:
    found = judge_directories(wanted, replace(SEEN, paths={**HOST, "/media/2tb": MOUNTED}))
    assert (found.status, found.detail) == (
        "warning",
        "/media/2tb/hermes will be on the root file system: is the disk mounted?",
    )
    assert "findmnt -T" in found.remedy


@pytest.mark.parametrize(
    ("lxc", "docker", "status"),
    [
        ("6.0.5-3", "docker", "ok"),
        ("6.0.5-2", "docker", "ok"),
        ("6.0.5-1", "docker", "failed"),
        ("6.0.4-9", "debian", "warning"),
        ("6.0.4-9", "", "ok"),
        ("7.0.0-1", "docker", "ok"),
        ("", "docker", "warning"),
    ],
)
def test_an_lxc_under_which_dockers_containers_do_not_start_is_said(
    wanted: Wanted, lxc: str, docker: str, status: str
) -> None:
    found = judge_packages(wanted, replace(SEEN, lxc_pve=lxc), docker=docker)
    assert found.status == status
    assert bool(found.remedy) is (status != "ok")


def test_an_option_of_a_mount_that_the_node_is_too_old_for_fails(tmp_path: Path) -> None:
    mount = {"host_path": "/mnt/pve/hdd/hermes", "guest_path": "/data", "keepattrs": True}
    it = agent(tmp_path, mounts={"mp0": mount})
    wants = wanted_of(it)
    found = judge_packages(wants, replace(SEEN, pve_container="6.1.1"))
    assert (found.status, found.detail) == (
        "failed",
        "mp0: keepattrs needs pve-container 6.1.2 or newer; this node has 6.1.1",
    )
    assert judge_packages(wants, SEEN).status == "ok"


def test_a_device_that_is_not_there_fails(wanted: Wanted) -> None:
    wants = replace(wanted, devices=(Attached("dev0", "/dev/dri/renderD128", "", {}),))
    assert judge_devices(wants, SEEN).detail == "no character device of gihyeon: /dev/dri/renderD128 (dev0)"
    there = {**HOST, "/dev/dri/renderD128": PathFact("character special file")}
    assert judge_devices(wants, replace(SEEN, paths=there)) == ok("/dev/dri/renderD128")


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        (SEEN, "ok", "118 is not there yet"),
        (replace(SEEN, containers={118: Container(118, OURS)}, state="running"), "ok", "118 hermes is running"),
        (replace(SEEN, containers={118: Container(118, {**OURS, "hostname": "before"})}), "ok", "118 hermes"),
        (replace(SEEN, containers={118: Container(118, {**OURS, "tags": "ai"})}), "failed", "somebody else's"),
        (replace(SEEN, containers={118: Container(118, {**OURS, "unprivileged": "0"})}), "failed", "privileged"),
        (replace(SEEN, containers={118: Container(118, {**OURS, "lock": "backup"})}), "failed", "locked"),
        (replace(SEEN, containers={118: Container(118, OURS)}, ha=frozenset({118})), "failed", "ha-manager remove ct:118"),
        (replace(SEEN, elsewhere=("other/lxc",)), "failed", "on node other"),
    ],
)  # fmt: skip
def test_the_container_that_is_there_has_to_be_ours(wanted: Wanted, facts: Facts, status: str, words: str) -> None:
    found = judge_container(wanted, facts)
    assert found.status == status
    assert words in f"{found.detail}: {found.remedy}"
    assert bool(found.remedy) is (status == "failed")


def test_a_container_that_is_to_be_taken_over_may_be_called_otherwise_and_has_to_fit_all_the_same(
    wanted: Wanted,
) -> None:
    theirs = {**OURS, "hostname": "old", "tags": "x"}
    assert judge_container(wanted, replace(SEEN, containers={118: Container(118, theirs)}), adopt=True).status == "ok"
    privileged = {118: Container(118, {**theirs, "unprivileged": "0"})}
    assert judge_container(wanted, replace(SEEN, containers=privileged), adopt=True).status == "failed"


def test_what_the_api_does_not_show_is_skipped_and_not_well(wanted: Wanted) -> None:
    unseen = Facts(node="gihyeon", sees_paths=False)
    for judge in (judge_packages, judge_directories, judge_devices):
        assert judge(wanted, unseen).status == "skipped"


# --- what a kind asks

URL = "http://10.1.10.22:4000/v1/models"


def listed(*names: str) -> tuple[int, str]:
    return 200, json.dumps({"data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (listed("hermes"), "ok", f"hermes at {URL}"),
        (listed("other"), "failed", "does not list the model hermes; it lists other"),
        ((401, '{"error": {"message": "Invalid key"}}'), "failed", "refuses the key LITELLM_API_KEY (HTTP 401: Invalid key)"),
        ((404, ""), "warning", "lists no models (HTTP 404)"),
        ((500, "oops"), "failed", "answers HTTP 500: oops"),
        ("Connection refused", "warning", f"{URL} does not answer here (Connection refused)"),
    ],
)  # fmt: skip
def test_the_model_endpoint_takes_the_key_and_lists_the_model(
    answer: tuple[int, str] | str, status: str, words: str
) -> None:
    found = judge_models("librarian", "hermes", URL, answer, "LITELLM_API_KEY")
    assert found.status == status
    assert words in found.detail
    assert "AGENT" not in found.remedy
    assert bool(found.remedy) is (status != "ok")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        ((200, '{"ok": true, "result": {"username": "house_bot"}}'), "ok", "@house_bot"),
        ((401, '{"ok": false, "description": "Unauthorized"}'), "failed", "does not know the token X (HTTP 401: Unauthorized)"),
        ((404, ""), "failed", "does not know the token X"),
        ((429, '{"description": "Too Many Requests"}'), "warning", "Too Many Requests"),
        ((200, "<html>"), "warning", "something else"),
        ("timed out", "warning", "does not answer here (timed out)"),
    ],
)  # fmt: skip
def test_telegram_knows_the_bot(answer: tuple[int, str] | str, status: str, words: str) -> None:
    found = judge_bot(answer, "X")
    assert found.status == status
    assert words in found.detail
    assert bool(found.remedy) is (status != "ok")


TELEGRAM_TOKEN = "123:AAA-of-the-bot"
VALUES = {"LITELLM_API_KEY": "sk-of-the-agent", "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN, "WORK_TELEGRAM_BOT_TOKEN": "9:W"}


def secret(name: str) -> SecretStr:
    return SecretStr(VALUES[name])


def test_each_profile_is_asked_for_with_its_own_key_and_token(tmp_path: Path) -> None:
    asked = []

    def answer(path: str, key: str | None) -> tuple[int, str]:
        asked.append((path, key))
        return listed("hermes", "big") if "models" in path else (200, '{"result": {"username": "b"}}')

    with answering(answer) as url:
        it = agent(
            tmp_path,
            hermes={
                "settings": {"providers": {"litellm": {"base_url": f"{url}/v1"}}},
                "platforms": {"telegram": {"allowed_users": [123456789], "base_url": f"{url}/bot"}},
                "profiles": {
                    "work": {
                        "settings": {"model": {"default": "big"}},
                        "api_server": {"port": 8700},
                        "platforms": {"telegram": {"allowed_users": [123456789], "base_url": f"{url}/bot"}},
                    }
                },
            },
        )
        found = made(*checks_of(it, secret))
    assert [(each.name, each.status) for each in found] == [
        ("model", "ok"), ("telegram", "ok"), ("model work", "ok"), ("telegram work", "ok"),
    ]  # fmt: skip
    assert ("/v1/models", "Bearer sk-of-the-agent") in asked
    assert {path for path, _ in asked if "bot" in path} == {f"/bot{TELEGRAM_TOKEN}/getMe", "/bot9:W/getMe"}


def test_where_hermes_goes_through_a_proxy_nobody_guesses(tmp_path: Path) -> None:
    platforms = {"telegram": {"allowed_users": [123456789], "proxy": "socks5://10.1.10.1:1080"}}
    it = agent(tmp_path, hermes={"platforms": platforms, "environment": {"HTTPS_PROXY": "http://10.1.10.1:3128"}})
    assert {each.status for each in made(*checks_of(it, secret))} == {"skipped"}


def test_a_kind_without_a_doctor_has_no_checks(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text("agents: {bare: {vmid: 119}}\n")
    assert checks_of(load_settings(tmp_path).agents["bare"], secret) == ()
