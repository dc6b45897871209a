"""What is to be done about a container's volumes, or why nothing is: a pure function of what is wanted and of what was seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pve_agents.guests import Own
from pve_agents.host.properties import place_of, same, source_of
from pve_agents.host.words import quoted
from pve_agents.volumes.values import MOUNT, UNUSED, is_volume, owner_of, text_of, volume_of_pet
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, PetVolume, Wanted, pet_place

__all__ = ["Action", "Plan", "Seen", "plan"]

_KEYS = 256
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_GIB = 2**30


@dataclass(frozen=True)
class Seen:
    """What the API says of a container and of those around it."""

    config: Mapping[str, str] | None
    """What its next start will use; none where there is no such container."""

    running: Mapping[str, str] = field(default_factory=dict)
    """What it has now."""

    digest: str = ""
    state: str = ""
    """Whether it runs."""

    pet: Mapping[str, str] | None = None
    """The configuration of the container that owns the volumes; none where there is none, or it may not be seen."""

    users: Mapping[str, str] = field(default_factory=dict)
    """Other guests that have a volume, in words, by the volume."""

    runners: frozenset[str] = frozenset()
    """Those of these volumes whose guest runs."""

    unasked: tuple[str, ...] = ()
    """Why nobody knows whether there are more, a sentence each."""


@dataclass(frozen=True)
class Action:
    """One request that changes something."""

    verb: str
    """``PUT`` or ``POST``."""

    path: str
    """Below the container, such as ``config``."""

    parameters: Mapping[str, str]
    reason: str
    """What it does, for people."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, in this order, or why it is not."""

    actions: tuple[Action, ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What is left as it is, and why."""


def plan(wanted: Wanted, seen: Seen) -> Plan:
    """Return all that makes the container have what is wanted; nothing if it has."""
    if seen.config is None:
        return Plan(refusals=(f"there is no container {wanted.vmid} on {wanted.node}: deploy {wanted.agent} first",))
    if not Own(wanted.agent, wanted.tag, wanted.hostname).marks(seen.config):
        name = quoted(seen.config.get("hostname", ""))
        problem = (
            f"container {wanted.vmid} is called {name} and is not the one of {wanted.agent}, which carries the tag "
            f"{wanted.tag}: nothing was changed"
        )
        return Plan(refusals=(problem,))
    work = _Work(wanted, seen, seen.config)
    work.judge()
    return work.plan()


class _Work:
    """What comes together while each volume is looked at."""

    def __init__(self, wanted: Wanted, seen: Seen, config: Mapping[str, str]) -> None:
        self.wanted, self.seen, self.config = wanted, seen, config
        self.values: dict[str, str] = {}
        self.reasons: list[str] = []
        self.deletes: list[str] = []
        self.grows: list[tuple[str, int, str]] = []
        self.refusals: list[str] = []
        self.notes: list[str] = []
        self.ours: set[str] = set()

    def judge(self) -> None:
        for volume in self.wanted.volumes:
            try:
                self._one(volume)
            except _RefusedError as refused:
                self.refusals.append(str(refused))
        for key, value in self.config.items():
            if MOUNT.fullmatch(key) and key not in self.ours and key not in self.values and is_volume(value):
                self._extra(key, value)
            elif UNUSED.fullmatch(key) and self.wanted.pet and owner_of(value) == self.wanted.pet:
                # Proxmox VE deletes no volume of another container's: only the entry goes.
                self.deletes.append(key)
                self.reasons.append(f"{key}, an entry for {value} of container {self.wanted.pet}, is taken out")
            elif self._is_detached(key, value):
                self.notes.append(
                    f"{key} ({source_of(value)}) is detached, and goes when the container goes: attach it again, or remove it"
                )

    def _one(self, volume: AttachedVolume) -> None:
        source = self._source(volume)
        key = volume.key or self._key_at(volume.place) or self._free_key()
        self.ours.add(key)
        has = self.config.get(key, "")
        if not has:
            self._attach(key, volume, source)
            return
        found = source_of(has)
        if not self._is_the_one(found, has, volume.source, source):
            raise _RefusedError(
                f"{key} is taken: it holds {quoted(has)}, and we want {_words(volume)} there. Choose another key in the "
                "settings, or take that one off in the web interface"
            )
        value = _value(found, volume, text_of(has, "size"))
        if not same(has, value):
            self.values[key] = value
            self.reasons.append(f"{key} is changed to {value}")
        if isinstance(volume.source, NewVolume) and volume.source.size_gib:
            self._size(key, found, _bytes(text_of(has, "size")), volume.source.size_gib * _GIB)

    def _source(self, volume: AttachedVolume) -> str:
        """Return the volume that is there already; empty for one that is made."""
        if isinstance(volume.source, NewVolume):
            return ""
        pet, name = self.seen.pet, volume.source.name
        if pet is None:
            raise _RefusedError(
                f"the token sees no container {volume.source.vmid} that owns the volume {name}: deploy pet-storage first, "
                f"and give the token VM.Audit on /vms/{volume.source.vmid}"
            )
        found = volume_of_pet(pet, name)
        if not found:
            raise _RefusedError(_without(volume.source, pet))
        return found

    def _is_the_one(self, found: str, has: str, source: NewVolume | PetVolume, wanted: str) -> bool:
        if isinstance(source, PetVolume):
            return found == wanted
        is_directory = _bytes(text_of(has, "size")) == 0
        # Where it lies was decided when it was made.
        return owner_of(found) == self.wanted.vmid and is_directory == (source.size_gib == 0)

    def _attach(self, key: str, volume: AttachedVolume, source: str) -> None:
        if other := self._key_at(volume.place):
            raise _RefusedError(
                f"{volume.place} is taken: {other} holds {quoted(self.config[other])}, and we want {_words(volume)} there"
            )
        if isinstance(volume.source, PetVolume):
            self._refuse_to_guess()
            if user := self.seen.users.get(source):
                raise _RefusedError(
                    f"the volume {volume.source.name} ({source}) is attached to {user} already, and two containers would "
                    "destroy its files: take it off there first, with `agents up` of that one alone if it is an agent whose "
                    "settings do not want it any more"
                )
            # Detached, and still there until the next start: written as it is, nothing of it changes.
            running = self.seen.running.get(key, "")
            self.values[key] = _value(source, volume, text_of(running, "size") if source_of(running) == source else "")
            self.reasons.append(f"the volume {volume.source.name} ({source}) is attached at {volume.place} as {key}")
            return
        if (running := self.seen.running.get(key, "")) and self._is_the_one(
            source_of(running), running, volume.source, ""
        ):
            self.values[key] = _value(source_of(running), volume, text_of(running, "size"))
            self.reasons.append(f"{key} ({source_of(running)}), which was to be detached at the next start, stays")
            return
        self._refuse_to_forget(key, volume)
        new = f"{volume.source.datastore}:{volume.source.size_gib}"
        self.values[key] = _value(new, volume)
        what = f"volume of {volume.source.size_gib} GiB" if volume.source.size_gib else "directory"
        self.reasons.append(f"a new {what} on {volume.source.datastore} is attached at {volume.place} as {key}")

    def _refuse_to_guess(self) -> None:
        """Who cannot be asked may have the volume."""
        for sentence in self.seen.unasked:
            raise _RefusedError(sentence)

    def _refuse_to_forget(self, key: str, volume: AttachedVolume) -> None:
        """A volume that was detached holds what is missed, and dies with the container: no new one takes its place unasked."""
        for name, value in self.config.items():
            if self._is_detached(name, value):
                raise _RefusedError(
                    f"{name} of container {self.wanted.vmid} is the volume {source_of(value)}, which somebody has detached, "
                    f"and which goes when the container goes: if it was at {volume.place}, attach it again (`pct set "
                    f"{self.wanted.vmid} --{key} {source_of(value)},mp={volume.place}`); if not, attach it where it was, or "
                    "remove it in the web interface, before a new one is made"
                )

    def _is_detached(self, key: str, value: str) -> bool:
        """Whether it is a volume of the container's own that is mounted nowhere; an entry may outlive its new mount."""
        is_own = UNUSED.fullmatch(key) and owner_of(value) == self.wanted.vmid
        mounted = (source_of(it) for name, it in self.config.items() if MOUNT.fullmatch(name))
        return bool(is_own) and source_of(value) not in mounted

    def _size(self, key: str, volume: str, has: int, wants: int) -> None:
        if has > wants:
            raise _RefusedError(
                f"{key} ({volume}) has {_shown(has)}, and the settings want {_shown(wants)}: a volume only grows; write "
                f"size_gib: {-(-has // _GIB)}"
            )
        if has == wants:
            return
        if self.wanted.protected:
            self._refuse_to_guess()
        if self.wanted.protected and volume in self.seen.runners:
            # PVE::API2::LXC, resize_vm: it would check a file system that is mounted, which fails with a warning, and the
            # volume were larger than the files on it know.
            raise _RefusedError(
                f"{volume} is attached to {self.seen.users[volume]}, which runs: stop it, so that its file system can grow "
                f"from {_shown(has)} to {_shown(wants)}, and deploy again (of an agent: first `started: false` alone, then the "
                "size)"
            )
        self.grows.append((key, wants, f"{key} ({volume}) grows from {_shown(has)} to {_shown(wants)}"))

    def _extra(self, key: str, value: str) -> None:
        owner, source = owner_of(value), source_of(value)
        if self.wanted.pet and owner == self.wanted.pet:
            self.deletes.append(key)
            self.reasons.append(
                f"{key} ({source}) is detached: the settings do not want it, and it stays with its owner"
            )
        elif owner == self.wanted.vmid:
            self.notes.append(
                f"{key} ({source}) stays where it is: the settings do not want it any more, and what is in it nobody can "
                "bring back"
            )
        elif owner:
            self.notes.append(
                f"{key} ({source}) stays where it is: container {owner} owns it, of which the settings say nothing"
            )

    def _key_at(self, place: str) -> str:
        mounts = ((key, value) for key, value in self.config.items() if MOUNT.fullmatch(key))
        return next((key for key, value in mounts if place_of(value) == place), "")

    def _free_key(self) -> str:
        taken = {*self.config, *self.values}
        return next(key for key in (f"mp{number}" for number in range(_KEYS)) if key not in taken)

    def plan(self) -> Plan:
        changes = tuple(self._changes())
        if self.refusals or not changes:
            return self._with_the_rest(changes)
        if problem := self._unchangeable():
            return Plan(refusals=(problem,), notes=tuple(self.notes))
        return self._with_the_rest(changes)

    def _with_the_rest(self, changes: tuple[Action, ...]) -> Plan:
        if self.refusals:
            return Plan(refusals=tuple(self.refusals), notes=tuple(self.notes))
        actions = list(changes)
        is_protected = self.config.get("protection", "0") == "1"
        if self.wanted.protected and changes and is_protected:
            actions.insert(0, self._protection(on=False))
        if self.wanted.protected and (changes or not is_protected):
            actions.append(self._protection(on=True))
        return Plan((*actions, *self._reboot()), notes=tuple(self.notes))

    def _changes(self) -> Iterator[Action]:
        if self.values or self.deletes:
            parameters = {**self.values, **({"delete": ",".join(self.deletes)} if self.deletes else {})}
            yield Action("PUT", "config", {**parameters, "digest": self.seen.digest}, "; ".join(self.reasons))
        for key, size, reason in self.grows:
            yield Action("PUT", "resize", {"disk": key, "size": str(size)}, reason)

    def _protection(self, *, on: bool) -> Action:
        reason = (
            "Proxmox VE protects it again" if on else "Proxmox VE's protection is taken off, which refuses any change"
        )
        return Action("PUT", "config", {"protection": "1" if on else "0"}, reason)

    def _reboot(self) -> Iterator[Action]:
        """A new mount is plugged in at once; one that changes, or goes, waits for a start."""
        running = self.seen.running
        if self.seen.state != "running":
            return
        late = {key for key, value in self.values.items() if key in running and not same(running[key], value)}
        late |= {key for key in self.deletes if MOUNT.fullmatch(key)}
        late |= {key for key in self._waiting() if key not in self.values}
        if late:
            parameters = {"timeout": str(self.wanted.stop_seconds)}
            yield Action("POST", "status/reboot", parameters, f"{', '.join(sorted(late))} only changes at a start")

    def _waiting(self) -> Iterable[str]:
        """Volumes of ours that the running container has otherwise than its next start will."""
        for key, value in self.seen.running.items():
            is_ours = key in self.ours or (self.wanted.pet and owner_of(value) == self.wanted.pet)
            if MOUNT.fullmatch(key) and is_ours and not same(value, self.config.get(key, "")):
                yield key

    def _unchangeable(self) -> str:
        vmid = self.wanted.vmid
        if lock := self.config.get("lock"):
            return (
                f"container {vmid} is locked (lock: {quoted(lock)}): wait until that task ends, and after a crash run "
                f"`pct unlock {vmid}`"
            )
        if self.config.get("protection", "0") == "1" and not self.wanted.protected:
            return (
                f"container {vmid} is protected (protection: 1), and Proxmox VE then refuses every change of a mount: run "
                f"`pct set {vmid} --protection 0`, then this again, then `pct set {vmid} --protection 1`"
            )
        return ""


class _RefusedError(Exception):
    """Why a volume is not touched."""


def _without(source: PetVolume, pet: Mapping[str, str]) -> str:
    """Why a pet's volume cannot be had."""
    sentence = f"container {source.vmid} has no volume {source.name}: deploy pet-storage first"
    if not (unused := {key: value for key, value in pet.items() if UNUSED.fullmatch(key)}):
        return sentence
    key, value = min(unused.items())
    free = next(it for it in (f"mp{number}" for number in range(_KEYS)) if it not in pet)
    return (
        f"{sentence}; or, if it is {key} there ({source_of(value)}), which somebody has detached, `pct set {source.vmid} "
        f"--protection 0`, and `pct set {source.vmid} --{free} {source_of(value)},mp={pet_place(source.name)} --protection 1`"
    )


def _words(volume: AttachedVolume) -> str:
    if isinstance(volume.source, PetVolume):
        return f"the volume {volume.source.name} at {volume.place}"
    what = f"a volume of {volume.source.size_gib} GiB" if volume.source.size_gib else "a directory"
    return f"{what} on {volume.source.datastore} at {volume.place}"


def _value(source: str, volume: AttachedVolume, size: str = "") -> str:
    """The property string; Proxmox VE replaces the whole one, and what is left out is lost."""
    options = {**volume.options, **({"size": size} if size else {})}
    return ",".join([source, f"mp={volume.place}", *(f"{name}={options[name]}" for name in sorted(options))])


def _bytes(size: str) -> int:
    found = _SIZE.fullmatch(size)
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


def _shown(size: int) -> str:
    return f"{size / _GIB:g} GiB"
