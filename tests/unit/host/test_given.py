"""The secrets: where they are taken from, which of them cannot be, and how they are written for the container."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from pve_agents.agents.hermes.variables import variable
from pve_agents.host import given as host_given
from pve_agents.host.given import Given
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.wanted import Secrets
from tests.secrets_to_try import PLACEHOLDERS, REAL

CANARY = "sk-canary-2f6d"
KEY = "LITELLM_API_KEY"
SECRETS = Secrets((KEY,), {}, "/etc/pve-agents/hermes.env", 0, 0)
File = Callable[[str | bytes], str]


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Writes a file of secrets as it should be."""

    def write(content: str | bytes) -> str:
        path = tmp_path / "hermes.env"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return str(path)

    return write


def read_given(secrets: Secrets | None, environment: Mapping[str, str]) -> Given:
    return host_given.read_given(secrets, environment, agent="hermes")


def refused(**environment: str) -> str:
    with pytest.raises(WrongSettingsError) as error:
        read_given(SECRETS, environment)
    said = str(error.value)
    assert "canary" not in said
    assert said.isprintable()
    return said


# --- where they come from


def test_they_are_taken_from_the_environment_and_nothing_else_is() -> None:
    given = read_given(SECRETS, {KEY: CANARY, "OTHER": CANARY, "PVE_READ_TOKEN": CANARY})
    assert given.file == f"{KEY}={CANARY}\n".encode()


def test_a_misspelt_name_is_told_with_the_one_that_is_meant(file: File) -> None:
    given = read_given(SECRETS, {"HERMES_ENV_FILE": file(f"LITELM_API_KEY={CANARY}\nOTHER=x\n")})
    assert (given.missing, given.misspelt) == ((KEY,), {"LITELM_API_KEY": KEY})
    # Where it is there, nobody is told anything of another one; nor of variables, which are everybody's.
    assert read_given(SECRETS, {"HERMES_ENV_FILE": file(f"{KEY}=x\nLITELM_API_KEY=y\n")}).misspelt == {}
    assert read_given(SECRETS, {"LITELM_API_KEY": CANARY}).misspelt == {}


def test_the_file_that_the_settings_send_a_secret_to_is_one_that_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="put the value into the agent's secrets file"):
        list(variable(KEY, CANARY))
    file = tmp_path / "secrets"
    file.write_text(f"{KEY}={CANARY}\n")
    file.chmod(0o600)
    assert read_given(SECRETS, {"HERMES_ENV_FILE": str(file)}).missing == ()


def test_where_the_package_that_reads_the_file_is_missing_it_is_named(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dotenv.parser", None)
    with pytest.raises(WrongSettingsError, match="without the Python package python-dotenv: put `pipenv run` in front"):
        read_given(SECRETS, {"HERMES_ENV_FILE": file(f"{KEY}={CANARY}\n")})
    assert read_given(SECRETS, {KEY: CANARY}).missing == ()


def test_each_agent_has_a_file_of_its_own(file: File) -> None:
    environment = {"BOOK_CLUB_ENV_FILE": file(f"{KEY}={CANARY}\n"), "HERMES_ENV_FILE": "/nowhere"}
    assert host_given.read_given(SECRETS, environment, agent="book-club").values == {KEY: CANARY}


def test_or_from_a_file_which_is_then_the_only_source(file: File) -> None:
    path = file(f"# mine\nexport {KEY}='{CANARY}'\nOTHER={CANARY}\n\n")
    assert read_given(SECRETS, {"HERMES_ENV_FILE": path, KEY: "another"}).file == f"{KEY}={CANARY}\n".encode()
    two = Secrets((KEY, "FROM_THE_ENVIRONMENT"), {}, "/x", 0, 0)
    given = read_given(two, {"HERMES_ENV_FILE": path, "FROM_THE_ENVIRONMENT": CANARY})
    assert given.missing == ("FROM_THE_ENVIRONMENT",)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (f"{KEY}={CANARY} # mine", CANARY),
        (f'{KEY}="{CANARY}"', CANARY),
        (f"{KEY}='{CANARY}' # mine", CANARY),
        (f"  {KEY} = {CANARY}  ", CANARY),
        (f"{KEY}=a#b", "a#b"),
        (f"{KEY}=one\n{KEY}={CANARY}", CANARY),
        (f"{KEY}={CANARY}\r\nOTHER=x\r\n", CANARY),
        (f"\ufeff{KEY}={CANARY}", CANARY),
    ],
)
def test_a_file_is_read_as_python_dotenv_reads_it_with_or_without_a_byte_order_mark(
    file: File, line: str, value: str
) -> None:
    assert read_given(SECRETS, {"HERMES_ENV_FILE": file(line)}).values == {KEY: value}


@pytest.mark.parametrize(
    "environment", [{}, {KEY: ""}, {KEY.lower(): CANARY}], ids=["nothing", "an empty one", "another name"]
)
def test_one_that_is_missing_is_named_and_no_half_of_a_file_is_made(environment: dict[str, str]) -> None:
    two = Secrets((KEY, "TELEGRAM_BOT_TOKEN"), {}, "/x", 0, 0)
    given = read_given(two, {"TELEGRAM_BOT_TOKEN": CANARY, **environment})
    assert (given.file, given.missing) == (None, (KEY,))


def test_an_agent_without_secrets_needs_no_file_of_them() -> None:
    assert read_given(None, {"HERMES_ENV_FILE": "/nowhere"}) == Given({}, ())


def test_an_agent_with_no_names_gets_an_empty_file() -> None:
    assert read_given(Secrets((), {}, "/x", 0, 0), {}).file == b""


def test_a_relative_file_is_found_from_where_terraform_runs_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: File
) -> None:
    file(f"{KEY}={CANARY}")
    stack = tmp_path / "cdktf.out" / "stacks" / "hermes-root"
    stack.mkdir(parents=True)
    for directory in (tmp_path, stack):
        monkeypatch.chdir(directory)
        assert read_given(SECRETS, {"HERMES_ENV_FILE": "hermes.env"}).missing == ()
    assert refused(HERMES_ENV_FILE="other.env") == "cannot read HERMES_ENV_FILE other.env: No such file or directory"


def test_a_file_may_be_below_the_home(file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(file(f"{KEY}={CANARY}")).parent))
    assert read_given(SECRETS, {"HERMES_ENV_FILE": "~/hermes.env"}).missing == ()


# --- whom a file belongs to


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_for_others_is_refused_until_it_is_as_the_message_says(file: File, mode: int) -> None:
    path = file(f"{KEY}={CANARY}")
    Path(path).chmod(mode)
    said = refused(HERMES_ENV_FILE=path)
    assert said == f"HERMES_ENV_FILE {path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`"
    subprocess.run(shlex.split(said.split("`")[1]), check=True)
    assert read_given(SECRETS, {"HERMES_ENV_FILE": path}).missing == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=\xff", "not UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(file: File, content: bytes | None, message: str) -> None:
    path = file(content or b"")
    if content is None:
        Path(path).unlink()
    assert refused(HERMES_ENV_FILE=path) == f"cannot read HERMES_ENV_FILE {path}: {message}"


def test_only_a_regular_file_is_one_of_secrets(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path, tmp_path / "fifo", "/dev/zero"):
        said = refused(HERMES_ENV_FILE=str(path))
        assert said == f"HERMES_ENV_FILE {path} is no regular file: write the secrets into one, with mode 0600"


def test_a_file_that_is_too_long_is_not_read_to_its_end(file: File) -> None:
    path = file(f"A={'x' * 2**20}")
    assert refused(HERMES_ENV_FILE=path) == (
        f"HERMES_ENV_FILE {path} is longer than a file of secrets can be: name another"
    )


def test_a_name_with_what_nobody_sees_is_named_by_its_line(file: File) -> None:
    path = file(f"A=b\nLITELLM\u200b_API_KEY={CANARY}")
    assert refused(HERMES_ENV_FILE=path) == (
        f"HERMES_ENV_FILE {path}, line 2: the name holds U+200B, which cannot be seen: write the line anew"
    )


@pytest.mark.parametrize("content", [f"\ufeff{KEY}={CANARY}\n", f"{KEY}={CANARY}\r\n", f"{KEY} =  {CANARY}  \n"])
def test_what_an_editor_leaves_around_a_value_is_no_part_of_it(file: File, content: str) -> None:
    assert read_given(SECRETS, {"HERMES_ENV_FILE": file(content)}).values == {KEY: CANARY}


@pytest.mark.parametrize(("value", "arrives"), [("a\\'s", False), ("a\\", False), ("a\\b", True)])
def test_a_secret_that_compose_cannot_read_stops_here(value: str, arrives: bool) -> None:  # noqa: FBT001
    read_given(SECRETS, {KEY: value})
    of_compose = Secrets((KEY,), {}, "/x", 0, 0, of_compose=(KEY,))
    if arrives:
        assert read_given(of_compose, {KEY: value}).values == {KEY: value}
    else:
        with pytest.raises(WrongSettingsError, match="which Compose cannot read from a file: choose another value"):
            read_given(of_compose, {KEY: value})


# --- what cannot be


@pytest.mark.parametrize(
    ("line", "number"),
    [("canary", 1), ("A=b\nLITELLM API=canary", 2), ("# x\n\n=canary", 3), (f"{KEY}='canary", 1), (f"A=b\n{KEY}", 2)],
)
def test_a_line_that_is_none_is_named_by_its_number(file: File, line: str, number: int) -> None:
    path = file(line)
    assert refused(HERMES_ENV_FILE=path) == f"HERMES_ENV_FILE {path}, line {number}: not NAME=VALUE"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("canary${HOME}", "holds '${', in place of which its reader would have a variable's value"),
        ("a\x07canary", "holds a control character or a line break"),
        ("a\ncanary", "holds a control character or a line break"),
        ("a\u202ecanary", "holds U+202E, which cannot be seen and came along with a copy: write it without"),
        ("a\u200bcanary", "holds U+200B, which cannot be seen and came along with a copy: write it without"),
        (" canary", "begins or ends with a blank: write it without"),
        ("a\udcffcanary", "holds a control character or a line break"),
    ],
)
def test_a_value_that_would_not_arrive_is_refused_and_not_shown(value: str, message: str) -> None:
    assert refused(**{KEY: value}) == f"the secret {KEY} {message}"


def test_so_is_one_in_a_file(file: File) -> None:
    assert refused(HERMES_ENV_FILE=file(f'{KEY}="canary\\nx"')).endswith("holds a control character or a line break")
    assert "'${'" in refused(HERMES_ENV_FILE=file(f"{KEY}=canary${{HOME}}"))


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_no_secret(value: str) -> None:
    said = refused(**{KEY: value})
    assert said == (
        f"the secret {KEY} is a placeholder: write its real value, or none until you have it; where no key is needed, take "
        "its name out of the settings"
    )


@pytest.mark.parametrize("value", REAL)
def test_what_only_looks_a_little_like_a_placeholder_is_a_secret(value: str) -> None:
    assert read_given(SECRETS, {KEY: value}).values == {KEY: value}


def test_a_secret_has_a_minimum_length_which_the_advised_one_has() -> None:
    secrets = Secrets((KEY,), {KEY: 16, "ANOTHER": 99}, "/x", 0, 0)
    with pytest.raises(WrongSettingsError) as error:
        read_given(secrets, {KEY: "k" * 15})
    assert str(error.value) == (
        f"the secret {KEY} has fewer than 16 characters: make a longer one, for example with `openssl rand -hex 32`"
    )
    assert read_given(secrets, {KEY: "k" * 16}).missing == ()
    assert read_given(secrets, {KEY: os.urandom(32).hex()}).missing == ()


# --- how they are written


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain-1.2/3+=", "plain-1.2/3+="),
        ('pa$$w#rd"x', "'pa$$w#rd\"x'"),
        ("it's", "'it\\'s'"),
        ("a\\b", "'a\\\\b'"),
        ("grün", "'grün'"),
        (" a ", "' a '"),
    ],
)
def test_a_value_is_quoted_only_where_it_has_to_be(value: str, line: str) -> None:
    assert Given({KEY: value}, ()).file == f"{KEY}={line}\n".encode()


@given(st.text(min_size=1).filter(lambda text: text.isprintable() and "${" not in text))
def test_whatever_a_value_is_it_arrives_as_it_was_given(value: str) -> None:
    content = Given({KEY: value, "A_KEY": value}, ()).file
    assert content
    assert dotenv_values(stream=io.StringIO(content.decode())) == {"A_KEY": value, KEY: value}
