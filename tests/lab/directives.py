"""Directives of systemd's sandbox, each by itself in an unprivileged container: whether it does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.lab.container import Container
from tests.lab.sandbox import GATEWAY
from tests.lab.services import LITELLM_PORT

ROOT, AGENT = "0", "10000"


class Trial(NamedTuple):
    """A directive, and what succeeds only where it has an effect."""

    directive: str
    proof: str
    user: str = AGENT


def _lacks(capability: int) -> str:
    return f"c=$(awk '/CapBnd/{{print $2}}' /proc/self/status); [ $((16#$c >> {capability} & 1)) = 0 ]"


def _says(name: str, value: str) -> str:
    return f"grep -qE '^{name}:\\s*{value}$' /proc/self/status"


def _limit(old: str, new: str, value: str) -> str:
    """Of either version of control groups."""
    v1, v2 = "$(awk -F: '$2 == \"{0}\" {{print $3}}' /proc/self/cgroup)", "$(sed -n 's/^0:://p' /proc/self/cgroup)"
    controller = old.partition("/")[0].rpartition(",")[2]
    place = v1.format(old.partition("/")[0])
    file = old.partition("/")[2]
    return (
        f"grep -qx '{value}' /sys/fs/cgroup/{controller}{place}/{file} 2>/dev/null"
        f" || grep -q '^{value}' /sys/fs/cgroup{v2}/{new} 2>/dev/null"
    )


_CONNECT = f"python3 -c 'import socket; socket.create_connection((\"{GATEWAY}\", {LITELLM_PORT}), 3)'"
TRIALS = (
    Trial("NoNewPrivileges=true", _says("NoNewPrivs", "1")),
    Trial("CapabilityBoundingSet=", _says("CapBnd", "0+")),
    Trial("ProtectSystem=strict", "! touch /var/tmp/trial"),
    Trial("ProtectHome=true", "! ls /home"),
    Trial("PrivateTmp=true", "[ ! -e /tmp/of-the-container ]"),
    Trial("PrivateDevices=true", "[ ! -e /dev/console ]"),
    Trial("PrivateUsers=true", "[ $(awk 'NR == 1 {print $3}' /proc/self/uid_map) = 1 ]"),
    Trial("PrivateIPC=true", '[ "$(readlink /proc/self/ns/ipc)" != "$(cat /run/trial-ipc)" ]'),
    Trial("PrivateNetwork=true", "! grep -q eth0 /proc/net/dev"),
    Trial("ProtectKernelTunables=true", "! sh -c 'echo 64 >/proc/sys/net/ipv4/ip_default_ttl'", ROOT),
    Trial("ProtectKernelModules=true", _lacks(16), ROOT),
    Trial("ProtectKernelLogs=true", _lacks(34), ROOT),
    Trial("ProtectControlGroups=true", "! mkdir /sys/fs/cgroup/systemd/trial && ! mkdir /sys/fs/cgroup/trial", ROOT),
    Trial("ProtectClock=true", _lacks(25), ROOT),
    Trial("ProtectHostname=true", '! hostname "$(hostname)"', ROOT),
    Trial("ProtectProc=invisible", "[ ! -e /proc/1 ]"),
    Trial("ProcSubset=pid", "[ ! -e /proc/meminfo ]"),
    Trial("RestrictNamespaces=true", "! unshare --user true"),
    Trial("RestrictRealtime=true", "! python3 -c 'import os; os.sched_setscheduler(0, 1, os.sched_param(1))'", ROOT),
    Trial("RestrictSUIDSGID=true", "cp /bin/true /tmp/trial-$$ && ! chmod u+s /tmp/trial-$$"),
    Trial(
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "! python3 -c 'import socket; socket.socket(38, 5)'",
    ),
    Trial("LockPersonality=true", "! setarch -R true"),
    Trial("MemoryDenyWriteExecute=true", "! python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'"),
    Trial("SystemCallArchitectures=native", _says("Seccomp", "2")),
    Trial("SystemCallFilter=@system-service", _says("Seccomp", "2")),
    Trial("SystemCallFilter=~@privileged @resources", "! nice -n -5 true && ! python3 -c 'import os; os.nice(1)'"),
    Trial("IPAddressDeny=any", f"! {_CONNECT}"),
    Trial("MemoryMax=1G", _limit("memory/memory.limit_in_bytes", "memory.max", str(2**30))),
    Trial("CPUQuota=50%", _limit("cpu,cpuacct/cpu.cfs_quota_us", "cpu.max", "50000")),
    Trial("TasksMax=500", _limit("pids/pids.max", "pids.max", "500")),
    Trial("BindPaths=/opt/hermes-data:/opt/data", "[ -d /opt/data/sessions ]"),
    Trial("TemporaryFileSystem=/mnt", "grep -q ' /mnt tmpfs' /proc/self/mounts"),
    Trial("NoExecPaths=/mnt", "! /mnt/trial"),
)


def tried(container: Container) -> Iterator[tuple[Trial, str]]:
    """Yield each trial with a word for what came of it."""
    prepare = "touch /tmp/of-the-container; readlink /proc/self/ns/ipc >/run/trial-ipc; cp /bin/true /mnt/trial; rm -rf /var/tmp/trial"
    container.run("sh", "-c", prepare)
    for trial in TRIALS:
        without, of_it = (
            _holds(container, trial, [it]) if it else _holds(container, trial, []) for it in ("", trial.directive)
        )
        if of_it is None:
            word = "nothing starts"
        elif not of_it:
            word = "no effect"
        else:
            word = "so without it" if without else "works"
        yield trial, word
    container.run("sh", "-c", "rm -f /tmp/of-the-container /run/trial-ipc /mnt/trial /tmp/trial-*")


def _holds(container: Container, trial: Trial, directives: list[str]) -> bool | None:
    """Tell whether the proof succeeds; none where not even `true` does."""
    properties = [word for it in (f"User={trial.user}", *directives) for word in ("-p", it)]
    run = ("systemd-run", "--quiet", "--collect", "--wait", "--pipe", *properties, "--")
    if container.run(*run, "true", check=False).returncode:
        return None
    return container.run(*run, "bash", "-c", trial.proof, check=False).returncode == 0
