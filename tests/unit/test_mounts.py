"""The kinds of a mount: what each says to others, and the exact words for what is no mount."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pve_agents.settings import (
    BindMount,
    DirectoryMount,
    Homelab,
    PetMount,
    SettingsError,
    VolumeMount,
    load_settings,
)
from pve_agents.settings.schema import json_schema
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, PetVolume

VOLUME = {"kind": "volume", "guest_path": "/data", "size_gib": 8}
DIRECTORY = {"kind": "directory", "datastore": "hdd", "guest_path": "/data"}
PET = {"kind": "pet", "volume": "hermes-home", "guest_path": "/data"}
STORAGE = {"volumes": {"hermes-home": {"size_gib": 32}, "books": {"size_gib": 100, "datastore": "tank"}}}

Load = Callable[..., Homelab]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def of(storage: Any = None, /, **agents: Any) -> Homelab:
        values = {"storage": storage, "agents": agents or {"scribe": {"vmid": 120}}}
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return load_settings(tmp_path)

    return of


def scribe(*mounts: Any, **more: Any) -> dict[str, Any]:
    return {"vmid": 120, "mounts": {f"mp{i}": it for i, it in enumerate(mounts)}, **more}


def refused(load: Load, storage: Any = None, /, **agents: Any) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(storage, **agents)
    return [it.removeprefix("homelab.yaml: ") for it in refusal.value.messages]


def test_a_mount_without_a_kind_is_a_directory_of_the_node(load: Load) -> None:
    mounts = load(scribe=scribe({"host_path": "/srv/scribe", "guest_path": "/data"})).agents["scribe"].mounts
    assert mounts == {"mp0": BindMount(host_path="/srv/scribe", guest_path="/data")}
    assert mounts["mp0"].kind == "bind"


def test_each_kind_says_what_the_token_attaches_and_what_becomes_of_it(load: Load) -> None:
    bind = {"host_path": "/srv/scribe", "guest_path": "/srv"}
    mounts = [bind, VOLUME, {**DIRECTORY, "guest_path": "/fast"}, {**PET, "guest_path": "/home/me"}]
    agent = load(STORAGE, scribe=scribe(*mounts)).agents["scribe"]
    assert [type(it) for it in agent.mounts.values()] == [BindMount, VolumeMount, DirectoryMount, PetMount]
    assert agent.volumes == (
        AttachedVolume("/data", NewVolume("local-lvm", 8), "mp1", {"backup": "1"}),
        AttachedVolume("/fast", NewVolume("hdd", 0), "mp2", {"backup": "1"}),
        AttachedVolume("/home/me", PetVolume(999, "hermes-home"), "mp3", {}),
    )
    assert list(agent.binds) == ["mp0"]
    assert [it.survives for it in agent.mounts.values()] == [True, False, False, True]
    assert [it.at_destroy(key, agent.node) for key, it in agent.mounts.items()] == [
        "/srv/scribe and its files stay on gihyeon",
        "mp1, the volume at /data, goes with all that is in it: the container owns it (gihyeon)",
        "mp2, the directory at /fast, goes with all that is in it: the container owns it (gihyeon)",
        "mp3, the volume hermes-home at /home/me, stays with all that is in it: container 999 owns it (gihyeon)",
    ]


def test_each_kind_says_what_the_token_must_be_allowed_to_do(load: Load) -> None:
    books = {**PET, "volume": "books", "guest_path": "/books"}
    agent = load(STORAGE, scribe=scribe(VOLUME, {**DIRECTORY, "guest_path": "/fast"}, books)).agents["scribe"]
    needed = [(it.path, it.privileges) for mount in agent.mounts.values() for it in mount.requirements()]
    assert needed == [
        ("/storage/local-lvm", ("Datastore.AllocateSpace",)),
        ("/storage/hdd", ("Datastore.AllocateSpace",)),
        # PVE::Storage::check_volume_access: of a foreign volume, AllocateSpace is not enough.
        ("/storage/tank", ("Datastore.Audit",)),
        ("/vms/999", ("VM.Audit", "VM.Config.Disk")),
    ]


@pytest.mark.parametrize(
    ("mount", "sentences"),
    [
        ({"kind": "nfs"}, ['kind: "nfs" is not known here; write bind, directory, pet or volume.']),
        ({"kind": ["pet"]}, ["kind: a list is not known here; write bind, directory, pet or volume."]),
        ({"kind": "volume", "guest_path": "/x"}, ["size_gib: this is missing; write its size in GiB, such as 32."]),
        (
            {"kind": "directory", "guest_path": "/x"},
            ["datastore: this is missing; write a datastore of the type dir that may hold containers, such as hdd."],
        ),
        (
            {"kind": "pet", "guest_path": "/x"},
            ["volume: this is missing; write the name of a volume of the section storage, such as agent-home."],
        ),
        (
            {**DIRECTORY, "size_gib": 8},
            ["size_gib: a directory has no size; leave it out, or write kind: volume."],
        ),
        (
            {**VOLUME, "host_path": "/srv/x"},
            ["host_path: a volume is no directory of the node; leave it out, or write kind: bind."],
        ),
        ({**VOLUME, "size_gib": 0}, ["size_gib: 0 is not a disk size in GiB; write a whole number from 1 to 1048576."]),
        ({**VOLUME, "quota": True}, ["quota: there is no such setting; write one of kind, guest_path, uid, gid,"]),
        (
            {**PET, "backup": True},
            [
                "backup: it is backed up with the container that owns it; write storage.volumes.<name>.backup.",
            ],
        ),
    ],
)
def test_what_is_no_mount_is_refused_in_one_sentence(load: Load, mount: dict[str, Any], sentences: list[str]) -> None:
    found = [it.removeprefix("agents.scribe.mounts.mp0.") for it in refused(load, STORAGE, scribe=scribe(mount))]
    assert len(found) == len(sentences)
    assert all(it.startswith(sentence) for it, sentence in zip(found, sentences, strict=True)), found


def test_a_pet_without_a_section_storage_is_refused_with_one_that_works(load: Load) -> None:
    (sentence,) = refused(load, scribe=scribe(PET))
    assert sentence == (
        "agents.scribe.mounts.mp0.volume: there is no section storage whose volume this could be; write one at the top, "
        "such as storage: {volumes: {hermes-home: {size_gib: 32}}}."
    )
    example = yaml.safe_load(sentence.partition("such as ")[2].removesuffix("."))
    assert load(example["storage"], scribe=scribe(PET))


def test_a_volume_that_is_not_among_the_pets_is_refused(load: Load) -> None:
    (sentence,) = refused(load, STORAGE, scribe=scribe({**PET, "volume": "home"}))
    assert sentence == (
        'agents.scribe.mounts.mp0.volume: "home" is no volume of the section storage; write one that is, which are '
        "hermes-home, books, or add storage.volumes.home."
    )


def test_two_agents_cannot_have_one_volume(load: Load) -> None:
    (sentence,) = refused(load, STORAGE, scribe=scribe(PET), reader={**scribe(PET), "vmid": 121})
    assert sentence == (
        "agents.reader.mounts.mp0.volume: scribe.mounts.mp0 has the volume hermes-home already, and two containers would "
        "destroy its files; give each its own."
    )
    (sentence,) = refused(load, STORAGE, scribe=scribe(PET, {**PET, "guest_path": "/more"}))
    assert sentence == "agents.scribe.mounts: mp0 and mp1 both have the volume hermes-home; keep one of them."


def test_an_agent_on_another_node_cannot_have_the_volume(load: Load) -> None:
    (sentence,) = refused(load, STORAGE, scribe=scribe(PET, node="pve2"))
    assert sentence == (
        "agents.scribe.mounts.mp0.volume: the volume hermes-home is on the node gihyeon, and this agent on pve2; a volume "
        "is where its datastore is, so write the same node for both."
    )


def test_what_is_the_pet_containers_no_agent_can_have(load: Load) -> None:
    sentences = refused(load, STORAGE, **{"pet-storage": {"vmid": 999}})
    assert sentences == [
        'agents.pet-storage: "pet-storage" is the name of the stack that the section storage makes; write another name.',
        "agents.pet-storage.vmid: 999 is the VMID of the pet container, storage.vmid; write another one.",
        'agents.pet-storage.hostname: "pet-storage" is the pet container\'s, storage.hostname; write another one.',
    ]


def test_a_volume_and_another_mount_lie_side_by_side(load: Load) -> None:
    bind = {"host_path": "/srv/scribe", "guest_path": "/data/more"}
    (sentence,) = refused(load, scribe=scribe(VOLUME, bind))
    assert sentence == (
        'agents.scribe.mounts: mp1 at "/data/more" lies in mp0 at "/data", and a volume is attached to a running container in '
        "no certain order; write paths that lie side by side."
    )


def test_editors_know_the_kinds(load: Load) -> None:
    schema = json_schema()

    def fits(mount: dict[str, Any]) -> bool:
        document = {"storage": STORAGE, "agents": {"scribe": scribe(mount)}}
        return bool(jsonschema.Draft202012Validator(schema).is_valid(document))

    good: list[dict[str, Any]] = [{"host_path": "/srv/x", "guest_path": "/data"}, VOLUME, DIRECTORY, PET]
    assert all(fits(it) for it in good)
    assert all(load(STORAGE, scribe=scribe(it)) for it in good)
    # Without its kind it would be a directory of the node, which has no size.
    assert not fits({key: it for key, it in VOLUME.items() if key != "kind"})
    assert not fits({**VOLUME, "kind": "nfs"})
