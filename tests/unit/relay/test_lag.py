"""How far behind a partition is said to be."""

from __future__ import annotations

from typing import cast

from aiokafka.structs import TopicPartition
from tests.unit.relay.fakes import VirtualClock, fetched

from completion_relay.assigned import Assigned
from completion_relay.health import Health
from completion_relay.journal import Journal
from completion_relay.lag import Lag
from completion_relay.ledger import PartitionLedger
from completion_relay.observe import Observer
from completion_relay.parking import Order
from completion_relay.silence import Reading

PARTITION = TopicPartition("completions", 3)
END = 100


def stuck(held: Assigned) -> str | None:
    """Return what readiness says is stuck after 10 seconds, of which one is patience."""
    health = Health()
    clock = VirtualClock()
    clock.waits.append(10.0)
    Lag(
        Observer(namespaces=("orders",), health=health),
        clock,
        stuck_after=1.0,
        parked="completions.parked",
        assigned=lambda: [held],
        end_of=lambda _: END,
        readings=dict,
    ).look()
    return health.problems.get("stuck")


def test_what_is_undecided_for_long_is_stuck() -> None:
    held = assigned(PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40))
    held.ledger.receive(50, size=1, at=2.0)
    assert stuck(held) == "undecided (partition/offset): 3/50 for 8 s"


def test_what_is_here_for_long_and_not_begun_is_stuck_too() -> None:
    """The relay would say that it is ready, and nothing of it would ever happen."""
    held = assigned(PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40))
    held.fetched.extend(fetched([50]))
    held.turn_at = 4.0
    assert stuck(held) == "undecided (partition/offset): 3/40 for 6 s"


def test_the_page_names_the_records_that_are_undecided_for_longest() -> None:
    held = assigned(PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40))
    for offset, at in ((50, 2.0), (52, 3.0), (53, 4.0)):
        held.ledger.receive(offset, size=1, at=at)
    held.ledger.settle(52)
    named = [(wait.offset, wait.age_seconds) for wait in lag(held).oldest(5)]
    assert named == [(50, 8.0), (53, 6.0)]
    assert [wait.offset for wait in lag(held).oldest(1)] == [50]


def test_the_page_has_each_partition_with_what_waits_there() -> None:
    held = assigned(PartitionLedger(epoch=1, window=2, window_bytes=10**9, begin=40))
    for offset in (50, 51):
        held.ledger.receive(offset, size=1, at=2.0)
    held.fetched.extend(fetched([50]))
    held.order.park("key", 7)
    events, parked = lag(held).partitions()[0], lag(held, parked=PARTITION.topic).partitions()[0]
    assert (events.topic, events.partition, events.oldest) == ("completions", 3, 50)
    assert (events.undecided, events.fetched, events.age_seconds) == (2, 1, 8.0)
    assert events.is_full
    # The two partitions of one number share what is parked: it is counted once.
    assert (events.parked_waiting, parked.parked_waiting) == (0, 1)


def test_where_nothing_is_here_nothing_is_stuck() -> None:
    assert stuck(assigned(PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40))) is None


def lag(held: Assigned, *, parked: str = "completions.parked") -> Lag:
    """Return what is told of a partition at ten seconds of the clock."""
    clock = VirtualClock()
    clock.waits.append(10.0)
    return Lag(
        Observer(namespaces=("orders",), health=Health()),
        clock,
        stuck_after=1.0,
        parked=parked,
        assigned=lambda: [held],
        end_of=lambda _: END,
        readings=dict,
    )


def assigned(ledger: PartitionLedger) -> Assigned:
    return Assigned(PARTITION, ledger, cast("Journal", None), Order())


def lag_of(
    ledger: PartitionLedger, *, read_to: int | None = None, begun: bool = True
) -> float | None:
    observer = Observer(namespaces=("orders",), health=Health())
    held = assigned(ledger)
    if not begun:
        held.fetched.extend(fetched([END - 1]))
    Lag(
        observer,
        VirtualClock(),
        stuck_after=1.0,
        parked="completions.parked",
        assigned=lambda: [held],
        end_of=lambda _: END,
        readings=lambda: {PARTITION: Reading(read_to, has_some=False, is_paused=False)},
    )
    labels = {"topic": "completions", "partition": "3"}
    return observer.metrics.registry.get_sample_value("completion_relay_consumer_lag", labels)


def test_a_backlog_of_which_nothing_is_begun_is_behind() -> None:
    """As when the relay starts while Temporal is away."""
    assert lag_of(PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40)) == 60


def test_what_is_undecided_is_behind_with_all_that_follows_it() -> None:
    ledger = PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40)
    for offset in (50, 51, 52):
        ledger.receive(offset, size=1, at=0.0)
    ledger.settle(51)
    assert lag_of(ledger) == 50


def test_a_partition_that_is_decided_to_its_end_is_not_behind() -> None:
    ledger = PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40)
    ledger.receive(END - 1, size=1, at=0.0)
    ledger.settle(END - 1)
    assert lag_of(ledger) == 0


def test_a_transactions_marker_behind_the_last_record_is_no_lag() -> None:
    """As behind each parked record: the topic would have lag for ever."""
    ledger = PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40)
    ledger.receive(END - 2, size=1, at=0.0)
    ledger.settle(END - 2)
    assert lag_of(ledger, read_to=END) == 0


def test_what_is_read_and_not_decided_is_behind_however_far_it_is_read() -> None:
    ledger = PartitionLedger(epoch=1, window=9, window_bytes=10**9, begin=40)
    assert lag_of(ledger, read_to=END, begun=False) == 60
    ledger.receive(50, size=1, at=0.0)
    assert lag_of(ledger, read_to=END) == 50
