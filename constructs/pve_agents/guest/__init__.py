"""The inside of a container: what its program is told, and the program itself.

Standard library only, Python 3.11 or newer: a copy of these files travels in the payload and runs there as root.
"""
