"""Room `tests/chaos`: three brokers that also listen behind links. Touches JVM processes and sockets.

A broker has one listener more for each line, and advertises the line's link as its
address there: a client that starts on a line stays on it, and no byte is rewritten.
The harness itself uses the first listener, where nothing is cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from tests.apache.jars import require_apache_kafka
from tests.apache.kafka import ApacheKafka, Node
from tests.chaos.plan import BROKERS, LINES
from tests.chaos.proxy import Link
from tests.support import eventually

from completion_relay.embedded.process import HOST, free_port


class LinkedNode(Node):
    """A broker with a listener behind each line's link."""

    def __init__(self, folder: Path, number: int, jars: Path) -> None:
        super().__init__(folder, number, jars)
        self._ports = [free_port() for _ in range(LINES)]
        self.links = [Link(port) for port in self._ports]

    async def format(self, cluster_id: str, voters: Sequence[str]) -> None:
        """Write the configuration with the further listeners, and an empty data folder."""
        await super().format(cluster_id, voters)
        lines = range(LINES)
        listeners = [f"LINE{n}://{HOST}:{self._ports[n]}" for n in lines]
        advertised = [f"LINE{n}://{self.links[n].address}" for n in lines]
        protocols = [f"LINE{n}:PLAINTEXT" for n in lines]
        controller = f"CONTROLLER://{HOST}:{self.controller_port}"
        settings = {
            "listeners": [f"PLAINTEXT://{self.address}", controller, *listeners],
            "advertised.listeners": [f"PLAINTEXT://{self.address}", *advertised],
            "listener.security.protocol.map": [
                *("PLAINTEXT:PLAINTEXT", "CONTROLLER:PLAINTEXT"),
                *protocols,
            ],
            "inter.broker.listener.name": ["PLAINTEXT"],
        }
        with self._properties.open("a", encoding="utf-8") as properties:
            # A later line of a Java properties file wins.
            properties.writelines(f"{key}={','.join(values)}\n" for key, values in settings.items())


class LinkedKafka(ApacheKafka):
    """Three brokers, each behind a link a line."""

    nodes: list[LinkedNode]  # type: ignore[assignment]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, brokers=BROKERS)
        jars = require_apache_kafka()
        self.nodes = [
            LinkedNode(folder / f"node-{number}", number, jars) for number in range(1, BROKERS + 1)
        ]
        self._links = contextlib.AsyncExitStack()

    def line(self, number: int) -> list[Link]:
        """Return a line's links, one a broker."""
        return [node.links[number] for node in self.nodes]

    def line_address(self, number: int) -> str:
        """Return `bootstrap_servers` for who is on the line."""
        return ",".join(link.address for link in self.line(number))

    async def in_sync(self) -> None:
        """Return when every replica has caught up: only then may another broker go."""

        async def is_in_sync() -> bool:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
            try:
                await admin.start()
                topics = await admin.describe_topics()
            except KafkaError:
                return False
            finally:
                await admin.close()
            return all(
                len(partition["isr"]) == len(partition["replicas"])
                for topic in topics
                for partition in topic["partitions"]
            )

        await eventually(is_in_sync, timeout=90, what="all replicas in sync")

    async def __aenter__(self) -> Self:
        await self._links.__aenter__()
        for node in self.nodes:
            for link in node.links:
                await self._links.enter_async_context(link)
        try:
            return await super().__aenter__()
        except BaseException:
            await self._links.aclose()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            await self._links.aclose()
