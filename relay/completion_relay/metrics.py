"""Room `observe`: the one catalogue of metrics (contract section 9). Touches prometheus-client.

No workflow id, event id or token in a label; a namespace that is not served is
`other`, so that nobody can fill the label's values from outside.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

_CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_END_TO_END_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class Metrics:
    """Every metric of the relay, in a registry of its own."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter(
            "completion_relay_events",
            "Events decided, by what became of them.",
            ["type", "disposition", "reason", "namespace"],
            registry=self.registry,
        )
        self.complete_seconds = Histogram(
            "completion_relay_complete_seconds",
            "Time of one completion call to Temporal, by its gRPC status.",
            ["type", "status"],
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self.end_to_end_seconds = Histogram(
            "completion_relay_end_to_end_seconds",
            "Time from occurred_at to the decision.",
            ["type"],
            buckets=_END_TO_END_BUCKETS,
            registry=self.registry,
        )
        self.audit_seconds = Histogram(
            "completion_relay_audit_seconds",
            "Time of one transaction of audit records, dead letters and offsets.",
            buckets=_CALL_BUCKETS,
            registry=self.registry,
        )
        self.inflight = Gauge(
            "completion_relay_inflight", "Events being decided.", registry=self.registry
        )
        self.retries = Counter(
            "completion_relay_retries",
            "Tries that were repeated, by the gRPC status that made them; `defect`: an error of the relay's.",
            ["status"],
            registry=self.registry,
        )
        self.refusals = Counter(
            "completion_relay_refusals",
            "Calls that Temporal refused for there being too many, by its cause.",
            ["namespace", "cause"],
            registry=self.registry,
        )
        self.probes = Counter(
            "completion_relay_probes",
            "Questions to a Temporal that may be away as a whole, by the answer's gRPC status.",
            ["status"],
            registry=self.registry,
        )
        self.concurrency_limit = Gauge(
            "completion_relay_concurrency_limit",
            "Completion calls to a namespace that may be under way at once.",
            ["namespace"],
            registry=self.registry,
        )
        self.parked = Counter(
            "completion_relay_parked",
            "Events moved to the parked topic, each time anew.",
            registry=self.registry,
        )
        self.read_again = Counter(
            "completion_relay_read_again",
            "Times that a partition was taken of which decided events are decided again: the group's "
            "offset lies beyond its end, or what is settled ahead of it cannot be read.",
            registry=self.registry,
        )
        self.paused = Gauge(
            "completion_relay_paused",
            "1 while this is in the way of some or all events (relay/OPERATIONS.md, readyz); `window full`: "
            "how many partitions wait for room.",
            ["cause"],
            registry=self.registry,
        )
        Info("completion_relay_build", "What is running.", registry=self.registry).info(
            {"version": version}
        )
