"""Room `replay`: the plan: what a replay would do, before it does.

Touches Kafka and Temporal, through `Reading` and `LookUps`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from completion_relay.replay.lookups import Asked, LookUps, Outlook
from completion_relay.replay.plan import Plan, Treated, Treatment
from completion_relay.replay.reading import Reading, Step, silent


@dataclass(frozen=True, slots=True)
class Row:
    """One event of a plan, and what it would do now."""

    treated: Treated
    last: str
    outlook: Outlook | None
    """None: it was not looked at."""
    is_away: bool = False
    """Whether that is because Temporal could not be asked."""


async def make_plan(
    reading: Reading,
    looks: LookUps,
    *,
    step: Step = silent,
    looked: Step = silent,
    told: Callable[[Row], None] = lambda _: None,
) -> Plan:
    """Read what is asked for, look at some of it, and add up; writes nothing anywhere.

    Args:
        reading: What to read, prepared.
        looks: What to look with.
        step: Told how many records were read.
        looked: Told how many looks are done.
        told: Told of each event, in the order of their reading.

    Raises:
        LineError: a line of the file holds no record.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    plan = Plan(gone=reading.gone, cut=reading.cut, sent_before=reading.sent_before)
    looks_left = reading.order.look_ups
    async with contextlib.aclosing(reading.read()) as batches:
        async for batch in batches:
            rows: list[tuple[Treated, Asked | Outlook | None]] = []
            # All of them through the sieve: what it learns of those that were sent counts, too.
            for treated in map(reading.sieve.treat, batch.records):
                if reading.was_sent(treated.kept) or treated.treatment is Treatment.NOT_ASKED:
                    continue
                plan.add(treated, reading.decisions)
                asked = None
                if treated.treatment is Treatment.SEND and looks_left > 0:
                    asked, looks_left = looks.asked(treated), looks_left - 1
                rows.append((treated, asked))
            outlooks = await _looked_at(rows, looks, looked)
            for (treated, asked), outlook in zip(rows, outlooks, strict=True):
                if asked is not None:
                    plan.look(treated, None if outlook is None else outlook.would)
                last = reading.decisions.last(treated.kept.origin)
                is_away = asked is not None and outlook is None
                told(Row(treated, str(last) if last else "", outlook, is_away))
            step(len(batch.records))
    return plan


async def _looked_at(
    rows: list[tuple[Treated, Asked | Outlook | None]], looks: LookUps, step: Step
) -> list[Outlook | None]:
    questions = [asked for _, asked in rows if isinstance(asked, Asked)]
    answers = iter(await looks.look_at(questions, step))
    return [next(answers) if isinstance(asked, Asked) else asked for _, asked in rows]
