"""The bus itself: what is on it, and what happens when it is not there or refuses."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from tests.integration.workflow.helpers import (
    GIVES_UP_AFTER,
    Side,
    event_for_nobody,
    somebody,
    worker,
)
from tests.integration.workflow.samples import Callee, Job
from tests.support import Topics, consume_all, create_topics, eventually

from completion_relay.embedded import KafkaBroker
from completion_relay.embedded.process import free_port
from completion_schemas.cloudevents import decode_record
from completion_schemas.events import Completed, Failed
from completion_schemas.tokens import token_fingerprint
from completion_workflow import CompletionPlugin, Kafka

# The bus needs no connection to a Temporal.
_NO_CLIENT: Any = None


@pytest.mark.parametrize("content_type", ["application/protobuf"])
async def test_one_record_an_outcome_by_the_contract(
    content_type: str, temporal_address: str, kafka_address: str, topics: Topics, task_queue: str
) -> None:
    """Key, headers and value are those of the contract, and there is exactly one."""
    plugin = CompletionPlugin(
        Kafka(bootstrap_servers=kafka_address, topic=topics.completions, content_type=content_type)
    )
    async with worker(temporal_address, plugin, task_queue) as side:
        await side.client.execute_workflow(
            Callee.run,
            Job("text", somebody(workflow_id="waiting", activity_id="1")),
            id=side.id(),
            task_queue=task_queue,
        )
    (record,) = await consume_all(kafka_address, topics.completions)
    headers = dict(record.headers)
    assert record.key == token_fingerprint(b"token of nobody!").encode()
    assert headers["content-type"] == content_type.encode()
    assert headers["ce_type"] == b"completion.activity.completed.v1"
    assert headers["ce_subject"] == b"waiting"
    event = decode_record(record.headers, record.value)
    assert headers["ce_id"] == event.event_id.encode()
    assert isinstance(event.outcome, Completed)


async def test_a_failed_start_of_kafka_fails_nothing(
    temporal_address: str, task_queue: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker starts without Kafka and says so; publishing is retried until Kafka is there."""
    port = free_port()
    plugin = CompletionPlugin(Kafka(bootstrap_servers=f"127.0.0.1:{port}"))
    async with worker(temporal_address, plugin, task_queue) as side:
        handle = await side.client.start_workflow(
            Callee.run, Job("text", somebody()), id=side.id(), task_queue=task_queue
        )
        await eventually(
            lambda: (
                "cannot be reached. The worker runs; publishing is retried" in caplog.text
                and "Completing activity as failed" in caplog.text
            ),
            what="the log of a failed try",
        )
        async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port) as broker:
            await create_topics(broker.address, ["completions"])
            assert await handle.result() == "done \u2713"
            assert len(await consume_all(broker.address, "completions")) == 1


async def test_a_kafka_that_goes_away_does_not_hold_up_the_end_of_the_worker(
    temporal_address: str, task_queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an event under way the producer is closed in a bounded time, and nothing is left running."""
    monkeypatch.setattr("completion_workflow.kafka._STOP_SECONDS", 1)
    before = asyncio.all_tasks()
    async with KafkaBroker(data=tmp_path, logs=tmp_path) as broker:
        await create_topics(broker.address, ["completions"])
        kafka = Kafka(bootstrap_servers=broker.address).sender()
        await kafka.send(event_for_nobody("delivered"), _NO_CLIENT)
    sending = asyncio.create_task(kafka.send(event_for_nobody("not delivered"), _NO_CLIENT))
    await eventually(lambda: kafka._sending, what="an event under way")
    async with asyncio.timeout(60):
        await kafka.stop()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert asyncio.all_tasks() - before == set()


async def test_success_without_kafka_says_so(temporal_address: str, task_queue: str) -> None:
    """When its time is over the callee fails with what was wrong."""
    where = f"127.0.0.1:{free_port()}"
    plugin = CompletionPlugin(Kafka(bootstrap_servers=where))
    async with worker(temporal_address, plugin, task_queue) as side:
        error = await _failure(side, Job("text", somebody(), give_up_after_seconds=GIVES_UP_AFTER))
    assert error.type == "CompletionNotPublished"
    assert f"Kafka at {where} cannot be reached" in error.message


async def test_failure_without_kafka_is_the_original(
    temporal_address: str, task_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The workflow raises its own error; the log has what was wrong with Kafka."""
    plugin = CompletionPlugin(Kafka(bootstrap_servers=f"127.0.0.1:{free_port()}"))
    async with worker(temporal_address, plugin, task_queue) as side:
        error = await _failure(
            side, Job("details", somebody(), give_up_after_seconds=GIVES_UP_AFTER)
        )
    assert (error.type, error.message, list(error.details)) == (
        "NoFunds",
        "no funds",
        [{"missing": 5}, [1, 2]],
    )
    (logged,) = [r for r in caplog.records if "could not be published" in r.getMessage()]
    assert logged.levelno == logging.ERROR
    assert "cannot be reached" in logged.getMessage()


async def test_a_result_that_the_producer_refuses_fails_the_caller(
    temporal_address: str, kafka_address: str, topics: Topics, task_queue: str
) -> None:
    """Larger than max_request_size: the waiting activity is failed, and the callee says so."""
    await _refused(
        Kafka(bootstrap_servers=kafka_address, topic=topics.completions, max_request_size=10_000),
        "medium",
        temporal_address,
        task_queue,
    )
    (record,) = await consume_all(kafka_address, topics.completions)
    event = decode_record(record.headers, record.value)
    assert isinstance(event.outcome, Failed)
    assert event.outcome.failure.application_failure_info.type == "ResultTooLarge"
    assert event.outcome.failure.application_failure_info.non_retryable


async def _refused(kafka: Kafka, case: str, temporal_address: str, task_queue: str) -> None:
    async with worker(temporal_address, CompletionPlugin(kafka), task_queue) as side:
        error = await _failure(side, Job(case, somebody()))
    assert error.type == "CompletionNotPublished"
    assert "larger than Kafka takes" in error.message


async def _failure(side: Side, job: Job) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await side.client.execute_workflow(
            Callee.run, job, id=side.id(), task_queue=side.task_queue
        )
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause
