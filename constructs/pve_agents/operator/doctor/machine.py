"""What a deploy needs of the machine that it is started on."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pve_agents.environment import with_own_programs
from pve_agents.findings import Check, Outcome, failed, ok, parted, skipped, warning
from pve_agents.operator.project import Project, root_file, token_file
from pve_agents.private_files import exposed

__all__ = ["Answer", "checks", "judge_files", "judge_node", "judge_terraform"]

_TERRAFORM_SECONDS = 10.0
_LEAST_TERRAFORM, _LEAST_NODE, _NEWEST_NODE = (1, 8), 20, 22
_GET_TERRAFORM = (
    "run `make setup`, or install Terraform 1.8 or newer (developer.hashicorp.com/terraform/install) or OpenTofu "
    "(opentofu.org/docs/intro/install)"
)
_GET_NODE = "run `make setup`, which installs Node.js 22 into the project"


@dataclass(frozen=True)
class Answer:
    """What a program answered; of one that is not there, nothing."""

    program: str
    code: int | None
    text: str = ""


def checks(project: Project) -> list[Check]:
    """Return the checks of this machine."""
    variables = with_own_programs(project.without_credentials)
    terraform = variables.get("TERRAFORM_BINARY_NAME") or "terraform"
    return [
        Check(
            "terraform",
            lambda: judge_terraform(_run(terraform, "version", variables=variables)),
            seconds=_TERRAFORM_SECONDS,
        ),
        Check("node.js", lambda: judge_node(_run("node", "--version", variables=variables))),
        Check("private files", lambda: judge_files([token_file(), root_file()])),
    ]


def judge_terraform(answer: Answer) -> Outcome:
    """Whether it is there, runs, and is new enough."""
    if answer.code is None:
        return failed(f"{answer.program} is not on PATH", _GET_TERRAFORM)
    found = re.search(r"^(Terraform|OpenTofu) v((\d+)\.(\d+)\.\S+)", answer.text, re.MULTILINE)
    if answer.code or not found:
        return failed(*parted(_first_line(answer), _GET_TERRAFORM))
    name, version, major, minor = found.groups()
    if (int(major), int(minor)) < _LEAST_TERRAFORM:
        return failed(f"{name} {version} is too old", _GET_TERRAFORM)
    return ok(f"{name} {version}")


def judge_node(answer: Answer) -> Outcome:
    """Whether what synthesizes can start Node.js."""
    if answer.code is None:
        return failed("there is no Node.js on PATH", _GET_NODE)
    found = re.match(r"v(\d+)\.\S+", answer.text)
    if answer.code or not found:
        return failed(*parted(_first_line(answer), _GET_NODE))
    if int(found[1]) < _LEAST_NODE:
        return failed(f"Node.js {found[0]} is too old", _GET_NODE)
    if int(found[1]) > _NEWEST_NODE:
        return warning(f"Node.js {found[0]}: the cdktf command line runs on 20 and 22", _GET_NODE)
    return ok(f"Node.js {found[0]}")


def judge_files(files: Sequence[Path]) -> Outcome:
    """Whether nobody else can read the files with credentials."""
    there = [it for it in files if it.is_file()]
    if problems := [problem for it in there if (problem := exposed(it))]:
        said = [parted(it.rstrip("."), "") for it in problems]
        return failed("; ".join(it for it, _ in said), "\n".join(it for _, it in said))
    if not there:
        return skipped("neither .env nor root.env is there yet")
    return ok(f"{', '.join(it.name for it in there)}: readable by you alone")


def _first_line(answer: Answer) -> str:
    return next(filter(None, answer.text.splitlines()), f"{answer.program} ends with status {answer.code}")


def _run(name: str, *arguments: str, variables: Mapping[str, str]) -> Answer:
    program = shutil.which(name, path=variables["PATH"])
    if program is None:
        return Answer(name, None)
    try:
        done = subprocess.run(
            [program, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TERRAFORM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(name, -1, f"{name} does not answer within {_TERRAFORM_SECONDS:g} seconds: is this machine busy?")
    except OSError as error:
        return Answer(name, -1, f"{program} cannot be run ({error.strerror}): repair it or take it away")
    return Answer(name, done.returncode, done.stdout)
