"""The fake PVE API: fakepve's, with what this project relies on made to answer as PVE 9 answers.

What PVE does is cited by package and file; where fakepve 0.5.0 answers differently, a method here overrides it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import posixpath
import re
import shutil
import urllib.parse
import zlib
from typing import Any

from fakepve import FakePve, PveError, TaskError
from fakepve import lxc as fake_lxc
from fakepve import schema as fake_schema
from fakepve import server as fake_server
from fakepve.routing import die, param_error
from fakepve.server import USER, ok

from tests.virtual_node.access import AccessApi
from tests.virtual_node.console import FOREIGN_USER, Consoles, Spawn
from tests.virtual_node.host import SOURCE, VirtualHost
from tests.virtual_node.volumes import VolumesApi, print_mount

# PVE's schema prints Perl's regular expressions, which Python cannot compile, and what fakepve cannot compile it lets
# pass. The list is fakepve's own, of spellings to replace before it compiles one.
fake_schema.LINEAR_FORMS = (*fake_schema.LINEAR_FORMS, ("(?^:", "(?:"))


async def params(request: Any) -> Values:
    """The parameters of a request; fakepve leaves out those without a value, which PVE takes for empty."""
    given: Values = await fakes_params(request)
    if request.content_type == "application/x-www-form-urlencoded":
        pairs = urllib.parse.parse_qsl((await request.read()).decode(errors="replace"), keep_blank_values=True)
        given = {name: value for name, value in pairs if not value} | given
    return given


Values = dict[str, Any]
fakes_params, fake_server.params = fake_server.params, params

NODE = "gihyeon"
BRIDGE = "intra01"
ZONE = "intra"

MOUNT = re.compile(r"(rootfs|mp\d+)")
NET = re.compile(r"net\d+")
CHANGES_A_CONTAINER = re.compile(r"/lxc/\d+/(config|resize|status/reboot)$")
# What pveproxy answers when the node behind it breaks off.
BROKEN = 596
OVERWRITES = "refusing to override existing file '{}'"
# pve-container src/PVE/LXC/Config.pm:982-999: no path may climb.
CLIMBING = re.compile(r"(?:^|/)\.\.?/|/\.\.?$")
SSH_KEY = re.compile(r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+)\s+(\S+)(?:\s.*)?")
# Guests whose systemd is newer than 241, and wants nesting.
SYSTEMD = ("archlinux", "centos", "debian", "fedora", "opensuse", "ubuntu")
# What PVE::RPCEnvironment::get_effective_permissions always lists, besides the paths of the ACL.
DEFAULT_PATHS = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


class VirtualPve(AccessApi, VolumesApi, FakePve):  # type: ignore[misc]
    """One PVE 9 node with a directory storage, a thin pool, a disk full of data, and an SDN bridge."""

    def __init__(self, password: str, machine: VirtualHost) -> None:
        """Listen on a free port of 127.0.0.1 once started; the files that mounts refer to are the `machine`'s."""
        super().__init__(user="root@pam", password=password, host="127.0.0.1", port=0)
        self.machine = machine
        self.version, self.release_version = "9.1.4", "9.1"
        self.nodes = {NODE: {"online": True}}
        self.storages = {
            "local": _storage("dir", "vztmpl,iso,backup", path="/var/lib/vz"),
            "local-lvm": _storage("lvmthin", "rootdir,images", vgname="pve", thinpool="data"),
            "hdd": _storage("dir", "rootdir", path="/mnt/pve/hdd"),
        }
        self.acl: dict[str, list[tuple[str, set[str]]]] = {}
        # vnet -> zone; any other bridge belongs to the zone that PVE calls localnetwork.
        self.vnets = {BRIDGE: ZONE}
        self.bridges = {"vmbr0"}
        # What the internet holds: url -> content, or None for a dead link. Any other URL holds a made-up file.
        self.web: dict[str, bytes | None] = {}
        # Does a DHCP server answer on the bridges?
        self.dhcp = True
        self.consoles = Consoles()
        self.challenges: set[str] = set()
        # What an authenticator app shows, where root has one.
        self.totp = "123456"
        # Every request that changes something, as (method, path under /api2/json), oldest first.
        self.mutations: list[tuple[str, str]] = []
        # Which request from now on that changes a container is lost on its way, before or after it was done: as for somebody
        # who is killed there.
        self.break_at, self.break_when = 0, ""

    def _record(self, request: Any, body: bytes) -> None:
        super()._record(request, body)
        if request.method not in ("GET", "HEAD") and not request.path.endswith(
            ("/access/ticket", "/push_file", "/termproxy")
        ):
            self.mutations.append((request.method, request.path.removeprefix("/api2/json")))

    async def answer(self, request: Any, match: Any, values: Values, user: str, call: Any = None) -> Any:
        """Join a list that comes as a name more than once: `delete=net1&delete=net2` (PVE::APIServer::AnyEvent)."""
        known = (match.methods[request.method].get("parameters") or {}).get("properties") or {}
        for name, value in values.items():
            if isinstance(value, list) and str(known.get(name, {}).get("format", "")).endswith("-list"):
                values[name] = ",".join(value)
        breaks = self.break_when if self._is_the_one_that_breaks(request) else ""
        if breaks == "before":
            raise PveError(BROKEN, "Connection reset by peer")
        answer = await super().answer(request, match, values, user, call)
        if breaks == "after":
            raise PveError(BROKEN, "Connection reset by peer")
        return answer

    def _is_the_one_that_breaks(self, request: Any) -> bool:
        if not self.break_at or request.method == "GET" or not CHANGES_A_CONTAINER.search(request.path):
            return False
        self.break_at -= 1
        return self.break_at == 0

    # Permissions ------------------------------------------------------------------------------------------------

    def _check_bridge(self, user: str, net: str) -> None:
        # fakepve looks every bridge up in the zone localnetwork, and ignores the VLAN tag
        # (pve-guest-common src/PVE/GuestHelpers.pm:397-421).
        props = fake_lxc.split_props(net)[1]
        if bridge := props.get("bridge"):
            path = f"/sdn/zones/{self.vnets.get(bridge, 'localnetwork')}/{bridge}"
            self.require(user, f"{path}/{props['tag']}" if props.get("tag") else path, "SDN.Use")

    def _vm_perm(self, user: str, vmid: int, pool: str | None, *privileges: str) -> None:
        # fakepve asks for VM.PowerMgmt when a create request says start=1; PVE does not
        # (pve-container src/PVE/API2/LXC.pm starts the new container inside the create task).
        super()._vm_perm(user, vmid, pool, *(name for name in privileges if name != "VM.PowerMgmt"))

    async def _permissions(self, v: Values, user: str) -> dict[str, dict[str, int]]:
        # PVE answers effective privileges: of the one path that was asked for, or of the well-known paths and those
        # of the ACL (pve-access-control src/PVE/API2/AccessControl.pm). fakepve lists the ACL's entries.
        who = v.get("userid") or user
        if who not in (user, user.split("!", maxsplit=1)[0]):
            self.require(user, "/access", "Sys.Audit")
        if who.split("!")[0] == "root@pam":
            held: dict[str, dict[str, int]] = await super()._permissions({}, who)
            return dict.fromkeys([v["path"]] if v.get("path") else DEFAULT_PATHS, held["/"])
        entries = [entry for name in {who, who.split("!")[0]} for entry in self.acl.get(name, [])]
        paths = [v["path"]] if v.get("path") else sorted({*DEFAULT_PATHS, *(path for path, _ in entries)})
        known = {privilege for _, privileges in entries for privilege in privileges}
        effective = {path: dict.fromkeys((n for n in sorted(known) if self._has(who, path, n)), 1) for path in paths}
        return {path: held for path, held in effective.items() if held}

    # Downloads --------------------------------------------------------------------------------------------------

    def _routes_virtual_node(self) -> list[tuple[str, str, Any]]:
        """Register what fakepve only shapes, next to its own tables of routes."""
        return [
            ("GET", "/nodes/{node}/query-url-metadata", self._query_url_metadata),
            ("POST", "/nodes/{node}/storage/{storage}/oci-registry-pull", self._oci_registry_pull),
            ("DELETE", "/nodes/{node}/tasks/{upid}", self._stop_task),
            ("GET", "/nodes/{node}/network", self._networks),
            ("GET", "/cluster/sdn/vnets", self._vnets),
        ]

    async def _networks(self, v: Values, user: str) -> list[Values]:
        """Bridges and vnets, those alone that somebody may use or audit (pve-manager PVE/API2/Network.pm)."""
        kind = v.get("type", "")
        found = [{"iface": it, "type": "bridge", "active": 1} for it in self.bridges if kind in ("", "any_bridge")]
        found += [{"iface": it, "type": "vnet", "active": "1"} for it in self.vnets if kind in ("any_bridge", "vnet")]
        shown = ("SDN.Audit", "SDN.Use")
        return [it for it in found if self._may_on_bridge(user, str(it["iface"]), shown)]

    async def _vnets(self, _: Values, user: str) -> list[Values]:
        """What is configured: SDN.Use does not show it (pve-network, PVE::API2::Network::SDN::Vnets)."""
        vnets = ((vnet, zone) for vnet, zone in self.vnets.items())
        return [
            {"vnet": vnet, "zone": zone, "type": "vnet", "digest": "0"}
            for vnet, zone in vnets
            if self._may_on_bridge(user, vnet, ("SDN.Audit", "SDN.Allocate"))
        ]

    def _may_on_bridge(self, user: str, bridge: str, privileges: tuple[str, ...]) -> bool:
        path = f"/sdn/zones/{self.vnets.get(bridge, 'localnetwork')}/{bridge}"
        below = [it for entries in self.acl.values() for it, _ in entries if it.startswith(f"{path}/")]
        return any(self.allowed(user, it, name) for it in (path, *below) for name in privileges)

    async def _stop_task(self, v: Values, user: str) -> None:
        """Nothing here runs long enough to be stopped; a task is its owner's business (pve-manager API2/Tasks.pm)."""
        task = self.tasks.get(v["upid"])
        if task is None:
            raise die(f"unable to parse worker upid '{v['upid']}'")
        if not self._task_owner(user, task):
            self.require(user, f"/nodes/{v['node']}", "Sys.Modify")

    def _web_size(self, url: str) -> int:
        """Return how large the file at `url` is; PVE's own error when there is none."""
        if url not in self.web:
            return 100 * 1024**2 + zlib.crc32(url.encode()) % 1024**2
        content = self.web[url]
        if content is None:
            raise die("invalid server response: '404 Not Found'")
        return len(content)

    async def _query_url_metadata(self, v: Values, _user: str) -> Values:
        url = v["url"]
        name = posixpath.basename(urllib.parse.urlsplit(url).path)
        return {"filename": name, "size": self._web_size(url), "mimetype": "application/octet-stream"}

    async def _download_url(self, request: Any) -> Any:
        # fakepve asks for Sys.Audit and Sys.Modify even where Sys.AccessNetwork would do, and knows no checksums.
        match = self.resolve(request, "/api2/json")

        async def download(_match: Any, values: Values) -> str:
            return await self._download(values, request[USER])

        return ok(await self.answer(request, match, await params(request), request[USER], download))

    async def _download(self, v: Values, user: str) -> str:
        store, url, name = v["storage"], v["url"], v["filename"]
        if v["content"] not in self._active_store(store, v["node"])["content"].split(","):
            raise die(f"storage '{store}' is not configured for content-type '{v['content']}'")
        if ("checksum" in v) != ("checksum-algorithm" in v):
            raise param_error(checksum="checksum and checksum-algorithm go together")
        wanted = {v["checksum-algorithm"]: v["checksum"].lower()} if "checksum" in v else {}

        async def body() -> str | None:
            # pve-common src/PVE/Tools.pm:1501-1520 (download_file_from_url).
            present = self.storages[store]["volumes"].get(f"{v['content']}/{name}")
            if present is not None:
                if wanted and wanted.items() <= _digests(present, wanted).items():
                    return "got correct file already, no need to download"
                raise TaskError(OVERWRITES.format(self._volume_path(store, f"{v['content']}/{name}", v["content"])))
            try:
                size = self._web_size(url)
            except PveError as error:
                raise TaskError(f"download failed: {error.message}") from error
            file = {"content_bytes": self.web.get(url), "checksums": wanted}
            for algorithm, actual in _digests(file, wanted).items():
                if actual != wanted[algorithm]:
                    raise TaskError(f"checksum mismatch: got '{actual}' != expect '{wanted[algorithm]}'")
            self.store_file(store, name, size, v["content"])
            self.storages[store]["volumes"][f"{v['content']}/{name}"].update(file)
            return None

        return str(await self.task(v["node"], "download", name, user, body, log=[f"downloading {url} to {name}"]))

    async def _oci_registry_pull(self, v: Values, user: str) -> str:
        store = v["storage"]
        name = v.get("filename") or re.sub(r"[:/]", "_", v["reference"])
        volume = f"vztmpl/{name}.tar"

        async def body() -> None:
            if volume in self.storages[store]["volumes"]:
                raise TaskError(OVERWRITES.format(self._volume_path(store, volume, "vztmpl")))
            self.store_file(store, f"{name}.tar", self._web_size(v["reference"]), "vztmpl")

        return str(await self.task(v["node"], "ociregistrypull", store, user, body, log=[f"pulling {v['reference']}"]))

    def _parse_volname(self, store: Values, volname: str) -> Any:
        # An OCI image is a plain .tar (pve-storage src/PVE/Storage.pm); fakepve knows compressed templates only.
        if re.fullmatch(r"vztmpl/[^/]+\.tar", volname):
            return "vztmpl", None, "raw"
        return super()._parse_volname(store, volname)

    def volume_exists(self, volid: str) -> bool:
        """Take no template on trust: fakepve accepts any while a storage holds none."""
        return bool(super().volume_exists(volid))

    # Containers -------------------------------------------------------------------------------------------------

    async def _lxc_create(self, user: str, v: Values) -> Any:
        for key, value in v.items():
            if MOUNT.fullmatch(key):
                _check_paths(key, value)
        for line in urllib.parse.unquote(v.get("ssh-public-keys", "")).splitlines():
            if line.strip() and not _is_ssh_key(line.strip()):
                raise die("SSH public key validation error")
        upid = await super()._lxc_create(user, v)
        # fakepve guesses both from the template's name; PVE takes what the request says.
        if ct := self.ct(int(v["vmid"])):
            ct.config.update({key: v[key] for key in ("ostype", "arch") if v.get(key)})
            if ct.config["ostype"] in SYSTEMD and "nesting=1" not in ct.config.get("features", ""):
                # pve-container src/PVE/LXC/Setup.pm:299-331: the task succeeds, with a warning.
                task = self.tasks[upid]
                task["log"][-1:] = ["WARN: Systemd 252 detected. You may need to enable nesting.", "TASK WARNINGS: 1"]
                task["exitstatus"] = "WARNINGS: 1"
        return upid

    async def _update_config(self, ct: Any, user: str, values: Values, deletes: list[str], reverts: list[str]) -> None:
        # fakepve keeps a mount that waits for a reboot as it was sent. PVE stores it in its own spelling, so that
        # sending the same again changes nothing (pve-container src/PVE/LXC/Config.pm, update_pct_config).
        for key, value in values.items():
            if MOUNT.fullmatch(key):
                _check_paths(key, value)
                values[key] = print_mount(fake_lxc.parse_mount(value))
                self._check_hotplug(ct, key, values[key])
        await super()._update_config(ct, user, values, deletes, reverts)

    def _check_hotplug(self, ct: Any, key: str, value: str) -> None:
        """A new mount of a running container is made at once, or not at all; fakepve looks at no directory."""
        source = fake_lxc.parse_mount(value)["volume"]
        new = ct.status == "running" and key not in ct.config and fake_lxc.mount_type(source) == "bind"
        if new and not self.machine.real(source).is_dir():
            raise param_error(**{key: f"unable to hotplug {key}: directory '{source}' does not exist\n"})

    def _lxc_routes(self, router: Any, node: str) -> None:
        super()._lxc_routes(router, node)
        # Not Proxmox VE's: its `pct push` is a command of the host, and leaves a task without asking the API.
        router.add_post(f"{node}/lxc/{{vmid}}/push_file", self._push_file)
        for path in (node, f"{node}/lxc/{{vmid}}"):
            router.add_post(f"{path}/termproxy", self._open_terminal)
            router.add_get(f"{path}/vncwebsocket", self._terminal)

    def _terminal_named(self, request: Any) -> tuple[str, str]:
        """VMID and path in the ACL of what a request for a terminal is about, once who asks may have it."""
        node, vmid = request.match_info["node"], request.match_info.get("vmid", "")
        if node not in self.nodes:
            raise PveError(500, f"no such cluster node '{node}'")
        path, privilege = (f"/vms/{vmid}", "VM.Console") if vmid else (f"/nodes/{node}", "Sys.Console")
        self.require(request[USER], path, privilege)
        if vmid and self.ct(int(vmid)) is None:
            raise PveError(500, f"Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")
        return vmid, path

    async def _open_terminal(self, request: Any) -> Any:
        vmid, path = self._terminal_named(request)
        user = request[USER]
        if "!" in user and self.consoles.faults.too_old:
            raise PveError(500, "Result verification failed", {"user": FOREIGN_USER.format(user)})
        key = vmid or request.match_info["node"]
        return ok(self.consoles.open(user, path, key=key, spawn=lambda: self._spawn(vmid, user), shared=bool(vmid)))

    async def _terminal(self, request: Any) -> Any:
        _, path = self._terminal_named(request)
        return await self.consoles.serve(request, request[USER], path)

    def _spawn(self, vmid: str, user: str) -> Spawn:
        """A shell of root's, or whoever asks who wants to log in (PVE::API2::Nodes, PVE::LXC::get_console_command)."""
        cmode = self.ct(int(vmid)).config.get("cmode", "tty") if vmid else ""
        if cmode == "shell" or (not vmid and user == "root@pam"):
            argv = self.machine.terminal(vmid)
        else:
            argv = ["setsid", "--ctty", "bash", "-c", f'read -rp "{vmid or NODE} login: "']
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}:{SOURCE / 'constructs'}"}
        return Spawn(argv, environment, self.machine.node)

    async def _ticket(self, request: Any) -> Any:
        """With a second factor: the first answer is a challenge, to which the next request has the answer."""
        values = await params(request)
        challenge = values.get("tfa-challenge")
        if not challenge:
            answer = await super()._ticket(request)
            data = json.loads(answer.body)["data"]
            if data.get("NeedTFA"):
                self.challenges.add(data["ticket"])
            return answer
        if challenge not in self.challenges or values.get("password") != f"totp:{self.totp}":
            raise PveError(401, "authentication failure")
        self.challenges.discard(challenge)
        ticket, csrf = self.issue_ticket(values["username"])
        return ok({"ticket": ticket, "CSRFPreventionToken": csrf, "username": values["username"], "cap": {}})

    async def _push_file(self, request: Any) -> Any:
        if request[USER] != "root@pam":
            raise PveError(403, "Permission check failed")
        why = (await params(request)).get("why")

        async def body() -> None:
            if why:
                raise TaskError(why)

        where = request.match_info
        return ok(await self.task(where["node"], "push_file", where["vmid"], request[USER], body))

    async def _task_list(self, request: Any) -> Any:
        # fakepve does not look at `typefilter` (pve-manager PVE/API2/Tasks.pm).
        values = self._verify(request, await params(request))
        kind, everybody = values.get("typefilter"), self.allowed(request[USER], f"/nodes/{values['node']}", "Sys.Audit")
        tasks = [
            self._task_view(task, True)
            for task in reversed(self.tasklog)
            if task["node"] == values["node"]
            and kind in (None, task["type"])
            and str(values.get("vmid", task["id"])) == task["id"]
            and (everybody or self._task_owner(request[USER], task))
        ]
        start = values.get("start", 0)
        return ok(tasks[start : start + values.get("limit", 50)])

    async def _lxc_config_get(self, user: str, v: Values) -> Values:
        config: Values = await super()._lxc_config_get(user, v)
        if config.get("description"):
            # The file keeps it as comment lines, so that it always comes back with a newline.
            config["description"] = config["description"].rstrip("\n") + "\n"
        return config

    async def _lxc_interfaces(self, user: str, v: Values) -> list[Values] | None:
        """The addresses of a running container; fakepve gives none to an interface with ip=dhcp."""
        interfaces: list[Values] | None = await super()._lxc_interfaces(user, v)
        if interfaces is None:
            return None
        nets = sorted(key for key in self._find_ct(v["node"], v["vmid"]).config if NET.fullmatch(key))
        for key, interface in zip(nets, interfaces[1:], strict=True):
            props = fake_lxc.split_props(self.ct(int(v["vmid"])).config[key])[1]
            addresses = interface["ip-addresses"]
            if props.get("ip") == "dhcp" and self.dhcp:
                address = dhcp_address(int(v["vmid"]), int(key.removeprefix("net")))
                interface["inet"] = f"{address}/16"
                addresses.insert(0, {"ip-address-type": "inet", "ip-address": address, "prefix": "16"})
            # The kernel gives every interface a link-local address: the provider must not take it for an answer.
            addresses.append(
                {"ip-address-type": "inet6", "ip-address": _link_local(props["hwaddr"]), "prefix": "64"},
            )
        return interfaces

    def _drop(self, ct: Any) -> None:
        """A destroyed container takes the ACL of its path along (pve-access-control AccessControl.pm:1898-1919)."""
        super()._drop(ct)
        shutil.rmtree(self.machine.guest(str(ct.vmid)), ignore_errors=True)
        for user, entries in self.acl.items():
            self.acl[user] = [entry for entry in entries if entry[0] != f"/vms/{ct.vmid}"]


def dhcp_address(vmid: int, index: int = 0) -> str:
    """The address the DHCP server gives to interface `index` of a container: 10.1.10.118 for the first one of 118."""
    return f"10.{1 + index}.{10 + vmid // 256 % 240}.{vmid % 256}"


def _storage(kind: str, content: str, **options: str) -> Values:
    return {"type": kind, "active": 1, "content": content, "files": set(), "volumes": {}, **options}


def _digests(file: Values, algorithms: Values) -> dict[str, str]:
    """A stored file's checksums. A made-up file has those that its first download asked for, whatever they were."""
    content: bytes | None = file.get("content_bytes")
    if content is None:
        return dict(file.get("checksums") or {})
    return {algorithm: hashlib.new(algorithm, content).hexdigest() for algorithm in algorithms}


def _check_paths(key: str, value: str) -> None:
    mount = fake_lxc.parse_mount(value)
    for name in ("volume", "mp"):
        if CLIMBING.search(mount.get(name, "")):
            raise param_error(
                **{key: f"invalid format - format error\n{key}.{name}: path contains illegal character sequences\n"}
            )


def _is_ssh_key(line: str) -> bool:
    found = SSH_KEY.fullmatch(line)
    try:
        return bool(found and base64.b64decode(found.group(1), validate=True))
    except binascii.Error:
        return False


def _link_local(mac: str) -> str:
    octets = [int(octet, 16) for octet in mac.split(":")]
    octets[0] ^= 2
    eui = [*octets[:3], 0xFF, 0xFE, *octets[3:]]
    return "fe80::" + ":".join(f"{eui[i] << 8 | eui[i + 1]:x}" for i in range(0, 8, 2))
