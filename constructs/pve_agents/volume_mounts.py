"""Puts volumes on a container, with an API token alone."""

from __future__ import annotations

import json
from pathlib import Path

from cdktf import (
    AssetType,
    LocalExecProvisioner,
    TerraformAsset,
    TerraformResource,
    TerraformResourceLifecycle,
)
from constructs import Construct

from pve_agents.terraform import address, literal
from pve_agents.volumes.wanted import Wanted


class VolumeMounts(Construct):
    """Makes and attaches volumes that a container is to have, and detaches those of the pet container that it is not to have.

    The provider's own ``mount_point`` blocks cannot do it: whatever changes in one replaces the container, a directory volume
    without a size is planned anew for ever, and a size that Proxmox VE adds by itself replaces the container, too
    (bpg/proxmox, ``proxmoxtf/resource/container/container.go``). So the container's stack ignores them, and a program looks at
    the container through the API, plans, and changes what differs.

    It runs when what is wanted changes, and after each change of the container's own resource: one that was made anew has no
    volumes yet. A volume that the container owns is never detached, since it would go with the container; what is in a pet's
    stays whatever happens here. Destroying it changes nothing.
    """

    resource: TerraformResource
    """The L1, ``terraform_data.<id>``."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        script: Path,
        wanted: Wanted,
        container: TerraformResource,
    ) -> None:
        """Add the step.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address.
            script: ``scripts/attach-volumes``; it gets the token from the environment, as the provider does.
            wanted: The container, and the volumes that it is to have.
            container: The L1 of the container, which must be there before.
        """
        super().__init__(scope, id_)
        asset = TerraformAsset(self, "script", path=str(script), type=AssetType.FILE)
        text = literal(wanted.to_json())
        self.resource = TerraformResource(
            self,
            "Default",
            terraform_resource_type="terraform_data",
            provisioners=[
                LocalExecProvisioner(
                    type="local-exec",
                    command=f"python3 {asset.path}",
                    environment={"ATTACH_VOLUMES_WANTED": text},
                )
            ],
            depends_on=[container],
            lifecycle=TerraformResourceLifecycle(replace_triggered_by=[address(container)]),
        )
        self.resource.add_override("triggers_replace", json.loads(text))
