"""Words for Terraform."""


def literal(text: str) -> str:
    """Free text, so that Terraform takes nothing in it for an expression."""
    return text.replace("${", "$${").replace("%{", "%%{")
