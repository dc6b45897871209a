"""`host-step verify`: what the host sees for itself, what it believes of the container, and the probe in a workspace."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scripts.helpers import Operator, Run, checks, environment, script

if TYPE_CHECKING:
    from collections.abc import Callable

    OnHost = Callable[..., Run]

CANARY = "sk-canary-2f6d"
DIRECTORY = "/opt/pve-agents/hermes"
TOKEN = "0123456789abcdef"
MEND = "run `pipenv run mend hermes`"
DELIVER = "run `pipenv run cdktf deploy hermes-root`, and `pipenv run mend hermes` where that sees no change"
LOOK = "look at container 118: its load, its disk, what it said above; then verify again"
DIFF = "see what `pipenv run cdktf diff hermes` says"

# A guest whose agent writes what it should; tests exchange single words of it.
GUEST = r"""#!/bin/sh
echo "$@" >>'DIRECTORY/guest-verify'
probe='DISK/.pve-agents-probe-'$2
case $1 in
workspace-write)
  : >"$probe"
  chown 110000:110000 "$probe"
  printf 'probe\t/data\tok\t42\twritten\n'
  ;;
workspace-remove) rm -f "$probe" ;;
*)
  printf 'check\tdocker\tok\t120\tDocker 28.1.1\t\n'
  printf 'check\tmodel endpoint\tfailed\t400\tanswers 401\tgive another key\n'
  ;;
esac
"""


class Deployed:
    """An agent that was deployed as its spec wants it."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.node = operator, operator.node
        self.disk = pathlib.Path(operator.spec["mounts"][0]["volume"])
        self.disk.mkdir()
        self.disk.chmod(0o750)
        state = self.node.load()
        state["owners"][str(self.disk)] = "110000:110000"
        state["containers"]["118"]["current"].update(
            mp0=f"{self.disk},mp=/data,backup=0,replicate=0", features="keyctl=1,nesting=1"
        )
        self.node.save(state)
        self.payload = self.node.guest / DIRECTORY[1:]
        self.payload.mkdir(parents=True)
        (self.payload / ".sha256").write_text(operator.spec["payload"]["sha256"] + "\n")
        self.guest()

    def guest(self, *exchange: tuple[str, str], text: str = GUEST) -> None:
        for old, new in exchange:
            assert old in text
            text = text.replace(old, new)
        file = self.payload / "verify"
        file.write_text(text.replace("DISK", str(self.disk)).replace("DIRECTORY", str(self.node.directory)))
        file.chmod(0o755)

    def configure(self, **values: str | None) -> None:
        state = self.node.load()
        current = state["containers"]["118"]["current"]
        current.update(values)
        for key in [key for key, value in current.items() if value is None]:
            del current[key]
        self.node.save(state)

    def set(self, **values: object) -> None:
        state = self.node.load()
        state["containers"]["118"].update(values)
        self.node.save(state)

    def asked(self) -> list[str]:
        file = self.node.directory / "guest-verify"
        return file.read_text().splitlines() if file.exists() else []

    def verify(self, *arguments: str, **variables: str) -> Run:
        return self.operator.run("verify", *arguments, **variables)

    def found(self, *arguments: str) -> dict[str, tuple[str, str, str]]:
        """The last check of each name; the verification must have come to its end."""
        run = self.verify(*arguments)
        found = checks(run.stdout)
        assert run.returncode == (1 if any(status == "failed" for _, status, *_ in found) else 0), run.stderr
        assert list(self.disk.iterdir()) == []
        return {name: (status, detail, remedy) for name, status, detail, remedy in found}


@pytest.fixture
def deployed(operator: Operator) -> Deployed:
    return Deployed(operator)


# --- all of it


@pytest.mark.parametrize("transport", ["ssh", "local"])
def test_what_a_verification_says(deployed: Deployed, transport: str) -> None:
    if transport == "local" and os.geteuid() != 0:
        pytest.skip("local is for root")
    run = deployed.verify(PVE_TRANSPORT=transport, LITELLM_API_KEY=CANARY)
    assert checks(run.stdout) == [
        ("container", "ok", "running on pve1", ""),
        ("config", "ok", "mp0, features", ""),
        ("host directories", "ok", str(deployed.disk), ""),
        ("payload", "ok", DIRECTORY, ""),
        ("docker", "ok", "Docker 28.1.1", ""),
        ("model endpoint", "failed", "answers 401", "give another key"),
        ("workspace /data", "ok", f"shows in {deployed.disk} as 110000:110000", ""),
    ]
    assert run.stderr == ""
    assert run.returncode == 1
    assert "check\tmodel endpoint\tfailed\t400\tanswers 401\tgive another key\n" in run.stdout
    assert "check\tworkspace /data\tok\t42\t" in run.stdout


def test_nothing_failed_is_status_0(deployed: Deployed) -> None:
    deployed.guest(("failed", "skipped"))
    run = deployed.verify()
    assert run.returncode == 0
    assert ("model endpoint", "skipped", "answers 401", "give another key") in checks(run.stdout)


def test_a_verification_changes_nothing_but_its_probe(deployed: Deployed) -> None:
    before = deployed.node.picture()
    deployed.verify()
    after = deployed.node.picture()
    probes = {path: owner for path, owner in after["owners"].items() if ".pve-agents-probe-" in path}
    assert list(probes.values()) == ["110000:110000"]
    assert {**after, "owners": before["owners"]} == before
    assert len(deployed.node.changes()) == 2
    assert all(change.startswith("guest") and next(iter(probes)) in change for change in deployed.node.changes())


def test_a_verification_takes_no_secret(deployed: Deployed, tmp_path: pathlib.Path) -> None:
    deployed.operator.spec["secrets"]["names"].append("DASHBOARD")
    run = deployed.verify(LITELLM_API_KEY=CANARY, DASHBOARD=CANARY, PVE_READ_TOKEN=CANARY, HERMES_ENV_FILE="/nowhere")
    assert run.returncode == 1
    assert "LANG=C.UTF-8" in deployed.operator.logged("ssh-environment")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or path.is_symlink() or CANARY.encode() not in path.read_bytes(), path


def test_a_verification_needs_no_archive(deployed: Deployed) -> None:
    deployed.operator.spec["payload"]["archive"] = ""
    assert deployed.found()["payload"][0] == "ok"


def test_the_guest_is_asked_for_exactly_this(deployed: Deployed) -> None:
    deployed.found()
    everything, write, remove = deployed.asked()
    token = write.removeprefix("workspace-write ")
    assert everything == ""
    assert re.fullmatch("[0-9a-f]{16}", token)
    assert remove == f"workspace-remove {token}"
    deployed.found("--no-chat")
    everything, write, remove = deployed.asked()[3:]
    assert everything == "--no-chat"
    assert token not in write
    assert remove == write.replace("write", "remove")


def test_no_ssh_is_no_verification(deployed: Deployed) -> None:
    (deployed.operator.home / "ssh-down").touch()
    run = deployed.verify()
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr == (
        "[hermes] verify … FAILED: ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another "
        "PVE_TRANSPORT\n"
    )


def test_wrong_settings_are_no_verification(deployed: Deployed) -> None:
    run = deployed.verify(PVE_SSH="")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("[hermes] verify … FAILED: PVE_SSH is not set: ")
    deployed.operator.spec = {}
    run = deployed.verify()
    assert (run.returncode, run.stderr) == (2, "[host-step] verify … FAILED: spec.agent is missing\n")


def test_another_node_is_no_verification(deployed: Deployed) -> None:
    deployed.operator.spec["node"] = "pve2"
    run = deployed.verify()
    assert (run.returncode, run.stdout) == (3, "")
    assert "this is node pve1, and container 118 belongs to node pve2" in run.stderr


def test_an_agent_with_little_has_few_checks(deployed: Deployed) -> None:
    spec = deployed.operator.spec
    deployed.operator.spec = {key: spec[key] for key in ("agent", "vmid", "node", "hostname")}
    assert deployed.found() == {"container": ("ok", "running on pve1", "")}


# --- the container


def test_a_stopped_container(deployed: Deployed) -> None:
    deployed.set(running=False)
    stopped = ("skipped", "container 118 is stopped", "")
    assert deployed.found() == {
        "container": ("failed", "container 118 is stopped", "run `pct start 118` on pve1"),
        "config": ("ok", "mp0, features", ""),
        "host directories": ("ok", str(deployed.disk), ""),
        "payload": stopped,
        "guest checks": stopped,
        "workspace /data": stopped,
    }
    assert deployed.asked() == []


@pytest.mark.parametrize(
    ("values", "vmid", "detail"),
    [
        ({"hostname": "plex"}, 118, "container 118 is called plex, not hermes: it is somebody else's"),
        ({"unprivileged": "0"}, 118, "container 118 is privileged: its root would be the host's root"),
        ({"template": "1"}, 118, "container 118 is a template"),
        ({}, 119, "there is no container 119: run `cdktf deploy hermes` first"),
    ],
)
def test_not_our_container(deployed: Deployed, values: dict[str, str], vmid: int, detail: str) -> None:
    deployed.configure(**values)
    deployed.operator.spec["vmid"] = vmid
    foreign = ("skipped", f"container {vmid} is not as declared", "")
    assert deployed.found() == {
        "container": ("failed", detail, DIFF),
        "config": foreign,
        "host directories": ("ok", str(deployed.disk), ""),
        "payload": foreign,
        "guest checks": foreign,
        "workspace /data": foreign,
    }
    assert [call for call in deployed.node.lines("calls") if "exec" in call] == []


def test_a_node_that_does_not_answer_for_its_container(deployed: Deployed) -> None:
    file = deployed.node.bin / "pct"
    file.write_text("#!/bin/sh\necho 'Connection refused' >&2\nexit 111\n")
    found = deployed.found()
    assert found["container"] == ("failed", "pct status 118 says: Connection refused", DIFF)
    assert found["workspace /data"][0] == "skipped"


# --- what was declared


@pytest.mark.parametrize(
    ("values", "details"),
    [
        ({"mp0": None}, ["would change: mp0 DISK,mp=/data,backup=0,replicate=0 (not there until now)"]),
        (
            {"mp0": "DISK,mp=/data,replicate=0,ro=1"},
            [
                "would change: mp0 DISK,mp=/data,backup=0,replicate=0 (DISK,mp=/data,replicate=0,ro=1 until now)",
                "would change: reboot (the running container gets its mp0 only at a start)",
            ],
        ),
        (
            {"features": "nesting=1", "mp0": None},
            [
                "would change: mp0 DISK,mp=/data,backup=0,replicate=0 (not there until now)",
                "would change: features keyctl=1,nesting=1 (nesting=1 until now)",
                "would change: reboot (the running container gets its features only at a start)",
            ],
        ),
    ],
)
def test_each_difference_of_the_config_is_a_failed_check(
    deployed: Deployed, values: dict[str, str | None], details: list[str]
) -> None:
    deployed.configure(**{key: value and value.replace("DISK", str(deployed.disk)) for key, value in values.items()})
    found = checks(deployed.verify().stdout)
    expected = [("config", "failed", detail.replace("DISK", str(deployed.disk)), MEND) for detail in details]
    assert [check for check in found if check[0] == "config"] == expected
    assert found[-1][:2] == ("workspace /data", "ok")


def test_what_waits_for_a_reboot_is_not_as_declared(deployed: Deployed) -> None:
    deployed.configure(features="nesting=1")
    deployed.set(pending={"features": "keyctl=1,nesting=1"})
    assert deployed.found()["config"] == (
        "failed",
        "would change: reboot (the running container gets its features only at a start)",
        MEND,
    )


@pytest.mark.parametrize(
    ("waiting", "keys"),
    [
        ({"pending": {"nameserver": "10.0.0.53", "searchdomain": "home"}}, "nameserver searchdomain"),
        ({"delete": ["entrypoint"]}, "entrypoint"),
        ({"pending": {"tty": "1"}, "delete": ["entrypoint"]}, "entrypoint tty"),
        ({"pending": {"env": "A=1,size=2G"}}, "env"),
    ],
)
def test_whatever_waits_for_a_start_is_not_as_declared(
    deployed: Deployed, waiting: dict[str, object], keys: str
) -> None:
    deployed.configure(entrypoint="/sbin/init", tty="2", env="A=1,size=1G")
    deployed.set(**waiting)
    found = [check for check in checks(deployed.verify().stdout) if check[0] == "config"]
    assert found == [("config", "failed", f"{keys} waits for a start", "run `pct reboot 118 --timeout 180` on pve1")]


def test_what_a_step_would_refuse_says_so_itself(deployed: Deployed) -> None:
    deployed.configure(mp0="/mnt/x,mp=/data")
    ours = f"{deployed.disk},mp=/data,backup=0,replicate=0"
    detail = f"mp0 is taken: it holds '/mnt/x,mp=/data', and we want '{ours}'. Choose another key in the settings"
    assert deployed.found()["config"] == ("failed", detail, "")


def test_each_difference_of_a_host_directory_is_a_failed_check(deployed: Deployed) -> None:
    deployed.disk.chmod(0o700)
    other = deployed.disk.parent / "other"
    deployed.operator.spec["directories"].append({"path": str(other), "uid": 1, "gid": 2, "mode": "0750"})
    found = checks(deployed.verify().stdout)
    assert [check for check in found if check[0] == "host directories"] == [
        ("host directories", "failed", f"would change: {deployed.disk} (mode 700 to 750)", MEND),
        ("host directories", "failed", f"would change: {other} (created, owner 1:2)", MEND),
    ]
    assert not other.exists()


def test_a_disk_that_may_not_be_mounted_is_named(deployed: Deployed) -> None:
    state = deployed.node.load()
    state["disks"] = []
    deployed.node.save(state)
    assert deployed.found()["host directories"] == (
        "ok",
        f"{deployed.disk} (on the root file system: is the disk mounted?)",
        "",
    )


def test_a_refused_host_directory_ends_nothing(deployed: Deployed) -> None:
    deployed.operator.spec["directories"][0]["path"] = "/etc/x"
    found = deployed.found()
    assert found["host directories"] == ("failed", "host directory /etc/x belongs to the system", "")
    assert found["docker"][0] == "ok"


def test_an_end_of_a_step_without_a_word_is_a_failed_check(deployed: Deployed) -> None:
    stat = deployed.node.bin / "stat"
    stat.rename(stat.with_name("real-stat"))
    stat.write_text('#!/bin/sh\ncase $2 in *%m*) exit 9 ;; esac\nexec real-stat "$@"\n')
    stat.chmod(0o755)
    assert deployed.found()["host directories"] == (
        "failed",
        "looking at it ended with status 9, and the message before this",
        "",
    )


def test_a_step_that_cannot_look_is_a_failed_check(deployed: Deployed) -> None:
    (deployed.node.bin / "stat").unlink()
    found = deployed.found()
    assert found["host directories"] == ("failed", f"cannot look at the directories above {deployed.disk}", "")
    assert found["workspace /data"][0] == "failed"
    assert found["docker"][0] == "ok"


@pytest.mark.parametrize(
    ("is_there", "shown"),
    [("0" * 64, "000000000000"), (None, "none"), ("\x1b[2J\x1b]0;", "unknown"), ("check\tconfig", "unknown")],
)
def test_another_payload(deployed: Deployed, is_there: str | None, shown: str) -> None:
    file = deployed.payload / ".sha256"
    file.unlink()
    if is_there:
        file.write_text(is_there)
    wanted = deployed.operator.spec["payload"]["sha256"][:12]
    assert deployed.found()["payload"] == (
        "failed",
        f"would change: {DIRECTORY} (payload {shown} to {wanted})",
        DELIVER,
    )


# --- the guest's own checks


def test_a_payload_that_was_not_delivered(deployed: Deployed) -> None:
    shutil.rmtree(deployed.payload)
    found = deployed.found()
    missing = f"container 118 has no executable {DIRECTORY}/verify"
    assert found["payload"][0] == "failed"
    assert found["guest checks"] == ("failed", f"{missing}: its payload was not delivered", DELIVER)
    assert found["workspace /data"] == ("skipped", missing, "")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("kill -9 $$", "ended early with status 247"),
        ("exit 7", "ended early with status 7"),
        ("kill -15 $$", "ended early with status 241"),
        ("exit 124", "did not end within 300 seconds"),
        # The out-of-memory killer's.
        ("exit 137", "ended early with status 137"),
    ],
)
def test_guest_checks_that_end_early(deployed: Deployed, end: str, why: str) -> None:
    deployed.guest((r"  printf 'check\tmodel", f"  {end}\n" + r"  printf 'check\tmodel"))
    found = deployed.found()
    assert found["docker"][0] == "ok"
    assert "model endpoint" not in found
    assert found["guest checks"] == (
        "failed",
        f"{DIRECTORY}/verify {why}: what it had still to check is unknown",
        LOOK,
    )
    assert found["workspace /data"][0] == "ok"


def test_guest_checks_that_check_nothing(deployed: Deployed) -> None:
    deployed.guest(text="#!/bin/sh\n")
    found = deployed.found()
    assert found["guest checks"] == ("failed", f"{DIRECTORY}/verify checked nothing", DELIVER)


def test_guest_checks_take_a_limited_time(deployed: Deployed, on_host: OnHost) -> None:
    deployed.guest(("  printf 'check\\tmodel", "  sleep 60\n  printf 'check\\tmodel"))
    run = on_host(["verify_guest", DIRECTORY, "1"], "verified", mode="check")
    assert run.returncode == 1
    assert checks(run.stdout)[1] == (
        "guest checks",
        "failed",
        f"{DIRECTORY}/verify did not end within 1 seconds: what it had still to check is unknown",
        LOOK,
    )
    # Inside, where what it started ends with it.
    assert deployed.node.lines("calls")[-1][-5:] == ["timeout", "-k", "10", "1", f"{DIRECTORY}/verify"]


def exchange_timeout(deployed: Deployed) -> None:
    """Whoever is root in the container can do so."""
    timeout = deployed.node.directory / "guest-bin" / "timeout"
    timeout.write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    timeout.chmod(0o755)
    text = deployed.node.directory / "scripts" / "on-host"
    assert "patience_seconds=20" in text.read_text()
    text.write_text(text.read_text().replace("patience_seconds=20", "patience_seconds=1"))


def test_guest_checks_that_only_a_kill_ended_took_too_long(deployed: Deployed, on_host: OnHost) -> None:
    exchange_timeout(deployed)
    deployed.guest(("  printf 'check\\tmodel", "  sleep 1.5; exit 137\n  printf 'check\\tmodel"))
    run = on_host(["verify_guest", DIRECTORY, "1"], "verified", mode="check")
    assert f"{DIRECTORY}/verify did not end within 1 seconds: " in run.stdout


@pytest.mark.parametrize("instead", ["exec sleep 60", "for i in $(seq 60); do echo y; sleep 0.2; done"])
def test_a_guest_that_never_ends_is_not_waited_for(deployed: Deployed, on_host: OnHost, instead: str) -> None:
    exchange_timeout(deployed)
    note = deployed.node.directory / "pct-pid"
    deployed.guest(("  printf 'check\\tmodel", f"  echo $PPID >'{note}'\n  {instead}\n  printf 'check\\tmodel"))
    run = on_host(["verify_guest", DIRECTORY, "1"], "verified", mode="check")
    assert [name for name, *_ in checks(run.stdout)] == ["docker", "guest checks"]
    assert "did not end within 1 seconds" in run.stdout
    # Nor is anything left of us there.
    process = pathlib.Path("/proc", note.read_text().strip(), "stat")
    wait_until(lambda: not process.exists() or process.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_guest_that_never_stops_talking_is_not_listened_to(deployed: Deployed) -> None:
    deployed.guest(("  printf 'check\\tmodel", "  for i in $(seq 2000); do echo y; done\n  printf 'check\\tmodel"))
    run = deployed.verify()
    assert ("guest checks", "failed") in [check[:2] for check in checks(run.stdout)]
    assert f"{DIRECTORY}/verify said more than 500 lines, and nobody listened any more: " in run.stdout
    assert run.stdout.count("[hermes] y\n") < 500


@pytest.mark.parametrize("arguments", [["0"], ["soon"], ["1", "--chat"], ["1;id"]])
def test_wrong_arguments_of_the_guest_checks(deployed: Deployed, on_host: OnHost, arguments: list[str]) -> None:
    run = on_host(["verify_guest", DIRECTORY, *arguments], "verified", mode="check")
    assert (run.returncode, run.stdout) == (3, "")
    assert deployed.asked() == []


# --- a container that lies

OURS = ["config", "host directories", "payload", "guest checks", "verification", "workspace", "workspace /data"]


def says(deployed: Deployed, *lines: str) -> Run:
    """Lets the guest say these lines instead of a check."""
    (deployed.node.directory / "lines").write_bytes("".join(f"{line}\n" for line in lines).encode())
    deployed.guest(
        (r"printf 'check\tmodel endpoint\tfailed\t400\tanswers 401\tgive another key\n'", "cat 'DIRECTORY/lines'")
    )
    return deployed.verify()


@pytest.mark.parametrize(
    "name", [*OURS, "Config", "WORKSPACE /data", "workspace /other", "workspace other", "Host Directories"]
)
def test_a_container_cannot_make_the_checks_of_the_host(deployed: Deployed, name: str) -> None:
    deployed.configure(mp0=None)
    deployed.disk.chmod(0o700)
    line = f"check\t{name}\tok\t1\tall is well\t"
    run = says(deployed, line)
    assert "all is well" not in [detail for _, _, detail, _ in checks(run.stdout)]
    found = {name: (status, detail, remedy) for name, status, detail, remedy in checks(run.stdout)}
    assert found["config"][0] == found["host directories"][0] == "failed"
    assert found["guest checks"] == (
        "failed",
        "container 118 says what is no check of a container: $'" + line.replace("\t", "\\t") + "'",
        f"{DELIVER}; if that does not help, somebody else is root in it",
    )
    assert run.returncode == 1


def test_the_container_of_the_agent_is_not_our_container(deployed: Deployed) -> None:
    run = says(deployed, "check\tcontainer\tok\t1\tUp 3 hours\t", "check\tcontainer hermes-work\tfailed\t2\tgone\tx")
    found = checks(run.stdout)
    assert ("docker container", "ok", "Up 3 hours", "") in found
    assert ("docker container hermes-work", "failed", "gone", "x") in found
    assert [check for check in found if check[0] == "container"] == [("container", "ok", "running on pve1", "")]


@pytest.mark.parametrize(
    "line",
    [
        "check\tdocker\tperfect\t1\tx\t",
        "check\tdocker\tok\tsoon\tx\t",
        "check\tdocker\tok\t1\tx",
        "check\tdocker\tok\t1\tx\ty\tz",
        "check\tdocker\tok\t-1\tx\t",
        "check\t\tok\t1\tx\t",
        "check\tdo\x1b[31mcker\tok\t1\tx\t",
        "check\tconf\x01ig\tok\t1\tx\t",
        "check\tconfig \tok\t1\tx\t",
        "check\t config\tok\t1\tx\t",
        "check\tdöcker\tok\t1\tx\t",
        f"check\t{'x' * 61}\tok\t1\tx\t",
        "check\t",
    ],
)
def test_a_line_that_is_no_check_is_a_failed_one(deployed: Deployed, line: str) -> None:
    run = says(deployed, line)
    found = checks(run.stdout)
    assert [name for name, *_ in found][4:] == ["docker", "guest checks", "workspace /data"]
    assert found[5][1] == "failed"
    assert found[5][2].startswith("container 118 says what is no check of a container: ")
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize(
    "text",
    [
        "checked\t99",
        "\x1b[2J\x1b[1;1Hcheck\tconfig\tok\t1\tx\t",
        "\rcheck\tconfig\tok\t1\tx\t",
        " check\tconfig\tok\t1\tx\t",
        "[hermes] refused: \x07x",
        "\u009b2Jx",
        "x" * 10000,
        "\x00",
        "probe\t/data\tok\t1\tx",
    ],
)
def test_other_words_are_shown_as_the_containers_and_do_nothing(deployed: Deployed, text: str) -> None:
    run = says(deployed, text)
    found = checks(run.stdout)
    assert [name for name, *_ in found][4:] == ["docker", "workspace /data"]
    rest = [line for line in run.stdout.splitlines() if not line.startswith(("check\t", "checked\t"))]
    assert all(line.startswith("[hermes] ") for line in rest)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", run.stdout)


def test_details_of_a_container_cannot_touch_the_terminal(deployed: Deployed) -> None:
    run = says(deployed, f"check\tdocker\tok\t0099\ta\x1b[2J\r\x07\u009bb{'c' * 1000}\tx\x1b]0;y\x07")
    _, _, detail, remedy = checks(run.stdout)[5]
    assert detail.startswith("a[2Jbcc")
    assert len(detail) <= 500
    assert remedy == "x]0;y"
    assert "check\tdocker\tok\t99\ta" in run.stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", run.stdout)


def test_a_deploy_shows_nothing_that_a_terminal_would_obey(deployed: Deployed) -> None:
    bootstrap = deployed.payload / "bootstrap"
    bootstrap.write_text("#!/bin/sh\nprintf 'a\\033[2J\\r\\tb \\342\\200\\246 \\302\\233c\\n'\n")
    bootstrap.chmod(0o755)
    run = deployed.operator.run("bootstrap", LITELLM_API_KEY=CANARY)
    assert run.returncode == 0
    assert "a[2J\tb … c\n" in run.stdout


# --- workspaces

WROTE = "chown 110000:110000"


@pytest.mark.parametrize(
    ("exchange", "detail", "remedy"),
    [
        pytest.param(
            (WROTE, "chown 100000:100000"),
            "the container's root wrote it (100000:100000 on pve1), not the agent's user (110000:110000): it proves "
            "nothing",
            DELIVER,
            id="written by root",
        ),
        pytest.param(
            (WROTE, "chown 101000:101000"),
            "what is written there belongs to 101000:101000 on pve1, not to the declared 110000:110000",
            f"correct uid, gid or idmap of the mount in the settings, then {MEND}",
            id="written by somebody else",
        ),
        pytest.param(
            (WROTE, "chown 110000:100000"),
            "what is written there belongs to 110000:100000 on pve1, not to the declared 110000:110000",
            f"correct uid, gid or idmap of the mount in the settings, then {MEND}",
            id="another group",
        ),
        pytest.param(
            ('  : >"$probe"\n  chown 110000:110000 "$probe"\n', ""),
            "what is written there does not show in DISK on pve1: the mount is not in place",
            "run `pct reboot 118 --timeout 180` on pve1: a disk that was mounted after the container's start shows only then",
            id="not there",
        ),
        pytest.param(
            ('  : >"$probe"\n', '  ln -s /etc/passwd "$probe"\n'),
            "what is written there does not show in DISK on pve1: the mount is not in place",
            "run `pct reboot 118 --timeout 180` on pve1: a disk that was mounted after the container's start shows only then",
            id="a link",
        ),
        pytest.param(
            (r"ok\t42\twritten", r"failed\t42\tRead-only\033[2J file system"),
            "the agent cannot write there: Read-only[2J file system",
            f"DISK must belong to 110000:110000 on pve1: {MEND}",
            id="the agent cannot write",
        ),
        pytest.param(
            (r"ok\t42\twritten", r"failed\t42\t"),
            "the agent cannot write there",
            f"DISK must belong to 110000:110000 on pve1: {MEND}",
            id="the agent cannot write and does not say why",
        ),
        pytest.param(
            (r"probe\t/data", r"probe\t/old"),
            "container 118 made no probe there (status 0): its payload may be an older one",
            DELIVER,
            id="another workspace",
        ),
        pytest.param(
            (r"ok\t42\twritten", r"perfect\t42\twritten"),
            "container 118 made no probe there (status 0): its payload may be an older one",
            DELIVER,
            id="no such status",
        ),
        pytest.param(
            ("workspace-write)\n", "workspace-write)\n  exit 3\n"),
            "container 118 made no probe there (status 3): its payload may be an older one",
            DELIVER,
            id="broken",
        ),
    ],
)
def test_a_workspace_that_is_none(deployed: Deployed, exchange: tuple[str, str], detail: str, remedy: str) -> None:
    deployed.guest(exchange)
    disk = str(deployed.disk)
    assert deployed.found()["workspace /data"] == ("failed", detail.replace("DISK", disk), remedy.replace("DISK", disk))
    # Removed whatever came of it.
    assert deployed.asked()[-1].startswith("workspace-remove ")


def test_a_probe_that_stays_is_named(deployed: Deployed) -> None:
    deployed.guest(("rm -f", "true"))
    run = deployed.verify()
    (probe,) = deployed.disk.iterdir()
    assert checks(run.stdout)[-1] == (
        "workspace /data",
        "failed",
        "its probe could not be removed",
        f"run `rm -- '{probe}'` on pve1",
    )


def test_each_workspace_is_a_check_of_its_own(deployed: Deployed) -> None:
    spec = deployed.operator.spec
    for number, options in ((1, {}), (2, {"ro": "1"})):
        disk = f"{deployed.disk}-{number}"
        spec["mounts"].append({"key": f"mp{number}", "volume": disk, "path": f"/more{number}", "options": options})
        spec["directories"].append({"path": disk, "uid": 110000, "gid": 110000, "mode": "0750"})
    found = checks(deployed.verify().stdout)
    # What is read-only is no workspace.
    assert [check[:2] for check in found if check[0].startswith("workspace")] == [
        ("workspace /data", "ok"),
        ("workspace /more1", "failed"),
    ]


@pytest.mark.parametrize("token", ["", "x", "../../etc/x", "0" * 17, "$(id)"])
def test_a_wrong_token(deployed: Deployed, on_host: OnHost, token: str) -> None:
    wanted = ["want_workspace", "/data", str(deployed.disk), "110000", "110000"]
    run = on_host(wanted, ["verify_workspaces", DIRECTORY, token], "verified", mode="check")
    assert run.returncode == 3
    assert "not a token: " in run.stderr
    assert deployed.asked() == []


@pytest.mark.parametrize("when", ["terminated", "nobody reads"])
def test_a_verification_that_is_killed_removes_its_probes(deployed: Deployed, when: str) -> None:
    pause = "  sleep 30\n" if when == "terminated" else "  until [ -e 'DIRECTORY/closed' ]; do sleep 0.1; done\n"
    deployed.guest(("  printf 'probe", pause + "  printf 'probe"))
    wanted = ["want_workspace", "/data", str(deployed.disk), "110000", "110000"]
    text = script(deployed.node, wanted, ["verify_workspaces", DIRECTORY, TOKEN], "verified", mode="check")
    child = subprocess.Popen(
        [shutil.which("bash") or "bash", "-s"],
        env=environment(deployed.node),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdin
    assert child.stdout
    child.stdin.write(text)
    child.stdin.close()
    probe = deployed.disk / f".pve-agents-probe-{TOKEN}"
    wait_until(lambda: str(probe) in deployed.node.load()["owners"])
    if when == "terminated":
        child.send_signal(signal.SIGTERM)
    else:
        child.stdout.close()
        (deployed.node.directory / "closed").touch()
    assert child.wait(30) != 0
    wait_until(lambda: not probe.exists())
    assert deployed.asked()[-1] == f"workspace-remove {TOKEN}"
    with_killed_group(child.pid)


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("never happened")


def with_killed_group(pid: int) -> None:
    """What sleeps in the fake guest need not sleep on."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
