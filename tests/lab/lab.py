"""The lab as a whole: the node, its container, what is around it, and this project deployed on it."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.project import HERMES_ROOT, Project, Ran
from tests.lab import cache, services
from tests.lab.cache import TAGS, Cached
from tests.lab.container import Container
from tests.lab.node import LabNode
from tests.lab.sandbox import GATEWAY, ROOT, RUN, LabError
from tests.lab.services import REGISTRY_PORT, Services

ALLOWED_USER, STRANGER = 111, 222
HDD, FAST = Path("/mnt/pve/hdd/hermes"), Path("/media/2tb/hermes")
API_PORT = 8642
# Seconds into a step after which it is in the middle of what it does; the others are over in no time.
MOMENTS = {2: 3.0, 3: 0.3, 6: 3.0, 7: 0.7, 8: 3.0, 9: 0.7}
# Half of what the gateway needs.
TOO_LITTLE_MEMORY = "96m"
ANSWER_SECONDS = 20
STEP = re.compile(r"\[hermes \d+/\d+\] (?P<name>[a-z ]+) … ok(?: \([^)]*\))? (?P<seconds>[\d.]+)s")


@dataclass
class Phases:
    """How long what took, in seconds."""

    create: float = 0
    first: float = 0
    second: float = 0
    steps: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, float]]:
        """The table's rows."""
        steps = self.steps
        docker = steps.get("docker engine", 0) + steps.get("docker smoke test", 0)
        return [
            ("create the container", self.create),
            ("directories and mounts", steps.get("host directories", 0) + steps.get("container config", 0)),
            ("Docker", docker),
            ("image", steps.get("image", 0)),
            ("containers, until the gateway is healthy", steps.get("containers", 0) + steps.get("health", 0)),
            ("first answer", steps.get("first answer", 0)),
            ("first deploy as a whole", self.first),
            ("second deploy", self.second),
        ]

    def summary(self) -> str:
        """The table, with the ratio of the two deploys."""
        lines = [f"{name:<42} {seconds:7.1f} s" for name, seconds in self.rows()]
        ratio = self.second / self.first if self.first else 0
        return "\n".join([*lines, f"{'second deploy / first deploy':<42} {ratio:7.2f}"])


@dataclass
class Verified:
    """The answer of `verify`."""

    code: int
    checks: dict[str, dict[str, Any]]

    @property
    def failed(self) -> dict[str, str]:
        """What failed, each with its detail."""
        return {name: check["detail"] for name, check in self.checks.items() if check["status"] == "failed"}

    def remedy(self, name: str) -> str:
        """What a check says is to be done."""
        return str(self.checks[name]["remedy"])


class Lab:
    """The running lab."""

    def __init__(self, node: LabNode, around: Services, directory: Path) -> None:
        """Put the project's settings into a directory."""
        self.node, self.services = node, around
        self.project = Project(directory, node)
        self.phases = Phases()
        # Further tables for the end, by their titles.
        self.tables: dict[str, str] = {}
        self.api_key = secrets.token_hex(32)
        self.project.env |= {
            "LITELLM_API_KEY": around.litellm_key,
            "API_SERVER_KEY": self.api_key,
            "TELEGRAM_BOT_TOKEN": around.telegram.token,
        }
        self.configure()

    @property
    def container(self) -> Container:
        """The real container."""
        return self.node.container()

    # The operator ---------------------------------------------------------------------------------------------------

    def settings(self, **changed: Any) -> dict[str, Any]:
        """What homelab.yaml has to say beyond the defaults, for an agent in the lab."""
        hermes = {
            "image": {"tag": TAGS[0]},
            "answer_seconds": ANSWER_SECONDS,
            "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{REGISTRY_PORT}"]},
            "platforms": {
                "telegram": {
                    "allowed_users": [ALLOWED_USER],
                    "home_channel": str(ALLOWED_USER),
                    "base_url": self.services.telegram.base_url,
                }
            },
        }
        return {"protect": False, "hermes": {**hermes, **changed}}

    def configure(self, **changed: Any) -> None:
        """Write homelab.yaml; `changed` are keys of the section hermes."""
        self.project.configure(**self.settings(**changed))

    def deploy(self) -> Ran:
        """Deploy both stacks as the operator does, and return what was said."""
        options = ("--auto-approve", "--skip-provider-lock", "--output", str(self.project.out))
        return self.project.run(ROOT / "scripts" / "cdktf", "deploy", "hermes", HERMES_ROOT, *options)

    def first_deploy(self) -> Ran:
        """Deploy from nothing, and remember how long what took."""
        began = time.monotonic()
        said = self.deploy()
        self.phases.first = time.monotonic() - began
        self.phases.steps = {found["name"]: float(found["seconds"]) for found in STEP.finditer(said.text)}
        self.phases.create = self.node.pve.made_within[118]
        return said

    def second_deploy(self) -> Ran:
        """Deploy what is deployed."""
        began = time.monotonic()
        said = self.deploy()
        self.phases.second = time.monotonic() - began
        return said

    def apply(self, **changed: Any) -> str:
        """Deploy changed keys of the section hermes, as root alone, and return what the steps said."""
        self.configure(**changed)
        self.project.synthesize()
        return self.project.apply(stack=HERMES_ROOT).said

    def steps(self) -> str:
        """Run all steps without Terraform (`pipenv run agents mend hermes`), and return what they said."""
        return self.project.agents("mend", "hermes").raw

    def verify(self, *arguments: str, ok: bool | None = None) -> Verified:
        """What `pipenv run agents verify hermes` finds."""
        ran = self.project.agents("verify", "hermes", "--json", *arguments, ok=ok)
        found = re.search(r"^\{.*^\}", ran.raw, re.MULTILINE | re.DOTALL)
        if not found:
            raise LabError(f"verify printed no JSON: {ran.raw}")
        checks = json.loads(found[0])["agents"]["hermes"]["checks"]
        return Verified(ran.code, {check["name"]: check for check in checks})

    def kill_bootstrap_in(self, number: int) -> int:
        """Run the bootstrap, kill it with all that it has started while it is at a step; return at which it died."""
        return kill_bootstrap(self.container, "hermes", number, MOMENTS.get(number, 0))

    def starve(self) -> Callable[[], object]:
        """Let the agent's Docker container have less memory than the gateway needs; returns what ends that."""
        memory, with_swap = self.inspect("{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}").split()
        before = self._kernel_kills()

        def limit(memory: str, with_swap: str) -> bool:
            options = ("--memory", memory, "--memory-swap", with_swap)
            return self.container.run("docker", "update", *options, "hermes", check=False).returncode == 0

        def limit_while_there_is_little_in_use() -> bool:
            self.in_hermes("pkill", "-KILL", "-f", "hermes gateway run", check=False)
            return limit(TOO_LITTLE_MEMORY, TOO_LITTLE_MEMORY)

        self.wait_until("there is too little memory", limit_while_there_is_little_in_use, 30)
        self.wait_until("the kernel has ended the gateway", lambda: self._kernel_kills() > before, 60)
        return lambda: limit(memory, with_swap)

    def _kernel_kills(self) -> int:
        """How often the kernel has ended a process of the agent's Docker container for want of memory."""
        inside = "cat /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events 2>/dev/null"
        found = re.search(r"^oom_kill (\d+)", self.in_hermes("sh", "-c", inside, check=False), re.MULTILINE)
        return int(found[1]) if found else 0

    # What it is made of ----------------------------------------------------------------------------------------------

    def data(self, name: str = "") -> Path:
        """Where the agent's data is for this machine, past all that runs."""
        return self.container.rootfs / "opt/hermes-data" / name

    def look_at_database(self, question: str) -> list[str]:
        """What SQLite answers about a copy of the agent's memory. Nobody may be using it."""
        with tempfile.TemporaryDirectory() as directory:
            for file in self.data().glob("state.db*"):
                shutil.copy(file, directory)
            with contextlib.closing(sqlite3.connect(Path(directory, "state.db"))) as database:
                return [str(row[0]) for row in database.execute(question)]

    def database_faults(self) -> str:
        """What SQLite finds wrong with the agent's memory; `ok` where nothing is."""
        assert self.conversations(), "the database holds no message"
        return "; ".join(self.look_at_database("PRAGMA integrity_check"))

    def conversations(self) -> str:
        """All that was said to the agent and by it, as it remembers it."""
        return "\n".join(self.look_at_database("SELECT coalesce(content, '') FROM messages ORDER BY id"))

    def gateway_ends(self) -> list[str]:
        """How the gateway has ended each time: its exit status, or 256 and the signal that killed it."""
        there = "/root/gateway-ends"
        copied = self.container.run("docker", "cp", "hermes:/run/gateway-ends", there, check=False)
        return self.container.run("cat", there).stdout.splitlines() if copied.returncode == 0 else []

    def have_a_slow_gateway(self, seconds: int) -> Path:
        """Have the agent make a further one, which is busy for so long when it is told to stop; returns what it leaves."""
        service = "/run/service/gateway-slow"
        run = f"trap 'sleep {seconds}; echo whole >>/opt/data/ended; exit 0' TERM; while :; do sleep 1; done"
        script = (
            f'mkdir -p {service}; printf "#!/bin/sh\\n%s\\n" "$1" >{service}/run; chmod +x {service}/run; '
            f"/command/s6-svscanctl -a /run/service; until /command/s6-svok {service}; do sleep 0.1; done; "
            f"/command/s6-svwait -u {service}; sleep 1"
        )
        self.container.run("docker", "exec", "hermes", "sh", "-c", script, "sh", run)
        return self.data("ended")

    # The user -------------------------------------------------------------------------------------------------------

    def chat(self, text: str, *, service: str = "hermes", port: int = API_PORT, key: str = "") -> str:
        """What an agent answers through its API server, from inside its Docker container."""
        body = {"model": "hermes-agent", "messages": [{"role": "user", "content": text}]}
        script = (
            "import json,sys,urllib.request as u; key,body=sys.stdin.read().split(chr(10),1); "
            f"r=u.Request('http://127.0.0.1:{port}/v1/chat/completions',body.encode(),"
            "{'Authorization':'Bearer '+key,'Content-Type':'application/json'}); print(u.urlopen(r).read().decode())"
        )
        command = ("timeout", "60", "docker", "exec", "-i", "-u", "10000:10000", service, "python3", "-c", script)
        asked = f"{key or self.api_key}\n{json.dumps(body)}"
        answer = json.loads(self.container.run(*command, stdin=None, input=asked).stdout)
        choice = answer["choices"][0]
        if choice["finish_reason"] != "stop":
            raise LabError(f"the turn did not complete: {answer}")
        return str(choice["message"]["content"])

    def wget(self, url: str, body: dict[str, str] | None = None) -> str:
        """What a server says to a program in the container, or wget in its place."""
        post = ["--header=Content-Type: application/json", f"--post-data={json.dumps(body)}"] if body else []
        done = self.container.run("wget", "-nv", "--tries=1", "--timeout=10", "-O-", *post, url, check=False)
        return done.stdout + done.stderr

    def inspect(self, form: str, name: str = "hermes") -> str:
        """What Docker in the container knows of one of its own."""
        return self.container.run("docker", "inspect", "--format", form, name).stdout.strip()

    def last_words(self) -> str:
        """What the agent's Docker container has said last."""
        return self.container.run("sh", "-c", "docker logs --tail 40 hermes 2>&1", check=False).stdout

    def in_hermes(self, *command: str, check: bool = True, service: str = "hermes") -> str:
        """Run a command in the agent's Docker container as the agent's user."""
        return self.container.run("docker", "exec", "-u", "10000:10000", service, *command, check=check).stdout

    def wait_until(self, what: str, condition: Any, seconds: float = 90) -> None:
        """Ask again and again until something is so."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(LabError, OSError, ValueError, subprocess.SubprocessError):
                if condition():
                    return
            time.sleep(0.3)
        raise LabError(f"after {seconds:g} seconds it is not so that {what}")

    def wait_until_healthy(self, seconds: float = 120) -> None:
        """Return once the agent's gateway answers."""
        url = f"http://127.0.0.1:{API_PORT}/health"
        self.wait_until("the gateway answers", lambda: self.in_hermes("curl", "-fsS", "-m", "5", url), seconds)


def kill_bootstrap(container: Container, agent: str, number: int, seconds: float) -> int:
    """Run an agent's bootstrap, and kill it with all that it has started; return at which step it died.

    Args:
        container: Where it runs.
        agent: Whose it is.
        number: The step.
        seconds: How long it is at that step by then.
    """
    command = ("setsid", "--wait", "sh", "-c", 'echo "$$"; exec "$0"', f"/opt/pve-agents/{agent}/bootstrap")
    with subprocess.Popen(
        container.attach(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        session = running.stdout.readline().strip()
        finished = 0
        while finished < number - 1 and (line := running.stdout.readline()):
            finished += " … ok" in line
        time.sleep(seconds)
        container.run("pkill", "-KILL", "-s", session, check=False)
        finished += sum(" … ok" in line for line in running.stdout)
    return finished + 1


@contextlib.contextmanager
def running(cached: Cached | None = None) -> Iterator[Lab]:
    """The lab, for as long as the `with` block runs; nothing is deployed yet."""
    cached = cached or cache.prepare()
    with services.running(cached) as around, LabNode(RUN / "node", cached.guest) as node:
        lab = Lab(node, around, RUN / "project")
        try:
            yield lab
        finally:
            with contextlib.suppress(LabError):
                if lab.container.running:
                    lab.container.stop(0)
