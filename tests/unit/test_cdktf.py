"""scripts/cdktf: what it looks at before it becomes cdktf, and what cdktf then gets."""

from __future__ import annotations

import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.parse import quote

import pytest

from pve_agents.environment import ROOT_FILE
from tests.unit.fake_api import GRANTED, SECRET, TOKEN, TOKEN_ID, VM, Pve

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

SCRIPTS = Path(__file__).parents[2] / "scripts"
ROOTS = {
    "PVE_SSH": "root@10.1.10.10",
    "HERMES_ENV_FILE": "hermes.env",
    "LITELLM_API_KEY": "sk-x",
    "API_SERVER_KEY": "y",
}


class Project:
    """A project of which only the start of cdktf is a fake."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.script = directory / "scripts" / "cdktf"
        self.script.parent.mkdir(parents=True)
        shutil.copy(SCRIPTS / "cdktf", self.script)
        self.env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
        self.umask = 0o022
        self.called: tuple[list[str], dict[str, str]] | None = None

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it in this process: what it imports takes longer than what it does."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in {**self.env, **environment}.items():
                patch.setenv(name, value)
            patch.chdir(self.directory)
            patch.setattr(os, "execve", self._become)
            patch.setattr(sys, "argv", [str(self.script), *arguments])
            before = os.umask(self.umask)
            try:
                runpy.run_path(str(self.script), run_name="__main__")
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                os.umask(before)
        assert SECRET not in out.getvalue() + err.getvalue()
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def _become(self, program: Path, argv: list[str], environment: dict[str, str]) -> None:
        assert argv[0] == str(program) == str(self.directory / "node_modules" / ".bin" / "cdktf")
        self.called = argv[1:], environment
        (self.directory / "made").touch()
        sys.exit(0)

    def refused(self, *arguments: str, **environment: str) -> str:
        """What it says when it does not start cdktf."""
        done = self.run(*arguments, **environment)
        assert (done.returncode, done.stdout, self.called) == (2, "", None)
        return done.stderr.removesuffix("\n")


@pytest.fixture
def project(tmp_path: Path, pve: Pve) -> Iterator[Project]:
    project = Project(tmp_path / "project")
    project.env |= {"PROXMOX_VE_ENDPOINT": pve.url, "PROXMOX_VE_API_TOKEN": TOKEN, "PROXMOX_VE_INSECURE": "true"}
    yield project
    assert pve.authorizations <= {f"PVEAPIToken={TOKEN}"}


# The node first --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["diff", "deploy", "destroy"])
def test_the_node_is_asked_before_anything_starts(project: Project, pve: Pve, command: str) -> None:
    pve.respond = lambda _: (401, b"")
    said = project.refused(command, "hermes", "--auto-approve")
    assert said.startswith(f"{pve.url} does not accept token {TOKEN_ID}")
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PROXMOX_VE_ENDPOINT": ""}, "PROXMOX_VE_ENDPOINT is not set: write them into .env"),
        ({"PROXMOX_VE_ENDPOINT": "127.0.0.1:1"}, "PROXMOX_VE_ENDPOINT does not begin with https://"),
        ({"PROXMOX_VE_ENDPOINT": "https://127.0.0.1:1"}, "https://127.0.0.1:1 cannot be reached (Connection refused)"),
        ({"PROXMOX_VE_API_TOKEN": f"PVEAPIToken={TOKEN}"}, "PROXMOX_VE_API_TOKEN begins with PVEAPIToken"),
        ({"PROXMOX_VE_INSECURE": "false"}, "the certificate of "),
        ({"TF_WORKSPACE": "dev"}, "TF_WORKSPACE is set"),
        (
            {"HOMELAB_AGENTS__HERMES__VMID": "7"},
            "HOMELAB_AGENTS__HERMES__VMID: agents.hermes.vmid: the value is not a VMID",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_said_once(project: Project, environment: dict[str, str], sentence: str) -> None:
    said = project.refused("deploy", "hermes", **environment)
    assert said.startswith(sentence)
    assert said.count("\n") == 0
    assert said[-1] in ".?"


def test_a_node_that_hangs_is_waited_for_ten_seconds_at_most(project: Project) -> None:
    """No test waits that long: that the limit is this one."""
    from pve_agents import node_api, privileges  # noqa: PLC0415

    assert node_api.SECONDS == 10
    for function in (privileges.check, privileges.accepted):
        assert function.__kwdefaults__ == {"seconds": 10}
    assert "seconds=" not in (SCRIPTS / "cdktf").read_text()
    assert project.called is None


@pytest.mark.parametrize(
    "command", [["synth"], ["list"], ["output", "hermes"], ["deploy", "--help"], ["deploy", "hermes-root"]]
)
def test_what_needs_no_token_asks_nobody(project: Project, pve: Pve, command: list[str]) -> None:
    assert project.run(*command, PROXMOX_VE_ENDPOINT="", PROXMOX_VE_API_TOKEN="").returncode == 0
    assert project.called is not None
    assert (project.called[0], pve.asked) == (command, [])


def test_a_privilege_that_lacks_is_named_before_a_deploy_with_what_gives_it(project: Project, pve: Pve) -> None:
    pve.grant({**GRANTED, "/vms/118": VM[1:]})
    done = project.run("deploy", "hermes")
    assert (done.returncode, project.called) == (1, None)
    assert done.stderr.startswith(f"token {TOKEN_ID} lacks VM.Allocate on /vms/118; to mend it, as root on the node:\n")


def test_a_token_that_may_only_look_may_look(project: Project, pve: Pve) -> None:
    pve.grant({"/vms/118": ["VM.Audit"]})
    done = project.run("diff", "hermes")
    assert done.returncode == 0
    assert "lacks VM.Allocate" in done.stderr
    assert project.called is not None


STORAGE = "/storage/local"


def test_to_destroy_takes_the_privilege_for_the_templates_file_and_none_of_a_creation(
    project: Project, pve: Pve
) -> None:
    pve.grant({STORAGE: ["Datastore.Allocate"]})
    assert project.run("destroy", "hermes").returncode == 0
    assert pve.asked == [f"/api2/json/access/permissions?path={quote(it, safe='')}" for it in ("/", STORAGE)]


def test_a_destroy_that_would_end_half_way_is_refused_with_the_one_that_does_not(project: Project, pve: Pve) -> None:
    """The report: with the least token of docs/node.md, a 403 at the template when the container was gone already."""
    pve.grant({})
    done = project.run("destroy", "hermes")
    assert (done.returncode, project.called) == (2, None)
    assert done.stderr == (
        f"token {TOKEN_ID} lacks Datastore.Allocate on {STORAGE}, without which the template's file cannot be deleted: "
        "destroy the container alone, with `pipenv run agents down hermes`\n"
    )
    # A part of the stack may leave the template alone, and an agent whose template is there already has none.
    target = "-target=proxmox_virtual_environment_container.hermes"
    assert project.run("destroy", "hermes", TF_CLI_ARGS_destroy=target).returncode == 0
    existing = "agents: {hermes: {template: {file_id: 'local:vztmpl/a.tar.zst'}}}\n"
    (project.directory / "homelab.yaml").write_text(existing)
    assert project.run("destroy", "hermes").returncode == 0


def test_every_agent_of_the_command_is_asked_for(project: Project, pve: Pve) -> None:
    (project.directory / "homelab.yaml").write_text("agents: {hermes: {hermes: null}, librarian: {vmid: 119}}\n")
    pve.grant({**GRANTED, "/vms/119": VM})
    assert project.run("deploy", "*", "--auto-approve").returncode == 0
    assert "/api2/json/access/permissions?path=%2Fvms%2F119" in pve.asked


def test_one_ctrl_c_while_the_node_is_asked_ends_it_with_one_line(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = subprocess.Popen(
            [sys.executable, str(project.script), "diff", "hermes"],
            cwd=project.directory,
            env={**project.env, "PROXMOX_VE_ENDPOINT": f"https://127.0.0.1:{silent.getsockname()[1]}"},
            stderr=subprocess.PIPE,
            text=True,
        )
        # One that is dropped is closed, and that is an answer.
        connection, _ = silent.accept()
        with connection:
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=60)
    assert (run.returncode, said) == (130, "interrupted; nothing was started\n")


# What cdktf gets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "token", "root"),
    [
        (["deploy", "hermes"], True, False),
        (["deploy", "hermes-root"], False, True),
        (["deploy", "hermes", "hermes-root"], True, True),
        (["deploy", "hermes*"], True, True),
        (["synth"], False, False),
    ],
)
def test_each_stack_gets_its_own_credential_alone(
    project: Project, command: list[str], *, token: bool, root: bool
) -> None:
    assert project.run(*command, **ROOTS).returncode == 0
    assert project.called is not None
    _, environment = project.called
    assert ("PROXMOX_VE_API_TOKEN" in environment) is token
    assert {"PVE_SSH", "HERMES_ENV_FILE"} <= environment.keys() if root else not {"PVE_SSH"} & environment.keys()
    if command != ["synth"]:
        assert ("LITELLM_API_KEY" in environment) is root
    assert environment["PROXMOX_VE_INSECURE"] == "true"
    assert (environment["CDKTF_PARALLELISM"], environment["CHECKPOINT_DISABLE"]) == ("1", "1")


def test_a_stack_of_roots_finds_roots_own_file(project: Project, tmp_path: Path) -> None:
    """Messages say `pipenv run cdktf deploy hermes-root`, which reads .env alone."""
    file = tmp_path / ROOT_FILE
    file.parent.mkdir(parents=True)
    file.write_text("PVE_SSH=root@10.1.10.10\n")
    file.chmod(0o644)
    assert "can be read by others (mode 0644): run `chmod 600 " in project.refused(
        "deploy", "hermes-root", HOME=str(tmp_path)
    )
    file.chmod(0o600)
    assert project.run("deploy", "hermes-root", HOME=str(tmp_path)).returncode == 0
    assert project.called is not None
    _, environment = project.called
    assert environment["PVE_SSH"] == "root@10.1.10.10"
    assert "PROXMOX_VE_API_TOKEN" not in environment


def test_the_providers_log_is_left_out_and_that_is_said(project: Project) -> None:
    done = project.run("diff", "hermes", TF_LOG="DEBUG", TF_LOG_PATH="log")
    assert done.stderr.startswith("TF_LOG is left out: the provider would write the API token into the log. ")
    assert done.stderr.count("\n") == 1
    assert project.called is not None
    assert {"TF_LOG", "TF_LOG_PATH"} & project.called[1].keys() == {"TF_LOG_PATH"}

    insists = re.search(r"(PVE_AGENTS_KEEP)=(TF_LOG)", done.stderr)
    assert insists is not None
    assert project.run("diff", "hermes", TF_LOG="DEBUG", **{insists[1]: insists[2]}).stderr == ""
    assert project.called[1]["TF_LOG"] == "DEBUG"


def test_a_target_reaches_terraform(project: Project) -> None:
    assert project.run("diff", "hermes", TF_CLI_ARGS_plan="-target=a.b").returncode == 0
    assert project.called is not None
    assert project.called[1]["TF_CLI_ARGS_plan"] == "-target=a.b"


# Files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_cdktf_writes_is_for_its_owner_alone_whatever_the_umask(project: Project, umask: int) -> None:
    project.umask = umask
    assert project.run("synth").returncode == 0
    assert (project.directory / "made").stat().st_mode & 0o777 == 0o600


def test_what_was_left_open_to_others_is_closed(project: Project) -> None:
    left = {"terraform.hermes.tfstate": 0o644, "terraform.hermes.tfstate.backup": 0o666, "cdktf.log": 0o644}
    for name, mode in left.items():
        (project.directory / name).touch()
        (project.directory / name).chmod(mode)
    (project.directory / "cdktf.out").mkdir()
    (project.directory / "cdktf.out").chmod(0o777)
    (project.directory / "homelab.yaml").write_text("agents: {hermes: {}}\n")
    (project.directory / "homelab.yaml").chmod(0o644)

    assert project.run("synth").returncode == 0

    assert {name: (project.directory / name).stat().st_mode & 0o777 for name in left} == dict.fromkeys(left, 0o600)
    assert (project.directory / "cdktf.out").stat().st_mode & 0o777 == 0o700
    assert (project.directory / "homelab.yaml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_env_file_that_others_can_read_is_refused_until_it_is_closed(
    project: Project, tmp_path: Path, *, elsewhere: bool
) -> None:
    file = tmp_path / "deploy's.env" if elsewhere else project.directory / ".env"
    file.touch()
    file.chmod(0o640)
    where = {"PIPENV_DOTENV_LOCATION": str(file)} if elsewhere else {}
    said = project.refused("diff", "hermes", **where)
    assert said.startswith(f"{file} can be read by others (mode 0640): run `chmod 600 ")

    command = re.search(r"`(chmod .+)`", said)
    assert command is not None
    subprocess.run(["sh", "-c", command[1]], check=True)
    assert project.run("diff", "hermes", **where).returncode == 0


# Not installed ---------------------------------------------------------------------------------------------------------


def test_without_cdktf_it_says_what_installs_it(project: Project) -> None:
    done = subprocess.run([sys.executable, str(project.script), "synth"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    cdktf = project.directory / "node_modules" / ".bin" / "cdktf"
    assert done.stderr == f"{cdktf} cannot be run (No such file or directory): run `make setup`.\n"


def test_without_the_projects_python_it_says_how_to_start_it(project: Project) -> None:
    command = [sys.executable, "-IS", str(project.script), "synth"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The Python package pve_agents is missing: run `make setup`, and put `pipenv run` in front.\n"


PETS = "storage: {vmid: 997, volumes: {home: {size_gib: 8, datastore: tank}}}\nagents: {scribe: {vmid: 119}}\n"


def test_the_pet_containers_stack_gets_the_token_and_nobodys_secrets(project: Project, pve: Pve) -> None:
    (project.directory / "homelab.yaml").write_text(PETS)
    pve.grant({**GRANTED, "/vms/997": VM, "/storage/tank": ["Datastore.AllocateSpace"]})
    assert project.run("deploy", "pet-storage", **ROOTS).returncode == 0
    assert project.called is not None
    _, environment = project.called
    assert "PROXMOX_VE_API_TOKEN" in environment
    assert not {"PVE_SSH", "SCRIBE_ENV_FILE"} & environment.keys()


def test_what_the_pet_containers_stack_lacks_is_named(project: Project, pve: Pve) -> None:
    (project.directory / "homelab.yaml").write_text(PETS)
    pve.grant({**GRANTED, "/vms/997": VM})
    done = project.run("deploy", "pet-storage")
    assert (done.returncode, project.called) == (1, None)
    assert "lacks Datastore.AllocateSpace on /storage/tank" in done.stderr
    done = project.run("destroy", "pet-storage")
    assert (
        "destroy the container alone, with `pipenv run agents target pet-storage "
        "proxmox_virtual_environment_container.pet-storage --destroy`"
    ) in done.stderr
