"""What Terraform and cdktf get of the user's variables: nothing that moves state, data or configuration in silence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pve_agents.environment import INSIST, ROOTS_OWN, TOKENS_OWN, command_line, for_stacks, judged

VALUE = "s3cr3t-value"
AWAY = "run `unset {0}`, or take it out of .env."
OPTIONS = (
    "{0} is set, which cdktf takes for its option --{1} in every command: run `unset {0}`, or take it out of .env, and write "
    "the option where you want it."
)

REFUSED = {
    "TF_WORKSPACE": "{0} is set, which keeps the state in another place, where `make clean` deletes it: " + AWAY,
    "TF_DATA_DIR": "{0} is set, which keeps what Terraform knows of its backend in another place: " + AWAY,
    "TF_STATE_PERSIST_INTERVAL": "{0} is set, which lets Terraform forget what it made, if it ends in the middle: "
    + AWAY,
    "TF_REATTACH_PROVIDERS": "{0} is set, which puts other programs in the providers' place: " + AWAY,
    "TF_CLI_ARGS": "{0} is set, which changes every command of Terraform: " + AWAY,
    "CDKTF_OUTDIR": "{0} is set, which writes what is synthesized to another place: " + AWAY,
    "CDKTF_CONTEXT_JSON": "{0} is set, which changes what is synthesized: " + AWAY,
    "CDKTF_OUTPUT": OPTIONS.replace("{1}", "output"),
    "CDKTF_AUTO_APPROVE": OPTIONS.replace("{1}", "auto-approve"),
    "CDKTF_APP": OPTIONS.replace("{1}", "app"),
    "CDKTF_VAR_FILE": OPTIONS.replace("{1}", "var-file"),
    "CDKTF_MIGRATE_STATE": OPTIONS.replace("{1}", "migrate-state"),
    "CDKTF_SKIP_SYNTH": OPTIONS.replace("{1}", "skip-synth"),
}


@pytest.mark.parametrize(("name", "sentence"), REFUSED.items())
def test_what_moves_state_data_or_configuration_is_refused(name: str, sentence: str) -> None:
    found = judged({name: VALUE, "PATH": "/bin"})
    assert found.refusals == (sentence.format(name),)
    assert VALUE not in sentence


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_refusal_says_to_do_is_enough(name: str) -> None:
    named = re.search(r"`unset (\w+)`", judged({name: VALUE}).refusals[0])
    assert named is not None
    without = {it: value for it, value in {name: VALUE, "PATH": "/bin"}.items() if it != named[1]}
    assert judged(without).refusals == ()


@pytest.mark.parametrize("name", ["TF_WORKSPACE", "CDKTF_OUTPUT", "TF_LOG"])
def test_an_empty_variable_counts_for_nothing(name: str) -> None:
    found = judged({name: ""})
    assert (found.refusals, found.notes) == ((), ())


@pytest.mark.parametrize("command", ["plan", "apply", "destroy"])
@pytest.mark.parametrize(
    "value",
    [
        "-target=proxmox_virtual_environment_container.hermes",
        "'-target=module.x[\"a b\"]' -target=data.a.b",
        "--target=a.b -parallelism=1 -lock-timeout=5m -compact-warnings -no-color -refresh=false -replace=a.b",
    ],
)
def test_a_target_is_no_business_of_ours(command: str, value: str) -> None:
    environment = {f"TF_CLI_ARGS_{command}": value}
    found = judged(environment)
    assert (found.refusals, found.notes, found.kept) == ((), (), environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_CLI_ARGS_plan", "-destroy"),
        ("TF_CLI_ARGS_plan", "-target=a.b -destroy"),
        ("TF_CLI_ARGS_plan", f"-var=x={VALUE}"),
        ("TF_CLI_ARGS_plan", "-var-file=x"),
        ("TF_CLI_ARGS_apply", "-auto-approve"),
        ("TF_CLI_ARGS_apply", "-state=x"),
        ("TF_CLI_ARGS_apply", "-state-out=x"),
        ("TF_CLI_ARGS_apply", "-backup=-"),
        ("TF_CLI_ARGS_apply", "-lock=false"),
        ("TF_CLI_ARGS_apply", "somebodys.plan"),
        ("TF_CLI_ARGS_destroy", "-state=x"),
    ],
)
def test_other_options_for_terraform_are_refused_without_being_shown(name: str, value: str) -> None:
    assert judged({name: value}).refusals == (
        f"{name} holds options that change what Terraform does (-target=ADDRESS is what may stand there): "
        + AWAY.format(name),
    )


@pytest.mark.parametrize("value", ["-backend-config=path=x", "-plugin-dir=x", "-target=a.b"])
def test_init_and_the_rest_take_no_options_from_outside(value: str) -> None:
    assert judged({"TF_CLI_ARGS_init": value}).refusals == (
        "TF_CLI_ARGS_init holds options that change what Terraform does (none may stand there): "
        + AWAY.format("TF_CLI_ARGS_init"),
    )


def test_a_quote_without_an_end_is_said() -> None:
    assert judged({"TF_CLI_ARGS_plan": "'-target=a"}).refusals == (
        "TF_CLI_ARGS_plan has a quote without an end: " + AWAY.format("TF_CLI_ARGS_plan"),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("TF_IN_AUTOMATION", "TF_INPUT", "TF_PLUGIN_CACHE_DIR", "TF_TOKEN_app_terraform_io", "TF_HTTP_PASSWORD"),
        *(
            "TF_REGISTRY_CLIENT_TIMEOUT",
            "TF_ENCRYPTION",
            "AWS_SECRET_ACCESS_KEY",
            "PG_CONN_STR",
            "TERRAFORM_BINARY_NAME",
        ),
        *("CDKTF_LOG_LEVEL", "CDKTF_LOG_FILE_DIRECTORY", "CDKTF_HOME", "CDKTF_PARALLELISM"),
        *("CDKTF_DISABLE_PLUGIN_CACHE_ENV", "HOMELAB_FILE", "PATH", "LITELLM_API_KEY"),
    ],
)
def test_what_moves_nothing_goes_along(name: str) -> None:
    found = judged({name: VALUE})
    assert (found.refusals, found.notes, found.kept) == ((), (), {name: VALUE})


LOG = (
    "{} left out: the provider would write the API token into the log. TF_LOG_CORE=DEBUG makes a log that can be shown; "
    "PVE_AGENTS_KEEP=TF_LOG insists."
)


@pytest.mark.parametrize(
    "name", ["TF_LOG", "TF_LOG_PROVIDER", "TF_LOG_PROVIDER_PROXMOX", "TF_LOG_SDK", "TF_LOG_SDK_PROTO"]
)
def test_no_log_is_asked_of_the_provider_which_would_write_the_token_into_it(name: str) -> None:
    found = judged({name: "DEBUG", "TF_LOG_PATH": "log"})
    assert (found.refusals, found.notes, found.kept) == ((), (LOG.format(f"{name} is"),), {"TF_LOG_PATH": "log"})


def test_several_are_one_sentence() -> None:
    assert judged({"TF_LOG": "DEBUG", "TF_LOG_PROVIDER": "DEBUG"}).notes == (
        LOG.format("TF_LOG and TF_LOG_PROVIDER are"),
    )


def test_the_log_that_the_sentence_names_goes_along() -> None:
    assert judged({"TF_LOG_CORE": "DEBUG"}).notes == ()
    assert judged({"TF_LOG_CORE": "DEBUG"}).kept == {"TF_LOG_CORE": "DEBUG"}


def test_who_insists_gets_what_they_insist_on_and_no_more() -> None:
    given = {INSIST: "TF_LOG TF_REATTACH_PROVIDERS", "TF_LOG": "DEBUG", "TF_REATTACH_PROVIDERS": "{}"}
    found = judged(given)
    assert (found.refusals, found.notes, found.kept) == ((), (), given)
    assert len(judged(given | {"TF_WORKSPACE": "dev"}).refusals) == 1


def test_variables_for_terraform_are_named_and_left_out() -> None:
    found = judged({"TF_VAR_vmid": VALUE, "TF_VAR_password": VALUE})
    assert found.notes == (
        (
            "TF_VAR_password and TF_VAR_vmid are left out: these stacks have no variables. Settings are in homelab.yaml, or in "
            "HOMELAB_… for one run."
        ),
    )
    assert found.kept == {}


@pytest.mark.parametrize("name", ["TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"])
def test_a_configuration_that_is_not_there_is_left_out_and_one_that_is_goes_along(name: str, tmp_path: Path) -> None:
    found = judged({name: str(tmp_path / "none")})
    assert (found.kept, found.notes) == (
        {},
        (f"{name} is left out: it names a file that does not exist, which makes every call of Terraform warn.",),
    )
    assert judged({name: str(tmp_path)}).notes == ()


# Whose credential ------------------------------------------------------------------------------------------------------

FILE = "LIBRARIAN_ENV_FILE"
ALL = dict.fromkeys(
    (*TOKENS_OWN, *ROOTS_OWN, FILE, "LITELLM_API_KEY", "PATH", "PROXMOX_VE_ENDPOINT", "AWS_SECRET_KEY"), VALUE
)


@pytest.mark.parametrize(
    ("token", "root", "missing"),
    [
        (True, True, set()),
        (True, False, ROOTS_OWN | {FILE, "LITELLM_API_KEY"}),
        (False, True, TOKENS_OWN),
        (False, False, TOKENS_OWN | ROOTS_OWN | {FILE, "LITELLM_API_KEY"}),
    ],
)
def test_a_stack_gets_its_own_credential_alone(*, token: bool, root: bool, missing: set[str]) -> None:
    kept = for_stacks(ALL, token=token, root=root, secrets=["LITELLM_API_KEY"])
    assert set(ALL) - set(kept) == missing


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["diff", "hermes"], "diff"),
        (["plan", "hermes"], "diff"),
        (["deploy", "hermes", "--auto-approve"], "deploy"),
        (["--log-level", "off", "deploy", "hermes"], "deploy"),
        (["apply", "hermes"], "deploy"),
        (["watch", "hermes"], "deploy"),
        (["destroy", "hermes"], "destroy"),
        (["deploy", "--help"], None),
        (["synth"], None),
        (["output", "hermes"], None),
        ([], None),
    ],
)
def test_what_starts_the_provider_is_known(arguments: list[str], name: str | None) -> None:
    assert command_line(arguments).name == name


@pytest.mark.parametrize(
    ("patterns", "stack", "named"),
    [
        (["hermes"], "hermes", True),
        (["hermes"], "hermes-root", False),
        (["hermes*"], "hermes-root", True),
        (["*"], "librarian", True),
        (["--auto-approve", "hermes"], "hermes", True),
        ([], "hermes", False),
    ],
)
def test_the_stacks_of_a_command_are_known(patterns: list[str], stack: str, *, named: bool) -> None:
    assert command_line(["deploy", *patterns]).names(stack) is named
