"""The messengers that variables and secrets turn on in the real Hermes, and what our health makes of them."""

from __future__ import annotations

import time
from typing import Any

from pve_agents.agents.hermes.messengers import MESSENGERS
from tests.agent.hermes import RealHermes
from tests.agent.test_probe import probe

# The wheel comes without its library, and Hermes then takes it for not configured.
WITHOUT_ITS_LIBRARY = {"teams"}
ENABLED = """
import json, os, sys
from gateway.config import load_gateway_config
found = {}
for name, variables in json.loads(sys.argv[1]).items():
    os.environ |= variables
    found[name] = [platform.value for platform, it in load_gateway_config().platforms.items() if it.enabled]
    for variable in variables:
        del os.environ[variable]
print(json.dumps(found))
"""


def variables(messenger: str) -> list[dict[str, str]]:
    """What turns it on, with each of several in turn."""
    sets: list[dict[str, str]] = [{}]
    for alternatives in MESSENGERS[messenger].needs:
        sets = [{**found, name: "true"} for found in sets for name in alternatives.split("|")]
    return sets


def test_each_messenger_is_turned_on_by_what_we_take_for_its_variables(hermes: RealHermes) -> None:
    hermes.deliver({})
    asked: dict[str, Any] = {f"{name} {i}": found for name in MESSENGERS for i, found in enumerate(variables(name))}
    enabled = hermes.ask_python(ENABLED, asked)
    missing = {name.split()[0] for name, found in enabled.items() if name.split()[0] not in found}
    assert missing == WITHOUT_ITS_LIBRARY
    # Less does not do.
    less = {name: dict(list(found.items())[1:]) for name, found in asked.items()}
    too_much = {name for name, found in hermes.ask_python(ENABLED, less).items() if name.split()[0] in found}
    assert too_much == set()


def test_a_messenger_that_is_declared_and_fails_is_not_healthy(hermes: RealHermes) -> None:
    """The gateway itself says ok; of the one whose library is missing it says nothing at all."""
    hermes.deliver(
        {
            "environment": {"WHATSAPP_ENABLED": "true", "MATRIX_HOMESERVER": "http://127.0.0.1:9"},
            "secrets": ["MATRIX_ACCESS_TOKEN"],
        }
    )
    with hermes.gateway():
        end = time.monotonic() + 30
        while "fatal" not in (said := probe(hermes, "platform", hermes.url, "whatsapp")) and time.monotonic() < end:
            time.sleep(0.1)
        assert hermes.ask("GET", "/health/detailed")[1]["status"] == "ok"
        said = probe(hermes, "gateway", hermes.url, *hermes.platforms)
    assert hermes.platforms == ["api_server", "whatsapp", "matrix"]
    assert said.startswith("waiting\twhatsapp is fatal (")
    assert "matrix has not been started yet" in said


def test_a_webhook_listens_where_it_is_let_through(hermes: RealHermes) -> None:
    hermes.deliver({"environment": {"WEBHOOK_ENABLED": "true", "WEBHOOK_PORT": str(hermes.other_port)}})
    with hermes.gateway():
        end = time.monotonic() + 30
        while not (said := probe(hermes, "platform", hermes.url, "webhook")).startswith("ok"):
            assert time.monotonic() < end, said
            time.sleep(0.1)
        assert hermes.listens_on(hermes.other_port)
