"""Room `tests/chaos`: a rolling upgrade: a relay of an earlier revision beside one of this tree.

    python -m tests.chaos.upgrade [--revision REV] [--seed N] [--activities N] [--seconds N]

Both are in one group on Apache Kafka. While events come, the earlier one is killed, and
started again when the other has its partitions and has parked what waits there; then this
tree's; at last the earlier one is stopped, as an upgrade does, and more events come. Nothing may
be lost or doubled. Many events wait for their activity, which is scheduled when the other has
their partitions, so that later ones are settled ahead of them: each of the two has to go on from
what the other's commits say.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.apache.kafka import ApacheKafka
from tests.chaos.ahead import maps_of
from tests.chaos.command import CANNOT_RUN, count, finish, positive, progress
from tests.chaos.emit import Emitter
from tests.chaos.found import Finding, Found, by_its_position
from tests.chaos.gather import gather
from tests.chaos.judge import judge
from tests.chaos.load import Waiting, connect
from tests.chaos.members import GROUP, Members, is_old
from tests.chaos.relays import Line
from tests.chaos.report import Report, events_by_kind, load_figures
from tests.chaos.revisions import NoRevisionError, before_the_newest_schema, resolved, unpack
from tests.chaos.script import UPGRADE, Address, addresses, early_ones, script
from tests.chaos.steps import TOPICS, all_end, create_topics, settle
from tests.support import eventually

from completion_relay.embedded import TemporalServer

_KINDS = {True: "earlier", False: "later"}
"""The two relays as the figures name them."""
_PARTS = 4
"""Of the events: amid the first the earlier relay is killed, amid the second the later one, amid the
third the earlier one stops; the last come after the upgrade."""
_AMID = 0.9
"""So much of a part is on the topic then."""
_EMIT_SECONDS = 120.0
"""How much longer than asked for emitting may take on a slow machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What is asked for."""

    revision: str
    seed: int = 1
    activities: int = 300
    seconds: float = 20.0
    """How long events come."""
    settle: float = 90.0


async def upgrade(asked: Upgrade, folder: Path, say: Callable[[str], None]) -> Report:
    """Do one rolling upgrade.

    Raises:
        NoRevisionError: there is no such revision.
        ServerFailedError: a server did not start.
    """
    earlier = await asyncio.to_thread(unpack, asked.revision, folder / "earlier")
    activities = addresses(asked.activities)
    # Of the rest, an earlier relay may know less.
    items = script(asked.seed, activities, UPGRADE)
    async with contextlib.AsyncExitStack() as stack:
        say(f"upgrading from {asked.revision[:12]}: Kafka and Temporal start")
        temporal = TemporalServer(data=folder / "temporal", logs=folder)
        kafka = ApacheKafka(folder)
        await stack.enter_async_context(temporal)
        await stack.enter_async_context(kafka)
        await create_topics(kafka.address)
        members = Members(
            Line(kafka=kafka.address, temporal=temporal.address),
            folder,
            earlier,
            asked.seconds / _PARTS,
            say,
        )
        stack.push_async_callback(members.close)
        client = await connect(temporal.address)
        waiting = Waiting(client)

        async def begin(address: Address) -> None:
            await members.may_begin.wait()
            await waiting.begin(address)

        async with waiting.worker():
            await waiting.start(activities, say, late=early_ones(items))
            await asyncio.gather(members.start(old=True), members.start(old=False))
            await members.serving()
            emitter = Emitter(
                kafka.address,
                TOPICS["completions"],
                asked.seed,
                waiting.references,
                begin=begin,
            )

            async def emit(part: int, amid: Callable[[], Awaitable[None]] | None = None) -> None:
                """Emit a part of the events; early ones wait for what happens amid it."""
                size = -(-len(items) // _PARTS)
                some = items[part * size : (part + 1) * size]
                enough = emitter.acknowledged + len(some) * _AMID
                async with asyncio.TaskGroup() as at_once:
                    at_once.create_task(emitter.emit(some, seconds=asked.seconds / _PARTS))
                    if amid is not None:
                        members.may_begin.clear()
                        await eventually(
                            lambda: emitter.acknowledged >= enough,
                            timeout=asked.seconds + _EMIT_SECONDS,
                            what=f"{enough:.0f} events on the topic",
                        )
                        await amid()
                        members.may_begin.set()

            # What is asked of each of the two before it ends is what the other has to go on from.
            await emit(0, partial(members.replace, old=True, parks=True))
            await emit(1, partial(members.replace, old=False))
            await emit(2, members.finish)
            await emit(3)
            settled = await settle(kafka.address, GROUP, asked.settle, say)
            await all_end(client, activities)
        await members.close()
        found = await gather(client, kafka.address, GROUP, TOPICS, activities)
    by_relay = _by_relay(found)
    return Report(
        title=f"upgrade from {asked.revision[:12]}",
        seed=asked.seed,
        seconds=asked.seconds,
        settled_after=settled,
        load=load_figures(items, found.main.values()),
        events=events_by_kind(asked.seed, items, found),
        faults={"relay killed": members.killed},
        told={"activities scheduled behind their event": len(early_ones(items)), **by_relay},
        findings=[
            *judge(asked.seed, items, found),
            # An upgrade in which this did not happen has shown nothing of it.
            Finding(
                "what the two were to do, and one was not seen to",
                sum(not count for count in by_relay.values()),
                [name for name, count in by_relay.items() if not count],
            ),
        ],
    )


def _by_relay(found: Found) -> dict[str, int]:
    """Return what each of the two did: decide, commit what is ahead, go on from what the other did."""
    maps = maps_of(found)
    counted: dict[str, int] = {}
    for old, kind in _KINDS.items():
        other = _KINDS[not old]
        counted |= {
            f"audit records of the {kind} relay": sum(
                is_old(one.relay_id) is old for one in found.audit
            ),
            f"commits with records settled ahead, of the {kind} relay": sum(
                count for relay, count in maps.committed.items() if is_old(relay) is old
            ),
            f"partitions with such, from the {other} to the {kind} relay": sum(
                count
                for (giver, taker), count in maps.taken_over.items()
                if is_old(taker) is old and is_old(giver) is not old
            ),
        }
    counted["parked by the later and decided by the earlier relay"] = sum(
        is_old(one.relay_id) and not all(map(is_old, found.parked.get(at, ())))
        for at, (one, *_) in by_its_position(found.audit).items()
    )
    return counted


def main() -> int:
    """Do one upgrade as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.upgrade", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--revision", help="to upgrade from (default: the last with the former audit schema)"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--activities", type=count, default=300)
    parser.add_argument("--seconds", type=positive, default=20.0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and data there")
    given = parser.parse_args()
    say = progress()
    try:
        asked = Upgrade(
            revision=resolved(given.revision) if given.revision else before_the_newest_schema(),
            seed=given.seed,
            activities=given.activities,
            seconds=given.seconds,
        )
    except NoRevisionError as error:
        say(f"cannot run: {error}")
        return CANNOT_RUN
    with tempfile.TemporaryDirectory(prefix="upgrade-") as temporary:
        work = upgrade(asked, given.keep or Path(temporary), say)
        return finish(work, say=say, figures=given.json)


if __name__ == "__main__":
    sys.exit(main())
