"""The Temporal cluster is restored from an older copy, and the lost span is replayed by time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from tests.chaos.emit import Emitter
from tests.chaos.load import TASK_QUEUE, Fan, Waiting
from tests.chaos.script import FAN, addresses, completions, event_id, workflow_id
from tests.drills.proof import SEED, Figures, audit, counted, histories
from tests.drills.stack import TOPICS, Stack, Typing
from tests.pages import sections
from tests.support import eventually

from completion_schemas.times import UnixNanos

pytestmark = [pytest.mark.source_tree, pytest.mark.timeout(600)]

DRILL = "Temporal is restored from an older copy"


async def test_events_of_the_span_that_temporal_lost_are_applied_by_a_replay_of_it(
    stack: Stack,
    waiting: Waiting,
    client: Client,
    activities: int,
    keep: Callable[[Figures], None],
) -> None:
    page = Typing(stack, sections("relay/DRILLS.md")[DRILL])
    everyone = addresses(activities)
    half = activities // FAN // 2 * FAN
    kept, lost = everyone[:half], everyone[half:]
    never = addresses(activities + FAN)[activities:]
    emitter = Emitter(stack.kafka.address, TOPICS.completions, SEED, waiting.references)
    async with stack.relay():
        async with waiting.worker():
            await waiting.start(everyone, lambda _: None)
            await emitter.emit(completions(kept), seconds=0)
            await histories(client, kept)
            await stack.all_decided()
        await stack.temporal.stop()
        copy = stack.copy_temporal()
        await stack.temporal.start()
        start = datetime.now(UTC).isoformat()
        async with waiting.worker():
            # Begun after the copy was made: of this one the restored server knows nothing.
            new = workflow_id(activities // FAN)
            await client.start_workflow(Fan.run, args=[FAN, []], id=new, task_queue=TASK_QUEUE)
            await eventually(lambda: set(never) <= waiting.references.keys(), timeout=60)
            # Each twice: the relay remembers how an activity ended for which it had to look.
            await emitter.emit(2 * completions([*lost, *never]), seconds=0)
            await histories(client, [*lost, *never])
            await stack.all_decided()
        end = datetime.now(UTC).isoformat()
    before = await audit(stack)
    await stack.temporal.stop()
    stack.restore_temporal(copy)
    await stack.temporal.start()
    described = await client.get_workflow_handle(lost[0][0]).describe()
    assert described.status is WorkflowExecutionStatus.RUNNING

    restored = UnixNanos(time.time_ns())
    begun = time.monotonic()
    async with waiting.worker(), page.relay():
        (plan,) = (await page.next(START=start, END=end)).objects
        _, result = (await page.next(START=start, END=end)).objects
        seconds = time.monotonic() - begun
        unknown = (await page.next(START=start)).objects
        after = await histories(client, everyone)
    assert page.is_at_its_end()
    again = [record for record in await audit(stack) if record.decided_at >= restored]
    old = [
        record
        for record in before
        if record.event_id in {event_id(SEED, one) for one in completions(kept)}
    ]
    doubled = after.doubled(kept, old) + after.doubled(lost, again)
    keep(
        Figures(
            drill=DRILL,
            activities=activities,
            events=len(before),
            replayed=result["sent"],
            became=counted(again),
            doubled=len(doubled),
            seconds=round(seconds, 1),
        )
    )
    assert plan["to_send"] == 2 * len(lost) + 2 * len(never)
    assert counted(again) == {
        "applied": len(lost),
        "duplicate": len(lost),
        "unknown": 2 * len(never),
    }
    assert {row["workflow_id"] for row in unknown} == {new}
    assert doubled == []
