"""What the kinds compose and litellm tell of their software, asked at real addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pve_agents.agents.compose.guest.checks import Checks as ComposeChecks
from pve_agents.agents.litellm.guest.checks import Checks as GatewayChecks
from pve_agents.guest.machine import Machine
from tests.unit.fake_gateway import FakeGateway, gateway

KEY = "sk-canary-of-the-master"
READY = (200, {"status": "healthy", "db": "connected"})
MODELS = (200, {"data": [{"id": "my-model"}, {"id": "at-home"}]})
TURN = (200, {"choices": [{"message": {"content": "ok"}}]})


# litellm ----------------------------------------------------------------------------------------------------------------


def checks(fake: FakeGateway | str, tmp_path: Path, **arguments: Any) -> GatewayChecks:
    secrets = tmp_path / "gateway.env"
    secrets.write_text(f"LITELLM_MASTER_KEY={KEY}\n")
    told = {
        "url": fake if isinstance(fake, str) else fake.url,
        "secrets_file": str(secrets),
        "master_key": "LITELLM_MASTER_KEY",
        "models": ["my-model"],
        "asked": "my-model",
        "has_database": True,
        "seconds": 5,
        "setting": "agents.gateway.litellm",
    }
    return GatewayChecks(Machine(), {**told, **arguments})


def test_a_gateway_that_is_well_is_asked_for_its_models_and_one_word(tmp_path: Path) -> None:
    with gateway(health__readiness=READY, v1__models=MODELS, v1__chat__completions=TURN) as fake:
        it = checks(fake, tmp_path)
        assert (it.ready().detail, it.prove().detail) == ("up, its database connected", "my-model answers")
        assert [(check.name, check.status) for check in it.look(chat=True)] == [
            ("gateway", "ok"),
            ("models", "ok"),
            ("turn", "ok"),
        ]
        assert {key for _, key, _ in fake.asked} == {KEY}
        assert next(body for path, _, body in fake.asked if path.endswith("completions"))["model"] == "my-model"
        fake.asked.clear()
        assert [check.status for check in it.look(chat=False)] == ["ok", "ok", "skipped"]
        assert not [path for path, _, _ in fake.asked if path.endswith("completions")]


def test_no_model_is_asked_where_none_may_be(tmp_path: Path) -> None:
    with gateway(v1__models=MODELS) as fake:
        assert checks(fake, tmp_path, asked="").prove().ok
        assert [path for path, _, _ in fake.asked] == ["/v1/models"]


@pytest.mark.parametrize(
    ("answers", "state", "detail", "remedy"),
    [
        ({}, "waiting", "the gateway says that it is 404", "look at `docker ps -a`"),
        ({"health__readiness": (503, {"status": "unhealthy"})}, "waiting", "the gateway says that it is unhealthy", "docker logs"),
        ({"health__readiness": (200, {"status": "healthy", "db": "Not connected"})}, "waiting", "the gateway is up without its database (Not connected)", "service database"),
        ({"health__readiness": (200, b"<html>")}, "waiting", "without its database (nothing is said of it)", "service database"),
    ],
)  # fmt: skip
def test_a_gateway_that_is_not_ready_is_waited_for(
    answers: dict[str, Any], state: str, detail: str, remedy: str, tmp_path: Path
) -> None:
    with gateway(**answers) as fake:
        answer = checks(fake, tmp_path).ready()
    assert (answer.state, detail in answer.detail, remedy in answer.remedy) == (state, True, True)


@pytest.mark.parametrize(
    ("answers", "detail", "remedy"),
    [
        ({"v1__models": (401, {})}, "the gateway refuses its own LITELLM_MASTER_KEY", "deliver the secrets again"),
        ({"v1__models": (500, {})}, "the gateway answers 500 to who asks for its models", "docker logs"),
        ({"v1__models": (200, {"data": [{"id": "x"}]})}, "the gateway does not list my-model", "agents.gateway.litellm.models"),
        ({"v1__models": MODELS, "v1__chat__completions": (401, {"error": {"message": "bad key"}})}, "my-model answers 401: bad key", "look at its api_base and key_env"),
        ({"v1__models": MODELS, "v1__chat__completions": (429, {"error": {"message": "slow down"}})}, "my-model answers 429: slow down", "try later"),
        ({"v1__models": MODELS, "v1__chat__completions": (200, {"choices": []})}, "my-model answers 200: ", "answers_checks: false"),
        ({"v1__models": MODELS, "v1__chat__completions": (502, b"x" * 999)}, "x" * 300 + " …", "answers_checks: false"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_models_and_turns_is_named_with_what_to_do(
    answers: dict[str, Any], detail: str, remedy: str, tmp_path: Path
) -> None:
    with gateway(**answers) as fake:
        answer = checks(fake, tmp_path).prove()
    assert (answer.state, answer.detail.endswith(detail) or detail in answer.detail) == ("failed", True)
    assert remedy in answer.remedy


def test_a_gateway_that_is_not_there_is_said_with_its_address(tmp_path: Path) -> None:
    with gateway() as fake:
        url = fake.url
    it = checks(url, tmp_path)
    assert it.ready().detail.startswith(f"the gateway at {url} is not reached (")
    assert it.prove().detail.startswith("the gateway does not list its models (")


# compose ----------------------------------------------------------------------------------------------------------------


def http(url: str, status: int = 200, contains: str = "") -> ComposeChecks:
    return ComposeChecks(Machine(), {"http": [{"url": url, "status": status, "contains": contains, "seconds": 5}]})


@pytest.mark.parametrize(
    ("answer", "status", "contains", "said"),
    [
        ((200, b"all is well"), 200, "well", ""),
        ((302, b""), 302, "", ""),
        ((401, b""), 401, "", ""),
        ((500, b""), 200, "", "answers 500, not 200"),
        ((200, b"starting"), 200, "well", "answers without 'well' in it"),
    ],
)
def test_an_address_answers_as_it_should_or_is_waited_for(
    answer: tuple[int, bytes], status: int, contains: str, said: str
) -> None:
    with gateway(health=answer) as fake:
        it = http(f"{fake.url}/health", status, contains)
        ready, (check,) = it.ready(), it.look(chat=True)
    assert (ready.state, check.status) == (("waiting", "failed") if said else ("ok", "ok"))
    assert (check.name, said in check.detail) == (f"http 127.0.0.1 {fake.url.rpartition(':')[2]} health", True)


def test_an_address_where_nobody_is_is_waited_for() -> None:
    with gateway() as fake:
        url = fake.url
    answer = http(f"{url}/").ready()
    assert answer.state == "waiting"
    assert answer.detail.startswith(f"{url}/ is not reached (")
    assert ComposeChecks(Machine(), {}).ready().ok
