"""When a partition is said to bring nothing, and when it is not."""

from __future__ import annotations

from aiokafka.structs import TopicPartition
from tests.unit.relay.fakes import VirtualClock

from completion_relay.health import Health
from completion_relay.observe import Observer
from completion_relay.silence import End, NoAnswer, NoLeader, Reading, Silence

PARTITION = TopicPartition("completions", 3)
PART = "fetching completions/3"
EVERY = 5.0
"""Seconds from look to look."""
LONG = 7
"""So many looks are more than half a minute apart, the first from the last."""


class Looks:
    """Looks at one partition of this member, each five seconds after the one before."""

    def __init__(self) -> None:
        self.health = Health()
        self.clock = VirtualClock()
        self.observer = Observer(namespaces=("orders",), health=self.health)
        self.silence = Silence(self.observer, self.clock)

    def look(
        self, end: End, position: int | None = 40, *, has_some: bool = False, paused: bool = False
    ) -> str | None:
        """Return what readiness says of the partition then."""
        reading = Reading(position, has_some=has_some, is_paused=paused)
        self.silence.look({PARTITION: end}, {PARTITION: reading})
        self.clock.waits.append(EVERY)
        return self.health.problems.get(PART)

    def paused_metric(self) -> float | None:
        return self.observer.metrics.registry.get_sample_value(
            "completion_relay_paused", {"cause": PART}
        )


def test_a_partition_that_has_more_and_brings_nothing_is_named_after_half_a_minute() -> None:
    looks = Looks()
    said = [looks.look(100) for _ in range(LONG)]
    assert said == [
        *[None] * (LONG - 1),
        "nothing has come for 30 s: read up to 40, ends at 100",
    ]
    assert looks.paused_metric() == 1


def test_it_is_well_again_as_soon_as_something_has_come() -> None:
    looks = Looks()
    for _ in range(LONG):
        looks.look(100)
    assert looks.look(100, position=41) is None
    assert looks.paused_metric() == 0


def test_a_partition_that_is_read_to_its_end_brings_nothing_and_is_well() -> None:
    looks = Looks()
    assert [looks.look(100, position=100) for _ in range(2 * LONG)] == [None] * 2 * LONG


def test_what_was_fetched_and_has_not_had_its_turn_is_no_silence() -> None:
    """A slow Temporal takes from one partition at a time, and the others keep what they have."""
    looks = Looks()
    assert [looks.look(100, has_some=True) for _ in range(2 * LONG)] == [None] * 2 * LONG


def test_nothing_is_expected_of_a_partition_that_is_paused() -> None:
    looks = Looks()
    assert [looks.look(100, paused=True) for _ in range(2 * LONG)] == [None] * 2 * LONG


def test_the_time_of_a_pause_does_not_count_and_undoes_no_other() -> None:
    """A relay with much to do pauses all it has again and again: one of them may be silent all along."""
    looks = Looks()
    for _ in range(LONG - 1):
        looks.look(100)
    assert looks.look(100, paused=True) is None
    assert looks.look(100) is None
    assert looks.look(100) == "nothing has come for 30 s: read up to 40, ends at 100"


def test_a_partition_whose_position_is_not_set_yet_is_no_silence() -> None:
    """A takeover of much that is parked takes as long as it takes."""
    looks = Looks()
    assert [looks.look(100, position=None) for _ in range(2 * LONG)] == [None] * 2 * LONG


def test_a_partition_without_a_leader_is_named_at_the_second_look() -> None:
    looks = Looks()
    assert looks.look(NoLeader()) is None
    assert looks.look(NoLeader()) == "no broker leads it"


def test_a_partition_without_a_leader_is_named_while_it_is_paused_or_being_taken_too() -> None:
    looks = Looks()
    looks.look(NoLeader(), position=None, paused=True)
    assert looks.look(NoLeader(), position=None, paused=True) == "no broker leads it"


def test_a_leader_that_is_elected_meanwhile_is_nothing_to_speak_of() -> None:
    looks = Looks()
    for _ in range(LONG):
        assert looks.look(NoLeader()) is None
        assert looks.look(100, position=100) is None


def test_a_partition_that_nobody_tells_of_is_named_with_the_reason_after_half_a_minute() -> None:
    looks = Looks()
    said = [looks.look(NoAnswer("broker 2 does not answer")) for _ in range(LONG)]
    assert said == [
        *[None] * (LONG - 1),
        "not told for 30 s where it ends: broker 2 does not answer",
    ]


def test_a_partition_that_brings_records_is_well_whatever_is_told_of_its_end() -> None:
    looks = Looks()
    for position in range(LONG):
        assert looks.look(NoAnswer("broker 2 does not answer"), position=position) is None


def test_a_partition_that_was_given_up_is_not_this_members_problem() -> None:
    looks = Looks()
    looks.look(NoLeader())
    looks.look(NoLeader())
    looks.silence.look({PARTITION: NoLeader()}, {})
    assert looks.health.problems == {}
    assert looks.look(NoLeader()) is None


def test_the_time_for_which_kafka_was_away_as_a_whole_counts_for_no_partition() -> None:
    looks = Looks()
    looks.look(100)
    looks.silence.look({}, {PARTITION: Reading(40, has_some=False, is_paused=False)})
    looks.clock.waits.append(3_600.0)
    assert looks.look(100) is None


def test_where_a_partition_ends_is_known_while_it_is_told() -> None:
    looks = Looks()
    assert looks.silence.end_of(PARTITION) is None
    looks.look(100)
    assert looks.silence.end_of(PARTITION) == 100
    looks.look(NoLeader())
    assert looks.silence.end_of(PARTITION) is None
