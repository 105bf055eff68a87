"""A time limit of its own: runs are long."""

import pytest


@pytest.fixture(autouse=True)
async def time_limit() -> None:
    """Leave it to pytest-timeout: every wait of a run is bounded by itself and says what for."""
