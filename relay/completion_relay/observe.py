"""Room `observe`: the one catalogue of log events; each moves the metrics that belong to it.

Touches logging and prometheus-client. A log line names an event by its id and
its token by preview and fingerprint, never by its bytes (promise 4).
"""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import Counter, Histogram

from completion_relay import __version__
from completion_relay.decision import Park
from completion_relay.health import Health
from completion_relay.identity import RecordMark
from completion_relay.instruction import Instruction
from completion_relay.metrics import Metrics
from completion_relay.settings import LogSettings
from completion_relay.verdict import Answer, Status
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition

_LEVELS = {
    Disposition.APPLIED: logging.DEBUG,
    Disposition.COALESCED: logging.DEBUG,
    Disposition.DEAD_LETTERED: logging.WARNING,
}
"""At which level a decision is logged; any other disposition at INFO. That an event was applied is the
ordinary thing, and the audit trail tells it: a log line of it cost a fifth of an event (measured)."""

_TOLD_FROM = 8
"""Tries after which a single event's trouble is logged at INFO: some 20 seconds after the first."""


def configure_logging(settings: LogSettings) -> None:
    """Send structlog's and every library's log lines to standard error in one form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _in_reading_order,
                renderer,
            ],
        )
    )
    logging.captureWarnings(True)  # the SDK warns through `warnings`, which is no JSON
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level)
    # aiokafka's DEBUG lines hold whole requests, credentials and payloads
    # included (facts C), and it logs each reconnect attempt as an error: the
    # relay says once that Kafka is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _in_reading_order(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    first = ("timestamp", "level", "event")
    return {**{name: line[name] for name in first if name in line}, **line}


class Observer:
    """Told of everything that happens; nothing depends on what it does with it."""

    def __init__(self, *, namespaces: tuple[str, ...], health: Health) -> None:
        """Observe.

        Args:
            namespaces: The namespaces served, those of a further cluster with its name before
                them (`west/orders`); any other counts as `other`.
            health: Told of the problems among what happens.
        """
        self.metrics = Metrics(__version__)
        self.health = health
        self._namespaces = frozenset(namespaces)
        # Looking a child up by its labels costs more than observing it.
        self._complete_seconds: dict[tuple[str, str], Histogram] = {}
        self._events: dict[tuple[str, str, str | None, str], Counter] = {}
        self._end_to_end: dict[str, Histogram] = {}
        self._stdlib_log = logging.getLogger("completion_relay")
        self._log = structlog.stdlib.get_logger("completion_relay")

    def decided(self, audit: AuditRecord) -> None:
        """An event has its final outcome, and its audit record is durable."""
        key = (audit.type, audit.disposition, audit.reason, self._known(audit.namespace))
        counter = self._events.get(key)
        if counter is None:
            kind, disposition, reason, namespace = key
            counter = self._events[key] = self.metrics.events.labels(
                kind or "undecodable", disposition, reason or "", namespace
            )
        counter.inc()
        if audit.occurred_at is not None:
            seconds = max(0.0, (audit.decided_at - audit.occurred_at) / 1e9)
            histogram = self._end_to_end.get(audit.type)
            if histogram is None:
                histogram = self.metrics.end_to_end_seconds.labels(audit.type)
                self._end_to_end[audit.type] = histogram
            histogram.observe(seconds)
        level = _LEVELS.get(audit.disposition, logging.INFO)
        if not self._stdlib_log.isEnabledFor(level):
            return
        self._log.log(
            level,
            "event decided",
            event_id=audit.event_id,
            type=audit.type,
            disposition=str(audit.disposition),
            reason=str(audit.reason) if audit.reason else None,
            detail=audit.detail or None,
            namespace=audit.namespace,
            workflow_id=audit.workflow_id,
            run_id=audit.run_id,
            activity_id=audit.activity_id,
            token_preview=audit.token_preview,
            token_fingerprint=audit.token_fingerprint,
            position=f"{audit.topic}/{audit.partition}/{audit.offset}",
            tries=audit.tries,
        )

    def called(self, outcome: str, answer: Answer, seconds: float) -> None:
        """A completion call came back."""
        key = (outcome, answer.status)
        child = self._complete_seconds.get(key)
        if child is None:
            child = self._complete_seconds[key] = self.metrics.complete_seconds.labels(*key)
        child.observe(seconds)

    def retried(
        self, namespace: str, answer: Answer, mark: RecordMark, *, waits: int, seconds: float
    ) -> None:
        """A call failed by no fault of the event: see `Observes`."""
        self.metrics.retries.labels(answer.status).inc()
        if answer.status is Status.RESOURCE_EXHAUSTED:
            self.metrics.refusals.labels(self._known(namespace), answer.cause).inc()
        # The first ones are weather. One that goes on being refused is what an operator looks for, and
        # nothing else has its id beside what Temporal answers: at its 8th, 16th, 32nd, ...
        is_told = waits >= _TOLD_FROM and not waits & (waits - 1)
        self._log.log(
            logging.INFO if is_told else logging.DEBUG,
            "try repeated",
            event_id=mark.event_id,
            position=mark.position,
            namespace=namespace,
            status=str(answer.status),
            message=answer.message,
            tries=waits,
            next_try_in=round(seconds, 3),
        )

    def halted(self, namespace: str, detail: str) -> None:
        """Nothing of the namespace can be applied until an operator mends it."""
        self.problem(f"completing in {namespace}", f"halted: {detail}", level=logging.ERROR)

    def resumed(self, namespace: str) -> None:
        """A namespace that was halted takes events again."""
        self.well(f"completing in {namespace}")

    def limited(self, namespace: str, calls: int) -> None:
        """So many calls to the namespace may be under way from now on."""
        self.metrics.concurrency_limit.labels(self._known(namespace)).set(calls)

    def assumed(self, namespace: str, why: str) -> None:
        """How large a result the namespace takes is not told, and will not be."""
        self._log.warning(
            "blob limit not known",
            namespace=namespace,
            why=why,
            effect="results of more than 2 MiB, Temporal's default, fail their activity (too_large)",
            fix="let the relay describe the namespace (DescribeNamespace, a right to read), on a server "
            "that tells its limits",
        )

    def probed(self, part: str, answer: Answer) -> None:
        """A cluster that may be away was asked something, and this came back."""
        self.metrics.probes.labels(answer.status).inc()
        self._log.debug("probed", part=part, status=str(answer.status))

    def _known(self, namespace: str) -> str:
        return namespace if namespace in self._namespaces else "other"

    def problem(self, part: str, problem: str, *, level: int = logging.WARNING) -> None:
        """A part is in the way; readiness and the paused metric say so until it is well."""
        if self.health.report(part, problem):
            self.metrics.paused.labels(part).set(1)
            self._log.log(level, "problem", part=part, problem=problem)

    def well(self, part: str) -> None:
        """A part is well (again)."""
        if self.health.clear(part):
            self.metrics.paused.labels(part).set(0)
            self._log.info("well again", part=part)

    def parked(self, position: str, park: Park, times: int) -> None:
        """An event waits on the parked topic, durably."""
        self.metrics.parked.inc()
        # Once: a backlog of a sick namespace is parked again each minute, for as long as it lasts.
        self._log.log(
            logging.INFO if times == 1 else logging.DEBUG,
            "event parked",
            position=position,
            reason=park.reason,
            tries=park.former.tries,
            times=times,
        )

    def heeded(self, instruction: Instruction, outcome: str) -> None:
        """Nothing is left to be done for an operator's instruction."""
        self._log.info(
            "operator heard",
            action=str(instruction.action),
            position=instruction.position,
            event_id=instruction.event_id,
            by=instruction.by,
            why=instruction.why,
            outcome=outcome,
        )

    def jumped(self, topic: str, partition: int, problem: str) -> None:
        """A partition is not read on from where the group had come: what is decided is decided again."""
        self.metrics.read_again.inc()
        self._log.error("read from elsewhere", position=f"{topic}/{partition}", problem=problem)

    def passed_over(self, topic: str, partition: int, deleted: str) -> None:
        """Something that the group had not come to is gone: records, or what nobody misses."""
        self._log.warning("read from elsewhere", position=f"{topic}/{partition}", problem=deleted)

    def stage(self, what: str, **details: object) -> None:
        """The relay went into another stage of its life, such as `assigned` or `draining`."""
        self._log.info(what, **details)

    def crashed(self, error: Exception, position: str) -> None:
        """A defect of ours let an exception out; the record stays undecided and is tried again."""
        self.metrics.retries.labels("defect").inc()
        self._log.error("defect", position=position, exc_info=error)
