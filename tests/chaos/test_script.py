"""The script of records: from the seed alone, each kind in its share and in its place."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.emit import made, poison
from tests.chaos.script import (
    ELSEWHERE,
    ENDS,
    FULL,
    PLAIN,
    POISON_SECONDS,
    UPGRADE,
    Address,
    Event,
    Garbage,
    Item,
    Kind,
    Mix,
    addresses,
    completions,
    early_ones,
    ending,
    event_id,
    returned,
    script,
    waiting_for,
)
from tests.chaos.test_chaos import SHORT

from completion_relay.task_token import read_token
from completion_schemas.cloudevents import decode_record, encode_record
from completion_schemas.errors import DecodeError
from completion_schemas.events import ActivityReference, CompletionEvent, Failed
from completion_schemas.times import UnixNanos
from completion_schemas.tokens import token_fingerprint

seeds = st.integers(0, 2**32)
mixes = st.sampled_from([PLAIN, FULL, UPGRADE])
SEED = 7
ONE: Address = ("fan-0000", "0")
# A task token of server 1.32.0, of attempt 1 of the activity "0".
TOKEN = bytes.fromhex(
    "0a2430316132313562362d383765342d373032662d616131342d353530353762376339663437120177"
    "1a2430316132313562362d383931382d376432302d383336392d623937393161616630616534"
    "20052801320130420868616e642d6f66664a080801109580401801"
)
NOW = UnixNanos(1_700_000_000_000_000_000)


def events(items: tuple[Item, ...]) -> list[Event]:
    return [item for item in items if isinstance(item, Event)]


def reference() -> ActivityReference:
    return ActivityReference(
        namespace="default",
        task_token=base64.b64encode(TOKEN).decode(),
        token_fingerprint=token_fingerprint(TOKEN),
        workflow_id="w",
        run_id="01a215b6-8918-7d20-8369-b9791aaf0ae4",
        activity_id="0",
        attempt=1,
    )


def emitted(event: Event) -> CompletionEvent:
    return made(event, SEED, reference(), NOW)


@given(seeds, st.integers(1, 300), mixes)
def test_the_same_seed_gives_the_same_script(seed: int, activities: int, mix: Mix) -> None:
    assert script(seed, addresses(activities), mix) == script(seed, addresses(activities), mix)


def test_another_seed_gives_another_script() -> None:
    assert len({script(seed, addresses(50)) for seed in range(20)}) == 20


@given(seeds)
def test_a_script_has_ten_percent_duplicates_and_two_percent_garbage(seed: int) -> None:
    for mix in (PLAIN, FULL):
        items = script(seed, addresses(1_000), mix)
        ends = [event for event in events(items) if event.kind in ENDS]
        assert Counter(Counter(event_id(SEED, event) for event in ends).values()) == {
            1: 900,
            2: 100,
        }
        assert len(items) - len(events(items)) == 20


@given(seeds, st.integers(1, 300), mixes)
def test_every_activity_ends_in_one_way_whatever_comes_twice(
    seed: int, activities: int, mix: Mix
) -> None:
    items = script(seed, addresses(activities), mix)
    assert sorted(ending(items)) == sorted(addresses(activities))
    for event in events(items):
        assert event.kind not in ENDS or event.kind is ending(items)[event.address]


def test_a_plain_script_has_completions_by_token_alone() -> None:
    found = events(script(SEED, addresses(300), PLAIN))
    assert set(found) == set(completions(addresses(300)))


def test_a_full_script_has_every_kind_in_its_share() -> None:
    items = script(SEED, addresses(1_000))
    kinds = Counter(ending(items).values())
    assert kinds == {
        Kind.COMPLETED: 750,
        Kind.FAILED: 150,
        Kind.CANCELED: 50,
        Kind.UNASKED: 50,
    }
    count = Counter(event.kind for event in events(items))
    assert (count[Kind.POISON], count[Kind.ELSEWHERE]) == (3, 3)
    beating = {event.address for event in events(items) if event.kind is Kind.HEARTBEAT}
    assert len(beating) == 60
    assert sum(event.odd for event in events(items)) == 5


def test_the_short_run_has_each_kind_also_by_ids_and_twice() -> None:
    found = events(SHORT.script())
    assert {event.kind for event in found} == set(Kind) - {Kind.GARBAGE}
    twice = [
        event
        for event in found
        if sum(event_id(SEED, event) == event_id(SEED, other) for other in found) > 1
    ]
    ways = Counter(event_id(SEED, event) for event in set(twice))
    assert {event.by_ids for event in twice} == {True, False}
    assert set(ways.values()) == {1, 2}, "some name the activity in both ways"


@given(seeds)
def test_heartbeats_come_before_the_end_and_few_behind_it(seed: int) -> None:
    ended: set[Address] = set()
    late: Counter[Address] = Counter()
    before: Counter[Address] = Counter()
    for event in events(script(seed, addresses(300))):
        if event.kind in ENDS:
            ended.add(event.address)
        elif event.kind is Kind.HEARTBEAT:
            (late if event.address in ended else before)[event.address] += 1
    assert set(before.values()) <= {2, 3, 4}
    assert set(late.values()) <= {1}
    assert late.keys() <= before.keys()


@given(seeds)
def test_a_few_activities_that_are_asked_to_cancel_have_heartbeats(seed: int) -> None:
    items = script(seed, addresses(300))
    asked = {address for address, kind in ending(items).items() if kind is Kind.CANCELED}
    beating = {event.address for event in events(items) if event.kind is Kind.HEARTBEAT}
    assert len(asked & beating) >= 3


@given(seeds, st.integers(1, 300))
def test_an_early_event_and_its_duplicates_are_by_ids_and_all_that_is_said_of_its_activity(
    seed: int, activities: int
) -> None:
    mix = dataclasses.replace(FULL, early=0.25, poison=0, elsewhere=0)
    items = script(seed, addresses(activities), mix)
    early = early_ones(items)
    assert len(early) == round(activities * 0.25)
    for event in events(items):
        if event.address in early:
            assert (event.early, event.by_ids, event.attempt) == (True, True, 1)
            assert event.kind in ENDS - {Kind.CANCELED}


def test_an_upgrade_s_script_has_failures_too_and_none_but_early_events_by_ids() -> None:
    found = events(script(SEED, addresses(300), UPGRADE))
    assert Counter(ending(found).values()) == {Kind.COMPLETED: 270, Kind.FAILED: 30}
    assert {event.by_ids is event.early for event in found} == {True}
    assert len(early_ones(found)) == 120


@given(seeds)
def test_what_is_retried_fails_before_its_end_which_is_for_the_second_attempt(seed: int) -> None:
    items = events(script(seed, addresses(300)))
    failed: set[Address] = set()
    for event in items:
        if event.kind is Kind.RETRIED:
            assert event.attempt == 1
            failed.add(event.address)
        elif event.kind in ENDS:
            assert event.attempt == (2 if event.address in failed else 1)
        else:
            assert event.kind is not Kind.HEARTBEAT or event.address not in failed
    assert len(failed) == 15
    assert all(ending(items)[address] is not Kind.CANCELED for address in failed)


@given(seeds)
def test_a_failure_and_its_duplicates_name_the_activity_in_one_way(seed: int) -> None:
    found = [one for one in events(script(seed, addresses(300))) if one.kind is Kind.RETRIED]
    assert len(set(found)) == 15
    assert {one.by_ids for one in found} == {True, False}
    assert max(Counter(found).values()) > 1


@given(seeds)
def test_a_heartbeat_names_its_activity_as_the_first_end_does(seed: int) -> None:
    found = events(script(seed, addresses(300)))
    ways: dict[Address, bool] = {}
    for event in found:
        if event.kind in ENDS:
            ways.setdefault(event.address, event.by_ids)
    assert all(ways[one.address] is one.by_ids for one in found if one.kind is Kind.HEARTBEAT)


@given(seeds)
def test_poison_comes_early_enough_for_its_deadline_and_names_nobody_elses_activity(
    seed: int,
) -> None:
    items = script(seed, addresses(300))
    places = [
        at / len(items)
        for at, item in enumerate(items)
        if isinstance(item, Event) and item.kind is Kind.POISON
    ]
    assert max(places) < 0.85
    poisoned = {event.address for event in events(items) if event.kind is Kind.POISON}
    assert set(waiting_for(items)) - set(ending(items)) == poisoned


@given(seeds)
def test_garbage_is_never_an_event(seed: int) -> None:
    for item in script(seed, addresses(300)):
        if isinstance(item, Garbage):
            with pytest.raises(DecodeError):
                decode_record(item.record.headers, item.record.value)


@given(seeds)
def test_every_event_of_a_script_is_one_to_the_relay(seed: int) -> None:
    for event in set(events(script(seed, addresses(50)))):
        sent = emitted(event)
        record = encode_record(sent)
        assert decode_record(record.headers, record.value) == sent


def test_no_two_activities_and_no_two_ends_look_alike() -> None:
    seen = {
        returned(SEED, address, kind)
        for address in addresses(30)
        for kind in (Kind.COMPLETED, Kind.FAILED, Kind.CANCELED)
    }
    assert len(seen) == 90


def test_an_event_by_ids_has_no_token() -> None:
    sent = emitted(Event(Kind.HEARTBEAT, ONE, by_ids=True)).activity
    assert (sent.has_token, sent.token_fingerprint, sent.has_ids) == (False, "", True)


@pytest.mark.parametrize("number", range(3))
def test_a_failure_to_be_retried_may_be_and_some_are_over_what_temporal_keeps(number: int) -> None:
    outcome = emitted(Event(Kind.RETRIED, ONE, number)).outcome
    assert isinstance(outcome, Failed)
    assert not outcome.failure.application_failure_info.non_retryable
    assert (outcome.failure.ByteSize() > 4_096) is (number == 0)


def test_a_failure_by_ids_that_is_retried_does_not_say_which_attempt_it_is_for() -> None:
    assert emitted(Event(Kind.RETRIED, ONE, by_ids=True)).activity.attempt == 0
    assert emitted(Event(Kind.FAILED, ONE, by_ids=True)).activity.attempt == 1


def test_what_nobody_serves_names_another_namespace() -> None:
    sent = emitted(Event(Kind.ELSEWHERE, ONE)).activity
    assert (sent.namespace, sent.has_token) == (ELSEWHERE, True)


def test_a_poison_event_has_its_deadline_and_a_key_of_its_own() -> None:
    sent = emitted(Event(Kind.POISON, ONE))
    assert sent.expires_at == NOW + round(POISON_SECONDS * 1e9)
    assert sent.activity_key != emitted(Event(Kind.COMPLETED, ONE)).activity_key


@pytest.mark.parametrize("number", range(3))
def test_a_poison_token_still_names_its_activity(number: int) -> None:
    good, bad = read_token(TOKEN), read_token(poison(TOKEN, number))
    assert good is not None
    assert bad is not None
    assert (bad.workflow_id, bad.run_id, bad.activity_id, bad.attempt) == (
        good.workflow_id,
        good.run_id,
        good.activity_id,
        good.attempt,
    )
