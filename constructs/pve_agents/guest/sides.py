"""The ways in which an agent may run in a container: each can be told to keep still and to come back, without any plan.

Two on one directory of data destroy it. So whoever is held does not come back by itself, not even after a reboot, until it
is released; and the other one is held before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from pve_agents.guest.progress import fail
from pve_agents.guest.systemd import UNITS, units_of, unlink_units
from pve_agents.guest.work import Work

__all__ = ["SIDES", "DockerSide", "NativeSide", "Side"]

_STOP_MARGIN_SECONDS = 60


class Side(ABC):
    """One way, for one agent."""

    def __init__(self, work: Work) -> None:
        """Know the agent."""
        self._work = work

    @property
    @abstractmethod
    def is_there(self) -> bool:
        """Whether the agent runs this way, or would after a start of the container.

        Raises:
            FailureError: Nobody can tell.
        """

    @abstractmethod
    def hold(self) -> None:
        """Stop it, and let it not come back by itself.

        Raises:
            FailureError: It does not stop.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop it until another deploy, whose mounts it needs.

        Raises:
            FailureError: It does not stop.
        """

    @abstractmethod
    def release(self) -> None:
        """Let it run again, now and after each start of the container."""

    @abstractmethod
    def remove(self) -> None:
        """Have it be gone; the data stays, and so does what the way back would have to load."""

    @property
    def _stop_seconds(self) -> int:
        return self._work.software.stop_seconds + _STOP_MARGIN_SECONDS


class DockerSide(Side):
    """Containers of Docker Compose."""

    @property
    def _file(self) -> str:
        return f"{self._work.project}/docker-compose.yml"

    @property
    def _held(self) -> str:
        """The file that keeps what Docker did with each container at a start."""
        return f"{self._work.project}/held"

    @property
    def is_there(self) -> bool:
        """Whether there is a container; Docker has to answer for that."""
        machine = self._work.machine
        if not machine.is_file(self._file) or not machine.has("docker"):
            return False
        if not self._work.docker.version():
            machine.run("systemctl", "start", "docker", seconds=120)
            if not self._work.docker.version():
                fail(
                    "Docker has run the agent here, and its daemon does not answer: look at `journalctl -u docker` in the"
                    " container; two on one directory of data would destroy it"
                )
        return bool(self._work.docker.project_containers())

    def hold(self) -> None:
        """Stop the containers, and have Docker start none of them."""
        docker, machine = self._work.docker, self._work.machine
        found = [identity for identity, _, _ in docker.project_containers()]
        if not machine.is_file(self._held):
            policies = [f"{it} {docker.of_container('{{.HostConfig.RestartPolicy.Name}}', it) or 'no'}" for it in found]
            self._work.remember(self._held, "\n".join(policies))
        seconds = self._work.software.stop_seconds
        for identity in found:
            docker.ask("container", "update", "--restart", "no", identity)
        command = ("docker", "container", "stop", "-t", str(seconds), *found)
        if found and not machine.run(*command, seconds=self._stop_seconds).ok:
            fail("the containers do not stop: look at `docker ps -a` in the container")

    def stop(self) -> None:
        """Remove the containers; all else of Docker's stays."""
        self._down("the containers do not stop")
        self._work.machine.remove(f"{self._work.project}/containers")

    def _down(self, what: str) -> None:
        ran = self._work.docker.compose("down", "--remove-orphans", "--timeout", str(self._work.software.stop_seconds))
        if not ran.ok:
            fail(f"{what}: {self._work.last_line(ran.out)}")

    def release(self) -> None:
        """Start the containers, and have Docker do with them what it did."""
        docker, machine = self._work.docker, self._work.machine
        for line in machine.text(self._held).splitlines():
            identity, _, policy = line.partition(" ")
            docker.ask("container", "update", "--restart", policy, identity)
            docker.ask("container", "start", identity)
        machine.remove(self._held)

    def remove(self) -> None:
        """Remove the containers; without any other, Docker itself rests. Its images stay."""
        docker, machine = self._work.docker, self._work.machine
        if not machine.is_file(self._file):
            return
        if self.is_there:
            self._down("the containers cannot be removed")
        for name in ("containers", ".env", "held"):
            machine.remove(f"{self._work.project}/{name}")
        if not docker.ask("container", "ls", "--all", "--quiet").out:
            machine.run("systemctl", "disable", "--now", "docker.socket", "docker", seconds=self._stop_seconds)
        # The last, since without it nobody would look for the rest.
        machine.remove(self._file)


class NativeSide(Side):
    """Units of systemd."""

    @property
    def is_there(self) -> bool:
        """Whether there are units of ours."""
        return bool(units_of(self._work))

    def hold(self) -> None:
        """Stop the units, and have systemd start none of them."""
        self._systemctl("disable", "the units are not disabled")
        self._systemctl("stop", "the units do not stop")

    def stop(self) -> None:
        """Stop the units, which then wait for a deploy."""
        self.hold()

    def release(self) -> None:
        """Start the units."""
        self._systemctl("reset-failed", "")
        self._systemctl("enable", "the units cannot be enabled")
        self._systemctl("start", "the units do not start", "--no-block")

    def remove(self) -> None:
        """Remove the units; the releases stay."""
        self.hold()
        unlink_units(self._work, units_of(self._work))
        self._work.machine.remove(f"{self._work.project}/{UNITS}")

    def _systemctl(self, verb: str, what: str, *options: str) -> None:
        units = [f"{it}.service" for it in units_of(self._work)]
        ran = self._work.machine.run("systemctl", verb, *options, *units, seconds=self._stop_seconds, joined=True)
        if not ran.ok and what:
            fail(f"{what}: look at `systemctl status {units[0]}` in the container", self._work.last_line(ran.out))


SIDES: Mapping[str, type[Side]] = {"docker": DockerSide, "native": NativeSide}
"""All of them, by the word for each. A new runtime is another one here."""
