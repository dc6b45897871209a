"""Virtual keys: what the gateway is asked for, and what becomes of the secrets file."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from pydantic import SecretStr

from pve_agents.agents.litellm.commands import grant as grant_command
from pve_agents.agents.litellm.grants import Gateway, Grant, GrantError, put_secret, secret_in, with_secret
from pve_agents.operator.stopped import Stopped
from tests.unit.fake_gateway import FakeGateway, gateway

MASTER, MADE = "sk-canary-of-the-master", "sk-canary-that-was-made"
GRANT = Grant("hermes", ["my-model"], 5, "30d")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def test_a_key_is_asked_for_with_its_budget_and_models() -> None:
    assert GRANT.body(NOW) == {
        "key_alias": "hermes 2026-11-26 12:00:00",
        "models": ["my-model"],
        "max_budget": 5,
        "budget_duration": "30d",
    }
    assert "budget_duration" not in Grant("hermes", ["m"], 1).body(NOW)
    with gateway(key__generate=(200, {"key": MADE})) as fake:
        made = Gateway("gateway", fake.url, SecretStr(MASTER)).make(GRANT)
    assert made.get_secret_value() == MADE
    ((path, key, body),) = fake.asked
    assert (path, key, body["max_budget"]) == ("/key/generate", MASTER, 5)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, {"error": {"message": f"no {MASTER}"}}), "the gateway gateway refuses the master key: deliver its secrets with `pipenv run agents secrets gateway`"),
        ((400, {"error": {"message": "No connected db."}}), "the gateway gateway has no database, which virtual keys need: write agents.gateway.litellm.database, and deploy"),
        ((400, {"error": {"message": f"odd: {MASTER} and sk-0123456789abcdef"}}), "the gateway gateway made no key (HTTP 400: odd: *** and ***)"),
        ((500, b"<html>"), "the gateway gateway made no key (HTTP 500: <html>)"),
        ((200, {"key": "nope"}), "the gateway gateway made something that is no key"),
        ((200, {}), "the gateway gateway made something that is no key"),
    ],
)  # fmt: skip
def test_a_gateway_that_makes_no_key_is_one_sentence_without_any_key(answer: tuple[int, Any], sentence: str) -> None:
    with gateway(key__generate=answer) as fake, pytest.raises(GrantError) as error:
        Gateway("gateway", fake.url, SecretStr(MASTER)).make(GRANT)
    assert str(error.value).startswith(sentence)
    assert MASTER not in str(error.value)


def test_a_gateway_that_is_not_there_is_one_sentence() -> None:
    with gateway() as fake:
        url = fake.url
    with pytest.raises(GrantError, match=r"is not reached at .*: is it deployed, and does this machine reach it"):
        Gateway("gateway", url, SecretStr(MASTER)).make(GRANT)


# The file ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "KEY=new\n"),
        ("OTHER=1", "OTHER=1\nKEY=new\n"),
        ("# mine\n\nKEY=old\nOTHER='a b' # note\n", "# mine\n\nKEY=new\nOTHER='a b' # note\n"),
        ("export KEY='old value'\nOTHER=1\n", "KEY=new\nOTHER=1\n"),
        ("KEY=one\nOTHER=1\nKEY=two\n", "KEY=new\nOTHER=1\n"),
        ("OTHER='a\nKEY=not this one\n'\n", "OTHER='a\nKEY=not this one\n'\nKEY=new\n"),
        ("MY_KEY=1\nKEYS=2\n", "MY_KEY=1\nKEYS=2\nKEY=new\n"),
    ],
)
def test_one_line_of_the_secrets_file_is_replaced_or_added_and_no_other(before: str, after: str) -> None:
    assert with_secret(before, "KEY", "new") == after


def test_the_file_is_for_its_owner_alone_and_whole_at_any_time(tmp_path: Path) -> None:
    file = tmp_path / "hermes.env"
    put_secret(file, "KEY", SecretStr(MADE))
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (f"KEY={MADE}\n", 0o600)
    first = file.stat().st_ino
    put_secret(file, "KEY", SecretStr("sk-another-one-0123"))
    assert file.stat().st_ino != first
    assert [it.name for it in tmp_path.iterdir()] == ["hermes.env"]
    before = secret_in(file, "KEY")
    assert before
    assert before.get_secret_value() == "sk-another-one-0123"
    assert secret_in(file, "OTHER") is None


def test_a_link_stays_a_link_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "hermes.env").symlink_to(tmp_path / "real" / "hermes.env")
    put_secret(tmp_path / "hermes.env", "KEY", SecretStr(MADE))
    assert (tmp_path / "hermes.env").is_symlink()
    assert (tmp_path / "real" / "hermes.env").read_text() == f"KEY={MADE}\n"


def test_a_file_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "hermes.env"
    file.write_text("KEY=old\n")
    file.chmod(0o640)
    with pytest.raises(GrantError, match=r"can be read by others \(mode 0640\): run `chmod 600 "):
        put_secret(file, "KEY", SecretStr(MADE))
    assert file.read_text() == "KEY=old\n"
    with pytest.raises(GrantError, match="cannot be read"):
        put_secret(tmp_path, "KEY", SecretStr(MADE))
    with pytest.raises(GrantError, match="cannot be written"):
        put_secret(tmp_path / "nowhere" / "x.env", "KEY", SecretStr(MADE))


# The command ------------------------------------------------------------------------------------------------------------


class FakeProject:
    """The operator's project: settings, and root's variables."""

    def __init__(self, homelab: Any, variables: dict[str, str]) -> None:
        self.homelab, self.of_root = homelab, variables

    def chosen(self, names: list[str]) -> Any:
        return self.homelab.chosen(names)


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command as the operator would, against a fake gateway."""
    from pve_agents import load_settings  # noqa: PLC0415

    def run(fake: FakeGateway, *words: str, variables: dict[str, str] | None = None) -> tuple[int, str]:
        port = int(fake.url.rpartition(":")[2])
        models = [{"name": name, "model": f"openai/{name}", "key_env": "A_KEY"} for name in ("my-model", "other")]
        agents = {
            "gateway": {"vmid": 117, "hostname": "127.0.0.1.nip", "litellm": {"models": models, "port": port}},
            "hermes": {"vmid": 118, "hermes": {"settings": {"providers": {"litellm": {"gateway": "gateway"}}}}},
            "bare": {"vmid": 119},
        }
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": agents}))
        (tmp_path / "gateway.env").write_text(f"LITELLM_MASTER_KEY={MASTER}\n")
        (tmp_path / "gateway.env").chmod(0o600)
        stated = {"GATEWAY_ENV_FILE": str(tmp_path / "gateway.env"), "HERMES_ENV_FILE": str(tmp_path / "hermes.env")}
        project = FakeProject(load_settings(tmp_path), stated if variables is None else variables)
        monkeypatch.setattr(grant_command, "open_project", lambda: project)
        monkeypatch.setattr(grant_command, "_url", lambda *_: fake.url)
        result = CliRunner().invoke(grant_command.command, words, standalone_mode=False)
        said = result.output + (str(result.exception) if result.exception else "")
        status = result.exception.status if isinstance(result.exception, Stopped) else 0
        assert result.exception is None or isinstance(result.exception, Stopped), result.exception
        return status, said

    return run


def test_granting_puts_a_key_into_the_agents_file_and_shows_no_value(operator: Any, tmp_path: Path) -> None:
    (tmp_path / "hermes.env").write_text("API_SERVER_KEY=x\n")
    (tmp_path / "hermes.env").chmod(0o600)
    with gateway(key__generate=(200, {"key": MADE})) as fake:
        status, said = operator(fake, "gateway", "hermes", "--budget", "5", "--models", "my-model", "--every", "30d")
    assert status == 0
    assert (tmp_path / "hermes.env").read_text() == f"API_SERVER_KEY=x\nLITELLM_API_KEY={MADE}\n"
    assert said.startswith("hermes may spend 5 dollars every 30d on my-model at gateway: LITELLM_API_KEY is in ")
    assert "Deliver it with `pipenv run agents secrets hermes`." in said
    assert not [it for it in (MASTER, MADE) if it in said]
    assert fake.asked[0][2]["models"] == ["my-model"]


def test_all_models_are_granted_where_none_is_named_and_the_key_before_is_ended_if_wanted(
    operator: Any,
) -> None:
    answers: Any = {"key__generate": (200, {"key": MADE}), "key__delete": (200, {})}
    with gateway(**answers) as fake:
        assert "stays valid" not in operator(fake, "gateway", "hermes", "--budget", "1")[1]
        assert fake.asked[0][2]["models"] == ["my-model", "other"]
        assert "The key before it stays valid" in operator(fake, "gateway", "hermes", "--budget", "1")[1]
        assert "stays valid" not in operator(fake, "gateway", "hermes", "--budget", "1", "--revoke")[1]
    assert [(path, body) for path, _, body in fake.asked if path == "/key/delete"] == [
        ("/key/delete", {"keys": [MADE]})
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("hermes", "gateway"), "the agent hermes is no gateway: name one that has a section litellm"),
        (
            ("gateway", "bare"),
            "the agent bare does not ask gateway: write gateway: gateway where its section names its provider",
        ),
        (("gateway", "hermes", "--models", "nope"), "the gateway gateway has no model nope; it has my-model, other"),
        (("gateway", "hermes", "--models", ","), "--models names no model; write one of my-model, other"),
        (("gateway", "hermes", "--every", "soon"), "--every soon is no time; write one such as 30d, 12h or 1mo"),
    ],
)
def test_what_cannot_be_granted_is_said_before_anything_is_asked(
    words: tuple[str, ...], sentence: str, operator: Any
) -> None:
    with gateway() as fake:
        status, said = operator(fake, *words, "--budget", "1")
    assert (status, fake.asked) == (2, [])
    assert sentence in said


def test_a_file_that_nobody_names_is_asked_for(operator: Any, tmp_path: Path) -> None:
    with gateway(key__generate=(200, {"key": MADE})) as fake:
        said = operator(fake, "gateway", "hermes", "--budget", "1", variables={"LITELLM_MASTER_KEY": MASTER})
        assert said == (
            2,
            "HERMES_ENV_FILE is not set: write HERMES_ENV_FILE=/path/of/a/file into root's file, and the agent's secrets into it",
        )
        there = {"HERMES_ENV_FILE": str(tmp_path / "hermes.env")}
        status, why = operator(fake, "gateway", "hermes", "--budget", "1", variables=there)
        assert status == 2
        assert (
            why
            == "LITELLM_MASTER_KEY is missing: write it as NAME=VALUE into the 0600 file that GATEWAY_ENV_FILE names"
        )
        assert (
            operator(fake, "gateway", "hermes", "--budget", "1", variables={**there, "LITELLM_MASTER_KEY": MASTER})[0]
            == 0
        )


def test_nothing_is_asked_where_the_file_cannot_take_the_key(operator: Any, tmp_path: Path) -> None:
    """A key that was made and could not be kept would be spent by nobody, and known to nobody."""
    (tmp_path / "hermes.env").write_text("")
    os.chmod(tmp_path / "hermes.env", 0o644)  # noqa: PTH101
    with gateway(key__generate=(200, {"key": MADE})) as fake:
        status, said = operator(fake, "gateway", "hermes", "--budget", "1")
    assert (status, fake.asked) == (1, [])
    assert "can be read by others" in said


def test_a_key_that_cannot_be_kept_is_ended(operator: Any, tmp_path: Path) -> None:
    answers: Any = {"key__generate": (200, {"key": MADE}), "key__delete": (200, {})}
    (tmp_path / "hermes.env").symlink_to(tmp_path / "nowhere" / "hermes.env")
    with gateway(**answers) as fake:
        status, said = operator(fake, "gateway", "hermes", "--budget", "1")
    assert (status, "cannot be written" in said) == (1, True)
    assert fake.asked[-1][0] == "/key/delete"


def test_the_command_is_found_in_the_kinds_folder() -> None:
    from pve_agents.agents.kind import commands_of_kinds  # noqa: PLC0415

    assert commands_of_kinds()["grant"] == "pve_agents.agents.litellm.commands.grant"
