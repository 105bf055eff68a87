"""Room `completer`: one call to Temporal, as everybody here makes it. Touches temporalio.

One call is one attempt (invariant 5): `retry=False`, because the SDK's own
retries would hide ambiguous answers. An error is an answer, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.message import Message
from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import ResourceExhaustedFailure
from temporalio.service import RPCError, RPCStatusCode

from completion_relay.verdict import Answer, Status

Response = TypeVar("Response")


class Calls:
    """Calls to one cluster, each within its time."""

    def __init__(self, *, seconds: float, at_once: int | None = None) -> None:
        """Make no call yet.

        Args:
            seconds: Deadline of one call.
            at_once: Calls under way at once; None: somebody else limits them, as the bulkheads
                limit completions.
        """
        self._permits = None if at_once is None else asyncio.Semaphore(at_once)
        self._seconds = seconds
        self._timeout = timedelta(seconds=seconds)
        self._is_connected = False

    def __call__(
        self, rpc: Callable[..., Awaitable[Response]], request: Message
    ) -> Coroutine[Any, Any, Response | Answer]:
        """Make one attempt of a call; return its response, or the answer that an error is."""
        if self._permits is None:
            return self._attempt(rpc, request)
        return self._with_permit(self._permits, rpc, request)

    async def _with_permit(
        self,
        permits: asyncio.Semaphore,
        rpc: Callable[..., Awaitable[Response]],
        request: Message,
    ) -> Response | Answer:
        async with permits:
            return await self._attempt(rpc, request)

    async def _attempt(
        self, rpc: Callable[..., Awaitable[Response]], request: Message
    ) -> Response | Answer:
        try:
            if self._is_connected:
                return await rpc(request, retry=False, timeout=self._timeout)
            # The RPC's own deadline does not bound a lazy client's connect: a
            # host that accepts and says nothing would be waited for for ever.
            async with asyncio.timeout(self._seconds + 1):
                response = await rpc(request, retry=False, timeout=self._timeout)
            self._is_connected = True
        except RPCError as error:
            self._is_connected = True
            return answer_of(error)
        except TimeoutError:
            return Answer(Status.DEADLINE_EXCEEDED, f"no answer within {self._seconds:g} s")
        except (RuntimeError, ValueError) as error:
            # A lazy client connects at its first call and raises these when it cannot.
            return Answer(Status.UNAVAILABLE, str(error))
        else:
            return response


def answer_of(error: RPCError) -> Answer:
    """Return the error as an answer; never matches on its text."""
    details: set[str] = set()
    cause = ""
    if error.raw_grpc_status:
        throttled = ResourceExhaustedFailure()
        for detail in error.grpc_status.details:
            details.add(detail.type_url.rpartition(".")[2])
            if detail.Unpack(throttled):
                cause = _cause(throttled.cause)
    return Answer(
        Status[RPCStatusCode(error.status).name], error.message, frozenset(details), cause
    )


def _cause(number: ResourceExhaustedCause.ValueType) -> str:
    try:
        return ResourceExhaustedCause.Name(number).removeprefix("RESOURCE_EXHAUSTED_CAUSE_")
    except ValueError:  # a newer server's
        return str(number)
