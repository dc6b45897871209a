"""``agents doctor``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from pve_agents.findings import Finding
from pve_agents.operator.arguments import AGENTS
from pve_agents.operator.doctor import examine
from pve_agents.operator.output import Output
from pve_agents.operator.project import open_project
from pve_agents.operator.stopped import DONE, FAILED


@click.command
@AGENTS
@click.option("--json", "as_json", is_flag=True, help="print one JSON document")
def command(names: tuple[str, ...], *, as_json: bool) -> int:
    """Look at all that a deploy needs, before it.

    It changes nothing. Exit status: 0 no check failed, 1 one did, 2 wrong settings.
    """
    project = open_project()
    agents, out = project.chosen(names), Output()
    shown = {""}

    def report(finding: Finding) -> None:
        if as_json:
            return
        if finding.agent not in shown and len(agents) > 1:
            out.line(f"{finding.agent}:")
        shown.add(finding.agent)
        out.check(finding.status, finding.name, finding.detail, finding.seconds, finding.remedy)

    findings = examine(project, agents, report)
    is_well = all(it.status != "failed" for it in findings)
    if as_json:
        out.line(json.dumps({"ok": is_well, "checks": [asdict(it) for it in findings]}, indent=2))
    else:
        out.line(_summary(findings))
    return DONE if is_well else FAILED


def _summary(findings: Sequence[Finding]) -> str:
    counts = [(word, sum(it.status == status for it in findings)) for status, word in _WORDS.items()]
    return ", ".join([f"{len(findings)} checks", *(f"{n} {word}" for word, n in counts if n or word == "failed")])


_WORDS = {"failed": "failed", "warning": "to look at", "skipped": "skipped"}
