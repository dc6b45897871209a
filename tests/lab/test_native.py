"""Hermes without Docker, in a real container of its own, beside the one with Docker.

The cases share one agent and leave it as they found it; they run in this order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab.lab import Lab
from tests.lab.native import NAME, UNIT, VMID, NativeAgent

pytestmark = pytest.mark.lab

STEPS = 9


@pytest.fixture(scope="module")
def agent(lab: Lab) -> Iterator[NativeAgent]:
    agent = NativeAgent(lab)
    agent.configure()
    began = time.monotonic()
    lab.project.apply(stack=NAME)
    agent.phases.create = lab.node.pve.made_within[VMID]
    said = lab.project.apply(stack=f"{NAME}-root", ok=None)
    agent.take_steps(said.said, began)
    if "first answer … ok" not in said.said:
        journal = agent.container.run("journalctl", "-u", UNIT, "-n", "60", "--no-pager", check=False).stdout
        status = agent.container.run("systemctl", "status", UNIT, "--no-pager", check=False).stdout
        pytest.fail(f"{said.said}\n{status}\n{journal}")
    yield agent
    lab.project.destroy(stack=f"{NAME}-root")
    lab.node.grant("Datastore.Allocate", "/storage/local")
    lab.project.destroy(stack=NAME)
    lab.configure()


# --- it answers


def test_it_answers_ping_through_litellm(agent: NativeAgent) -> None:
    assert agent.chat("ping") == "pong"
    assert agent.verify().failed == {}
    print(agent.phases.steps, agent.phases.first, agent.phases.create)


DIRECTIVES = (
    "NoNewPrivileges=true",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=true",
    "ProtectHome=tmpfs",
    "PrivateTmp=true",
    "PrivateDevices=true",
    "PrivateUsers=true",
    "PrivateIPC=true",
    "PrivateNetwork=true",
    "ProtectKernelTunables=true",
    "ProtectKernelModules=true",
    "ProtectKernelLogs=true",
    "ProtectControlGroups=true",
    "ProtectClock=true",
    "ProtectHostname=true",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "RestrictNamespaces=true",
    "RestrictRealtime=true",
    "RestrictSUIDSGID=true",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "LockPersonality=true",
    "MemoryDenyWriteExecute=true",
    "RemoveIPC=true",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "UMask=0077",
    "DevicePolicy=closed",
    "IPAddressDeny=10.99.0.0/16",
    "MemoryMax=3G",
    "CPUQuota=200%",
    "TasksMax=500",
    "BindPaths=/opt/hermes-data:/opt/data",
    "TemporaryFileSystem=/mnt",
    "NoExecPaths=/mnt",
    "LogNamespace=trial",
)


def test_directives_one_by_one(agent: NativeAgent) -> None:
    for directive in DIRECTIVES:
        options = ("--quiet", "--wait", "--pipe", "-p", "User=10000", "-p", directive)
        ran = agent.container.run("systemd-run", *options, "--", "/bin/true", check=False)
        name, code = directive, ran.returncode
        print(f"DIRECTIVE {name}: {code} {ran.stderr.strip()[:150]}")
    score = agent.container.run("systemd-analyze", "security", "--no-pager", UNIT, check=False).stdout
    print(score)
