"""Room `cli`: the metrics of several processes on one page. Touches prometheus-client.

Each sample gets the label `process`, as if each process had been scraped by
itself: sums and rates over the processes are Prometheus' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

LABEL = "process"


def parse(page: str) -> list[Metric]:
    """Return the metric families of a page in Prometheus' text format.

    Raises:
        ValueError: it is none.
    """
    return list(text_string_to_metric_families(page))


def merge(pages: Mapping[int, Iterable[Metric]], own: Iterable[Metric] = ()) -> bytes:
    """Return one page in Prometheus' text format.

    Args:
        pages: The metric families of each process, by its number.
        own: Families that belong to no process, or have the label already.
    """
    return generate_latest(_Families([*own, *_labelled(pages)]))


def _labelled(pages: Mapping[int, Iterable[Metric]]) -> Iterable[Metric]:
    # The text format has each family once, with all its samples together.
    merged: dict[str, Metric] = {}
    for number, families in sorted(pages.items()):
        for family in families:
            into = merged.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            into.samples += [
                sample._replace(labels={**sample.labels, LABEL: str(number)})
                for sample in family.samples
            ]
    return merged.values()


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families
