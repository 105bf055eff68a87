"""Room `tests/bench`, part h: the audit trail in DuckDB beside SQLite.

Touches a file of each. Without Kafka and without decoding: what is measured is the
database, fed with the same rows and asked the same questions.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.bench.errors import BenchError
from tests.bench.report import Found, Target
from tests.bench.run import Run

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index import asking
from completion_relay.audit_index.columns import (
    KEYS,
    NAMES,
    Row,
    definitions,
    keys_of,
    quoted,
    row_of,
)
from completion_relay.audit_index.duck import DuckFile
from completion_relay.audit_index.indexing import BATCH_RECORDS
from completion_relay.audit_index.store import Chunk
from completion_relay.audit_index.tables import TABLE
from completion_relay.settings import TopicSettings
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos

ASKED_TARGET = 1_000.0
"""Milliseconds."""
_RECORDS = 10_000_000
_QUICK_RECORDS = 60_000
_PARTITIONS = 12
_BEGIN = 1_790_000_000 * 10**9
_STEP = 10**8
"""Between two decisions, ns: ten a second, so that ten million are eleven days."""
_HOUR = 3_600 * 10**9
_ROUNDS = 3
_COMMAND_OF_A_WORKFLOW = "the command `audit list --workflow-id`"
_COMMAND_OF_DEAD_LETTERS = "the command `audit list --disposition dead_lettered`"

Query = tuple[str, Sequence[Any]]


class _Database(Protocol):
    def write(self, rows: list[Row]) -> None:
        """Add a batch, durably."""

    def ask(self, query: Query) -> int:
        """Return how many rows a query finds."""

    def size(self) -> int:
        """Bytes on the disk."""


class _Duck:
    """What `audit index` writes: opened and closed for each batch, no index."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store = DuckFile(path)
        self._store.prepare(TopicSettings().audit)
        self._next = 0

    def write(self, rows: list[Row]) -> None:
        end = self._next + len(rows)
        self._store.write(
            [Chunk(partition=0, expected=self._next or None, begin=self._next, next=end, rows=rows)]
        )
        self._next = end

    def ask(self, query: Query) -> int:
        return len(self._store.select(*query))

    def size(self) -> int:
        return self._path.stat().st_size


class _Sqlite:
    """SQLite as it does best: one connection, a write-ahead log, and indexes for what is asked most."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = wal", "synchronous = normal", "cache_size = -262144"):
            self._db.execute(f"pragma {pragma}")
        self._db.execute(
            f"create table {TABLE} ({', '.join(definitions())}, "
            "primary key (audit_partition, audit_offset))"
        )
        for columns in ("event_id", "workflow_id", "decided_at", "disposition, decided_at"):
            name = columns.replace(", ", "_")
            self._db.execute(f"create index {name}_index on {TABLE} ({columns})")
        names = [quoted(name) for name in (*NAMES, *KEYS.values())]
        self._insert = (
            f"insert into {TABLE} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
        )

    def write(self, rows: list[Row]) -> None:
        self._db.execute("begin")
        self._db.executemany(self._insert, [(*row, *keys_of(row)) for row in rows])
        self._db.execute("commit")

    def ask(self, query: Query) -> int:
        return len(self._db.execute(*query).fetchall())

    def size(self) -> int:
        self._db.execute("pragma wal_checkpoint(truncate)")
        return self._path.stat().st_size


@dataclass(slots=True)
class _Measured:
    seconds: float = 0.0
    """Of writing alone."""
    cpu_seconds: float = 0.0
    size: int = 0
    asked: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Milliseconds, median, and rows found."""


async def measure(run: Run) -> Found:
    """Run part h."""
    count = _QUICK_RECORDS if run.quick else _RECORDS
    file = run.folder / "bench.duckdb"
    ways: dict[str, Callable[[], _Database]] = {
        "DuckDB": lambda: _Duck(file),
        "SQLite": lambda: _Sqlite(run.folder / "bench.sqlite"),
    }
    measured = {name: _measured(run, name, make(), count) for name, make in ways.items()}
    (only,) = _rows(count // 2, count // 2 + 1)
    for question, options in {
        _COMMAND_OF_A_WORKFLOW: ("--workflow-id", str(only[8])),
        _COMMAND_OF_DEAD_LETTERS: ("--disposition", "dead_lettered"),
    }.items():
        run.say(f"h: {question}")
        measured["DuckDB"].asked[question] = await _command(file, *options)
    return _found(measured, count)


async def _command(file: Path, *options: str) -> tuple[float, int]:
    """Return what `audit list` takes as a user types it, milliseconds, and how much it lists."""
    took = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "completion_relay", "audit", "list", "--json"),
            *("--database", str(file), "--from", "2026-01-01", *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        listed, said = await process.communicate()
        took.append(1_000 * (time.perf_counter() - start))
        if process.returncode:
            raise BenchError(f"audit list {' '.join(options)}: {said.decode().strip()}")
    return statistics.median(took), len(listed.splitlines())


def _measured(run: Run, name: str, database: _Database, count: int) -> _Measured:
    found = _Measured()
    for first in range(0, count, BATCH_RECORDS):
        run.say(f"h: {name}: {first:,} of {count:,} records")
        rows = list(_rows(first, min(count, first + BATCH_RECORDS)))
        begun = time.perf_counter(), time.process_time()
        database.write(rows)
        found.seconds += time.perf_counter() - begun[0]
        found.cpu_seconds += time.process_time() - begun[1]
    found.size = database.size()
    for question, query in _questions(count).items():
        run.say(f"h: {name}: {question}")
        took = []
        rows_found = 0
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            rows_found = database.ask(query)
            took.append(1_000 * (time.perf_counter() - start))
        found.asked[question] = statistics.median(took), rows_found
    return found


def _questions(count: int) -> dict[str, Query]:
    middle = UnixNanos(_BEGIN + count // 2 * _STEP)
    hour = UnixNanos(middle + _HOUR)
    (only,) = _rows(count // 2, count // 2 + 1)
    day = UnixNanos(_BEGIN + count * _STEP - 24 * _HOUR)
    dead = frozenset({Disposition.DEAD_LETTERED})
    counts = f"select namespace, disposition, count(*) from {TABLE}"
    return {
        "an event": asking.newest(AuditFilter(event_id=only[2]), 50),
        "a workflow's events": asking.newest(AuditFilter(workflow_id=only[8]), 50),
        "the newest 50 of a day": asking.newest(AuditFilter(since=day), 50),
        "the newest 50 dead letters": asking.newest(AuditFilter(dispositions=dead), 50),
        "the newest 50 of a namespace's hour": asking.newest(
            AuditFilter(namespace="billing", since=middle, until=hour), 50
        ),
        "by what has no index": asking.newest(AuditFilter(activity_id="no such"), 50),
        "counts by namespace and disposition, an hour": (
            f"{counts} where decided_at >= ? and decided_at < ? group by 1, 2",
            (middle, hour),
        ),
        "counts by namespace and disposition, all": (f"{counts} group by 1, 2", ()),
    }


def _rows(begin: int, end: int) -> Iterator[Row]:
    """Return rows of two events a workflow, with ids as random as those of runs are."""
    for number in range(begin, end):
        workflow = number // 2
        run = hashlib.blake2b(b"%d" % workflow, digest_size=16).hexdigest()
        is_dead = number % 100 == 50
        decided = _BEGIN + number * _STEP
        yield row_of(
            number % _PARTITIONS,
            number // _PARTITIONS,
            {
                "event_id": f"agents/agent-{number:08d}/{run}",
                "type": "completed",
                "disposition": _disposition(number),
                "reason": "invalid" if is_dead else None,
                "detail": "Temporal took it",
                "namespace": "orders" if number % 3 else "billing",
                "workflow_id": f"order-{workflow:08d}",
                "run_id": run,
                "activity_id": str(number % 7),
                "attempt": 1,
                "token_preview": "CiQ5YTQ0ZDE3OC0zY2M...",
                "token_fingerprint": hashlib.blake2b(b"%d" % number, digest_size=16).hexdigest(),
                "origin_workflow_id": f"agent-{number:08d}",
                "origin_run_id": run,
                "topic": "completions",
                "partition": number % _PARTITIONS,
                "offset": number // _PARTITIONS,
                "occurred_at": decided - 20_000_000 - number % 977 * 10_000,
                "received_at": decided - 15_000_000,
                "decided_at": decided,
                "tries": 1,
                "rpc_status": "OK",
                "key_id": None,
                "relay_id": "relay-7d9f8b6c5-x2x4z",
                "group": "completion-relay",
                "redelivery": False,
                "replay_of": None,
                "calls": [],
            },
        )


def _disposition(number: int) -> str:
    if number % 50:
        return "applied"
    return "dead_lettered" if number % 100 else "duplicate"


def _millis(asked: tuple[float, int] | None) -> str:
    return "" if asked is None else f"{asked[0]:,.1f} ms"


def _found(measured: dict[str, _Measured], count: int) -> Found:
    found = Found(
        title=f"h. The audit trail in a database: {count:,} records",
        headings=("", *measured),
        rows=[
            ("records/s", *(f"{count / m.seconds:,.0f}" for m in measured.values())),
            (
                "µs of CPU a record",
                *(f"{m.cpu_seconds / count * 1e6:.1f}" for m in measured.values()),
            ),
            ("GB", *(f"{m.size / 1e9:.2f}" for m in measured.values())),
        ],
    )
    questions = measured["DuckDB"].asked
    for question in questions:
        found.rows.append((question, *(_millis(m.asked.get(question)) for m in measured.values())))
    for name, m in measured.items():
        found.figures[name] = {
            "per_second": count / m.seconds,
            "cpu_micros": m.cpu_seconds / count * 1e6,
            "bytes": m.size,
            "asked": {
                question: {"millis": millis, "rows": rows}
                for question, (millis, rows) in m.asked.items()
            },
        }
    worst = max(questions, key=lambda question: measured["DuckDB"].asked[question][0])
    found.targets.append(
        Target(f"DuckDB, {worst}", measured["DuckDB"].asked[worst][0], ASKED_TARGET, unit=" ms")
    )
    found.notes.append(
        "DuckDB opens and closes its file for each batch and each question, as `audit` does, SQLite "
        f"stays open. {os.cpu_count()} cores: DuckDB takes all of them for one question. The commands are "
        "those of DuckDB, from the start of Python to its end."
    )
    return found
