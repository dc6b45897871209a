"""What Terraform's errors mean for the operator: a sentence, where Terraform's own would help nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pve_agents.operator.events import Change, Diagnostic
from pve_agents.settings.homelab import STORAGE_STACK
from pve_agents.state_guard import CONTAINER

__all__ = ["explained", "is_refusal", "replaces_container", "sentence_of"]

_MOST_LINES = 5
_LOCK = re.compile(r"ID:\s+(?P<id>[\w-]+)(?s:.)*?Who:\s+(?P<who>\S+)(?s:.)*?Created:\s+(?P<when>[\d-]+ [\d:]{8})")
_TOLD_BY_THE_GUARD = "Resource precondition failed"
_PROTECTED = "Instance cannot be destroyed"

Explain = Callable[[str, Diagnostic], str]


def _locked(stack: str, diagnostic: Diagnostic) -> str:
    lock = _LOCK.search(diagnostic.detail)
    if lock is None:
        return f"the state of {stack} is locked: another deploy of it runs; run this again when it is over"
    return (
        f"the state of {stack} is locked by {lock['who']} since {lock['when']} UTC: wait for that deploy, or, if it is long "
        f"dead, run `pipenv run terraform -chdir=cdktf.out/stacks/{stack} force-unlock {lock['id']}`"
    )


def _protected(stack: str, _: Diagnostic) -> str:
    if stack == STORAGE_STACK:
        return (
            "storage.protect is true, and this would destroy the container that owns the volumes of agents, and the volumes with "
            "it, or make a new one: set the setting back that causes it, or, if they may go, write protect: false there"
        )
    agent = stack.removesuffix("-root")
    return (
        f"agents.{agent}.protect is true, and this would destroy the container or make a new one: set the setting back that "
        "causes it, or, if the agent's memory on its root disk may go, write protect: false"
    )


def _nothing_to_adopt(stack: str, _: Diagnostic) -> str:
    return (
        f"there is no container to take over: correct vmid and node of agents.{stack} in homelab.yaml, or leave adopt out, and "
        f"`agents up {stack}` makes a new one"
    )


_EXPLAINED: dict[str, Explain] = {
    "Error acquiring the state lock": _locked,
    "Cannot import non-existent remote object": _nothing_to_adopt,
    _PROTECTED: _protected,
}


def sentence_of(stack: str, diagnostic: Diagnostic) -> str:
    """Return what went wrong in one sentence, with what to do where that is known."""
    if explain := _EXPLAINED.get(diagnostic.summary):
        return explain(stack, diagnostic)
    # Conditions are ours, and their sentences are written for people.
    if diagnostic.summary == _TOLD_BY_THE_GUARD:
        return " ".join(diagnostic.detail.split())
    return diagnostic.summary


def explained(stack: str, diagnostics: Sequence[Diagnostic]) -> list[str]:
    """Return each error once: the sentence first, and below it Terraform's words, where they say more.

    A program that Terraform has started has said itself why it failed.
    """
    lines: list[str] = []
    for error in dict.fromkeys(it for it in diagnostics if it.severity == "error" and not it.is_of_a_program):
        sentence = sentence_of(stack, error)
        lines.append(f"{stack}: {sentence}")
        if sentence == error.summary:
            words = [line.strip() for line in error.detail.splitlines() if line.strip()]
            lines += [f"    {line}" for line in words[:_MOST_LINES]]
    return lines


def is_refusal(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether the stack itself refuses what was planned: by a condition of ours, or by its protection."""
    return any(it.summary in (_PROTECTED, _TOLD_BY_THE_GUARD) for it in diagnostics)


def replaces_container(changes: Sequence[Change]) -> list[Change]:
    """Return what would take a container, and what is on its root disk, away."""
    return [it for it in changes if it.type == CONTAINER and it.action in ("delete", "replace")]
