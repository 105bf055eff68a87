"""Records that wait elsewhere: what they carry, and that no later event of the same activity overtakes them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.decision import Delivery, Former, Park
from completion_relay.instruction import Hold
from completion_relay.parking import (
    PREFIX,
    Order,
    ParkedRecordError,
    parked_record,
    read_ticket,
    without_ticket,
)
from completion_schemas.events import UnixNanos
from completion_schemas.record import Headers, KafkaRecord

NANOS = st.integers(0, 2**63 - 1).map(UnixNanos)
COUNTS = st.integers(0, 10**9)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
HEADERS = st.lists(
    st.tuples(
        NAMES.filter(lambda name: not name.startswith(PREFIX)), st.none() | st.binary(max_size=20)
    ),
    max_size=5,
).map(tuple)
RECORDS = st.builds(
    KafkaRecord, st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=50), HEADERS
)
DELIVERIES = st.builds(
    Delivery,
    topic=st.just("completions"),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-1, 2**53),
    record=RECORDS,
    received_at=NANOS,
)
FORMERS = st.builds(
    Former,
    tries=COUNTS,
    first_failed_at=st.none() | NANOS,
    may_land=st.booleans(),
    failed_itself=st.booleans(),
    early_for=st.integers(0, 10**9).map(lambda millis: millis / 1e3),
    behind=st.none() | st.integers(0, 2**63 - 1),
)
PARKS = st.builds(Park, reason=NAMES, former=FORMERS, status=st.none())
HOLDS = st.builds(Hold, by=NAMES, why=NAMES, until=NANOS)
GOOD = parked_record(
    Delivery("completions", 3, 17, 5, KafkaRecord(b"k", b"v", ()), UnixNanos(1)),
    Park(reason="halted", former=Former(tries=2, first_failed_at=UnixNanos(9)), status=None),
    key="an-activity",
    times=1,
    not_before=UnixNanos(30),
    relay_id="relay-1",
)


LATER = ("may-land", "failed-itself", "early-for", "behind")
"""What a ticket of a former version does not say."""


def said(changes: dict[str, bytes | None], *, without: Sequence[str] = ()) -> Headers:
    """Return the headers of a good parked record, but for some."""
    headers = dict(GOOD.headers)
    headers |= {PREFIX + name: value for name, value in changes.items()}
    for name in without:
        del headers[PREFIX + name]
    return tuple(headers.items())


@given(DELIVERIES, PARKS, NAMES, st.integers(1, 10**9), NANOS)
def test_a_ticket_says_what_was_written_and_the_original_is_untouched(
    delivery: Delivery, park: Park, key: str, times: int, not_before: UnixNanos
) -> None:
    parked = parked_record(
        delivery, park, key=key, times=times, not_before=not_before, relay_id="relay-1"
    )
    ticket = read_ticket(parked.headers, of="completions")
    assert (ticket.topic, ticket.partition, ticket.offset, ticket.timestamp_ms) == (
        delivery.topic,
        delivery.partition,
        delivery.offset,
        delivery.timestamp_ms,
    )
    assert (ticket.key, ticket.times, ticket.not_before) == (key, times, not_before)
    assert ticket.received_at == delivery.received_at
    assert ticket.hold is None
    assert ticket.former == park.former
    assert (parked.key, parked.value) == (delivery.record.key, delivery.record.value)
    assert without_ticket(parked.headers) == delivery.record.headers


@pytest.mark.parametrize(
    ("tries", "failed_at", "former"),
    [
        (b"0", b"", Former()),
        (b"2", b"", Former(tries=2, may_land=True)),
        (
            b"2",
            b"9",
            Former(tries=2, first_failed_at=UnixNanos(9), may_land=True, failed_itself=True),
        ),
    ],
)
def test_the_ticket_of_a_former_version_is_taken_for_the_worst(
    tries: bytes, failed_at: bytes, former: Former
) -> None:
    """It says not of which call the answer is lost, nor for what it was parked."""
    headers = said({"tries": tries, "first-failed-at": failed_at}, without=LATER)
    assert read_ticket(headers, of="completions").former == former


@given(DELIVERIES, PARKS, HOLDS)
def test_a_ticket_says_who_had_it_parked_and_why(
    delivery: Delivery, park: Park, hold: Hold
) -> None:
    parked = parked_record(
        delivery, park, key="k", times=1, not_before=UnixNanos(1), relay_id="relay-1", hold=hold
    )
    assert read_ticket(parked.headers, of="completions").hold == hold
    assert without_ticket(parked.headers) == delivery.record.headers


def test_parking_again_replaces_the_ticket_and_keeps_the_origin() -> None:
    ticket = read_ticket(GOOD.headers, of="completions")
    again = parked_record(
        Delivery("completions", 3, 17, 5, GOOD, UnixNanos(1)),
        Park(reason="halted", former=Former(tries=7, first_failed_at=UnixNanos(9)), status=None),
        key="an-activity",
        times=ticket.times + 1,
        not_before=UnixNanos(90),
        relay_id="relay-2",
    )
    names = [name for name, _ in again.headers]
    assert len(names) == len(set(names))
    second = read_ticket(again.headers, of="completions")
    assert (second.partition, second.offset) == (ticket.partition, ticket.offset)
    assert (second.times, second.not_before, second.former.tries) == (2, 90, 7)


def test_a_long_reason_is_cut_and_stays_text() -> None:
    park = Park(reason="ä" * 100_000, former=Former(), status=None)
    delivery = Delivery("completions", 0, 0, 0, KafkaRecord(None, b"v", ()), UnixNanos(0))
    parked = parked_record(
        delivery, park, key="k", times=1, not_before=UnixNanos(0), relay_id="relay-1"
    )
    reason = dict(parked.headers)[PREFIX + "reason"]
    assert reason is not None
    assert len(reason) <= 4_096
    assert set(reason.decode()) == {"ä"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in GOOD.headers]) | NAMES,
            st.none() | st.binary(max_size=30) | st.integers().map(lambda n: str(n).encode()),
        ),
        max_size=20,
    )
)
def test_whatever_somebody_writes_there_is_a_ticket_or_refused(
    headers: list[tuple[str, bytes | None]],
) -> None:
    changed = dict(GOOD.headers) | dict(headers)
    for some in (tuple(headers), (*GOOD.headers, *headers), tuple(changed.items())):
        try:
            ticket = read_ticket(some, of="completions")
        except ParkedRecordError:
            continue
        assert ticket.topic == "completions"
        assert min(ticket.partition, ticket.offset, ticket.not_before, ticket.former.tries) >= 0


@pytest.mark.parametrize(
    "name",
    ["partition", "offset", "timestamp", "received-at", "not-before", "times", "tries"],
)
@pytest.mark.parametrize(
    "text", [b"", b"-", b"--1", b"-2", b"1e3", b"0x1", "٣".encode(), b"9" * 40]
)
def test_what_is_no_number_of_a_relay_is_refused_by_name(name: str, text: bytes) -> None:
    with pytest.raises(ParkedRecordError, match=f"{PREFIX}{name} "):
        read_ticket(said({name: text}), of="completions")


def test_more_tries_than_an_audit_record_takes_are_refused() -> None:
    """Its field is a 32-bit number: a record that cannot be audited would stay for ever."""
    with pytest.raises(ParkedRecordError, match="tries"):
        read_ticket(said({"tries": b"2147483648"}), of="completions")


def test_a_record_without_a_time_of_its_own_keeps_that() -> None:
    assert read_ticket(said({"timestamp": b"-1"}), of="completions").timestamp_ms == -1


@pytest.mark.parametrize(
    "name",
    sorted(
        {name.removeprefix(PREFIX) for name, _ in GOOD.headers} - {*LATER, "reason", "relay-id"}
    ),
)
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(ParkedRecordError, match=PREFIX + name):
        read_ticket(said({}, without=[name]), of="completions")


def test_a_ticket_of_a_version_that_knew_no_operators_is_read() -> None:
    assert read_ticket(GOOD.headers, of="completions").hold is None


@pytest.mark.parametrize("name", ["by", "why"])
def test_an_operators_time_without_who_and_why_is_refused(name: str) -> None:
    whole: dict[str, bytes | None] = {"by": b"ann", "why": b"ticket 7", "until": b"40"}
    with pytest.raises(ParkedRecordError, match=PREFIX + name):
        read_ticket(said(whole, without=[name]), of="completions")


def test_a_header_that_is_there_twice_with_two_values_is_refused() -> None:
    with pytest.raises(ParkedRecordError, match="offset is there twice"):
        read_ticket((*GOOD.headers, (PREFIX + "offset", b"18")), of="completions")


def test_a_header_that_is_no_text_is_refused() -> None:
    with pytest.raises(ParkedRecordError, match="key is not UTF-8"):
        read_ticket(said({"key": b"\xff"}), of="completions")


def test_a_record_of_another_topic_is_refused() -> None:
    """Its offset would be taken for one of ours."""
    with pytest.raises(ParkedRecordError, match="must be completions"):
        read_ticket(said({"topic": b"somebody-elses"}), of="completions")


STEPS = st.lists(
    st.tuples(st.sampled_from(["park", "decided"]), st.sampled_from("ab"), st.integers(0, 5))
)


@given(STEPS)
def test_the_order_agrees_with_a_list_of_what_is_parked(steps: list[tuple[str, str, int]]) -> None:
    order, model = Order(), set[tuple[str, int]]()
    for step, key, offset in steps:
        if step == "park":
            order.park(key, offset)
            model.add((key, offset))
        else:
            order.decided(key, offset)
            model.discard((key, offset))
        assert len(order) == len(model)
        for at in range(7):
            assert order.has(at) is any(parked == at for _, parked in model)
        for one in "abc":
            for at in range(7):
                earlier = [parked for k, parked in model if k == one and parked < at]
                assert order.before(one, at) == max(earlier, default=None)
    for key, offset in model:
        order.decided(key, offset)
    assert not order._parked, "there is one activity after the other, for ever"
