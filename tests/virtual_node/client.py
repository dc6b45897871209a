"""An HTTP client for the PVE API, small and quick to import: every start of a provider plugin pays for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
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
        return self._send(method, path, params or {}, self._headers(method))

    def wait(self, upid: str) -> None:
        """Wait until a task has ended; raises ApiError when it failed."""
        path = f"/nodes/{upid.split(':')[1]}/tasks/{urllib.parse.quote(upid, safe=':@')}/status"
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
        if encoded := urllib.parse.urlencode(params):
            if method in ("GET", "DELETE"):
                target += f"?{encoded}"
            else:
                body = encoded.encode()
                headers = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        with contextlib.closing(
            http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=60)
        ) as connection:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            text = response.read()
        if response.status >= HTTP_ERROR:
            raise ApiError(response.status, _reason(response.reason, text))
        return json.loads(text).get("data")


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
