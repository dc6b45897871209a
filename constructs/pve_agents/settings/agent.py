"""An agent and its container."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from pve_agents.agents.kind import Container, Kind, KindOf, Neighbour, OneSection, Sections, default_of, kinds
from pve_agents.model import Flag, Model, distinct, listed
from pve_agents.problems import Key, Problem, ProblemsError, checked, few, placed
from pve_agents.secret_values import secrets_variable
from pve_agents.settings.container import Cpu, Disk, Dns, Memory, Network, Startup, Template
from pve_agents.settings.storage import BindMount, Devices, Mounts, binds_of
from pve_agents.stopping import Stopping
from pve_agents.types import AgentName, Description, EnvName, Hostname, NodeName, PoolId, SshPublicKey, Tag, Vmid
from pve_agents.volumes.wanted import AttachedVolume

__all__ = ["Agent"]

_SECTION = "section"


class Agent(Model):
    """One agent and its container.

    Left out, a key has the default that is named with it, or the one of the kind that the agent is called after. A section, named
    after its kind, says what runs in the container.
    """

    synonyms: ClassVar[Mapping[str, str]] = {
        "device_passthrough": "devices",
        "env": "secrets",
        "environment": "secrets",
        "mount_points": "mounts",
    }
    required: ClassVar[Mapping[str, str]] = {"vmid": "the container's VMID, a whole number from 100 to 999999999"}
    opens: ClassVar[frozenset[str]] = frozenset({"adopt"})
    not_here: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("fuse", "hook_script", "hook_script_file_id"),
            "this needs root@pam on the host, and the stack {agent}-root does not offer it; leave it out",
        ),
        "features": "nesting is always on, keyctl is a key of its own, and no other feature is offered; "
        "leave it out, and write keyctl",
        "idmap": "the container's ids are always 100000 more on the host; "
        "leave it out, and write idmap in the mount that needs another mapping",
        "nesting": "nesting is always on; leave it out",
        "unprivileged": "every container here is unprivileged, always; leave it out",
    }

    name: AgentName = Field(exclude=True)
    """Name of the agent and of its stack: the agent's key in homelab.yaml."""

    node: NodeName = "gihyeon"
    """Node that runs the container. Defaults to gihyeon."""

    vmid: Vmid
    """Number of the container in the cluster, 100 to 999999999. Required, unless its kind has a default."""

    hostname: Hostname = Field(default_factory=lambda data: data["name"])
    """Hostname. Defaults to the agent's name."""

    description: Description = Field(default_factory=lambda data: f"{data['name']}, managed by Terraform")
    """Notes for the web interface, without blanks at their ends. Defaults to "<name>, managed by Terraform"."""

    tags: Annotated[tuple[Tag, ...], AfterValidator(distinct)] = ("ai", "agent", "terraform")
    """Tags in lower case. Defaults to ai, agent, terraform."""

    cpu: Cpu = Cpu()
    """CPU."""

    memory: Memory = Memory()
    """Memory."""

    disk: Disk = Disk()
    """Root disk."""

    network: Network = Network()
    """Network card."""

    dns: Dns = Dns()
    """Name resolution."""

    template: Template = Field(default={}, validate_default=True)
    """Container template."""

    os_type: Literal[
        "alpine",
        "archlinux",
        "centos",
        "debian",
        "devuan",
        "fedora",
        "gentoo",
        "nixos",
        "opensuse",
        "ubuntu",
        "unmanaged",
    ] = "debian"
    """Operating system in the template. Defaults to debian."""

    start_on_boot: Flag = True
    """Whether the node starts the container when it boots. Defaults to true."""

    started: Flag = True
    """Whether the container runs. Defaults to true."""

    protect: Flag = True
    """Whether Terraform refuses to destroy or replace the container. Defaults to true."""

    adopt: Flag = False
    """Whether to take over a container that already has this VMID. Defaults to false."""

    pool: PoolId | None = None
    """Resource pool. Defaults to none."""

    ssh_public_keys: Annotated[tuple[SshPublicKey, ...], AfterValidator(distinct)] = ()
    """Public keys that may log in as root in the container. Defaults to none."""

    startup: Startup | None = None
    """Place among the guests that the node starts. Defaults to none; one in which nothing is stated is none."""

    delivery: Literal["root", "console"] = "root"
    """How files, secrets and bootstrap get into the container. Defaults to root, by the stack of root. With console they go through
    the container's own console with the API token alone: there is no stack of root, nor anything that takes one."""

    mounts: Mounts = Field(default={}, validate_default=True, json_schema_extra={"additionalProperties": False})
    """Directories of the node and volumes in the container, by mp0 to mp255. Defaults to none, or to those that its kind has."""

    devices: Devices = Field(default={}, validate_default=True, json_schema_extra={"additionalProperties": False})
    """Devices of the node in the container, by dev0 to dev255. Defaults to none."""

    section: Annotated[Kind | None, OneSection()] = None
    """What runs in the container; stated under the name of its kind. Defaults to nothing."""

    keyctl: Flag = Field(
        default_factory=lambda data: (
            data.get("delivery") != "console" and (not data["section"] or data["section"].needs_keyctl)
        )
    )
    """Whether the container may use the kernel's keyring, as Docker in it wants. Defaults to true; without Docker to false, and one that has it keeps it until that is written. With delivery: console it is false, since only root can let it."""

    secrets: Annotated[tuple[EnvName, ...], BeforeValidator(listed), AfterValidator(distinct)] = Field(
        default_factory=lambda data: data["section"].secret_names(data["name"]) if data["section"] else ()
    )
    """Names of the variables that the agent gets, besides those that its kind needs. Defaults to those alone."""

    @classmethod
    def known_keys(cls) -> dict[str, Any]:
        """Return the keys that can be stated, with one for each kind."""
        keys: dict[str, Any] = {}
        for name, annotation in super().known_keys().items():
            keys |= {kind: KindOf(kind) for kind in kinds()} if name == _SECTION else {name: annotation}
        return keys

    @model_validator(mode="before")
    @classmethod
    def _with_the_defaults_of_its_kind(cls, values: object) -> object:
        if not isinstance(values, Mapping):
            return values
        sections, others = Sections.of(values)
        default_sections, defaults = Sections.of(default_of(values.get("name")))
        return {_SECTION: sections or default_sections, **defaults, **others}

    @model_serializer(mode="wrap")
    def _under_the_name_of_its_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        section = values.pop(_SECTION, None)
        return {**values, self.section.kind: section} if self.section and section is not None else values

    @field_validator("section")
    @classmethod
    def _fits_its_container(cls, section: Kind | None, info: ValidationInfo) -> Kind | None:
        if section is None or not {"name", "mounts", "memory", "cpu", "devices"} <= info.data.keys():
            return section
        try:
            return section.fitted(_container(info.data))
        except ProblemsError as error:
            raise ProblemsError(it.below((section.kind,)) for it in error.problems) from None

    @field_validator("secrets")
    @classmethod
    def _can_be_given_to_its_kind(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        section: Kind | None = info.data.get("section")
        if section:
            checked(names, lambda i, name: [(i, section.variable_name(name))])
        return names

    @field_validator("startup")
    @classmethod
    def _startup_states_something(cls, startup: Startup | None) -> Startup | None:
        return None if startup == Startup() else startup

    @model_validator(mode="after")
    def _nothing_is_left_for_root(self) -> Self:
        if self.delivery == "root":
            return self
        without = "with delivery: console nobody is root on the node; write {} , or write delivery: root"
        binds = ", ".join(key for key, mount in self.mounts.items() if not mount.is_volume)
        found = (
            (
                ("mounts",),
                binds,
                f"{binds} would be a directory of the node, which only root mounts, and",
                "mounts: {} or others",
            ),
            (("devices",), self.devices, "only root passes a device on, and", "devices: {}"),
            (("keyctl",), self.keyctl, "only root lets a container use the kernel's keyring, and", "keyctl: false"),
        )
        if problems := [
            Problem(key, f"{why} {without.replace('{} ,', f'{instead},')}")
            for key, is_there, why, instead in found
            if is_there
        ]:
            raise ProblemsError(problems)
        return self

    @model_validator(mode="after")
    def _the_node_waits_for_the_agent(self) -> Self:
        down, needed = self.startup.down_delay_seconds if self.startup else None, self.stopping.container
        if self.section and down is not None and down < needed:
            service = self.stopping.service
            sentence = (
                f"{down} seconds are less than the {needed} that the agent may take to stop ({service} for its "
                f"containers, {needed - service} for Docker and the system around them), and a node that shuts down "
                f"would kill it; write {needed} or more, or leave it out"
            )
            raise ProblemsError([Problem(("startup", "down_delay_seconds"), sentence, down)])
        return self

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Names of all secrets that are to be delivered, those that its kind needs first."""
        needed = self.section.secret_names(self.name) if self.section else ()
        return tuple(dict.fromkeys([*needed, *self.secrets]))

    @property
    def delivery_variables(self) -> frozenset[str]:
        """Names of the variables that its token stack needs besides the token's own; none where root delivers."""
        if self.delivery == "root":
            return frozenset()
        return frozenset({*self.secret_names, secrets_variable(self.name)})

    @property
    def stopping(self) -> Stopping:
        """How long each layer may take to stop."""
        return self.section.stopping if self.section else Stopping()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a second look, a sentence each."""
        sentences = [
            f"{placed(('agents', self.name, *key))}: {sentence}" + ("" if sentence.endswith("?") else ".")
            for key, sentence in self._second_looks()
        ]
        return tuple(few(sentences, f"agents.{self.name}: {{}} more {{are}} worth a second look, after these."))

    def _second_looks(self) -> Iterator[tuple[Key, str]]:
        if not self.network.is_dhcp and self.network.gateway is None:
            sentence = "with this address and no gateway, it reaches nothing outside of its network; write the router's address"
            yield ("network", "gateway"), sentence
        if self.section:
            container = _container(dict(self))
            yield from self.section.container_warnings(container)
            for key, sentence in self.section.warnings(container):
                yield (self.section.kind, *key), sentence

    @property
    def binds(self) -> dict[str, BindMount]:
        """The mounts that are directories of the node, which its root stack makes."""
        return binds_of(self.mounts)

    @property
    def volumes(self) -> tuple[AttachedVolume, ...]:
        """The mounts that its token stack attaches."""
        return tuple(volume for key, mount in self.mounts.items() if (volume := mount.attached(key)))

    @property
    def neighbour(self) -> Neighbour:
        """What other agents of its kind see of it."""
        mounts = {mount.guest_path: (mount.host_path, mount.shared) for mount in self.binds.values()}
        static = self.network.address.partition("/")[0] if not self.network.is_dhcp else ""
        # One that follows from the agent's name may be known to nobody's name server.
        stated = self.hostname if "hostname" in self.model_fields_set else ""
        return Neighbour(self.name, self.node, mounts, static or stated)


def _container(agent: Mapping[str, Any]) -> Container:
    """Return what a section sees of its container, as far as that is known."""
    disk: Disk | None = agent.get("disk")
    return Container(
        name=agent["name"],
        mounts={mount.guest_path: not mount.read_only for mount in agent["mounts"].values()},
        memory_mib=agent["memory"].dedicated_mib,
        cores=agent["cpu"].cores,
        devices={device.path: device.is_open_to for device in agent["devices"].values()},
        disk_gib=disk.size_gib if disk else 0,
        # Where nobody can let it, no sentence about it helps.
        keyctl=agent.get("keyctl", True) or agent.get("delivery") == "console",
    )
