"""Room `audit_index`: where a database is: a file, or a URL. Core: touches nothing."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

SCHEMES = ("postgresql", "postgres")
"""Of the URLs that libpq takes."""


def is_url(database: str) -> bool:
    """Return whether it is a URL, of whatever scheme, and not a file."""
    return "://" in database


def checked(database: str) -> str:
    """Return a database's place as it is.

    Raises:
        ValueError: it is neither a file's name nor a URL of PostgreSQL's.
    """
    if not database or "\0" in database:
        raise ValueError("should be a file, or postgresql://HOST:PORT/DATABASE")
    if is_url(database) and database.partition("://")[0] not in SCHEMES:
        raise ValueError(
            "is a URL of a database that there is no index for: give a file (DuckDB), or "
            "postgresql://HOST:PORT/DATABASE"
        )
    return database


def shown(database: str) -> str:
    """Return a database's place for people: a file as it is, of a URL server and database alone.

    User, password and parameters, of which one may be the password, are left out.
    """
    if not is_url(database):
        return str(Path(database))
    try:
        parts = urlsplit(database)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "postgresql://…"
    return f"postgresql://{host}{port}{parts.path}"
