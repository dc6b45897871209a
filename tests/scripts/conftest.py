"""A fake node per test, and a way to run steps on it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pve_agents.secret_values import INVISIBLE, PLACEHOLDER
from tests.scripts.fake_node import Node
from tests.scripts.helpers import REAL_COMMANDS, Operator, Run, bash, payload, script

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    node = Node.create(tmp_path / "node")
    for name in REAL_COMMANDS:
        path = shutil.which(name)
        assert path
        (node.bin / name).symlink_to(path)
    return node


@pytest.fixture
def on_host(node: Node) -> Callable[..., Run]:
    """Runs calls after the text of on-host, as the transports do."""

    def run(*calls: str | list[str], mode: str = "apply", begin: tuple[str, ...] = ()) -> Run:
        return bash(node, script(node, *calls, mode=mode, begin=begin))

    return run


@pytest.fixture
def spec(node: Node) -> dict[str, Any]:
    disk = node.directory / "disks" / "hermes"
    archive, sha256 = payload()
    (node.directory / "payload.tar.gz").write_bytes(archive)
    return {
        "agent": "hermes",
        "vmid": 118,
        "node": "pve1",
        "hostname": "hermes",
        "directories": [{"path": str(disk), "uid": 110000, "gid": 110000, "mode": "0750"}],
        "mounts": [{"key": "mp0", "volume": str(disk), "path": "/data", "options": {"replicate": "0", "backup": "0"}}],
        "features": {"keyctl": "1"},
        "devices": [],
        "payload": {
            "directory": "/opt/pve-agents/hermes",
            "archive": str(node.directory / "payload.tar.gz"),
            "checks_timeout_seconds": 300,
            "sha256": sha256,
        },
        "bootstrap": {"command": "/opt/pve-agents/hermes/bootstrap", "timeout_seconds": 20},
        "secrets": {
            "names": ["LITELLM_API_KEY"],
            "of_compose": [],
            "placeholder": PLACEHOLDER,
            "invisible": list(INVISIBLE),
            "path": "/opt/hermes-data/.env",
            "uid": 10000,
            "gid": 10000,
        },
    }


@pytest.fixture
def operator(node: Node, tmp_path: pathlib.Path, spec: dict[str, Any]) -> Operator:
    return Operator(node, tmp_path / "operator", spec)
