"""Keeps Terraform's hands off guests that belong to somebody else."""

from __future__ import annotations

from cdktf import Precondition
from constructs import Construct
from imports.proxmox.data_proxmox_virtual_environment_containers import DataProxmoxVirtualEnvironmentContainers
from imports.proxmox.data_proxmox_virtual_environment_vms import DataProxmoxVirtualEnvironmentVms

from pve_agents.types import NodeName, Vmid


class VmidGuard(Construct):
    """Refuses, in the plan, a VMID that another container or a virtual machine has.

    Without it the provider takes over whatever container has the VMID, and deletes it at destroy: it retries the failed
    creation, and on the retry "already exists" counts as success (bpg/proxmox, ``proxmox/nodes/containers``). On the
    VMID of a virtual machine it waits until its timeout.

    Our own container is known by its tag, not by its hostname, which may change in the settings.
    """

    preconditions: list[Precondition]
    """For the lifecycle of the container that is to have the VMID."""

    def __init__(
        self, scope: Construct, id_: str, *, name: str, node_name: NodeName, vmid: Vmid, tag: str, adopt: bool = False
    ) -> None:
        """Read the cluster's guests and state what must hold of them.

        Args:
            scope: The container's construct.
            id_: The construct id.
            name: The name of both data sources in their addresses.
            node_name: The node where the container is to be.
            vmid: The VMID to guard.
            tag: The tag that marks our own container.
            adopt: Whether a container without the tag may be taken over. Never lets a virtual machine through.
        """
        super().__init__(scope, id_)
        # No node_name: a VMID is unique in the whole cluster.
        containers = DataProxmoxVirtualEnvironmentContainers(self, "containers")
        containers.override_logical_id(name)
        machines = DataProxmoxVirtualEnvironmentVms(self, "vms")
        machines.override_logical_id(name)
        # The provider leaves `tags` null where a guest has none.
        tagged = "" if adopt else f' && try(contains(guest.tags, "{tag}"), false)'
        owners = f"{containers.fqn}.containers"
        self.preconditions = [
            Precondition(
                condition=(
                    f'${{alltrue([for guest in {owners} : guest.node_name == "{node_name}"{tagged} '
                    f"if guest.vm_id == {vmid}])}}"
                ),
                error_message=(
                    f"VMID {vmid} is taken by the container {_names(owners, vmid)}, which is not this stack's own on "
                    f'node {node_name}: nothing was changed. Choose another "vmid" or "node" in homelab.yaml, or set '
                    f'"adopt: true" there if that container on node {node_name} is to become this agent.'
                ),
            ),
            Precondition(
                condition=f"${{alltrue([for guest in {machines.fqn}.vms : guest.vm_id != {vmid}])}}",
                error_message=(
                    f"VMID {vmid} is taken by the virtual machine {_names(f'{machines.fqn}.vms', vmid)}: nothing was "
                    f'changed. Choose another "vmid" in homelab.yaml.'
                ),
            ),
        ]


def _names(guests: str, vmid: Vmid) -> str:
    """The guests with the VMID in words, as a Terraform expression."""
    words = '"\\"${guest.name}\\" on node ${guest.node_name}"'
    return f'${{join(", ", [for guest in {guests} : {words} if guest.vm_id == {vmid}])}}'
