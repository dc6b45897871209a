"""The app: a stack for each agent of the settings."""

from __future__ import annotations

import gc
import os
import re
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cdktf import App

    from pve_agents import Homelab

_BAD_INPUT = 2
# How cdktf words what the constructs' own validations found: a line each, with the construct's path.
_REFUSED_BY_A_CONSTRUCT = re.compile(r"^  \[(?P<path>[^]]+)\] (?P<problem>.+)$", re.MULTILINE)


def compose(homelab: Homelab, *, outdir: str | None = None) -> App:
    """Return the app with the stacks of every agent, not yet synthesized.

    Args:
        homelab: The settings.
        outdir: The directory that Terraform's JSON is written to. Defaults to the one that cdktf's command line names.
    """
    from cdktf import App  # noqa: PLC0415

    from pve_agents.settings.homelab import STORAGE_STACK  # noqa: PLC0415
    from stacks.agent import AgentStack  # noqa: PLC0415
    from stacks.agent_root import AgentRootStack  # noqa: PLC0415
    from stacks.pet_storage import PetStorageStack  # noqa: PLC0415

    # Stack traces would write this machine's paths into the manifest.
    app = App(stack_traces=False, outdir=outdir)
    if homelab.storage:
        PetStorageStack(app, STORAGE_STACK, storage=homelab.storage, backend=homelab.backend)
    for agent in homelab.agents.values():
        AgentStack(app, agent.name, agent=agent, backend=homelab.backend, storage=homelab.storage)
        if agent.delivery == "root":
            AgentRootStack(app, f"{agent.name}-root", agent=agent, backend=homelab.backend)
    return app


def main() -> int:
    """Write Terraform's JSON of every stack; what is wrong with the input is said in one sentence each."""
    # Before Node starts: what is written is for its owner alone, and nobody here needs a credential.
    os.umask(0o077)
    try:
        from pve_agents.environment import without_credentials  # noqa: PLC0415

        for name in os.environ.keys() - without_credentials(os.environ).keys():
            del os.environ[name]
        import cdktf  # noqa: F401, PLC0415 (Node starts while the settings are read)

        from pve_agents import SettingsError, load_settings  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _missing(error)
    try:
        compose(load_settings(Path(__file__).parent)).synth()
    except ModuleNotFoundError as error:
        return _missing(error)
    except SettingsError as error:
        return _refuse(*error.messages)
    except Exception as error:
        from pve_agents.agents.kind import fault_of_own_kind  # noqa: PLC0415

        # jsii hands what a construct refused over as the text of an exception.
        problems = [found["problem"] for found in _REFUSED_BY_A_CONSTRUCT.finditer(str(error))]
        if not problems and (fault := fault_of_own_kind(error)):
            problems = [fault]
        if not problems:
            raise
        return _refuse(*problems)
    return 0


def _missing(error: ModuleNotFoundError) -> int:
    package = (error.name or "").partition(".")[0]
    remedy = "make bindings" if package == "imports" else "make setup"
    return _refuse(f"The Python package {package} is missing: run `{remedy}`.")


def _refuse(*sentences: str) -> int:
    print(*sentences, sep="\n", file=sys.stderr)  # noqa: T201
    return _BAD_INPUT


if __name__ == "__main__":
    # It lives for less than a second: garbage, and plugins of pydantic, are not worth looking for. Nor is the garbage that
    # Python looks for when it ends, in all that was imported.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.disable()
    status = main()
    gc.freeze()
    sys.exit(status)
