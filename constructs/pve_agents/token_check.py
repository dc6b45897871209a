"""Finds out what the API token may not do, before anything is created."""

from __future__ import annotations

import shlex
from pathlib import Path

from cdktf import AssetType, LocalExecProvisioner, TerraformAsset, TerraformResource, TerraformStack
from constructs import Construct

from pve_agents.guests import Own
from pve_agents.privileges import Wanted


class TokenCheck(Construct):
    """Asks Proxmox VE, at the first deploy, whether the API token holds every privilege, and whose the VMID is.

    A token without ``VM.Audit`` does not fail by itself: the container is created, then the provider polls a status it
    may not read until its timeout, and leaves a tainted container behind. One without ``VM.Allocate`` gets a bare
    "Permission check failed". This check names the privilege, the path and the command that mends it.

    The plan's guard sees neither a guest on a node that is offline, nor one that comes after the plan, nor that a container
    with our tag is somebody else's. Here the cluster is asked, right before the first resource.

    It creates nothing in Proxmox VE. It runs again only when what it asks about changes.

    The same script is asked again before something is destroyed: see ``before_destroy``.
    """

    resource: TerraformResource
    """The L1, ``terraform_data.<id>``: what needs the privileges depends on it."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        script: Path,
        wanted: Wanted,
        own: Own | None = None,
    ) -> None:
        """Add the check.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address.
            script: ``scripts/check-token``; it gets the token from the environment, as the provider does.
            wanted: What the stack makes.
            own: What marks a container that has the VMID already as the stack's own. Defaults to none: any on the node is.
        """
        super().__init__(scope, id_)
        asset = TerraformAsset(self, "script", path=str(script), type=AssetType.FILE)
        self._script = asset.path
        # Not among the triggers: once the container is ours, it may be called otherwise.
        ours = {"tag": own.tag, "hostname": own.hostname or ""} if own else {}
        options = " ".join(f"--{name} {shlex.quote(value)}" for name, value in {**wanted.options, **ours}.items())
        # Not cdktf's DataResource: that one runs `terraform version` at each synth.
        self.resource = TerraformResource(
            self,
            "Default",
            terraform_resource_type="terraform_data",
            provisioners=[LocalExecProvisioner(type="local-exec", command=f"python3 {asset.path} {options}")],
        )
        self.resource.add_override("triggers_replace", wanted.options)

    def before_destroy(self, address: str, *, tag: str | None = None) -> LocalExecProvisioner:
        """A provisioner that refuses to destroy what a state names and what is none of this stack's.

        Whoever can write a state can write any guest or file into it, and no condition of Terraform's holds when
        something is destroyed. What the state says goes into the environment, and never into the command.

        Args:
            address: The address of the resource that gets the provisioner.
            tag: The tag without which a container is not destroyed. Defaults to none: it is a file, and one is not
                deleted unless it is a container template.
        """
        named = {"NODE": "node_name", "VMID": "id"} if tag else {"FILE": "id"}
        stack = TerraformStack.of(self).node.id
        options = ["--before-destroy", "--stack", stack, "--address", address, *(("--tag", tag) if tag else ())]
        return LocalExecProvisioner(
            type="local-exec",
            when="destroy",
            command=f"python3 {self._script} {shlex.join(options)}",
            environment={f"CHECK_TOKEN_{name}": f"${{self.{attribute}}}" for name, attribute in named.items()},
        )
