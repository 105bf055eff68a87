"""Room `tests/bench`: how many calls a relay may have under way, and how many it has. Touches its /status.

`max_in_flight` is what it is told; slow answers and refusals lower its limit by
themselves (`completion_relay.limit`), and a bare loop has none that gives way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from tests.bench.processes import Measured

from completion_relay.status_page import ReplicaState

_EVERY_SECONDS = 0.25
"""A limit of 64 that fell once, to 44, is back after a thousand answers: in part b that is two seconds,
in part a, where there are the most of them, about as long as this."""


@dataclass(slots=True)
class InFlight:
    """What was seen of a relay's calls to a namespace; of several processes, each for itself."""

    lowest_limit: int | None = None
    """Of calls under way at once; None: it is fixed, or nobody has looked."""
    most: int | None = None
    """Calls under way; None: nobody has looked."""

    def take(self, states: Iterable[ReplicaState]) -> None:
        """Take one look in."""
        for state in states:
            for namespace in state.namespaces:
                self._widen(namespace.calls_limit, namespace.in_flight)

    @classmethod
    def of_all(cls, rounds: Iterable[InFlight]) -> InFlight:
        """Return what was seen in several rounds."""
        seen = cls()
        for one in rounds:
            if one.lowest_limit is not None and one.most is not None:
                seen._widen(one.lowest_limit, one.most)
        return seen

    def cells(self) -> tuple[str, str]:
        """Return both for a row of a table."""
        if self.lowest_limit is None:
            return "fixed", ""
        return str(self.lowest_limit), str(self.most)

    def _widen(self, limit: int, under_way: int) -> None:
        self.lowest_limit = limit if self.lowest_limit is None else min(self.lowest_limit, limit)
        self.most = under_way if self.most is None else max(self.most, under_way)


@contextlib.asynccontextmanager
async def watched(process: Measured) -> AsyncIterator[InFlight]:
    """Look again and again, and a last time at the end; of what has no pages nothing is seen.

    Raises:
        BenchError: the relay does not answer.
    """
    seen = InFlight()
    looking = asyncio.create_task(_look(process, seen))
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait([looking])
    if not looking.cancelled():
        looking.result()  # which raises: it has no end of its own
    seen.take(await process.states())


async def _look(process: Measured, seen: InFlight) -> None:
    while True:
        seen.take(await process.states())
        await asyncio.sleep(_EVERY_SECONDS)
