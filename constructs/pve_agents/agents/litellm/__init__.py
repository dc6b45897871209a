"""LiteLLM (BerriAI), the gateway to models."""
