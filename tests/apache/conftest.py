"""Fixtures of the tests with an Apache Kafka of their own."""

import pytest


@pytest.fixture(autouse=True)
async def time_limit() -> None:
    """Leave it to pytest-timeout: every wait here is bounded by itself and says what for."""
