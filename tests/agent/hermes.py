"""One real Hermes on this machine, started as its container would start it, beside a model that notes what it is asked."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from pve_agents import load_settings
from pve_agents.agents.hermes.render import hermes_files
from pve_agents.agents.hermes.settings import DATA, Hermes
from pve_agents.model import merged
from tests.lab.services import Handler, Request, Telegram, Upstream

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
API_KEY = "key-of-the-api-server"
START_SECONDS = 60
TURN_SECONDS = 60
# What only the system prompt of a turn says.
OF_A_TURN = "Active Hermes profile"
# Every command of Hermes reads its variables first.
AS_IT_STARTS = "from hermes_cli.env_loader import load_hermes_dotenv\nload_hermes_dotenv()\n"
# As the image has them; the rest is what Compose is told.
OF_THE_IMAGE = {"HERMES_DISABLE_LAZY_INSTALLS": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# What it asks of the internet by itself (models.dev, Telegram's addresses) fails at once, on every machine.
NO_WAY_OUT = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    # Under its name Hermes asks the Telegram of the test.
    "NO_PROXY": "127.0.0.1,localhost,api.telegram.org",
}


def installed() -> Path:
    """A virtual environment with Hermes, made once: from the index that this machine's pip knows, to the last byte."""
    pinned = REQUIREMENTS.read_bytes()
    digest = hashlib.sha256(pinned + sys.version.encode()).hexdigest()[:12]
    place = ROOT / "build" / "cache" / f"hermes-0.19.0-{digest}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(REQUIREMENTS)]
            # pip asks a Rust that may be there for its version, which then makes itself a directory in the home.
            with tempfile.TemporaryDirectory() as home:
                subprocess.run([*pip, *options], check=True, timeout=600, env={**os.environ, "HOME": home})
            (place / "complete").touch()
    return place


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@dataclass
class Around:
    """What Hermes speaks to: a model endpoint and a Telegram, both on loopback."""

    model: Upstream = field(default_factory=Upstream)
    telegram: Telegram = field(default_factory=Telegram)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Serve both for as long as the `with` block runs."""
        with _serving(self.model.answer) as self.model_port, _serving(self.telegram.answer) as self.telegram_port:
            yield

    @property
    def turns(self) -> list[Request]:
        """The questions to the model so far."""
        return [it for it in self.model.requests if it.path.endswith("/chat/completions")]

    def tools_offered(self) -> set[str]:
        """The names of the tools that Hermes offered to the model in the last turn, which is no side task of its own."""
        last = next(it for it in reversed(self.turns) if OF_A_TURN in it.body["messages"][0]["content"])
        return {tool["function"]["name"] for tool in last.body.get("tools") or []}


@contextlib.contextmanager
def _serving(answer: Any) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, answer))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class RealHermes:
    """The files of one service, where its container would have them, and Hermes with them."""

    def __init__(self, venv_: Path, place: Path, around: Around) -> None:
        """Lay out nothing yet.

        Args:
            venv_: Where Hermes is installed.
            place: A directory of the test's own.
            around: What it speaks to.
        """
        self.python = venv_ / "bin" / "python"
        self.command = venv_ / "bin" / "hermes"
        self.home, self.managed = place / "data", place / "managed"
        self.place, self.around = place, around
        self.port, self.other_port = free_port(), free_port()
        self.platforms: list[str] = []
        self.environment: dict[str, str] = {}

    def deliver(
        self, hermes: Mapping[str, Any], secrets: Mapping[str, str] | None = None, service: str = "hermes"
    ) -> None:
        """Put the files there that a deploy with this section `hermes` delivers.

        Args:
            hermes: The section, as in homelab.yaml; model endpoint, Telegram and ports of the test are added.
            secrets: Values of the secrets that it needs, by the names under which they are delivered.
            service: Which of its services.
        """
        agent = self._agent(hermes)
        section = Hermes.of(agent)
        assert section
        files = hermes_files(agent, section)
        profile = section.services(agent.name)[service]
        given = {
            "LITELLM_API_KEY": "sk-of-the-test",
            "TELEGRAM_BOT_TOKEN": self.around.telegram.token,
            **(secrets or {}),
        }
        self.platforms = ["api_server", *profile.platforms.enabled, *profile.messengers]
        values = {name: given.get(source, API_KEY) for name, source in profile.secret_map.items()}
        for directory in (self.home, self.managed, self.home / "workspace"):
            directory.mkdir(parents=True, exist_ok=True)
        # As the image seeds it.
        (self.home / "config.yaml").write_text("_config_version: 33\n")
        config = files[f"services/{service}/managed/config.yaml"].replace(DATA, str(self.home))
        (self.managed / "config.yaml").write_text(config)
        lines = "".join(f"{name}='{value}'\n" for name, value in values.items())
        (self.managed / ".env").write_text(files[f"services/{service}/managed/env"] + lines)
        compose = yaml.safe_load(files["docker-compose.yml"])["services"][service]["environment"]
        self.environment = {
            **OF_THE_IMAGE,
            **NO_WAY_OUT,
            **{name: value.replace("$$", "$") for name, value in compose.items()},
            "HERMES_HOME": str(self.home),
            "HERMES_MANAGED_DIR": str(self.managed),
            "HOME": str(self.home),
            "PATH": f"{self.command.parent}:{os.environ['PATH']}",
        }

    def declare(self, tree: Mapping[str, Any]) -> None:
        """Put a tree over the managed config that the settings would refuse."""
        (self.managed / "config.yaml").write_text(yaml.safe_dump(merged(self.config, tree)))

    def _agent(self, hermes: Mapping[str, Any]) -> Any:
        section = json.loads(json.dumps(hermes))
        section.setdefault("api_server", {})["port"] = self.port
        settings = section.setdefault("settings", {})
        providers = settings.setdefault("providers", {})
        litellm = providers.setdefault("litellm", {})
        litellm.setdefault("base_url", f"http://127.0.0.1:{self.around.model_port}/v1")
        if telegram := section.get("platforms", {}).get("telegram"):
            telegram["base_url"] = f"http://127.0.0.1:{self.around.telegram_port}/bot"
        (self.place / "homelab.yaml").write_text(
            yaml.safe_dump({"agents": {"hermes": {"mounts": {}, "hermes": section}}})
        )
        return load_settings(self.place).agents["hermes"]

    def run(self, *arguments: str, seconds: float = TURN_SECONDS, **more: str) -> str:
        """Run a `hermes …` command, as `docker exec` would, and return what it says."""
        ran = subprocess.run(
            [self.command, *arguments],
            env=self.environment | more,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        return ran.stdout + ran.stderr

    @property
    def config(self) -> dict[str, Any]:
        """The managed config."""
        tree: dict[str, Any] = yaml.safe_load((self.managed / "config.yaml").read_text())
        return tree

    def ask_python(self, program: str, *arguments: object) -> Any:
        """Run a program in Hermes' own Python, and return what it prints as JSON on its last line.

        Args:
            program: The program; its arguments are JSON.
            arguments: What it is asked about.
        """
        ran = subprocess.run(
            [self.python, "-c", AS_IT_STARTS + program, *map(json.dumps, arguments)],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=TURN_SECONDS,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout.splitlines()[-1])

    @contextlib.contextmanager
    def gateway(self, *arguments: str) -> Iterator[None]:
        """The gateway, as the image's supervisor starts it, up for as long as the `with` block runs."""
        log = self.place / "gateway.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [self.command, "gateway", "run", "--replace", *arguments],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._wait_until_up(process, log)
                yield
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _wait_until_up(self, process: subprocess.Popen[bytes], log: Path) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert process.poll() is None, log.read_text()[-3000:]
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == http.HTTPStatus.OK:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the gateway does not listen: {log.read_text()[-3000:]}")

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON of an answer of the API server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TURN_SECONDS)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    @property
    def url(self) -> str:
        """Where its API server is."""
        return f"http://127.0.0.1:{self.port}"

    def listens_on(self, port: int) -> bool:
        """Whether anybody takes a connection there."""
        with contextlib.closing(socket.socket()) as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def chat(self, text: str) -> str:
        """One turn through the API server."""
        messages = [{"role": "user", "content": text}]
        _, answer = self.ask("POST", "/v1/chat/completions", {"model": "hermes-agent", "messages": messages})
        return str(answer["choices"][0]["message"]["content"])

    def managed_variables(self) -> dict[str, str | None]:
        """The managed .env, as Hermes' own library reads it."""
        return dotenv_values(self.managed / ".env")
