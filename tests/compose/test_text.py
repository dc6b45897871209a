"""What the compose file is written with arrives as it was written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pve_agents.yaml_writer import to_yaml
from tests.compose.conftest import Arrives, Deployed
from tests.compose.real import Refused
from tests.scripts import compose_reader
from tests.synth.test_hermes_payload import EVERYTHING
from tests.yaml_readers import MISREAD

# Compose takes no service without an image.
HEAD = "services:\n  a:\n    image: x:1\n"


def of_environment(variables: dict[str, Any]) -> dict[str, Any]:
    return {"services": {"a": {"image": "x:1", "environment": variables}}}


def test_a_pin_that_begins_with_a_nought_keeps_it(deployed: Deployed) -> None:
    """The report: 0891 arrived as 891."""
    sidecars = {"inker": {"image": "x:1", "environment": {"ADMIN_PIN": "0891"}}}
    assert deployed({"sidecars": sidecars})["inker"]["environment"] == {"ADMIN_PIN": "0891"}


def test_every_text_of_a_sidecar_arrives_as_it_was_written(deployed: Deployed) -> None:
    texts = {f"V{i}": text for i, text in enumerate(MISREAD)}
    one_line = [text for text in MISREAD if text and text.isprintable()]
    sidecar = {
        "image": "x:1",
        "environment": texts,
        "labels": texts,
        "command": one_line,
        "healthcheck": {"test": ["CMD", *MISREAD]},
        "user": "010",
        "hostname": "0x10",
    }
    service = deployed({"sidecars": {"inker": sidecar}})["inker"]
    assert service["environment"] == texts
    assert {key: value for key, value in service["labels"].items() if key in texts} == texts
    assert service["command"] == one_line
    assert service["healthcheck"]["test"] == ["CMD", *MISREAD]
    assert (service["user"], service["hostname"]) == ("010", "0x10")


def test_names_that_are_words_of_yaml_stay_names(deployed: Deployed) -> None:
    variables = {"NO": "a", "Y": "b", "ON": "c", "NULL": "d"}
    service = deployed({"sidecars": {"inker": {"image": "x:1", "environment": variables}}})["inker"]
    assert service["environment"] == variables


def test_numbers_and_flags_of_a_sidecar_arrive(deployed: Deployed) -> None:
    sidecar = {"image": "x:1", "init": True, "mem_limit": 1073741824, "healthcheck": {"test": ["NONE"], "retries": 3}}
    service = deployed({"sidecars": {"inker": sidecar}})["inker"]
    assert service["init"] is True
    assert int(service["mem_limit"]) == 1073741824
    assert service["healthcheck"]["retries"] == 3


def test_compose_takes_a_file_with_everything_in_it(deployed: Deployed) -> None:
    services = deployed({**EVERYTHING, "sidecars": {}})
    assert services.keys() == {"hermes", "hermes-work"}
    assert services["hermes"]["environment"]["PRICE"] == "5$"
    assert services["hermes"]["labels"] == {"pve-agents.revision": f"{0:064x}"}


def test_restart_no_is_the_word(deployed: Deployed) -> None:
    assert deployed({"restart": "no"})["hermes"]["restart"] == "no"


# The reader that the fake Docker has ----------------------------------------------------------------------------------

PLAIN = sorted({word for word in MISREAD if json.dumps(word)[1:-1] == word and word.isalnum()} | {"1.5", ".5", "5."})
PLAIN += ["0o17", "-0o17", "0x1F", "-0b11", "1_000", "0_8", "+1", "1e3", "1.e5", "12:30", "~", "0b2", "08.5", "x"]


@pytest.mark.parametrize("word", PLAIN)
def test_the_fake_docker_reads_a_plain_value_as_compose_does(word: str, arrive: Arrives) -> None:
    text = f"{HEAD}    environment:\n      WORD: {word}\n"
    real = arrive(text)["services"]["a"]["environment"]
    assert real == compose_reader.checked(compose_reader.read(text)["services"])["a"]["environment"]


@pytest.mark.parametrize(
    "line",
    [
        *("container_name: 08", "command: [1]", "restart: 1", "container_name: 2001-01-01"),
        *("environment: {A: .inf}", "environment: {A: .nan}"),
    ],
)
def test_the_fake_docker_refuses_a_value_where_compose_does(line: str, arrive: Arrives) -> None:
    text = f"{HEAD}    {line}\n"
    with pytest.raises(Refused):
        arrive(text)
    with pytest.raises(compose_reader.NotTextError):
        compose_reader.checked(compose_reader.read(text)["services"])


def test_the_fake_docker_reads_what_we_write_as_compose_does(arrive: Arrives) -> None:
    text = to_yaml(of_environment({f"V{i}": it for i, it in enumerate(MISREAD)}))
    assert arrive(text)["services"]["a"]["environment"] == compose_reader.read(text)["services"]["a"]["environment"]
