"""What the commands that we start get of the user's environment.

Terraform and cdktf take dozens of variables in silence. Some move the state, the data or the configuration to another
place, some let a whole destroy through without a question, one writes the API token into a log. Whatever the user has
them for elsewhere: here each is refused or left out in one sentence, and the rest goes along.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

from pve_agents.private_files import exposed

OWN_PROGRAMS = str(Path(sys.executable).parent)
"""Where this project's Terraform, Node and Python are."""

INSIST = "PVE_AGENTS_KEEP"
"""Names of variables, with blanks between them, that go along whatever is said here."""

TOKENS_OWN = frozenset(
    f"PROXMOX_VE_{name}"
    for name in ("API_TOKEN", "USERNAME", "PASSWORD", "OTP", "AUTH_TICKET", "CSRF_PREVENTION_TOKEN")
)
"""What only the stacks of the API token need."""

ROOTS_OWN = frozenset(
    {"PVE_TRANSPORT", "PVE_SSH", "PVE_READ_TOKEN", "PVE_PASTE_DEADLINE_SECONDS", "PVE_ROOT_PASSWORD_FILE"}
)
"""What only the stacks of root need, beside the agents' secrets and what names the files with those."""

ROOT_FILE = ".config/pve-agents/root.env"
"""Where in the operator's home root's own variables are."""

# cdktf's commands, with their other names, that start the provider; only a plan and an apply then need every privilege.
_WITH_PROVIDER = MappingProxyType(
    {"diff": "diff", "plan": "diff", "deploy": "deploy", "apply": "deploy", "watch": "deploy", "destroy": "destroy"}
)

_REFUSED = {
    "TF_WORKSPACE": "keeps the state in another place, where `make clean` deletes it",
    "TF_DATA_DIR": "keeps what Terraform knows of its backend in another place",
    "TF_STATE_PERSIST_INTERVAL": "lets Terraform forget what it made, if it ends in the middle",
    "TF_REATTACH_PROVIDERS": "puts other programs in the providers' place",
    "TF_CLI_ARGS": "changes every command of Terraform",
    "CDKTF_OUTDIR": "writes what is synthesized to another place",
    "CDKTF_CONTEXT_JSON": "changes what is synthesized",
}
_ARGUMENTS = re.compile(r"TF_CLI_ARGS_(?P<command>\w+)")
# What a plan, an apply and a destroy may be given: it reaches a part of a stack, or changes no more than how it runs.
_HARMLESS = re.compile(
    r"-{1,2}((target|exclude|replace|parallelism|lock-timeout)=.+|(refresh|compact-warnings|no-color)(=\w+)?)"
)
_TARGETED = ("plan", "apply", "destroy")

# cdktf takes each CDKTF_<OPTION> for an option. These change how much it says and how fast it is.
_CDKTF = re.compile(r"CDKTF_(?P<option>\w+)")
_CDKTF_HARMLESS = frozenset(
    {
        *("LOG_LEVEL", "LOG_FILE_DIRECTORY", "HOME", "PARALLELISM", "TERRAFORM_PARALLELISM", "SKIP_PROVIDER_LOCK"),
        *("DISABLE_PLUGIN_CACHE_ENV", "DISABLE_LOGGING", "EXPERIMENTAL_PROVIDER_SCHEMA_CACHE_PATH"),
    }
)

# Not TF_LOG_CORE and TF_LOG_PATH: the provider writes nothing for them.
_LOG = re.compile(r"TF_LOG|TF_LOG_(PROVIDER|SDK)\w*")
_AWAY = "run `unset {}`, or take it out of .env"
_CONFIG_FILE = ("TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG")


# The settings' own variables hold none.
_CREDENTIAL = re.compile(
    r"^(?!HOMELAB_)(?:(?:PROXMOX_VE|PVE)_|\w+_ENV_FILE$|.*(?:TOKEN|SECRET|PASSWO?R?D|API_?KEY|ACCESS_KEY|_KEY$|CREDENTIAL))"
)


@dataclass(frozen=True)
class Command:
    """What a cdktf command line is about."""

    name: str | None
    """``diff``, ``deploy`` or ``destroy``; none for all that starts no provider."""
    patterns: tuple[str, ...]
    """The stacks that it names, as names or patterns."""

    def names(self, stack: str) -> bool:
        """Whether it is about this stack."""
        return any(fnmatchcase(stack, pattern) for pattern in self.patterns)


@dataclass(frozen=True)
class Environment:
    """What a command gets of an environment, and what is to be said about it."""

    kept: Mapping[str, str]
    notes: tuple[str, ...]
    """A sentence for what was left out."""
    refusals: tuple[str, ...]
    """A sentence for each variable with which nothing may run."""


def command_line(arguments: Sequence[str]) -> Command:
    """Read a command line of cdktf; that an option's value is among the words does no harm."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    asked_for_help = not {"-h", "--help", "--version"}.isdisjoint(arguments)
    name = next((_WITH_PROVIDER[word] for word in words if word in _WITH_PROVIDER), None)
    return Command(None if asked_for_help else name, tuple(words))


def judged(environment: Mapping[str, str]) -> Environment:
    """What cdktf and Terraform may have of an environment."""
    insisted = environment.get(INSIST, "").split()
    given = {name: value for name, value in environment.items() if value and name not in insisted}
    refusals = tuple(sentence for name in sorted(given) if (sentence := _refusal(name, given[name])))
    dropped = _left_out(
        filter(_LOG.fullmatch, given),
        "the provider would write the API token into the log. TF_LOG_CORE=DEBUG makes a log that can be shown; "
        f"{INSIST}=TF_LOG insists",
    )
    dropped |= _left_out(
        (name for name in given if name.startswith("TF_VAR_")),
        "these stacks have no variables. Settings are in homelab.yaml, or in HOMELAB_… for one run",
    )
    dropped |= _left_out(
        (name for name in _CONFIG_FILE if name in given and not Path(given[name]).exists()),
        "it names a file that does not exist, which makes every call of Terraform warn",
    )
    kept = {name: value for name, value in environment.items() if name not in dropped}
    return Environment(kept, tuple(dict.fromkeys(dropped.values())), refusals)


def _left_out(names: Iterable[str], why: str) -> dict[str, str]:
    """The same sentence for each."""
    left = sorted(names)
    sentence = f"{' and '.join(left)} {'is' if len(left) == 1 else 'are'} left out: {why}."
    return dict.fromkeys(left, sentence)


def _refusal(name: str, value: str) -> str | None:
    """Why nothing may run with this variable; its value may be a secret, and is not in the sentence."""
    if name in _REFUSED:
        return f"{name} is set, which {_REFUSED[name]}: {_AWAY.format(name)}."
    if found := _ARGUMENTS.fullmatch(name):
        try:
            words = shlex.split(value)
        except ValueError:
            return f"{name} has a quote without an end: {_AWAY.format(name)}."
        if found["command"] in _TARGETED and all(map(_HARMLESS.fullmatch, words)):
            return None
        harmless = (
            "-target=ADDRESS is what may stand there" if found["command"] in _TARGETED else "none may stand there"
        )
        return f"{name} holds options that change what Terraform does ({harmless}): {_AWAY.format(name)}."
    if (found := _CDKTF.fullmatch(name)) and found["option"] not in _CDKTF_HARMLESS:
        option = found["option"].lower().replace("_", "-")
        return (
            f"{name} is set, which cdktf takes for its option --{option} in every command: {_AWAY.format(name)}, and write "
            "the option where you want it."
        )
    return None


def for_stacks(
    environment: Mapping[str, str],
    *,
    token: bool,
    root: bool,
    secrets: Collection[str] = (),
    delivered: Collection[str] = (),
) -> dict[str, str]:
    """An environment without the credentials of those stacks that a command is not about.

    Args:
        environment: All that is there.
        token: Whether it is about stacks of the API token.
        root: Whether it is about stacks of root.
        secrets: Names of all agents' secrets.
        delivered: Names of the variables with those that the token's stacks deliver themselves.
    """
    foreign = (frozenset() if token else TOKENS_OWN) | (frozenset() if root else frozenset(secrets))
    kept = frozenset(delivered) if token else frozenset()
    return {
        name: value
        for name, value in environment.items()
        if name in kept or (name not in foreign and (root or not _is_roots_own(name)))
    }


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for what needs no credential at all, such as synth, whatever agents and secrets there are."""
    return {name: value for name, value in environment.items() if not _CREDENTIAL.search(name)}


def with_own_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which this project's own programs are found first, as under ``pipenv run``, and none phones home."""
    path = os.pathsep.join([OWN_PROGRAMS, environment.get("PATH", os.defpath)])
    return {**environment, "PATH": path, "CHECKPOINT_DISABLE": "1"}


def _is_roots_own(name: str) -> bool:
    return name in ROOTS_OWN or name.endswith("_ENV_FILE")


def as_root(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for what root does on a node, with root's own file where nothing has said how to get there.

    Every message that names a command of root's begins with ``pipenv run``, which reads ``.env`` and no other file: the command
    works as it is printed.

    Args:
        environment: What the command was started with.

    Raises:
        ValueError: Others can read the file. The sentence says what to run.
    """
    file = Path(environment.get("HOME") or Path.home(), ROOT_FILE)
    if {"PVE_SSH", "PVE_TRANSPORT", "PIPENV_DOTENV_LOCATION"} & environment.keys() or not file.is_file():
        return dict(environment)
    if problem := exposed(file):
        raise ValueError(problem)
    from dotenv import dotenv_values  # noqa: PLC0415 - what does not need it does not wait for it

    # Not the endpoint of .env, but what was written before the command.
    stated = {name: value for name, value in environment.items() if _is_roots_own(name)}
    in_file = {name: value for name, value in dotenv_values(file).items() if value is not None}
    return {**environment, **in_file, **stated}
