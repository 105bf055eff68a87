"""Room `tests/bench`: the null Temporal frontend, a process that answers at once and does nothing.

    python -m tests.bench.frontend --port P --board FILE --tokens N

It answers GetSystemInfo, DescribeNamespace, DescribeWorkflowExecution (it runs),
the completion calls and heartbeats, by token and by ids; anything else is
UNIMPLEMENTED. What a completion call by token did goes on the board. Touches one
socket and the board.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import time
from functools import partial
from pathlib import Path

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.namespace.v1 import NamespaceInfo
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceResponse,
    DescribeWorkflowExecutionResponse,
    GetSystemInfoResponse,
)
from tests.bench.board import Board
from tests.bench.grpc_server import GrpcProtocol, Reply

_SERVICE = "/temporal.api.workflowservice.v1.WorkflowService/"
_BY_TOKEN = frozenset(
    f"{_SERVICE}RespondActivityTask{how}" for how in ("Completed", "Failed", "Canceled")
)
_EMPTY = (
    *(f"RespondActivityTask{how}ById" for how in ("Completed", "Failed", "Canceled")),
    "RecordActivityTaskHeartbeat",
    "RecordActivityTaskHeartbeatById",
)
_UNAVAILABLE, _UNIMPLEMENTED = 14, 12
_TOKEN_AT = 7
"""Where the token begins in a call's body: 5 bytes of gRPC, 2 of protobuf's field 1."""


class NullFrontend:
    """Answers calls."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._ok = Reply()
        self._unavailable = Reply(status=_UNAVAILABLE, text="the bench says so")
        # What gRPC has a server say that lacks the algorithm.
        self._compressed = Reply(
            status=_UNIMPLEMENTED, text="compressed: use grpc_compression NONE"
        )
        self._unimplemented = Reply(status=_UNIMPLEMENTED, text="not of the null frontend")
        running = WorkflowExecutionInfo(
            status=WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        )
        namespace = NamespaceInfo(name="default")
        namespace.limits.blob_size_limit_error = 2 * 1024 * 1024
        self._others = {
            f"{_SERVICE}{name}": Reply(message.SerializeToString())
            for name, message in (
                ("GetSystemInfo", GetSystemInfoResponse(server_version="1.32.0")),
                ("DescribeNamespace", DescribeNamespaceResponse(namespace_info=namespace)),
                (
                    "DescribeWorkflowExecution",
                    DescribeWorkflowExecutionResponse(workflow_execution_info=running),
                ),
            )
        } | {f"{_SERVICE}{name}": self._ok for name in _EMPTY}

    def answer(self, path: str, body: bytes) -> Reply:
        """Answer one call."""
        if path not in _BY_TOKEN:
            if self._board.all_fail:  # a Temporal that is away describes nothing either
                return self._unavailable
            return self._others.get(path, self._unimplemented)
        if body[0]:
            return self._compressed
        # `events.task_token` ends its tokens, of less than 128 bytes, in their number.
        end = _TOKEN_AT + body[_TOKEN_AT - 1]
        applied = self._board.called(int(body[end - 8 : end]), time.monotonic_ns())
        return self._ok if applied else self._unavailable


async def serve(port: int, board: Board) -> None:
    """Serve on the loopback interface until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    frontend = NullFrontend(board)
    server = await loop.create_server(partial(GrpcProtocol, frontend.answer), "127.0.0.1", port)
    # What there is lives as long as the process: a collection would only cost time.
    gc.freeze()
    await stop.wait()
    server.close()


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--board", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    given = parser.parse_args()
    with Board(given.board, given.tokens) as board:
        asyncio.run(serve(given.port, board))


if __name__ == "__main__":
    main()
