"""The shape of the project that keeps it working."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import constructs
import pytest

import pve_agents

PROJECT = Path(__file__).parent.parent.parent
PACKAGE = PROJECT / "constructs" / "pve_agents"
GIT_HAS_NO_REPOSITORY = 128

# Each module may import those before it: types, then settings, then constructs.
LAYERS = [
    "types",
    "model",
    "described",
    "variables",
    "yaml_text",
    "agents.hermes.config",
    "agents.hermes.docker",
    "agents.hermes.platforms",
    "agents.hermes.variables",
    "agents.hermes.settings",
    "settings",
    "terraform",
    "vmid_guard",
    "template",
    "token_check",
    "container",
    "payload",
    "guest_payload",
    "host_step",
    "agents.hermes.render",
    "agents.hermes.agent",
]


def test_the_source_root_does_not_shadow_the_package_constructs() -> None:
    assert not (PROJECT / "constructs" / "__init__.py").exists()
    assert "site-packages" in str(constructs.__file__)


def test_everything_public_has_a_docstring() -> None:
    assert [name for name in pve_agents.__all__ if not getattr(pve_agents, name).__doc__] == []


@pytest.mark.parametrize("module", LAYERS)
def test_dependencies_point_one_way(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    imported = {
        node.module.partition(".")[2]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pve_agents")
    }
    assert imported <= set(LAYERS[: LAYERS.index(module)])


def test_every_module_has_its_layer() -> None:
    modules = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    assert sorted(".".join(module.parts) for module in modules) == sorted(LAYERS)


@pytest.mark.parametrize("public", ["from pve_agents import load_settings", "import stacks.root_spec"])
def test_who_needs_no_construct_starts_no_node(public: str) -> None:
    script = f"import sys; {public}; print(sorted({{'cdktf', 'constructs', 'imports', 'jsii'}} & sys.modules.keys()))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_package_offers_what_it_says_and_no_more() -> None:
    assert all(getattr(pve_agents, name).__module__.startswith("pve_agents.") for name in pve_agents.__all__)
    with pytest.raises(AttributeError, match="module 'pve_agents' has no attribute 'Hermes'"):
        _ = pve_agents.Hermes  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", ["agents", "agents.hermes"])
def test_a_package_of_agents_imports_nothing_by_itself(package: str) -> None:
    # The settings of all agents import an agent's: its constructs must not come along.
    tree = ast.parse((PACKAGE / package.replace(".", "/") / "__init__.py").read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_the_lock_names_no_package_index() -> None:
    lock = (PROJECT / "Pipfile.lock").read_text()
    assert '"sources": []' in lock
    assert '"index":' not in lock
    assert '"resolved"' not in (PROJECT / "package-lock.json").read_text()


def test_no_source_is_kept_out_of_the_repository_by_gitignore() -> None:
    """What lies in the author's directories alone works nowhere else."""
    ignored = ("git", "ls-files", "--others", "--ignored", "--exclude-standard", "--")
    sources = ("constructs", "docs", "scripts", "stacks", "tests")
    done = subprocess.run((*ignored, *sources), cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode == GIT_HAS_NO_REPOSITORY:
        pytest.skip("this is no checkout of the repository")
    assert [line for line in done.stdout.splitlines() if "__pycache__" not in line] == []
