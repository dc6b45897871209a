"""Keeps Terraform's hands off guests that belong to somebody else."""

from __future__ import annotations

from cdktf import Postcondition, Precondition
from constructs import Construct
from imports.proxmox.data_proxmox_virtual_environment_containers import DataProxmoxVirtualEnvironmentContainers
from imports.proxmox.data_proxmox_virtual_environment_vms import DataProxmoxVirtualEnvironmentVms
from imports.proxmox.virtual_environment_container import VirtualEnvironmentContainer

from pve_agents.terraform import command
from pve_agents.types import Hostname, NodeName, Vmid


class VmidGuard(Construct):
    """Refuses, in the plan, a VMID that another container or a virtual machine has.

    Without it the provider takes over whatever container has the VMID, and deletes it at destroy: it retries the failed
    creation, and on the retry "already exists" counts as success (bpg/proxmox, ``proxmox/nodes/containers``). On the
    VMID of a virtual machine it waits until its timeout.

    Our own container is known by its tag, not by its hostname, which may change in the settings. The provider, where it
    has just made or changed ours, has given it both.
    """

    preconditions: list[Precondition]
    """For the lifecycle of the container that is to have the VMID: refuse in the plan."""

    postconditions: list[Postcondition]
    """Likewise: refuse, in the plan, a state that holds another guest; and refuse to go on when another container got
    the VMID between the plan and its apply."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        container: VirtualEnvironmentContainer,
        node_name: NodeName,
        vmid: Vmid,
        tag: str,
        hostname: Hostname,
        adopt: bool = False,
    ) -> None:
        """Read the cluster's guests and state what must hold of them.

        Args:
            scope: The container's construct.
            id_: The construct id.
            container: The container to guard; both data sources are named after it, ``<container>_vmid_guard``.
            node_name: The node where the container is to be.
            vmid: The VMID to guard.
            tag: The tag that marks our own container.
            hostname: What it is called when the provider is done.
            adopt: Whether a container without the tag may be taken over. Never lets a virtual machine through.
        """
        super().__init__(scope, id_)
        # No node_name: a VMID is unique in the whole cluster.
        own_name = container.friendly_unique_id
        name = f"{own_name}_vmid_guard"
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
                    f"VMID {vmid} is taken by the container {_names(owners, vmid)}, and this stack's own is the one on "
                    f"node {node_name} with the tag {tag}: nothing was changed. Choose another vmid in homelab.yaml; "
                    f"or, if that container is to be this agent, correct node there, or set adopt: true once."
                ),
            ),
            Precondition(
                condition=f"${{alltrue([for guest in {machines.fqn}.vms : guest.vm_id != {vmid}])}}",
                error_message=(
                    f"VMID {vmid} is taken by the virtual machine {_names(f'{machines.fqn}.vms', vmid)}: nothing was "
                    f"changed. Choose another vmid in homelab.yaml."
                ),
            ),
        ]
        forget = command(container, "state rm")
        called = 'try(self.initialization[0].hostname, "")'
        self.postconditions = [
            Postcondition(
                # In the plan of a change these are what the state holds: the provider sends to them whatever it says.
                condition=f'${{self.id == "{vmid}" && self.vm_id == {vmid} && self.node_name == "{node_name}"}}',
                error_message=(
                    f"the state holds guest ${{self.id}} of node ${{self.node_name}} for this agent, which is container "
                    f"{vmid} of node {node_name}: somebody has changed the state, and nothing was changed. Put back a "
                    f"copy of the state; or let Terraform forget that guest, and adopt the right one: {forget}, then "
                    f"set adopt: true once."
                ),
            ),
            Postcondition(
                condition=f'${{contains(self.tags, "{tag}") && {called} == "{hostname}"}}',
                error_message=(
                    f"VMID {vmid} belongs to the container ${{{called}}}, which the plan did not know, and the provider took "
                    f"that one for ours: it has started it if it was stopped, and may have set on it what the plan "
                    f"showed. It is in the state now; take it out before anything else: {forget}"
                ),
            ),
        ]


def _names(guests: str, vmid: Vmid) -> str:
    """The guests with the VMID in words, as a Terraform expression."""
    words = '"${guest.name} on node ${guest.node_name}"'
    return f'${{join(", ", [for guest in {guests} : {words} if guest.vm_id == {vmid}])}}'
