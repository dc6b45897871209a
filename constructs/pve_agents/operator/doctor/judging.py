"""What the API's answers mean for a deploy: facts in, a finding out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pve_agents.findings import Outcome, failed, ok, parted, skipped, warning
from pve_agents.host.plan_container import at_least
from pve_agents.node_access import Access, NodeError
from pve_agents.node_console import OLDEST_VERSION
from pve_agents.node_stock import Datastore
from pve_agents.privileges import network_commands
from pve_agents.settings import Disk, Template
from pve_agents.vmid_holder import Holder
from pve_agents.volumes.wanted import AttachedVolume, NewVolume

__all__ = [
    "CORRECT",
    "judge_bridge",
    "judge_certificate",
    "judge_console",
    "judge_disk",
    "judge_download",
    "judge_endpoint",
    "judge_node",
    "judge_template",
    "judge_template_store",
    "judge_token",
    "judge_vmid",
    "judge_volumes",
]

CORRECT = "correct it in .env"

_GIB = 1024**3
# A volume there takes its whole size at once; elsewhere it grows with what is written.
_THICK = frozenset({"lvm", "iscsidirect"})
# Where a volume can be a directory.
_WITH_PATHS = frozenset({"btrfs", "cephfs", "cifs", "dir", "nfs"})
_MOST_NAMES = 6


def judge_endpoint(stated: Access | NodeError, problem: NodeError | None) -> Outcome:
    """Whether the API answers at all."""
    if isinstance(stated, NodeError):
        return skipped("the token has to be well first") if stated.about == "token" else _said(stated)
    if problem and problem.about == "endpoint":
        return _said(problem)
    return ok(stated.address)


def judge_certificate(access: Access, problem: NodeError | None) -> Outcome:
    """Whether its certificate is one that this machine trusts."""
    if not access.verified:
        return skipped("not verified, since PROXMOX_VE_INSECURE is set")
    return _said(problem) if problem and problem.about == "certificate" else ok("trusted by this machine")


def judge_token(stated: Access | NodeError, problem: NodeError | None) -> Outcome:
    """Whether the token is one that the API knows."""
    problem = stated if isinstance(stated, NodeError) else problem
    if problem is None:
        return ok(stated.token_id if isinstance(stated, Access) else "")
    return _said(problem) if problem.about == "token" else skipped(f"the {problem.about} has to be well first")


def judge_node(name: str, nodes: Mapping[str, bool]) -> Outcome:
    """Whether there is such a node, and it is on."""
    if name not in nodes:
        return failed(f"there is no node {name}; there is {_some(nodes)}", "correct node in homelab.yaml")
    if not nodes[name]:
        return failed(f"node {name} is offline", f"start {name}, and look at `pvecm status` on another node")
    return ok(name)


def judge_console(version: str) -> Outcome:
    """Whether the node is new enough to let a token open a console."""
    if not at_least(version, OLDEST_VERSION):
        return failed(
            f"Proxmox VE {version} opens no console for an API token, which {OLDEST_VERSION} does",
            "run `apt-get update && apt-get dist-upgrade` on the node, or write delivery: root",
        )
    # Their versions are shown to auditors alone; the first deploy says it in the same words.
    return ok(f"Proxmox VE {version}; it takes pve-container 6.1.3 and termproxy 2.0.3, too")


def judge_vmid(number: int, found: Holder) -> Outcome:
    """Whether the VMID is free, or our own container's."""
    if found.problem:
        return failed(*parted(found.problem, "choose another vmid in homelab.yaml"))
    return ok(f"{number} is free" if found.is_free else f"{number} is this agent's own container")


def judge_disk(node: str, wanted: Disk, datastores: Mapping[str, Datastore], *, is_new: bool) -> Outcome:
    """Whether the root disk's datastore is there and has the room."""
    name = wanted.datastore
    if problem := _unfit(node, name, "rootdir", "disk.datastore", datastores):
        return problem
    store, size = datastores[name], wanted.size_gib * _GIB
    has = f"{name} has {store.free / _GIB:.0f} GiB free"
    if is_new and store.free < size:
        remedy = f"make room on {name}, or write a smaller disk.size_gib or another disk.datastore in homelab.yaml"
        if store.kind in _THICK:
            return failed(f"{has}, and the disk takes {wanted.size_gib}", remedy)
        return warning(f"{has}, and the disk may grow to {wanted.size_gib}", remedy)
    return ok(has)


def judge_volumes(node: str, volumes: Sequence[AttachedVolume], datastores: Mapping[str, Datastore]) -> Outcome:
    """Whether the datastores of the volumes that the container is to own are there and may hold them."""
    for it in volumes:
        if not isinstance(it.source, NewVolume):
            continue
        name, key = it.source.datastore, f"mounts.{it.key}.datastore"
        if problem := _unfit(node, name, "rootdir", key, datastores):
            return problem
        if not it.source.size_gib and datastores[name].kind not in _WITH_PATHS:
            return failed(
                f"{it.key} is a directory, and {name} is of the type {datastores[name].kind}, which holds none",
                f"write kind: volume with a size_gib there, or a {key} of the type dir",
            )
    return ok(", ".join(f"{it.key} at {it.place}" for it in volumes))


def judge_template_store(node: str, name: str, datastores: Mapping[str, Datastore]) -> Outcome:
    """Whether the template's datastore is there and may hold one."""
    return _unfit(node, name, "vztmpl", "template.datastore", datastores) or ok(name)


def judge_template(node: str, template: Template, there: Collection[str]) -> Outcome:
    """Whether the template's file is in its datastore."""
    file = template.volume
    if file in there:
        return ok(f"{file} is there")
    remedy = f"put it there (`pveam available` on {node} lists Proxmox's own), or leave template.file_id out"
    return failed(f"{file} is not there; there is {_some(there)}", remedy)


def judge_download(node: str, template: Template, free: int, size: int, problem: str) -> Outcome:
    """Whether the node can download the template.

    Args:
        node: The node.
        template: The template.
        free: Bytes that its datastore has free.
        size: Bytes of the file; 0 if that is unknown.
        problem: Why the node gets nothing; empty if it does.
    """
    if problem:
        # A name server, a proxy, an address that is no more.
        remedy = f"try `curl -sSI {template.url}` on {node}; correct its name servers, its way out, or template.url"
        return failed(f"{node} gets nothing from {template.url} ({problem})", remedy)
    if size > free:
        remedy = f"make room on {template.datastore}, or write another template.datastore in homelab.yaml"
        return failed(f"{template.datastore} has {free >> 20} MiB free, and the template {size >> 20}", remedy)
    return ok(f"{template.file_name} can be downloaded ({size >> 20} MiB)" if size else template.file_name)


def judge_bridge(node: str, name: str, bridges: Collection[str], access: Access) -> Outcome:
    """Whether the bridge is there, and the token may use it: it is shown no other."""
    if name in bridges:
        return ok(name)
    lines = network_commands(name, access.user, access.token_id)
    remedy = (
        f"correct network.bridge in homelab.yaml; or, if `ip link show {name}` on {node} shows it, as root there:",
        *lines,
    )
    return failed(
        f"the token may use no bridge or vnet {name} on {node}; it may use {_some(bridges)}", "\n".join(remedy)
    )


def _unfit(node: str, name: str, content: str, setting: str, datastores: Mapping[str, Datastore]) -> Outcome | None:
    store = datastores.get(name)
    correct = f"correct {setting} in homelab.yaml"
    if store is None:
        return failed(f"{node} has no datastore {name}; there is {_some(datastores)}", correct)
    if not store.enabled:
        return failed(
            f"datastore {name} is disabled or not for {node}", f"{correct}, or enable it (Datacenter, Storage)"
        )
    if not store.active:
        return failed(f"datastore {name} is not active on {node}", f"look at `pvesm status` on {node}, or {correct}")
    if content not in store.content:
        mend = f"`pvesm set {name} --content {','.join(sorted({*store.content, content} - {'none'}))}`"
        held = ", ".join(sorted(store.content))
        return failed(f"datastore {name} holds {held}, not {content}", f"run {mend} on {node}, or {correct}")
    return None


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:_MOST_NAMES]
    return ", ".join(shown) + (" …" if len(names) > _MOST_NAMES else "") if shown else "none"


def _said(problem: NodeError) -> Outcome:
    return failed(*parted(str(problem), CORRECT))
