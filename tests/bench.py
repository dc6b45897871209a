"""What synth costs: `make bench` prints ratios measured in one run, so that the machine's speed cancels out.

Each pair is timed in turns (a, b, a, b, …) and compared by its fastest runs, which other load disturbs least.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parent.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))

BARE = """\
from cdktf import App, TerraformStack

app = App()
TerraformStack(app, "one")
TerraformStack(app, "two")
app.synth()
"""


def seconds(command: Sequence[str], directory: Path, environment: dict[str, str]) -> float:
    """How long the command took."""
    start = time.perf_counter()
    subprocess.run(command, cwd=directory, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def compare(
    label: str, aim: str, ours: tuple[Sequence[str], dict[str, str]], base: tuple[Sequence[str], dict[str, str]]
) -> None:
    """Time both in turns and print their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for (command, environment), found in zip((ours, base), times, strict=True):
            with tempfile.TemporaryDirectory() as out:
                found.append(seconds(command, PROJECT, {"CDKTF_OUTDIR": f"{out}/cdktf.out", **environment}))
    fastest = [min(found) for found in times]
    print(f"{label:<58} {fastest[0] / fastest[1]:5.2f} x   {aim:<12} ({fastest[0]:.2f} s / {fastest[1]:.2f} s)")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        bare = Path(directory, "bare.py")
        bare.write_text(BARE)
        many = Path(directory, "many.yaml")
        many.write_text("agents:\n" + "".join(f"  agent-{n}: {{vmid: {1000 + n}}}\n" for n in range(100)))
        one = Path(directory, "one.yaml")
        one.write_text("agents:\n  agent-0: {vmid: 1000}\n")
        python = [sys.executable, "-O"]  # as in cdktf.json
        synth = [*python, "main.py"]
        settings = {"HOMELAB_FILE": str(one)}
        compare(
            "synth of one agent / bare cdktf app of two empty stacks",
            "aim ≤ 1.15",
            (synth, settings),
            ([*python, str(bare)], {}),
        )
        compare("synth of 100 agents / of one", "aim ≤ 2.50", (synth, {"HOMELAB_FILE": str(many)}), (synth, settings))
        compare(
            "cdktf synth / python main.py",
            "",
            (["cdktf", "synth", "--output", f"{directory}/cdktf.out"], settings),
            (synth, settings),
        )


if __name__ == "__main__":
    main()
