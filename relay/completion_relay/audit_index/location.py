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
    if _may_show_a_password(database):
        raise ValueError(
            "has an @, / or ? in user or password, or names the password: write "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX"
        )
    return database


def _may_show_a_password(database: str) -> bool:
    """Whether a part of a password would be taken for a host, a path or a file, and shown as such."""
    if not is_url(database):
        return "password=" in database
    server, _, rest = database.partition("://")[2].partition("/")
    return server.count("@") > 1 or "@" in rest


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
