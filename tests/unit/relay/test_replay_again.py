"""The record that is put again: what of the original stays, what goes and what is said."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from tests import strategies

from completion_relay.dead_letter import dead_letter
from completion_relay.decision import Decision, Delivery
from completion_relay.replay import headers as said
from completion_relay.replay.again import Changes, Kept, again, home
from completion_relay.replay.headers import Position
from completion_relay.verdict import DeadLetter
from completion_schemas.cloudevents import decode_record, encode_record
from completion_schemas.dispositions import DeadLetterReason
from completion_schemas.events import ActivityReference, Completed, CompletionEvent, UnixNanos
from completion_schemas.record import Headers, KafkaRecord

OURS = ("completion-dlq-", "completion-park-", "completion-replay-")
HOME = Changes("completions")
ORIGIN = Position("completions", 2, 7)

_names = st.sampled_from(
    [
        "completion-dlq-reason",
        "completion-dlq-topic",
        "completion-park-times",
        "completion-replay-of",
        "completion-replay-count",
        "completion-replay-namespace",
        "completion-replay-to-topic",
        "completion-replay-of-a-later-version",
        "ce_id",
        "ce_signature",
        "signature",
        "traceparent",
    ]
)
_values = (
    st.none() | st.binary(max_size=12) | st.sampled_from([b"completions/2/7", b"3", b"orders"])
)
headers = st.lists(st.tuples(_names | strategies.texts, _values), max_size=8).map(tuple)
records = st.builds(KafkaRecord, st.none() | st.binary(), st.none() | st.binary(), headers)
kept = st.builds(Kept, st.just(ORIGIN), st.integers(0, 2**60), records)
changes = st.builds(
    Changes,
    st.sampled_from(["completions", "elsewhere"]),
    st.dictionaries(strategies.texts, strategies.names, max_size=3),
)


def originals(of: Headers) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in of if not name.startswith(OURS)]


def event(namespace: str = "") -> CompletionEvent:
    return CompletionEvent(
        event_id="e-1",
        occurred_at=UnixNanos(1),
        activity=ActivityReference(
            task_token=base64.b64encode(b"some token").decode(), namespace=namespace
        ),
        outcome=Completed(),
    )


def kept_event(namespace: str = "", *headers: tuple[str, bytes]) -> Kept:
    return Kept(ORIGIN, 1_000, encode_record(event(namespace), headers=headers))


def text(record: KafkaRecord, name: str) -> str | None:
    return said.text_of(record.headers, name)


@given(kept, changes, st.integers(1, 10))
def test_key_value_and_every_header_of_the_original_stay_in_their_order(
    kept: Kept, changes: Changes, count: int
) -> None:
    sent = again(kept, changes, count=count)
    assert (sent.key, sent.value) == (kept.record.key, kept.record.value)
    own = originals(kept.record.headers)
    assert list(sent.headers[: len(own)]) == own
    assert all(name.startswith("completion-replay-") for name, _ in sent.headers[len(own) :])


@given(kept, changes, st.integers(1, 10))
def test_nothing_of_the_way_to_the_dead_letter_or_parked_topic_is_left(
    kept: Kept, changes: Changes, count: int
) -> None:
    sent = again(kept, changes, count=count)
    assert [name for name, _ in sent.headers if name.startswith(OURS[:2])] == []


@given(kept, changes)
def test_it_says_of_what_it_is_a_replay_and_which_one(kept: Kept, changes: Changes) -> None:
    sent = again(kept, changes, count=kept.replays + 1)
    assert said.replay_of(sent.headers) == kept.origin
    assert said.number_of(sent.headers, said.COUNT) == kept.replays + 1
    assert (text(sent, said.TO_TOPIC) is not None) == (kept.origin.topic != changes.topic)


@given(kept, changes, changes)
def test_a_replay_of_a_replay_is_of_the_same_origin(
    kept: Kept, first: Changes, second: Changes
) -> None:
    once = Kept(Position("completions", 0, 99), 5, again(kept, first, count=1))
    twice = Kept(Position("elsewhere", 1, 3), 6, again(once, second, count=2))
    assert once.origin == twice.origin == kept.origin
    assert once.first_timestamp_ms == twice.first_timestamp_ms == kept.first_timestamp_ms
    assert twice.replays == 2


@given(kept, st.binary())
def test_a_dead_letter_is_of_the_record_that_failed(kept: Kept, value: bytes) -> None:
    record = KafkaRecord(b"k", value, tuple(originals(kept.record.headers)))
    letter = dead_letter(
        Delivery("completions", 3, 12, 4_000, record, UnixNanos(0)),
        Decision.dead_letter(DeadLetter(DeadLetterReason.FORBIDDEN, "why"), stage="route"),
        group="g",
        relay_id="r",
        now=UnixNanos(10**18),
    )
    found = Kept(Position("completions.dead-letter", 3, 0), 9_000, letter)
    assert (found.origin, found.first_timestamp_ms) == (Position("completions", 3, 12), 4_000)
    sent = again(found, HOME, count=1)
    assert sent.headers[: len(record.headers)] == record.headers
    assert text(sent, said.TO_TOPIC) is None


def test_a_replay_that_fails_again_is_dead_lettered_under_its_first_position() -> None:
    sent = again(kept_event(), HOME, count=1)
    letter = dead_letter(
        Delivery("completions", 2, 300, 9_000, sent, UnixNanos(0)),
        Decision.dead_letter(DeadLetter(DeadLetterReason.FORBIDDEN, "why"), stage="route"),
        group="g",
        relay_id="r",
        now=UnixNanos(10**18),
    )
    at = [text(letter, f"completion-dlq-{name}") for name in ("topic", "partition", "offset")]
    assert at == ["completions", "2", "7"]
    assert text(letter, "completion-dlq-timestamp") == "1000"
    assert Kept(Position("completions.dead-letter", 2, 1), 9_500, letter).origin == ORIGIN


def test_a_namespace_that_is_mapped_is_said_and_the_event_stays_as_it_was() -> None:
    kept = kept_event("ordes")
    sent = again(kept, Changes("completions", {"ordes": "orders"}), count=1)
    assert text(sent, said.NAMESPACE) == "orders"
    assert decode_record(sent.headers, sent.value) == event("ordes")
    assert Kept(ORIGIN, 0, sent).event() == event("orders")


def test_a_namespace_that_is_not_mapped_is_not_said() -> None:
    sent = again(kept_event("orders"), Changes("completions", {"ordes": "orders"}), count=1)
    assert text(sent, said.NAMESPACE) is None


def test_what_an_earlier_replay_has_mapped_stays_mapped() -> None:
    kept = kept_event("ordes", (said.NAMESPACE, b"orders"))
    for changes in (HOME, Changes("completions", {"ordes": "billing"})):
        assert text(again(kept, changes, count=2), said.NAMESPACE) == "orders"


def test_the_map_is_of_the_namespace_that_the_event_is_for_now() -> None:
    kept = kept_event("ordes", (said.NAMESPACE, b"orders"))
    sent = again(kept, Changes("completions", {"orders": "billing"}), count=2)
    assert text(sent, said.NAMESPACE) == "billing"
    back = again(kept, Changes("completions", {"orders": "ordes"}), count=2)
    assert text(back, said.NAMESPACE) is None


def test_on_its_own_topic_it_goes_to_the_partition_it_was_in() -> None:
    assert home(ORIGIN, "completions", 12) == 2
    assert home(ORIGIN, "completions", 2) is None
    assert home(ORIGIN, "elsewhere", 12) is None


@given(strategies.texts | st.from_regex(r"[a-z]{1,5}/\d{1,22}/\d{1,22}", fullmatch=True))
def test_a_position_is_read_as_it_is_written_or_not_at_all(text: str) -> None:
    position = Position.parse(text)
    if position is not None:
        assert Position.parse(str(position)) == position
        assert position.partition < 2**31
        assert position.offset < 2**63
