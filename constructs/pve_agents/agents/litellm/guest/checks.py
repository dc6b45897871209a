"""Whether the gateway is up, has its models and its database, and gets an answer from one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pve_agents.guest.asking import NoAnswerError, ask
from pve_agents.guest.checks import Answer, Check, OwnChecks
from pve_agents.guest.secrets import read_secrets, shortened

__all__ = ["Checks"]

_SECONDS, _MOST_BYTES, _LONGEST = 10, 4 << 20, 300
_HTTP_OK, _UNAUTHORIZED, _TOO_MANY = 200, 401, 429


class Checks(OwnChecks):
    """The gateway, asked as an agent would ask it."""

    def ready(self) -> Answer:
        """Tell whether it is up, with its database."""
        try:
            status, said = self._ask("/health/readiness")
        except NoAnswerError as error:
            return Answer("waiting", f"the gateway at {self._url} is not reached ({error})", self._remedy)
        database = str(said.get("db", ""))
        if status != _HTTP_OK:
            return Answer("waiting", f"the gateway says that it is {said.get('status', status)}", self._remedy)
        if self.arguments["has_database"] and database.lower() != "connected":
            detail = f"the gateway is up without its database ({database or 'nothing is said of it'})"
            return Answer("waiting", detail, "look at `docker logs` of the container of the service database")
        return Answer("ok", f"up, its database {database}" if self.arguments["has_database"] else "up")

    def prove(self) -> Answer:
        """Tell whether it has its models, and gets an answer from one of them."""
        models = self._models()
        return self._turn() if models.ok else models

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield what is well and what is not."""
        yield _check("gateway", self.ready())
        yield _check("models", self._models())
        yield _check("turn", self._turn() if chat else Answer("skipped", "it costs money, and was not asked for"))

    @property
    def _url(self) -> str:
        return str(self.arguments["url"])

    @property
    def _remedy(self) -> str:
        return "look at `docker ps -a`, and at `docker logs` of the service litellm, in the container"

    def _models(self) -> Answer:
        try:
            status, said = self._ask("/v1/models")
        except NoAnswerError as error:
            return Answer("failed", f"the gateway does not list its models ({error})", self._remedy)
        if status == _UNAUTHORIZED:
            name = self.arguments["master_key"]
            return Answer("failed", f"the gateway refuses its own {name}", "deliver the secrets again, and deploy")
        if status != _HTTP_OK:
            return Answer("failed", f"the gateway answers {status} to who asks for its models", self._remedy)
        listed = [str(it.get("id")) for it in said.get("data") or []]
        if missing := [it for it in self.arguments["models"] if it not in listed]:
            detail = f"the gateway does not list {', '.join(missing)}"
            return Answer("failed", detail, f"deploy again; if it stays, look at {self.arguments['setting']}.models")
        return Answer("ok", ", ".join(listed))

    def _turn(self) -> Answer:
        if not (model := str(self.arguments["asked"])):
            return Answer("ok", "no model may be asked for a check")
        body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Say ok."}]}
        seconds = int(self.arguments["seconds"])
        try:
            status, said = self._ask("/v1/chat/completions", body, seconds=seconds)
        except NoAnswerError as error:
            remedy = f"look at the model's load, or raise {self.arguments['setting']}.answer_seconds"
            return Answer("failed", f"{model} gives no answer ({error})", remedy)
        if status == _HTTP_OK and said.get("choices"):
            return Answer("ok", f"{model} answers")
        why = str((said.get("error") or {}).get("message") or said or "no reason given")
        remedy = (
            f"look at its api_base and key_env in {self.arguments['setting']}.models, or write answers_checks: false"
        )
        if status == _TOO_MANY:
            remedy = "the provider, or a limit of the model's, allows no more for now: try later"
        return Answer("failed", f"{model} answers {status}: {shortened(why, _LONGEST)}", remedy)

    def _ask(
        self, path: str, body: Mapping[str, Any] | None = None, *, seconds: int = _SECONDS
    ) -> tuple[int, dict[str, Any]]:
        secrets = read_secrets(self.machine, str(self.arguments["secrets_file"]))
        key = secrets.values.get(str(self.arguments["master_key"]), "")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        sent = json.dumps(body).encode() if body is not None else None
        status, content = ask(f"{self._url}{path}", seconds=seconds, most_bytes=_MOST_BYTES, headers=headers, body=sent)
        return status, _object(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {"error": {"message": content.decode(errors="replace")}}
    return found if isinstance(found, dict) else {}


def _check(name: str, answer: Answer) -> Check:
    status = answer.state if answer.state in ("ok", "skipped") else "failed"
    return Check(name, status, answer.detail, answer.remedy)
