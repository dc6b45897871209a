"""The subcommands of ``agents``: a module each, which has a ``command``; ``down.py`` is ``agents down``."""
