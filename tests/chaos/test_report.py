"""The figures of a run count each record once, by its kind and by what became of it."""

from __future__ import annotations

import dataclasses

from tests.chaos.report import Report, events_by_kind, load_figures
from tests.chaos.script import Kind
from tests.chaos.test_judge import AUDIT, ITEMS, SEED, WELL


def test_every_kind_is_told_with_what_became_of_its_records() -> None:
    assert events_by_kind(SEED, ITEMS, WELL) == {
        Kind.COMPLETED: {"applied": 2, "duplicate": 1},
        Kind.FAILED: {"applied": 1},
        Kind.CANCELED: {"applied": 2},
        Kind.UNASKED: {"applied": 1},
        Kind.RETRIED: {"applied": 1, "duplicate": 1},
        Kind.HEARTBEAT: {"applied": 2, "coalesced": 1},
        Kind.POISON: {"expired": 1},
        Kind.ELSEWHERE: {"dead_lettered": 1},
        Kind.GARBAGE: {"dead_lettered": 1},
    }


def test_a_second_audit_record_counts_nothing() -> None:
    twice = dataclasses.replace(WELL, audit=[*AUDIT, *AUDIT])
    assert events_by_kind(SEED, ITEMS, twice) == events_by_kind(SEED, ITEMS, WELL)


def test_the_load_is_what_is_on_the_topic() -> None:
    assert load_figures(ITEMS, WELL.main.values()) == {
        "activities": 7,
        "records on the main topic": 15,
        "of them duplicates": 2,
        "of them by ids": 5,
        "of them with an odd header name": 1,
    }


def test_the_figures_have_events_beside_faults() -> None:
    report = Report(
        title="chaos",
        seed=SEED,
        seconds=1.0,
        settled_after=1.0,
        load={},
        events=events_by_kind(SEED, ITEMS, WELL),
        faults={"relay killed": 2},
        told={},
        findings=[],
    )
    figures = report.as_json()
    assert figures["events"]["heartbeat"] == {"applied": 2, "coalesced": 1}
    assert figures["faults"] == {"relay killed": 2}
