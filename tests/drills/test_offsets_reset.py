"""Somebody resets the group's offsets to the start of a topic of thousands."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.chaos.emit import Emitter
from tests.chaos.load import Waiting
from tests.chaos.script import addresses
from tests.drills.load import filled
from tests.drills.proof import SEED, Figures, Round
from tests.drills.stack import TOPICS, Stack, Typing
from tests.integration.relay.each import Each
from tests.integration.relay.waiting import Scene
from tests.pages import sections

from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

pytestmark = [pytest.mark.source_tree, pytest.mark.timeout(900)]

DRILL = "The offsets are reset to the start"


async def test_offsets_that_are_reset_change_nothing(
    stack: Stack,
    waiting: Waiting,
    activities: int,
    records: int,
    keep: Callable[[Figures], None],
) -> None:
    page = Typing(stack, sections("relay/DRILLS.md")[DRILL])
    everyone = addresses(activities)
    items = filled(everyone, records - 1)
    scene = Scene(waiting.client, stack.kafka.address, stack.temporal.address, TOPICS, "skipped")
    async with waiting.worker(), scene.worker():
        await waiting.start(everyone, lambda _: None)
        # Of all that is decided, the one thing that Temporal does not know.
        skipped = await Each(scene).skipped()
        emitter = Emitter(stack.kafka.address, TOPICS.completions, SEED, waiting.references)
        async with stack.relay():
            await emitter.emit(items, seconds=0)
            await stack.all_decided()
        first = await Round.first(stack, waiting.client, everyone)
        assert len(first.trail) == records

        await stack.rewind()
        said_before = await page.next()
        (of,) = said_before.objects
        assert (of["event_id"], of["disposition"]) == (skipped.event_id, Disposition.SKIPPED)
        again = await page.next(PARTITION=str(of["partition"]), OFFSET=str(of["offset"]))
        assert again.code == 0, again.err
        reset = UnixNanos(time.time_ns())
        start = datetime.now(UTC).isoformat()
        begun = time.monotonic()
        async with page.relay():
            await stack.all_decided()
            seconds = time.monotonic() - begun
            by_disposition = await page.next(START=start)
            conflicts = await page.next(START=start)
        assert page.is_at_its_end()
        second = await first.second(stack, waiting.client, since=reset)
    keep(first.figures(second, drill=DRILL, seconds=seconds))
    first.hold(second)
    assert len(by_disposition.objects) == activities
    assert (conflicts.code, conflicts.objects) == (1, [])
