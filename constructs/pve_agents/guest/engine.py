"""Docker's engine: its packages, what its daemon and systemd are told, and that it runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pve_agents.guest.apt import install_packages, os_release
from pve_agents.guest.progress import fail
from pve_agents.guest.work import STATE, ComposeWork

__all__ = ["want_docker"]

REPOSITORY = "https://download.docker.com/linux"
FINGERPRINT = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
"""What Docker's installation guide gives for that repository's key."""

_KEY, _SOURCE = "/etc/apt/keyrings/docker.asc", "/etc/apt/sources.list.d/docker.list"
_PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins")
_SETTINGS, _DELIVERED, _TOLD = "/etc/docker/daemon.json", f"{STATE}/daemon.json", f"{STATE}/daemon.told"
_UNIT = "/etc/systemd/system/docker.service.d/pve-agents.conf"
_LEAST_VERSION, _LEAST_COMPOSE, _DEBIAN_WITH_COMPOSE = 20, 2, 13
_FINGERPRINT_FIELD = 9


def want_docker(work: ComposeWork) -> None:
    """Have Docker installed, set up, running and enabled."""
    work.machine.want_directory(STATE)
    if not (work.machine.has("docker") and work.machine.has("dockerd") and _has_compose(work)):
        _install(work)
        if not _has_compose(work):
            fail("`docker compose version` fails in the container, although the plugin is installed")
    _want_daemon_settings(work)
    _want_time_to_stop(work)
    if not (version := work.docker.version()):
        _start(work)
        version = work.docker.version()
    if _major(version) < _LEAST_VERSION:
        fail(
            f"Docker {version} is too old: {work.compose.title} needs 20.10 or newer; remove it in the container, and deploy"
            " again"
        )
    if not _systemctl(work, "is-enabled", "--quiet", "docker"):
        _systemctl(work, "enable", "--quiet", "docker")
        work.progress.did("enabled")
    _want_daemon_told(work)


def _systemctl(work: ComposeWork, *words: str, seconds: float = 60) -> bool:
    return work.machine.run("systemctl", *words, seconds=seconds).ok


def _major(version: str) -> int:
    first = version.removeprefix("v").partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _has_compose(work: ComposeWork) -> bool:
    return _major(work.docker.compose_version()) >= _LEAST_COMPOSE


# packages ---------------------------------------------------------------------------------------------------------------


def _install(work: ComposeWork) -> None:
    has_daemon = work.machine.has("dockerd")
    if work.compose.engine.source == "docker":
        packages = () if has_daemon else ("docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin")
        _add_repository(work)
        install_packages(work, *packages, "docker-compose-plugin")
    else:
        install_packages(work, *_packages_of_debian(work, has_daemon=has_daemon))
    work.progress.did("installed")


def _packages_of_debian(work: ComposeWork, *, has_daemon: bool) -> tuple[str, ...]:
    release = os_release(work.machine)
    version = _major(release.get("VERSION_ID", "")) if release.get("ID") == "debian" else 0
    has_plugin = any(work.machine.is_file(f"{it}/docker-compose") for it in _PLUGINS)
    if version < _DEBIAN_WITH_COMPOSE and not has_plugin:
        fail(
            f"this Debian has no package with `docker compose` v2: set {work.compose.settings.docker_source} to docker, or use a"
            f" Debian 13 template, or put the plugin docker-compose into {_PLUGINS[0]}"
        )
    packages = () if has_daemon else ("docker.io", "ca-certificates", "iptables")
    if version >= _DEBIAN_WITH_COMPOSE:
        # It has taken the client out of docker.io.
        packages = (*packages, "docker-cli", *(() if has_plugin else ("docker-compose",)))
    return packages


def _add_repository(work: ComposeWork) -> None:
    release = os_release(work.machine)
    system = release.get("ID", "")
    if system not in ("debian", "ubuntu"):
        fail(f"Docker's repository has no packages for '{system}': use a Debian template for the container")
    if not _is_dockers_key(work, _KEY):
        install_packages(work, "ca-certificates", "curl", "gpg")
        work.machine.want_directory("/etc/apt/keyrings")
        _fetch_key(work, f"{REPOSITORY}/{system}/gpg")
    line = f"deb [signed-by={_KEY}] {REPOSITORY}/{system} {release.get('VERSION_CODENAME', '')} stable"
    if work.machine.text(_SOURCE) != line:
        work.remember(_SOURCE, line)


def _fetch_key(work: ComposeWork, address: str) -> None:
    new = f"{_KEY}.new"
    fetched = work.machine.run(
        *("curl", "--fail", "--silent", "--show-error", "--location", "--proto", "=https", "--retry", "5"),
        *("--connect-timeout", "20", "--output", new, address),
        seconds=300,
    )
    if not fetched.ok:
        fail(
            f"cannot fetch the key of Docker's repository: can the container reach {REPOSITORY}?",
            work.last_line(fetched.errors),
        )
    if not _is_dockers_key(work, new):
        fail(f"what {address} sends is not Docker's key {FINGERPRINT}: who stands in between?")
    work.machine.move(new, _KEY)


def _is_dockers_key(work: ComposeWork, file: str) -> bool:
    """Tell whether a file holds Docker's key and no other."""
    if not work.machine.is_file(file) or not work.machine.has("gpg"):
        return False
    shown = work.machine.run("gpg", "--batch", "--show-keys", "--with-colons", file, seconds=60)
    rows = [line.split(":") for line in shown.out.splitlines()]
    # The fingerprint of a key is the first one after it; those of its subkeys come later.
    keys = [at for at, row in enumerate(rows) if row[0] == "pub"]
    prints = [row[_FINGERPRINT_FIELD] for row in rows if row[0] == "fpr" and len(row) > _FINGERPRINT_FIELD]
    return len(keys) == 1 and prints[:1] == [FINGERPRINT]


# what the daemon is told ------------------------------------------------------------------------------------------------


def _want_daemon_settings(work: ComposeWork) -> None:
    """Add ours to what the daemon is told, and take out what was ours and is no longer wanted.

    It is the same for all that runs in this container, and settings of somebody else's stay.
    """
    wanted = dict(work.compose.engine.daemon)
    text = json.dumps(wanted, indent=2)
    found, delivered = work.machine.text(_SETTINGS), work.machine.text(_DELIVERED)
    if not work.machine.exists(_SETTINGS) or found in (delivered, text):
        merged = text
    else:
        merged = json.dumps(merged_settings(_object(found), _object(delivered or "{}"), wanted), indent=2)
    if not work.machine.is_file(_SETTINGS) or found != merged:
        work.machine.want_directory("/etc/docker")
        work.remember(_SETTINGS, merged)
        work.progress.did("daemon.json")
    # In this order: killed in between, the next run still knows what was ours before.
    if delivered != text:
        work.remember(_DELIVERED, text)


def _object(text: str) -> dict[str, Any]:
    found, why = None, "it holds no JSON object"
    try:
        found = json.loads(text.strip() or "{}")
    except ValueError as error:
        why = f"it is not JSON ({error})"
    if not isinstance(found, dict):
        fail(f"{_SETTINGS} in the container cannot be read: {why}. Correct it, or remove it, and deploy again")
    return found


def merged_settings(current: Mapping[str, Any], before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in their order, with ours as wanted; what was ours, and is wanted no more, is left out."""
    stay = {name: value for name, value in current.items() if name in wanted or before.get(name, ...) != value}
    return {**stay, **wanted}


def _want_daemon_told(work: ComposeWork) -> None:
    """Tell a daemon that was running already; it takes these settings without a restart."""
    settings = work.machine.read(_SETTINGS) or b""
    digest = f"{hashlib.sha256(settings).hexdigest()}  -"
    told = work.machine.text(_TOLD) == digest
    mirrors = work.compose.engine.daemon.get("registry-mirrors", ())
    if told and mirrors:
        known = work.docker.ask("info", "--format", "{{range .RegistryConfig.Mirrors}}{{.}} {{end}}").out.split()
        told = {it.rstrip("/") for it in mirrors} <= {it.rstrip("/") for it in known}
    if told:
        return
    if not _systemctl(work, "reload", "docker"):
        fail(f"the Docker daemon does not take {_SETTINGS}: look at `journalctl -u docker` in the container")
    work.remember(_TOLD, digest)
    work.progress.did("daemon told")


def _want_time_to_stop(work: ComposeWork) -> None:
    """Have systemd wait longer: it kills a daemon after 90 seconds, and with it goes who would stop the agent in order."""
    text, is_new = f"[Service]\nTimeoutStopSec={work.compose.engine.stop_seconds}", False
    if work.machine.text(_UNIT) != text:
        work.machine.want_directory(_UNIT.rpartition("/")[0])
        work.remember(_UNIT, text)
        is_new = True
    # Of a directory that is new, systemd says neither that it has been read nor that it should be.
    shown = ("show", "--property", "NeedDaemonReload", "--property", "DropInPaths", "docker")
    known = work.machine.run("systemctl", *shown, seconds=20).out
    if "NeedDaemonReload=no" not in known or _UNIT not in known:
        if not _systemctl(work, "daemon-reload"):
            fail("`systemctl daemon-reload` fails in the container")
        is_new = True
    if is_new:
        work.progress.did("time to stop")


# that it runs -----------------------------------------------------------------------------------------------------------


def _start(work: ComposeWork) -> None:
    # After several failures in a row systemd refuses to try again.
    _systemctl(work, "reset-failed", "docker")
    _systemctl(work, "start", "docker", seconds=120)
    until = work.machine.seconds() + work.patience.daemon
    while not work.docker.version():
        if work.machine.seconds() >= until:
            log = work.machine.run("journalctl", "-u", "docker", "-n", "5", "--no-pager", "-o", "cat", seconds=20)
            fail(
                "the Docker daemon does not run, and `systemctl start docker` did not help: look at `journalctl -u docker` in"
                " the container",
                *work.last_lines(log.out),
            )
        work.progress.waiting("waiting for the Docker daemon")
        work.machine.sleep(1)
    work.progress.did("started")
