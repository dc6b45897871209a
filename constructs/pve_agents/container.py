"""The container that an agent lives in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import jsii
from cdktf import ITerraformDependable, TerraformResource, TerraformResourceLifecycle
from constructs import Construct, IValidation
from imports.proxmox.virtual_environment_container import (
    VirtualEnvironmentContainer,
    VirtualEnvironmentContainerConsole,
    VirtualEnvironmentContainerCpu,
    VirtualEnvironmentContainerDisk,
    VirtualEnvironmentContainerFeatures,
    VirtualEnvironmentContainerInitialization,
    VirtualEnvironmentContainerInitializationDns,
    VirtualEnvironmentContainerInitializationIpConfig,
    VirtualEnvironmentContainerInitializationIpConfigIpv4,
    VirtualEnvironmentContainerInitializationUserAccount,
    VirtualEnvironmentContainerMemory,
    VirtualEnvironmentContainerNetworkInterface,
    VirtualEnvironmentContainerOperatingSystem,
    VirtualEnvironmentContainerStartup,
    VirtualEnvironmentContainerWaitForIp,
)

from pve_agents.guests import own_tag
from pve_agents.settings import Cpu, Disk, Dns, Memory, Network, Startup
from pve_agents.stopping import NODE_SECONDS, Stopping
from pve_agents.template import LxcTemplate
from pve_agents.terraform import address, literal
from pve_agents.token_check import TokenCheck
from pve_agents.types import Hostname, NodeName, Tag, Vmid
from pve_agents.vmid_guard import VmidGuard

NOT_KNOWN_YET = "not known yet: the container had no IPv4 address when Terraform last looked; deploy again"
STOPPED = "none: the container is stopped"

_INTERFACE = "eth0"

# What root may set, by the root stack or by hand, and what is no setting of ours: whoever set it meant it.
IGNORED = [
    # The root stack attaches these; without this line the next plan would replace the container.
    "mount_point",
    # The root stack sets keyctl; a token that tries to take it back gets 403.
    "features",
    # The root stack passes these on; the provider's request to take them back is empty, and fails.
    "device_passthrough",
    # Lines in the container's file on the node, which the provider would edit over SSH.
    "idmap",
    # Only root@pam may take it back.
    "hook_script_file_id",
    # Each would be taken back, and all but protection with a reboot.
    "environment_variables",
    "initialization[0].entrypoint",
    "console",
    "protection",
    # A template file that vanished from the datastore must not replace the container made from it.
    "operating_system",
    # Used at creation only, and not readable afterwards.
    "initialization[0].user_account",
]
"""What the resource of a container leaves as it is."""

# What Proxmox VE answers 403 to for every token, root's own included (pve-container, check_ct_modify_config_perm).
_ROOT_ONLY = {
    "device_passthrough": "devices",
    "hook_script_file_id": "a hook script",
    "idmap": "a user id mapping",
}
_ROOT_ONLY_FEATURES = ("keyctl", "fuse", "mknod", "mount")


class AgentContainer(Construct):
    """Creates an unprivileged container that Docker can run in, with all that an API token may set.

    What needs ``root@pam`` on the host (bind mounts, devices, ``keyctl`` and the other feature flags, a hook script, a
    user id mapping) is refused at synth: no API token may set it, whatever its role, so it belongs to the root stack.
    What the root stack sets there is left alone by this one: no plan of it ever undoes a mount.

    A virtual machine or another container with the same VMID is refused in the plan (``VmidGuard``).
    """

    resource: VirtualEnvironmentContainer
    """The L1, also ``.node.default_child``; its ``add_override`` reaches whatever has no argument here."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        node_name: NodeName,
        vmid: Vmid,
        hostname: Hostname,
        template: LxcTemplate,
        os_type: str = "debian",
        description: str = "",
        tags: Sequence[Tag] = (),
        cpu: Cpu | None = None,
        memory: Memory | None = None,
        disk: Disk | None = None,
        network: Network | None = None,
        dns: Dns | None = None,
        pool: str | None = None,
        ssh_public_keys: Sequence[str] = (),
        startup: Startup | None = None,
        start_on_boot: bool = True,
        started: bool = True,
        protect: bool = True,
        adopt: bool = False,
        root_console: bool = False,
        stopping: Stopping | None = None,
        timeout_create_seconds: int = 300,
        check: TokenCheck | None = None,
        depends_on: Sequence[ITerraformDependable] = (),
    ) -> None:
        """Create the container.

        Args:
            scope: The stack.
            id_: Also the name in the address, ``proxmox_virtual_environment_container.<id>``.
            node_name: The node to create it on. Changing it replaces the container.
            vmid: Its VMID, unique in the cluster. Changing it replaces the container.
            hostname: Its hostname.
            template: What it is created from. Later changes are ignored: a container is not re-made from a template.
            os_type: How Proxmox VE sets up the network and the hostname inside (``ostype`` of ``pct``).
            description: Shown in the web UI's notes, without blanks and blank lines at its start and its end.
            tags: Lower-case tags. One more, ``pve-agents-<id>``, marks the container as this stack's own.
            cpu: Cores and limit; 2 cores without a limit by default.
            memory: Memory and swap in MiB; 4096 and 512 by default.
            disk: Datastore and size in GiB of the root disk; 24 GiB on ``local-lvm`` by default. It can only grow.
            network: The interface ``eth0``; DHCP on ``intra01`` by default.
            dns: Name servers and search domain; the node's own where empty.
            pool: The resource pool to join. Changing it replaces the container.
            ssh_public_keys: Keys for root, set at creation only.
            startup: Order and delays of the node's boot.
            start_on_boot: Whether the node starts it at boot.
            started: Whether it should be running.
            protect: Whether Terraform refuses to destroy or replace it (``prevent_destroy``). Its root disk holds the
                agent's memory. This is not the ``protection`` flag of Proxmox VE, which would also refuse new mounts;
                who sets that one by hand keeps it.
            adopt: Whether to import the container that already has this VMID instead of creating one.
            root_console: Whether its console is a shell of its root's, for whoever holds ``VM.Console``, without a login. A
                container that has another one is rebooted for it. Left alone by default.
            stopping: How long what runs in it may take to stop; 180 seconds for the whole container by default. Where
                that is more than a node that shuts down waits by itself, ``startup`` says so unless it says ``down``.
            timeout_create_seconds: How long creating may take; the provider's own default is half an hour.
            check: What runs before it is created, and before it is destroyed.
            depends_on: What must be there before.
        """
        super().__init__(scope, id_)
        self._node_name = node_name
        self._vmid = vmid
        network = network or Network()
        dns = dns or Dns()
        disk = disk or Disk()
        cpu = cpu or Cpu()
        memory = memory or Memory()
        stopping = stopping or Stopping()
        self.resource = VirtualEnvironmentContainer(
            self,
            "Default",
            node_name=node_name,
            vm_id=vmid,
            description=literal(_settled(description)),
            tags=[],
            pool_id=pool,
            unprivileged=True,
            # Docker needs nesting, and it is the one feature flag that a token may set, at creation.
            features=VirtualEnvironmentContainerFeatures(nesting=True),
            start_on_boot=start_on_boot,
            started=started,
            cpu=VirtualEnvironmentContainerCpu(cores=cpu.cores, limit=cpu.limit),
            memory=VirtualEnvironmentContainerMemory(dedicated=memory.dedicated_mib, swap=memory.swap_mib),
            disk=VirtualEnvironmentContainerDisk(datastore_id=disk.datastore, size=disk.size_gib),
            network_interface=[
                VirtualEnvironmentContainerNetworkInterface(
                    name=_INTERFACE,
                    bridge=network.bridge,
                    firewall=network.firewall,
                    mac_address=network.mac_address,
                    mtu=network.mtu,
                    vlan_id=network.vlan,
                )
            ],
            initialization=VirtualEnvironmentContainerInitialization(
                hostname=hostname,
                dns=_dns(dns),
                ip_config=[
                    VirtualEnvironmentContainerInitializationIpConfig(
                        ipv4=VirtualEnvironmentContainerInitializationIpConfigIpv4(
                            address=network.address, gateway=network.gateway
                        )
                    )
                ],
                user_account=(
                    VirtualEnvironmentContainerInitializationUserAccount(keys=[literal(key) for key in ssh_public_keys])
                    if ssh_public_keys
                    else None
                ),
            ),
            operating_system=VirtualEnvironmentContainerOperatingSystem(
                template_file_id=template.file_id, type=os_type
            ),
            startup=_startup(startup, stopping),
            console=VirtualEnvironmentContainerConsole(type="shell") if root_console else None,
            # The output reads the address: without this, the provider may take an IPv6 one for enough.
            wait_for_ip=VirtualEnvironmentContainerWaitForIp(ipv4=True) if started else None,
            timeout_create=timeout_create_seconds,
            # Also how long a container that is to be stopped has until it is killed.
            timeout_delete=stopping.provider,
            depends_on=[*([check.resource] if check else []), *depends_on],
        )
        tag = self.own_tag(self.resource.friendly_unique_id)
        if check:
            self.resource.provisioners = [check.before_destroy(address(self.resource), tag=tag)]
        self.resource.tags = sorted({*tags, tag})
        guard = VmidGuard(
            self,
            "vmid_guard",
            container=self.resource,
            node_name=node_name,
            vmid=vmid,
            tag=tag,
            hostname=hostname,
            adopt=adopt,
        )
        self.resource.lifecycle = TerraformResourceLifecycle(
            ignore_changes=[it for it in IGNORED if not (root_console and it == "console")],
            prevent_destroy=protect,
            precondition=guard.preconditions,
            postcondition=guard.postconditions,
        )
        if adopt:
            self.resource.import_from(f"{node_name}/{vmid}")
        self.node.add_validation(_NothingForRoot(self.resource))
        self._ipv4 = self._address(network, started=started)

    def _address(self, network: Network, *, started: bool) -> str:
        """What `ipv4` says: what is declared, or an expression for what the DHCP server has given."""
        if not network.is_dhcp:
            return network.address.partition("/")[0]
        if not started:
            return STOPPED
        # The provider plans the address of before, and Terraform writes down an output that it knows. This one's output
        # is not known while what an address depends on changes, and so the address is looked up after the change.
        change = TerraformResource(self, "address", terraform_resource_type="terraform_data")
        change.override_logical_id(f"{self.resource.friendly_unique_id}_address")
        change.add_override("input", network.model_dump(exclude_none=True))
        found = f"{address(self.resource)}.ipv4[{json.dumps(_INTERFACE)}]"
        return f"${{{address(change)}.output == null ? null : try({found}, {json.dumps(NOT_KNOWN_YET)})}}"

    @property
    def node_name(self) -> NodeName:
        """The node that it is on."""
        return self._node_name

    @property
    def vmid(self) -> Vmid:
        """Its VMID."""
        return self._vmid

    @property
    def ipv4(self) -> str:
        """The address of ``eth0``: as declared, or as the DHCP server gave it; or words that say why there is none."""
        return self._ipv4

    @staticmethod
    def own_tag(name: str) -> Tag:
        """The tag that marks a container as its stack's own, by the name of its resource."""
        return own_tag(name)


def _settled(description: str) -> str:
    """The text as the provider remembers it: it sends what it is given, and the plan would differ for ever."""
    return description.strip().replace("\r\n", "\n")


def _startup(startup: Startup | None, stopping: Stopping) -> VirtualEnvironmentContainerStartup | None:
    """The startup block; left out where the node's own order and times do."""
    startup = startup or Startup()
    down = startup.down_delay_seconds
    if down is None and stopping.container > NODE_SECONDS:
        down = stopping.container
    if startup.order is None and startup.up_delay_seconds is None and down is None:
        return None
    return VirtualEnvironmentContainerStartup(order=startup.order, up_delay=startup.up_delay_seconds, down_delay=down)


def _dns(dns: Dns) -> VirtualEnvironmentContainerInitializationDns | None:
    """The dns block; left out where empty, so that the node's own settings apply."""
    if not dns.servers and dns.domain is None:
        return None
    return VirtualEnvironmentContainerInitializationDns(servers=list(dns.servers) or None, domain=dns.domain)


@jsii.implements(IValidation)
class _NothingForRoot:
    """Refuses what no API token may set, however it came into the L1."""

    def __init__(self, resource: VirtualEnvironmentContainer) -> None:
        self._resource = resource

    def validate(self) -> list[str]:
        """One sentence for each such setting."""
        config = self._config()
        refused = [words for key, words in _ROOT_ONLY.items() if config.get(key)]
        # A volume of a datastore is a token's business, a path of the host is not.
        if any(str(mount.get("volume", "")).startswith("/") for mount in config.get("mount_point") or []):
            refused.append("mount points of host directories")
        features = config.get("features") or {}
        for block in features if isinstance(features, list) else [features]:
            refused += [f"the feature flag {flag}" for flag in _ROOT_ONLY_FEATURES if block.get(flag)]
        if not refused:
            return []
        stack = self._resource.cdktf_stack.node.id
        return [
            f"{words} cannot be set by the stack {stack}: Proxmox VE allows it to root@pam only and refuses every API "
            f"token; it belongs to the stack {stack}-root"
            for words in refused
        ]

    def _config(self) -> dict[str, Any]:
        # to_terraform(), not the inputs: it also holds what came through add_override.
        resources = self._resource.to_terraform()["resource"]
        (container,) = next(iter(resources.values())).values()
        return dict(container)
