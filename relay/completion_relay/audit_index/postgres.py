"""Room `audit_index`: the index in a PostgreSQL database that others ask, too. Touches that database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from completion_relay.audit_index import asking, tables
from completion_relay.audit_index.columns import (
    KEYS,
    NAMES,
    OFFSET,
    PARTITION,
    Row,
    keys_of,
    quoted,
)
from completion_relay.audit_index.location import shown
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
    from psycopg import Connection

_CONNECT_SECONDS: Final = 10
_LOCK: Final = 0x636F6D706C657465
"""Of PostgreSQL's advisory locks: one indexer writes at a time. It is let go with the transaction."""
_ROWS_AT_ONCE: Final = 10_000
_NAMES: Final = ", ".join(quoted(name) for name in (*NAMES, *KEYS.values()))
# An id may be longer than a B-tree takes (2,704 bytes): whoever writes to the topic chooses it.
_INDEXES: Final = (
    f"create unique index {tables.TABLE}_place on {tables.TABLE} ({PARTITION}, {OFFSET})",
    f"create index {tables.TABLE}_event on {tables.TABLE} using hash (event_id)",
    f"create index {tables.TABLE}_workflow on {tables.TABLE} using hash (workflow_id)",
    f"create index {tables.TABLE}_decided on {tables.TABLE} (decided_at)",
    f"create index {tables.TABLE}_disposition on {tables.TABLE} (disposition, decided_at)",
    f"create index {tables.TABLE}_namespace on {tables.TABLE} (namespace, decided_at)",
)


class Postgres:
    """The index in tables `completion_audit…` of the schema that is the first of the search path.

    Args:
        url: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, as libpq has it; what is left out comes from
            the variables `PGUSER`, `PGPASSWORD` and so on, and `~/.pgpass`.

    Raises:
        AuditIndexError: psycopg is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: PLC0415 - an extra
        except ImportError:
            raise AuditIndexError(
                f"database {shown(url)}: PostgreSQL needs psycopg, which is not installed: "
                "pip install 'completion-relay[relay,postgres]'"
            ) from None
        self._psycopg = psycopg
        self._url = url

    @property
    def name(self) -> str:
        """The URL without its password."""
        return shown(self._url)

    def prepare(self, topic: str, *, cluster: str = "", rebuild: bool = False) -> None:
        """See `Store.prepare`."""
        with self._locked() as db:
            source = Source(topic, cluster)
            if tables.prepare(_execute(db), self.name, source, rebuild=rebuild):
                for index in _INDEXES:
                    db.execute(index)

    def progress(self) -> dict[int, Progress]:
        """See `Store.progress`."""
        with self._connected() as db:
            tables.source_of(_execute(db), self.name)
            return tables.progress(_execute(db))

    def look(
        self, queries: Sequence[Query]
    ) -> tuple[Source, dict[int, Progress], list[tuple[Any, ...]]]:
        """See `Store.look`."""
        with self._connected() as db:
            # Else each statement sees a moment of its own.
            db.execute("set transaction isolation level repeatable read")
            source, progress, rows = tables.look(_execute(db), self.name, queries)
            return source, progress, [_with_nul(row) for row in rows]

    def write(self, chunks: Sequence[Chunk]) -> None:
        """See `Store.write`."""
        with self._locked() as db:
            tables.source_of(_execute(db), self.name)
            tables.move_on(_execute(db), self.name, chunks)
            with (
                db.cursor() as cursor,
                cursor.copy(f"copy {tables.TABLE} ({_NAMES}) from stdin") as copy,
            ):
                for chunk in chunks:
                    for row in chunk.rows:
                        copy.write_row((*_without_nul(row), *keys_of(row)))

    def select(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See `Store.select`."""
        with self._connected() as db:
            tables.source_of(_execute(db), self.name)
            return [_with_nul(row) for row in _execute(db)(sql, values)]

    def rows(
        self, partition: int, begin: int, end: int, *, only: Condition = EVERY
    ) -> Iterator[Row]:
        """See `Store.rows`."""
        sql, values = asking.between(partition, begin, end, only)
        with self._connected() as db, db.cursor("completion_audit_rows") as cursor:
            tables.source_of(_execute(db), self.name)
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(_own(sql), [_to_own(value) for value in values])
            for row in cursor:
                yield _with_nul(row)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Connection[tuple[Any, ...]]]:
        with self._connected() as db:
            db.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            yield db

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection[tuple[Any, ...]]]:
        """Connect for one transaction: committed at the end, or rolled back by what is raised."""
        try:
            with self._psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS) as db:
                yield db
        except self._psycopg.OperationalError as error:
            raise AwayError(
                f"database {self.name} cannot be reached: {self._reason(error)}: check that it runs, "
                "--database (setting audit.database), and the user's password"
            ) from error
        except self._psycopg.ProgrammingError as error:
            if error.sqlstate is None:
                # It was never asked: libpq does not read the URL, and quotes from it what may
                # be a part of the password.
                raise AuditIndexError(
                    f"database {self.name}: this is no URL that PostgreSQL's libpq reads: write "
                    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX"
                ) from None
            raise self._refused(error) from error
        except self._psycopg.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> AuditIndexError:
        return AuditIndexError(
            f"database {self.name} refuses: {self._reason(error)}: check what this user may do there"
        )

    def _reason(self, error: Exception) -> str:
        return (str(error).splitlines() or [type(error).__name__])[0]


def _execute(db: Connection[tuple[Any, ...]]) -> tables.Execute:
    def execute(sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        cursor = db.execute(_own(sql), [_to_own(value) for value in values])
        return cursor.fetchall() if cursor.description else []

    return execute


def _own(sql: str) -> bytes:
    """Return a statement as psycopg has it; none of ours has a `?` of another meaning."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _to_own(value: object) -> object:
    return escaped(value) if isinstance(value, str) else value


# PostgreSQL's text has no NUL, and an id may have one: whoever writes to the topic chooses it.
_ESCAPE, _NUL = "\x1a", "\x00"


def escaped(text: str) -> str:
    """Return a text as PostgreSQL can hold it: without NUL, as which SUB 0 is read, and SUB 1 as SUB."""
    return text.replace(_ESCAPE, f"{_ESCAPE}1").replace(_NUL, f"{_ESCAPE}0")


def unescaped(text: str) -> str:
    """Return what `escaped` was given."""
    return text.replace(f"{_ESCAPE}0", _NUL).replace(f"{_ESCAPE}1", _ESCAPE)


def _without_nul(row: Row) -> Row:
    for value in row:
        if type(value) is str and (_NUL in value or _ESCAPE in value):
            return tuple(escaped(v) if isinstance(v, str) else v for v in row)
    return row


def _with_nul(row: Row) -> Row:
    for value in row:
        if type(value) is str and _ESCAPE in value:
            return tuple(unescaped(v) if isinstance(v, str) else v for v in row)
    return row
