"""What the lab is made of, built once: the guest's root file system, the Hermes image, LiteLLM.

Each part lies in the cache under a hash of what it is made from: the function that builds it, what that reads, and the
machine's sources of packages. Where those are is the machine's business: apt's and pip's own configuration say it, nothing here does.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.lab.container import make_disk
from tests.lab.sandbox import CACHE, FIRST_ID, RUN, START_SECONDS, SYSTEM_PATH, LabError, log, sh
from tests.lab.tls import make_authority

RELEASE, NEXT_RELEASE = "bookworm", "trixie"
HERMES_VERSION, LITELLM_VERSION = "0.19.0", "1.106.2"
REPOSITORY = "nousresearch/hermes-agent"
# The release that 0.19.0 is, and one after it that differs in a file.
TAGS = ("v2026.7.20", "v2026.7.21")
IMAGE = Path(__file__).parent / "image"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
DISK_GIB = 24

# Roughly what Proxmox VE's template debian-12-standard has: no curl, no gnupg, no Docker.
GUEST_PACKAGES = (
    *("systemd-sysv", "dbus", "ifupdown", "iproute2", "isc-dhcp-client", "iputils-ping", "netbase"),
    *("ca-certificates", "openssl", "procps", "less", "wget", "python3-minimal"),
)
# What the bootstrap installs: kept where apt looks first, so that a warm run loads nothing.
GUEST_DOWNLOADS = ("docker.io", "curl", "gnupg", "jq", "python3")
IMAGE_PACKAGES = ("python3", "curl", "git", "ripgrep", "procps", "ca-certificates", "s6")


class Source(NamedTuple):
    """One of the machine's repositories of Debian packages."""

    uri: str
    suite: str
    components: str

    def __str__(self) -> str:
        return f"deb {self.uri} {self.suite} {self.components}"


class Cached(NamedTuple):
    """What is ready to use."""

    guest: Path
    """A sparse ext4 image of a Debian guest, with its ids shifted as in an unprivileged container."""
    registry: Path
    """A directory for docker-registry, with the Hermes image under its official name."""
    litellm: Path
    """A virtual environment with LiteLLM's proxy."""
    authority: Path
    """A directory with the authority that the image trusts."""
    wheels: Path
    """A directory with the wheels of Hermes and of all that it needs."""


def prepare() -> Cached:
    """Build what the cache lacks; LiteLLM beside the rest, since one waits for the network while the other works."""
    here = [*map(str, sources()), _ca_bundle()]
    with ThreadPoolExecutor() as pool:
        litellm = pool.submit(_cached, "litellm", _build_litellm, [LITELLM_VERSION, sys.version])
        wheels = pool.submit(_cached, "wheels", _build_wheels, [HERMES_VERSION])
        debian = _cached("debian", _build_debian, [RELEASE, *here])
        guest = _cached("guest", _build_guest, [*GUEST_PACKAGES, *GUEST_DOWNLOADS, NEXT_RELEASE], debian)
        authority = _cached("authority", make_authority, [])
        texts = [f"{it.relative_to(IMAGE)}\0{it.read_text()}" for it in sorted(IMAGE.rglob("*")) if it.is_file()]
        made_from = [*IMAGE_PACKAGES, REPOSITORY, *TAGS, *texts]
        registry = _cached("registry", _build_images, made_from, debian, wheels.result(), authority)
        return Cached(guest / "rootfs.ext4", registry, litellm.result(), authority, wheels.result())


def _cached(name: str, build: Callable[..., None], made_from: Iterable[str], *parts: Path) -> Path:
    """What `build(to, *parts)` makes, from its own text, from what is given, and from other parts of the cache."""
    text = "\0".join([inspect.getsource(build), *made_from, *(part.name for part in parts)])
    place = CACHE / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if place.exists():
        return place
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    started = time.monotonic()
    print(f"[lab] building {name} …", flush=True)
    unfinished = CACHE / f"{name}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    build(unfinished, *parts)
    unfinished.rename(place)
    print(f"[lab] building {name} … ok {time.monotonic() - started:.0f}s", flush=True)
    return place


# Sources ------------------------------------------------------------------------------------------------------------


@cache
def sources() -> tuple[Source, ...]:
    """Where this machine gets Debian's packages from, for the release that the lab wants."""
    form = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    found = set()
    for line in sh("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines():
        origin, uri, suite, component = line.split("|")
        if origin == "Debian" and component == "main":
            part = suite.rpartition("-")[2]
            if "-" not in suite or part in ("security", "updates"):
                found.add(Source(uri.rstrip("/"), f"{RELEASE}-{part}" if "-" in suite else RELEASE, component))
    if not any(source.suite == RELEASE for source in found):
        raise LabError("apt on this machine knows no Debian repository: the lab is made of Debian's packages")
    return tuple(sorted(found, key=lambda source: source.suite))


def mirror_hosts() -> set[str]:
    """The hosts that the guest's apt may speak to."""
    return {source.uri.split("/")[2].partition(":")[0] for source in sources()}


def _main_source() -> Source:
    return next(source for source in sources() if source.suite == RELEASE)


def _ca_bundle() -> str:
    return CA_BUNDLE.read_text() if CA_BUNDLE.exists() else ""


# Debian -------------------------------------------------------------------------------------------------------------


def _build_debian(to: Path) -> None:
    keyring = [f"--keyring={KEYRING}"] if Path(KEYRING).exists() else []
    sh("debootstrap", *keyring, "--variant=minbase", RELEASE, to / "rootfs", _main_source().uri)
    _write_sources(to / "rootfs")


def _write_sources(root: Path) -> None:
    (root / "etc/apt/sources.list").write_text("".join(f"{source}\n" for source in sources()))


def _copy(debian: Path, root: Path) -> None:
    sh("cp", "--archive", f"{debian}/rootfs/.", root)
    shutil.copy(Path("/etc/resolv.conf"), root / "etc/resolv.conf")
    if _ca_bundle():
        # What a machine trusts, its guests do: their traffic takes the same way out.
        (root / CA_BUNDLE.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        (root / CA_BUNDLE.relative_to("/")).write_text(_ca_bundle())


def _apt(root: Path, *arguments: str) -> None:
    environment = {"PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # No service starts in a chroot.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        sh("chroot", root, "apt-get", "--quiet=2", "--yes", *arguments, env=environment)
    finally:
        policy.unlink()


def _build_guest(to: Path, debian: Path) -> None:
    disk, root = to / "rootfs.ext4", to / "mounted"
    make_disk(disk, DISK_GIB)
    root.mkdir()
    sh("mount", "-o", "loop", disk, root)
    try:
        _copy(debian, root)
        _apt(root, "update")
        _apt(root, "install", "--no-install-recommends", *GUEST_PACKAGES)
        if _ca_bundle():
            (root / CA_BUNDLE.relative_to("/")).write_text(_ca_bundle())
        _apt(root, "clean")
        _install_compose(root)
        _apt(root, "install", "--download-only", "--no-install-recommends", *GUEST_DOWNLOADS)
        shutil.rmtree(root / "var/lib/apt/lists")
        (root / "etc/hostname").unlink(missing_ok=True)
        (root / "etc/machine-id").write_text("")
        _shift_ids(root)
    finally:
        sh("umount", root)
        root.rmdir()


def _install_compose(root: Path) -> None:
    """`docker compose` from the next Debian: this one's package is the old docker-compose in Python."""
    later = root / "etc/apt/sources.list.d/next.list"
    later.write_text(f"{_main_source()._replace(suite=NEXT_RELEASE)}\n")
    _apt(root, "update")
    try:
        sh(
            *("chroot", root, "sh", "-ec"),
            'cd "$(mktemp -d)"; apt-get --quiet=2 -o APT::Sandbox::User=root download "$1/$2"; dpkg-deb -x ./*.deb x; '
            "install -D -m 755 -t /usr/local/lib/docker/cli-plugins x/usr/libexec/docker/cli-plugins/docker-compose; "
            'rm -r "$PWD"',
            *("sh", "docker-compose", NEXT_RELEASE),
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
        )
    finally:
        later.unlink()
    _apt(root, "update")


def _shift_ids(root: Path) -> None:
    """Give every file to the owner that an unprivileged container's map makes of its own."""
    for folder, folders, files in os.walk(root):
        for path in [Path(folder), *(Path(folder, name) for name in (*files, *folders))]:
            if path.parent == Path(folder) and path.is_dir() and not path.is_symlink():
                continue  # when its own turn comes
            found = path.lstat()
            if found.st_uid >= FIRST_ID:
                continue  # it has another name, too, and had its turn under that one
            os.lchown(path, found.st_uid + FIRST_ID, found.st_gid + FIRST_ID)
            if not stat.S_ISLNK(found.st_mode):
                # A change of owner takes set-uid away.
                path.chmod(stat.S_IMODE(found.st_mode))


# Hermes -------------------------------------------------------------------------------------------------------------


def _build_wheels(to: Path) -> None:
    """The wheels of Hermes and its needs for the image's Python, by this machine's pip and its sources."""
    libc = [f"manylinux_2_{minor}_{platform.machine()}" for minor in range(36, 4, -1)]
    old = [f"manylinux{year}_{platform.machine()}" for year in ("2014", "2010", "1")]
    platforms = [word for name in (*libc, *old) for word in ("--platform", name)]
    options = ["--python-version", "3.11", "--implementation", "cp", "--only-binary=:all:", *platforms]
    _pip("download", "--dest", to, *options, f"hermes-agent[messaging,mcp]=={HERMES_VERSION}", "pip")


def _build_images(to: Path, debian: Path, wheels: Path, authority: Path) -> None:
    work = to.with_name("image.new")
    shutil.rmtree(work, ignore_errors=True)
    root, layout = work / "rootfs", work / "oci"
    root.mkdir(parents=True)
    _furnish_image(debian, wheels, root)
    for bundle in (root / CA_BUNDLE.relative_to("/"), *root.glob("opt/hermes/.venv/lib/*/site-packages/certifi/*.pem")):
        with bundle.open("a") as file:
            file.write((authority / "ca.pem").read_text())
    sh("umoci", "init", "--layout", layout)
    first, second = (f"{layout}:{tag}" for tag in TAGS)
    sh("umoci", "new", "--image", first)
    sh("umoci", "insert", "--image", first, root, "/")
    settings = {
        "--config.entrypoint": ["/opt/hermes/docker/boot"],
        "--config.workingdir": ["/opt/data"],
        "--config.volume": ["/opt/data"],
        "--config.env": [
            "PATH=/opt/hermes/bin:" + SYSTEM_PATH,
            *("HERMES_HOME=/opt/data", "HERMES_WRITE_SAFE_ROOT=/opt/data", "HERMES_DISABLE_LAZY_INSTALLS=1"),
            *("PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"),
        ],
    }
    options = [word for name, values in settings.items() for value in values for word in (name, value)]
    sh("umoci", "config", "--image", first, *options)
    (work / "release").write_text(f"{TAGS[1]}\n")
    sh("umoci", "tag", "--image", first, TAGS[1])
    sh("umoci", "insert", "--image", second, work / "release", "/opt/hermes/release")
    _push(layout, to)
    shutil.rmtree(work)


def _furnish_image(debian: Path, wheels: Path, root: Path) -> None:
    _copy(debian, root)
    _apt(root, "update")
    _apt(root, "install", "--no-install-recommends", *IMAGE_PACKAGES)
    inside = {"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"}
    (root / "wheels").mkdir()
    sh("mount", "--bind", wheels, root / "wheels")
    try:
        sh("chroot", root, "python3", "-m", "venv", "--without-pip", "/opt/hermes/.venv", env=inside)
        pip = next(wheels.glob("pip-*.whl")).name
        sh(
            *("chroot", root, "/opt/hermes/.venv/bin/python", f"/wheels/{pip}/pip", "install", "--quiet", "--no-index"),
            *("--find-links", "/wheels", f"hermes-agent[messaging,mcp]=={HERMES_VERSION}"),
            env=inside,
        )
    finally:
        sh("umount", root / "wheels")
        (root / "wheels").rmdir()
    for name, place in {"boot": "docker", "hermes": "bin"}.items():
        (root / "opt/hermes" / place).mkdir()
        shutil.copy(IMAGE / name, root / "opt/hermes" / place / name)
    shutil.copytree(IMAGE / "seed", root / "opt/hermes/seed")
    # Where s6-overlay has the programs of s6.
    (root / "command").symlink_to("usr/bin")
    (root / "opt/hermes/release").write_text(f"{TAGS[0]}\n")
    (root / "opt/data").mkdir()
    sh("chroot", root, "groupadd", "--gid", "10000", "hermes", env=inside)
    sh("chroot", root, "useradd", "-u", "10000", "-g", "10000", "-d", "/opt/data", "-M", "hermes", env=inside)
    for useless in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / useless, ignore_errors=True)
    (root / "etc/resolv.conf").unlink()


def _push(layout: Path, to: Path) -> None:
    """Fill a registry's directory."""
    address = "127.0.0.1:5999"
    serving = registry(to, address)
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--format", "v2s2", "--dest-tls-verify=false"]
    try:
        for tag in TAGS:
            sh(*copy, f"oci:{layout}:{tag}", f"docker://{address}/{REPOSITORY}:{tag}")
    finally:
        serving.kill()
        serving.wait()


def registry(storage: Path, address: str) -> subprocess.Popen[bytes]:
    """A docker-registry over a directory, once it answers."""
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": address},
    }
    file = RUN / "registry.json"
    file.write_text(json.dumps(settings))
    serving = subprocess.Popen(["docker-registry", "serve", file], stdout=log("registry"), stderr=subprocess.STDOUT)
    host, _, port = address.rpartition(":")
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            return serving
        time.sleep(0.1)
    serving.kill()
    raise LabError(f"docker-registry does not start: see {RUN}/log/registry")


# LiteLLM ------------------------------------------------------------------------------------------------------------


def _build_litellm(to: Path) -> None:
    sh(sys.executable, "-m", "venv", "--without-pip", to)
    _pip("--python", to / "bin/python", "install", f"litellm[proxy]=={LITELLM_VERSION}")


def _pip(*arguments: str | Path) -> None:
    """Run pip, with this machine's own configuration."""
    sh(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
