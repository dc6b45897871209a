"""The kind compose: what of a compose file is refused, in which words, and what becomes of the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pve_agents import SettingsError, load_settings
from pve_agents.agents.compose.keys import CAPABILITIES, REFUSED, SERVICE
from pve_agents.agents.compose.settings import Compose
from pve_agents.guest.plan import Data, Directory, Plan, Sidecar
from pve_agents.problems import few
from pve_agents.root_spec import payload_of
from pve_agents.settings import Agent

WEB = {"image": "example/web:1.0"}
AGENT: dict[str, Any] = {
    "vmid": 120,
    "mounts": {
        "mp0": {"host_path": "/mnt/pve/hdd/wiki", "guest_path": "/data"},
        "mp1": {"host_path": "/mnt/pve/hdd/books", "guest_path": "/books", "read_only": True},
    },
    "devices": {"dev0": {"path": "/dev/ttyUSB0"}},
}

Load = Callable[..., Agent]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The agent of a compose file, which lies in a folder of its own; `section` is the rest of the agent's section."""

    def of(file: Any, files: Mapping[str, str] | None = None, **section: Any) -> Agent:
        folder = tmp_path / "app"
        folder.mkdir(exist_ok=True)
        for name, text in {
            **(files or {}),
            "compose.yaml": file if isinstance(file, str) else yaml.safe_dump(file, sort_keys=False),
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        agent = {**AGENT, "compose": {"file": "app/compose.yaml", **section}}
        (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"wiki": agent}}))
        return load_settings(tmp_path).agents["wiki"]

    return of


def refused(load: Load, file: Any, **more: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        load(file, **more)
    place = "homelab.yaml: agents.wiki.compose."
    return [it.removeprefix("app/compose.yaml: ").removeprefix(place) for it in error.value.messages]


def service(**stated: Any) -> dict[str, Any]:
    return {"services": {"web": {**WEB, **stated}}}


def rendered(agent: Agent) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(payload_of(agent).files["docker-compose.yml"].text)
    return tree


def planned(agent: Agent) -> Any:
    return Plan.from_json(payload_of(agent).files["plan.json"].text).compose


# What is refused --------------------------------------------------------------------------------------------------------

# What is stated of the service, the key that is named, how the sentence begins, and what is written instead.
CASES: dict[str, tuple[dict[str, Any], str, str, dict[str, Any]]] = {
    "privileged": ({"privileged": True}, "privileged", "who is privileged is root", {"devices": ["/dev/ttyUSB0"]}),
    "privileged by a variable": ({"privileged": "${P:-true}"}, "privileged", "who is privileged", {"privileged": "${P:-false}"}),
    "capability": ({"cap_add": ["SYS_ADMIN"]}, "cap_add.0", '"SYS_ADMIN" leads out', {"cap_add": ["CAP_NET_ADMIN"]}),
    "all capabilities": ({"cap_add": ["ALL"]}, "cap_add.0", '"ALL" leads out', {"cap_add": ["IPC_LOCK"]}),
    "pid": ({"pid": "host"}, "pid", '"host" shares the processes', {"pid": "service:db"}),
    "ipc": ({"ipc": "host"}, "ipc", '"host" shares the shared memory', {"ipc": "shareable"}),
    "users": ({"userns_mode": "host"}, "userns_mode", '"host" shares the users', {}),
    "uts": ({"uts": "host"}, "uts", '"host" shares the host name', {"hostname": "wiki"}),
    "another container's": ({"pid": "container:x"}, "pid", '"container:x" shares the processes', {}),
    "seccomp": (
        {"security_opt": ["seccomp:unconfined"]},
        "security_opt.0",
        '"seccomp:unconfined" takes a guard away',
        {"security_opt": ["no-new-privileges:true"]},
    ),
    "sysctl": ({"sysctls": ["vm.swappiness=1"]}, "sysctls.0", '"vm.swappiness" is the node\'s', {"sysctls": {"net.core.somaxconn": 1}}),
    "network of another": (
        {"network_mode": "container:x"},
        "network_mode",
        '"container:x" is no network',
        {"network_mode": "service:db"},
    ),
    "ports in the host's network": ({"network_mode": "host", "ports": ["80:80"]}, "ports", "in the network of the host", {"network_mode": "host"}),
    "two networks": ({"network_mode": "host", "networks": ["default"]}, "networks", "network_mode is given too", {"networks": ["default"]}),
    "an unknown network": ({"networks": ["back"]}, "networks", '"back" is not among networks', {"networks": ["default"]}),
    "net_admin of the host's": (
        {"network_mode": "host", "cap_add": ["NET_ADMIN"]},
        "cap_add",
        "with network_mode host NET_ADMIN",
        {"cap_add": ["NET_ADMIN"]},
    ),
    "device": ({"devices": ["/dev/dri/card0"]}, "devices.0", '"/dev/dri/card0" is no device of the agent', {"devices": ["/dev/ttyUSB0:/dev/x"]}),
    "docker's socket": (
        {"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]},
        "volumes.0",
        '"/var/run/docker.sock" gives Docker away',
        {},
    ),
    "the system": ({"volumes": ["/etc:/x"]}, "volumes.0", '"/etc" holds Docker\'s socket', {"volumes": ["/etc/localtime:/etc/localtime:ro"]}),
    "the root": ({"volumes": ["/:/host:ro"]}, "volumes.0", '"/" holds Docker\'s socket', {"volumes": ["/data:/host"]}),
    "our own": ({"volumes": ["/var/lib/pve-agents:/x:ro"]}, "volumes.0", '"/var/lib/pve-agents" holds', {}),
    "undeclared": ({"volumes": ["/srv/wiki:/x"]}, "volumes.0", '"/srv/wiki" is neither a mount', {"volumes": ["/data/wiki:/x"]}),
    "a way round": ({"volumes": ["/data/../etc:/x"]}, "volumes.0", '"/data/../etc" is no plain path', {"volumes": ["/data/etc:/x"]}),
    "read only": ({"volumes": ["/books:/x"]}, "volumes.0", '"/books" lies in the mount /books', {"volumes": ["/books:/x:ro"]}),
    "home": ({"volumes": ["~/x:/x"]}, "volumes.0", '"~/x" is nobody\'s home', {"volumes": ["/data/x:/x"]}),
    "outside": ({"volumes": ["../x:/x:ro"]}, "volumes.0", '"../x" leads out of', {"volumes": ["./there.conf:/x:ro"]}),
    "the whole folder": ({"volumes": [".:/app"]}, "volumes.0", '"." is the whole folder', {"volumes": ["./there.conf:/x:ro"]}),
    "what is not there": ({"volumes": ["./data:/x"]}, "volumes.0", '"./data" neither lies beside', {"volumes": ["vol:/x"]}),
    "written to": ({"volumes": ["./there.conf:/x"]}, "volumes.0", '"./there.conf" lies beside', {"volumes": ["./there.conf:/x:ro"]}),
    "what is no text": ({"volumes": ["./picture.png:/x:ro"]}, "volumes.0", '"picture.png" is no text', {}),
    "a token in a file": ({"volumes": ["./token.conf:/x:ro"]}, "volumes.0", "there seems to be a secret in it", {}),
    "propagation": ({"volumes": ["/data:/x:rshared"]}, "volumes.0", '"/data:/x:rshared" has its mounts seen', {"volumes": ["/data:/x:z"]}),
    "an unknown mode": ({"volumes": ["/data:/x:rx"]}, "volumes.0", '"/data:/x:rx" ends in "rx"', {"volumes": ["/data:/x:rw"]}),
    "no target": ({"volumes": ["/data:x"]}, "volumes.0", '"x" is no path', {"volumes": ["/data:/x"]}),
    "an unknown type": ({"volumes": [{"type": "npipe", "target": "/x"}]}, "volumes.0", '"npipe" is no type', {"volumes": [{"type": "tmpfs", "target": "/x"}]}),
    "an unknown key of a volume": ({"volumes": [{"type": "bind", "sauce": "/data", "target": "/x"}]}, "volumes.0", 'a volume has no key "sauce"', {}),
    "image": ({"image": "Web"}, "image", '"Web" is not an image', {"image": "registry.home.arpa:5000/web@sha256:" + "a" * 64}),
    "user": ({"user": "a b"}, "user", '"a b" is no user', {"user": "1000:1000"}),
    "shape": ({"ports": "80:80"}, "ports", '"80:80" is not what belongs here; write a list', {"ports": ["80:80"]}),
    "an unknown key": ({"restrat": "always"}, "restrat", "a service has no such key here; did you mean restart?", {"restart": "always"}),
    "a foreign label": ({"labels": ["com.docker.x=1"]}, 'labels."com.docker.x"', "Docker and this project know", {"labels": ["x=1"]}),
    "swarm": ({"deploy": {"placement": {}}}, "deploy.placement", "without Swarm Compose ignores this", {"deploy": {"resources": {"limits": {"memory": "1g"}}}}),
    "several": ({"scale": 2}, "scale", "2 of a service is not looked after", {"scale": 1}),
    "a GPU": ({"deploy": {"resources": {"reservations": {"devices": []}}}}, "deploy.resources.reservations.devices", "a GPU comes by", {}),
    "a log elsewhere": ({"logging": {"driver": "syslog"}}, "logging.driver", '"syslog" takes the log elsewhere', {"logging": {"driver": "local"}}),
    "a service that is not here": ({"depends_on": ["mail"]}, "depends_on.mail", '"mail" is no service that runs here', {"depends_on": ["db"]}),
    "a condition": ({"depends_on": {"db": {"condition": "ready"}}}, "depends_on.db", '"ready" is no condition', {"depends_on": {"db": {"condition": "service_started"}}}),
    "a config that is not there": ({"configs": ["x"]}, "configs.0", '"x" is not among configs', {}),
    "a variable's value": ({"command": "echo $NAME"}, "command", "NAME has no value", {"command": "echo $$NAME"}),
    "a brace": ({"command": "echo ${NAME"}, "command", '"echo ${NAME" has a ${ without', {"command": "echo $${NAME"}),
    "a secret that is written out": ({"environment": {"DB_PASSWORD": "x"}}, "environment.DB_PASSWORD", "DB_PASSWORD is a secret by its name", {"environment": {"DB_PASSWORD": ""}}),
    "a token": ({"command": "x sk-abcdefghijklmnop0123"}, "command", "this seems to be a secret", {"command": "x"}),
    "a time to stop": ({"stop_grace_period": "10m"}, "stop_grace_period", '"10m" is no time', {"stop_grace_period": "4m"}),
    "a file of variables": ({"env_file": "x.env"}, "env_file", '"x.env" does not lie beside', {"env_file": "there.env"}),
    "a secret in it": ({"env_file": ["key.env"]}, "env_file.0", 'API_KEY in "key.env" seems to be a secret', {}),
}  # fmt: skip
FILES = {
    "there.conf": "x",
    "there.env": "A=1\nDB_PASSWORD=\n",
    "key.env": "API_KEY=hunter2\n",
    "token.conf": "key sk-abcdefghijklmnop0123\n",
}


def with_db(stated: Mapping[str, Any]) -> dict[str, Any]:
    return {"services": {"web": {**WEB, **stated}, "db": {"image": "postgres:17.6"}}, "volumes": {"vol": {}}}


@pytest.mark.parametrize("name", CASES)
def test_what_leads_out_of_the_container_or_would_not_hold_is_refused_with_what_to_write(
    name: str, load: Load, tmp_path: Path
) -> None:
    stated, key, beginning, instead = CASES[name]
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "picture.png").write_bytes(b"\x89PNG\xff")
    (sentence,) = refused(load, with_db(stated), files=FILES)
    assert sentence.startswith(f"services.web.{key}: {beginning}")
    assert load(with_db(instead), files=FILES)


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_leads_out_is_refused_with_its_reason(key: str, load: Load) -> None:
    assert f"services.web.{key}: {REFUSED[key]}." in refused(load, service(**{key: "x"}))


def test_no_key_is_both_refused_and_taken() -> None:
    assert set(SERVICE) & set(REFUSED) == {"annotations"}
    assert {"SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "DAC_READ_SEARCH", "BPF"} & CAPABILITIES == set()


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ([], "this has no services; write a compose file with services, each with its image."),
        ({"services": {}}, "this has no services; write a compose file with services, each with its image."),
        ({**service(), "modles": {}}, "modles: a compose file has no such key here; "),
        ({**service(), "include": ["x"]}, "include: one file is read; write what the others say into it."),
        ({"services": {"web": None}}, "services.web: null is not a mapping; write its image."),
        ({"services": {"web": {}}}, "services.web.image: this is missing; write the image with its tag, such as redis:8.2."),
        ({"services": {"we b": WEB}}, 'services."we b": this is no name of a service; '),
        ({"services": {"web": {**WEB, "profiles": ["x"]}}}, "services: every service here has a profile; "),
        ({**service(), "volumes": {"v": {"external": True}}}, "volumes.v.external: there is no volume yet"),
        ({**service(), "volumes": {"v": {"driver_opts": {"o": "bind"}}}}, "volumes.v.driver_opts: this shows a service any place"),
        ({**service(), "volumes": {"v": {"name": "x"}}}, "volumes.v.name: the name is made from"),
        ({**service(), "volumes": {"v": {"driver": "nfs"}}}, 'volumes.v.driver: "nfs" is no driver'),
        (service(volumes=["v:/x"]), "volumes: v is missing, and a service wants it; write v: {}."),
        ({**service(), "networks": {"n": {"external": True}}}, "networks.n.external: "),
        ({**service(), "secrets": {"s": {"file": "x"}}}, "secrets.s.file: a file with a secret would lie in cdktf.out; "),
        ({**service(), "secrets": {"s": {"external": True}}}, "secrets.s: there is nobody who has it; "),
        ({**service(), "secrets": {"s": {"environment": "NOPE"}}}, 'secrets.s.environment: "NOPE" is not among secrets'),
        ({**service(), "configs": {"c": {}}}, "configs.c: a config has one source; write content, environment or file."),
        ({**service(), "configs": {"c": {"file": "x"}}}, 'configs.c.file: "x" does not lie beside the compose file; '),
        ({**service(), "configs": {"c": {"environment": "NOPE"}}}, 'configs.c.environment: "NOPE" has no value; '),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_rest_of_the_file_is_said_at_its_place(tree: Any, sentence: str, load: Load) -> None:
    assert refused(load, tree)[0].startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("services: {web: {image: 'a:1'}}\nservices: {}", '"app/compose.yaml": line 2, column 1: the key services stands twice'),
        ("services: [\t", '"app/compose.yaml": line 1, column 12: there is a tab'),
        ("services: !reset {}", '"app/compose.yaml": line 1, column 11: the tag !reset is not used here'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_yaml_is_said_with_its_line(text: str, sentence: str, load: Load) -> None:
    assert refused(load, text)[0].removeprefix("file: ").startswith(sentence)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nowhere.yaml", '"nowhere.yaml" does not exist; name a file relative to homelab.yaml.'),
        ("app", '"app" is a directory; name the file in it, such as app/compose.yaml.'),
    ],
)
def test_a_file_that_is_not_there_is_one_sentence(path: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    agent = {**AGENT, "compose": {"file": path}}
    (tmp_path / "homelab.yaml").write_text(yaml.safe_dump({"agents": {"wiki": agent}}))
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert error.value.messages == [f"homelab.yaml: agents.wiki.compose.file: {sentence}"]


# What the section says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"variables": {"A": 1}}, "variables.A: 1 is not text; write it in quotes."),
        ({"variables": {"a-b": "x"}}, "variables.a-b: this is not the name of a variable; "),
        ({"variables": {"DB_PASSWORD": "x"}}, "variables.DB_PASSWORD: this seems to be a secret; write its name under secrets"),
        ({"secrets": ["A_KEY"]}, "services: no service gets A_KEY; write ${A_KEY} where it belongs"),
        ({"directories": ["../x"]}, 'directories.0.path: "../x" is no directory below the compose file; '),
        ({"directories": ["/etc/x"]}, 'directories.0.path: "/etc/x" holds Docker\'s socket'),
        ({"directories": ["./a", "a"]}, 'directories: "a" stands twice in the list; keep one.'),
        ({"directories": ["./a"]}, 'services: no service is shown "a", which is declared under'),
        ({"directories": [{"uid": 1}]}, "directories.0.path: this is missing; write its path, such as ./data or /srv/wiki."),
        ({"checks": [{"http": "ftp://x"}]}, 'checks.0.http: "ftp://x" is not an URL'),
        ({"checks": [{}]}, "checks.0.http: this is missing; write an URL"),
        ({"start_seconds": 0}, "start_seconds: 0 is not a number of seconds; write a whole number from 1 to 900."),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_right_is_said_at_its_place(
    section: dict[str, Any], sentence: str, load: Load
) -> None:
    assert refused(load, service(), **section)[0].startswith(sentence)


def test_a_link_that_leads_out_of_the_folder_does_not_travel(load: Load, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "outside").write_text("x")
    (tmp_path / "app" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "app" / "conf").mkdir()
    (tmp_path / "app" / "conf" / "link").symlink_to(tmp_path / "outside")
    for source in ("link", "conf"):
        (sentence,) = refused(load, service(volumes=[f"./{source}:/x:ro"]))
        assert "is a link that leads out of the folder; copy the file into it." in sentence


def test_what_lies_where_another_service_could_put_a_link_is_refused(load: Load) -> None:
    tree = {"services": {"web": {**WEB, "volumes": ["/data:/x"]}, "db": {**WEB, "volumes": ["/data/db:/x"]}}}
    (sentence,) = refused(load, tree)
    assert sentence.startswith('services.db.volumes.0: "/data/db" lies in "/data", where an agent may put a link')
    tree["services"]["web"]["volumes"] = ["/data/web:/x"]
    assert load(tree)


def test_a_secret_has_a_place_where_it_stays_in_the_container(load: Load) -> None:
    assert refused(load, service(labels=["x=$KEY"], environment={"A": "$KEY"}), secrets=["KEY"]) == [
        'services.web.labels.0: "x=${KEY}" has a secret, which belongs into environment; write it there.'
    ]
    assert refused(load, service(image="x:$KEY"), secrets=["KEY"])[0].startswith("services.web.image: ")


def test_no_more_is_said_than_somebody_reads(load: Load) -> None:
    tree = {"services": {f"s{i}": {**WEB, "privileged": True} for i in range(50)}}
    assert len(refused(load, tree)) == len(few(["x"] * 50, ""))


# What becomes of it -----------------------------------------------------------------------------------------------------


def test_what_a_service_lacks_here_is_added_and_what_it_states_stays(load: Load) -> None:
    tree = {
        "services": {
            "web": {**WEB, "depends_on": {"job": {"condition": "service_completed_successfully"}}},
            "job": WEB,
            "mine": {**WEB, "restart": "always", "logging": {"driver": "local"}},
        }
    }
    services = rendered(load(tree))["services"]
    assert [services[it].get("restart") for it in ("web", "job", "mine")] == ["unless-stopped", None, "always"]
    assert services["web"]["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert services["mine"]["logging"] == {"driver": "local"}


def test_the_program_in_the_container_is_told_what_ends_and_what_it_keeps(load: Load) -> None:
    tree = {
        "services": {
            "web": {
                **WEB,
                "volumes": ["./data:/data", "vol:/vol", "/data/x:/x", "/srv/cache:/cache"],
                "depends_on": {"job": {"condition": "service_completed_successfully"}},
            },
            "job": {"image": "example/job:2.0", "command": ["${KEY}"]},
        },
        "volumes": {"vol": None},
    }
    agent = load(
        tree, secrets=["KEY"], directories=["data", {"path": "/srv/cache", "uid": 5, "gid": 6, "mode": "0700"}]
    )
    told = planned(agent)
    assert told.sidecars == (Sidecar("web", "example/web:1.0"), Sidecar("job", "example/job:2.0", ends=True))
    assert told.directories == (Directory("/srv/wiki/data"), Directory("/srv/cache", 5, 6, 0o700))
    # What lies in a mount is the operator's own to copy.
    assert told.data == (
        Data("data", "/srv/wiki/data"),
        Data("volume:vol", "/var/lib/docker/volumes/wiki_vol/_data"),
        Data("srv-cache", "/srv/cache"),
    )
    assert (told.variables, told.network, told.stop_seconds) == (("KEY",), "bridge", 10)


def test_a_secret_arrives_by_its_name_alone(load: Load) -> None:
    tree = {
        "services": {"web": {**WEB, "environment": ["A=x${KEY}y", "KEY", "B=$$1"], "secrets": ["file"]}},
        "secrets": {"file": {"environment": "OTHER_KEY"}},
    }
    agent = load(tree, secrets=["KEY", "OTHER_KEY"])
    assert rendered(agent)["services"]["web"]["environment"] == {"A": "x${KEY}y", "KEY": "${KEY}", "B": "$$1"}
    assert rendered(agent)["services"]["web"]["labels"] == {"pve-agents.revision": "${REVISION_WEB}"}
    assert planned(agent).sidecars[0].secrets == ("OTHER_KEY",)
    assert payload_of(agent).secrets == ("KEY", "OTHER_KEY")
    assert payload_of(agent).secrets_of_compose == ("OTHER_KEY", "KEY")


def test_a_file_beside_it_travels_and_a_change_starts_its_service_anew(load: Load, tmp_path: Path) -> None:
    files = {"conf/a.conf": "a", "conf/b.conf": "b", "start.sh": "#!/bin/sh\n", "x.env": "A=1\n"}
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "start.sh").touch(0o755)
    tree = service(volumes=["./conf:/conf:ro", "./start.sh:/start.sh:ro"], env_file="x.env")

    def label() -> str:
        return str(rendered(load(tree, files=files))["services"]["web"]["labels"]["pve-agents.contents"])

    payload = payload_of(load(tree, files=files))
    assert {name: payload.files[f"beside/{name}"].text for name in files} == files
    assert {name: oct(payload.files[f"beside/{name}"].mode) for name in ("start.sh", "x.env")} == {
        "start.sh": "0o755",
        "x.env": "0o644",
    }
    told = planned(load(tree, files=files))
    assert set(told.files) == {"docker-compose.yml", "beside/conf/a.conf", "beside/conf/b.conf", "beside/x.env"}
    assert told.programs == ("beside/start.sh",)
    first = label()
    assert label() == first
    files["conf/b.conf"] = "c"
    assert label() != first
    second = label()
    os.chmod(tmp_path / "app" / "start.sh", 0o644)  # noqa: PTH101
    assert label() != second


def test_a_service_whose_profile_is_off_is_not_there(load: Load) -> None:
    tree = {"services": {"web": WEB, "gpu": {**WEB, "profiles": ["gpu"], "privileged": "${NOWHERE}"}}}
    assert [*rendered(load(tree))["services"]] == ["web"]
    tree["services"]["gpu"] = {**WEB, "profiles": ["gpu"]}
    assert [*rendered(load(tree, profiles=["gpu"]))["services"]] == ["web", "gpu"]


def test_images_that_move_secrets_in_commands_and_services_that_stay_down_are_worth_a_look(load: Load) -> None:
    tree = {
        "services": {
            "web": {"image": "example/web:latest"},
            "bare": {"image": "example/web"},
            "pinned": {"image": f"example/web:latest@sha256:{'a' * 64}", "command": "serve --key ${KEY}"},
            "down": {**WEB, "restart": "no"},
        }
    }
    agent = load(tree, secrets=["KEY"])
    moves = "means another image from time to time; write a release, or a digest."
    shown = (
        "the command has KEY in it, which every process in the container can see; write it under environment where the"
    )
    assert agent.warnings == (
        f"app/compose.yaml: services.web.image: example/web:latest {moves}",
        f"app/compose.yaml: services.bare.image: example/web {moves}",
        f"app/compose.yaml: services.pinned.command: {shown} service reads it there.",
        "app/compose.yaml: services.down.restart: nobody starts it after a reboot; write unless-stopped, unless it ends by itself.",
    )
    assert planned(agent).moving == ("example/web:latest", "example/web")


def test_the_layers_around_wait_for_the_slowest_service(load: Load) -> None:
    tree = {"services": {"web": {**WEB, "stop_grace_period": "2m"}, "db": WEB}}
    agent = load(tree)
    assert (agent.stopping.service, agent.stopping.services) == (120, 130)
    assert planned(agent).stop_seconds == 120


def test_the_section_is_read_again_as_it_was(load: Load) -> None:
    section = Compose.of(load(service(volumes=["./d:/d"]), directories=["d"], variables={"A": "1"}))
    assert section
    again = section.model_dump(mode="json", exclude_unset=True)
    assert (
        Compose.of(load(service(volumes=["./d:/d"]), **{key: it for key, it in again.items() if key != "file"}))
        == section
    )
