"""An https server that answers as Proxmox VE does, or as a test wants it to."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SECRET = "0b9e1f00-dead-4bad-8bad-5ec2e75ec2e7"
TOKEN_ID = "terraform@pve!deploy"
TOKEN = f"{TOKEN_ID}={SECRET}"

VM = [
    "VM.Allocate",
    "VM.Audit",
    *(f"VM.Config.{part}" for part in ("CPU", "Disk", "Memory", "Network", "Options")),
    "VM.PowerMgmt",
]
GRANTED = {
    "/vms/118": VM,
    "/storage/local-lvm": ["Datastore.AllocateSpace"],
    "/storage/local": ["Datastore.AllocateTemplate", "Datastore.Audit"],
    "/nodes/gihyeon": ["Sys.AccessNetwork"],
}

Answer = tuple[int, bytes]


class Pve:
    """A Proxmox VE that knows one token, which has all that an agent's stack needs."""

    def __init__(self, certificate: Path, *, context: ssl.SSLContext | None = None) -> None:
        self.granted: dict[str, dict[str, int]] = {}
        self.taken: set[int] = set()
        self.respond: Callable[[str], Answer] = self.permissions
        self.headers: dict[str, str] = {}
        self.reason: str | None = None
        self.drips = b""
        self.asked: list[str] = []
        self.authorizations: set[str | None] = set()
        self.grant(GRANTED)
        pve = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pve.asked.append(self.path)
                pve.authorizations.add(self.headers["Authorization"])
                status, body = pve.respond(self.path)
                self.send_response(status, pve.reason)
                for name, value in pve.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                for byte in pve.drips:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.1)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Answer nothing any more: a thread that waits at a closed socket spins until the end of the session."""
        self.server.shutdown()
        self.server.server_close()

    def grant(self, granted: dict[str, list[str]]) -> None:
        self.granted = {path: dict.fromkeys(privileges, 1) for path, privileges in granted.items()}

    def permissions(self, path: str) -> Answer:
        """As Proxmox VE answers: the asked path alone."""
        query = parse_qs(urlsplit(path).query)
        if "cluster/resources" in path:
            return 200, b'{"data": []}'
        if "nextid" in path:
            taken = int(query["vmid"][0]) in self.taken
            return (400, b"{}") if taken else (200, json.dumps({"data": query["vmid"][0]}).encode())
        wanted = query["path"][0]
        return 200, json.dumps({"data": {p: held for p, held in self.granted.items() if p == wanted}}).encode()

    def everything(self, path: str) -> Answer:
        """As other servers answer: every path that the token has an ACL on."""
        if "permissions" not in path:
            return self.permissions(path)
        return 200, json.dumps({"data": self.granted}).encode()


def make_certificate(directory: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "pve.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    return path
