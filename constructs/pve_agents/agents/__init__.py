"""Agents: what runs in a container, one package for each kind."""
