"""The copy of an agent's data before another image runs on it, and the way back; killed at any point."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.scripts.guest import IMAGE, Guest

OTHER, THIRD = "nousresearch/hermes-agent:v2026.10.1", "nousresearch/hermes-agent:v2026.11.1"
DATA, COPIES = "/opt/hermes-data", "/var/lib/pve-agents/hermes/copies"
MEMORY = f"{DATA}/memories/MEMORY.md"
NAME = r"\d{4}-\d\d-\d\dT\d{6}Z(?:\.\d+)?"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    guest = Guest(tmp_path_factory.mktemp("template"))
    assert guest.run().returncode == 0
    return guest


@pytest.fixture
def deployed(template: Guest, tmp_path: Path) -> Guest:
    """A container whose agent has learnt something."""
    guest = Guest.like(template, tmp_path)
    guest.write(MEMORY, "under the first\n")
    guest.write(f"{DATA}/.hidden", "so\n")
    (guest.root / f"{DATA[1:]}/link").symlink_to("/etc/pve-agents/hermes.env")
    guest.forget()
    return guest


def use(guest: Guest, image: str) -> None:
    guest.plan.update(image=image, run_image=image)
    guest.deliver()


def deploy(guest: Guest, image: str) -> str:
    use(guest, image)
    guest.forget()
    ran = guest.run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def names(guest: Guest) -> list[str]:
    return sorted(it.name for it in (guest.root / COPIES[1:]).glob("*") if re.fullmatch(NAME, it.name))


def memories(guest: Guest) -> list[str]:
    """What each copy remembers, the oldest first."""
    return [guest.read(f"{COPIES}/{name}/hermes/data/memories/MEMORY.md") for name in names(guest)]


def at(guest: Guest, change: str) -> int:
    return next(number for number, it in enumerate(guest.changes) if it.startswith(change))


# --- the copy


def test_another_image_runs_on_data_that_was_copied_while_the_gateway_stood_still(deployed: Guest) -> None:
    said = deploy(deployed, OTHER)

    assert re.search(rf"containers … ok \(data copied: {NAME}, hermes recreated\)", said)
    assert "stopping hermes, to copy the data before another image runs on it" in said
    assert at(deployed, "docker container stop /hermes 120") < at(deployed, "cp -a")
    assert at(deployed, "cp -a") < at(deployed, "docker container create")
    assert memories(deployed) == ["under the first\n"]
    (copy,) = (deployed.root / COPIES[1:]).glob("[0-9]*/hermes/data")
    assert (copy / ".hidden").read_text() == "so\n"
    assert (copy / "link").readlink() == Path("/etc/pve-agents/hermes.env")


def test_a_copy_is_for_root_alone_and_shares_no_file(deployed: Guest) -> None:
    deploy(deployed, OTHER)

    assert stat.S_IMODE((deployed.root / COPIES[1:]).stat().st_mode) == 0o700
    copied = next((deployed.root / COPIES[1:]).glob("[0-9]*/hermes/data/memories/MEMORY.md"))
    assert copied.stat().st_ino != (deployed.root / MEMORY[1:]).stat().st_ino
    assert copied.stat().st_nlink == 1


def test_the_same_image_copies_nothing(deployed: Guest) -> None:
    deployed.configs["hermes"] = "model: {default: other}\n"
    assert "copied" not in deploy(deployed, IMAGE)
    assert names(deployed) == []


def test_two_copies_are_kept(deployed: Guest) -> None:
    for image, text in ((OTHER, "under the second\n"), (THIRD, "under the third\n"), (IMAGE, "again the first\n")):
        deploy(deployed, image)
        deployed.write(MEMORY, text)
    assert memories(deployed) == ["under the second\n", "under the third\n"]


def test_a_setting_turns_it_off(deployed: Guest) -> None:
    deployed.plan["copies_wanted"] = "no"
    assert "hermes recreated" in deploy(deployed, OTHER)
    assert names(deployed) == []
    # Turned on again, nothing is caught up on: what ran on the data is known.
    deployed.plan["copies_wanted"] = "yes"
    assert "copied" not in deploy(deployed, OTHER)


def test_data_without_a_container_is_copied_too(deployed: Guest) -> None:
    """A stop takes the containers away."""
    with deployed.host.changing() as state:
        state["systems"]["118"]["containers"].clear()
    deploy(deployed, OTHER)
    assert memories(deployed) == ["under the first\n"]


def test_an_agent_from_before_there_were_copies_has_one_made(deployed: Guest) -> None:
    (deployed.root / COPIES[1:] / "ran/hermes").unlink()
    deploy(deployed, OTHER)
    assert memories(deployed) == ["under the first\n"]


def test_without_room_nothing_is_stopped_and_a_sentence_says_what_to_do(deployed: Guest) -> None:
    use(deployed, OTHER)
    deployed.stub("df", "echo Avail", "echo 100")
    ran = deployed.run()
    assert ran.returncode == 1
    assert re.fullmatch(
        r"  a copy of the agent's data, to go back to, needs 25[67] MiB, and 100 are free in the container: raise "
        r"agents\.hermes\.disk\.size_gib, or set agents\.hermes\.hermes\.copy_data_before_upgrade to false\n",
        ran.stderr,
    )
    assert deployed.container()["State"]["Status"] == "running"
    assert deployed.container()["Config"]["Image"] == IMAGE
    # What it says to write is accepted.
    deployed.plan["copies_wanted"] = "no"
    deploy(deployed, OTHER)


def test_an_old_copy_makes_room_but_never_the_last_one(deployed: Guest) -> None:
    deploy(deployed, OTHER)
    deploy(deployed, THIRD)
    kept = names(deployed)[1]
    use(deployed, IMAGE)
    deployed.stub("df", "echo Avail", "echo 100")
    assert deployed.run().returncode == 1
    assert names(deployed) == [kept]


def test_a_copy_that_fails_leaves_the_agent_as_it_was(deployed: Guest) -> None:
    use(deployed, OTHER)
    deployed.set(trouble={"cp": "cp: error writing 'x': No space left on device"})
    ran = deployed.run()
    assert ran.returncode == 1
    assert ran.stderr == (
        "  the data of hermes cannot be copied, and the image stays as it is: look at the container's disk, or set"
        " agents.hermes.hermes.copy_data_before_upgrade to false\n"
        "    cp: error writing 'x': No space left on device\n"
    )
    assert (deployed.container()["State"]["Status"], deployed.container()["Config"]["Image"]) == ("running", IMAGE)
    assert names(deployed) == []
    deployed.set(trouble={})
    deploy(deployed, OTHER)
    assert memories(deployed) == ["under the first\n"]


def test_a_gateway_that_does_not_stop_is_not_copied(deployed: Guest) -> None:
    use(deployed, OTHER)
    deployed.set(trouble={"stop": "Error response from daemon: cannot stop container"})
    ran = deployed.run()
    assert ran.returncode == 1
    assert ran.stderr.startswith("  the containers do not stop, and data in use is not copied: look at `docker ps -a`")
    assert not any(change.startswith("cp ") for change in deployed.changes)


# From the stop until the new container has its name; dying after one change is dying before the next.
STOPPED, RENAMED = 3, 13


def test_these_are_the_changes_of_an_upgrade(deployed: Guest) -> None:
    deploy(deployed, OTHER)
    assert at(deployed, "docker container stop") + 1 == STOPPED
    assert at(deployed, "docker container rename") + 1 == RENAMED


@pytest.mark.parametrize("number", range(STOPPED, RENAMED + 1))
def test_killed_while_it_is_copied_and_run_again(deployed: Guest, number: int) -> None:
    use(deployed, OTHER)
    deployed.kill_at(number)
    assert deployed.run().returncode == -9
    deployed.kill_at(None)
    deploy(deployed, OTHER)
    assert memories(deployed) == ["under the first\n"]
    assert not (deployed.root / COPIES[1:] / ".new").exists()
    assert deployed.container()["Config"]["Image"] == OTHER


# --- the way back


@pytest.fixture
def upgraded(deployed: Guest) -> Guest:
    """The newer image has made something of the data."""
    deploy(deployed, OTHER)
    deployed.write(MEMORY, "spoilt by the second\n")
    deployed.write(f"{DATA}/new", "of the second\n")
    deployed.write(f"{DATA}/.hidden-too", "of the second\n")
    deployed.forget()
    return deployed


def restored(guest: Guest, *name: str) -> str:
    ran = guest.run("bootstrap", "--restore", *name)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_the_way_back_puts_the_copy_in_place_and_keeps_what_was_there(upgraded: Guest) -> None:
    (name,) = names(upgraded)

    said = restored(upgraded)

    assert len(upgraded.changes) == RESTORE_CHANGES
    assert said.splitlines()[0] == f"[hermes] the data of hermes is as in the copy {name}, under {IMAGE}"
    assert upgraded.read(MEMORY) == "under the first\n"
    assert {path.name for path in (upgraded.root / DATA[1:]).iterdir()} == {"memories", ".hidden", "link"}
    assert upgraded.owner(DATA) == "10000:10000 750"
    assert memories(upgraded) == ["under the first\n", "spoilt by the second\n"]
    assert upgraded.container()["State"]["Status"] == "exited"
    # The image before takes it as it is; the newer one would have it copied again.
    assert "copied" not in deploy(upgraded, IMAGE)
    assert upgraded.read(MEMORY) == "under the first\n"
    # And so does the way back from the way back.
    restored(upgraded, names(upgraded)[1])
    assert upgraded.read(MEMORY) == "spoilt by the second\n"


def test_a_copy_by_its_name_and_no_other(upgraded: Guest) -> None:
    ran = upgraded.run("bootstrap", "--restore", "yesterday")
    (name,) = names(upgraded)
    assert ran.returncode == 1
    assert ran.stderr == f"  there is no copy yesterday: write one of {name}\n"
    assert upgraded.changes == []
    restored(upgraded, name)


def test_without_a_copy_there_is_no_way_back(deployed: Guest) -> None:
    ran = deployed.run("bootstrap", "--restore")
    assert ran.returncode == 1
    assert ran.stderr == "  there is no copy of the data of hermes: one is made before another image runs\n"
    assert deployed.changes == []


# .hidden, .hidden-too, link, memories and new are moved away one by one.
RESTORE_CHANGES = 17


@pytest.mark.parametrize("number", range(1, RESTORE_CHANGES + 1))
def test_killed_on_the_way_back_the_next_run_ends_it(upgraded: Guest, number: int) -> None:
    upgraded.kill_at(number)
    assert upgraded.run("bootstrap", "--restore").returncode == -9
    upgraded.kill_at(None)
    if number % 2 or number == RESTORE_CHANGES:
        restored(upgraded, *names(upgraded)[:1])
    # Otherwise the next deploy does it.
    deploy(upgraded, IMAGE)
    assert upgraded.read(MEMORY) == "under the first\n"
    assert "spoilt by the second\n" in memories(upgraded)
    assert not (upgraded.root / f"{DATA[1:]}/new").exists()
