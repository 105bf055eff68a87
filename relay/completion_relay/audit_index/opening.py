"""Room `audit_index`: opens the database that is named. Touches nothing; what it opens does."""

from __future__ import annotations

from pathlib import Path

from completion_relay.audit_index.duck import DuckFile
from completion_relay.audit_index.location import is_url
from completion_relay.audit_index.postgres import Postgres
from completion_relay.audit_index.store import Store


def store_at(database: str, *, patience: float = 60.0) -> Store:
    """Return the database; nothing is connected or made yet.

    Args:
        database: The setting `audit.database`: a file, or `postgresql://…`.
        patience: For how long to wait for a file that somebody else has open, seconds.

    Raises:
        AuditIndexError: the library that it needs is not installed.
    """
    return Postgres(database) if is_url(database) else DuckFile(Path(database), patience=patience)
