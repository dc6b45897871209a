"""``agents grant``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

import click
from pydantic import SecretStr

from pve_agents.agents.litellm.grants import Gateway, Grant, GrantError, put_secret, secret_in
from pve_agents.agents.litellm.settings import Litellm
from pve_agents.host.given import read_given
from pve_agents.host.wanted import Secrets
from pve_agents.operator.project import DIRECTORY, Project, open_project
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.secret_values import secrets_variable
from pve_agents.settings import Agent

_DURATION = r"[1-9][0-9]{0,5}(s|m|h|d|mo)"


@click.command
@click.argument("gateway")
@click.argument("agent")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), required=True, help="dollars that it may spend")
@click.option("--models", metavar="MODEL[,MODEL]", help="models that it may ask; all of the gateway's by default")
@click.option("--every", metavar="TIME", default="", help="after which the budget begins anew, such as 30d")
@click.option("--revoke", is_flag=True, help="end the key that the agent's secrets file has now")
def command(gateway: str, agent: str, budget: float, models: str | None, every: str, *, revoke: bool) -> None:
    """Make a virtual key for AGENT on the running GATEWAY, and put it into AGENT's secrets file."""
    project = open_project()
    at, of = project.chosen([gateway, agent])
    litellm = Litellm.of(at)
    if litellm is None:
        raise Stopped(f"the agent {gateway} is no gateway: name one that has a section litellm")
    secret = _secret(at, of)
    grant = Grant(agent, _models(litellm, gateway, models), budget, _time(every))
    file = _file(of, project.of_root)
    try:
        before = secret_in(file, secret)
        there = Gateway(gateway, _url(at, litellm), _master_key(at, litellm, project))
        _keep(there, file, secret, there.make(grant))
        if revoke and before:
            there.end(before)
    except GrantError as error:
        raise Stopped(f"{error}.", status=FAILED) from None
    left = "" if revoke or before is None else " The key before it stays valid; --revoke would have ended it."
    click.echo(
        f"{agent} may spend {budget:g} dollars{f' every {every}' if every else ''} on {', '.join(grant.models)} at "
        f"{gateway}: {secret} is in {file}. Deliver it with `pipenv run agents secrets {agent}`.{left}"
    )


def _keep(gateway: Gateway, file: Path, name: str, key: SecretStr) -> None:
    """Write a key that was made; one that cannot be kept is ended."""
    try:
        put_secret(file, name, key)
    except GrantError:
        with contextlib.suppress(GrantError):
            gateway.end(key)
        raise


def _secret(gateway: Agent, agent: Agent) -> str:
    """Return the name of the secret with which an agent shows the key."""
    asks = agent.section.asks() if agent.section else ()
    names = list(dict.fromkeys(it.secret for it in asks if it.agent == gateway.name))
    if not names:
        raise Stopped(
            f"the agent {agent.name} does not ask {gateway.name}: write gateway: {gateway.name} where its section names its "
            "provider"
        )
    if len(names) > 1 or not names[0]:
        raise Stopped(f"the agent {agent.name} shows {gateway.name} no key, or several: write one key_env for it")
    return names[0]


def _models(litellm: Litellm, gateway: str, named: str | None) -> list[str]:
    there = list(litellm.endpoint.models)
    wanted = there if named is None else [it.strip() for it in named.split(",") if it.strip()]
    if unknown := [it for it in wanted if it not in there]:
        raise Stopped(f"the gateway {gateway} has no model {unknown[0]}; it has {', '.join(there)}")
    if not wanted:
        raise Stopped(f"--models names no model; write one of {', '.join(there)}, or leave it out for all")
    return wanted


def _time(every: str) -> str:
    if every and not re.fullmatch(_DURATION, every):
        raise Stopped(f"--every {every} is no time; write one such as 30d, 12h or 1mo")
    return every


def _file(agent: Agent, variables: Mapping[str, str]) -> Path:
    name = secrets_variable(agent.name)
    if not (named := variables.get(name)):
        raise Stopped(
            f"{name} is not set: write {name}=/path/of/a/file into root's file, and the agent's secrets into it"
        )
    return DIRECTORY / Path(named).expanduser()


def _url(gateway: Agent, litellm: Litellm) -> str:
    if not (address := gateway.neighbour.address):
        raise Stopped(f"nobody knows where {gateway.name} is: write agents.{gateway.name}.network.address")
    return litellm.endpoint.base_url(address).removesuffix(litellm.endpoint.path)


def _master_key(gateway: Agent, litellm: Litellm, project: Project) -> SecretStr:
    variable, name = secrets_variable(gateway.name), litellm.master_key
    variables = dict(project.of_root)
    if named := variables.get(variable):
        variables[variable] = str(DIRECTORY / Path(named).expanduser())
    given = read_given(Secrets((name,), {}, path="", uid=0, gid=0), variables, agent=gateway.name)
    if given.missing:
        raise Stopped(f"{name} is missing: write it as NAME=VALUE into the 0600 file that {variable} names")
    return SecretStr(given.values[name])
