"""Whether Hermes works: its gateway, its platforms, its dashboard, its model endpoint, and a turn of a chat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from pve_agents.guest.checks import Answer, Check, Inside, KindChecks
from pve_agents.guest.health import recent_log
from pve_agents.guest.secrets import shortened

__all__ = ["Checks"]

_PROBE = Path(__file__).with_name("probe.py")
_PROBE_SECONDS, _LOG_SECONDS = 40, 30
# The probe itself needs some, beside what it waits for an answer.
_MARGIN_SECONDS = 20
_API_SERVER = "api_server"
_LOGGED_BYTES = 200


class Checks(KindChecks):
    """Hermes in one container, which its probe looks at from inside."""

    def __init__(self, inside: Inside) -> None:
        """Read what the renderer has put into the plan."""
        super().__init__(inside)
        it = inside.arguments
        self._api, self._dashboard = str(it["api_url"]), str(it.get("dashboard_url", ""))
        self._platforms = [str(name) for name in cast("list[str]", it["platforms"])]
        self._provider, self._base_url = str(it["provider"]), str(it.get("base_url", ""))
        self._key, self._model = str(it.get("key_name", "")), str(it["model"])
        self._answer_seconds = int(cast("int", it["answer_seconds"]))

    def _ask(self, *words: str) -> Answer:
        return self.inside.ask(_PROBE, *words, seconds=_PROBE_SECONDS)

    def _ask_models(self) -> Answer:
        return self._ask("models", self._base_url, self._key, self._model)

    def _ask_chat(self) -> Answer:
        seconds = self._answer_seconds
        return self.inside.ask(_PROBE, "chat", self._api, str(seconds), seconds=seconds + _MARGIN_SECONDS)

    # for the deploy -----------------------------------------------------------------------------------------------------

    def ready(self) -> Answer:
        """Tell whether the gateway is up with every platform, and the dashboard where there is one."""
        answer = self._ask("gateway", self._api, *self._platforms)
        return self._ask("dashboard", self._dashboard) if answer.ok and self._dashboard else answer

    def prove(self) -> Answer:
        """Have a turn of a chat; before it, ask the model endpoint, which says more clearly what is wrong."""
        if self._base_url:
            models = self._ask_models()
            if models.state not in ("ok", "skipped"):
                return replace(models, is_logged=False)
        self.inside.say("waiting for an answer")
        return self._ask_chat()

    def log(self) -> list[str]:
        """Return what Hermes' own logs say."""
        return self.inside.text(_PROBE, "log", seconds=_LOG_SECONDS)

    # for the verification -----------------------------------------------------------------------------------------------

    @property
    def _messengers(self) -> list[str]:
        return [it for it in self._platforms if it != _API_SERVER]

    def names(self) -> list[str]:
        """Return the names of all checks."""
        dashboard = ["dashboard"] if self._dashboard else []
        return ["gateway", *(f"platform {it}" for it in self._messengers), *dashboard, "model endpoint", "chat"]

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield all checks, each as soon as it is made."""
        gateway = self._ask("gateway", self._api, _API_SERVER)
        if gateway.ok:
            yield Check("gateway", "ok", gateway.detail)
        else:
            gateway = self._with_memory(gateway)
            yield Check("gateway", "failed", f"{gateway.detail}{self._logged()}", gateway.remedy)
        for name in self._messengers:
            if gateway.ok:
                yield _judged(f"platform {name}", self._ask("platform", self._api, name))
            else:
                yield Check(f"platform {name}", "skipped", "the gateway is not ready")
        if self._dashboard:
            yield _judged("dashboard", self._ask("dashboard", self._dashboard))
        endpoint = self._endpoint()
        yield endpoint
        if not chat:
            yield Check("chat", "skipped", "not asked for")
        elif not gateway.ok:
            yield Check("chat", "skipped", "the gateway is not ready")
        elif endpoint.status == "failed":
            yield Check("chat", "skipped", "the model endpoint does not answer")
        else:
            answer = self._ask_chat()
            yield Check("chat", "ok", answer.detail) if answer.ok else _judged("chat", self._with_memory(answer))

    def _endpoint(self) -> Check:
        name = "model endpoint"
        if not self._base_url:
            return Check(name, "skipped", f"the address of the provider {self._provider} is known to Hermes alone")
        answer = self._ask_models()
        return Check(name, answer.state, answer.detail, answer.remedy)

    def _with_memory(self, answer: Answer) -> Answer:
        """For want of memory the gateway may end, and what is around it stays."""
        work, name = self.inside.work, self.inside.service.name
        fault = work.runtime.memory_fault(name)
        return replace(answer, detail=f"{answer.detail}; {fault}", remedy=work.more_memory) if fault else answer

    def _logged(self) -> str:
        lines = recent_log(self.inside.work, self.inside.service)
        return f"; its log: {shortened(lines[-1], _LOGGED_BYTES)}" if lines else ""


def _judged(name: str, answer: Answer) -> Check:
    """What may still become well is not well now."""
    return Check(name, "ok" if answer.ok else "failed", answer.detail, answer.remedy)
