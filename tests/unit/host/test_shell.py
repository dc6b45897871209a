"""Root's shell: what exactly is started, what it does not get, and how much of its answer is listened to."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pve_agents.environment import ROOT_FILE
from pve_agents.host import shell as module
from pve_agents.host.commands import Plan, render
from pve_agents.host.facts import look_at
from pve_agents.host.place import place_of
from pve_agents.host.shell import Shell, UnreachedError, private_directory
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import Node as Place
from tests.unit.host.model import WANTED, Node
from tests.unit.host.ssh import Root, Ssh, serving

CANARY = "sk-canary-2f6d"


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssh]:
    with serving(tmp_path / "operator", Root(Node())) as found:
        use(monkeypatch, found.variables())
        yield found


def use(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def shell(*, names: tuple[str, ...] = ()) -> Shell:
    secrets = replace(WANTED.secrets, names=names) if WANTED.secrets else None
    place = place_of(replace(WANTED, secrets=secrets), os.environ, print)
    assert isinstance(place, Place)
    assert isinstance(place.shell, Shell)
    return place.shell


def saying(script: str) -> Shell:
    return Shell(["bash", "-c", script])


# --- what is started


def test_ssh_is_started_exactly_like_this(ssh: Ssh, tmp_path: Path) -> None:
    shell().look(look_at(WANTED))
    control = tmp_path / "operator" / f"pve-agents-{os.getuid()}"
    assert ssh.noted("arguments").splitlines() == [
        *("-o", "BatchMode=yes"),
        *("-o", "ConnectTimeout=10"),
        *("-o", "ServerAliveInterval=15"),
        *("-o", "ControlMaster=auto"),
        *("-o", f"ControlPath={control}/%C"),
        *("-o", "ControlPersist=60"),
        *("--", "root@10.1.10.10", "bash", "-s"),
    ]
    assert stat.S_IMODE(control.stat().st_mode) == 0o700


def test_what_is_wanted_is_in_no_argument_but_on_the_standard_input(ssh: Ssh) -> None:
    texts = [look_at(WANTED), render(Plan(), WANTED)]
    shell().look(texts[0])
    shell().act(texts[1], lambda _: None)
    assert ssh.root.texts == texts
    assert "/mnt/pve/hdd" not in ssh.noted("arguments")


def test_a_secret_goes_to_no_child(ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        *("PROXMOX_VE_API_TOKEN", "PROXMOX_VE_ENDPOINT", "PVE_READ_TOKEN", "PVE_SSH_X", "HOST_STEP_SPEC", "TF_VAR_x"),
        *(
            "HERMES_ENV_FILE",
            "LIBRARIAN_ENV_FILE",
            "SLACK_BOT_TOKEN",
            "aws_secret_access_key",
            "DB_PASSWORD",
            "SMTP_PASSWD",
            "OPENAI_API_KEY",
        ),
        *("X_APIKEY", "GOOGLE_APPLICATION_CREDENTIALS", "SIGNING_KEY", "DASHBOARD"),
    ]
    for name in names:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    shell(names=("DASHBOARD",)).look(look_at(WANTED))
    environment = ssh.noted("environment")
    assert CANARY not in environment
    assert "SSH_AUTH_SOCK=/run/agent\n" in environment
    assert "LANG=C.UTF-8\n" in environment
    assert "HOME=" in environment


@pytest.mark.parametrize(
    "login", ["root@10.1.10.10", "pve1", "root@pve1.home.arpa", "root@fe80::1%eth0", "ssh://root@h:22"]
)
def test_a_login_may_be_anything_that_ssh_takes_for_a_destination(
    ssh: Ssh, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    monkeypatch.setenv("PVE_SSH", login)
    shell().look(look_at(WANTED))
    assert ssh.noted("arguments").splitlines()[-4:] == ["--", login, "bash", "-s"]


@pytest.mark.parametrize("login", ["-oProxyCommand=id", "root@h ; id", "$(id)", "root@h\nx", "a b", "@h"])
def test_what_is_no_login_is_not_even_shown(ssh: Ssh, monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    monkeypatch.setenv("PVE_SSH", login)
    with pytest.raises(WrongSettingsError) as error:
        shell()
    assert str(error.value) == "PVE_SSH is no login; write one such as root@10.1.10.10"
    assert ssh.noted("arguments") == ""


def test_no_login_at_all_is_said_with_the_file_to_write_it_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"XDG_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(WrongSettingsError) as error:
        shell()
    assert str(error.value) == (
        "PVE_SSH is not set: write the node's root login, such as PVE_SSH=root@10.1.10.10, to "
        f"~/{ROOT_FILE} (docs/node.md)"
    )
    monkeypatch.setenv("PVE_SSH", str(error.value).partition("PVE_SSH=")[2].partition(",")[0])
    shell()


def test_another_transport_is_said_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVE_TRANSPORT", "telnet")
    with pytest.raises(WrongSettingsError) as error:
        shell()
    assert str(error.value) == "PVE_TRANSPORT is 'telnet'; write one of ssh, local, paste, console"


def test_local_is_a_bash_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with serving(tmp_path / "operator", Root(Node()), "bash") as bash:
        use(monkeypatch, bash.variables(PVE_TRANSPORT="local", LITELLM_API_KEY=CANARY))
        assert shell().look(look_at(WANTED)).endswith(b"\0")
        assert bash.noted("arguments") == "-s\n"
        assert CANARY not in bash.noted("environment")


def test_local_is_for_root_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PVE_TRANSPORT", "local")
    with pytest.raises(WrongSettingsError) as error:
        shell()
    assert str(error.value) == "PVE_TRANSPORT=local works only as root on the node: run it there with sudo, or use ssh"


# --- who is not there

FAILED = "ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another PVE_TRANSPORT"


def test_a_node_that_ssh_does_not_reach_is_no_answer(ssh: Ssh) -> None:
    ssh.down()
    with pytest.raises(UnreachedError) as error:
        shell().look(look_at(WANTED))
    assert str(error.value) == FAILED
    with pytest.raises(UnreachedError) as error:
        shell().act(render(Plan(), WANTED), lambda _: None)
    assert str(error.value) == FAILED


def test_without_ssh_nothing_is_reached(ssh: Ssh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    calls: list[Callable[[], object]] = [lambda: shell().look(""), lambda: shell().act("", lambda _: None)]
    for do in calls:
        with pytest.raises(UnreachedError) as error:
            do()
        assert str(error.value) == "cannot run ssh: No such file or directory"
    assert ssh.noted("arguments") == ""


def test_a_command_of_root_may_end_with_255_too_where_no_ssh_is_between() -> None:
    assert saying("exit 255").act("", lambda _: None) == 255


# --- how much is listened to


@pytest.mark.parametrize(
    "silent", ["exec sleep 5", "sleep 5 & wait", "sleep 5 & disown", "printf half; sleep 5 & wait"]
)
def test_a_look_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    assert saying(silent).look("") in {b"", b"half"}


def test_a_look_that_goes_on_and_on_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_LOOK", 10_000)
    assert len(saying("exec yes").look("")) == 10_000


def test_a_look_that_nobody_reads_is_an_end_too() -> None:
    assert saying("exec 0<&-; echo seen").look("x" * 1_000_000) == b"seen\n"


def test_each_line_is_handed_out_as_it_can_be_printed() -> None:
    heard: list[str] = []
    said = r"a\033[2J\r\tb … \302\233c\nleft\342\200\256tfel\n\377\n\nlast"
    assert saying(f"printf '{said}' >&2; exit 3").act("", heard.append) == 3
    assert heard == ["a[2J b … c", "lefttfel", "\ufffd", "", "last"]
    heard.clear()
    saying(f"printf '{said}'").act("", heard.append, tabs=True)
    assert heard[0] == "a[2J\tb … c"


def test_of_what_goes_on_and_on_only_the_first_part_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_ACT", 100)
    heard: list[str] = []
    assert saying("yes 123456789 | head -n 5000; exit 7").act("", heard.append) == 7
    assert heard == ["123456789"] * 10


def test_a_line_without_an_end_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_LINE", 10)
    heard: list[str] = []
    saying("printf 'x%.0s' {1..25}").act("", heard.append)
    assert heard == ["x" * 10, "x" * 10, "x" * 5]


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_what_runs_is_ended_when_nobody_listens_any_more(tmp_path: Path, error: type[BaseException]) -> None:
    def interrupt(_: str) -> None:
        raise error

    trace = tmp_path / "trace"
    script = f"trap 'echo ended >{trace}; exit' TERM; echo begun; sleep 5 & wait"
    with pytest.raises(error):
        saying(script).act("", interrupt)
    assert trace.read_text() == "ended\n"


# --- the directory that steps share


def test_the_shared_directory_is_ours_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = private_directory()
    assert directory == tmp_path / f"pve-agents-{os.getuid()}" == private_directory()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("runtime", ["", "/nowhere"])
def test_without_a_runtime_directory_it_is_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert private_directory().parent == tmp_path


def foreign(directory: Path, what: str) -> None:
    match what:
        case "a file":
            directory.touch(0o600)
        case "a link":
            (directory.parent / "real").mkdir(mode=0o700)
            directory.symlink_to("real")
        case "a link to nowhere":
            directory.symlink_to("nowhere")
        case _:
            directory.mkdir()
            directory.chmod(0o755)


@pytest.mark.parametrize("what", ["a file", "a link", "a link to nowhere", "others may read it"])
def test_what_somebody_has_put_in_its_place_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = tmp_path / f"pve-agents-{os.getuid()}"
    foreign(directory, what)
    with pytest.raises(WrongSettingsError) as error:
        private_directory()
    assert str(error.value) == f"{directory} is not a directory of yours alone: remove it"
    if directory.is_dir() and not directory.is_symlink():
        directory.rmdir()
    else:
        directory.unlink()
    private_directory()


def test_another_users_directory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    ours = os.getuid()
    (tmp_path / f"pve-agents-{ours + 1}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: ours + 1)
    with pytest.raises(WrongSettingsError, match="is not a directory of yours alone"):
        private_directory()


def test_where_none_can_be_made_it_is_said_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(WrongSettingsError) as error:
        private_directory()
    assert str(error.value) == (
        f"cannot make {tmp_path}/pve-agents-{os.getuid()}: Permission denied; set XDG_RUNTIME_DIR to a directory of yours"
    )


class Late(str):
    """A text that is sent when its shell is gone."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        time.sleep(0.2)
        return super().encode(encoding, errors)


def test_whoever_is_interrupted_while_the_text_is_on_its_way_sees_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saying("echo begun; exec sleep 30").act(Late("text"), interrupt)
    for thread in threading.enumerate():
        if thread.name.endswith("(write)"):
            thread.join(10)
    assert raised == []
