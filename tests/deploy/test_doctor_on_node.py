"""agents doctor against a node: what is wrong there is one line, what it tells people to do mends it, and nothing is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.answering import answering
from tests.deploy.project import HDD, Project
from tests.in_process import run_agents
from tests.virtual_node.node import TOKEN, VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")]

TERRAFORM = "#!/bin/sh\necho Terraform v1.15.5\n"
BOT = "123456:AAA-of-the-bot"
NAMES = [
    *(
        "terraform",
        "node.js",
        "private files",
        "endpoint",
        "certificate",
        "token",
        "node",
        "privileges",
        "vmid",
        "disk",
    ),
    *(
        "template store",
        "template",
        "bridge",
        "credentials",
        "root",
        "packages",
        "host directories",
        "container",
        "secrets",
    ),
    *("model", "telegram"),
]


@dataclass
class Doctor:
    """The command, with a model and a bot that are there."""

    project: Project
    url: str
    home: Path
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def configure(self, **hermes: Any) -> None:
        platforms = {"telegram": {"allowed_users": [123456789], "base_url": f"{self.url}/bot"}}
        settings = {"providers": {"litellm": {"base_url": f"{self.url}/v1"}}}
        self.project.configure(**{"hermes": {"settings": settings, "platforms": platforms}, **hermes})

    def __call__(self, *arguments: str, **variables: str) -> Mapping[str, Mapping[str, Any]]:
        """What came of each check, by its name."""
        done = self.run("--json", *arguments, **variables)
        document = json.loads(done.stdout)
        assert done.stderr == ""
        assert done.returncode == (0 if document["ok"] else 1)
        return {it["name"]: it for it in document["checks"]}

    def is_well(self, **variables: str) -> Mapping[str, Mapping[str, Any]]:
        """The same, where nothing failed."""
        found = self(**variables)
        assert [it for it in found.values() if it["status"] == "failed"] == []
        return found

    def run(self, *arguments: str, **variables: str) -> Any:
        environment = {name: value for name, value in {**self.project.env, **variables}.items() if value}
        return run_agents("doctor", *arguments, env={**environment, "HOME": str(self.home)})

    def failed(self, **variables: str) -> list[tuple[str, str]]:
        """The checks that failed, each with what it found."""
        found = self(**variables)
        assert all(it["remedy"] for it in found.values() if it["status"] in ("failed", "warning"))
        return [(name, it["detail"]) for name, it in found.items() if it["status"] == "failed"]

    def mend(self, name: str) -> None:
        """Run as root on the node what the remedy of a check says."""
        lines = self()[name]["remedy"].splitlines()
        done = self.project.node.paste(
            "".join(f"{line}\n" for line in lines if line.startswith(("pveum", "vnets", "zone")))
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def doctor(project: Project, tmp_path: Path) -> Iterator[Doctor]:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "terraform-of-the-test"
    program.write_text(TERRAFORM)
    program.chmod(0o755)
    project.env |= {
        "TERRAFORM_BINARY_NAME": program.name,
        "PATH": os.pathsep.join([str(program.parent), project.env["PATH"]]),
        "TELEGRAM_BOT_TOKEN": BOT,
    }
    answers = {
        "/v1/models": (200, '{"data": [{"id": "hermes"}]}'),
        f"/bot{BOT}/getMe": (200, '{"ok": true, "result": {"username": "house_bot"}}'),
    }
    with answering(lambda path, _: answers.get(path, (404, ""))) as url:
        it = Doctor(project, url, tmp_path / "home", answers)
        it.configure()
        yield it


def test_all_is_well_and_nothing_is_changed(doctor: Doctor, virtual_node: VirtualNode) -> None:
    found = doctor.is_well()
    assert list(found) == NAMES
    assert {name for name, it in found.items() if it["status"] != "ok"} == {"private files", "certificate"}
    assert found["telegram"]["detail"] == "@house_bot"
    assert found["host directories"]["detail"].startswith(f"{HDD} (on /mnt/pve/hdd)")
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])
    # Nor here.
    assert [it for it in (doctor.project.out, doctor.home) if it.exists()] == []


def test_a_line_each_for_people_and_how_many_there_were(doctor: Doctor) -> None:
    doctor.answers["/v1/models"] = (200, '{"data": [{"id": "other"}]}')
    done = doctor.run("hermes")
    assert done.returncode == 1
    *lines, end = done.stdout.splitlines()
    assert [line[2:20].rstrip() for line in lines if not line.startswith("    ")] == NAMES
    (at,) = (i for i, line in enumerate(lines) if line.startswith("✗"))
    assert lines[at][2:].startswith("model ")
    assert lines[at + 1] == (
        "    set agents.hermes.hermes.settings.model.default to a listed one, or add it to LiteLLM's model_list"
    )
    assert end == "21 checks, 1 failed, 2 skipped"


def test_after_the_deploy_all_is_well_as_before(doctor: Doctor, virtual_node: VirtualNode) -> None:
    doctor.project.create_container()
    virtual_node.pve.storages["local-lvm"]["avail"] = 0
    found = doctor.is_well()
    assert found["vmid"]["detail"] == "118 is this agent's own container"
    assert found["container"]["detail"] == "118 hermes is running"
    # Its disk is there already.
    assert found["disk"]["status"] == "ok"
    assert found["template"]["detail"].endswith("is there")


def test_somebody_elses_container_is_in_the_way_until_it_is_to_be_taken_over(
    doctor: Doctor, virtual_node: VirtualNode
) -> None:
    virtual_node.add_foreign_container(118)
    assert [name for name, _ in doctor.failed()] == ["vmid", "container"]
    doctor.configure(adopt=True)
    doctor.is_well()


def test_our_container_may_get_another_name(doctor: Doctor) -> None:
    doctor.project.create_container()
    doctor.configure(hostname="another")
    doctor.is_well()


def test_a_wrong_endpoint_is_one_failure(doctor: Doctor) -> None:
    found = doctor(PROXMOX_VE_ENDPOINT="https://127.0.0.1:9")
    assert [name for name, it in found.items() if it["status"] == "failed"] == ["endpoint"]
    skipped = NAMES[NAMES.index("certificate") : NAMES.index("credentials")]
    assert {it["status"] for name, it in found.items() if name in skipped} == {"skipped"}
    assert found["disk"]["detail"] == "the endpoint has to be well first"


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"PROXMOX_VE_ENDPOINT": ""}, "endpoint"),
        ({"PROXMOX_VE_INSECURE": "", "SSL_CERT_FILE": os.devnull}, "certificate"),
        ({"PROXMOX_VE_API_TOKEN": ""}, "token"),
        ({"PROXMOX_VE_API_TOKEN": f"{TOKEN}=0b9e1f00-dead-4bad-8bad-5ec2e75ec2e7"}, "token"),
        ({"PROXMOX_VE_API_TOKEN": "PVEAPIToken=x"}, "token"),
        ({"PVE_SSH": ""}, "root"),
        ({"PVE_SSH": "root@elsewhere"}, "root"),
        ({"PVE_TRANSPORT": "pigeon"}, "root"),
        ({"LITELLM_API_KEY": ""}, "secrets"),
        ({"LITELLM_API_KEY": "replace-me"}, "secrets"),
        ({"TELEGRAM_BOT_TOKEN": "123456:of-nobody"}, "telegram"),
        ({"TERRAFORM_BINARY_NAME": "no-such-terraform"}, "terraform"),
    ],
)
def test_one_wrong_variable_is_one_failure(doctor: Doctor, variables: dict[str, str], name: str) -> None:
    assert [it for it, _ in doctor.failed(**variables)] == [name]


def test_what_a_token_lacks_is_given_by_the_lines_below(doctor: Doctor, virtual_node: VirtualNode) -> None:
    virtual_node.revoke("VM.Audit")
    virtual_node.revoke("Datastore.AllocateSpace")
    assert doctor.failed() == [
        (
            "privileges",
            f"{TOKEN} lacks VM.Audit on /vms/118; Datastore.AllocateSpace on /storage/local-lvm",
        )
    ]
    doctor.mend("privileges")
    doctor.is_well()


@pytest.mark.parametrize("zone", ["intra", None])
def test_a_bridge_that_the_token_may_not_use_is_given_by_the_lines_below(
    doctor: Doctor, virtual_node: VirtualNode, zone: str | None
) -> None:
    if zone is None:
        virtual_node.pve.vnets.clear()
        virtual_node.pve.bridges.add("intra01")
    else:
        virtual_node.revoke("SDN.Use")
    assert [name for name, _ in doctor.failed()] == ["bridge"]
    doctor.mend("bridge")
    doctor.is_well()


def test_a_bridge_that_is_not_there_is_said_with_those_that_are(doctor: Doctor) -> None:
    doctor.configure(network={"bridge": "vmbr7"})
    assert doctor.failed() == [
        ("bridge", "the token may use no bridge or vnet vmbr7 on gihyeon; it may use intra01"),
    ]


def test_what_is_wrong_on_the_node_is_a_failure_each(doctor: Doctor, virtual_node: VirtualNode) -> None:
    pve = virtual_node.pve
    virtual_node.add_foreign_vm(118)
    pve.storages["local"]["content"] = "iso"
    pve.storages["local-lvm"]["disable"] = 1
    virtual_node.host.real("/media/2tb").rmdir()
    with virtual_node.host.changing() as state:
        state["lxc"] = "6.0.4-1"
    assert [name for name, _ in doctor.failed()] == [
        *("vmid", "disk", "template store", "packages", "host directories", "container"),
    ]


def test_a_template_that_the_node_cannot_get_fails(doctor: Doctor, virtual_node: VirtualNode) -> None:
    url = "http://download.proxmox.com/images/system/debian-12-standard_12.12-1_amd64.tar.zst"
    virtual_node.pve.web[url] = None
    assert doctor.failed() == [("template", f"gihyeon gets nothing from {url} (404 Not Found)")]


def test_an_api_that_fails_in_the_middle_is_a_failure_of_that_check_alone(
    doctor: Doctor, virtual_node: VirtualNode
) -> None:
    for resource in ("query-url-metadata", "network"):
        virtual_node.pve.fail("GET", f"/nodes/gihyeon/{resource}", 500, "boom")
    found = dict(doctor.failed())
    assert list(found) == ["template", "bridge"]
    assert "answers HTTP 500 (boom)" in found["template"]


def test_another_node_behind_ssh_is_not_the_agents(doctor: Doctor, virtual_node: VirtualNode) -> None:
    virtual_node.pve.add_node("other")
    doctor.configure(node="other")
    assert ("root", "this is node gihyeon, and the agent belongs to other") in doctor.failed()


def test_with_paste_what_the_api_does_not_show_is_skipped(doctor: Doctor) -> None:
    found = doctor.is_well(PVE_TRANSPORT="paste", PVE_SSH="")
    assert found["root"]["detail"].startswith("paste")
    assert {found[name]["status"] for name in ("packages", "host directories", "secrets", "model")} == {"skipped"}
    assert found["container"]["status"] == "ok"


def test_a_file_of_roots_that_others_can_read_is_said_once_and_its_remedy_works(doctor: Doctor) -> None:
    file = doctor.home / ".config" / "pve-agents" / "root.env"
    file.parent.mkdir(parents=True)
    file.write_text("PVE_SSH=root@127.0.0.1\nLITELLM_API_KEY=sk\nAPI_SERVER_KEY=0123456789abcdef\n")
    file.chmod(0o644)
    gone = {"PVE_SSH": "", "PVE_TRANSPORT": ""}
    failed = doctor.failed(**gone)
    assert ("private files", f"{file} can be read by others (mode 0644)") in failed
    assert {name for name, _ in failed} == {"private files", "root", "secrets"}
    assert doctor(**gone)["private files"]["remedy"] == f"run `chmod 600 {file}`"
    file.chmod(0o600)
    assert doctor.is_well(**gone)["root"]["detail"] == "root@127.0.0.1 on gihyeon, without a password"


def test_no_secret_is_in_what_it_says(doctor: Doctor) -> None:
    secrets = {"LITELLM_API_KEY": "a-key-of-no-known-form", "TELEGRAM_BOT_TOKEN": "98765:VERY-secret"}
    wrong = {"data": [{"id": f"model-{secrets['LITELLM_API_KEY']}"}]}
    doctor.answers["/v1/models"] = (200, json.dumps(wrong))
    doctor.answers["/bot98765:VERY-secret/getMe"] = (401, '{"description": "no 98765:VERY-secret"}')
    for arguments in ((), ("--json",)):
        done = doctor.run(*arguments, **secrets)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert [
            it for it in (*secrets.values(), doctor.project.env["PROXMOX_VE_API_TOKEN"].partition("=")[2]) if it in said
        ] == []
        assert "model-***" in said


def test_several_agents_have_a_heading_each(doctor: Doctor) -> None:
    bare: dict[str, Any] = {"hermes": None, "mounts": {}, "keyctl": False}
    doctor.project.configure({"hermes": bare, "scribe": {"vmid": 119}})
    done = doctor.run()
    assert [line for line in done.stdout.splitlines() if line.endswith(":")] == ["hermes:", "scribe:"]
    assert len(doctor.run("scribe").stdout.splitlines()) < len(done.stdout.splitlines())


def test_wrong_settings_are_status_2_and_nobody_is_asked(doctor: Doctor, virtual_node: VirtualNode) -> None:
    virtual_node.pve.requests.clear()
    doctor.configure(vmid="x")
    done = doctor.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "agents.hermes.vmid" in done.stderr
    assert doctor.run("nobody").returncode == 2
    assert virtual_node.pve.requests == []


@pytest.mark.terraform
def test_the_terraform_of_this_machine_is_new_enough(doctor: Doctor) -> None:
    found = doctor(TERRAFORM_BINARY_NAME=os.environ.get("TERRAFORM_BINARY_NAME", "terraform"))
    assert found["terraform"]["status"] == "ok"


def test_a_directory_needs_a_datastore_that_can_hold_one(doctor: Doctor, virtual_node: VirtualNode) -> None:
    virtual_node.grant("Datastore.AllocateSpace", "/storage/hdd")
    volume = {"kind": "volume", "guest_path": "/data", "size_gib": 8}
    directory = {"kind": "directory", "guest_path": "/fast", "datastore": "local-lvm"}
    doctor.configure(mounts={"mp0": volume, "mp1": directory})
    found = doctor()["volumes"]
    assert (found["status"], found["detail"]) == (
        "failed",
        "mp1 is a directory, and local-lvm is of the type lvmthin, which holds none",
    )
    assert found["remedy"] == ("write kind: volume with a size_gib there, or a mounts.mp1.datastore of the type dir")
    doctor.configure(mounts={"mp0": volume, "mp1": {**directory, "datastore": "hdd"}})
    assert (doctor()["volumes"]["status"], doctor()["volumes"]["detail"]) == ("ok", "mp0 at /data, mp1 at /fast")
    virtual_node.grant("Datastore.AllocateSpace", "/storage/local")
    doctor.configure(mounts={"mp0": {**volume, "datastore": "local"}})
    assert doctor()["volumes"]["detail"] == "datastore local holds backup, iso, vztmpl, not rootdir"


def test_without_root_the_token_is_all_that_is_looked_at(doctor: Doctor, virtual_node: VirtualNode) -> None:
    doctor.configure(delivery="console", mounts={})
    gone = {"PVE_SSH": "", "PVE_TRANSPORT": "", "PVE_READ_TOKEN": ""}
    found = doctor(**gone)
    assert found["privileges"]["detail"].endswith("lacks VM.Console on /vms/118")
    doctor.mend("privileges")

    found = doctor.is_well(**gone)

    assert not {"root", "packages", "host directories", "container"} & found.keys()
    assert found["credentials"]["detail"] == (
        "the API token alone: files and secrets go through the container's console"
    )
    assert found["console"]["detail"].startswith("Proxmox VE 9.1.4;")
    assert virtual_node.ssh_calls == []

    virtual_node.pve.version = "9.0.9"
    assert doctor.failed(**gone) == [
        ("console", "Proxmox VE 9.0.9 opens no console for an API token, which 9.0.13 does")
    ]


def test_root_without_ssh_is_looked_for_in_the_nodes_console(
    doctor: Doctor, virtual_node: VirtualNode, tmp_path: Path
) -> None:
    doctor.configure()
    password = tmp_path / "password"
    password.write_text(virtual_node._password)
    password.chmod(0o600)
    variables = {"PVE_TRANSPORT": "console", "PVE_SSH": "", "PVE_ROOT_PASSWORD_FILE": str(password)}
    variables["XDG_RUNTIME_DIR"] = str(tmp_path)

    found = doctor.is_well(**variables)

    assert found["root"]["detail"] == "root@pam on gihyeon, in its own console"
    assert found["credentials"]["detail"] == "the API token, and root on gihyeon by console"
    assert virtual_node.ssh_calls == []
