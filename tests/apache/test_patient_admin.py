"""With one broker of three dead, and not yet missed by the others, what operators ask is answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from tests.apache.kafka import ApacheKafka
from tests.support import create_topics, produce

from completion_relay import patient_admin
from completion_relay.patient_admin import PatientAdmin

_ASKED = 20
"""Each time a broker by lot: with two of three alive they all hit one of these once in 3,000 runs."""


async def test_topics_are_described_whichever_broker_is_asked_first(tmp_path: Path) -> None:
    async with ApacheKafka(tmp_path, brokers=3) as cluster:
        await create_topics(cluster.address, ["events"], replication=3)
        await cluster.nodes[2].kill()
        for _ in range(_ASKED):
            admin = PatientAdmin(bootstrap_servers=cluster.address)
            await admin.start()
            try:
                (described,) = await admin.describe_topics(["events"])
            finally:
                await admin.close()
            assert described["topic"] == "events"


async def test_a_groups_offsets_are_told_by_its_new_coordinator_when_the_old_one_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it asks again is not what this is about: the brokers may have to elect a controller first."""
    monkeypatch.setattr(patient_admin, "PATIENCE_SECONDS", 60.0)
    at = TopicPartition("events", 0)
    async with ApacheKafka(tmp_path, brokers=3) as cluster:
        await create_topics(cluster.address, ["events"], replication=3)
        await produce(cluster.address, "events", b"", partition=0)
        async with AIOKafkaConsumer(
            bootstrap_servers=cluster.address,
            group_id="g",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        ) as consumer:
            consumer.subscribe(["events"])
            await consumer.getone()  # a member that has the partition
            await consumer.commit({at: 1})
        admin = PatientAdmin(bootstrap_servers=cluster.address)
        await admin.start()
        try:
            coordinator = await admin.find_coordinator("g")
            await cluster.nodes[coordinator - 1].kill()
            assert (await admin.list_consumer_group_offsets("g"))[at].offset == 1
            (answer,) = await admin.describe_consumer_groups(["g"])
            assert [group[1] for group in answer.groups] == ["g"]
        finally:
            await admin.close()
