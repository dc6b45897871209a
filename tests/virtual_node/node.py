"""The virtual node's life: start the API, lay out the provider mirror, hand out credentials, and free everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from fakepve.certs import make_cert
from fakepve.lxc import parse_mount

from tests.virtual_node import client
from tests.virtual_node.client import Client
from tests.virtual_node.host import Host, VirtualHost
from tests.virtual_node.pve import BRIDGE, MOUNT, NODE, ZONE, VirtualPve

ROOT = Path(__file__).resolve().parents[2]
USER = "terraform@pve"
TOKEN = f"{USER}!deploy"
# The least that lets the token stack create, read, update and destroy: found by taking privileges away one by one.
PRIVILEGES = {
    "/vms": (
        "VM.Allocate",
        "VM.Audit",
        "VM.Config.CPU",
        "VM.Config.Disk",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.PowerMgmt",
    ),
    "/storage/local-lvm": ("Datastore.AllocateSpace",),
    "/storage/local": ("Datastore.AllocateTemplate", "Datastore.Audit"),
    f"/nodes/{NODE}": ("Sys.AccessNetwork",),
    f"/sdn/zones/{ZONE}/{BRIDGE}": ("SDN.Use",),
}
# For looking only, as the role PVEAuditor allows it.
READER = "audit@pve"
READ_TOKEN = f"{READER}!read"
READER_PRIVILEGES = ("Datastore.Audit", "Sys.Audit", "VM.Audit")
# address -> (version, module)
PROVIDERS = {"bpg/proxmox": ("0.111.1", "provider"), "hashicorp/null": ("3.2.4", "null")}
# Terraform's and OpenTofu's name for the same namespace of providers.
HOSTS = ("registry.terraform.io", "registry.opentofu.org")
PLATFORMS = ("linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64")
# The same bytes in every node, because a lock file that one run wrote must fit the next run's mirror.
EXECUTABLE = """\
#!/bin/sh
PYTHONPATH="$VIRTUAL_NODE_SOURCE" exec "$VIRTUAL_NODE_PYTHON" -c 'from tests.virtual_node.{module} import main; main()'
"""
START_TIMEOUT = 30


class VirtualNode:
    """A Proxmox VE node in this process, for as long as the `with` block runs."""

    def __init__(self, directory: Path, *, serves_providers: bool = False) -> None:
        """Keep all files of this run (certificate, password, provider mirror) in `directory`.

        With `serves_providers`, this process is the provider plugins of all Terraform commands. Without it, each command
        starts its own from the mirror, as it starts the real ones.
        """
        self.directory = directory
        self._serves_providers = serves_providers
        self._password = secrets.token_urlsafe(24)
        self.host = self._make_host()
        self.pve = self._make_pve(self._password)
        secret, read_secret = str(uuid.uuid4()), str(uuid.uuid4())
        self.pve.apitokens.update({TOKEN: secret, READ_TOKEN: read_secret})
        self.pve.accounts.update({USER, READER})
        self.pve.grant(READER, "/", *READER_PRIVILEGES)
        for path, privileges in PRIVILEGES.items():
            for privilege in privileges:
                self.grant(privilege, path)
        self.env: dict[str, str] = {}
        self._plugins = contextlib.ExitStack()
        self._plugin_environment: dict[str, str] = {}
        self._token = f"{TOKEN}={secret}"
        self._read_token = f"{READ_TOKEN}={read_secret}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="virtual-node", daemon=True)
        self._root: Client

    def _make_host(self) -> VirtualHost:
        return VirtualHost(self.directory)

    def _make_pve(self, password: str) -> VirtualPve:
        return VirtualPve(password, self.host)

    def __enter__(self) -> Self:
        """Listen, and write what child processes need."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        try:
            certificate, key, _ = make_cert(str(self.directory), name="node", hosts=("127.0.0.1",))
            self._run(self.pve.start(certificate, key))
            password_file = _write_secret(self.directory / "root-password", self._password)
            self.host.create(node=NODE, url=self.pve.url, certificate=certificate)
            self._root = Client(self.pve.url, login=(client.ROOT, self._password), ca_file=certificate)
            self.env = {
                "PROXMOX_VE_ENDPOINT": self.pve.url,
                "PROXMOX_VE_API_TOKEN": self._token,
                "PROXMOX_VE_INSECURE": "true",
                # Whatever the caller has for a real node stays out of this one.
                "PROXMOX_VE_USERNAME": "",
                "PROXMOX_VE_PASSWORD": "",
                "PROXMOX_VE_AUTH_TICKET": "",
                "PROXMOX_VE_CSRF_PREVENTION_TOKEN": "",
                # The way to root's shell on the node, and eyes for those who paste into it.
                "PATH": os.pathsep.join([str(self.host.ssh_bin), os.environ.get("PATH", os.defpath)]),
                "PVE_TRANSPORT": "ssh",
                "PVE_SSH": "root@127.0.0.1",
                "PVE_READ_TOKEN": self._read_token,
                "TF_CLI_CONFIG_FILE": str(self._write_mirror()),
                # Nor may `pipenv run` bring the real node back from an .env file.
                "PIPENV_DONT_LOAD_ENV": "1",
                # A plugin cache would mix the stand-ins with real providers; cdktf makes one in the home by itself.
                "TF_PLUGIN_CACHE_DIR": "",
                "CDKTF_DISABLE_PLUGIN_CACHE_ENV": "1",
                "CHECKPOINT_DISABLE": "1",
                "VIRTUAL_NODE_SOURCE": str(ROOT),
                "VIRTUAL_NODE_PYTHON": sys.executable,
                "VIRTUAL_NODE_PLUGIN_CERT": certificate,
                "VIRTUAL_NODE_PLUGIN_KEY": key,
                client.URL_VARIABLE: self.pve.url,
                client.CA_VARIABLE: certificate,
                client.PASSWORD_FILE_VARIABLE: str(password_file),
            }
            if self._serves_providers:
                from tests.virtual_node import reattach  # noqa: PLC0415 (the demo does not need it)

                served = reattach.served(HOSTS, self._plugin_environment)
                self.env[reattach.VARIABLE] = self._plugins.enter_context(served)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and take the credentials off the disk."""
        self._plugins.close()
        try:
            self._run(_call(self.pve.consoles.close))
            self._run(self.pve.stop())
        finally:
            self._stop()

    def seen_by_providers(self, environment: Mapping[str, str]) -> None:
        """Say with which environment the next Terraform runs: its plugins would inherit it."""
        self._plugin_environment.clear()
        self._plugin_environment.update(environment)

    @property
    def mutations(self) -> list[tuple[str, str]]:
        """The requests so far that change something, as (method, path); clear it to watch what comes next."""
        return self.pve.mutations

    def grant(self, privilege: str, path: str) -> None:
        """Give the deploy token's user a privilege on a path."""
        self.pve.grant(USER, path, privilege)

    def revoke(self, privilege: str) -> None:
        """Take a privilege away from the deploy token's user, on every path."""
        entries = self.pve.acl[USER]
        self.pve.acl[USER] = [(path, held - {privilege}) for path, held in entries]

    def api(self, method: str, path: str, /, **params: Any) -> Any:
        """Send a request as root@pam and return its data; raises `client.ApiError`.

        Somebody who binds a directory has made it before. How Proxmox VE answers when it is missing, `pct` shows.
        """
        for key, value in params.items():
            if MOUNT.fullmatch(key) and (source := parse_mount(value).get("volume", "")).startswith("/"):
                self.host.real(source).mkdir(parents=True, exist_ok=True)
        return self._root.request(method, path, params)

    def container_config(self, vmid: int) -> dict[str, str | int]:
        """What `pct config` shows: the configuration that the next start uses."""
        config: dict[str, str | int] = self.api("GET", f"/nodes/{NODE}/lxc/{vmid}/config")
        return {key: value for key, value in config.items() if key != "digest"}

    def set_config(self, vmid: int, **options: str | int) -> None:
        """`pct set` as root@pam, behind Terraform's back: each value replaces the whole old one."""
        self.api("PUT", f"/nodes/{NODE}/lxc/{vmid}/config", **options)

    def without_token(self) -> None:
        """As before anybody has made a token for deploys."""
        self.pve.accounts.discard(USER)
        self.pve.apitokens.pop(TOKEN, None)
        self.pve.acl.pop(USER, None)

    def add_foreign_container(
        self, vmid: int, hostname: str = "someone-elses", status: str = "stopped", node: str = NODE
    ) -> None:
        """A container that this project did not make."""
        self._run(_call(self.pve.add_ct, vmid, hostname, node=node, status=status))

    def add_foreign_vm(self, vmid: int, name: str = "someone-elses") -> None:
        """A virtual machine, which shares its range of ids with the containers."""
        self._run(_call(self.pve.add_vm, vmid, name, node=NODE))

    # The host --------------------------------------------------------------------------------------------------------

    @property
    def host_changes(self) -> list[str]:
        """The commands so far, of the host or in a container, that change something: `pct set 118 …`, `guest-mv …`."""
        return self.host.changes()

    def forget_host_changes(self) -> None:
        """Watch only what comes next."""
        self.host.forget()

    @property
    def ssh_calls(self) -> list[list[str]]:
        """The arguments of every ssh."""
        return self.host.lines("ssh-calls")

    def kill_host_command_at(self, number: int, when: Literal["before", "after"]) -> None:
        """Let the changing command of this number, counted from now, and its whole session die at its effect."""
        with self.host.changing() as state:
            state.update(kill_at=state["changes"] + number, kill_when=when)

    def reboots(self, vmid: int) -> int:
        """How often a container was rebooted."""
        return sum(task["type"] == "vzreboot" and task["id"] == str(vmid) for task in self.pve.tasklog)

    def make_directory(self, path: str, owner: str = "0:0", mode: str = "755") -> Path:
        """A directory of the host, made by somebody else; returns where it really is."""
        place = self.host.real(path)
        place.mkdir(parents=True, exist_ok=True)
        with self.host.changing() as state:
            key = str(place.relative_to(self.host.node))
            state["owners"][key], state["modes"][key] = owner, mode
        return place

    def stat(self, path: str) -> str:
        """Owner, group and mode of a path of the host, such as `110000:110000 750`."""
        machine = Host(self.host, "stat")
        return f"{machine.owner(path)} {machine.mode(path):o}"

    def stat_of_guest(self, vmid: int, path: str) -> str:
        """The same of a path in a container, as the host sees it."""
        machine, place = Host(self.host, "stat"), self.guest(vmid, path)
        return f"{':'.join(map(str, machine.ids(place)))} {machine.bits(place):o}"

    def guest(self, vmid: int, path: str = "/") -> Path:
        """Where a path of a container really is, once something has run in it."""
        return self.host.in_guest(str(vmid), path)

    def paste(self, text: str) -> subprocess.CompletedProcess[str]:
        """Paste what a step has printed into root's shell, as in the web interface."""
        return self.host.shell(text, capture_output=True)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT)
        self._loop.close()
        for name in ("root-password", "node.key"):
            (self.directory / name).unlink(missing_ok=True)

    def _write_mirror(self) -> Path:
        """Lay out the stand-in providers as Terraform's filesystem mirror, and write the settings that name it."""
        mirror = self.directory / "providers"
        for address, (version, module) in PROVIDERS.items():
            name = address.rpartition("/")[2]
            for host in HOSTS:
                for platform in PLATFORMS:
                    folder = mirror / host / address / version / platform
                    folder.mkdir(parents=True, exist_ok=True)
                    program = folder / f"terraform-provider-{name}_v{version}"
                    program.write_text(EXECUTABLE.format(module=module))
                    program.chmod(0o755)
        settings = self.directory / "terraform.rc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
        return settings


@contextlib.contextmanager
def temporary_node(keep: Path | None = None) -> Iterator[VirtualNode]:
    """A virtual node in a directory of its own, which goes away with it unless `keep` names one to use."""
    directory = keep or Path(tempfile.mkdtemp(prefix="virtual-node-"))
    try:
        with VirtualNode(directory) as node:
            yield node
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)


async def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _write_secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
    return path
