"""What messages lead to: never to more than what was written, and always to what is accepted."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pve_agents.agents.hermes.settings import Hermes
from pve_agents.described import docstrings
from pve_agents.model import Model, _is_flag, meant, offered
from pve_agents.settings import Agent, Homelab, SettingsError, load_settings

Refuse = Callable[[dict[str, Any]], list[str]]


def models(model: type[Model], seen: set[type[Model]]) -> Iterator[type[Model]]:
    """A model and all below it."""

    def inside(annotation: object) -> Iterator[type[Model]]:
        if isinstance(annotation, type) and issubclass(annotation, Model):
            yield annotation
        for part in getattr(annotation, "__args__", ()):
            yield from inside(part)

    if model not in seen:
        seen.add(model)
        yield model
        for field in model.model_fields.values():
            for below in inside(field.annotation):
                yield from models(below, seen)


MODELS = [*models(Homelab, set()), *models(Hermes, set())]


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    def of(hermes: dict[str, Any]) -> list[str]:
        (tmp_path / "homelab.yaml").write_text(json.dumps({"agents": {"hermes": {"hermes": hermes}}}))
        with pytest.raises(SettingsError) as refusal:
            load_settings(tmp_path)
        return refusal.value.messages

    return of


def slips(key: str) -> Iterator[str]:
    """A key as somebody in a hurry writes it."""
    yield from (key, f"{key}s", key[:-1], key.upper(), key.replace("_", "-"), key.replace("_", ""))
    yield from (key[:i] + key[i + 1 :] for i in range(1, len(key)))
    yield from (f"allow_{key}", key.replace("allowed", "allow"), key.removeprefix("group_"))


@pytest.mark.parametrize("model", [it for it in MODELS if it.opens], ids=lambda it: it.__name__)
@pytest.mark.parametrize("value", [True, False, "661", ["661"], {}], ids=str)
def test_no_likeness_of_names_leads_to_a_key_that_opens_more(model: type[Model], value: object) -> None:
    for key in model.opens & model.model_fields.keys():
        assert {meant(model, slip, value, cutoff=0.1) for slip in slips(key)}.isdisjoint(model.opens)


@pytest.mark.parametrize("model", MODELS, ids=lambda it: it.__name__)
def test_every_key_that_opens_to_everybody_is_marked(model: type[Model]) -> None:
    texts = docstrings(model)
    opening = {
        key
        for key, field in model.model_fields.items()
        if (_is_flag(field.annotation) and "allow" in key)
        or re.search(r"\b(everybody|take over|whose members)\b", texts.get(key, ""))
    }
    assert opening <= model.opens


@pytest.mark.parametrize("model", MODELS, ids=lambda it: it.__name__)
def test_who_has_not_said_true_or_false_is_led_to_no_flag(model: type[Model]) -> None:
    flags = {key for key, field in model.model_fields.items() if _is_flag(field.annotation)}
    assert flags.isdisjoint(offered(model, "661"))
    assert flags - model.opens <= {*offered(model, value=True), "name"}


ALLOWED = ["allow_from", "allowlist", "allowed_ids", "users", "whitelist"]


@pytest.mark.parametrize("key", ALLOWED)
@pytest.mark.parametrize(
    ("platform", "who"), [("telegram", "661234"), ("discord", "661234"), ("slack", "U012AB3CD")], ids=str
)
def test_who_names_some_is_led_to_the_list_of_them(
    refuse: Refuse, tmp_path: Path, platform: str, who: str, key: str
) -> None:
    messages = refuse({"platforms": {platform: {key: who}}})
    place = f"homelab.yaml: agents.hermes.hermes.platforms.{platform}"
    assert f"{place}.{key}: there is no such setting; did you mean allowed_users?" in messages
    assert not [it for it in messages if "allow_all" in it]
    # What it says is accepted.
    text = json.dumps({"agents": {"hermes": {"hermes": {"platforms": {platform: {"allowed_users": [who]}}}}}})
    (tmp_path / "homelab.yaml").write_text(text)
    hermes = Hermes.of(load_settings(tmp_path).agents["hermes"])
    assert hermes
    assert hermes.managed_environment[f"{platform.upper()}_ALLOW_ALL_USERS"] == "false"


@pytest.mark.parametrize(
    "platforms",
    [
        {"telegram": {}},
        {"telegram": {"allow_al": True}},
        {"telegram": {"allowed_chats": [-1001234567]}},
        {"discord": {"allow_role": ["661234"]}},
        {"allow_all": True},
    ],
    ids=str,
)
def test_no_message_about_a_platform_names_what_lets_everybody_in(refuse: Refuse, platforms: dict[str, Any]) -> None:
    said = " ".join(refuse({"platforms": platforms}))
    for key in ("allow_all", "allowed_roles", "group_allowed_chats"):
        # But for what was written.
        assert not re.search(rf"(mean|write|or|,) (\w+\.)*{key}\b", said), said


@pytest.mark.parametrize(
    ("hermes", "opening"),
    [
        ({"api_server": {"host": "localhost"}}, "0.0.0.0"),
        ({"dashboard": {"enabled": True, "host": "localhost"}}, "0.0.0.0"),
        ({"api_server": {"cors_origins": ["chat.home.arpa"]}}, "*"),
    ],
    ids=str,
)
def test_no_message_about_an_address_names_every_one(refuse: Refuse, hermes: dict[str, Any], opening: str) -> None:
    assert opening not in " ".join(refuse(hermes))


def test_who_wants_a_volume_to_be_read_only_is_not_led_to_one_that_can_be_written(
    refuse: Refuse, tmp_path: Path
) -> None:
    assert refuse({"volumes": ["/srv/books:/srv/books:readonly"]}) == [
        (
            'homelab.yaml: agents.hermes.hermes.volumes.0: "/srv/books:/srv/books:readonly" ends in "readonly", which is no '
            "mode of a volume; write ro in its place."
        )
    ]
    text = json.dumps({"agents": {"hermes": {"hermes": {"volumes": ["/srv/books:/srv/books:ro"]}}}})
    (tmp_path / "homelab.yaml").write_text(text)
    load_settings(tmp_path)


def test_nobody_is_led_to_take_over_a_container() -> None:
    assert meant(Agent, "adapt", value=True) is None
    assert meant(Agent, "adopted", value=True) is None
