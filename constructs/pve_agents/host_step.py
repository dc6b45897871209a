"""What needs root on the host, as steps that Terraform keeps in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cdktf import AssetType, ITerraformDependable, LocalExecProvisioner, TerraformAsset
from cdktf_cdktf_provider_null.resource import Resource as NullResource
from constructs import Construct

from pve_agents.terraform import literal

_IDENTITY = ("agent", "vmid", "node", "hostname")


class HostScripts(Construct):
    """The scripts that carry out the steps: one for the operator's machine, one for the host.

    They are copied into the synthesized stack, so that a plan made there runs the text that it was made with.
    """

    command: str
    """What starts a step; its name and flags follow."""

    digest: str
    """A hash of their text: new scripts run the steps again, which then find what they did."""

    def __init__(self, scope: Construct, id_: str, *, directory: Path) -> None:
        """Copy the scripts.

        Args:
            scope: The stack.
            id_: The construct id.
            directory: Holds ``host-step`` and ``on-host`` and nothing else.
        """
        super().__init__(scope, id_)
        asset = TerraformAsset(self, "asset", path=str(directory), type=AssetType.DIRECTORY)
        self.command = f"python3 {asset.path}/host-step"
        texts = [path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()]
        self.digest = hashlib.sha256(b"\0".join(texts)).hexdigest()


class HostStep(Construct):
    """Runs one step on the node as root, again whenever what it wants or how it works has changed.

    The step itself looks first and changes only what differs, so running it again is harmless. What it is given are
    plain values and names of secrets; the secrets themselves and the credential of the transport come from the
    environment of the process that runs Terraform, and are in no plan and no state.

    Destroying the step undoes what it attached to the container. Host directories and their files always stay.
    """

    resource: NullResource
    """The L1, ``null_resource.<id>``."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        step: str,
        spec: Mapping[str, object],
        owns: Sequence[str],
        scripts: HostScripts,
        depends_on: Sequence[ITerraformDependable] = (),
    ) -> None:
        """Add the step.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address.
            step: The step's name, as ``host-step`` knows it.
            spec: What is wanted of the agent's host and container as a whole.
            owns: The keys of the spec that are this step's business: a change elsewhere does not run it again.
            scripts: The scripts.
            depends_on: The step before.
        """
        super().__init__(scope, id_)
        whole = json.dumps(spec, sort_keys=True)
        own = json.dumps({key: spec[key] for key in (*_IDENTITY, *owns) if key in spec}, sort_keys=True)
        revision = hashlib.sha256(f"{own}\0{scripts.digest}".encode()).hexdigest()[:16]
        self.resource = NullResource(
            self,
            "Default",
            # A destroy sees nothing but the triggers: they hold what it has to take back.
            triggers={"spec": literal(own), "revision": revision},
            provisioners=[
                LocalExecProvisioner(
                    type="local-exec",
                    command=f"{scripts.command} {step}",
                    environment={"HOST_STEP_SPEC": literal(whole)},
                ),
                LocalExecProvisioner(
                    type="local-exec",
                    when="destroy",
                    command=f"{scripts.command} {step} --destroy",
                    environment={
                        "HOST_STEP_SPEC": "${self.triggers.spec}",
                        # A changed step is destroyed and created again. Only what has left the settings is then taken
                        # back; for a mount that stays, nothing happens to a running container.
                        "HOST_STEP_NEXT_SPEC": literal(own),
                        "HOST_STEP_REPLACED": f'${{self.triggers.revision == "{revision}" ? "no" : "yes"}}',
                    },
                ),
            ],
            depends_on=list(depends_on),
        )
