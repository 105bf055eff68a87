"""Which metrics are missing, which never moved, and which have labels of their own."""

from __future__ import annotations

import pytest
from tests.chaos.metrics import LABELS, NAMES, Scraped

INFLIGHT = "completion_relay_inflight"
LAG = "completion_relay_consumer_lag"
RETRIES = "completion_relay_retries"
AUDIT = "completion_relay_audit_seconds"
BUILD = '# TYPE completion_relay_build_info gauge\ncompletion_relay_build_info{version="1"} 1.0\n'


def gauge(value: float, name: str = INFLIGHT, labels: str = "") -> str:
    return f"# TYPE {name} gauge\n{name}{labels} {value}\n"


def lag(partition: int, value: float) -> str:
    return gauge(value, LAG, f'{{topic="t",partition="{partition}"}}')


def counter(value: float | None, labels: str = '{status="UNAVAILABLE"}') -> str:
    sample = "" if value is None else f"{RETRIES}_total{labels} {value}\n"
    return f"# TYPE {RETRIES}_total counter\n{sample}"


def histogram(count: int, labels: str = "") -> str:
    buckets = "".join(
        f'{AUDIT}_bucket{{{labels}le="{edge}"}} {count}\n' for edge in ("1.0", "+Inf")
    )
    of = f"{{{labels}}}" if labels else ""
    return (
        f"# TYPE {AUDIT} histogram\n{buckets}{AUDIT}_count{of} {count}\n{AUDIT}_sum{of} {count}\n"
    )


def scraped(*pages: str) -> Scraped:
    """What one process showed."""
    seen = Scraped()
    for page in pages:
        seen.take("relay", page)
    return seen


def test_a_metric_without_samples_is_there_and_has_not_moved() -> None:
    seen = scraped(BUILD + gauge(0) + counter(None))
    assert set(NAMES) - set(seen.missing()) == {"completion_relay_build", INFLIGHT, RETRIES}
    assert RETRIES in seen.unmoved()


def test_the_build_need_not_move() -> None:
    assert "completion_relay_build" not in scraped(BUILD).unmoved()


MOVED = {
    "a gauge with two values": (INFLIGHT, (gauge(0), gauge(3))),
    "a gauge of one partition among others": (LAG, (lag(0, 2) + lag(1, 5), lag(0, 2) + lag(1, 4))),
    "a counter that begins with its first sample": (RETRIES, (counter(None), counter(1))),
    "a counter that grows": (RETRIES, (counter(1), counter(2))),
    "a histogram that grows": (AUDIT, (histogram(0), histogram(1))),
}
STUCK = {
    "a gauge at one number other than 0": (INFLIGHT, (gauge(3), gauge(3), gauge(3))),
    "a gauge whose partitions come and go": (LAG, (lag(0, 2), lag(1, 3), lag(0, 2))),
    "a counter at one number": (RETRIES, (counter(4), counter(4))),
    "a counter that falls": (RETRIES, (counter(4), counter(3))),
    "a histogram at one number": (AUDIT, (histogram(2), histogram(2))),
}


@pytest.mark.parametrize("case", MOVED)
def test_what_moved_within_a_process_is_not_named(case: str) -> None:
    name, pages = MOVED[case]
    assert name not in scraped(*pages).unmoved()


@pytest.mark.parametrize("case", STUCK)
def test_what_is_stuck_is_named(case: str) -> None:
    name, pages = STUCK[case]
    assert name in scraped(*pages).unmoved()


def test_two_processes_with_a_number_each_have_not_moved_one() -> None:
    seen = Scraped()
    seen.take("one", gauge(1) + counter(1))
    seen.take("two", gauge(2) + counter(2))
    assert {INFLIGHT, RETRIES} <= set(seen.unmoved())


def test_the_contract_s_labels_are_right_and_a_bucket_s_edge_is_none() -> None:
    assert scraped(BUILD + gauge(0) + lag(0, 1) + counter(1) + histogram(1)).mislabelled() == []


@pytest.mark.parametrize(
    ("page", "named"),
    [
        (gauge(1, labels='{process="0"}'), f"{INFLIGHT}{{process}}"),
        (gauge(1, LAG, '{partition="0"}'), f"{LAG}{{partition}}"),
        (counter(1, '{code="UNAVAILABLE"}'), f"{RETRIES}{{code}}"),
        (histogram(1, 'topic="t",'), f"{AUDIT}{{topic}}"),
    ],
)
def test_labels_that_are_not_the_contract_s_are_named(page: str, named: str) -> None:
    assert scraped(page).mislabelled() == [named]


def test_a_wrong_label_is_named_though_others_of_the_family_are_right() -> None:
    page = counter(1) + f'{RETRIES}_total{{status="OK",namespace="n"}} 1\n'
    assert scraped(page).mislabelled() == [f"{RETRIES}{{namespace,status}}"]


def test_a_family_that_is_not_there_has_no_labels_and_is_still_missing() -> None:
    seen = scraped(BUILD)
    assert seen.mislabelled() == []
    assert seen.missing() == list(LABELS)
