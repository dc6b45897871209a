"""A container with the payload that the settings really make, for either runtime."""

from __future__ import annotations

import shutil
from typing import Any

import yaml

from pve_agents import load_settings
from pve_agents.agents.app import app_of
from pve_agents.guest.plan import Plan
from pve_agents.payload import container_payload
from tests.scripts.fake_docker import System
from tests.scripts.fake_systemd import Units
from tests.scripts.guest import VMID, Guest
from tests.virtual_node import host as virtual

GATEWAY = "pve-agent-hermes.service"
SWITCH = "pve-agents-switch-hermes.service"
NATIVE: dict[str, Any] = {"runtime": "native", "package": {"version": "0.19.0"}}
# With this policy Docker starts at its own start what somebody has stopped.
DOCKER: dict[str, Any] = {"runtime": "docker", "restart": "always"}


class NativeGuest(Guest):
    """One container, whose payload is rendered from settings."""

    hermes: dict[str, Any] = NATIVE

    def use(self, **hermes: Any) -> None:
        """Deliver other settings."""
        self.hermes = hermes
        self.deliver()

    def _rendered(self) -> dict[str, str]:
        directory = self.host.directory / "settings"
        directory.mkdir(exist_ok=True)
        (directory / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"hermes": {"hermes": self.hermes}}}))
        agent = load_settings(directory).agents["hermes"]
        payload = container_payload(agent, app_of(agent))
        return {name: file.text for name, file in payload.files.items() if not name.startswith("program/")}

    def deliver(self) -> None:
        """Replace the payload; the program in it is the one that these tests have imported."""
        shutil.rmtree(self.payload, ignore_errors=True)
        for name, text in self._rendered().items():
            path = self.payload / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name in ("bootstrap", "verify") else 0o644)

    def to_plan(self) -> Plan:
        """What the payload tells the program."""
        return Plan.from_json((self.payload / "plan.json").read_text())

    # what runs ------------------------------------------------------------------------------------------------------

    @property
    def units(self) -> dict[str, Any]:
        """What systemd knows, by the names of its units."""
        units: dict[str, Any] = self.system.get("units", {})
        return units

    def runs(self) -> set[str]:
        """By what the agent runs now: two would destroy its data."""
        found = {"native"} if self.units.get(GATEWAY, {}).get("active") == "active" else set()
        containers = [it for it in self.system["containers"].values() if it["State"]["Status"] == "running"]
        return found | ({"docker"} if containers else set())

    def release(self) -> str:
        """Which release the link leads to."""
        link = self.root / "opt/hermes-agent/current"
        return link.readlink().name if link.is_symlink() else ""

    def lose_power(self) -> set[str]:
        """Start the container after a power cut: what comes back by itself, and then the job that ends what was begun."""
        self.kill_at(None)
        machine = virtual.Guest(self.host, VMID, "systemctl")
        with machine.held:
            machine.state = self.host.load()
            Units(System(machine, VMID)).boot()
            system = machine.state["systems"][VMID]
            for container in system["containers"].values():
                policy = container.get("HostConfig", {}).get("RestartPolicy", {}).get("Name", "no")
                up = system["enabled"] and policy != "no"
                # What was stopped by somebody stays so, but with `always`.
                if container["State"]["Status"] in ("running", "restarting") or policy == "always":
                    container["State"]["Status"] = "running" if up else "exited"
            self.host.save(machine.state)
        came_back = self.runs()
        if self.units.get(SWITCH, {}).get("enabled"):
            self.run("bootstrap", "--switch")
        return came_back
