"""The stand-in providers in this process, for many Terraform commands: Terraform's reattach protocol.

A plugin's start takes longer than most of what a test does with it, and Terraform starts each several times a command.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent import futures

import grpc

from tests.virtual_node.null import Null
from tests.virtual_node.plugin import Provider, add_services
from tests.virtual_node.provider import Proxmox

VARIABLE = "TF_REATTACH_PROVIDERS"


@contextlib.contextmanager
def served(hosts: tuple[str, ...], environment: Mapping[str, str]) -> Iterator[str]:
    """Serve; yields what `VARIABLE` must say. The providers read their settings from `environment`, as it then is."""
    providers: dict[str, Provider] = {"bpg/proxmox": Proxmox(environment), "hashicorp/null": Null()}
    with contextlib.ExitStack() as servers:
        where = {}
        for name, provider in providers.items():
            server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
            add_services(provider, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.callback(server.stop, None)
            where[name] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                # Terraform leaves it running.
                "Test": True,
                "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
            }
        yield json.dumps({f"{host}/{name}": config for name, config in where.items() for host in hosts})
