"""Room `tests/bench`: why a run cannot be what was asked for. Touches nothing."""

from __future__ import annotations


class BenchError(Exception):
    """Something that the bench started did not do what it should; the text says what."""


class TooSlowError(BenchError):
    """This machine did not keep the pace, so what was measured is not what was asked for."""
