"""Releases of the software: made beside the one that runs, and chosen by a link.

A virtual environment has its own path in its programs, so that one that is made under another name does not run under its own.
What tells a whole one from one that somebody was killed over is a file that is written last; nothing leads to it before.
"""

from __future__ import annotations

import re

from pve_agents.guest.apt import wait_for_network
from pve_agents.guest.machine import TIMED_OUT
from pve_agents.guest.progress import fail
from pve_agents.guest.work import NativeWork

__all__ = ["current_release", "is_whole", "keep_two_releases", "link_release", "want_release"]

_WHOLE = ".whole"
_MINUTES = 40
_NO_WAY = re.compile(
    r"could not resolve|name or service not known|temporary failure in name|connection refused|timed out|unreachable|"
    r"could not connect|failed to establish|max retries|unable to access",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"no matching distribution|could not find a version|remote branch .* not found|did not match any|pathspec",
    re.IGNORECASE,
)


def is_whole(work: NativeWork, name: str) -> bool:
    """Tell whether a release is there, and whole."""
    return work.machine.is_file(f"{work.native.release.place}/{name}/{_WHOLE}")


def want_release(work: NativeWork) -> None:
    """Have the release here; what runs is not touched."""
    release = work.native.release
    if is_whole(work, release.name):
        return
    # It may be named by the link of an earlier, broken state; a half-made one is of no use.
    work.machine.want_directory(release.place)
    work.machine.remove(release.directory)
    free = work.machine.free_mebibytes(release.place)
    if free < release.mebibytes:
        fail(f"the release {release.name} needs about {release.mebibytes} MiB, and {free} are free: {work.more_room}")
    wait_for_network(work)
    work.progress.say(f"installing {work.native.title} {release.name}")
    work.machine.make_directory(release.directory)
    for command in release.commands:
        _run(work, tuple(it.replace("{release}", release.directory) for it in command))
    # What a power cut leaves of it must be all of it.
    work.sync(release.place)
    work.remember(f"{release.directory}/{_WHOLE}", release.name)
    work.sync(release.place)
    work.progress.did(release.name)


def _run(work: NativeWork, command: tuple[str, ...]) -> None:
    said: list[str] = []

    def hear(line: str) -> None:
        if line.strip():
            said.append(line.strip())
        work.progress.waiting(said[-1][:150] if said else "at work")

    # Nothing of root's own, such as a configuration of its user, takes part.
    place = f"{work.native.release.place}/.home"
    work.machine.want_directory(place, 0o700)
    environment = (
        "env",
        f"HOME={place}",
        "PIP_NO_CACHE_DIR=1",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
        "PYTHONDONTWRITEBYTECODE=",
    )
    status = work.machine.follow(*environment, *command, seconds=_MINUTES * 60, on_line=hear)
    work.machine.remove(place)
    if status != 0:
        _failed(work, command, status, [work.secrets.redacted(it) for it in said])


def _failed(work: NativeWork, command: tuple[str, ...], status: int, said: list[str]) -> None:
    name, setting, text = work.native.release.name, work.native.settings.release, "\n".join(said)
    lines = said[-5:]
    if "No space left" in text:
        fail(work.more_room, *lines)
    if _NOT_THERE.search(text):
        fail(f"there is no {work.native.title} {name} where it is looked for: look at {setting}", *lines)
    if _NO_WAY.search(text):
        fail(
            "where the release comes from is not reached: look at the container's network and name server, and deploy again",
            *lines,
        )
    if status == TIMED_OUT:
        fail(f"the release {name} was not made within {_MINUTES} minutes: deploy again", *lines)
    fail(f"the release {name} cannot be made: `{' '.join(command)[:120]}` fails in the container", *lines)


# which one runs ---------------------------------------------------------------------------------------------------------


def current_release(work: NativeWork) -> str:
    """Return the name of the release that the link leads to; empty if there is none."""
    link = work.machine.place(f"{work.native.release.place}/current")
    return link.readlink().name if link.is_symlink() else ""


def link_release(work: NativeWork, name: str) -> bool:
    """Have the link lead to a release; tell whether there was need. Whoever follows it meanwhile finds one of the two."""
    if current_release(work) == name:
        return False
    place, beside = f"{work.native.release.place}/current", f"{work.native.release.place}/current.new"
    work.machine.remove(beside)
    work.machine.place(beside).symlink_to(name)
    work.machine.move(beside, place)
    work.sync(work.native.release.place)
    return True


def keep_two_releases(work: NativeWork) -> None:
    """Keep the current release and the one before it, to go back to."""
    file, place, name = f"{work.project}/releases", work.native.release.place, work.native.release.name
    kept = work.machine.text(file).splitlines()
    if kept[:1] != [name]:
        kept = [name, *(it for it in kept if it != name)][:2]
        work.remember(file, "\n".join(kept))
    for other in work.machine.names(place):
        if other not in (*kept, "current"):
            work.machine.remove(f"{place}/{other}")
