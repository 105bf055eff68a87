"""Each finding counts what it names, and a run without fault has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from tests.chaos.found import Commit, Ended, Found, Started
from tests.chaos.garbage import GARBAGE_HEADER
from tests.chaos.judge import judge
from tests.chaos.poison import MANY_ELSEWHERE, SEVERAL_BEHIND, WINDOW_SECONDS
from tests.chaos.script import (
    ENDS,
    POISON_SECONDS,
    Address,
    Event,
    Garbage,
    Item,
    Kind,
    event_id,
    returned,
)

from completion_relay.offset_map import encode
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference, CompletionSignal
from completion_schemas.record import KafkaRecord
from completion_schemas.signals import encode_signal
from completion_schemas.times import UnixNanos

SEED = 7
ONE: Address = ("fan-0000", "0")
TWO: Address = ("fan-0000", "1")
THREE: Address = ("fan-0000", "2")
FOUR: Address = ("fan-0001", "0")
FIVE: Address = ("fan-0001", "1")
SIX: Address = ("fan-0001", "2")
POISONED: Address = ("poison", "0")
GARBAGE = KafkaRecord(b"k", b"\xff", ((GARBAGE_HEADER, b"0"), ("ce_id", None)))

COMPLETED = Event(Kind.COMPLETED, ONE)
FAILED = Event(Kind.FAILED, TWO)
BEAT = Event(Kind.HEARTBEAT, THREE)
UNASKED = Event(Kind.UNASKED, THREE, odd=True)
LATE_BEAT = Event(Kind.HEARTBEAT, THREE, 1)
CANCELED = Event(Kind.CANCELED, FOUR, by_ids=True)
ELSEWHERE = Event(Kind.ELSEWHERE, FOUR)
POISON = Event(Kind.POISON, POISONED)
RETRIED = Event(Kind.RETRIED, FIVE, by_ids=True)
SECOND = Event(Kind.COMPLETED, FIVE, attempt=2)
ASKED_BEAT = Event(Kind.HEARTBEAT, SIX, by_ids=True)
ASKED = Event(Kind.CANCELED, SIX, by_ids=True)
ITEMS: tuple[Item, ...] = (
    COMPLETED,
    Garbage(0, GARBAGE),
    FAILED,
    COMPLETED,
    BEAT,
    UNASKED,
    LATE_BEAT,
    CANCELED,
    ELSEWHERE,
    POISON,
    RETRIED,
    RETRIED,
    SECOND,
    ASKED_BEAT,
    ASKED,
)
TYPES = {
    Kind.FAILED: "failed",
    Kind.RETRIED: "failed",
    Kind.CANCELED: "canceled",
    Kind.UNASKED: "canceled",
}
DEADLINE = UnixNanos(1 + round(POISON_SECONDS * 1e9))


def record(event: Event) -> KafkaRecord:
    own = ("ce_id", event_id(SEED, event).encode())
    odd = (("x-\ufffd", b""),) if event.odd else ()
    # All that is said of one activity has one key.
    return KafkaRecord("/".join(("default", *event.address)).encode(), b"value", (*odd, own))


def signal(of: Address = SIX, *, now: int = 1, paused: bool = False) -> KafkaRecord:
    reference = ActivityReference(
        namespace="default", workflow_id=of[0], run_id="r", activity_id=of[1]
    )
    return encode_signal(
        CompletionSignal(
            activity=reference, cancel_requested=True, paused=paused, observed_at=UnixNanos(now)
        )
    )


def audit(offset: int, of: Event | None, disposition: Disposition, **more: Any) -> AuditRecord:
    said = {
        "event_id": event_id(SEED, of) if of else "",
        "type": TYPES.get(of.kind, "completed") if of else "",
        "disposition": disposition,
        "topic": "t",
        "partition": 0,
        "offset": offset,
        "received_at": UnixNanos(1),
        "decided_at": UnixNanos(1),
        "relay_id": "relay",
        "group": "g",
    }
    if of is not None and of.kind is Kind.HEARTBEAT:
        said["type"] = "heartbeat"
    return AuditRecord(**{**said, **more})


def letter(offset: int, of: KafkaRecord, reason: bytes = b"undecodable") -> KafkaRecord:
    added = (
        ("completion-dlq-reason", reason),
        ("completion-dlq-partition", b"0"),
        ("completion-dlq-offset", b"%d" % offset),
    )
    return KafkaRecord(of.key, of.value, (*of.headers, *added))


def mark(event: Event, offset: int) -> str:
    return f"completion-relay/{event_id(SEED, event)}@t/0/{offset}"


def ended(event: Event, offset: int, outcome: str) -> Ended:
    return Ended(mark(event, offset), outcome)


APPLIED, DUPLICATE = Disposition.APPLIED, Disposition.DUPLICATE
UNDECODABLE = {"reason": DeadLetterReason.UNDECODABLE}
FORBIDDEN = {"reason": DeadLetterReason.FORBIDDEN}
GIVEN_UP = {"occurred_at": UnixNanos(1), "decided_at": DEADLINE, "tries": 3}
AFTERWARDS = {"received_at": DEADLINE, "decided_at": DEADLINE}
"""When the poison token holds up nobody any more."""
AUDIT = [
    audit(0, COMPLETED, APPLIED),
    audit(1, None, Disposition.DEAD_LETTERED, **UNDECODABLE),
    audit(2, FAILED, APPLIED),
    audit(3, COMPLETED, DUPLICATE),
    audit(4, BEAT, APPLIED),
    audit(5, UNASKED, APPLIED),
    audit(6, LATE_BEAT, Disposition.COALESCED),
    audit(7, CANCELED, APPLIED),
    audit(8, ELSEWHERE, Disposition.DEAD_LETTERED, **FORBIDDEN),
    audit(9, POISON, Disposition.EXPIRED, **GIVEN_UP),
    audit(10, RETRIED, APPLIED, **AFTERWARDS),
    audit(11, RETRIED, DUPLICATE, **AFTERWARDS),
    audit(12, SECOND, APPLIED, **AFTERWARDS),
    audit(13, ASKED_BEAT, APPLIED, **AFTERWARDS),
    audit(14, ASKED, APPLIED, **AFTERWARDS),
]
LETTERS = [letter(1, GARBAGE), letter(8, record(ELSEWHERE), b"forbidden")]
WELL = Found(
    topic="t",
    main={
        (0, offset): item.record if isinstance(item, Garbage) else record(item)
        for offset, item in enumerate(ITEMS)
    },
    audit=AUDIT,
    parked={},
    dead_letters=LETTERS,
    signals=[signal()],
    results={
        event.address: returned(SEED, event.address, event.kind)
        for event in (COMPLETED, FAILED, UNASKED, CANCELED, SECOND, ASKED)
    },
    ends={
        ONE: [ended(COMPLETED, 0, "completed")],
        TWO: [ended(FAILED, 2, "failed")],
        THREE: [ended(UNASKED, 5, "failed")],
        FOUR: [ended(CANCELED, 7, "canceled")],
        FIVE: [ended(SECOND, 12, "completed")],
        SIX: [ended(ASKED, 14, "canceled")],
    },
    started={
        **dict.fromkeys((ONE, TWO, THREE, FOUR, SIX), Started(1)),
        FIVE: Started(2, mark(RETRIED, 10)),
    },
    commits=[
        Commit("t", 0, 2),
        Commit("t", 1, 0),
        Commit("t", 0, 2, encode(2, [range(4, 6), range(7, 8)])),
        Commit("t", 0, 5, encode(5, [range(5, 6), range(7, 8)])),
        Commit("t", 0, 15),
    ],
    uncommitted={"t/0": 0},
)


def counted(found: Found) -> dict[str, int]:
    return {one.name: one.count for one in judge(SEED, ITEMS, found) if one.count}


def but(**changed: object) -> Found:
    return dataclasses.replace(WELL, **changed)  # type: ignore[arg-type]


def judged(offset: int, of: Event | None, disposition: Disposition, **more: Any) -> Found:
    """What was found, with another audit record of that offset."""
    other = audit(offset, of, disposition, **more)
    return but(audit=[*AUDIT[:offset], other, *AUDIT[offset + 1 :]])


def returning(event: Event, *seen: str) -> Found:
    return but(results={**WELL.results, event.address: seen})


def ending(event: Event, *ends: Ended) -> Found:
    return but(ends={**WELL.ends, event.address: ends})


def starting(event: Event, attempt: int, after: str = "") -> Found:
    return but(started={**WELL.started, event.address: Started(attempt, after)})


def crowded(
    *, past: int = 0, behind: int = SEVERAL_BEHIND, elsewhere: int = MANY_ELSEWHERE
) -> Found:
    """A poison token with records behind it, of which some were decided before it was."""
    again = record(COMPLETED)
    late = {"received_at": UnixNanos(2), "decided_at": DEADLINE}
    before = {**late, "decided_at": UnixNanos(DEADLINE - round(WINDOW_SECONDS * 1e9 / 2))}
    own = {(0, len(ITEMS) + number): before if number < past else late for number in range(behind)}
    others = {(1, number): before for number in range(elsewhere)}
    return but(
        main={**WELL.main, **dict.fromkeys((*own, *others), again)},
        audit=[
            *AUDIT,
            *(
                audit(offset, COMPLETED, DUPLICATE, **{**times, "partition": partition})
                for (partition, offset), times in (own | others).items()
            ),
        ],
    )


def without(offset: int) -> dict[tuple[int, int], KafkaRecord]:
    return {at: one for at, one in WELL.main.items() if at != (0, offset)}


@pytest.mark.parametrize(
    "found",
    [
        WELL,
        judged(4, BEAT, Disposition.COALESCED),
        dataclasses.replace(judged(13, ASKED_BEAT, Disposition.COALESCED), signals=[]),
        crowded(past=1),
        # Temporal was away, or nothing was there that could have got past it.
        crowded(elsewhere=MANY_ELSEWHERE - 1),
        crowded(behind=SEVERAL_BEHIND - 1),
    ],
)
def test_a_run_in_which_all_is_as_promised_has_no_findings(found: Found) -> None:
    assert counted(found) == {}


NOT_THEIRS = {"records with a disposition that is not theirs": 1}
OTHER_OUTCOME = {"activities with an outcome that is not theirs": 1}
WRONG_EVENT = {"activities ended by a wrong event": 1}
CONTRADICTED = {"activities applied by another position than history says": 1}
CHANGED = {"dead letters that are not the original bytes": 1}
OTHER_ATTEMPTS = {"activities with more or fewer attempts than theirs": 1}
OTHER_RETRY = {"retries by another position than the audit trail says": 1}
UNSIGNALLED = {"heartbeats applied to what is to be canceled, without their signal": 1}
UNANSWERED = {"signals without an applied heartbeat of their own": 1}
NO_SIGNAL = {"signals that are none, or that say what Temporal did not": 1}
POISON_EARLY = {"poison tokens given up untried, or before their deadline": 1}

CASES: dict[str, tuple[Callable[[], Found], dict[str, int]]] = {
    "a record that was acknowledged is gone": (
        lambda: but(main=without(3)),
        {"acknowledged records that Kafka lost": 1, "audit records of no position": 1},
    ),
    "a record that lost its odd header": (
        lambda: but(main={**WELL.main, (0, 5): record(dataclasses.replace(UNASKED, odd=False))}),
        {"acknowledged records that Kafka lost": 1},
    ),
    "an activity that still waits": (
        lambda: but(
            results={at: one for at, one in WELL.results.items() if at != TWO},
            ends={at: one for at, one in WELL.ends.items() if at != TWO},
            audit=AUDIT[:2] + AUDIT[3:],
        ),
        {"activities never ended": 1, "positions without an audit record": 1},
    ),
    "a workflow that did not end": (
        lambda: but(results={at: one for at, one in WELL.results.items() if at != TWO}),
        {"activities whose workflow did not end": 1},
    ),
    "a result of another activity": (
        lambda: returning(COMPLETED, *returned(SEED, TWO, Kind.COMPLETED)),
        OTHER_OUTCOME,
    ),
    "a failure with another text": (
        lambda: returning(FAILED, *returned(SEED, ONE, Kind.FAILED)),
        OTHER_OUTCOME,
    ),
    "a failure of another type": (
        lambda: returning(FAILED, "failed", "Other", returned(SEED, TWO, Kind.FAILED)[2]),
        OTHER_OUTCOME,
    ),
    "a completion where a failure was reported": (
        lambda: returning(FAILED, *returned(SEED, TWO, Kind.COMPLETED)),
        OTHER_OUTCOME,
    ),
    "a cancellation that lost its details": (
        lambda: returning(CANCELED, "canceled", ""),
        OTHER_OUTCOME,
    ),
    "a cancellation nobody asked for that came as one": (
        lambda: dataclasses.replace(
            ending(UNASKED, ended(UNASKED, 5, "canceled")),
            results={**WELL.results, THREE: returned(SEED, THREE, Kind.CANCELED)},
        ),
        OTHER_OUTCOME | WRONG_EVENT,
    ),
    "a cancellation that was asked for and came as a failure": (
        lambda: dataclasses.replace(
            ending(CANCELED, ended(CANCELED, 7, "failed")),
            results={**WELL.results, FOUR: returned(SEED, FOUR, Kind.UNASKED)},
        ),
        OTHER_OUTCOME | WRONG_EVENT,
    ),
    "a second end in history": (
        lambda: ending(
            COMPLETED, ended(COMPLETED, 0, "completed"), ended(COMPLETED, 3, "completed")
        ),
        {"activities ended twice": 1} | CONTRADICTED,
    ),
    "an end by another event": (
        lambda: ending(FAILED, ended(COMPLETED, 2, "failed")),
        WRONG_EVENT,
    ),
    "an end by a heartbeat": (
        lambda: ending(UNASKED, ended(BEAT, 4, "failed")),
        WRONG_EVENT | CONTRADICTED,
    ),
    "an end by an event for a namespace that is not served": (
        lambda: ending(CANCELED, ended(ELSEWHERE, 8, "completed")),
        WRONG_EVENT | CONTRADICTED,
    ),
    "an end by a poison token": (
        lambda: ending(POISON, ended(POISON, 9, "completed")),
        WRONG_EVENT,
    ),
    "an end that is no outcome": (
        lambda: ending(
            FAILED, dataclasses.replace(ended(FAILED, 2, "failed"), outcome="timed_out")
        ),
        WRONG_EVENT,
    ),
    "two audit records of one position": (
        lambda: but(audit=[*AUDIT, AUDIT[0], AUDIT[0]]),
        {"second audit records of a position": 2},
    ),
    "two audit records of a poison token": (
        lambda: but(audit=[*AUDIT, AUDIT[9]]),
        {"second audit records of a position": 1},
    ),
    "an audit record of a position that is not there": (
        lambda: but(audit=[*AUDIT, audit(len(ITEMS), None, DUPLICATE)]),
        {"audit records of no position": 1},
    ),
    "an event that is called unknown": (
        lambda: judged(3, COMPLETED, Disposition.UNKNOWN),
        NOT_THEIRS,
    ),
    "a duplicate that is called a conflict": (
        lambda: judged(3, COMPLETED, Disposition.CONFLICT),
        NOT_THEIRS,
    ),
    "an event that is audited as another one": (
        lambda: judged(3, FAILED, DUPLICATE),
        NOT_THEIRS,
    ),
    "an event that is audited as one of another type": (
        lambda: judged(5, UNASKED, APPLIED, type="failed"),
        NOT_THEIRS,
    ),
    "garbage that is called applied": (lambda: judged(1, None, APPLIED), NOT_THEIRS),
    "garbage that is called forbidden": (
        lambda: judged(1, None, Disposition.DEAD_LETTERED, **FORBIDDEN),
        NOT_THEIRS,
    ),
    "a namespace not served that is called applied": (
        lambda: judged(8, ELSEWHERE, APPLIED),
        NOT_THEIRS,
    ),
    "a namespace not served that is called undecodable": (
        lambda: judged(8, ELSEWHERE, Disposition.DEAD_LETTERED, **UNDECODABLE),
        NOT_THEIRS,
    ),
    "a heartbeat that is called a duplicate": (lambda: judged(4, BEAT, DUPLICATE), NOT_THEIRS),
    "a heartbeat that is called a conflict": (
        lambda: judged(6, LATE_BEAT, Disposition.CONFLICT),
        NOT_THEIRS,
    ),
    "a heartbeat that was taken behind the end": (
        lambda: judged(6, LATE_BEAT, APPLIED),
        {"heartbeats applied behind the end of their activity": 1},
    ),
    "a poison token that is called applied": (
        lambda: judged(9, POISON, APPLIED, **GIVEN_UP),
        NOT_THEIRS,
    ),
    "a poison token that was dead-lettered": (
        lambda: judged(
            9,
            POISON,
            Disposition.DEAD_LETTERED,
            reason=DeadLetterReason.EXHAUSTED,
            **GIVEN_UP,
        ),
        NOT_THEIRS,
    ),
    "a poison token that was never tried": (
        lambda: judged(9, POISON, Disposition.EXPIRED, **{**GIVEN_UP, "tries": 0}),
        POISON_EARLY,
    ),
    "a poison token that was given up before its deadline": (
        lambda: judged(
            9, POISON, Disposition.EXPIRED, **{**GIVEN_UP, "decided_at": UnixNanos(DEADLINE - 1)}
        ),
        POISON_EARLY,
    ),
    "a poison token that nothing got past": (
        crowded,
        {"partitions that a poison token held up": 1},
    ),
    "a duplicate that is called applied too": (
        lambda: judged(3, COMPLETED, APPLIED),
        CONTRADICTED,
    ),
    "a failure that burned two attempts": (
        lambda: starting(RETRIED, 3, mark(RETRIED, 10)),
        OTHER_ATTEMPTS,
    ),
    "a failure whose duplicate burned an attempt, too": (
        lambda: dataclasses.replace(
            judged(11, RETRIED, APPLIED), started=starting(RETRIED, 3, mark(RETRIED, 11)).started
        ),
        OTHER_ATTEMPTS | OTHER_RETRY,
    ),
    "a failure that was not retried": (lambda: starting(RETRIED, 1), OTHER_ATTEMPTS | OTHER_RETRY),
    "a failure that is retried and was not to be": (
        lambda: starting(FAILED, 2, mark(FAILED, 2)),
        OTHER_ATTEMPTS | OTHER_RETRY,
    ),
    "an attempt that came after a timeout": (lambda: starting(RETRIED, 2), OTHER_RETRY),
    "a retry by another record of the failure": (
        lambda: starting(RETRIED, 2, mark(RETRIED, 11)),
        OTHER_RETRY,
    ),
    "a failure to be retried that is called a conflict": (
        lambda: judged(11, RETRIED, Disposition.CONFLICT),
        NOT_THEIRS,
    ),
    "an event that was dead-lettered": (
        lambda: but(dead_letters=[*LETTERS, letter(2, record(FAILED))]),
        {"events wrongly dead-lettered": 1},
    ),
    "a poison token with a dead letter": (
        lambda: but(dead_letters=[*LETTERS, letter(9, record(POISON), b"exhausted")]),
        {"events wrongly dead-lettered": 1},
    ),
    "garbage that was dropped": (
        lambda: but(dead_letters=LETTERS[1:]),
        {"records that were not dead-lettered, and should be": 1},
    ),
    "an event for a namespace not served that was dropped": (
        lambda: but(dead_letters=LETTERS[:1]),
        {"records that were not dead-lettered, and should be": 1},
    ),
    "garbage that was dead-lettered twice": (
        lambda: but(dead_letters=[*LETTERS, LETTERS[0]]),
        {"second dead letters of a position": 1},
    ),
    "a dead letter with another value": (
        lambda: but(dead_letters=[letter(1, dataclasses.replace(GARBAGE, value=b"")), LETTERS[1]]),
        CHANGED,
    ),
    "a dead letter that lost a header": (
        lambda: but(dead_letters=[letter(1, dataclasses.replace(GARBAGE, headers=())), LETTERS[1]]),
        CHANGED,
    ),
    "a dead letter with another reason": (
        lambda: but(dead_letters=[LETTERS[0], letter(8, record(ELSEWHERE))]),
        {"dead letters with a reason that is not theirs": 1},
    ),
    "records that nobody committed": (
        lambda: but(uncommitted={"t/0": 2, "t/1": 1}),
        {"records behind the committed offsets": 3},
    ),
    "an offset that moved back": (
        lambda: but(commits=[*WELL.commits, Commit("t", 0, 3), Commit("t", 0, 4)]),
        {"commits that moved an offset back": 1},
    ),
    "a commit that forgot what was settled ahead": (
        lambda: but(commits=[*WELL.commits[:3], Commit("t", 0, 5), *WELL.commits[3:]]),
        {"records settled ahead that a later commit forgot": 2},
    ),
    "metadata of another offset": (
        lambda: but(commits=[Commit("t", 0, 1, encode(2, [range(4, 5)])), *WELL.commits]),
        {"commits whose metadata is no map of their offset": 1},
    ),
    "a heartbeat's answer that became no signal": (lambda: but(signals=[]), UNSIGNALLED),
    "a signal that came twice": (
        lambda: but(signals=[signal(), signal()]),
        {"second signals of one id": 1} | UNANSWERED,
    ),
    "two signals of one heartbeat": (
        lambda: but(signals=[signal(), signal(now=2)]),
        UNANSWERED,
    ),
    "a signal of a heartbeat that was not applied": (
        lambda: judged(13, ASKED_BEAT, Disposition.COALESCED),
        UNANSWERED,
    ),
    "a signal of an activity that nobody asked to cancel": (
        lambda: but(signals=[signal(), signal(THREE)]),
        UNANSWERED,
    ),
    "a signal under another key": (
        lambda: but(signals=[dataclasses.replace(signal(), key=b"k")]),
        NO_SIGNAL | UNSIGNALLED,
    ),
    "a signal that cannot be read": (
        lambda: but(signals=[dataclasses.replace(signal(), value=b"\xff")]),
        NO_SIGNAL | UNSIGNALLED,
    ),
    "a signal of a pause, too": (
        lambda: but(signals=[signal(paused=True)]),
        NO_SIGNAL | UNSIGNALLED,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_went_wrong_is_counted_by_its_name_and_nothing_else_is(case: str) -> None:
    found, expected = CASES[case]
    assert counted(found()) == expected


def test_every_finding_of_the_judge_is_found_by_a_case() -> None:
    names = {one.name for one in judge(SEED, ITEMS, WELL)}
    assert names == {name for _, expected in CASES.values() for name in expected}


def test_what_ends_an_activity_in_the_cases_is_all_that_can() -> None:
    assert {item.kind for item in ITEMS if isinstance(item, Event)} >= ENDS
