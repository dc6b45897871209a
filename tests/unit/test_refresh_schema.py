"""scripts/refresh-schema: what it keeps of a provider's schema, and what it says about the difference."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "refresh-schema"
ADDRESS = "registry.example/bpg/proxmox"
CONTAINER = "proxmox_virtual_environment_container"
PROSE = {"description": "Some prose.", "description_kind": "plain"}

FULL: dict[str, Any] = {
    "format_version": "1.0",
    "provider_schemas": {
        "registry.example/hashicorp/null": {"provider": {"version": 0, "block": {}}},
        ADDRESS: {
            "provider": {"version": 0, "block": {"attributes": {"endpoint": {"type": "string", **PROSE}}, **PROSE}},
            "ephemeral_resource_schemas": {"proxmox_secret": {"version": 0, "block": {}}},
            "resource_schemas": {
                CONTAINER: {
                    "version": 0,
                    "block": {
                        "attributes": {
                            "description": {"type": "string", "optional": True, **PROSE},
                            "attributes": {"type": ["map", "string"], "optional": True, "computed": True, **PROSE},
                            "vm_id": {"type": "string", "optional": True, **PROSE},
                            "network": {
                                "nested_type": {
                                    "attributes": {"description": {"type": "string", "computed": True, **PROSE}},
                                    "nesting_mode": "list",
                                },
                                "computed": True,
                                **PROSE,
                            },
                        },
                        "block_types": {
                            "description": {
                                "nesting_mode": "list",
                                "block": {
                                    "attributes": {
                                        "size": {
                                            "type": ["list", ["object", {"description": "string"}]],
                                            "required": True,
                                            **PROSE,
                                        }
                                    },
                                    **PROSE,
                                },
                                "max_items": 1,
                            }
                        },
                        **PROSE,
                    },
                },
                "proxmox_pool": {"version": 0, "block": {"attributes": {"id": {"type": "string"}}, **PROSE}},
            },
            "data_source_schemas": {
                "proxmox_version": {"version": 0, "block": {"attributes": {"release": {"type": "string", **PROSE}}}},
                "proxmox_pool": {"version": 0, "block": {**PROSE}},
            },
        },
    },
}

SLICE: dict[str, Any] = {
    "format_version": "1.0",
    "provider_schemas": {
        ADDRESS: {
            "provider": {"version": 0, "block": {"attributes": {"endpoint": {"type": "string"}}}},
            "resource_schemas": {
                CONTAINER: {
                    "version": 0,
                    "block": {
                        "attributes": {
                            "description": {"type": "string", "optional": True},
                            "attributes": {"type": ["map", "string"], "optional": True, "computed": True},
                            "vm_id": {"type": "string", "optional": True},
                            "network": {
                                "nested_type": {
                                    "attributes": {"description": {"type": "string", "computed": True}},
                                    "nesting_mode": "list",
                                },
                                "computed": True,
                            },
                        },
                        "block_types": {
                            "description": {
                                "nesting_mode": "list",
                                "block": {
                                    "attributes": {
                                        "size": {
                                            "type": ["list", ["object", {"description": "string"}]],
                                            "required": True,
                                        }
                                    }
                                },
                                "max_items": 1,
                            }
                        },
                    },
                }
            },
            "data_source_schemas": {
                "proxmox_version": {"version": 0, "block": {"attributes": {"release": {"type": "string"}}}}
            },
        }
    },
}


def text_of(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


class Project:
    """A project with a slice of the schema, and a provider to take it anew from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.schemas = directory / "schemas"
        self.schemas.mkdir()
        self.file = self.schemas / "proxmox@0.111.1.json"
        self.file.write_text(text_of(SLICE))
        self.full = copy.deepcopy(FULL)
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.use("bpg/proxmox@0.111.1")

    @property
    def container(self) -> dict[str, Any]:
        block: dict[str, Any] = self.full["provider_schemas"][ADDRESS]["resource_schemas"][CONTAINER]["block"]
        return block

    def use(self, *providers: str) -> None:
        config = {"terraformProviders": ["hashicorp/null@3.2.4", *providers]}
        (self.directory / "cdktf.json").write_text(json.dumps(config))

    def files(self) -> list[str]:
        return sorted(file.name for file in self.schemas.iterdir())

    def run(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            [sys.executable, SCRIPT, *options],
            cwd=self.directory,
            env={"PATH": f"{self.bin}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "Traceback" not in run.stderr
        return run

    def refresh(self, *options: str) -> subprocess.CompletedProcess[str]:
        (self.directory / "full.json").write_text(json.dumps(self.full))
        return self.run("--from", "full.json", *options)

    def terraform(self, script: str) -> None:
        path = self.bin / "terraform"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_slice_of_an_unchanged_provider(project: Project) -> None:
    run = project.refresh()
    assert (run.returncode, run.stdout, run.stderr) == (0, "no changes\n", "")
    assert project.file.read_text() == text_of(SLICE)
    assert project.refresh("--check").returncode == 0


def test_every_kind_of_change_has_its_line(project: Project) -> None:
    attributes = project.container["attributes"]
    attributes["purge_on_destroy"] = {"type": "bool", "optional": True, **PROSE}
    attributes["vm_id"] = {"type": "number", "required": True, **PROSE}
    del attributes["network"]
    project.container["block_types"]["description"]["max_items"] = 2
    project.container["block_types"]["lxc"] = {
        "nesting_mode": "set",
        "block": {"attributes": {"key": {"type": "string"}}},
    }
    attributes["tags"] = {"type": ["list", ["object", {"b": "string", "a": "bool"}]], "computed": True}
    del project.full["provider_schemas"][ADDRESS]["data_source_schemas"]["proxmox_version"]
    expected = [
        "- data.proxmox_version (data source)",
        f"~ {CONTAINER}.description max_items 1 -> 2",
        f"+ {CONTAINER}.lxc (block)",
        f"- {CONTAINER}.network (object, computed)",
        f"+ {CONTAINER}.purge_on_destroy (bool, optional)",
        f"+ {CONTAINER}.tags (list(object({{a=bool, b=string}})), computed)",
        f"~ {CONTAINER}.vm_id type string -> number",
        f"~ {CONTAINER}.vm_id use optional -> required",
    ]
    checked = project.refresh("--check")
    assert (checked.returncode, checked.stdout.splitlines()) == (1, expected)
    assert project.file.read_text() == text_of(SLICE)
    written = project.refresh()
    assert (written.returncode, written.stdout.splitlines()) == (0, expected)
    assert project.refresh().stdout == "no changes\n"


def test_a_changed_flag_and_schema_version(project: Project) -> None:
    project.container["attributes"]["vm_id"]["sensitive"] = True
    project.full["provider_schemas"][ADDRESS]["resource_schemas"][CONTAINER]["version"] = 1
    assert project.refresh("--check").stdout.splitlines() == [
        f"~ {CONTAINER} version 0 -> 1",
        f"~ {CONTAINER}.vm_id sensitive none -> true",
    ]


def test_a_changed_provider_block(project: Project) -> None:
    provider = project.full["provider_schemas"][ADDRESS]["provider"]
    provider["block"]["attributes"]["insecure"] = {"type": "bool", "optional": True}
    assert project.refresh("--check").stdout == "+ provider.insecure (bool, optional)\n"


def test_an_added_name_brings_resource_and_data_source(project: Project) -> None:
    assert project.refresh("--add", "proxmox_pool").stdout.splitlines() == [
        "+ data.proxmox_pool (data source)",
        "+ proxmox_pool (resource)",
    ]
    assert project.refresh().stdout == "no changes\n"


def test_the_first_file(project: Project) -> None:
    project.file.unlink()
    project.schemas.rmdir()
    run = project.refresh("--add", "proxmox_pool")
    assert run.stdout.splitlines() == [
        "+ data.proxmox_pool (data source)",
        "+ provider (provider)",
        "+ proxmox_pool (resource)",
    ]
    assert project.files() == ["proxmox@0.111.1.json"]


def test_another_layout_is_a_difference(project: Project) -> None:
    project.file.write_text(json.dumps(SLICE))
    run = project.refresh("--check")
    assert (run.returncode, run.stdout) == (1, "~ schemas/proxmox@0.111.1.json in its layout only\n")
    project.refresh()
    assert project.file.read_text() == text_of(SLICE)


def test_a_newer_version_gets_its_own_file(project: Project) -> None:
    project.use("bpg/proxmox@0.112.0")
    moved = "~ schemas/proxmox@0.111.1.json -> schemas/proxmox@0.112.0.json\n"
    checked = project.refresh("--check")
    assert (checked.returncode, checked.stdout, project.files()) == (1, moved, ["proxmox@0.111.1.json"])
    assert project.refresh().stdout == moved
    assert project.files() == ["proxmox@0.112.0.json"]


def test_a_run_that_was_cut_short_converges(project: Project) -> None:
    project.use("bpg/proxmox@0.112.0")
    (project.schemas / "proxmox@0.112.0.json").write_text(text_of(SLICE))
    assert project.refresh().stdout == "no changes\n"
    assert project.files() == ["proxmox@0.112.0.json"]


def test_terraform_is_asked_for_the_exact_version(project: Project) -> None:
    (project.directory / "full.json").write_text(json.dumps(project.full))
    project.terraform(
        f'cp main.tf.json {project.directory}/asked.json\ncase "$1" in providers) cat {project.directory}/full.json ;; esac'
    )
    run = project.run()
    assert (run.returncode, run.stdout, run.stderr) == (0, "no changes\n", "")
    asked = json.loads((project.directory / "asked.json").read_text())
    assert asked == {"terraform": {"required_providers": {"proxmox": {"source": "bpg/proxmox", "version": "0.111.1"}}}}


def test_an_unreachable_registry(project: Project) -> None:
    project.terraform('echo "Error: Failed to query available provider packages" >&2; exit 1')
    run = project.run()
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        "refresh-schema: terraform init could not get bpg/proxmox 0.111.1 "
        "(Failed to query available provider packages): can this machine reach a registry?\n"
    )
    assert project.file.read_text() == text_of(SLICE)


def test_a_terraform_that_answers_nonsense(project: Project) -> None:
    project.terraform("echo hello")
    run = project.run()
    assert (run.returncode, run.stderr) == (
        1,
        "refresh-schema: terraform providers schema did not answer with JSON\n",
    )


def test_a_name_of_terraform_that_is_not_there(project: Project) -> None:
    run = project.run(TERRAFORM_BINARY_NAME="no-such-terraform")
    message = (
        "refresh-schema: TERRAFORM_BINARY_NAME says no-such-terraform, which cannot be run: unset it, or name a program on "
        "PATH\n"
    )
    assert (run.returncode, run.stderr) == (2, message)


def test_outside_of_the_environment_it_says_how_to_get_into_it(project: Project) -> None:
    run = project.run(PATH=str(project.bin))
    message = (
        "refresh-schema: terraform is not on PATH: make setup has put one into .venv, so write pipenv run "
        "scripts/refresh-schema\n"
    )
    assert (run.returncode, run.stderr) == (2, message)


def test_where_no_terraform_can_be_run_it_repeats_what_to_do(project: Project) -> None:
    project.terraform("echo 'terraform: none is on PATH, and so on' >&2; exit 127")
    run = project.run()
    assert (run.returncode, run.stderr) == (2, "refresh-schema: terraform: none is on PATH, and so on\n")


def test_a_provider_without_an_exact_version(project: Project) -> None:
    project.use("bpg/proxmox@~> 0.111")
    run = project.refresh()
    assert (run.returncode, run.stderr) == (
        2,
        'refresh-schema: cdktf.json has no Proxmox provider with an exact version, such as "bpg/proxmox@0.111.1"\n',
    )


def test_a_name_that_the_provider_does_not_have(project: Project) -> None:
    run = project.refresh("--add", "proxmox_nothing")
    message = "refresh-schema: bpg/proxmox has neither a resource nor a data source proxmox_nothing\n"
    assert (run.returncode, run.stderr) == (2, message)


def test_a_schema_of_other_providers(project: Project) -> None:
    del project.full["provider_schemas"][ADDRESS]
    run = project.refresh()
    assert (run.returncode, run.stderr) == (2, "refresh-schema: the schema given has no provider bpg/proxmox\n")


def test_nothing_to_take(project: Project) -> None:
    project.file.unlink()
    run = project.refresh()
    message = "refresh-schema: schemas/ names no resource to take: name one with --add\n"
    assert (run.returncode, run.stderr) == (2, message)


def test_several_files_to_start_from(project: Project) -> None:
    project.use("bpg/proxmox@0.112.0")
    (project.schemas / "proxmox@0.110.0.json").write_text(text_of(SLICE))
    run = project.refresh()
    assert (run.returncode, run.stderr) == (
        2,
        "refresh-schema: schemas/ holds proxmox@0.110.0.json and proxmox@0.111.1.json: keep the one to start from\n",
    )
    assert project.files() == ["proxmox@0.110.0.json", "proxmox@0.111.1.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file or directory"), ("{", "is not JSON"), ("[]", "does not hold a JSON object")],
)
def test_an_unusable_source(project: Project, content: str | None, message: str) -> None:
    if content is not None:
        (project.directory / "given.json").write_text(content)
    run = project.run("--from", "given.json")
    assert (run.returncode, run.stderr) == (2, f"refresh-schema: given.json {message}\n")


def test_a_wrong_option(project: Project) -> None:
    run = project.run("--nothing")
    assert (run.returncode, run.stderr) == (
        2,
        "refresh-schema: unrecognized arguments: --nothing (see refresh-schema --help)\n",
    )


def test_our_own_schema_file_is_in_this_form() -> None:
    (file,) = (ROOT / "schemas").glob("proxmox@*.json")
    run = subprocess.run(
        [sys.executable, SCRIPT, "--check", "--from", file], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "no changes\n")
