"""Room `tests/bench`, part g: reading the audit trail beside a bare aiokafka read of the same records."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from tests.bench.errors import BenchError
from tests.bench.events import NAMESPACE
from tests.bench.report import Found, Target
from tests.bench.run import Run
from tests.support import PARTITIONS

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_scan import scan
from completion_relay.audit_tail import DECIDED_AT
from completion_relay.audit_trail import AuditTrail
from completion_relay.topic_reader import Progress
from completion_schemas.audit import AuditRecord, encode_audit
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

SPEED_TARGET = 50_000.0
_PLACE = 12_345_678
"""The number of the template; its digits are nowhere else in a record."""
_BATCH_BYTES = 256 * 1024
_BARE = "bare aiokafka read, nothing decoded"


@dataclass(frozen=True, slots=True)
class _Round:
    seconds: float
    cpu_seconds: float
    hits: int


async def measure(run: Run) -> Found:
    """Run part g."""
    count, rounds = (5_000, 1) if run.quick else (300_000, 5)
    topic = (await run.broker.topics()).audit
    run.say(f"g: writing {count:,} audit records")
    await _write(run.broker.address, topic, count)
    ways: dict[str, Callable[[], Awaitable[_Round]]] = {
        _BARE: lambda: _bare(run.broker.address, topic, count),
        "every field of every record (export)": lambda: _scan(run, topic, AuditFilter(), None),
        "a span of time, the newest of it (list)": lambda: _scan(
            run, topic, AuditFilter(since=UnixNanos(1)), DECIDED_AT
        ),
        "by disposition": lambda: _scan(
            run, topic, AuditFilter(dispositions=frozenset({Disposition.CLOSED})), None
        ),
        "by workflow id": lambda: _scan(
            run, topic, AuditFilter(workflow_id=f"order-{count // 2:08d}"), None
        ),
    }
    took: dict[str, list[_Round]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, go in ways.items():
            run.say(f"g: round {number + 1} of {rounds}: {way}")
            took[way].append(await go())
    if [one.hits for one in took["by workflow id"]] != [1] * rounds:
        raise BenchError("a scan did not find the one record that it was asked for")
    return _found(took, count, rounds)


def _found(took: dict[str, list[_Round]], count: int, rounds: int) -> Found:
    found = Found(
        title=f"g. Reading the audit trail: {count:,} records, median of {rounds}",
        headings=("", "records/s", "best", "µs of CPU a record", "x bare"),
    )
    speeds = {
        way: statistics.median(count / one.seconds for one in them) for way, them in took.items()
    }
    for way, them in took.items():
        cpu = statistics.median(one.cpu_seconds for one in them) / count * 1e6
        best = max(count / one.seconds for one in them)
        ratio = speeds[way] / speeds[_BARE]
        found.rows.append(
            (way, f"{speeds[way]:,.0f}", f"{best:,.0f}", f"{cpu:.1f}", f"{ratio:.2f}")
        )
        found.figures[way] = {
            "per_second": speeds[way],
            "best_per_second": best,
            "cpu_micros": cpu,
            "ratio": ratio,
            "rounds": [asdict(one) for one in them],
        }
        if way != _BARE:
            found.targets.append(
                Target(way, speeds[way], SPEED_TARGET, at_most=False, unit=" records/s")
            )
    found.notes.append(
        "One process reads; the broker shares its cores, and so does whatever else is at work here: "
        "the best round and the CPU of a record say what the reading itself takes."
    )
    return found


async def _bare(kafka: str, topic: str, count: int) -> _Round:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        begun = time.perf_counter(), time.process_time()
        read = 0
        while read < count:
            batches = await consumer.getmany(timeout_ms=500)
            read += sum(map(len, batches.values()))
        return _Round(time.perf_counter() - begun[0], time.process_time() - begun[1], 0)
    finally:
        await consumer.stop()


async def _scan(run: Run, topic: str, wanted: AuditFilter, fields: frozenset[str] | None) -> _Round:
    hits = 0
    async with AuditTrail.open({"bootstrap_servers": run.broker.address}, topic) as trail:
        begun = time.perf_counter(), time.process_time()
        progress: list[Progress] = []
        found = scan(trail, wanted, fields=fields, progress=progress.append)
        async with contextlib.aclosing(found) as batches:
            async for scanned in batches:
                hits += len(scanned.hits)
        return _Round(time.perf_counter() - begun[0], time.process_time() - begun[1], hits)


def _values(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Return keys and values, from one template: encoding 300,000 would take a minute."""
    now = UnixNanos(time.time_ns())
    template = encode_audit(
        AuditRecord(
            event_id=f"bench/order-{_PLACE}/{_PLACE}",
            type="completed",
            disposition=Disposition.APPLIED,
            detail="Temporal took it",
            namespace=NAMESPACE,
            workflow_id=f"order-{_PLACE}",
            run_id="0197f1c2-4a1e-7d4a-9b52-1f0f5c2d8e11",
            activity_id=str(_PLACE),
            attempt=1,
            token_preview="CiQwMDAwMDAwMC0wMDAw...",
            token_fingerprint="5f" * 16,
            origin_workflow_id=f"agent-order-{_PLACE}",
            origin_run_id="0197f1c2-4a1e-7d4a-9b52-1f0f5c2d8e12",
            topic="completions",
            partition=3,
            offset=987_654,
            occurred_at=UnixNanos(now - 12_345_678),
            received_at=UnixNanos(now - 2_345_678),
            decided_at=now,
            tries=1,
            rpc_status="OK",
            relay_id="relay-7d9f8b6c5-x2x4z",
            group="completion-relay",
        )
    )
    place = str(_PLACE).encode()
    for number in range(count):
        digits = b"%08d" % number
        yield b"bench/order-%s/%s" % (digits, digits), template.replace(place, digits)


async def _write(kafka: str, topic: str, count: int) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, acks="all", max_batch_size=_BATCH_BYTES, compression_type="lz4"
    ) as producer:
        left = _values(count)
        for number in itertools.count():
            batch = producer.create_batch()
            item = next(left, None)
            while item is not None and batch.append(key=item[0], value=item[1], timestamp=None):
                item = next(left, None)
            if not batch.record_count():
                return
            if item is not None:
                left = itertools.chain((item,), left)
            await (await producer.send_batch(batch, topic, partition=number % PARTITIONS))
