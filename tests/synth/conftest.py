"""Synthesizing in the test's own process."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from main import compose
from pve_agents import load_settings

PROJECT = Path(__file__).parent.parent.parent


class Synthesize(Protocol):
    """Settings as they stand in homelab.yaml, to the JSON of one stack."""

    def __call__(self, settings: dict[str, Any] | None = None, *, stack: str = "hermes") -> dict[str, Any]: ...


@pytest.fixture
def synthesize(tmp_path: Path) -> Synthesize:
    def run(settings: dict[str, Any] | None = None, *, stack: str = "hermes") -> dict[str, Any]:
        if settings is not None:
            (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(settings))
        compose(load_settings(tmp_path), outdir=str(tmp_path / "cdktf.out")).synth()
        found: dict[str, Any] = json.loads((tmp_path / "cdktf.out" / "stacks" / stack / "cdk.tf.json").read_text())
        # As cdktf's Testing.stub_version does, which must come before there are stacks.
        found["//"]["metadata"]["version"] = "stubbed"
        return found

    return run


def reviewable(stack: dict[str, Any]) -> Any:
    """The stack without the hashes of each script's text, which say nothing to a reader."""
    text = re.sub(r"(assets/\w+)/[0-9A-F]{32}", r"\1/HASH", json.dumps(stack))
    text = re.sub(r"\b[0-9a-f]{64}\b", "SHA256", text)
    text = re.sub(r'("program": ")[0-9a-f]{8};', r"\1PROGRAM;", text)
    return json.loads(re.sub(r"(revision[^0-9a-f]{1,8})[0-9a-f]{16}\b", r"\1REVISION", text))


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """One reviewed JSON file for each snapshot."""
    return snapshot.use_extension(JSONSnapshotExtension)
