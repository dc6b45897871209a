"""What is wrong with the way to the node, each in one sentence whose remedy works."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pve_agents.node_api import Node, NodeError, access, within
from tests.unit.fake_api import SECRET, TOKEN, VM, Answer, Pve

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

ENDPOINT = "https://pve:8006"
INTO_ENV = (
    "write them into .env (`install -m 600 .env.example .env` makes one), and put `pipenv run` in front, which reads it"
)
WRONG_PLACE = "is the node on, and is PROXMOX_VE_ENDPOINT right?"
EXAMPLE = Path(__file__).parents[2] / ".env.example"


def environment(**variables: str) -> dict[str, str]:
    """What a good .env says, and what else is said."""
    return {"PROXMOX_VE_ENDPOINT": ENDPOINT, "PROXMOX_VE_API_TOKEN": TOKEN, **variables}


def refused(**variables: str) -> str:
    with pytest.raises(NodeError) as error:
        access(environment(**variables))
    assert SECRET not in str(error.value)
    return str(error.value)


def asked(endpoint: str, *, seconds: float = 10, insecure: str = "true", **variables: str) -> set[str]:
    """What the token may do to the container, as the node says."""
    found = access(environment(PROXMOX_VE_ENDPOINT=endpoint, PROXMOX_VE_INSECURE=insecure, **variables))
    return within(seconds, found, lambda: Node(found, seconds=seconds).privileges("/vms/118"))


def said(endpoint: str, *, seconds: float = 10, insecure: str = "true", **variables: str) -> str:
    with pytest.raises(NodeError) as error:
        asked(endpoint, seconds=seconds, insecure=insecure, **variables)
    assert SECRET not in str(error.value)
    return str(error.value)


# What is in the environment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PROXMOX_VE_API_TOKEN": ""}, f"PROXMOX_VE_API_TOKEN is not set: {INTO_ENV}"),
        ({"PROXMOX_VE_ENDPOINT": ""}, f"PROXMOX_VE_ENDPOINT is not set: {INTO_ENV}"),
        (
            {"PROXMOX_VE_ENDPOINT": "", "PROXMOX_VE_API_TOKEN": ""},
            f"PROXMOX_VE_ENDPOINT and PROXMOX_VE_API_TOKEN are not set: {INTO_ENV}",
        ),
        (
            {"PROXMOX_VE_API_TOKEN": "", "PVE_SSH": "root@10.1.10.10"},
            (
                "PROXMOX_VE_API_TOKEN is not set, and this is root's environment: run it again without "
                "PIPENV_DOTENV_LOCATION"
            ),
        ),
        *(
            ({"PROXMOX_VE_API_TOKEN": token}, "PROXMOX_VE_API_TOKEN is not in the form USER@REALM!TOKENID=SECRET")
            for token in (
                SECRET,
                f"terraform@pve={SECRET}",
                f"a@pve!b={SECRET} x",
                f"a@pve!b={SECRET}\r\nX: y",
                f"a@pve!жетон={SECRET}",
                f"a@pve!b\x1b={SECRET}",
                f"'{TOKEN}'",
            )
        ),
        *(
            (
                {"PROXMOX_VE_API_TOKEN": prefix + TOKEN},
                (
                    "PROXMOX_VE_API_TOKEN begins with PVEAPIToken, which the provider adds by itself: write "
                    "USER@REALM!TOKENID=SECRET alone"
                ),
            )
            for prefix in ("PVEAPIToken=", "pveapitoken=", "PVEAPIToken ")
        ),
        *(
            (
                {"PROXMOX_VE_API_TOKEN": token},
                "PROXMOX_VE_API_TOKEN has blanks around it: write USER@REALM!TOKENID=SECRET and nothing else",
            )
            for token in (f" {TOKEN}", f"{TOKEN}\n")
        ),
        (
            {"PROXMOX_VE_API_TOKEN": "me@pam!x=00000000-0000-0000-0000-000000000000"},
            (
                "PROXMOX_VE_API_TOKEN is still the example's: write the one that `pveum user token add` printed into "
                ".env (docs/node.md)"
            ),
        ),
        *(
            ({"PROXMOX_VE_ENDPOINT": value}, "PROXMOX_VE_ENDPOINT must have the form https://HOST:8006")
            for value in (
                "https://",
                "https://pve:80x",
                "https://pve:99999",
                "https://[::1",
                "https://a b",
                # Not shown: it may be the token, in the wrong line.
                TOKEN,
                f"https://{TOKEN}@pve:8006",
            )
        ),
        *(
            (
                {"PROXMOX_VE_ENDPOINT": value},
                f"PROXMOX_VE_ENDPOINT does not begin with https://: write {endpoint}",
            )
            for value, endpoint in {
                "http://pve:8006": "https://pve:8006",
                "pve:8006/": "https://pve:8006",
                "pve": "https://pve:8006",
                "10.1.10.10": "https://10.1.10.10:8006",
                "[fd00::1]:8006": "https://[fd00::1]:8006",
            }.items()
        ),
        (
            {"PROXMOX_VE_ENDPOINT": " https://pve:8006"},
            "PROXMOX_VE_ENDPOINT has blanks around it: write https://pve:8006",
        ),
        *(
            (
                {"PROXMOX_VE_INSECURE": value},
                "PROXMOX_VE_INSECURE must be true or false: the provider takes anything else for false",
            )
            for value in ("True", "yes", "on", "2")
        ),
        ({"PROXMOX_VE_MIN_TLS": "TLS1.2"}, "PROXMOX_VE_MIN_TLS must be one of 1.0, 1.1, 1.2, 1.3"),
    ],
)
def test_what_cannot_lead_to_the_node_is_refused_without_asking(variables: dict[str, str], sentence: str) -> None:
    assert refused(**variables) == sentence


@pytest.mark.parametrize("value", ["http://pve:8006", "pve", "10.1.10.10", "pve:8006", " https://pve:8006 "])
def test_the_endpoint_that_a_sentence_names_is_taken(value: str) -> None:
    named = re.search(r"write (\S+)$", refused(PROXMOX_VE_ENDPOINT=value))
    assert named is not None
    assert access(environment(PROXMOX_VE_ENDPOINT=named[1])).address == named[1]


def test_the_examples_values_are_refused_until_they_are_edited() -> None:
    lines = (line.partition("=") for line in EXAMPLE.read_text().splitlines() if line.startswith("PROXMOX_VE_"))
    assert "still the example's" in refused(**{name: value for name, _, value in lines})


@pytest.mark.parametrize(
    "endpoint", ["https://pve:8006", "https://pve:8006/", "https://pve:8006/api2/json", "https://pve"]
)
def test_a_path_of_the_endpoint_counts_for_nothing_as_with_the_provider(endpoint: str) -> None:
    assert access(environment(PROXMOX_VE_ENDPOINT=endpoint)).address in ("https://pve:8006", "https://pve")


def test_the_secret_is_in_no_text_of_what_was_read() -> None:
    assert SECRET not in repr(access(environment()))


# What the node answers -------------------------------------------------------------------------------------------------


def test_a_token_that_the_node_knows_has_its_privileges(pve: Pve) -> None:
    assert asked(pve.url) == set(VM)
    assert pve.authorizations == {f"PVEAPIToken={TOKEN}"}


UNKNOWN = (
    "{} does not accept token terraform@pve!deploy{}: `pveum user token list terraform@pve` on the node shows which there "
    "are and until when; correct PROXMOX_VE_API_TOKEN, or make a new one (docs/node.md)"
)
FOREIGN = "{} does not answer as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API (port 8006)?"


@pytest.mark.parametrize(
    ("reason", "quoted"),
    [
        ("No such token", " (No such token)"),
        ("invalid token value!\x1b[31m", " (invalid token value![31m)"),
        (f"no {SECRET}", " (no …)"),
        ("x" * 1000, f" ({'x' * 80})"),
        ("", ""),
    ],
)
def test_a_token_that_the_node_does_not_know(pve: Pve, reason: str, quoted: str) -> None:
    pve.respond, pve.reason = lambda _: (401, b""), reason
    assert said(pve.url) == UNKNOWN.format(pve.url, quoted)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (595, "{} cannot reach the node behind it (HTTP 595): is every node of the cluster up?"),
        (596, "{} cannot reach the node behind it (HTTP 596): is every node of the cluster up?"),
        (404, FOREIGN),
        (
            502,
            (
                "{} answers HTTP 502 (Bad Gateway) when asked for access/permissions: look at `systemctl status pveproxy "
                "pvedaemon` on the node, and at what is between it and here"
            ),
        ),
    ],
)
def test_an_http_error(pve: Pve, status: int, sentence: str) -> None:
    pve.respond, pve.reason = lambda _: (status, b"<html>"), "Bad Gateway"
    assert said(pve.url) == sentence.format(pve.url)


def test_an_http_error_is_said_of_what_was_asked_for(pve: Pve) -> None:
    pve.respond, pve.reason = lambda _: (500, b""), "no such file"
    node = Node(access(environment(PROXMOX_VE_ENDPOINT=pve.url, PROXMOX_VE_INSECURE="true")))
    for ask, resource in (
        (lambda: node.container("gihyeon", "118"), "nodes/gihyeon/lxc/118/config"),
        (node.container_states, "cluster/resources"),
    ):
        with pytest.raises(NodeError, match=rf"HTTP 500 \(no such file\) when asked for {resource}: look at"):
            ask()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_does_not_carry_the_token_away(pve: Pve, certificate: Path, status: int) -> None:
    with Pve(certificate) as other:
        pve.respond, pve.headers = lambda _: (status, b""), {"Location": other.url}
        assert said(pve.url) == (
            f"{pve.url} sends us somewhere else, where the token does not go: PROXMOX_VE_ENDPOINT must name the API itself, "
            "as in https://HOST:8006"
        )
    assert (other.asked, len(pve.asked)) == ([], 1)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"\xff", b"[", b"[]", b"0", b"null", b'"data"', b"{}", b'{"data": null}', b'{"data": []}'),
        *(b'{"data": 1}', b'{"data": {"/vms/118": 1}}', b'{"data": {"errors": {}}}', b'{"data": {"/": {"a": 1}}'),
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_that_is_not_proxmox(pve: Pve, body: bytes, status: int) -> None:
    pve.respond = lambda _: (status, body)
    assert said(pve.url) == FOREIGN.format(pve.url)


@pytest.mark.parametrize("body", [b"<html>", b'{"data": null}', b'{"data": []}', b'{"data": "119"}'])
def test_a_free_number_is_believed_only_if_it_is_the_one_that_was_asked_for(pve: Pve, body: bytes) -> None:
    node = Node(access(environment(PROXMOX_VE_ENDPOINT=pve.url, PROXMOX_VE_INSECURE="true")))
    assert node.is_free("118")
    pve.respond = lambda _: (200, body)
    with pytest.raises(NodeError, match="does not answer as Proxmox VE does"):
        node.is_free("118")


def test_an_answer_that_breaks_off(pve: Pve) -> None:
    pve.headers = {"Content-Length": "100000"}
    assert said(pve.url) == f"{pve.url} cannot be reached (it broke off in the middle of its answer): {WRONG_PLACE}"


# TLS -------------------------------------------------------------------------------------------------------------------


def untrusted(url: str) -> str:
    return (
        f"the certificate of {url} cannot be verified (self-signed certificate): install its CA on this machine, or set "
        "PROXMOX_VE_INSECURE=true"
    )


@pytest.mark.parametrize("insecure", ["false", "0", ""])
def test_a_certificate_that_nobody_vouches_for(pve: Pve, insecure: str) -> None:
    assert said(pve.url, insecure=insecure) == untrusted(pve.url)
    assert pve.asked == []


def test_both_ways_out_that_the_certificates_sentence_names_work(
    pve: Pve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(pve.url, insecure="true")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asked(pve.url, insecure="false")


def test_requests_own_authorities_count_for_nothing(
    pve: Pve, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider does not know that variable: what passes here has to pass there."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert said(pve.url, insecure="false") == untrusted(pve.url)


def test_an_older_tls_is_refused_as_by_the_provider_and_named(certificate: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_cert_chain(certificate)
    with Pve(certificate, context=old) as pve:
        assert said(pve.url) == (
            f"{pve.url} speaks an older TLS than 1.3, which the provider asks for: set PROXMOX_VE_MIN_TLS=1.2, or see what "
            "stands between it and here"
        )
        assert asked(pve.url, PROXMOX_VE_MIN_TLS="1.2") == set(VM)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(listener: socket.socket) -> str:
    return f"https://127.0.0.1:{listener.getsockname()[1]}"


def answering(listener: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(answer)
            connection.recv(4096)

    threading.Thread(target=serve, daemon=True).start()


def test_a_server_that_does_not_speak_tls(listener: socket.socket) -> None:
    answering(listener, b"HTTP/1.1 200 OK\r\n\r\n")
    assert said(url_of(listener)).startswith(f"{url_of(listener)} does not speak TLS as it should (")


# Nobody there ----------------------------------------------------------------------------------------------------------


def test_a_port_nobody_listens_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = url_of(server)
    assert said(url) == f"{url} cannot be reached (Connection refused): {WRONG_PLACE}"


def test_an_endpoint_without_its_port_is_told_so() -> None:
    assert said("https://127.0.0.1") == (
        "https://127.0.0.1 cannot be reached (Connection refused): PROXMOX_VE_ENDPOINT names no port, and Proxmox VE's is "
        "8006: write https://127.0.0.1:8006"
    )


def test_a_name_that_nobody_has() -> None:
    assert re.fullmatch(
        r"https://nobody\.invalid:8006 cannot be reached \(.+\): " + re.escape(WRONG_PLACE),
        said("https://nobody.invalid:8006"),
    )


LATE = "{} does not answer within 0.3 seconds: " + WRONG_PLACE


def test_a_server_that_takes_its_time(pve: Pve) -> None:
    def later(_: str) -> Answer:
        time.sleep(2)
        return 200, b""

    pve.respond = later
    assert said(pve.url, seconds=0.3) == LATE.format(pve.url)


def test_a_server_that_says_nothing(listener: socket.socket) -> None:
    assert said(url_of(listener), seconds=0.3) == LATE.format(url_of(listener))


def test_a_server_that_says_a_byte_now_and_then(pve: Pve) -> None:
    """Each byte in time, and never an end: no time limit of a socket sees it."""
    body = json.dumps({"data": {}}).encode().ljust(20)
    pve.drips = body
    assert said(pve.url, seconds=0.3) == LATE.format(pve.url)


@pytest.mark.parametrize("hang", ["name", "node"])
def test_one_ctrl_c_ends_it_at_once_with_one_line(listener: socket.socket, hang: str) -> None:
    """Also while the system looks up a name, which no signal interrupts."""
    script = Path(__file__).parents[2] / "scripts" / "check-token"
    options = ["--node", "gihyeon", "--vmid", "118", "--rootfs-datastore", "local-lvm", "--timeout", "600"]
    slow_names = "import socket, threading; socket.getaddrinfo = lambda *_, **__: threading.Event().wait(); "
    program = (
        f"{slow_names if hang == 'name' else ''}import sys, runpy; print('ready', flush=True); "
        f"sys.argv = {['check-token', *options]!r}; runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment(PROXMOX_VE_ENDPOINT=url_of(listener)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # A connection that is dropped is closed, and that is an answer.
    connection: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if hang == "node":
        connection, _ = listener.accept()
    else:
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(1)
    with connection:
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (130, "check-token: interrupted; it has changed nothing\n")


def test_what_was_asked_for_comes_back_and_so_does_what_went_wrong() -> None:
    here = access(environment())
    assert within(1, here, lambda: 42) == 42

    def wrong() -> None:
        raise NodeError("why")

    with pytest.raises(NodeError, match="why"):
        within(1, here, wrong)
