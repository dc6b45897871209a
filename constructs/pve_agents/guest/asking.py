"""A question by HTTP to what runs in the container."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from types import MappingProxyType

__all__ = ["NoAnswerError", "TooLateError", "ask"]


class NoAnswerError(Exception):
    """Nobody has answered; the message says why."""


class TooLateError(NoAnswerError):
    """Nobody has answered in time."""


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a redirect is an answer like any other, and a key goes nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


def ask(
    url: str,
    *,
    seconds: float,
    most_bytes: int,
    headers: Mapping[str, str] = MappingProxyType({}),
    body: bytes | None = None,
) -> tuple[int, bytes]:
    """Ask, and return the status and the content of the answer, whatever they are.

    Args:
        url: What is asked: http or https, by the settings.
        seconds: How long its silence is borne.
        most_bytes: How much of it is read.
        headers: What goes along. Defaults to nothing.
        body: What is sent. Defaults to nothing: the question is a GET.

    Raises:
        NoAnswerError: There is none.
    """
    request = urllib.request.Request(url, data=body, headers=dict(headers))  # noqa: S310 - as above
    # No proxy stands between a container and what runs in it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs())
    try:
        with opener.open(request, timeout=seconds) as response:
            return response.status, response.read(most_bytes)
    except urllib.error.HTTPError as error:
        return error.code, error.read(most_bytes)
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", None) or error
        if isinstance(why, TimeoutError):
            raise TooLateError(f"nothing within {seconds:g} seconds") from None
        raise NoAnswerError(str(why)) from None
