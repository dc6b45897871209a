"""Where Terraform keeps a stack's state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cdktf
import jsii
from constructs import IValidation

from pve_agents.settings import Backend, HttpBackend, LocalBackend, PgBackend, S3Backend
from pve_agents.state_guard import StateGuard, read_state

_AMAZON_ONLY = (
    "skip_credentials_validation",
    "skip_metadata_api_check",
    "skip_region_validation",
    "skip_requesting_account_id",
    "skip_s3_checksum",
)


def store_state(stack: cdktf.TerraformStack, backend: Backend, guard: StateGuard) -> None:
    """Set the stack's backend; each stack has a state of its own, named after it.

    Credentials are none of the configuration's business: each backend takes them from the environment
    (``AWS_ACCESS_KEY_ID``, ``TF_HTTP_PASSWORD``, ``PG_CONN_STR``).

    Args:
        stack: The stack.
        backend: Where its state is kept.
        guard: What the state may hold. It is asked where the state is a file; elsewhere the backend's own access control
            has to do.
    """
    name = stack.node.id
    backend = backend.for_stack(name)
    match backend:
        case LocalBackend():
            # Relative to cdktf.out/stacks/<name>, where Terraform runs: the same JSON on every machine.
            file = f"terraform.{name}.tfstate"
            cdktf.LocalBackend(stack, path=f"../../../{file}")
            state = read_state(Path(cdktf.App.of(stack).outdir).parent / file)
            if problems := guard.problems(state):
                stack.node.add_validation(_Refused(problems))
            for sentence in guard.warnings(state):
                cdktf.Annotations.of(stack).add_warning(sentence)
        case S3Backend():
            cdktf.S3Backend(
                stack,
                bucket=backend.bucket,
                key=backend.key,
                region=backend.region,
                use_path_style=backend.use_path_style,
            )
            if backend.endpoint is not None:
                # Only Amazon has the services that Terraform would otherwise ask about account and region.
                not_amazon = dict.fromkeys(_AMAZON_ONLY, True)
                stack.add_override("terraform.backend.s3", {"endpoints": {"s3": backend.endpoint}, **not_amazon})
        case HttpBackend():
            cdktf.HttpBackend(
                stack,
                address=backend.address,
                lock_address=backend.lock_address,
                unlock_address=backend.unlock_address,
            )
        case PgBackend():
            cdktf.PgBackend(stack, conn_str="", schema_name=backend.schema_name)
            # The binding wants a connection string; without one in its configuration Terraform takes PG_CONN_STR.
            stack.add_override("terraform.backend.pg.conn_str", None)


def warn_of_a_state_of_roots(stack: cdktf.TerraformStack, backend: Backend, agent: str) -> None:
    """Say so where an agent that nobody is root for any more has a state of root's, as far as that is a file here.

    Args:
        stack: The stack that says it.
        backend: Where states are kept.
        agent: The agent.
    """
    file = f"terraform.{agent}-root.tfstate"
    state = read_state(Path(cdktf.App.of(stack).outdir).parent / file) if isinstance(backend, LocalBackend) else None
    if isinstance(state, dict) and state.get("resources"):
        cdktf.Annotations.of(stack).add_warning(
            f"agents.{agent}.delivery: {file} still holds what root has set up, which this leaves as it is; to have it taken "
            f"back, write delivery: root, run `pipenv run cdktf destroy {agent}-root`, and then this again."
        )


@jsii.implements(IValidation)
class _Refused:
    """Says what is wrong when the app is synthesized, before any command of Terraform's."""

    def __init__(self, sentences: Sequence[str]) -> None:
        self._sentences = list(sentences)

    def validate(self) -> list[str]:
        """The sentences."""
        return self._sentences
