"""The images of the gateway and its database for the lab: LiteLLM from its wheel, PostgreSQL from Debian.

LiteLLM reaches its database by Prisma, whose engine is a binary that no registry of packages has. The one of the image is the
same engine in its WASM build (gateway_image/engine.js).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tests.lab import cache
from tests.lab.cache import LITELLM_VERSION, Cached
from tests.lab.sandbox import CACHE, SYSTEM_PATH, sh

REPOSITORY, TAGS = "berriai/litellm-database", ("v1.106.2", "v1.106.3")
DATABASE = "library/postgres"
DATABASE_TAG = "15.0"
PRISMA_VERSION = "0.15.0"
FILES = Path(__file__).parent / "gateway_image"
GATEWAY_PACKAGES = ("python3", "nodejs", "postgresql-client", "ca-certificates", "curl")
DATABASE_PACKAGES = ("postgresql", "postgresql-client")


def prepare(cached: Cached) -> Path:
    """Return a directory for docker-registry with the images, built once."""
    texts = [f"{it.name}\0{it.read_text()}" for it in (Path(__file__), *sorted(FILES.iterdir()))]
    debian = next(CACHE.glob("debian-*"))
    made_from = [*GATEWAY_PACKAGES, *DATABASE_PACKAGES, *TAGS, LITELLM_VERSION, PRISMA_VERSION, *texts]
    return cache._cached("gateway", _build, made_from, debian, cached.litellm)


def _build(to: Path, debian: Path, litellm: Path) -> None:
    work = to.with_name("gateway-image.new")
    shutil.rmtree(work, ignore_errors=True)
    layout = work / "oci"
    work.mkdir()
    sh("umoci", "init", "--layout", layout)
    _add(layout, "gateway", _gateway_root(debian, litellm, work / "gateway"), "/opt/litellm/start")
    _add(layout, "database", _database_root(debian, work / "database"), "/usr/local/bin/start-postgres")
    (work / "release").write_text(f"{TAGS[1]}\n")
    sh("umoci", "tag", "--image", f"{layout}:gateway", "gateway-next")
    sh("umoci", "insert", "--image", f"{layout}:gateway-next", work / "release", "/opt/litellm/release")
    names = {
        "gateway": (REPOSITORY, TAGS[0]),
        "gateway-next": (REPOSITORY, TAGS[1]),
        "database": (DATABASE, DATABASE_TAG),
    }
    address = "127.0.0.1:5998"
    serving = cache.registry(to, address)
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--format", "v2s2", "--dest-tls-verify=false"]
    try:
        for name, (repository, tag) in names.items():
            sh(*copy, f"oci:{layout}:{name}", f"docker://{address}/{repository}:{tag}")
    finally:
        serving.kill()
        serving.wait()
    shutil.rmtree(work)


def _add(layout: Path, name: str, root: Path, entrypoint: str) -> None:
    image = f"{layout}:{name}"
    sh("umoci", "new", "--image", image)
    sh("umoci", "insert", "--image", image, root, "/")
    path = f"PATH={SYSTEM_PATH}:/usr/lib/postgresql/15/bin"
    sh("umoci", "config", "--image", image, "--config.entrypoint", entrypoint, "--config.env", path)


def _gateway_root(debian: Path, litellm: Path, root: Path) -> Path:
    _furnish(debian, root, GATEWAY_PACKAGES)
    place = root / "opt/litellm"
    # The interpreter is the image's own, of the same version.
    sh("cp", "--archive", next(litellm.glob("lib/python3*/site-packages")), place)
    cache._pip("install", "--target", place, "--no-deps", f"prisma=={PRISMA_VERSION}", "nodeenv", "async-timeout")
    prisma = root / "opt/prisma"
    prisma.mkdir()
    shutil.copy(FILES / "package.json", prisma)
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    sh(
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
        cwd=prisma,
        env={**os.environ, "PATH": tools},
    )
    for name, target in {
        "engine.js": prisma / "engine.js",
        "engine": prisma / "engine",
        "prisma-client-py": prisma / "prisma-client-py",
        "start": place / "start",
    }.items():
        shutil.copy(FILES / name, target)
        target.chmod(0o755)
    schema = (place / "litellm/proxy/schema.prisma").read_text().splitlines()
    (prisma / "schema.prisma").write_text("\n".join(line for line in schema if "binaryTargets" not in line))
    (prisma / "library").touch()
    generate = {
        "PATH": f"/opt/prisma:{SYSTEM_PATH}",
        "HOME": "/root",
        "PRISMA_QUERY_ENGINE_LIBRARY": "/opt/prisma/library",
        "PRISMA_QUERY_ENGINE_BINARY": "/opt/prisma/engine",
        "PRISMA_SCHEMA_ENGINE_BINARY": "/opt/prisma/engine",
        "PRISMA_HIDE_UPDATE_MESSAGE": "1",
        "CHECKPOINT_DISABLE": "1",
    }
    command = (
        "node",
        "/opt/prisma/node_modules/prisma/build/index.js",
        "generate",
        "--schema",
        "/opt/prisma/schema.prisma",
    )
    sh("chroot", root, *command, env=generate)
    (place / "release").write_text(f"{TAGS[0]}\n")
    return root


def _database_root(debian: Path, root: Path) -> Path:
    _furnish(debian, root, DATABASE_PACKAGES)
    shutil.rmtree(root / "var/lib/postgresql", ignore_errors=True)
    target = root / "usr/local/bin/start-postgres"
    shutil.copy(FILES / "postgres", target)
    target.chmod(0o755)
    return root


def _furnish(debian: Path, root: Path, packages: tuple[str, ...]) -> None:
    root.mkdir()
    cache._copy(debian, root)
    cache._apt(root, "update")
    cache._apt(root, "install", "--no-install-recommends", *packages)
    for useless in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / useless, ignore_errors=True)
    (root / "etc/resolv.conf").unlink()
