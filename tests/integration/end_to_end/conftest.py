"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from tests.integration.relay.conftest import scene

__all__ = ["scene"]
