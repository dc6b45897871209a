"""Where a dollar sign is a variable of Compose's, and where it arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from pve_agents.guest.compose_files import lines_for_compose
from tests.compose.conftest import Arrives, Deployed
from tests.compose.real import Refused
from tests.compose.test_text import HEAD
from tests.scripts import compose_reader

ESCAPED = ("$$", "$$X", "$${ADMIN_PIN}", "5$$", "$$$$", "a$$b", "$$(id)", "5$", "$1", "a $ b", "$$$")


def test_two_dollars_of_a_sidecar_arrive_as_one(deployed: Deployed) -> None:
    """The report: `echo pin=$${ADMIN_PIN}` said the shell's pid."""
    sidecar = {
        "image": "x:1",
        "healthcheck": {"test": ["CMD-SHELL", *ESCAPED]},
        "environment": {f"V{i}": text for i, text in enumerate(ESCAPED)},
        "command": list(ESCAPED),
        "labels": dict(zip("abcdefghijk", ESCAPED, strict=True)),
    }
    wanted = [text.replace("$$", "$") for text in ESCAPED]
    service = deployed({"sidecars": {"side": sidecar}})["side"]
    assert service["healthcheck"]["test"] == ["CMD-SHELL", *wanted]
    assert service["environment"] == {f"V{i}": text for i, text in enumerate(wanted)}
    assert service["command"] == wanted
    assert [service["labels"][name] for name in "abcdefghijk"] == wanted


def test_a_dollar_of_hermes_own_settings_arrives_as_it_is(deployed: Deployed) -> None:
    """Only what is beside Hermes is in the words of Compose."""
    hermes = {"environment": {"PRICE": "5$ $HOME $$"}, "volumes": ["/srv/$HOME:/srv/$x"]}
    service = deployed(hermes)["hermes"]
    assert service["environment"]["PRICE"] == "5$ $HOME $$"
    assert (service["volumes"][-1]["source"], service["volumes"][-1]["target"]) == ("/srv/$HOME", "/srv/$x")


@pytest.mark.parametrize("text", ["$X", "${X}", "${X", "$2y$10$salt", "${X!}", "$_"])
def test_what_the_settings_refuse_compose_does_not_take_for_text(text: str, arrive: Arrives) -> None:
    """It replaces it by nothing, with a warning, or ends."""
    with pytest.raises(Refused):
        arrive(f"{HEAD}    environment:\n      A: '{text}'\n")


@pytest.mark.parametrize("text", [*ESCAPED, "$X", "${X}", "$X$$", "$XY"])
def test_the_fake_docker_puts_a_variables_value_as_compose_does(text: str, arrive: Arrives) -> None:
    real = arrive(f"{HEAD}    environment:\n      A: '{text}'\n", X="1", XY="2")["services"]["a"]["environment"]
    assert real == {"A": compose_reader.interpolated(text, {"X": "1", "XY": "2"})}


SECRETS = (
    "0891",
    "no",
    "pa$$word",
    "$HOME",
    "${HOME}",
    "a#b",
    "a #b",
    "it's",
    "''",
    'say "x"',
    " a ",
    "a\\b",
    "=",
    "${",
    "`x`",
)


def test_a_sidecars_secrets_arrive_as_they_are(arrive: Arrives, tmp_path: Path) -> None:
    """As the bootstrap writes them; a backslash before a quote or at the end, which it refuses, would not."""
    names = [f"S{i}" for i in range(len(SECRETS))]
    lines = lines_for_compose(dict(zip(names, SECRETS, strict=True)))
    (tmp_path / "side.env").write_text("".join(f"{line}\n" for line in lines))
    service = arrive(f"{HEAD}    env_file: [{tmp_path}/side.env]\n")["services"]["a"]
    assert service["environment"] == dict(zip(names, SECRETS, strict=True))
