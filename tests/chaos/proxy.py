"""Room `tests/chaos`: a TCP link that can be cut, stalled and slowed. Touches loopback sockets.

It passes bytes as they are: a Kafka client that meets it must be told its address
as that of the broker (`advertised.listeners`), see `cluster.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from completion_relay.embedded.process import HOST, free_port

_CHUNK = 64 * 1024


class Link:
    """A port that leads to another one.

    Args:
        target: The port of this machine that it leads to.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._callers: dict[asyncio.StreamWriter, asyncio.Event] = {}
        """The ends of those who made connections, and whether what they sent passes."""
        self._stranded: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self._delay = 0.0
        self.passed = 0
        """Bytes, both directions."""
        self.ended = 0
        """Connections that a cut ended."""
        self.held = 0
        """Bytes that have been read and wait for the link to be mended."""

    @property
    def address(self) -> str:
        """`HOST:PORT` for clients."""
        return f"{HOST}:{self.port}"

    def cut(self) -> None:
        """End all connections, and each new one at once."""
        self._is_cut = True
        self.ended += len(self._connections)
        for writer in tuple(self._writers):
            writer.transport.abort()

    def stall(self) -> None:
        """Pass nothing and end nothing, as a network that lost its way does."""
        self._flows.clear()

    def strand(self) -> None:
        """End the connections of a stalled link for those who made them, and let new ones pass.

        What had been sent arrives all the same when the link is mended, as from a network that was slow
        and lost nothing; what is answered reaches nobody.
        """
        for caller, flows in self._callers.items():
            flows.clear()
            self._stranded.add(caller)
            caller.transport.abort()
        self._flows.set()

    def slow(self, delay: float) -> None:
        """Hold every chunk of bytes back.

        Args:
            delay: Seconds.
        """
        self._delay = delay

    def mend(self) -> None:
        """Be a good link again; what was held back passes."""
        self._is_cut = False
        self._delay = 0.0
        self._flows.set()
        for flows in self._callers.values():
            flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, HOST, self.port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection
        self._connections.add(connection)
        self._writers.add(writer)
        flows = self._callers[writer] = asyncio.Event()
        flows.set()
        # Cancelled only when the link is closed, and asyncio would log that as an error.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                if not self._is_cut:
                    await self._lead(reader, writer, flows)
            finally:
                del self._callers[writer]
                self._stranded.discard(writer)
                self._connections.discard(connection)
                self._writers.discard(writer)
                writer.transport.abort()

    async def _lead(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        there_reader, there_writer = await asyncio.open_connection(HOST, self._target)
        self._writers.add(there_writer)
        ways = {
            asyncio.create_task(self._pass(reader, there_writer, flows)),
            asyncio.create_task(self._pass(there_reader, writer, flows)),
        }
        try:
            # Neither Kafka nor gRPC half-closes: one direction's end is that of both.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if writer in self._stranded:
                # The server goes on as long as it is connected, whoever may hear it.
                await asyncio.Event().wait()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(there_writer)
            there_writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        while data := await reader.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            self.held += len(data)
            await self._flows.wait()
            await flows.wait()
            self.held -= len(data)
            writer.write(data)
            self.passed += len(data)
            await writer.drain()
