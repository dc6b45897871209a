"""``agents init``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from dotenv import dotenv_values
from pydantic import SecretStr

from pve_agents.agents.init import introduced, introduction_of
from pve_agents.node_access import NodeError, access
from pve_agents.operator import project
from pve_agents.operator.init.asking import ADDRESS, Asking, host_of, questions_of
from pve_agents.operator.init.files import NewFile, write_all
from pve_agents.operator.init.texts import root_text, secrets_file, secrets_text, token_text
from pve_agents.operator.init.token_script import token_script
from pve_agents.operator.stopped import DONE, Stopped
from pve_agents.private_files import for_the_owner_alone
from pve_agents.questions import SecretNote
from pve_agents.secret_values import secrets_variable
from pve_agents.settings import Agent, load_settings
from pve_agents.variables import FILE_VARIABLE

_AGENT = introduced()
_INTRODUCTION = introduction_of(_AGENT)
_QUESTIONS = questions_of(_AGENT, _INTRODUCTION)
_USER, _NAME = "terraform@pve", "deploy"


def _options(function: Callable[..., int]) -> Callable[..., int]:
    for question in reversed(_QUESTIONS):
        function = click.option(f"--{question.name}", metavar="TEXT", help=f"{question.text}.")(function)
    return function


@click.command
@_options
@click.option("--yes", is_flag=True, help="ask nothing: what is not given is the default")
def command(*, yes: bool, **given: str | None) -> int:
    """Ask what only you know, and write settings, files for credentials, and the script that makes the API token.

    Nothing that is there already is written over. Exit status: 0 done, 2 an answer cannot be right and nothing was written.
    """
    if os.environ.get(FILE_VARIABLE):
        raise Stopped(f"{FILE_VARIABLE} names another file of settings: unset it, or write that file by hand.")
    for_the_owner_alone(project.DIRECTORY)
    answered = {name.replace("_", "-"): value for name, value in given.items()}
    settings = project.DIRECTORY / "homelab.yaml"
    files = [settings, project.token_file(), project.root_file()]
    asking = _ask(answered, files, yes=yes)
    agents = _agents(asking, settings)
    address = asking.answers[ADDRESS]
    values = {} if yes else _ask_for_secrets(agents)
    by_root, by_token = (
        [it.name for it in agents if it.delivery == delivery and it.secret_names] for delivery in ("root", "console")
    )
    new = [NewFile(settings, asking.text()), NewFile(project.token_file(), token_text(address, by_token))]
    if any(it.delivery == "root" for it in agents):
        new.append(NewFile(project.root_file(), root_text(address, by_root)))
    new += _secrets(agents, values)
    storage = load_settings(project.DIRECTORY).storage if settings.exists() else None
    script = project.DIRECTORY / "build" / "token.sh"
    login = _existing(project.root_file()).get("PVE_SSH") or f"root@{host_of(address)}"
    run = f"ssh {shlex.quote(login)} bash -s <build/token.sh >>.env"
    user, name = _token_name()
    new.append(
        NewFile(script, token_script(agents, user=user, name=name, command=run, storage=storage), is_made_anew=True)
    )
    stay = {it.path: it.stays for it in new}
    write_all(new)
    for path, stays in stay.items():
        click.echo(f"{'kept ' if stays else 'wrote'} {_shown(path)}{', which was there' if stays else ''}")
    _say_what_is_next(run, agents)
    return DONE


def _ask(given: Mapping[str, str | None], files: list[Path], *, yes: bool) -> Asking:
    """Ask for what ends up in a file that is not there yet."""
    there = [os.path.lexists(it) for it in files]
    asked = [it for it in _QUESTIONS if not (there[0] if it.name != ADDRESS else there[1] and there[2])]
    for question in _QUESTIONS:
        if question not in asked and given[question.name] is not None:
            file = _shown(files[0] if question.name != ADDRESS else files[1])
            raise Stopped(f"--{question.name} would change nothing, since {file} is there: edit it, or move it away.")
    asking = Asking(_AGENT, _INTRODUCTION, _QUESTIONS)
    asking.take({name: value for name, value in given.items() if value is not None})
    if yes:
        asking.take({it.name: asking.answers[it.name] for it in asked})
    else:
        asking.ask(asked, _prompt, click.echo)
    return asking


def _prompt(text: str, default: str) -> str:
    answer: str = click.prompt(f"{text}\n ", default=default, prompt_suffix="> ")
    return answer


def _agents(asking: Asking, settings: Path) -> list[Agent]:
    """Return the agents of the settings that are there, or else of the answers."""
    return list((load_settings(project.DIRECTORY).agents if settings.exists() else asking.agents()).values())


def _ask_for_secrets(agents: list[Agent]) -> dict[str, SecretStr]:
    """Ask for the values that nobody here can make up, without showing them; what is left empty comes later."""
    values = {}
    for agent in agents:
        if agent.secret_names and not os.path.lexists(_secrets_path(agent)):
            notes = _notes(agent)
            for name in agent.secret_names:
                note = notes.get(name, SecretNote("The settings name this one."))
                if note.generate is None and name not in values:
                    text = f"{name}. {note.comment} Not shown; empty: later\n "
                    given = click.prompt(text, default="", show_default=False, hide_input=True, prompt_suffix="> ")
                    values[name] = SecretStr(given.strip())
    return values


def _notes(agent: Agent) -> Mapping[str, SecretNote]:
    return introduction_of(agent.section.kind).secrets if agent.section else {}


def _secrets_path(agent: Agent) -> Path:
    """The agent's secrets file, where its file of variables says, or will say, that it is."""
    stated = _existing(_variables_file(agent))
    return Path(stated.get(secrets_variable(agent.name)) or secrets_file(agent.name)).expanduser()


def _variables_file(agent: Agent) -> Path:
    return project.root_file() if agent.delivery == "root" else project.token_file()


def _secrets(agents: list[Agent], values: Mapping[str, SecretStr]) -> list[NewFile]:
    return [
        NewFile(_secrets_path(it), secrets_text(it.name, it.secret_names, _notes(it), values))
        for it in agents
        if it.secret_names
    ]


def _token_name() -> tuple[str, str]:
    """The user and the name of the token that ``.env`` has already, or of a new one."""
    try:
        found = access(_existing(project.token_file()))
    except NodeError:
        return _USER, _NAME
    return found.user, found.token_name


def _existing(file: Path) -> dict[str, str]:
    values: dict[str, Any] = dotenv_values(file) if file.is_file() else {}
    return {name: value for name, value in values.items() if value is not None}


def _shown(path: Path) -> str:
    for directory, shown in ((project.DIRECTORY, ""), (Path.home(), "~/")):
        if path.is_relative_to(directory):
            return f"{shown}{path.relative_to(directory)}"
    return str(path)


def _say_what_is_next(run: str, agents: list[Agent]) -> None:
    click.echo("\nNext:")
    click.echo(f"  {run}")
    click.echo(
        "    adds the token's line to .env; without ssh, paste build/token.sh into the node's shell, and the line into .env"
    )
    for agent in agents:
        if agent.secret_names:
            variable, stated = secrets_variable(agent.name), _existing(_variables_file(agent))
            file = _existing(_secrets_path(agent))
            if variable in stated:
                if lacking := [name for name in agent.secret_names if not file.get(name)]:
                    click.echo(f"  write {' and '.join(lacking)} into {stated[variable]}")
            else:
                click.echo(f"  add {variable}={secrets_file(agent.name)} to {_shown(_variables_file(agent))}")
    click.echo("  pipenv run agents doctor")
