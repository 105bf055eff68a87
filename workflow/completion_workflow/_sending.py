"""Room `workflow`: what the publish activities ask of a transport. Touches nothing."""

from typing import Protocol

from temporalio.client import Client

from completion_schemas.errors import CompletionError
from completion_schemas.events import CompletionEvent


class PublishError(CompletionError):
    """The event could not be sent now; Temporal tries again. The text is safe to log."""


class UnpublishableError(CompletionError):
    """The event can never be sent like this; the text says why and is safe to log."""


class TooLargeError(UnpublishableError):
    """The event is larger than the transport takes.

    Attributes:
        limit: What refused it, for a person.
    """

    def __init__(self, limit: str) -> None:
        self.limit = limit
        super().__init__(f"the event is larger than {limit}")


class Sender(Protocol):
    """Delivers events; one for all workers that a plugin is given to."""

    async def start(self) -> None:
        """Make ready in the background; never fails, for what it needs may come later."""

    async def send(self, event: CompletionEvent, client: Client) -> None:
        """Deliver the event, durably, or raise.

        Args:
            event: Encoded as it is to reach the caller.
            client: The worker's.

        Raises:
            PublishError: not now.
            TooLargeError: it does not fit.
            UnpublishableError: never.
        """

    async def stop(self) -> None:
        """Deliver what is on its way, within a bounded time, and let go of everything."""


class Transport(Protocol):
    """Settings of a way to deliver events: `Kafka`, `Direct`, or a test's own."""

    def sender(self) -> Sender:
        """Return what delivers by these settings."""
