"""scripts/target: what it refuses, and what it hands to cdktf."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "target"
CONTAINER = "proxmox_virtual_environment_container.hermes"
TEMPLATE = "proxmox_download_file.debian12_template_pve1"
CONTAINERS = "data.proxmox_virtual_environment_containers.taken"

APP = """
import json, os, pathlib
out = pathlib.Path(os.environ["CDKTF_OUTDIR"])
variables = [name for name in os.environ if name.startswith("TF_VAR_")]
pathlib.Path("synthesized").write_text(json.dumps([str(out), variables]))
hermes = {
    "resource": {
        "proxmox_virtual_environment_container": {"hermes": {}},
        "proxmox_download_file": {"debian12_template_pve1": {}},
    },
    "data": {"proxmox_virtual_environment_containers": {"taken": {}}},
}
for name, content in {"hermes": hermes, "hermes-root": {}}.items():
    (out / "stacks" / name).mkdir(parents=True)
    (out / "stacks" / name / "cdk.tf.json").write_text(json.dumps(content))
stacks = {name: {"synthesizedStackPath": f"stacks/{name}/cdk.tf.json"} for name in ("hermes-root", "hermes")}
(out / "manifest.json").write_text(json.dumps({"stacks": stacks}))
"""

CDKTF = """#!/usr/bin/env python3
import json, os, pathlib, sys
variables = {name: value for name, value in os.environ.items() if name.startswith("TF_CLI_ARGS")}
pathlib.Path(os.environ["RECORD"]).write_text(json.dumps({"argv": sys.argv, "cwd": os.getcwd(), "env": variables}))
sys.exit(int(os.environ.get("CDKTF_EXIT", "0")))
"""


class Project:
    """A project with a fake app and a fake cdktf."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "project"
        self.directory.mkdir()
        self.record = directory / "record.json"
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.app = self.directory / "app.py"
        self.app.write_text(APP)
        self.configure({"app": f'"{sys.executable}" app.py'})
        self.cdktf = self.install(self.bin / "cdktf")

    def configure(self, config: object) -> None:
        (self.directory / "cdktf.json").write_text(json.dumps(config))

    def install(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CDKTF.replace("#!/usr/bin/env python3", f"#!{sys.executable}"))
        path.chmod(0o755)
        return path

    def environment(self, variables: dict[str, str]) -> dict[str, str]:
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "RECORD": str(self.record), **variables}

    def target(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            cwd=self.directory,
            env=self.environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def recorded(self) -> dict[str, object]:
        return dict(json.loads(self.record.read_text()))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def all_three(value: str) -> dict[str, str]:
    return {f"TF_CLI_ARGS_{command}": value for command in ("plan", "apply", "destroy")}


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ([], ["diff", "hermes"]),
        (["--plan"], ["diff", "hermes"]),
        (["--apply", "--auto-approve"], ["deploy", "hermes", "--auto-approve"]),
        (["--destroy", "--auto-approve"], ["destroy", "hermes", "--auto-approve"]),
    ],
)
def test_every_action_is_one_cdktf_command_with_the_target_in_all_variables(
    project: Project, options: list[str], command: list[str]
) -> None:
    run = project.target("hermes", CONTAINER, *options)
    assert (run.returncode, run.stderr) == (0, "")
    assert project.recorded() == {
        "argv": [str(project.cdktf), *command],
        "cwd": str(project.directory),
        "env": all_three(f"-target={CONTAINER}"),
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "plan of {0}, {1} and what it depends on"),
        (["--apply", "--auto-approve"], "apply of {0}, {1} and what it depends on"),
        (["--destroy", "--auto-approve"], "destroy of {0}, {1} and what depends on it"),
    ],
)
def test_it_says_how_far_a_target_reaches(project: Project, options: list[str], said: str) -> None:
    run = project.target("hermes", CONTAINER, TEMPLATE, *options)
    assert run.stdout == f"target: {said.format(CONTAINER, TEMPLATE)}; the rest of hermes is left.\n"
    assert project.recorded()["env"] == all_three(f"-target={CONTAINER} -target={TEMPLATE}")


def test_the_operators_own_arguments_stay_in_front(project: Project) -> None:
    project.target("hermes", CONTAINER, TF_CLI_ARGS_apply="-parallelism=2", TF_CLI_ARGS_init="-upgrade")
    assert project.recorded()["env"] == {
        **all_three(f"-target={CONTAINER}"),
        "TF_CLI_ARGS_apply": f"-parallelism=2 -target={CONTAINER}",
        "TF_CLI_ARGS_init": "-upgrade",
    }


@pytest.mark.parametrize("instance", ["[0]", '["x"]', '["x y"]'])
def test_an_instance_of_a_resource_is_quoted_for_terraform(project: Project, instance: str) -> None:
    assert project.target("hermes", CONTAINER + instance).returncode == 0
    assert project.recorded()["env"] == all_three(f"'-target={CONTAINER}{instance}'")


def test_a_data_source_is_an_address_too(project: Project) -> None:
    assert project.target("hermes", CONTAINERS).returncode == 0


def test_options_between_and_behind_the_addresses(project: Project) -> None:
    run = project.target(
        "hermes", CONTAINER, "--apply", TEMPLATE, "--auto-approve", "--", "--skip-provider-lock", "--var", "a=b c"
    )
    assert run.returncode == 0
    assert project.recorded()["argv"] == [
        str(project.cdktf),
        *("deploy", "hermes", "--auto-approve", "--skip-provider-lock", "--var", "a=b c"),
    ]


def test_cdktfs_exit_code_is_ours(project: Project) -> None:
    assert project.target("hermes", CONTAINER, CDKTF_EXIT="7").returncode == 7


def test_the_projects_own_cdktf_comes_before_the_one_on_path(project: Project) -> None:
    own = project.install(project.directory / "node_modules" / ".bin" / "cdktf")
    assert project.target("hermes", CONTAINER).returncode == 0
    assert project.recorded()["argv"] == [str(own), "diff", "hermes"]


def test_the_check_leaves_cdktf_out_alone_and_nothing_behind(project: Project) -> None:
    project.target("hermes", CONTAINER, TF_VAR_secret="s")
    outdir, variables = json.loads((project.directory / "synthesized").read_text())
    assert variables == []
    assert not Path(outdir).exists()
    assert not (project.directory / "cdktf.out").exists()


LISTED = "".join(f"\n  {address}" for address in (CONTAINERS, TEMPLATE, CONTAINER))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hermes", "a.b"], f"hermes has no a.b; it has:{LISTED}"),
        (["hermes", CONTAINER, "a.b", "a.c"], f"hermes has no a.b and no a.c; it has:{LISTED}"),
        (["hermes", f"{CONTAINER}[x]"], f"hermes has no {CONTAINER}[x]; it has:{LISTED}"),
        (["hermes", f"{CONTAINER}s"], f"hermes has no {CONTAINER}s; it has:{LISTED}"),
        (["hermes-root", CONTAINER], f"hermes-root has no {CONTAINER}; it has: nothing"),
        (["herm*", CONTAINER], "there is no stack herm*; there are:\n  hermes\n  hermes-root"),
        (
            ["hermes"],
            "the following arguments are required: ADDRESS (see target --help)",
        ),
        (
            ["hermes", CONTAINER, "--skip-provider-lock"],
            "unrecognized arguments: --skip-provider-lock (see target --help)",
        ),
        (
            ["hermes", CONTAINER, "--plan", "--destroy"],
            "argument --destroy: not allowed with argument --plan (see target --help)",
        ),
        (["hermes", CONTAINER, "--auto-approve"], "--auto-approve goes with --apply or --destroy"),
        (
            ["hermes", CONTAINER, "--destroy"],
            "--destroy asks before it acts, and there is no terminal to answer on: --auto-approve",
        ),
    ],
)
def test_a_wrong_request_is_refused_before_cdktf_runs(project: Project, arguments: list[str], message: str) -> None:
    run = project.target(*arguments)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"target: {message}\n")
    assert not project.record.exists()


def test_on_a_terminal_cdktf_asks_itself(project: Project) -> None:
    ours, theirs = pty.openpty()
    try:
        run = subprocess.run(
            [sys.executable, SCRIPT, "hermes", CONTAINER, "--apply"],
            cwd=project.directory,
            env=project.environment({}),
            stdin=theirs,
            timeout=30,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert run.returncode == 0
    assert project.recorded()["argv"] == [str(project.cdktf), "deploy", "hermes"]


def test_without_cdktf(project: Project) -> None:
    project.cdktf.unlink()
    run = project.target("hermes", CONTAINER)
    assert (run.returncode, run.stderr) == (2, "target: cdktf is neither in node_modules nor on PATH: run npm ci\n")


def test_a_cdktf_that_cannot_run(project: Project) -> None:
    own = project.install(project.directory / "node_modules" / ".bin" / "cdktf")
    own.chmod(0o644)
    run = project.target("hermes", CONTAINER)
    assert (run.returncode, run.stderr) == (2, f"target: {own} cannot be run: Permission denied\n")


@pytest.mark.parametrize("config", [{}, [], {"app": None}])
def test_a_cdktf_json_without_an_app(project: Project, config: object) -> None:
    project.configure(config)
    run = project.target("hermes", CONTAINER)
    assert (run.returncode, run.stderr) == (2, 'target: cdktf.json names no "app" to synthesize with\n')


def test_a_cdktf_json_that_is_not_json(project: Project) -> None:
    (project.directory / "cdktf.json").write_text("{")
    run = project.target("hermes", CONTAINER)
    assert run.returncode == 2
    assert run.stderr.startswith("target: cdktf.json cannot be read: ")
    assert run.stderr.count("\n") == 1


def test_an_app_that_fails_speaks_for_itself(project: Project) -> None:
    project.app.write_text("import sys\nsys.exit('homelab.yaml: vmid: must be at least 100')\n")
    run = project.target("hermes", CONTAINER)
    assert (run.returncode, run.stderr) == (1, "homelab.yaml: vmid: must be at least 100\n")
    assert not project.record.exists()


def test_an_app_that_synthesizes_nothing(project: Project) -> None:
    project.app.write_text("")
    run = project.target("hermes", CONTAINER)
    assert (run.returncode, run.stderr) == (2, "target: the app of cdktf.json synthesized nothing\n")


def test_ctrl_c_while_synthesizing(project: Project) -> None:
    project.app.write_text("import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(30)\n")
    with subprocess.Popen(
        [sys.executable, SCRIPT, "hermes", CONTAINER],
        cwd=project.directory,
        env=project.environment({}),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever starts the tests in the background makes them inherit an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as run:
        deadline = time.monotonic() + 20
        while not (project.directory / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGINT)
        _, stderr = run.communicate(timeout=20)
    assert run.returncode == 130
    assert "target" not in stderr
    assert not project.record.exists()
