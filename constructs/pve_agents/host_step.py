"""What needs root on the host, as steps that Terraform keeps in order."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cdktf import (
    App,
    AssetType,
    Fn,
    ITerraformDependable,
    LocalExecProvisioner,
    TerraformAsset,
    TerraformLocal,
    TerraformResource,
)
from cdktf_cdktf_provider_null.resource import Resource as NullResource
from constructs import Construct

from pve_agents.terraform import address, literal

_IDENTITY = ("agent", "vmid", "node", "hostname", "tag")
_PROGRAM = Path(__file__).with_name("host")
# What it needs besides, of others, too; none of it imports more.
_SHARED = [
    Path(__file__).with_name(name)
    for name in (
        "node_access.py",
        "node_api.py",
        "node_console.py",
        "node_devices.py",
        "node_session.py",
        "secret_values.py",
    )
]
_MAIN = b"""import sys

try:
    from pve_agents.host.program import run
except KeyboardInterrupt:
    print("interrupted, and nothing was changed; run it again", file=sys.stderr)
    sys.exit(130)
run()
"""


_NEW_PROGRAM = "another one only runs each step again: nothing leaves the node or the container"


class Host(Construct):
    """What is wanted of an agent's host and container, and the program that sees to it.

    The program is copied into the synthesized stack: a plan that was made there does what it was made with.
    """

    spec: Mapping[str, Any]
    """What is wanted, in the words of ``pve_agents.host.spec``. In Terraform it is ``local.spec``."""

    reference: str
    """The spec as JSON, as an expression for Terraform."""

    command: str
    """What starts a step; its name and flags follow."""

    digest: str
    """A hash of the program: a new one runs every step again, which then finds what it has done."""

    def __init__(self, scope: Construct, id_: str, *, spec: Mapping[str, Any]) -> None:
        """State what is wanted.

        Args:
            scope: The stack.
            id_: The construct id.
            spec: Plain values and names of secrets, never a secret.
        """
        super().__init__(scope, id_)
        self.spec = spec
        local = TerraformLocal(self, "spec", json.loads(literal(json.dumps(spec))))
        local.override_logical_id("spec")
        self.reference = str(Fn.jsonencode(local.expression))
        program = Path(App.of(self).outdir, "host").absolute()
        texts = stage(program)
        asset = TerraformAsset(self, "program", path=str(program), type=AssetType.DIRECTORY)
        self.command = f"python3 {asset.path}"
        self.digest = hashlib.sha256(b"\0".join(texts)).hexdigest()


def _held(spec: Mapping[str, Any], owns: Sequence[str]) -> str:
    """What a destroy of a step may take back: keys of the container, and what they held."""
    held = {
        kind: [{"key": it["key"], source: it[source]} for it in spec[kind]]
        for kind, source in (("mounts", "volume"), ("devices", "path"))
        if kind in owns
    }
    return json.dumps({"vmid": spec["vmid"], **held})


def stage(directory: Path) -> list[bytes]:
    """Copy the program, and nothing else that lies where it is."""
    package = directory / "pve_agents" / "host"
    # What an earlier version had is none of this one's.
    shutil.rmtree(directory, ignore_errors=True)
    package.mkdir(parents=True)
    sources = sorted([*_PROGRAM.glob("*.py"), *_PROGRAM.glob("*.sh")])
    files = {directory / "__main__.py": _MAIN, directory / "pve_agents" / "__init__.py": b""}
    files |= {directory / "pve_agents" / module.name: module.read_bytes() for module in _SHARED}
    files |= {package / source.name: source.read_bytes() for source in sources}
    for path, content in files.items():
        path.write_bytes(content)
    return list(files.values())


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
        made_for: TerraformResource | None = None,
    ) -> None:
        """Add the step.

        Args:
            scope: The stack.
            id_: Also the name in the resource's address.
            host: What is wanted as a whole.
            step: The step's name, as ``pve_agents.host.program`` knows it.
            owns: The keys of the host's spec that are this step's business: a change elsewhere does not run it again.
            depends_on: The step before.
            made_for: The container, where the step is in the same stack: another container gets it again, and a destroy of it
                leaves nothing to take back. Defaults to none.
        """
        super().__init__(scope, id_)
        own = json.dumps({key: host.spec[key] for key in (*_IDENTITY, *owns) if key in host.spec}, sort_keys=True)
        revision = hashlib.sha256(f"{own}\0{host.digest}".encode()).hexdigest()[:16]
        self.resource = NullResource(
            self,
            "Default",
            # A destroy sees of what was nothing but the triggers: they name what it may take back. They lie in the state,
            # whose writer is not believed: where, and what runs there, the program is told by the settings.
            triggers={
                "spec": literal(_held(host.spec, owns)),
                "revision": revision,
                # For whoever reads a plan that replaces all steps.
                "program": f"{host.digest[:8]}; {_NEW_PROGRAM}",
            },
            provisioners=[
                LocalExecProvisioner(
                    type="local-exec",
                    command=f"{host.command} {step}",
                    environment={"HOST_STEP_SPEC": host.reference, "HOST_STEP_DEPLOY": "${plantimestamp()}"},
                ),
                *([] if made_for else [self._takes_back(host, step, revision)]),
            ],
            depends_on=list(depends_on),
        )
        if made_for:
            # Its id is known anew only when it was made anew.
            self.resource.add_override("lifecycle.replace_triggered_by", [f"{address(made_for)}.id"])

    @staticmethod
    def _takes_back(host: Host, step: str, revision: str) -> LocalExecProvisioner:
        return LocalExecProvisioner(
            type="local-exec",
            when="destroy",
            command=f"{host.command} {step} --destroy",
            environment={
                "HOST_STEP_SPEC": literal(json.dumps(host.spec)),
                # A changed step is destroyed and created again. Only what has left the settings is then taken
                # back; for a mount that stays, nothing happens to a running container.
                "HOST_STEP_LEAVING": "${self.triggers.spec}",
                "HOST_STEP_REPLACED": f'${{self.triggers.revision == "{revision}" ? "no" : "yes"}}',
            },
        )
