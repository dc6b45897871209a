"""What the operator's command ``agents`` does: one file a subcommand in ``commands``, and what they share beside it."""
