"""How the tests with made-up examples run."""

from hypothesis import settings

# What an example takes depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
