"""One of two services: `store` keeps a number on its disk, and gives it to who shows the key; `web` asks it, and shows it."""

import http.server
import os
import pathlib
import sys
import urllib.request

ROLE, PORT = sys.argv[1], int(sys.argv[2])
COUNT = pathlib.Path("/store/count")


def answer(key: str) -> tuple[int, str]:
    if ROLE == "store":
        if key != os.environ["KEY"]:
            return 403, "no"
        count = int(COUNT.read_text()) + 1 if COUNT.exists() else 1
        COUNT.write_text(str(count))
        return 200, str(count)
    # Its key is a file.
    request = urllib.request.Request(
        "http://store:9000/", headers={"X-Key": pathlib.Path("/run/secrets/app_key").read_text()}
    )
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - that one address
        return 200, f"{os.environ['GREETING']} {response.read().decode()}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = (200, "well") if self.path == "/health" else answer(self.headers.get("X-Key", ""))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


http.server.ThreadingHTTPServer(("", PORT), Handler).serve_forever()
