"""Room `tests/bench`: the baseline, a bare loop of raw completion calls, as a process of its own.

    python -m tests.bench.direct --temporal HOST:PORT --first N --events N --in-flight N

It connects as the relay does (its own `TemporalConnection`: no compression, the
same event loop), warms up, makes its calls, and prints one JSON object: CPU
seconds of the process (user and system, all threads) and seconds. With `--rate` it
keeps to that many calls a second instead, and prints when each was begun.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from temporalio.api.workflowservice.v1 import RespondActivityTaskCompletedRequest
from temporalio.service import RPCError, WorkflowService
from tests.bench.errors import BenchError
from tests.bench.events import NAMESPACE, RESULT, task_token
from tests.bench.pace import paced

from completion_relay.connections import TemporalConnection
from completion_relay.event_loop import run_relay
from completion_relay.settings import TemporalSettings

T = TypeVar("T")

_TIMEOUT = timedelta(seconds=10)
"""The relay's default deadline of one call."""


async def complete(service: WorkflowService, token: bytes) -> None:
    """Make one call."""
    await service.respond_activity_task_completed(
        RespondActivityTaskCompletedRequest(
            task_token=token, result=RESULT, identity="bench", namespace=NAMESPACE
        ),
        retry=False,
        timeout=_TIMEOUT,
    )


async def bare_loop(service: WorkflowService, tokens: Sequence[bytes], in_flight: int) -> None:
    """Complete all, so many at once."""
    left = iter(tokens)

    async def work() -> None:
        for token in left:
            await complete(service, token)

    await asyncio.gather(*(work() for _ in range(in_flight)))


async def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Warm up, then measure."""
    connection = TemporalConnection(
        TemporalSettings(address=given.temporal, namespaces=(NAMESPACE,))
    )
    service = (await connection.client()).workflow_service
    if given.tokens:
        tokens = [base64.b64decode(line) for line in given.tokens.read_text("ascii").splitlines()]
        warm = 0
    else:
        warm = given.warm_up
        tokens = [task_token(given.first + n) for n in range(warm + given.events)]
    await bare_loop(service, tokens[:warm], given.in_flight)
    tokens = tokens[warm:]
    begun = [0] * len(tokens)

    async def call(number: int) -> None:
        begun[number] = time.monotonic_ns()
        await complete(service, tokens[number])

    started, cpu = time.perf_counter(), time.process_time()
    if given.rate:
        await paced(len(tokens), given.rate, call)
    else:
        await bare_loop(service, tokens, given.in_flight)
    return {
        "events": len(tokens),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "begun": begun if given.rate else [],
    }


def _run(main: Coroutine[Any, Any, T]) -> T:
    # The same event loop, and the same habits of the garbage collector, as the relay.
    results: list[T] = []

    async def keep() -> None:
        results.append(await main)

    run_relay(keep())
    return results[0]


def main() -> None:
    """Run the process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--temporal", required=True)
    parser.add_argument("--first", type=int, default=0, help="the first activity's number")
    parser.add_argument("--events", type=int, default=0)
    parser.add_argument("--warm-up", type=int, default=2_000, help="events before it")
    parser.add_argument("--tokens", type=Path, help="a file of Base64 task tokens instead")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second")
    try:
        sys.stdout.write(json.dumps(_run(measured(parser.parse_args()))) + "\n")
    except (BenchError, RPCError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    sys.stdout.flush()
    # The SDK's native threads may still answer while the interpreter ends, which then crashes:
    # "PyGILState_Release: thread state must be current when releasing" (seen, temporalio 1.35.0).
    os._exit(0)


if __name__ == "__main__":
    main()
