"""What Terraform starts for a step: `python3 DIRECTORY STEP [--destroy]`, with what is wanted in its environment.

HOST_STEP_SPEC holds what is wanted, HOST_STEP_DEPLOY a text that is the same for all steps of one deploy. With `--destroy`,
HOST_STEP_LEAVING holds what the step had attached, as the state says it, and HOST_STEP_REPLACED whether the step comes back.

Exit status: 0 as wanted, 2 wrong settings, 3 refused or failed on the node, 4 the node was not reached.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pve_agents.host.given import Given, read_given
from pve_agents.host.handed import HandedOn
from pve_agents.host.place import place_of
from pve_agents.host.plan import plan
from pve_agents.host.plan_guest import INSIDE, Delivery
from pve_agents.host.plan_leaving import plan_leaving, plan_stop
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError, read_leaving, read_wanted
from pve_agents.host.step import AS_WANTED, UNREACHED, WRONG_SETTINGS, Judge, Node, Say, act, interrupted
from pve_agents.host.wanted import Leaving, Wanted

if TYPE_CHECKING:
    from pve_agents.host.paste import Paste

__all__ = ["STEPS", "delivery_of", "main"]

STEPS: Mapping[str, str] = {
    "host-directories": "host directories",
    "container-config": "container config",
    "payload": "payload",
    "bootstrap": "bootstrap",
}
"""The steps in their order, with what they are called to people."""

_INTERRUPTED = 130


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one step and return its exit status."""
    parser = argparse.ArgumentParser(prog="step", description="Run one root step of an agent.")
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--destroy", action="store_true", help="take back what the step did")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    title = STEPS[asked.step]
    node: Node | None = None
    try:
        wanted = read_wanted(environment.get("HOST_STEP_SPEC", ""))
        steps = [it for it in STEPS if not wanted.by_console or it in INSIDE]
        title = f"[{wanted.agent} {[*steps, asked.step].index(asked.step) + 1}/{len(steps)}] {title}"
        print(f"{title} …", flush=True)
        place = place_of(wanted, environment, lambda text: print(f"[{wanted.agent}] {text}", flush=True))
        node = place if isinstance(place, Node) else None
        status = (_destroy if asked.destroy else _apply)(asked.step, place, environment)
    except WrongSettingsError as error:
        return _failed(title, str(error), WRONG_SETTINGS)
    except UnreachedError as error:
        return _failed(title, str(error), UNREACHED)
    except KeyboardInterrupt:
        return _failed(title, interrupted(node), _INTERRUPTED)
    word = "ok" if status == AS_WANTED else "FAILED"
    print(f"{title} … {word} {time.monotonic() - began:.1f}s", flush=True)
    return status


def delivery_of(wanted: Wanted, given: Given) -> Delivery:
    """What this side has to give.

    Raises:
        WrongSettingsError: The packed payload is not there, or not the planned one.
    """
    archive = b""
    if wanted.payload:
        path = Path(wanted.payload.archive)
        try:
            archive = path.read_bytes()
        except OSError as error:
            raise WrongSettingsError(
                f"cannot read the payload {path}: {error.strerror}; synthesize the stack again"
            ) from None
        if hashlib.sha256(archive).hexdigest() != wanted.payload.sha256:
            raise WrongSettingsError(
                f"the payload {path} is not the planned one (its SHA-256 differs); synthesize the stack again"
            )
    return given.with_payload(archive)


def _apply(step: str, place: Node | Paste, environment: Mapping[str, str]) -> int:
    wanted, deploy = place.wanted, environment.get("HOST_STEP_DEPLOY", "")
    if not isinstance(place, Node):
        from pve_agents.host.paste import plan_paste  # noqa: PLC0415 - imports what speaks to the API

        # All steps at once: they can all be repeated.
        delivery = delivery_of(wanted, Given({}, ()))
        return place.act(plan_paste(wanted, place.look(), delivery), deploy)
    delivery = delivery_of(wanted, read_given(wanted.secrets, environment, agent=wanted.agent))
    handed_on = HandedOn(deploy, wanted)
    facts = place.look(seen=handed_on.take())
    handed_on.forget()
    # What any step will refuse is refused before the first one's first command.
    status = act(place, facts, lambda facts: plan(wanted, facts, delivery), step)
    # After a refusal somebody mends what was seen, and may be back within the second that Terraform's time tells apart.
    if status == AS_WANTED:
        handed_on.give(place.seen)
    return status


def _destroy(step: str, place: Node | Paste, environment: Mapping[str, str]) -> int:
    judge = _leaving(step, place.wanted, place.say, environment)
    if judge is None:
        return AS_WANTED
    if isinstance(place, Node):
        return act(place, place.look(), judge, step)
    if step == "bootstrap":
        place.say_how_to_stop()
        return AS_WANTED
    return place.act(judge(place.look()), "", judge)


def _leaving(step: str, wanted: Wanted, say: Say, environment: Mapping[str, str]) -> Judge | None:
    """What a step takes back, or nothing."""
    is_replaced = environment.get("HOST_STEP_REPLACED") == "yes"
    leaving = read_leaving(environment.get("HOST_STEP_LEAVING", ""))
    stays = is_replaced and leaving == Leaving(wanted.vmid, {it.key: it.source for it in wanted.attached})
    if step == "payload" or (step == "bootstrap" and is_replaced) or stays:
        why = "replaced to run again: nothing is taken back" if is_replaced else "nothing to take back"
        say(f"{why}, data and files stay where they are")
        return None
    if step == "bootstrap":
        return lambda facts: plan_stop(wanted, facts)
    # What a step attached before it failed is taken back by the one before, since Terraform runs nothing for it.
    return lambda facts: plan_leaving(wanted, facts, leaving, is_replaced=is_replaced, step=step)


def _failed(title: str, message: str, status: int) -> int:
    print(f"{title} … FAILED: {message}", file=sys.stderr, flush=True)
    return status


def run() -> None:
    """Run, with the arguments and the environment of this process."""
    os.umask(0o077)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt_once)
    sys.exit(main(sys.argv[1:], os.environ))


def _interrupt_once(*_: object) -> None:
    # Terraform sends one of its own to what it has started, beside the terminal's: it would break into the tidying up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
