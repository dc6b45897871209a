"""What no secret can be, in one list for all who look: on the way to the container, and in it."""

import re

__all__ = ["INVISIBLE", "PLACEHOLDER", "is_misread_by_compose", "secrets_variable"]

# What stands in examples where a secret belongs.
_PLACEHOLDERS = (
    r"((sk-)?(replace|change)[-_ ]?(me|this)[-_ ]?(please)?)+",
    r"(sk-)?your[-_ a-z]*(key|token|secret|password)([-_ ]here)?",
    r"<.*>",
    r".*(…|[.]{3})",
    r"(sk-)?x{3,}",
    r"[*]+",
    # Some software takes some of these for no key. It takes what others have for keyless servers, such as EMPTY.
    r"placeholder|example|dummy|secret|password|token|todo|none|null",
)

PLACEHOLDER = f"({'|'.join(_PLACEHOLDERS)})"
"""Regular expression for the whole of a value in lower case."""

INVISIBLE = (
    *(
        "\u00a0",
        "\u00ad",
        "\u034f",
        "\u061c",
        "\u115f",
        "\u1160",
        "\u180e",
        "\u2000",
        "\u2001",
        "\u2002",
        "\u2003",
        "\u2004",
    ),
    *(
        "\u2005",
        "\u2006",
        "\u2007",
        "\u2008",
        "\u2009",
        "\u200a",
        "\u200b",
        "\u200c",
        "\u200d",
        "\u200e",
        "\u200f",
        "\u202a",
    ),
    *(
        "\u202b",
        "\u202c",
        "\u202d",
        "\u202e",
        "\u202f",
        "\u205f",
        "\u2060",
        "\u2061",
        "\u2062",
        "\u2063",
        "\u2064",
        "\u2066",
    ),
    *("\u2067", "\u2068", "\u2069", "\u2800", "\u3000", "\u3164", "\ufe0e", "\ufe0f", "\ufeff", "\uffa0"),
)
"""Characters that come along with what is copied, and that nobody sees: a service then refuses a key that looks right."""


def secrets_variable(agent: str) -> str:
    """Return the variable that names an agent's secrets file where a deploy is started, such as ``LIBRARIAN_ENV_FILE``."""
    return f"{agent.upper().replace('-', '_')}_ENV_FILE"


def is_misread_by_compose(value: str) -> bool:
    """Tell whether Compose reads something else from a file: it takes no backslash before a quote or at the end."""
    return bool(re.search(r"\\('|$)", value))
