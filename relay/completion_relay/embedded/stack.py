"""Room `embedded`: both servers on one data folder. Touches that folder and what it starts."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from completion_relay.embedded.errors import EmbeddedError
from completion_relay.embedded.lock import DataLock
from completion_relay.embedded.servers import KafkaBroker, TemporalServer

_ServerT = TypeVar("_ServerT", KafkaBroker, TemporalServer)


class EmbeddedStack:
    """A real Temporal server and a Kafka broker while the `async with` block lasts.

    Both serve this machine only, end when this process ends in whatever way,
    and keep their data in one folder from run to run:
    `DATA/{temporal,kafka}/`, `DATA/logs/`, `DATA/lock`.

    Args:
        data: The folder, made when missing.
        kafka_port: None for a free one.
        temporal_port: None for a free one.
        ui_port: None for a free one.

    Raises (on entering):
        DataInUseError: another stack runs on the folder.
        PortTakenError: a port that was given is in use.
        NotInstalledError: a server's package is missing.
        ServerFailedError: a server did not become ready.
        EmbeddedError: the folder cannot be written.
    """

    def __init__(
        self,
        data: Path | str,
        *,
        kafka_port: int | None = None,
        temporal_port: int | None = None,
        ui_port: int | None = None,
    ) -> None:
        self.data = Path(data).absolute()
        self._ports = (kafka_port, temporal_port, ui_port)
        self._kafka: KafkaBroker | None = None
        self._temporal: TemporalServer | None = None
        self._exit = contextlib.AsyncExitStack()

    @property
    def kafka(self) -> str:
        """`HOST:PORT` of the Kafka broker."""
        return _started(self._kafka).address

    @property
    def temporal(self) -> str:
        """`HOST:PORT` of Temporal's gRPC frontend."""
        return _started(self._temporal).address

    @property
    def ui(self) -> str:
        """The address of Temporal's web UI."""
        return _started(self._temporal).ui

    async def ended(self) -> NoReturn:
        """Wait until one of the servers ends by itself, which it should not.

        Raises:
            ServerFailedError: one did; the message says which and has its last words.
        """
        waits = [
            asyncio.ensure_future(server.ended())
            for server in (_started(self._kafka), _started(self._temporal))
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def __aenter__(self) -> Self:
        logs = self.data / "logs"
        kafka_port, temporal_port, ui_port = self._ports
        async with contextlib.AsyncExitStack() as starting:
            lock = DataLock(self.data)
            starting.callback(lock.release)
            await lock.acquire()
            # Both ports are claimed before anything starts: a taken one costs no time.
            kafka = KafkaBroker(
                data=self.data / "kafka",
                logs=logs,
                port=kafka_port,
                keep_open=[lock.descriptor],
            )
            temporal = TemporalServer(
                data=self.data / "temporal",
                logs=logs,
                port=temporal_port,
                ui_port=ui_port,
                keep_open=[lock.descriptor],
            )
            self._kafka = await starting.enter_async_context(kafka)
            self._temporal = await starting.enter_async_context(temporal)
            self._exit = starting.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()


def _started(server: _ServerT | None) -> _ServerT:
    if server is None:
        raise EmbeddedError("the embedded stack has not been started: use `async with`")
    return server
