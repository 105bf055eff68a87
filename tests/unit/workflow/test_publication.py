"""An event on its way from workflow code to the publish activity."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue

from completion_schemas.errors import InvalidEventError
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    Failed,
    Heartbeat,
    Origin,
    Outcome,
    UnixNanos,
)
from completion_workflow._publication import completion_event, from_arguments, to_arguments

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_PAYLOADS = st.builds(
    lambda datas: Payloads(
        payloads=[Payload(metadata={"encoding": b"binary/plain"}, data=data) for data in datas]
    ),
    st.lists(st.binary(max_size=20), max_size=3),
)
_OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    _PAYLOADS.map(Completed),
    _PAYLOADS.map(Canceled),
    _PAYLOADS.map(Heartbeat),
    _TEXT.map(lambda text: Failed(Failure(message=text))),
)
_ORIGINS = st.builds(Origin, namespace=_TEXT, workflow_id=_TEXT, run_id=_TEXT, workflow_type=_TEXT)
_REFERENCES = st.builds(
    ActivityReference,
    namespace=_TEXT,
    task_token=st.binary(min_size=1, max_size=60).map(
        lambda token: base64.b64encode(token).decode()
    ),
    workflow_id=_TEXT,
    run_id=_TEXT,
    activity_id=_TEXT,
    attempt=st.integers(0, 2**31 - 1),
    deadline=st.sampled_from(["", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456789Z"]),
)
_TIMES = st.integers(0, 2**62).map(UnixNanos)


@given(_REFERENCES, _OUTCOMES, _ORIGINS, _TIMES, st.booleans())
def test_the_activity_gets_what_the_workflow_gave(
    reference: ActivityReference,
    outcome: Outcome,
    origin: Origin,
    at: UnixNanos,
    instead: bool,  # noqa: FBT001 - drawn
) -> None:
    """Two raw payloads carry the whole event."""
    event = completion_event(reference, outcome, origin, at)
    arguments = to_arguments(event, instead_of_result=instead)
    assert all(isinstance(argument, RawValue) for argument in arguments)
    assert from_arguments(*arguments) == (event, instead)


@given(_REFERENCES, _OUTCOMES, _OUTCOMES, _ORIGINS, _TIMES, _TIMES)
def test_a_run_has_one_event_id_for_a_waiting_activity(  # noqa: PLR0917 - drawn
    reference: ActivityReference,
    one: Outcome,
    other: Outcome,
    origin: Origin,
    earlier: UnixNanos,
    later: UnixNanos,
) -> None:
    """Neither the time nor the outcome is in it: a retry is the same event, another outcome a conflict."""
    first = completion_event(reference, one, origin, earlier)
    assert completion_event(reference, other, origin, later).event_id == first.event_id


@given(_REFERENCES, _ORIGINS, st.sampled_from(["namespace", "workflow_id", "run_id"]))
def test_another_callee_run_has_another_event_id(
    reference: ActivityReference, origin: Origin, name: str
) -> None:
    """Namespace, workflow id and run id each tell callees apart."""
    other = replace(origin, **{name: getattr(origin, name) + "x"})
    assert _id(reference, origin) != _id(reference, other)


@given(_REFERENCES, _ORIGINS)
def test_another_token_has_another_event_id(reference: ActivityReference, origin: Origin) -> None:
    """A retried hand-off has a new token, and what is reported to it is another event."""
    token = base64.b64encode(reference.token_bytes() + b"x").decode()
    assert _id(reference, origin) != _id(replace(reference, task_token=token), origin)


def test_names_do_not_run_into_each_other() -> None:
    """Workflow `ab` of run `c` is not workflow `a` of run `bc`."""
    reference = ActivityReference(task_token="dG9rZW4=")
    one = Origin(namespace="n", workflow_id="ab", run_id="c")
    other = Origin(namespace="n", workflow_id="a", run_id="bc")
    assert _id(reference, one) != _id(reference, other)


def test_the_event_id_is_the_same_in_every_release() -> None:
    """Workflows live for months: an upgrade in between must not change the id of a retry."""
    reference = ActivityReference(task_token="dG9rZW4=")
    origin = Origin(namespace="default", workflow_id="w", run_id="r")
    assert _id(reference, origin) == "33603ded-73ac-56d7-a35b-8e251e9d898e"


def test_the_deadline_is_the_references() -> None:
    """The relay stops retrying when nobody waits any more."""
    reference = ActivityReference(task_token="dG9rZW4=", deadline="1970-01-01T00:00:01Z")
    event = completion_event(reference, Completed(), Origin(), UnixNanos(0))
    assert event.deadline == 10**9


def test_a_reference_that_names_nothing_is_refused() -> None:
    """The error says which field is wrong."""
    with pytest.raises(InvalidEventError, match=r"activity\.task_token"):
        completion_event(ActivityReference(task_token="?"), Completed(), Origin(), UnixNanos(0))


def _id(reference: ActivityReference, origin: Origin) -> str:
    return completion_event(reference, Completed(), origin, UnixNanos(0)).event_id
