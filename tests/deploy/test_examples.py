"""Each example is deployed on the virtual node, twice, and looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import load_settings
from pve_agents.secret_values import secrets_variable
from tests.deploy.project import Project
from tests.unit.fake_gateway import FakeGateway, gateway
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

EXAMPLES = ROOT / "examples"
NAMES = sorted(it.stem for it in EXAMPLES.glob("*.yaml"))
SECRET = "sk-canary-0123456789abcdef"
ANSWERS: dict[str, tuple[int, Any]] = {
    "health": (200, {"status": True}),
    "api__version": (200, {"version": "0.13.0"}),
    "health__readiness": (200, {"status": "healthy", "db": "connected"}),
    "v1__models": (200, {"data": [{"id": "my-model"}, {"id": "at-home"}]}),
    "v1__chat__completions": (200, {"choices": [{"message": {"content": "ok"}}]}),
}


def here(agents: dict[str, Any], fake: FakeGateway) -> dict[str, Any]:
    """The example's agents, whose software is a server of the test's."""
    port = int(fake.url.rpartition(":")[2])
    for agent in agents.values():
        if "litellm" in agent:
            agent["litellm"]["port"] = port
        if "compose" in agent:
            agent["compose"]["file"] = str(EXAMPLES / agent["compose"]["file"])
            for check in agent["compose"]["checks"]:
                check["http"] = re.sub(r"^http://127.0.0.1:\d+", fake.url, check["http"])
    return agents


def give_secrets(project: Project, name: str, names: tuple[str, ...]) -> Path:
    file = project.directory / f"{name}.env"
    file.write_text("".join(f"{it}={SECRET}\n" for it in names))
    file.chmod(0o600)
    project.env[secrets_variable(name)] = str(file)
    return file


# What is deployed without root is so in test_console_delivery.py, where there is none.
@pytest.mark.parametrize("example", [it for it in NAMES if it != "hermes-no-root"])
def test_an_example_is_deployed_is_well_and_has_nothing_to_do_the_second_time(
    example: str, project: Project, virtual_node: VirtualNode
) -> None:
    with gateway(**ANSWERS) as fake:
        settings = yaml.safe_load((EXAMPLES / f"{example}.yaml").read_text())
        agents, project.storage = here(settings["agents"], fake), settings.get("storage")
        # Beside others, Hermes itself is what most of the other tests deploy.
        wanted = [name for name, agent in agents.items() if "hermes" not in agent] or list(agents)
        project.configure({name: agents[name] for name in wanted})
        homelab = load_settings(project.directory)
        for name in wanted:
            give_secrets(project, name, homelab.agents[name].secret_names)
            for device in homelab.agents[name].devices.values():
                # A device of the virtual node is a plain file.
                place = virtual_node.host.real(device.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
        project.synthesize()
        if project.storage:
            virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
            project.apply(stack="pet-storage")
        for name in wanted:
            project.apply(stack=name)
            said = project.apply(stack=f"{name}-root").said
            assert "first answer … ok" in said
            assert "secrets … ok" in said
            checks = json.loads(project.agents("verify", "--json", name).raw)["agents"][name]["checks"]
            assert {it["name"]: it["detail"] for it in checks if it["status"] not in {"ok", "skipped"}} == {}
            assert SECRET not in said
            again = project.agents("mend", name).text
            assert set(re.findall(r"… ok \(([^)]*)\)", again)) == {"unchanged"}
    if "hermes" in agents[wanted[0]]:
        return
    lines = (virtual_node.guest(homelab.agents[wanted[0]].vmid, "/var/lib/pve-agents") / wanted[0] / ".env").read_text()
    assert SECRET in lines or not homelab.agents[wanted[0]].secret_names


@pytest.mark.parametrize("example", NAMES)
def test_an_example_is_read_as_it_is_and_warns_of_nothing(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMELAB_FILE", f"examples/{example}.yaml")
    homelab = load_settings(ROOT)
    assert homelab.warnings == ()
    head = (EXAMPLES / f"{example}.yaml").read_text().partition("\n")[0]
    assert head == "# yaml-language-server: $schema=../schemas/homelab.schema.json"
    # The secrets that it says are needed are those that are.
    text = (EXAMPLES / f"{example}.yaml").read_text()
    for agent in homelab.agents.values():
        if agent.section and agent.section.kind != "hermes":
            assert [it for it in agent.secret_names if f"#   {it}=" not in text and f"#        {it}=" not in text] == []
