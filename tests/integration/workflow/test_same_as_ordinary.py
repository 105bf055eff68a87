"""What the waiting workflow receives is what it receives from an ordinary activity."""

import pytest
from tests.integration.workflow.helpers import CONVERTERS, relayed, worker
from tests.integration.workflow.samples import ERRORS, RESULTS, Caller
from tests.support import Topics

from completion_schemas.events import Completed, Failed
from completion_workflow import CompletionPlugin, Direct, Kafka

_CASES = [
    (converter, case)
    for converter in CONVERTERS
    for case in (*RESULTS, *ERRORS)
    if case != "pydantic" or "pydantic" in converter
]


@pytest.mark.parametrize(("converter", "case"), _CASES)
async def test_over_kafka(  # noqa: PLR0917 - pytest passes by name
    converter: str,
    case: str,
    temporal_address: str,
    kafka_address: str,
    topics: Topics,
    task_queue: str,
) -> None:
    """Over the bus: value, type, message, details, retryability and causes are the same."""
    plugin = CompletionPlugin(Kafka(bootstrap_servers=kafka_address, topic=topics.completions))
    async with (
        worker(temporal_address, plugin, task_queue, CONVERTERS[converter]) as side,
        relayed(kafka_address, topics.completions, side.client) as events,
    ):
        ordinary, waiting = await side.client.execute_workflow(
            Caller.run, case, id=side.id(), task_queue=task_queue
        )
    assert waiting == ordinary
    if case in RESULTS:
        assert ordinary == [type(RESULTS[case]).__name__, repr(RESULTS[case])]
    (event,) = events
    assert event.type == ("completed" if case in RESULTS else "failed")
    if "encrypted" in converter:
        assert _encodings(event.outcome) <= {b"binary/encrypted"}


@pytest.mark.parametrize(("converter", "case"), _CASES)
async def test_directly(converter: str, case: str, temporal_address: str, task_queue: str) -> None:
    """Without a bus they are the same too."""
    async with worker(
        temporal_address, CompletionPlugin(Direct()), task_queue, CONVERTERS[converter]
    ) as side:
        ordinary, waiting = await side.client.execute_workflow(
            Caller.run, case, id=side.id(), task_queue=task_queue
        )
    assert waiting == ordinary


def _encodings(outcome: object) -> set[bytes]:
    """Return how each payload of the outcome is encoded, at any depth."""
    if isinstance(outcome, Completed):
        return {payload.metadata["encoding"] for payload in outcome.result.payloads}
    assert isinstance(outcome, Failed)
    found, failure = set(), outcome.failure
    while True:
        info = failure.application_failure_info
        found |= {payload.metadata["encoding"] for payload in info.details.payloads}
        if failure.HasField("encoded_attributes"):
            assert failure.message == "Encoded failure"
            found.add(failure.encoded_attributes.metadata["encoding"])
        if not failure.HasField("cause"):
            return found
        failure = failure.cause
