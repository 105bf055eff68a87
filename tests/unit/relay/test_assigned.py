"""Where a partition is read from when it is assigned."""

from __future__ import annotations

import pytest
from aiokafka.structs import OffsetAndMetadata

from completion_relay.assigned import start_of
from completion_relay.ledger import PartitionLedger, Receipt
from completion_relay.offset_map import encode


def committed(offset: int, *ahead: range) -> OffsetAndMetadata:
    return OffsetAndMetadata(offset, encode(offset, ahead))


def test_a_group_that_is_new_to_a_partition_begins_with_the_oldest_record() -> None:
    start = start_of(None, beginning=7, end=100)
    assert (start.offset, start.settled_ahead, start.problem) == (7, [], None)


@pytest.mark.parametrize("offset", [7, 50, 100])
def test_a_committed_offset_is_where_to_go_on(offset: int) -> None:
    """That of the oldest record, and that of the next one to be written, included."""
    start = start_of(committed(offset), beginning=7, end=100)
    assert (start.offset, start.settled_ahead, start.problem) == (offset, [], None)


def test_what_is_settled_ahead_comes_from_the_metadata() -> None:
    ahead = [range(52, 55), range(60, 61)]
    start = start_of(committed(50, *ahead), beginning=7, end=100)
    assert (start.offset, start.settled_ahead, start.problem) == (50, ahead, None)


@pytest.mark.parametrize("metadata", ["somebody's note", "1AAAA", encode(49, [range(52, 55)])])
def test_metadata_that_cannot_be_read_is_told_and_taken_for_none(metadata: str) -> None:
    start = start_of(OffsetAndMetadata(50, metadata), beginning=7, end=100)
    assert (start.offset, start.settled_ahead) == (50, [])
    assert start.problem is not None
    assert "metadata" in start.problem


def test_a_topic_that_ends_before_the_committed_offset_is_read_from_its_beginning() -> None:
    """It was made anew: these are other records, and what was settled ahead says nothing of them."""
    start = start_of(committed(50, range(60, 61)), beginning=0, end=49)
    assert (start.offset, start.settled_ahead) == (0, [])
    assert start.problem is not None
    assert "committed is 50" in start.problem
    assert "ends at 49" in start.problem


def test_a_topic_that_ends_before_what_is_settled_ahead_is_read_from_its_beginning() -> None:
    """It has lost its end, and gets other records there: those would be taken for decided."""
    start = start_of(committed(50, range(60, 81)), beginning=0, end=70)
    assert (start.offset, start.settled_ahead) == (0, [])
    assert start.problem is not None
    assert "committed is 50, and up to 81 decided, but the partition ends at 70" in start.problem


def test_records_that_were_deleted_are_told_and_passed_over() -> None:
    start = start_of(committed(50), beginning=53, end=100)
    assert (start.offset, start.settled_ahead) == (53, [])
    assert start.deleted is not None
    assert "records 50 to 52, or transaction markers, were deleted" in start.deleted


def test_what_may_have_been_markers_alone_is_no_problem() -> None:
    """A partition at rest ends in its last transaction's marker, which retention takes in the end."""
    assert start_of(committed(40), beginning=41, end=41).problem is None


def test_what_is_settled_beyond_the_deleted_records_stays_settled() -> None:
    """Or it would be decided again, and have a second audit record."""
    ahead = [range(51, 52), range(53, 56), range(60, 61)]
    start = start_of(committed(50, *ahead), beginning=54, end=100)
    assert (start.offset, start.settled_ahead) == (54, [range(54, 56), range(60, 61)])
    ledger = PartitionLedger(
        epoch=1,
        window=10,
        window_bytes=1_000,
        begin=start.offset,
        settled_ahead=start.settled_ahead,
    )
    receipts = {offset: ledger.receive(offset, size=1, at=0.0) for offset in (54, 55, 56, 60, 61)}
    assert {offset for offset, receipt in receipts.items() if receipt is Receipt.NEW} == {56, 61}


def test_deleted_records_and_a_map_that_cannot_be_read_are_both_told() -> None:
    start = start_of(OffsetAndMetadata(50, "somebody's note"), beginning=54, end=100)
    assert (start.offset, start.settled_ahead) == (54, [])
    assert start.problem is not None
    assert "metadata" in start.problem
    assert start.deleted is not None


@pytest.mark.parametrize(
    ("offset", "is_to_come"),
    [(49, False), (50, True), (60, False), (62, False), (63, True), (69, True), (70, False)],
)
def test_what_is_to_come_is_what_is_there_and_not_decided(offset: int, *, is_to_come: bool) -> None:
    start = start_of(committed(50, range(60, 63)), beginning=0, end=70)
    assert start.is_to_come(offset, end=70) is is_to_come
