"""Room `audit_report`: where there is no index, one for a report alone. Touches the topic and a file."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from completion_relay.audit_filter import AuditFilter
from completion_relay.audit_index.columns import Row, row_of
from completion_relay.audit_index.duck import DuckFile
from completion_relay.audit_index.indexing import BATCH_RECORDS
from completion_relay.audit_index.store import Chunk, Store
from completion_relay.audit_scan import scan
from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.topic_reader import Progress


@contextlib.asynccontextmanager
async def filled(
    trail: AuditTrail,
    wanted: AuditFilter,
    topic: str,
    *,
    unreadable: list[Unreadable],
    progress: Callable[[Progress], None],
) -> AsyncIterator[Store]:
    """Put what is asked for into a file that is gone with the context: memory need not hold it.

    Args:
        trail: The opened topic.
        wanted: What is asked for.
        topic: The topic's name.
        unreadable: Takes the records that are no audit records.
        progress: Told how far it is.

    Raises:
        AuditIndexError: DuckDB is not installed, or the disk is full.
        KafkaError: Kafka cannot be reached any more, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="completion-relay-report-") as folder:
        store = DuckFile(Path(folder) / "report.duckdb")
        await asyncio.to_thread(store.prepare, topic)
        rows: list[Row] = []
        written = 0
        async with contextlib.aclosing(scan(trail, wanted, progress=progress)) as found:
            async for scanned in found:
                unreadable += scanned.unreadable
                rows += [row_of(hit.partition, hit.offset, hit.fields) for hit in scanned.hits]
                if len(rows) >= BATCH_RECORDS:
                    written = await _write(store, rows, written)
                    rows = []
        await _write(store, rows, written)
        yield store


async def _write(store: Store, rows: list[Row], at: int) -> int:
    # The progress of such an index is nobody's: all batches count as one partition's, of which
    # the index has nothing before the first.
    chunk = Chunk(partition=0, expected=at or None, begin=at, next=at + len(rows), rows=rows)
    if rows:
        await asyncio.to_thread(store.write, [chunk])
    return chunk.next
