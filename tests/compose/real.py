"""The real Docker Compose, as a program of its own: it reads a compose file, and needs no Docker for that."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.lab.cache import NEXT_RELEASE, sources

ROOT = Path(__file__).parents[2]
CACHED = ROOT / "build" / "cache" / f"docker-compose-{NEXT_RELEASE}"


@cache
def command() -> tuple[str, ...]:
    """This machine's `docker compose`, or else Debian's, which is fetched once and installed nowhere."""
    of_docker = ("docker", "compose")
    if shutil.which("docker") and _is_of_today(of_docker):
        return of_docker
    CACHED.parent.mkdir(parents=True, exist_ok=True)
    with CACHED.with_name(f"{CACHED.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CACHED.exists():
            _fetch(CACHED)
    return (str(CACHED),)


def _is_of_today(words: tuple[str, ...]) -> bool:
    return subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0


def _fetch(to: Path) -> None:
    """Get the program out of the package of the next Debian: that of Debian 12 is the old one, in Python."""
    assert shutil.which("apt-get"), "this machine has neither `docker compose` nor apt-get: install Docker's plugin"
    main = next(source for source in sources() if "-" not in source.suite)
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        for name in ("lists/partial", "cache/archives/partial"):
            (here / name).mkdir(parents=True)
        (here / "sources.list").write_text(f"{main._replace(suite=NEXT_RELEASE)}\n")
        settings = {
            "Dir::State::Lists": here / "lists",
            "Dir::Cache": here / "cache",
            "Dir::Etc::SourceList": here / "sources.list",
            "Dir::Etc::SourceParts": "-",
            # Root would hand the directory over to a user of apt's own.
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "--quiet=2", *(word for key, value in settings.items() for word in ("-o", f"{key}={value}"))]
        for words in ([*apt, "update"], [*apt, "download", f"docker-compose/{NEXT_RELEASE}"]):
            subprocess.run(words, cwd=here, check=True, timeout=300)
        (package,) = here.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, here / "package"], check=True, timeout=60)
        shutil.move(here / "package/usr/libexec/docker/cli-plugins/docker-compose", to)


class Refused(Exception):  # noqa: N818 - it is what Compose does
    """Compose does not take the file; says its last line."""


def arrives(text: str, directory: Path, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What Compose makes of a compose file.

    Args:
        text: The file.
        directory: A directory of the test's own.
        variables: What stands in `.env` beside it.

    Raises:
        Refused: It takes it not, or with a warning.
    """
    file = directory / "docker-compose.yml"
    file.write_text(text)
    (directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in (variables or {}).items()))
    options = ["--project-name", "test", "--project-directory", str(directory), "--file", str(file)]
    ran = subprocess.run(
        [*command(), *options, "config", "--format", "json", "--no-path-resolution"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # Nothing of this machine's is a variable for it.
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
    )
    if ran.returncode != 0 or ran.stderr:
        raise Refused(ran.stderr.splitlines()[-1] if ran.stderr else f"status {ran.returncode}")
    return dict(_unescaped(json.loads(ran.stdout)))


def _unescaped(value: Any) -> Any:
    """What is shown is a compose file again, with its dollar signs doubled."""
    if isinstance(value, dict):
        return {key: _unescaped(it) for key, it in value.items()}
    if isinstance(value, list):
        return [_unescaped(it) for it in value]
    return value.replace("$$", "$") if isinstance(value, str) else value
