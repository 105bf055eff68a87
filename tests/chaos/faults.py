"""Room `tests/chaos`: makes a plan happen. Touches processes and links; what to do says `plan.py`."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.cluster import LinkedKafka
from tests.chaos.plan import Fault, Kind, resource
from tests.chaos.proxy import Link
from tests.chaos.relays import Relays

from completion_relay.embedded import TemporalServer

_SLOW_SECONDS = 0.15
"""What each chunk of bytes waits on a slow link."""


@dataclass
class Faults:
    """Carries faults out, each in its time."""

    kafka: LinkedKafka
    temporal: TemporalServer
    temporal_links: Sequence[Link]
    """One a line."""
    relays: Relays
    say: Callable[[str], None]
    done: Counter[Kind] = field(default_factory=Counter)
    _locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def carry_out(self, plan: Sequence[Fault]) -> None:
        """Do all of it; return when the last one is made good."""
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as going_on:
            for fault in plan:
                going_on.create_task(self._in_time(fault, begun))

    async def _in_time(self, fault: Fault, begun: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(begun + fault.at - loop.time())
        # What takes longer than planned to be made good holds up the next fault of its kind.
        async with self._locks[resource(fault)]:
            self.say(str(fault))
            await self._do(fault)
            self.done[fault.kind] += 1

    async def _do(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.RELAY_ADDED:
                await self.relays.add(fault.target)
            case Kind.RELAY_REMOVED:
                await self.relays.remove(fault.target)
            case Kind.RELAY_KILLED:
                await self.relays.kill(fault.target)
                await asyncio.sleep(fault.seconds)
                await self.relays.add(fault.target)
            case Kind.RELAY_FROZEN:
                relay = self.relays.running[fault.target]
                relay.freeze()
                await asyncio.sleep(fault.seconds)
                relay.wake()
            case Kind.BROKER_KILLED:
                node = self.kafka.nodes[fault.target]
                await node.kill()
                await asyncio.sleep(fault.seconds)
                await node.start()
                await self.kafka.in_sync()
            case Kind.TEMPORAL_KILLED:
                await self.temporal.kill()
                await asyncio.sleep(fault.seconds)
                await self.temporal.start()
            case _:
                await self._link(fault)

    async def _link(self, fault: Fault) -> None:
        to_kafka = fault.kind.startswith("kafka")
        links = self.kafka.line(fault.target) if to_kafka else [self.temporal_links[fault.target]]
        for link in links:
            match fault.kind:
                case Kind.KAFKA_CUT | Kind.TEMPORAL_CUT:
                    link.cut()
                case Kind.KAFKA_STALLED | Kind.TEMPORAL_STALLED:
                    link.stall()
                case _:
                    link.slow(_SLOW_SECONDS)
        await asyncio.sleep(fault.seconds)
        for link in links:
            link.mend()
