"""Looks at Hermes from inside its container, as the agent's own user: `python3 - WHAT [ARGUMENT...]`.

  gateway API_URL PLATFORM...       is the gateway up, and every named platform connected?
  platform API_URL NAME             is this one platform connected?
  dashboard URL                     does the dashboard listen, and show nothing without a login?
  models BASE_URL KEY_NAME MODEL    does the model endpoint take the key, and list the model? (KEY_NAME '': no key)
  chat API_URL SECONDS              does a chat turn through the API server come back with an answer?
  log                               the last lines of Hermes' own logs that say what went wrong

Prints one line: STATE, DETAIL and REMEDY with tabs between (see guest/checks.py). `log` prints plain lines. The exit status
is 0 whenever it could look. Keys come from the managed .env and stand in no argument; whatever is printed has their values
taken out. It is sent on standard input, so that it belongs to the payload: standard library only, Python 3.11 or newer.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable
from typing import Any

OK, WAITING, FAILED, SKIPPED = "ok", "waiting", "failed", "skipped"
HTTP_OK, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 200, 400, 401, 403, 404, 405
GATEWAY_SECONDS = 10
MODELS_SECONDS = 15
LISTED_MODELS, LOG_LINES, MOST_CHARACTERS, SHORTEST_SECRET = 10, 5, 400, 4
PROMPT = "This is a test of the connection. Reply with the single word pong and use no tool."
BUDGET_IS_USED_UP = "the key's budget is used up at the model endpoint: raise it there, or make another key"
GIVE_SECRETS = "correct it in your secrets file and deliver it: `pipenv run agents secrets AGENT`"
PLATFORM_REMEDY = "look at the platform's token, and at the container's way to the internet"

Answer = tuple[str, str, str]


class NoAnswerError(Exception):
    """Nothing came back that is an HTTP answer; the message says what happened."""

    def __init__(self, text: str, *, slow: bool = False, untrusted: bool = False) -> None:
        super().__init__(text)
        self.slow = slow
        self.untrusted = untrusted


# --- secrets


def managed_environment() -> dict[str, str]:
    """The managed .env as Hermes reads it, in the little syntax that the deploy writes: bare or in single quotes."""
    return variables_in(pathlib.Path(os.environ.get("HERMES_MANAGED_DIR") or "/managed", ".env"))


def variables_in(path: pathlib.Path) -> dict[str, str]:
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.removeprefix("export ").partition("=")
        if not equals or line.startswith("#"):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = re.sub(rf"\\([\\{value[0]}])", r"\1", value[1:-1])
        values[name] = value
    return values


SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD")


def presentable(text: str, environment: dict[str, str]) -> str:
    """One short line without secrets."""
    secrets = [value for name, value in environment.items() if SECRET.search(name) and len(value) >= SHORTEST_SECRET]
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    text = re.sub(r"\b(sk-|xox[a-z]-|xapp-|Bearer )[A-Za-z0-9_-]{8,}", r"\1***", text)
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


# --- the way out

PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
BUNDLES = ("HERMES_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def take_the_agents_way_out(managed: dict[str, str]) -> None:
    """Have Hermes' variables: its own .env goes over the process, the managed one over both (hermes_cli/env_loader)."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        own = variables_in(pathlib.Path(os.environ.get("HERMES_HOME") or "/opt/data", ".env"))
    for name in (*PROXIES, *BUNDLES, "NO_PROXY", "no_proxy"):
        if name in own or name in managed:
            os.environ[name] = managed.get(name, own.get(name, ""))


def proxy_to(url: str) -> str:
    """The proxy that Hermes would ask, the first that is named for whatever (agent/process_bootstrap 0.19)."""
    proxy = next((value for name in PROXIES if (value := os.environ.get(name, "").strip())), "")
    host = urllib.parse.urlsplit(url).hostname or ""
    return "" if urllib.request.proxy_bypass(host) else proxy


def authorities() -> ssl.SSLContext:
    """The authorities that Hermes would trust; a file that is not there is none (agent/ssl_verify 0.19)."""
    bundle = next((value for name in BUNDLES if (value := os.environ.get(name, "").strip())), "")
    path = pathlib.Path(bundle).expanduser()
    return ssl.create_default_context(cafile=str(path) if bundle and path.is_file() else None)


# --- HTTP


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key must go nowhere but where it was meant to go."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask(url: str, *, key: str, seconds: float, body: object = None, direct: bool = False) -> tuple[int, str]:
    """The status and text of an answer. `direct` is for this machine, where no proxy belongs in between."""
    request = urllib.request.Request(url)  # noqa: S310 (the settings allow http and https only)
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    proxy = "" if direct else proxy_to(url)
    handlers = [
        NoRedirects(),
        urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {}),
        urllib.request.HTTPSHandler(context=authorities()),
    ]
    started = time.monotonic()
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=seconds) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError) or time.monotonic() - started >= seconds:
            raise NoAnswerError(f"no answer within {seconds:.0f} seconds", slow=True) from None
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise NoAnswerError(f"its certificate is not trusted: {reason.verify_message}", untrusted=True) from None
        raise NoAnswerError(str(getattr(reason, "strerror", None) or reason)) from None


def message_of(text: str) -> str:
    """What an error's body says: OpenAI's {"error": {"message": …}}, or the text itself."""
    answer = json_of(text)
    error = answer.get("error", answer)
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    said = error if isinstance(error, str) else json.dumps(error)
    return said if answer else text.strip() or "no text"


def json_of(text: str) -> dict[str, Any]:
    answer: object = None
    with contextlib.suppress(ValueError):
        answer = json.loads(text)
    return answer if isinstance(answer, dict) else {}


# --- gateway


def gateway(environment: dict[str, str], url: str, *platforms: str) -> Answer:
    health = health_of(environment, url)
    return health if isinstance(health, tuple) else judge_health(health, platforms)


def platform(environment: dict[str, str], url: str, name: str) -> Answer:
    health = health_of(environment, url)
    if isinstance(health, tuple):
        return health
    problem = platform_problem(health, name)
    return (WAITING, problem, PLATFORM_REMEDY) if problem else (OK, "connected", "")


def health_of(environment: dict[str, str], url: str) -> dict[str, Any] | Answer:
    """What the gateway says of itself, or why it says nothing."""
    key = environment.get("API_SERVER_KEY", "")
    try:
        code, text = ask(f"{url}/health/detailed", key=key, seconds=GATEWAY_SECONDS, direct=True)
    except NoAnswerError as error:
        if error.slow:
            return WAITING, f"the gateway at {url} gave {error}", "look at its log and at the container's load"
        return WAITING, f"the gateway does not listen on {url} ({error})", "look at its log"
    if code == UNAUTHORIZED:
        remedy = "stop the other gateway, or give this agent a port of its own (api_server.port)"
        return WAITING, f"what answers on {url} refuses our API_SERVER_KEY: another gateway has this port", remedy
    health = json_of(text)
    if code != HTTP_OK or "status" not in health:
        remedy = "free the port, or choose another one (api_server.port)"
        return WAITING, f"what answers on {url} is no Hermes gateway (HTTP {code}): the port is in use", remedy
    return health


def judge_health(health: dict[str, Any], platforms: tuple[str, ...]) -> Answer:
    """The answer's own status is not enough: it stays ok while a platform retries for ever."""
    if problems := [text for name in platforms if (text := platform_problem(health, name))]:
        return WAITING, "; ".join(problems), PLATFORM_REMEDY
    checks = (health.get("readiness") or {}).get("checks") or {}
    bad = {name: check for name, check in checks.items() if isinstance(check, dict) and check.get("status") != "ok"}
    full = bad.pop("disk", None)
    if bad or (health["status"] != "ok" and full is None):
        shown = [f"{name}: {check.get('detail') or check.get('status')}" for name, check in sorted(bad.items())]
        remedy = "for `config`, correct config.yaml in the data directory; for the rest look at the gateway's log"
        return WAITING, f"the gateway is {health['status']} ({'; '.join(shown) or 'without saying why'})", remedy
    said = f"Hermes {health.get('version', '?')}"
    if platforms:
        said += f", {', '.join(platforms)} connected"
    for name, found in sorted((health.get("platforms") or {}).items()):
        # The agent has set it up by itself: its owner should know, and no deploy depends on it.
        if name not in (*platforms, "api_server") and isinstance(found, dict) and found.get("state") != "connected":
            said += f"; {platform_problem(health, name)}, which is not declared here"
    if full is not None:
        said += f"; its disk is {full.get('used_percent', '?')} % full"
    return OK, said, ""


def platform_problem(health: dict[str, Any], name: str) -> str:
    found = (health.get("platforms") or {}).get(name)
    if not isinstance(found, dict):
        return f"{name} has not been started yet"
    state = found.get("state")
    if state == "connected":
        return ""
    why = found.get("error_message") or found.get("error_code")
    return f"{name} is {state or 'in no known state'}" + (f" ({why})" if why else "")


# --- dashboard


def dashboard(_: dict[str, str], url: str) -> Answer:
    """Its status is for everybody, its sessions are for nobody who has not logged in (hermes_cli/dashboard_auth 0.19)."""
    try:
        code, text = ask(f"{url}/api/status", key="", seconds=GATEWAY_SECONDS, direct=True)
        if code != HTTP_OK or "version" not in json_of(text):
            remedy = "free the port, or choose another one (dashboard.port)"
            return WAITING, f"what answers on {url} is no dashboard of Hermes (HTTP {code}): the port is in use", remedy
        code = ask(f"{url}/api/sessions", key="", seconds=GATEWAY_SECONDS, direct=True)[0]
    except NoAnswerError as error:
        said = f"gave {error}" if error.slow else f"does not listen ({error})"
        return WAITING, f"the dashboard on {url} {said}", "look at the container's own log"
    if code == HTTP_OK:
        return FAILED, f"the dashboard on {url} shows its sessions without a login", "set dashboard.enabled: false"
    return OK, f"listens on {url}", ""


# --- models


def models(environment: dict[str, str], base_url: str, key_name: str, model: str) -> Answer:
    url = f"{base_url.rstrip('/')}/models"
    key = environment.get(key_name, "") if key_name else ""
    if key_name and not key:
        return FAILED, f"the managed .env holds no {key_name}", GIVE_SECRETS
    shown = without_password(url)
    if proxy := proxy_to(url):
        shown += f" through the proxy {without_password(proxy)}"
    if proxy.partition("://")[0].startswith("socks"):
        remedy = "the first answer, which Hermes gets by itself, shows whether it works"
        return SKIPPED, f"{shown}: no check can go that way", remedy
    try:
        code, text = ask(url, key=key, seconds=MODELS_SECONDS)
    except NoAnswerError as error:
        return no_endpoint(shown, error, proxy)
    if code != HTTP_OK:
        return no_models(shown, code, message_of(text), key_name)
    return judge_models(shown, [item.get("id", "") for item in json_of(text).get("data") or []], model)


def no_endpoint(url: str, error: NoAnswerError, proxy: str) -> Answer:
    if error.untrusted:
        remedy = "name the file of its authority in environment: SSL_CERT_FILE, or in the provider's ssl_ca_cert"
        return SKIPPED, f"{url}: {error}", remedy
    if error.slow:
        return FAILED, f"{url} gave {error}", "it hangs or is overloaded: look at LiteLLM's log and load"
    for_proxy = "look at the proxy, or name the host in environment: NO_PROXY where it is to be asked directly"
    remedy = for_proxy if proxy else "start LiteLLM, and look whether a firewall lets this container through to it"
    return FAILED, f"{url} is not reached: {error}", remedy


def no_models(url: str, code: int, said: str, key_name: str) -> Answer:
    if code in (UNAUTHORIZED, FORBIDDEN) or (code == BAD_REQUEST and "No connected db" in said):
        # A LiteLLM without a database answers a wrong key with 400.
        name = f"the key {key_name}" if key_name else "a request without a key"
        return FAILED, f"{url} refuses {name} (HTTP {code}: {said})", GIVE_SECRETS
    if "udget" in said:
        return FAILED, f"{url} allows {key_name or 'nobody'} no more (HTTP {code}: {said})", BUDGET_IS_USED_UP
    if code in (NOT_FOUND, NOT_ALLOWED):
        return SKIPPED, f"{url} lists no models (HTTP {code})", "look whether base_url lacks its /v1"
    return FAILED, f"{url} answers HTTP {code}: {said}", "look at the log of the model endpoint"


def judge_models(url: str, listed: list[str], model: str) -> Answer:
    if model in listed:
        return OK, f"{model} at {url}", ""
    if not listed:
        return SKIPPED, f"{url} lists no models", "look whether base_url is right"
    some = ", ".join(sorted(listed)[:LISTED_MODELS]) + (" …" if len(listed) > LISTED_MODELS else "")
    remedy = "set agents.AGENT.hermes.settings.model.default to a listed one, or add it to LiteLLM's model_list"
    return FAILED, f"{url} does not list the model {model}; it lists {some}", remedy


def without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


# --- chat


def chat(environment: dict[str, str], url: str, seconds: str) -> Answer:
    body = {"model": "hermes-agent", "stream": False, "messages": [{"role": "user", "content": PROMPT}]}
    key = environment.get("API_SERVER_KEY", "")
    try:
        code, text = ask(f"{url}/v1/chat/completions", key=key, seconds=float(seconds), body=body, direct=True)
    except NoAnswerError as error:
        if not error.slow:
            return FAILED, f"the gateway at {url} gave no answer: {error}", "look at the gateway's log"
        remedy = "the model is slow or hangs: look at its load and log, or raise agents.AGENT.hermes.answer_seconds"
        return FAILED, f"{error} to a chat turn", remedy
    if code != HTTP_OK:
        return turn_failed(f"HTTP {code}: {message_of(text)}")
    answer = json_of(text)
    choices = answer.get("choices") or [{}]
    said = str((choices[0].get("message") or {}).get("content") or "")
    hermes = answer.get("hermes") or {}
    # A turn that failed is HTTP 200 too.
    if choices[0].get("finish_reason") == "error" or hermes.get("failed"):
        return turn_failed(str(hermes.get("error") or said or "no reason given"))
    if not said.strip():
        return turn_failed("an empty answer")
    return OK, f"answered in {len(said)} characters", ""


def turn_failed(why: str) -> Answer:
    """What a failed turn says comes from the model endpoint, through Hermes."""
    remedies = {
        r"[Bb]udget": BUDGET_IS_USED_UP,
        r"No connected db|HTTP 401|HTTP 403|[Aa]uthentication": f"the model endpoint refuses the key: {GIVE_SECRETS}",
        r"Invalid model name|model.*(not found|does not exist)": (
            "the model endpoint does not know the model: set agents.AGENT.hermes.settings.model.default"
        ),
        r"Connection error|Connection refused|[Tt]imed? ?out": "the model endpoint is not reached: look at LiteLLM",
        r"HTTP 429|rate limit": "the model endpoint allows no more requests for now: look at the key's budget",
        r"No inference provider": "no provider is set up: look at the managed config.yaml",
        r"No space left": "the disk is full: make room",
    }
    found = (text for pattern, text in remedies.items() if re.search(pattern, why))
    return FAILED, f"the chat turn failed: {why}", next(found, "look at Hermes' log")


# --- log


def log(environment: dict[str, str]) -> list[str]:
    home = pathlib.Path(os.environ.get("HERMES_HOME") or "/opt/data", "logs")
    lines: deque[str] = deque(maxlen=LOG_LINES)
    telling = re.compile(r"ERROR|CRITICAL|WARNING|Refusing|Traceback|Error:|denied|failed", re.IGNORECASE)
    for name in ("errors.log", "gateway.log"):
        with contextlib.suppress(OSError), (home / name).open(encoding="utf-8", errors="replace") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 65536))
            lines.extend(presentable(line, environment) for line in file if telling.search(line))
        if lines:
            break
    return list(lines)


def main(what: str, *arguments: str) -> int:
    looks: tuple[Callable[..., Answer], ...] = (gateway, platform, dashboard, models, chat)
    try:
        environment = managed_environment()
    except OSError as error:
        print(FAILED, f"cannot read {error.filename}: {error.strerror}", "deploy again", sep="\t")
        return 0
    take_the_agents_way_out(environment)
    if what == "log":
        print("\n".join(log(environment)))
        return 0
    state, detail, remedy = next(look for look in looks if look.__name__ == what)(environment, *arguments)
    print(state, presentable(detail, environment), presentable(remedy, environment), sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
