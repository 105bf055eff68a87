"""What the logs of both sides say, and never say."""

import base64
import logging

import pytest
from tests.integration.workflow.helpers import Outbox, relayed, worker
from tests.integration.workflow.samples import Callee, Caller, Job
from tests.support import Topics

from completion_schemas.tokens import token_fingerprint, token_preview
from completion_workflow import CompletionPlugin, Kafka


@pytest.mark.parametrize("case", ["text", "details"])
async def test_both_sides_name_the_token_and_neither_shows_it(  # noqa: PLR0917 - pytest passes by name
    case: str,
    temporal_address: str,
    kafka_address: str,
    topics: Topics,
    task_queue: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Length, preview and fingerprint in both logs; the token in none, not even at level DEBUG."""
    caplog.set_level(logging.DEBUG)
    plugin = CompletionPlugin(Kafka(bootstrap_servers=kafka_address, topic=topics.completions))
    async with (
        worker(temporal_address, plugin, task_queue) as side,
        relayed(kafka_address, topics.completions, side.client),
    ):
        await side.client.execute_workflow(Caller.run, case, id=side.id(), task_queue=task_queue)
    (reference,) = side.activities.references
    token = reference.token_bytes()
    named = (
        f"a task token of {len(token)} bytes "
        f"({token_preview(token)} fingerprint {token_fingerprint(token)})"
    )
    # The consumer of the test itself, which is no part of a worker, logs what it fetches.
    texts = [
        caplog.handler.format(record)
        for record in caplog.records
        if record.name != "aiokafka.consumer.fetcher"
    ]
    assert any("Handing off with " + named in text for text in texts)
    assert any("Was given " + named in text for text in texts)
    for shown in (base64.b64encode(token).decode(), repr(token), repr(token)[2:-1], token.hex()):
        assert not [text for text in texts if shown in text]


async def test_a_callee_without_a_callback_says_so(
    temporal_address: str, task_queue: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever looks for a missing completion sees at once that nobody asked for one."""
    caplog.set_level(logging.INFO)
    async with worker(temporal_address, CompletionPlugin(Outbox()), task_queue) as side:
        await side.client.execute_workflow(
            Callee.run, Job("text"), id=side.id(), task_queue=task_queue
        )
    assert "Was given no callback (a token of 0 bytes)" in caplog.text
