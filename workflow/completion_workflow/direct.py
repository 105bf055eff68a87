"""Room `workflow`: without a bus. Touches Temporal: completes the waiting activity itself.

The same call in the workflow, the same event, one process less and no log that
can be replayed: what is missed here is missed. It needs a connection to the
caller's Temporal, and a plain task token.
"""

import logging
from dataclasses import dataclass

from temporalio.api.common.v1 import Payloads
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from completion_schemas.events import Canceled, Completed, CompletionEvent, Failed, Heartbeat
from completion_schemas.failures import application_failure
from completion_workflow import _names
from completion_workflow._describe import describe_activity
from completion_workflow._sending import PublishError, TooLargeError, UnpublishableError

logger = logging.getLogger("completion_workflow")


@dataclass(frozen=True)
class Direct:
    """Completes the waiting activity by calling its Temporal.

    Attributes:
        client: Connected to the caller's cluster; None: the worker's own client,
            for a caller in the same cluster. The namespace is the reference's.
    """

    client: Client | None = None

    def sender(self) -> "DirectSender":
        """Return a sender by this client; for `CompletionPlugin`."""
        return DirectSender(self.client)


class DirectSender:
    """Sends events by RespondActivityTask… calls, one attempt each; Temporal retries the activity.

    Args:
        client: See `Direct.client`.
    """

    def __init__(self, client: Client | None) -> None:
        self._client = client

    async def start(self) -> None:
        """Do nothing: the client is connected."""

    async def stop(self) -> None:
        """Do nothing: the client is the worker's."""

    async def send(self, event: CompletionEvent, client: Client) -> None:
        """See `Sender.send`.

        NOT_FOUND is logged and taken for delivered: Temporal says it alike for
        done already (perhaps by the try before this one, whose answer was
        lost), timed out, superseded and closed. Nobody waits for this outcome
        any more, so it must not fail the callee.
        """
        if not event.activity.task_token:
            raise UnpublishableError(
                "direct mode needs a plain task token: use the reference that hand_off() returns, "
                "or publish over Kafka"
            )
        try:
            await _Calls(self._client or client, event).make()
        except RPCError as error:
            _settle(error, event)


class _Calls:
    def __init__(self, client: Client, event: CompletionEvent) -> None:
        self._service = client.workflow_service
        self._event = event
        self._token = event.activity.token_bytes()
        self._namespace = event.activity.namespace or client.namespace
        # Temporal's history then proves which event did it, for the relay too
        # (contract section 4).
        self._identity = f"completion-relay/{event.event_id}@direct"

    async def make(self) -> None:
        match self._event.outcome:
            case Completed(result):
                await self._service.respond_activity_task_completed(
                    RespondActivityTaskCompletedRequest(
                        task_token=self._token,
                        namespace=self._namespace,
                        identity=self._identity,
                        result=result,
                    )
                )
            case Failed(failure):
                await self._fail(failure)
            case Canceled(details):
                await self._cancel(details)
            case Heartbeat(details):
                await self._service.record_activity_task_heartbeat(
                    RecordActivityTaskHeartbeatRequest(
                        task_token=self._token,
                        namespace=self._namespace,
                        identity=self._identity,
                        details=details,
                    )
                )

    async def _fail(self, failure: Failure) -> None:
        request = RespondActivityTaskFailedRequest(
            task_token=self._token,
            namespace=self._namespace,
            identity=self._identity,
            failure=application_failure(failure),
        )
        # A failure that Temporal answers with a retry leaves no other trace.
        request.failure.source = self._identity
        await self._service.respond_activity_task_failed(request)

    async def _cancel(self, details: Payloads) -> None:
        try:
            await self._service.respond_activity_task_canceled(
                RespondActivityTaskCanceledRequest(
                    task_token=self._token,
                    namespace=self._namespace,
                    identity=self._identity,
                    details=details,
                )
            )
        except RPCError as error:
            if error.status != RPCStatusCode.INVALID_ARGUMENT:
                raise
            # Temporal takes a cancellation only where the caller asked for one.
            failure = Failure(message="the callee was canceled")
            failure.application_failure_info.type = _names.CALLEE_CANCELED
            await self._fail(failure)


def _settle(error: RPCError, event: CompletionEvent) -> None:
    """Raise what the answer means, or return where there is nothing left to do."""
    waiting = describe_activity(event.activity)
    match error.status:
        case RPCStatusCode.NOT_FOUND if not _is_namespace_missing(error):
            logger.warning(
                "Event %s (%s) changed nothing: %s is not waiting any more (%s)",
                event.event_id,
                event.type,
                waiting,
                error.message,
            )
            return
        case RPCStatusCode.INVALID_ARGUMENT:
            raise UnpublishableError(
                f"Temporal refuses event {event.event_id} ({event.type}) for {waiting}: {error.message}"
            ) from error
        # Permanent, though the status says throttled (facts 0).
        case RPCStatusCode.RESOURCE_EXHAUSTED if "larger than max" in error.message:
            raise TooLargeError("Temporal takes in one message") from error
        case _:
            raise PublishError(
                f"Temporal did not take event {event.event_id} ({event.type}) for {waiting}: "
                f"{error.status.name}: {error.message}"
            ) from error


def _is_namespace_missing(error: RPCError) -> bool:
    return any(
        detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details
    )
