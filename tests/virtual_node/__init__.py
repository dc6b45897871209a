"""A Proxmox VE node that is not there: a fake API, and stand-ins for the Terraform providers that talk to it.

`tests.virtual_node.node.VirtualNode` starts one; `python -m tests.virtual_node -- COMMAND` runs a command against one.
This package imports nothing by itself, because Terraform starts the provider plugins many times per command.
"""
