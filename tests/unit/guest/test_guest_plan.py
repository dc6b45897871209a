"""What the program in a container is told: read back as it was written, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pve_agents.guest import plan as module
from pve_agents.guest.plan import (
    Compose,
    Document,
    Engine,
    Image,
    Plan,
    PlanError,
    Secret,
    Seed,
    Service,
    SettingNames,
    Sidecar,
    Workspace,
)

SETTINGS = SettingNames(*(f"agents.scribe.{name}" for name in "abcdefgh"))
SERVICE = Service(
    name="scribe",
    data_directory="/opt/scribe-data",
    directories=("/data/workspace",),
    files=("config.yaml",),
    secrets=(Secret("KEY", "SCRIBE_KEY", 16, "it then does not start"),),
    documents=(Document("home/NOTES.md", "/opt/scribe-data/NOTES.md"),),
    seeds=(Seed("SEED", "/opt/scribe-data/seed.json", overwrite=True),),
    private=("/opt/scribe-data/.env",),
    checks={"url": "http://127.0.0.1:1", "names": ["a", "ü"]},
)
APP = Compose(
    title="Scribe",
    checks="pve_agents.agents.scribe.guest.checks",
    uid=10000,
    gid=10000,
    engine=Engine("docker", {"shutdown-timeout": 135}, 150),
    image=Image("example/scribe:1", "example/scribe:1", "example/scribe", is_moving=False, gigabytes=1),
    network="host",
    services=(SERVICE,),
    settings=SETTINGS,
    sidecars=(Sidecar("cache", "redis:8.2", ("CACHE_KEY",), ends=True),),
)
PLAN = Plan("scribe", (Workspace("/data", 10000, 10000), Workspace("/books", 1, 1, read_only=True)), APP)


@pytest.mark.parametrize("plan", [PLAN, Plan("bare"), Plan("bare", PLAN.workspaces)])
def test_a_plan_is_read_back_as_it_was(plan: Plan) -> None:
    assert Plan.from_json(plan.to_json()) == plan


def changed(path: str, value: Any) -> str:
    """The plan as text, with one value changed, or taken out."""
    data = json.loads(PLAN.to_json())
    *above, last = path.split(".")
    place = data
    for name in above:
        place = place[int(name) if name.isdecimal() else name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("agnet", "scribe", "plan.agnet is not known here"),
        ("compose.colour", "red", "plan.compose.colour is not known here"),
        ("compose.services.0.secrets.0.value", "x", "plan.compose.services[0].secrets[0].value is not known here"),
        ("agent", ..., "plan.agent is missing"),
        ("compose.engine.source", ..., "plan.compose.engine.source is missing"),
        ("agent", 7, "plan.agent is 7, which does not belong there"),
        ("compose.uid", True, "plan.compose.uid is true, which does not belong there"),
        ("compose.services", "hermes", 'plan.compose.services is "hermes", which does not belong there'),
        ("compose.services", ["hermes"], 'plan.compose.services[0] is "hermes", which does not belong there'),
        ("compose.engine.daemon", [], "plan.compose.engine.daemon is [], which does not belong there"),
    ],
)
def test_what_is_no_plan_is_refused_with_its_place(path: str, value: Any, sentence: str) -> None:
    with pytest.raises(PlanError) as error:
        Plan.from_json(changed(path, value))
    assert str(error.value) == sentence


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(PlanError, match=r"it is not JSON \(Expecting value"):
        Plan.from_json("")


def test_a_plan_is_read_by_the_standard_library_alone() -> None:
    """It runs where nothing else is installed."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import pve_agents.guest.plan"
    command = [sys.executable, "-I", "-S", "-B", "-c", program, str(Path(module.__file__).parents[2])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
