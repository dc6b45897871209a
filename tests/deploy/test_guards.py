"""What keeps Terraform's hands off guests, mounts and data: each guard, and what happens without it."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy.by_root import BY_ROOT, set_by_root
from tests.deploy.project import ADDRESS, CONTAINER, TEMPLATE, TEMPLATE_FILE, TEMPLATE_ID, TOKEN_CHECK, Project
from tests.virtual_node.node import PRIVILEGES, TOKEN, VirtualNode

pytestmark = pytest.mark.terraform

PROTECTED = "Instance cannot be destroyed"
ROOT_ONLY = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)"
# What the root stack does to the container, which the token stack must leave alone.
BY_ROOT_STACK = {"mp0": "/mnt/pve/hdd/hermes,mp=/data", "features": "keyctl=1,nesting=1"}


# A VMID that is taken -------------------------------------------------------------------------------------------------


def foreign_container(node: VirtualNode) -> None:
    node.add_foreign_container(118)


def foreign_container_on_another_node(node: VirtualNode) -> None:
    node.pve.add_ct(118, "someone-elses", node="pve2")


def foreign_vm(node: VirtualNode) -> None:
    node.add_foreign_vm(118)


CONTAINER_ON = (
    "VMID 118 is taken by the container someone-elses on node {}, and this stack's own is the one on node gihyeon with "
    "the tag pve-agents-hermes: nothing was changed. Choose another vmid in homelab.yaml; or, if that container is to "
    "be this agent, correct node there, or set adopt: true once."
)
VM = (
    "VMID 118 is taken by the virtual machine someone-elses on node gihyeon: nothing was changed. "
    "Choose another vmid in homelab.yaml."
)
TAKEN_MEANWHILE = (
    "VMID 118 belongs to the container someone-elses, which the plan did not know, and the provider took that one for ours: it "
    "has started it if it was stopped, and may have set on it what the plan showed. It is in the state now; take it out "
    "before anything else: pipenv run terraform -chdir=cdktf.out/stacks/hermes state rm "
    "proxmox_virtual_environment_container.hermes"
)


@pytest.mark.parametrize(
    ("take", "sentence"),
    [
        (foreign_container, CONTAINER_ON.format("gihyeon")),
        (foreign_container_on_another_node, CONTAINER_ON.format("pve2")),
        (
            foreign_vm,
            VM,
        ),
    ],
)
def test_somebody_elses_guest_is_refused_in_the_plan(
    project: Project, virtual_node: VirtualNode, take: Callable[[VirtualNode], None], sentence: str
) -> None:
    take(virtual_node)
    guest = virtual_node.pve.guest(118)
    before = copy.deepcopy(guest.config)
    project.synthesize()

    assert project.plan(ok=False).errors == [f"Resource precondition failed: {sentence}"]
    assert project.apply(ok=False).errors == [f"Resource precondition failed: {sentence}"]

    assert virtual_node.mutations == []
    assert (guest.config, guest.status) == (before, "stopped")


def test_without_the_guard_the_provider_takes_somebody_elses_container(
    project: Project, virtual_node: VirtualNode
) -> None:
    virtual_node.add_foreign_container(118)
    project.synthesize()
    stack = project.json()
    del project.lifecycle(stack)["precondition"]
    del project.lifecycle(stack)["postcondition"]
    del stack["resource"]["terraform_data"]["hermes_token_check"]["provisioner"]
    project.edit(stack)

    project.apply()

    assert CONTAINER in project.addresses()
    assert ("POST", "/nodes/gihyeon/lxc/118/status/start") in virtual_node.mutations


def test_a_container_that_comes_between_plan_and_apply_is_left_alone(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.synthesize()
    plan = project.directory / "plan"
    project.plan(f"-out={plan}")
    virtual_node.add_foreign_container(118)

    applied = project.terraform("apply", str(plan), ok=False)

    assert "VMID 118 is taken by the container someone-elses on node gihyeon" in applied.said
    assert virtual_node.mutations == []
    assert virtual_node.pve.guest(118).status == "stopped"


def test_one_that_comes_in_the_place_of_ours_is_not_taken_in_silence(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.deploy()
    virtual_node.api("DELETE", "/nodes/gihyeon/lxc/118", force=1)
    plan = project.directory / "plan"
    project.plan(f"-out={plan}")
    virtual_node.add_foreign_container(118)
    virtual_node.mutations.clear()

    # What is said to have been done to it, and no more.
    applied = project.terraform("apply", str(plan), ok=False)
    assert applied.errors == [f"Resource postcondition failed: {TAKEN_MEANWHILE}"]
    create = ("POST", "/nodes/gihyeon/lxc")
    assert virtual_node.mutations == [create, create, ("POST", "/nodes/gihyeon/lxc/118/status/start")]

    # It stays in danger of nothing.
    virtual_node.mutations.clear()
    assert project.apply(ok=False).errors == [f"Resource precondition failed: {CONTAINER_ON.format('gihyeon')}"]
    project.configure(protect=False)
    project.synthesize()
    assert "does not carry the tag pve-agents-hermes" in project.destroy(ok=False).said
    assert virtual_node.mutations == []
    project.run(project.binary, f"-chdir={project.stack()}", "state", "rm", CONTAINER)
    assert CONTAINER not in project.addresses()


def test_one_with_our_tag_that_comes_in_the_place_of_ours_is_not_taken_in_silence(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.deploy()
    virtual_node.api("DELETE", "/nodes/gihyeon/lxc/118", force=1)
    virtual_node.add_foreign_container(118)
    virtual_node.set_config(118, tags="pve-agents-hermes")
    project.run(project.binary, f"-chdir={project.stack()}", "state", "rm", CONTAINER)

    assert project.apply(ok=False).errors == [f"Resource postcondition failed: {TAKEN_MEANWHILE}"]


def test_a_twin_on_a_node_that_is_offline_is_found_before_anything_is_made(
    project: Project, virtual_node: VirtualNode
) -> None:
    virtual_node.pve.add_ct(118, "someone-elses", node="pve2")
    virtual_node.pve.nodes["pve2"]["online"] = False
    project.synthesize()
    assert any("Container list may be incomplete" in it for it in project.plan().warnings)
    virtual_node.mutations.clear()

    applied = project.apply(ok=False)

    assert (
        "VMID 118 is taken by the container someone-elses on node pve2, which is offline: nothing was changed"
        in applied.said
    )
    assert virtual_node.mutations == []
    assert CONTAINER not in project.addresses()


def test_a_foreign_container_that_carries_our_tag_is_not_taken(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_container(118)
    virtual_node.set_config(118, tags="pve-agents-hermes")
    virtual_node.mutations.clear()
    project.synthesize()

    applied = project.apply(ok=False)

    assert (
        "is taken by the container someone-elses on node gihyeon, and this stack's own is called hermes" in applied.said
    )
    assert virtual_node.mutations == []
    assert virtual_node.pve.guest(118).status == "stopped"

    # What the sentence says helps.
    project.deploy(adopt=True)
    assert project.deploy().actions == {}


def test_a_token_of_a_pool_takes_no_guest_that_it_cannot_see(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.api("POST", "/pools", poolid="agents")
    virtual_node.add_foreign_container(118)
    for privilege in PRIVILEGES["/vms"]:
        virtual_node.revoke(privilege)
        virtual_node.grant(privilege, "/pool/agents")
    project.configure(pool="agents")
    project.synthesize()
    virtual_node.mutations.clear()

    applied = project.apply(ok=False)

    assert "VMID 118 is taken by a guest that token terraform@pve!deploy may not see" in applied.said
    assert CONTAINER not in project.addresses()
    assert virtual_node.mutations == []


@pytest.mark.parametrize("settings", [{"hostname": "agent7"}, {"tags": ["lab"]}])
def test_our_own_container_is_known_after_its_settings_changed(
    project: Project, virtual_node: VirtualNode, settings: dict[str, Any]
) -> None:
    project.deploy()
    rootfs = virtual_node.container_config(118)["rootfs"]

    deployed = project.deploy(**settings)

    assert deployed.actions == {CONTAINER: "update"}
    config = virtual_node.container_config(118)
    assert config["rootfs"] == rootfs
    assert "pve-agents-hermes" in str(config["tags"]).split(";")
    assert project.plan().actions == {}


def test_our_own_container_is_let_through_where_the_check_runs_again_with_another_hostname(
    project: Project, virtual_node: VirtualNode
) -> None:
    """It cannot tell that from somebody else's container with our tag, and says what to do."""
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    project.deploy()
    settings: dict[str, Any] = {"hostname": "agent7", "template": {"file_id": TEMPLATE_ID}}
    project.configure(**settings)
    project.synthesize()
    assert "is called agent7 and carries the tag pve-agents-hermes: nothing was changed" in project.apply(ok=False).said

    project.deploy(adopt=True, **settings)
    assert virtual_node.container_config(118)["hostname"] == "agent7"


def test_our_own_container_is_taken_up_again_after_its_state_was_lost(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.deploy()
    before = virtual_node.container_config(118)
    project.state().unlink()

    # The provider calls it a creation, and takes "already exists" for success.
    assert project.plan().actions[CONTAINER] == "create"
    project.apply()

    assert virtual_node.container_config(118) == before
    assert project.addresses() == {ADDRESS, CONTAINER, TEMPLATE, TOKEN_CHECK}
    assert project.plan().actions == {}


def test_adopt_imports_our_own_container(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    before = virtual_node.container_config(118)
    project.state().unlink()
    virtual_node.mutations.clear()
    project.configure(adopt=True)
    project.synthesize()

    planned = project.plan()
    assert planned.actions[CONTAINER] == "update"
    assert planned.summary == {"add": 3, "change": 1, "import": 1}
    project.apply()

    assert ("POST", "/nodes/gihyeon/lxc") not in virtual_node.mutations
    after = virtual_node.container_config(118)
    # An import knows nothing of the defaults: the provider writes out the root disk's flags.
    assert str(after.pop("rootfs")).startswith("local-lvm:vm-118-disk-0,")
    assert after == {key: value for key, value in before.items() if key != "rootfs"}
    assert project.plan().actions == {}


def test_adopt_changes_a_foreign_container_in_place(project: Project, virtual_node: VirtualNode) -> None:
    virtual_node.add_foreign_container(118, status="running")
    project.configure(adopt=True)
    project.synthesize()

    planned = project.plan()
    assert planned.actions[CONTAINER] == "update"
    assert planned.summary == {"add": 3, "change": 1, "import": 1}
    project.apply()

    assert ("POST", "/nodes/gihyeon/lxc") not in virtual_node.mutations
    config = virtual_node.container_config(118)
    assert (config["hostname"], config["memory"]) == ("hermes", 4096)
    assert str(config["rootfs"]).startswith("local-lvm:vm-118-disk-0,")
    assert project.plan().actions == {}


def test_a_container_that_lost_our_tag_is_refused_until_it_is_adopted(
    project: Project, virtual_node: VirtualNode
) -> None:
    """As after an edit in the web interface, and as with a container from before there was a tag."""
    project.deploy()
    virtual_node.set_config(118, tags="agent;ai;terraform")

    assert "set adopt: true once" in project.plan(ok=False).errors[0]

    adopted = project.deploy(adopt=True)
    assert adopted.actions == {CONTAINER: "update"}
    assert project.deploy(adopt=False).actions == {}


# What root did --------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_mount(project: Project) -> Project:
    """A deployed agent that root has given a mount and keyctl since."""
    project.deploy()
    project.node.set_config(118, **BY_ROOT_STACK)
    return project


def without_ignoring(project: Project, attribute: str) -> None:
    project.configure()
    project.synthesize()
    stack = project.json()
    project.lifecycle(stack)["ignore_changes"].remove(attribute)
    project.edit(stack)


@pytest.fixture
def with_everything(project: Project) -> Project:
    """A deployed agent on which root has set all that there is."""
    project.deploy(protect=False)
    set_by_root(project.node)
    return project


def test_whatever_root_sets_is_no_change_and_stays(with_everything: Project) -> None:
    node = with_everything.node
    before = {option: node.container_config(118)[option] for option, _ in BY_ROOT}
    assert with_everything.plan().actions == {}

    deployed = with_everything.deploy(protect=False, cpu={"cores": 4})

    assert deployed.actions == {CONTAINER: "update"}
    assert deployed.summary == {"change": 1}
    config = node.container_config(118)
    assert ({option: config[option] for option, _ in BY_ROOT}, config["cores"]) == (before, 4)
    assert with_everything.plan().actions == {}


def test_without_ignoring_it_whatever_root_sets_would_be_taken_back(with_everything: Project) -> None:
    stack = with_everything.json()
    with_everything.lifecycle(stack)["ignore_changes"] = []
    with_everything.edit(stack)

    change = with_everything.planned_change(CONTAINER)

    taken_back = {it for it in BY_ROOT.values() if at(change["before"], it) != at(change["after"], it)}
    assert taken_back == set(BY_ROOT.values())


def at(values: dict[str, Any], attribute: str) -> Any:
    """The value at such a place as `initialization[0].entrypoint`."""
    value: Any = values
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", attribute):
        value = value[name][int(index)] if index else value[name]
    return value


def test_without_ignoring_mount_points_a_mount_would_replace_the_container(with_mount: Project) -> None:
    without_ignoring(with_mount, "mount_point")

    planned = with_mount.plan(ok=False)

    assert planned.actions == {CONTAINER: "replace"}
    assert planned.errors[0].startswith(PROTECTED)


def test_without_ignoring_features_every_deploy_would_fail(with_mount: Project) -> None:
    without_ignoring(with_mount, "features")

    applied = with_mount.apply(ok=False)

    assert applied.actions == {CONTAINER: "update"}
    assert ROOT_ONLY in applied.errors[0]


def test_settings_change_in_place_and_what_root_did_stays(with_mount: Project) -> None:
    deployed = with_mount.deploy(cpu={"cores": 4}, memory={"dedicated_mib": 8192}, description="busy")

    assert deployed.actions == {CONTAINER: "update"}
    config = with_mount.node.container_config(118)
    assert (config["cores"], config["memory"], config["description"]) == (4, 8192, "busy\n")
    assert {key: config[key] for key in BY_ROOT_STACK} == BY_ROOT_STACK


def test_of_a_vanished_template_only_the_file_is_made_again(project: Project, virtual_node: VirtualNode) -> None:
    project.deploy()
    virtual_node.api("DELETE", f"/nodes/gihyeon/storage/local/content/{TEMPLATE_ID}")

    assert project.plan().actions == {TEMPLATE: "create"}

    without_ignoring(project, "operating_system")
    planned = project.plan(ok=False)
    assert planned.actions == {TEMPLATE: "create", CONTAINER: "replace"}
    assert planned.errors[0].startswith(PROTECTED)


# The token ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("privilege", "asked", "path"),
    [
        ("VM.Audit", "/vms/118", "/vms"),
        ("Datastore.AllocateSpace", "/storage/local-lvm", "/storage/local-lvm"),
    ],
)
def test_a_missing_privilege_is_named_before_anything_is_created(
    project: Project, virtual_node: VirtualNode, privilege: str, asked: str, path: str
) -> None:
    virtual_node.revoke(privilege)
    project.synthesize()
    project.plan()

    started = time.monotonic()
    applied = project.apply(ok=False)

    assert time.monotonic() - started < 20
    assert f"token {TOKEN} lacks {privilege} on {asked}; to mend it, as root on the node:" in applied.errors[0]
    assert virtual_node.mutations == []

    virtual_node.grant(privilege, path)
    project.apply()
    assert [container.vmid for container in virtual_node.pve.cts] == [118]


def test_a_token_that_cannot_see_somebody_elses_container_does_not_take_it(
    project: Project, virtual_node: VirtualNode
) -> None:
    virtual_node.add_foreign_container(118)
    virtual_node.revoke("VM.Audit")
    # With nothing to download, the container itself has to wait for the check.
    virtual_node.pve.store_file("local", TEMPLATE_FILE, 1000, "vztmpl")
    project.configure(template={"file_id": TEMPLATE_ID})
    project.synthesize()

    applied = project.apply(ok=False)

    assert "lacks VM.Audit on /vms/118" in applied.errors[0]
    assert virtual_node.mutations == []


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PROXMOX_VE_API_TOKEN": f"{TOKEN}=00000000-0000-0000-0000-000000000000"}, "received an HTTP 401 response"),
        ({"PROXMOX_VE_ENDPOINT": "https://127.0.0.1:1"}, "refused"),
        ({"PROXMOX_VE_ENDPOINT": ""}, "use the PROXMOX_VE_ENDPOINT environment variable"),
        ({"PROXMOX_VE_API_TOKEN": ""}, "must provide either username and password, an API token, or a ticket"),
    ],
)
def test_without_a_working_credential_the_plan_fails(
    project: Project, virtual_node: VirtualNode, environment: dict[str, str], sentence: str
) -> None:
    project.synthesize()
    project.env.update(environment)

    assert sentence in project.plan(ok=False).errors[0]
    assert virtual_node.mutations == []
