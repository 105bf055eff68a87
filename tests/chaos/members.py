"""Room `tests/chaos`: the two relays of a rolling upgrade, and what each does before it ends.

Touches processes, and Kafka to see what they have committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.chaos.ahead import maps_of
from tests.chaos.found import Log, by_its_position
from tests.chaos.gather import read_log
from tests.chaos.relays import Line, RelayProcess
from tests.chaos.steps import SETTINGS, TOPICS
from tests.support import eventually

from completion_relay.topics import DEFAULT_PARTITIONS

GROUP = "upgrade"
_OLD = "earlier"
_PARK_PARTS = 3
"""For so many parts of the emission an early event keeps its place: longer than until a relay is killed."""
_WAITING_SECONDS = 60.0
"""How long it may take until a relay has committed something settled ahead, and until what is due is parked."""
_TAKEN_SECONDS = 60.0
"""How long it may take until partitions are another's: a killed relay's session, at least."""


def is_old(relay_id: str) -> bool:
    return relay_id.startswith(_OLD)


class Members:
    """The two relays, each with processes one after another.

    Args:
        line: Their way to the servers.
        folder: For their logs.
        earlier: Where the earlier one's code is.
        part: How long a part of the events takes, seconds.
        say: Told what is done.
    """

    def __init__(
        self, line: Line, folder: Path, earlier: str, part: float, say: Callable[[str], None]
    ) -> None:
        self._line = line
        self._folder = folder
        self._earlier = earlier
        self._say = say
        self._park_after = _PARK_PARTS * part
        self._settings = SETTINGS | {
            "COMPLETION_RELAY_RELAY__PARK_AFTER": str(self._park_after),
            # An activity is scheduled when what happens amid a part is over.
            "COMPLETION_RELAY_RELAY__EARLY_TIMEOUT": "3600",
        }
        self._started = 0
        self._running: dict[bool, RelayProcess] = {}
        self.killed = 0
        self.may_begin = asyncio.Event()
        """Set while activities may be scheduled whose event came early."""
        self.may_begin.set()

    async def start(self, *, old: bool) -> None:
        self._started += 1
        name = f"{_OLD if old else 'this'}.{self._started}"
        self._say(f"{name} starts")
        self._running[old] = RelayProcess(
            name,
            self._line,
            group=GROUP,
            folder=self._folder,
            settings=self._settings,
            python_path=self._earlier if old else None,
        )
        await self._running[old].launch()

    async def serving(self) -> None:
        await asyncio.gather(*(member.serving() for member in self._running.values()))

    async def replace(self, *, old: bool, parks: bool = False) -> None:
        """Kill one of the two that has something settled ahead, and start it again when the other has gone on.

        Args:
            old: Which.
            parks: Whether the other has to park all that waits, for the next one to go on with: a
                relay of this tree does so. Else it goes on from what is settled ahead.
        """
        member, other = self._running[old], self._running[not old]
        await eventually(
            partial(self._is_ahead, member.name),
            timeout=_WAITING_SECONDS,
            what=f"a commit of {member.name} with something settled ahead",
        )
        self._say(f"{member.name} is killed")
        await member.kill()
        self.killed += 1
        await eventually(
            partial(self._has, other, DEFAULT_PARTITIONS),
            timeout=_TAKEN_SECONDS,
            what="all partitions in one relay's hands",
        )
        if not parks:
            self.may_begin.set()
        else:
            await eventually(
                self._is_all_parked,
                timeout=self._park_after + _WAITING_SECONDS,
                what=f"all that waits parked by {other.name}",
            )
        await eventually(
            partial(self._goes_on, member.name, other.name),
            timeout=_WAITING_SECONDS,
            what=f"a commit of {other.name} after one of {member.name} with something settled ahead",
        )
        await self.start(old=old)
        await self.serving()
        # It serves before the group has given it any.
        await eventually(
            partial(self._has, self._running[old], 1),
            timeout=_TAKEN_SECONDS,
            what=f"a partition in the hands of {self._running[old].name}",
        )

    async def finish(self) -> None:
        """Stop the earlier one."""
        self._say(f"{self._running[True].name} is stopped: the upgrade is done")
        await self._running.pop(True).terminate()

    async def _is_ahead(self, name: str) -> bool:
        return bool(maps_of(await self._log()).held[name])

    async def _goes_on(self, giver: str, taker: str) -> bool:
        return bool(maps_of(await self._log()).taken_over[giver, taker])

    async def _is_all_parked(self) -> bool:
        log = await self._log()
        waiting = log.main.keys() - by_its_position(log.audit).keys()
        return bool(waiting) and waiting <= log.parked.keys()

    async def _log(self) -> Log:
        return await read_log(self._line.kafka, GROUP, TOPICS)

    async def _has(self, relay: RelayProcess, least: int) -> bool:
        families = text_string_to_metric_families(await relay.metrics())
        held = {
            sample.labels["partition"]
            for family in families
            for sample in family.samples
            if sample.name == "completion_relay_uncommitted"
            and sample.labels["topic"] == TOPICS["completions"]
        }
        return len(held) >= least

    async def close(self) -> None:
        await asyncio.gather(*(member.terminate() for member in self._running.values()))
        self._running.clear()
