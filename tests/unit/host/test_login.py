"""Root's login: what is asked, whom nobody answers, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from pve_agents.host import login as module
from pve_agents.host.login import Login
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VirtualNode:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return VirtualNode(tmp_path / "node")


def answers(monkeypatch: pytest.MonkeyPatch, *given: str) -> list[str]:
    asked: list[str] = []
    rest = list(given)

    def ask(_: Login, question: str, __: str) -> str:
        asked.append(question)
        return rest.pop(0)

    monkeypatch.setattr(Login, "_asked", ask)
    return asked


def test_a_password_and_a_code_are_asked_for_once(node: VirtualNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with node:
        node.pve.tfa = True
        asked = answers(monkeypatch, node._password, "123 456")
        login = Login(node.env)
        first = login.ticket()
        assert asked == [f"Password of root@pam at {node.pve.url}: ", "Code of root@pam (TOTP): "]
        # Another step of the deploy finds it.
        assert Login(node.env).ticket() == first
        assert len(asked) == 2
        assert node._password not in repr(first)
        assert first.secret not in repr(first)


def test_a_wrong_code_is_one_sentence(node: VirtualNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with node:
        node.pve.tfa = True
        answers(monkeypatch, node._password, "000000")
        with pytest.raises(
            WrongSettingsError, match="does not accept the code of root@pam: run it again with the next one"
        ):
            Login(node.env).ticket()


def test_a_login_that_is_too_old_is_forgotten(node: VirtualNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with node:
        asked = answers(monkeypatch, node._password, node._password)
        login = Login(node.env)
        login.ticket()
        kept = json.loads(login._kept.read_text())
        login._kept.write_text(json.dumps({**kept, "until": 1.0}))
        login.ticket()
        assert len(asked) == 2


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"address": "https://elsewhere:8006", "until": 9e9}'])
def test_what_is_kept_may_be_anything(node: VirtualNode, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with node:
        asked = answers(monkeypatch, node._password)
        login = Login(node.env)
        login._kept.write_text(text)
        login.ticket()
        assert len(asked) == 1


def test_a_factor_that_shows_no_codes_is_said() -> None:
    def challenge(**kinds: object) -> str:
        return f"PVE:!tfa!{quote(json.dumps(kinds))}:66F0A1B2::signature"

    assert module._takes_codes(challenge(totp=True, recovery=[1]))
    assert not module._takes_codes(challenge(webauthn={"x": 1}))
    # What nobody can read is tried.
    assert module._takes_codes("PVE:!tfa!0123456789abcdef")


def test_a_node_that_does_not_answer_is_one_sentence(node: VirtualNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with node:
        environment = dict(node.env)
    answers(monkeypatch, "x")
    with pytest.raises(UnreachedError, match="cannot be reached"):
        Login(environment).ticket()


def test_without_an_address_nobody_is_asked() -> None:
    with pytest.raises(WrongSettingsError, match="PVE_TRANSPORT=console: PROXMOX_VE_ENDPOINT is not set"):
        Login({})
