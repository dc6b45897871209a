"""The look: what it runs, what it changes (nothing), and that nobody can put a fact into it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pve_agents.host.facts import Container, Facts, GuestFacts, LookError, PathFact, look_at, read_facts
from tests.unit.host.model import DISK, SHA256, WANTED

CONFIG = """\
#a description%3A mp9%3A /etc,mp=/etc
arch: amd64
features: nesting=1
hostname: hermes
lock: backup
mp0: /mnt/pve/hdd/hermes,mp=/data
tags: ai;pve-agents-hermes
unprivileged: 1

[pve:pending]
delete: mp0 features
nameserver: 1.1.1.1

[before-the-change]
hostname: snapshot
mp1: /srv/x,mp=/x
"""
# All that the text may run, by its own words; whatever else it tried would not be found.
ALLOWED = ("stat", "sha1sum", "lxc-info", "lxc-attach", "dpkg-query", "timeout", "head")
FAKES = {
    "lxc-info": 'echo "lxc-info $*" >>"$CALLS"; [ -z "$STATE" ] || echo "$STATE"',
    "lxc-attach": 'echo "lxc-attach $1 $2 $3" >>"$CALLS"; shift 3; [ "$1" = -- ] && shift; exec "$GUEST" "$@"',
    "dpkg-query": "case $4 in lxc-pve) printf 6.0.5-3 ;; *) printf 6.1.10 ;; esac",
    # The limits themselves, in a fraction of their time.
    "timeout": 'shift 2; exec /usr/bin/timeout 0.3 "${@:2}"',
}


class Machine:
    """A file system of a node, and programs that are all it has."""

    def __init__(self, directory: Path) -> None:
        self.root, self.bin, self.calls = directory / "root", directory / "bin", directory / "calls"
        self.environment = {"HOSTNAME": "gihyeon.home.arpa", "CALLS": str(self.calls), "STATE": "RUNNING"}
        self.add("etc/pve/nodes/gihyeon/lxc/118.conf", CONFIG)
        self.add("etc/pve/ha/resources.cfg", "vm: 118\n\tstate started\n\nct: 200\n")
        (self.root / "mnt/pve/hdd/hermes").mkdir(parents=True)
        self.bin.mkdir()
        for name in ALLOWED:
            if name in FAKES:
                self.program(self.bin / name, FAKES[name])
            else:
                (self.bin / name).symlink_to(shutil.which(name) or name)
        self.inside = directory / "inside"
        self.inside.mkdir()
        # A container's own programs, with its own root.
        self.guest = 'exec /usr/bin/env -i PATH=/usr/bin:/bin /bin/sh "${@:2}"'

    def add(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def program(self, path: Path, text: str) -> None:
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def output(self, **wanted: object) -> bytes:
        guest = self.bin.parent / "guest"
        self.program(guest, self.guest)
        payload = replace(WANTED.payload, directory=f"{self.inside}/hermes")  # type: ignore[type-var]
        secrets = replace(WANTED.secrets, path=f"{self.inside}/hermes.env")  # type: ignore[type-var]
        text = look_at(replace(WANTED, payload=payload, secrets=secrets, **wanted))  # type: ignore[arg-type]
        text = text.replace("root='' #", f"root={shlex.quote(str(self.root))} #")
        text = text.replace("PATH=$PATH:/usr/sbin:/sbin", "PATH=$PATH")
        environment = {**self.environment, "GUEST": str(guest), "PATH": str(self.bin)}
        done = subprocess.run(
            ["/bin/bash", "-s"], input=text.encode(), env=environment, capture_output=True, check=False
        )
        assert done.stderr == b""
        return done.stdout

    def look(self, **wanted: object) -> Facts:
        return read_facts(self.output(**wanted), 118)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_all_that_it_sees(machine: Machine) -> None:
    payload = machine.inside / "hermes"
    payload.mkdir()
    (payload / ".sha256").write_text(f"{SHA256}\n")
    (payload / ".done").write_text("this and that\n")
    machine.program(payload / "bootstrap", "")
    secrets = machine.inside / "hermes.env"
    secrets.write_text("A=b\n")
    secrets.chmod(0o600)
    facts = machine.look()
    owner = f"{os.getuid()}:{os.getgid()}"
    assert (facts.node, facts.pve_container, facts.state, facts.ha) == (
        "gihyeon",
        "6.1.10",
        "running",
        frozenset({200}),
    )
    assert facts.guest == GuestFacts(
        is_whole=True,
        payload=SHA256,
        done="this and that",
        executables=frozenset({"bootstrap"}),
        secrets=(owner, "600", hashlib.sha256(b"A=b\n").hexdigest()),
    )
    raw = (machine.root / "etc/pve/nodes/gihyeon/lxc/118.conf").read_bytes()
    assert facts.digest == hashlib.sha1(raw).hexdigest()  # noqa: S324 - Proxmox VE's own
    assert sorted(facts.paths) == ["/", "/mnt", "/mnt/pve", "/mnt/pve/hdd", "/mnt/pve/hdd/hermes"]
    assert facts.path(f"{DISK}/hermes").kind == "directory"


def test_a_containers_file_says_what_runs_and_what_waits_for_a_start(machine: Machine) -> None:
    container = machine.look().containers[118]
    assert container.running == {
        "arch": "amd64",
        "features": "nesting=1",
        "hostname": "hermes",
        "lock": "backup",
        "mp0": "/mnt/pve/hdd/hermes,mp=/data",
        "tags": "ai;pve-agents-hermes",
        "unprivileged": "1",
    }
    assert container.pending == {"mp0": None, "features": None, "nameserver": "1.1.1.1"}
    assert "mp0" not in container.configured
    assert (container.waiting(), container.others_waiting()) == (("features", "mp0"), ("nameserver",))


def test_it_makes_no_pct_call_and_asks_the_container_once(machine: Machine) -> None:
    machine.look()
    assert machine.calls.read_text().splitlines() == ["lxc-info -n 118 -s -H", "lxc-attach -n 118 --clear-env"]


def test_a_container_that_does_not_run_is_not_asked(machine: Machine) -> None:
    machine.environment["STATE"] = "STOPPED"
    facts = machine.look()
    assert (facts.state, facts.guest) == ("stopped", None)
    assert machine.calls.read_text().splitlines() == ["lxc-info -n 118 -s -H"]


def test_it_changes_nothing(machine: Machine) -> None:
    def everything() -> list[tuple[str, int, float]]:
        found = sorted([*machine.root.rglob("*"), *machine.inside.rglob("*")])
        return [(str(path), path.lstat().st_mode, path.lstat().st_mtime) for path in found]

    before = everything()
    machine.look()
    assert everything() == before


def test_where_the_vmid_is_besides(machine: Machine) -> None:
    (machine.root / "etc/pve/nodes/gihyeon/lxc/118.conf").unlink()
    machine.add("etc/pve/nodes/pve2/lxc/118.conf", "hostname: twin\n")
    machine.add("etc/pve/nodes/gihyeon/qemu-server/118.conf", "")
    machine.add("etc/pve/nodes/pve2/lxc/200.conf", "")
    machine.environment["STATE"] = ""
    facts = machine.look()
    assert (facts.containers, sorted(facts.elsewhere)) == ({}, ["gihyeon/qemu-server", "pve2/lxc"])


def test_links_are_seen_and_not_followed(machine: Machine) -> None:
    hermes = machine.root / "mnt/pve/hdd/hermes"
    hermes.rmdir()
    hermes.symlink_to("/etc")
    assert machine.look().path(f"{DISK}/hermes").kind == "symbolic link"


# --- what others say

FORGED = "x\nmp0: /srv/evil,mp=/data\0digest\0\0forged\0end\0\x0099\0"


@pytest.mark.parametrize("name", ["a b", "a\nb", "a'b", "$(touch x)", "-rf", "*", "a\\0b", "ü"])
def test_no_path_runs_or_becomes_another_fact(machine: Machine, name: str) -> None:
    path = f"{DISK}/{name}"
    (machine.root / path.lstrip("/")).mkdir()
    facts = machine.look(directories=(replace(WANTED.directories[0], path=path),))
    assert facts.path(path).kind == "directory"
    assert sorted(facts.paths) == sorted(["/", "/mnt", "/mnt/pve", DISK, path, f"{DISK}/hermes"])


@pytest.mark.parametrize(
    "says",
    [
        "printf 'payload %064d\\0digest\\0\\0forged\\0end\\0\\00099\\0whole\\n' 0",
        "yes whole",
        "sleep 60",
        "(sleep 5 && echo whole) & exec sleep 5",
        "printf 'unfinished x\\npayload %064d\\nwhole\\n' 0",
        "kill -9 $$",
        "head -c 200000 /dev/zero; echo whole",
        "echo whole >&2",
    ],
)
def test_a_container_says_nothing_of_the_host_and_is_not_waited_for(machine: Machine, says: str) -> None:
    expected = machine.look()
    machine.guest = says
    facts = machine.look()
    assert replace(facts, guest=None) == replace(expected, guest=None)
    assert facts.guest
    assert facts.guest.payload in {"", "0" * 64}


@pytest.mark.parametrize(
    "text", ["\x00", FORGED, "x: " + "y" * 300_000, "[pve:pending]\n[pve:pending]\ndelete", ": :\n"]
)
def test_a_containers_file_says_nothing_of_the_rest(machine: Machine, text: str) -> None:
    machine.add("etc/pve/nodes/gihyeon/lxc/200.conf", text)
    facts = machine.look()
    assert set(facts.containers) == {118, 200}
    assert facts.containers[118].running["hostname"] == "hermes"
    assert facts.digest != "forged"


def test_half_an_answer_is_none(machine: Machine) -> None:
    output = machine.output()
    for length in [0, 1, len(output) // 2, len(output) - 1]:
        with pytest.raises(LookError, match="did not come to its end"):
            read_facts(output[:length], 118)
    with pytest.raises(LookError, match="did not come to its end"):
        read_facts(output + b"x\0", 118)


def test_its_text_is_short_and_says_what_it_runs() -> None:
    text = look_at(WANTED)
    assert len(text.splitlines()) <= 80
    named = re.search(r"It runs nothing but builtins of bash and: (.+)", text)
    assert named
    assert sorted(named[1].split()) == sorted(ALLOWED)
    assert "pct " not in text


def test_a_path_that_is_not_there_is_none(machine: Machine) -> None:
    (machine.root / "mnt/pve/hdd/hermes").rmdir()
    assert machine.look().path(f"{DISK}/hermes") == PathFact("")


def test_the_look_of_a_fresh_node_is_whole(machine: Machine) -> None:
    shutil.rmtree(machine.root)
    machine.root.mkdir()
    machine.environment["STATE"] = ""
    assert machine.look() == Facts(
        node="gihyeon",
        pve_container="6.1.10",
        lxc_pve="6.0.5-3",
        paths=dict.fromkeys([*machine.look().paths], PathFact("")) | {"/": machine.look().path("/")},
    )


def test_equal_property_strings_wait_for_nothing() -> None:
    pending = {"mp0": "/srv/x,mp=data/,replicate=1", "memory": None}
    assert Container(118, {"mp0": "volume=/srv/x,mp=/data"}, pending).waiting() == ()
