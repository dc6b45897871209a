"""The virtual node's life: start the API, lay out the provider mirror, hand out credentials, and free everything."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Self

from fakepve.certs import make_cert

from tests.virtual_node import client
from tests.virtual_node.client import Client
from tests.virtual_node.pve import BRIDGE, NODE, ZONE, VirtualPve

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

    def __init__(self, directory: Path) -> None:
        """Keep all files of this run (certificate, password, provider mirror) in `directory`."""
        self.directory = directory
        self._password = secrets.token_urlsafe(24)
        self.pve = VirtualPve(self._password)
        secret = str(uuid.uuid4())
        self.pve.apitokens[TOKEN] = secret
        for path, privileges in PRIVILEGES.items():
            for privilege in privileges:
                self.grant(privilege, path)
        self.env: dict[str, str] = {}
        self._token = f"{TOKEN}={secret}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="virtual-node", daemon=True)
        self._root: Client

    def __enter__(self) -> Self:
        """Listen, and write what child processes need."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        try:
            certificate, key, _ = make_cert(str(self.directory), name="node", hosts=("127.0.0.1",))
            self._run(self.pve.start(certificate, key))
            password_file = _write_secret(self.directory / "root-password", self._password)
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
                "TF_CLI_CONFIG_FILE": str(self._write_mirror()),
                # A plugin cache would mix the stand-ins with real providers.
                "TF_PLUGIN_CACHE_DIR": "",
                "CHECKPOINT_DISABLE": "1",
                "VIRTUAL_NODE_SOURCE": str(ROOT),
                "VIRTUAL_NODE_PYTHON": sys.executable,
                "VIRTUAL_NODE_PLUGIN_CERT": certificate,
                "VIRTUAL_NODE_PLUGIN_KEY": key,
                client.URL_VARIABLE: self.pve.url,
                client.CA_VARIABLE: certificate,
                client.PASSWORD_FILE_VARIABLE: str(password_file),
            }
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and take the credentials off the disk."""
        try:
            self._run(self.pve.stop())
        finally:
            self._stop()

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
        """Send a request as root@pam and return its data; raises `client.ApiError`."""
        return self._root.request(method, path, params)

    def container_config(self, vmid: int) -> dict[str, str | int]:
        """What `pct config` shows: the configuration that the next start uses."""
        config: dict[str, str | int] = self.api("GET", f"/nodes/{NODE}/lxc/{vmid}/config")
        return {key: value for key, value in config.items() if key != "digest"}

    def set_config(self, vmid: int, **options: str | int) -> None:
        """`pct set` as root@pam, behind Terraform's back: each value replaces the whole old one."""
        self.api("PUT", f"/nodes/{NODE}/lxc/{vmid}/config", **options)

    def add_foreign_container(self, vmid: int, hostname: str = "someone-elses", status: str = "stopped") -> None:
        """A container that this project did not make."""
        self._run(_call(self.pve.add_ct, vmid, hostname, node=NODE, status=status))

    def add_foreign_vm(self, vmid: int, name: str = "someone-elses") -> None:
        """A virtual machine, which shares its range of ids with the containers."""
        self._run(_call(self.pve.add_vm, vmid, name, node=NODE))

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
