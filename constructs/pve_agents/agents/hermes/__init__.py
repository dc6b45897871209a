"""Hermes Agent (Nous Research)."""
