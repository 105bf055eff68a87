"""Room `audit_report`: the figures. Core: touches nothing but the database that it is given."""

# ruff: noqa: S608 - every name in these statements is one of ours, every value a parameter

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.store import Condition, Store
from completion_relay.audit_index.tables import TABLE

MOST: Final = 10
"""How many of the slowest, and of the most retried, are named."""
_MINUTE: Final = 60 * 10**9
_HOUR: Final = 60 * _MINUTE
_WIDTHS: Final = (
    *(_MINUTE * n for n in (1, 5, 15)),
    *(_HOUR * n for n in (1, 6, 24, 7 * 24, 30 * 24)),
)
_MOST_BUCKETS: Final = 60
_TOOK: Final = "decided_at - occurred_at"
_KNOWN: Final = "occurred_at is not null"
"""Of a record that could not be decoded it is not known when it occurred."""
_IS_REPLAY: Final = "replay_of is not null"
_IS_READ_AGAIN: Final = "redelivery and replay_of is null"
_TIMED: Final = f"{_KNOWN} and not redelivery and replay_of is null"
"""A replay has the time of an event of long ago, and of what had been applied before it was read again the
relay was away: two replays after a minute made the median of a quiet hour a minute. Of what else is read again a
record does not say so, and a span of the trail may not have the one before."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Counted:
    """How many decisions of a kind there are."""

    namespace: str
    disposition: str
    reason: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long it took from the event to its first decision, nanoseconds: exact, and each a decision's own."""

    type: str
    count: int
    p50: int
    p90: int
    p99: int
    most: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many decisions of a disposition a span of time has."""

    begin: int
    """Nanoseconds since the epoch."""
    disposition: str
    count: int


@dataclass(frozen=True, slots=True)
class Decision:
    """One of those that are named."""

    event_id: str
    type: str
    disposition: str
    reason: str | None
    namespace: str
    workflow_id: str
    activity_id: str
    decided_at: int
    """Nanoseconds since the epoch."""
    took: int | None
    """From the event to the decision, nanoseconds; None: not known, a replay's, or of what had been applied
    before."""
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a span of the audit trail amounts to."""

    decisions: int
    redelivered: int
    """Decisions about records that had been applied before."""
    oldest: int | None
    """When the first of them was decided, nanoseconds since the epoch; None: there is none."""
    newest: int | None
    counts: list[Counted]
    latencies: list[Latency]
    """Without replays and what had been applied before; so are the slowest."""
    replays_left_out: int
    """How many replays are left out there."""
    read_again_left_out: int
    """How many records that had been applied before they were read again."""
    width: int
    """Of a bucket, nanoseconds."""
    buckets: list[Bucket]
    slowest: list[Decision]
    most_retried: list[Decision]

    @property
    def left_out(self) -> str:
        """What is said of what is left out of the latencies; empty: nothing is."""
        replays, again = self.replays_left_out, self.read_again_left_out
        parts = [
            *([f"{replays:,} {'replay' if replays == 1 else 'replays'}"] if replays else []),
            *([f"{again:,} read again"] if again else []),
        ]
        return f"{' and '.join(parts)} left out of the latencies." if parts else ""

    @property
    def totals(self) -> dict[str, int]:
        """How many decisions of each disposition there are, the most first."""
        return _summed((of.disposition, of.count) for of in self.counts)

    @property
    def reasons(self) -> dict[str, int]:
        """How many dead letters of each reason there are, the most first."""
        return _summed((of.reason, of.count) for of in self.counts if of.reason)


def _summed(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    summed: Counter[str] = Counter()
    for name, count in counts:
        summed[name] += count
    return dict(summed.most_common())


def figures(store: Store, wanted: AuditFilter) -> Figures:
    """Return the figures of the decisions that are asked for.

    Raises:
        AuditIndexError: the database cannot be asked.
    """
    ask = _Asking(store, asking.condition(wanted))
    ((decisions, redelivered, replays, read_again, oldest, newest),) = ask(
        tuple,
        "count(*), count(*) filter (where redelivery), "
        f"count(*) filter (where {_KNOWN} and {_IS_REPLAY}), "
        f"count(*) filter (where {_KNOWN} and {_IS_READ_AGAIN}), min(decided_at), max(decided_at)",
    )
    # Of what is there, not of what was asked for: from 1970 on, all of a week is one bar of thirty days.
    width = width_of((newest or 0) - (oldest or 0))
    return Figures(
        decisions=decisions,
        redelivered=redelivered,
        oldest=oldest,
        newest=newest,
        counts=ask(
            Counted,
            "namespace, disposition, reason, count(*)",
            rest="group by 1, 2, 3 order by 1, 4 desc, 2, 3",
        ),
        latencies=ask(
            Latency,
            f"type, count(*), {_percentile(0.5)}, {_percentile(0.9)}, {_percentile(0.99)}, max({_TOOK})",
            also=_TIMED,
            rest="group by 1 order by 1",
        ),
        replays_left_out=replays,
        read_again_left_out=read_again,
        width=width,
        buckets=ask(
            Bucket,
            f"decided_at - decided_at % {width}, disposition, count(*)",
            rest="group by 1, 2 order by 1, 2",
        ),
        slowest=ask(
            Decision, _DECISION, also=_TIMED, rest=f"order by {_TOOK} desc, event_id limit {MOST}"
        ),
        most_retried=ask(
            Decision,
            _DECISION,
            also="tries > 1",
            rest=f"order by tries desc, {_TOOK_FIRST} desc nulls last, event_id limit {MOST}",
        ),
    )


def width_of(span: int) -> int:
    """Return how wide a bucket is, ns, so that there are 60 of them at most: a minute to thirty days."""
    for width in _WIDTHS:
        if span <= width * _MOST_BUCKETS:
            return width
    return _WIDTHS[-1]


_TOOK_FIRST: Final = f"case when {_TIMED} then {_TOOK} end"
_DECISION: Final = (
    "event_id, type, disposition, reason, namespace, workflow_id, activity_id, decided_at, "
    f"{_TOOK_FIRST}, tries"
)


def _percentile(part: float) -> str:
    return f"percentile_disc({part}) within group (order by {_TOOK})"


class _Asking:
    """Asks about the same decisions again and again."""

    def __init__(self, store: Store, only: Condition) -> None:
        self._store = store
        self._where, self._values = only

    def __call__(
        self, make: Callable[..., _T], what: str, *, also: str = "true", rest: str = ""
    ) -> list[_T]:
        sql = f"select {what} from {TABLE} where {self._where} and {also} {rest}"
        found: Sequence[tuple[Any, ...]] = self._store.select(sql, self._values)
        if make is tuple:
            return list(found)  # type: ignore[arg-type]
        return [make(*row) for row in found]
