"""The page of a report: it needs no other file, runs nothing, and ids in it are text."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from completion_relay.audit_report.figures import (
    Bucket,
    Counted,
    Decision,
    Figures,
    Latency,
    width_of,
)
from completion_relay.cli.audit.report import _json, _print
from completion_relay.cli.report.charts import COLOURS, over_time
from completion_relay.cli.report.page import About, ReportError, page
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Bound, Oldest
from completion_schemas.times import UnixNanos

HOUR = 3_600 * 10**9
EVIL = "</td></text><script>alert(1)</script><img src=https://example.com/x onerror=alert(2)>"
ABOUT = About(
    topic="completions.audit",
    since=HOUR,
    until=25 * HOUR,
    made_at=25 * HOUR,
    namespace=EVIL,
    source=EVIL,
)
FIGURES = Figures(
    decisions=7,
    redelivered=1,
    oldest=HOUR,
    newest=5 * HOUR,
    counts=[Counted(EVIL, "applied", None, 6), Counted(EVIL, "dead_lettered", "invalid", 1)],
    latencies=[Latency(EVIL, 5, 10**6, 10**7, 10**8, 10**9), Latency("failed", 2, -5, -5, 0, 0)],
    replays_left_out=0,
    read_again_left_out=0,
    width=HOUR,
    buckets=[Bucket(HOUR, "applied", 6), Bucket(4 * HOUR, "dead_lettered", 1)],
    slowest=[Decision(EVIL, EVIL, "applied", None, EVIL, EVIL, EVIL, HOUR, 10**9, 3)],
    most_retried=[],
)


def waiting(topic: str, written_at: int) -> Undecided:
    return Undecided(
        topic=topic,
        partition=3,
        offset=17,
        first_partition=3,
        first_offset=17,
        written_at=UnixNanos(written_at),
        event_id="e-1",
        type="completed",
        is_event=True,
    )


class Seen(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.values += [value or "" for name, value in attrs if not name.startswith("xmlns")]


@pytest.mark.parametrize("figures", [FIGURES, dataclasses.replace(FIGURES, decisions=0)])
def test_nothing_is_loaded_and_nothing_is_run_whatever_the_ids_are(figures: Figures) -> None:
    text = page(figures, Oldest(waiting(EVIL, 0), None), ABOUT)
    seen = Seen(text)
    assert not seen.tags & {"script", "img", "link", "iframe", "object", "a", "use", "image"}
    assert not [
        name for name in seen.attributes if name.startswith("on") or name in {"src", "href"}
    ]
    assert not [value for value in seen.values if "//" in value]
    assert not re.search(r"url\(|@import", text)


def test_what_was_found_is_in_the_page() -> None:
    text = page(FIGURES, Oldest(waiting("completions", 24 * HOUR), None), ABOUT)
    assert "not all that is parked" not in text
    for said in ("completions/3/17", "1 h 0 m", "dead_lettered (invalid)", "85.71 %", "p99"):
        assert said in text, said
    assert text.count("<svg") == 2


def test_a_disposition_that_is_not_known_here_is_in_the_chart_too() -> None:
    """As a newer relay may write it: bars without it would be less than was decided."""
    buckets = [*FIGURES.buckets, Bucket(HOUR, "revoked", 5)]
    assert "revoked" in over_time(buckets, HOUR)


@pytest.mark.parametrize("dispositions", range(1, 13))
def test_every_name_in_the_legend_is_inside_the_chart(dispositions: int) -> None:
    """With more than five the second row was below its edge, and red bars had no legend."""
    names = [*COLOURS, "revoked", "adopted"][:dispositions]
    svg = ET.fromstring(over_time([Bucket(HOUR, name, 5) for name in names], HOUR))
    *_, width, height = map(float, svg.attrib["viewBox"].split())
    (legends,) = (node for node in svg.iter() if node.get("class") == "legends")
    left, top = map(float, re.findall(r"\d+", legends.attrib["transform"]))
    texts = [node for node in legends.iter() if node.tag.endswith("}text")]
    assert sorted(node.text or "" for node in texts) == sorted(names)
    for node in texts:
        assert left + float(node.attrib["x"]) + 80 < width, node.text
        # A text's y is its base line: letters like p hang below it.
        assert top + float(node.attrib["y"]) + 4 < height, node.text


def test_any_two_colours_can_be_told_apart() -> None:
    """Skipped, superseded and conflict were three oranges."""
    for (one, colour), (other, another) in itertools.combinations(COLOURS.items(), 2):
        assert math.dist(lab(colour), lab(another)) > 25, f"{one} and {other}"


def lab(colour: str) -> tuple[float, float, float]:
    """Return a colour as CIELAB has it, in which a distance is one to the eye."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    ]
    weights = ((0.4339, 0.3762, 0.1899), (0.2126, 0.7152, 0.0722), (0.0177, 0.1095, 0.8729))
    x, y, z = (
        value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116
        for value in (sum(map(float.__mul__, of, linear)) for of in weights)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def test_where_nothing_was_decided_and_nothing_waits_the_page_says_so() -> None:
    text = page(dataclasses.replace(FIGURES, decisions=0), Oldest(None, None), ABOUT)
    assert "Nothing was decided in this time." in text
    assert "<svg" not in text


@pytest.mark.parametrize("event", [None, waiting("completions", 0)])
def test_the_oldest_undecided_beside_one_namespaces_figures_is_said_to_be_of_all(
    capsys: pytest.CaptureFixture[str], event: Undecided | None
) -> None:
    """Those that are first in their partitions are looked at alone: of one namespace it may be another."""
    found = Oldest(event, None)
    for about in (ABOUT, dataclasses.replace(ABOUT, namespace="")):
        is_said = bool(about.namespace)
        assert ("oldest undecided, of all namespaces<" in page(FIGURES, found, about)) is is_said
        _print(FIGURES, found, about)
        out = capsys.readouterr().out
        assert ("Oldest undecided, of all namespaces: " in out) is is_said
        assert ("Oldest undecided: " in out) is not is_said
        assert _json(FIGURES, found, about)["oldest_undecided_of_all_namespaces"] is True


def test_the_page_says_how_far_an_index_goes_also_where_it_has_nothing() -> None:
    def said(about: About) -> bool:
        return "The index goes as far as nothing yet." in page(FIGURES, Oldest(None, None), about)

    assert said(dataclasses.replace(ABOUT, from_index=True))
    assert not said(ABOUT)


@pytest.mark.parametrize(
    ("from_index", "said"),
    [
        (True, "The index could not read 2 records of the topic: "),
        (False, "2 records on the topic cannot be read as audit records: left out."),
    ],
)
def test_what_could_not_be_read_is_in_the_page_and_for_a_program(
    *, from_index: bool, said: str
) -> None:
    about = dataclasses.replace(ABOUT, from_index=from_index)
    lacking = dataclasses.replace(about, unreadable=2)
    nobody = Oldest(None, None)
    assert said in page(FIGURES, nobody, lacking)
    assert "read" not in page(FIGURES, nobody, about)
    assert _json(FIGURES, nobody, lacking)["unreadable"] == 2


@pytest.mark.parametrize(
    ("replays", "again", "said"),
    [
        (1, 0, "1 replay left out of the latencies."),
        (0, 2, "2 read again left out of the latencies."),
        (1_200, 1, "1,200 replays and 1 read again left out of the latencies."),
        (0, 0, None),
    ],
)
def test_what_is_left_out_of_the_latencies_is_said_in_each_form(
    capsys: pytest.CaptureFixture[str], replays: int, again: int, said: str | None
) -> None:
    found = dataclasses.replace(FIGURES, replays_left_out=replays, read_again_left_out=again)
    nobody = Oldest(None, None)
    _print(found, nobody, ABOUT)
    for text in (page(found, nobody, ABOUT), capsys.readouterr().out):
        assert said in text if said else "left out of the latencies" not in text
    asked = _json(found, nobody, ABOUT)
    assert (asked["replays_left_out"], asked["read_again_left_out"]) == (replays, again)


@pytest.mark.parametrize("since", [None, 0])
@pytest.mark.parametrize("decisions", [0, 7])
def test_a_report_since_ever_names_no_empty_time(
    capsys: pytest.CaptureFixture[str], since: int | None, decisions: int
) -> None:
    ever = dataclasses.replace(ABOUT, since=since, namespace="", source="the topic itself")
    found = dataclasses.replace(
        FIGURES, decisions=decisions, oldest=FIGURES.oldest if decisions else None
    )
    assert "Decisions until 1970-01-02 01:00:00.000Z." in page(found, Oldest(None, None), ever)
    _print(found, Oldest(None, None), ever)
    said = "from 1970-01-01 01:00:00.000Z to" if decisions else "until"
    out = capsys.readouterr().out
    assert out.startswith(f"{decisions} decisions {said} 1970-01-02 01:00:00.000Z, from the topic")


def test_where_not_all_that_is_parked_was_looked_at_the_page_says_so() -> None:
    text = page(FIGURES, Oldest(waiting("completions", 0), Bound.SHARE), ABOUT)
    assert "not all that is parked was looked at" in text


@pytest.mark.parametrize("library", ["jinja2", "pygal"])
def test_a_library_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ReportError, match=rf"needs {library}, .*completion-relay\[relay,audit\]"):
        page(FIGURES, Oldest(None, None), ABOUT)


@pytest.mark.parametrize("span", [0, 1, HOUR, 24 * HOUR, 7 * 24 * HOUR, 365 * 24 * HOUR])
def test_a_span_has_sixty_bars_at_most(span: int) -> None:
    assert span / width_of(span) <= 60


def test_a_day_has_a_bar_an_hour() -> None:
    assert width_of(24 * HOUR) == HOUR


def test_the_oldest_undecided_has_these_fields_for_a_program() -> None:
    """A field more of what is known of an undecided record is none of the report's."""
    found = _json(FIGURES, Oldest(waiting("completions", 24 * HOUR), None), ABOUT)
    assert found["all_parked_looked_at"] is True
    assert found["oldest_undecided"] == {
        "topic": "completions",
        "partition": 3,
        "offset": 17,
        "timestamp_ms": 24 * HOUR // 10**6,
        "event_id": "e-1",
        "type": "completed",
        "age": max(0, ABOUT.made_at - 24 * HOUR),
    }
