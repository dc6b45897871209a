"""The virtual node's host side: root's shell on it, its commands, its files, and the insides of its containers.

What the API knows, the commands ask the API for as root@pam, so that one state is seen from both sides. The rest lies
in the node's directory: `root` plays the host's file system, `guests/<vmid>` a container's, and `host` holds the
commands and their records. Whoever runs the node need not be root, so owners, and modes of the host's directories, are
kept in `host/state.json`, all as the host sees them: 110000 is a container's user 10000.

What scripts cannot have here: a device is a plain file; a bind mount is a symbolic link, on an empty directory and in
no other mount; its `idmap` is not applied. A shell's own redirections know no other root: a script with one to an
absolute path is refused. Commands are GNU's, as on Proxmox VE.

The commands import little, because scripts start them many times.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import stat
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.scripts.fake_docker import SYSTEM_COMMANDS, System, furnish, new_system
from tests.scripts.fake_node import GUEST_COMMANDS, HOST_COMMANDS, Commands, Records, fail, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from typing import Any

    from tests.virtual_node.client import Client
    from tests.virtual_node.session import Program

SOURCE = Path(__file__).resolve().parents[2]
# Real commands that a script on the host, or in a container, may use. They write nothing but what a shell redirects.
HOST_TOOLS = ("base64", "bash", "cat", "cut", "grep", "head", "sha1sum", "sha256sum", "stty", "timeout")
GUEST_TOOLS = (
    *(
        "base64",
        "basename",
        "bash",
        "cat",
        "cmp",
        "date",
        "df",
        "dirname",
        "du",
        "env",
        "false",
        "flock",
        "grep",
        "head",
        "id",
    ),
    *("ls", "sh", "sha256sum", "sleep", "stty", "sync", "tail", "timeout", "true", "wc"),
)
DISKS = ("/mnt/pve/hdd", "/media/2tb")
# The host's ids of an unprivileged container's users (pve-container src/PVE/LXC.pm:801-802).
GUEST_IDS = range(100000, 165536)
NOBODY = 65534
READ, WRITE, SEARCH = 4, 2, 1

SHORT_IN_GUEST = ("mv", "rm", "mkdir", "chown", "stat", "touch", "env")

SSH_FAILED = 255
SSH_FLAGS_WITH_VALUE = "BbcDEeFIiJLlmOopQRSWw"

# The places in the texts for root's shell that would look at the real root: each text has one of them.
ROOT_OF_THE_LOOK = "root='' # of the file system"
WITHIN = """within() (cd -P -- "$1" && [ "$PWD" = "$1" ] && "${@:2}")"""
CONFIG_OF_A_GUARD = "$(</etc/pve/"
FILE_TEST = "[[ -d "
# What gives a token its privileges works on no file.
GIVES_PRIVILEGES = "pveum "
ASKS_THE_GUEST, LOOKS = "lxc-attach", "/etc/pve"
LEAVES_THE_GUEST = r"(?m)^[^#\n]*>\s*[\"']?/(?!dev/(?!shm/))"


class VirtualHost(Records):
    """The directories of a virtual node's host."""

    def __init__(self, directory: Path) -> None:
        """Lie in the node's `directory`."""
        self.node = directory.resolve()
        super().__init__(self.node / "host")
        self.root = self.node / "root"
        # For PATH: of the host's shell, of an operator with ssh, and of one who is root on the node itself.
        self.bin, self.ssh_bin, self.local_bin = (self.directory / name for name in ("bin", "ssh", "local"))
        self.terminals = self.directory / "terminals"
        self.sessions = self.directory / "sessions"
        self._client: Client | None = None

    def create(self, *, node: str, url: str, certificate: str) -> None:
        """Lay everything out; what an earlier run left on the disks stays."""
        import shutil  # noqa: PLC0415

        state = {"version": "6.1.10", "lxc": "6.0.5-3", "disks": DISKS, "owners": {}, "modes": {}}
        with contextlib.suppress(OSError):
            state = self.load()
        for path in (*DISKS, "/etc/pve/ha", "/dev", "/root", "/tmp"):  # noqa: S108 (below the node's own root)
            self.real(path).mkdir(parents=True, exist_ok=True)
        for leftover in (self.node / "guests", self.directory / "guest-bin"):
            shutil.rmtree(leftover, ignore_errors=True)
        from_outside = ((self.ssh_bin, ("ssh",)), (self.local_bin, ("bash",)), (self.terminals, ("terminal",)))
        for folder, names in ((self.bin, HOST_COMMANDS), *from_outside):
            for name in names:
                self.add_command(folder, name)
        link_tools(self.bin, HOST_TOOLS)
        link_tools(self.directory / "guest-tools", GUEST_TOOLS)
        self.forget()
        (self.directory / "ssh-calls").unlink(missing_ok=True)
        self.save(
            {**state, "node": node, "url": url, "certificate": certificate, "changes": 0, "mounts": {}, "systems": {}}
        )

    def add_command(self, folder: Path, name: str, shown: str = "") -> None:
        """Put a stand-in into a directory of PATH."""
        from tests.virtual_node.session import write_stand_in  # noqa: PLC0415

        folder.mkdir(parents=True, exist_ok=True)
        python = f"exec {shlex.quote(sys.executable)} -P -S -c 'from tests.virtual_node.host import main; main()'"
        write_stand_in(
            folder / name,
            [str(self.node), shown or name],
            otherwise=f'PYTHONPATH={shlex.quote(str(SOURCE))} {python} "${{words[@]}}"',
            sessions=self.sessions,
            # Tests have one process for every login.
            port=os.environ.get("VIRTUAL_NODE_DOOR", "")
            if folder in (self.ssh_bin, self.local_bin, self.terminals)
            else "",
        )

    def real(self, path: str) -> Path:
        """Where a path of the host really is."""
        return self._inside(self.root, path)

    def volume_path(self, source: str) -> str:
        """Path on the host of what a mount shows: of a directory volume its own, of an image's files a made-up one."""
        if source.startswith("/"):
            return source
        store, _, name = source.partition(":")
        return f"/mnt/pve/{store}/images/{name}" if ".subvol" in name else f"/.volumes/{store}/{name}"

    def make_volume(self, volume: str, _size: int) -> None:
        """Make one, and give it to the root of unprivileged containers (pve-container src/PVE/LXC.pm, create_disks)."""
        place = self.real(self.volume_path(volume))
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        with self.changing() as state:
            state["owners"][self._key(volume)] = f"{GUEST_IDS.start}:{GUEST_IDS.start}"

    def free_volume(self, volume: str) -> None:
        """Remove one, with all that is in it."""
        import shutil  # noqa: PLC0415

        shutil.rmtree(self.real(self.volume_path(volume)), ignore_errors=True)
        with self.changing() as state:
            forget_owners(state, self._key(volume))

    def _key(self, volume: str) -> str:
        return str(self.real(self.volume_path(volume)).relative_to(self.node))

    def guest(self, vmid: str) -> Path:
        """Where a container's root directory really is."""
        return self.node / "guests" / vmid

    def in_guest(self, vmid: str, path: str) -> Path:
        """Where a path of a container really is; one that is real already stays."""
        return Path(path) if path.startswith(f"{self.node}/") else self._inside(self.guest(vmid), path)

    def guest_path(self, vmid: str) -> str:
        """PATH in a container."""
        if not self._guest_bin(vmid).exists():
            for name in (*GUEST_COMMANDS, "chmod", "cp", "test", "touch", *SYSTEM_COMMANDS):
                self.add_guest_command(vmid, name)
        return f"{self._guest_bin(vmid)}:{self.directory / 'guest-tools'}"

    def add_guest_command(self, vmid: str, name: str) -> None:
        """Put a stand-in into a container's PATH."""
        self.add_command(self._guest_bin(vmid), name, f"guest:{vmid}:{name}")

    def _guest_bin(self, vmid: str) -> Path:
        return self.directory / "guest-bin" / vmid

    def make_guest(self, vmid: str, state: dict[str, Any]) -> None:
        """Give a new container a minimal Debian; one of the same id may have been here before."""
        import shutil  # noqa: PLC0415

        state["mounts"].pop(vmid, None)
        state["systems"][vmid] = new_system()
        forget_owners(state, f"guests/{vmid}")
        shutil.rmtree(self._guest_bin(vmid), ignore_errors=True)
        for name in ("etc/apt/sources.list.d", "opt", "root", "run", "srv", "tmp", "var/lib"):
            (self.guest(vmid) / name).mkdir(parents=True)
        furnish(self.guest(vmid))

    def _inside(self, root: Path, path: str) -> Path:
        place = root / os.path.normpath(f"/{path}").lstrip("/")
        if not f"{self.resolved(place)}/".startswith(f"{self.node}/"):
            raise ValueError(f"virtual node: {path} leads out of it")
        return place

    def resolved(self, place: Path) -> str:
        """What `os.path.realpath` says, which looks again and again at what is above the node."""
        path, here = str(place), str(self.node)
        if path == here or not path.startswith(f"{here}/") or "/../" in f"{path}/":
            return os.path.realpath(path)
        for name in path[len(here) + 1 :].split("/"):
            here = f"{here}/{name}"
            if os.path.islink(here):  # noqa: PTH114 (a path would take as long as the rest)
                return os.path.realpath(path)
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes state.json."""
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Change state.json."""
        with self.locked():
            state = self.load()
            yield state
            self.save(state)

    def client(self) -> Client:
        """root@pam at the node's API: one login for this process and its forks."""
        from tests.virtual_node.client import ROOT, Client  # noqa: PLC0415 (the file commands need no TLS)

        if self._client is None:
            state = self.load()
            password = (self.node / "root-password").read_text()
            self._client = Client(state["url"], login=(ROOT, password), ca_file=state["certificate"])
        return self._client

    def shell(self, script: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a text of pve_agents.host's in a shell of root's on the host."""
        import subprocess  # noqa: PLC0415

        return subprocess.run([str(self.local_bin / "bash"), "-s"], input=script, check=False, text=True, **options)

    def log_in(self, arguments: list[str], script: str | None = None) -> int:
        """Run root's shell on the host, in a session of its own: sudden death takes no more than that along."""
        from tests.virtual_node import pct, session  # noqa: F401, PLC0415 (what the session's commands need)

        def command(words: Sequence[str]) -> int | Program:
            # The same object, which has logged in to the API.
            return outcome(lambda: _command(self, words[1], list(words[2:])))

        return session.run(
            command, is_short, [str(self.bin / "bash"), *arguments], script, sessions=self.sessions, **self._login()
        )

    def terminal(self, vmid: str = "") -> list[str]:
        """What runs a shell of root's in a terminal: of the host, or of a container."""
        return [str(self.terminals / "terminal"), vmid]

    def in_terminal(self, vmid: str) -> int:
        """Be that shell, below a server for its commands, in a session whose terminal is standard input's."""
        # Behind a door, it leads one already.
        with contextlib.suppress(PermissionError):
            os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        # Its own, whatever that of who has started the node is.
        os.umask(0o022)
        from tests.virtual_node import pct, session  # noqa: F401, PLC0415 (what the session's commands need)

        def command(words: Sequence[str]) -> int | Program:
            return outcome(lambda: _command(self, words[1], list(words[2:])))

        if vmid:
            _, name = _terminal_of(self, vmid)
            path = f"{self._guest_bin(vmid)}-terminal:{self.guest_path(vmid)}"
            login: dict[str, Any] = {"env": {"PATH": path, "HOSTNAME": name}, "cwd": self.guest(vmid)}
        else:
            login = self._login()
            name = login["env"]["HOSTNAME"]
            # Its `bash -s` is the one that knows where the virtual root is.
            login["env"]["PATH"] = f"{self.local_bin}:{self.bin}"
        login["env"] |= {"HOME": "/root", "LANG": "C.UTF-8", "TERM": os.environ["TERM"], "PS1": f"root@{name}:~# "}
        shell = [str(self.bin / "bash"), "--norc", "--noprofile", "-i"]
        return session.below_a_server(command, is_short, shell, stdin=0, sessions=self.sessions, **login)

    def _login(self) -> dict[str, Any]:
        self.show_etc_pve()
        environment = {
            "PATH": str(self.bin),
            "HOSTNAME": self.load()["node"],
            "HOME": "/root",
            "USER": "root",
            "LANG": "C.UTF-8",
        }
        return {"env": environment, "cwd": self.root}

    def show_etc_pve(self) -> None:
        """Show which guests there are, and which of them HA manages, where the cluster's file system shows it."""
        guests = self.client().get("/cluster/resources", type="vm")
        folders = {"lxc": "lxc", "qemu": "qemu-server"}
        kinds = {"lxc": "ct", "qemu": "vm"}
        managed = [f"{kinds[guest['type']]}: {guest['vmid']}\n" for guest in guests if guest.get("hastate")]
        files = {self.real("/etc/pve/ha/resources.cfg"): "".join(managed)}
        for guest in guests:
            name = f"/etc/pve/nodes/{guest['node']}/{folders[guest['type']]}/{guest['vmid']}.conf"
            files[self.real(name)] = self._config_file(guest) if guest["type"] == "lxc" else ""
        with self.locked():
            # Others may look at the same time: no file is gone, or half of one, for a moment.
            for file in set(self.real("/etc/pve/nodes").glob("*/*/*.conf")) - files.keys():
                file.unlink()
            for file, text in files.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                beside = file.with_suffix(".new")
                beside.write_text(text)
                beside.replace(file)

    def _config_file(self, guest: dict[str, Any]) -> str:
        """A container's file, with what waits for its next start."""
        from tests.virtual_node.pct import format_config  # noqa: PLC0415

        lxc = f"/nodes/{guest['node']}/lxc/{guest['vmid']}"
        running = self.client().get(f"{lxc}/config", current=1)
        pending = self.client().get(f"{lxc}/pending")
        text = format_config(running)
        waiting = {item["key"]: item["pending"] for item in pending if "pending" in item}
        leaving = [item["key"] for item in pending if item.get("delete")]
        if waiting or leaving:
            text += "\n[pve:pending]\n" + (f"delete: {','.join(leaving)}\n" if leaving else "") + format_config(waiting)
        return text


def _terminal_of(host: VirtualHost, vmid: str) -> tuple[Host, str]:
    """A running container, mounted and with the commands that only its terminal needs; and its name."""
    machine = Host(host, "lxc-attach")
    machine.api = host.client()
    machine.lxc = f"/nodes/{machine.state['node']}/lxc/{vmid}"
    machine._need_running(vmid, f"lxc-attach: {vmid}: Failed to get init pid")
    config = machine.api.get(f"{machine.lxc}/config", current=1)
    folder = Path(f"{host._guest_bin(vmid)}-terminal")
    if not folder.exists():
        # What starts a command there without anything of the environment, on the container's own files.
        host.add_command(folder, "env", f"guest:{vmid}:env")
    return machine, str(config["hostname"])


def on_virtual_root(script: str, root: Path) -> str:
    """A text for root's shell with the places that know only the real root led to another one."""
    is_known = any(place in script for place in (ROOT_OF_THE_LOOK, WITHIN, GIVES_PRIVILEGES))
    if not is_known and (ASKS_THE_GUEST not in script or LOOKS in script):
        raise ValueError(
            "virtual node: bash -s is for the texts of pve_agents.host, and this is none; one may have been rewritten"
        )
    quoted = shlex.quote(str(root))
    led = f'within() (cd -P -- {quoted}"$1" && [ "$PWD" = {quoted}"$1" ] && "${{@:2}}")'
    script = script.replace(ROOT_OF_THE_LOOK, f"root={quoted} # of the file system").replace(WITHIN, led)
    return script.replace(CONFIG_OF_A_GUARD, f"$(<{quoted}/etc/pve/").replace(FILE_TEST, f"[[ -d {quoted}")


def link_tools(folder: Path, names: tuple[str, ...]) -> None:
    """Put real commands into a directory of PATH."""
    import shutil  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = shutil.which(name)
        if path and not (folder / name).exists():
            (folder / name).symlink_to(path)


class Machine(Commands):
    """The commands of the host or of a container, over files whose owners only the state knows."""

    def __init__(self, host: VirtualHost, name: str) -> None:
        super().__init__(host, name)
        self.host = host
        self.held = contextlib.ExitStack()
        self.holding = False

    def real(self, path: str) -> Path:
        return self.host.real(path)

    def place(self, path: str) -> Path:
        return self.real(path)

    def change(self, arguments: list[str]) -> None:
        self.hold()
        super().change(arguments)

    def hold(self) -> None:
        """Let nobody else change the state until the command's end."""
        if not self.holding:
            self.held.enter_context(self.host.locked())
            self.holding = True

    def die_if(self, when: str) -> None:
        if self.state.get("kill_at") == self.state["changes"] and self.state.get("kill_when") == when:
            # `timeout` makes a group of its own in the session.
            for group in (os.getsid(0), os.getpgrp()):
                os.killpg(group, signal.SIGKILL)

    def key(self, place: Path) -> str:
        return os.path.relpath(self.host.resolved(place), self.host.node)

    def ids(self, place: Path) -> tuple[int, int]:
        """Owner and group of a file, as the host sees them."""
        key = self.key(place)
        owner = self.state["owners"].get(key, "100000:100000" if key.startswith("guests/") else "0:0")
        uid, gid = owner.split(":")
        return int(uid), int(gid)

    def bits(self, place: Path) -> int:
        """The permissions of a file."""
        found = stat.S_IMODE(place.stat().st_mode)
        return int(self.state["modes"].get(self.key(place), f"{found:o}"), 8)

    def mode(self, path: str) -> int:
        return self.bits(self.real(path))

    def finish(self) -> int:
        self.host.save(self.state)
        self.done()
        return 0


class Host(Machine):
    """The commands of the host."""

    def real(self, path: str) -> Path:
        # The look names paths as they really are; and a command that runs within a directory names that.
        return Path(path).absolute() if path == "." or path.startswith(f"{self.host.root}/") else self.host.real(path)

    def shown(self, arguments: list[str]) -> list[str]:
        """Arguments as the node itself would see them; what a hash is, no test can know."""
        words = [str(self.real(word)).replace(str(self.host.root), "") if word == "." else word for word in arguments]
        return ["…" if before == "--digest" else word for before, word in zip(["", *words], words, strict=False)]

    def change(self, arguments: list[str]) -> None:
        super().change(self.shown(arguments))

    def stat(self, arguments: list[str]) -> int:
        """Know `stat -c FORM -- PATH` and `stat --printf FORM -- PATH...`, with what the look and the guards ask for."""
        form, names = (arguments[1] + "\n" if arguments[0] == "-c" else arguments[1]), arguments[3:]
        status = 0
        for name in names:
            path = self.real(name)
            if path.is_symlink() or path.exists():
                values = {"%n": name, **self._seen(path)}
                print(re.sub(r"%.", lambda found: values[found[0]], form).replace("\\0", "\0"), end="")  # noqa: B023
            else:
                print(f"stat: cannot statx '{name}': No such file or directory", file=sys.stderr)
                status = 1
        return status

    def _seen(self, path: Path) -> dict[str, str]:
        shown = str(path).replace(str(self.host.root), "", 1) or "/"
        is_device = shown.startswith("/dev/") and path.is_file()
        kinds = [
            (path.is_symlink(), "symbolic link"),
            (path.is_dir(), "directory"),
            (is_device, "character special file"),
        ]
        uid, gid = self.ids(path)
        return {
            "%u": str(uid),
            "%g": str(gid),
            "%a": f"{self.bits(path):o}",
            "%A": stat.filemode(stat.S_IFMT(path.lstat().st_mode) | self.bits(path)),
            "%m": next((disk for disk in self.state["disks"] if f"{shown}/".startswith(f"{disk}/")), "/"),
            "%F": next((kind for holds, kind in kinds if holds), "regular file"),
        }

    def owner(self, path: str) -> str:
        uid, gid = self.ids(self.real(path))
        return f"{uid}:{gid}"

    def mkdir(self, arguments: list[str]) -> int:
        self.change(arguments)
        place = self.real(arguments[-1])
        place.mkdir()
        if "-m" in arguments:
            self.state["modes"][self.key(place)] = arguments[arguments.index("-m") + 1]
        return self.finish()

    def rmdir(self, arguments: list[str]) -> int:
        self.change(arguments)
        self.real(arguments[-1]).rmdir()
        return self.finish()

    def chown(self, arguments: list[str]) -> int:
        self.change(arguments)
        self.state["owners"][self.key(self.real(arguments[-1]))] = arguments[-2]
        return self.finish()

    def chmod(self, arguments: list[str]) -> int:
        self.change(arguments)
        self.state["modes"][self.key(self.real(arguments[-1]))] = arguments[-2]
        return self.finish()

    # pct --------------------------------------------------------------------------------------------------------

    def pct(self, arguments: list[str]) -> int | Program:
        from tests.virtual_node.client import HTTP_SERVER_ERROR, ApiError  # noqa: PLC0415

        commands: dict[str, Callable[[str, list[str]], int | Program]] = {
            "status": self._status,
            "config": self._config,
            "set": self._set,
            "exec": self._exec,
            "push": self._push,
            "reboot": self._power,
            "start": self._power,
            "stop": self._power,
        }
        if len(arguments) < 2 or arguments[0] not in commands:
            fail(f"ERROR: unknown command 'pct {' '.join(arguments)}'")
        self.arguments = arguments
        self.api = self.host.client()
        self.lxc = f"/nodes/{self.state['node']}/lxc/{arguments[1]}"
        try:
            return commands[arguments[0]](arguments[1], arguments[2:])
        except ApiError as error:
            fail(error.message if error.code >= HTTP_SERVER_ERROR else f"{error.code} {error.message}")

    def lxc_info(self, arguments: list[str]) -> int:
        """`lxc-info -n VMID -s -H`: the state of a container of this node."""
        from tests.virtual_node.client import ApiError  # noqa: PLC0415

        self.lxc = f"/nodes/{self.state['node']}/lxc/{arguments[1]}"
        try:
            status = self.host.client().get(f"{self.lxc}/status/current")["status"]
        except ApiError:
            fail(f"{arguments[1]} doesn't exist")
        print(status.upper())
        return 0

    def lxc_attach(self, arguments: list[str]) -> int | Program:
        """`lxc-attach -n VMID --clear-env -- COMMAND...`: what `pct exec` does, without Perl."""
        self.api = self.host.client()
        _, vmid, _, _, *words = arguments
        self.lxc = f"/nodes/{self.state['node']}/lxc/{vmid}"
        return self._exec(vmid, ["--keep-env", "0", "--", *words])

    def _status(self, _: str, __: list[str]) -> int:
        print(f"status: {self.api.get(f'{self.lxc}/status/current')['status']}")
        return 0

    def _config(self, _: str, rest: list[str]) -> int:
        from tests.virtual_node.pct import format_config  # noqa: PLC0415

        print(format_config(self.api.get(f"{self.lxc}/config", current=int("--current" in rest))), end="")
        return 0

    def _set(self, vmid: str, rest: list[str]) -> int:
        options = {name.lstrip("-"): value for name, value in zip(rest[::2], rest[1::2], strict=True)}
        file = self.host.real(f"/etc/pve/nodes/{self.state['node']}/lxc/{vmid}.conf")
        # The API has a hash of its own for it, which on a real node is that of the file.
        if options.get("digest") == hashlib.sha1(file.read_bytes()).hexdigest():  # noqa: S324
            del options["digest"]
        self.change(self.arguments)
        self.api.request("PUT", f"{self.lxc}/config", options)
        return self.finish()

    def _power(self, _: str, rest: list[str]) -> int:
        options = {name.lstrip("-"): value for name, value in zip(rest[::2], rest[1::2], strict=True)}
        self.change(self.arguments)
        self.api.wait(self.api.request("POST", f"{self.lxc}/status/{self.arguments[0]}", options))
        return self.finish()

    def _need_running(self, vmid: str, message: str) -> None:
        if self.api.get(f"{self.lxc}/status/current")["status"] != "running":
            fail(message)
        self._mount(vmid, self.api.get(f"{self.lxc}/config", current=1))

    def _push(self, vmid: str, rest: list[str]) -> int:
        self._need_running(vmid, "can only push files to a running CT")
        source, target, *options = rest
        values = dict(zip(options[::2], options[1::2], strict=True))
        self.change(self.arguments)
        place = self.host.in_guest(vmid, target)
        try:
            content = b"" if source == os.devnull else self.real(source).read_bytes()
        except OSError as error:
            return self._push_failed(f"failed to open {source} for reading: {error.strerror}")
        try:
            place.write_bytes(content)
        except OSError as error:
            return self._push_failed(f"failed to create file: {target}: {error.strerror}")
        if perms := values.get("--perms"):
            place.chmod(int(perms, 8))
        uid, gid = (int(values.get(name, "0")) + GUEST_IDS.start for name in ("--user", "--group"))
        self.state["owners"][self.key(place)] = f"{uid}:{gid}"
        self.api.request("POST", f"{self.lxc}/push_file")
        return self.finish()

    def _push_failed(self, why: str) -> int:
        # The real one ends well all the same: only its task has failed.
        self.api.request("POST", f"{self.lxc}/push_file", {"why": why})
        print(why, file=sys.stderr)
        return self.finish()

    def _exec(self, vmid: str, rest: list[str]) -> int | Program:
        self._need_running(vmid, f"container '{vmid}' not running!")
        keep = True
        while rest and rest[0].startswith("-"):
            option, *rest = rest
            if option == "--":
                break
            if option != "--keep-env" or not rest:
                fail(f"Unknown option: {option}")
            keep, rest = rest[0] == "1", rest[1:]
        if not rest:
            fail("400 not enough arguments")
        path = self.host.guest_path(vmid)
        words = [f"PATH={path}" if word.startswith("PATH=") else word for word in rest]
        words = [str(self.host.in_guest(vmid, word)) if word.startswith("/") else word for word in words]
        for word in words:
            if word.startswith("/"):
                _refuse_leaving(Path(word))
        environment = {**(os.environ if keep else {}), "PATH": path}
        from tests.virtual_node.session import Program  # noqa: PLC0415

        return Program(words, environment, self.host.guest(vmid), f"lxc-attach: {vmid}: {rest[0]}")

    def _mount(self, vmid: str, config: dict[str, Any]) -> None:
        """Show in a container's directory what the running one has mounted."""
        guest = self.host.guest(vmid)
        wanted = {}
        for key, value in config.items():
            if re.fullmatch(r"mp\d+", key):
                source, *words = value.split(",")
                options = dict(word.split("=", 1) for word in words)
                wanted[os.path.normpath(f"/{options['mp']}")] = [self.host.volume_path(source), options.get("ro", "0")]
        with self.host.changing() as state:
            if not guest.exists():
                self.host.make_guest(vmid, state)
            if state["mounts"].get(vmid, {}) != wanted:
                for path in state["mounts"].get(vmid, {}):
                    if (place := self.host.in_guest(vmid, path)).is_symlink():
                        place.unlink()
                        place.mkdir()
                for path, (source, _) in sorted(wanted.items()):
                    self._bind(vmid, path, source)
                self._show_mounts(vmid, wanted)
                state["mounts"][vmid] = wanted
            self.state = state

    def _show_mounts(self, vmid: str, wanted: dict[str, list[str]]) -> None:
        """Let the container's kernel say what is mounted."""
        lines = ["1 0 0:1 / / rw - ext4 /dev/root rw"]
        places = (path.lstrip("/") for path in wanted)
        lines += [f"{number} 1 0:{number} / /{it} rw - ext4 /dev/x rw" for number, it in enumerate(places, start=2)]
        file = self.host.in_guest(vmid, "/proc/self/mountinfo")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines))

    def _bind(self, vmid: str, path: str, source: str) -> None:
        place = self.host.in_guest(vmid, path)
        if not Path(os.path.realpath(place)).is_relative_to(self.host.guest(vmid)):
            fail(f"virtual node: {path} of container {vmid} lies in another mount")
        place.mkdir(parents=True, exist_ok=True)
        place.rmdir()
        place.symlink_to(self.real(source))


class Guest(Machine):
    """The commands inside a container, for root or for the user that setpriv has named."""

    def __init__(self, host: VirtualHost, vmid: str, name: str) -> None:
        super().__init__(host, f"guest-{name}")
        self.vmid = vmid
        self.command = name
        uid, gid = os.environ.get("GUEST_USER", "0:0").split(":")
        self.user = (int(uid) + GUEST_IDS.start, int(gid) + GUEST_IDS.start)

    def real(self, path: str) -> Path:
        return self.host.in_guest(self.vmid, path) if path.startswith("/") else Path(path).absolute()

    def owner(self, path: str) -> str:
        return ":".join(str(it - GUEST_IDS.start if it in GUEST_IDS else NOBODY) for it in self.ids(self.real(path)))

    def run(self, arguments: list[str]) -> int:
        commands: dict[str, Callable[[list[str]], int]] = {
            "stat": self.stat,
            "setpriv": self._setpriv,
            "test": self._test,
            "chown": self._chown,
            "touch": self._touch,
            "cp": self._copy,
            "chmod": self._real_command,
        }
        if self.command in commands:
            return commands[self.command](arguments)
        if self.command in GUEST_COMMANDS:
            return self._real_command(arguments)
        return System(self, self.vmid).run(self.command, arguments)

    def change(self, arguments: list[str]) -> None:
        super().change([word.replace(str(self.host.guest(self.vmid)), "") for word in arguments])

    def provide(self, name: str) -> None:
        self.host.add_guest_command(self.vmid, name)

    def keep(self) -> None:
        self.hold()
        self.host.save(self.state)

    def be(self, user: str, command: str, arguments: list[str]) -> int:
        uid, gid = user.split(":")
        self.command = command
        self.user = (int(uid) + GUEST_IDS.start, int(gid) + GUEST_IDS.start)
        return self.run(arguments)

    def _setpriv(self, arguments: list[str]) -> int:
        """Know `--reuid UID --regid GID --clear-groups [--] COMMAND...`, and nothing else."""
        match arguments:
            case ["--reuid", uid, "--regid", gid, "--clear-groups", *command]:
                command = command[command[:1] == ["--"] :]
                if command[0] == "test":
                    # The usual case, without another start of Python.
                    self.command = "test"
                    self.user = (int(uid) + GUEST_IDS.start, int(gid) + GUEST_IDS.start)
                    return self._test(command[1:])
                os.environ["GUEST_USER"] = f"{uid}:{gid}"
                os.execvp(command[0], command)  # noqa: S606
        return fail(f"setpriv: the virtual node does not know {shlex.join(arguments)}")

    def _test(self, arguments: list[str]) -> int:
        match arguments:
            case ["-r" | "-w" | "-x" as flag, path]:
                bit = {"-r": READ, "-w": WRITE, "-x": SEARCH}[flag]
                return 0 if self.real(path).exists() and self._allowed(self.real(path), bit) else 1
        return self._spawn(arguments)

    def _chown(self, arguments: list[str]) -> int:
        self.change(arguments)
        options = [word for word in arguments if word.startswith("-")]
        owner, *paths = (word for word in arguments if not word.startswith("-"))
        uid, gid = (int(number) + GUEST_IDS.start for number in owner.split(":"))
        of = [int(word.removeprefix("--from=")) + GUEST_IDS.start for word in options if word.startswith("--from=")]
        for place in (self.real(path) for path in paths):
            below = place.rglob("*") if "-R" in options and not place.is_symlink() else ()
            for it in (place, *below):
                if not of or self.ids(it)[0] in of:
                    self.state["owners"][self.key(it)] = f"{uid}:{gid}"
        return self.finish()

    def _touch(self, arguments: list[str]) -> int:
        place = self.real(arguments[-1])
        if not self._allowed(place if place.exists() else place.parent, WRITE):
            fail(f"touch: cannot touch '{arguments[-1]}': Permission denied")
        self.change(arguments)
        if not place.exists():
            self._give(place)
        place.touch()
        return self.finish()

    def _copy(self, arguments: list[str]) -> int:
        """Know `cp -a … -T -- DIRECTORY NEW`: owners come along."""
        source, target = (self.real(word) for word in arguments[-2:])
        self.change(arguments)
        System(self, self.vmid).trouble("cp")
        if status := self._spawn(arguments):
            return status
        old, new = (os.path.relpath(place, self.host.node) for place in (source, target))
        owners = self.state["owners"]
        for key in [key for key in owners if f"{key}/".startswith(f"{old}/")]:
            owners[new + key.removeprefix(old)] = owners[key]
        return self.finish()

    def _real_command(self, arguments: list[str]) -> int:
        """mkdir, mv, rm, tar: done by the real one, and remembered."""
        places = [self.real(word) for word in arguments if not word.startswith("-")]
        if self.command == "mkdir":
            return self._mkdir(arguments, places[-1])
        if self.command == "tar" and "-chf" in arguments:
            return self._spawn(arguments)
        self.change(arguments)
        if status := self._spawn(arguments):
            return status
        if self.command == "rm":
            for place in places:
                forget_owners(self.state, os.path.relpath(place, self.host.node))
        elif self.command == "mv":
            source, target = (os.path.relpath(place, self.host.node) for place in places[-2:])
            forget_owners(self.state, target)
            for key in [key for key in self.state["owners"] if f"{key}/".startswith(f"{source}/")]:
                self.state["owners"][target + key.removeprefix(source)] = self.state["owners"].pop(key)
            if target not in self.state["owners"]:
                self._give(places[-1])
        return self.finish()

    def _mkdir(self, arguments: list[str], place: Path) -> int:
        fresh = [it for it in (place, *place.parents) if not it.exists()]
        self.change(arguments)
        if status := self._spawn(arguments):
            return status
        for directory in fresh:
            self._give(directory)
        return self.finish()

    def _spawn(self, arguments: list[str]) -> int:
        words = [str(self.real(word)) if word.startswith("/") else word for word in arguments]
        sys.stdout.flush()
        return os.spawnvpe(os.P_WAIT, self.command, [self.command, *words], {**os.environ, "PATH": os.defpath})  # noqa: S606

    def _give(self, place: Path) -> None:
        """A new file belongs to whoever makes it."""
        self.state["owners"][self.key(place)] = "{}:{}".format(*self.user)

    def _allowed(self, place: Path, bit: int) -> bool:
        """May the user do it? Each directory above must let him through, and a mount may be read-only."""
        guest = self.host.guest(self.vmid)
        if bit == WRITE:
            for source, read_only in self.state["mounts"].get(self.vmid, {}).values():
                if read_only == "1" and f"{self.key(place)}/".startswith(f"root{source}/"):
                    return False
        above = [parent for parent in place.parents if parent.is_relative_to(guest)]
        return all(self._permits(parent, SEARCH) for parent in above) and self._permits(place, bit)

    def _permits(self, place: Path, bit: int) -> bool:
        uid, gid = self.user
        owner, group = self.ids(place)
        if uid == GUEST_IDS.start and owner in GUEST_IDS and group in GUEST_IDS:
            return bit != SEARCH or place.is_dir() or bool(self.bits(place) & 0o111)
        shift = 6 if uid == owner else 3 if gid == group else 0
        return bool(self.bits(place) >> shift & bit)


def forget_owners(state: dict[str, Any], prefix: str) -> None:
    """What is not there any more belongs to nobody."""
    for name in ("owners", "modes"):
        state[name] = {key: it for key, it in state[name].items() if not f"{key}/".startswith(f"{prefix}/")}


def _refuse_leaving(script: Path) -> None:
    if script.is_file() and script.open("rb").read(2) == b"#!":
        found = re.search(LEAVES_THE_GUEST, script.read_text(errors="replace"))
        if found:
            fail(f"virtual node: {script.name} would write to this machine's own files: {found[0].strip()}")


# The operator's ways to the host ------------------------------------------------------------------------------------


def ssh(host: VirtualHost, arguments: list[str]) -> int:
    """What ssh does with these arguments, on a network whose only host is the node."""
    with (host.directory / "ssh-calls").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    login, words = parse_ssh(arguments)
    # The host's own, whatever the operator's is.
    os.umask(0o022)
    user, _, name = login.rpartition("@")
    if name not in ("127.0.0.1", "::1", "localhost", host.load()["node"]):
        print(f"ssh: Could not resolve hostname {name}: Name or service not known", file=sys.stderr)
        return SSH_FAILED
    if user != "root":
        print(f"{login}: Permission denied (publickey,password).", file=sys.stderr)
        return SSH_FAILED
    if words == ["bash", "-s"]:
        status = host.log_in(["-s"], on_virtual_root(sys.stdin.read(), host.root))
    else:
        # Restricted: no redirection, and no command but those of PATH.
        status = host.log_in(["-r", *(["-c", " ".join(words)] if words else [])])
    # A command that a signal ends has no exit status that ssh could pass on.
    return status if status >= 0 else SSH_FAILED


def parse_ssh(arguments: list[str]) -> tuple[str, list[str]]:
    """The destination and the command, by ssh's own rules: options may stand on both sides of the destination."""
    words, login, user = list(arguments), "", ""
    while words:
        word = words.pop(0)
        if word == "--" or not word.startswith("-") or word == "-":
            if word == "--":
                if not words:
                    break
                word = words.pop(0)
            if login:
                words.insert(0, word)
                break
            login = word
            continue
        for index, letter in enumerate(word[1:], start=2):
            if letter in SSH_FLAGS_WITH_VALUE:
                value = word[index:] or (words.pop(0) if words else "")
                user = value if letter == "l" else user
                break
    if not login:
        raise ValueError("usage: ssh [options] destination [command]")
    login = login.removeprefix("ssh://")
    return login if "@" in login or not user else f"{user}@{login}", words


def local(host: VirtualHost, arguments: list[str]) -> int:
    """The bash of an operator who is root on the node: only `bash -s` is its shell, the rest is this machine's."""
    if arguments != ["-s"]:
        bash = host.bin / "bash"
        os.execv(bash, ["bash", *arguments])  # noqa: S606
    status = host.log_in(["-s"], on_virtual_root(sys.stdin.read(), host.root))
    return status if status >= 0 else 128 - status


def main() -> None:
    """Be the command that the arguments name: `DIRECTORY NAME ARGUMENT...`."""
    os._exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run the command that the words name, in this process."""
    directory, name, *arguments = words
    found = outcome(lambda: _command(VirtualHost(Path(directory)), name, arguments))
    return found if isinstance(found, int) else found.run()


def is_short(words: Sequence[str]) -> bool:
    """Whether the command of these words waits for nothing that has to ask for another one."""
    name = words[1]
    return name in HOST_COMMANDS or name.rpartition(":")[2] in SHORT_IN_GUEST


def door(number: int) -> None:
    """Be the process behind a socket that becomes what is asked of it: every ssh to a virtual node, for instance."""
    sys.path.append(str(SOURCE / "constructs"))
    from tests.virtual_node import client, inside, pct, session  # noqa: F401, PLC0415 (what those commands need)

    session.open_door(run, number, killed=killed)


def killed(words: Sequence[str], status: int) -> int:
    """What an operator sees of a session that was killed: a signal has no exit status that ssh could pass on."""
    if words[1] == "ssh":
        return SSH_FAILED
    return 128 - status if words[1:] == ["bash", "-s"] else status


def _command(host: VirtualHost, name: str, arguments: list[str]) -> int | Program:
    try:
        return _run(host, name, arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return SSH_FAILED
    except OSError as error:
        print(f"{name}: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1


def _python(host: VirtualHost, vmid: str, arguments: list[str]) -> int:
    """What a launcher asks of Python: whether it is new enough, and the program of its payload."""
    match arguments:
        case ["-I", "-c", _]:
            return 0
        case ["-I", "-B", "-X", "utf8", *words]:
            # Commands run without site packages, and so without ours.
            if (library := str(SOURCE / "constructs")) not in sys.path:
                sys.path.append(library)
            # It knows this module.
            from tests.virtual_node.inside import run_program  # noqa: PLC0415

            return run_program(host, vmid, words)
    return fail(f"python3: the virtual node does not know {shlex.join(arguments)}")


def _env(host: VirtualHost, vmid: str, arguments: list[str]) -> int | Program:
    return _terminal_of(host, vmid)[0]._exec(vmid, ["--keep-env", "0", "--", "env", *arguments])


def _terminal(host: VirtualHost, arguments: list[str]) -> int:
    return host.in_terminal(*arguments)


_FROM_OUTSIDE = {"ssh": ssh, "bash": local, "terminal": _terminal}
# Commands of a container that are none of its files.
_OTHERS = {"env": _env, "python3": _python}


def _run(host: VirtualHost, name: str, arguments: list[str]) -> int | Program:
    if name in _FROM_OUTSIDE:
        return _FROM_OUTSIDE[name](host, arguments)
    if name.startswith("guest:"):
        _, vmid, command = name.split(":")
        if command in _OTHERS:
            return _OTHERS[command](host, vmid, arguments)
        guest = Guest(host, vmid, command)
        guest.log("calls", arguments)
        with guest.held:
            return guest.run(arguments)
    machine = Host(host, name)
    machine.log("calls", arguments)
    if name == "dpkg-query":
        return machine.dpkg_query(arguments[-1])
    if name in ("pveum", "pvesh"):
        from tests.virtual_node import pveum  # noqa: PLC0415 (most logins need it not)

        run = {"pveum": pveum.pveum, "pvesh": pveum.pvesh}[name]
        return run(host.client(), arguments)
    commands = {
        "pct": machine.pct,
        "mkdir": machine.mkdir,
        "rmdir": machine.rmdir,
        "chown": machine.chown,
        "chmod": machine.chmod,
        "stat": machine.stat,
        "lxc-info": machine.lxc_info,
        "lxc-attach": machine.lxc_attach,
    }
    with machine.held:
        return commands[name](arguments)
