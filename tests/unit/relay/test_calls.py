"""One attempt of a call, and what of an error becomes an answer; the client is a stub of its transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.enums.v1 import ResourceExhaustedCause
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, ResourceExhaustedFailure
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, GetSystemInfoResponse
from temporalio.service import RPCError, RPCStatusCode

from completion_relay.calls import Calls, answer_of
from completion_relay.verdict import Answer, Status

REQUEST = GetSystemInfoRequest()
RESPONSE = GetSystemInfoResponse()
PLENTY = 60.0
"""Seconds that no test needs."""

Rpc = Callable[..., Awaitable[GetSystemInfoResponse]]


def error(status: RPCStatusCode, *details: Message, message: str = "why") -> RPCError:
    packed = []
    for detail in details:
        packed.append(Any())
        packed[-1].Pack(detail)
    raw = GrpcStatus(code=int(status), message=message, details=packed).SerializeToString()
    return RPCError(message, status, raw if details else b"")


def raising(what: BaseException) -> Rpc:
    async def rpc(_: Message, *, retry: bool, timeout: timedelta) -> GetSystemInfoResponse:  # noqa: ASYNC109 - the SDK's own signature
        raise what

    return rpc


async def test_a_call_is_one_attempt_within_its_time() -> None:
    asked = []

    async def rpc(request: Message, *, retry: bool, timeout: timedelta) -> GetSystemInfoResponse:  # noqa: ASYNC109 - as above
        asked.append((request, retry, timeout))
        return RESPONSE

    calls = Calls(seconds=2.5)
    assert await calls(rpc, REQUEST) is RESPONSE
    assert asked == [(REQUEST, False, timedelta(seconds=2.5))]


async def test_the_calls_after_the_first_are_one_attempt_too() -> None:
    """Once it is connected there is no second time-out around a call."""
    asked = []

    async def rpc(_: Message, *, retry: bool, timeout: timedelta) -> GetSystemInfoResponse:  # noqa: ASYNC109 - as above
        asked.append((retry, timeout))
        return RESPONSE

    calls = Calls(seconds=2.5)
    for _ in range(3):
        await calls(rpc, REQUEST)
    assert asked == [(False, timedelta(seconds=2.5))] * 3


@pytest.mark.parametrize("status", [code for code in RPCStatusCode if code is not RPCStatusCode.OK])
async def test_an_error_is_an_answer(status: RPCStatusCode) -> None:
    answer = await Calls(seconds=1)(raising(error(status)), REQUEST)
    assert answer == Answer(Status[status.name], "why")


def test_details_are_told_by_their_names() -> None:
    answer = answer_of(error(RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure(namespace="x")))
    assert answer.details == {"NamespaceNotFoundFailure"}


def test_throttling_tells_its_cause() -> None:
    failure = ResourceExhaustedFailure(
        cause=ResourceExhaustedCause.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW
    )
    answer = answer_of(error(RPCStatusCode.RESOURCE_EXHAUSTED, failure))
    assert (answer.cause, answer.details) == (
        "BUSY_WORKFLOW",
        frozenset({"ResourceExhaustedFailure"}),
    )


def test_a_cause_of_a_newer_server_is_told_by_its_number() -> None:
    failure = ResourceExhaustedFailure()
    failure.ParseFromString(b"\x08\xe7\x07")  # cause: 999
    assert answer_of(error(RPCStatusCode.RESOURCE_EXHAUSTED, failure)).cause == "999"


async def test_a_client_that_cannot_connect_is_weather() -> None:
    """A lazy client raises these at its first call."""
    answer = await Calls(seconds=1)(raising(RuntimeError("connection refused")), REQUEST)
    assert answer == Answer(Status.UNAVAILABLE, "connection refused")


async def test_a_connect_that_says_nothing_is_given_up() -> None:
    """The RPC's own deadline does not bound it."""
    calls = Calls(seconds=-0.99)  # and a second more: the test waits for 10 ms

    async def hang(_: Message, *, retry: bool, timeout: timedelta) -> GetSystemInfoResponse:  # noqa: ASYNC109 - as above
        await asyncio.Event().wait()
        return RESPONSE

    answer = await asyncio.wait_for(calls(hang, REQUEST), PLENTY)
    assert isinstance(answer, Answer)
    assert answer.status is Status.DEADLINE_EXCEEDED


async def test_no_more_calls_than_permitted_are_under_way() -> None:
    calls = Calls(seconds=1, at_once=2)
    go, most, under_way = asyncio.Event(), 0, 0
    two = asyncio.Event()

    async def rpc(_: Message, *, retry: bool, timeout: timedelta) -> GetSystemInfoResponse:  # noqa: ASYNC109 - as above
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            two.set()
        await go.wait()
        under_way -= 1
        return RESPONSE

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(calls(rpc, REQUEST))
        await asyncio.wait_for(two.wait(), PLENTY)
        go.set()
    assert most == 2
