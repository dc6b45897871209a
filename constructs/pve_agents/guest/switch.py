"""One thing in the place of another one that answers: another runtime, or another release.

All that takes long is there already. What is left, the stop of the old one, the start of the new one and its first answer,
or the way back, is one job of systemd's: whoever waits for it may be killed, and after a power cut it goes on by itself.

    switch          what is begun: PHASE SIDE VERSION, where SIDE and VERSION are what answered before
    switch.log      what the job says
    switch.failed   why the new one does not run: a sentence, and lines below it

PHASE is ``to`` until the new one has answered, then ``done`` until the old one is gone; ``back`` when the old one is to answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pve_agents.guest.progress import FailureError
from pve_agents.guest.runtime import Step
from pve_agents.guest.sides import SIDES
from pve_agents.guest.systemd import UNIT_FILES
from pve_agents.guest.unexpected import unexpected
from pve_agents.guest.work import Work

__all__ = ["carry_out", "settle", "want_replaced"]

_LOOK_SECONDS = 0.5
_JOB_SECONDS = 3600
_ASK_SECONDS = 60
_JOB = """\
# Written by the deploy, and started by it: it ends what runs the agent, and starts what is to run it.
[Unit]
Description=Another runtime or release of the agent {agent}
After=network-online.target docker.service
Wants=network-online.target

[Service]
Type=oneshot
ExecStart={payload}/bootstrap --switch
Restart=on-abnormal
RestartSec=1
TimeoutStartSec=infinity
StandardOutput=append:{log}
StandardError=inherit

[Install]
WantedBy=multi-user.target
"""


def _record(work: Work) -> str:
    return f"{work.project}/switch"


def _log(work: Work) -> str:
    return f"{work.project}/switch.log"


def _failed(work: Work) -> str:
    return f"{work.project}/switch.failed"


def _job(work: Work) -> str:
    return f"pve-agents-switch-{work.plan.agent}.service"


def want_replaced(work: Work, steps: Iterable[Step]) -> None:
    """Do the steps that replace what runs; as a job, where something answers that may have to answer again.

    Args:
        work: The run.
        steps: They.
    """
    side, version = _source(work)
    if not side:
        for step in steps:
            work.progress.step(step)
        return
    work.remember(_record(work), f"to {side} {version}")
    work.progress.say_of_agent(
        f"now {_called(side, version)} is stopped, and comes back if the new one does not answer"
    )
    _follow(work)


def _source(work: Work) -> tuple[str, str]:
    """Return what answers until now, and has to be stopped as a whole: its side, and what of it."""
    own = work.runtime.side
    other = next((it for it in SIDES if it != own and SIDES[it](work).is_there), "")
    if other:
        return other, ""
    version = work.runtime.replaced_version()
    return (own, version) if version else ("", "")


def _called(side: str, version: str) -> str:
    return f"the release {version}" if version else f"what runs by {side}"


def settle(work: Work) -> None:
    """Have an end of what an earlier run has begun: it went on without that run, or goes on now."""
    if work.machine.is_file(_record(work)):
        work.progress.say_of_agent("an earlier deploy was stopping what runs: ending that first")
        try:
            _follow(work)
        except FailureError as error:
            work.progress.say_of_agent(error.sentence)


def _follow(work: Work) -> None:
    """Have the job run, and hand on what it says until it ends."""
    machine, job, log = work.machine, _job(work), _log(work)
    text = _JOB.format(agent=work.plan.agent, payload=work.payload, log=log)
    if not _is_at_work(work):
        if machine.text(f"{UNIT_FILES}/{job}") != text.rstrip("\n"):
            machine.write(f"{UNIT_FILES}/{job}", text.encode())
            machine.run("systemctl", "daemon-reload", seconds=_ASK_SECONDS)
        for file in (log, _failed(work)):
            machine.remove(file)
        work.sync(work.project)
        machine.run("systemctl", "enable", "--quiet", job, seconds=_ASK_SECONDS)
        machine.run("systemctl", "reset-failed", job, seconds=_ASK_SECONDS)
        machine.run("systemctl", "start", "--no-block", job, seconds=_ASK_SECONDS)
    hand_on = _hander(work, log)
    until = machine.seconds() + _JOB_SECONDS
    while _is_at_work(work) and machine.seconds() < until:
        hand_on()
        machine.sleep(_LOOK_SECONDS)
    hand_on()
    if why := machine.text(_failed(work)):
        sentence, *lines = why.split("\n")
        raise FailureError(sentence, *lines, is_said=True)
    if machine.is_file(_record(work)):
        raise FailureError(
            f"the change is not at its end: look at `journalctl -u {job}` in the container, and deploy again"
        )


def _hander(work: Work, log: str) -> Callable[[], None]:
    shown = 0

    def hand_on() -> None:
        nonlocal shown
        lines = (work.machine.read(log) or b"").decode(errors="replace").split("\n")[:-1]
        for line in lines[shown:]:
            work.progress.hand_on(work.secrets.redacted(line))
        shown = len(lines)

    return hand_on


def _is_at_work(work: Work) -> bool:
    said = work.machine.run("systemctl", "show", "--property", "ActiveState", _job(work), seconds=_ASK_SECONDS).out
    return said.partition("=")[2] in ("activating", "active", "deactivating", "reloading")


# the job ----------------------------------------------------------------------------------------------------------------


def carry_out(work: Work, steps: Iterable[Step]) -> None:
    """Be the job: go on with what is begun, to its end or back.

    Args:
        work: The run.
        steps: What replaces the old one, to the first answer of the new one.

    Raises:
        FailureError: The new one does not run; the old one does, unless the sentence says otherwise.
    """
    phase, side, version = [*work.machine.text(_record(work)).split(" ", 2), "", "", ""][:3]
    if side not in SIDES:
        _end(work)
        return
    if phase == "to" and side == work.runtime.side and not version:
        # The settings are back at what ran before.
        phase = "back"
    steps = list(steps)
    work.progress.go_on_after(work.progress.steps - len(steps))
    if phase == "to":
        try:
            _replace(work, side, version, steps)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old one has to answer again
            work.progress.failed()
            _go_back(work, side, version, error)
        phase = "done"
        work.remember(_record(work), f"{phase} {side} {version}")
    if phase == "done":
        if side != work.runtime.side:
            SIDES[side](work).remove()
            work.progress.say_of_agent(f"what ran by {side} is removed")
    else:
        _back(work, side, version)
    _end(work)


def _replace(work: Work, side: str, version: str, steps: list[Step]) -> None:
    if side != work.runtime.side:
        SIDES[side](work).hold()
    work.progress.say_of_agent(f"{_called(side, version)} has stopped")
    for step in steps:
        work.progress.step(step)


def _go_back(work: Work, side: str, version: str, error: Exception) -> None:
    known = error if isinstance(error, FailureError) else FailureError(unexpected(error))
    sentence, lines = work.secrets.redacted(known.sentence), [work.secrets.redacted(it) for it in known.lines]
    work.remember(_record(work), f"back {side} {version}")
    try:
        _back(work, side, version)
        sentence += f". Until then {_called(side, version)} runs again"
    except FailureError as second:
        sentence += f". What ran before does not come back by itself: {second.sentence}"
    work.remember(_failed(work), "\n".join([sentence, *lines]))
    _end(work)
    raise FailureError(sentence, *lines, is_said=True)


def _back(work: Work, side: str, version: str) -> None:
    """Have the old one answer, and nobody else."""
    for name, other in SIDES.items():
        if name != side and other(work).is_there:
            other(work).hold()
            other(work).remove()
    work.runtime.go_back_to(version) if side == work.runtime.side and version else SIDES[side](work).release()


def _end(work: Work) -> None:
    work.machine.run("systemctl", "disable", "--quiet", _job(work), seconds=_ASK_SECONDS)
    work.machine.remove(_record(work))
