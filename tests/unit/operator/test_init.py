"""agents init: what it asks, what it writes, and what it leaves alone."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from pve_agents import load_settings
from pve_agents.agents.init import introduced, introduction_of
from pve_agents.agents.kind import default_of
from pve_agents.host.given import read_given
from pve_agents.operator import project
from pve_agents.operator.init.asking import Asking, questions_of
from pve_agents.operator.init.files import NewFile, write_all
from pve_agents.operator.init.token_script import token_script
from pve_agents.operator.stopped import Stopped
from pve_agents.operator.wants import wanted_of
from pve_agents.settings import Agent
from tests.in_process import run_agents
from tests.unit.fake_api import TOKEN

ROOT = Path(__file__).parents[3]
ADDRESS = ("--address", "10.1.10.10")
OWN = ".config/pve-agents"
FILES = ["homelab.yaml", ".env", f"~/{OWN}/root.env", f"~/{OWN}/hermes.env", "build/token.sh"]


class Init:
    """The command, with a project and a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.project, self.home = directory / "project", directory / "home"
        self.project.mkdir()
        self.home.mkdir()

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("--yes", *arguments, **variables)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **variables}
        return run_agents("init", *arguments, env=environment)

    def written(self, *arguments: str, **variables: str) -> list[str]:
        done = self(*arguments, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return [line.removeprefix("wrote ") for line in done.stdout.splitlines() if line.startswith("wrote ")]

    def refused(self, *arguments: str, **variables: str) -> str:
        before = self.tree()
        done = self(*arguments, **variables)
        assert (done.returncode, done.stdout) == (2, "")
        assert self.tree() == before
        return done.stderr.rstrip("\n")

    def path(self, shown: str) -> Path:
        return self.home / shown[2:] if shown.startswith("~/") else self.project / shown

    def text(self, shown: str) -> str:
        return self.path(shown).read_text()

    def tree(self) -> dict[Path, bytes]:
        return {it: it.read_bytes() for top in (self.project, self.home) for it in top.rglob("*") if it.is_file()}

    @property
    def agent(self) -> Agent:
        return load_settings(self.project).agents["hermes"]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Init]:
    it = Init(tmp_path)
    monkeypatch.setattr(project, "DIRECTORY", it.project)
    # As pipenv would leave it.
    before = os.umask(0o022)
    yield it
    os.umask(before)


# --- what it writes


def test_all_files_are_there_for_their_owner_alone(init: Init) -> None:
    assert init.written(*ADDRESS) == FILES
    assert sorted(init.tree()) == sorted(map(init.path, FILES))
    assert {stat.S_IMODE(init.path(it).stat().st_mode) for it in FILES} == {0o600}
    assert stat.S_IMODE(init.path(f"~/{OWN}").stat().st_mode) == 0o700


def test_settings_that_are_the_defaults_are_not_written(init: Init) -> None:
    init.written(*ADDRESS)
    assert yaml.safe_load(init.text("homelab.yaml")) == {"agents": {"hermes": {}}}
    (init.project / "elsewhere").mkdir()
    assert load_settings(init.project) == load_settings(init.project / "elsewhere")


def test_the_first_line_names_the_schema_as_in_the_example(init: Init) -> None:
    init.written()
    first = init.text("homelab.yaml").partition("\n")[0]
    assert first == (ROOT / "homelab.example.yaml").read_text().partition("\n")[0]


def test_every_answer_ends_up_in_the_settings_and_nothing_else(init: Init) -> None:
    options = {
        "node": "pve1", "bridge": "vmbr0", "disk-datastore": "tank", "template-datastore": "isos",
        "data-directory": "/srv/hermes", "fast-directory": "none", "litellm-url": "http://10.0.0.2:4000/v1",
        "model": "qwen3", "telegram-users": "123456789, 987654321",
    }  # fmt: skip
    init.written(*ADDRESS, *(word for name, value in options.items() for word in (f"--{name}", value)))
    assert yaml.safe_load(init.text("homelab.yaml"))["agents"]["hermes"] == {
        "node": "pve1",
        "network": {"bridge": "vmbr0"},
        "disk": {"datastore": "tank"},
        "template": {"datastore": "isos"},
        "mounts": {"mp0": {"host_path": "/srv/hermes", "guest_path": "/data"}},
        "hermes": {
            "settings": {
                "model": {"default": "qwen3"},
                "providers": {"litellm": {"base_url": "http://10.0.0.2:4000/v1"}},
            },
            "platforms": {"telegram": {"allowed_users": [123456789, 987654321]}},
        },
    }
    # The key of the provider that was not asked for is still the default's.
    assert "LITELLM_API_KEY" in init.agent.secret_names


def test_the_files_of_credentials_say_where_the_node_is(init: Init) -> None:
    init.written(*ADDRESS)
    assert "\nPROXMOX_VE_ENDPOINT=https://10.1.10.10:8006\n" in init.text(".env")
    assert "PVE_SSH" not in init.text(".env")
    lines = init.text(f"~/{OWN}/root.env").splitlines()
    assert lines[1:] == ["PVE_SSH=root@10.1.10.10", f"HERMES_ENV_FILE=~/{OWN}/hermes.env"]


@pytest.mark.parametrize(
    ("options", "endpoint", "login"),
    [
        (("--node", "pve1"), "https://pve1:8006", "root@pve1"),
        (("--address", "fd00::10"), "https://[fd00::10]:8006", "root@fd00::10"),
        (("--address", "[fd00::10]:443"), "https://[fd00::10]:443", "root@fd00::10"),
        (("--address", "pve.home.arpa:443"), "https://pve.home.arpa:443", "root@pve.home.arpa"),
        (("--address", " pve.home.arpa "), "https://pve.home.arpa:8006", "root@pve.home.arpa"),
    ],
)
def test_an_address_of_any_kind_is_one(init: Init, options: tuple[str, ...], endpoint: str, login: str) -> None:
    init.written(*options)
    assert f"PROXMOX_VE_ENDPOINT={endpoint}\n" in init.text(".env")
    assert f"PVE_SSH={login}\n" in init.text(f"~/{OWN}/root.env")


def test_each_secret_has_a_line_with_a_comment_above_it_and_none_behind(init: Init) -> None:
    init.written("--telegram-users", "123456789")
    lines = init.text(f"~/{OWN}/hermes.env").splitlines()
    names = {line.partition("=")[0]: i for i, line in enumerate(lines) if line and not line.startswith("#")}
    assert list(names) == list(init.agent.secret_names)
    for name, at in names.items():
        assert lines[at - 1].startswith("# ")
        assert re.fullmatch(rf"{name}=\S*", lines[at])


def test_the_secrets_file_is_accepted_once_its_values_are_there(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    init.written()
    file = init.path(f"~/{OWN}/hermes.env")
    wanted = wanted_of(init.agent)
    monkeypatch.setenv("HOME", str(init.home))
    where = {"HERMES_ENV_FILE": f"~/{OWN}/hermes.env"}
    # What is made up here is there, and the rest is missing: no placeholder stands in its place.
    given = read_given(wanted.secrets, where, agent="hermes")
    assert given.missing == ("LITELLM_API_KEY",)
    assert len(given.values["API_SERVER_KEY"]) == 64
    file.write_text(file.read_text().replace("LITELLM_API_KEY=", "LITELLM_API_KEY=sk-real"))
    assert read_given(wanted.secrets, where, agent="hermes").missing == ()


def test_no_two_keys_are_the_same(init: Init) -> None:
    init.written()
    first = init.text(f"~/{OWN}/hermes.env")
    init.path(f"~/{OWN}/hermes.env").unlink()
    assert init.written() == [f"~/{OWN}/hermes.env", "build/token.sh"]
    assert init.text(f"~/{OWN}/hermes.env") != first


def test_it_says_what_comes_next(init: Init) -> None:
    said = init(*ADDRESS).stdout.partition("\nNext:\n")[2].splitlines()
    assert said == [
        "  ssh root@10.1.10.10 bash -s <build/token.sh >>.env",
        "    adds the token's line to .env; without ssh, paste build/token.sh into the node's shell, and the line into .env",
        f"  write LITELLM_API_KEY into ~/{OWN}/hermes.env",
        "  pipenv run agents doctor",
    ]


# --- what it leaves alone


def test_a_second_run_writes_over_nothing_and_says_so(init: Init) -> None:
    init.written(*ADDRESS)
    before = init.tree()
    done = init()
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("kept")] == [
        f"kept  {name}, which was there" for name in FILES[:-1]
    ]
    assert init.tree() == before


def test_the_script_is_made_anew_for_the_settings_that_are_there_now(init: Init) -> None:
    init.written(*ADDRESS)
    init.path("homelab.yaml").write_text(
        "agents: {hermes: {disk: {datastore: tank}}, scribe: {vmid: 119, network: {bridge: vmbr0}}}\n"
    )
    assert init.written() == ["build/token.sh"]
    script = init.text("build/token.sh")
    assert "give AgentRootfs /storage/tank " in script
    assert "/vmbr0" in script
    assert "/intra01" in script
    # Where root gets in, the existing file knows.
    assert "ssh root@10.1.10.10 bash" in script


@pytest.mark.parametrize("there", FILES[:-1])
def test_what_is_there_stays_whatever_it_is(init: Init, there: str) -> None:
    file = init.path(there)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("# mine\n")
    file.chmod(0o640)
    assert init.written() == [it for it in FILES if it != there]
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("# mine\n", 0o640)


def test_a_link_that_leads_nowhere_is_left_alone(init: Init) -> None:
    init.path(".env").symlink_to(init.project / "nowhere")
    assert ".env" not in init.written()
    assert not (init.project / "nowhere").exists()


def test_an_answer_that_would_change_nothing_is_refused(init: Init) -> None:
    init.written(*ADDRESS)
    assert init.refused("--bridge", "vmbr0") == (
        "--bridge would change nothing, since homelab.yaml is there: edit it, or move it away."
    )
    assert init.refused(*ADDRESS) == "--address would change nothing, since .env is there: edit it, or move it away."


def test_the_secrets_file_is_where_an_existing_root_env_says(init: Init) -> None:
    file = init.path(f"~/{OWN}/root.env")
    file.parent.mkdir(parents=True)
    file.write_text("PVE_SSH=root@pve2\nHERMES_ENV_FILE=~/mine.env\n")
    assert "~/mine.env" in init.written()
    assert "ssh root@pve2 bash" in init.text("build/token.sh")


def test_a_root_env_that_does_not_name_the_secrets_file_is_said(init: Init) -> None:
    file = init.path(f"~/{OWN}/root.env")
    file.parent.mkdir(parents=True)
    file.write_text("PVE_SSH=root@pve2\n")
    assert f"  add HERMES_ENV_FILE=~/{OWN}/hermes.env to ~/{OWN}/root.env\n" in init().stdout


def test_a_token_that_is_there_already_is_the_one_that_the_script_is_about(init: Init) -> None:
    init.path(".env").write_text(
        f"PROXMOX_VE_ENDPOINT=https://pve:8006\nPROXMOX_VE_API_TOKEN={TOKEN.replace('terraform@pve!deploy', 'me@pam!mine')}\n"
    )
    init.written()
    script = init.text("build/token.sh")
    assert "user=me@pam token='me@pam!mine'" in script
    assert TOKEN.partition("=")[2] not in script


# --- wrong answers


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--node", "two words"), "homelab.yaml: agents.hermes.node: "),
        (("--bridge", "a/b"), "homelab.yaml: agents.hermes.network.bridge: "),
        (("--disk-datastore", "1"), "homelab.yaml: agents.hermes.disk.datastore: "),
        (("--data-directory", "srv"), "homelab.yaml: agents.hermes.mounts.mp0.host_path: "),
        (("--data-directory", "/media/2tb/hermes/in"), "homelab.yaml: agents.hermes.mounts: "),
        (("--litellm-url", "10.1.10.22:4000"), "homelab.yaml: agents.hermes.hermes.settings.providers.litellm.base_url: "),
        (("--telegram-users", "@me"), "homelab.yaml: agents.hermes.hermes.platforms.telegram.allowed_users.0: "),
        (("--address", "https://10.1.10.10:8006"), "this is not the name or the address of a host; write it alone, such as 10.1.10.10"),
        (("--address", "root@10.1.10.10"), "this is not the name or the address of a host"),
        (("--address", "10.1.10.10:0"), "this is not the name or the address of a host"),
        (("--address", "10.1.10.10:70000"), "this is not the name or the address of a host"),
        (("--address", ""), "this is not the name or the address of a host"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_one_sentence_and_nothing_is_written(
    init: Init, options: tuple[str, ...], sentence: str
) -> None:
    said = init.refused(*options)
    assert said.startswith(sentence)
    assert "\n" not in said


def test_two_directories_that_fit_only_together_are_accepted(init: Init) -> None:
    """Each of them alone would be refused: it lies in the other's default."""
    init.written("--data-directory", "/media/2tb/hermes/a", "--fast-directory", "/media/2tb/hermes/b")
    assert [it.host_path for it in init.agent.binds.values()] == ["/media/2tb/hermes/a", "/media/2tb/hermes/b"]


def test_the_default_of_a_directory_that_nobody_was_asked_for_yet_is_in_nobodys_way() -> None:
    introduction = introduction_of("hermes")
    asking = Asking("hermes", introduction, questions_of("hermes", introduction))
    assert asking.answer("data-directory", "/media/2tb/hermes/a") == ""
    # The default would lie around it.
    assert "lies in" in asking.answer("fast-directory", "/media/2tb/hermes")
    assert asking.answer("fast-directory", "/media/2tb/hermes/b") == ""


def test_another_file_of_settings_is_not_ours_to_write(init: Init) -> None:
    assert init.refused(HOMELAB_FILE="other.yaml") == (
        "HOMELAB_FILE names another file of settings: unset it, or write that file by hand."
    )


def test_wrong_settings_that_are_there_are_said(init: Init) -> None:
    init.path("homelab.yaml").write_text("agents: {hermes: {vmid: x}}\n")
    assert "agents.hermes.vmid" in init.refused()


def test_where_one_file_cannot_be_written_there_is_none(init: Init) -> None:
    init.path("build").touch()
    said = init.refused(*ADDRESS)
    assert said == f"{init.path('build/token.sh')} cannot be written (File exists), and nothing was: correct that."


def test_a_new_file_is_nobody_elses_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_all([NewFile(tmp_path / "a" / "file", "x"), NewFile(tmp_path / "b", "y", is_made_anew=True)])
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/file", "b")]
    assert modes == [0o700, 0o600, 0o600]


def test_a_file_that_somebody_has_just_made_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    other.write_text("theirs")
    # It came after the look.
    monkeypatch.setattr(NewFile, "stays", False)
    with pytest.raises(Stopped, match="File exists"):
        write_all([NewFile(one, "ours"), NewFile(other, "ours")])
    assert other.read_text() == "theirs"
    assert [it.name for it in tmp_path.iterdir()] == ["other"]


# --- its questions


def test_each_question_is_an_option_with_its_sentence(init: Init) -> None:
    said = " ".join(init("--help").stdout.split())
    for question in introduction_of(introduced()).questions:
        assert f"--{question.name} TEXT {question.text}." in said
    for mount in default_of(introduced())["mounts"].values():
        assert f"shows as {mount['guest_path']} in the container" in said


def test_the_end_of_input_is_no_answer_and_nothing_is_written(init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", nothing)
        done = init.run()
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was changed\n")
    assert init.tree() == {}


LONGEST_SILENCE = 60
CANARY = "sk-canary 'of a \\ person"
PROGRAM = """
import sys
from pathlib import Path
from pve_agents.operator import project
project.DIRECTORY = Path(sys.argv.pop(1))
from pve_agents.operator.entry import main
main()
"""


def test_a_person_at_a_terminal_is_asked_again_after_a_wrong_answer(init: Init) -> None:
    answers = [
        "pve1",
        "https://10.1.10.10",
        "10.1.10.10",
        "",
        "",
        "",
        "/srv/hermes",
        "none",
        "",
        "",
        "@me",
        "123456789",
        CANARY,
        "",
    ]
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, str(init.project), "init"]
    environment = {**os.environ, "HOME": str(init.home)}
    said, rest = "", list(answers)
    with subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment) as process:
        os.close(its_end)
        while select.select([terminal], [], [], LONGEST_SILENCE)[0]:
            try:
                said += os.read(terminal, 4096).decode()
            except OSError:
                # What Linux says at the end of a terminal.
                break
            if said.endswith("> ") and rest:
                os.write(terminal, f"{rest.pop(0)}\n".encode())
                said += "\n"
        os.close(terminal)
    assert process.returncode == 0, said
    assert rest == []
    assert "this is not the name or the address of a host; write it alone, such as 10.1.10.10" in said
    assert "is not a numeric id" in said
    # The default of the question is shown with it.
    assert "[intra01]> " in said
    agent = init.agent
    assert (agent.node, [it.host_path for it in agent.binds.values()]) == ("pve1", ["/srv/hermes"])
    assert "PVE_SSH=root@10.1.10.10" in init.text(f"~/{OWN}/root.env")
    # What is secret is not shown, and is where it belongs and nowhere else; what was left empty is named.
    assert CANARY not in said
    assert [it.name for it, content in init.tree().items() if b"sk-canary" in content] == ["hermes.env"]
    assert dotenv_values(init.path(f"~/{OWN}/hermes.env"))["LITELLM_API_KEY"] == CANARY
    assert f"write TELEGRAM_BOT_TOKEN into ~/{OWN}/hermes.env" in said


# --- the script


def script(directory: Path, **stated: Any) -> str:
    (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": stated}}))
    agents = load_settings(directory).agents.values()
    return token_script(agents, user="terraform@pve", name="deploy", command="ssh root@pve bash -s <build/token.sh")


def test_the_script_is_short_enough_to_read_and_clean(tmp_path: Path) -> None:
    text = script(tmp_path)
    assert len(text.splitlines()) <= 40
    done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("stated", "gives"),
    [
        ({}, ["AgentRootfs /storage/local-lvm", "AgentTemplate /storage/local", "AgentDownload /nodes/gihyeon"]),
        ({"template": {"datastore": "local-lvm"}}, ["AgentStorage /storage/local-lvm", "AgentDownload /nodes/gihyeon"]),
        ({"template": {"file_id": "isos:vztmpl/x.tar.zst"}}, ["AgentRootfs /storage/local-lvm"]),
    ],
)
def test_the_script_gives_what_these_settings_need_and_nothing_else(
    tmp_path: Path, stated: dict[str, Any], gives: list[str]
) -> None:
    given = re.findall(r"^  give (\w+ \S+) ", script(tmp_path, **stated), re.MULTILINE)
    network = 'AgentNetwork "/sdn/zones/${zone:-localnetwork}/intra01"'
    assert given == ["AgentContainer /vms", *gives, network]


def test_the_script_holds_no_secret(init: Init) -> None:
    init.written()
    key = next(it for it in init.text(f"~/{OWN}/hermes.env").splitlines() if it.startswith("API_SERVER_KEY="))
    assert key.partition("=")[2] not in init.text("build/token.sh")


def test_the_script_gives_what_volumes_need(tmp_path: Path) -> None:
    mounts = {
        "mp0": {"kind": "pet", "volume": "home", "guest_path": "/home/me"},
        "mp1": {"kind": "volume", "guest_path": "/data", "size_gib": 8, "datastore": "tank"},
        "mp2": {"kind": "directory", "guest_path": "/fast", "datastore": "hdd"},
    }
    storage = {"datastore": "safe", "volumes": {"home": {"size_gib": 8}}}
    (tmp_path / "homelab.yaml").write_text(
        yaml.safe_dump({"storage": storage, "agents": {"hermes": {"mounts": mounts}}})
    )
    homelab = load_settings(tmp_path)
    text = token_script(
        homelab.agents.values(), user="terraform@pve", name="deploy", command="bash", storage=homelab.storage
    )
    given = re.findall(r"^  give (\w+ \S+) '(.*)'$", text, re.MULTILINE)
    assert given == [
        ("AgentContainer /vms", given[0][1]),
        ("AgentRootfs /storage/local-lvm", "Datastore.AllocateSpace"),
        ("AgentTemplate /storage/local", "Datastore.AllocateTemplate Datastore.Audit"),
        ("AgentDownload /nodes/gihyeon", "Sys.AccessNetwork"),
        # VM.Audit and VM.Config.Disk on the pet's own path are in the role on /vms.
        ("AgentPetStorage /storage/safe", "Datastore.Audit"),
        ("AgentRootfs /storage/tank", "Datastore.AllocateSpace"),
        ("AgentRootfs /storage/hdd", "Datastore.AllocateSpace"),
        ("AgentRootfs /storage/safe", "Datastore.AllocateSpace"),
    ]


def test_for_an_agent_that_nobody_is_root_for_nothing_of_roots_is_written(init: Init) -> None:
    settings = "agents: {hermes: {delivery: console, mounts: {}}}\n"
    (init.project / "homelab.yaml").write_text(settings)

    assert init.written(*ADDRESS) == [".env", f"~/{OWN}/hermes.env", "build/token.sh"]

    assert dotenv_values(init.project / ".env")["HERMES_ENV_FILE"] == f"~/{OWN}/hermes.env"
    assert not (init.home / OWN / "root.env").exists()
    script = (init.project / "build" / "token.sh").read_text()
    assert "VM.Console" in script.partition("give AgentContainer /vms")[2].partition("\n")[0]
