"""Volumes on a container, by an API token: what is wanted, what was seen, what is to be done, and who does it."""
