"""What of all that is known of the relay needs a person, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.cli.status_report import as_object
from completion_relay.introduction import Introduction
from completion_relay.offset_map import encode
from completion_relay.settings import TopicSettings
from completion_relay.silence import End, NoAnswer, NoLeader
from completion_relay.status.ask import Replica
from completion_relay.status.judge import Oldest, Overview, oldest_of
from completion_relay.status.kafka import KafkaView, Partition, how_far
from completion_relay.status.members import Group, Member
from completion_relay.status_page import PartitionState, ReplicaState, Waits
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.spans import Span
from completion_schemas.times import UnixNanos

TOPICS = TopicSettings()
EVENTS, PARKED = TOPICS.completions, TOPICS.parked
ALL = tuple(TopicPartition(topic, number) for topic in (EVENTS, PARKED) for number in (0, 1))
NOW = UnixNanos(10_000 * 10**9)


def partition(at: TopicPartition, *, undecided: int | None = 0, problem: str = "") -> Partition:
    return Partition(
        topic=at.topic,
        partition=at.partition,
        committed=5,
        end=5,
        settled_ahead=0,
        undecided=undecided,
        problem=problem,
    )


def replica(
    name: str = "here",
    *,
    has: tuple[TopicPartition, ...] = ALL,
    problems: dict[str, str] | None = None,
    is_silent: bool = False,
    is_missed: bool = False,
    **said: Any,
) -> Replica:
    introduction = Introduction(relay_id=name, version="1", http="127.0.0.1:1")
    state = ReplicaState(
        relay_id=name,
        version="1",
        instance=introduction.instance,
        problems=problems or {},
        **said,
    )
    return Replica(
        member=Member(
            member_id=name, client_host="127.0.0.1", introduction=introduction, partitions=has
        ),
        address="127.0.0.1:1",
        state=None if is_silent or is_missed else state,
        note="why" if is_silent or is_missed else "",
        is_missed=is_missed,
    )


def overview(
    *replicas: Replica,
    partitions: tuple[Partition, ...] | None = None,
    state: str = "Stable",
    counts: tuple[int, int] = (2, 2),
    others: tuple[ReplicaState, ...] = (),
    oldest: tuple[Oldest, ...] = (),
) -> Overview:
    return Overview(
        group="group",
        topics=TOPICS,
        kafka=KafkaView(
            Group(state, tuple(one.member for one in replicas)),
            dict(zip((EVENTS, PARKED), counts, strict=True)),
            partitions or tuple(partition(at) for at in ALL),
            {},
        ),
        replicas=replicas,
        others=others,
        oldest=oldest,
        now=NOW,
    )


def event(offset: int = 7, *, seconds: int = 60, topic: str = EVENTS) -> Undecided:
    return Undecided(
        topic=topic,
        partition=0,
        offset=offset,
        first_partition=0,
        first_offset=offset,
        written_at=UnixNanos(NOW - seconds * 10**9),
        event_id=f"event-{offset}",
        type="completed",
        is_event=True,
    )


def oldest(*events: Undecided, replicas: tuple[Replica, ...], most: int = 10) -> tuple[Oldest, ...]:
    by_position = {(one.topic, one.partition, one.offset): one for one in events}
    return oldest_of(by_position, replicas, now=NOW, stuck_after=30, most=most)


def names(offset: int, seconds: float) -> list[Waits]:
    return [Waits(topic=EVENTS, partition=0, offset=offset, age_seconds=seconds)]


def test_all_is_well_where_every_replica_is_ready_and_has_its_partitions() -> None:
    found = overview(replica("a", has=ALL[::2]), replica("b", has=ALL[1::2]))
    assert found.troubles() == []
    assert found.summary() == "2 replicas, 2 of 2 partitions, lag 0"


def test_lag_alone_is_no_trouble() -> None:
    """A backlog is what the relay is for."""
    found = overview(replica(), partitions=(partition(ALL[0], undecided=900),))
    assert found.troubles() == []
    assert found.lag == 900


def test_no_replica_is_a_trouble_that_says_how_many_events_wait() -> None:
    found = overview(state="Empty", partitions=(partition(ALL[0], undecided=1),))
    (trouble,) = found.troubles()
    assert "no relay runs: group group has no member, and 1 event waits" in trouble


def test_partitions_that_nobody_has_are_named() -> None:
    (trouble,) = overview(replica(has=ALL[:1])).troubles()
    assert trouble == f"nobody has {EVENTS}/1, {PARKED}/0, {PARKED}/1"


def test_while_partitions_are_shared_out_nobody_is_said_to_lack_one() -> None:
    (trouble,) = overview(replica(has=()), state="PreparingRebalance").troubles()
    assert "sharing its partitions out anew (PreparingRebalance)" in trouble


def test_topics_of_different_sizes_are_a_trouble() -> None:
    assert "add partitions" in overview(replica(), counts=(2, 1)).troubles()[0]


def test_one_problem_of_several_replicas_is_told_once() -> None:
    problems = {"completing in orders": "halted: PERMISSION_DENIED"}
    found = overview(
        replica("a", has=ALL[::2], problems=problems),
        replica("b", has=ALL[1::2], problems=problems),
    )
    assert found.troubles() == [
        "a: completing in orders: halted: PERMISSION_DENIED (and 1 more replica)"
    ]


def test_a_replica_that_is_missed_is_a_trouble() -> None:
    found = overview(replica(is_missed=True))
    assert found.troubles() == ["here does not answer: why"]


def test_a_replica_that_cannot_be_asked_from_here_is_none() -> None:
    found = overview(replica(is_silent=True))
    assert found.troubles() == []
    assert found.summary() == "1 replica, 2 of 2 partitions, lag 0, 1 without an answer"


def test_a_process_that_is_in_no_group_is_a_trouble() -> None:
    dead = ReplicaState(
        relay_id="here/2", version="1", instance="", problems={"process 2": "ended (SIGKILL)"}
    )
    found = overview(replica(), others=(dead,))
    assert found.troubles() == ["here/2: process 2: ended (SIGKILL)"]


def test_a_partition_that_cannot_be_told_of_is_a_trouble() -> None:
    lost = partition(ALL[1], undecided=None, problem="no broker leads it")
    assert overview(replica(), partitions=(lost,)).troubles() == [f"{EVENTS}/1: no broker leads it"]


def test_parked_events_are_counted_by_the_replicas_where_they_answer() -> None:
    """Kafka's count is at most: it has the markers of transactions in it."""
    said = PartitionState(
        topic=PARKED,
        partition=0,
        undecided=1,
        fetched=0,
        oldest=0,
        age_seconds=1,
        parked_waiting=1,
        is_full=False,
    )
    two = tuple(partition(at, undecided=3) for at in ALL[2:])
    assert overview(replica(partitions=[said]), partitions=two).parked == 1 + 3
    assert overview(replica(is_silent=True), partitions=two).parked == 3 + 3


def test_an_event_is_stuck_by_the_time_its_replica_has_had_it() -> None:
    """It may have waited for days while no relay ran."""
    replicas = (replica(oldest=names(7, 1.0)),)
    (found,) = oldest(event(7, seconds=9_000), replicas=replicas)
    assert (found.age_seconds, found.here_seconds, found.is_stuck) == (9_000, 1.0, False)
    (stuck,) = oldest(event(7), replicas=(replica(oldest=names(7, 31.0)),))
    assert stuck.is_stuck


def test_an_event_that_an_answering_replica_does_not_name_is_not_stuck() -> None:
    """It is behind others, or was decided between the two questions."""
    (found,) = oldest(event(8), replicas=(replica(),))
    assert (found.here_seconds, found.is_stuck) == (None, False)


def test_an_event_of_which_no_replica_says_anything_is_stuck_by_its_age() -> None:
    silent = replica(is_silent=True)
    found = oldest(event(7), replicas=(silent,))
    (trouble,) = overview(silent, oldest=found).troubles()
    assert trouble == (
        f"{EVENTS}/0/7 is undecided 60 s after it was written, and no replica says why"
    )


def test_the_oldest_come_first_and_only_some_of_them() -> None:
    events = [event(offset, seconds=offset) for offset in range(1, 6)]
    found = oldest(*events, replicas=(), most=2)
    assert [item.event.offset for item in found] == [5, 4]


@pytest.mark.parametrize(
    ("committed", "begin", "undecided", "start"),
    [
        (None, 10, 90, 10),
        (OffsetAndMetadata(40, ""), 0, 60, 40),
        (OffsetAndMetadata(40, encode(40, [range(41, 51)])), 0, 50, 40),
        (OffsetAndMetadata(40, encode(40, [range(41, 51)])), 45, 49, 45),
    ],
    ids=["never committed", "committed", "settled ahead", "deleted"],
)
def test_what_is_undecided_is_what_is_neither_committed_nor_settled_ahead(
    committed: OffsetAndMetadata | None, begin: int, undecided: int, start: int
) -> None:
    found, span = how_far(ALL[0], committed, end=100, begin=begin)
    assert found.undecided == undecided
    assert isinstance(span, Span)
    assert (span.start, span.end) == (start, 100)


def test_a_partition_that_is_decided_to_its_end_needs_no_reading() -> None:
    found, span = how_far(ALL[0], OffsetAndMetadata(100, ""), end=100, begin=0)
    assert (found.undecided, span) == (0, None)


def test_a_map_that_cannot_be_read_is_told_and_taken_for_none() -> None:
    found, _ = how_far(ALL[0], OffsetAndMetadata(40, "1nonsense"), end=100, begin=0)
    assert found.undecided == 60
    assert "metadata cannot be read" in found.problem


def test_a_topic_that_was_made_anew_is_undecided_from_its_beginning() -> None:
    """A relay reads it from there, too."""
    found, span = how_far(ALL[0], OffsetAndMetadata(40, ""), end=30, begin=0)
    assert (found.undecided, span) == (30, Span(0, 30))
    assert "the log has lost its end, or the topic was made anew" in found.problem


def test_a_log_that_has_lost_what_was_settled_ahead_is_undecided_from_its_beginning() -> None:
    """A relay reads it from there: what has come since is not what was decided."""
    committed = OffsetAndMetadata(40, encode(40, [range(95, 120)]))
    found, span = how_far(ALL[0], committed, end=100, begin=0)
    assert (found.undecided, found.settled_ahead, span) == (100, 0, Span(0, 100))
    assert "up to 120 decided, but the partition ends at 100" in found.problem


def test_a_marker_that_retention_took_is_no_trouble() -> None:
    """Behind the last commit there was a transaction's marker alone, and the partition is at rest."""
    found, span = how_far(ALL[2], OffsetAndMetadata(40, ""), end=41, begin=41)
    assert (found.undecided, found.problem, span) == (0, "", None)


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        (NoLeader(), "no broker leads it"),
        (NoAnswer("broker 1 does not answer"), "broker 1 does not answer"),
    ],
)
def test_an_end_that_is_not_known_is_said_with_its_reason(end: End, problem: str) -> None:
    found, span = how_far(ALL[0], OffsetAndMetadata(40, ""), end=end, begin=0)
    assert (found.undecided, found.problem, span) == (None, problem, None)


def test_an_undecided_event_has_these_fields_for_a_program() -> None:
    shown = as_object(overview(replica(), oldest=oldest(event(), replicas=(replica(),))))
    (found,) = shown["oldest"]
    assert set(found) == {
        "topic",
        "partition",
        "offset",
        "first_partition",
        "first_offset",
        "written_at",
        "event_id",
        "type",
        "is_event",
        "is_readable",
        "namespace",
        "workflow_id",
        "run_id",
        "activity_id",
        "token_fingerprint",
        "parked_times",
        "tries",
        "not_before",
        "reason",
        "hold",
        "age_seconds",
        "here_seconds",
        "is_stuck",
    }
