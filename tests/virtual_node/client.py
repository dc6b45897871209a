"""An HTTP client for the PVE API, small and quick to import: every start of a provider plugin pays for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import ssl
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any, Self

# How a child process finds the node and its root@pam login. The password itself is in a file of mode 0600.
URL_VARIABLE = "VIRTUAL_NODE_URL"
CA_VARIABLE = "VIRTUAL_NODE_CA_FILE"
PASSWORD_FILE_VARIABLE = "VIRTUAL_NODE_ROOT_PASSWORD_FILE"

ROOT = "root@pam"
BASE = "/api2/json"
NO_DATA = "the server did not include a data object in the response"
HTTP_ERROR = 400
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_SERVER_ERROR = 500
ATTEMPTS = 3
PAUSE = 0.01


class ApiError(Exception):
    """An answer of the API that is not a success, worded as bpg/proxmox words it (proxmox/api/errors.go)."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the HTTP status `code` and PVE's own `message`."""
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        text = f"received an HTTP {self.code} response - Reason: {self.message}"
        if self.missing:
            return f"the requested resource does not exist\n{text}"
        return f"the requested resource already exists\n{text}" if "already exists" in self.message else text

    @property
    def missing(self) -> bool:
        """PVE has no 404 for a guest without a config file: the text of a 500 tells (proxmox/api/client.go:331-384)."""
        texts = ("does not exist", "no such resource", "no such ha", "No such file or directory")
        return self.code == HTTP_NOT_FOUND or (
            self.code == HTTP_SERVER_ERROR and any(text in self.message for text in texts)
        )


class NoAnswerError(ApiError):
    """A request without an answer, or with one that nobody can read; it has no HTTP status."""

    def __init__(self, message: str) -> None:
        """Keep the `message`, which is the real provider's whole text (proxmox/api/client.go)."""
        super().__init__(0, message)

    def __str__(self) -> str:
        return self.message


class Client:
    """Requests to one PVE API with one credential: an API token, a ticket, or a login made at the first request."""

    def __init__(
        self,
        endpoint: str,
        *,
        token: str = "",
        ticket: tuple[str, str] = ("", ""),
        login: tuple[str, str] = ("", ""),
        insecure: bool = False,
        ca_file: str | None = None,
        min_tls: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> None:
        """Open nothing yet: neither does the real provider while it is being configured."""
        url = urllib.parse.urlsplit(endpoint)
        self._host, self._port = url.hostname or "", url.port or 443
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._tls.minimum_version = min_tls
        if insecure:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        self._token = token
        self._ticket, self._csrf = ticket
        self._login = login
        self._lock = threading.Lock()
        # Those that wait for the next request, and the process whose they are: a fork must not speak on them.
        self._connections: list[http.client.HTTPSConnection] = []
        self._process = os.getpid()

    @classmethod
    def as_root(cls) -> Self:
        """Log in as root@pam on the virtual node that the environment names."""
        password = Path(os.environ[PASSWORD_FILE_VARIABLE]).read_text()
        return cls(os.environ[URL_VARIABLE], login=(ROOT, password), ca_file=os.environ[CA_VARIABLE])

    def get(self, path: str, /, **params: Any) -> Any:
        """GET a path under /api2/json."""
        return self.request("GET", path, params)

    def request(self, method: str, path: str, params: dict[str, Any] | None = None) -> Any:
        """Send a request and return the `data` of the answer."""
        try:
            headers = self._headers(method)
        except ApiError as error:
            raise NoAnswerError(
                f"failed to authenticate HTTP {method} request (path: {path[1:]}) - Reason: failed to authenticate: {error}"
            ) from error
        return self._send(method, path, params or {}, headers)

    def wait(self, upid: str) -> None:
        """Wait until a task has ended; raises ApiError when it failed."""
        path = f"/nodes/{upid.split(':')[1]}/tasks/{escaped(upid)}/status"
        while (task := self.get(path))["status"] == "running":
            time.sleep(0.01)
        if task["exitstatus"] != "OK":
            raise ApiError(HTTP_SERVER_ERROR, task["exitstatus"])

    def _headers(self, method: str) -> dict[str, str]:
        if self._token:
            return {"Authorization": f"PVEAPIToken={self._token}"}
        with self._lock:
            if not self._ticket:
                user, password = self._login
                data = self._send("POST", "/access/ticket", {"username": user, "password": password}, {})
                if data.get("NeedTFA"):
                    raise ApiError(401, "two-factor authentication is required")
                self._ticket, self._csrf = data["ticket"], data["CSRFPreventionToken"]
        headers = {"Cookie": f"PVEAuthCookie={self._ticket}"}
        if method != "GET":
            headers["CSRFPreventionToken"] = self._csrf
        return headers

    def _send(self, method: str, path: str, params: dict[str, Any], headers: dict[str, str]) -> Any:
        target, body = BASE + path, None
        # A list is a name that is there more than once: `delete=net1&delete=net2`.
        if encoded := urllib.parse.urlencode(params, doseq=True):
            if method in ("GET", "DELETE"):
                target += f"?{encoded}"
            else:
                body = encoded.encode()
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        # Only what asks is asked again.
        for attempt in range(ATTEMPTS if method == "GET" else 1):
            try:
                status, reason, text = self._exchange(method, target, body, headers)
                break
            except OSError as error:
                if attempt:
                    time.sleep(PAUSE)
                failure = error
        else:
            url = f"https://{self._host}:{self._port}{target}"
            raise NoAnswerError(
                f"failed to perform HTTP {method} request (path: {path[1:]}) - Reason: "
                f'{method.capitalize()} "{url}": {self._worded(failure)}'
            )
        if status >= HTTP_ERROR:
            raise ApiError(status, _reason(reason, text))
        try:
            return json.loads(text).get("data")
        except ValueError as error:
            raise NoAnswerError(
                f"failed to decode HTTP {method} response (path: {path[1:]}) - Reason: {_unreadable(text, error)}"
            ) from error

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, bytes]:
        connection = self._connection()
        with contextlib.ExitStack() as unless_kept:
            unless_kept.callback(connection.close)
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            try:
                text = response.read()
            except http.client.IncompleteRead as cut:
                return response.status, response.reason, cut.partial
            if not response.will_close:
                unless_kept.pop_all()
                self._connections.append(connection)
            return response.status, response.reason, text

    def _connection(self) -> http.client.HTTPSConnection:
        """One that is open, or a new one: a handshake takes longer than what most requests ask for."""
        if self._process != os.getpid():
            self._connections, self._process = [], os.getpid()
        while self._connections:
            connection = self._connections.pop()
            # Nothing is to be read from one that is still open.
            if not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=60)

    def _worded(self, error: OSError) -> str:
        """What Go says of a connection that failed."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        if isinstance(error, ConnectionRefusedError):
            return f"dial tcp {self._host}:{self._port}: connect: connection refused"
        return "EOF" if isinstance(error, http.client.RemoteDisconnected) else str(error)


def escaped(upid: str) -> str:
    """A task's id as part of a path."""
    return urllib.parse.quote(upid, safe=":@")


def _unreadable(text: bytes, error: ValueError) -> str:
    """What Go says of JSON that is none, or not all of it."""
    if not text:
        return "EOF"
    at = error.pos if isinstance(error, json.JSONDecodeError) else len(text)
    if text.lstrip()[:1] not in (b"{", b"["):
        return f"invalid character '{text.lstrip()[:1].decode(errors='replace')}' looking for beginning of value"
    rest = text.decode(errors="replace")[at:].strip()
    return f"invalid character '{rest[0]}' looking for beginning of value" if rest else "unexpected EOF"


def _reason(status_line: str, body: bytes) -> str:
    """The status line's text plus what the body adds to it: messages per parameter, further lines."""
    with contextlib.suppress(ValueError):
        answer = json.loads(body)
        details = [f"{key}: {text.rstrip()}" for key, text in (answer.get("errors") or {}).items()]
        lines = (answer.get("message") or "").split("\n")
        details += [line for line in lines if line and not line.startswith(status_line)]
        if details:
            return f"{status_line} ({' - '.join(details)})"
    return status_line
