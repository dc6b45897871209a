"""What the real Hermes makes of the settings: the effect, not the file."""

from __future__ import annotations

from tests.agent.hermes import Around, RealHermes

LIMITS = """
import json, os
import gateway.run
from hermes_cli.config import load_config
config = load_config()
print(json.dumps([os.environ.get("HERMES_MAX_ITERATIONS"), config["agent"]["max_turns"]]))
"""
COMPRESSION = """
import json
from agent.auxiliary_client import _resolve_task_provider_model
print(json.dumps(_resolve_task_provider_model("compression")[:2]))
"""


def test_agent_max_turns_ends_a_turn_and_what_is_refused_does_not(hermes: RealHermes, around: Around) -> None:
    hermes.deliver({"settings": {"agent": {"max_turns": 1}}})
    with hermes.gateway():
        # The model wants the tool's result; after one call there is no other to give it.
        hermes.chat("run: echo once")
    assert hermes.ask_python(LIMITS) == ["1", 1]
    tools = [it for it in around.turns if it.body["messages"][-1]["role"] == "tool"]
    assert [it.body.get("tools") for it in tools] == [None] * len(tools)

    hermes.deliver({})
    hermes.declare({"max_turns": 1, "max_iterations": 1, "agent": {"max_iterations": 1}})
    assert hermes.ask_python(LIMITS) == [None, 90]


def test_auxiliary_compression_says_who_summarises_and_what_is_refused_does_not(hermes: RealHermes) -> None:
    hermes.deliver({"settings": {"auxiliary": {"compression": {"model": "small", "provider": "litellm"}}}})
    assert hermes.ask_python(COMPRESSION) == ["litellm", "small"]

    hermes.deliver({})
    unchanged = hermes.ask_python(COMPRESSION)
    hermes.declare(
        {"compression": {"summary_model": "small", "summary_provider": "other", "summary_base_url": "http://h"}}
    )
    assert hermes.ask_python(COMPRESSION) == unchanged
