"""What `agents` can do with a gateway."""
