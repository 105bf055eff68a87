"""The dead-letter topic is filled by a wrong setting, and replayed after the fix."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.chaos.emit import Emitter
from tests.chaos.load import Waiting
from tests.chaos.script import addresses, completions
from tests.drills.proof import SEED, Figures, audit, counted, histories
from tests.drills.stack import TOPICS, Stack, Typing
from tests.pages import sections
from tests.support import consume_all

from completion_schemas.dispositions import DeadLetterReason

pytestmark = [pytest.mark.source_tree, pytest.mark.timeout(600)]

DRILL = "A wrong setting fills the dead-letter topic"


async def test_what_a_wrong_setting_has_dead_lettered_is_applied_after_the_fix(
    stack: Stack, waiting: Waiting, activities: int, keep: Callable[[Figures], None]
) -> None:
    page = Typing(stack, sections("relay/DRILLS.md")[DRILL])
    everyone = addresses(activities)
    async with waiting.worker():
        await waiting.start(everyone, lambda _: None)
        emitter = Emitter(stack.kafka.address, TOPICS.completions, SEED, waiting.references)
        async with stack.relay("--namespace", "temporal-system"):
            await emitter.emit(completions(everyone), seconds=0)
            await stack.all_decided()
        before = await audit(stack)
        assert {record.reason for record in before} == {DeadLetterReason.FORBIDDEN}
        assert len(await consume_all(stack.kafka.address, TOPICS.dead_letter)) == activities

        begun = time.monotonic()
        assert {row["reason"] for row in (await page.next()).objects} == {"forbidden"}
        async with page.relay():
            (plan,) = (await page.next()).objects
            assert (plan["to_send"], plan["outlook"]) == (activities, {"applied": activities})
            _, result = (await page.next()).objects
            seconds = time.monotonic() - begun
            (plan,) = (await page.next()).objects
            assert (plan["to_send"], plan["ended_otherwise_since"]) == (0, activities)
        assert page.is_at_its_end()
        after = [record for record in await audit(stack) if record.replay_of]
        doubled = (await histories(waiting.client, everyone)).doubled(everyone, after)
    keep(
        Figures(
            drill=DRILL,
            activities=activities,
            events=len(before),
            replayed=result["sent"],
            became=counted(after),
            doubled=len(doubled),
            seconds=round(seconds, 1),
        )
    )
    assert (result["sent"], result["became"]) == (activities, {"applied": activities})
    assert counted(after) == {"applied": activities}
    assert doubled == []
