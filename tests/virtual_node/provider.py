"""The stand-in for bpg/proxmox 0.111.1: provider block, downloads, OCI images and data sources.

Its schema is this project's slice of the real one.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import urllib.parse
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.virtual_node.client import HTTP_FORBIDDEN, ApiError, Client, escaped
from tests.virtual_node.container import Container
from tests.virtual_node.plugin import (
    UNKNOWN,
    DataSource,
    Diagnostics,
    Plan,
    Provider,
    ProviderError,
    Resource,
    State,
    serve,
)
from tests.virtual_node.tasks import Deadline, DeadlineExceededError, data_or_fail, wait

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "schemas" / "proxmox@0.111.1.json"
ADDRESS = "registry.terraform.io/bpg/proxmox"
LONG_DOWNLOAD = "proxmox_virtual_environment_download_file"
TOKEN = re.compile(r"\S+@\S+!\S+=[a-zA-Z0-9-]+")
TLS = {"": "1.3"} | {version: version for version in ("1.0", "1.1", "1.2", "1.3")}
UNAVAILABLE = 595
LISTING_ATTEMPTS = 5
NOT_LISTED = "file does not exists in datastore"
# What retry-go does where nobody tells it otherwise.
DEFAULT_ATTEMPTS = 10

GetClient = Callable[[], Client]


class Proxmox(Provider):
    """The provider `bpg/proxmox`."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read the schema; credentials come from the provider block, or from `environment`."""
        self._environment = environment
        self.schema = json.loads(SCHEMA_FILE.read_text())["provider_schemas"][ADDRESS]
        self._client: Client
        client = self._get_client
        self.resources = {
            "proxmox_virtual_environment_container": Container(client),
            "proxmox_download_file": Download(client),
            LONG_DOWNLOAD: Download(client, deprecated=True),
            "proxmox_oci_image": OciImage(client),
        }
        self.data_sources = {
            "proxmox_virtual_environment_containers": Guests(client, "lxc", "containers", "Container"),
            "proxmox_virtual_environment_vms": Guests(client, "qemu", "vms", "VM"),
            "proxmox_virtual_environment_nodes": Nodes(client),
            "proxmox_datastores": Datastores(client),
            "proxmox_version": Version(client),
        }

    def _get_client(self) -> Client:
        return self._client

    def validate(self, config: State, diags: Diagnostics) -> None:
        """Say what both halves of the real provider say of the endpoint, each in its own words."""
        endpoint = config["endpoint"]
        if endpoint is None or endpoint is UNKNOWN:
            return
        if not endpoint:
            diags.error(
                "Invalid Attribute Value Length",
                "Attribute endpoint string length must be at least 1, got: 0",
                ("endpoint",),
            )
            diags.error('expected "endpoint" url to not be empty, got ', path=("endpoint",))
        elif (scheme := urllib.parse.urlsplit(endpoint).scheme) not in ("http", "https"):
            diags.error(
                f'expected "endpoint" to have a url with schema of: "http,https", got {endpoint}'
                if scheme
                else f'expected "endpoint" to have a host, got {endpoint}',
                path=("endpoint",),
            )

    def configure(self, config: State, diags: Diagnostics) -> None:
        """Find endpoint and credential: the block before the environment, a token before a ticket before a login."""

        def setting(name: str) -> str:
            given = config[name]
            return str(given if given is not None else self._environment.get(f"PROXMOX_VE_{name.upper()}", ""))

        endpoint = setting("endpoint")
        if config["endpoint"] is UNKNOWN:
            raise ProviderError("Unknown Proxmox VE API Endpoint")
        if not endpoint:
            diags.error(
                "Missing Proxmox VE API Endpoint",
                "The provider cannot create the Proxmox VE API client as there is a missing or empty value for the "
                "API endpoint. Set the host value in the configuration or use the PROXMOX_VE_ENDPOINT environment "
                "variable. If either is already set, ensure the value is not empty.",
                ("endpoint",),
            )
            return
        url = urllib.parse.urlsplit(endpoint)
        if url.scheme != "https" or not url.hostname:
            raise ProviderError(
                "Unable to create Proxmox VE API connection",
                "you must specify a secure endpoint for the Proxmox Virtual Environment API "
                "(valid: https://host:port/)",
            )
        min_tls = setting("min_tls").strip()
        if min_tls not in TLS:
            raise ProviderError(
                "Unable to create Proxmox VE API connection", f"unsupported minimal TLS version {min_tls}"
            )
        self._client = Client(
            endpoint,
            insecure=setting("insecure").lower() in ("1", "t", "true"),
            min_tls=ssl.TLSVersion[f"TLSv{TLS[min_tls].replace('.0', '').replace('.', '_')}"],
            **_credential(setting),
        )


def _credential(setting: Callable[[str], str]) -> dict[str, Any]:
    """The credential to use (proxmox/api/credentials.go:51-97)."""
    summary = "Unable to create Proxmox VE API credentials"
    if token := setting("api_token"):
        if not TOKEN.fullmatch(token):
            raise ProviderError(summary, "the API token must be in the format 'USER@REALM!TOKENID=UUID'")
        return {"token": token}
    ticket = (setting("auth_ticket"), setting("csrf_prevention_token"))
    if all(ticket):
        return {"ticket": ticket}
    login = (setting("username"), setting("password"))
    if not all(login):
        raise ProviderError(summary, "must provide either username and password, an API token, or a ticket")
    if "@" not in login[0]:
        raise ProviderError(summary, "username must be in the format 'username@realm'")
    return {"login": login}


@dataclass(frozen=True)
class Words:
    """How the real provider words that a file could not be fetched."""

    summary: str
    prefix: str
    refused: str
    failed: str


class StoredFile(Resource):
    """What downloads and OCI images have in common: a file on a datastore, planned as the new framework plans."""

    # Attributes whose change makes another file.
    replacing: tuple[str, ...]
    defaults: ClassVar[dict[str, Any]] = {"upload_timeout": 600, "overwrite": True, "overwrite_unmanaged": False}
    # What the real provider calls it in its messages.
    noun = "file"

    def __init__(self, client: GetClient) -> None:
        """Ask `client` for the API when there is something to do."""
        self._client = client

    def plan(self, prior: State | None, proposed: State, config: State, private: bytes, diags: Diagnostics) -> Plan:
        """Plan, with the check of `overwrite`: a file whose size changed gets replaced."""
        planned = proposed | {name: default for name, default in self.defaults.items() if config[name] is None}
        if prior is None:
            computed = ("id", "size", *(() if config["file_name"] is not None else ("file_name",)))
            return Plan({**planned, **dict.fromkeys(computed, UNKNOWN)}, private=private)
        planned |= {name: prior[name] for name in ("id", "size")}
        replace: list[tuple[str | int, ...]] = [
            (name,) for name in self.replacing if planned[name] is UNKNOWN or planned[name] != prior[name]
        ]
        size = self._new_size(prior, planned, json.loads(private or b"{}"), diags)
        if size is not None:
            planned["size"] = size
            replace.append(("size",))
        return Plan(planned, replace, private)

    def _new_size(self, prior: State, planned: State, notes: dict[str, int | None], diags: Diagnostics) -> int | None:
        """Tell the size that the file should have, if it has another (fwprovider/nodes/resource_download_file.go)."""
        if not planned["overwrite"]:
            return None
        original, remote = notes.get("original_state_size"), notes.get("url_size")
        if original is not None and prior["size"] != original:
            diags.warning(
                "The file size in datastore has changed outside of terraform.",
                f"Previous size: {original} saved in state does not match current size from datastore: "
                f"{prior['size']}. You can disable this behaviour by using overwrite=false",
            )
            return original
        if remote is None or planned.get("url") != prior.get("url"):
            return None
        if remote < 0:
            diags.warning(
                "Could not read the file metadata from URL.",
                f"The remote file at URL \"{planned['url']}\" most likely doesn't exist or can't be accessed.\n"
                "To skip the remote file check, set `overwrite` to `false`.",
            )
        elif prior["size"] != remote:
            diags.warning(
                "The file size from URL has changed.",
                f'Size {remote} from URL "{planned["url"]}" does not match size {prior["size"]} from datastore. '
                "You can disable this behaviour by using overwrite=false",
            )
            return remote
        return None

    def create(self, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Have PVE fetch the file."""
        del private
        deadline = Deadline(planned["upload_timeout"])
        state = {**planned, "file_name": self._file_name(planned)}
        try:
            self._fetch(state, deadline, diags)
        except ProviderError as failure:
            if "refusing to override existing file" not in failure.detail or not planned["overwrite_unmanaged"]:
                raise self._worded(state, failure) from None
            self._delete_file(state, f"{state.get('content_type', 'vztmpl')}/{state['file_name']}")
            self._fetch(state, deadline, diags)
        state["id"] = f"{state['datastore_id']}:{state.get('content_type', 'vztmpl')}/{state['file_name']}"
        why = NOT_LISTED
        for attempt in range(LISTING_ATTEMPTS):
            try:
                if (size := self._size(state)) is not None:
                    return {**state, "size": size}
                deadline.pause(0.2 * 2**attempt)
            except DeadlineExceededError:
                break
            except ProviderError as error:
                why = error.summary
        raise ProviderError("Error when reading file from datastore", why, state=state)

    @abstractmethod
    def _file_name(self, planned: State) -> str: ...

    @abstractmethod
    def _fetch(self, state: State, deadline: Deadline, diags: Diagnostics) -> None: ...

    def _worded(self, state: State, failure: ProviderError) -> ProviderError:
        if "refusing to override existing file" in failure.detail:
            return ProviderError(
                "File already exists in the datastore, it was created outside of Terraform "
                "or is managed by another resource.",
                f"File already exists in the datastore: '{state['file_name']}', error: {failure.detail}",
            )
        return failure

    def _size(self, state: State) -> int | None:
        """The file's size on the datastore, or None if it is not there."""
        content, store = state.get("content_type", "vztmpl"), state["datastore_id"]
        path = f"/nodes/{state['node_name']}/storage/{store}/content"
        try:
            files = _insist(lambda: self._client().get(path, content=content))
        except ApiError as error:
            raise ProviderError(
                f"unexpected error when listing datastore files: error listing files from datastore {store}: {error}"
            ) from error
        for file in data_or_fail(files):
            if file["volid"] == state["id"]:
                return int(file["size"])
        return None

    def read(self, state: State, private: bytes, diags: Diagnostics) -> tuple[State | None, bytes]:
        """Look for the file, and note the sizes for the next plan."""
        notes = {**json.loads(private or b"{}"), "original_state_size": state["size"]}
        try:
            size = self._size(state)
            why = NOT_LISTED
        except ProviderError as error:
            if "failed to authenticate" in error.summary:
                raise ProviderError("Failed to authenticate", error.summary) from error
            size, why = None, error.summary
        if size is None:
            # Whatever the reason is, the real provider takes the file for gone.
            diags.warning(f"The {self.noun} does not exist in datastore and resource must be recreated.", why)
            return None, private
        return {**state, "size": size}, json.dumps(notes | self._remote_notes(state)).encode()

    def _remote_notes(self, state: State) -> dict[str, int | None]:
        del state
        return {}

    def update(self, prior: State, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Only the provider's own settings change in place."""
        del private, diags
        return {**planned, "size": self._size(prior)}

    def delete(self, state: State, diags: Diagnostics) -> None:
        """Delete the file, without waiting for PVE's task."""
        try:
            self._delete_file(state, state["id"])
        except ApiError as error:
            if error.missing:
                return
            if "unable to parse" in str(error):
                diags.warning(
                    f"Datastore {self.noun} does not exists",
                    f"Could not delete datastore {self.noun} '{state['id']}', it does not exist or has been deleted "
                    "outside of Terraform.",
                )
                return
            raise ProviderError(
                f"Error deleting datastore {self.noun}",
                f"Could not delete datastore {self.noun} '{state['id']}', unexpected error: error deleting file "
                f"{state['id']} from datastore {state['datastore_id']}: {error}",
            ) from error

    def _delete_file(self, state: State, volume: str) -> None:
        volume = urllib.parse.quote(volume, safe=":")
        path = f"/nodes/{state['node_name']}/storage/{state['datastore_id']}/content/{volume}"
        _insist(lambda: self._client().request("DELETE", path))

    def _run(self, path: str, body: State, words: Words, deadline: Deadline, diags: Diagnostics) -> None:
        """Have PVE fetch the file; the task of a download that failed is deleted (storage/download_url.go)."""
        try:
            upid = self._client().request("POST", path, body)
        except ApiError as error:
            raise ProviderError(words.summary, f"{words.prefix}{words.refused}: {error}") from error
        try:
            wait(self._client(), upid, words.summary, deadline, diags)
        except ProviderError as failure:
            text = f"{words.prefix}{words.failed}: {failure.detail}"
            try:
                self._client().request("DELETE", f"/nodes/{upid.split(':')[1]}/tasks/{escaped(upid)}")
            except ApiError as error:
                text += "" if error.missing else f" \n error deleting task: {error}"
            raise ProviderError(words.summary, text) from failure


def _insist(ask: Callable[[], Any]) -> Any:
    """Ask as often as retry-go does by default, unless the answer is a 403 or "does not exist" (storage/content.go)."""
    for attempt in range(DEFAULT_ATTEMPTS):
        try:
            return ask()
        except ApiError as error:
            if error.code == HTTP_FORBIDDEN or error.missing or attempt == DEFAULT_ATTEMPTS - 1:
                raise
            Deadline(60).pause(0.1)
    return None


class Download(StoredFile):
    """`proxmox_download_file`, also under its long name."""

    replacing = (
        "content_type",
        "file_name",
        "datastore_id",
        "node_name",
        "url",
        "checksum",
        "checksum_algorithm",
        "decompression_algorithm",
    )
    defaults: ClassVar[dict[str, Any]] = {**StoredFile.defaults, "verify": True}

    def __init__(self, client: GetClient, *, deprecated: bool = False) -> None:
        """Serve the short name, or the deprecated long one."""
        super().__init__(client)
        self._deprecated = deprecated

    def validate(self, config: State, diags: Diagnostics) -> None:
        """Check what the real provider checks."""
        if self._deprecated:
            diags.warning(
                "Deprecated Resource",
                'Use "proxmox_download_file" instead. This resource / data source will be removed in v1.0.',
            )
        _check(diags, config, "content_type", r"iso|vztmpl|import")
        _check(diags, config, "url", r"https?://.*")
        _check(diags, config, "checksum_algorithm", r"md5|sha1|sha224|sha256|sha384|sha512")
        _check(diags, config, "decompression_algorithm", r"gz|lzo|zst|bz2")
        if (config["checksum"] is None) != (config["checksum_algorithm"] is None):
            diags.error(
                "Invalid Attribute Combination",
                'Attribute "checksum" and "checksum_algorithm" must be specified together',
                ("checksum",),
            )

    def move_from(self, source_type: str) -> bool:
        """Take the state of the other name, which has the same schema."""
        return source_type == LONG_DOWNLOAD and not self._deprecated

    def import_state(self, identifier: str) -> State:
        """Take `node_name/datastore_id:content_type/file_name`."""
        found = re.fullmatch(r"([^/]+)/(([^:]+):([^/]+)/(.+))", identifier)
        if not found:
            form = "node_name/datastore_id:content_type/file_name"
            raise ProviderError(
                "Unexpected Import Identifier",
                f'Expected import identifier with format: {form}. Got: "{identifier}"',
            )
        names = ("node_name", "id", "datastore_id", "content_type", "file_name")
        return {
            **dict.fromkeys((*self.replacing, *self.defaults, "size")),
            **dict(zip(names, found.groups(), strict=True)),
        }

    def _metadata(self, state: State) -> dict[str, Any]:
        path = f"/nodes/{state['node_name']}/query-url-metadata"
        try:
            data = self._client().get(path, url=state["url"], **{"verify-certificates": int(state["verify"])})
        except ApiError as error:
            raise ProviderError(
                "Error initiating file download",
                "Could not get file metadata, unexpected error: error fetching metadata from download url, "
                f"unexpected error in GetQueryURLMetadata: {error}",
            ) from error
        metadata: dict[str, Any] = data_or_fail(data)
        return metadata

    def _file_name(self, planned: State) -> str:
        # Asked for always, even where the name is given.
        metadata = self._metadata(planned)
        return str(metadata["filename"] if planned["file_name"] is UNKNOWN else planned["file_name"])

    def _fetch(self, state: State, deadline: Deadline, diags: Diagnostics) -> None:
        node, store = state["node_name"], state["datastore_id"]
        body = {
            "content": state["content_type"],
            "filename": state["file_name"],
            "node": node,
            "storage": store,
            "url": state["url"],
            "verify-certificates": int(state["verify"]),
            "checksum": state["checksum"],
            "checksum-algorithm": state["checksum_algorithm"],
            "compression": state["decompression_algorithm"],
        }
        body = {key: value for key, value in body.items() if value is not None}
        words = Words(
            "Error downloading file from url",
            f"Could not download file '{state['file_name']}', unexpected error: ",
            "error download file by URL",
            f"error download file to datastore {store}: failed waiting for url download",
        )
        self._run(f"/nodes/{node}/storage/{store}/download-url", body, words, deadline, diags)

    def _remote_notes(self, state: State) -> dict[str, int | None]:
        if not state["overwrite"]:
            return {}
        try:
            return {"url_size": self._metadata(state).get("size")}
        except ProviderError:
            return {"url_size": -1}


class OciImage(StoredFile):
    """`proxmox_oci_image`."""

    replacing = ("node_name", "datastore_id", "reference", "file_name")
    noun = "OCI image"

    def validate(self, config: State, diags: Diagnostics) -> None:
        """Check what the real provider checks."""
        _check(diags, config, "file_name", r".*\.tar")
        _check(diags, config, "reference", r"[^\s:]+(?::\d+/[^\s:]+)?:[\w.-]+")

    def _file_name(self, planned: State) -> str:
        if planned["file_name"] is not UNKNOWN:
            return str(planned["file_name"])
        return str(planned["reference"]).rpartition("/")[2].replace(":", "_") + ".tar"

    def _fetch(self, state: State, deadline: Deadline, diags: Diagnostics) -> None:
        node, store, name = state["node_name"], state["datastore_id"], state["file_name"]
        body = {"reference": state["reference"], "storage": store, "filename": name.removesuffix(".tar")}
        words = Words(
            "Error pulling OCI image from reference",
            f"Could not pull OCI image '{name}', unexpected error: ",
            "error download OCI image by reference",
            f"error download OCI image to datastore {store}: failed waiting for OCI image download",
        )
        self._run(f"/nodes/{node}/storage/{store}/oci-registry-pull", body, words, deadline, diags)


class ApiDataSource(DataSource):
    """A data source that asks the API."""

    def __init__(self, client: GetClient) -> None:
        """Ask `client` for the API when there is something to do."""
        self._client = client


class Guests(ApiDataSource):
    """`proxmox_virtual_environment_containers` and `…_vms`: one request per node, only what the caller may audit."""

    def __init__(self, client: GetClient, kind: str, attribute: str, label: str) -> None:
        """List guests of one kind of PVE's into one attribute."""
        super().__init__(client)
        self._kind, self._attribute, self._label = kind, attribute, label

    def read(self, config: State, diags: Diagnostics) -> State:
        """List the guests that match all filters."""
        nodes = [config["node_name"]] if config["node_name"] else _node_names(self._client())
        wanted = {tag.strip() for tag in config["tags"] or [] if tag.strip()}
        guests: list[State] = []
        for node in sorted(nodes):
            try:
                listed = data_or_fail(self._client().get(f"/nodes/{node}/{self._kind}"))
            except ApiError as error:
                if error.code != UNAVAILABLE:
                    label = "Containers" if self._kind == "lxc" else "VMs"
                    raise ProviderError(f"error retrieving {label}: {error}") from error
                diags.warning(f'node "{node}" is not available - {self._label} list may be incomplete')
                continue
            for item in sorted(listed, key=lambda item: int(item["vmid"])):
                guest = {
                    "node_name": node,
                    "vm_id": int(item["vmid"]),
                    "name": item.get("name", ""),
                    "tags": sorted(tag for tag in item.get("tags", "").split(";") if tag),
                    "template": item.get("template") == 1,
                    "status": item["status"],
                }
                if wanted <= set(guest["tags"]) and all(_passes(guest, block) for block in config["filter"]):
                    guests.append(guest)
        filters = [{**block, "regex": bool(block["regex"])} for block in config["filter"]]
        return {**config, "filter": filters, self._attribute: guests, "id": str(uuid.uuid4())}


def _passes(guest: State, block: State) -> bool:
    name = block["name"]
    if name not in ("name", "template", "status", "node_name"):
        raise ProviderError(f"unknown filter name '{name}', should be one of [name, template, status, node_name]")
    value = str(guest[name]).lower() if name == "template" else guest[name]
    if block["regex"]:
        return any(re.search(pattern, value) for pattern in block["values"])
    return value in block["values"]


def _node_names(client: Client) -> Iterable[str]:
    try:
        return [node["node"] for node in _list_nodes(client)]
    except ProviderError as failure:
        raise ProviderError(f"error listing nodes: {failure.summary}") from failure


def _list_nodes(client: Client) -> list[dict[str, Any]]:
    try:
        nodes: list[dict[str, Any]] = data_or_fail(client.get("/nodes"))
    except ApiError as error:
        raise ProviderError(f"failed to get nodes: {error}") from error
    return nodes


class Nodes(ApiDataSource):
    """`proxmox_virtual_environment_nodes`."""

    def read(self, config: State, diags: Diagnostics) -> State:
        """List the nodes, one attribute per column."""
        del config, diags
        nodes = sorted(_list_nodes(self._client()), key=lambda node: str(node["node"]))
        return {
            "id": "nodes",
            "names": [node["node"] for node in nodes],
            "online": [node.get("status") == "online" for node in nodes],
            "cpu_count": [node.get("maxcpu", 1) for node in nodes],
            "cpu_utilization": [round(node.get("cpu", 0), 2) for node in nodes],
            "memory_available": [node.get("maxmem", 0) for node in nodes],
            "memory_used": [node.get("mem", 0) for node in nodes],
            "ssl_fingerprints": [node.get("ssl_fingerprint", "") for node in nodes],
            "support_levels": [node.get("level", "") for node in nodes],
            "uptime": [node.get("uptime", 0) for node in nodes],
        }


class Datastores(ApiDataSource):
    """`proxmox_datastores`."""

    def read(self, config: State, diags: Diagnostics) -> State:
        """List the datastores of a node."""
        del diags
        filters = config["filters"] or {}
        params = {"storage": filters.get("id"), "target": filters.get("target")}
        params["content"] = ",".join(filters.get("content_types") or []) or None
        given = {key: value for key, value in params.items() if value is not None}
        try:
            stores = data_or_fail(self._client().get(f"/nodes/{config['node_name']}/storage", **given))
        except ApiError as error:
            raise ProviderError("Unable to read datastores", f"error retrieving datastores: {error}") from error
        return {
            **config,
            "datastores": [
                {
                    "id": store["storage"],
                    "node_name": config["node_name"],
                    "type": store["type"],
                    "content_types": sorted(store["content"].split(",")),
                    "active": _flag(store, "active"),
                    "enabled": _flag(store, "enabled"),
                    "shared": _flag(store, "shared"),
                    "space_available": store.get("avail"),
                    "space_total": store.get("total"),
                    "space_used": store.get("used"),
                    "space_used_fraction": store.get("used_fraction"),
                }
                for store in sorted(stores, key=lambda store: str(store["storage"]))
            ],
        }


def _flag(item: State, key: str) -> bool | None:
    return item[key] == 1 if key in item else None


class Version(ApiDataSource):
    """`proxmox_version`."""

    def read(self, config: State, diags: Diagnostics) -> State:
        """Ask for the version."""
        del config, diags
        try:
            answer = data_or_fail(self._client().get("/version"))
        except ApiError as error:
            raise ProviderError("Unable to Read Version", str(error)) from error
        return {
            "id": "version",
            "release": answer["release"],
            "repository_id": answer["repoid"],
            "version": answer["version"],
        }


def _check(diags: Diagnostics, config: State, name: str, pattern: str) -> None:
    value = config[name]
    if value is not None and value is not UNKNOWN and not re.fullmatch(pattern, value):
        diags.error(
            "Invalid Attribute Value Match", f"Attribute {name} must match {pattern!r}, got: {value!r}", (name,)
        )


def main() -> None:
    """Be the plugin: this is what Terraform starts."""
    serve(Proxmox())
