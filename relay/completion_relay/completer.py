"""Room `completer`: the raw completion calls. Touches temporalio.

Payloads go as they came (invariant 8): `client.workflow_service` runs no
converter, no codec and no interceptor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    RecordActivityTaskHeartbeatByIdRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCanceledByIdRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedRequest,
)
from temporalio.client import Client

from completion_relay.calls import Calls
from completion_relay.clock import Clock
from completion_relay.verdict import (
    FAULT,
    NAMESPACE_NOT_FOUND,
    Answer,
    Fault,
    Status,
)
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    Failed,
    Heartbeat,
    Outcome,
)
from completion_schemas.failures import application_failure

DEFAULT_BLOB_LIMIT = 2 * 1024 * 1024
"""Temporal's `limit.blobSize.error` where the namespace does not tell, bytes."""

_LIMITS_TTL = 600.0
"""Seconds for which a namespace's limits are believed."""

_REFUSED_TTL = 60.0
"""Seconds for which they are not asked for again after a refusal, unless nothing goes without them."""


_SAID = 200
"""Characters that are kept of what Temporal says of a failure that it has taken."""

_OK = Answer(Status.OK)


class Completer:
    """Completes, fails, cancels and heartbeats activities of one cluster."""

    def __init__(
        self,
        client: Client,
        calls: Calls,
        clock: Clock,
        *,
        assumed: Callable[[str, str], None] = lambda _namespace, _why: None,
    ) -> None:
        """Make no call yet.

        Args:
            client: Of the cluster; its namespace and identity are not used.
            calls: How calls are made.
            clock: Time.
            assumed: Told once of each namespace that is judged by Temporal's default limit, and why.
        """
        self._service = client.workflow_service
        self._call = calls
        self._clock = clock
        self._told_of_guess = assumed
        self._guessed: dict[str, str] = {}
        """Namespaces that nobody has told the limit of, nor will."""
        self._blob_limits: dict[str, int] = {}
        """By namespace, in bytes: what an answer told. Nothing but another one replaces it."""
        self._ask_at: dict[str, float] = {}
        """By namespace, in seconds of the clock: when its limits are to be asked for again."""
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        """By namespace: the question that is under way; whoever comes meanwhile waits for it too."""
        self._calls = {
            outcome: (
                getattr(self._service, method),
                by_token,
                getattr(self._service, f"{method}_by_id"),
                by_id,
            )
            for outcome, (method, by_token, by_id) in _CALLS.items()
        }

    async def describe_namespace(self, namespace: str) -> Answer:
        """Ask for the namespace and remember its limits; also what a probe asks."""
        described = await self._call(
            self._service.describe_namespace, DescribeNamespaceRequest(namespace=namespace)
        )
        self._learn(namespace, described)
        ttl = _REFUSED_TTL if isinstance(described, Answer) else _LIMITS_TTL
        self._ask_at[namespace] = self._clock.monotonic() + ttl
        return described if isinstance(described, Answer) else _OK

    async def blob_limit(self, namespace: str, size: int) -> int | Answer:
        """Return the largest result that the namespace takes, bytes.

        Over it Temporal answers OK and fails the activity (seen on server
        1.32.0), so it has to be known before the call.

        Args:
            namespace: Whose.
            size: Of the result in question, bytes. One that Temporal's default lets through is not
                held up by a namespace that cannot be asked; a larger one may not be judged by a guess.

        Returns:
            The limit; or why it is not known: the answer to the question, which has to be asked again.
        """
        limit = self._blob_limits.get(namespace)
        has_to_be_told = limit is None and size > DEFAULT_BLOB_LIMIT
        if has_to_be_told or self._ask_at.get(namespace, 0.0) <= self._clock.monotonic():
            answer = await self._asked(namespace)
            limit = self._blob_limits.get(namespace)
            if has_to_be_told and limit is None:
                return answer
        return DEFAULT_BLOB_LIMIT if limit is None else limit

    def why_guessed(self, namespace: str) -> str:
        """Return why the namespace's limit is Temporal's default, which nobody has told; empty: it is not."""
        return self._guessed.get(namespace, "")

    async def _asked(self, namespace: str) -> Answer:
        asking = self._asking.get(namespace)
        if asking is None:
            asking = asyncio.create_task(self.describe_namespace(namespace))
            self._asking[namespace] = asking
            asking.add_done_callback(lambda _: self._asking.pop(namespace))
        # Who is let go while he waits leaves the question to the others.
        return await asyncio.shield(asking)

    def _learn(self, namespace: str, described: DescribeNamespaceResponse | Answer) -> None:
        told = 0
        if not isinstance(described, Answer):
            told = described.namespace_info.limits.blob_size_limit_error
        elif not _is_for_good(described):
            return
        if told:
            self._blob_limits[namespace] = told
            self._guessed.pop(namespace, None)
        elif namespace not in self._blob_limits:
            # An older server tells no limits, and a relay may lack the right to ask: then
            # Temporal's default stands, where nothing better was told before. To let the result go
            # unmeasured is no way out: over the real limit it would be called applied, and its
            # activity would have failed.
            self._blob_limits[namespace] = DEFAULT_BLOB_LIMIT
            why = (
                f"the namespace may not be described ({described.status}: {described.message})"
                if isinstance(described, Answer)
                else "the server tells no limits"
            )
            self._guessed[namespace] = why
            self._told_of_guess(namespace, why)

    async def send(
        self, namespace: str, reference: ActivityReference, outcome: Outcome, identity: str
    ) -> Answer:
        """Make the one call that the outcome asks for.

        Args:
            namespace: The waiting workflow's.
            reference: By its token where it has one, else by its ids.
            outcome: What to report.
            identity: The record's mark, kept in history.
        """
        rpc, by_token, rpc_by_id, by_id = self._calls[type(outcome)]
        if reference.task_token:
            request = by_token(
                namespace=namespace,
                identity=identity,
                task_token=reference.token_bytes(),
                **_content(outcome, identity),
            )
        else:
            rpc = rpc_by_id
            request = by_id(
                namespace=namespace,
                identity=identity,
                workflow_id=reference.workflow_id,
                run_id=reference.run_id,
                activity_id=reference.activity_id,
                **_content(outcome, identity),
            )
        response = await self._call(rpc, request)
        if isinstance(response, Answer):
            return response
        if isinstance(outcome, Heartbeat):
            return Answer(
                Status.OK,
                cancel_requested=response.cancel_requested,
                paused=response.activity_paused,
                reset=response.activity_reset,
            )
        if isinstance(outcome, Failed) and response.failures:
            # One that was over the blob limit: Temporal has taken a short form of it, and does not
            # retry it whatever it says (seen on server 1.32.0). Its own words, and nothing of ours.
            said = "; ".join(failure.message for failure in response.failures)
            return Answer(Status.OK, said[:_SAID])
        return _OK


_CALLS: dict[type[Outcome], tuple[str, Any, Any]] = {
    Completed: (
        "respond_activity_task_completed",
        RespondActivityTaskCompletedRequest,
        RespondActivityTaskCompletedByIdRequest,
    ),
    Failed: (
        "respond_activity_task_failed",
        RespondActivityTaskFailedRequest,
        RespondActivityTaskFailedByIdRequest,
    ),
    Canceled: (
        "respond_activity_task_canceled",
        RespondActivityTaskCanceledRequest,
        RespondActivityTaskCanceledByIdRequest,
    ),
    Heartbeat: (
        "record_activity_task_heartbeat",
        RecordActivityTaskHeartbeatRequest,
        RecordActivityTaskHeartbeatByIdRequest,
    ),
}
"""The method, its request by token, its request by ids (the method then ends in `_by_id`)."""


def _is_for_good(refusal: Answer) -> bool:
    """Whether a namespace that is not described may take results all the same.

    Weather passes, throttling too; a wrong key and a missing namespace are mended before any
    result is taken, and then the question is answered.
    """
    is_mended_first = (
        refusal.status is Status.UNAUTHENTICATED or NAMESPACE_NOT_FOUND in refusal.details
    )
    return FAULT[refusal.status] is not Fault.WEATHER and not is_mended_first


def _content(outcome: Outcome, identity: str) -> dict[str, Any]:
    match outcome:
        case Completed(result):
            # No payloads is "returned nothing", which an unset field says.
            return {"result": result} if result.payloads else {}
        case Failed(failure):
            return {"failure": _marked(failure, identity)}
        case Canceled(details) | Heartbeat(details):
            return {"details": details} if details.payloads else {}


def _marked(failure: Failure, identity: str) -> Failure:
    # A failure that Temporal retries leaves no history; a pending activity keeps
    # its last failure, and this in it (contract section 4).
    marked = Failure()
    marked.CopyFrom(application_failure(failure))
    marked.source = identity
    return marked
