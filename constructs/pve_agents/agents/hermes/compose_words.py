"""What of Docker Compose's words may stand in a sidecar.

Only what is known to stay in its container: who gets out of one is root in the LXC container. A key that a later Compose
brings is refused until somebody has looked at it.

https://docs.docker.com/reference/compose-file/services/
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pve_agents.compose_words import (
    OF_HEALTHCHECK,
    deploy_problems,
    dollar_problems,
    label_problems,
    logging_problems,
    unknown_keys,
)
from pve_agents.problems import Problem

__all__ = ["sidecar_problems"]

# The keys of a sidecar ------------------------------------------------------------------------------------------------

_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "annotations": "what reads them is the runtime, which is root in the LXC container; leave it out",
        "attach": "nobody looks at it as it starts; leave it out",
        "blkio_config": "it names devices, which the LXC container does not have; write mem_limit and cpus",
        "build": "an image is made elsewhere; write image",
        "cap_add": "more rights than a container has by default are not given here; leave it out",
        "cgroup": "no sidecar shares the control groups of the LXC container; leave it out",
        "cgroup_parent": "no sidecar shares the control groups of the LXC container; leave it out",
        "configs": "files come by volumes; write volumes",
        "container_name": "the name is made from the agent's and the sidecar's; leave it out",
        "cpu_rt_period": "the node gives no container real time; leave it out",
        "cpu_rt_runtime": "the node gives no container real time; leave it out",
        "credential_spec": "this is for another system; leave it out",
        "develop": "nothing is developed here; leave it out",
        "device_cgroup_rules": "devices come by their paths; write devices",
        "domainname": "write it behind hostname",
        "env_file": "secrets come by their names; write secrets",
        "extends": "no other file is read; write the keys out",
        "external_links": "a container of somebody else's is not reached by a link; leave it out",
        "gpus": "a GPU comes by the paths of its devices, such as /dev/dri/renderD128; write devices",
        "ipc": "no sidecar shares memory with another container; leave it out",
        "isolation": "this is for another system; leave it out",
        "label_file": "no file of the LXC container is read for it; write labels",
        "links": "each service has its name in the network; leave it out",
        "mac_address": "Docker gives each container its own; leave it out",
        "models": "a model is asked under settings.providers; leave it out",
        "network_mode": "a sidecar is in the network that Hermes' own network_mode says; leave it out",
        "oom_kill_disable": "one that has taken all memory must be ended; write mem_limit",
        "oom_score_adj": "the LXC container may not lower it; write mem_limit",
        "pid": "no sidecar sees the processes of another container; leave it out",
        "post_start": "a command in a running container may be privileged, and so root in the LXC container; leave it out",
        "pre_stop": "a command in a running container may be privileged, and so root in the LXC container; leave it out",
        "privileged": "who is privileged is root in the LXC container; leave it out",
        "profiles": "a sidecar always runs; leave it out",
        "provider": "a provider is a program that runs as root in the LXC container; leave it out, and write image",
        "runtime": "there is one runtime; leave it out",
        "scale": "each sidecar is there once; write another one",
        "security_opt": "the guards of a container stay on; leave it out",
        "storage_opt": "the disk is the LXC container's; leave it out",
        "sysctls": "the kernel is the node's; leave it out",
        "use_api_socket": "who speaks to Docker is root in the LXC container; leave it out",
        "userns_mode": "ids stay as Docker has them; leave it out",
        "uts": "a sidecar has its own host name; leave it out",
        "volumes_from": "volumes are written out; write volumes",
    }
)

_CHECKED = (
    *("image", "command", "environment", "volumes", "devices", "networks", "ports", "depends_on", "restart"),
    *("healthcheck", "secrets"),
)
# What a sidecar may say of itself: its own process, user, files and share of the machine.
_PASSED_ON = (
    *("cap_drop", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "deploy"),
    *("dns", "dns_opt", "dns_search", "entrypoint", "expose", "extra_hosts", "group_add", "hostname", "init", "labels"),
    *("logging", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "pids_limit", "platform"),
    *("pull_policy", "read_only", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty"),
    *("ulimits", "user", "working_dir"),
)


def sidecar_problems(sidecar: Mapping[object, object]) -> Iterator[Problem]:
    """Find the words of Compose's that a sidecar may not have.

    Args:
        sidecar: What is stated of it, not checked yet.
    """
    for name in sidecar:
        if reason := _REFUSED.get(str(name)):
            yield Problem((str(name),), reason, sidecar[name])
    known = {name: value for name, value in sidecar.items() if name not in _REFUSED}
    yield from unknown_keys(known, (), (*_CHECKED, *_PASSED_ON), "a sidecar")
    yield from unknown_keys(known.get("healthcheck"), ("healthcheck",), OF_HEALTHCHECK, "a healthcheck")
    yield from deploy_problems(known.get("deploy"), "sidecar")
    yield from logging_problems(known.get("logging"))
    yield from label_problems(known.get("labels"), ("labels",))
    # What is said of a variable is said with it, and a secret is a name.
    yield from dollar_problems({key: it for key, it in known.items() if key not in {"environment", "secrets"}})
