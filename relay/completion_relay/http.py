"""Room `observe`: /healthz, /readyz, /metrics and /status. Touches aiohttp.

`/healthz` says whether the process should live, `/readyz` whether events are
being decided and what is in the way, `/metrics` is Prometheus' text format,
`/status` is what the command `status` shows of a replica.
"""

from __future__ import annotations

import abc
import socket
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from completion_relay.health import Health
from completion_relay.load import ConfigurationError
from completion_relay.status_page import ReplicaState, to_page


class StatusServer(abc.ABC):
    """Serves the four pages from one address; a subclass knows what is on them."""

    def __init__(self, address: str) -> None:
        """Bind nothing yet.

        Args:
            address: HOST:PORT; port 0 takes a free one.
        """
        self._address = address
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    @abc.abstractmethod
    async def lifeless(self) -> Mapping[str, str]:
        """Return what only a new process can mend, by part; nothing: alive."""

    @abc.abstractmethod
    async def problems(self) -> Mapping[str, str]:
        """Return what stands in the way of deciding events, by part; nothing: ready."""

    @abc.abstractmethod
    async def metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""

    @abc.abstractmethod
    async def states(self) -> list[ReplicaState]:
        """Return the state of each process."""

    async def start(self) -> str:
        """Listen; return the HOST:PORT that it became.

        Raises:
            ConfigurationError: the address cannot be bound.
        """
        host, _, port = self._address.rpartition(":")
        host = host.strip("[]")
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, int(port))
        try:
            await site.start()
        except (OSError, socket.gaierror) as error:
            await self._runner.cleanup()
            raise ConfigurationError(
                f"setting http.address = {self._address}: {error.strerror or error}: give a free "
                "one with --http HOST:PORT; port 0 takes any"
            ) from None
        bound = self._runner.addresses[0]
        return f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    async def stop(self) -> None:
        """Close the socket."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        if lifeless := await self.lifeless():
            return web.json_response({"alive": False, "problems": dict(lifeless)}, status=503)
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        problems = await self.problems()
        return web.json_response(
            {"ready": not problems, "problems": dict(problems)}, status=503 if problems else 200
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=await self.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _status(self, _: web.Request) -> web.Response:
        return web.json_response(to_page(await self.states()))


class HttpServer(StatusServer):
    """The pages of one relay."""

    def __init__(
        self,
        address: str,
        *,
        health: Health,
        registry: CollectorRegistry,
        state: Callable[[], ReplicaState],
    ) -> None:
        """Bind nothing yet.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            health: What /readyz shows.
            registry: What /metrics shows.
            state: Returns what /status shows.
        """
        super().__init__(address)
        self._health = health
        self._registry = registry
        self._state = state

    async def lifeless(self) -> Mapping[str, str]:
        """Return nothing: a defect that ends the relay's work ends the process.

        What is left to say is that the event loop turns, which the answer says.
        """
        return {}

    async def problems(self) -> Mapping[str, str]:
        """Return the problems by part."""
        return self._health.problems

    async def metrics(self) -> bytes:
        """Return the registry."""
        return generate_latest(self._registry)

    async def states(self) -> list[ReplicaState]:
        """Return the one."""
        return [self._state()]
