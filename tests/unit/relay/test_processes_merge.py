"""The metrics of several processes on one page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from completion_relay.metrics import Metrics
from completion_relay.processes.merge import merge, parse

# No carriage return: the text format does not escape it, and the parser splits lines at it.
LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8)
COUNTS = st.dictionaries(LABELS, st.integers(1, 1_000), max_size=4)


def page_of(counts: dict[str, int]) -> str:
    registry = CollectorRegistry()
    counter = Counter("events", "Events decided.", ["namespace"], registry=registry)
    for label, count in counts.items():
        counter.labels(label).inc(count)
    return generate_latest(registry).decode()


@given(st.dictionaries(st.integers(1, 64), COUNTS, max_size=4))
def test_the_merged_page_has_every_sample_of_every_process(
    counts: dict[int, dict[str, int]],
) -> None:
    pages = {number: parse(page_of(of_one)) for number, of_one in counts.items()}
    samples = [
        sample
        for family in text_string_to_metric_families(merge(pages).decode())
        for sample in family.samples
        if sample.name == "events_total"
    ]
    found = {(s.labels["process"], s.labels["namespace"]): s.value for s in samples}
    assert len(found) == len(samples)
    assert found == {
        (str(number), label): count
        for number, of_one in counts.items()
        for label, count in of_one.items()
    }


def test_each_family_is_on_the_page_once_whatever_its_kind() -> None:
    """Prometheus refuses a page that declares a family twice."""
    metrics = Metrics("1.0")
    metrics.events.labels("completed", "applied", "", "default").inc()
    metrics.complete_seconds.labels("completed", "OK").observe(0.02)
    page = generate_latest(metrics.registry).decode()
    merged = merge({1: parse(page), 2: parse(page)}).decode()
    declared = [line for line in merged.splitlines() if line.startswith("# ")]
    assert len(declared) == len(set(declared))
    assert declared == [line for line in page.splitlines() if line.startswith("# ")]
    values = [line for line in page.splitlines() if line and not line.startswith("#")]
    assert len([line for line in merged.splitlines() if 'process="' in line]) == 2 * len(values)


def test_what_belongs_to_no_process_is_left_as_it_is() -> None:
    up = GaugeMetricFamily("up", "Whether it runs.", labels=["process"])
    up.add_metric(["2"], 0)
    assert 'up{process="2"} 0.0' in merge({}, own=[up]).decode()


def test_a_page_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        parse("not a page at all")
