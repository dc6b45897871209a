"""What an API token must be allowed to do for an agent's token stack, and what gives it that."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pve_agents.node_api import SECONDS, Access, Node, NodeError, within
from pve_agents.volumes.wanted import Requirement

if TYPE_CHECKING:
    from pve_agents.settings import Agent, Homelab, Storage

CONTAINER = (
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)

CONSOLE = "VM.Console"
"""What it takes besides to deliver through the container's own console."""

_CONTAINER = "proxmox_virtual_environment_container"

NETWORK_ROLE, NETWORK = "AgentNetwork", "SDN.Use"

Held = Callable[[str], set[str]]
"""The privileges that the token has on a path."""


@dataclass(frozen=True)
class Wanted:
    """What a token stack makes, as far as privileges go."""

    node: str
    vmid: str
    rootfs_datastore: str
    template_datastore: str | None = None
    """Where the template is downloaded to; none when nothing is downloaded."""
    pool: str | None = None
    """The pool that the container joins, whose privileges then count as well."""
    stack: str | None = None
    mounts: tuple[Requirement, ...] = ()
    """What its mounts need besides."""
    alone: str = ""
    """The command that destroys its container and leaves its template."""
    console: bool = False
    """Whether the token opens the container's console."""

    @classmethod
    def by(cls, agent: Agent) -> Wanted:
        """What the stack of this agent makes."""
        return cls(
            mounts=tuple(dict.fromkeys(it for mount in agent.mounts.values() for it in mount.requirements())),
            alone=f"pipenv run agents down {agent.name}",
            stack=agent.name,
            node=agent.node,
            vmid=str(agent.vmid),
            rootfs_datastore=agent.disk.datastore,
            template_datastore=agent.template.datastore if agent.template.url else None,
            pool=agent.pool,
            console=agent.delivery == "console",
        )

    @classmethod
    def by_storage(cls, storage: Storage, stack: str) -> Wanted:
        """What the stack of the pet container makes."""
        paths = dict.fromkeys(f"/storage/{storage.datastore_of(name)}" for name in storage.volumes)
        return cls(
            alone=f"pipenv run agents target {stack} {_CONTAINER}.{stack} --destroy",
            stack=stack,
            node=storage.node,
            vmid=str(storage.vmid),
            rootfs_datastore=storage.datastore,
            template_datastore=storage.template.datastore if storage.template.url else None,
            pool=storage.pool,
            mounts=tuple(Requirement(path, ("Datastore.AllocateSpace",), "AgentRootfs") for path in paths),
        )

    @classmethod
    def by_all(cls, homelab: Homelab, stack: str) -> list[Wanted]:
        """What each stack of the token makes.

        Args:
            homelab: All settings.
            stack: Name of the stack with the pet container.
        """
        pets = [cls.by_storage(homelab.storage, stack)] if homelab.storage else []
        return [*pets, *map(cls.by, homelab.agents.values())]

    @property
    def options(self) -> dict[str, str]:
        """The same as options of ``scripts/check-token``."""
        values = {
            "stack": self.stack,
            "node": self.node,
            "vmid": self.vmid,
            "rootfs-datastore": self.rootfs_datastore,
            "template-datastore": self.template_datastore,
            "pool": self.pool,
            "mounts": " ".join(f"{it.path}={','.join((it.role, *it.privileges))}" for it in self.mounts) or None,
            "console": "yes" if self.console else None,
        }
        return {name: value for name, value in values.items() if value is not None}


def read_requirements(text: str) -> tuple[Requirement, ...]:
    """Read what :attr:`Wanted.options` says of mounts."""
    words = (word.partition("=") for word in text.split())
    found = ((path, *rest.split(",")) for path, _, rest in words)
    return tuple(Requirement(path, tuple(privileges), role) for path, role, *privileges in found)


@dataclass(frozen=True)
class Need:
    """All privileges wanted on a path, those lacking, and where and as which role to give them."""

    path: str
    privileges: tuple[str, ...]
    lacking: tuple[str, ...]
    grant_path: str
    role: str

    @property
    def sentence(self) -> str:
        """What is missing."""
        return f"{', '.join(self.lacking)} on {self.path}"

    def commands(self, user: str, token_id: str) -> tuple[str, ...]:
        """The commands that give it, for root on the node.

        An ACL replaces what its path inherits, so the role holds all that is wanted there. A privilege-separated token
        has only what its user has too.
        """
        to = f"--users {shlex.quote(user)} --tokens {shlex.quote(token_id)}"
        return (
            f"pveum role add {self.role} 2>/dev/null",
            f"pveum role modify {self.role} --append 1 --privs '{' '.join(self.privileges)}'",
            f"pveum acl modify {self.grant_path} --roles {self.role} {to}",
        )

    def mend(self, user: str, token_id: str) -> str:
        """What is missing, and the commands that give it."""
        return "\n  ".join(
            (
                f"token {token_id} lacks {self.sentence}; to mend it, as root on the node:",
                *self.commands(user, token_id),
            )
        )


def zone_commands(bridge: str) -> tuple[str, str]:
    """The lines with which a shell on the node finds the SDN zone of a bridge; of one that is no vnet, none."""
    vnet = f'{{[^{{}}]*"vnet":"{bridge}"[^{{}}]*}}'
    return (
        "vnets=$(pvesh get /cluster/sdn/vnets --output-format json)",
        f'zone=$(grep -o \'{vnet}\' <<<"$vnets" | grep -o \'"zone":"[^"]*\' | cut -d\'"\' -f4) || true',
    )


def network_path(bridge: str) -> str:
    """The path of a bridge, once its zone is found."""
    return f"/sdn/zones/${{zone:-localnetwork}}/{bridge}"


def network_commands(bridge: str, user: str, token_id: str) -> tuple[str, ...]:
    """The commands that let the token plug a container into a bridge."""
    acl = f"pveum acl modify {network_path(bridge)} --roles {NETWORK_ROLE}"
    return (
        *zone_commands(bridge),
        f"pveum role add {NETWORK_ROLE} --privs {NETWORK} 2>/dev/null",
        f"{acl} --tokens {shlex.quote(token_id)}",
        f"{acl} --users {shlex.quote(user)}  # unless this user may do it already",
    )


def lacking(wanted: Wanted, held: Held) -> list[Need]:
    """What the token lacks, path by path.

    SDN.Use is left out on purpose: the zone of a bridge cannot be known from here, and the 403 of Proxmox VE names
    it before anything is created.
    """
    needs = [_container(wanted, held)]
    rootfs, template = wanted.rootfs_datastore, wanted.template_datastore
    if template == rootfs:
        needs.append(_storage(held, rootfs, ("Datastore.AllocateSpace", "Datastore.AllocateTemplate"), "AgentStorage"))
    else:
        needs.append(_storage(held, rootfs, ("Datastore.AllocateSpace",), "AgentRootfs"))
        if template:
            needs.append(_storage(held, template, ("Datastore.AllocateTemplate", "Datastore.Audit"), "AgentTemplate"))
    if template:
        needs.append(_download(held, wanted.node))
    # What the container itself needs on the same path, is asked for already.
    needs += [need for it in wanted.mounts if not _is_covered(need := _of_mount(it, held), needs)]
    return [need for need in needs if need.lacking]


def check(access: Access, wanted: Wanted, *, seconds: float = SECONDS) -> list[Need]:
    """Ask the node what the token lacks; nothing is changed.

    Raises:
        NodeError: The node could not be asked, or the VMID is taken by a guest that the token may not see.
    """

    def ask() -> list[Need]:
        node = Node(access, seconds=seconds)
        needs = lacking(wanted, node.privileges)
        # With privileges on a pool alone Terraform's guard would not see it, and the provider would take it for ours.
        blind = not needs and wanted.pool and "VM.Audit" not in node.privileges(f"/vms/{wanted.vmid}")
        if blind and not node.is_free(wanted.vmid):
            raise NodeError(
                f"VMID {wanted.vmid} is taken by a guest that token {access.token_id} may not see: choose another vmid, "
                "or give the token VM.Audit on /vms"
            )
        return needs

    return within(seconds, access, ask)


def why_keep_template(access: Access, wanted: Wanted, *, seconds: float = SECONDS) -> str:
    """Ask the node why the token cannot delete the file of a stack's template; empty if it can, or there is none.

    It takes Datastore.Allocate, which nothing else here does (PVE::API2::Storage::Content, delete_content). Without it a
    destroy of the whole stack ends with a 403 when the container is gone already.

    Raises:
        NodeError: The node could not be asked.
    """
    if wanted.template_datastore is None:
        return ""
    path = f"/storage/{wanted.template_datastore}"
    if "Datastore.Allocate" in within(seconds, access, lambda: Node(access, seconds=seconds).privileges(path)):
        return ""
    return (
        f"token {access.token_id} lacks Datastore.Allocate on {path}, without which the template's file cannot be deleted: "
        f"destroy the container alone, with `{wanted.alone}`"
    )


def accepted(access: Access, *, seconds: float = SECONDS) -> None:
    """Ask the node whether it knows the token.

    Raises:
        NodeError: It does not, or could not be asked.
    """
    within(seconds, access, lambda: Node(access, seconds=seconds).privileges("/"))


def _container(wanted: Wanted, held: Held) -> Need:
    """What the container itself takes, from its pool or from /vms."""
    path = f"/vms/{wanted.vmid}"
    privileges = held(path)
    # Granted on /vms and not on the container's own path: its destruction deletes the ACL there.
    grant_path = "/vms"
    if wanted.pool:
        path = grant_path = f"/pool/{wanted.pool}"
        privileges = privileges | held(path)
    wants = (*CONTAINER, CONSOLE) if wanted.console else CONTAINER
    return Need(path, wants, _without(wants, privileges), grant_path, "AgentContainer")


def _storage(held: Held, datastore: str, privileges: tuple[str, ...], role: str) -> Need:
    """What a datastore takes; Datastore.AllocateSpace lets a template be listed and used as Datastore.Audit does."""
    path = f"/storage/{datastore}"
    found = held(path)
    if "Datastore.AllocateSpace" in found:
        found = found | {"Datastore.Audit"}
    return Need(path, privileges, _without(privileges, found), path, role)


def _of_mount(requirement: Requirement, held: Held) -> Need:
    """What a mount takes."""
    path, privileges = requirement.path, requirement.privileges
    return Need(path, privileges, _without(privileges, held(path)), path, requirement.role)


def _is_covered(need: Need, needs: Iterable[Need]) -> bool:
    return any(
        need.path in (it.path, it.grant_path) or need.path.startswith(f"{it.grant_path}/")
        for it in needs
        if set(need.privileges) <= set(it.privileges)
    )


def _download(held: Held, name: str) -> Need:
    """What the download of a template takes of the node."""
    path, privileges = f"/nodes/{name}", ("Sys.AccessNetwork",)
    missing = _without(privileges, held(path))
    if missing and held("/") >= {"Sys.Audit", "Sys.Modify"}:
        missing = ()
    return Need(path, privileges, missing, path, "AgentDownload")


def _without(privileges: tuple[str, ...], held: set[str]) -> tuple[str, ...]:
    return tuple(privilege for privilege in privileges if privilege not in held)
