"""Mistakes that a tired person makes: a few lines each, the sentence first, a remedy, and nothing half done.

Others have their place with what they are about: Ctrl-C (38) and no Terraform (39) in test_agents_up.py, another Python (43) in
test_python_environment.py, a destroy with the least token (47) in test_deploy.py. Without pipenv, and from outside of the project (40,
41), there is nothing of ours that could speak.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pytest

from tests.answering import answering
from tests.deploy.project import HDD, HERMES_ROOT, Project
from tests.virtual_node.__main__ import models
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [
    pytest.mark.long,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

MOST_LINES = 6
UP = ("up", "--auto-approve")
UP_WITHOUT_DOCTOR = (*UP, "--no-doctor")
EXAMPLE_TOKEN = "terraform@pve!deploy=00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with answering(models) as url:
        yield f"{url}/v1"


@pytest.fixture
def careful(project: Project, gateway: str) -> Project:
    """The default homelab with everything right."""
    configure(project, gateway)
    return project


def configure(project: Project, gateway: str, **agent: Any) -> None:
    settings = {"providers": {"litellm": {"base_url": gateway}}}
    project.configure(**{"hermes": {"settings": settings}, **agent})


class Mistake(NamedTuple):
    """What is wrong, and what is said about it."""

    says: str
    """Regular expression for the first line."""
    code: int
    variables: Mapping[str, str] = {}
    """An empty one is not set."""
    settings: str = ""
    command: tuple[str, ...] = UP
    before: Callable[[Project], object] = lambda _: None
    also: str = ""
    """What the lines below the first must hold: the remedy."""


def secrets_file(text: str, mode: int = 0o600) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        file = project.directory / "hermes.env"
        file.write_text(text)
        file.chmod(mode)
        project.env["HERMES_ENV_FILE"] = str(file)

    return write


def taken_by_somebody(project: Project) -> None:
    project.node.add_foreign_container(118, "plex")


def without_disk(project: Project) -> None:
    shutil.rmtree(project.node.host.real("/mnt/pve/hdd"))


def locked(project: Project) -> None:
    project.synthesize()
    lock = {
        "ID": "5e2c3a5e-0000-4000-8000-000000000000",
        "Operation": "OperationTypeApply",
        "Info": "",
        "Who": "you@laptop",
        "Version": "1.11.4",
        "Created": "2026-11-26T01:02:03.4Z",
        "Path": "../../../terraform.hermes.tfstate",
    }
    (project.directory / ".terraform.hermes.tfstate.lock.info").write_text(json.dumps(lock))
    state = (project.directory / "terraform.hermes.tfstate").open("a+")
    fcntl.lockf(state, fcntl.LOCK_EX)
    HELD.append(state)


HELD: list[TextIO] = []


@pytest.fixture(autouse=True)
def nothing_is_held_any_more() -> Iterator[None]:
    yield
    while HELD:
        HELD.pop().close()


def off(project: Project) -> None:
    """With a state: the container is there."""
    project.deploy()
    project.env["PROXMOX_VE_ENDPOINT"] = "https://127.0.0.1:9"


KEYS = "LITELLM_API_KEY=sk-of-the-agent\nAPI_SERVER_KEY=0123456789abcdef\n"
ALL = "agents: {hermes: {hermes: null, %s}}"
MISTAKES = {
    "1 a key misspelt": Mistake(
        ".*homelab.yaml: agents.hermes.memry: .*did you mean memory", 2, settings=ALL % "memry: {}"
    ),
    "2 a wrong indent": Mistake(
        ".*homelab.yaml: line 4, column 11: .*check the indentation",
        2,
        settings="agents:\n  hermes:\n   vmid: 118\n    memory: {}\n",
    ),
    "3 a tab": Mistake(".*homelab.yaml: .*tab", 2, settings="agents:\n\thermes: {}\n"),
    "4 vmid as text": Mistake(".*homelab.yaml: agents.hermes.vmid: ", 2, settings=ALL % "vmid: abc"),
    "5 a user as @me": Mistake(
        ".*homelab.yaml: agents.hermes.hermes.platforms.telegram.allowed_users.0: .*@me",
        2,
        settings="agents: {hermes: {hermes: {platforms: {telegram: {allowed_users: ['@me']}}}}}",
    ),
    "6 no allow-list": Mistake(
        ".*homelab.yaml: agents.hermes.hermes.platforms.telegram.*allowed_users",
        2,
        settings="agents: {hermes: {hermes: {platforms: {telegram: {}}}}}",
    ),
    "7 no vmid": Mistake(".*homelab.yaml: agents.scribe.vmid: ", 2, settings="agents: {scribe: {}}"),
    "8 a key on the wrong level": Mistake(
        ".*homelab.yaml: agents.hermes.model: .*hermes.settings.model", 2, settings="agents: {hermes: {model: gpt-5}}"
    ),
    "9 a bad variable": Mistake("HOMELAB_AGENTS__HERMES__VMID: ", 2, {"HOMELAB_AGENTS__HERMES__VMID": "7"}),
    "10 a variable of no setting": Mistake(
        "HOMELAB_AGENTS__HERMES__VMDI: .*did you mean vmid", 2, {"HOMELAB_AGENTS__HERMES__VMDI": "118"}
    ),
    "11 an agent that only a variable knows": Mistake(
        "HOMELAB_AGENTS__HREMES__CPU__CORES: ", 2, {"HOMELAB_AGENTS__HREMES__CPU__CORES": "4"}
    ),
    "12 a size with a unit": Mistake(
        ".*homelab.yaml: agents.hermes.memory.dedicated_mib: .*4g", 2, settings=ALL % "memory: {dedicated_mib: 4g}"
    ),
    "13 a mount that is no path": Mistake(
        ".*homelab.yaml: agents.hermes.mounts.mp0.host_path: .*srv/data",
        2,
        settings=ALL % "mounts: {mp0: {host_path: srv/data, guest_path: /data}}",
    ),
    "14 a key twice": Mistake(
        ".*homelab.yaml: .*vmid.*twice", 2, settings="agents:\n  hermes:\n    vmid: 118\n    vmid: 119\n"
    ),
    "16 no .env": Mistake(
        "✗ endpoint .*PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN are not set",
        1,
        {"PROXMOX_VE_ENDPOINT": "", "PROXMOX_VE_API_TOKEN": ""},
        also=r"\.env",
    ),
    "17 .env not edited": Mistake("✗ token .*still the example's", 1, {"PROXMOX_VE_API_TOKEN": EXAMPLE_TOKEN}),
    "18 no port": Mistake("✗ endpoint .*", 1, {"PROXMOX_VE_ENDPOINT": "https://127.0.0.1"}, also=":8006"),
    "19 no https": Mistake("✗ endpoint .*https://", 1, {"PROXMOX_VE_ENDPOINT": "127.0.0.1:8006"}),
    "20 a wrong token id": Mistake(
        "✗ token .*does not accept token terraform@pve!other",
        1,
        {"PROXMOX_VE_API_TOKEN": "terraform@pve!other=00000000-1111-0000-0000-000000000000"},
        also="pveum user token list terraform@pve",
    ),
    "21 a wrong secret": Mistake(
        "✗ token .*does not accept token terraform@pve!deploy",
        1,
        {"PROXMOX_VE_API_TOKEN": "terraform@pve!deploy=00000000-1111-0000-0000-000000000000"},
    ),
    "22 PVEAPIToken=": Mistake(
        "✗ token .*begins with PVEAPIToken", 1, {"PROXMOX_VE_API_TOKEN": f"PVEAPIToken={EXAMPLE_TOKEN}"}
    ),
    "23 a certificate that nobody trusts": Mistake(
        "✗ certificate .*cannot be verified", 1, {"PROXMOX_VE_INSECURE": "false"}, also="PROXMOX_VE_INSECURE=true"
    ),
    "25 too few privileges": Mistake(
        "✗ privileges .*lacks Datastore.AllocateSpace on /storage/local-lvm",
        1,
        before=lambda project: project.node.revoke("Datastore.AllocateSpace"),
        also="pveum acl modify /storage/local-lvm",
    ),
    "26 root's commands before the container": Mistake(
        r"\[hermes\] refused: there is no container 118: run `pipenv run agents up hermes` first", 3, command=("mend",)
    ),
    "27 a secrets file for others": Mistake(
        "✗ secrets .*can be read by others", 1, before=secrets_file(KEYS, 0o644), also="chmod 600"
    ),
    "28 a placeholder": Mistake(
        "✗ secrets .*LITELLM_API_KEY is a placeholder",
        1,
        before=secrets_file(KEYS.replace("sk-of-the-agent", "sk-...")),
    ),
    "29 a secret missing": Mistake(
        "✗ secrets .*API_SERVER_KEY has no value", 1, before=secrets_file(KEYS.split("\n", maxsplit=1)[0])
    ),
    "30 a misspelt name": Mistake(
        "✗ secrets .*LITELLM_API_KEY", 1, before=secrets_file(KEYS.replace("LITELLM", "LITELM")), also="LITELM_API_KEY"
    ),
    "32 the wrong host": Mistake(
        "✗ root .*there is no host of the name nowhere", 1, {"PVE_SSH": "root@nowhere"}, also="PVE_SSH|ssh"
    ),
    "33 no way to root": Mistake(r"\[hermes\] PVE_SSH is not set", 2, {"PVE_SSH": ""}, command=("drift",)),
    "34 root's environment for the token's command": Mistake(
        "✗ endpoint .*PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN are not set",
        1,
        {"PROXMOX_VE_ENDPOINT": "", "PROXMOX_VE_API_TOKEN": "", "PVE_SSH": "root@gihyeon"},
        also=r"\.env",
    ),
    "35 no disk": Mistake("✗ host directories .*/mnt/pve/hdd", 1, before=without_disk, also="mount|mkdir"),
    "36 a VMID of somebody": Mistake(
        "✗ vmid .*118 is taken by the container plex", 1, before=taken_by_somebody, also="vmid"
    ),
    "37 a lock left behind": Mistake(
        "hermes: the state of hermes is locked by you@laptop since 2026-11-26 01:02:03", 1, before=locked, also=""
    ),
    "46 another agent": Mistake("There is no agent hremes; the settings have hermes.", 2, command=("up", "hremes")),
    "48 TF_WORKSPACE": Mistake("TF_WORKSPACE is set", 2, {"TF_WORKSPACE": "x"}),
    "49 the node is off": Mistake("✗ endpoint .*cannot be reached", 1, before=off, also="is the node on"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_said_in_a_few_lines_and_nothing_is_half_done(
    careful: Project, virtual_node: VirtualNode, mistake: Mistake
) -> None:
    careful.env |= dict.fromkeys(("LITELLM_API_KEY", "API_SERVER_KEY"), "0123456789abcdef")
    mistake.before(careful)
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()
    for name, value in mistake.variables.items():
        careful.env[name] = value
    careful.env = {name: value for name, value in careful.env.items() if value or name not in mistake.variables}
    if mistake.settings:
        careful.settings.write_text(mistake.settings)

    done = careful.agents(*mistake.command, ok=False)

    lines = done.raw.splitlines()
    assert re.match(mistake.says, lines[0]), done.raw
    assert len(lines) <= MOST_LINES, done.raw
    assert re.search(mistake.also, done.raw), done.raw
    assert done.code == mistake.code
    assert "Traceback" not in done.raw
    assert (virtual_node.mutations, virtual_node.host_changes) == ([], [])


def test_31_a_comment_behind_a_value_is_no_part_of_it(careful: Project) -> None:
    secrets_file(KEYS.replace("sk-of-the-agent", "sk-of-the-agent   # a virtual key"))(careful)
    assert "✗ secrets" not in careful.agents("doctor", ok=None).raw


def test_15_a_static_address_without_a_gateway_is_worth_a_second_look(careful: Project, gateway: str) -> None:
    configure(careful, gateway, network={"address": "10.1.10.30/24"})
    said = careful.agents("plan").raw
    assert (
        "! agents.hermes.network.gateway: with this address and no gateway, it reaches nothing outside of its " in said
    )
    configure(careful, gateway, network={"address": "10.1.10.30/24", "gateway": "10.1.10.1"})
    assert "no gateway" not in careful.agents("plan").raw


def test_24_an_env_that_others_can_read_is_refused_with_what_closes_it(careful: Project, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PROXMOX_VE_INSECURE=true\n")
    file.chmod(0o644)
    careful.env |= {"PIPENV_DOTENV_LOCATION": str(file), "PIPENV_DONT_LOAD_ENV": ""}
    refused = careful.agents("plan", ok=False)
    assert (refused.code, refused.raw) == (
        2,
        f"{file} can be read by others (mode 0644): run `chmod 600 {file}`.\n",
    )
    file.chmod(0o600)
    assert careful.agents("plan").code == 0


@pytest.fixture
def deployed(careful: Project, virtual_node: VirtualNode) -> Project:
    """A container with a mount and no software of a kind's, on its node."""
    careful.configure(hermes=None, mounts={"mp0": {"host_path": HDD, "guest_path": "/data"}})
    careful.begin_with_agents(*UP_WITHOUT_DOCTOR)
    virtual_node.mutations.clear()
    virtual_node.forget_host_changes()
    return careful


def test_44_without_cdktf_out_and_roots_state_nothing_breaks(deployed: Project, virtual_node: VirtualNode) -> None:
    shutil.rmtree(deployed.out)
    deployed.state(HERMES_ROOT).unlink()
    deployed.agents(*UP_WITHOUT_DOCTOR)
    # All that is left of it on the node is what verify writes and removes.
    assert virtual_node.mutations == []
    assert [it for it in virtual_node.host_changes if "/data/.pve-agents-probe-" not in it] == []


def test_45_without_the_tokens_state_the_container_is_kept(deployed: Project, virtual_node: VirtualNode) -> None:
    before = virtual_node.container_config(118)
    deployed.state().unlink()
    said = deployed.agents(*UP_WITHOUT_DOCTOR).raw
    assert not re.search(r"destroyed|replaced", said), said
    assert virtual_node.container_config(118) == before
    assert [it for it in virtual_node.mutations if it[0] == "DELETE"] == []


def test_42_before_make_setup_it_says_so_and_makes_no_environment(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "agents", tmp_path / "scripts")
    done = subprocess.run(
        [tmp_path / "scripts" / "agents", "up"],
        env=dict(os.environ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"{tmp_path}/.venv/bin/agents cannot be run (No such file or directory): run `make setup` in {tmp_path}.\n"
    )
    assert [it.name for it in tmp_path.iterdir()] == ["scripts"]
