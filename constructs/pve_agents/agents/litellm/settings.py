"""The section ``litellm`` of an agent: the gateway that others ask for their models.

Names and values are those of LiteLLM 1.104: https://docs.litellm.ai/docs/proxy/configs
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, field_validator

from pve_agents.agents.docker import DIGEST, REFERENCE, REPOSITORY, TAG, Docker, HttpUrl, is_moving
from pve_agents.agents.kind import Container, Endpoint, Kind
from pve_agents.guest_places import place
from pve_agents.model import Flag, Model, ReadOnly, at_most, distinct
from pve_agents.problems import Key, Problem, ProblemsError
from pve_agents.stopping import Stopping
from pve_agents.types import EnvName, Number, Text, holds_token, is_credential_name, lies_in, shown

__all__ = ["Database", "GatewayModel", "Image", "Litellm"]

_STOP_SECONDS = 30
_LEAST_MIB = 2048

_ModelName = Annotated[str, Text("a model", r"[^\x00-\x20\x7f]+", "its name, such as my-model", 256)]
_Price = Annotated[float, Number("a price of one token in dollars", 0, 1, whole=False)]
_Tokens = Annotated[int, Number("a number of tokens", 1, 100_000_000)]
_Seconds = Annotated[int, Number("a number of seconds", 1, 86_400)]


def _data(path: str) -> str:
    if {"", ".", ".."} & set(path[1:].split("/")):
        raise ValueError(f"{shown(path)} is no plain path; write one such as /srv/gateway/database")
    return place(path, such_as="/srv/gateway/database")


class Image(Model):
    """The image of LiteLLM."""

    repository: Annotated[
        str, Text("an image", REPOSITORY, "its name without a tag, such as ghcr.io/berriai/litellm-database", 255)
    ] = "ghcr.io/berriai/litellm-database"
    """Its name without a tag. Defaults to ghcr.io/berriai/litellm-database, which brings what a database needs."""

    tag: Annotated[str, Text("a tag", TAG, "a release such as v1.104.0", 128)] = "v1.104.0"
    """Its tag; latest and main-stable change by themselves. Defaults to v1.104.0."""

    digest: Annotated[str, Text("a digest", DIGEST, "sha256: and 64 hexadecimal digits", 71)] | None = None
    """Digest that pins the very bytes, as sha256:<64 digits>. Defaults to none."""

    @property
    def reference(self) -> str:
        """How Docker calls it."""
        return f"{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


class GatewayModel(Model):
    """A model that the gateway offers. Several of the same name share what it is asked."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "api_key": "key_env",
        "litellm_params": "params",
        "max_input_tokens": "context_length",
        "model_name": "name",
    }
    required: ClassVar[Mapping[str, str]] = {
        "name": "what agents call it, such as my-model",
        "model": "provider and model as LiteLLM calls them, such as openai/gpt-5",
    }

    name: _ModelName
    """What agents call it. Required."""

    model: Annotated[
        str, Text("a provider's model", r"[^\x00-\x20\x7f/]+/[^\x00-\x20\x7f]+", "one such as openai/gpt-5", 256)
    ]
    """Provider and model, as LiteLLM calls them, such as anthropic/claude-sonnet-4-5 or openai/qwen3. Required."""

    api_base: HttpUrl | None = None
    """Where it is, such as http://10.1.10.30:8000/v1. Defaults to the provider's own."""

    key_env: EnvName | None = None
    """Name of the secret with the provider's key. Defaults to none, for servers that need no key."""

    context_length: _Tokens | None = None
    """Tokens that it takes. Defaults to what LiteLLM knows."""

    max_tokens: _Tokens | None = None
    """Tokens of one answer, where the asker says nothing. Defaults to the provider's own."""

    rpm: Annotated[int, Number("a number of requests", 1, 10_000_000)] | None = None
    """Requests a minute. Defaults to no limit."""

    tpm: _Tokens | None = None
    """Tokens a minute. Defaults to no limit."""

    timeout_seconds: _Seconds | None = None
    """Time for one answer in seconds. Defaults to LiteLLM's own."""

    input_cost_per_token: _Price | None = None
    """Price of a token that it reads, in dollars; budgets count nothing without. Defaults to what LiteLLM knows."""

    output_cost_per_token: _Price | None = None
    """Price of a token that it writes, in dollars; budgets count nothing without. Defaults to what LiteLLM knows."""

    fallbacks: Annotated[tuple[_ModelName, ...], AfterValidator(distinct)] = ()
    """Names of models that are asked when this one fails. Defaults to none."""

    answers_checks: Flag = True
    """Whether a deploy and verify may ask it for one word, which costs money. Defaults to true."""

    params: Annotated[Mapping[str, Any], ReadOnly()] = Field(default={})
    """Further parameters of LiteLLM's for it, such as api_version. Defaults to none."""


class Database(Model):
    """PostgreSQL beside the gateway, which keeps virtual keys and what they have spent."""

    image: Annotated[str, Text("an image with a tag", REFERENCE, "its name with a tag, such as postgres:17.6", 512)] = (
        "postgres:17.6"
    )
    """Image of PostgreSQL. Defaults to postgres:17.6; a higher major version does not read the data of a lower one."""

    directory: Annotated[str, Text("a directory", r"/[^:\x00-\x1f\x7f]+", "an absolute path", 1024, _data)] | None = (
        None
    )
    """Directory of the container for its data, which may lie in a mount. Defaults to /srv/<agent>/database."""

    password: EnvName = "LITELLM_DATABASE_PASSWORD"  # noqa: S105 - a name
    """Name of the secret with its password. Defaults to LITELLM_DATABASE_PASSWORD."""


_OURS = {
    "general_settings": ("master_key", "database_url"),
    "litellm_settings": ("fallbacks",),
    "router_settings": ("fallbacks", "model_group_alias"),
}


class Litellm(Kind):
    """LiteLLM, the gateway that other agents ask for their models."""

    synonyms: ClassVar[Mapping[str, str]] = {"model_list": "models", "db": "database", "postgres": "database"}
    required: ClassVar[Mapping[str, str]] = {
        "models": "what it offers, such as [{name: my-model, model: openai/gpt-5, key_env: OPENAI_API_KEY}]"
    }
    carriers: ClassVar[Mapping[str, str]] = {"master_key": "LITELLM_MASTER_KEY"}

    image: Image = Image()
    """Image of LiteLLM."""

    models: Annotated[tuple[GatewayModel, ...], at_most(500, "models")]
    """What it offers. Required."""

    port: Annotated[int, Number("a port", 1, 65_535)] = 4000
    """Port that it listens on. Defaults to 4000."""

    listen: Annotated[
        str, Text("an address", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", "one of the container's, such as 10.1.10.22", 15)
    ] = "0.0.0.0"  # noqa: S104 - others ask it
    """IPv4 address of the container that it listens on. Defaults to 0.0.0.0, all of them."""

    master_key: EnvName = "LITELLM_MASTER_KEY"
    """Name of the secret with the key that may do everything. Defaults to LITELLM_MASTER_KEY."""

    database: Database | None = Database()
    """PostgreSQL beside it, which virtual keys and budgets need; null for none."""

    general_settings: Annotated[Mapping[str, Any], ReadOnly()] = Field(default={}, validate_default=True)
    """LiteLLM's general_settings besides ours. Defaults to none."""

    litellm_settings: Annotated[Mapping[str, Any], ReadOnly()] = Field(default={}, validate_default=True)
    """LiteLLM's litellm_settings over ours. Defaults to none."""

    router_settings: Annotated[Mapping[str, Any], ReadOnly()] = Field(default={}, validate_default=True)
    """LiteLLM's router_settings. Defaults to none."""

    admin_ui: Flag = False
    """Whether LiteLLM shows its web interface, to whoever has the master key. Defaults to false."""

    docker: Docker = Docker()
    """Docker and where it comes from."""

    answer_seconds: Annotated[int, Number("a number of seconds", 1, 3600)] = 60
    """Time in seconds for the one word that a deploy and verify ask for. Defaults to 60."""

    start_seconds: Annotated[int, Number("a number of seconds", 1, 900)] = 300
    """Time in seconds until the gateway is ready. Defaults to 300."""

    copy_data_before_upgrade: Flag = True
    """Whether the database is copied before another image runs, to go back to. Defaults to true."""

    @property
    def stopping(self) -> Stopping:
        """How long each layer around the services waits for their end."""
        return Stopping(agent=_STOP_SECONDS, others=(_STOP_SECONDS,) if self.database else ())

    @property
    def answers_seconds(self) -> int:
        """Time in seconds that the answers may take."""
        return self.answer_seconds + 30

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers other agents."""
        models: dict[str, int | None] = {}
        for it in self.models:
            # Of several, the smallest is what any of them takes.
            known = [tokens for tokens in (models.get(it.name), it.context_length) if tokens]
            models[it.name] = min(known) if known else None
        return Endpoint(self.port, "/v1", models)

    def secret_names(self, agent_name: str) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return the names of all secrets that are to be delivered."""
        of_models = [it.key_env for it in self.models if it.key_env]
        of_database = [self.database.password] if self.database else []
        return tuple(dict.fromkeys([self.master_key, *of_database, *of_models]))

    def data_directory(self, agent_name: str) -> str:
        """Return where the database keeps its data; empty where there is none."""
        return (self.database.directory or f"/srv/{agent_name}/database") if self.database else ""

    @field_validator("models")
    @classmethod
    def _models_know_each_other(cls, models: tuple[GatewayModel, ...]) -> tuple[GatewayModel, ...]:
        if not models:
            raise ValueError("there is none; write at least one, such as {name: my-model, model: openai/gpt-5}")
        names = {it.name for it in models}
        problems = []
        for i, it in enumerate(models):
            for j, fallback in enumerate(it.fallbacks):
                if fallback not in names or fallback == it.name:
                    others = ", ".join(dict.fromkeys(other.name for other in models if other.name != it.name)) or "none"
                    sentence = f"{shown(fallback)} is no other model here; the others are {others}"
                    problems.append(Problem((i, "fallbacks", j), sentence, fallback))
            problems += [it.below((i, "params")) for it in _tree_problems(it.params, ("api_key", "model", "api_base"))]
        if problems:
            raise ProblemsError(problems)
        return models

    @field_validator("general_settings", "litellm_settings", "router_settings")
    @classmethod
    def _settings_are_not_ours_and_no_secrets(cls, values: Mapping[str, Any], info: Any) -> Mapping[str, Any]:  # noqa: ANN401
        if problems := [*_tree_problems(values, _OURS[info.field_name])]:
            raise ProblemsError(problems)
        return values

    def fitted(self, container: Container) -> Self:
        """Refuse a place for the database that is somebody else's."""
        path = self.data_directory(container.name)
        for mount, is_writable in container.mounts.items() if path else ():
            if path == mount or lies_in(mount, path):
                sentence = f"the owner of the mount {mount} is the node's business, and PostgreSQL wants its own; write {mount}/database"
                raise ProblemsError([Problem(("database", "directory"), sentence, path)])
            if lies_in(path, mount) and not is_writable:
                raise ProblemsError(
                    [Problem(("database", "directory"), f"the mount {mount} is read only; write another place", path)]
                )
        return self

    def container_warnings(self, container: Container) -> Iterator[tuple[Key, str]]:
        """Find what the container may lack for it."""
        if container.memory_mib < _LEAST_MIB:
            yield ("memory", "dedicated_mib"), f"LiteLLM and its database want {_LEAST_MIB} MiB at least; write more"

    def warnings(self, container: Container) -> Iterator[tuple[Key, str]]:  # noqa: ARG002 - of the section alone
        """Find what may be meant, and yet is worth a second look."""
        for key, reference in (
            (("image", "tag"), self.image.reference),
            (("database", "image"), self.database.image if self.database else ""),
        ):
            if reference and is_moving(reference):
                yield key, f"{reference} means another image from time to time; write a release, or a digest"
        for i, it in enumerate(self.models):
            if it.key_env is None and it.api_base is None:
                sentence = f"{it.name} has neither a key nor an address of its own; write key_env, or api_base"
                yield ("models", i), sentence
        if self.admin_ui and not self.database:
            yield (
                ("admin_ui",),
                "without a database LiteLLM's web interface shows nothing; write database, or leave it out",
            )


def _tree_problems(tree: Mapping[str, Any], ours: tuple[str, ...]) -> Iterator[Problem]:
    """Find keys that are set elsewhere, and secrets that are written out."""
    for name, value in tree.items():
        if name in ours:
            yield Problem((name,), "this is set by a setting of its own beside it; leave it out here")
        else:
            yield from _literal_secrets(value, (name,))


def _literal_secrets(value: object, key: Key) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for name, it in value.items():
            yield from _literal_secrets(it, (*key, str(name)))
    elif isinstance(value, list | tuple):
        for i, it in enumerate(value):
            yield from _literal_secrets(it, (*key, i))
    elif isinstance(value, str) and _is_literal(value, str(key[-1])):
        yield Problem(key, "this seems to be a secret; write os.environ/NAME, and NAME under secrets of the agent")


def _is_literal(value: str, name: str) -> bool:
    is_named = bool(value) and is_credential_name(name)
    return not value.startswith("os.environ/") and (is_named or holds_token(value))
