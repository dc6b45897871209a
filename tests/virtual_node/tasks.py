"""How bpg/proxmox 0.111.1 deals with PVE's tasks: polling, retries, warnings (proxmox/nodes/tasks, proxmox/retry).

Its pauses are scaled down; deadlines that the user sets are kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.virtual_node.client import HTTP_SERVER_ERROR, NO_DATA, ApiError, Client, escaped
from tests.virtual_node.plugin import Diagnostics, ProviderError, stopping

# One of the real provider's seconds, in ours.
SECOND = 0.05
ATTEMPTS = 3
BAD_REQUEST = 400


class DeadlineExceededError(Exception):
    """The user's timeout for an operation ran out."""


class Deadline:
    """The moment at which an operation gives up."""

    def __init__(self, seconds: float) -> None:
        """Give up in so many seconds."""
        self._end = time.monotonic() + seconds

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt, unless there is none."""
        wait = min(seconds * SECOND, self._end - time.monotonic())
        if wait <= 0:
            raise DeadlineExceededError
        if stopping.wait(wait):
            raise ProviderError("context canceled")


def is_transient(error: ApiError) -> bool:
    """Would the real provider try again? It takes every 5xx for a passing trouble."""
    return error.code >= HTTP_SERVER_ERROR


@dataclass
class Task:
    """A kind of operation that PVE answers with a task: how to word its failure, and when to try again."""

    # The summary of its diagnostics, and what stands before an error of the API.
    summary: str
    failure: str
    retry_if: Callable[[ApiError], bool] = is_transient
    # Does this error, of the attempt with this number, mean that what was asked for is so already?
    done_if: Callable[[ApiError, int], bool] = lambda _error, _attempt: False


def run(
    client: Client,
    task: Task,
    request: tuple[str, str, dict[str, Any]],
    deadline: Deadline,
    diags: Diagnostics,
) -> None:
    """Send the request that starts a task, as often as the real provider would, and wait for the task's end."""
    errors: list[str] = []
    for attempt in range(ATTEMPTS):
        try:
            upid = client.request(*request)
        except ApiError as error:
            if task.done_if(error, attempt):
                return
            errors.append(f"{task.failure}: {error}")
            if not task.retry_if(error) or attempt == ATTEMPTS - 1:
                break
            try:
                deadline.pause(2**attempt)
            except DeadlineExceededError:
                break
        else:
            if upid is not None:
                wait(client, upid, task.summary, deadline, diags)
            return
    raise ProviderError(task.summary, all_attempts(errors))


def all_attempts(errors: list[str]) -> str:
    """The words of retry-go, which the real provider shows to its users."""
    return "\n".join(["All attempts fail:", *(f"#{number}: {text}" for number, text in enumerate(errors, start=1))])


def wait(client: Client, upid: str, summary: str, deadline: Deadline, diags: Diagnostics) -> None:
    """Wait until a task has ended; its warnings become Terraform's (proxmox/nodes/tasks/tasks.go:207-216)."""
    path = f"/nodes/{upid.split(':')[1]}/tasks/{escaped(upid)}"
    outcome = None
    while outcome is None:
        outcome = _outcome(client, path, upid, summary)
        if outcome is None:
            try:
                deadline.pause(1)
            except DeadlineExceededError:
                raise ProviderError(summary, f"timeout while waiting for task {quoted(upid)} to complete") from None
    if outcome == "OK":
        return
    lines = [line["t"] for line in client.get(f"{path}/log")]
    for line in lines:
        if "WARN:" in line:
            diags.warning(summary, line)
    if outcome.startswith("WARNINGS: ") and "ERROR" not in outcome:
        return
    log = "".join(f"\n  {line}" for line in lines if "WARN:" not in line)
    raise ProviderError(
        summary,
        f"task {quoted(upid)} failed to complete with exit code: {outcome}" + (f"\ntask log:{log}" if log else ""),
    )


def _outcome(client: Client, path: str, upid: str, summary: str) -> str | None:
    """The exit status of a task, or None while it runs, or while PVE does not know it yet, which is a 400."""
    try:
        status = client.get(f"{path}/status")
    except ApiError as error:
        if error.code == BAD_REQUEST:
            return None
        raise ProviderError(summary, f"error while waiting for task {quoted(upid)} to complete: {error}") from error
    return None if status["status"] == "running" else str(status["exitstatus"])


def quoted(text: str) -> str:
    """Go's %q, for what PVE calls things."""
    return f'"{text}"'


def data_or_fail(data: Any) -> Any:
    """The data of an answer that must have some."""
    if data is None:
        raise ProviderError(NO_DATA)
    return data
