"""A provider whose one resource, once it is being made, says which process makes it and then waits for its end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.virtual_node.null import Null, NullResource
from tests.virtual_node.plugin import Diagnostics, State, serve


class Waiting(NullResource):
    """Not to be stopped: what Terraform does about that is what the tests look at."""

    def create(self, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Open a pipe, whose other end the test holds: the name of it is in the triggers."""
        Path(planned["triggers"]["pipe"]).write_text(f"{os.getpid()} {os.getppid()}")
        threading.Event().wait()
        return super().create(planned, private, diags)


def main() -> None:
    """Be the plugin."""
    provider = Null()
    provider.resources = {"null_resource": Waiting()}
    serve(provider)
