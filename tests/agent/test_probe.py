"""Our probe asks the model endpoint on the same way as the real Hermes does."""

from __future__ import annotations

import contextlib
import functools
import http.client
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.agent.hermes import ROOT, Around, RealHermes
from tests.lab.services import Handler

PROBE = (ROOT / "constructs" / "pve_agents" / "agents" / "hermes" / "guest" / "probe.py").read_text()


@dataclass
class Proxy:
    """An HTTP proxy that leads to one server, under whatever name it is asked for."""

    behind: int
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: Handler) -> None:
        self.asked.append(handler.path)
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=30)
        with contextlib.closing(connection):
            path = urlsplit(handler.path).path
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request(handler.command, path, handler.body, headers)
            response = connection.getresponse()
            content = response.read()
            handler.send_response(response.status)
            handler.send_header("Content-Type", response.getheader("Content-Type") or "")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve for as long as the `with` block runs, at this URL."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, self.answer))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()


def probe(hermes: RealHermes, *arguments: str) -> str:
    """What it says, run as `docker exec -i … python3 -` does."""
    ran = subprocess.run(
        [hermes.python, "-", *arguments],
        input=PROBE,
        env=hermes.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


def test_where_hermes_answers_through_a_proxy_the_probe_finds_the_model_through_it(
    hermes: RealHermes, around: Around
) -> None:
    proxy = Proxy(around.model_port)
    url = "http://litellm.home.arpa:4000/v1"
    with proxy.running() as address:
        hermes.deliver(
            {
                "environment": {"HTTPS_PROXY": address},
                "settings": {"providers": {"litellm": {"base_url": url}}},
            }
        )
        with hermes.gateway():
            assert hermes.chat("ping") == "pong"
        assert f"{url}/chat/completions" in proxy.asked
        proxy.asked.clear()

        said = probe(hermes, "models", url, "LITELLM_API_KEY", "hermes")

    assert proxy.asked == [f"{url}/models"]
    # The scripted model lists none: that it answers is what matters.
    assert said.startswith(f"skipped\t{url}/models through the proxy {address} lists no models")
