"""A Proxmox VE node that is not there: a fake API, the node's host, and stand-ins for the Terraform providers.

`tests.virtual_node.node.VirtualNode` starts one; `python -m tests.virtual_node -- COMMAND` runs a command against one.
This package imports nothing by itself, because Terraform starts the provider plugins many times per command.
"""
