"""How a value is spelled in a message, and what is never shown since it may be a secret."""

import json
import re

__all__ = ["holds_token", "is_credential_name", "looks_secret", "shown"]

_LONGEST_SHOWN = 60

_CREDENTIAL_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|pass|token|secrets?|credentials?|signature|conn_str"
    r"|(api|access|secret|private|auth|ssh)_?key)(_id)?$"
)

_LOOKS_SECRET = re.compile(
    r"PRIVATE KEY|PuTTY-User-Key-File"  # PEM, OpenSSH and PuTTY
    # A Proxmox VE API token. Each way through a text is short, so that a long one takes no longer than it is.
    r"|[^\s@]@[^\s@!]{1,128}![^\s!=]{1,128}="
    r"|://[^/\s]*@"  # userinfo in an URL
    r"|^(sk-|gh[pousr]_|github_pat_|glpat-|xox[a-z]-|AKIA|hf_)\S{8}"
)


_TOKEN = re.compile(
    r"(?<![A-Za-z0-9/_.-])(?:"
    r"(?:sk-|hf_|gsk_|gh[pousr]_|glpat-)(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{16,}"
    r"|(?:xox[a-z]-|xapp-|github_pat_|AIza)[A-Za-z0-9_-]{8,}"
    r"|AKIA[A-Z0-9]{12,}"
    r"|[0-9]{6,}:[A-Za-z0-9_-]{30,}"  # a bot's at a messenger
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"  # a JSON web token
    r")"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|://[^/\s:@]*:(?!\$\{)[^/\s@]+@"  # a password in an URL
    r"|\bBearer +(?=[A-Za-z0-9._~+/=-]*[0-9])[A-Za-z0-9._~+/=-]{8,}"
)


def looks_secret(text: str) -> bool:
    """Tell whether a text as a whole seems to be a secret, or to hold a credential."""
    return bool(_LOOKS_SECRET.search(text))


def holds_token(text: str) -> bool:
    """Tell whether a text has in it what looks like a key or token of a service that is widely used."""
    return bool(_TOKEN.search(text))


def is_credential_name(name: str) -> bool:
    """Tell whether a key names a secret, such as ``api_token``, ``password`` or ``my_api_key``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()
    return bool(_CREDENTIAL_NAME.search(snake))


def shown(value: object) -> str:
    """Spell a value for an error message: as YAML would, on one line, cut when long, hidden when it may be a secret."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, str):
        if looks_secret(value) or holds_token(value):
            return "the value, hidden because it may be a secret,"
        cut = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        return json.dumps(cut, ensure_ascii=not cut.isprintable())
    text = getattr(value, "written", None) or json.dumps(value, default=repr)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
