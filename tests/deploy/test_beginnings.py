"""A state that a test begins with: whether it was reached by its commands or copied, nobody can tell."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.deploy import beginnings
from tests.deploy.project import CONTAINER, HERMES_ROOT, Project
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

# What no two runs of the same commands have in common: a hardware address, and what is hashed with each container's own key.
OF_A_RUN = re.compile(r"BC:24:11(:[0-9A-F]{2}){3}|\b([0-9a-f]{16}|[0-9a-f]{64})\b")


@contextlib.contextmanager
def new_project(directory: Path) -> Iterator[Project]:
    with VirtualNode(directory / "virtual-node", serves_providers=True) as node:
        yield Project(directory / "project", node)


def picture(project: Project) -> dict[str, Any]:
    """All that commands leave, but for what is different each time."""
    node, where = project.node, project.directory.parent

    def text(found: object) -> str:
        return OF_A_RUN.sub("…", str(found).replace(str(where), ""))

    container = node.pve.ct(118)
    kinds = {
        str(it.relative_to(where)): (oct(it.lstat().st_mode), text(it.readlink()) if it.is_symlink() else "")
        for it in sorted(where.rglob("*"))
        # Whether Terraform has fetched a plugin before is no matter.
        if ".terraform" not in it.parts and "sessions" not in it.parts
    }
    return {
        "files": kinds,
        "guest": {
            text(it): text(it.read_text(errors="replace"))
            for it in sorted(node.host.guest("118").rglob("*"))
            if it.is_file()
        },
        "host": {name: text(it) for name, it in node.host.load().items() if name not in beginnings.OWN_TO_A_HOST},
        "changes": text(node.host_changes),
        "asked": [text(it) for it in node.mutations],
        "container": (text(container.config), container.status, container.pending),
        "addresses": [project.addresses(stack) for stack in ("hermes", HERMES_ROOT)],
        "outputs": project.apply().outputs,
    }


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An agent that was deployed before, and no other."""
    with mock.patch.object(beginnings, "_KEPT", {}), new_project(tmp_path_factory.mktemp("kept")) as project:
        project.deploy_both()
        yield project


@pytest.mark.usefixtures("kept")
def test_a_copy_is_what_its_commands_lead_to(tmp_path: Path) -> None:
    with new_project(tmp_path / "copied") as copied, new_project(tmp_path / "reached") as reached:
        with mock.patch.object(Project, "apply", side_effect=AssertionError("it is copied")):
            said_by_copy = copied.deploy_both()
        with mock.patch.object(beginnings, "_KEPT", {}):
            said = reached.deploy_both()
        assert (said_by_copy.actions, said_by_copy.summary) == (said.actions, said.summary)
        found, expected = picture(copied), picture(reached)
        for name, value in expected.items():
            assert (name, found[name]) == (name, value)
        # It goes on as the other one does.
        for project in (copied, reached):
            assert project.plan().actions == project.plan(stack=HERMES_ROOT).actions == {}
            assert project.agents("drift").code == project.agents("verify").code == 0
            project.configure(protect=False, cpu={"cores": 4})
            project.synthesize()
            assert project.apply().actions == {CONTAINER: "update"}
            assert project.destroy(stack=HERMES_ROOT).code == 0


def test_the_one_that_it_was_copied_from_stays_as_it_is(kept: Project, tmp_path: Path) -> None:
    with new_project(tmp_path / "copied") as copied:
        copied.deploy_both()
        copied.node.set_config(118, cores=8)
        copied.node.guest(118, "/etc/pve-agents/hermes.env").unlink()
    with new_project(tmp_path / "again") as again:
        again.deploy_both()
        assert again.node.container_config(118)["cores"] == 2
        assert again.node.guest(118, "/etc/pve-agents/hermes.env").is_file()
    assert kept.node.container_config(118)["cores"] == 2


@pytest.mark.parametrize("what", ["settings", "environment", "privileges", "a guest", "a program", "a fault"])
@pytest.mark.usefixtures("kept")
def test_whatever_is_another_way_runs_its_commands(tmp_path: Path, what: str) -> None:
    with new_project(tmp_path / "other") as project:
        settings: dict[str, Any] = {}
        match what:
            case "settings":
                settings = {"protect": False}
            case "environment":
                project.env["LITELLM_API_KEY"] = "sk-another"
            case "privileges":
                project.node.grant("Datastore.Allocate", "/storage/local")
            case "a guest":
                project.node.add_foreign_container(200)
            case "a program":
                project.record_arguments("ssh")
            case "a fault":
                project.node.kill_host_command_at(1, "before")
        with (
            mock.patch.object(Project, "apply", side_effect=InterruptedError("it runs")),
            pytest.raises(InterruptedError),
        ):
            project.deploy_both(**settings)
