"""The Python programs that Terraform starts, as forks of one process that has imported what they import.

A step or a check is started hundreds of times, and takes longer to start than to do what it does. What runs is still what a
test has synthesized: a program of another text than this checkout's is started as ever, and so is all that the cdktf CLI
runs.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shlex
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.virtual_node.node import ROOT
from tests.virtual_node.session import behind_a_door, join_group, open_door, write_stand_in

LIBRARY = ROOT / "constructs"
PACKAGE = "pve_agents"
# How long a terminal says nothing once it has shown its prompt: on this machine, it shows it in one piece.
QUIET_SECONDS = 0.1


@contextlib.contextmanager
def prepared() -> Iterator[Path]:
    """Run the process; yields a directory for PATH, with a `python3` whose programs are its forks."""
    program = "from tests.deploy.programs import serve; serve(number)"
    with tempfile.TemporaryDirectory(prefix="programs-") as folder, behind_a_door(program) as port:
        otherwise = f'exec {shlex.quote(sys.executable)} "$@"'
        write_stand_in(Path(folder, "python3"), [], otherwise=otherwise, port=port)
        yield Path(folder)


def serve(number: int) -> None:
    """Be the process."""
    sys.path.append(str(LIBRARY))
    # As packed: without what the package itself imports.
    sys.modules[PACKAGE] = package = ModuleType(PACKAGE)
    package.__path__ = [str(LIBRARY / PACKAGE)]
    for module in ("program", "paste", "inside", "login"):
        import_module(f"{PACKAGE}.host.{module}")
    for module in (
        "click",
        "proxmoxer.backends.https",
        *(f"websockets.{it}" for it in ("client", "exceptions", "frames", "uri")),
    ):
        import_module(module)
    vars(import_module(f"{PACKAGE}.host.terminal"))["_QUIET_SECONDS"] = QUIET_SECONDS
    needed = {name.replace(".", "/") for name in sys.modules if name.startswith(f"{PACKAGE}.")}

    open_door(lambda words: run(words, needed), number, join_group)


def run(words: Sequence[str], needed: Collection[str]) -> int:
    """Be `python3 PROGRAM ARGUMENT...`, and return its exit status."""
    program = Path(words[0])
    if not (program.is_file() or is_of_this_checkout(program, needed)):
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606
    if program.is_dir():
        look_only_into(program)
    # As Python does for it; a directory is added by runpy.
    sys.path[0:0] = [] if program.is_dir() else [str(program.resolve().parent)]
    sys.argv = list(words)
    try:
        runpy.run_path(str(program), run_name="__main__")
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - Python's own last resort
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def is_of_this_checkout(program: Path, needed: Collection[str]) -> bool:
    """Whether a packed program has all modules that are imported here for it, and each to the letter."""
    if not all((program / name).is_dir() or (program / f"{name}.py").is_file() for name in needed):
        return False
    texts = [it for it in program.rglob("*.*") if it.suffix in (".py", ".sh") and it.parent != program]
    modules = [it for it in texts if it.name != "__init__.py"]
    return all(
        (own := LIBRARY / it.relative_to(program)).is_file() and own.read_bytes() == it.read_bytes() for it in modules
    )


def look_only_into(program: Path) -> None:
    """Let a packed program find nothing that is not in it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        place = program.joinpath(*name.split("."))
        if place.is_dir():
            # Its own `__init__.py` has no more in it than this.
            sys.modules[name] = package = ModuleType(name)
            package.__path__ = [str(place)]
