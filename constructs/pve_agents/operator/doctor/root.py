"""What root is shown of the node: the way in, its disks, its packages, and the container that may be there already."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from pve_agents.findings import SECONDS, Check, Outcome, failed, ok, parted, skipped, warning
from pve_agents.host.facts import Facts, LookError, look_at, read_facts
from pve_agents.host.place import place_of, transport_of
from pve_agents.host.plan import foreseen
from pve_agents.host.plan_container import at_least, carries_tag, plan_config, too_new, why_not_ours
from pve_agents.host.plan_directories import plan_directories
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import Node
from pve_agents.host.verify import UNSEEN
from pve_agents.host.wanted import Wanted
from pve_agents.operator.project import Project
from pve_agents.operator.stopped import Stopped
from pve_agents.settings import Agent

__all__ = ["checks", "judge_container", "judge_devices", "judge_directories", "judge_packages", "judge_ssh"]

# Older ones refuse what runc sets up since 1.3.3, and no container of Docker's starts (opencontainers/runc 4968).
_LXC_FOR_DOCKER = "6.0.5-2"
_LONGEST_WORDS = 4000
_COMPARE = (
    "run `ssh {host} true` once, and compare the fingerprint with what the node's own console shows for "
    "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"
)
_CORRECT = "correct it in root.env"
_OTHERS = "choose another vmid in homelab.yaml"


class _Root:
    """The node as root sees it, looked at once."""

    def __init__(self, project: Project, wanted: Wanted) -> None:
        """Know what is wanted there, which is not all that the agent is: nobody looks into its container."""
        self._project = project
        self.wanted = replace(wanted, payload=None, bootstrap=None)
        self.facts = Facts(node="")

    @property
    def seconds(self) -> float:
        """How long the first answer may take: as long as the way there says."""
        try:
            return transport_of(self._project.of_root).seconds
        except (Stopped, WrongSettingsError):
            return SECONDS

    def reach(self) -> Outcome:
        """Look at the node."""
        try:
            variables = self._project.of_root
            place = place_of(self.wanted, variables, lambda _: None)
            if isinstance(place, Node):
                return self._look(place, variables)
            self.facts = place.look()
        except (Stopped, WrongSettingsError, UnreachedError) as error:
            return failed(*parted(str(error), _CORRECT))
        return ok(transport_of(variables).login(variables, self.wanted.node))

    def _look(self, place: Node, variables: Mapping[str, str]) -> Outcome:
        host = variables.get("PVE_SSH", "")
        with tempfile.TemporaryFile() as words:
            place.shell.errors = words
            try:
                self.facts = read_facts(place.shell.look(look_at(self.wanted)), self.wanted.vmid)
            except UnreachedError as error:
                words.seek(0)
                said = words.read(_LONGEST_WORDS).decode("utf-8", "replace")
                return judge_ssh(host, said) if said.strip() else failed(*parted(str(error), _CORRECT))
            except LookError as error:
                return failed(str(error), f"try `ssh {host} bash --version`: it is to be a shell of root's on the node")
        if self.facts.node != self.wanted.node:
            return failed(
                f"this is node {self.facts.node}, and the agent belongs to {self.wanted.node}",
                "correct PVE_SSH in root.env, or node in homelab.yaml",
            )
        return ok(transport_of(variables).login(variables, self.facts.node))


def checks(project: Project, agent: Agent, wanted: Wanted, *, docker: str = "") -> list[Check]:
    """Return the checks of an agent's node.

    Args:
        project: The project.
        agent: The agent.
        wanted: What is wanted of it.
        docker: Where the Docker in its container comes from. Defaults to nowhere: there is none.
    """
    root = _Root(project, wanted)
    reach = Check("root", root.reach, seconds=root.seconds, agent=agent.name)

    def new(name: str, judge: Callable[[Wanted, Facts], Outcome]) -> Check:
        return Check(name, lambda: judge(root.wanted, root.facts), after=(reach,), agent=agent.name)

    found = [reach, new("packages", lambda wanted, facts: judge_packages(wanted, facts, docker=docker))]
    if root.wanted.directories:
        found.append(new("host directories", judge_directories))
    if root.wanted.devices:
        found.append(new("devices", judge_devices))
    adopt = agent.adopt
    return [*found, new("container", lambda wanted, facts: judge_container(wanted, facts, adopt=adopt))]


def judge_ssh(host: str, said: str) -> Outcome:
    """What ssh's words mean, and what to do about it."""
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("@")]
    for pattern, detail, remedy in _SSH:
        if re.search(pattern, said):
            name = host.rpartition("@")[2]
            return failed(detail.format(host=host, name=name), remedy.format(host=host, name=name))
    last = " ".join("".join(filter(str.isprintable, lines[-1] if lines else "")).split())
    return failed(f"ssh to {host} fails: {last}", f"try `ssh -v {host} true`, or another PVE_TRANSPORT")


_SSH = (
    (
        "IDENTIFICATION HAS CHANGED",
        "the host key of {name} is not the one that this machine knows",
        "find out why; if the node was installed anew, run `ssh-keygen -R {name}`, then `ssh {host} true`",
    ),
    (
        "Host key verification failed",
        "this machine does not know the host key of {name}",
        _COMPARE,
    ),
    (
        "Permission denied|Too many authentication failures",
        "{host} asks for a password, and nobody is there to type it",
        "run `ssh-copy-id {host}`; if the key is there, `ssh-add` it",
    ),
    (
        "Could not resolve hostname",
        "there is no host of the name {name}",
        "correct PVE_SSH in root.env",
    ),
    (
        "Connection refused|timed out|No route to host|unreachable",
        "ssh does not reach {name}",
        "is the node on, does its ssh run, and is PVE_SSH in root.env right? Without ssh: PVE_TRANSPORT=paste",
    ),
)


def judge_packages(wanted: Wanted, facts: Facts, *, docker: str = "") -> Outcome:
    """Whether the node's own packages are new enough."""
    if not facts.sees_paths:
        return skipped(UNSEEN)
    upgrade = f"run `apt-get update && apt-get install -y {{}}` on {facts.node}"
    if old := [sentence for it in wanted.mounts for sentence in too_new(it, facts)]:
        return failed("; ".join(old), f"{upgrade.format('pve-container')}, or leave the option out")
    if docker and facts.lxc_pve and not at_least(facts.lxc_pve, _LXC_FOR_DOCKER):
        detail = (
            f"lxc-pve {facts.lxc_pve}: Docker starts no container with runc 1.3.3 or newer before {_LXC_FOR_DOCKER}"
        )
        # Debian's own Docker comes with an older runc.
        return (failed if docker == "docker" else warning)(detail, upgrade.format("lxc-pve"))
    if not facts.pve_container or not facts.lxc_pve:
        return warning("the versions of pve-container and lxc-pve are unknown", f"try `pveversion -v` on {facts.node}")
    return ok(f"pve-container {facts.pve_container}, lxc-pve {facts.lxc_pve}")


def judge_directories(wanted: Wanted, facts: Facts) -> Outcome:
    """Whether the host directories can be made, and lie on a disk that is mounted."""
    if not facts.sees_paths:
        return skipped(UNSEEN)
    plan = plan_directories(wanted, facts)
    if plan.refusals:
        said = [parted(it.text, "") for it in plan.refusals]
        remedies = [remedy or f"look at {wanted.directories[0].path} on {facts.node}" for _, remedy in said]
        return failed("; ".join(detail for detail, _ in said), "\n".join(remedies))
    if plan.notes:
        on_root = [str(PurePosixPath(it.path).parent) for it in wanted.directories if _disk(it.path, facts) == "/"]
        return warning(
            "; ".join(plan.notes), "\n".join(f"run `findmnt -T {it}` on {facts.node}" for it in dict.fromkeys(on_root))
        )
    return ok(", ".join(f"{it.path} (on {_disk(it.path, facts)})" for it in wanted.directories))


def judge_devices(wanted: Wanted, facts: Facts) -> Outcome:
    """Whether the devices are there."""
    if not facts.sees_paths:
        return skipped(UNSEEN)
    missing = [it for it in wanted.devices if facts.path(it.source).kind != "character special file"]
    if missing:
        names = ", ".join(f"{it.source} ({it.key})" for it in missing)
        return failed(f"no character device of {facts.node}: {names}", f"look at `ls -l /dev` on {facts.node}")
    return ok(", ".join(it.source for it in wanted.devices))


def judge_container(wanted: Wanted, facts: Facts, *, adopt: bool = False) -> Outcome:
    """Whether the container, where there is one, can be made what is wanted.

    Args:
        wanted: What is wanted.
        facts: What was seen.
        adopt: Whether another one is to be taken over.
    """
    container = facts.containers.get(wanted.vmid)
    if container is None and not facts.elsewhere:
        return ok(f"{wanted.vmid} is not there yet: the deploy makes it")
    is_ours = container is not None and (adopt or carries_tag(wanted, container))
    # The token's stack gives ours its name and its tag, before root asks for them.
    seen = foreseen(wanted, facts) if is_ours else facts
    problem = why_not_ours(wanted, seen)
    refusals = [problem] if problem else [it.text for it in plan_config(wanted, seen).refusals]
    if refusals:
        details, remedies = zip(*(parted(it, _OTHERS) for it in refusals), strict=True)
        return failed("; ".join(details), "\n".join(remedies))
    return ok(f"{wanted.vmid} {wanted.hostname} is {facts.state or 'there'}")


def _disk(path: str, facts: Facts) -> str:
    found = facts.path(path)
    return (found if found.kind else facts.path(str(PurePosixPath(path).parent))).mounted_at
