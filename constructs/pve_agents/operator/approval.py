"""The question before something happens, and the lines while it does."""

from __future__ import annotations

import sys
import time

import click

from pve_agents.operator.output import Output, lasted
from pve_agents.operator.stack import Stack
from pve_agents.operator.stopped import REFUSED, Stopped

__all__ = ["apply", "approve"]


def approve(question: str, *, auto_approve: bool, word: str = "") -> None:
    """Ask once.

    Args:
        question: The question.
        auto_approve: Whether nobody is asked.
        word: What is to be typed. Defaults to a yes or a no.

    Raises:
        Stopped: The answer is no, or nobody can answer.
    """
    if auto_approve:
        return
    if not sys.stdin.isatty():
        raise Stopped("this asks before it acts, and there is no terminal to answer on: write --auto-approve")
    answer = click.prompt(question, default="", show_default=False) == word if word else click.confirm(question)
    if not answer:
        raise Stopped("nothing was done", status=REFUSED)


def apply(stack: Stack, out: Output, did: str) -> None:
    """Do what is planned for a stack, and print what happens.

    Raises:
        Stopped: It failed, or was interrupted.
    """
    began = time.monotonic()
    out.line(f"{stack.name} …")
    stack.apply(lambda line: out.line(f"  {line}"))
    out.line(f"{stack.name} … {did} {lasted(time.monotonic() - began)}")
