"""The shape of the project that keeps it working."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import constructs
import pytest

import pve_agents

PROJECT = Path(__file__).parent.parent.parent
PACKAGE = PROJECT / "constructs" / "pve_agents"
GIT_HAS_NO_REPOSITORY = 128
LONGEST_MODULE = 400

# Each module may import those before it: types, then settings, then constructs.
LAYERS = [
    "node_devices",
    "stopping",
    "types.words",
    "types.marks",
    "types.network",
    "types.guest",
    "types.storage",
    "types.credentials",
    "types",
    "problems",
    "model",
    "reading",
    "named_file",
    "guest_places",
    "compose_words",
    "described",
    "variables",
    "yaml_text",
    "yaml_writer",
    "agents",
    "agents.kind",
    "agents.docker",
    "agents.compose.keys",
    "agents.compose.variables",
    "agents.compose.volumes",
    "agents.compose.tree",
    "agents.compose.places",
    "agents.compose.stack",
    "agents.compose.judge",
    "agents.compose.render",
    "agents.compose.settings",
    "agents.litellm.settings",
    "agents.hermes.names",
    "agents.hermes.tools",
    "agents.hermes.providers",
    "agents.hermes.values",
    "agents.hermes.mcp",
    "agents.hermes.config",
    "agents.hermes.trees",
    "agents.hermes.spelling",
    "agents.hermes.literal",
    "agents.hermes.documents",
    "agents.hermes.config_file",
    "agents.hermes.compose_words",
    "agents.hermes.docker",
    "agents.hermes.sidecar",
    "agents.hermes.messengers",
    "agents.hermes.neighbours",
    "agents.hermes.platforms",
    "agents.hermes.native",
    "agents.hermes.room",
    "agents.hermes.variables",
    "agents.hermes.profile",
    "agents.hermes.gateways",
    "agents.hermes.shown_places",
    "agents.hermes.clashes",
    "agents.hermes.fitting",
    "agents.hermes.second_looks",
    "agents.hermes.settings",
    "secret_values",
    "volumes",
    "volumes.wanted",
    "settings.container",
    "settings.pets",
    "settings.mounts",
    "settings.storage",
    "settings.backend",
    "settings.agent",
    "settings.homelab",
    "settings.file",
    "settings.words",
    "settings.load",
    "settings",
    "settings.schema",
    "settings.reference",
    "settings.__main__",
    "state_guard",
    "terraform",
    "private_files",
    "environment",
    "node_access",
    "node_session",
    "node_api",
    "node_console",
    "node_stock",
    "guests",
    "host.words",
    "host.properties",
    "volumes.values",
    "volumes.plan",
    "volumes.owned",
    "volumes.act",
    "volume_spec",
    "privileges",
    "vmid_holder",
    "vmid_guard",
    "token_check",
    "template",
    "container",
    "volume_mounts",
    "pet_storage",
    "guest.plain",
    "guest.services",
    "guest.plan",
    "agents.app",
    "findings",
    "agents.doctor",
    "questions",
    "agents.init",
    "payload",
    "root_spec",
    "guest_payload",
    "host_step",
    "host.wanted",
    "host.spec",
    "host.facts",
    "host.commands",
    "host.plan_directories",
    "host.plan_container",
    "host.plan_guest",
    "host.plan_leaving",
    "host.plan_takeover",
    "host.plan",
    "host.given",
    "host.shell",
    "host.terminal",
    "host.login",
    "host.console",
    "host.step",
    "host.handed",
    "host.api_look",
    "host.paste",
    "host.inside",
    "host.verify",
    "host.place",
    "host.program",
    "operator",
    "operator.stopped",
    "operator.output",
    "operator.signals",
    "operator.project",
    "agents.litellm.grants",
    "agents.litellm.commands.grant",
    "operator.arguments",
    "operator.chosen_steps",
    "operator.wants",
    "operator.look",
    "operator.verification",
    "operator.synth",
    "operator.events",
    "operator.words",
    "operator.describing",
    "operator.terraform",
    "operator.stack",
    "operator.approval",
    "operator.unplanned",
    "operator.volumes",
    "operator.going",
    "operator.foundation",
    "operator.losses",
    "operator.phases",
    "operator.old_state",
    "operator.deployment",
    "operator.rollout",
    "operator.doctor.run",
    "operator.doctor.machine",
    "operator.doctor.judging",
    "operator.doctor.api",
    "operator.doctor.root",
    "operator.doctor.secrets",
    "operator.doctor.examination",
    "operator.doctor",
    "operator.bring_up",
    "operator.init",
    "operator.init.asking",
    "operator.init.files",
    "operator.init.texts",
    "operator.init.token_script",
    "operator.commands",
    "operator.commands.adopt",
    "operator.commands.doctor",
    "operator.commands.down",
    "operator.commands.drift",
    "operator.commands.init",
    "operator.commands.mend",
    "operator.commands.plan",
    "operator.commands.output",
    "operator.commands.recreate",
    "operator.commands.secrets",
    "operator.commands.target",
    "operator.commands.up",
    "operator.commands.verify",
    "operator.main",
    "operator.entry",
    # What runs in a container knows nothing of what runs here, but for what it is told.
    "guest.machine",
    "guest.asking",
    "guest.answers",
    "guest.runtime",
    "guest.progress",
    "guest.secrets",
    "guest.docker",
    "guest.work",
    "guest.systemd",
    "guest.apt",
    "guest.engine",
    "guest.smoke",
    "guest.directories",
    "guest.files",
    "guest.compose_files",
    "guest.images",
    "guest.copies",
    "guest.revisions",
    "guest.checks",
    "guest.waiting",
    "guest.sidecars",
    "guest.containers",
    "guest.releases",
    "guest.native_base",
    "guest.units",
    "guest.health",
    "guest.compose_verify",
    "guest.native_verify",
    "guest.verify",
    "guest.report",
    "guest.by_docker",
    "guest.by_systemd",
    "guest.runtimes",
    "guest.sides",
    "guest.unexpected",
    "guest.switch",
    "guest.deploy",
    "guest.main",
    "guest.__main__",
    "agents.compose.guest.checks",
    "agents.compose.app",
    "agents.litellm.guest.checks",
    "agents.litellm.render",
    "agents.litellm.app",
    "agents.hermes.guest.checks",
    "agents.hermes.guest.probe",
    "agents.hermes.units",
    "agents.hermes.render",
    "agents.hermes.app",
    "agents.hermes.doctor",
    "agents.hermes.init",
]


def test_the_source_root_does_not_shadow_the_package_constructs() -> None:
    assert not (PROJECT / "constructs" / "__init__.py").exists()
    assert "site-packages" in str(constructs.__file__)


def test_no_source_is_longer_than_400_lines() -> None:
    files = [path for folder in ("constructs", "scripts", "stacks") for path in (PROJECT / folder).rglob("*")]
    lengths = {
        str(path.relative_to(PROJECT)): len(path.read_text().splitlines())
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name, lines in lengths.items() if lines > LONGEST_MODULE} == set()


def test_everything_public_has_a_docstring() -> None:
    assert [name for name in pve_agents.__all__ if not getattr(pve_agents, name).__doc__] == []


@pytest.mark.parametrize("module", LAYERS)
def test_dependencies_point_one_way(module: str) -> None:
    path = PACKAGE / module.replace(".", "/")
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pve_agents"):
            # `from pve_agents import types` names a module, too.
            imported |= {node.module.partition(".")[2] or name.name for name in node.names}
    assert imported <= set(LAYERS[: LAYERS.index(module)])


def test_every_module_has_its_layer() -> None:
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    modules = {".".join(path.parts) for path in paths} | {
        "agents",
        "volumes",
        "operator",
        "operator.commands",
        "operator.doctor",
        "operator.init",
    }
    modules |= {module.rpartition(".")[0] for module in modules if module.startswith(("settings.", "types."))}
    assert sorted(modules) == sorted(LAYERS)


def test_the_program_in_the_container_knows_no_software_by_name() -> None:
    """What only a kind of agent knows is in its own folder, or in the plan."""
    named = re.compile(r"hermes|telegram|slack|litellm|openai|\bs6\b", re.IGNORECASE)
    files = [it for it in (PACKAGE / "guest").iterdir() if it.is_file()]
    assert len(files) > 20
    assert [it.name for it in files if named.search(it.read_text())] == []


def test_the_program_in_the_container_needs_the_standard_library_alone() -> None:
    files = [*(PACKAGE / "guest").glob("*.py"), *(PACKAGE / "agents").glob("*/guest/*.py")]
    travels = re.compile(r"pve_agents\.(guest\.\w+|agents\.\w+\.guest\.\w+|secret_values)")
    for file in files:
        nodes = [
            node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        foreign = {it for it in names if it.partition(".")[0] not in sys.stdlib_module_names}
        assert [it for it in sorted(foreign) if not travels.fullmatch(it)] == [], file.name


@pytest.mark.parametrize(("agent", "there"), [("{vmid: 119}", []), ("{vmid: 119, hermes: {}}", ["hermes"])])
def test_settings_import_only_the_software_that_they_state(agent: str, there: list[str], tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text(f"agents: {{scribe: {agent}}}\n")
    script = (
        "import sys, pve_agents.root_spec; from pathlib import Path; from pve_agents import load_settings\n"
        "load_settings(Path(sys.argv[1]))\n"
        "print(sorted({it.split('.')[2] for it in sys.modules if it.startswith('pve_agents.agents.')} - {'app', 'docker', 'kind'}))"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{there}\n"


@pytest.mark.parametrize("public", ["from pve_agents import load_settings", "import pve_agents.root_spec"])
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


# The package that an import comes from, where it has another name; pydantic and cdktf pin the versions of their cores.
_PACKAGES = {
    "cdktf_cdktf_provider_null": "cdktf-cdktf-provider-null",
    "dotenv": "python-dotenv",
    "jsii": "cdktf",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
_OURS = {"imports", "pve_agents", "stacks"}


def test_what_is_imported_is_a_stated_dependency() -> None:
    files = [PROJECT / "main.py", *PACKAGE.rglob("*.py"), *(PROJECT / "stacks").glob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - _OURS
    pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    stated = {re.split(r"[\s\[~=<>]", it)[0] for it in pyproject["project"]["dependencies"]}
    assert {_PACKAGES.get(it, it) for it in foreign} == stated
    assert stated <= tomllib.loads((PROJECT / "Pipfile").read_text())["packages"].keys()


def test_cdktf_runs_plain_python() -> None:
    """With -O it would compile all modules anew where bytecode cannot be written, and check no types."""
    assert json.loads((PROJECT / "cdktf.json").read_text())["app"].endswith(" python main.py")


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
