"""What needs root on the host, as steps that Terraform keeps in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cdktf import AssetType, Fn, ITerraformDependable, LocalExecProvisioner, TerraformAsset, TerraformLocal
from cdktf_cdktf_provider_null.resource import Resource as NullResource
from constructs import Construct

from pve_agents.terraform import literal

_IDENTITY = ("agent", "vmid", "node", "hostname")


class Host(Construct):
    """What is wanted of an agent's host and container, and the scripts that see to it.

    The scripts are copied into the synthesized stack: a plan that was made there runs the text that it was made with.
    """

    spec: Mapping[str, object]
    """What is wanted, in the words of ``host-step``. In Terraform it is ``local.spec``."""

    reference: str
    """The spec as JSON, as an expression for Terraform."""

    command: str
    """What starts a step; its name and flags follow."""

    digest: str
    """A hash of the scripts: new ones run every step again, which then finds what it has done."""

    def __init__(self, scope: Construct, id_: str, *, spec: Mapping[str, object], scripts: Path) -> None:
        """State what is wanted.

        Args:
            scope: The stack.
            id_: The construct id.
            spec: Plain values and names of secrets, never a secret.
            scripts: A directory that holds ``host-step`` and ``on-host`` and nothing else.
        """
        super().__init__(scope, id_)
        self.spec = spec
        local = TerraformLocal(self, "spec", json.loads(literal(json.dumps(spec))))
        local.override_logical_id("spec")
        self.reference = str(Fn.jsonencode(local.expression))
        asset = TerraformAsset(self, "scripts", path=str(scripts), type=AssetType.DIRECTORY)
        self.command = f"python3 {asset.path}/host-step"
        texts = [path.read_bytes() for path in sorted(scripts.iterdir()) if path.is_file()]
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
        host: Host,
        step: str,
        owns: Sequence[str],
        depends_on: Sequence[ITerraformDependable] = (),
    ) -> None:
        """Add the step.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address.
            host: What is wanted as a whole.
            step: The step's name, as ``host-step`` knows it.
            owns: The keys of the host's spec that are this step's business: a change elsewhere does not run it again.
            depends_on: The step before.
        """
        super().__init__(scope, id_)
        own = json.dumps({key: host.spec[key] for key in (*_IDENTITY, *owns) if key in host.spec}, sort_keys=True)
        revision = hashlib.sha256(f"{own}\0{host.digest}".encode()).hexdigest()[:16]
        self.resource = NullResource(
            self,
            "Default",
            # A destroy sees nothing but the triggers: they hold what it has to take back.
            triggers={"spec": literal(own), "revision": revision},
            provisioners=[
                LocalExecProvisioner(
                    type="local-exec",
                    command=f"{host.command} {step}",
                    environment={"HOST_STEP_SPEC": host.reference},
                ),
                LocalExecProvisioner(
                    type="local-exec",
                    when="destroy",
                    command=f"{host.command} {step} --destroy",
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
