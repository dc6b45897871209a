"""The real LiteLLM with PostgreSQL as the agent `gateway`, in a container of its own, and Hermes that asks it with a virtual key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import HERMES_ROOT
from tests.lab import gateway_images
from tests.lab.container import Container
from tests.lab.lab import ALLOWED_USER, Lab
from tests.lab.sandbox import GATEWAY, LabError
from tests.lab.services import GATEWAY_AGENT, GATEWAY_REGISTRY_PORT, GATEWAY_UPSTREAM_PORT

pytestmark = pytest.mark.lab

VMID, MODEL = 121, "scripted"
# A turn of the scripted model's has 15 tokens.
PRICE = 0.001
# LiteLLM asks for what a whole prompt may cost before it lets one through.
PLENTY = 1000
SECRETS = {
    "LITELLM_MASTER_KEY": "sk-of-the-master-0123456789abcdef",
    # What an URL would have to spell in another way.
    "LITELLM_DATABASE_PASSWORD": "of/the@database:with?signs#in%it",
    "UPSTREAM_KEY": "of-the-upstream",
}


class GatewayAgent:
    """The agent `gateway`, and `hermes` as one that asks it."""

    def __init__(self, lab: Lab) -> None:
        """Write both secrets files."""
        self.lab, self.tag = lab, gateway_images.TAGS[0]
        project = lab.project
        self.hermes_file = self._file(
            "hermes", {name: project.env[name] for name in ("API_SERVER_KEY", "TELEGRAM_BOT_TOKEN")}
        )
        project.env["GATEWAY_ENV_FILE"] = str(self._file("gateway", SECRETS))

    def _file(self, name: str, values: dict[str, str]) -> Path:
        file = self.lab.project.directory / f"{name}.env"
        file.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        file.chmod(0o600)
        return file

    @property
    def container(self) -> Container:
        return self.lab.node.container(VMID)

    def configure(self, *, tag: str = "") -> None:
        self.tag = tag or self.tag
        litellm = {
            "image": {"repository": gateway_images.REPOSITORY, "tag": self.tag},
            "models": [
                {
                    "name": MODEL,
                    "model": "openai/scripted",
                    "api_base": f"http://{GATEWAY}:{GATEWAY_UPSTREAM_PORT}/v1",
                    "key_env": "UPSTREAM_KEY",
                    "context_length": 131_072,
                    "input_cost_per_token": PRICE,
                    "output_cost_per_token": PRICE,
                }
            ],
            "database": {"image": f"postgres:{gateway_images.DATABASE_TAG}", "directory": "/data/database"},
            "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{GATEWAY_REGISTRY_PORT}"]},
        }
        gateway = {
            "vmid": VMID,
            "protect": False,
            "network": {"address": f"{GATEWAY_AGENT}/16", "gateway": GATEWAY},
            "dns": {"servers": [GATEWAY]},
            "mounts": {"mp0": {"host_path": "/mnt/pve/hdd/gateway", "guest_path": "/data"}},
            "litellm": litellm,
        }
        hermes = self.lab.settings(settings={"providers": {"litellm": {"gateway": "gateway"}}})
        self.lab.project.configure({"hermes": hermes, "gateway": gateway})
        self.lab.project.synthesize()

    def deploy(self, *, tag: str = "") -> str:
        self.configure(tag=tag)
        self.lab.project.apply(stack="gateway")
        return self.lab.project.apply(stack="gateway-root").said

    def grant(self, budget: float, *options: str) -> str:
        env = self.lab.project.env
        env["HERMES_ENV_FILE"] = str(self.hermes_file)
        return self.lab.project.agents("grant", "gateway", "hermes", "--budget", str(budget), *options).raw

    def failed(self, agent: str = "gateway") -> dict[str, dict[str, Any]]:
        ran = self.lab.project.agents("verify", agent, "--json", ok=None)
        found = re.search(r"^\{.*^\}", ran.raw, re.MULTILINE | re.DOTALL)
        assert found, ran.raw
        checks: list[dict[str, Any]] = json.loads(found[0])["agents"][agent]["checks"]
        return {it["name"]: it for it in checks if it["status"] == "failed"}

    def spent(self) -> list[str]:
        """What each virtual key has spent, as the database has it."""
        query = 'SELECT key_alias, spend FROM "LiteLLM_VerificationToken" ORDER BY key_alias'
        command = f"PGPASSWORD=\"$POSTGRES_PASSWORD\" psql -h 127.0.0.1 -U litellm -d litellm -tAc '{query}'"
        name = self.container.run("docker", "ps", "--quiet", "--filter", "name=database").stdout.strip()
        return self.container.run("docker", "exec", name, "sh", "-c", command).stdout.splitlines()


@pytest.fixture(scope="module")
def gateway(lab: Lab) -> Iterator[GatewayAgent]:
    lab.services.serve_gateway(gateway_images.prepare(lab.services.cached))
    agent = GatewayAgent(lab)
    said = agent.deploy()
    assert "first answer … ok" in said
    yield agent
    lab.project.env.pop("HERMES_ENV_FILE", None)
    lab.project.destroy(stack="gateway-root")
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack="gateway")
    # Hermes asks the lab's own again.
    lab.apply()


def test_the_gateway_is_well_and_a_second_deploy_changes_nothing(gateway: GatewayAgent) -> None:
    assert gateway.failed() == {}
    said = gateway.lab.project.agents("mend", "gateway").raw
    assert set(re.findall(r"… ok \((\w+)", said)) == {"unchanged"}
    for secret in SECRETS.values():
        assert secret not in said
        for file in gateway.lab.project.directory.rglob("*.json"):
            assert secret not in file.read_text()


def test_hermes_asks_it_with_a_key_that_was_granted_and_telegram_is_answered(gateway: GatewayAgent) -> None:
    said = gateway.grant(PLENTY, "--models", MODEL)
    assert f"hermes may spend {PLENTY} dollars on scripted at gateway: LITELLM_API_KEY is in" in said
    line = gateway.hermes_file.read_text().splitlines()[-1]
    key = line.removeprefix("LITELLM_API_KEY=")
    assert key.startswith("sk-")
    assert key not in said
    gateway.lab.project.apply(stack=HERMES_ROOT)
    telegram = gateway.lab.services.telegram
    before = len(telegram.answers(ALLOWED_USER))
    telegram.send(ALLOWED_USER, "ping")
    gateway.lab.wait_until("the user is answered", lambda: "pong" in telegram.answers(ALLOWED_USER)[before:], 60)
    assert gateway.failed("hermes") == {}
    # The provider's key is the gateway's alone.
    assert gateway.lab.services.upstream.requests[-1].key == SECRETS["UPSTREAM_KEY"]


def test_a_budget_that_is_used_up_is_named_by_verify_and_a_new_one_is_a_new_key(gateway: GatewayAgent) -> None:
    gateway.grant(2 * 15 * PRICE, "--revoke")
    gateway.lab.project.agents("secrets", "hermes", ok=None)

    def is_used_up() -> bool:
        try:
            gateway.lab.chat("ping")
        except LabError as error:
            return "udget" in str(error)
        return False

    gateway.lab.wait_until("the budget is used up", is_used_up, 120)
    found = gateway.failed("hermes")
    assert "Budget has been exceeded" in found["model endpoint"]["detail"]
    assert "the key's budget is used up at the model endpoint" in found["model endpoint"]["remedy"]
    gateway.grant(PLENTY, "--revoke")
    gateway.lab.project.agents("secrets", "hermes")
    assert gateway.lab.chat("ping") == "pong"
    assert gateway.failed("hermes") == {}


def test_its_database_outlives_a_restart_and_a_reboot(gateway: GatewayAgent) -> None:
    keys = [it.partition("|")[0] for it in gateway.spent()]
    assert keys
    for container in gateway.container.run("docker", "ps", "--quiet").stdout.split():
        gateway.container.run("docker", "restart", container)
    gateway.lab.wait_until("it is well after a restart", lambda: gateway.failed() == {}, 180)
    gateway.lab.node.reboot(VMID)
    gateway.lab.wait_until("it is well after a reboot", lambda: gateway.failed() == {}, 180)
    assert [it.partition("|")[0] for it in gateway.spent()] == keys
    assert gateway.lab.chat("ping") == "pong"


def test_it_is_upgraded_and_rolled_back_with_its_database(gateway: GatewayAgent) -> None:
    before = gateway.spent()
    said = gateway.deploy(tag=gateway_images.TAGS[1])
    assert "data copied: " in said
    assert gateway.lab.chat("ping") == "pong"
    restored = gateway.container.run("/opt/pve-agents/gateway/bootstrap", "--restore").stdout
    assert f"under {gateway_images.REPOSITORY}:{gateway_images.TAGS[0]}" in restored
    said = gateway.deploy(tag=gateway_images.TAGS[0])
    assert "image … ok (unchanged)" in said
    assert [it.partition("|")[0] for it in gateway.spent()] == [it.partition("|")[0] for it in before]
    assert gateway.lab.chat("ping") == "pong"
    assert gateway.failed() == {}
