"""What of LiteLLM runs inside a container; a copy of it travels in the payload."""
