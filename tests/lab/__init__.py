"""The lab: a real unprivileged LXC, real Docker, the real Hermes Agent and a real LiteLLM, on this machine."""
