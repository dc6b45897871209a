"""What synth costs: `make bench` prints ratios measured in one run, so that the machine's speed cancels out.

Each pair is run in turns (a, b, a, b, …) and compared by its cheapest runs, which other load disturbs least: by the
seconds of CPU that the command and all its children take, which have an aim, and by the clock.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.virtual_node.node import VirtualNode

PROJECT = Path(__file__).parent.parent
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))

BARE = """\
from cdktf import App, TerraformStack

app = App()
TerraformStack(app, "one")
TerraformStack(app, "two")
app.synth()
"""


class Cost(NamedTuple):
    """What a command took."""

    cpu: float
    """Seconds of CPU, of its children too."""

    clock: float
    """Seconds on the clock."""


Aim = Mapping[str, float]
"""The largest ratio, by what is measured."""


def cost(command: Sequence[str], directory: Path, environment: dict[str, str]) -> Cost:
    """Run a command and measure it."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=directory, env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL)
    end, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, end - start)


def compare(
    label: str, aim: Aim, ours: tuple[Sequence[str], dict[str, str]], base: tuple[Sequence[str], dict[str, str]]
) -> None:
    """Measure both in turns and print their ratios."""
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for _ in range(ROUNDS):
        for (command, environment), found in zip((ours, base), costs, strict=True):
            with tempfile.TemporaryDirectory() as out:
                found.append(cost(command, PROJECT, {"CDKTF_OUTDIR": f"{out}/cdktf.out", **environment}))
    print(label)
    for measure in Cost._fields:
        one, other = (min(getattr(it, measure) for it in found) for found in costs)
        most = f"aim ≤ {aim[measure]:.2f}" if measure in aim else ""
        print(f"  {measure:<6} {one / other:5.2f} x  {most:<12} ({one:.2f} s / {other:.2f} s)")


def compare_deploys(directory: Path) -> None:
    """Measure a deploy with nothing to do on a virtual node, by each of the two commands."""
    with VirtualNode(directory / "virtual-node") as node:
        # CDKTF_OUTDIR would be refused.
        environment = {**node.env, "HOMELAB_FILE": str(directory / "homelab.yaml"), "CDKTF_OUTDIR": "", "CI": "1"}
        environment |= {"LITELLM_API_KEY": "sk-of-the-bench", "API_SERVER_KEY": "0" * 32, "PIPENV_DONT_LOAD_ENV": "1"}
        out = ("--output", str(directory / "cdktf.out"))
        (directory / "homelab.yaml").write_text("agents: {hermes: {}}\n")
        up = ("agents", *out, "up", "hermes")
        cost([*up, "--auto-approve"], PROJECT, environment)
        deploy = ("scripts/cdktf", "deploy", "hermes", "hermes-root", "--auto-approve", "--skip-provider-lock", *out)
        label = "with nothing to do: agents up hermes / cdktf deploy hermes hermes-root"
        compare(label, {"clock": 0.50}, (up, environment), (deploy, environment))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        bare = Path(directory, "bare.py")
        bare.write_text(BARE)
        many = Path(directory, "many.yaml")
        many.write_text("agents:\n" + "".join(f"  agent-{n}: {{vmid: {1000 + n}}}\n" for n in range(100)))
        one = Path(directory, "one.yaml")
        one.write_text("agents:\n  agent-0: {vmid: 1000}\n")
        synth = [sys.executable, "main.py"]
        settings = {"HOMELAB_FILE": str(one)}
        compare(
            "synth of one agent / bare cdktf app of two empty stacks",
            {"cpu": 1.40, "clock": 1.15},
            (synth, settings),
            ([sys.executable, str(bare)], {}),
        )
        compare(
            "synth of 100 agents / of one",
            {"clock": 2.50},
            (synth, {"HOMELAB_FILE": str(many)}),
            (synth, settings),
        )
        compare(
            "cdktf synth / python main.py",
            {},
            (["cdktf", "synth", "--output", f"{directory}/cdktf.out"], settings),
            (synth, settings),
        )
        compare_deploys(Path(directory))


if __name__ == "__main__":
    main()
