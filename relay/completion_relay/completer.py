"""Room `completer`: the raw completion calls. Touches temporalio.

Payloads go as they came (invariant 7): `client.workflow_service` runs no
converter, no codec and no interceptor.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
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
from completion_relay.verdict import Answer, Status
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
"""Seconds for which they are not asked for again after a refusal."""


_OK = Answer(Status.OK)


@dataclass(frozen=True, slots=True)
class _Limits:
    blob_bytes: int
    until: float


class Completer:
    """Completes, fails, cancels and heartbeats activities of one cluster."""

    def __init__(self, client: Client, calls: Calls, clock: Clock) -> None:
        """Make no call yet.

        Args:
            client: Of the cluster; its namespace and identity are not used.
            calls: How calls are made.
            clock: Time.
        """
        self._service = client.workflow_service
        self._call = calls
        self._clock = clock
        self._limits: dict[str, _Limits] = {}
        self._refreshing = asyncio.Lock()
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
        refused = isinstance(described, Answer)
        # An older server tells no limits, and a relay may lack the right to ask:
        # then Temporal's default stands, and is remembered too.
        limit = (
            0
            if isinstance(described, Answer)
            else described.namespace_info.limits.blob_size_limit_error
        )
        until = self._clock.monotonic() + (_REFUSED_TTL if refused else _LIMITS_TTL)
        self._limits[namespace] = _Limits(limit or DEFAULT_BLOB_LIMIT, until)
        return described if isinstance(described, Answer) else Answer(Status.OK)

    async def blob_limit(self, namespace: str) -> int:
        """Return the largest result that the namespace takes, bytes.

        Over it Temporal answers OK and fails the activity (seen on server
        1.32.0), so it has to be known before the call.
        """
        if not self._is_known(namespace):
            async with self._refreshing:
                if not self._is_known(namespace):
                    await self.describe_namespace(namespace)
        return self._limits[namespace].blob_bytes

    def _is_known(self, namespace: str) -> bool:
        known = self._limits.get(namespace)
        return known is not None and known.until > self._clock.monotonic()

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
