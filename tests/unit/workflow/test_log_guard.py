"""Tokens stay out of other libraries' debug logs."""

import base64
import logging

import pytest

from completion_schemas.events import ActivityReference
from completion_schemas.tokens import token_fingerprint
from completion_workflow._describe import describe_activity, describe_token
from completion_workflow._log_guard import guard_logs

_TOKEN = b"\x01the-token-of-a-waiting-activity\xff" * 3
_TEXT = base64.b64encode(_TOKEN).decode()


@pytest.mark.parametrize(
    "name", ["temporalio.worker._activity", "aiokafka.producer.producer", "aiokafka.conn"]
)
def test_bytes_are_shown_as_a_fingerprint(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The libraries log tokens and whole records as bytes at level DEBUG."""
    guard_logs()
    guard_logs()
    with caplog.at_level(logging.DEBUG, logger=name):
        logging.getLogger(name).debug("token %s of %s", _TOKEN, "w")
    assert caplog.messages == [
        f"token <{len(_TOKEN)} bytes, fingerprint {token_fingerprint(_TOKEN)}> of w"
    ]


def test_a_produce_request_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Aiokafka logs the whole request, and with it the record."""

    class ProduceRequest_v8:  # noqa: N801 - as aiokafka names them
        def __repr__(self) -> str:
            return repr(_TOKEN)

    guard_logs()
    with caplog.at_level(logging.DEBUG, logger="aiokafka.conn"):
        logging.getLogger("aiokafka.conn").debug("Request %d: %s", 1, ProduceRequest_v8())
    assert caplog.messages == ["Request 1: <ProduceRequest_v8>"]


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (
            ActivityReference(task_token=_TEXT),
            (
                f"a task token of {len(_TOKEN)} bytes ({_TEXT[:20]}... "
                f"fingerprint {token_fingerprint(_TOKEN)})"
            ),
        ),
        (
            ActivityReference(sealed_token=_TEXT, token_fingerprint="ab"),
            f"a sealed token of {len(_TOKEN)} bytes (fingerprint ab)",
        ),
        (ActivityReference(workflow_id="w", activity_id="1"), "no token (0 bytes), only ids"),
        (
            ActivityReference(task_token="no base64!"),
            "a token that cannot be used (activity.task_token is not standard Base64)",
        ),
    ],
)
def test_a_token_is_described_by_length_preview_and_fingerprint(
    reference: ActivityReference, text: str
) -> None:
    """Whatever the reference holds, there is something to say, and it is not the token."""
    assert describe_token(reference) == text


def test_an_activity_is_described_as_far_as_it_is_known() -> None:
    """With ids by its ids."""
    assert describe_activity(ActivityReference(task_token=_TEXT)) == "the waiting activity"
    assert (
        describe_activity(ActivityReference(namespace="n", workflow_id="w", activity_id="5"))
        == "activity 5 of workflow w in namespace n"
    )
