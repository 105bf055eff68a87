"""A partition without a leader is named by the relay's readiness, and the others go on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from temporalio.client import Client
from tests.apache.kafka import ApacheKafka
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import emit_to
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import PARTITIONS, Topics, create_topics, eventually

from completion_schemas.dispositions import Disposition


async def leaders(kafka: str, topic: str) -> dict[int, int]:
    """Return the broker that leads each partition of a topic; -1: none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return {one["partition"]: one["leader"] for one in described["partitions"]}


async def test_a_partition_without_a_leader_is_named_until_it_has_one_again(
    tmp_path: Path, client: Client, temporal_address: str, task_queue: str
) -> None:
    """The events' topic has one copy alone: nobody can lead what a dead broker had."""
    topics = Topics.unique()
    async with ApacheKafka(tmp_path, brokers=3) as cluster:
        one_copy = {topics.completions: {"min.insync.replicas": "1"}}
        await create_topics(cluster.address, one_copy)
        three = dataclasses.asdict(topics).values() - one_copy.keys()
        await create_topics(cluster.address, three, replication=3)
        scene = Scene(client, cluster.address, temporal_address, topics, task_queue)
        async with scene.worker(), relay(scene.settings()) as http:
            led = await leaders(cluster.address, topics.completions)
            victim = cluster.nodes[led[0] - 1]
            left = next(number for number in range(PARTITIONS) if led[number] != led[0])
            await victim.kill()

            async def named() -> bool:
                status, text = await get(f"http://{http}/readyz")
                part = f"fetching {topics.completions}/0"
                return status == 503 and part in text and "no broker leads it" in text

            await eventually(named, timeout=60, what="readiness that names the partition")
            _, reference = await scene.waiting()
            at = await emit_to(scene, left, event(reference, completed()))
            assert (await scene.decided(at)).disposition is Disposition.APPLIED

            await victim.start()

            async def ready() -> bool:
                return (await get(f"http://{http}/readyz"))[0] == 200

            await eventually(ready, timeout=60, what="a relay that is ready again")
            _, reference = await scene.waiting()
            at = await emit_to(scene, 0, event(reference, completed()))
            assert (await scene.decided(at)).disposition is Disposition.APPLIED
