"""What is too large for its topic waits, is tried now and then, and never twice at once."""

from __future__ import annotations

import pytest
from tests.unit.relay.fakes import ManualClock

from completion_relay.aside import Aside
from completion_relay.entry import Entry
from completion_schemas.record import KafkaRecord

PERIOD = 10.0


class Stage:
    """An aside, what it tried and what it told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.tried: list[int] = []
        self.told: list[str] = []
        self.aside = Aside(
            self.clock, again=lambda entry: self.tried.append(entry.offset), tell=self.told.append
        )

    def refuse(self, *entries: Entry) -> None:
        for entry in entries:
            self.aside.hold(entry, refused_by="dlq")


@pytest.fixture
def stage() -> Stage:
    return Stage()


def entry(offset: int, size: int = 100, *, topic: str = "dlq") -> Entry:
    return Entry(offset, ((topic, KafkaRecord(None, bytes(size), ())),), lambda: None)


def test_one_is_tried_each_period_in_turn(stage: Stage) -> None:
    stage.refuse(entry(1), entry(2))
    stage.clock.advance(PERIOD)
    assert stage.tried == [1]
    stage.refuse(entry(1))
    stage.clock.advance(PERIOD)
    assert stage.tried == [1, 2]
    stage.refuse(entry(2))
    stage.clock.advance(PERIOD)
    assert stage.tried == [1, 2, 1]


def test_what_is_being_tried_is_not_tried_again(stage: Stage) -> None:
    stage.refuse(entry(1))
    stage.clock.advance(3 * PERIOD)
    assert stage.tried == [1]


@pytest.mark.parametrize(
    ("other", "is_held"),
    [
        (entry(2, 100), True),
        (entry(2, 101), True),
        (entry(2, 99), False),
        (entry(2, 100, topic="audit"), False),
    ],
)
def test_what_is_as_large_is_held_untried(stage: Stage, other: Entry, is_held: bool) -> None:  # noqa: FBT001 - a case
    assert not stage.aside.is_as_large(other)
    stage.refuse(entry(1, 100))
    assert stage.aside.is_as_large(other) is is_held


def test_what_is_tried_again_is_told_from_what_is_not(stage: Stage) -> None:
    first = entry(1)
    stage.refuse(first)
    assert not stage.aside.is_tried(first)
    stage.clock.advance(PERIOD)
    assert stage.aside.is_tried(first)


def test_one_is_tried_at_a_time(stage: Stage) -> None:
    """While Kafka is away nothing comes of the first."""
    stage.refuse(entry(1), entry(2))
    stage.clock.advance(5 * PERIOD)
    assert stage.tried == [1]


def test_a_record_that_is_large_by_its_headers_is_large(stage: Stage) -> None:
    stage.refuse(entry(1, 100))
    record = KafkaRecord(b"key", b"", (("header", bytes(100)),))
    assert stage.aside.is_as_large(Entry(2, (("dlq", record),), lambda: None))


def test_one_that_is_written_lets_the_others_be_tried(stage: Stage) -> None:
    first = entry(1)
    stage.refuse(first, entry(2), entry(3))
    stage.clock.advance(PERIOD)
    stage.aside.written(first)
    assert stage.tried == [1, 2, 3]
    assert not stage.aside.is_as_large(entry(4))
    assert stage.told[-1]


def test_it_tells_how_much_is_held_and_that_nothing_is_any_more(stage: Stage) -> None:
    stage.refuse(entry(1), entry(2))
    assert [text.partition(":")[0] for text in stage.told] == [
        "1 too large for topic dlq",
        "2 too large for topic dlq",
    ]
    stage.clock.advance(PERIOD)
    stage.aside.written(entry(1))
    stage.aside.written(entry(2))
    assert stage.told[-1] == ""


def test_what_was_never_held_tells_nothing(stage: Stage) -> None:
    stage.aside.written(entry(1))
    assert stage.told == []


def test_after_the_end_nothing_is_tried(stage: Stage) -> None:
    stage.refuse(entry(1))
    stage.aside.close()
    stage.refuse(entry(2))
    stage.clock.advance(PERIOD)
    assert stage.tried == []
    assert stage.clock.pending == []
