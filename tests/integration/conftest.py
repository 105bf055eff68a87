"""Fixtures of what asks a database: one of each kind, new for every test."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests import postgres

DATABASES = ("duckdb", "postgresql")


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """The URL of a PostgreSQL of this session."""
    programs = postgres.programs()
    if programs is None and os.environ.get("CI") == "true":
        pytest.fail("CI needs PostgreSQL: .ci/run installs it")
    if programs is None:
        pytest.skip("no PostgreSQL here: install the package postgresql")
    async with postgres.postgres(programs) as url:
        yield url


@pytest.fixture
async def new_postgres(postgres_url: str) -> str:
    """A database of this test's own in it."""
    import psycopg  # noqa: PLC0415 - an extra

    name = f"test_{uuid.uuid4().hex[:12]}"
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as db:
        await db.execute(f"create database {name}".encode())
    return f"{postgres_url.rpartition('/')[0]}/{name}"


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database of this test is to be: a file, or a URL."""
    if request.param == "duckdb":
        return str(tmp_path / "audit.duckdb")
    url: str = request.getfixturevalue("new_postgres")
    return url
