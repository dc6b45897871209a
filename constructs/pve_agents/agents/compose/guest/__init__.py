"""What of it runs in the container: the standard library alone."""
