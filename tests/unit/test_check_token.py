"""scripts/check-token against an https server that answers as Proxmox VE does."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCRIPT = Path(__file__).parents[2] / "scripts" / "check-token"
SECRET = "0b9e1f00-dead-4bad-8bad-5ec2e75ec2e7"
TOKEN_ID = "terraform@pve!deploy"
TOKEN = f"{TOKEN_ID}={SECRET}"

VM = [
    "VM.Allocate",
    "VM.Audit",
    *(f"VM.Config.{part}" for part in ("CPU", "Disk", "Memory", "Network", "Options")),
    "VM.PowerMgmt",
]
OPTIONS = ["--node", "gihyeon", "--vmid", "118", "--rootfs-datastore", "local-lvm", "--stack", "hermes"]
TEMPLATE = ["--template-datastore", "local"]
GRANTED = {
    "/vms/118": VM,
    "/storage/local-lvm": ["Datastore.AllocateSpace"],
    "/storage/local": ["Datastore.AllocateTemplate", "Datastore.Audit"],
    "/nodes/gihyeon": ["Sys.AccessNetwork"],
}

Answer = tuple[int, bytes]


class Pve:
    """A Proxmox VE that knows one token."""

    def __init__(self, certificate: Path) -> None:
        self.granted: dict[str, dict[str, int]] = {}
        self.taken: set[int] = set()
        self.respond: Callable[[str], Answer] = self.permissions
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []
        self.authorizations: set[str | None] = set()
        pve = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pve.asked.append(self.path)
                pve.authorizations.add(self.headers["Authorization"])
                status, body = pve.respond(self.path)
                self.send_response(status)
                for name, value in pve.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def grant(self, granted: dict[str, list[str]]) -> None:
        self.granted = {path: dict.fromkeys(privileges, 1) for path, privileges in granted.items()}

    def permissions(self, path: str) -> Answer:
        """As Proxmox VE answers: the asked path alone."""
        query = parse_qs(urlsplit(path).query)
        if "nextid" in path:
            taken = int(query["vmid"][0]) in self.taken
            return (400, b"{}") if taken else (200, json.dumps({"data": query["vmid"][0]}).encode())
        wanted = query["path"][0]
        return 200, json.dumps({"data": {p: held for p, held in self.granted.items() if p == wanted}}).encode()

    def everything(self, _: str) -> Answer:
        """As other servers answer: every path that the token has an ACL on."""
        return 200, json.dumps({"data": self.granted}).encode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    path = tmp_path_factory.mktemp("tls") / "pve.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + cert.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def pve(certificate: Path) -> Iterator[Pve]:
    server = Pve(certificate)
    server.grant(GRANTED)
    yield server
    server.server.shutdown()
    server.server.server_close()


def check(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [sys.executable, "-I", SCRIPT, *options],
        env={"PROXMOX_VE_API_TOKEN": TOKEN, "PROXMOX_VE_INSECURE": "true", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert SECRET not in run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    return run


def refusal(*options: str, **environment: str) -> str:
    run = check(*options, **environment)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("check-token: ")
    assert run.stderr.count("\n") == 1
    return run.stderr.removeprefix("check-token: ").rstrip("\n")


def commands(path: str, role: str, privileges: str) -> str:
    return (
        f"  pveum role add {role} 2>/dev/null\n"
        f"  pveum role modify {role} --append 1 --privs '{privileges}'\n"
        f"  pveum acl modify {path} --roles {role} --tokens 'terraform@pve!deploy'\n"
        f"  pveum acl modify {path} --roles {role} --users terraform@pve  # unless this user may do it already\n"
    )


def lacks(privileges: str, path: str) -> str:
    return f"token {TOKEN_ID} lacks {privileges} on {path}; to mend it, as root on the node:\n"


def test_a_token_that_suffices(pve: Pve) -> None:
    run = check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"token {TOKEN_ID} may do what hermes needs\n", "")
    assert pve.authorizations == {f"PVEAPIToken={TOKEN}"}
    assert pve.asked == [
        f"/api2/json/access/permissions?path={path}"
        for path in ("%2Fvms%2F118", "%2Fstorage%2Flocal-lvm", "%2Fstorage%2Flocal", "%2Fnodes%2Fgihyeon")
    ]


def test_a_guest_that_the_token_may_not_see_has_the_vmid(pve: Pve) -> None:
    """With privileges on a pool alone the guard in the plan is blind for all other guests."""
    pve.grant({**GRANTED, "/vms/118": [], "/pool/agents": VM})
    options = [*OPTIONS, *TEMPLATE, "--pool", "agents"]
    assert check(*options, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0
    pve.taken = {118}
    assert refusal(*options, PROXMOX_VE_ENDPOINT=pve.url) == (
        f"VMID 118 is taken by a guest that token {TOKEN_ID} may not see: choose another vmid, or give the token "
        "VM.Audit on /vms"
    )


def test_a_guest_that_the_token_sees_is_the_plans_business(pve: Pve) -> None:
    pve.taken = {118}
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


def test_variables_stand_for_options(pve: Pve) -> None:
    run = check(
        PROXMOX_VE_ENDPOINT=f"{pve.url}/",
        PROXMOX_VE_INSECURE="1",
        CHECK_TOKEN_NODE="gihyeon",
        CHECK_TOKEN_VMID="118",
        CHECK_TOKEN_POOL="",
        CHECK_TOKEN_ROOTFS_DATASTORE="local-lvm",
        CHECK_TOKEN_TEMPLATE_DATASTORE="local",
    )
    assert (run.returncode, run.stdout) == (0, f"token {TOKEN_ID} may do what container 118 needs\n")


@pytest.mark.parametrize("privilege", VM)
def test_every_privilege_on_the_container_is_asked_for(pve: Pve, privilege: str) -> None:
    pve.grant({**GRANTED, "/vms/118": [name for name in VM if name != privilege]})
    run = check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == lacks(privilege, "/vms/118") + commands("/vms", "AgentContainer", " ".join(VM))


def test_a_token_without_any_privilege_gets_one_answer_per_path(pve: Pve) -> None:
    pve.grant({})
    run = check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        lacks(", ".join(VM), "/vms/118")
        + commands("/vms", "AgentContainer", " ".join(VM))
        + lacks("Datastore.AllocateSpace", "/storage/local-lvm")
        + commands("/storage/local-lvm", "AgentRootfs", "Datastore.AllocateSpace")
        + lacks("Datastore.AllocateTemplate, Datastore.Audit", "/storage/local")
        + commands("/storage/local", "AgentTemplate", "Datastore.AllocateTemplate Datastore.Audit")
        + lacks("Sys.AccessNetwork", "/nodes/gihyeon")
        + commands("/nodes/gihyeon", "AgentDownload", "Sys.AccessNetwork")
    )


def test_without_a_download_its_privileges_are_not_asked_for(pve: Pve) -> None:
    pve.grant({path: GRANTED[path] for path in ("/vms/118", "/storage/local-lvm")})
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


def test_a_pool_and_the_container_add_up(pve: Pve) -> None:
    pve.grant({**GRANTED, "/vms/118": VM[:3], "/pool/agents": VM[3:]})
    assert check(*OPTIONS, "--pool", "agents", PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


def test_what_a_pool_lacks_is_granted_on_the_pool(pve: Pve) -> None:
    pve.grant({**GRANTED, "/vms/118": VM[:1], "/pool/agents": VM[2:]})
    run = check(*OPTIONS, "--pool", "agents", PROXMOX_VE_ENDPOINT=pve.url)
    assert run.stderr == lacks("VM.Audit", "/pool/agents") + commands("/pool/agents", "AgentContainer", " ".join(VM))


def test_one_datastore_for_both(pve: Pve) -> None:
    both = ["Datastore.AllocateSpace", "Datastore.AllocateTemplate"]
    options = [*OPTIONS, "--template-datastore", "local-lvm"]
    pve.grant({**GRANTED, "/storage/local-lvm": both})
    assert check(*options, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0
    pve.grant({**GRANTED, "/storage/local-lvm": both[:1]})
    run = check(*options, PROXMOX_VE_ENDPOINT=pve.url)
    assert run.stderr == (
        lacks("Datastore.AllocateTemplate", "/storage/local-lvm")
        + commands("/storage/local-lvm", "AgentStorage", " ".join(both))
    )


def test_allocate_space_stands_for_audit_on_the_template_store(pve: Pve) -> None:
    pve.grant({**GRANTED, "/storage/local": ["Datastore.AllocateTemplate", "Datastore.AllocateSpace"]})
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(("held", "code"), [(["Sys.Audit", "Sys.Modify"], 0), (["Sys.Audit"], 1), (["Sys.Modify"], 1)])
def test_two_privileges_on_the_root_stand_for_access_network(pve: Pve, held: list[str], code: int) -> None:
    pve.grant({**GRANTED, "/nodes/gihyeon": [], "/": held})
    assert check(*OPTIONS, *TEMPLATE, PROXMOX_VE_ENDPOINT=pve.url).returncode == code


def test_a_privilege_that_does_not_propagate_counts_on_its_own_path(pve: Pve) -> None:
    pve.granted["/vms/118"] = dict.fromkeys(VM, 0)
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == 0


@pytest.mark.parametrize(("propagates", "code"), [(1, 0), (0, 1)])
def test_ancestors_count_as_far_as_they_propagate(pve: Pve, propagates: int, code: int) -> None:
    pve.respond = pve.everything
    pve.granted = {
        "/": {"Datastore.AllocateSpace": 1},
        "/vms": dict.fromkeys(VM, propagates),
        "/vms/11": dict.fromkeys(VM, 1),
        "/storage/other": {"Datastore.AllocateSpace": 1},
    }
    assert check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url).returncode == code


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PROXMOX_VE_API_TOKEN": ""}, "PROXMOX_VE_API_TOKEN is not set: it has the form USER@REALM!TOKENID=SECRET"),
        ({"PROXMOX_VE_ENDPOINT": ""}, "PROXMOX_VE_ENDPOINT is not set: it has the form https://HOST:8006"),
        *(
            (
                {"PROXMOX_VE_API_TOKEN": token},
                "PROXMOX_VE_API_TOKEN is not in the form USER@REALM!TOKENID=SECRET",
            )
            for token in (
                SECRET,
                f"terraform@pve={SECRET}",
                f"a@pve!b={SECRET} x",
                f"a@pve!b={SECRET}\r\nX: y",
                f"a@pve!жетон={SECRET}",
                f"a@pve!b\x1b={SECRET}",
            )
        ),
        *(
            ({"PROXMOX_VE_ENDPOINT": value}, "PROXMOX_VE_ENDPOINT must have the form https://HOST:8006")
            for value in ("http://pve:8006", "pve:8006", "https://", "https://pve:80x", "https://[::1", "https://a b")
        ),
    ],
)
def test_a_wrong_environment(variables: dict[str, str], message: str) -> None:
    assert refusal(*OPTIONS, **{"PROXMOX_VE_ENDPOINT": "https://pve:8006", **variables}) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (OPTIONS[2:], "--node or CHECK_TOKEN_NODE is needed"),
        ([*OPTIONS[:2], *OPTIONS[4:]], "--vmid or CHECK_TOKEN_VMID is needed"),
        (OPTIONS[:4], "--rootfs-datastore or CHECK_TOKEN_ROOTFS_DATASTORE is needed"),
        ([*OPTIONS, "--vmid", "99"], "--vmid cannot be '99'"),
        ([*OPTIONS, "--node", "a;b"], "--node cannot be 'a;b'"),
        ([*OPTIONS, "--pool", "a b"], "--pool cannot be 'a b'"),
        ([*OPTIONS, "--rootfs-datastore", "../x"], "--rootfs-datastore cannot be '../x'"),
        ([*OPTIONS, "--template-datastore", "a/b"], "--template-datastore cannot be 'a/b'"),
        ([*OPTIONS, "--stack", "a\nb"], "--stack cannot be 'a\\nb'"),
        ([*OPTIONS, "--timeout", "0"], "--timeout cannot be '0'"),
        ([*OPTIONS, "--token", "x"], "unrecognized arguments: --token x (see check-token --help)"),
    ],
)
def test_a_wrong_option(options: list[str], message: str) -> None:
    assert refusal(*options, PROXMOX_VE_ENDPOINT="https://pve:8006") == message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, f"does not accept token {TOKEN_ID}: it is unknown, disabled or expired, or its secret is wrong"),
        (595, "cannot reach the node behind it (HTTP 595): is every node of the cluster up?"),
        (500, f"answers HTTP 500 when asked for the permissions of token {TOKEN_ID}"),
    ],
)
def test_an_http_error(pve: Pve, status: int, message: str) -> None:
    pve.respond = lambda _: (status, b"")
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url) == f"{pve.url} {message}"


def test_a_redirect_does_not_carry_the_token_away(pve: Pve, certificate: Path) -> None:
    other = Pve(certificate)
    pve.respond, pve.headers = lambda _: (302, b""), {"Location": other.url}
    message = f"{pve.url} answers HTTP 302 when asked for the permissions of token {TOKEN_ID}"
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url) == message
    assert other.asked == []


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": null}', b'{"data": {"/vms/118": 1}}', b"\xff"])
def test_an_answer_that_is_not_proxmox(pve: Pve, body: bytes) -> None:
    pve.respond = lambda _: (200, body)
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url) == (
        f"{pve.url} does not answer as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API (port 8006)?"
    )


def test_a_certificate_that_nobody_vouches_for(pve: Pve) -> None:
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url, PROXMOX_VE_INSECURE="false") == (
        f"the certificate of {pve.url} cannot be verified (self-signed certificate): "
        "install its CA on this machine, or set PROXMOX_VE_INSECURE=true"
    )
    assert pve.asked == []


def test_a_certificate_of_a_known_ca(pve: Pve, certificate: Path) -> None:
    run = check(*OPTIONS, PROXMOX_VE_ENDPOINT=pve.url, PROXMOX_VE_INSECURE="", SSL_CERT_FILE=str(certificate))
    assert run.returncode == 0


def test_a_server_that_takes_its_time(pve: Pve) -> None:
    def later(_: str) -> Answer:
        time.sleep(2)
        return 200, b""

    pve.respond = later
    assert refusal(*OPTIONS, "--timeout", "0.3", PROXMOX_VE_ENDPOINT=pve.url) == (
        f"{pve.url} does not answer within 0.3 seconds"
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(listener: socket.socket) -> str:
    return f"https://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_says_nothing(listener: socket.socket) -> None:
    assert refusal(*OPTIONS, "--timeout", "0.3", PROXMOX_VE_ENDPOINT=url_of(listener)) == (
        f"{url_of(listener)} does not answer within 0.3 seconds"
    )


def test_a_server_that_does_not_speak_tls(listener: socket.socket) -> None:
    def plain() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            connection.recv(4096)

    threading.Thread(target=plain, daemon=True).start()
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=url_of(listener)).startswith(
        f"{url_of(listener)} does not speak TLS as it should ("
    )


def test_a_port_nobody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = url_of(server)
    assert refusal(*OPTIONS, PROXMOX_VE_ENDPOINT=url) == f"{url} cannot be reached (Connection refused)"
