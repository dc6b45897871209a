"""This project on a virtual node: its settings in a directory of their own, its real app, cdktf and Terraform."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from main import compose
from pve_agents import load_settings
from pve_agents.environment import OWN_PROGRAMS
from tests.deploy.beginnings import begin
from tests.in_process import run_agents
from tests.virtual_node.node import ROOT, VirtualNode

CONTAINER = "proxmox_virtual_environment_container.hermes"
TEMPLATE = "proxmox_download_file.debian12_template_gihyeon"
TOKEN_CHECK = "terraform_data.hermes_token_check"
ADDRESS = "terraform_data.hermes_address"

HERMES_ROOT = "hermes-root"
STEPS = tuple(
    f"null_resource.hermes_{step}" for step in ("host_directories", "container_config", "payload", "bootstrap")
)
# The default mounts of hermes.
HDD, FAST = "/mnt/pve/hdd/hermes", "/media/2tb/hermes"

TEMPLATE_FILE = "debian-12-standard_12.12-1_amd64.tar.zst"
TEMPLATE_ID = f"local:vztmpl/{TEMPLATE_FILE}"

_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# cdktf puts the stack's name before what Terraform says, Terraform a bar before what went wrong.
_MARGIN = re.compile(r"^([a-z-]+(?=  ))?[\s│╷╵]*", re.MULTILINE)

# Hands on to the real program, after noting what it was called with.
_RECORDER = """#!/bin/sh
printf '%s\\n' "$0" "$@" >>"{record}"
exec "{program}" "$@"
"""


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    raw: str

    @cached_property
    def text(self) -> str:
        """What it said, without colours and line breaks: both cdktf and Terraform wrap their sentences."""
        return " ".join(_MARGIN.sub("", _TERMINAL.sub("", self.raw)).split())


@dataclass(frozen=True)
class TerraformRun(Ran):
    """What a `terraform` command with -json answered."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """Summary and detail of every error."""
        return self._diagnostics("error")

    @property
    def warnings(self) -> list[str]:
        """Summary and detail of every warning."""
        return self._diagnostics("warning")

    @property
    def actions(self) -> dict[str, str]:
        """What is planned, by address: create, update, replace, delete, move, import."""
        changes = (message["change"] for message in self._of("planned_change"))
        return {change["resource"]["addr"]: change["action"] for change in changes}

    @property
    def summary(self) -> dict[str, int]:
        """How many resources are added, changed, removed and imported."""
        counts = self._of("change_summary")[-1]["changes"]
        return {key: counts[key] for key in ("add", "change", "remove", "import") if counts.get(key)}

    @property
    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        return {name: output["value"] for name, output in self._of("outputs")[-1]["outputs"].items()}

    @property
    def said(self) -> str:
        """What the provisioners said."""
        return "\n".join(message["hook"]["output"] for message in self._of("provision_progress"))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def _diagnostics(self, severity: str) -> list[str]:
        found = (message["diagnostic"] for message in self._of("diagnostic"))
        return [f"{it['summary']}: {it['detail']}".rstrip(": ") for it in found if it["severity"] == severity]


@cache
def terraform() -> str:
    """The program that the launcher would choose for every command, where that is one of the user's own."""
    if named := os.environ.get("TERRAFORM_BINARY_NAME"):
        return named
    launcher = Path(sys.executable).parent
    others = os.pathsep.join(part for part in os.get_exec_path() if Path(part) != launcher)
    own = (shutil.which(name, path=others) for name in ("terraform", "tofu"))
    return next(filter(None, own), str(launcher / "terraform"))


class Project:
    """The app, with settings of its own and a virtual node."""

    def __init__(self, directory: Path, node: VirtualNode) -> None:
        """Keep settings, synthesized stacks and states in `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.node = directory, node
        self.settings = directory / "homelab.yaml"
        self.out = directory / "cdktf.out"
        self.binary = os.environ.get("TERRAFORM_BINARY_NAME", "terraform")
        # The section of the pet container, which there is by default none of.
        self.storage: dict[str, Any] | None = None
        tools = (Path(sys.executable).parent, ROOT / "node_modules" / ".bin")
        self.env = {
            **os.environ,
            **node.env,
            "PATH": os.pathsep.join([*map(str, tools), node.env["PATH"]]),
            "HOMELAB_FILE": str(self.settings),
            # What an agent with Hermes needs before it answers.
            "LITELLM_API_KEY": "sk-of-the-agent",
            "API_SERVER_KEY": "of-the-api-server",
            # Where the steps keep what the steps of one deploy share.
            "XDG_RUNTIME_DIR": str(directory),
            "TERRAFORM_BINARY_NAME": self.binary,
            # A developer may have one.
            "PIPENV_DONT_LOAD_ENV": "1",
            # cdktf draws a spinner otherwise.
            "CI": "1",
            # scripts/cdktf would refuse it.
            "PVE_AGENTS_KEEP": "TF_REATTACH_PROVIDERS",
        }
        self.configure()

    # What the operator does ------------------------------------------------------------------------------------------

    def configure(self, agents: Mapping[str, Any] | None = None, /, **hermes: Any) -> None:
        """Write homelab.yaml: the settings of hermes, or of all agents; and those of the pet container."""
        pets = {"storage": self.storage} if self.storage is not None else {}
        settings = {**pets, "agents": {"hermes": hermes} if agents is None else dict(agents)}
        self.settings.write_text(yaml.safe_dump(settings))

    def cdktf(self, *args: str, ok: bool | None = True, cwd: Path = ROOT, synth: bool = True) -> Ran:
        """Run the real cdktf, as `cdktf ARGS`.

        Look at what it did, not at the end of what it said: its deploy and destroy go through a terminal of their own,
        which now and then loses Terraform's last lines. Without `synth`, it takes what is synthesized.
        """
        options = ["--output", str(self.out), *([] if synth else ["--skip-synth"])]
        if args[0] not in ("list", "synth"):
            # The stand-in providers are in no registry.
            options.append("--skip-provider-lock")
        return self.run("cdktf", *args, *options, ok=ok, cwd=cwd)

    def planned_change(self, address: str, stack: str = "hermes") -> dict[str, Any]:
        """What `terraform plan` plans for a resource: the values before and after, and more."""
        file = self.directory / "plan"
        self.plan(f"-out={file}", stack=stack)
        shown = self.run(self.binary, f"-chdir={self.stack(stack)}", "show", "-json", str(file))
        changes = json.loads(shown.raw)["resource_changes"]
        change: dict[str, Any] = next(it["change"] for it in changes if it["address"] == address)
        return change

    def synthesize(self) -> None:
        """Write the stacks' JSON, without cdktf."""
        shutil.copytree(_synthesized(self.settings.read_text()), self.out, dirs_exist_ok=True)

    def plan(self, *args: str, ok: bool | None = True, stack: str = "hermes") -> TerraformRun:
        """Run `terraform plan` on what is synthesized."""
        return self.terraform("plan", *args, ok=ok, stack=stack)

    def apply(self, *args: str, ok: bool | None = True, stack: str = "hermes") -> TerraformRun:
        """Run `terraform apply` on what is synthesized."""
        return self.terraform("apply", "-auto-approve", *args, ok=ok, stack=stack)

    def deploy(self, **hermes: Any) -> TerraformRun:
        """Synthesize these settings and apply them."""
        self.configure(**hermes)
        return self.begin("hermes")

    def deploy_both(self, **hermes: Any) -> TerraformRun:
        """Synthesize these settings, apply them under the token and then as root, and return what the latter said."""
        self.configure(**hermes)
        return self.begin("hermes", HERMES_ROOT)

    def begin(self, *stacks: str) -> TerraformRun:
        """Synthesize what is configured, apply these stacks, and return what the last one said."""

        def reach() -> TerraformRun:
            self.synthesize()
            return [self.apply(stack=stack) for stack in stacks][-1]

        return begin(self, " ".join(stacks), reach)

    def begin_with_agents(self, *args: str) -> Ran:
        """Run `agents ARGS` as the first command on a node."""
        return begin(self, " ".join(args), lambda: self.agents(*args))

    def destroy(self, *, ok: bool | None = True, stack: str = "hermes") -> TerraformRun:
        """Run `terraform destroy` on what is synthesized."""
        return self.terraform("destroy", "-auto-approve", ok=ok, stack=stack)

    def agents(self, *args: str, ok: bool | None = True, main: bool = False) -> Ran:
        """Run `agents ARGS`, in the test's process, where the stacks are written as well, unless `main` is to do that."""
        self.node.seen_by_providers(self.env)
        started: AbstractContextManager[object] = (
            nullcontext() if main else mock.patch("pve_agents.operator.synth._started", self._write_stacks)
        )
        if "AGENT_KINDS_PATH" in self.env:
            # This process has looked for kinds already.
            command: tuple[str | Path, ...] = (Path(sys.executable).parent / "agents", "--output", str(self.out), *args)
            return self.run(*command, ok=ok)
        own = os.pathsep.join(filter(None, [os.environ.get("PREPARED_PROGRAMS"), OWN_PROGRAMS]))
        with started, mock.patch("pve_agents.environment.OWN_PROGRAMS", own):
            done = run_agents("--output", str(self.out), *args, env=self.env, cwd=ROOT)
        assert ok is None or (done.returncode == 0) is ok, done.stdout + done.stderr
        return Ran(done.returncode, done.stdout + done.stderr)

    def _write_stacks(self, _: object, settings: Mapping[str, str]) -> mock.Mock:
        """What main.py does, by the time that it is waited for."""

        def communicate() -> tuple[str, str]:
            with mock.patch.dict(os.environ, settings):
                self.synthesize()
            return "", ""

        return mock.Mock(returncode=0, communicate=communicate, poll=lambda: 0)

    def create_container(self, vmid: int = 118, hostname: str = "hermes", **options: str | int) -> None:
        """What the stack hermes leaves of a container, without it."""
        self.node.pve.store_file("local", TEMPLATE_FILE, 1000, "vztmpl")
        self.node.api(
            "POST",
            "/nodes/gihyeon/lxc",
            vmid=vmid,
            hostname=hostname,
            ostemplate=TEMPLATE_ID,
            rootfs="local-lvm:24",
            **{
                "features": "nesting=1",
                "net0": "name=eth0,bridge=intra01,ip=dhcp",
                "start": 1,
                "tags": f"pve-agents-{hostname}",
                **options,
            },
        )
        self.node.mutations.clear()

    def record_arguments(self, *programs: str) -> Path:
        """Write down what each of these programs is called with from now on; returns the file with it."""
        folder, record = self.directory.parent / "recorders", self.directory.parent / "arguments"
        folder.mkdir()
        for name in programs:
            program = shutil.which(name, path=self.env["PATH"])
            if program:
                (folder / name).write_text(_RECORDER.format(record=record, program=program))
                (folder / name).chmod(0o755)
        self.env["PATH"] = f"{folder}:{self.env['PATH']}"
        return record

    # What happens ----------------------------------------------------------------------------------------------------

    def stack(self, name: str = "hermes") -> Path:
        """The directory that Terraform runs in."""
        return self.out / "stacks" / name

    def edit(self, stack: Mapping[str, Any]) -> None:
        """Replace the synthesized JSON of hermes."""
        (self.stack() / "cdk.tf.json").write_text(json.dumps(stack))

    def json(self, name: str = "hermes") -> dict[str, Any]:
        """The synthesized JSON of a stack."""
        stack: dict[str, Any] = json.loads((self.stack(name) / "cdk.tf.json").read_text())
        return stack

    def lifecycle(self, stack: dict[str, Any]) -> dict[str, Any]:
        """The lifecycle block of the container in a stack's JSON."""
        kind, name = CONTAINER.split(".")
        block: dict[str, Any] = stack["resource"][kind][name]["lifecycle"]
        return block

    def state(self, name: str = "hermes") -> Path:
        """The state file of a stack."""
        return self.directory / f"terraform.{name}.tfstate"

    def addresses(self, name: str = "hermes") -> set[str]:
        """What the state of a stack holds, without data sources."""
        resources = json.loads(self.state(name).read_text())["resources"]
        return {f"{it['type']}.{it['name']}" for it in resources if it["mode"] == "managed"}

    def terraform(self, command: str, *args: str, ok: bool | None = True, stack: str = "hermes") -> TerraformRun:
        """Run Terraform in a stack's directory, and take in what it says in JSON."""
        where = f"-chdir={self.stack(stack)}"
        if not (self.stack(stack) / ".terraform").is_dir():
            self._initialize(stack)
        ran = self.run(terraform(), where, command, "-json", "-input=false", *args, ok=ok, env=self._prepared)
        messages = [json.loads(line) for line in ran.raw.splitlines() if line.startswith("{")]
        return TerraformRun(ran.code, ran.raw, messages)

    @property
    def _prepared(self) -> dict[str, str]:
        """An environment whose `python3` need not start for what is this project's."""
        # The lab has none of them.
        prepared = os.environ.get("PREPARED_PROGRAMS")
        return {"PATH": os.pathsep.join([prepared, self.env["PATH"]])} if prepared else {}

    def _initialize(self, stack: str) -> None:
        """Run `terraform init`, once for all directories that would get the same of it."""
        # Served providers are not installed.
        what = json.dumps([self.json(stack)["terraform"], "TF_REATTACH_PROVIDERS" in self.env])
        kept, here = ("initialized", what), self.stack(stack) / ".terraform"
        if kept not in _KEPT:
            self.run(self.binary, f"-chdir={self.stack(stack)}", "init", "-input=false", "-no-color")
            _KEPT[kept] = tempfile.TemporaryDirectory(prefix="initialized-")
            shutil.copytree(here, _KEPT[kept].name, dirs_exist_ok=True)
        else:
            shutil.copytree(_KEPT[kept].name, here)

    def run(
        self, *argv: str | Path, ok: bool | None = True, cwd: Path = ROOT, env: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a command in the project's environment; `ok` says how it must end, None that it may end either way."""
        environment = {**self.env, **(env or {})}
        self.node.seen_by_providers(environment)
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert ok is None or (done.returncode == 0) is ok, done.stdout
        return Ran(done.returncode, done.stdout)


# What is the same for many tests of a session, by what it is made from: directories that are copied.
_KEPT: dict[tuple[str, str], tempfile.TemporaryDirectory[str]] = {}


def _synthesized(settings: str) -> Path:
    """A directory with the stacks' JSON of these settings, as the app writes it."""
    stated = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("HOMELAB_AGENTS")]
    key = ("synthesized", "\n".join([settings, *stated]))
    if key not in _KEPT:
        _KEPT[key] = tempfile.TemporaryDirectory(prefix="synthesized-")
        directory = Path(_KEPT[key].name)
        (directory / "homelab.yaml").write_text(settings)
        compose(load_settings(directory), outdir=str(directory / "cdktf.out")).synth()
    return Path(_KEPT[key].name) / "cdktf.out"
