"""Room `cli`: keeps the children running, speaks for them, and ends with them. Touches nothing by itself."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable

from completion_relay.clock import SystemClock
from completion_relay.first_of import first_of
from completion_relay.processes.replica import Replica
from completion_relay.processes.status import Pages
from completion_relay.service import Serving
from completion_relay.settings import Settings

_ASK_SECONDS = 0.2


class Supervisor:
    """A relay of several processes, from its settings to its end; made in a running event loop."""

    def __init__(self, settings: Settings, processes: int) -> None:
        """Start nothing yet.

        Args:
            settings: Those of every process; `http.address` is that of all together.
            processes: How many.

        Raises:
            ConfigurationError: `relay.relay_id` leaves no room for a process's number.
        """
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._replicas = [Replica(settings, number, rng) for number in range(1, processes + 1)]
        self._clock = SystemClock()
        self._pages = Pages(settings.http.address, self._replicas)

    async def run(self, stop: asyncio.Event, *, on_ready: Callable[[Serving], None]) -> bool:
        """Serve until `stop` is set, then let every process drain.

        Args:
            stop: Ends it; set here too when a process refuses to start.
            on_ready: Given what is served, once every process decides events.

        Returns:
            Whether every process ended as it should.

        Raises:
            ConfigurationError: the HTTP address is taken.
            RefusedError: a setting or a topic is wrong.
        """
        http = await self._pages.start()  # a taken port is refused before anything starts
        try:
            running = [
                asyncio.create_task(replica.run(stop, pages=http)) for replica in self._replicas
            ]
            announced = first_of(stop.wait(), self._announce(http, on_ready))
            tasks = [*running, asyncio.create_task(announced)]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                stop.set()
                # Gathered, because all may refuse for the one reason, and one is raised.
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in tasks:
                task.result()
            return all(task.result() for task in running)
        finally:
            await self._pages.stop()

    def kill(self) -> None:
        """End every process at once."""
        for replica in self._replicas:
            replica.kill()

    async def _announce(self, http: str, on_ready: Callable[[Serving], None]) -> None:
        serving, *_ = await asyncio.gather(*(replica.serving for replica in self._replicas))
        # Whoever was ready first has shared its partitions out anew since.
        while await self._pages.problems():
            await self._clock.sleep(_ASK_SECONDS)
        on_ready(dataclasses.replace(serving, http=http))
