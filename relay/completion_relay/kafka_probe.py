"""Room `consumer`: is Kafka there, and with which topics. Touches aiokafka.

A consumer without a broker raises nothing, it only brings no records: this is
how a relay knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

_STOP_SECONDS = 5.0


class KafkaProbe:
    """Asks, with a connection of its own."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Connect to nothing yet.

        Args:
            options: What aiokafka takes to connect.
        """
        self._options = options
        self._client: AIOKafkaClient | None = None

    async def topics(self, *, within: float) -> dict[str, int] | None:
        """Return the topics that the brokers show, each with its number of partitions.

        Args:
            within: Seconds.

        Returns:
            None: no broker answers in time.
        """
        try:
            async with asyncio.timeout(within):
                client = await self._connected()
                if await client.force_metadata_update():
                    cluster = client.cluster
                    return {
                        name: len(cluster.partitions_for_topic(name) or ())
                        for name in cluster.topics()
                    }
        except (KafkaError, TimeoutError):
            await self.stop()
        return None

    async def _connected(self) -> AIOKafkaClient:
        if self._client is None:
            client = AIOKafkaClient(**self._options)
            try:
                await client.bootstrap()
            except BaseException:
                await client.close()
                raise
            self._client = client
        return self._client

    async def stop(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(client.close(), _STOP_SECONDS)
