"""What is too large for its topic waits, is tried now and then, and never twice at once."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
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
        self.done_again: list[int] = []
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


def copy(stage: Stage, offset: int, size: int = 100) -> Entry:
    """Return what an event leaves behind that is to be parked."""
    record = KafkaRecord(None, bytes(size), ())
    return Entry(
        offset, (("parked", record),), lambda: None, again=lambda: stage.done_again.append(offset)
    )


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


def test_all_that_were_to_be_parked_are_done_again_each_period(stage: Stage) -> None:
    """It costs no transaction: what comes again is held at once, but for one."""
    first, second = copy(stage, 1), copy(stage, 2)
    stage.aside.hold(first, refused_by="parked")
    stage.aside.hold(second)
    stage.clock.advance(PERIOD)
    assert (stage.done_again, stage.tried) == ([1, 2], [])
    assert [stage.aside.is_tried(one) for one in (first, second)] == [True, False]
    assert stage.aside.is_as_large(second)
    stage.aside.hold(first, refused_by="parked")
    stage.aside.hold(second)
    stage.clock.advance(PERIOD)
    assert stage.done_again == [1, 2, 1, 2]


def test_the_topic_is_tried_by_another_one_each_period(stage: Stage) -> None:
    """The first may not come again for long: it is decided, or waits for that."""
    first, second = copy(stage, 1), copy(stage, 2)
    stage.aside.hold(first, refused_by="parked")
    stage.aside.hold(second)
    stage.clock.advance(PERIOD)
    stage.aside.hold(second)
    stage.clock.advance(PERIOD)
    assert [stage.aside.is_tried(one) for one in (first, second)] == [False, True]


def test_what_is_being_done_again_is_not_done_twice(stage: Stage) -> None:
    stage.aside.hold(copy(stage, 1), refused_by="parked")
    stage.clock.advance(3 * PERIOD)
    assert stage.done_again == [1]


def test_the_topic_is_named_until_what_was_to_be_parked_there_is_decided(stage: Stage) -> None:
    stage.aside.hold(copy(stage, 1), refused_by="parked")
    stage.clock.advance(PERIOD)
    assert [text.partition(":")[0] for text in stage.told] == ["1 too large for topic parked"]
    stage.aside.written(entry(1, topic="audit"))
    assert stage.told[-1] == ""
    stage.clock.advance(PERIOD)
    assert stage.clock.pending == []


def test_when_nothing_is_held_any_more_the_next_one_is_tried(stage: Stage) -> None:
    """The topic may have been mended meanwhile, and nobody would have noticed."""
    stage.aside.hold(copy(stage, 1), refused_by="parked")
    stage.clock.advance(PERIOD)
    stage.aside.written(entry(1, topic="audit"))
    assert not stage.aside.is_as_large(copy(stage, 2))


def test_one_that_was_decided_says_nothing_of_the_topic(stage: Stage) -> None:
    stage.aside.hold(copy(stage, 1), refused_by="parked")
    stage.aside.hold(copy(stage, 2))
    stage.clock.advance(PERIOD)
    stage.aside.hold(copy(stage, 2))
    stage.aside.written(entry(1, topic="audit"))
    assert stage.aside.is_as_large(copy(stage, 3))
    assert stage.done_again == [1, 2]
    assert stage.told[-1].startswith("1 too large")


def test_a_topic_that_took_one_is_tried_with_all(stage: Stage) -> None:
    first = copy(stage, 1)
    stage.aside.hold(first, refused_by="parked")
    stage.aside.hold(copy(stage, 2))
    stage.clock.advance(PERIOD)
    stage.aside.hold(copy(stage, 2))
    stage.aside.written(first)
    assert stage.done_again == [1, 2, 2]
    assert not stage.aside.is_as_large(copy(stage, 2))


def test_dead_letters_and_what_was_to_be_parked_do_not_wait_for_each_other(stage: Stage) -> None:
    stage.refuse(entry(1), entry(2))
    stage.aside.hold(copy(stage, 3), refused_by="parked")
    stage.clock.advance(PERIOD)
    assert (stage.tried, stage.done_again) == ([1], [3])
    assert stage.told[-1].startswith("3 too large for topic dlq and topic parked:")


class Held(RuleBasedStateMachine):
    """A journal and lanes as Kafka and Temporal may be, and where each record is meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.told = ""
        self.limit = {"dlq": 0, "parked": 0}
        """Bytes that each topic takes."""
        self.at: dict[int, str] = {}
        """Where each undecided record is: `held`, in the `journal`, in its lane (`done again`)."""
        self.entries: dict[int, Entry] = {}
        self.aside = Aside(self.clock, again=self._given_back, tell=self._tell)

    def _tell(self, text: str) -> None:
        self.told = text

    def _given_back(self, one: Entry) -> None:
        assert self.at[one.offset] == "held"
        assert one.again is None
        self.at[one.offset] = "journal"

    def _done_again(self, offset: int) -> None:
        assert self.at[offset] == "held"
        self.at[offset] = "done again"

    def _write(self, one: Entry) -> None:
        """As the journal does."""
        ((topic, _),) = one.records
        if not self.aside.is_tried(one) and self.aside.is_as_large(one):
            self.aside.hold(one)
        elif one.largest(topic) > self.limit.get(topic, one.largest(topic)):
            self.aside.hold(one, refused_by=topic)
        else:
            del self.at[one.offset]  # before: what is told to be tried is another one
            self.aside.written(one)
            return
        self.at[one.offset] = "held"

    @rule(size=st.integers(1, 5), is_letter=st.booleans())
    def comes(self, size: int, *, is_letter: bool) -> None:
        offset = len(self.entries)
        record = KafkaRecord(None, bytes(size), ())
        self.entries[offset] = (
            Entry(offset, (("dlq", record),), lambda: None)
            if is_letter
            else Entry(
                offset, (("parked", record),), lambda: None, again=lambda: self._done_again(offset)
            )
        )
        self.at[offset] = "journal"

    @rule(data=st.data())
    def the_journal_writes(self, data: st.DataObject) -> None:
        waiting = [offset for offset, where in self.at.items() if where == "journal"]
        if waiting:
            self._write(self.entries[data.draw(st.sampled_from(waiting))])

    @rule(data=st.data(), is_decided=st.booleans())
    def what_is_done_again_ends(self, data: st.DataObject, *, is_decided: bool) -> None:
        waiting = [offset for offset, where in self.at.items() if where == "done again"]
        if waiting:
            offset = data.draw(st.sampled_from(waiting))
            self._write(entry(offset, topic="audit") if is_decided else self.entries[offset])

    @rule(seconds=st.sampled_from([1.0, PERIOD]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(topic=st.sampled_from(["dlq", "parked"]), limit=st.integers(0, 5))
    def a_topic_is_altered(self, topic: str, limit: int) -> None:
        self.limit[topic] = limit

    @invariant()
    def what_is_held_is_told_and_has_a_time(self) -> None:
        if "held" in self.at.values():
            assert self.told
            assert self.clock.pending
        if not self.at:
            assert not self.told

    def teardown(self) -> None:
        """Nothing is lost: once the topics take it, all is written, whatever came before."""
        self.limit = {"dlq": 5, "parked": 5}
        for _ in range(2 * len(self.at) + 1):
            self.clock.advance(PERIOD)
            while out := [offset for offset, where in self.at.items() if where != "held"]:
                self._write(self.entries[out[0]])
        assert self.at == {}
        assert self.told == ""


TestHeld = Held.TestCase
TestHeld.settings = settings(deadline=None, stateful_step_count=40)
