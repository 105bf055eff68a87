"""Room `tests`: Apache Kafka and Temporal in containers, for machines with Docker.

Touches the Docker engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from docker.errors import DockerException  # type: ignore[import-untyped]  # it has no stubs
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient
from tests.support import eventually

from completion_relay.embedded.process import free_port
from completion_relay.embedded.servers import kafka_ready, temporal_ready

KAFKA_IMAGE = "apache/kafka:4.4.0"
TEMPORAL_IMAGE = "temporalio/temporal:1.9.1"

_READY_SECONDS = 120.0


@contextlib.asynccontextmanager
async def kafka_container() -> AsyncIterator[str]:
    """Run one Apache Kafka broker in KRaft mode and yield its `HOST:PORT`."""
    _require_docker()
    # A broker tells its clients where to come back to, so its outer port must be
    # known before it starts; testcontainers' own Kafka class knows only
    # Confluent's and Redpanda's images.
    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    host = await asyncio.to_thread(container.get_container_host_ip)
    # With one variable set, the image drops its defaults: all of them are here.
    container.with_envs(
        KAFKA_NODE_ID="1",
        KAFKA_PROCESS_ROLES="broker,controller",
        KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
        KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{host}:{port}",
        KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
        KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
        KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
        KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
    )
    async with _running(container):
        address = f"{host}:{port}"
        await _ready("the Kafka container", lambda: kafka_ready(address))
        yield address


@contextlib.asynccontextmanager
async def temporal_container() -> AsyncIterator[str]:
    """Run Temporal's development server and yield its `HOST:PORT`."""
    _require_docker()
    container = (
        DockerContainer(TEMPORAL_IMAGE)
        .with_command("server start-dev --ip 0.0.0.0 --headless")
        .with_exposed_ports(7233)
    )
    async with _running(container):
        host = await asyncio.to_thread(container.get_container_host_ip)
        port = await asyncio.to_thread(container.get_exposed_port, 7233)
        address = f"{host}:{port}"
        await _ready("the Temporal container", lambda: temporal_ready(address))
        yield address


@contextlib.asynccontextmanager
async def _running(container: DockerContainer) -> AsyncIterator[None]:
    # In a thread: testcontainers pulls images and waits without an event loop.
    await asyncio.to_thread(container.start)
    try:
        yield
    finally:
        await asyncio.to_thread(container.stop)


async def _ready(what: str, probe: Callable[[], Awaitable[None]]) -> None:
    async def answers() -> bool:
        try:
            await probe()
        except Exception as error:
            raise AssertionError(repr(error)) from error
        return True

    await eventually(answers, timeout=_READY_SECONDS, what=what)


def _require_docker() -> None:
    # docker-py 7.2 leaves its socket to the garbage collector when nobody answers.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        problem = _docker_problem()
        gc.collect()
    if problem:
        pytest.fail(f"testcontainers: no Docker engine answers: {problem}")


def _docker_problem() -> str:
    try:
        DockerClient().client.ping()
    except DockerException as error:
        return str(error)
    return ""
