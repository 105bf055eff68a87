"""Room `tests/chaos`: the relay's metrics as Prometheus would see them. Pure: from text to numbers."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

NAMES: Final = tuple(
    f"completion_relay_{name}"
    for name in (
        *("events", "complete_seconds", "end_to_end_seconds", "inflight", "retries", "paused"),
        *("uncommitted", "consumer_lag", "audit_seconds", "build"),
    )
)
"""The families of the contract's section 9 (a counter's samples add `_total`, an info's `_info`)."""
_CONSTANT = "completion_relay_build"


class Scraped:
    """What the relays showed in the course of a run."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, dict[str, set[float]]] = defaultdict(dict)

    def take(self, process: str, text: str) -> None:
        """Take in one page of a process."""
        for family in text_string_to_metric_families(text):
            name = family.name.removesuffix("_info")
            values = self._seen[name].setdefault(process, set())
            if family.samples:
                values.add(round(sum(sample.value for sample in family.samples), 9))

    def missing(self) -> list[str]:
        """Return the names that no process has."""
        return [name for name in NAMES if name not in self._seen]

    def unmoved(self) -> list[str]:
        """Return the names whose value was never seen to change in any process.

        A metric that begins to exist with its first sample has moved.
        """
        return [
            name
            for name in NAMES
            if name != _CONSTANT
            and not any(len(values) > 1 or values - {0.0} for values in self._seen[name].values())
        ]
