"""The command ``agents``: finds its subcommands, and says in one sentence why one of them stopped."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click

from pve_agents.operator import commands
from pve_agents.operator.stopped import INTERRUPTED, UNREACHED, WRONG_INPUT, Stopped

__all__ = ["main"]


class Commands(click.Group):
    """Imports a subcommand when somebody asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as inherited
        """Return the names of all."""
        return sorted({*_own(), *_of_kinds()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as inherited
        """Return one."""
        module = _own().get(cmd_name) or _of_kinds().get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command


def _own() -> dict[str, str]:
    return {it.name: f"{commands.__name__}.{it.name}" for it in pkgutil.iter_modules(commands.__path__)}


def _of_kinds() -> Mapping[str, str]:
    from pve_agents.agents.kind import commands_of_kinds  # noqa: PLC0415 - takes longer to import than most of the rest

    return commands_of_kinds()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--output", type=click.Path(file_okay=False), help="write the stacks there, and not to cdktf.out")
def agents(output: str | None) -> None:
    """Deploy and look after AI agents in Proxmox VE containers.

    On the way to the first answer: init, doctor, up, verify. Settings are in homelab.yaml.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the subcommand that the arguments name, and exit with its status."""
    os.umask(0o077)
    try:
        status = agents.main(None if arguments is None else list(arguments), prog_name="agents", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        # What click makes of Ctrl-C and of the end of input at a question.
        _end("interrupted; nothing was changed", INTERRUPTED)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "agents"
        _end(f"{error.format_message().rstrip('.')} (see {where} --help)", error.exit_code)
    except Stopped as error:
        _end(str(error), error.status)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except Exception as error:
        if not (end := _known(error)):
            raise
        _end(*end)


def _known(error: Exception) -> tuple[str, int] | None:
    """The sentence and the exit status of an error that somebody can do something about."""
    from pve_agents.agents.kind import fault_of_own_kind  # noqa: PLC0415 - as above
    from pve_agents.host.shell import UnreachedError  # noqa: PLC0415
    from pve_agents.host.spec import WrongSettingsError  # noqa: PLC0415
    from pve_agents.node_api import NodeError  # noqa: PLC0415
    from pve_agents.problems import SettingsError  # noqa: PLC0415

    if isinstance(error, SettingsError | WrongSettingsError | NodeError):
        return str(error), WRONG_INPUT
    if isinstance(error, UnreachedError):
        return str(error), UNREACHED
    fault = fault_of_own_kind(error)
    return (fault, WRONG_INPUT) if fault else None


def _end(sentence: str, status: int) -> NoReturn:
    sys.stdout.flush()
    print(sentence, file=sys.stderr)  # noqa: T201
    sys.exit(status)
