"""What is asked, and the settings that the answers make."""

from __future__ import annotations

import ipaddress
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pve_agents.agents.init import Introduction
from pve_agents.agents.kind import default_of
from pve_agents.problems import SettingsError
from pve_agents.questions import NONE, Answers, Question
from pve_agents.settings import Agent, load_settings
from pve_agents.yaml_writer import to_yaml

__all__ = ["ADDRESS", "Asking", "address_problem", "endpoint_of", "host_of", "questions_of"]

ADDRESS = "address"

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_PORT, _HIGHEST_PORT = "8006", 65535
_HEAD = """\
# yaml-language-server: $schema=schemas/homelab.schema.json
#
# What differs from the defaults. homelab.example.yaml has every setting.
"""
# Question -> where its answer stands below the agent.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "node": ("node",),
    "bridge": ("network", "bridge"),
    "disk-datastore": ("disk", "datastore"),
    "template-datastore": ("template", "datastore"),
}


def questions_of(agent: str, introduction: Introduction) -> list[Question]:
    """Return all questions: those of every agent, and those of the kind."""
    return [
        Question("node", "Name of the Proxmox VE node that is to run the container", lambda it: it.node),
        Question(
            ADDRESS,
            "Address of the node, for its API and for ssh; with the port of the API, where it is not 8006",
            lambda it: it.node,
        ),
        Question("bridge", "Bridge or SDN vnet that the container is plugged into", lambda it: it.network.bridge),
        Question("disk-datastore", "Datastore for the container's disk", lambda it: it.disk.datastore),
        Question("template-datastore", "Datastore for the template, a file", lambda it: it.template.datastore),
        *(_of_mount(key, mount) for key, mount in default_of(agent).get("mounts", {}).items()),
        *introduction.questions,
    ]


def _of_mount(key: str, mount: Mapping[str, Any]) -> Question:
    place = str(mount["guest_path"])
    return Question(
        _directory(mount),
        f"Directory of the node that shows as {place} in the container; {NONE}: without it",
        lambda it: it.binds[key].host_path if key in it.binds else NONE,
    )


def _directory(mount: Mapping[str, Any]) -> str:
    return f"{str(mount['guest_path']).strip('/').replace('/', '-')}-directory"


class Asking:
    """Questions, and what they are answered with."""

    def __init__(self, agent: str, introduction: Introduction, questions: Sequence[Question]) -> None:
        """Know the defaults."""
        self._agent, self._introduction, self.questions = agent, introduction, questions
        default = _loaded({})[agent]
        self._defaults = {it.name: it.default(default) for it in questions}
        self._answers: dict[str, str] = {}

    @property
    def answers(self) -> Answers:
        """All answers; where there is none yet, the default."""
        answers = {**self._defaults, **self._answers}
        if ADDRESS not in self._answers:
            # Who gives the node another name has it in the name server, most likely.
            answers[ADDRESS] = answers["node"]
        return answers

    def answer(self, name: str, value: str) -> str:
        """Take an answer; return what is wrong with it, in a sentence, or nothing."""
        before = dict(self._answers)
        self._answers[name] = value.strip()
        problem = self.problem()
        if problem:
            self._answers = before
        return problem

    def problem(self) -> str:
        """Say what is wrong with what was answered so far."""
        try:
            _loaded(self._settings(without=[it.name for it in self.questions if it.name not in self._answers]))
        except SettingsError as error:
            return error.messages[0]
        return address_problem(self.answers[ADDRESS])

    def settings(self) -> dict[str, Any]:
        """Return the agent's settings: what differs from the defaults."""
        return self._settings()

    def _settings(self, without: Collection[str] = ()) -> dict[str, Any]:
        """Return the settings without some mounts: the default of one that nobody was asked for yet may be in the way."""
        answers, found = self.answers, dict[str, Any]()
        for name, place in _PLACES.items():
            if answers[name] != self._defaults[name]:
                *above, last = place
                inner = found
                for key in above:
                    inner = inner.setdefault(key, {})
                inner[last] = answers[name]
        mounts = default_of(self._agent).get("mounts", {})
        if any(answers[_directory(it)] != self._defaults[_directory(it)] for it in mounts.values()):
            chosen = {key: {**it, "host_path": answers[_directory(it)]} for key, it in mounts.items()}
            found["mounts"] = {
                key: it for key, it in chosen.items() if it["host_path"] != NONE and _directory(it) not in without
            }
        if section := self._introduction.section(answers, self._defaults):
            found[self._agent] = dict(section)
        return {"agents": {self._agent: found}}

    def text(self) -> str:
        """Return homelab.yaml."""
        return f"{_HEAD}{to_yaml(self.settings())}"

    def agents(self) -> Mapping[str, Agent]:
        """Return the agents that the answers make."""
        return _loaded(self.settings())

    def take(self, given: Answers) -> None:
        """Take answers that nobody has to be asked for.

        Raises:
            SettingsError: They cannot be right.
        """
        self._answers |= {name: value.strip() for name, value in given.items()}
        if problem := self.problem():
            raise SettingsError([problem])

    def ask(self, questions: Sequence[Question], prompt: Callable[[str, str], str], say: Callable[[str], None]) -> None:
        """Ask for what has no answer, each as often as it takes.

        Args:
            questions: Those that matter.
            prompt: Asks somebody, with a text and a default.
            say: Says what is wrong with an answer.
        """
        for question in questions:
            if question.name in self._answers:
                continue
            while problem := self.answer(question.name, prompt(question.text, self.answers[question.name])):
                say(problem)


def address_problem(value: str) -> str:
    """Say why this is no address of a host; nothing if it is one."""
    host, port = _parts(value)
    if (_NAME.fullmatch(host) or _is_ip(host)) and 0 < int(port) <= _HIGHEST_PORT:
        return ""
    return "this is not the name or the address of a host; write it alone, such as 10.1.10.10"


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _parts(address: str) -> tuple[str, str]:
    """The host, and the port of the API."""
    if _is_ip(address):
        return address, _PORT
    found = re.fullmatch(r"\[?(?P<host>.*?)\]?(:(?P<port>\d{1,5}))?", address)
    return (found["host"], found["port"] or _PORT) if found else (address, _PORT)


def host_of(address: str) -> str:
    """Return the host alone, as ssh takes it."""
    return _parts(address)[0]


def endpoint_of(address: str) -> str:
    """Return where the API is at an address."""
    host, port = _parts(address)
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _loaded(settings: Mapping[str, Any]) -> Mapping[str, Agent]:
    """Return the agents of settings, checked as any settings are."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "homelab.yaml").write_text(to_yaml(settings) if settings else "", encoding="utf-8")
        return load_settings(Path(directory)).agents
