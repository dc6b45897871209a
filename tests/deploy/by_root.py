"""What root may set of a container behind Terraform's back."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

BY_ROOT = MappingProxyType(
    {
        ("mp0", "/mnt/pve/hdd/hermes,mp=/data"): "mount_point",
        ("features", "keyctl=1,nesting=1"): "features",
        ("dev0", "/dev/dri/renderD128,gid=104"): "device_passthrough",
        ("lxc", "lxc.idmap: u 0 100000 65536"): "idmap",
        ("hookscript", "local:snippets/hook.pl"): "hook_script_file_id",
        ("env", "LANG=C.UTF-8"): "environment_variables",
        ("entrypoint", "/sbin/init"): "initialization[0].entrypoint",
        ("cmode", "shell"): "console",
        ("protection", 1): "protection",
        ("ostype", "ubuntu"): "operating_system",
    }
)
"""An option and its value, and the attribute that the provider reads them into."""


def set_by_root(node: Any) -> None:
    """Set all of it: options with `pct set`, and lines in the container's file with an editor."""
    options = {option: value for option, value in BY_ROOT if option != "lxc"}
    # Nothing else of a protected container can be changed with its mounts.
    node.set_config(118, **{option: value for option, value in options.items() if option != "protection"})
    node.set_config(118, protection=options["protection"])
    key, _, value = next(str(value) for option, value in BY_ROOT if option == "lxc").partition(": ")
    node.pve.ct(118).config["lxc"] = [[key, value]]
