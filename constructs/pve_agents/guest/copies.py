"""The data of the agents, copied before another version runs on it, and the way back.

A newer version may change its data so that an older one cannot read it. A copy is made while the services stand still:
nobody may open a database that is in use, since an end of the wrong process takes what is not yet written in it.

    copies/NAME/of              which copy it is: a line for each directory, with the ids before and after, and who ended when
    copies/NAME/DATA/data       all that was in the directory
    copies/NAME/DATA/image      the ids of the images, or of the release, that ran on it, and what they were called
    copies/ran/DATA             the same for the directory itself

All of it is for root alone. NAME is a time, so that names sort by age.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pve_agents.guest.progress import fail
from pve_agents.guest.runtime import Holding
from pve_agents.guest.work import Work

__all__ = ["copy_before_upgrade", "finish_restore", "remember_versions", "restore"]

_MOST_COPIES = 2
# Beside the size of the data: what an agent that goes on may want meanwhile.
_SPARE_MEBIBYTES = 256
_COPY_SECONDS, _SIZE_SECONDS = 6 * 3600, 600


def _copies(work: Work) -> str:
    return f"{work.project}/copies"


def _names(work: Work) -> list[str]:
    """Return the names of the copies, the oldest first."""
    found = (it for it in work.machine.names(_copies(work)) if re.match("[0-9]", it))
    return [it for it in found if work.machine.is_file(f"{_copies(work)}/{it}/of")]


def _want_place(work: Work) -> None:
    work.machine.want_directory(_copies(work), 0o700)
    work.machine.want_directory(f"{_copies(work)}/ran")


def _joined(words: Iterable[str]) -> str:
    """Return words as one, which no name or id can hold."""
    return "+".join(words)


def _version_of_data(work: Work, holding: Holding) -> str:
    """Return the ids and the names of what ran on the data last, or nothing."""
    ran = f"{_copies(work)}/ran/{holding.name}"
    if work.machine.is_file(ran):
        return work.machine.text(ran)
    return work.runtime.found_on(holding)


# the copy ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outdated:
    """The data that another version has run on."""

    holdings: tuple[Holding, ...]
    of: str
    """What a copy of it is called."""

    @property
    def services(self) -> list[str]:
        """Whose it is."""
        return list(dict.fromkeys(name for it in self.holdings for name in it.services))


def _find_outdated(work: Work) -> _Outdated:
    outdated, of = [], ""
    for holding in work.runtime.holdings():
        version, wanted = _version_of_data(work, holding).partition(" ")[0], work.runtime.wanted_on(holding)
        if version and wanted and version != wanted and work.machine.is_directory(holding.directory):
            outdated.append(holding)
            of += f"{holding.name} {version} {wanted} {work.runtime.ended(holding) or 'none'}\n"
    return _Outdated(tuple(outdated), of)


def copy_before_upgrade(work: Work) -> None:
    """Copy the data of those whose version changes, with their services stopped.

    It is made beside its name, and gets the name when it is whole: a copy that is there is a good one.
    """
    outdated = _find_outdated(work)
    if not outdated.holdings or not work.software.copies:
        return
    _want_place(work)
    if _has_copy(work, outdated):
        return
    _want_room(work, outdated)
    names = outdated.services
    work.progress.say(
        f"stopping {' '.join(names)}, to copy the data before another {work.runtime.version_word} runs on it"
    )
    work.runtime.stop_services(names)
    # They may have ended in the meantime, and then another time.
    outdated = _find_outdated(work)
    if _has_copy(work, outdated):
        return
    new = f"{_copies(work)}/.new"
    work.machine.remove(new)
    work.machine.make_directory(new)
    for holding in outdated.holdings:
        _copy(work, holding, outdated, f"{new}/{holding.name}")
    work.machine.write(f"{new}/of", outdated.of.encode())
    work.sync(_copies(work))
    name = _free_name(work)
    work.machine.move(new, f"{_copies(work)}/{name}")
    work.progress.did(f"data copied: {name}")
    for old in _names(work)[:-_MOST_COPIES]:
        work.machine.remove(f"{_copies(work)}/{old}")


def _has_copy(work: Work, outdated: _Outdated) -> bool:
    """Tell whether a copy of the very data as it is now is there, since a run that was killed has made it."""
    of = outdated.of.rstrip("\n")
    return any(work.machine.text(f"{_copies(work)}/{it}/of") == of for it in _names(work))


def _want_room(work: Work, outdated: _Outdated) -> None:
    """Have room before anything is stopped."""
    size = sum(_mebibytes(work, it.directory) for it in outdated.holdings) + _SPARE_MEBIBYTES
    while (free := _free(work)) < size:
        names = _names(work)
        # The last one is worth more than a new one that may not come to be.
        if len(names) <= 1:
            fail(
                f"a copy of the agent's data, to go back to, needs {size} MiB, and {free} are free in the container: raise"
                f" {work.agent_setting}.disk.size_gib, or set {work.software.settings.copies} to false"
            )
        work.machine.remove(f"{_copies(work)}/{names[0]}")


def _mebibytes(work: Work, directory: str) -> int:
    said = work.machine.run("du", "-s", "--block-size=1M", "--", directory, seconds=_SIZE_SECONDS).out.split()
    return int(said[0]) if said and said[0].isdecimal() else 0


def _free(work: Work) -> int:
    shown = work.machine.run("df", "--output=avail", "--block-size=1M", _copies(work), seconds=60).last_line.strip()
    return int(shown) if shown.isdecimal() else 0


def _copy(work: Work, holding: Holding, outdated: _Outdated, place: str) -> None:
    work.machine.make_directory(place)
    work.remember(f"{place}/image", _version_of_data(work, holding))
    fault = _copy_tree(work, holding.directory, f"{place}/data")
    if fault is None:
        return
    # All go on as they were.
    work.machine.remove(f"{_copies(work)}/.new")
    work.runtime.start_services(outdated.services)
    fail(
        f"the data of {holding.name} cannot be copied, and the {work.runtime.version_word} stays as it is: look at the container's disk, or set"
        f" {work.software.settings.copies} to false",
        fault,
    )


def _copy_tree(work: Work, source: str, target: str) -> str | None:
    """Copy a directory; return what is wrong, if anything.

    No link is followed, and no file is shared with what it is a copy of; where the disk can share blocks until one of two
    files is written to, it does.
    """
    said = []

    def hear(line: str) -> None:
        if line:
            said.append(line)
        work.progress.waiting(f"copying {source}")

    command = ("cp", "-a", "--reflink=auto", "-T", "--", source, target)
    if work.machine.follow(*command, seconds=_COPY_SECONDS, on_line=hear) == 0:
        return None
    return work.secrets.redacted(said[-1]) if said else "cp failed"


def _free_name(work: Work) -> str:
    time, count = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ"), 1
    name = time
    while work.machine.exists(f"{_copies(work)}/{name}"):
        count += 1
        name = f"{time}.{count}"
    return name


def remember_versions(work: Work) -> None:
    """Write down which version runs on the data from now on, so that it is known even where nothing of it is left.

    Before it is started: killed in between, the next run must not take what the new one has begun to change for what the
    old one left.
    """
    _want_place(work)
    for holding in work.runtime.holdings():
        of = f"{work.runtime.wanted_on(holding)} {_joined(holding.versions)}"
        if work.machine.text(ran := f"{_copies(work)}/ran/{holding.name}") != of:
            work.remember(ran, of)


# the way back -----------------------------------------------------------------------------------------------------------


def _restoring(work: Work) -> str:
    """Return the file that tells what is begun: killed at any point, the next call, and the next deploy, go on from there."""
    return f"{_copies(work)}/restoring"


def restore(work: Work, name: str = "") -> None:
    """Put a copy in the place of the data, and keep what is there as a copy.

    Args:
        work: The run.
        name: Which one; the newest by default.
    """
    work.progress.begin("restore")
    if work.machine.is_file(_restoring(work)):
        name = work.machine.text(_restoring(work)).partition(" ")[2]
    else:
        names = _names(work)
        if not names:
            fail(
                f"there is no copy of the data of {work.plan.agent}: one is made before another {work.runtime.version_word} runs"
            )
        name = name or names[-1]
        if name not in names:
            fail(f"there is no copy {name}: write one of {' '.join(names)}")
        work.remember(_restoring(work), f"away {name}")
    replaced = finish_restore(work)
    for data in work.machine.names(f"{_copies(work)}/{name}"):
        image = work.machine.text(f"{_copies(work)}/{name}/{data}/image").partition(" ")[2]
        if image:
            under = image.replace("+", ", ")
            work.progress.say_of_agent(f"the data of {data} is as in the copy {name}, under {under}")
    if replaced:
        work.progress.say_of_agent(f"what was there before is the copy {replaced}")
    work.progress.say_of_agent(
        f"nothing runs now: set {work.runtime.version_setting} to what the data is of, and deploy {work.plan.agent}-root"
    )


def finish_restore(work: Work) -> str:
    """End a way back that has begun; return the name of the copy of what was there."""
    if not work.machine.is_file(_restoring(work)):
        return ""
    phase, _, name = work.machine.text(_restoring(work)).partition(" ")
    _stop(work)
    replaced = f"{_copies(work)}/.replaced"
    if phase == "away":
        # Moved, not copied: that needs no room, and what is half moved is moved further by the next run.
        work.machine.want_directory(replaced)
        for holding, _ in _of_copy(work, name):
            _move_away(work, holding, f"{replaced}/{holding.name}")
        work.remember(f"{replaced}/of", f"replaced by {name}")
        work.remember(_restoring(work), f"back {name}")
    for holding, place in _of_copy(work, name):
        _put_back(work, holding, place)
    work.sync(_copies(work))
    kept = ""
    if work.machine.is_directory(replaced):
        kept = _free_name(work)
        work.machine.move(replaced, f"{_copies(work)}/{kept}")
    work.machine.remove(_restoring(work))
    return kept


def _of_copy(work: Work, name: str) -> Iterator[tuple[Holding, str]]:
    """Yield what a copy is of, each with its place in it."""
    for holding in work.runtime.holdings():
        place = f"{_copies(work)}/{name}/{holding.name}"
        if not work.machine.is_directory(f"{place}/data"):
            continue
        if not work.machine.is_directory(holding.directory) or work.machine.is_link(holding.directory):
            fail(f"{holding.directory} is no directory: make it, and give it to {work.software.owner}")
        yield holding, place


def _move_away(work: Work, holding: Holding, place: str) -> None:
    work.machine.want_directory(f"{place}/data")
    if not work.machine.is_file(f"{place}/image"):
        work.remember(f"{place}/image", _version_of_data(work, holding))
    for entry in work.machine.names(holding.directory):
        work.machine.move(f"{holding.directory}/{entry}", f"{place}/data/{entry}")


def _put_back(work: Work, holding: Holding, place: str) -> None:
    for entry in work.machine.names(holding.directory):
        work.machine.remove(f"{holding.directory}/{entry}")
    fault = _copy_tree(work, f"{place}/data", holding.directory)
    if fault is not None:
        fail(f"the copy cannot be put into {holding.directory}: make room, and run this again", fault)
    # Of which version the data is, the next deploy has to know.
    work.remember(f"{_copies(work)}/ran/{holding.name}", work.machine.text(f"{place}/image"))


def _stop(work: Work) -> None:
    work.runtime.stop_services(dict.fromkeys(name for it in work.runtime.holdings() for name in it.services))
