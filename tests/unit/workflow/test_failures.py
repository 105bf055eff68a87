"""What makes a failure one that Temporal lets an activity fail with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import NexusHandlerErrorRetryBehavior, RetryState
from temporalio.api.failure.v1 import Failure

from completion_schemas.failures import application_failure

_KINDS = [field.name for field in Failure.DESCRIPTOR.oneofs_by_name["failure_info"].fields]
_RETRY_STATES = st.sampled_from(RetryState.values())


def _failures() -> st.SearchStrategy[Failure]:
    bare = st.builds(_failure, st.sampled_from([None, *_KINDS]), st.booleans(), st.none())
    return st.recursive(
        bare,
        lambda causes: st.builds(_failure, st.sampled_from([None, *_KINDS]), st.booleans(), causes),
        max_leaves=6,
    )


def _failure(kind: str | None, flag: bool, cause: Failure | None) -> Failure:  # noqa: FBT001 - drawn
    failure = Failure(message="m", source="s", stack_trace="t")
    if kind is not None:
        getattr(failure, kind).SetInParent()
    if flag:
        failure.encoded_attributes.CopyFrom(Payload(data=b"secret"))
        if kind in ("application_failure_info", "server_failure_info"):
            getattr(failure, kind).non_retryable = True
    if cause is not None:
        failure.cause.CopyFrom(cause)
    return failure


@given(_failures())
def test_the_outcome_is_always_one_that_temporal_takes(failure: Failure) -> None:
    """Whatever comes in, application_failure_info comes out, and the input is not touched."""
    before = failure.SerializeToString(deterministic=True)
    assert application_failure(failure).HasField("application_failure_info")
    assert failure.SerializeToString(deterministic=True) == before


@given(_failures())
def test_it_is_done_once(failure: Failure) -> None:
    """What has been made an application failure is one: the relay may meet it again."""
    once = application_failure(failure)
    assert application_failure(once) is once


@given(_failures())
def test_nothing_is_lost(failure: Failure) -> None:
    """The original is the result, its copy, or its cause; message and encoded message are kept."""
    made = application_failure(failure)
    assert made.message == failure.message
    assert made.encoded_attributes == failure.encoded_attributes
    kind = failure.WhichOneof("failure_info")
    if kind is None:
        made.ClearField("application_failure_info")
        assert made == failure
    else:
        assert failure in (made, made.cause)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("activity_failure_info", "ActivityError"),
        ("child_workflow_execution_failure_info", "ChildWorkflowError"),
        ("canceled_failure_info", "CancelledError"),
        ("timeout_failure_info", "TimeoutError"),
        ("terminated_failure_info", "TerminatedError"),
        ("server_failure_info", "ServerError"),
        ("reset_workflow_failure_info", "ResetWorkflowError"),
        ("nexus_operation_execution_failure_info", "NexusOperationError"),
        ("nexus_handler_failure_info", "NexusHandlerError"),
    ],
)
def test_the_type_names_the_kind(kind: str, name: str) -> None:
    """The caller can tell by the type what the callee ended in."""
    made = application_failure(_failure(kind, flag=False, cause=None))
    assert made.application_failure_info.type == name
    assert not made.application_failure_info.non_retryable


def test_every_kind_of_this_temporal_has_a_name() -> None:
    """No kind falls back to its field's name unnoticed when the API is upgraded."""
    named = {
        kind: application_failure(_failure(kind, flag=False, cause=None))
        for kind in _KINDS
        if kind != "application_failure_info"
    }
    assert all(made.application_failure_info.type[0].isupper() for made in named.values())


def _wrapped(inner: Failure) -> Failure:
    outer = Failure(message="child failed")
    outer.child_workflow_execution_failure_info.SetInParent()
    outer.cause.message = "activity failed"
    outer.cause.activity_failure_info.SetInParent()
    outer.cause.cause.CopyFrom(inner)
    return outer


def test_a_non_retryable_error_stays_so_through_its_envelopes() -> None:
    """An activity's non-retryable error inside a child workflow's is not tried again."""
    inner = Failure(message="no funds")
    inner.application_failure_info.non_retryable = True
    assert application_failure(_wrapped(inner)).application_failure_info.non_retryable


def test_a_cause_of_the_users_own_does_not_decide() -> None:
    """Only envelopes are opened: the cause of a retryable application error says nothing."""
    inner = Failure(message="retryable")
    inner.application_failure_info.SetInParent()
    inner.cause.application_failure_info.non_retryable = True
    assert not application_failure(_wrapped(inner)).application_failure_info.non_retryable


@given(_RETRY_STATES)
def test_the_retry_state_counts(state: int) -> None:
    """An activity whose retries ended as non-retryable is non-retryable, without a cause to ask."""
    failure = Failure()
    failure.activity_failure_info.retry_state = RetryState.ValueType(state)
    assert application_failure(failure).application_failure_info.non_retryable == (
        state == RetryState.RETRY_STATE_NON_RETRYABLE_FAILURE
    )


@given(st.sampled_from(NexusHandlerErrorRetryBehavior.values()))
def test_a_nexus_handlers_word_counts(behavior: int) -> None:
    """A Nexus handler error that says non-retryable is."""
    failure = Failure()
    failure.nexus_handler_failure_info.retry_behavior = NexusHandlerErrorRetryBehavior.ValueType(
        behavior
    )
    assert application_failure(failure).application_failure_info.non_retryable == (
        behavior == NexusHandlerErrorRetryBehavior.NEXUS_HANDLER_ERROR_RETRY_BEHAVIOR_NON_RETRYABLE
    )
