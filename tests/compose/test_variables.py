"""What is put in the place of Compose's variables is what Compose puts there."""

from __future__ import annotations

import pytest

from pve_agents.agents.compose.variables import filled, for_compose, secrets_in
from tests.compose.conftest import Arrives
from tests.compose.real import Refused
from tests.compose.test_text import HEAD

VALUES = {"A": "1", "EMPTY": "", "LONG": "a}b", "SIGN": "$A ${A}"}
TEXTS = (
    *("$A", "${A}", "x${A}y$A", "$A$A", "$$A", "$${A}", "$$$A", "${A:-d}", "${A-d}", "${A:?e}", "${A?e}", "${A:+r}"),
    *("${A+r}", "${EMPTY:-d}", "${EMPTY-d}", "${EMPTY:+r}", "${EMPTY+r}", "${EMPTY}", "${EMPTY?e}", "${NO:-d}"),
    *("${NO-d}", "${NO:+r}", "${NO+r}", "${NO:-}", "${NO-}", "${NO:-${A}}", "${NO:-${ALSO:-${A}}}", "${NO:-$A}"),
    *("${NO:-a${A}b}c", "${A:+${EMPTY:-x}}", "${NO:-a b}", "${NO:-http://h:1/p?q=1}", "${NO:-$$}", "${LONG}", "$SIGN"),
    *("${NO:-a-b:-c}", "${A}}", "{$A}"),
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_variable_is_filled_in_as_compose_does(text: str, arrive: Arrives) -> None:
    values = {name: f"'{value}'" for name, value in VALUES.items()}
    real = arrive(f"{HEAD}    environment:\n      X: '{text}'\n", **values)["services"]["a"]["environment"]["X"]
    assert filled(text, VALUES, ()) == real


@pytest.mark.parametrize(
    "text", ["$NO", "${NO}", "${NO:?e}", "${NO?e}", "${EMPTY:?e}", "$A_B", "${A", "${}", "${A!}", "${1}"]
)
def test_what_has_no_value_is_refused_where_compose_warns_or_ends(text: str, arrive: Arrives) -> None:
    with pytest.raises(ValueError, match=r"has no value|without its }|is no variable"):
        filled(text, VALUES, ())
    with pytest.raises(Refused):
        arrive(f"{HEAD}    environment:\n      X: '{text}'\n", A="1", EMPTY="")


@pytest.mark.parametrize(
    "text", ["$KEY", "${KEY}", "${KEY:-d}", "${KEY-d}", "${KEY:?e}", "${KEY:+$KEY}", "${NO:-$KEY}"]
)
def test_a_secret_is_left_to_compose_by_its_name(text: str, arrive: Arrives) -> None:
    marked = filled(f"a$${text}", VALUES, ["KEY"])
    assert secrets_in(marked) == ["KEY"]
    assert for_compose(marked) == "a$$${KEY}"
    rendered = f"{HEAD}    environment:\n      X: '{for_compose(marked)}'\n"
    assert arrive(rendered, KEY="'s$x'")["services"]["a"]["environment"]["X"] == "a$s$x"
