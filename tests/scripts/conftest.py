"""A fake node per test, and a way to run steps on it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.scripts.fake_node import Node
from tests.scripts.helpers import REAL_COMMANDS, Run, bash, script

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
