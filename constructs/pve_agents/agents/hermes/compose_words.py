"""What of Docker Compose's words may stand here: the keys of a sidecar and of a network, and a dollar sign.

Only what is known to stay in its container: who gets out of one is root in the LXC container. A key that a later Compose
brings is refused until somebody has looked at it.

https://docs.docker.com/reference/compose-file/services/
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pve_agents.problems import Key, Problem, likeliest
from pve_agents.types import shown

__all__ = ["dollar_problems", "network_problems", "sidecar_problems", "variable_problem", "with_signs_doubled"]

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
_OF_HEALTHCHECK = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
_OF_RESOURCES = ("cpus", "memory", "pids")
# The others speak to a socket or an address, as root.
_LOG_DRIVERS = ("json-file", "local", "none")
_FOREIGN_LABELS = ("com.docker.", "pve-agents.")


def sidecar_problems(sidecar: Mapping[object, object]) -> Iterator[Problem]:
    """Find the words of Compose's that a sidecar may not have.

    Args:
        sidecar: What is stated of it, not checked yet.
    """
    for name in sidecar:
        if reason := _REFUSED.get(str(name)):
            yield Problem((str(name),), reason, sidecar[name])
    known = {name: value for name, value in sidecar.items() if name not in _REFUSED}
    yield from _unknown(known, (), (*_CHECKED, *_PASSED_ON), "a sidecar")
    yield from _unknown(known.get("healthcheck"), ("healthcheck",), _OF_HEALTHCHECK, "a healthcheck")
    yield from _deploy_problems(known.get("deploy"))
    yield from _logging_problems(known.get("logging"))
    yield from _label_problems(known.get("labels"), ("labels",))
    # What is said of a variable is said with it, and a secret is a name.
    yield from dollar_problems({key: it for key, it in known.items() if key not in {"environment", "secrets"}})


def _unknown(values: object, place: Key, known: Iterable[str], what: str) -> Iterator[Problem]:
    for name in values if isinstance(values, Mapping) else ():
        if name in known:
            continue
        close = likeliest(str(name).lower(), known)
        remedy = f"did you mean {close}?" if close else f"leave it out, or write one of {', '.join(known)}"
        yield Problem((*place, str(name)), f"{what} has no such key here; {remedy}")


def _deploy_problems(deploy: object) -> Iterator[Problem]:
    yield from _unknown(deploy, ("deploy",), ("resources",), "deploy of a sidecar")
    resources = deploy.get("resources") if isinstance(deploy, Mapping) else None
    yield from _unknown(resources, ("deploy", "resources"), ("limits", "reservations"), "resources")
    for name, part in resources.items() if isinstance(resources, Mapping) else ():
        if isinstance(part, Mapping) and "devices" in part:
            yield Problem(
                ("deploy", "resources", str(name), "devices"),
                "a GPU comes by the paths of its devices, such as /dev/dri/renderD128; write devices of the sidecar",
            )
            part = {key: it for key, it in part.items() if key != "devices"}  # noqa: PLW2901
        yield from _unknown(part, ("deploy", "resources", str(name)), _OF_RESOURCES, str(name))


def _logging_problems(logging: object) -> Iterator[Problem]:
    yield from _unknown(logging, ("logging",), ("driver", "options"), "logging")
    driver = logging.get("driver", _LOG_DRIVERS[0]) if isinstance(logging, Mapping) else _LOG_DRIVERS[0]
    if driver not in _LOG_DRIVERS:
        yield Problem(
            ("logging", "driver"), f"{shown(driver)} takes the log elsewhere; write {', '.join(_LOG_DRIVERS)}", driver
        )


def _label_problems(labels: object, place: Key) -> Iterator[Problem]:
    for label in labels if isinstance(labels, Mapping | list | tuple) else ():
        if isinstance(label, str) and label.startswith(_FOREIGN_LABELS):
            name = label.partition("=")[0]
            yield Problem((*place, name), "Docker and this project know their containers by it; leave it out")


# The keys of a network ------------------------------------------------------------------------------------------------

_OF_NETWORK = ("driver", "driver_opts", "enable_ipv4", "enable_ipv6", "internal", "ipam", "labels")
_NETWORK_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "attachable": "nobody else joins it; leave it out",
        "external": "a network that is there already may be the LXC container's own; leave it out, and Compose makes one",
        "name": "the name is made from the agent's and the network's; leave it out",
    }
)
_OF_IPAM = ("config", "driver")
_OF_SUBNET = ("aux_addresses", "gateway", "ip_range", "subnet")


def network_problems(network: object) -> Iterator[Problem]:
    """Find the words of Compose's that a network may not have.

    Args:
        network: What is stated of it; nothing is a mapping without keys.
    """
    if network is None:
        return
    if not isinstance(network, Mapping):
        yield Problem((), f"{shown(network)} is not a mapping; write keys and values, or {{}}", network)
        return
    for name in network:
        if reason := _NETWORK_REFUSED.get(str(name)):
            yield Problem((str(name),), reason, network[name])
    known = {name: value for name, value in network.items() if name not in _NETWORK_REFUSED}
    yield from _unknown(known, (), _OF_NETWORK, "a network")
    if (driver := known.get("driver")) not in {None, "bridge"}:
        sentence = f"{shown(driver)} leads past the LXC container's own network; write bridge, or leave it out"
        yield Problem(("driver",), sentence, driver)
    options = known.get("driver_opts")
    for name in options if isinstance(options, Mapping) else ():
        if not str(name).startswith("com.docker.network.") or str(name) == "com.docker.network.bridge.name":
            sentence = (
                "this names a device of the network's; leave it out, or write another option of the bridge's, such as "
                "com.docker.network.driver.mtu"
            )
            yield Problem(("driver_opts", str(name)), sentence)
    ipam = known.get("ipam")
    yield from _unknown(ipam, ("ipam",), _OF_IPAM, "ipam")
    if isinstance(ipam, Mapping) and ipam.get("driver", "default") != "default":
        sentence = f"{shown(ipam['driver'])} is no driver that Docker brings; write default, or leave it out"
        yield Problem(("ipam", "driver"), sentence)
    subnets = ipam.get("config") if isinstance(ipam, Mapping) else None
    for i, subnet in enumerate(subnets if isinstance(subnets, list | tuple) else ()):
        yield from _unknown(subnet, ("ipam", "config", i), _OF_SUBNET, "a subnet")
    yield from _label_problems(known.get("labels"), ("labels",))
    yield from dollar_problems(known)


# Dollars --------------------------------------------------------------------------------------------------------------

_SIGN = re.compile(r"\$\$|\$(?P<variable>\{|[^\W\d])?")


def dollar_problems(value: object, key: Key = ()) -> Iterator[Problem]:
    """Find the variables of Compose's, of which there are none here; ``$$`` is the sign itself, as is a lone one.

    Args:
        value: What is in the words of Compose.
        key: Where it stands.
    """
    if isinstance(value, Mapping):
        for name, it in value.items():
            yield from dollar_problems(it, (*key, name))
    elif isinstance(value, list | tuple):
        for i, it in enumerate(value):
            yield from dollar_problems(it, (*key, i))
    elif isinstance(value, str) and (sentence := variable_problem(value)):
        yield Problem(key, sentence, value)


def _has_variable(text: str) -> bool:
    return any(sign["variable"] for sign in _SIGN.finditer(text))


def variable_problem(text: str) -> str | None:
    """Return what is wrong with a text in which Compose would put a variable's value; none where it has no such thing."""
    if not _has_variable(text):
        return None
    return (
        f"{shown(text)} has a variable of Compose's, which has none here; write $$ for the sign itself, "
        f"so {shown(with_signs_doubled(text))}"
    )


def with_signs_doubled(text: str) -> str:
    """Return a text of Compose's in which each dollar sign is two: older versions of it refuse a lone one."""
    return _SIGN.sub(lambda sign: f"$${sign['variable'] or ''}", text)
