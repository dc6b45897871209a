"""What a stack says of what is wanted is read once: right ones as they are, wrong and hostile ones as one sentence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pve_agents import load_settings
from pve_agents.host.spec import WrongSettingsError, read_leaving, read_wanted, wanted_from
from pve_agents.host.wanted import Leaving
from pve_agents.root_spec import payload_of, root_spec
from tests.unit.host.model import SPEC, WANTED


def mount(**change: Any) -> dict[str, Any]:
    return {"mounts": [{**SPEC["mounts"][0], **change}]}


def device(**change: Any) -> dict[str, Any]:
    return {"devices": [{"key": "dev0", "path": "/dev/net/tun", "options": {}, **change}]}


def directory(**change: Any) -> dict[str, Any]:
    return {"directories": [{**SPEC["directories"][0], **change}]}


def part(name: str, **change: Any) -> dict[str, Any]:
    return {name: {**SPEC[name], **change}}


def test_a_spec_is_read_as_it_is() -> None:
    assert read_wanted(json.dumps(SPEC)) == WANTED


def test_what_the_settings_make_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "homelab.yaml"
    hermes = {
        "devices": {"dev0": {"path": "/dev/dri/renderD128", "gid": 44, "mode": "0666", "deny_write": True}},
        "mounts": {"mp3": {"host_path": "/mnt/with space/x", "guest_path": "/x", "read_only": True, "shared": True}},
    }
    file.write_text(yaml.safe_dump({"agents": {"hermes": hermes, "librarian": {"vmid": 119}}}))
    monkeypatch.setenv("HOMELAB_FILE", str(file))
    for agent in load_settings(tmp_path).agents.values():
        spec = root_spec(agent, payload_of(agent), archive="x.tar.gz")
        assert wanted_from(spec) == read_wanted(json.dumps(spec))


def test_an_agent_with_little_says_little() -> None:
    spec = {key: SPEC[key] for key in ("agent", "vmid", "node", "hostname", "tag", "stop_seconds")}
    wanted = wanted_from(spec)
    assert (wanted.directories, wanted.attached, dict(wanted.features)) == ((), (), {})
    assert (wanted.payload, wanted.secrets, wanted.bootstrap) == (None, None, None)


@pytest.mark.parametrize(
    "change",
    [
        mount(options={"mountoptions": "nodev;nosuid", "idmap": "u:0:1000:1;g:0:1000:1"}),
        mount(options={"idmap": "passthrough", "keepattrs": "1"}),
        *(mount(volume=f"/mnt/{name}") for name in ("it's", 'a"b', "$(x)", "a;b", "-rf", "*", "grün-木", "a..b", ".x")),
        device(options={"deny-write": "1", "uid": "0", "gid": "44", "mode": "0666"}),
        device(path="/dev/snd/pcmC0D0p"),
        directory(mode="2770", uid=0),
        {"features": {"nesting": "1", "mount": "nfs;cifs"}},
    ],
)
def test_what_proxmox_ve_knows_is_accepted(change: dict[str, Any]) -> None:
    read_wanted(json.dumps({**SPEC, **change}))


AGAIN = "; synthesize the stack again"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"what the step is to do is no JSON: Expecting value: line 1 column 1 (char 0){AGAIN}"),
        ("{", "what the step is to do is no JSON: Expecting property name"),
        ("[" * 100_000, "what the step is to do is no JSON: "),
        ("[]", f"spec is no JSON object{AGAIN}"),
        ('"spec"', f"spec is no JSON object{AGAIN}"),
        ("{}", f"spec.agent is missing{AGAIN}"),
    ],
)
@pytest.mark.parametrize("read", [read_wanted, read_leaving])
def test_what_is_no_spec_says_so(read: Any, text: str, message: str) -> None:
    with pytest.raises(WrongSettingsError) as error:
        read(text)
    expected = message.replace("spec.agent", "spec.vmid") if read is read_leaving else message
    assert str(error.value).startswith(expected)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"agent": "Hermes;id"}, 'spec.agent: "Hermes;id" is not a name'),
    ({"agent": "hermes\nx"}, 'spec.agent: "hermesx" is not a name'),
    ({"vmid": "118"}, 'spec.vmid: "118" is not a number from 100 to 999999999'),
    ({"vmid": True}, 'spec.vmid: "true" is not a number from 100 to 999999999'),
    ({"vmid": 18}, 'spec.vmid: "18" is not a number from 100 to 999999999'),
    ({"vmid": 118.0}, 'spec.vmid: "118.0" is not a number from 100 to 999999999'),
    ({"node": "pve1\nreboot"}, 'spec.node: "pve1reboot" is not a node\'s name'),
    ({"node": "$(id)"}, 'spec.node: "$(id)" is not a node\'s name'),
    ({"hostname": "-x"}, 'spec.hostname: "-x" is not a host name'),
    ({"hostname": 7}, 'spec.hostname: "7" is not a host name'),
    ({"tag": "a;b"}, 'spec.tag: "a;b" is not a tag'),
    ({"tag": ""}, 'spec.tag: "" is not a tag'),
    ({"mounts": {"a": 1}}, f"spec.mounts is no list{AGAIN}"),
    ({"mounts": ["x"]}, f"spec.mounts.0 is no JSON object{AGAIN}"),
    ({"mounts": [{"key": "mp0", "volume": "/a"}]}, f"spec.mounts.0.path is missing{AGAIN}"),
    (mount(key="mp256"), 'spec.mounts.0.key: "mp256" is not a key such as mp0'),
    (mount(key="rootfs"), 'spec.mounts.0.key: "rootfs" is not a key such as mp0'),
    (mount(key="mp0;id"), 'spec.mounts.0.key: "mp0;id" is not a key such as mp0'),
    (mount(volume="/a\x00"), 'spec.mounts.0.volume: "/a" is not an absolute path without a comma or an equals sign'),
    (mount(volume="/a\u2028"), 'spec.mounts.0.volume: "/a" is not an absolute path'),
    (mount(volume="/a\u202ex"), 'spec.mounts.0.volume: "/ax" is not an absolute path'),
    (mount(volume="/a\ud800"), 'spec.mounts.0.volume: "/a" is not an absolute path'),
    (mount(volume="/a\x1b[2J"), 'spec.mounts.0.volume: "/a[2J" is not an absolute path'),
    (mount(volume="/mnt/a,b"), 'spec.mounts.0.volume: "/mnt/a,b" is not an absolute path without a comma'),
    (mount(path="/a=b"), 'spec.mounts.0.path: "/a=b" is not an absolute path without a comma or an equals sign'),
    (mount(path="data"), 'spec.mounts.0.path: "data" is not an absolute path'),
    (mount(path="/"), 'spec.mounts.0.path: "/" is not an absolute path'),
    *(
        (mount(volume=path), f'spec.mounts.0.volume: "{path}" is not a path without an empty, "." or ".." part')
        for path in ("/mnt/../etc", "/mnt/.", "/mnt//x", "/mnt/x/", "/..")
    ),
    (mount(volume="/mnt/x "), 'spec.mounts.0.volume: "/mnt/x " is not a path of at most 1024 bytes that does not end'),
    (mount(volume="/" + "ü" * 513), "is not a path of at most 1024 bytes"),
    *(
        (mount(options={option.partition("=")[0]: option.partition("=")[2]}), f'"{option}" is not an option of Proxmox VE')
        for option in (
            *("bogus=1", "ro=2", "mountoptions=exec", "idmap=u:0:0", "idmap=u:0:0:0", "size=1G", "mp=/etc", "ro=1,mp=/"),
            "mountoptions=",
        )
    ),
    (mount(options={"ro": 1}), 'spec.mounts.0.options.ro: "1" is not a text'),
    (mount(options=[1]), f"spec.mounts.0.options is no JSON object{AGAIN}"),
    (mount(options={"r\no": "1"}), 'spec.mounts.0.options: "ro" is not a text'),
    (device(path="/dev/../etc/shadow"), 'spec.devices.0.path: "/dev/../etc/shadow" is not a device such as /dev/net/tun'),
    (device(path="/etc/shadow"), 'spec.devices.0.path: "/etc/shadow" is not a device'),
    (device(path="/dev/a,b"), 'spec.devices.0.path: "/dev/a,b" is not a device'),
    (device(key="mp0"), 'spec.devices.0.key: "mp0" is not a key such as dev0'),
    (device(options={"mode": "660"}), 'spec.devices.0.options: "mode=660" is not an option of Proxmox VE'),
    ({"features": {"nested": "1"}}, 'spec.features: "nested=1" is not a feature of Proxmox VE'),
    ({"features": {"nesting": "2"}}, 'spec.features: "nesting=2" is not a feature of Proxmox VE'),
    ({"features": {"keyctl": 1}}, 'spec.features.keyctl: "1" is not a text'),
    ({"features": {"key\nctl": "1"}}, 'spec.features: "keyctl" is not a text'),
    (directory(path="relative"), 'spec.directories.0.path: "relative" is not an absolute path'),
    (directory(uid=-1), 'spec.directories.0.uid: "-1" is not a number from 0 to 4294967294'),
    (directory(gid="root"), 'spec.directories.0.gid: "root" is not a number'),
    *((directory(mode=mode), "is not a mode such as 0750") for mode in ("999", 750, "0o750", "u=rwx", "07500")),
    (part("payload", sha256=""), 'spec.payload.sha256: "" is not a SHA-256'),
    (part("payload", checks_timeout_seconds=0), 'spec.payload.checks_timeout_seconds: "0" is not a number from 1 to 99999'),
    (part("secrets", names=["A B"]), 'spec.secrets.names.0: "A B" is not the name of a variable'),
    (part("secrets", names="A"), f"spec.secrets.names is no list{AGAIN}"),
    (part("secrets", minimum_lengths=[16]), f"spec.secrets.minimum_lengths is no JSON object{AGAIN}"),
    (part("secrets", minimum_lengths={"A": "16"}), 'spec.secrets.minimum_lengths.A: "16" is not a number'),
    (part("secrets", minimum_lengths={"A": -1}), 'spec.secrets.minimum_lengths.A: "-1" is not a number'),
    (part("bootstrap", command="bootstrap"), 'spec.bootstrap.command: "bootstrap" is not an absolute path'),
    (part("bootstrap", timeout_seconds="9;id"), 'spec.bootstrap.timeout_seconds: "9;id" is not a number'),
    ({"payload": "x"}, f"spec.payload is no JSON object{AGAIN}"),
    ({"mounts": SPEC["mounts"] * 2}, "mp0 is the key of two mounts or devices; give each its own"),
    (
        {"mounts": [SPEC["mounts"][0], {**SPEC["mounts"][0], "key": "mp1"}]},
        "/data is the place in the container of two mounts or devices; give each its own",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[f"{number}" for number in range(len(WRONG))])
def test_each_wrong_value_is_one_sentence_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongSettingsError) as error:
        read_wanted(json.dumps({**SPEC, **change}))
    said = str(error.value)
    assert message in said
    assert said.isprintable()
    assert len(said) < 300


# --- what a destroy believes


def test_of_a_state_only_keys_and_paths_are_believed() -> None:
    state = {
        "vmid": 118,
        "mounts": [{"key": "mp0", "volume": "/srv/x", "path": "/etc", "evil": "$(id)"}],
        "devices": [{"key": "dev3", "path": "/dev/net/tun"}],
        "bootstrap": {"command": "/bin/evil"},
        "directories": [{"path": "/"}],
    }
    assert read_leaving(json.dumps(state)) == Leaving(118, {"mp0": "/srv/x", "dev3": "/dev/net/tun"})


@pytest.mark.parametrize(
    "change",
    [
        {"vmid": "118 --force"},
        {"mounts": [{"key": "rootfs", "volume": "/x"}]},
        {"mounts": [{"key": "mp0,mp1", "volume": "/x"}]},
        {"mounts": [{"key": "--delete", "volume": "/x"}]},
        {"mounts": [{"key": "mp0", "volume": "local-lvm:vm-118-disk-0"}]},
        {"mounts": [{"key": "mp0", "volume": "/x\n/y"}]},
        {"devices": [{"key": "dev0"}]},
    ],
)
def test_a_state_that_says_anything_else_is_refused(change: Mapping[str, Any]) -> None:
    with pytest.raises(WrongSettingsError):
        read_leaving(json.dumps({"vmid": 118, **change}))


# --- whatever it is

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(SPEC)), JSON)
def test_any_json_in_any_place_is_read_or_refused(name: str, value: object) -> None:
    with contextlib.suppress(WrongSettingsError):
        wanted_from({**SPEC, name: value})
