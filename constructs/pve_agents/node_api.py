"""The Proxmox VE API as the token of the environment sees it, and one sentence for everything that may be wrong with it.

The provider says the same in its own way: after ten tries, up to a minute later, in words that name no file and no remedy.
"""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, TypeVar

from pve_agents.node_access import TOKEN, About, Access, NodeError, Ticket, Where, access, port_of
from pve_agents.node_session import session_of

__all__ = [
    "SECONDS",
    "TOKEN",
    "Access",
    "Node",
    "NodeError",
    "RefusedError",
    "StatusError",
    "access",
    "explained",
    "within",
]

SECONDS = 10.0
"""How long somebody waits for the node's answers at most."""

_OLD_TLS = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")
# Proxmox VE's own, of its proxy to the other nodes.
_UNREACHED_BEHIND = range(595, 600)
_LONGEST_QUOTE = 80
_REFUSED = object()

Answer = TypeVar("Answer")


class StatusError(NodeError):
    """The API has answered with an HTTP error.

    Attributes:
        words: What it said.
        status: The HTTP status.
        errors: What it said of each value.
    """

    def __init__(self, sentence: str, about: About, words: str, status: int, errors: str = "") -> None:
        """Keep the sentence, what it is about, what the API said, the status, and what was wrong with which value."""
        super().__init__(sentence, about)
        self.words, self.status, self.errors = words, status, errors


class RefusedError(StatusError):
    """Proxmox VE does not do what it was asked to."""


class Node:
    """The API, asked with a token or with a login."""

    def __init__(self, access: Access | Ticket, *, seconds: float = SECONDS) -> None:
        """Ask nothing yet.

        Args:
            access: Where, and as whom.
            seconds: How long to wait for an answer.
        """
        from proxmoxer import ProxmoxResource  # noqa: PLC0415 - takes longer to import than most commands take
        from proxmoxer.backends.https import JsonSerializer  # noqa: PLC0415

        self._access, self._seconds = access, seconds
        session = session_of(access, seconds)
        self._api = ProxmoxResource(
            base_url=f"{access.address}/api2/json", session=session, serializer=JsonSerializer()
        )

    def privileges(self, path: str) -> set[str]:
        """The token's effective privileges on a path; for a privilege-separated token PVE intersects with its user."""
        answer = self._get("access/permissions", path=path)
        if not isinstance(answer, dict) or not all(map(_is_permission, answer, answer.values())):
            raise self._foreign()
        held: set[str] = set()
        # Proxmox VE answers for the path alone; where ancestors are listed too, what propagates counts as well.
        for place, privileges in answer.items():
            if place == path or path.startswith(place.rstrip("/") + "/"):
                held.update(name for name, propagates in privileges.items() if place == path or propagates)
        return held

    def version(self) -> str:
        """The version of Proxmox VE, which is pve-manager's."""
        answer = self._get("version")
        if not isinstance(answer, dict) or "version" not in answer:
            raise self._foreign()
        return str(answer["version"])

    def is_free(self, vmid: str) -> bool:
        """Whether no guest of the cluster has the VMID, seen or unseen."""
        answer = self._get("cluster/nextid", refused=HTTPStatus.BAD_REQUEST, vmid=vmid)
        if answer is not _REFUSED and str(answer) != vmid:
            raise self._foreign()
        return answer is not _REFUSED

    def guest(self, vmid: str) -> dict[str, object] | None:
        """What the cluster lists of a guest, on whatever node, online or not; none where the token may not see it."""
        return next((it for it in self._list("cluster/resources", type="vm") if str(it.get("vmid")) == vmid), None)

    def container(self, node: str, vmid: str, *, current: bool = False) -> dict[str, object] | None:
        """The configuration of a container on a node; none where there is no such container.

        Args:
            node: The node.
            vmid: The container.
            current: What it has now, and not what its next start will use.
        """
        return self._of_container(f"nodes/{node}/lxc/{vmid}/config", "digest", {"current": "1"} if current else {})

    def state(self, node: str, vmid: str) -> str:
        """Whether a container runs; empty where there is no such container."""
        answer = self._of_container(f"nodes/{node}/lxc/{vmid}/status/current", "status")
        return str(answer.get("status", "")) if answer else ""

    def ended_well(self, node: str, vmid: str, kind: str) -> set[str]:
        """The tasks of a kind that a container has had, and that ended well."""
        tasks = self._list(f"nodes/{node}/tasks", vmid=vmid, typefilter=kind, limit="100")
        return {str(it.get("upid")) for it in tasks if it.get("status") == "OK"}

    def container_states(self) -> dict[str, tuple[str, str]]:
        """Node and state of each container of the cluster that the token may see, by its VMID."""
        containers = (it for it in self._list("cluster/resources", type="vm") if it.get("type") == "lxc")
        return {str(it.get("vmid")): (str(it.get("node")), str(it.get("status"))) for it in containers}

    def change(self, verb: str, resource: str, parameters: Mapping[str, str]) -> str:
        """Change something, and wait for its end where Proxmox VE makes a task of it.

        Args:
            verb: ``PUT`` or ``POST``.
            resource: What, below the API.
            parameters: How.

        Returns:
            The task, or nothing.

        Raises:
            RefusedError: Proxmox VE does not do it.
            NodeError: It could not be asked.
        """
        return str(self._ask(verb, resource, parameters) or "")

    def task(self, node: str, upid: str) -> str:
        """How a task has ended; empty while it runs."""
        answer = self._get(f"nodes/{node}/tasks/{upid}/status")
        if not isinstance(answer, dict) or "status" not in answer:
            raise self._foreign()
        return "" if answer["status"] == "running" else str(answer.get("exitstatus"))

    def terminal(self, path: str) -> dict[str, object]:
        """Have a terminal opened, and return what its websocket asks for: user, ticket and port.

        Args:
            path: Whose: ``nodes/NODE``, or ``nodes/NODE/lxc/VMID``.
        """
        answer = self._ask("POST", f"{path}/termproxy", {})
        if not isinstance(answer, dict) or not {"user", "ticket", "port"} <= answer.keys():
            raise self._foreign()
        return answer

    def _of_container(
        self, resource: str, always: str, parameters: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any] | None:
        # Proxmox VE has no 404 for it (pve-guest-common, AbstractConfig.pm: load_config).
        answer = self._get(resource, absent="does not exist", refused=None, **parameters)
        if answer is _REFUSED:
            return None
        # What is no JSON at all is an object, too, after proxmoxer.
        if not isinstance(answer, dict) or always not in answer:
            raise self._foreign()
        return answer

    def _list(self, resource: str, **parameters: str) -> list[dict[str, Any]]:
        answer = self._get(resource, refused=None, absent=None, **parameters)
        if not isinstance(answer, list) or not all(isinstance(it, dict) for it in answer):
            raise self._foreign()
        return answer

    def _get(
        self, resource: str, *, refused: int | None = None, absent: str | None = None, **parameters: str
    ) -> object:
        """The data of an answer, whatever it is; `_REFUSED` where it has the status `refused`, or says `absent`."""
        return self._ask("GET", resource, parameters, refused=refused, absent=absent)

    def _ask(
        self,
        verb: str,
        resource: str,
        parameters: Mapping[str, str],
        *,
        refused: int | None = None,
        absent: str | None = None,
    ) -> object:
        import requests  # noqa: PLC0415 - as above
        from proxmoxer import ResourceException  # noqa: PLC0415

        try:
            return getattr(self._api(resource), verb.lower())(**parameters)
        except ResourceException as error:
            if error.status_code == refused or (absent and absent in str(error.content)):
                return _REFUSED
            about: About = "token" if error.status_code == HTTPStatus.UNAUTHORIZED else "endpoint"
            words = self._shown(str(error.content))
            status, errors = error.status_code, self._shown(str(error.errors))
            if verb != "GET" and status not in (HTTPStatus.UNAUTHORIZED, *_UNREACHED_BEHIND):
                why = "; ".join([words, *(f"{key}: {text}" for key, text in (error.errors or {}).items())])
                raise RefusedError(f"Proxmox VE refuses it: {self._shown(why)}", about, words, status, errors) from None
            raise StatusError(self._explain_status(resource, status, words), about, words, status, errors) from None
        except requests.TooManyRedirects:
            raise NodeError(
                f"{self._access.address} sends us somewhere else, where the token does not go: PROXMOX_VE_ENDPOINT must "
                "name the API itself, as in https://HOST:8006"
            ) from None
        except requests.RequestException as error:
            is_distrusted = isinstance(_cause(error), ssl.SSLCertVerificationError)
            sentence = explained(self._access, error, self._seconds)
            raise NodeError(sentence, "certificate" if is_distrusted else "endpoint") from None
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            # What proxmoxer makes of an answer that is JSON, and is not Proxmox VE's.
            raise self._foreign() from None

    def _foreign(self) -> NodeError:
        return NodeError(
            f"{self._access.address} does not answer as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API (port 8006)?"
        )

    def _shown(self, words: str) -> str:
        """What the API said, as it can be shown."""
        return "".join(filter(str.isprintable, words)).replace(self._access.secret, "…")

    def _explain_status(self, resource: str, status: int, words: str) -> str:
        """One sentence for an HTTP error, whatever was asked for."""
        address, who = self._access.address, self._access
        said = f" ({words[:_LONGEST_QUOTE]})" if words else ""
        if status == HTTPStatus.UNAUTHORIZED:
            if isinstance(who, Ticket):
                return (
                    f"{address} does not accept the login of {who.user} any more{said}: run it again, and log in anew"
                )
            return (
                f"{address} does not accept token {who.token_id}{said}: `pveum user token list {who.user}` on the node "
                f"shows which there are and until when; correct {who.variable}, or make a new one (docs/node.md)"
            )
        if status in _UNREACHED_BEHIND:
            return f"{address} cannot reach the node behind it (HTTP {status}): is every node of the cluster up?"
        if status == HTTPStatus.NOT_FOUND:
            return str(self._foreign())
        return (
            f"{address} answers HTTP {status}{said} when asked for {resource}: look at `systemctl status pveproxy pvedaemon` "
            "on the node, and at what is between it and here"
        )


def _is_permission(place: object, privileges: object) -> bool:
    return isinstance(place, str) and place.startswith("/") and isinstance(privileges, dict)


def explained(where: Where, error: BaseException, seconds: float = SECONDS) -> str:
    """One sentence for a connection that failed."""
    address = where.address
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the certificate of {address} cannot be verified ({cause.verify_message}): "
            "install its CA on this machine, or set PROXMOX_VE_INSECURE=true"
        )
    if isinstance(cause, ssl.SSLError):
        if cause.reason in _OLD_TLS:
            return (
                f"{address} speaks an older TLS than {where.oldest_tls.name[4:].replace('_', '.')}, which the "
                "provider asks for: set PROXMOX_VE_MIN_TLS=1.2, or see what stands between it and here"
            )
        return f"{address} does not speak TLS as it should ({cause.reason or 'handshake failed'})"
    if isinstance(cause, TimeoutError):
        return _too_late(where, seconds)
    if not port_of(address):
        remedy = "is the node on, and is PROXMOX_VE_ENDPOINT right?"
    else:
        remedy = f"PROXMOX_VE_ENDPOINT names no port, and Proxmox VE's is 8006: write {address}:8006"
    return f"{address} cannot be reached ({_reason(cause)}): {remedy}"


def _cause(error: BaseException) -> BaseException:
    """What happened below the layers of a library: the last of its kind that the operating system or TLS said."""
    found = error
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, OSError) and type(inner).__module__ in ("builtins", "ssl", "socket"):
            found = inner
        reason = getattr(inner, "reason", None)
        arguments = [it for it in inner.args if isinstance(it, BaseException)]
        inner = next(
            (it for it in (reason, inner.__cause__, *arguments, inner.__context__) if isinstance(it, BaseException)),
            None,
        )
    return found


def _reason(error: BaseException) -> str:
    if type(error).__module__.partition(".")[0] in ("requests", "urllib3", "http"):
        return "it broke off in the middle of its answer"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def _too_late(access: Where, seconds: float) -> str:
    return f"{access.address} does not answer within {seconds:g} seconds: is the node on, and is PROXMOX_VE_ENDPOINT right?"


def within(seconds: float, access: Where, ask: Callable[[], Answer]) -> Answer:
    """The answer of `ask`, or the sentence that it took too long.

    A name server, a node that sends a byte a second and a proxy each have time limits of their own, or none. This one is
    for all together, and Ctrl-C ends it at once.
    """
    answers: queue.SimpleQueue[tuple[Answer | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            answers.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise NodeError(_too_late(access, seconds)) from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]
