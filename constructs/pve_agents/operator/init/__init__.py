"""From nothing to settings, files and a token: what `agents init` asks, and what it writes."""
