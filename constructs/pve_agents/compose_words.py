"""Words of Docker Compose's that every kind judges in the same way, and its dollar sign.

Only what is known to stay in its container: who gets out of one is root in the LXC container. A key that a later Compose
brings is refused until somebody has looked at it.

https://docs.docker.com/reference/compose-file/
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from pve_agents.problems import Key, Problem, likeliest
from pve_agents.types import shown

__all__ = [
    "OF_HEALTHCHECK",
    "deploy_problems",
    "dollar_problems",
    "label_problems",
    "logging_problems",
    "network_problems",
    "unknown_keys",
    "variable_problem",
    "with_signs_doubled",
]

OF_HEALTHCHECK = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
"""Keys of a healthcheck."""

_OF_RESOURCES = ("cpus", "memory", "pids")
# The others speak to a socket or an address, as root.
_LOG_DRIVERS = ("json-file", "local", "none")
_FOREIGN_LABELS = ("com.docker.", "pve-agents.")


def unknown_keys(values: object, place: Key, known: Iterable[str], what: str) -> Iterator[Problem]:
    """Find the keys that nobody has looked at yet.

    Args:
        values: A mapping; what is none has no keys.
        place: Where it stands.
        known: The keys that are.
        what: What it is, with its article.
    """
    for name in values if isinstance(values, Mapping) else ():
        if name in known:
            continue
        close = likeliest(str(name).lower(), known)
        remedy = f"did you mean {close}?" if close else f"leave it out, or write one of {', '.join(known)}"
        yield Problem((*place, str(name)), f"{what} has no such key here; {remedy}")


def deploy_problems(deploy: object, what: str) -> Iterator[Problem]:
    """Find what a service's ``deploy`` may not have; ``what`` the service is."""
    yield from unknown_keys(deploy, ("deploy",), ("resources",), f"deploy of a {what}")
    resources = deploy.get("resources") if isinstance(deploy, Mapping) else None
    yield from unknown_keys(resources, ("deploy", "resources"), ("limits", "reservations"), "resources")
    for name, part in resources.items() if isinstance(resources, Mapping) else ():
        if isinstance(part, Mapping) and "devices" in part:
            yield Problem(
                ("deploy", "resources", str(name), "devices"),
                f"a GPU comes by the paths of its devices, such as /dev/dri/renderD128; write devices of the {what}",
            )
            part = {key: it for key, it in part.items() if key != "devices"}  # noqa: PLW2901
        yield from unknown_keys(part, ("deploy", "resources", str(name)), _OF_RESOURCES, str(name))


def logging_problems(logging: object) -> Iterator[Problem]:
    """Find what a service's ``logging`` may not have."""
    yield from unknown_keys(logging, ("logging",), ("driver", "options"), "logging")
    driver = logging.get("driver", _LOG_DRIVERS[0]) if isinstance(logging, Mapping) else _LOG_DRIVERS[0]
    if driver not in _LOG_DRIVERS:
        yield Problem(
            ("logging", "driver"), f"{shown(driver)} takes the log elsewhere; write {', '.join(_LOG_DRIVERS)}", driver
        )


def label_problems(labels: object, place: Key) -> Iterator[Problem]:
    """Find labels, at this place, that belong to others."""
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
    yield from unknown_keys(known, (), _OF_NETWORK, "a network")
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
    yield from unknown_keys(ipam, ("ipam",), _OF_IPAM, "ipam")
    if isinstance(ipam, Mapping) and ipam.get("driver", "default") != "default":
        sentence = f"{shown(ipam['driver'])} is no driver that Docker brings; write default, or leave it out"
        yield Problem(("ipam", "driver"), sentence)
    subnets = ipam.get("config") if isinstance(ipam, Mapping) else None
    for i, subnet in enumerate(subnets if isinstance(subnets, list | tuple) else ()):
        yield from unknown_keys(subnet, ("ipam", "config", i), _OF_SUBNET, "a subnet")
    yield from label_problems(known.get("labels"), ("labels",))
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
