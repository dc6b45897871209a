"""Terraform's plugin protocol 6, as far as a provider written for tests needs it.

Values as msgpack, schemas as protobuf, the handshake: what a provider *does* is in its own module. Terraform starts a
plugin several times per command, so that this module imports as little as it can.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc
from tf.gen import tfplugin_pb2 as pb

State = dict[str, Any]
Block = Mapping[str, Any]
# The name of an attribute, or an index into a list, for each step down.
Path_ = tuple[str | int, ...]

NESTING: dict[str, Any] = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}


class Unknown:
    """A value that only the apply will tell."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = Unknown()


class ProviderError(Exception):
    """Ends a request with an error; `state` is what Terraform shall remember nevertheless."""

    def __init__(self, summary: str, detail: str = "", *, state: State | None = None) -> None:
        """Word the error as Terraform shows it."""
        super().__init__(summary, detail)
        self.summary, self.detail, self.state = summary, detail, state


class Diagnostics:
    """What a request has to say besides its result."""

    def __init__(self) -> None:
        """Start with nothing to say."""
        self.messages: list[Any] = []

    def error(self, summary: str, detail: str = "", path: Path_ = ()) -> None:
        """ProviderError the request, after it has said everything."""
        self._add(pb.Diagnostic.ERROR, summary, detail, path)

    def warning(self, summary: str, detail: str = "", path: Path_ = ()) -> None:
        """Tell the user, and go on."""
        self._add(pb.Diagnostic.WARNING, summary, detail, path)

    def _add(self, severity: Any, summary: str, detail: str, path: Path_) -> None:
        attribute = attribute_path(path) if path else None
        self.messages.append(pb.Diagnostic(severity=severity, summary=summary, detail=detail, attribute=attribute))


class Plan:
    """The planned state, the paths that force a replacement, and the provider's private note."""

    def __init__(self, state: State, replace: Iterable[Path_] = (), private: bytes = b"") -> None:
        """Plan `state`."""
        self.state, self.replace, self.private = state, list(replace), private


class Resource(ABC):
    """One type of managed resource. Values are plain Python; None is null."""

    # Providers on the old SDK may plan and return what today's Terraform would not let pass; the protocol has a flag.
    legacy = False

    def validate(self, config: State, diags: Diagnostics) -> None:  # noqa: B027 - most have nothing to check
        """Check a configuration, in which anything may be unknown."""

    @abstractmethod
    def plan(self, prior: State | None, proposed: State, config: State, private: bytes, diags: Diagnostics) -> Plan:
        """Plan the step from `prior` (None: nothing yet) to `proposed`."""

    @abstractmethod
    def create(self, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Make it, given the private note of the plan."""

    @abstractmethod
    def read(self, state: State, private: bytes, diags: Diagnostics) -> tuple[State | None, bytes]:
        """Look at it: what is there now (None: gone), and the private note to keep."""

    @abstractmethod
    def update(self, prior: State, planned: State, private: bytes, diags: Diagnostics) -> State:
        """Change it in place, given the private note of the plan."""

    @abstractmethod
    def delete(self, state: State, diags: Diagnostics) -> None:
        """Take it away."""

    def import_state(self, identifier: str) -> State:
        """Turn what the user typed into a state that `read` can start from."""
        raise ProviderError("Resource Import Not Implemented", f"{identifier!r} cannot be imported.")

    def move_from(self, source_type: str) -> bool:
        """Can a state of `source_type` be taken over as it is?"""
        del source_type
        return False


class DataSource(ABC):
    """One type of data source."""

    def validate(self, config: State, diags: Diagnostics) -> None:  # noqa: B027 - most have nothing to check
        """Check a configuration, in which anything may be unknown."""

    @abstractmethod
    def read(self, config: State, diags: Diagnostics) -> State:
        """Answer it."""


class Provider:
    """A provider: its schema in the form of `terraform providers schema -json`, and what implements it."""

    schema: Mapping[str, Any]
    resources: Mapping[str, Resource]
    data_sources: Mapping[str, DataSource]

    def validate(self, config: State, diags: Diagnostics) -> None:
        """Check the provider block, in which anything may be unknown."""

    def configure(self, config: State, diags: Diagnostics) -> None:
        """Take the provider block."""


# Set when Terraform was interrupted, and when it is done with the plugin.
stopping = threading.Event()
done = threading.Event()


# Values ---------------------------------------------------------------------------------------------------------


def shape(block: Block, value: Any, scalar: Callable[[str, Any], Any]) -> Any:
    """Rebuild a block's value with exactly the schema's attributes, passing each scalar through `scalar`."""
    if value is None or value is UNKNOWN:
        return value
    result = {
        name: _shape_attribute(attribute, value.get(name), scalar)
        for name, attribute in block.get("attributes", {}).items()
    }
    for name, nested in block.get("block_types", {}).items():
        inner = value.get(name)
        result[name] = inner if inner is UNKNOWN else [shape(nested["block"], item, scalar) for item in inner or []]
    return result


def _shape_attribute(attribute: Mapping[str, Any], value: Any, scalar: Callable[[str, Any], Any]) -> Any:
    if "nested_type" not in attribute:
        return _shape_type(attribute["type"], value, scalar)
    nested = attribute["nested_type"]
    if value is None or value is UNKNOWN:
        return value
    if nested["nesting_mode"] == "single":
        return shape(nested, value, scalar)
    return [shape(nested, item, scalar) for item in value]


def _shape_type(kind: Any, value: Any, scalar: Callable[[str, Any], Any]) -> Any:
    if value is None or value is UNKNOWN:
        return value
    if isinstance(kind, str):
        return scalar(kind, value)
    outer, inner = kind
    if outer == "object":
        return {name: _shape_type(element, value.get(name), scalar) for name, element in inner.items()}
    if outer == "map":
        return {name: _shape_type(inner, element, scalar) for name, element in value.items()}
    return [_shape_type(inner, element, scalar) for element in value]


def _from_wire(kind: str, value: Any) -> Any:
    # A number that a float cannot hold exactly travels as text.
    if kind == "number" and isinstance(value, str):
        return float(value)
    return int(value) if kind == "number" and value == int(value) else value


def _to_wire(kind: str, value: Any) -> Any:
    return repr(value) if kind == "number" and isinstance(value, float) and value != int(value) else value


def decode(block: Block, message: Any) -> Any:
    """The value in a DynamicValue: None for null."""
    if message.json:
        return shape(block, json.loads(message.json), _from_wire)
    if not message.msgpack:
        return None
    # Terraform's only extension types are the unknown values.
    value = msgpack.unpackb(message.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)
    return shape(block, value, _from_wire)


def encode(block: Block, value: State | None) -> Any:
    """A DynamicValue that holds a block's value."""
    packed = msgpack.packb(shape(block, value, _to_wire), default=lambda _unknown: msgpack.ExtType(0, b"\0"))
    return pb.DynamicValue(msgpack=packed)


def known(value: Any) -> Any:
    """The value with null in every place that is still unknown."""
    if value is UNKNOWN:
        return None
    if isinstance(value, dict):
        return {name: known(element) for name, element in value.items()}
    return [known(element) for element in value] if isinstance(value, list) else value


def attribute_path(path: Path_) -> Any:
    """A path in the protocol's form."""
    return pb.AttributePath(
        steps=[
            pb.AttributePath.Step(element_key_int=step)
            if isinstance(step, int)
            else pb.AttributePath.Step(attribute_name=step)
            for step in path
        ]
    )


# Schemas --------------------------------------------------------------------------------------------------------


def _schema(schema: Mapping[str, Any]) -> Any:
    return pb.Schema(version=schema.get("version", 0), block=_block(schema["block"]))


def _block(block: Block) -> Any:
    return pb.Schema.Block(
        attributes=_attributes(block),
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block(nested["block"]),
                nesting=NESTING[nested["nesting_mode"]],
                min_items=nested.get("min_items", 0),
                max_items=nested.get("max_items", 0),
            )
            for name, nested in block.get("block_types", {}).items()
        ],
        deprecated=block.get("deprecated", False),
    )


def _attributes(block: Block) -> list[Any]:
    result = []
    for name, attribute in block.get("attributes", {}).items():
        flags = {
            flag: attribute.get(flag, False) for flag in ("required", "optional", "computed", "sensitive", "deprecated")
        }
        if "nested_type" in attribute:
            nested = attribute["nested_type"]
            flags["nested_type"] = pb.Schema.Object(
                attributes=_attributes(nested), nesting=NESTING[nested["nesting_mode"]]
            )
        else:
            flags["type"] = json.dumps(attribute["type"]).encode()
        result.append(pb.Schema.Attribute(name=name, **flags))
    return result


# The service ----------------------------------------------------------------------------------------------------


class Service(tfplugin_pb2_grpc.ProviderServicer):  # type: ignore[misc]
    """Translates each call of the protocol for a `Provider`."""

    def __init__(self, provider: Provider) -> None:
        """Serve `provider`."""
        self._provider = provider
        self._capabilities = pb.ServerCapabilities(get_provider_schema_optional=True, move_resource_state=True)

    def _resource(self, name: str) -> tuple[Resource, Block]:
        return self._provider.resources[name], self._provider.schema["resource_schemas"][name]["block"]

    def _data_source(self, name: str) -> tuple[DataSource, Block]:
        return self._provider.data_sources[name], self._provider.schema["data_source_schemas"][name]["block"]

    def GetMetadata(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return pb.GetMetadata.Response(
            server_capabilities=self._capabilities,
            resources=[pb.GetMetadata.ResourceMetadata(type_name=name) for name in self._provider.resources],
            data_sources=[pb.GetMetadata.DataSourceMetadata(type_name=name) for name in self._provider.data_sources],
        )

    def GetProviderSchema(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        schema = self._provider.schema
        return pb.GetProviderSchema.Response(
            provider=_schema(schema["provider"]),
            resource_schemas={name: _schema(schema["resource_schemas"][name]) for name in self._provider.resources},
            data_source_schemas={
                name: _schema(schema["data_source_schemas"][name]) for name in self._provider.data_sources
            },
            server_capabilities=self._capabilities,
        )

    def ValidateProviderConfig(self, request: Any, _context: Any) -> Any:  # noqa: N802
        diags = Diagnostics()
        with _reporting(diags):
            self._provider.validate(decode(self._provider.schema["provider"]["block"], request.config), diags)
        return pb.ValidateProviderConfig.Response(diagnostics=diags.messages)

    def ConfigureProvider(self, request: Any, _context: Any) -> Any:  # noqa: N802
        config = decode(self._provider.schema["provider"]["block"], request.config)
        diags = Diagnostics()
        # It was an earlier command that was interrupted.
        stopping.clear()
        with _reporting(diags):
            self._provider.configure(config, diags)
        return pb.ConfigureProvider.Response(diagnostics=diags.messages)

    def ValidateResourceConfig(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.type_name)
        diags = Diagnostics()
        with _reporting(diags):
            resource.validate(decode(block, request.config), diags)
        return pb.ValidateResourceConfig.Response(diagnostics=diags.messages)

    def ValidateDataResourceConfig(self, request: Any, _context: Any) -> Any:  # noqa: N802
        source, block = self._data_source(request.type_name)
        diags = Diagnostics()
        with _reporting(diags):
            source.validate(decode(block, request.config), diags)
        return pb.ValidateDataResourceConfig.Response(diagnostics=diags.messages)

    def UpgradeResourceState(self, request: Any, _context: Any) -> Any:  # noqa: N802
        _, block = self._resource(request.type_name)
        # No schema here ever changed its version: reading the state by today's schema is all the upgrade there is.
        state = shape(block, json.loads(request.raw_state.json), _from_wire)
        return pb.UpgradeResourceState.Response(upgraded_state=encode(block, state))

    def ReadResource(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.type_name)
        state, private, diags = decode(block, request.current_state), request.private, Diagnostics()
        with _reporting(diags):
            state, private = resource.read(state, private, diags)
        return pb.ReadResource.Response(new_state=encode(block, state), private=private, diagnostics=diags.messages)

    def PlanResourceChange(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.type_name)
        prior, proposed = decode(block, request.prior_state), decode(block, request.proposed_new_state)
        diags, plan = Diagnostics(), Plan(proposed, private=request.prior_private)
        if proposed is not None:
            with _reporting(diags):
                config = decode(block, request.config)
                plan = resource.plan(prior, proposed, config, request.prior_private, diags)
        return pb.PlanResourceChange.Response(
            planned_state=encode(block, plan.state),
            requires_replace=[attribute_path(path) for path in plan.replace],
            planned_private=plan.private,
            diagnostics=diags.messages,
            legacy_type_system=resource.legacy,
        )

    def ApplyResourceChange(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.type_name)
        prior, planned = decode(block, request.prior_state), decode(block, request.planned_state)
        diags = Diagnostics()
        # What is known when it goes wrong half-way: nothing of a new one, the plan of a change, all of the doomed.
        state = None if prior is None else prior if planned is None else known(planned)
        with _reporting(diags) as failed:
            if prior is None:
                state = resource.create(planned or {}, request.planned_private, diags)
            elif planned is None:
                resource.delete(prior, diags)
                state = None
            else:
                state = resource.update(prior, planned, request.planned_private, diags)
        state = failed.state if failed.state is not None else state
        return pb.ApplyResourceChange.Response(
            new_state=encode(block, known(state)),
            private=request.planned_private,
            diagnostics=diags.messages,
            legacy_type_system=resource.legacy,
        )

    def ImportResourceState(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.type_name)
        diags, imported = Diagnostics(), []
        with _reporting(diags):
            state = encode(block, resource.import_state(request.id))
            imported = [pb.ImportResourceState.ImportedResource(type_name=request.type_name, state=state)]
        return pb.ImportResourceState.Response(imported_resources=imported, diagnostics=diags.messages)

    def MoveResourceState(self, request: Any, _context: Any) -> Any:  # noqa: N802
        resource, block = self._resource(request.target_type_name)
        if not resource.move_from(request.source_type_name):
            diags = Diagnostics()
            diags.error(
                "Unable to Move Resource State",
                f"{request.source_type_name} cannot become {request.target_type_name}.",
            )
            return pb.MoveResourceState.Response(diagnostics=diags.messages)
        state = shape(block, json.loads(request.source_state.json), _from_wire)
        return pb.MoveResourceState.Response(target_state=encode(block, state), target_private=request.source_private)

    def ReadDataSource(self, request: Any, _context: Any) -> Any:  # noqa: N802
        source, block = self._data_source(request.type_name)
        diags, state = Diagnostics(), None
        with _reporting(diags):
            state = source.read(decode(block, request.config), diags)
        return pb.ReadDataSource.Response(state=encode(block, state), diagnostics=diags.messages)

    def GetFunctions(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        return pb.GetFunctions.Response()

    def StopProvider(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        stopping.set()
        return pb.StopProvider.Response()


class _Outcome:
    """What a request left behind when it failed."""

    state: State | None = None


@contextlib.contextmanager
def _reporting(diags: Diagnostics) -> Iterator[_Outcome]:
    """Turn an exception into an error message for the user: a plugin that dies says nothing useful."""
    outcome = _Outcome()
    try:
        yield outcome
    except ProviderError as failure:
        diags.error(failure.summary, failure.detail)
        outcome.state = failure.state
    except Exception as error:  # noqa: BLE001 (whatever it was, Terraform shall show it)
        traceback.print_exc()
        diags.error(str(error) or type(error).__name__)


class _Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):  # type: ignore[misc]
    def Shutdown(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        done.set()
        return grpc_controller_pb2.Empty()


class _Stdio(grpc_stdio_pb2_grpc.GRPCStdioServicer):  # type: ignore[misc]
    def StreamStdio(self, _request: Any, _context: Any) -> Iterator[Any]:  # noqa: N802
        return iter(())


def add_services(provider: Provider, server: grpc.Server) -> None:
    """Let a server answer for a provider."""
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(Service(provider), server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(_Controller(), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(_Stdio(), server)


def serve(provider: Provider) -> None:
    """Say where the plugin listens, as go-plugin wants it said, and serve until Terraform is done."""
    certificate = Path(os.environ["VIRTUAL_NODE_PLUGIN_CERT"]).read_bytes()
    key = Path(os.environ["VIRTUAL_NODE_PLUGIN_KEY"]).read_bytes()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    add_services(provider, server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    server.start()
    der = base64.b64encode(ssl.PEM_cert_to_DER_cert(certificate.decode())).decode().rstrip("=")
    sys.stdout.write(f"1|6|tcp|127.0.0.1:{port}|grpc|{der}\n")
    sys.stdout.flush()
    terraform = os.getppid()
    # A Terraform that was killed says no goodbye.
    while not done.wait(1) and os.getppid() == terraform:
        pass
    server.stop(grace=0.2).wait()
    # Nothing is left to be flushed, and tearing the interpreter down takes longer than the plugin's whole work.
    os._exit(0)
