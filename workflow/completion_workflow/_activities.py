"""Room `workflow`: the publish activities. Touches the worker's data converter and the transport."""

from dataclasses import replace
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from completion_schemas.events import Completed, CompletionEvent, Failed
from completion_workflow import _names, _sizes
from completion_workflow._describe import describe_activity, describe_token
from completion_workflow._encoding import encode_outcome
from completion_workflow._publication import from_arguments
from completion_workflow._sending import Sender, TooLargeError, UnpublishableError


class PublishActivities:
    """The activities that `report` and `heartbeat` run.

    Args:
        sender: Where to.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    @activity.defn(name=_names.PUBLISH_COMPLETION)
    async def publish_completion(self, description: RawValue, outcome: RawValue) -> None:
        """Deliver what became of the work, exactly one event however often this is tried."""
        client = activity.client()
        event, instead_of_result = from_arguments(description, outcome)
        event = await self._encoded(event, client)
        try:
            await self._sender.send(event, client)
        except TooLargeError as error:
            await self._send_instead(event, error, client)
            raise _final(error) from error
        except UnpublishableError as error:
            raise _final(error) from error
        activity.logger.info(
            "Published %s for %s, with %s, as event %s",
            event.type,
            describe_activity(event.activity),
            describe_token(event.activity),
            event.event_id,
        )
        if instead_of_result:
            raise _final(TooLargeError("Temporal takes"))

    @activity.defn(name=_names.PUBLISH_HEARTBEAT)
    async def publish_heartbeat(self, description: RawValue, outcome: RawValue) -> None:
        """Deliver a sign of life."""
        client = activity.client()
        event, _ = from_arguments(description, outcome)
        await self.send_heartbeat(await self._encoded(event, client), client)

    async def send_heartbeat(self, event: CompletionEvent, client: Client) -> None:
        """Deliver a heartbeat that is encoded already.

        Raises:
            PublishError: not now.
            ApplicationError: never.
        """
        try:
            await self._sender.send(event, client)
        except UnpublishableError as error:
            raise _final(error) from error

    @property
    def all(self) -> list[Any]:
        """The activities, for a worker to register."""
        return [self.publish_completion, self.publish_heartbeat]

    async def _encoded(self, event: CompletionEvent, client: Client) -> CompletionEvent:
        return replace(
            event,
            outcome=await encode_outcome(event.outcome, event.activity, client.data_converter),
            origin=replace(event.origin, identity=client.service_client.config.identity),
        )

    async def _send_instead(
        self, event: CompletionEvent, refused: TooLargeError, client: Client
    ) -> None:
        """Tell the caller in few bytes, so that it does not wait for what cannot come."""
        match event.outcome:
            case Completed():
                failure = _sizes.result_too_large(event.outcome.result.ByteSize(), refused.limit)
            case Failed():
                failure = _sizes.shortened(event.outcome.failure)
            case _:
                return
        try:
            await self._sender.send(replace(event, outcome=Failed(failure)), client)
        except UnpublishableError as error:
            raise _final(error) from error
        activity.logger.error(
            "The outcome (%s) is larger than %s: %s was failed instead",
            event.type,
            refused.limit,
            describe_activity(event.activity),
        )


def _final(error: UnpublishableError) -> ApplicationError:
    kind = _names.RESULT_TOO_LARGE if isinstance(error, TooLargeError) else type(error).__name__
    return ApplicationError(str(error), type=kind, non_retryable=True)
