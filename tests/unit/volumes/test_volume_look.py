"""What is seen of a container's volumes, and of those who have them on other nodes of the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from pve_agents.node_api import Node, NodeError, access
from pve_agents.volumes.act import look
from pve_agents.volumes.plan import Seen
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, PetVolume, Wanted
from tests.unit.fake_api import TOKEN, Answer, Pve

pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")

HOME = "local-lvm:vm-999-disk-1"
PETS = (AttachedVolume("/data", PetVolume(999, "home"), "mp0"),)
WANTED = Wanted("hermes", "pve1", 118, "hermes", "pve-agents-hermes", volumes=PETS, pet=999)

Look = Callable[..., Seen]


class Cluster:
    """Two nodes: the pet and the agent are on one, and somebody else's container is on the other one."""

    def __init__(self) -> None:
        self.configs = {
            "pve1/lxc/118": {"hostname": "hermes"},
            "pve1/lxc/999": {"hostname": "pet-storage", "mp0": f"{HOME},mp=/volumes/home,size=32G"},
            "pve2/lxc/121": {"hostname": "scribe", "mp3": f"{HOME},mp=/data,size=32G"},
        }
        self.status_of_other = 200
        self.asked: list[str] = []

    def __call__(self, path: str) -> Answer:
        path = urlsplit(path).path.removeprefix("/api2/json/")
        self.asked.append(path)
        if path == "cluster/resources":
            is_on = self.status_of_other == 200
            states = {"118": "running", "999": "stopped", "121": "running" if is_on else "unknown"}
            places = (it.split("/lxc/") for it in self.configs)
            return _data([{"type": "lxc", "node": node, "vmid": vmid, "status": states[vmid]} for node, vmid in places])
        if path.startswith("nodes/pve2/") and self.status_of_other != 200:
            return self.status_of_other, b""
        if path.endswith("/status/current"):
            return _data({"status": "running"})
        return _data({"digest": "d1", **self.configs[path.removeprefix("nodes/").removesuffix("/config")]})


def _data(data: object) -> Answer:
    return 200, json.dumps({"data": data}).encode()


@pytest.fixture
def cluster(pve: Pve) -> Cluster:
    pve.respond = Cluster()
    pve.reason = None
    return pve.respond


@pytest.fixture
def seen(pve: Pve) -> Look:
    variables = {
        "PROXMOX_VE_ENDPOINT": pve.url,
        "PROXMOX_VE_API_TOKEN": TOKEN,
        "PROXMOX_VE_INSECURE": "true",
    }
    return lambda wanted=WANTED, **options: look(Node(access(variables)), wanted, **options)


@pytest.mark.usefixtures("cluster")
def test_a_container_of_another_node_that_has_the_volume_is_seen(seen: Look) -> None:
    found = seen()
    assert found.users == {HOME: "container 121 (scribe)"}
    assert found.runners == {HOME}


def test_of_two_volumes_under_one_key_both_are_seen(
    cluster: Cluster, seen: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Node.container

    def changed(self: Node, node: str, vmid: str, *, current: bool = False) -> dict[str, object] | None:
        found = container(self, node, vmid, current=current) or {}
        return {**found, "mp3": "local-lvm:vm-999-disk-2,mp=/data"} if vmid == "121" and not current else found

    monkeypatch.setattr(Node, "container", changed)
    assert seen().users.keys() == {HOME, "local-lvm:vm-999-disk-2"}
    assert cluster.asked


@pytest.mark.parametrize("status", [595, 596, 500])
@pytest.mark.parametrize(
    "wanted",
    [WANTED, Wanted("pet-storage", "pve1", 999, "pet-storage", "pve-agents-pet-storage", protected=True)],
    ids=["an agent", "the pet"],
)
def test_whether_a_container_has_a_volume_is_not_guessed_while_its_node_is_off(
    pve: Pve, cluster: Cluster, seen: Look, status: int, wanted: Wanted
) -> None:
    cluster.status_of_other, pve.reason = status, "No route to host"
    (sentence,) = seen(wanted).unasked
    assert sentence == (
        f"container 121 on node pve2 could not be asked (HTTP {status} No route to host), so nobody knows whether it has a "
        "volume of container 999: start node pve2 if it is off, or remove it from the cluster, and run it again"
    )


def test_a_token_that_is_no_longer_accepted_is_no_node_that_is_off(cluster: Cluster, seen: Look) -> None:
    cluster.status_of_other = 401
    with pytest.raises(NodeError, match="does not accept token"):
        seen()


def test_what_needs_the_agents_own_container_alone_asks_no_other(cluster: Cluster, seen: Look) -> None:
    cluster.status_of_other = 595
    found = seen(users=False)
    assert found.config == {"digest": "d1", "hostname": "hermes"}
    assert found.users == {}
    assert found.runners == frozenset()
    assert all(it.startswith("nodes/pve1/") for it in cluster.asked)


def test_an_agent_without_a_pet_asks_for_no_other_container(cluster: Cluster, seen: Look) -> None:
    cluster.status_of_other = 595
    seen(replace(WANTED, volumes=(AttachedVolume("/fast", NewVolume("local-lvm", 4), "mp1"),), pet=0))
    assert all(it.startswith("nodes/pve1/") for it in cluster.asked)
