"""Three Apache Kafka brokers stand the loss of one, as the fault tests rely on."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.apache.kafka import ApacheKafka
from tests.support import consume_all, create_topics, eventually, produce


async def test_records_acknowledged_before_and_during_a_brokers_death_are_all_there(
    tmp_path: Path,
) -> None:
    async with ApacheKafka(tmp_path, brokers=3) as cluster:
        await create_topics(cluster.address, ["t"], partitions=3, replication=3)
        await produce(cluster.address, "t", b"before", partition=0)
        victim = cluster.nodes[0]

        await victim.kill()
        for partition in range(3):
            await produce(cluster.address, "t", b"during", partition=partition)
        await eventually(lambda: _counts(cluster, 2), what="the dead broker being noticed")
        await victim.start()
        await eventually(lambda: _counts(cluster, 3), what="the broker being back")

        records = await consume_all(cluster.address, "t")
        assert sorted(record.value for record in records) == [b"before", *[b"during"] * 3]


async def test_two_brokers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or 3"):
        ApacheKafka(tmp_path, brokers=2)


async def _counts(cluster: ApacheKafka, brokers: int) -> bool:
    return await cluster.alive() == brokers
