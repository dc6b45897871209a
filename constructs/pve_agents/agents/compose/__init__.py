"""Any application that has a Compose file."""
