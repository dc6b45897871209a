"""What stands in examples where a secret belongs, in one list for all who look: here, on the way, and in the container."""

__all__ = ["PLACEHOLDER"]

_PLACEHOLDERS = (
    r"((sk-)?(replace|change)[-_ ]?(me|this)[-_ ]?(please)?)+",
    r"(sk-)?your[-_ a-z]*(key|token|secret|password)([-_ ]here)?",
    r"<.*>",
    r".*(…|[.]{3})",
    r"(sk-)?x{3,}",
    r"[*]+",
    # Hermes itself takes some of these for no key. It takes what others have for keyless servers, such as EMPTY.
    r"placeholder|example|dummy|secret|password|token|todo|none|null",
)

PLACEHOLDER = f"({'|'.join(_PLACEHOLDERS)})"
"""Regular expression for the whole of a value in lower case, of what Python and bash read alike."""
