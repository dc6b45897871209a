"""agents/hermes/guest/probe.py against a gateway and a model endpoint that speak as Hermes 0.19 and LiteLLM do."""

from __future__ import annotations

import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakepve.certs import make_cert

PROBE = Path(__file__).parents[2] / "constructs/pve_agents/agents/hermes/guest/probe.py"
API_KEY = "canary-api-key-0123456789"
MODEL_KEY = "sk-canary-it's\\odd"
ENVIRONMENT = (
    f"API_SERVER_KEY={API_KEY}\nLITELLM_API_KEY='sk-canary-it\\'s\\\\odd'\n"
    'QUOTED_KEY="canary\\"quoted"\n# a comment\nTELEGRAM_ALLOWED_USERS=111\n'
)
GIVE_SECRETS = "correct it in your secrets file and deliver it: `pipenv run agents secrets AGENT`"

Reply = tuple[int, Any]
Run = Callable[..., list[str]]


class Server(http.server.ThreadingHTTPServer):
    """Answers what a test has planned, and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, Reply | Callable[[], Reply]] = {}
        self.headers: dict[str, str] = {}
        self.bodies: list[Any] = []
        self.delay = 0.0

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that went away."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.headers[self.path] = self.headers.get("Authorization", "")
        time.sleep(self.server.delay)
        reply = self.server.replies.get(self.path, (404, {"error": "no such path"}))
        code, value = reply() if callable(reply) else reply
        text = value if isinstance(value, str) else json.dumps(value)
        self.send_response(code)
        if code in (301, 302, 307):
            self.send_header("Location", text)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def probe(tmp_path: Path) -> Run:
    """Run the probe as `docker exec -i … python3 - … <probe.py` does; returns its line's three parts."""
    managed = tmp_path / "managed"
    managed.mkdir()
    (managed / ".env").write_text(ENVIRONMENT)

    def run(*arguments: str, lines: bool = False, patience: int = 15, **variables: str) -> list[str]:
        environment = {"HERMES_MANAGED_DIR": str(managed), "HERMES_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        ran = subprocess.run(
            [sys.executable, "-I", "-", *arguments],
            input=re.sub(r"((GATEWAY|MODELS)_SECONDS) = \d+\n", rf"\1 = {patience}\n", PROBE.read_text()),
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "canary" not in ran.stdout
        if lines:
            return ran.stdout.splitlines()
        assert ran.stdout.count("\n") == 1
        return ran.stdout.rstrip("\n").split("\t")

    return run


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def health(**values: Any) -> dict[str, Any]:
    """What /health/detailed says of a gateway that is well."""
    checks = {name: {"status": "ok"} for name in ("state_db", "config", "model", "disk", "gateway")}
    return {
        "status": "ok",
        "platform": "hermes-agent",
        "version": "0.19.0",
        "gateway_state": "running",
        "platforms": {"api_server": {"state": "connected"}, "telegram": {"state": "connected"}},
        "readiness": {"status": "ok", "checks": {**checks, **values.pop("checks", {})}},
        **values,
    }


# --- gateway


def test_a_gateway_that_is_well(server: Server, probe: Run) -> None:
    server.replies["/health/detailed"] = 200, health()
    assert probe("gateway", server.url, "api_server", "telegram") == [
        "ok",
        "Hermes 0.19.0, api_server, telegram connected",
        "",
    ]
    assert server.headers["/health/detailed"] == f"Bearer {API_KEY}"


def test_a_platform_of_the_agents_own_that_fails_is_named_and_stops_no_deploy(server: Server, probe: Run) -> None:
    platforms = {
        "api_server": {"state": "connected"},
        "whatsapp": {"state": "fatal", "error_message": "not paired"},
        "ntfy": {"state": "connected"},
    }
    server.replies["/health/detailed"] = 200, health(platforms=platforms)
    assert probe("gateway", server.url, "api_server") == [
        "ok",
        "Hermes 0.19.0, api_server connected; whatsapp is fatal (not paired), which is not declared here",
        "",
    ]


PLATFORM_REMEDY = "look at the platform's token, and at the container's way to the internet"


@pytest.mark.parametrize(
    ("platforms", "detail"),
    [
        ({"api_server": {"state": "connected"}}, "telegram has not been started yet"),
        ({"telegram": {"state": "connecting"}}, "api_server has not been started yet; telegram is connecting"),
        (
            {"api_server": {"state": "connected"}, "telegram": {"state": "retrying", "error_message": "Unauthorized"}},
            "telegram is retrying (Unauthorized)",
        ),
        (
            {"api_server": {"state": "connected"}, "telegram": {"state": "fatal", "error_code": "token_in_use"}},
            "telegram is fatal (token_in_use)",
        ),
        (
            {
                "api_server": {"state": "connected"},
                "telegram": {"state": "x", "error_message": f"bad\n{API_KEY}\x1b[2J"},
            },
            "telegram is x (bad *** [2J)",
        ),
    ],
)
def test_a_platform_that_is_not_connected(server: Server, probe: Run, platforms: dict[str, Any], detail: str) -> None:
    # The gateway calls itself well all the same.
    server.replies["/health/detailed"] = 200, health(platforms=platforms)
    assert probe("gateway", server.url, "api_server", "telegram") == ["waiting", detail, PLATFORM_REMEDY]


def test_one_platform(server: Server, probe: Run) -> None:
    server.replies["/health/detailed"] = 200, health(status="degraded")
    assert probe("platform", server.url, "telegram") == ["ok", "connected", ""]
    assert probe("platform", server.url, "slack") == ["waiting", "slack has not been started yet", PLATFORM_REMEDY]


def test_a_gateway_that_is_degraded(server: Server, probe: Run) -> None:
    checks = {
        "config": {"status": "degraded", "detail": "invalid config (ParserError)"},
        "model": {"status": "degraded"},
    }
    server.replies["/health/detailed"] = 200, health(status="degraded", checks=checks)
    remedy = "for `config`, correct config.yaml in the data directory; for the rest look at the gateway's log"
    assert probe("gateway", server.url) == [
        "waiting",
        "the gateway is degraded (config: invalid config (ParserError); model: degraded)",
        remedy,
    ]
    server.replies["/health/detailed"] = 200, {"status": "degraded"}
    assert probe("gateway", server.url) == ["waiting", "the gateway is degraded (without saying why)", remedy]


def test_a_disk_that_is_nearly_full_stops_no_agent(server: Server, probe: Run) -> None:
    checks = {"disk": {"status": "degraded", "used_percent": 93.1}}
    server.replies["/health/detailed"] = 200, health(status="degraded", checks=checks)
    assert probe("gateway", server.url) == ["ok", "Hermes 0.19.0; its disk is 93.1 % full", ""]


def test_a_gateway_that_is_not_there(probe: Run, nobody: str) -> None:
    assert probe("gateway", nobody) == [
        "waiting",
        f"the gateway does not listen on {nobody} (Connection refused)",
        "look at its log",
    ]
    assert probe("platform", nobody, "telegram")[1] == f"the gateway does not listen on {nobody} (Connection refused)"


def test_a_gateway_of_somebody_else(server: Server, probe: Run) -> None:
    server.replies["/health/detailed"] = 401, {"error": {"message": "Invalid API key"}}
    assert probe("gateway", server.url) == [
        "waiting",
        f"what answers on {server.url} refuses our API_SERVER_KEY: another gateway has this port",
        "stop the other gateway, or give this agent a port of its own (api_server.port)",
    ]
    for reply in ((404, "not found"), (200, "<html>"), (200, ["no", "object"])):
        server.replies["/health/detailed"] = reply
        assert probe("gateway", server.url) == [
            "waiting",
            f"what answers on {server.url} is no Hermes gateway (HTTP {reply[0]}): the port is in use",
            "free the port, or choose another one (api_server.port)",
        ]


def test_a_gateway_is_asked_directly_whatever_proxy_there_is(server: Server, probe: Run, nobody: str) -> None:
    server.replies["/health/detailed"] = 200, health()
    assert probe("gateway", server.url, http_proxy=nobody)[0] == "ok"


def test_a_gateway_that_hangs(server: Server, probe: Run) -> None:
    server.delay = 2
    assert probe("gateway", server.url, "api_server", patience=1) == [
        "waiting",
        f"the gateway at {server.url} gave no answer within 1 seconds",
        "look at its log and at the container's load",
    ]


# --- dashboard

STATUS, SESSIONS = "/api/status", "/api/sessions"


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_dashboard_that_asks_for_a_login(probe: Run, server: Server, code: int) -> None:
    server.replies = {STATUS: (200, {"version": "0.19.0"}), SESSIONS: (code, {"detail": "Unauthorized"})}
    assert probe("dashboard", server.url) == ["ok", f"listens on {server.url}", ""]
    # As who has no login.
    assert server.headers == {STATUS: "", SESSIONS: ""}


def test_a_dashboard_that_is_open_to_all(probe: Run, server: Server) -> None:
    server.replies = {STATUS: (200, {"version": "0.19.0"}), SESSIONS: (200, {"sessions": []})}
    assert probe("dashboard", server.url) == [
        "failed",
        f"the dashboard on {server.url} shows its sessions without a login",
        "set dashboard.enabled: false",
    ]


@pytest.mark.parametrize(
    "reply", [(404, "not found"), (200, "<html>"), (200, {"status": "ok"}), (500, {"version": "1"})]
)
def test_another_server_on_the_dashboards_port(probe: Run, server: Server, reply: Reply) -> None:
    server.replies = {STATUS: reply}
    assert probe("dashboard", server.url) == [
        "waiting",
        f"what answers on {server.url} is no dashboard of Hermes (HTTP {reply[0]}): the port is in use",
        "free the port, or choose another one (dashboard.port)",
    ]


def test_a_dashboard_that_hangs(server: Server, probe: Run) -> None:
    server.delay = 2
    assert probe("dashboard", server.url, patience=1) == [
        "waiting",
        f"the dashboard on {server.url} gave no answer within 1 seconds",
        "look at the container's own log",
    ]


def test_a_dashboard_that_is_not_there(probe: Run, nobody: str) -> None:
    assert probe("dashboard", nobody) == [
        "waiting",
        f"the dashboard on {nobody} does not listen (Connection refused)",
        "look at the container's own log",
    ]


# --- models


def listed(*names: str) -> Reply:
    return 200, {"object": "list", "data": [{"id": name} for name in names]}


def test_a_model_that_is_listed(server: Server, probe: Run) -> None:
    server.replies["/v1/models"] = listed("hermes", "other")
    assert probe("models", f"{server.url}/v1/", "LITELLM_API_KEY", "hermes") == [
        "ok",
        f"hermes at {server.url}/v1/models",
        "",
    ]
    assert server.headers["/v1/models"] == f"Bearer {MODEL_KEY}"
    assert probe("models", f"{server.url}/v1", "", "hermes")[0] == "ok"
    assert server.headers["/v1/models"] == ""


def test_a_model_that_is_not_listed(server: Server, probe: Run) -> None:
    names = [f"m{number:02}" for number in range(12)]
    server.replies["/v1/models"] = listed(*reversed(names))
    remedy = "set agents.AGENT.hermes.settings.model.default to a listed one, or add it to LiteLLM's model_list"
    assert probe("models", f"{server.url}/v1", "LITELLM_API_KEY", "hermes") == [
        "failed",
        f"{server.url}/v1/models does not list the model hermes; it lists {', '.join(names[:10])} …",
        remedy,
    ]


@pytest.mark.parametrize(
    ("reply", "state", "detail", "remedy"),
    [
        (
            (400, {"error": {"message": "No connected db.", "code": "400"}}),
            "failed",
            "refuses the key LITELLM_API_KEY (HTTP 400: No connected db.)",
            GIVE_SECRETS,
        ),
        (
            (401, {"error": {"message": "Authentication Error, Invalid proxy server token passed"}}),
            "failed",
            "refuses the key LITELLM_API_KEY (HTTP 401: Authentication Error, Invalid proxy server token passed)",
            GIVE_SECRETS,
        ),
        ((403, "denied"), "failed", "refuses the key LITELLM_API_KEY (HTTP 403: denied)", GIVE_SECRETS),
        (
            (400, {"detail": "what?"}),
            "failed",
            "answers HTTP 400: what?",
            "look at the log of the model endpoint",
        ),
        ((502, ""), "failed", "answers HTTP 502: no text", "look at the log of the model endpoint"),
        (
            (404, {"detail": "Not Found"}),
            "skipped",
            "lists no models (HTTP 404)",
            "look whether base_url lacks its /v1",
        ),
        ((200, {"data": []}), "skipped", "lists no models", "look whether base_url is right"),
        ((200, "<html>"), "skipped", "lists no models", "look whether base_url is right"),
    ],
)
def test_a_model_endpoint_that_does_not_list_it(
    *, server: Server, probe: Run, reply: Reply, state: str, detail: str, remedy: str
) -> None:
    server.replies["/v1/models"] = reply
    url = f"{server.url}/v1"
    assert probe("models", url, "LITELLM_API_KEY", "hermes") == [state, f"{url}/models {detail}", remedy]


def test_a_redirect_gets_no_key(server: Server, probe: Run) -> None:
    server.replies["/v1/models"] = 302, f"{server.url}/elsewhere"
    answer = probe("models", f"{server.url}/v1", "LITELLM_API_KEY", "hermes")
    assert answer[:2] == ["failed", f"{server.url}/v1/models answers HTTP 302: {server.url}/elsewhere"]
    assert "/elsewhere" not in server.headers


def test_a_model_endpoint_that_is_not_there(probe: Run, nobody: str) -> None:
    assert probe("models", f"{nobody}/v1", "LITELLM_API_KEY", "hermes") == [
        "failed",
        f"{nobody}/v1/models is not reached: Connection refused",
        "start LiteLLM, and look whether a firewall lets this container through to it",
    ]


def test_a_model_endpoint_that_hangs(server: Server, probe: Run) -> None:
    server.delay = 2
    assert probe("models", f"{server.url}/v1", "LITELLM_API_KEY", "hermes", patience=1) == [
        "failed",
        f"{server.url}/v1/models gave no answer within 1 seconds",
        "it hangs or is overloaded: look at LiteLLM's log and load",
    ]


def test_a_password_in_the_address_is_not_shown(probe: Run, nobody: str) -> None:
    url = nobody.replace("//", "//user:canary@")
    assert probe("models", f"{url}/v1", "", "hermes")[1].startswith(f"{nobody}/v1/models is not reached: ")


def test_a_key_that_is_not_there(probe: Run) -> None:
    assert probe("models", "http://127.0.0.1:9/v1", "OTHER_KEY", "hermes") == [
        "failed",
        "the managed .env holds no OTHER_KEY",
        GIVE_SECRETS,
    ]


def test_a_certificate_that_is_not_trusted(server: Server, probe: Run, tmp_path: Path) -> None:
    certificate, key, _ = make_cert(str(tmp_path), name="endpoint", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    assert probe("models", f"{url}/v1", "LITELLM_API_KEY", "hermes") == [
        "skipped",
        f"{url}/v1/models: its certificate is not trusted: self-signed certificate",
        "name the file of its authority in environment: SSL_CERT_FILE, or in the provider's ssl_ca_cert",
    ]


@pytest.mark.parametrize("name", ["HERMES_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_authority_that_hermes_trusts_is_trusted(server: Server, probe: Run, tmp_path: Path, name: str) -> None:
    certificate, key, _ = make_cert(str(tmp_path), name="endpoint", hosts=("127.0.0.1",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.replies["/v1/models"] = LISTED
    url = server.url.replace("http:", "https:")
    with (tmp_path / "managed" / ".env").open("a") as managed:
        managed.write(f"{name}={certificate}\n")
    assert probe("models", f"{url}/v1", "LITELLM_API_KEY", "hermes")[0] == "ok"


# --- the way out


LISTED = 200, {"data": [{"id": "hermes"}]}


def test_the_proxy_of_the_managed_file_goes_before_that_of_the_agents_own_and_of_the_process(
    server: Server, probe: Run, tmp_path: Path, nobody: str
) -> None:
    # To a proxy, the whole address is the path.
    server.replies["http://litellm.home.arpa/v1/models"] = LISTED
    (tmp_path / ".env").write_text(f"export HTTP_PROXY={nobody}\n")
    with (tmp_path / "managed" / ".env").open("a") as managed:
        managed.write(f"HTTP_PROXY={server.url}\n")
    assert probe("models", "http://litellm.home.arpa/v1", "LITELLM_API_KEY", "hermes", HTTP_PROXY=nobody) == [
        "ok",
        f"hermes at http://litellm.home.arpa/v1/models through the proxy {server.url}",
        "",
    ]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_hermes_takes_a_proxy_for_all_addresses_whichever_it_is_named_for(
    server: Server, probe: Run, tmp_path: Path, name: str
) -> None:
    server.replies["http://litellm.home.arpa/v1/models"] = LISTED
    (tmp_path / ".env").write_text(f"{name}={server.url}\n")
    assert probe("models", "http://litellm.home.arpa/v1", "LITELLM_API_KEY", "hermes")[0] == "ok"


@pytest.mark.parametrize("direct", ["127.0.0.1", "*", "litellm.home.arpa,127.0.0.1"])
def test_a_host_that_is_named_in_no_proxy_is_asked_directly(
    server: Server, probe: Run, nobody: str, direct: str
) -> None:
    server.replies["/v1/models"] = LISTED
    answer = probe("models", f"{server.url}/v1", "LITELLM_API_KEY", "hermes", HTTPS_PROXY=nobody, NO_PROXY=direct)
    assert answer == ["ok", f"hermes at {server.url}/v1/models", ""]


def test_the_gateway_is_never_asked_through_a_proxy(server: Server, probe: Run, nobody: str) -> None:
    server.replies["/health/detailed"] = 200, health()
    assert probe("gateway", server.url, "api_server", HTTP_PROXY=nobody)[0] == "ok"


def test_a_proxy_that_is_not_there_is_named_without_its_password(probe: Run, nobody: str) -> None:
    proxy = nobody.replace("//", "//me:canary@")
    assert probe("models", "http://litellm.home.arpa/v1", "LITELLM_API_KEY", "hermes", HTTP_PROXY=proxy) == [
        "failed",
        f"http://litellm.home.arpa/v1/models through the proxy {nobody} is not reached: Connection refused",
        "look at the proxy, or name the host in environment: NO_PROXY where it is to be asked directly",
    ]


def test_what_goes_through_a_socks_proxy_is_left_to_hermes(probe: Run) -> None:
    answer = probe("models", "http://h/v1", "LITELLM_API_KEY", "hermes", ALL_PROXY="socks5://10.1.10.1:1080")
    assert answer == [
        "skipped",
        "http://h/v1/models through the proxy socks5://10.1.10.1:1080: no check can go that way",
        "the first answer, which Hermes gets by itself, shows whether it works",
    ]


# --- chat


def turn(content: str = "pong", finish: str = "stop", **values: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        **values,
    }


def test_a_chat_turn(server: Server, probe: Run) -> None:
    server.replies["/v1/chat/completions"] = 200, turn()
    assert probe("chat", server.url, "60") == ["ok", "answered in 4 characters", ""]
    assert server.headers["/v1/chat/completions"] == f"Bearer {API_KEY}"
    assert server.bodies[0]["stream"] is False
    assert server.bodies[0]["messages"][0]["role"] == "user"


@pytest.mark.parametrize(
    ("reply", "detail", "remedy"),
    [
        # HTTP 200 is no success.
        (
            (200, turn("HTTP 400: No connected db.", "error")),
            "HTTP 400: No connected db.",
            f"the model endpoint refuses the key: {GIVE_SECRETS}",
        ),
        (
            (
                200,
                turn(
                    "", "stop", hermes={"failed": True, "error": "API call failed after 3 retries: Connection error."}
                ),
            ),
            "API call failed after 3 retries: Connection error.",
            "the model endpoint is not reached: look at LiteLLM",
        ),
        (
            (200, turn("HTTP 400: Invalid model name passed in model=nope.", "error")),
            "HTTP 400: Invalid model name passed in model=nope.",
            "the model endpoint does not know the model: set agents.AGENT.hermes.settings.model.default",
        ),
        ((200, turn("HTTP 429: slow down", "error")), "HTTP 429: slow down", None),
        ((200, turn("  ")), "an empty answer", "look at Hermes' log"),
        ((200, {}), "an empty answer", "look at Hermes' log"),
        (
            (502, {"error": {"message": "No inference provider configured.", "hermes": {"failed": True}}}),
            "HTTP 502: No inference provider configured.",
            "no provider is set up: look at the managed config.yaml",
        ),
        ((500, "boom"), "HTTP 500: boom", "look at Hermes' log"),
        ((500, f"boom {MODEL_KEY} sk-0123456789abcdef"), "HTTP 500: boom *** sk-***", "look at Hermes' log"),
    ],
)
def test_a_chat_turn_that_fails(server: Server, probe: Run, reply: Reply, detail: str, remedy: str | None) -> None:
    server.replies["/v1/chat/completions"] = reply
    answer = probe("chat", server.url, "60")
    assert answer[:2] == ["failed", f"the chat turn failed: {detail}"]
    assert remedy is None or answer[2] == remedy


def test_a_chat_turn_that_takes_too_long(server: Server, probe: Run) -> None:
    server.delay = 2
    server.replies["/v1/chat/completions"] = 200, turn()
    assert probe("chat", server.url, "1") == [
        "failed",
        "no answer within 1 seconds to a chat turn",
        "the model is slow or hangs: look at its load and log, or raise agents.AGENT.hermes.answer_seconds",
    ]


def test_a_chat_without_a_gateway(probe: Run, nobody: str) -> None:
    assert probe("chat", nobody, "5") == [
        "failed",
        f"the gateway at {nobody} gave no answer: Connection refused",
        "look at the gateway's log",
    ]


def test_a_gateway_that_hangs_up(server: Server, probe: Run) -> None:
    def hang_up() -> Reply:
        raise ConnectionAbortedError

    server.replies["/v1/chat/completions"] = hang_up
    answer = probe("chat", server.url, "5")
    assert answer[:2] == [
        "failed",
        f"the gateway at {server.url} gave no answer: Remote end closed connection without response",
    ]


# --- log, and what is not there


def test_the_last_telling_lines_of_the_log(probe: Run, tmp_path: Path) -> None:
    assert probe("log", lines=True) == [""]
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "gateway.log").write_text("INFO fine\nRefusing to start: API_SERVER_KEY is too short\n")
    assert probe("log", lines=True) == ["Refusing to start: API_SERVER_KEY is too short"]
    lines = [f"ERROR number {number} of {API_KEY}\n" for number in range(9)]
    (logs / "errors.log").write_text("".join(["INFO fine\n", *lines]))
    assert probe("log", lines=True) == [f"ERROR number {number} of ***" for number in range(4, 9)]


def test_no_managed_environment(probe: Run, tmp_path: Path) -> None:
    (tmp_path / "managed" / ".env").unlink()
    path = tmp_path / "managed" / ".env"
    assert probe("gateway", "http://127.0.0.1:9") == [
        "failed",
        f"cannot read {path}: No such file or directory",
        "deploy again",
    ]
