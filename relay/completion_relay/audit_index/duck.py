"""Room `audit_index`: the index as a file of DuckDB. Touches that file.

DuckDB lets one process write a file, or several read it. So nobody keeps it open:
each call opens it, does its work and closes it again, and who finds it locked
waits. That costs 50 ms of the second that a batch of 25,000 records takes.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from completion_relay.audit_index import asking, tables
from completion_relay.audit_index.columns import COLUMNS, KEYS, NAMES, Kind, Row, keys_of, quoted
from completion_relay.audit_index.store import (
    EVERY,
    AuditIndexError,
    AwayError,
    Chunk,
    Condition,
    Progress,
    Query,
    Source,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LOCKED: Final = ("Could not set lock on file", "different configuration")
"""What DuckDB says where another process, or another connection of this one, has the file."""
_PAUSE: Final = (0.02, 0.1)
"""Seconds between two tries, least and most."""
_OFFSETS_AT_ONCE: Final = 100_000
_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    # All it needs is in the package: a database is not to download anything.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_KINDS: Final = (
    *(Kind.INT, Kind.BIGINT),
    *(column.kind for column in COLUMNS),
    *(Kind.BIGINT for _ in KEYS),
)
_NAMES: Final = ", ".join(quoted(name) for name in (*NAMES, *KEYS.values()))
# A column at a time, as JSON: it gives every text back as it was, and costs 25 µs a record.
# Values one by one cost 500 µs, a file of JSON as much, one of CSV half, and a numpy array
# a third, but guesses a column's type from its first values.
_INSERT: Final = f"insert into {tables.TABLE} ({_NAMES}) select " + ", ".join(
    f"unnest(from_json_strict(?, '[\"{kind}\"]'))" for kind in _KINDS
)


class DuckFile:
    """The index in a file.

    Args:
        path: The file.
        patience: For how long to wait for a file that somebody else has open, seconds.

    Raises:
        AuditIndexError: DuckDB is not installed.
    """

    def __init__(self, path: Path, *, patience: float = 60.0) -> None:
        try:
            import duckdb  # noqa: PLC0415 - an extra, and 70 MB that only these commands load
        except ImportError:
            raise AuditIndexError(
                f"database {path}: a file needs DuckDB, which is not installed: "
                "pip install 'completion-relay[relay,audit]'"
            ) from None
        self._path = path
        self._patience = patience
        self._duckdb = duckdb

    @property
    def name(self) -> str:
        """The file's name."""
        return str(self._path)

    def prepare(self, topic: str, *, cluster: str = "", rebuild: bool = False) -> None:
        """See `Store.prepare`."""
        with self._opened() as db, _transaction(db):
            tables.prepare(_execute(db), self.name, Source(topic, cluster), rebuild=rebuild)

    def progress(self) -> dict[int, Progress]:
        """See `Store.progress`."""
        with self._reading() as db:
            return tables.progress(_execute(db))

    def look(
        self, queries: Sequence[Query]
    ) -> tuple[Source, dict[int, Progress], list[tuple[Any, ...]]]:
        """See `Store.look`."""
        with self._reading() as db, _transaction(db):
            return tables.look(_execute(db), self.name, queries)

    def write(self, chunks: Sequence[Chunk]) -> None:
        """See `Store.write`."""
        # Before the file is opened: it is locked for no longer than it must be.
        rows = [(*row, *keys_of(row)) for chunk in chunks for row in chunk.rows]
        lists = [json.dumps(values, ensure_ascii=False) for values in zip(*rows, strict=True)]
        with self._opened() as db, _transaction(db):
            tables.move_on(_execute(db), self.name, chunks)
            if rows:
                db.execute(_INSERT, lists)

    def select(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `Store.select`."""
        with self._reading() as db:
            return db.execute(sql, list(values)).fetchall()

    def rows(
        self, partition: int, begin: int, end: int, *, only: Condition = EVERY
    ) -> Iterator[Row]:
        """See `Store.rows`."""
        # Some at a time: an indexer that goes on needs the file in between.
        for first in range(begin, end, _OFFSETS_AT_ONCE):
            last = min(end, first + _OFFSETS_AT_ONCE)
            yield from self.select(*asking.between(partition, first, last, only))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[DuckDBPyConnection]:
        try:
            is_there = self._path.exists()
        except OSError as error:
            # It is not Kafka that may not be reached, as who catches an OSError would say.
            raise AuditIndexError(
                f"database {self.name} cannot be opened: {error.strerror or error}: let this user into its "
                "folder, or give another database"
            ) from error
        if not is_there:
            raise tables.no_index(self.name)
        with self._opened(read_only=True) as db:
            tables.source_of(_execute(db), self.name)
            yield db

    @contextlib.contextmanager
    def _opened(self, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        db = self._connect(read_only=read_only)
        try:
            yield db
        except self._duckdb.Error as error:
            raise AuditIndexError(
                f"database {self.name}: {_first_line(error)}: look after the file and its disk; an "
                "index can be made anew with --rebuild"
            ) from error
        finally:
            db.close()

    def _connect(self, *, read_only: bool) -> DuckDBPyConnection:
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._duckdb.connect(self._path, read_only=read_only, config=_CONFIG)
            except self._duckdb.Error as error:
                reason = _first_line(error)
                if not any(said in reason for said in _LOCKED):
                    raise AuditIndexError(
                        f"database {self.name} cannot be opened: {reason}: give a file of DuckDB's, or "
                        "a new one in a folder that is there"
                    ) from error
                if time.monotonic() > until:
                    raise AwayError(
                        f"database {self.name} is in use for more than {self._patience:g} s: {reason}: "
                        "end whoever has it open, such as a shell of DuckDB's"
                    ) from error
            time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - no secret


def _execute(db: DuckDBPyConnection) -> tables.Execute:
    return lambda sql, values: db.execute(sql, list(values)).fetchall()


@contextlib.contextmanager
def _transaction(db: DuckDBPyConnection) -> Iterator[None]:
    db.execute("begin")
    try:
        yield
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
