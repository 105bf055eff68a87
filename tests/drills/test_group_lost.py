"""The relay's group is lost, with every offset it had committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from temporalio.client import Client
from tests.chaos.emit import Emitter
from tests.chaos.load import Waiting
from tests.chaos.script import PLAIN, addresses, script
from tests.drills.proof import SEED, Figures, Round, counted
from tests.drills.stack import TOPICS, Stack, Typing
from tests.integration.relay.each import Each
from tests.integration.relay.waiting import Scene
from tests.pages import sections
from tests.support import consume_all

from completion_schemas.times import UnixNanos

pytestmark = [pytest.mark.source_tree, pytest.mark.timeout(600)]

DRILL = "The relay's group is lost"


async def test_a_group_that_is_lost_is_rebuilt_from_the_topic(
    stack: Stack,
    client: Client,
    waiting: Waiting,
    activities: int,
    keep: Callable[[Figures], None],
) -> None:
    page = Typing(stack, sections("relay/DRILLS.md")[DRILL])
    everyone = addresses(activities)
    scene = Scene(client, stack.kafka.address, stack.temporal.address, TOPICS, "each")
    async with waiting.worker(), scene.worker():
        await waiting.start(everyone, lambda _: None)
        # Of each other end one, and a failure of which history has nothing.
        each = Each(scene)
        await each.emit()
        await each.retried_failure()
        emitter = Emitter(stack.kafka.address, TOPICS.completions, SEED, waiting.references)
        async with stack.relay():
            await emitter.emit(script(SEED, everyone, PLAIN), seconds=0)
            await stack.all_decided()
        first = await Round.first(stack, client, everyone)
        letters = len(await consume_all(stack.kafka.address, TOPICS.dead_letter))

        await stack.forget_group()
        lost = UnixNanos(time.time_ns())
        start = datetime.now(UTC).isoformat()
        begun = time.monotonic()
        async with page.relay():
            await stack.all_decided()
            seconds = time.monotonic() - begun
            applied = (await page.next(START=start)).objects
            (plan,) = (await page.next()).objects
        assert page.is_at_its_end()
        second = await first.second(stack, client, since=lost)
    keep(first.figures(second, drill=DRILL, seconds=seconds))
    first.hold(second)
    assert len(applied) == counted(first.trail)["applied"]
    # Each dead letter is there twice now, and a replay of them takes each event once.
    assert len(await consume_all(stack.kafka.address, TOPICS.dead_letter)) == 2 * letters
    assert (plan["to_send"], plan["copies"]) == (letters, letters)
