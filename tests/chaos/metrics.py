"""Room `tests/chaos`: the relay's metrics as Prometheus would see them. Pure: from text to numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_BUILD: Final = "completion_relay_build"
_OF_A_PARTITION: Final = frozenset({"topic", "partition"})
LABELS: Final[Mapping[str, frozenset[str]]] = {
    "completion_relay_events": frozenset({"type", "disposition", "reason", "namespace"}),
    "completion_relay_complete_seconds": frozenset({"type", "status"}),
    "completion_relay_end_to_end_seconds": frozenset({"type"}),
    "completion_relay_inflight": frozenset(),
    "completion_relay_retries": frozenset({"status"}),
    "completion_relay_paused": frozenset({"cause"}),
    "completion_relay_uncommitted": _OF_A_PARTITION,
    # "age and count": the contract has one name for both, and a gauge is one number.
    "completion_relay_uncommitted_age_seconds": _OF_A_PARTITION,
    "completion_relay_consumer_lag": _OF_A_PARTITION,
    "completion_relay_audit_seconds": frozenset(),
}
"""The families of the contract's section 9 with their labels, as it writes them (a counter's samples
add `_total`). Of the build info it says neither name nor labels."""
NAMES: Final = (*LABELS, _BUILD)

_COUNTED: Final = {"counter": "_total", "histogram": "_count"}
"""The samples of what only ever grows."""
_BUCKET: Final = "le"


class Scraped:
    """What the relays showed in the course of a run."""

    def __init__(self) -> None:
        self._labels: dict[str, set[frozenset[str]]] = {}
        self._last: dict[tuple[str, ...], float] = {}
        """What the latest page of a process had: of what counts in sum, else by all labels."""
        self._moved: set[str] = set()

    def take(self, process: str, text: str) -> None:
        """Take in one page of a process."""
        for family in text_string_to_metric_families(text):
            name = family.name.removesuffix("_info")
            labels = self._labels.setdefault(name, set())
            labels |= {frozenset(sample.labels) - {_BUCKET} for sample in family.samples}
            counted = _COUNTED.get(family.type)
            if counted:
                # Without any samples it is 0: they come with what they count.
                values = [one.value for one in family.samples if one.name.endswith(counted)]
                has_moved = sum(values) > self._before(sum(values), name, process)
            else:
                has_moved = False
                for sample in family.samples:
                    labels_of = map(str, sorted(sample.labels.items()))
                    has_moved |= sample.value != self._before(
                        sample.value, name, process, *labels_of
                    )
            if has_moved:
                self._moved.add(name)

    def _before(self, value: float, *of: str) -> float:
        """Return the value on the page before, the same where there is none; remember this one."""
        before = self._last.get(of, value)
        self._last[of] = value
        return before

    def missing(self) -> list[str]:
        """Return the names that no process has."""
        return [name for name in NAMES if name not in self._labels]

    def unmoved(self) -> list[str]:
        """Return the names that were never seen to move within one process.

        What counts has to grow from one page to a later one; a gauge has to show two values for the
        same labels: one that is stuck at a number, or goes with its partition, has not moved.
        """
        return [name for name in NAMES if name != _BUILD and name not in self._moved]

    def mislabelled(self) -> list[str]:
        """Return the names that were seen with other labels than the contract's, and those labels.

        One too many is wrong, too: what sums or joins by the contract's labels is then another number.
        """
        return [
            f"{name}{{{','.join(labels)}}}"
            for name, wanted in LABELS.items()
            for labels in sorted(map(sorted, self._labels.get(name, set()) - {wanted}))
        ]
