"""Room `tests`: which servers the tests run against, and the fixtures every test may use.

    --kafka    embedded | apache | testcontainers | HOST:PORT
    --temporal embedded | testcontainers | HOST:PORT

A server starts when the first test asks for it and lives as long as the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from temporalio.bridge.worker import Worker as BridgeWorker
from temporalio.client import Client
from temporalio.worker._workflow import _WorkflowWorker as WorkflowWorker
from tests.support import Topics, create_topics
from tests.waits import print_waits

from completion_relay.embedded import KafkaBroker, TemporalServer

# No test is timed: on a machine that is busy an example takes as long as it takes.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_KAFKA = ("embedded", "apache", "testcontainers")
_TEMPORAL = ("embedded", "testcontainers")
_TEST_SECONDS = 240.0
"""The longest tests take 40 s on two cores."""
_FINALIZE_SECONDS = 30.0
"""A worker that has ended its polls is finalized within 0.4 s, beside three busy loops too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("servers")
    for name, known in (("kafka", _KAFKA), ("temporal", _TEMPORAL)):
        group.addoption(
            f"--{name}",
            default="embedded",
            metavar="|".join([*known, "HOST:PORT"]),
            help=f"the {name.capitalize()} the tests use (default: embedded)",
        )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "source_tree: reads files of the source tree that are not shipped; tests/wheel.py leaves "
        "it out",
    )
    config.addinivalue_line(
        "markers",
        "needs_apache(why): asks for what the embedded Kafka does not do; see tests/unlike_kafka.py",
    )
    for name, known in (("kafka", _KAFKA), ("temporal", _TEMPORAL)):
        value: str = config.getoption(name)
        if value not in known and not value.rpartition(":")[2].isdecimal():
            raise pytest.UsageError(
                f"--{name} {value}: not known: choose {', '.join(known)} or HOST:PORT"
            )


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("needs_apache")
    if marker is not None and item.config.getoption("kafka") == "embedded":
        (why,) = marker.args
        pytest.skip(f"noida-db 0.2.3 {why}: needs --kafka apache")


@pytest.fixture(autouse=True)
async def time_limit(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """End a test that hangs, and show what each of its tasks waits for.

    pytest-timeout, the limit beyond this one, would only show the loop's select.
    """

    def end() -> None:
        print_waits(asyncio.all_tasks(), file=sys.stderr)
        # A server that the test started itself: what it said is gone with its folder.
        folder: Path | None = getattr(request.node, "funcargs", {}).get("tmp_path")
        for log in folder.glob("*.log") if folder else ():
            sys.stderr.write(f"{log}:\n{log.read_text(errors='replace')[-4_000:]}\n")
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__name__", "") == name:
                task.cancel(f"{name} took more than {_TEST_SECONDS:.0f} s")

    name = getattr(request.node, "originalname", "")
    timer = asyncio.get_running_loop().call_later(_TEST_SECONDS, end)
    yield
    timer.cancel()


@pytest.fixture(autouse=True, scope="session")
def bounded_finalize() -> Iterator[None]:
    """Leave a worker that Core does not finalize: a warning says so, and the test goes on.

    Once in more than ten thousand, Core's `finalize_shutdown` (temporalio 1.35.0) did not return
    within 240 s, after the last poll had ended and every task was completed. What is left is memory,
    and the SDK goes on whatever `finalize_shutdown` raises.
    """
    finalize = BridgeWorker.finalize_shutdown

    async def bounded(worker: BridgeWorker) -> None:
        try:
            await asyncio.wait_for(finalize(worker), _FINALIZE_SECONDS)
        except TimeoutError:
            warnings.warn(
                f"a worker was not finalized within {_FINALIZE_SECONDS:.0f} s and is left",
                RuntimeWarning,
                stacklevel=1,
            )
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BridgeWorker, "finalize_shutdown", bounded)
        yield


@pytest.fixture(autouse=True, scope="session")
def patient_workflow_tasks() -> Iterator[None]:
    """Let a workflow task take a minute where the SDK calls 2 s a deadlock (temporalio 1.35.0).

    A worker's task is tried again, but a replayer's is not: a machine that stands still for two seconds
    would fail the replay.
    """
    init = WorkflowWorker.__init__

    def patient(worker: WorkflowWorker, *args: Any, **options: Any) -> None:
        init(worker, *args, **options)
        worker._deadlock_timeout_seconds = 60

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkflowWorker, "__init__", patient)
        yield


@pytest.fixture(scope="session")
async def kafka_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """`HOST:PORT` of the Kafka broker of this session."""
    choice: str = request.config.getoption("kafka")
    async with contextlib.AsyncExitStack() as servers:
        if choice == "embedded":
            data = tmp_path_factory.mktemp("kafka")
            broker = KafkaBroker(data=data, logs=data)
            await servers.enter_async_context(broker)
            yield broker.address
        elif choice == "apache":
            from tests.apache.kafka import ApacheKafka  # noqa: PLC0415

            cluster = ApacheKafka(tmp_path_factory.mktemp("apache"))
            await servers.enter_async_context(cluster)
            yield cluster.address
        elif choice == "testcontainers":
            from tests.containers import kafka_container  # noqa: PLC0415

            yield await servers.enter_async_context(kafka_container())
        else:
            yield choice


@pytest.fixture(scope="session")
async def temporal_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """`HOST:PORT` of the Temporal server of this session."""
    choice: str = request.config.getoption("temporal")
    async with contextlib.AsyncExitStack() as servers:
        if choice == "embedded":
            data: Path = tmp_path_factory.mktemp("temporal")
            server = TemporalServer(data=data, logs=data)
            await servers.enter_async_context(server)
            yield server.address
        elif choice == "testcontainers":
            from tests.containers import temporal_container  # noqa: PLC0415

            yield await servers.enter_async_context(temporal_container())
        else:
            yield choice


@pytest.fixture
async def client(temporal_address: str) -> Client:
    """A client of the `default` namespace."""
    return await Client.connect(temporal_address, namespace="default")


@pytest.fixture
async def topics(kafka_address: str) -> Topics:
    """This test's own five topics, with the sizes of the contract."""
    names = Topics.unique()
    await create_topics(
        kafka_address,
        {
            topic: {"max.message.bytes": str(size)}
            for topic, size in names.max_message_bytes().items()
        },
    )
    return names


@pytest.fixture
def task_queue() -> str:
    """A task queue that no other test has."""
    return f"queue-{uuid.uuid4().hex[:12]}"
