"""A link passes bytes as they are, until it is cut, stalled or slow; then it is as it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.chaos.proxy import Link
from tests.support import eventually


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    """A link to a server that answers every line with the same line."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Link(server.sockets[0].getsockname()[1]) as link:
        yield link


class Caller:
    """A connection through the link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, line: bytes) -> bytes:
        """Return the answer, empty when the connection ends."""
        self._writer.write(line)
        with contextlib.suppress(OSError):
            return await self._reader.readline()
        return b""

    def close(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def calling(link: Link) -> AsyncIterator[Caller]:
    caller = Caller(*await asyncio.open_connection("127.0.0.1", link.port))
    try:
        yield caller
    finally:
        caller.close()


async def test_bytes_pass_in_both_directions(link: Link) -> None:
    async with calling(link) as caller:
        assert await caller.ask(b"\x00\xff binary\n") == b"\x00\xff binary\n"
    assert link.passed == 2 * len(b"\x00\xff binary\n")


async def test_a_cut_link_ends_connections_and_admits_none_until_it_is_mended(link: Link) -> None:
    async with calling(link) as before:
        assert await before.ask(b"1\n") == b"1\n"
        link.cut()
        assert await before.ask(b"2\n") == b""
    async with calling(link) as meanwhile:
        assert await meanwhile.ask(b"3\n") == b""
    assert link.ended == 1
    link.mend()
    async with calling(link) as after:
        assert await after.ask(b"4\n") == b"4\n"


async def test_what_a_stranded_caller_sent_arrives_when_the_link_is_mended() -> None:
    heard = asyncio.Queue[bytes]()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            heard.put_nowait(line)
        heard.put_nowait(b"the end")
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with (
        server,
        Link(server.sockets[0].getsockname()[1]) as link,
        calling(link) as caller,
    ):
        link.stall()
        asking = asyncio.create_task(caller.ask(b"late\n"))
        await eventually(lambda: link.held)
        link.strand()
        assert await asking == b""
        async with calling(link) as other:
            assert await other.ask(b"at once\n") == b"at once\n"
        assert await heard.get() == b"at once\n"
        assert await heard.get() == b"the end"
        link.mend()
        assert await heard.get() == b"late\n"
        assert heard.empty()


async def test_a_stalled_link_passes_nothing_and_loses_nothing(link: Link) -> None:
    async with calling(link) as caller:
        link.stall()
        asking = asyncio.create_task(caller.ask(b"late\n"))
        await eventually(lambda: link.held, what="bytes that are held back")
        assert link.passed == 0
        assert not asking.done()
        link.mend()
        assert await asking == b"late\n"


async def test_a_slow_link_holds_back_both_directions(link: Link) -> None:
    loop = asyncio.get_running_loop()
    async with calling(link) as caller:
        link.slow(0.1)
        begun = loop.time()
        assert await caller.ask(b"slow\n") == b"slow\n"
        assert loop.time() - begun >= 0.2


async def test_a_server_that_is_away_ends_the_connection(link: Link) -> None:
    async with Link(1) as nowhere, calling(nowhere) as caller:
        assert await caller.ask(b"anybody?\n") == b""
