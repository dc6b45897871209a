"""`pveum` and `pvesh get` of the virtual node's host, as root@pam at its API: what a token's script calls."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.scripts.fake_node import fail
from tests.virtual_node.client import HTTP_SERVER_ERROR, ApiError, Client

# Words -> method, path, the positional arguments' names.
COMMANDS = {
    ("user", "list"): ("GET", "/access/users", ()),
    ("user", "add"): ("POST", "/access/users", ("userid",)),
    ("user", "token", "list"): ("GET", "/access/users/{userid}/token", ("userid",)),
    ("user", "token", "add"): ("POST", "/access/users/{userid}/token/{tokenid}", ("userid", "tokenid")),
    ("user", "token", "remove"): ("DELETE", "/access/users/{userid}/token/{tokenid}", ("userid", "tokenid")),
    ("role", "add"): ("POST", "/access/roles", ("roleid",)),
    ("role", "modify"): ("PUT", "/access/roles/{roleid}", ("roleid",)),
    ("acl", "modify"): ("PUT", "/access/acl", ("path",)),
}


def pveum(api: Client, arguments: list[str]) -> int:
    """Run a subcommand; exit status 255 is Proxmox VE's for whatever went wrong."""
    words, rest = _split(arguments)
    if words not in COMMANDS:
        fail(f"ERROR: unknown command 'pveum {' '.join(arguments)}'")
    method, path, names = COMMANDS[words]
    positional, options = _options(rest)
    if len(positional) != len(names):
        _die("400 not enough arguments" if len(positional) < len(names) else "400 too many arguments")
    form = options.pop("output-format", "text")
    values = {**dict(zip(names, positional, strict=True)), **options}
    in_path = {name: values.pop(name) for name in names if f"{{{name}}}" in path}
    _print(_ask(api, method, path.format(**in_path), values), form)
    return 0


def pvesh(api: Client, arguments: list[str]) -> int:
    """Know `pvesh get PATH --output-format json`."""
    (verb, path), options = _options(arguments)
    if verb != "get":
        fail(f"virtual node: pvesh {verb} is not here")
    form = options.pop("output-format", "text")
    _print(_ask(api, "GET", path, options), form)
    return 0


def _split(arguments: list[str]) -> tuple[tuple[str, ...], list[str]]:
    for count in (3, 2):
        if tuple(arguments[:count]) in COMMANDS:
            return tuple(arguments[:count]), arguments[count:]
    return (), arguments


def _options(words: list[str]) -> tuple[list[str], dict[str, str]]:
    positional, options, rest = [], {}, list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            positional.append(word)
        elif not rest:
            _die(f"Option {word.lstrip('-')} requires an argument\n400 unable to parse option")
        else:
            options[word.removeprefix("--")] = rest.pop(0)
    return positional, options


def _ask(api: Client, method: str, path: str, values: dict[str, str]) -> Any:
    try:
        return api.request(method, path, values)
    except ApiError as error:
        _die(error.message if error.code >= HTTP_SERVER_ERROR else f"{error.code} {error.message}")


def _print(data: Any, form: str) -> None:
    if data is None:
        return
    # As PVE::CLIFormatter spells it: without blanks, its keys in order. Tables are for people.
    print(json.dumps(data, separators=(",", ":"), sort_keys=True) if form == "json" else f"(a table of {len(data)})")


def _die(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(255)
