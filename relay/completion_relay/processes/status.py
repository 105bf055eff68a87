"""Room `cli`: /healthz, /readyz, /metrics and /status of all processes at one address. Touches loopback HTTP.

Nothing is kept: each request asks the children anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence

import aiohttp
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from completion_relay import __version__
from completion_relay.http import StatusServer
from completion_relay.processes.merge import LABEL, merge, parse
from completion_relay.processes.replica import Replica
from completion_relay.status_page import PageError, ReplicaState, read_page

_PROBE_SECONDS = 0.75
"""Below the second that a Kubernetes probe waits by default (`timeoutSeconds`)."""
_SCRAPE_SECONDS = 5.0
"""Below the ten that Prometheus waits by default (`scrape_timeout`)."""


class Pages(StatusServer):
    """What the children's pages say, together."""

    def __init__(self, address: str, replicas: Sequence[Replica]) -> None:
        """Bind nothing yet.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            replicas: Whom to ask.
        """
        super().__init__(address)
        self._replicas = replicas

    async def lifeless(self) -> Mapping[str, str]:
        """Return the processes that run and do not answer.

        One that has died is none of them: it is started again without ending the others.
        """
        return _together(await asyncio.gather(*(self._lifeless(one) for one in self._replicas)))

    async def problems(self) -> Mapping[str, str]:
        """Return the problems of each process, such as `process 2: temporal`."""
        return _together(await asyncio.gather(*(self._problems(one) for one in self._replicas)))

    async def metrics(self) -> bytes:
        """Return every process's metrics, and which processes there are."""
        pages = await asyncio.gather(*(self._metrics_of(one) for one in self._replicas))
        found = {
            replica.number: page
            for replica, page in zip(self._replicas, pages, strict=True)
            if page is not None
        }
        return merge(found, own=self._own(set(found)))

    async def states(self) -> list[ReplicaState]:
        """Return every process's state; of one that does not answer, why."""
        pages = await asyncio.gather(*(self._states_of(one) for one in self._replicas))
        return [state for page in pages for state in page]

    async def _states_of(self, replica: Replica) -> list[ReplicaState]:
        page = await _ask(replica, "/status", _PROBE_SECONDS)
        problem = replica.problem or f"does not answer within {_PROBE_SECONDS} s"
        if page is not None:
            try:
                return read_page(page)
            except PageError as error:  # of one process: the others' pages are not lost for it
                problem = f"its page cannot be read: {error}"
        return [
            ReplicaState(
                relay_id=replica.relay_id,
                version=__version__,
                instance="",
                problems={replica.name: problem},
            )
        ]

    def _own(self, answering: set[int]) -> list[Metric]:
        up = GaugeMetricFamily(
            "completion_relay_process_up",
            "1 while the process runs and answers, 0 while it is dead or starts.",
            labels=[LABEL],
        )
        restarts = CounterMetricFamily(
            "completion_relay_process_restarts",
            "How often the process ended by itself and was started again.",
            labels=[LABEL],
        )
        for replica in self._replicas:
            up.add_metric([str(replica.number)], float(replica.number in answering))
            restarts.add_metric([str(replica.number)], replica.restarts)
        return [up, restarts]

    async def _lifeless(self, replica: Replica) -> dict[str, str]:
        asked = replica.http
        if asked is None or replica.problem:
            return {}
        if await _ask(replica, "/healthz", _PROBE_SECONDS) is not None:
            return {}
        # It may have ended while it was asked.
        has_ended = not replica.is_up or replica.http != asked
        return {} if has_ended else {replica.name: f"does not answer within {_PROBE_SECONDS} s"}

    async def _problems(self, replica: Replica) -> dict[str, str]:
        if replica.problem:
            return {replica.name: replica.problem}
        page = await _ask(replica, "/readyz", _PROBE_SECONDS)
        if page is None:
            return {replica.name: replica.problem or f"does not answer within {_PROBE_SECONDS} s"}
        problems: dict[str, str] = json.loads(page)["problems"]
        return {f"{replica.name}: {part}": problem for part, problem in problems.items()}

    async def _metrics_of(self, replica: Replica) -> list[Metric] | None:
        page = await _ask(replica, "/metrics", _SCRAPE_SECONDS)
        return None if page is None else parse(page)


async def _ask(replica: Replica, path: str, seconds: float) -> str | None:
    """Return a page of a child; None: it does not answer."""
    if replica.http is None:
        return None
    try:
        # A session of its own: a connection that is kept could be that of a child before.
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(seconds)) as session,
            session.get(f"http://{replica.http}{path}") as response,
        ):
            return await response.text()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None


def _together(parts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {part: problem for one in parts for part, problem in one.items()}
