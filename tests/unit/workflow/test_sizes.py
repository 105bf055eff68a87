"""What is reported in place of something that does not fit."""

from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure

from completion_workflow._sizes import result_too_large, shortened


@given(st.text(max_size=5_000), st.integers(0, 200_000), st.booleans())
def test_a_shortened_failure_is_small_and_decides_the_same(
    message: str,
    details: int,
    non_retryable: bool,  # noqa: FBT001 - drawn
) -> None:
    """Type and retryability stay; details, causes and most of a long message go."""
    failure = Failure(
        message=message.encode("utf-8", "replace").decode(), stack_trace="s" * details
    )
    failure.application_failure_info.type = "NoFunds"
    failure.application_failure_info.non_retryable = non_retryable
    failure.application_failure_info.details.payloads.append(Payload(data=b"d" * details))
    failure.cause.CopyFrom(Failure.FromString(failure.SerializeToString()))
    short = shortened(failure)
    assert short.ByteSize() < 5_000
    assert short.application_failure_info.type == "NoFunds"
    assert short.application_failure_info.non_retryable == non_retryable


def test_an_encrypted_message_is_kept() -> None:
    """The readable text is in encoded_attributes; without it the caller would learn nothing."""
    failure = Failure(message="Encoded failure")
    failure.application_failure_info.SetInParent()
    failure.encoded_attributes.data = b"secret"
    assert shortened(failure).encoded_attributes == failure.encoded_attributes


def test_a_failure_of_another_kind_is_named() -> None:
    """A shortened failure is one that Temporal takes, whatever it was."""
    failure = Failure(message="m")
    failure.activity_failure_info.SetInParent()
    assert shortened(failure).application_failure_info.type == "ActivityError"


def test_a_result_that_does_not_fit_is_not_tried_again() -> None:
    """It would not fit the next time; the text has the size, the limit and the fix."""
    failure = result_too_large(7, "Kafka takes")
    assert failure.application_failure_info.type == "ResultTooLarge"
    assert failure.application_failure_info.non_retryable
    assert "7 bytes" in failure.message
    assert "more than Kafka takes: store it elsewhere" in failure.message
