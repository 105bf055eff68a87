"""What is known of a namespace's limits, and what of its answers may change that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.protobuf.any_pb2 import Any as Packed
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.failure.v1 import Failure
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    RespondActivityTaskFailedByIdRequest,
    RespondActivityTaskFailedByIdResponse,
    RespondActivityTaskFailedRequest,
    RespondActivityTaskFailedResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from tests.support import eventually
from tests.unit.relay.fakes import VirtualClock

from completion_relay.calls import Calls
from completion_relay.completer import DEFAULT_BLOB_LIMIT, Completer
from completion_relay.verdict import Answer, Status
from completion_schemas.events import ActivityReference, Failed

MIB = 1024 * 1024
AN_HOUR = 3600.0
"""Seconds after which whatever is known is asked for again."""

UNAVAILABLE = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
THROTTLED = RPCError("rate limit exceeded", RPCStatusCode.RESOURCE_EXHAUSTED, b"")
DENIED = RPCError("Request unauthorized.", RPCStatusCode.PERMISSION_DENIED, b"")
NO_KEY = RPCError("Invalid token.", RPCStatusCode.UNAUTHENTICATED, b"")


BY_TOKEN = ActivityReference(task_token="dG9rZW4=")
BY_IDS = ActivityReference(workflow_id="w", run_id="r", activity_id="a")


def no_namespace() -> RPCError:
    packed = Packed()
    packed.Pack(NamespaceNotFoundFailure())
    raw = GrpcStatus(code=int(RPCStatusCode.NOT_FOUND), message="not found", details=[packed])
    return RPCError("not found", RPCStatusCode.NOT_FOUND, raw.SerializeToString())


class Server:
    """Describes each namespace as it is told to, and counts how often it is asked."""

    def __init__(self, **says: int | RPCError) -> None:
        self.says = says
        """By namespace: the limit that it tells, bytes, where 0 is none; or the error it answers."""
        self.asked: list[str] = []
        self.silent: dict[str, asyncio.Event] = {}
        """Namespaces that say nothing until they are let go."""
        self.changes: list[Failure] = []
        """What it says of each failure that it takes."""

    async def describe_namespace(
        self, request: DescribeNamespaceRequest, **_: Any
    ) -> DescribeNamespaceResponse:
        self.asked.append(request.namespace)
        if request.namespace in self.silent:
            await self.silent[request.namespace].wait()
        says = self.says[request.namespace]
        if isinstance(says, RPCError):
            raise says
        response = DescribeNamespaceResponse()
        response.namespace_info.limits.blob_size_limit_error = says
        return response

    async def respond_activity_task_failed(
        self, _request: RespondActivityTaskFailedRequest, **_: Any
    ) -> RespondActivityTaskFailedResponse:
        return RespondActivityTaskFailedResponse(failures=self.changes)

    async def respond_activity_task_failed_by_id(
        self, _request: RespondActivityTaskFailedByIdRequest, **_: Any
    ) -> RespondActivityTaskFailedByIdResponse:
        return RespondActivityTaskFailedByIdResponse(failures=self.changes)

    def __getattr__(self, _: str) -> None:
        """Make no other completion call: none is asked for here."""


def completer(
    server: Server,
    clock: VirtualClock | None = None,
    assumed: Callable[[str, str], None] = lambda _namespace, _why: None,
) -> Completer:
    client = cast("Client", SimpleNamespace(workflow_service=server))
    return Completer(client, Calls(seconds=10), clock or VirtualClock(), assumed=assumed)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(UNAVAILABLE, id="away"),
        pytest.param(THROTTLED, id="throttled"),
        pytest.param(DENIED, id="denied"),
        pytest.param(0, id="told without limits"),
    ],
)
async def test_a_limit_that_was_told_stays_until_another_one_is(later: int | RPCError) -> None:
    server = Server(orders=4 * MIB)
    asks = completer(server)
    await asks.describe_namespace("orders")
    server.says["orders"] = later
    await asks.describe_namespace("orders")
    assert await asks.blob_limit("orders", 3 * MIB) == 4 * MIB


async def test_a_limit_that_is_old_stays_where_it_cannot_be_asked_for() -> None:
    server, clock = Server(orders=4 * MIB), VirtualClock()
    asks = completer(server, clock)
    await asks.describe_namespace("orders")
    await clock.sleep(AN_HOUR)
    server.says["orders"] = UNAVAILABLE
    assert await asks.blob_limit("orders", 3 * MIB) == 4 * MIB
    assert server.asked == ["orders"] * 2


async def test_a_limit_that_is_told_replaces_the_one_before() -> None:
    server = Server(orders=4 * MIB)
    asks = completer(server)
    await asks.describe_namespace("orders")
    server.says["orders"] = 1 * MIB
    await asks.describe_namespace("orders")
    assert await asks.blob_limit("orders", 100) == 1 * MIB


async def test_a_limit_that_is_known_is_not_asked_for() -> None:
    server = Server(orders=4 * MIB)
    asks = completer(server)
    for _ in range(3):
        await asks.blob_limit("orders", 3 * MIB)
    assert server.asked == ["orders"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(UNAVAILABLE, Status.UNAVAILABLE, id="away"),
        pytest.param(THROTTLED, Status.RESOURCE_EXHAUSTED, id="throttled"),
        pytest.param(NO_KEY, Status.UNAUTHENTICATED, id="no key"),
        pytest.param(no_namespace(), Status.NOT_FOUND, id="no namespace"),
    ],
)
async def test_a_result_over_the_default_is_not_judged_by_a_guess(
    error: RPCError, status: Status
) -> None:
    """The namespace may take it, once it can be asked."""
    answer = await completer(Server(orders=error)).blob_limit("orders", 3 * MIB)
    assert isinstance(answer, Answer)
    assert answer.status is status


async def test_a_result_over_the_default_asks_each_time_until_the_limit_is_told() -> None:
    server = Server(orders=UNAVAILABLE)
    asks = completer(server)
    await asks.blob_limit("orders", 3 * MIB)
    server.says["orders"] = 4 * MIB
    assert await asks.blob_limit("orders", 3 * MIB) == 4 * MIB


async def test_a_result_within_the_default_waits_for_no_namespace_that_cannot_be_asked() -> None:
    server = Server(orders=UNAVAILABLE)
    asks = completer(server)
    for _ in range(3):
        assert await asks.blob_limit("orders", 1 * MIB) == DEFAULT_BLOB_LIMIT
    assert server.asked == ["orders"]


@pytest.mark.parametrize("names", [BY_TOKEN, BY_IDS], ids=["by token", "by ids"])
async def test_what_temporal_says_of_a_failure_that_it_has_taken_is_told(
    names: ActivityReference,
) -> None:
    server = Server()
    sends = completer(server)
    outcome = Failed(Failure(message="no"))
    assert await sends.send("orders", names, outcome, "mark") == Answer(Status.OK)
    server.changes = [Failure(message="Failure exceeds size limit."), Failure(message="x" * 500)]
    answer = await sends.send("orders", names, outcome, "mark")
    assert answer.status is Status.OK
    assert answer.message.startswith("Failure exceeds size limit.; xxx")
    assert len(answer.message) == 200


@pytest.mark.parametrize("says", [DENIED, 0], ids=["no right to ask", "an older server"])
async def test_temporals_default_stands_where_nobody_is_going_to_tell(says: int | RPCError) -> None:
    assert await completer(Server(orders=says)).blob_limit("orders", 3 * MIB) == DEFAULT_BLOB_LIMIT


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (DENIED, "the namespace may not be described (PERMISSION_DENIED: Request unauthorized.)"),
        (0, "the server tells no limits"),
    ],
)
async def test_that_the_default_has_to_stand_is_told_once(says: int | RPCError, why: str) -> None:
    told: list[tuple[str, str]] = []
    clock = VirtualClock()
    asks = completer(Server(orders=says), clock, lambda *said: told.append(said))
    for _ in range(3):
        await asks.blob_limit("orders", 3 * MIB)
        await clock.sleep(AN_HOUR)
    assert told == [("orders", why)]
    assert asks.why_guessed("orders") == why


@pytest.mark.parametrize("says", [UNAVAILABLE, THROTTLED, NO_KEY, 4 * MIB])
async def test_a_limit_that_was_told_or_will_be_is_no_guess(says: int | RPCError) -> None:
    told: list[tuple[str, str]] = []
    asks = completer(Server(orders=says), assumed=lambda *said: told.append(said))
    await asks.blob_limit("orders", 3 * MIB)
    assert told == []
    assert not asks.why_guessed("orders")


async def test_a_relay_that_may_ask_after_all_guesses_no_longer() -> None:
    server, clock = Server(orders=DENIED), VirtualClock()
    asks = completer(server, clock)
    assert await asks.blob_limit("orders", 3 * MIB) == DEFAULT_BLOB_LIMIT
    server.says["orders"] = 4 * MIB
    await clock.sleep(AN_HOUR)
    assert await asks.blob_limit("orders", 3 * MIB) == 4 * MIB
    assert not asks.why_guessed("orders")


async def test_a_namespace_that_says_nothing_holds_up_no_other() -> None:
    server = Server(orders=4 * MIB, billing=4 * MIB)
    server.silent["orders"] = asyncio.Event()
    asks = completer(server)
    async with asyncio.TaskGroup() as group:
        held_up = group.create_task(asks.blob_limit("orders", 3 * MIB))
        await eventually(lambda: server.asked == ["orders"])
        assert await asyncio.wait_for(asks.blob_limit("billing", 3 * MIB), 10) == 4 * MIB
        assert not held_up.done()
        server.silent["orders"].set()


async def test_all_who_ask_at_once_share_one_question() -> None:
    server = Server(orders=UNAVAILABLE)
    asks = completer(server)
    answers = await asyncio.gather(*(asks.blob_limit("orders", 3 * MIB) for _ in range(5)))
    assert [isinstance(answer, Answer) for answer in answers] == [True] * 5
    assert server.asked == ["orders"]


async def test_who_is_let_go_while_he_asks_leaves_the_question_to_the_others() -> None:
    server = Server(orders=4 * MIB)
    server.silent["orders"] = asyncio.Event()
    asks = completer(server)
    first = asyncio.create_task(asks.blob_limit("orders", 3 * MIB))
    second = asyncio.create_task(asks.blob_limit("orders", 3 * MIB))
    await eventually(lambda: server.asked == ["orders"])
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.silent["orders"].set()
    assert await asyncio.wait_for(second, 10) == 4 * MIB
