"""Which keys of a compose file are understood here, which are refused, and why.

A service stays in its Docker container: who gets out of one is root in the LXC container. What Compose itself ignores is
refused as well, for it would be believed to hold.

https://docs.docker.com/reference/compose-file/services/
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["CAPABILITIES", "NO_HOST", "OF_DEPLOY", "REFUSED", "SERVICE", "SYSCTLS", "TOP", "TOP_REFUSED"]

TOP = ("configs", "name", "networks", "secrets", "services", "version", "volumes")
"""Keys of a file."""

TOP_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "include": "one file is read; write what the others say into it",
        "models": "a model is asked at its endpoint; write its address and key into the service's environment",
    }
)

_TEXT, _LIST, _BOTH = (str,), (list,), (list, str)
_LIST_OR_MAP, _MAP, _FLAG, _NUMBER = (list, dict), (dict,), (bool, str), (int, float, str)
SERVICE: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("cap_add", "cap_drop", "configs", "devices", "expose", "group_add", "links"), _LIST),
        **dict.fromkeys(("ports", "profiles", "secrets", "security_opt", "volumes"), _LIST),
        **dict.fromkeys(("command", "dns", "dns_opt", "dns_search", "entrypoint", "env_file", "tmpfs"), _BOTH),
        **dict.fromkeys(("annotations", "environment", "extra_hosts", "labels", "sysctls"), _LIST_OR_MAP),
        **dict.fromkeys(("depends_on", "networks"), _LIST_OR_MAP),
        **dict.fromkeys(("deploy", "healthcheck", "logging", "ulimits"), _MAP),
        **dict.fromkeys(("attach", "init", "privileged", "read_only", "stdin_open", "tty"), _FLAG),
        **dict.fromkeys(("container_name", "cpuset", "domainname", "hostname", "image", "mac_address"), _TEXT),
        **dict.fromkeys(
            ("cgroup", "ipc", "network_mode", "pid", "platform", "pull_policy", "userns_mode", "uts"), _TEXT
        ),
        **dict.fromkeys(("restart", "stop_signal", "working_dir"), _TEXT),
        **dict.fromkeys(("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpus"), _NUMBER),
        **dict.fromkeys(("mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "pids_limit"), _NUMBER),
        **dict.fromkeys(("scale", "shm_size", "stop_grace_period", "user"), _NUMBER),
    }
)
"""Keys of a service that Compose acts on, each with what may stand there."""

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "annotations": "what reads them is the runtime, which is root in the LXC container; leave it out",
        "blkio_config": "it names devices, which the LXC container does not have; write mem_limit and cpus",
        "build": "what is built from a folder is another image each time, and nothing to go back to; build it elsewhere, "
        "push it to a registry, and write image",
        "cgroup_parent": "no service shares the control groups of the LXC container; leave it out",
        "cpu_rt_period": "the node gives no container real time; leave it out",
        "cpu_rt_runtime": "the node gives no container real time; leave it out",
        "credential_spec": "this is for another system; leave it out",
        "develop": "`docker compose watch` alone reads it, which nobody runs here; leave it out",
        "device_cgroup_rules": "devices come by their paths; write devices",
        "extends": "one file is read; write the keys out, or share them by an anchor",
        "external_links": "a container of somebody else's is not reached by a link; leave it out",
        "gpus": "a GPU comes by the paths of its devices, such as /dev/dri/renderD128; write devices",
        "isolation": "this is for another system; leave it out",
        "label_file": "labels come with the file itself; write labels",
        "models": "a model is asked at its endpoint; write its address and key into environment",
        "oom_kill_disable": "one that has taken all memory must be ended; write mem_limit",
        "oom_score_adj": "the LXC container may not lower it; write mem_limit",
        "post_start": "a command in a running container may be privileged, and so root in the LXC container; leave it out",
        "pre_stop": "a command in a running container may be privileged, and so root in the LXC container; leave it out",
        "provider": "a provider is a program that runs as root in the LXC container; write image",
        "runtime": "there is one runtime; leave it out",
        "storage_opt": "the disk is the LXC container's; leave it out",
        "use_api_socket": "who speaks to Docker is root in the LXC container; leave it out",
        "volumes_from": "volumes are written out; write volumes",
    }
)
"""Keys of a service that are refused, each with the reason and what to write instead."""

NO_HOST: Mapping[str, str] = MappingProxyType(
    {
        "cgroup": "the control groups",
        "ipc": "the shared memory",
        "pid": "the processes",
        "userns_mode": "the users",
        "uts": "the host name",
    }
)
"""Keys that can hand a service what is the LXC container's, each with what that is."""

CAPABILITIES = frozenset(
    {
        # Docker's own defaults, and what a network of its own or its own memory needs.
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "IPC_LOCK", "NET_ADMIN", "SYS_NICE"),
    }
)
"""Rights that leave a service in its container."""

SYSCTLS = ("net.", "fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")
"""What of the kernel is each container's own."""

OF_DEPLOY = ("replicas", "resources", "restart_policy")
"""Of ``deploy``, what Compose acts on without Swarm."""
