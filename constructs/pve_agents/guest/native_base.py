"""What units of an agent need of the system: packages, a user, and a journal that does not fill the disk."""

from __future__ import annotations

from pve_agents.guest.apt import install_packages
from pve_agents.guest.progress import fail
from pve_agents.guest.work import STATE, NativeWork

__all__ = ["want_packages", "want_user"]

_ASK_SECONDS = 60
_JOURNAL = "/etc/systemd/journald.conf.d/pve-agents.conf"


def want_packages(work: NativeWork) -> None:
    """Have all packages installed."""
    work.machine.want_directory(STATE)
    if missing := _missing(work):
        install_packages(work, *missing)
        if missing := _missing(work):
            fail(
                f"apt-get says that it has installed {' '.join(missing)}, and dpkg does not: look at `dpkg -l` in the container"
            )
        work.progress.did("installed")


def _missing(work: NativeWork) -> list[str]:
    names = work.native.packages
    if not names:
        return []
    form = "${db:Status-Status} ${Package}\\n"
    said = work.machine.run("dpkg-query", "--show", f"--showformat={form}", *names, seconds=_ASK_SECONDS).out
    there = {line.partition(" ")[2] for line in said.splitlines() if line.startswith("installed ")}
    return [it for it in names if it not in there]


def want_user(work: NativeWork) -> None:
    """Have the agent's user, who is nobody else, and room for what it says."""
    native = work.native
    _want_journal(work)
    users = [line.split(":") for line in work.machine.text("/etc/passwd").splitlines()]
    if any(it[2:3] == [str(native.uid)] for it in users):
        return
    if any(it[0] == native.user for it in users):
        fail(f"the container has a user {native.user} of another number than {native.uid}: rename it, and deploy again")
    groups = [line.split(":") for line in work.machine.text("/etc/group").splitlines()]
    if not any(it[2:3] == [str(native.gid)] for it in groups):
        _run(work, "groupadd", "--gid", str(native.gid), native.user)
    options = ("--no-create-home", "--home-dir", native.home, "--shell", "/bin/bash")
    _run(work, "useradd", "--uid", str(native.uid), "--gid", str(native.gid), *options, native.user)
    work.progress.did(f"user {native.user}")


def _run(work: NativeWork, *command: str) -> None:
    ran = work.machine.run(*command, seconds=_ASK_SECONDS, joined=True)
    if not ran.ok:
        fail(f"`{command[0]}` fails in the container", work.last_line(ran.out))


def _want_journal(work: NativeWork) -> None:
    """Have the journal keep no more than it may."""
    source = f"{work.payload}/journald.conf"
    if work.machine.is_file(source) and not work.same(source, _JOURNAL):
        work.machine.want_directory(_JOURNAL.rpartition("/")[0])
        work.machine.write(_JOURNAL, work.machine.read(source) or b"")
        _run(work, "systemctl", "restart", "systemd-journald")
        work.progress.did("journal")
