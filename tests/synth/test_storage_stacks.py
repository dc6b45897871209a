"""What Terraform reads for volumes: of an agent's stack, and of the container that owns those that outlive it."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from pve_agents import PetStorage
from pve_agents.settings import Storage
from pve_agents.volume_spec import wanted_of_pets
from pve_agents.volumes.wanted import PetVolume
from tests.synth.conftest import Synthesize, reviewable

CONTAINER = "proxmox_virtual_environment_container"
PETS = "pet-storage"
SETTINGS: dict[str, Any] = {
    "storage": {"datastore": "tank", "volumes": {"home": {"size_gib": 16}, "books": {"size_gib": 64, "backup": False}}},
    "agents": {
        "scribe": {
            "vmid": 120,
            "mounts": {
                "mp0": {"kind": "pet", "volume": "home", "guest_path": "/home/me"},
                "mp1": {"kind": "volume", "guest_path": "/data", "size_gib": 8, "read_only": True},
                "mp2": {"kind": "directory", "guest_path": "/fast", "datastore": "hdd", "backup": False},
            },
        }
    },
}


def addresses(stack: dict[str, Any]) -> set[str]:
    return {f"{kind}.{name}" for kind, named in stack["resource"].items() for name in named}


def test_the_addresses_of_the_pet_containers_stack_stay(synthesize: Synthesize) -> None:
    assert addresses(synthesize(SETTINGS, stack=PETS)) == {
        f"{CONTAINER}.pet-storage",
        "proxmox_download_file.debian12_template_gihyeon",
        "terraform_data.pet-storage_token_check",
        "terraform_data.pet-storage_volumes",
    }


def test_an_agents_volumes_are_one_resource_more(synthesize: Synthesize) -> None:
    assert addresses(synthesize(SETTINGS, stack="scribe")) == {
        f"{CONTAINER}.scribe",
        "proxmox_download_file.debian12_template_gihyeon",
        "terraform_data.scribe_address",
        "terraform_data.scribe_token_check",
        "terraform_data.scribe_volumes",
    }


def test_without_volumes_and_without_storage_there_is_nothing_of_it(synthesize: Synthesize) -> None:
    assert "terraform_data.hermes_volumes" not in addresses(synthesize())
    with pytest.raises(FileNotFoundError):
        synthesize(stack=PETS)


def test_no_mount_is_terraforms_own(synthesize: Synthesize) -> None:
    for stack in ("scribe", PETS):
        (container,) = synthesize(SETTINGS, stack=stack)["resource"][CONTAINER].values()
        assert "mount_point" not in container
        assert {"mount_point", "protection"} <= set(container["lifecycle"]["ignore_changes"])
        assert container["lifecycle"]["prevent_destroy"] is True


def test_no_credential_and_no_root_is_in_it(synthesize: Synthesize) -> None:
    for stack in ("scribe", PETS):
        assert "null_resource" not in synthesize(SETTINGS, stack=stack)["resource"]


def test_the_stacks_as_a_whole(synthesize: Synthesize, snapshot: SnapshotAssertion) -> None:
    assert reviewable(synthesize(SETTINGS, stack=PETS)) == snapshot
    found = reviewable(synthesize(SETTINGS, stack="scribe"))
    assert found["resource"]["terraform_data"]["scribe_volumes"] == snapshot


def test_a_volume_is_handed_to_an_agent_as_plain_values() -> None:
    storage = Storage.model_validate(SETTINGS["storage"])
    pets = PetStorage.__new__(PetStorage)
    pets._wanted = wanted_of_pets(storage)
    assert pets.volume("home") == PetVolume(999, "home")
    with pytest.raises(ValueError, match="there is no volume music; there are: home, books"):
        pets.volume("music")
