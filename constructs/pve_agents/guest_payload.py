"""A payload as a part of a stack."""

from __future__ import annotations

from pathlib import Path

from cdktf import App, AssetType, TerraformAsset
from constructs import Construct

from pve_agents.payload import Payload


class GuestPayload(Construct):
    """A payload, staged with the synthesized stack so that a plan delivers the bytes that it was made with."""

    payload: Payload
    """What is staged."""

    path: str
    """The packed files, relative to where Terraform runs in the stack."""

    def __init__(self, scope: Construct, id_: str, *, name: str, payload: Payload) -> None:
        """Pack the files and stage them.

        Args:
            scope: The stack.
            id_: The construct id.
            name: Name of the archive, unique in the app: the agent's.
            payload: What goes into the container.
        """
        super().__init__(scope, id_)
        self.payload = payload
        archive = Path(App.of(self).outdir, "payload", f"{name}.tar.gz").absolute()
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(payload.archive)
        self.path = str(TerraformAsset(self, "archive", path=str(archive), type=AssetType.FILE).path)
