"""What the API token is shown of the node: the way to it, its privileges, and what there is for a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from pve_agents.findings import SECONDS, Check, Outcome, failed, ok, parted
from pve_agents.guests import Own, own_tag
from pve_agents.node_access import Access, NodeError, access
from pve_agents.node_stock import Stock
from pve_agents.operator.doctor.judging import (
    CORRECT,
    judge_bridge,
    judge_certificate,
    judge_console,
    judge_disk,
    judge_download,
    judge_endpoint,
    judge_node,
    judge_template,
    judge_template_store,
    judge_token,
    judge_vmid,
    judge_volumes,
)
from pve_agents.privileges import Wanted, accepted, check
from pve_agents.settings import Agent
from pve_agents.vmid_holder import Holder, holder

__all__ = ["checks"]

# Less than the check's own time, so that the sentence about it is the API's.
_SECONDS = SECONDS - 0.5


class _Api:
    """The API, each thing asked once."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read where it is."""
        try:
            self.stated: Access | NodeError = access(variables)
        except NodeError as error:
            self.stated = error

    @property
    def access(self) -> Access:
        """Where it is, and as whom it is asked."""
        if isinstance(self.stated, NodeError):
            raise self.stated
        return self.stated

    @property
    def stock(self) -> Stock:
        """A connection of its own for each check: they run beside each other."""
        return Stock(self.access, seconds=_SECONDS)

    @cached_property
    def problem(self) -> NodeError | None:
        """Why it cannot be asked."""
        try:
            accepted(self.access, seconds=_SECONDS)
        except NodeError as error:
            return error
        return None


def checks(variables: Mapping[str, str], agents: Sequence[Agent]) -> list[Check]:
    """Return the checks of the API.

    Args:
        variables: The token's own.
        agents: Those whose containers are to be on the node.
    """
    api = _Api(variables)
    endpoint = Check("endpoint", lambda: judge_endpoint(api.stated, api.problem))
    certificate = Check("certificate", lambda: judge_certificate(api.access, api.problem), after=(endpoint,))
    # It says itself why it cannot be asked: its own form may be the reason.
    token = Check("token", lambda: judge_token(api.stated, api.problem))
    return [endpoint, certificate, token, *(it for agent in agents for it in _of_agent(agent, api, token))]


def _of_agent(agent: Agent, api: _Api, token: Check) -> list[Check]:
    # Without its name, as in the plan's guard: that may have changed in the settings.
    own = None if agent.adopt else Own(agent.name, own_tag(agent.name))

    def vmid() -> Holder:
        return holder(api.stock, agent.node, str(agent.vmid), own=own, token=api.access.token_id)

    def new(name: str, ask: Callable[[], Outcome], *after: Check) -> Check:
        return Check(name, lambda: _asked(ask), after=after, agent=agent.name)

    node = new("node", lambda: judge_node(agent.node, api.stock.nodes()), token)
    privileges = new("privileges", lambda: _privileges(agent, api), token)
    return [
        node,
        privileges,
        new("vmid", lambda: judge_vmid(agent.vmid, vmid()), privileges),
        new(
            "disk",
            lambda: judge_disk(agent.node, agent.disk, api.stock.datastores(agent.node), is_new=vmid().is_free),
            node,
            privileges,
        ),
        *_of_volumes(agent, api, new, (node, privileges)),
        *_of_template(agent, api, new, (node, privileges)),
        new(
            "bridge",
            lambda: judge_bridge(agent.node, agent.network.bridge, api.stock.bridges(agent.node), api.access),
            node,
        ),
        *(
            [new("console", lambda: judge_console(api.stock.version()), privileges)]
            if agent.delivery == "console"
            else []
        ),
    ]


def _of_volumes(agent: Agent, api: _Api, new: Callable[..., Check], grounds: tuple[Check, ...]) -> list[Check]:
    """Nothing where there is none."""
    if not agent.volumes:
        return []
    return [
        new("volumes", lambda: judge_volumes(agent.node, agent.volumes, api.stock.datastores(agent.node)), *grounds)
    ]


def _of_template(agent: Agent, api: _Api, new: Callable[..., Check], grounds: tuple[Check, ...]) -> tuple[Check, Check]:
    template, node = agent.template, agent.node
    store = new(
        "template store",
        lambda: judge_template_store(node, template.datastore, api.stock.datastores(node)),
        *grounds,
    )

    def file() -> Outcome:
        there = api.stock.templates(node, template.datastore)
        if template.url is None or template.volume in there:
            return judge_template(node, template, there)
        free = api.stock.datastores(node)[template.datastore].free
        return judge_download(node, template, free, *api.stock.download(node, template.url))

    return store, new("template", file, store)


def _privileges(agent: Agent, api: _Api) -> Outcome:
    needs = check(api.access, Wanted.by(agent), seconds=_SECONDS)
    if not needs:
        return ok(f"{api.access.token_id} has all that {agent.name} needs")
    commands = (line for need in needs for line in need.commands(api.access.user, api.access.token_id))
    lacks = "; ".join(need.sentence for need in needs)
    return failed(f"{api.access.token_id} lacks {lacks}", "\n".join(["as root on the node:", *commands]))


def _asked(ask: Callable[[], Outcome]) -> Outcome:
    try:
        return ask()
    except NodeError as error:
        return failed(*parted(str(error), CORRECT))
