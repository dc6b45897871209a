"""What needs root on the node: look, plan, act. Stdlib only but for what speaks to the API and reads files of variables.

It runs from a copy in the synthesized stack, so that a plan does what it was made with, and imports nothing of the rest.
"""
