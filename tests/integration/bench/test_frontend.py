"""The null frontend, as a client of Temporal's SDK sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    ListNamespacesRequest,
    RecordActivityTaskHeartbeatRequest,
    RespondActivityTaskCompletedByIdRequest,
)
from temporalio.client import Client
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode
from tests.bench.board import Board
from tests.bench.direct import bare_loop, complete
from tests.bench.events import task_token
from tests.bench.processes import frontend

TIMEOUT = timedelta(seconds=10)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Client, Board]]:
    async with frontend(tmp_path, 1_000) as (address, board, _):
        yield await Client.connect(address, grpc_compression=GrpcCompression.NONE), board


async def test_each_completed_token_is_on_the_board_once(served: tuple[Client, Board]) -> None:
    client, board = served
    await bare_loop(client.workflow_service, [task_token(n) for n in range(1_000)], 64)
    assert all(board.applied_at)
    assert (board.applied, board.calls, board.repeated) == (1_000, 1_000, 0)


async def test_a_token_that_is_to_fail_is_unavailable_until_it_is_not(
    served: tuple[Client, Board],
) -> None:
    client, board = served
    board.fails[7] = 1
    with pytest.raises(RPCError) as refused:
        await complete(client.workflow_service, task_token(7))
    assert refused.value.status is RPCStatusCode.UNAVAILABLE
    await complete(client.workflow_service, task_token(8))
    board.fails[7] = 0
    await complete(client.workflow_service, task_token(7))
    assert board.applied == 2


async def test_in_an_outage_every_call_is_unavailable(served: tuple[Client, Board]) -> None:
    client, board = served
    service = client.workflow_service
    board.all_fail = True
    for call in (
        complete(service, task_token(1)),
        service.describe_namespace(DescribeNamespaceRequest(namespace="default")),
    ):
        with pytest.raises(RPCError) as refused:
            await call
        assert refused.value.status is RPCStatusCode.UNAVAILABLE
    assert not board.applied


async def test_a_second_completion_of_a_token_is_counted(served: tuple[Client, Board]) -> None:
    client, board = served
    for _ in range(2):
        await complete(client.workflow_service, task_token(3))
    assert (board.applied, board.repeated) == (1, 1)


async def test_a_compressed_call_is_refused_and_says_why(tmp_path: Path) -> None:
    async with frontend(tmp_path, 10) as (address, _, _):
        client = await Client.connect(address, grpc_compression=GrpcCompression.GZIP)
        with pytest.raises(RPCError, match="compressed") as refused:
            await complete(client.workflow_service, task_token(1))
    assert refused.value.status is RPCStatusCode.UNIMPLEMENTED


async def test_the_other_calls_of_a_relay_are_answered(served: tuple[Client, Board]) -> None:
    service = served[0].workflow_service
    described = await service.describe_namespace(
        DescribeNamespaceRequest(namespace="default"), timeout=TIMEOUT
    )
    assert described.namespace_info.limits.blob_size_limit_error == 2 * 1024 * 1024
    await service.record_activity_task_heartbeat(
        RecordActivityTaskHeartbeatRequest(task_token=task_token(1)), timeout=TIMEOUT
    )
    await service.respond_activity_task_completed_by_id(
        RespondActivityTaskCompletedByIdRequest(activity_id="1"), timeout=TIMEOUT
    )
    with pytest.raises(RPCError) as refused:
        await service.list_namespaces(ListNamespacesRequest(), timeout=TIMEOUT)
    assert refused.value.status is RPCStatusCode.UNIMPLEMENTED
