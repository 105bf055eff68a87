"""The mark that a record leaves in Temporal's history."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.identity import RecordMark, event_id_in
from completion_schemas.events import MAX_EVENT_ID_BYTES

event_ids = st.text(min_size=1, max_size=64).filter(
    lambda text: text.isprintable() and len(text.encode()) <= MAX_EVENT_ID_BYTES
)
topics = st.from_regex(r"[a-zA-Z0-9._-]{1,249}", fullmatch=True)
marks = st.builds(RecordMark, event_ids, topics, st.integers(0, 2**31), st.integers(0, 2**63 - 1))


@given(marks)
def test_the_event_id_is_read_back_from_a_mark(mark: RecordMark) -> None:
    assert event_id_in(str(mark)) == mark.event_id


@given(event_ids)
def test_the_event_id_is_read_back_from_a_direct_completion(event_id: str) -> None:
    assert event_id_in(f"completion-relay/{event_id}@direct") == event_id


@given(marks, marks)
def test_two_marks_are_the_same_text_only_if_they_are_the_same(
    one: RecordMark, other: RecordMark
) -> None:
    assert (str(one) == str(other)) == (one == other)


@given(marks)
def test_a_mark_fits_into_temporals_identity(mark: RecordMark) -> None:
    """`limit.maxIDLength` is 1,000 bytes."""
    assert len(str(mark).encode()) <= 1000


@pytest.mark.parametrize(
    "identity", ["", "1@host", "completion-relay/", "completion-relay/@t/0/0", "completion-relay/e"]
)
def test_somebody_elses_identity_has_no_event_id(identity: str) -> None:
    assert event_id_in(identity) is None
