"""Room `tests/chaos`: the steps that a run and an upgrade share. Touches Kafka, Temporal and the CLI."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable

from aiokafka.errors import KafkaError
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError
from tests.chaos.gather import uncommitted
from tests.chaos.plan import SESSION_SECONDS
from tests.chaos.script import Address
from tests.support import eventually

TOPICS = {
    "completions": "completions",
    "audit": "completions.audit",
    "dead_letter": "completions.dead-letter",
    "parked": "completions.parked",
    "signals": "completions.signals",
}
"""The relay's defaults (contract section 2)."""
SETTINGS = {
    "COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
    "COMPLETION_RELAY_KAFKA__REBALANCE_TIMEOUT_MS": "15000",
    "COMPLETION_RELAY_RELAY__DRAIN_TIMEOUT": "4",
    # So that what waits for a server that is back does not outlast a short run's end.
    "COMPLETION_RELAY_RELAY__RETRY_MAXIMUM": "2",
    # Several relays share a development server that takes 300 completions a second (SQLite).
    "COMPLETION_RELAY_RELAY__MAX_IN_FLIGHT": "64",
    # What waits is parked within a short run, and comes back within it.
    "COMPLETION_RELAY_RELAY__WINDOW": "20",
    "COMPLETION_RELAY_RELAY__PARK_AFTER": "1",
    "COMPLETION_RELAY_RELAY__PARK_INITIAL": "1",
    "COMPLETION_RELAY_RELAY__PARK_MAXIMUM": "3",
}
_WORKFLOWS_SECONDS = 60.0


async def create_topics(kafka: str) -> None:
    """Create the five topics as an operator does.

    Raises:
        RuntimeError: the command refused.
    """
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "completion_relay", "topics", "create", "--kafka", kafka),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await command.communicate()
    if command.returncode != 0:
        raise RuntimeError(f"completion-relay topics create: {said.decode()}")


async def settle(kafka: str, group: str, within: float, say: Callable[[str], None]) -> float:
    """Wait until the group has committed everything; return the seconds it took, or -1.

    Args:
        kafka: `bootstrap_servers`.
        group: The relays' consumer group.
        within: Seconds.
        say: Told how many records are left.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = 0

    async def nothing_is_left() -> bool:
        nonlocal said
        with contextlib.suppress(KafkaError):
            behind = sum((await uncommitted(kafka, group, TOPICS)).values())
            if behind != said:
                said = behind
                say(f"quiet: {behind} records behind")
            return not behind
        return False

    try:
        await eventually(nothing_is_left, timeout=within)
    except AssertionError:
        return -1.0
    return loop.time() - begun


async def all_end(client: Client, activities: Iterable[Address]) -> None:
    """Wait for the workflows, a bounded time: one that does not end is found by its history."""
    ids = sorted({workflow for workflow, _ in activities})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WORKFLOWS_SECONDS):
            for workflow in ids:
                with contextlib.suppress(WorkflowFailureError, RPCError):
                    await client.get_workflow_handle(workflow).result()
