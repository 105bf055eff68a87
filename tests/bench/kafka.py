"""Room `tests/bench`: the broker of a part, and how far the relay's group has committed. Touches Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from tests.bench.errors import BenchError
from tests.support import PARTITIONS, Topics, create_topics, eventually

from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS, KafkaBroker

LOOK_SECONDS = 0.25
"""Between two looks at how far a relay is. To ask costs this machine, and the broker, what the relay is to
have: each 20 ms, it was a fifth of a round of part b, and in a direct completion's round nobody asks."""


@dataclass(frozen=True, slots=True)
class Broker:
    """The Kafka of a part."""

    address: str
    kind: str
    """`embedded`, `apache` or `HOST:PORT`."""

    @property
    def empty_fetch_pause_ms(self) -> int:
        """What the relay has to be told."""
        return EMPTY_FETCH_PAUSE_MS if self.kind == "embedded" else 0

    async def topics(self) -> Topics:
        """Create five topics of their own."""
        topics = Topics.unique()
        await create_topics(
            self.address,
            {
                name: {"max.message.bytes": str(size)}
                for name, size in topics.max_message_bytes().items()
            },
        )
        return topics


@contextlib.asynccontextmanager
async def broker(choice: str, folder: Path) -> AsyncIterator[Broker]:
    """Run the broker that was chosen, or use the one at HOST:PORT.

    Raises:
        BenchError: Apache Kafka cannot run on this machine.
    """
    if choice == "embedded":
        async with KafkaBroker(data=folder / "kafka", logs=folder) as embedded:
            yield Broker(embedded.address, choice)
    elif choice == "apache":
        from tests.apache.kafka import ApacheKafka  # noqa: PLC0415 - needs Java and Maven

        try:
            apache = ApacheKafka(folder / "apache")
        except (pytest.skip.Exception, pytest.fail.Exception) as error:  # it is a test's by trade
            raise BenchError(str(error)) from None
        async with apache as cluster:
            yield Broker(cluster.address, choice)
    else:
        yield Broker(choice, choice)


class Progress:
    """How far a relay's group has come on its main topic, as the broker has it."""

    def __init__(
        self, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, topics: Topics
    ) -> None:
        self._admin = admin
        self._reader = reader
        self._topic = topics.completions
        self._partitions = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]

    async def all_committed(self, *, within: float) -> None:
        """Return when the committed offsets are at the end of every partition.

        Args:
            within: Seconds.

        Raises:
            AssertionError: it took longer.
        """
        ends = await self._reader.end_offsets(self._partitions)

        async def there() -> bool:
            offsets = await self._admin.list_consumer_group_offsets(f"{self._topic}.group")
            # The marker of the transaction that published the last one has an offset too.
            return all(
                partition in offsets and offsets[partition].offset >= ends[partition] - 1
                for partition in self._partitions
                if ends[partition]
            )

        await eventually(there, timeout=within, every=LOOK_SECONDS, what="every offset committed")


@contextlib.asynccontextmanager
async def progress(broker: Broker, topics: Topics) -> AsyncIterator[Progress]:
    """Watch how far a relay's group has come."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    reader = AIOKafkaConsumer(bootstrap_servers=broker.address, enable_auto_commit=False)
    await admin.start()
    try:
        await reader.start()
        yield Progress(admin, reader, topics)
    finally:
        await reader.stop()
        await admin.close()
