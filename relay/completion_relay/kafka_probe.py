"""Room `consumer`: is Kafka there, with which topics, and where they end. Touches aiokafka.

A consumer without a broker raises nothing, it only brings no records: this is
how a relay knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_COMMITTED, OffsetResetStrategy
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from completion_relay.silence import End, NoAnswer, NoLeader

_STOP_SECONDS = 5.0
_NO_LEADER = -1
_A_CONSUMER = -1
"""The `replica_id` of who asks as a client."""


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

    async def ends(
        self, partitions: Iterable[TopicPartition], *, within: float
    ) -> dict[TopicPartition, End]:
        """Return where each partition ends for a reader of committed records, or why that is not known.

        By what `topics` last found. Not aiokafka's `end_offsets`: where one
        partition cannot be asked, that tells of none, and tries for ever.

        Args:
            partitions: Of which.
            within: Seconds that each broker has.
        """
        return await self._offsets(partitions, OffsetResetStrategy.LATEST, within)

    async def beginnings(
        self, partitions: Iterable[TopicPartition], *, within: float
    ) -> dict[TopicPartition, End]:
        """Return the offset of the oldest record that there still is of each partition, as `ends`."""
        return await self._offsets(partitions, OffsetResetStrategy.EARLIEST, within)

    async def _offsets(
        self, partitions: Iterable[TopicPartition], which: int, within: float
    ) -> dict[TopicPartition, End]:
        if (client := self._client) is None:
            return {}
        ends: dict[TopicPartition, End] = {}
        led: defaultdict[int, list[TopicPartition]] = defaultdict(list)
        for partition in partitions:
            leader = client.cluster.leader_for_partition(partition)
            if leader is None:
                ends[partition] = NoAnswer("no broker knows of it")
            elif leader == _NO_LEADER:
                ends[partition] = NoLeader()
            else:
                led[leader].append(partition)
        answers = (
            _offsets_at(client, leader, theirs, which, within) for leader, theirs in led.items()
        )
        for answer in await asyncio.gather(*answers):
            ends.update(answer)
        return ends

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


async def _offsets_at(
    client: AIOKafkaClient,
    leader: int,
    partitions: list[TopicPartition],
    which: int,
    within: float,
) -> dict[TopicPartition, End]:
    by_topic: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for topic, number in partitions:
        by_topic[topic].append((number, which))
    # Of committed records: an open transaction holds them back, and is no silence.
    request = OffsetRequest(_A_CONSUMER, READ_COMMITTED, list(by_topic.items()))
    try:
        async with asyncio.timeout(within):
            response = await client.send(leader, request)
    except TimeoutError:
        return dict.fromkeys(partitions, NoAnswer(f"broker {leader} does not answer"))
    except KafkaError as error:
        return dict.fromkeys(partitions, NoAnswer(f"broker {leader}: {type(error).__name__}"))
    return {
        TopicPartition(topic, number): NoAnswer(for_code(code).__name__) if code else offset
        for topic, answers in response.topics
        for number, code, _timestamp, offset, *_ in answers
    }
