"""The stand-in for `proxmox_virtual_environment_container`.

It sends the requests of bpg/proxmox 0.111.1 in that provider's order, plans a replacement where that provider does,
and falls into the same traps: that is what it is for. Line numbers are those of
proxmoxtf/resource/container/container.go.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

from tests.virtual_node import sdk
from tests.virtual_node.client import ApiError, Client
from tests.virtual_node.plugin import UNKNOWN, Diagnostics, Plan, ProviderError, Resource, State, known
from tests.virtual_node.sdk import Attr, Block, differ
from tests.virtual_node.tasks import (
    ATTEMPTS,
    SECOND,
    Deadline,
    DeadlineExceededError,
    Task,
    all_attempts,
    data_or_fail,
    is_transient,
    quoted,
    run,
)

GIB = 1024**3
MAX_NETS = 10
# How long the real provider waits for addresses, whatever the user says (3478).
ADDRESS_SECONDS = 10


def _volume_is_kept(old: Any, new: Any) -> bool:
    """PVE turns "local-lvm" into "local-lvm:vm-101-disk-1", which is not a change (818)."""
    return bool(old) and str(old).startswith(str(new).split(":")[0] + ":")


def _description(text: str) -> str:
    """PVE adds a newline to every description, so the real provider's state has it, too (374)."""
    return text.strip().replace("\r\n", "\n") + "\n" if text else ""


def _empty_dns(olds: Any, news: Any) -> bool:
    return not olds and not any(value for block in news for value in block.values())


_ADDRESS = Block({"address": Attr(""), "gateway": Attr("")})
SPEC: sdk.Spec = {
    "id": Attr(computed=True),
    "node_name": Attr(force_new=True),
    "vm_id": Attr(computed=True),
    "description": Attr("", normalise=_description),
    "tags": Attr(suppress=sdk.same_in_any_order),
    "pool_id": Attr("", force_new=True),
    "protection": Attr(default=False),
    "hook_script_file_id": Attr(""),
    "start_on_boot": Attr(default=True),
    "started": Attr(default=True),
    "template": Attr(default=False, force_new=True),
    "unprivileged": Attr(default=False, force_new=True),
    "environment_variables": Attr(),
    "timeout_create": Attr(1800),
    "timeout_clone": Attr(1800),
    "timeout_update": Attr(1800),
    "timeout_delete": Attr(60),
    "timeout_start": Attr(300),
    "ipv4": Attr(computed=True),
    "ipv6": Attr(computed=True),
    "clone": Block(
        {
            "vm_id": Attr(force_new=True),
            "node_name": Attr("", force_new=True),
            "datastore_id": Attr("", force_new=True),
            "full": Attr(default=True, force_new=True),
        }
    ),
    "console": Block({"enabled": Attr(default=True), "type": Attr("tty"), "tty_count": Attr(2)}),
    "cpu": Block(
        {"architecture": Attr("amd64"), "cores": Attr(1), "limit": Attr(0), "units": Attr(computed=True)},
    ),
    "device_passthrough": Block(
        {
            "path": Attr(),
            "deny_write": Attr(default=False),
            "mode": Attr("0660"),
            "uid": Attr(),
            "gid": Attr(),
        }
    ),
    "disk": Block(
        {
            "datastore_id": Attr("local", force_new=True),
            "size": Attr(4),
            "acl": Attr(default=False),
            "quota": Attr(default=False),
            "replicate": Attr(default=False),
            "mount_options": Attr(suppress=sdk.same_in_any_order),
            "path_in_datastore": Attr(computed=True),
        }
    ),
    "features": Block(
        {
            "nesting": Attr(default=False),
            "keyctl": Attr(default=False),
            "fuse": Attr(default=False),
            "mknod": Attr(default=False),
            "mount": Attr(),
        }
    ),
    "idmap": Block({"type": Attr(), "container_id": Attr(), "host_id": Attr(), "size": Attr()}),
    "initialization": Block(
        {
            "hostname": Attr(""),
            "entrypoint": Attr(""),
            "dns": Block({"domain": Attr(""), "server": Attr(""), "servers": Attr()}, suppress=_empty_dns),
            "ip_config": Block({"ipv4": _ADDRESS, "ipv6": _ADDRESS}),
            "user_account": Block(
                {
                    "keys": Attr(force_new=True),
                    "password": Attr("", force_new=True, suppress=lambda old, _new: bool(old) and not old.strip("*")),
                },
                force_new=True,
            ),
        }
    ),
    "memory": Block({"dedicated": Attr(512), "swap": Attr(0)}),
    "mount_point": Block(
        {
            "volume": Attr(force_new=True, suppress=_volume_is_kept),
            "path": Attr(suppress=lambda old, new: f"/{old}" == new),
            "size": Attr("", force_new=True),
            "read_only": Attr(default=False),
            "backup": Attr(default=False),
            "acl": Attr(default=False),
            "quota": Attr(default=False),
            "shared": Attr(default=False),
            "replicate": Attr(default=True),
            "mount_options": Attr(),
            "path_in_datastore": Attr(computed=True),
        },
        force_new=True,
    ),
    "network_interface": Block(
        {
            "name": Attr(),
            "bridge": Attr("vmbr0"),
            "enabled": Attr(default=True),
            "firewall": Attr(default=False),
            "host_managed": Attr(default=False),
            "mac_address": Attr(computed=True, suppress=lambda _old, new: not new),
            "mtu": Attr(0),
            "rate_limit": Attr(0),
            "vlan_id": Attr(0),
        }
    ),
    "operating_system": Block(
        {"template_file_id": Attr(force_new=True), "type": Attr("unmanaged")},
        force_new=True,
    ),
    "startup": Block({"order": Attr(-1), "up_delay": Attr(-1), "down_delay": Attr(-1)}),
    "wait_for_ip": Block({"ipv4": Attr(default=False), "ipv6": Attr(default=False)}),
}

OS_TYPES = (
    "alpine",
    "archlinux",
    "centos",
    "debian",
    "devuan",
    "fedora",
    "gentoo",
    "nixos",
    "opensuse",
    "ubuntu",
    "unmanaged",
)


def _between(low: float, high: float) -> tuple[Callable[[Any], bool], str]:
    return lambda value: low <= value <= high, f"expected to be in the range ({low} - {high})"


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in names, f"expected to be one of {list(names)}"


def _matches(pattern: str, text: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: re.fullmatch(pattern, value) is not None, text


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


# Attributes by their path of blocks, with what their value must be. Lists are checked item by item.
RULES: dict[tuple[str, ...], tuple[Callable[[Any], bool], str]] = {
    ("vm_id",): _between(100, 999_999_999),
    ("tags",): _matches(r".+", "expected not to be an empty string"),
    ("console", "type"): _one_of("console", "shell", "tty"),
    ("console", "tty_count"): _between(0, 6),
    ("cpu", "architecture"): _one_of("amd64", "arm64", "armhf", "i386"),
    ("cpu", "cores"): _between(1, 128),
    ("cpu", "limit"): _between(0, 8192),
    ("cpu", "units"): _between(1, 500_000),
    ("disk", "size"): _between(0, 2**53),
    ("disk", "mount_options"): _matches(r".+", "expected not to be an empty string"),
    ("features", "mount"): _one_of("cifs", "nfs"),
    ("idmap", "type"): _one_of("uid", "gid"),
    ("initialization", "hostname"): _matches(
        r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.(?=.)|$))*", "must be a valid DNS name"
    ),
    ("initialization", "dns", "servers"): (_is_ip, "expected to be a valid IP"),
    ("memory", "dedicated"): _between(16, 268_435_456),
    ("memory", "swap"): _between(0, 268_435_456),
    ("mount_point", "size"): _matches(r"(?i)(?:\d+(?:\.\d+)?(?:[kmgt]i?b?)?)?", "expected to be a disk size"),
    ("network_interface", "mac_address"): _matches(
        r"(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})?", "must be a valid MAC address"
    ),
    ("operating_system", "type"): _one_of(*OS_TYPES),
}


class Container(Resource):
    """Containers, through the API client that the provider block describes."""

    # Like every SDK provider's: planned descriptions, volumes and addresses may come back different.
    legacy = True

    def __init__(self, client: Callable[[], Client]) -> None:
        """Ask `client` for the API when there is something to do."""
        self._client = client

    @property
    def _api(self) -> Client:
        return self._client()

    def validate(self, config: State, diags: Diagnostics) -> None:
        """Check what the schema of the real provider checks."""
        for path, (valid, expectation) in RULES.items():
            for value in _values(config, path):
                if value is not None and value is not UNKNOWN and not valid(value):
                    diags.error(f"invalid value for {'.'.join(path)}: {expectation}, got {value}", path=path[:1])

    def plan(self, prior: State | None, proposed: State, config: State, private: bytes, diags: Diagnostics) -> Plan:
        """Plan as the SDK does."""
        del config, diags
        planned = sdk.fill(SPEC, prior, proposed)
        # What a state function was given is what gets sent: the SDK keeps it beside the plan ("_new_extra_shim").
        private = json.dumps({**json.loads(private or b"{}"), "description": proposed["description"]}).encode()
        if prior is None:
            return Plan(planned, private=private)
        if planned["template"]:
            planned["started"] = prior["started"]
        replace = list(sdk.replacements(SPEC, prior, planned))
        # vm_id forces a replacement unless it only states the id that the container has (1171-1181).
        if differ(prior["vm_id"], planned["vm_id"]) and str(planned["vm_id"]) != prior["id"]:
            replace.append(("vm_id",))
        return Plan(planned, replace, private)

    # Create -----------------------------------------------------------------------------------------------------

    def create(self, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Create, start and read a container."""
        if planned["clone"]:
            raise ProviderError("The stand-in provider creates containers from templates only, it does not clone.")
        if not planned["operating_system"]:
            raise ProviderError('"operating_system": required field is not set')
        deadline = Deadline(planned["timeout_create"])
        node = planned["node_name"]
        vmid = known(planned["vm_id"]) or int(self._api.get("/cluster/nextid"))
        state = {**known(planned), "id": str(vmid), "vm_id": vmid}
        # "already exists" on the second attempt counts as success, so that a container which somebody else made is
        # taken over (proxmox/nodes/containers/containers.go:57-66).
        task = Task(
            "Container create",
            "error creating container",
            done_if=lambda error, attempt: attempt > 0 and "already exists" in error.message,
        )
        body = self._create_body({**state, "description": json.loads(private)["description"]})
        run(self._api, task, ("POST", f"/nodes/{node}/lxc", body), deadline, diags)
        try:
            self._wait_for_unlock(state, deadline)
            _refuse_idmap(planned)
            if planned["started"] and not planned["template"]:
                self._start(state, deadline, diags)
            return self._read(state) or state
        except ProviderError as failure:
            # The real provider has set the id by now: Terraform keeps the container, and calls it tainted.
            failure.state = state
            raise

    def _create_body(self, d: State) -> dict[str, Any]:
        """Build the request's parameters (1790-2260)."""
        console, cpu, memory = _block(d, "console"), _block(d, "cpu"), _block(d, "memory")
        disk, start, system = _block(d, "disk"), _block(d, "initialization"), _block(d, "operating_system")
        account, dns = (start["user_account"] or [{}])[0], (start["dns"] or [{}])[0]
        body: dict[str, Any] = {
            "arch": cpu["architecture"],
            "cmode": console["type"],
            "console": int(console["enabled"]),
            "cores": cpu["cores"],
            "cpulimit": cpu["limit"],
            "cpuunits": cpu["units"] or None,
            "description": d["description"] or None,
            "entrypoint": start["entrypoint"] or None,
            "env": _environment(d),
            "features": _features(_block(d, "features"), every_flag=False),
            "hookscript": d["hook_script_file_id"] or None,
            "hostname": start["hostname"] or None,
            "memory": memory["dedicated"],
            "nameserver": _nameserver(dns),
            "onboot": int(d["start_on_boot"]),
            "ostemplate": system["template_file_id"],
            "ostype": system["type"],
            "password": account.get("password") or None,
            "pool": d["pool_id"] or None,
            "protection": int(d["protection"]),
            "rootfs": _new_rootfs(disk, has_mounts=bool(d["mount_point"])),
            "searchdomain": dns.get("domain") or None,
            "ssh-public-keys": "\n".join(account.get("keys") or []) or None,
            "start": int(d["started"]),
            "startup": _startup(d),
            "storage": disk["datastore_id"],
            "swap": memory["swap"],
            "tags": _tags(d) or None,
            "template": int(d["template"]),
            "tty": console["tty_count"],
            "unprivileged": int(d["unprivileged"]),
            "vmid": d["vm_id"],
            **_nets(d, host_managed=self._knows_host_managed(), every_flag=False),
            **_devices(d),
            **{f"mp{i}": _mount(mount, every_flag=False) for i, mount in enumerate(d["mount_point"])},
        }
        return {key: value for key, value in body.items() if value is not None}

    def _knows_host_managed(self) -> bool:
        """Ask, as the real provider does: PVE before 9.1 refuses the key (2344-2353)."""
        try:
            version = self._api.get("/version")["version"]
        except ApiError:
            return False
        return tuple(int(number) for number in re.findall(r"\d+", version)[:2]) >= (9, 1)

    def _wait_for_unlock(self, state: State, deadline: Deadline) -> None:
        """Ask until there is a status without a lock. No error ends this: only the user's timeout (439-470)."""
        try:
            while True:
                with contextlib.suppress(ApiError):
                    if not self._status(state).get("lock"):
                        return
                deadline.pause(1)
        except DeadlineExceededError:
            raise ProviderError(
                f"timeout while waiting for container {state['id']} configuration to become unlocked"
            ) from None

    def _start(self, state: State, deadline: Deadline, diags: Diagnostics) -> None:
        try:
            status = self._status(state)["status"]
        except ApiError as error:
            text = f"error retrieving container status: error retrieving container status: {error}"
            raise ProviderError("Container start", text) from error
        if status == "running":
            return
        task = Task(
            "Container start",
            "error starting container",
            retry_if=lambda error: "got no worker upid" in error.message,
            done_if=lambda error, _attempt: "already running" in error.message,
        )
        run(self._api, task, ("POST", f"{_path(state)}/status/start", {}), deadline, diags)
        self._wait_for_status(state, "running", deadline)

    def _status(self, state: State) -> dict[str, Any]:
        status: dict[str, Any] = data_or_fail(self._api.get(f"{_path(state)}/status/current"))
        return status

    def _wait_for_status(self, state: State, wanted: str, deadline: Deadline) -> None:
        entering = f"container {state['id']} to enter the status {quoted(wanted)}"
        try:
            while self._status(state)["status"] != wanted:
                deadline.pause(1)
        except DeadlineExceededError:
            raise ProviderError(f"timeout while waiting for {entering}") from None
        except ApiError as error:
            raise ProviderError(f"error waiting for {entering}: {error}") from error

    # Read -------------------------------------------------------------------------------------------------------

    def read(self, state: State, private: bytes, diags: Diagnostics) -> tuple[State | None, bytes]:
        """Read the container; one that is gone leaves the state."""
        del diags
        return self._read(state), private

    def _read(self, d: State) -> State | None:
        try:
            config = data_or_fail(self._api.get(f"{_path(d)}/config"))
        except ApiError as error:
            if error.missing:
                return None
            raise ProviderError(f"error retrieving container: {error}") from error
        new = {**d, **_read_options(d, config), **_read_hardware(d, config), **_read_setup(d, config)}
        try:
            running = self._status(d)["status"] == "running"
        except ApiError as error:
            raise ProviderError(f"error retrieving container status: {error}") from error
        new["started"] = running
        interfaces = self._interfaces(d) if running and new["network_interface"] else []
        new["ipv4"] = _first_addresses(interfaces, "inet")
        new["ipv6"] = _first_addresses(interfaces, "inet6")
        return sdk.settle(SPEC, d, new)

    def _interfaces(self, d: State) -> list[dict[str, Any]]:
        """The interfaces as soon as one has an address; none if that takes too long, which is only worth a log line."""
        wanted = _block(d, "wait_for_ip")
        families = [family for name, family in (("ipv4", 4), ("ipv6", 6)) if wanted[name]]
        deadline = Deadline(ADDRESS_SECONDS * SECOND)
        with contextlib.suppress(ApiError, DeadlineExceededError):
            while True:
                interfaces = self._api.get(f"{_path(d)}/interfaces")
                found = {address.version for address in _global_addresses(interfaces or [])}
                if found >= set(families) if families else found:
                    return list(interfaces)
                deadline.pause(1)
        return []

    # Update -----------------------------------------------------------------------------------------------------

    def update(self, prior: State, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Change the container in place, rebooting it where the real provider does (3521-3951)."""
        deadline = Deadline(planned["timeout_update"])
        state = {**known(planned), "id": prior["id"]}
        change = self._change(prior, state, deadline, diags)
        reboot, body = change.reboot, change.parameters()
        if "description" in body:
            body["description"] = json.loads(private)["description"] or ""
        # For devices that are gone there is nothing to say, which is sent nevertheless (3915-3951, 4107-4113).
        if body or "device_passthrough" in change.names:
            self._put_config(state, body, deadline)
        self._wait_for_unlock(state, deadline)
        if differ(prior["idmap"], state["idmap"]):
            _refuse_idmap(state)
        if differ(prior["started"], state["started"]) and not state["template"]:
            if state["started"]:
                self._start(state, deadline, diags)
            else:
                self._shut_down(state, deadline, diags)
                reboot = False
        if reboot and state["started"] and not state["template"]:
            task = Task("Container reboot", "error rebooting container", retry_if=lambda _error: False)
            self._once(task, ("POST", f"{_path(state)}/status/reboot", {"timeout": 300}), deadline, diags)
        return self._read(state) or state

    def _change(self, prior: State, d: State, deadline: Deadline, diags: Diagnostics) -> _Change:
        """Work out the parameters of PUT config; a disk that shall grow is resized on the way."""
        change = _Change(prior, d)
        change.add_options()
        change.add_setup()
        change.add_blocks()
        if "disk" in change.names:
            change.body["rootfs"], moved = self._grow(d, deadline, diags)
            change.reboot |= moved
        if "network_interface" in change.names or _ip_config(prior) != _ip_config(d):
            change.add_nets(host_managed=self._knows_host_managed())
        return change

    def _grow(self, d: State, deadline: Deadline, diags: Diagnostics) -> tuple[str, bool]:
        """Resize the root disk if its size changed; the rootfs to put, and whether its mount options differ."""
        disk = _block(d, "disk")
        try:
            live = _props(self._api.get(f"{_path(d)}/config")["rootfs"], "volume")
        except ApiError as error:
            raise ProviderError(f"error retrieving container: {error}") from error
        old, new = _bytes(live.get("size", "0")), disk["size"] * GIB
        if old > new:
            raise ProviderError(
                f"new disk size ({_disk_size(new)}) has to be greater than the current disk ({_disk_size(old)})"
            )
        if old < new:
            task = Task("Container disk resize", "error resizing container disk")
            body = {"disk": "rootfs", "size": _disk_size(new)}
            run(self._api, task, ("PUT", f"{_path(d)}/resize", body), deadline, diags)
        options = sorted(disk["mount_options"] or [])
        parts = [f"acl={int(disk['acl'])}", f"size={new}"]
        parts += [f"mountoptions={';'.join(options)}"] if options else []
        parts += [f"quota={int(disk['quota'])}", f"replicate={int(disk['replicate'])}", f"volume={live['volume']}"]
        return ",".join(parts), options != sorted(_split(live.get("mountoptions", ""), ";"))

    def _put_config(self, state: State, body: dict[str, Any], deadline: Deadline) -> None:
        errors = []
        for attempt in range(ATTEMPTS):
            try:
                self._api.request("PUT", f"{_path(state)}/config", body)
            except ApiError as error:
                errors.append(str(error))
                if "got timeout" not in error.message or attempt == ATTEMPTS - 1:
                    break
                try:
                    deadline.pause(2**attempt)
                except DeadlineExceededError:
                    break
            else:
                return
        raise ProviderError(all_attempts(errors))

    def _once(
        self, task: Task, request: tuple[str, str, dict[str, Any]], deadline: Deadline, diags: Diagnostics
    ) -> None:
        try:
            run(self._api, task, request, deadline, diags)
        except ProviderError as failure:
            # These calls are not wrapped in a retry, so that their errors are not either.
            failure.detail = failure.detail.removeprefix(all_attempts([""]))
            raise

    def _shut_down(self, state: State, deadline: Deadline, diags: Diagnostics) -> None:
        """Ask the guest to stop; PVE stops it five seconds before the real provider gives up."""
        task = Task("Container shutdown", "error shutting down container", retry_if=lambda _error: False)
        body = {"forceStop": 1, "timeout": max(1, state["timeout_delete"] - 5)}
        self._once(task, ("POST", f"{_path(state)}/status/shutdown", body), deadline, diags)
        self._wait_for_status(state, "stopped", deadline)

    # Delete, import ---------------------------------------------------------------------------------------------

    def delete(self, state: State, diags: Diagnostics) -> None:
        """Shut the container down and destroy it. A protected one is left stopped: PVE refuses the second step."""
        deadline = Deadline(state["timeout_delete"] or 60)
        try:
            status = self._status(state)["status"]
        except ApiError as error:
            raise ProviderError(f"error retrieving container status: {error}") from error
        if status != "stopped":
            self._shut_down({**state, "timeout_delete": state["timeout_delete"] or 60}, deadline, diags)
        task = Task(
            "Container delete",
            "error deleting container",
            retry_if=lambda error: is_transient(error) and not error.missing,
        )
        try:
            run(self._api, task, ("DELETE", _path(state), {}), deadline, diags)
        except ProviderError as failure:
            if "the requested resource does not exist" not in failure.detail:
                raise
            return
        # Only an error tells that it is gone. Any will do.
        try:
            while True:
                self._status(state)
                deadline.pause(1)
        except ApiError:
            return
        except DeadlineExceededError:
            raise ProviderError(f"failed to delete container {quoted(state['id'])}") from None

    def import_state(self, identifier: str) -> State:
        """Take `node/vmid`."""
        node, slash, vmid = identifier.partition("/")
        if not slash:
            raise ProviderError(f"unexpected format of ID ({identifier}), expected node/id")
        nothing: State = {name: [] if isinstance(item, Block) else None for name, item in SPEC.items()}
        return {**nothing, "id": vmid, "node_name": node}


def _refuse_idmap(d: State) -> None:
    """The real provider edits the container's file over SSH for it."""
    if d["idmap"]:
        raise ProviderError("setting idmap entries via SSH: the virtual node has no SSH server")


class _Change:
    """The parameters of PUT config that make the new state of the old one, and whether they need a reboot."""

    # Blocks and attributes after whose change the real provider reboots the container.
    REBOOTING = frozenset(
        (
            "console",
            "device_passthrough",
            "environment_variables",
            "idmap",
            "memory",
            "mount_point",
            "operating_system",
        )
    )

    def __init__(self, old: State, new: State) -> None:
        """Find out what changed."""
        self.old, self.new = old, new
        self.names = {name for name in SPEC if differ(old[name], new[name])}
        self.reboot = bool(self.names & self.REBOOTING)
        self.body: dict[str, Any] = {}
        self._delete: list[str] = []

    def parameters(self) -> dict[str, Any]:
        """Everything in the form of a request."""
        return self.body | ({"delete": self._delete} if self._delete else {})

    def _put(self, key: str, value: Any) -> None:
        """Set an option, or delete it if there is no value for it."""
        if value:
            self.body[key] = value
        else:
            self._delete.append(key)

    def add_options(self) -> None:
        """Add the attributes at the top level."""
        for name, key in (("protection", "protection"), ("start_on_boot", "onboot"), ("template", "template")):
            if name in self.names:
                self.body[key] = int(self.new[name])
        if "description" in self.names:
            self.body["description"] = self.new["description"]
        if "tags" in self.names:
            self.body["tags"] = _tags(self.new)
        if "environment_variables" in self.names:
            self._put("env", _environment(self.new))
        if "hook_script_file_id" in self.names:
            self._put("hookscript", self.new["hook_script_file_id"])
        if "startup" in self.names:
            self._put("startup", _startup(self.new))

    def add_setup(self) -> None:
        """Add what the initialization block says about name, resolver and entry point."""
        old, new = _block(self.old, "initialization"), _block(self.new, "initialization")
        changed = {key for key in ("dns", "hostname", "entrypoint") if differ(old[key], new[key])}
        if "dns" in changed:
            dns = (new["dns"] or [{}])[0]
            self._put("searchdomain", dns.get("domain"))
            self._put("nameserver", _nameserver(dns))
        if "hostname" in changed:
            self.body["hostname"] = new["hostname"]
        if "entrypoint" in changed:
            self._put("entrypoint", new["entrypoint"])
        self.reboot |= bool(changed)

    def add_blocks(self) -> None:
        """Add the blocks for what the container gets from the node."""
        if "console" in self.names:
            console = _block(self.new, "console")
            self.body |= {"console": int(console["enabled"]), "cmode": console["type"], "tty": console["tty_count"]}
        if "cpu" in self.names:
            cpu = _block(self.new, "cpu")
            self.body |= {"arch": cpu["architecture"], "cores": cpu["cores"]}
            self._put("cpulimit", cpu["limit"])
            self.body |= {"cpuunits": cpu["units"]} if cpu["units"] else {}
        if "features" in self.names:
            self.body["features"] = _features(_block(self.new, "features"), every_flag=True)
        if "memory" in self.names:
            memory = _block(self.new, "memory")
            self.body |= {"memory": memory["dedicated"], "swap": memory["swap"]}
        if "operating_system" in self.names:
            self.body["ostype"] = _block(self.new, "operating_system")["type"]
        if "device_passthrough" in self.names:
            self.body |= _devices(self.new)
        if "mount_point" in self.names:
            self.body |= {f"mp{i}": _mount(mount, every_flag=True) for i, mount in enumerate(self.new["mount_point"])}

    def add_nets(self, *, host_managed: bool) -> None:
        """Add all network interfaces, and delete those that could be left over."""
        nets = self.new["network_interface"]
        self.body |= _nets(self.new, host_managed=host_managed, every_flag=True)
        self._delete += [f"net{i}" for i, net in enumerate(nets) if not net["enabled"]]
        self._delete += [f"net{i}" for i in range(len(nets), MAX_NETS)]
        self.reboot = True


# From state to request ------------------------------------------------------------------------------------------


def _path(d: State) -> str:
    return f"/nodes/{d['node_name']}/lxc/{d['id']}"


def _block(d: State, name: str) -> State:
    """The only block of its kind, or what stands for it when there is none: the defaults."""
    spec = SPEC[name]
    assert isinstance(spec, Block)
    if d[name]:
        block: State = d[name][0]
        return block
    return {key: [] if isinstance(item, Block) else item.default for key, item in spec.inside.items()}


def _values(config: Any, path: tuple[str, ...]) -> list[Any]:
    """Every value that a path of blocks leads to."""
    if not path:
        return config if isinstance(config, list) else [config]
    items = config if isinstance(config, list) else [config]
    return [v for item in items if isinstance(item, dict) for v in _values(item.get(path[0]), path[1:])]


def _flags(block: State, names: dict[str, str], *, every_flag: bool, defaults: tuple[str, ...] = ()) -> dict[str, str]:
    """Boolean attributes as PVE's keys: all of them, or only those that are not at their default."""
    flags = {}
    for name, key in names.items():
        if every_flag or bool(block[name]) != (name in defaults):
            flags[key] = str(int(bool(block[name])))
    return flags


def _join(parts: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in parts.items() if value not in (None, ""))


def _environment(d: State) -> str | None:
    return "\0".join(f"{key}={value}" for key, value in sorted((d["environment_variables"] or {}).items())) or None


def _features(block: State, *, every_flag: bool) -> str | None:
    """On create only the flags that are on; on update all of them, which PVE takes for a change (2544-2548)."""
    flags = _flags(block, {n: n for n in ("fuse", "keyctl", "nesting", "mknod")}, every_flag=every_flag)
    parts = {key: flags.get(key) for key in ("fuse", "keyctl")}
    parts |= {"mount": ";".join(block["mount"] or [])} | {key: flags.get(key) for key in ("nesting", "mknod")}
    return _join(parts) or None


def _nameserver(dns: State) -> str | None:
    return " ".join(dns.get("servers") or []) or dns.get("server") or None


def _tags(d: State) -> str:
    return ";".join(sorted(tag.strip() for tag in d["tags"] or [] if tag.strip()))


def _startup(d: State) -> str | None:
    if not d["startup"]:
        return None
    block = d["startup"][0]
    keys = {"down_delay": "down", "order": "order", "up_delay": "up"}
    return _join({key: block[name] for name, key in keys.items() if block[name] >= 0}) or None


def _new_rootfs(disk: State, *, has_mounts: bool) -> str | None:
    """Say how large the root disk shall be, unless everything is as PVE would make it anyway (2034-2064)."""
    flags = _flags(disk, {"acl": "acl"}, every_flag=False)
    more = _flags(disk, {"quota": "quota", "replicate": "replicate"}, every_flag=False)
    options = ";".join(disk["mount_options"] or [])
    if not disk["datastore_id"] or not (disk["size"] != 4 or has_mounts or options or flags or more):
        return None
    volume = f"{disk['datastore_id']}:{disk['size']}"
    return _join(flags | {"mountoptions": options} | more | {"volume": volume})


def _mount(mount: State, *, every_flag: bool) -> str:
    volume, size = mount["volume"], mount["size"]
    if size and not volume.partition(":")[2]:
        volume, size = f"{volume.partition(':')[0]}:{_bytes(size) // GIB}", ""
    elif size:
        size = _disk_size(_bytes(size))
    first = _flags(mount, {"acl": "acl", "backup": "backup"}, every_flag=every_flag)
    keys = {"quota": "quota", "read_only": "ro", "replicate": "replicate", "shared": "shared"}
    rest = _flags(mount, keys, every_flag=every_flag, defaults=("replicate",))
    middle = {"size": size, "mountoptions": ";".join(mount["mount_options"] or []), "mp": mount["path"]}
    return _join(first | middle | rest | {"volume": volume})


def _devices(d: State) -> dict[str, str]:
    return {
        f"dev{i}": _join(
            {
                "deny-write": int(device["deny_write"]),
                "path": device["path"],
                "uid": device["uid"] or 0,
                "gid": device["gid"] or 0,
                "mode": device["mode"],
            }
        )
        for i, device in enumerate(d["device_passthrough"])
    }


def _ip_config(d: State) -> Any:
    return _block(d, "initialization")["ip_config"] or []


def _nets(d: State, *, host_managed: bool, every_flag: bool) -> dict[str, str]:
    addresses = _ip_config(d)
    nets = {}
    for i, net in enumerate(d["network_interface"]):
        ip = addresses[i] if i < len(addresses) else {"ipv4": [], "ipv6": []}
        v4, v6 = (ip["ipv4"] or [{}])[0], (ip["ipv6"] or [{}])[0]
        parts = {
            "bridge": net["bridge"],
            "firewall": int(net["firewall"]) if net["firewall"] or every_flag else None,
            "host-managed": int(net["host_managed"]) if net["host_managed"] or host_managed else None,
            "ip": v4.get("address"),
            "gw": v4.get("gateway"),
            "ip6": v6.get("address"),
            "gw6": v6.get("gateway"),
            "hwaddr": net["mac_address"],
            "mtu": net["mtu"] or None,
            "name": net["name"],
            "rate": f"{net['rate_limit']:.2f}" if net["rate_limit"] else None,
            "tag": net["vlan_id"] or None,
        }
        nets[f"net{i}"] = _join(parts)
    return nets


# From answer to state -------------------------------------------------------------------------------------------


def _split(text: str, separator: str) -> list[str]:
    return [part for part in text.split(separator) if part]


def _props(text: str, first: str) -> dict[str, str]:
    """PVE's `bare,key=value,...`, with the bare value under the name `first`."""
    parts = (part.partition("=") for part in text.split(","))
    return dict((key, value) if equals else (first, key) for key, equals, value in parts)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(?i)(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", text)
    if not found:
        raise ProviderError(f'cannot parse disk size "{text}"')
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))


def _disk_size(size: int) -> str:
    for power, unit in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size >= 1024**power:
            return f"{round(size / 1024**power, 2):g}{unit}"
    return str(size)


def _numbered(config: dict[str, Any], prefix: str) -> list[str]:
    found = (re.fullmatch(rf"{prefix}(\d+)", key) for key in config)
    return [f"{prefix}{number}" for number in sorted(int(match[1]) for match in found if match)]


def _read_options(d: State, config: dict[str, Any]) -> State:
    """Attributes at the top level."""
    entries = (entry.partition("=") for entry in _split(config.get("env", ""), "\0"))
    new: State = {
        "description": config.get("description", ""),
        "hook_script_file_id": config.get("hookscript", ""),
        "tags": sorted(tag.strip() for tag in _split(config.get("tags", ""), ";")),
        "environment_variables": {key: value for key, _, value in entries},
        "idmap": [
            {"type": f"{kind}id", "container_id": int(inner), "host_id": int(outer), "size": int(size)}
            for key, value in config.get("lxc", [])
            if key == "lxc.idmap"
            for kind, inner, outer, size in [value.split()]
        ],
    }
    keys = {"unprivileged": "unprivileged", "protection": "protection", "start_on_boot": "onboot"}
    new |= {name: config.get(key) == 1 for name, key in (keys | {"template": "template"}).items()}
    system = _block(d, "operating_system")
    if d["operating_system"] or config.get("ostype") != "unmanaged":
        template = system["template_file_id"]
        new["operating_system"] = [{"type": config.get("ostype", ""), "template_file_id": template}]
    return new


def _read_hardware(d: State, config: dict[str, Any]) -> State:
    """Blocks for what the container gets from the node."""
    rootfs = _props(config["rootfs"], "volume") if "rootfs" in config else {"volume": "local:", "size": "4G"}
    features = _props(config.get("features", ""), "")
    blocks: dict[str, State] = {
        "console": {
            "enabled": config.get("console", 1) == 1,
            "type": config.get("cmode", "tty"),
            "tty_count": config.get("tty", 2),
        },
        "cpu": {
            "architecture": config.get("arch", "amd64"),
            "cores": config.get("cores", 1),
            "limit": float(config.get("cpulimit", 0)),
            "units": config.get("cpuunits", 0),
        },
        "disk": {
            "datastore_id": rootfs["volume"].partition(":")[0],
            "size": _bytes(rootfs.get("size", "0")) // GIB,
            "mount_options": _split(rootfs.get("mountoptions", ""), ";"),
            "path_in_datastore": rootfs["volume"],
            **{name: rootfs.get(name) == "1" for name in ("acl", "quota", "replicate")},
        },
        "features": {
            "mount": _split(features.get("mount", ""), ";"),
            **{name: features.get(name) == "1" for name in ("nesting", "keyctl", "fuse", "mknod")},
        },
        "memory": {"dedicated": config.get("memory", 0), "swap": config.get("swap", 0)},
    }
    # A block that the configuration leaves out shows up as soon as something in it is not at its default.
    new: State = {
        name: [block]
        for name, block in blocks.items()
        if d[name] or name == "disk" or any(differ(value, _block(d, name)[key]) for key, value in block.items())
    }
    if "console" not in config:
        # Two types of true, which Go does not find equal: what is not set in PVE counts as not the default (2708-2745).
        new["console"] = [blocks["console"]]
    # Mount points that somebody else made are stored, too: the next plan wants to get rid of them (3114-3125).
    if mounts := [_read_mount(config[key]) for key in _numbered(config, "mp")]:
        new["mount_point"] = mounts
    if devices := [_read_device(config[key]) for key in _numbered(config, "dev")]:
        new["device_passthrough"] = devices
    startup = _props(config["startup"], "order") if config.get("startup") else None
    keys = {"order": "order", "up_delay": "up", "down_delay": "down"}
    new["startup"] = [{name: int(startup.get(key, -1)) for name, key in keys.items()}] if startup else []
    return new


def _read_mount(text: str) -> State:
    props = _props(text, "volume")
    flags = {"acl": "acl", "backup": "backup", "quota": "quota", "read_only": "ro", "shared": "shared"}
    return {
        "volume": props["volume"],
        "path": props.get("mp", ""),
        "size": props.get("size", ""),
        "mount_options": _split(props.get("mountoptions", ""), ";"),
        "path_in_datastore": props["volume"],
        "replicate": props.get("replicate", "1") == "1",
        **{name: props.get(key) == "1" for name, key in flags.items()},
    }


def _read_device(text: str) -> State:
    props = _props(text, "path")
    return {
        "path": props["path"],
        "deny_write": props.get("deny-write") == "1",
        "mode": props.get("mode", "0660"),
        "uid": int(props.get("uid", 0)),
        "gid": int(props.get("gid", 0)),
    }


def _read_setup(d: State, config: dict[str, Any]) -> State:
    """The network, and what the container is told at its first start."""
    nets = [_props(config[key], "name") for key in _numbered(config, "net")]
    old = _block(d, "initialization")
    server = (old["dns"] or [{"server": ""}])[0]["server"]
    dns = []
    if "searchdomain" in config or "nameserver" in config:
        nameserver = config.get("nameserver", "")
        names = {"server": nameserver, "servers": None} if server else {"server": "", "servers": nameserver.split()}
        dns = [{"domain": config.get("searchdomain", ""), **names}]
    return {
        "initialization": [
            {
                "hostname": config.get("hostname", ""),
                "entrypoint": config.get("entrypoint", ""),
                "dns": dns,
                "ip_config": [
                    {"ipv4": _read_address(net, "ip", "gw"), "ipv6": _read_address(net, "ip6", "gw6")}
                    for net in nets
                    if net.keys() & {"ip", "gw", "ip6", "gw6"}
                ],
                "user_account": old["user_account"],
            }
        ],
        "network_interface": [
            {
                "name": net["name"],
                "bridge": net.get("bridge", ""),
                "enabled": True,
                "firewall": net.get("firewall") == "1",
                "host_managed": net.get("host-managed") == "1",
                "mac_address": net.get("hwaddr", ""),
                "mtu": int(net.get("mtu", 0)),
                "rate_limit": float(net.get("rate", 0)),
                "vlan_id": int(net.get("tag", 0)),
            }
            for net in nets
        ],
    }


def _read_address(net: dict[str, str], address: str, gateway: str) -> list[State]:
    if not net.keys() & {address, gateway}:
        return []
    return [{"address": net.get(address, ""), "gateway": net.get(gateway, "")}]


def _addresses(interfaces: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (interface["name"], address)
        for interface in interfaces
        if interface["name"] != "lo"
        for address in interface.get("ip-addresses") or []
    ]


def _global_addresses(interfaces: list[dict[str, Any]]) -> list[Any]:
    found = [ipaddress.ip_address(address["ip-address"]) for _, address in _addresses(interfaces)]
    return [ip for ip in found if not (ip.is_link_local or ip.is_loopback or ip.is_multicast)]


def _first_addresses(interfaces: list[dict[str, Any]], family: str) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, address in _addresses(interfaces):
        if address["ip-address-type"] == family:
            first.setdefault(name, address["ip-address"])
    return first
