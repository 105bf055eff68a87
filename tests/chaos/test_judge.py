"""Each finding counts what it names, and a run without fault has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from tests.chaos.judge import Commit, Ended, Found, judge
from tests.chaos.load import GARBAGE_HEADER, Address, Garbage, Item, event_id, result

from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

SEED = 7
ONE: Address = ("fan-0000", "0")
TWO: Address = ("fan-0000", "1")
GARBAGE = KafkaRecord(b"k", b"\xff", ((GARBAGE_HEADER, b"0"), ("ce_id", None)))
ITEMS: tuple[Item, ...] = (ONE, Garbage(0, GARBAGE), TWO, ONE)


def record(address: Address) -> KafkaRecord:
    return KafkaRecord(b"key", b"value", (("ce_id", event_id(SEED, address).encode()),))


def audit(offset: int, event: str, disposition: Disposition) -> AuditRecord:
    return AuditRecord(
        event_id=event,
        type="",
        disposition=disposition,
        reason=(DeadLetterReason.UNDECODABLE if disposition is Disposition.DEAD_LETTERED else None),
        topic="t",
        partition=0,
        offset=offset,
        received_at=UnixNanos(1),
        decided_at=UnixNanos(1),
        relay_id="relay",
        group="g",
    )


def letter(offset: int, of: KafkaRecord) -> KafkaRecord:
    added = (
        ("completion-dlq-partition", b"0"),
        ("completion-dlq-offset", b"%d" % offset),
    )
    return KafkaRecord(of.key, of.value, (*of.headers, *added))


def ended(address: Address, offset: int) -> Ended:
    return Ended(f"completion-relay/{event_id(SEED, address)}@t/0/{offset}", "completed")


AUDIT = [
    audit(0, event_id(SEED, ONE), Disposition.APPLIED),
    audit(1, "", Disposition.DEAD_LETTERED),
    audit(2, event_id(SEED, TWO), Disposition.APPLIED),
    audit(3, event_id(SEED, ONE), Disposition.DUPLICATE),
]
WELL = Found(
    topic="t",
    main={(0, 0): record(ONE), (0, 1): GARBAGE, (0, 2): record(TWO), (0, 3): record(ONE)},
    audit=AUDIT,
    dead_letters=[letter(1, GARBAGE)],
    results={ONE: result(SEED, ONE), TWO: result(SEED, TWO)},
    ends={ONE: [ended(ONE, 0)], TWO: [ended(TWO, 2)]},
    commits=[Commit("t", 0, 2), Commit("t", 1, 0), Commit("t", 0, 2), Commit("t", 0, 4)],
    uncommitted={"t/0": 0},
)


def counted(found: Found) -> dict[str, int]:
    return {one.name: one.count for one in judge(SEED, ITEMS, found) if one.count}


def but(**changed: object) -> Found:
    return dataclasses.replace(WELL, **changed)  # type: ignore[arg-type]


def test_a_run_in_which_all_is_as_promised_has_no_findings() -> None:
    assert counted(WELL) == {}


CASES: dict[str, tuple[Callable[[], Found], dict[str, int]]] = {
    "a record that was acknowledged is gone": (
        lambda: but(main={at: one for at, one in WELL.main.items() if at != (0, 3)}),
        {"acknowledged records that Kafka lost": 1, "audit records of no position": 1},
    ),
    "an activity that still waits": (
        lambda: but(results={}, ends={ONE: WELL.ends[ONE]}, audit=AUDIT[:2] + AUDIT[3:]),
        {
            "activities never completed": 1,
            "activities whose workflow did not end": 1,
            "positions without an audit record": 1,
        },
    ),
    "a result of another activity": (
        lambda: but(results={ONE: result(SEED, TWO), TWO: result(SEED, TWO)}),
        {"activities with a result that is not theirs": 1},
    ),
    "a second end in history": (
        lambda: but(ends={**WELL.ends, ONE: [ended(ONE, 0), ended(ONE, 3)]}),
        {
            "activities completed twice": 1,
            "activities applied by another position than history says": 1,
        },
    ),
    "an end by another event": (
        lambda: but(ends={**WELL.ends, TWO: [ended(ONE, 2)]}),
        {"activities ended by a wrong event": 1},
    ),
    "an end that is no completion": (
        lambda: but(ends={**WELL.ends, TWO: [Ended(ended(TWO, 2).identity, "timed_out")]}),
        {"activities ended by a wrong event": 1},
    ),
    "two audit records of one position": (
        lambda: but(audit=[*AUDIT, AUDIT[0], AUDIT[0]]),
        {"second audit records of a position": 2},
    ),
    "an audit record of a position that is not there": (
        lambda: but(audit=[*AUDIT, audit(9, "x", Disposition.DUPLICATE)]),
        {"audit records of no position": 1},
    ),
    "an event that is called unknown": (
        lambda: but(audit=[*AUDIT[:3], audit(3, event_id(SEED, ONE), Disposition.UNKNOWN)]),
        {"records with a disposition that is not theirs": 1},
    ),
    "garbage that is called applied": (
        lambda: but(audit=[AUDIT[0], audit(1, "", Disposition.APPLIED), *AUDIT[2:]]),
        {"records with a disposition that is not theirs": 1},
    ),
    "a duplicate that is called applied too": (
        lambda: but(audit=[*AUDIT[:3], audit(3, event_id(SEED, ONE), Disposition.APPLIED)]),
        {"activities applied by another position than history says": 1},
    ),
    "an event that was dead-lettered": (
        lambda: but(dead_letters=[*WELL.dead_letters, letter(2, record(TWO))]),
        {"events wrongly dead-lettered": 1},
    ),
    "garbage that was dropped": (
        lambda: but(dead_letters=[]),
        {"garbage that was not dead-lettered": 1},
    ),
    "garbage that was dead-lettered twice": (
        lambda: but(dead_letters=[*WELL.dead_letters, *WELL.dead_letters]),
        {"second dead letters of a position": 1},
    ),
    "a dead letter with another value": (
        lambda: but(dead_letters=[letter(1, dataclasses.replace(GARBAGE, value=b""))]),
        {"dead letters that are not the original bytes": 1},
    ),
    "a dead letter that lost a header": (
        lambda: but(dead_letters=[letter(1, dataclasses.replace(GARBAGE, headers=()))]),
        {"dead letters that are not the original bytes": 1},
    ),
    "records that nobody committed": (
        lambda: but(uncommitted={"t/0": 2, "t/1": 1}),
        {"records behind the committed offsets": 3},
    ),
    "an offset that moved back": (
        lambda: but(commits=[*WELL.commits, Commit("t", 0, 3), Commit("t", 0, 4)]),
        {"commits that moved an offset back": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_went_wrong_is_counted_by_its_name_and_nothing_else_is(case: str) -> None:
    found, expected = CASES[case]
    assert counted(found()) == expected
