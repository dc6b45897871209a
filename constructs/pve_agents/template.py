"""The container template that an agent is created from."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdktf import ITerraformDependable, Postcondition, TerraformResourceLifecycle
from constructs import Construct
from imports.proxmox.download_file import DownloadFile

from pve_agents.settings import Template
from pve_agents.terraform import address, command
from pve_agents.token_check import TokenCheck
from pve_agents.types import NodeName

_FAMILY = re.compile(r"(?P<distribution>[a-z]+)-(?P<version>\d+(\.\d+)?)-")


class LxcTemplate(Construct):
    """Downloads a container template to a node's datastore, or names one that is already there.

    A template that exists is not downloaded, not read and not deleted by Terraform. One that is downloaded is checked
    by Proxmox VE against its checksum; the identical file already in place counts as downloaded, so a template that was
    fetched by hand with ``pveam`` is no obstacle (pve-common, ``PVE::Tools::download_file_from_url``).

    ``overwrite`` is off: the provider would otherwise ask the download server at each refresh and, once the file there
    changes, replace the template and with it every container that was made from it.
    """

    resource: DownloadFile | None
    """The L1, where this template is downloaded."""

    file_id: str
    """What a container is created from, e.g. ``local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst``."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        node_name: NodeName,
        source: Template,
        check: TokenCheck | None = None,
        depends_on: Sequence[ITerraformDependable] = (),
    ) -> None:
        """Download the template, unless ``source`` names an existing file.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address, ``proxmox_download_file.<id>``.
            node_name: The node that downloads it.
            source: Where it comes from and the datastore it goes to, or the file id of an existing one.
            check: What runs before it is downloaded, and before it is deleted.
            depends_on: What must be there before.
        """
        super().__init__(scope, id_)
        if source.url is None:
            self.resource = None
            self.file_id = str(source.file_id)
            return
        self.resource = DownloadFile(
            self,
            "Default",
            node_name=node_name,
            datastore_id=source.datastore,
            content_type="vztmpl",
            url=source.url,
            file_name=source.file_name,
            checksum=source.checksum,
            checksum_algorithm=source.checksum_algorithm,
            overwrite=False,
            depends_on=[*([check.resource] if check else []), *depends_on],
        )
        self.file_id = self.resource.id
        if check:
            self.resource.provisioners = [check.before_destroy(address(self.resource))]
        self.resource.lifecycle = TerraformResourceLifecycle(
            postcondition=[
                Postcondition(
                    condition=f'${{self.id == "{source.volume}" && self.node_name == "{node_name}"}}',
                    error_message=(
                        f"the state holds the file ${{self.id}} of node ${{self.node_name}} for the template, which is "
                        f"{source.volume} of node {node_name}: somebody has changed the state, and nothing was changed. Put "
                        f"back a copy of the state; or let Terraform forget that file: "
                        f"{command(self.resource, 'state rm')}"
                    ),
                )
            ]
        )

    @staticmethod
    def name_for(source: Template, node_name: NodeName) -> str:
        """The construct id by convention: ``debian12_template_<node>`` for any Debian 12 template.

        The point release is left out, so that a newer template of the same release keeps its address.
        """
        match = _FAMILY.match(source.file_name)
        family = f"{match['distribution']}{match['version']}_".replace(".", "_") if match else ""
        return f"{family}template_{node_name}"
