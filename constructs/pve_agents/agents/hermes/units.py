"""What systemd is told of Hermes, and how a release of it is made. None of it holds a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pve_agents.agents.hermes.docker import in_bytes
from pve_agents.agents.hermes.settings import DATA, Hermes, Profile
from pve_agents.guest.plan import Release, Unit
from pve_agents.settings import Agent

__all__ = [
    "PACKAGES",
    "dashboard_unit",
    "gateway_unit",
    "journal_text",
    "native_environment",
    "packages_of",
    "release_of",
    "unit_texts",
    "units_of_agent",
]

_PLACE = "/opt/hermes-agent"
_CURRENT = f"{_PLACE}/current"
_SOURCE = "https://github.com/NousResearch/hermes-agent.git"
PACKAGES = ("ca-certificates", "curl", "ffmpeg", "git", "nodejs", "procps", "python3", "python3-venv", "ripgrep")
"""What Hermes' installer wants, from Debian; a browser is for `packages`."""

_PACKAGES_OF_GIT = ("build-essential", "npm", "python3-dev", "xz-utils")
_MEBIBYTES, _MEBIBYTES_OF_GIT = 900, 3000
# One that takes longer to start is not stopped by systemd before the deploy says so.
_START_SECONDS = 300
_AGAIN, _NEVER_AGAIN = 75, 78
_POLICIES = {"unless-stopped": "always", "always": "always", "on-failure": "on-failure", "no": "no"}

# In an unprivileged container each of these was tried by its effect; docs/runtimes.md has the table, with those left out.
_SANDBOX = """\
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectClock=true
ProtectHostname=true
ProtectProc=invisible
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=true
RemoveIPC=true
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""


def units_of_agent(hermes: Hermes, agent_name: str) -> Iterator[Unit]:
    """Yield the units of all services; that of the gateway comes first in each."""
    for name, profile in hermes.services(agent_name).items():
        yield Unit(gateway_unit(name), name)
        if profile.dashboard.enabled:
            yield Unit(dashboard_unit(name), name)


def gateway_unit(service: str) -> str:
    """Return the name of the unit that runs a profile's gateway. Hermes rewrites those that have its own names."""
    return f"pve-agent-{service}"


def dashboard_unit(service: str) -> str:
    """Return the name of the unit that runs a profile's dashboard."""
    return f"pve-dashboard-{service}"


def unit_texts(
    agent: Agent, hermes: Hermes, environments: Mapping[str, Mapping[str, str]], state: str
) -> dict[str, str]:
    """Return the texts of the units by their path in the payload.

    Args:
        agent: The container.
        hermes: What runs in it.
        environments: The variables of each service, none of which is a secret.
        state: Where what is declared lies in the container.
    """
    texts = {}
    for name, profile in hermes.services(agent.name).items():
        lines = [*_common(agent, hermes, profile, environments[name], f"{state}/services/{name}/managed")]
        texts[f"units/{gateway_unit(name)}.service"] = _gateway(hermes, name, lines)
        if profile.dashboard.enabled:
            texts[f"units/{dashboard_unit(name)}.service"] = _dashboard(profile, name, lines)
    return texts


def _unit(title: str, service: list[str]) -> str:
    head = ["[Unit]", f"Description={title}", "After=network-online.target", "Wants=network-online.target"]
    # As with Docker, nobody gives up: each start has its pause.
    head.append("StartLimitIntervalSec=0")
    return "\n".join([*head, "", "[Service]", *service, "", "[Install]", "WantedBy=multi-user.target", ""])


def _gateway(hermes: Hermes, name: str, common: list[str]) -> str:
    watchdog = hermes.watchdog_seconds
    kind = ["Type=notify", "NotifyAccess=main", f"WatchdogSec={watchdog}"] if watchdog else ["Type=exec"]
    return _unit(
        f"Hermes Agent {name}",
        [
            *kind,
            f"TimeoutStartSec={_START_SECONDS}",
            f"ExecStart={_CURRENT}/bin/hermes gateway run",
            # Told so, it ends with 0; by SIGTERM with 1, which is a failure for systemd.
            f"ExecStop=-{_CURRENT}/bin/hermes gateway stop",
            "ExecReload=/bin/kill -USR1 $MAINPID",
            f"RestartForceExitStatus={_AGAIN}",
            f"RestartPreventExitStatus={_NEVER_AGAIN}",
            *common,
        ],
    )


def _dashboard(profile: Profile, name: str, common: list[str]) -> str:
    listens = f"--host {profile.dashboard.host} --port {profile.dashboard.port}"
    # Its pages came with the release: nothing is built at a start.
    start = f"ExecStart={_CURRENT}/bin/hermes dashboard {listens} --no-open --skip-build"
    return _unit(f"Dashboard of Hermes Agent {name}", ["Type=exec", start, "SuccessExitStatus=SIGTERM 143", *common])


def _common(
    agent: Agent, hermes: Hermes, profile: Profile, environment: Mapping[str, str], managed: str
) -> Iterator[str]:
    yield f"Restart={_POLICIES[hermes.restart]}"
    yield f"RestartSec={hermes.restart_sec}"
    yield "KillMode=mixed"
    yield f"TimeoutStopSec={hermes.stopping.agent}"
    yield "User=10000"
    yield "Group=10000"
    yield f"WorkingDirectory={DATA}"
    for name, value in environment.items():
        yield f"Environment={_quoted(f'{name}={value}')}"
    # Each sees its own data where the image has it, so that what is written there means the same with both runtimes.
    yield f"BindPaths={profile.data_directory}:{DATA}"
    yield f"BindReadOnlyPaths={managed}:/managed"
    writable = [mount.guest_path for mount in agent.mounts.values() if not mount.read_only]
    yield from (f"ReadWritePaths={it}" for it in (DATA, *writable))
    limits = profile.limits
    if limits.memory:
        yield f"MemoryMax={in_bytes(limits.memory)}"
    if limits.cpus:
        yield f"CPUQuota={limits.cpus * 100:g}%"
    if limits.pids:
        yield f"TasksMax={limits.pids}"
    yield from _SANDBOX.splitlines()
    if not agent.devices:
        yield "PrivateDevices=true"


def _quoted(text: str) -> str:
    """Return an assignment as systemd reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def native_environment(shared: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a unit.

    Args:
        shared: Those that Hermes gets with every runtime.
    """
    return {
        "HOME": DATA,
        "HERMES_HOME": DATA,
        "HERMES_DISABLE_LAZY_INSTALLS": "1",
        "PATH": f"{_CURRENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        **shared,
    }


def journal_text(hermes: Hermes) -> str:
    """Return what journald is told: as much is kept as Docker would keep, and 8 MiB at least, of which it makes its files."""
    size = max(in_bytes(hermes.logging.max_size), 8 * 2**20)
    most = size * max(hermes.logging.max_file, 2)
    lines = [f"SystemMaxFileSize={size}", f"SystemMaxUse={most}", f"RuntimeMaxUse={most}"]
    return "\n".join(["# Written by the deploy.", "[Journal]", *lines, ""])


# The release ----------------------------------------------------------------------------------------------------------


def release_of(hermes: Hermes) -> Release:
    """Return how the release is made: by pip, or by Hermes' own installer."""
    package = hermes.package
    commands = _by_pip(hermes) if package.version else _by_installer(hermes)
    # Wherever it keeps things, it is removed with the rest.
    proof = ("env", "HERMES_HOME={release}/.proof", "{release}/bin/hermes", "--version")
    size = _MEBIBYTES if package.version else _MEBIBYTES_OF_GIT
    return Release(package.name, _PLACE, (*commands, proof, ("rm", "-rf", "{release}/.proof")), size)


def packages_of(hermes: Hermes) -> tuple[str, ...]:
    """Return the Debian packages that it needs."""
    python = () if hermes.python == "python3" else (hermes.python, f"{hermes.python}-venv")
    of_git = () if hermes.package.version else _PACKAGES_OF_GIT
    return tuple(dict.fromkeys([*PACKAGES, *of_git, *python, *hermes.packages]))


def _by_pip(hermes: Hermes) -> list[tuple[str, ...]]:
    package = hermes.package
    extras = f"[{','.join(package.extras)}]" if package.extras else ""
    where: tuple[str, ...] = ("--index-url", package.index_url) if package.index_url else ()
    if package.find_links:
        where = ("--no-index", "--find-links", package.find_links)
    install = ("{release}/bin/python", "-m", "pip", "install", "--no-input", "--progress-bar", "off", *where)
    return [
        (hermes.python, "-m", "venv", "{release}"),
        (*install, f"hermes-agent{extras}=={package.version}"),
        # The pages of the dashboard are in the wheel.
        ("{release}/bin/python", "-c", _PAGES),
    ]


_PAGES = "import pathlib, hermes_cli; assert (pathlib.Path(hermes_cli.__file__).parent / 'web_dist' / 'index.html').is_file()"


def _by_installer(hermes: Hermes) -> list[tuple[str, ...]]:
    """Not run by any test: there is no way out to git where they run."""
    tag, code = hermes.package.name, "{release}/hermes-agent"
    # What it fetches besides must lie below the release, and be there for the agent.
    kept = ("env", "UV_PYTHON_INSTALL_DIR={release}/python", "UV_CACHE_DIR={release}/.cache")
    options = (
        "--branch",
        tag,
        "--dir",
        code,
        "--hermes-home",
        "{release}/.installer",
        "--skip-setup",
        "--skip-browser",
    )
    npm = ("npm", "--prefix", code)
    return [
        ("git", "clone", "--quiet", "--depth", "1", "--branch", tag, _SOURCE, "{release}/.source"),
        (*kept, "bash", "{release}/.source/scripts/install.sh", *options, "--non-interactive"),
        (*npm, "install", "--workspace", "web"),
        (*npm, "run", "build", "--workspace", "web"),
        ("rm", "-rf", "{release}/.source", "{release}/.cache"),
        ("ln", "-s", "hermes-agent/venv/bin", "{release}/bin"),
    ]
