"""The packed payload: the same files are the same bytes, on whatever machine and day."""

from __future__ import annotations

import gzip
import io
import tarfile
import time

import pytest

from pve_agents.payload import GuestFile, Payload

FILES = {"verify": GuestFile("#!/bin/sh\n", mode=0o755), "services/hermes/managed/env": GuestFile("x\n")}


def packed(files: dict[str, GuestFile]) -> bytes:
    return Payload(directory="/opt/x", files=files).archive


def test_what_is_packed_does_not_depend_on_the_day_or_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    first = packed(FILES)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert packed(dict(reversed(FILES.items()))) == first


def test_what_is_packed_names_nobody_of_this_machine() -> None:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed(FILES)))) as archive:
        found = {(it.name, it.uid, it.gid, it.uname, it.gname, it.mtime, it.mode) for it in archive}
    assert found == {("verify", 0, 0, "", "", 0, 0o755), ("services/hermes/managed/env", 0, 0, "", "", 0, 0o644)}
