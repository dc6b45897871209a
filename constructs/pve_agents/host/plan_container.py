"""Our container: whose it is, its mounts, devices and features, and when it has to start anew."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from pve_agents.host.commands import Command, Guard, Plan, refused
from pve_agents.host.facts import Container, Facts
from pve_agents.host.plan_directories import link_on_the_way
from pve_agents.host.properties import place_of, same, source_of, with_options
from pve_agents.host.wanted import Attached, Wanted
from pve_agents.host.words import quoted

__all__ = [
    "STEP",
    "at_least",
    "carries_tag",
    "guards",
    "plan_config",
    "reboot",
    "reboot_words",
    "too_new",
    "unchangeable",
    "why_not_ours",
]

STEP = "container-config"

_NEWER = {"keepattrs": "6.1.2", "idmap": "6.1.6"}
"""Mount options, and the version of pve-container that knows them."""


def why_not_ours(wanted: Wanted, facts: Facts) -> str:
    """Why the container of that VMID is not the one that the settings name and that carries our tag; empty if it is."""
    vmid, container = wanted.vmid, facts.containers.get(wanted.vmid)
    if facts.node != wanted.node:
        return f"this is node {facts.node}, and container {vmid} belongs to node {wanted.node}"
    if container is not None:
        return _why_another(wanted, container) or _why_unfit(wanted, facts, container)
    for place in facts.elsewhere:
        node, _, folder = place.partition("/")
        if folder == "qemu-server":
            return f"{vmid} is a virtual machine, not our container: give the agent another vmid"
        return f"container {vmid} is on node {node}, not on {wanted.node}: correct `node` in the settings"
    return f"there is no container {vmid}: run `pipenv run agents up {wanted.agent}` first"


def _why_another(wanted: Wanted, container: Container) -> str:
    config, vmid = container.configured, wanted.vmid
    # Until then it has no name.
    if config.get("lock") == "create":
        return f"container {vmid} is still being created: run this again after that"
    hostname = config.get("hostname", "")
    if hostname != wanted.hostname:
        return f"container {vmid} is called {quoted(hostname)}, not {wanted.hostname}: it is somebody else's"
    if not carries_tag(wanted, container):
        return (
            f"container {vmid} does not carry the tag {wanted.tag}: it is somebody else's, or "
            f"`pipenv run agents up {wanted.agent}` has to give it back to it"
        )
    return ""


def _why_unfit(wanted: Wanted, facts: Facts, container: Container) -> str:
    config, vmid = container.configured, wanted.vmid
    if config.get("template", "0") != "0":
        return f"container {vmid} is a template"
    if config.get("unprivileged", "0") != "1":
        return f"container {vmid} is privileged: its root would be the host's root"
    if vmid in facts.ha:
        return f"container {vmid} is managed by HA, but its mounts tie it to {wanted.node}: run `ha-manager remove ct:{vmid}`"
    return ""


def carries_tag(wanted: Wanted, container: Container) -> bool:
    """Whether a container is marked as the agent's own."""
    return wanted.tag in re.split(r"[;, ]", container.configured.get("tags", ""))


def guards(wanted: Wanted) -> tuple[Guard, ...]:
    """What must still hold of node and container when root acts."""
    if wanted.by_console:
        # Proxmox VE gives a container the first label of its name.
        name = wanted.hostname.partition(".")[0]
        return (Guard(f"${{HOSTNAME%%.*}} = {shlex.quote(name)}", f"this container is not called {name}"),)
    config = shlex.quote(f"/etc/pve/nodes/{wanted.node}/lxc/{wanted.vmid}.conf")
    return (
        Guard(f"${{HOSTNAME%%.*}} = {shlex.quote(wanted.node)}", f"this is not node {wanted.node}"),
        Guard(
            f"$(<{config}) =~ (^|$'\\n')hostname:\\ {shlex.quote(wanted.hostname)}($|$'\\n')",
            f"container {wanted.vmid} is not called {wanted.hostname} any more",
        ),
    )


def plan_config(wanted: Wanted, facts: Facts) -> Plan:
    """Give our container its mounts, devices and features; restart it if what it runs with differs."""
    container = facts.containers[wanted.vmid]
    values = {it.key: it.value for it in wanted.attached}
    if wanted.features:
        values["features"] = with_options(container.configured.get("features", ""), wanted.features)
    changing = {key: value for key, value in values.items() if not same(container.configured.get(key, ""), value)}
    waiting = _waiting_after(container, changing)
    problems = [
        *_problems(wanted, facts, container),
        *(unchangeable(container, changing) if changing or waiting else ()),
    ]
    if problems:
        return refused(*problems)
    plan = Plan(guards=guards(wanted))
    if changing:
        options = [word for key, value in changing.items() for word in (f"--{key}", value)]
        was = (f"{key} is {container.configured.get(key) or 'not there'}" for key in changing)
        # With the digest, a change that somebody else has made since the look ends this one.
        words = ("pct", "set", str(wanted.vmid), *options, "--digest", facts.digest)
        plan += Plan((Command(STEP, words, "; ".join(was)),))
    return plan + reboot(wanted, facts, waiting)


def reboot(wanted: Wanted, facts: Facts, waiting: tuple[str, ...], step: str = STEP) -> Plan:
    """Restart the container if something of ours waits for a start."""
    if facts.state != "running":
        note = f"container {wanted.vmid} is {facts.state}: its next start uses all this"
        return Plan(notes=(note,) if waiting else ())
    if not waiting:
        # Whoever set the rest knows when. Where that was a deploy whose reboot got lost, nobody else says so.
        others = facts.containers[wanted.vmid].others_waiting()
        left = f"{', '.join(others)} waits for a start: run `{shlex.join(reboot_words(wanted))}` on {wanted.node}"
        return Plan(left=(left,) if others else ())
    reason = f"the running container gets its {', '.join(waiting)} only at a start"
    return Plan((Command(step, reboot_words(wanted), reason),))


def reboot_words(wanted: Wanted) -> tuple[str, ...]:
    """The command that restarts the agent's container."""
    # By itself Proxmox VE kills after 60 seconds, and an agent that dies in the middle of a write may lose its memory.
    return ("pct", "reboot", str(wanted.vmid), "--timeout", str(wanted.stop_seconds))


def _waiting_after(container: Container, changing: dict[str, str]) -> tuple[str, ...]:
    # New mounts and devices are plugged into the running container; everything else waits for its next start.
    stays = [key for key in container.waiting() if key not in changing]
    late = [
        key
        for key, value in changing.items()
        if (key == "features" or key in container.running) and not same(value, container.running.get(key, ""))
    ]
    return tuple(sorted({*stays, *late}))


def _problems(wanted: Wanted, facts: Facts, container: Container) -> Iterator[str]:
    for it in wanted.attached:
        yield from _source_problems(it, wanted, facts)
        yield from _slot_problems(it, wanted, container)
    for volume in wanted.volumes:
        if place_of(container.configured.get(volume.key, "")) != volume.place:
            yield (
                f"{volume.key} at {volume.place} is missing, a volume that the API token attaches: run "
                f"`pipenv run agents up {wanted.agent}`"
            )


def _source_problems(it: Attached, wanted: Wanted, facts: Facts) -> Iterator[str]:
    found = facts.path(it.source)
    is_made = any(directory.path == it.source for directory in wanted.directories)
    if link := link_on_the_way(it.source, facts):
        yield f"{it.key}: {link} is a symbolic link, and Proxmox VE mounts no path with one"
    elif not it.place:
        if found.kind != "character special file":
            yield f"{it.key}: {it.source} is no character device of this node"
    elif found.kind != "directory" and not (is_made and not found.kind):
        yield f"{it.key}: host directory {it.source} does not exist: run `mkdir {it.source}` on {wanted.node} first"
    yield from too_new(it, facts)


def too_new(it: Attached, facts: Facts) -> Iterator[str]:
    """Why this node is too old for an option of a mount."""
    for option, version in _NEWER.items():
        if facts.sees_paths and it.options.get(option, "0") != "0" and not at_least(facts.pve_container, version):
            yield (
                f"{it.key}: {option} needs pve-container {version} or newer; this node has "
                f"{facts.pve_container or 'an unknown one'}"
            )


def at_least(version: str, wanted: str) -> bool:
    """Whether a package of Proxmox VE's is of a version, or newer."""

    def numbers(text: str) -> list[int]:
        return [int("".join(filter(str.isdigit, part)) or 0) for part in re.split("[.-]", text)]

    return bool(version) and numbers(version) >= numbers(wanted)


def _slot_problems(it: Attached, wanted: Wanted, container: Container) -> Iterator[str]:
    """A key belongs to us when it is free or holds our own path; nobody else may sit at our place in the container."""
    has = container.configured.get(it.key, "")
    if has and source_of(has) != it.source:
        yield f"{it.key} is taken: it holds {quoted(has)}, and we want {it.value!r}. Choose another key in the settings"
    keys = {other.key for other in wanted.mounts}
    for key, value in container.configured.items():
        if it.place and key not in keys and re.fullmatch(r"mp\d+", key) and place_of(value) == it.place:
            yield f"{it.place} is taken: {key} holds {quoted(value)}, and we want {it.key} {it.value!r} there"


def unchangeable(container: Container, changing: Iterable[str]) -> Iterator[str]:
    """Why Proxmox VE would refuse to change these keys."""
    config, vmid = container.configured, container.vmid
    if lock := config.get("lock"):
        yield (
            f"container {vmid} is locked (lock: {quoted(lock)}): wait until that task ends, and after a crash run "
            f"`pct unlock {vmid}`"
        )
    if config.get("protection", "0") == "1" and any(key.startswith("mp") for key in changing):
        yield (
            f"container {vmid} is protected (protection: 1), and Proxmox VE then refuses every change of a mount: run "
            f"`pct set {vmid} --protection 0`, then this again, then `pct set {vmid} --protection 1`"
        )
