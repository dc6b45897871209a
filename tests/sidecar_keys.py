"""A value for every key of Compose's that is passed on for a sidecar as it stands."""

from __future__ import annotations

from typing import Any

EVERY_KEY: dict[str, Any] = {
    "cap_drop": ["ALL"],
    "cpu_count": 1,
    "cpu_percent": 50,
    "cpu_period": 100000,
    "cpu_quota": 50000,
    "cpu_shares": 512,
    "cpus": 0.5,
    "cpuset": "0",
    "deploy": {"resources": {"reservations": {"memory": "64m", "cpus": "0.1"}}},
    "dns": ["10.1.10.1"],
    "dns_opt": ["ndots:1"],
    "dns_search": ["home.arpa"],
    "entrypoint": ["/bin/sh"],
    "expose": ["80"],
    "extra_hosts": ["gate:10.1.10.1"],
    "group_add": ["44"],
    "hostname": "side",
    "init": True,
    "labels": {"mine": "1"},
    "logging": {"driver": "local", "options": {"max-size": "1m"}},
    "mem_limit": "256m",
    "mem_reservation": "128m",
    "mem_swappiness": 10,
    "memswap_limit": "512m",
    "pids_limit": 100,
    "platform": "linux/amd64",
    "pull_policy": "missing",
    "read_only": True,
    "shm_size": "64m",
    "stdin_open": True,
    "stop_grace_period": "30s",
    "stop_signal": "SIGINT",
    "tmpfs": ["/tmp:size=16m"],  # noqa: S108 - in the sidecar
    "tty": True,
    "ulimits": {"nofile": 1024},
    "user": "1000:1000",
    "working_dir": "/srv",
}
