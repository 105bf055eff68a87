"""Which metrics are missing, and which never moved."""

from __future__ import annotations

from tests.chaos.metrics import NAMES, Scraped

BUILD = '# TYPE completion_relay_build_info gauge\ncompletion_relay_build_info{version="1"} 1.0\n'


def page(inflight: int) -> str:
    return (
        BUILD
        + f"# TYPE completion_relay_inflight gauge\ncompletion_relay_inflight {inflight}\n"
        + "# TYPE completion_relay_retries counter\n"
    )


def test_a_metric_without_samples_is_there_and_has_not_moved() -> None:
    scraped = Scraped()
    scraped.take("relay", page(0))
    there = {"completion_relay_build", "completion_relay_inflight", "completion_relay_retries"}
    assert set(NAMES) - set(scraped.missing()) == there
    assert "completion_relay_retries" in scraped.unmoved()


def test_a_metric_moves_within_one_process_and_the_build_need_not() -> None:
    scraped = Scraped()
    scraped.take("relay", page(0))
    assert "completion_relay_inflight" in scraped.unmoved()
    scraped.take("relay", page(3))
    assert "completion_relay_inflight" not in scraped.unmoved()
    assert "completion_relay_build" not in scraped.unmoved()
