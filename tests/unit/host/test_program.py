"""What Terraform starts for a step, over a fake ssh: what it says, its exit status, and what a destroy takes back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pve_agents.host import handed
from pve_agents.host.facts import Container, PathFact
from pve_agents.host.program import STEPS, main
from pve_agents.host.step import Node as RealNode
from tests.unit.host.model import ARCHIVE, DISK, OURS, ROOT, SECRETS, SPEC, Node
from tests.unit.host.ssh import Root, Ssh, serving

HERMES = f"{DISK}/hermes"
KEY = "sk-canary"
MOUNT = SPEC["mounts"][0]


class Done(NamedTuple):
    """What came of a step."""

    status: int
    said: list[str]
    errors: str


class Operator:
    """Somebody who has Terraform run steps."""

    def __init__(self, ssh: Ssh, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.ssh, self.root, self.capsys = ssh, ssh.root, capsys
        self.spec: dict[str, Any] = {**SPEC, "payload": {**SPEC["payload"], "archive": str(archive)}}
        self.archive = archive
        archive.write_bytes(ARCHIVE)

    @property
    def node(self) -> Node:
        """The node that its steps are for."""
        return self.root.nodes[118]

    def step(self, *arguments: str, **variables: str) -> Done:
        """Run one step."""
        spec = {"HOST_STEP_SPEC": json.dumps(self.spec), "LITELLM_API_KEY": KEY}
        status = main(arguments, {**self.ssh.variables(**spec), **variables})
        out, err = self.capsys.readouterr()
        return Done(status, re.sub(r"\d+\.\d+s$", "0.0s", out, flags=re.MULTILINE).splitlines(), err)

    def deploy(self, deploy: str = "", **variables: str) -> None:
        """Run all of them."""
        for step in STEPS:
            done = self.step(step, HOST_STEP_DEPLOY=deploy, **variables)
            assert done.status == 0, done

    def destroy(self, step: str, *, replaced: bool = False, **leaving: Any) -> Done:
        """Destroy a step that had attached this, by default what the settings name."""
        devices = [{"key": it["key"], "path": it["path"]} for it in self.spec["devices"]]
        state = {"vmid": 118, "mounts": [{"key": "mp0", "volume": HERMES}], "devices": devices, **leaving}
        variables = {"HOST_STEP_LEAVING": json.dumps(state), "HOST_STEP_REPLACED": "yes" if replaced else "no"}
        return self.step(step, "--destroy", **variables)

    def ran(self) -> list[str]:
        """What has run since it was last asked, in short."""
        lines = [re.sub(r" --digest \w+", "", line) for line in self.root.commands]
        self.root.commands.clear()
        return [
            re.sub(r"(?s)^timeout -k 30 \d+ | --keep-env .* (?=sh -c)|(?<=sh -c ').*(?=' sh)", "…", line)
            for line in lines
        ]

    def reached(self) -> bool:
        """Whether anything went to the node."""
        return bool(self.ssh.noted("arguments"))


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Operator]:
    with serving(tmp_path / "operator", Root(Node())) as ssh:
        for name, value in ssh.variables(LITELLM_API_KEY=KEY).items():
            monkeypatch.setenv(name, value)
        yield Operator(ssh, tmp_path / "payload.tar.gz", capsys)


# --- a deploy


def test_all_steps_say_what_they_do_and_a_second_time_do_nothing(operator: Operator) -> None:
    for number, (step, title) in enumerate(STEPS.items(), 1):
        done = operator.step(step)
        assert (done.status, done.errors) == (0, "")
        assert done.said[0] == f"[hermes {number}/4] {title} …"
        assert done.said[-1] == f"[hermes {number}/4] {title} … ok 0.0s"
    assert operator.node.containers[118].running["mp0"] == f"{HERMES},mp=/data,replicate=0"
    assert operator.node.containers[118].running["features"] == "keyctl=1,nesting=1"
    assert operator.node.secrets == SECRETS
    operator.ran()
    for step in STEPS:
        assert "[hermes] all is as wanted" in operator.step(step).said
    assert operator.ran() == []


def test_a_step_does_what_is_its_own_and_no_more(operator: Operator) -> None:
    done = operator.step("host-directories")
    assert operator.ran() == [f"mkdir -m 0750 -- {HERMES}", f"(cd -P -- {HERMES} && chown 110000:110000 .)"]
    assert done.said[1:-1] == [
        f"[hermes] $ mkdir -m 0750 -- {HERMES}",
        "[hermes] … done in 0 s",
        f"[hermes] $ (cd -P -- {HERMES} && chown 110000:110000 .)",
        "[hermes] … done in 0 s",
    ]


def test_no_secret_is_said_by_any_step(operator: Operator) -> None:
    said = ""
    for step in STEPS:
        done = operator.step(step, PROXMOX_VE_API_TOKEN=KEY)
        said += "\n".join(done.said) + done.errors
    assert KEY not in said
    assert KEY not in operator.ssh.noted("environment") + operator.ssh.noted("arguments")


def test_an_agent_that_wants_nothing_needs_no_command(operator: Operator) -> None:
    operator.spec = {key: operator.spec[key] for key in ("agent", "vmid", "node", "hostname", "tag", "stop_seconds")}
    operator.deploy()
    assert operator.ran() == []


STRANGE = [
    *("it's", 'a"b', "$(touch x)", "`touch x`", "a;touch x", "a&&b", "${IFS}", "a b", "-rf", "*", "~"),
    *("END_OF_INPUT", "grün-木", "a\\nb", "!!"),
]


@pytest.mark.parametrize("name", STRANGE)
def test_strange_names_arrive_as_they_are(operator: Operator, name: str) -> None:
    path = f"{DISK}/{name}"
    operator.spec["directories"] = [{**SPEC["directories"][0], "path": path}]
    operator.spec["mounts"] = [{**MOUNT, "volume": path}]
    for step in ("host-directories", "container-config"):
        assert operator.step(step).status == 0
    assert operator.node.paths[path] == PathFact("directory", 110000, 110000, 0o750, DISK)
    assert operator.node.containers[118].running["mp0"] == f"{path},mp=/data,replicate=0"


# --- one look for all steps of a deploy


def test_the_steps_of_one_deploy_look_once_for_each_change_and_once_before(operator: Operator) -> None:
    operator.deploy("today")
    # Each of the four steps changed something and looked at what came of it.
    assert operator.root.looks() == 5
    operator.deploy("tomorrow")
    assert operator.root.looks() == 6


@pytest.mark.parametrize(
    ("first", "then", "is_believed"),
    [("today", "today", True), ("today", "tomorrow", False), ("", "", False), ("today", "", False)],
)
def test_only_what_was_seen_for_the_same_deploy_is_believed(
    operator: Operator, first: str, then: str, *, is_believed: bool
) -> None:
    operator.deploy()
    operator.step("host-directories", HOST_STEP_DEPLOY=first)
    looks = operator.root.looks()
    operator.step("container-config", HOST_STEP_DEPLOY=then)
    assert operator.root.looks() == looks + (not is_believed)


def test_a_container_that_has_just_been_started_is_given_a_moment(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    operator.node.guest = replace(operator.node.guest, is_whole=False)

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        operator.node.guest = replace(operator.node.guest, is_whole=len(waited) > 1)

    monkeypatch.setattr("pve_agents.host.step.time.sleep", sleep)
    assert operator.step("payload").status == 0
    assert waited == [1, 2]

    monkeypatch.setattr("pve_agents.host.step.time.sleep", waited.append)
    operator.node.guest = replace(operator.node.guest, is_whole=False)
    refused = operator.step("payload")
    assert refused.status != 0
    assert any("gives no answer" in line for line in refused.said)
    assert waited == [1, 2, 1, 2, 4]


def test_what_a_refused_step_saw_is_not_believed_since_somebody_mends_it(operator: Operator) -> None:
    container = operator.node.containers.pop(118)
    assert operator.step("host-directories", HOST_STEP_DEPLOY="now").status != 0
    operator.node.containers[118] = container
    assert operator.step("host-directories", HOST_STEP_DEPLOY="now").status == 0


def test_what_was_seen_for_other_questions_is_not_believed(operator: Operator) -> None:
    operator.step("host-directories", HOST_STEP_DEPLOY="today")
    operator.spec["mounts"] = [MOUNT, {**MOUNT, "key": "mp1", "volume": "/srv", "path": "/x"}]
    operator.node.paths["/srv"] = ROOT
    assert operator.step("container-config", HOST_STEP_DEPLOY="today").status == 0
    assert "mp1" in operator.node.containers[118].running


def test_what_was_seen_is_handed_on_for_our_eyes_only_and_holds_no_secret(operator: Operator, tmp_path: Path) -> None:
    operator.deploy("today")
    (note,) = tmp_path.rglob("look-hermes")
    assert note.parent.stat().st_mode & 0o777 == 0o700
    assert KEY.encode() not in note.read_bytes()


def test_a_step_that_was_interrupted_hands_nothing_on(
    operator: Operator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    operator.step("host-directories", HOST_STEP_DEPLOY="today")
    ctrl_c_at(monkeypatch, "pct set")
    assert operator.step("container-config", HOST_STEP_DEPLOY="today").status == 130
    assert list(tmp_path.rglob("look-hermes")) == []


# --- what is refused, and when


@pytest.mark.parametrize("step", STEPS)
def test_what_any_step_would_refuse_the_first_one_refuses(operator: Operator, step: str) -> None:
    operator.node.containers[118] = Container(118, {**OURS, "mp0": "/srv/other,mp=/data"})
    done = operator.step(step)
    assert done.status == 3
    assert any(line.startswith('[hermes] refused: mp0 is taken: it holds "/srv/other,mp=/data"') for line in done.said)
    assert done.said[-1].endswith("… FAILED 0.0s")
    assert operator.ran() == []


@pytest.mark.parametrize("step", STEPS)
def test_secrets_that_are_missing_are_missed_before_the_first_change(operator: Operator, step: str) -> None:
    done = operator.step(step, LITELLM_API_KEY="")
    assert done.status == 3
    assert done.said[-2] == (
        "[hermes] refused: missing secrets: LITELLM_API_KEY. Write them to hermes.env as NAME=VALUE lines, `chmod 600 "
        "hermes.env`, and deploy with HERMES_ENV_FILE=hermes.env"
    )
    assert operator.ran() == []


def test_what_the_message_about_missing_secrets_says_to_do_is_accepted(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hermes.env").write_text(f"LITELLM_API_KEY={KEY}\n")
    Path("hermes.env").chmod(0o600)
    operator.deploy(LITELLM_API_KEY="", HERMES_ENV_FILE="hermes.env")
    assert operator.node.secrets == SECRETS


def test_missing_secrets_that_the_container_has_already_stay_and_are_named(operator: Operator) -> None:
    operator.deploy()
    operator.ran()
    done = operator.step("payload", LITELLM_API_KEY="")
    assert done.status == 0
    assert done.said[1].startswith("[hermes] missing secrets: LITELLM_API_KEY. ")
    assert done.said[1].endswith("; those that are there stay")
    assert operator.ran() == []


def test_a_stopped_container_keeps_no_directory_and_no_mount_from_being_made(operator: Operator) -> None:
    operator.node.state = "stopped"
    assert [operator.step(step).status for step in STEPS] == [0, 0, 3, 3]
    assert "mp0" in operator.node.containers[118].running


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_secret_stops_a_deploy_before_it_reaches_the_node(operator: Operator, step: str) -> None:
    done = operator.step(step, LITELLM_API_KEY="REPLACE_ME")
    assert done.status == 2
    assert "the secret LITELLM_API_KEY is a placeholder" in done.errors
    assert not operator.reached()


@pytest.mark.parametrize("step", STEPS)
def test_neither_a_wrong_nor_a_missing_secret_stops_a_destroy(operator: Operator, step: str) -> None:
    for value in ("REPLACE_ME", ""):
        variables = {"HOST_STEP_LEAVING": json.dumps({"vmid": 118}), "LITELLM_API_KEY": value}
        assert operator.step(step, "--destroy", **variables).status == 0


def test_an_exchanged_payload_is_delivered_nowhere(operator: Operator) -> None:
    operator.archive.write_bytes(b"something else")
    done = operator.step("host-directories")
    assert done.status == 2
    assert done.errors == (
        f"[hermes 1/4] host directories … FAILED: the payload {operator.archive} is not the planned one (its SHA-256 "
        "differs); synthesize the stack again\n"
    )
    operator.archive.unlink()
    done = operator.step("payload")
    assert f"cannot read the payload {operator.archive}: No such file or directory; synthesize" in done.errors
    assert not operator.reached()


@pytest.mark.parametrize(
    ("variables", "title", "message"),
    [
        ({"PVE_SSH": ""}, "[hermes 2/4] container config", "PVE_SSH is not set: write the node's root login, such as "),
        ({"PVE_SSH": "-oProxyCommand=id"}, "[hermes 2/4] container config", "PVE_SSH is no login; write one such as "),
        ({"PVE_TRANSPORT": "telnet"}, "[hermes 2/4] container config", "PVE_TRANSPORT is 'telnet'; write one of ssh, "),
        ({"PVE_TRANSPORT": "paste"}, "[hermes 2/4] container config", "PVE_TRANSPORT=paste: PROXMOX_VE_ENDPOINT and "),
        ({"HERMES_ENV_FILE": "/nowhere"}, "[hermes 2/4] container config", "cannot read HERMES_ENV_FILE /nowhere: "),
        ({"HOST_STEP_SPEC": "{"}, "container config", "what the step is to do is no JSON: "),
        ({"HOST_STEP_SPEC": "{}"}, "container config", "spec.agent is missing; synthesize the stack again"),
    ],
)
def test_wrong_settings_are_one_line_and_reach_nobody(
    operator: Operator, variables: dict[str, str], title: str, message: str
) -> None:
    done = operator.step("container-config", **variables)
    assert done.status == 2
    assert done.errors.startswith(f"{title} … FAILED: {message}")
    assert len(done.errors.splitlines()) == 1
    assert not operator.reached()


@pytest.mark.parametrize("field", ["key", "volume", "path"])
@pytest.mark.parametrize("value", ["$(touch x)", "`touch x`", "'; touch x; '", "x" * 4096, "\u009b2J"])
def test_hostile_values_reach_nobody(operator: Operator, field: str, value: str) -> None:
    operator.spec["mounts"] = [{**MOUNT, field: value}]
    assert operator.step("container-config").status == 2
    assert not operator.reached()


@pytest.mark.parametrize(
    "arguments", [[], ["reboot"], ["payload", "payload"], ["payload", "--check"], ["--destroy"], ["payload", "x"]]
)
def test_wrong_arguments_are_answered_with_the_right_ones(operator: Operator, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments, {})
    assert end.value.code == 2
    said = " ".join(operator.capsys.readouterr().err.split())
    assert said.startswith(
        "usage: step [-h] [--destroy] {host-directories,container-config,payload,bootstrap} step: error: "
    )


# --- what goes wrong on the way


def test_a_node_that_is_not_reached(operator: Operator) -> None:
    operator.ssh.down()
    done = operator.step("host-directories")
    assert done.status == 4
    assert done.errors == (
        "[hermes 1/4] host directories … FAILED: ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another "
        "PVE_TRANSPORT\n"
    )


def test_a_look_that_breaks_off_is_no_answer(operator: Operator) -> None:
    run = operator.root.run
    operator.root.run = lambda text: (0, run(text)[1][:100])  # type: ignore[method-assign]
    done = operator.step("host-directories")
    assert done.status == 4
    assert "FAILED: the look at the node did not come to its end: it ended after 100 bytes" in done.errors
    assert operator.ran() == []


def test_a_command_that_fails_ends_the_step_and_the_next_run_goes_on(operator: Operator) -> None:
    operator.step("host-directories")
    operator.root.fails_at = "pct reboot"
    done = operator.step("container-config")
    assert done.status == 3
    assert done.said[-3:] == [
        "[hermes] … FAILED with status 7 after 0 s",
        "[hermes] stopped at: pct reboot 118 --timeout 180; run this again when its cause is gone: it goes on from there",
        "[hermes 2/4] container config … FAILED 0.0s",
    ]
    operator.ran()
    operator.root.fails_at = ""
    assert operator.step("container-config").status == 0
    assert operator.ran() == ["pct reboot 118 --timeout 180"]


def test_a_command_that_ends_well_and_does_nothing_is_no_success(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "obey", lambda *_: None)
    done = operator.step("host-directories")
    assert done.status == 3
    assert f"[hermes] is still not so after all that: {HERMES} is not there" in done.said


def test_what_somebody_changes_between_look_and_command_ends_it(operator: Operator) -> None:
    operator.step("host-directories")
    texts = len(operator.root.texts)

    def change() -> None:
        if len(operator.root.texts) == texts + 1:
            operator.node.containers[118] = Container(118, {**OURS, "mp7": "/srv/other,mp=/data"})

    operator.root.before_each = change
    done = operator.step("container-config")
    assert done.status == 3
    assert "[hermes] digest" in done.said
    assert "mp0" not in operator.node.containers[118].running


def ctrl_c_at(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Press Ctrl-C when a command is said."""
    hear = RealNode._hear

    def pressed(node: RealNode, line: str) -> None:
        hear(node, line)
        if part in line:
            raise KeyboardInterrupt

    monkeypatch.setattr(RealNode, "_hear", pressed)


def test_ctrl_c_before_the_first_command_says_that_nothing_was_changed(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(handed.HandedOn, "take", interrupt)
    done = operator.step("host-directories")
    assert done.status == 130
    assert done.errors == (
        "[hermes 1/4] host directories … FAILED: interrupted, and nothing was changed from here; run it again: it goes on "
        "from there\n"
    )


def test_ctrl_c_later_says_what_was_running(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    ctrl_c_at(monkeypatch, "chown")
    done = operator.step("host-directories")
    assert done.status == 130
    assert (
        f"FAILED: interrupted while it ran `(cd -P -- {HERMES} && chown 110000:110000 .)`; run it again" in done.errors
    )


# --- destroy


def test_a_destroy_removes_no_data(operator: Operator) -> None:
    done = operator.destroy("payload")
    assert (done.status, done.said[1]) == (0, "[hermes] nothing to take back, data and files stay where they are")
    assert not operator.reached()


def test_a_destroy_stops_the_agent_before_its_mounts_leave(operator: Operator) -> None:
    operator.deploy()
    operator.ran()
    for step in reversed(list(STEPS)):
        assert operator.destroy(step).status == 0
    stop, *rest = operator.ran()
    assert stop.endswith("/opt/pve-agents/hermes/bootstrap --stop")
    assert rest == ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]
    assert operator.node.paths[HERMES].kind == "directory"


def test_a_destroy_goes_on_when_the_agent_does_not_stop(operator: Operator) -> None:
    operator.deploy()
    operator.root.fails_at = "--stop"
    done = operator.destroy("bootstrap")
    assert done.status == 0
    assert "[hermes] … FAILED with status 7 after 0 s" in done.said


def test_a_destroy_finds_nothing_to_stop_before_the_first_delivery(operator: Operator) -> None:
    done = operator.destroy("bootstrap")
    assert (done.status, done.said[1]) == (0, "[hermes] nothing of hermes runs in container 118")


def test_a_replaced_bootstrap_stops_nothing(operator: Operator) -> None:
    operator.deploy()
    operator.ran()
    done = operator.destroy("bootstrap", replaced=True)
    assert done.said[1] == "[hermes] replaced to run again: nothing is taken back, data and files stay where they are"
    assert operator.ran() == []


# Terraform destroys the steps from the last to the first, and runs nothing for one that failed when it was created.
@pytest.mark.parametrize("step", ["container-config", "host-directories"])
def test_a_destroy_detaches_and_reboots_once(operator: Operator, step: str) -> None:
    operator.deploy()
    operator.ran()
    assert operator.destroy(step).status == 0
    assert operator.ran() == ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]
    assert operator.destroy("container-config").status == 0
    assert operator.ran() == []


def test_a_destroy_looks_again_and_hands_nothing_on(operator: Operator, tmp_path: Path) -> None:
    operator.deploy("today")
    (note,) = tmp_path.rglob("look-hermes")
    note.write_bytes(b"forged\n")
    looks = operator.root.looks()
    operator.destroy("container-config")
    assert operator.root.looks() == looks + 2


@pytest.mark.parametrize(
    ("change", "commands"),
    [
        ({}, []),
        ({"features": {}}, []),
        ({"mounts": [{**MOUNT, "options": {"ro": "1"}}]}, []),
        ({"mounts": []}, ["pct set 118 --delete mp0"]),
        ({"mounts": [{**MOUNT, "volume": "/srv"}]}, ["pct set 118 --delete mp0"]),
        ({"mounts": [], "vmid": 119}, []),
    ],
)
def test_a_replaced_step_takes_back_only_what_has_left_the_settings(
    operator: Operator, change: dict[str, Any], commands: list[str]
) -> None:
    operator.deploy()
    operator.ran()
    operator.spec.update(change)
    operator.root.nodes[119] = Node(vmid=119)
    assert operator.destroy("container-config", replaced=True).status == 0
    assert operator.ran() == commands


def test_a_mount_that_moves_restarts_the_container_once(operator: Operator) -> None:
    operator.deploy()
    operator.ran()
    other = f"{DISK}/other"
    operator.spec["directories"] = [{**SPEC["directories"][0], "path": other}]
    operator.spec["mounts"] = [{**MOUNT, "volume": other}]
    assert operator.destroy("container-config", replaced=True).status == 0
    operator.deploy()
    assert [line for line in operator.ran() if line.startswith("pct")] == [
        "pct set 118 --delete mp0",
        f"pct set 118 --mp0 {other},mp=/data,replicate=0",
        "pct reboot 118 --timeout 180",
    ]


@pytest.mark.parametrize(
    "state",
    [
        {"mounts": [{"key": "rootfs", "volume": "/x"}]},
        {"mounts": [{"key": "mp0 --force", "volume": HERMES}]},
        {"vmid": "118; id"},
    ],
)
def test_a_state_that_says_something_else_destroys_nothing(operator: Operator, state: dict[str, Any]) -> None:
    operator.deploy()
    operator.ran()
    done = operator.destroy("container-config", **state)
    assert done.status == 2
    assert operator.ran() == []


def test_a_destroy_without_a_state_is_refused(operator: Operator) -> None:
    assert operator.step("container-config", "--destroy").status == 2


def test_a_destroy_of_a_protected_container_says_what_to_run_and_then_works(operator: Operator) -> None:
    operator.deploy()
    running = operator.node.containers[118].running
    operator.node.containers[118] = Container(118, {**running, "protection": "1"})
    operator.ran()
    done = operator.destroy("container-config")
    assert done.status == 3
    assert "`pct set 118 --protection 0`" in done.said[1]
    assert operator.ran() == []
    operator.node.containers[118] = Container(118, {**running, "protection": "0"})
    assert operator.destroy("container-config").status == 0


def test_a_destroy_of_somebody_elses_container_takes_nothing(operator: Operator) -> None:
    operator.deploy()
    running = operator.node.containers[118].running
    operator.node.containers[118] = Container(118, {**running, "tags": "ai"})
    operator.ran()
    done = operator.destroy("container-config")
    assert done.status == 0
    assert done.said[1] == "[hermes] container 118 does not carry the tag pve-agents-hermes: it is left alone"
    assert operator.ran() == []


def test_a_destroy_of_what_is_gone_already_is_done(operator: Operator) -> None:
    operator.root.nodes[118] = replace(Node(), containers={})
    for step in reversed(list(STEPS)):
        assert operator.destroy(step).status == 0
    assert operator.ran() == []
