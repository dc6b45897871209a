"""What a sidecar may be, in the words of Compose."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.agents.hermes import compose_words
from pve_agents.agents.hermes.settings import Hermes
from tests.scripts import compose_reader
from tests.sidecar_keys import EVERY_KEY


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


def load(directory: Path, hermes: dict[str, Any], **agent: Any) -> Hermes:
    settings = {"agents": {"hermes": {**agent, "hermes": hermes}}}
    (directory / "homelab.yaml").write_text(yaml.safe_dump(settings))
    loaded = Hermes.of(load_settings(directory).agents["hermes"])
    assert loaded
    return loaded


def refused(directory: Path, hermes: dict[str, Any], **agent: Any) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        load(directory, hermes, **agent)
    return [message.removeprefix("homelab.yaml: agents.hermes.") for message in refusal.value.messages]


def sidecar(**more: Any) -> dict[str, Any]:
    return {"sidecars": {"side": {"image": "x:1", **more}}}


# Dollars --------------------------------------------------------------------------------------------------------------

VARIABLES = ("$X", "${X}", "${X:-a}", "${X", "$$$X", "$$ ${X}", "$2y$10$salt", "$_", "$\u017f")
PLACES: dict[str, Any] = {
    "command": lambda text: sidecar(command=["echo", text]),
    "healthcheck": lambda text: sidecar(healthcheck={"test": ["CMD-SHELL", text]}),
    "environment": lambda text: sidecar(environment={"A": text}),
    "labels": lambda text: sidecar(labels={"a": text}),
    "networks": lambda text: {"network_mode": "bridge", "networks": {"web": {"labels": {"a": text}}}},
}


@pytest.mark.parametrize("text", VARIABLES)
@pytest.mark.parametrize("place", PLACES)
def test_what_compose_takes_for_a_variable_is_refused_with_the_sign_doubled(
    directory: Path, place: str, text: str
) -> None:
    (message,) = refused(directory, PLACES[place](text))
    found = re.search(r'; write \$\$ for the sign itself, so ("[^"]*")', message)
    assert found
    remedy = json.loads(found[1])
    load(directory, PLACES[place](remedy))
    assert compose_reader.interpolated(remedy, {}) == text.replace("$$", "$")


@pytest.mark.parametrize("text", ["$$", "$$X", "$${X}", "5$$", "$$$$", "a$$b", "5$", "$1", "a $ b", "$$$"])
@pytest.mark.parametrize("place", PLACES)
def test_two_dollars_or_a_lone_one_are_the_sign_itself(directory: Path, place: str, text: str) -> None:
    load(directory, PLACES[place](text))


def test_a_dollar_outside_of_composes_words_needs_no_second(directory: Path) -> None:
    assert load(directory, {"environment": {"PRICE": "5$"}}).environment["PRICE"] == "5$"


# The keys of a sidecar ------------------------------------------------------------------------------------------------

# Each a way out of the container, or to somebody else's, with what its message says to write instead.
KEYS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "provider": ({"type": "/bin/sh"}, "runs as root in the LXC container; leave it out, and write image", {}),
    "label_file": (["/etc/pve-agents/hermes.env"], "write labels", {"labels": {"a": "b"}}),
    "env_file": (["/etc/pve-agents/hermes.env"], "write secrets", {"secrets": ["SIDE_TOKEN"]}),
    "configs": ([{"source": "a"}], "write volumes", {"volumes": ["/srv/books:/books"]}),
    "volumes_from": (["hermes"], "write volumes", {"volumes": ["/srv/books:/books"]}),
    "build": (".", "write image", {}),
    "extends": ({"file": "/etc/x.yml", "service": "a"}, "write the keys out", {}),
    "privileged": (True, "leave it out", {}),
    "cap_add": (["SYS_ADMIN"], "leave it out", {}),
    "security_opt": (["apparmor:unconfined"], "leave it out", {}),
    "pid": ("host", "leave it out", {}),
    "ipc": ("host", "leave it out", {}),
    "uts": ("host", "leave it out", {}),
    "userns_mode": ("host", "leave it out", {}),
    "cgroup": ("host", "leave it out", {}),
    "cgroup_parent": ("/", "leave it out", {}),
    "network_mode": ("host", "leave it out", {}),
    "runtime": ("runc", "leave it out", {}),
    "sysctls": ({"kernel.core_pattern": "|/x"}, "leave it out", {}),
    "device_cgroup_rules": (["a *:* rwm"], "write devices", {}),
    "gpus": ("all", "write devices", {}),
    "post_start": ([{"command": "id", "privileged": True}], "leave it out", {}),
    "pre_stop": ([{"command": "id", "privileged": True}], "leave it out", {}),
    "use_api_socket": (True, "leave it out", {}),
    "credential_spec": ({"file": "/etc/shadow"}, "leave it out", {}),
    "develop": ({"watch": [{"path": "/etc", "action": "sync", "target": "/x"}]}, "leave it out", {}),
    "annotations": ({"run.oci.hooks": "x"}, "leave it out", {}),
    "external_links": (["db"], "leave it out", {}),
    "links": (["hermes"], "leave it out", {}),
    "container_name": ("hermes", "leave it out", {}),
    "oom_score_adj": (-1000, "write mem_limit", {"mem_limit": "1g"}),
    "oom_kill_disable": (True, "write mem_limit", {"mem_limit": "1g"}),
    "blkio_config": (
        {"device_read_bps": [{"path": "/dev/sda", "rate": 1}]},
        "write mem_limit and cpus",
        {"mem_limit": "1g", "cpus": 1},
    ),
    "storage_opt": ({"size": "1G"}, "leave it out", {}),
    "mac_address": ("02:42:ac:11:00:02", "leave it out", {}),
    "models": (["m"], "leave it out", {}),
    "scale": (3, "write another one", {}),
    "profiles": (["a"], "leave it out", {}),
    "domainname": ("home.arpa", "write it behind hostname", {"hostname": "side.home.arpa"}),
    "isolation": ("process", "leave it out", {}),
    "attach": (False, "leave it out", {}),
    "cpu_rt_runtime": ("95000", "leave it out", {}),
    "cpu_rt_period": ("95000", "leave it out", {}),
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_leads_out_of_the_container_is_refused_with_what_to_write(directory: Path, key: str) -> None:
    value, remedy, instead = KEYS[key]
    (message,) = refused(directory, sidecar(**{key: value}))
    assert message.startswith(f"hermes.sidecars.side.{key}: ")
    assert message.endswith(f"{remedy}.")
    load(directory, sidecar(**instead))


def test_every_key_of_composes_is_known_or_refused_with_a_reason() -> None:
    assert set(KEYS) == set(compose_words._REFUSED)
    assert not set(KEYS) & {*compose_words._CHECKED, *compose_words._PASSED_ON}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"imagee": "x"}, "sidecars.side.imagee: a sidecar has no such key here; did you mean image?"),
        ({"x-mine": 1}, "sidecars.side.x-mine: a sidecar has no such key here; leave it out, or write one of image, "),
        ({"novel_of_2030": 1}, "sidecars.side.novel_of_2030: a sidecar has no such key here; leave it out, or write"),
        (
            {"healthcheck": {"tests": "x"}},
            "sidecars.side.healthcheck.tests: a healthcheck has no such key here; did you",
        ),
        (
            {"deploy": {"mode": "global"}},
            "sidecars.side.deploy.mode: deploy of a sidecar has no such key here; leave it",
        ),
        (
            {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}},
            (
                "sidecars.side.deploy.resources.reservations.devices: a GPU comes by the paths of its devices, such as "
                "/dev/dri/renderD128; write devices of the sidecar."
            ),
        ),
        (
            {"deploy": {"resources": {"limits": {"generic_resources": []}}}},
            "sidecars.side.deploy.resources.limits.generic_resources: limits has no such key here; leave it out, or",
        ),
        (
            {"logging": {"driver": "syslog", "options": {"syslog-address": "unix:///run/docker.sock"}}},
            'sidecars.side.logging.driver: "syslog" takes the log elsewhere; write json-file, local, none.',
        ),
        (
            {"labels": {"com.docker.compose.project": "other"}},
            (
                'sidecars.side.labels."com.docker.compose.project": Docker and this project know their containers by it; '
                "leave it out."
            ),
        ),
        ({"labels": ["pve-agents.revision=1"]}, 'sidecars.side.labels."pve-agents.revision": Docker and this project'),
    ],
)
def test_what_stands_below_a_key_is_checked_as_well(directory: Path, more: dict[str, Any], message: str) -> None:
    (found,) = refused(directory, sidecar(**more))
    assert found.startswith(f"hermes.{message}")


def test_all_that_a_sidecar_may_say_is_passed_on(directory: Path) -> None:
    stated = load(directory, sidecar(**EVERY_KEY)).sidecars["side"].compose
    assert {key: stated[key] for key in EVERY_KEY} == EVERY_KEY
    assert set(EVERY_KEY) == set(compose_words._PASSED_ON)


# Networks -------------------------------------------------------------------------------------------------------------


def bridged(network: Any) -> dict[str, Any]:
    return {"network_mode": "bridge", "networks": {"web": network}}


@pytest.mark.parametrize(
    ("network", "messages", "remedy"),
    [
        (
            {"external": True, "name": "host"},
            [
                (
                    "external: a network that is there already may be the LXC container's own; leave it out, and Compose "
                    "makes one."
                ),
                "name: the name is made from the agent's and the network's; leave it out.",
            ],
            {},
        ),
        ({"attachable": True}, ["attachable: nobody else joins it; leave it out."], None),
        (
            {"driver": "host"},
            ['driver: "host" leads past the LXC container\'s own network; write bridge, or leave it out.'],
            {"driver": "bridge"},
        ),
        (
            {"driver": "macvlan", "driver_opts": {"parent": "eth0"}},
            [
                'driver: "macvlan" leads past the LXC container\'s own network; write bridge, or leave it out.',
                (
                    "driver_opts.parent: this names a device of the network's; leave it out, or write another option of the "
                    "bridge's, such as com.docker.network.driver.mtu."
                ),
            ],
            {"driver": "bridge", "driver_opts": {"com.docker.network.driver.mtu": "1400"}},
        ),
        (
            {"driver_opts": {"com.docker.network.bridge.name": "eth0"}},
            [
                (
                    'driver_opts."com.docker.network.bridge.name": this names a device of the network\'s; leave it out, or '
                    "write another option of the bridge's, such as com.docker.network.driver.mtu."
                )
            ],
            {},
        ),
        (
            {"ipam": {"driver": "mine", "config": [{"subnett": "10.9.0.0/24"}]}},
            [
                'ipam.driver: "mine" is no driver that Docker brings; write default, or leave it out.',
                "ipam.config.0.subnett: a subnet has no such key here; did you mean subnet?",
            ],
            {"ipam": {"driver": "default", "config": [{"subnet": "10.9.0.0/24"}]}},
        ),
        (
            {"internall": True},
            ["internall: a network has no such key here; did you mean internal?"],
            {"internal": True},
        ),
        ("web", [': "web" is not a mapping; write keys and values, or {}.'], {}),
    ],
)
def test_a_network_is_composes_own_bridge(directory: Path, network: Any, messages: list[str], remedy: Any) -> None:
    place = "hermes.networks.web" if isinstance(network, str) else "hermes.networks.web."
    assert refused(directory, bridged(network)) == [f"hermes.{place[7:]}{message}" for message in messages]
    load(directory, bridged(remedy))


# Places ---------------------------------------------------------------------------------------------------------------

ATTACKS = (
    *(
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/srv/docker.sock",
        "/run/containerd",
        "/run/containerd/containerd.sock",
    ),
    *("/run/systemd", "/run/dbus", "/etc/cron.d", "/etc/pve-agents", "/etc/pve-agents/hermes.env", "/etc", "/root"),
    *("/root/.ssh", "/dev", "/dev/sda", "/proc", "/proc/1/root", "/sys", "/usr/local/bin", "/usr", "/boot", "/lib"),
    *(
        "/opt/pve-agents",
        "/opt/pve-agents/hermes",
        "/opt",
        "/opt/containerd",
        "/tmp",  # noqa: S108 - refused
        "/var",
        "/var/lib",
        "/var/spool/cron",
    ),
    *("/var/lib/docker", "/var/lib/docker/volumes", "/var/lib/containerd", "/var/lib/pve-agents/hermes", "/var/log"),
    *("/var/lib/systemd/linger", "/var/lib/dpkg/info", "/bin", "/sbin/init", "/snap", "/lib64"),
)
# Each way to name a place of the LXC container.
NAMES: dict[str, Any] = {
    "volumes": lambda path: {"volumes": [f"{path}:/mnt/x"]},
    "volumes, read only": lambda path: {"volumes": [f"{path}:/mnt/x:ro"]},
    "a sidecar's volumes": lambda path: sidecar(volumes=[f"{path}:/mnt/x"]),
    "a sidecar's volumes, read only": lambda path: sidecar(volumes=[f"{path}:/mnt/x:ro"]),
    "a profile's volumes": lambda path: {
        "profiles": {"work": {"api_server": {"port": 8643}, "volumes": [f"{path}:/mnt/x"]}}
    },
    "audio.pulse_socket": lambda path: {"audio": {"pulse_socket": path, "pulse_cookie": "/mnt/pulse/cookie"}},
    "audio.pulse_cookie": lambda path: {"audio": {"pulse_cookie": path}},
    "data_directory": lambda path: {"data_directory": path},
}


@pytest.mark.parametrize("path", ATTACKS)
@pytest.mark.parametrize("name", NAMES)
def test_a_place_that_makes_root_in_the_container_is_shown_by_no_setting(directory: Path, name: str, path: str) -> None:
    (message, *_) = refused(directory, NAMES[name](path))
    if such_as := re.search(r", such as (/\S+)\.$", message):
        load(directory, NAMES[name](such_as[1] if name != "audio.pulse_cookie" else f"{such_as[1]}/cookie"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    [
        "/srv/../etc",
        "/srv/./x",
        "/srv//x",
        "/srv/x/",
        "//etc",
        "/srv/..",
        "srv",
        "data",
        "~/x",
        "/srv/../run/docker.sock",
    ],
)
def test_a_place_has_one_spelling(directory: Path, name: str, path: str) -> None:
    refused(directory, NAMES[name](path))


@pytest.mark.parametrize("name", NAMES)
def test_a_place_of_the_operators_own_is_shown(directory: Path, name: str) -> None:
    for path in ("/srv/books", "/mnt/books", "/media/books", "/opt/books", "/var/lib/books", "/books"):
        load(directory, NAMES[name](path))


@pytest.mark.parametrize(
    "path", ["/root/.ssh", "/usr/local/bin", "/var/spool/cron", "/var/lib/docker", "/opt/pve-agents"]
)
def test_a_mount_shows_no_place_of_the_system_to_the_agent(directory: Path, path: str) -> None:
    mounts = {"mp0": {"host_path": "/srv/hermes", "guest_path": path}}
    (message, *_) = refused(directory, {}, mounts=mounts)
    if such_as := re.search(r", such as (/\S+)\.$", message):
        load(directory, {}, mounts={"mp0": {**mounts["mp0"], "guest_path": such_as[1]}})


@pytest.mark.parametrize("path", ["/etc/localtime", "/etc/ssl/certs", "/usr/share/zoneinfo"])
def test_what_is_harmless_to_read_is_shown_to_be_read(directory: Path, path: str) -> None:
    (message,) = refused(directory, sidecar(volumes=[f"{path}:{path}"]))
    assert message.endswith("belongs to the system, and may be shown to be read only; write it with :ro.")
    load(directory, sidecar(volumes=[f"{path}:{path}:ro"]))


@pytest.mark.parametrize("path", ["/managed", "/opt/data/x", "/opt/hermes"])
def test_sound_hides_nothing_of_hermes_own(directory: Path, path: str) -> None:
    audio = {"pulse_socket": path, "pulse_cookie": "/mnt/pulse/cookie"}
    (message,) = refused(directory, {"audio": audio})
    assert message.endswith("is Hermes' own in its container; write another place, such as /mnt/pulse.")
    load(directory, {"audio": {**audio, "pulse_socket": "/mnt/pulse"}})


@pytest.mark.parametrize(
    ("hermes", "place", "around"),
    [
        (sidecar(volumes=["/data/shared:/x"]), "sidecars.side.volumes.0", "/data"),
        (sidecar(volumes=["/data/shared:/x:ro"]), "sidecars.side.volumes.0", "/data"),
        ({"volumes": ["/fast/a/b:/x"]}, "volumes.0", "/fast"),
        ({"volumes": ["/srv:/srv"], **sidecar(volumes=["/srv/books:/x"])}, "sidecars.side.volumes.0", "/srv"),
        (sidecar(volumes=["/opt/hermes-data/skills:/x"]), "sidecars.side.volumes.0", "/opt/hermes-data"),
        ({"audio": {"pulse_cookie": "/data/cookie"}}, "audio.pulse_cookie", "/data"),
    ],
)
def test_nothing_is_shown_whose_place_an_agent_can_put_a_link_in(
    directory: Path, hermes: dict[str, Any], place: str, around: str
) -> None:
    """Docker, who is root, follows a link to /etc/pve-agents, and does so again at each start."""
    (message,) = refused(directory, hermes)
    assert message.startswith(f"hermes.{place}: ")
    assert f" lies in {json.dumps(around)}, where an agent may put a link in its place" in message
    assert message.endswith(f"write {around} itself, or a directory outside of it, such as /srv/books.")


def test_what_lies_in_a_mount_that_nobody_writes_or_is_one_is_shown(directory: Path) -> None:
    mounts = {
        "mp0": {"host_path": "/srv/hermes", "guest_path": "/data"},
        "mp1": {"host_path": "/srv/books", "guest_path": "/books", "read_only": True},
    }
    load(directory, sidecar(volumes=["/data:/x", "/books/old:/y", "/books:/z"]), mounts=mounts)


def test_a_data_directory_in_a_mount_warns_and_a_mount_of_its_own_does_not(directory: Path) -> None:
    def warned(**mounts: str) -> list[str]:
        (directory / "homelab.yaml").write_text(
            yaml.safe_dump(
                {
                    "agents": {
                        "hermes": {
                            "mounts": {
                                key: {"host_path": f"/srv/{key}", "guest_path": path} for key, path in mounts.items()
                            },
                            "hermes": {"data_directory": "/data/hermes"},
                        }
                    }
                }
            )
        )
        return [it for it in load_settings(directory).warnings if "data_directory" in it]

    (warning,) = warned(mp0="/data")
    assert warning.endswith("give it a mount of its own, with guest_path: /data/hermes.")
    assert warned(mp0="/fast", mp1="/data/hermes") == []
