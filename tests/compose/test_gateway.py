"""What the real Compose makes of the gateway's file."""

from __future__ import annotations

from pathlib import Path

import yaml

from pve_agents import load_settings
from pve_agents.guest.compose_files import lines_for_compose
from pve_agents.root_spec import payload_of
from tests.compose.test_published import SECRET, as_compose_means_it

MODELS = [{"name": "m", "model": "openai/m", "key_env": "OPENAI_API_KEY"}]


def test_the_gateways_secrets_arrive_as_they_are(tmp_path: Path) -> None:
    agent = {"vmid": 117, "litellm": {"models": MODELS}}
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"gateway": agent}}))
    payload = payload_of(load_settings(tmp_path).agents["gateway"])
    file = tmp_path / "docker-compose.yml"
    file.write_text(payload.files["docker-compose.yml"].text)
    (tmp_path / ".env").write_text("\n".join(lines_for_compose(dict.fromkeys(payload.secrets, SECRET))))
    services = as_compose_means_it(file, tmp_path, {})["services"]
    # What is shown is a compose file again, with its dollar signs doubled.
    shown = SECRET.replace("$", "$$")
    environment = services["litellm"]["environment"]
    assert [environment[it] for it in ("LITELLM_MASTER_KEY", "OPENAI_API_KEY", "DATABASE_PASSWORD")] == [shown] * 3
    assert services["database"]["environment"]["POSTGRES_PASSWORD"] == shown
    assert services["litellm"]["depends_on"]["database"]["condition"] == "service_healthy"
    assert services["litellm"]["ports"] == [
        {"mode": "ingress", "host_ip": "0.0.0.0", "target": 4000, "published": "4000", "protocol": "tcp"}
    ]
