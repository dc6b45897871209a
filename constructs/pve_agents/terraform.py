"""Words for Terraform."""

from cdktf import TerraformResource, TerraformStack


def literal(text: str) -> str:
    """Free text, so that Terraform takes nothing in it for an expression."""
    return text.replace("${", "$${").replace("%{", "%%{")


def address(resource: TerraformResource) -> str:
    """A resource's address as text, where a reference to it is not allowed."""
    return f"{resource.terraform_resource_type}.{resource.friendly_unique_id}"


def command(resource: TerraformResource, words: str) -> str:
    """What to type to have Terraform do something with a resource, such as ``state rm``."""
    stack = TerraformStack.of(resource).node.id
    return f"pipenv run terraform -chdir=cdktf.out/stacks/{stack} {words} {address(resource)}"
