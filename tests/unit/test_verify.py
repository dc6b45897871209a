"""agents verify: its table, its JSON, its exit status, and what it makes of a verification that did not end."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from pve_agents import load_settings
from pve_agents.host.facts import PathFact
from pve_agents.host.plan_guest import Delivery
from pve_agents.operator.output import Output
from pve_agents.operator.wants import wanted_of
from pve_agents.root_spec import payload_of
from tests.in_process import run_agents
from tests.unit.host.ssh import Root, Ssh, node_for, serving, settle

PROJECT = Path(__file__).parents[2]
AGENTS: dict[str, Any] = {"hermes": {}, "librarian": {"vmid": 119}}

DOCKER = "check\tdocker\tok\t320\tDocker 28.1.1\t"
MODEL = "check\tmodel endpoint\tfailed\t1449\thttp://10.1.10.22:4000/v1 answers 401\tgive another LITELLM_API_KEY"
CHAT = "check\tchat\tskipped\t0\tnot asked for\t"
WELL = (DOCKER, CHAT)

TABLE = """\
✓ container          running on gihyeon                                  0.0s
✓ config             mp0, mp1, features                                  0.0s
✓ host directories   /mnt/pve/hdd/hermes, /media/2tb/hermes              0.0s
✓ payload            /opt/pve-agents/hermes                              0.0s
✓ docker             Docker 28.1.1                                       0.3s
✗ model endpoint     http://10.1.10.22:4000/v1 answers 401               1.4s
    give another LITELLM_API_KEY
- chat               not asked for                                       0.0s
✓ workspace /data    shows in /mnt/pve/hdd/hermes as 110000:110000       0.1s
✓ workspace /fast    shows in /media/2tb/hermes as 110000:110000         0.1s
hermes: 9 checks, 1 failed, 1 skipped
"""
LIBRARIAN = """\
✓ container          running on gihyeon                                  0.0s
✓ config             features                                            0.0s
✓ payload            /opt/pve-agents/librarian                           0.0s
✓ docker             Docker 28.1.1                                       0.3s
librarian: 4 checks, 0 failed
"""

Run = subprocess.CompletedProcess[str]


class Verify:
    """The command with settings of its own, and nodes in memory on which all is as declared."""

    def __init__(self, directory: Path, ssh: Ssh) -> None:
        self.directory, self.ssh, self.root = directory, ssh, ssh.root
        self.settings = directory / "homelab.yaml"
        self.settings.write_text(yaml.safe_dump({"agents": AGENTS}))
        self.env = dict(ssh.variables(HOMELAB_FILE=str(self.settings)))
        with mock.patch.dict(os.environ, {"HOMELAB_FILE": str(self.settings)}):
            agents = load_settings(PROJECT).agents
        for agent in agents.values():
            payload = payload_of(agent)
            wanted = wanted_of(agent, payload)
            node = self.root.nodes[wanted.vmid] = node_for(wanted)
            settle(node, wanted, Delivery(archive=payload.archive, secrets=b""))
        self.says: dict[str, tuple[str, ...]] = {"hermes": WELL, "librarian": (DOCKER,)}
        self.status: dict[str, int] = {}
        self.in_the_middle: Callable[[], None] = lambda: None
        self.root.says = self.answer

    def answer(self, asked: tuple[str, ...]) -> tuple[int, str]:
        """What a container says to a command."""
        agent = Path(asked[0]).parent.name
        if len(asked) > 2:
            return self.workspaces(*asked[1:3])
        return self.status.get(agent, 0), "".join(f"{line}\n" for line in self.says[agent])

    def workspaces(self, verb: str, token: str) -> tuple[int, str]:
        """Write probes, or remove them."""
        paths = self.root.nodes[118].paths
        for source in ("/mnt/pve/hdd/hermes", "/media/2tb/hermes"):
            probe = f"{source}/.pve-agents-probe-{token}"
            if verb == "workspace-write":
                paths[probe] = PathFact("regular empty file", 110000, 110000, 0o644)
            else:
                del paths[probe]
        if verb == "workspace-write":
            self.in_the_middle()
        return 0, "".join(f"probe\t{place}\tok\t61\twritten\n" for place in ("/data", "/fast"))

    def probes(self) -> list[str]:
        """What is left of them."""
        return [path for path in self.root.nodes[118].paths if "probe" in path]

    def __call__(self, *arguments: str, **variables: str) -> Run:
        done = run_agents("verify", *arguments, env={**self.env, **variables})
        # What the host itself looked at took as long as it took.
        host = r"(?m)^(. (?:container|config|host directories|payload|verification) .*) \d+\.\d+s$"
        done.stdout = re.sub(host, r"\1 0.0s", done.stdout)
        return done


@pytest.fixture
def verify(tmp_path: Path) -> Iterator[Verify]:
    with serving(tmp_path / "operator", Root()) as ssh:
        yield Verify(tmp_path, ssh)


# --- the table


def test_the_table(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, MODEL, CHAT)
    done = verify("hermes")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == TABLE


def test_nothing_failed_is_status_0_though_something_was_skipped(verify: Verify) -> None:
    done = verify("hermes")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "hermes: 8 checks, 0 failed, 1 skipped"


def test_several_agents(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, MODEL, CHAT)
    done = verify()
    assert done.returncode == 1
    assert done.stdout == TABLE + LIBRARIAN


class Terminal(io.TextIOWrapper):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def table(encoding: str, *, terminal: bool, **variables: str) -> list[str]:
    """What three checks look like."""
    kind = Terminal if terminal else io.TextIOWrapper
    out = kind(io.BytesIO(), encoding=encoding)
    with mock.patch.dict(os.environ, variables):
        lines = Output(out)
    for status in ("ok", "failed", "skipped"):
        lines.check(status, "docker", "one … two", 0.12, "three")
    out.seek(0)
    return out.read().splitlines()


def test_plain_ascii_where_nothing_else_can_be_shown() -> None:
    assert table("ascii", terminal=False) == [
        "+ docker             one ? two                                           0.1s",
        "x docker             one ? two                                           0.1s",
        "    three",
        "- docker             one ? two                                           0.1s",
    ]


def test_colour_is_for_terminals_and_for_who_wants_it() -> None:
    ok, failed, _, skipped = table("utf-8", terminal=True)
    assert ok.startswith("\x1b[32m✓\x1b[0m docker             one … two  ")
    assert failed.startswith("\x1b[31m✗\x1b[0m docker ")
    assert skipped.startswith("\x1b[33m-\x1b[0m docker ")
    assert "\x1b" not in "".join(table("utf-8", terminal=True, NO_COLOR="1"))
    assert "\x1b" not in "".join(table("utf-8", terminal=False))


def test_what_the_container_says_besides_is_shown(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, "one moment", CHAT)
    done = verify("hermes")
    assert (done.returncode, done.stdout.splitlines()[5]) == (0, "[hermes] one moment")


def test_nothing_of_a_container_reaches_the_terminal(verify: Verify) -> None:
    control = "\x1b[2J\x07\u009b\u202e\u2066\r\x00"
    verify.says["hermes"] = (f"check\tdocker\tfailed\t1\tx{control}\ty{control}", f"{control}words{control}")
    for done in (verify("hermes"), verify("--json", "hermes")):
        assert all(character.isprintable() for line in done.stdout.split("\n") for character in line)
        assert all(character.isprintable() for line in done.stderr.split("\n") for character in line)
    assert document(done)["checks"][4]["detail"] == "x[2J"
    assert done.stderr == "[hermes] [2Jwords[2J\n"


# --- cron


def test_quiet_prints_only_what_failed(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, MODEL, CHAT, "one moment")
    done = verify("--quiet")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "".join(TABLE.splitlines(keepends=True)[i] for i in (5, 6, 10))


def test_quiet_prints_nothing_when_all_is_well(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, CHAT, "one moment")
    done = verify("--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_says_all_when_the_verification_did_not_end(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, "no space left on device")
    verify.in_the_middle = verify.ssh.down
    done = verify("--quiet", "hermes")
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1] == "[hermes] no space left on device"


# --- JSON


def document(done: Run, agent: str = "hermes") -> Any:
    return json.loads(done.stdout)["agents"][agent]


def test_json(verify: Verify) -> None:
    verify.says["hermes"] = (DOCKER, MODEL, CHAT, "one moment")
    done = verify("--json")
    assert (done.returncode, done.stderr) == (1, "[hermes] one moment\n")
    assert list(json.loads(done.stdout)) == ["agents"]
    found = document(done)
    assert found["ok"] is False
    assert found["checks"][4:] == [
        {"name": "docker", "status": "ok", "seconds": 0.32, "detail": "Docker 28.1.1", "remedy": ""},
        {
            "name": "model endpoint",
            "status": "failed",
            "seconds": 1.449,
            "detail": "http://10.1.10.22:4000/v1 answers 401",
            "remedy": "give another LITELLM_API_KEY",
        },
        {"name": "chat", "status": "skipped", "seconds": 0.0, "detail": "not asked for", "remedy": ""},
        {
            "name": "workspace /data",
            "status": "ok",
            "seconds": 0.061,
            "detail": "shows in /mnt/pve/hdd/hermes as 110000:110000",
            "remedy": "",
        },
        {
            "name": "workspace /fast",
            "status": "ok",
            "seconds": 0.061,
            "detail": "shows in /media/2tb/hermes as 110000:110000",
            "remedy": "",
        },
    ]
    assert document(done, "librarian")["ok"] is True
    names = [check["name"] for check in document(done, "librarian")["checks"]]
    assert names == ["container", "config", "payload", "docker"]


def test_json_and_quiet_exclude_each_other(verify: Verify) -> None:
    done = verify("--json", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "--json and --quiet exclude each other: write one of them (see agents verify --help)\n"
    assert verify("--json").returncode == verify("--quiet").returncode == 0


@pytest.mark.parametrize(
    ("option", "said"), [("--jsn", "No such option '--jsn'."), ("--no-chat=1", "does not take a value")]
)
def test_what_is_no_option_is_refused(verify: Verify, option: str, said: str) -> None:
    done = verify(option, "hermes")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert verify.ssh.noted("arguments") == ""


def test_help_names_the_options(verify: Verify) -> None:
    for flag in ("-h", "--help"):
        done = verify(flag)
        assert done.returncode == 0
        assert all(option in done.stdout for option in ("--json", "--quiet", "--no-chat"))


# --- a verification that did not come to its end

UNFINISHED = {
    "name": "verification",
    "status": "failed",
    "seconds": 0.0,
    "detail": "it did not come to its end: what is not listed here was not checked",
    "remedy": "read the message on standard error",
}


def test_an_absent_check_is_not_a_passed_one(verify: Verify) -> None:
    verify.in_the_middle = verify.ssh.down
    done = verify("--json", "hermes")
    assert done.returncode == 4
    *others, last = document(done)["checks"]
    assert document(done)["ok"] is False
    assert [check["name"] for check in others] == [
        "container",
        "config",
        "host directories",
        "payload",
        "docker",
        "chat",
    ]
    assert {check["status"] for check in others} == {"ok", "skipped"}
    assert last == UNFINISHED


def test_a_look_that_breaks_off_is_no_verification(verify: Verify) -> None:
    verify.root.broken.add(118)
    done = verify("--json", "hermes")
    assert done.returncode == 4
    assert document(done) == {"ok": False, "checks": [UNFINISHED]}
    assert done.stderr == "[hermes] the look at the node did not come to its end: it ended after 100 bytes\n"


def test_checks_that_ended_early_are_not_well(verify: Verify) -> None:
    verify.status["hermes"] = 3
    done = verify("hermes")
    assert done.returncode == 1
    assert "✗ guest checks" in done.stdout


def test_a_node_that_is_not_reached(verify: Verify) -> None:
    verify.ssh.down()
    done = verify("hermes")
    assert done.returncode == 4
    failed = "ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another PVE_TRANSPORT"
    assert done.stderr == f"[hermes] {failed}\n"
    assert done.stdout == (
        "✗ verification       it did not come to its end: what is not listed here was not checked  0.0s\n"
        "    read the message on standard error\n"
        "hermes: 1 check, 1 failed\n"
    )


@pytest.mark.parametrize(
    ("hermes", "librarian", "worst"),
    [
        ("well", "well", 0),
        ("well", "failed", 1),
        ("failed", "well", 1),
        ("failed", "broken", 4),
        ("broken", "failed", 4),
    ],
)
def test_the_worst_status_is_the_answer_and_all_agents_are_verified(
    verify: Verify, hermes: str, librarian: str, worst: int
) -> None:
    for agent, vmid, what in (("hermes", 118, hermes), ("librarian", 119, librarian)):
        if what == "failed":
            verify.says[agent] = (MODEL,)
        elif what == "broken":
            verify.root.broken.add(vmid)
    done = verify()
    assert done.returncode == worst
    assert "hermes: " in done.stdout
    assert "librarian: " in done.stdout


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_verification_that_is_ended_removes_its_probes_and_says_no_more(
    verify: Verify, number: signal.Signals, status: int
) -> None:
    # Whatever the script makes of it, this process goes on.
    before = {it: signal.signal(it, lambda *_: None) for it in (signal.SIGTERM, signal.SIGHUP)}
    verify.in_the_middle = lambda: os.kill(os.getpid(), number)
    done = verify("hermes")
    for it, handler in before.items():
        signal.signal(it, handler)
    assert done.returncode == status
    assert verify.root.asked[-1][1] == "workspace-remove"
    assert verify.probes() == []
    assert "workspace" not in done.stdout
    assert "hermes: " not in done.stdout
    said = "interrupted; nothing was changed, and it can be run again\n"
    assert done.stderr == (said if number == signal.SIGINT else "")


# --- settings


def test_an_unknown_agent_is_one_sentence(verify: Verify) -> None:
    done = verify("hermes", "hremes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no agent hremes; the settings have hermes, librarian.\n"
    assert verify.ssh.noted("arguments") == ""


def test_wrong_settings_are_said_as_everywhere(verify: Verify) -> None:
    verify.settings.write_text(yaml.safe_dump({"agents": {"hermes": {"vmid": 7}}}))
    done = verify("--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "agents.hermes.vmid: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PVE_SSH": ""}, "[hermes] PVE_SSH is not set: "),
        ({"PVE_TRANSPORT": "telnet"}, "[hermes] PVE_TRANSPORT is 'telnet'; write one of ssh, local, paste"),
        (
            {"PVE_TRANSPORT": "paste"},
            "[hermes] PVE_TRANSPORT=paste: PROXMOX_VE_ENDPOINT and PVE_READ_TOKEN are not set: ",
        ),
    ],
)
def test_wrong_settings_of_the_transport(verify: Verify, variables: dict[str, str], message: str) -> None:
    done = verify("hermes", **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stdout.splitlines()[0].split("  ")[0] == "✗ verification"
    assert "it did not begin: the settings are wrong" in done.stdout


# --- what goes to the node


def test_nothing_is_asked_of_the_node_but_to_look_and_to_listen(verify: Verify) -> None:
    verify("hermes")
    assert verify.root.commands == []
    kinds = [text.rstrip().rpartition("\n")[2].split(" ")[0] for text in verify.root.texts]
    assert kinds == ["look", "exit", "exit", "look", "exit", "look"]


def test_an_agent_has_the_time_that_its_model_takes(verify: Verify) -> None:
    verify()
    listens = [text for text in verify.root.texts if "PIPESTATUS" in text]
    assert "timeout -k 10 360 /opt/pve-agents/hermes/verify" in listens[0]
    assert "timeout -k 10 240 /opt/pve-agents/librarian/verify" in listens[-1]


def test_an_agent_without_mounts_has_no_workspaces(verify: Verify) -> None:
    done = verify("librarian")
    assert done.stdout == LIBRARIAN
    assert verify.root.asked == [("/opt/pve-agents/librarian/verify",)]


def test_the_turn_with_the_model_can_be_left_out(verify: Verify) -> None:
    verify("--no-chat", "hermes")
    assert verify.root.asked[0] == ("/opt/pve-agents/hermes/verify", "--no-chat")


def test_no_secret_goes_to_the_node(verify: Verify) -> None:
    canary = "sk-canary-2f6d"
    names = ("LITELLM_API_KEY", "API_SERVER_KEY", "PROXMOX_VE_API_TOKEN", "PVE_READ_TOKEN", "HERMES_X", "TF_VAR_x")
    done = verify(**dict.fromkeys(names, canary))
    assert done.returncode == 0
    for path in verify.directory.rglob("*"):
        assert not path.is_file() or canary not in path.read_text(), path
    assert canary not in done.stdout + done.stderr + "".join(verify.root.texts)


def test_a_file_of_secrets_is_not_even_opened(verify: Verify) -> None:
    assert verify("hermes", HERMES_ENV_FILE="/nowhere").returncode == 0


def test_nothing_is_left_of_a_run(verify: Verify, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert verify(TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []
    assert verify.probes() == []
