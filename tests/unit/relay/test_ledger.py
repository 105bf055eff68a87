"""The ledger, through crashes and rebalances, against a naive model of itself."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from enum import Enum, auto
from itertools import pairwise, takewhile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from completion_relay.ledger import INTAKE_LIMIT, PartitionLedger, Position, Receipt
from completion_relay.offset_map import METADATA_LIMIT, decode, longest, weight

MANY = 500
"""Records that are delivered one after the other, as long as there is room."""
SIZES = (0, 1, 10, 99)
"""Bytes of the records, by their offsets in turn: beside the windows of the model's small ones and large ones."""


def among(offsets: list[int], ranges: list[range]) -> list[int]:
    """Those of the ascending offsets that are in one of the ranges."""
    return [
        offset
        for run in ranges
        for offset in offsets[bisect_left(offsets, run.start) : bisect_left(offsets, run.stop)]
    ]


def size(offset: int) -> int:
    """Bytes of the record at an offset."""
    return SIZES[offset % len(SIZES)]


class Fate(Enum):
    """What has become of a record that this assignment delivered."""

    OPEN = auto()
    SETTLED = auto()
    SETTLED_BEFORE = auto()


class PartitionThroughItsOwners(RuleBasedStateMachine):
    """One partition: records appear, owners read, settle, commit, hand over and crash.

    The model remembers each record by itself: which ones a commit has covered
    (`safe`), and the fate of each one in the present assignment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[int] = []
        self.safe: set[int] = set()
        self.committed = 0
        self.metadata = ""
        self.ledger: PartitionLedger | None = None
        self.fates: dict[int, Fate] = {}
        self.inherited_through = -1
        self.begin = 0

    @initialize(
        window=st.sampled_from([1, 3, 8, 100_000]),
        window_bytes=st.sampled_from([1, 50, 300, 10**9]),
        begin=st.sampled_from([0, 5, 2**40]),
    )
    def create(self, window: int, window_bytes: int, begin: int) -> None:
        self.window, self.window_bytes = window, window_bytes
        self.committed = self.end = begin
        self.append(10, 1)
        self.assign()
        self.receive(5)

    # What happens to the topic.

    @rule(
        count=st.one_of(st.integers(1, 4), st.integers(1, 200)),
        gap=st.one_of(st.integers(0, 3), st.sampled_from([200, 20_000, 10**9])),
    )
    def append(self, count: int, gap: int) -> None:
        for _ in range(count):
            self.log.append(self.end + gap)
            self.end += gap + 1

    # What happens to the group.

    @precondition(lambda self: self.ledger is None)
    @rule()
    def assign(self) -> None:
        ahead = decode(self.committed, self.metadata)
        self.ledger = PartitionLedger(
            epoch=1,
            window=self.window,
            window_bytes=self.window_bytes,
            begin=self.committed,
            settled_ahead=ahead,
        )
        self.begin = self.committed
        self.inherited_through = ahead[-1].stop - 1 if ahead else -1
        self.fates = {}
        skipped = self.log[: bisect_right(self.log, self.committed - 1)]
        assert self.safe.issuperset(skipped), "an undecided record is skipped"
        self.check(self.ledger.position())

    @precondition(lambda self: self.ledger is not None)
    @rule()
    def crash(self) -> None:
        self.ledger = None

    @precondition(lambda self: self.ledger is not None)
    @rule()
    def revoke(self) -> None:
        self.commit()
        self.ledger = None

    @precondition(lambda self: self.ledger is not None)
    @rule()
    def commit(self) -> None:
        position = self.the_ledger.position()
        self.check(position)
        self.committed, self.metadata = position.offset + 1, position.metadata
        self.safe.update(offset for offset, fate in self.fates.items() if fate is not Fate.OPEN)

    @precondition(lambda self: self.ledger is not None and self.open)
    @rule(data=st.data())
    def what_if(self, data: st.DataObject) -> None:
        also = data.draw(st.sets(st.sampled_from(self.open), min_size=1))
        self.check(self.the_ledger.position(also), also)

    def check(self, position: Position, also: Collection[int] = ()) -> None:
        """It goes to the last record without a hole, and names what is settled beyond, no more."""
        received = sorted(self.fates)
        left = [offset for offset in self.open if offset not in also]
        first = min(left, default=None)
        prefix = [offset for offset in received if first is None or offset < first]
        reached = max(prefix, default=self.begin - 1)
        if first is None:
            # Through what a former owner has settled from there on, too.
            ahead_of_it = self.log[bisect_right(self.log, reached) :]
            reached = max([reached, *takewhile(self.safe.__contains__, ahead_of_it)])
        # It may lie in a gap behind that, which a former owner's range has with the records before.
        assert position.offset >= reached
        assert bisect_right(self.log, position.offset) == bisect_right(self.log, reached)
        assert position.offset + 1 >= self.committed
        assert len(position.metadata) <= METADATA_LIMIT
        ahead = decode(position.offset + 1, position.metadata)
        named = set(among(self.log, ahead))
        settled = self.fates.keys() - left
        assert named == {offset for offset in settled | self.safe if offset > position.offset}

    # What happens in the member that has the partition.

    @precondition(lambda self: self.ledger is not None)
    @rule(count=st.one_of(st.integers(1, 4), st.integers(1, MANY)))
    def receive(self, count: int) -> None:
        """As the intake does: it asks before each record."""
        at = bisect_right(self.log, max(self.fates, default=self.begin - 1))
        for offset in self.log[at : at + count]:
            if self.the_ledger.is_full:
                return
            receipt = self.the_ledger.receive(offset, size=size(offset), at=float(offset))
            if offset in self.safe:
                assert receipt is Receipt.SETTLED_BEFORE, "a settled record is decided again"
                self.fates[offset] = Fate.SETTLED_BEFORE
            else:
                assert receipt is Receipt.NEW, "an undecided record is skipped"
                self.fates[offset] = Fate.OPEN

    @precondition(lambda self: self.ledger is not None and self.fates)
    @rule(data=st.data())
    def receive_again(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from([*self.fates, self.begin - 1]))
        assert self.the_ledger.receive(offset, size=99, at=0.0) is Receipt.REFETCHED

    @precondition(lambda self: self.ledger is not None and self.open)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self.settle_one(data.draw(st.sampled_from(self.open)))

    @precondition(lambda self: self.ledger is not None and self.open)
    @rule(every=st.integers(1, 3), but=st.integers(0, 2))
    def settle_many(self, every: int, but: int) -> None:
        for offset in self.open[but::every]:
            self.settle_one(offset)

    def settle_one(self, offset: int) -> None:
        self.the_ledger.settle(offset)
        self.fates[offset] = Fate.SETTLED

    @precondition(lambda self: self.ledger is not None and len(self.open) < len(self.fates))
    @rule(data=st.data())
    def settle_twice(self, data: st.DataObject) -> None:
        done = [offset for offset, fate in self.fates.items() if fate is not Fate.OPEN]
        with pytest.raises(ValueError, match="is not undecided"):
            self.the_ledger.settle(data.draw(st.sampled_from(done)))

    @precondition(lambda self: self.ledger is not None and self.log)
    @rule(data=st.data())
    def tell_whether_settled(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(self.log))
        fate = self.fates.get(offset)
        expected = offset in self.safe if fate is None else fate is not Fate.OPEN
        assert self.the_ledger.is_settled(offset) == expected

    # What must be true all the time.

    @invariant()
    def agrees_with_the_model(self) -> None:
        if self.ledger is None:
            return
        first = self.first_open
        assert self.ledger.undecided == len(self.open)
        assert self.ledger.oldest_undecided == first
        assert self.ledger.oldest_undecided_since == (None if first is None else float(first))
        assert sum(self.ledger.bytes_of(offset) for offset in self.fates) == self.bytes
        if self.bytes:
            # Beyond it goes one record at most: never two, and none where it is full.
            assert self.bytes < self.window_bytes + max(map(size, self.open))
        if self.fates:
            assert self.ledger.next_offset == max(self.fates) + 1
        assert self.ledger.is_full == self.is_full

    def teardown(self) -> None:
        """Whatever happened, one owner more brings the partition to its end."""
        if not hasattr(self, "window"):
            return
        if self.ledger is None:
            self.assign()
        while max(self.fates, default=self.begin - 1) < max(self.log, default=-1):
            self.agrees_with_the_model()
            self.receive(MANY)
            for offset in self.open:
                self.settle_one(offset)
        for offset in self.open:
            self.settle_one(offset)
        self.commit()
        assert self.safe.issuperset(self.log)

    # The model.

    @property
    def the_ledger(self) -> PartitionLedger:
        assert self.ledger is not None
        return self.ledger

    @property
    def open(self) -> list[int]:
        return [offset for offset, fate in self.fates.items() if fate is Fate.OPEN]

    @property
    def first_open(self) -> int | None:
        return min(self.open, default=None)

    @property
    def bytes(self) -> int:
        return sum(size(offset) for offset in self.open)

    @property
    def is_full(self) -> bool:
        """By the description: the window, its bytes, or metadata that could outgrow its limit."""
        first = self.first_open
        if first is None:
            return False
        received = [self.begin - 1, *self.fates]
        steps = [after - before for before, after in pairwise(received) if after >= first]
        if len(steps) >= self.window or self.bytes >= self.window_bytes:
            return True
        could_outgrow = longest(sum(weight(step) for step in steps)) > INTAKE_LIMIT
        return could_outgrow and received[-1] >= self.inherited_through


TestPartition = PartitionThroughItsOwners.TestCase
TestPartition.settings = settings(deadline=None, stateful_step_count=40)


def ledger(
    *, begin: int = 0, window: int = 100_000, window_bytes: int = 10**9, metadata: str = ""
) -> PartitionLedger:
    return PartitionLedger(
        epoch=1,
        window=window,
        window_bytes=window_bytes,
        begin=begin,
        settled_ahead=decode(begin, metadata),
    )


def test_what_was_never_received_cannot_be_settled() -> None:
    given = ledger()
    given.receive(7, size=1, at=0.0)
    with pytest.raises(ValueError, match="offset 6 is not undecided"):
        given.settle(6)


def test_before_something_is_settled_the_position_is_where_it_began() -> None:
    given = ledger(begin=7)
    given.receive(7, size=1, at=0.0)
    assert given.position() == Position(6, "")


def test_a_stuck_first_record_leaves_the_offset_and_names_what_came_behind() -> None:
    given = ledger(begin=7)
    for offset in (7, 8, 9):
        given.receive(offset, size=1, at=0.0)
    given.settle(9)
    position = given.position()
    assert position.offset == 6
    assert decode(7, position.metadata) == [range(9, 10)]


def test_what_is_not_delivered_yet_stays_named_through_another_owner() -> None:
    first = ledger()
    for offset in range(6):
        first.receive(offset, size=1, at=0.0)
    for offset in (2, 3, 5):
        first.settle(offset)
    second = ledger(metadata=first.position().metadata)
    second.receive(0, size=1, at=0.0)
    second.settle(0)
    position = second.position()
    assert position.offset == 0
    assert decode(1, position.metadata) == [range(2, 4), range(5, 6)]


def test_a_range_of_a_former_owner_that_is_received_in_part_stays_whole() -> None:
    first = ledger()
    for offset in range(5):
        first.receive(offset, size=1, at=0.0)
    for offset in (1, 2, 4):
        first.settle(offset)
    second = ledger(metadata=first.position().metadata)
    second.receive(0, size=1, at=0.0)
    second.receive(1, size=1, at=0.0)
    assert decode(0, second.position().metadata) == [range(1, 3), range(4, 5)]
    second.settle(0)
    assert second.position().offset == 2
    assert decode(3, second.position().metadata) == [range(4, 5)]


def test_the_position_passes_what_a_former_owner_has_settled_without_reading_it() -> None:
    """It may never be read: whoever has the partition next finds nothing to decide there, nor to commit."""
    first = ledger()
    for offset in range(3):
        first.receive(offset, size=1, at=0.0)
    for offset in (1, 2):
        first.settle(offset)
    second = ledger(metadata=first.position().metadata)
    assert second.receive(0, size=1, at=0.0) is Receipt.NEW
    second.settle(0)
    assert second.position() == Position(2, "")
    assert second.receive(1, size=1, at=0.0) is Receipt.SETTLED_BEFORE
    assert second.receive(2, size=1, at=0.0) is Receipt.SETTLED_BEFORE
    assert second.position() == Position(2, "")


def test_the_position_does_not_move_back_where_what_it_has_passed_was_deleted() -> None:
    """Retention takes records, or they were a transaction's markers: nothing of the range is delivered."""
    given = PartitionLedger(
        epoch=1,
        window=100,
        window_bytes=10**9,
        begin=17,
        settled_ahead=[range(17, 24)],
    )
    assert given.position() == Position(23, "")
    assert given.receive(30, size=1, at=0.0) is Receipt.NEW
    assert given.position() == Position(23, "")
    given.settle(30)
    assert given.position() == Position(30, "")


def test_a_gap_of_undelivered_offsets_costs_no_runs() -> None:
    given = ledger()
    given.receive(0, size=1, at=0.0)
    for offset in range(10, 10_000, 10):
        given.receive(offset, size=1, at=0.0)
        given.settle(offset)
    assert decode(0, given.position().metadata) == [range(1, 9_991)]


def fill(given: PartitionLedger, step: int) -> list[int]:
    """Deliver records until it is full."""
    offsets = list[int]()
    while not given.is_full:
        offsets.append(len(offsets) * step)
        given.receive(offsets[-1], size=1, at=0.0)
    return offsets


@pytest.mark.parametrize("step", [1, 2, 10, 100, 2_000])
@pytest.mark.parametrize("last_step", [1, 100, 2**62])
def test_the_record_that_fills_a_partition_adds_little_to_its_metadata(
    step: int, last_step: int
) -> None:
    """What could be there before it was not beyond the limit, or it had not been taken."""
    offsets = fill(ledger(), step)
    offsets[-1] = offsets[-2] + last_step
    given = ledger()
    for offset in offsets:
        given.receive(offset, size=1, at=0.0)
    for offset in offsets[1::2]:
        given.settle(offset)
    position = given.position()
    assert len(position.metadata) <= INTAKE_LIMIT + 20
    assert among(offsets, decode(0, position.metadata)) == offsets[1::2]


def test_settled_records_behind_an_open_one_use_up_the_window() -> None:
    given = ledger(window=3)
    for offset in range(3):
        assert not given.is_full
        given.receive(offset, size=1, at=0.0)
    given.settle(1)
    given.settle(2)
    assert given.is_full
    given.settle(0)
    assert not given.is_full


def test_undecided_records_of_as_many_bytes_as_the_window_fill_it() -> None:
    given = ledger(window_bytes=10)
    given.receive(0, size=9, at=0.0)
    assert not given.is_full
    given.receive(1, size=1, at=0.0)
    assert given.is_full


def test_whichever_record_is_settled_its_bytes_are_free_again() -> None:
    given = ledger(window_bytes=10)
    for offset in range(2):
        given.receive(offset, size=5, at=0.0)
    given.settle(1)
    assert not given.is_full
    assert [given.bytes_of(offset) for offset in range(3)] == [5, 0, 0]


def test_a_record_that_is_larger_than_what_is_left_is_taken() -> None:
    """Else it stood before a partition that is not full, and what holds it up would never give in."""
    given = ledger(window_bytes=10)
    given.receive(0, size=9, at=0.0)
    assert not given.is_full
    assert given.receive(1, size=100, at=0.0) is Receipt.NEW
    given.settle(0)
    assert given.is_full
    given.settle(1)
    assert not given.is_full


def test_what_a_former_owner_settled_takes_no_bytes() -> None:
    given = PartitionLedger(
        epoch=1, window=10, window_bytes=10, begin=0, settled_ahead=[range(1, 2)]
    )
    given.receive(0, size=1, at=0.0)
    assert given.receive(1, size=100, at=0.0) is Receipt.SETTLED_BEFORE
    assert not given.is_full


def test_records_before_the_first_open_one_take_no_room_in_the_metadata() -> None:
    given = ledger()
    offsets = fill(given, 1)
    for offset in offsets[:1_000]:
        given.settle(offset)
    assert not given.is_full


def test_a_dense_stretch_beyond_a_huge_gap_is_kept_whole() -> None:
    given = ledger()
    offsets = [*range(7_000), *range(2**40, 2**40 + 7_000)]
    for offset in offsets:
        given.receive(offset, size=1, at=0.0)
    for offset in offsets[1::2]:
        given.settle(offset)
    assert not given.is_full
    assert among(offsets, decode(0, given.position().metadata)) == offsets[1::2]


def test_a_dense_partition_takes_15_000_records_behind_a_stuck_one() -> None:
    assert len(fill(ledger(), 1)) > 15_000


def test_records_a_former_owner_had_are_taken_although_the_metadata_is_at_its_limit() -> None:
    first = ledger()
    last = fill(first, 1)[-1] + 1
    for offset in range(2, last):
        first.settle(offset)
    first.receive(last, size=1, at=0.0)
    first.receive(last + 1, size=1, at=0.0)
    first.settle(last + 1)
    second = ledger(metadata=first.position().metadata)
    for offset in range(last + 1):
        assert not second.is_full
        second.receive(offset, size=1, at=0.0)
    second.receive(last + 1, size=1, at=0.0)
    assert second.undecided == 3
    assert second.is_full


def test_an_older_partitions_start_ignores_what_the_map_says_of_deleted_records() -> None:
    given = PartitionLedger(
        epoch=1, window=10, window_bytes=10**9, begin=50, settled_ahead=[range(40, 52)]
    )
    assert given.receive(51, size=1, at=0.0) is Receipt.SETTLED_BEFORE
    assert given.receive(52, size=1, at=0.0) is Receipt.NEW
    assert given.position() == Position(51, "")
