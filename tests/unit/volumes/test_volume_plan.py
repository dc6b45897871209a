"""What is done about a container's volumes: a table, and a node that obeys what it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_agents.host.properties import source_of
from pve_agents.volumes.owned import unknown_volumes
from pve_agents.volumes.plan import Action, Plan, Seen, plan
from pve_agents.volumes.values import owner_of
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, PetVolume, Wanted, pet_place, read_wanted

OURS = {"hostname": "scribe", "tags": "ai;pve-agents-scribe", "rootfs": "local-lvm:vm-120-disk-0,size=8G"}
PET = {"hostname": "pet-storage", "mp0": "local-lvm:vm-999-disk-1,mp=/volumes/home,backup=1,size=32G"}
HOME = "local-lvm:vm-999-disk-1"
VOLUME = AttachedVolume("/data", NewVolume("local-lvm", 8), "mp0", {"backup": "1"})
DIRECTORY = AttachedVolume("/fast", NewVolume("hdd", 0), "mp1")
PETS = AttachedVolume("/home/me", PetVolume(999, "home"), "mp2")
WANTED = Wanted("scribe", "pve1", 120, "scribe", "pve-agents-scribe", volumes=(VOLUME, DIRECTORY, PETS), pet=999)
MADE = {
    "mp0": "local-lvm:vm-120-disk-1,mp=/data,backup=1,size=8G",
    "mp1": "hdd:120/subvol-120-disk-0.subvol,mp=/fast,size=0T",
    "mp2": f"{HOME},mp=/home/me,size=32G",
}


def seen(config: dict[str, str], **more: Any) -> Seen:
    facts: dict[str, Any] = {"running": config, "digest": "d1", "state": "running", "pet": PET, **more}
    return Seen({**OURS, **config}, **facts)


def said(found: Plan) -> list[str]:
    assert found.actions == ()
    return list(found.refusals)


def test_all_that_is_missing_is_attached_in_one_request_with_the_hash_of_the_look() -> None:
    (action,) = plan(WANTED, seen({})).actions
    assert (action.verb, action.path) == ("PUT", "config")
    assert action.parameters == {
        "mp0": "local-lvm:8,mp=/data,backup=1",
        "mp1": "hdd:0,mp=/fast",
        "mp2": f"{HOME},mp=/home/me",
        "digest": "d1",
    }


def test_what_is_as_wanted_is_left_alone_however_proxmox_ve_spells_it() -> None:
    assert plan(WANTED, seen(MADE)) == Plan()
    # A rescan adds sizes; a place may be written without its slash; defaults may be written out.
    spelled = {**MADE, "mp0": "local-lvm:vm-120-disk-1,mp=data,acl=0,backup=1,replicate=1,size=8192M"}
    assert plan(WANTED, seen({**MADE, "mp2": f"{HOME},mp=/home/me"})) == Plan()
    assert (
        plan(replace(WANTED, volumes=(DIRECTORY, PETS)), seen({k: v for k, v in MADE.items() if k != "mp0"})) == Plan()
    )
    assert not plan(WANTED, seen(spelled)).refusals


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        ({"tags": "ai"}, 'container 120 is called "scribe" and is not the one of scribe, which carries the tag'),
        ({"lock": "backup"}, 'container 120 is locked (lock: "backup"): wait until that task ends'),
        ({"protection": "1"}, "container 120 is protected (protection: 1), and Proxmox VE then refuses every change"),
        (
            {"mp0": "/srv/x,mp=/x"},
            'mp0 is taken: it holds "/srv/x,mp=/x", and we want a volume of 8 GiB on local-lvm at',
        ),
        ({"mp0": "local-lvm:vm-77-disk-0,mp=/data,backup=1,size=8G"}, "mp0 is taken"),
        ({"mp0": "hdd:120/subvol-120-disk-3.subvol,mp=/data,size=0T"}, "mp0 is taken"),
        ({"mp1": "local-lvm:vm-120-disk-3,mp=/fast,size=8G"}, "mp1 is taken"),
        ({"mp2": "local-lvm:vm-999-disk-7,mp=/home/me"}, "mp2 is taken"),
        ({"mp9": "/srv/x,mp=/data"}, '/data is taken: mp9 holds "/srv/x,mp=/data"'),
        (
            {"unused0": "local-lvm:vm-120-disk-1"},
            "unused0 of container 120 is the volume local-lvm:vm-120-disk-1, which",
        ),
        (
            {"mp0": "local-lvm:vm-120-disk-1,mp=/data,size=9G"},
            "mp0 (local-lvm:vm-120-disk-1) has 9 GiB, and the settings",
        ),
    ],
)
def test_what_is_somebody_elses_or_would_be_lost_is_refused_and_nothing_is_done(
    config: dict[str, str], refusal: str
) -> None:
    found = plan(WANTED, seen(config))
    assert found.actions == ()
    assert any(it.startswith(refusal) for it in found.refusals), found.refusals


def test_a_pets_volume_that_another_container_has_is_not_taken() -> None:
    (sentence,) = said(plan(WANTED, seen({}, users={HOME: "container 77 (reader)"})))
    assert sentence == (
        f"the volume home ({HOME}) is attached to container 77 (reader) already, and two containers would destroy its files: "
        "take it off there first, with `agents up` of that one alone if it is an agent whose settings do not want it any more"
    )
    # One that is ours already is not given up for it.
    assert plan(WANTED, seen(MADE, users={HOME: "container 77 (reader)"})) == Plan()


def test_while_somebody_cannot_be_asked_no_pets_volume_is_attached_and_all_else_goes_on() -> None:
    nobody = {"unasked": ("container 121 on node pve2 could not be asked",)}
    assert said(plan(WANTED, seen({}, **nobody))) == ["container 121 on node pve2 could not be asked"]
    assert plan(WANTED, seen(MADE, **nobody)) == Plan()
    taken_off = {key: value for key, value in MADE.items() if key != "mp1"}
    assert plan(WANTED, seen(taken_off, **nobody)).refusals == ()


def test_without_the_pet_or_its_volume_it_says_what_to_deploy() -> None:
    assert (
        "the token sees no container 999 that owns the volume home: deploy pet-storage first"
        in said(plan(WANTED, seen({}, pet=None)))[0]
    )
    assert said(plan(WANTED, seen({}, pet={}))) == ["container 999 has no volume home: deploy pet-storage first"]


def test_a_detached_volume_of_the_pets_is_taken_out_and_one_of_our_own_is_kept() -> None:
    nothing = replace(WANTED, volumes=())
    found = plan(nothing, seen({"unused0": HOME, "unused1": "local-lvm:vm-120-disk-4", **MADE}))
    config, reboot = found.actions
    assert config.parameters == {"delete": "unused0,mp2", "digest": "d1"}
    assert reboot.path == "status/reboot"
    assert [it.partition(" ")[0] for it in found.notes] == ["unused1", "mp0", "mp1"]


def test_a_volume_of_a_container_that_the_settings_forgot_stays_and_is_named() -> None:
    found = plan(replace(WANTED, volumes=(), pet=0), seen({"mp2": MADE["mp2"], "mp3": "/mnt/pve/hdd/media,mp=/media"}))
    assert found == Plan(
        notes=(f"mp2 ({HOME}) stays where it is: container 999 owns it, of which the settings say nothing",)
    )


def test_what_goes_with_the_container_and_is_not_in_the_settings_is_known() -> None:
    config = {**OURS, **MADE, "mp4": "local-lvm:vm-120-disk-7,mp=/old,size=8G", "unused1": "local-lvm:vm-120-disk-4"}
    running = {**MADE, "mp6": "local-lvm:vm-120-disk-9,mp=/older,size=8G"}
    found = seen({**config, "mp5": "/mnt/pve/hdd/media,mp=/media", "unused0": HOME}, running=running)
    assert set(unknown_volumes(WANTED, found)) == {
        "mp4 (local-lvm:vm-120-disk-7)",
        "unused1 (local-lvm:vm-120-disk-4)",
        # Taken off in the web interface while the container runs: until its next start it is nowhere else.
        "mp6 (local-lvm:vm-120-disk-9)",
    }
    assert unknown_volumes(WANTED, Seen(None)) == ()


def test_a_volume_that_is_to_be_detached_at_the_next_start_stays_where_the_settings_want_it() -> None:
    without = {key: value for key, value in MADE.items() if key != "mp0"}
    (config,) = plan(WANTED, seen(without, running=MADE)).actions
    assert config.parameters == {"mp0": "local-lvm:vm-120-disk-1,mp=/data,backup=1,size=8G", "digest": "d1"}
    assert config.reason == "mp0 (local-lvm:vm-120-disk-1), which was to be detached at the next start, stays"


def test_a_volume_of_a_pet_that_was_detached_there_is_named() -> None:
    found = plan(WANTED, seen({}, pet={"unused0": HOME, "mp0": "local-lvm:vm-999-disk-2,mp=/volumes/other"}))
    assert said(found)[0] == (
        f"container 999 has no volume home: deploy pet-storage first; or, if it is unused0 there ({HOME}), which somebody has "
        f"detached, `pct set 999 --protection 0`, and `pct set 999 --mp1 {HOME},mp=/volumes/home --protection 1`"
    )


def test_a_container_that_is_stopped_needs_no_reboot() -> None:
    moved = replace(WANTED, volumes=(replace(VOLUME, place="/srv"), DIRECTORY, PETS))
    config, reboot = plan(moved, seen(MADE)).actions
    # Proxmox VE replaces the whole value: a size that is left out is lost.
    assert config.parameters["mp0"] == "local-lvm:vm-120-disk-1,mp=/srv,backup=1,size=8G"
    assert reboot.path == "status/reboot"
    assert [it.path for it in plan(moved, seen(MADE, state="stopped", running={})).actions] == ["config"]


def test_what_waits_for_a_start_gets_one() -> None:
    """Somebody was killed between the change and the reboot."""
    running = {**MADE, "mp0": "local-lvm:vm-120-disk-1,mp=/old,backup=1,size=8G"}
    (action,) = plan(WANTED, seen(MADE, running=running)).actions
    assert (action.path, action.parameters) == ("status/reboot", {"timeout": "180"})
    # What others changed is theirs.
    assert plan(WANTED, seen(MADE, running={**MADE, "mp8": "/srv/x,mp=/x"})) == Plan()


def test_what_terraform_is_given_is_what_the_program_reads() -> None:
    assert read_wanted(WANTED.to_json()) == WANTED
    for text in ("", "{}", "[]", '{"volumes": [{"place": 1}]}', '{"volumes": 3}'):
        with pytest.raises(ValueError, match="synthesize the stack again"):
            read_wanted(text)


def test_a_volume_grows_only_while_nobody_runs_who_has_it() -> None:
    pets = Wanted("pet-storage", "pve1", 999, "pet-storage", "pve-agents-pet-storage", protected=True)
    pets = replace(
        pets, volumes=(AttachedVolume(pet_place("home"), NewVolume("local-lvm", 40), options={"backup": "1"}),)
    )
    config = {**PET, "tags": "pve-agents-pet-storage", "protection": "1"}
    users, runners = {HOME: "container 120 (scribe)"}, frozenset({HOME})
    (sentence,) = said(plan(pets, Seen(config, config, "d", "stopped", users=users, runners=runners)))
    assert sentence.startswith(
        f"{HOME} is attached to container 120 (scribe), which runs: stop it, so that its file system"
    )
    found = plan(pets, Seen(config, config, "d", "stopped", users=users)).actions
    assert [(it.path, dict(it.parameters)) for it in found] == [
        ("config", {"protection": "0"}),
        ("resize", {"disk": "mp0", "size": str(40 * 2**30)}),
        ("config", {"protection": "1"}),
    ]


# A node that obeys -------------------------------------------------------------------------------------------------------


class Obedient:
    """A container as Proxmox VE would keep it."""

    def __init__(self, wanted: Wanted, config: dict[str, str], *, running: bool) -> None:
        self.wanted, self.config = wanted, {**config, "hostname": wanted.hostname, "tags": wanted.tag}
        self.is_running = running
        self.current = dict(self.config)
        self.made = 10

    def look(self) -> Seen:
        state = "running" if self.is_running else "stopped"
        return Seen(dict(self.config), dict(self.current), "d", state, PET)

    def do(self, action: Action) -> None:
        parameters = {key: value for key, value in action.parameters.items() if key != "digest"}
        if action.path == "status/reboot":
            self.current = dict(self.config)
            return
        if action.path == "resize":
            key, size = parameters["disk"], int(parameters["size"])
            words = [it for it in self.config[key].split(",") if not it.startswith("size=")]
            self.config[key] = ",".join([*words, f"size={size // 2**30}G"])
            self.current[key] = self.config[key]
            return
        if self.config.get("protection") == "1":
            assert parameters == {"protection": "0"}, "Proxmox VE refuses every change of a mount"
        for key in parameters.pop("delete", "").split(","):
            if key.startswith("mp"):
                assert owner_of(self.config[key]) != self.wanted.vmid, "it would go with the container"
            self.config.pop(key, None)
        for key, value in parameters.items():
            self.config[key] = self._kept(value) if key.startswith("mp") else value
            if key not in self.current or not key.startswith("mp"):
                self.current[key] = self.config[key]
        if not self.is_running:
            self.current = dict(self.config)

    def _kept(self, value: str) -> str:
        source = source_of(value)
        store, _, size = source.partition(":")
        if not size.isdecimal():
            return value
        self.made += 1
        return (
            value.replace(source, f"{store}:vm-{self.wanted.vmid}-disk-{self.made}", 1)
            + f",size={size}{'G' if size != '0' else 'T'}"
        )


SIZES = st.integers(0, 3)
PLACES = ("/a", "/b", "/c")


@st.composite
def wishes(draw: st.DrawFn) -> Wanted:
    volumes = []
    for number, place in enumerate(PLACES):
        kind = draw(st.sampled_from(["none", "new", "pet"]))
        options = draw(st.sampled_from([{}, {"backup": "1"}, {"ro": "1"}]))
        if kind == "new":
            volumes.append(AttachedVolume(place, NewVolume("tank", draw(SIZES)), f"mp{number}", options))
        elif kind == "pet" and not any(isinstance(it.source, PetVolume) for it in volumes):
            volumes.append(AttachedVolume(place, PetVolume(999, "home"), f"mp{number}", options))
    return replace(WANTED, volumes=tuple(volumes), protected=False)


@st.composite
def of_pets(draw: st.DrawFn) -> Wanted:
    names = draw(st.lists(st.sampled_from(["home", "books", "music"]), unique=True))
    volumes = tuple(AttachedVolume(pet_place(it), NewVolume("tank", draw(st.integers(1, 3)))) for it in names)
    return replace(WANTED, volumes=volumes, pet=0, protected=True)


@given(st.lists(st.one_of(wishes(), of_pets()), min_size=1, max_size=3), st.booleans(), st.integers(0, 4))
def test_whatever_is_wanted_one_after_the_other_ends_at_rest_or_in_a_refusal_and_loses_nothing(
    wanted: list[Wanted],
    running: bool,  # noqa: FBT001 - Hypothesis hands it over by position
    killed: int,
) -> None:
    node = Obedient(wanted[0], {}, running=running)
    for wish in wanted:
        before = {source_of(it) for key, it in node.config.items() if key.startswith("mp") and owner_of(it) == 120}
        for number in range(30):
            found = plan(wish, node.look())
            # Killed after some requests, the next run has only what the node knows.
            if found.refusals or not found.actions or number == killed:
                break
            node.do(found.actions[0])
        for _ in range(30):
            found = plan(wish, node.look())
            if found.refusals or not found.actions:
                break
            node.do(found.actions[0])
        assert found.refusals or not found.actions
        after = {source_of(it) for key, it in node.config.items() if key.startswith("mp")}
        assert before <= after
        if not found.refusals:
            places = [it.place for it in wish.volumes]
            assert all(any(f"mp={place}" in it for it in node.config.values()) for place in places)
            assert not wish.protected or node.config["protection"] == "1"
