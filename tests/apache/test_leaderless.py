"""A partition without a leader is named by the relay's readiness, and the others go on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from temporalio.client import Client
from tests.apache.kafka import ApacheKafka, Node
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import emit_to
from tests.integration.relay.waiting import Scene, completed, event, relay, unready_relay
from tests.support import PARTITIONS, Topics, create_topics, eventually

from completion_relay.embedded.process import free_port
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


@contextlib.asynccontextmanager
async def one_copy_of_the_events(
    folder: Path, client: Client, temporal: str, task_queue: str
) -> AsyncIterator[tuple[Scene, Node, int]]:
    """Three brokers, and an events' topic of which nobody can lead what a dead broker had.

    Gives the broker that leads its partition 0, and a partition that another one leads.
    """
    topics = Topics.unique()
    async with ApacheKafka(folder, brokers=3) as cluster:
        one_copy = {topics.completions: {"min.insync.replicas": "1"}}
        await create_topics(cluster.address, one_copy)
        three = dataclasses.asdict(topics).values() - one_copy.keys()
        await create_topics(cluster.address, three, replication=3)
        led = await leaders(cluster.address, topics.completions)
        left = next(number for number in range(PARTITIONS) if led[number] != led[0])
        scene = Scene(client, cluster.address, temporal, topics, task_queue)
        yield scene, cluster.nodes[led[0] - 1], left


async def is_applied(scene: Scene, partition: int) -> None:
    _, reference = await scene.waiting()
    at = await emit_to(scene, partition, event(reference, completed()))
    assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def is_named(scene: Scene, http: str) -> None:
    async def named() -> bool:
        status, text = await get(f"http://{http}/readyz")
        part = f"fetching {scene.topics.completions}/0"
        return status == 503 and part in text and "no broker leads it" in text

    await eventually(named, timeout=60, what="readiness that names the partition")


async def is_ready_again(http: str) -> None:
    async def ready() -> bool:
        return (await get(f"http://{http}/readyz"))[0] == 200

    await eventually(ready, timeout=60, what="a relay that is ready again")


async def test_a_partition_without_a_leader_is_named_until_it_has_one_again(
    tmp_path: Path, client: Client, temporal_address: str, task_queue: str
) -> None:
    there = one_copy_of_the_events(tmp_path, client, temporal_address, task_queue)
    async with there as (scene, victim, left), scene.worker(), relay(scene.settings()) as http:
        await victim.kill()
        await is_named(scene, http)
        await is_applied(scene, left)
        await victim.start()
        await is_ready_again(http)
        await is_applied(scene, 0)


async def test_a_relay_that_comes_meanwhile_takes_the_others_at_once_and_that_one_later(
    tmp_path: Path, client: Client, temporal_address: str, task_queue: str
) -> None:
    there = one_copy_of_the_events(tmp_path, client, temporal_address, task_queue)
    async with there as (scene, victim, left):
        async with relay(scene.settings()):
            """Has Kafka make its own topics, which takes all three brokers."""
        await victim.kill()
        http = f"127.0.0.1:{free_port()}"
        async with scene.worker(), unready_relay(scene.settings(http={"address": http})):
            await is_applied(scene, left)
            await is_named(scene, http)
            await victim.start()
            await is_ready_again(http)
            await is_applied(scene, 0)
