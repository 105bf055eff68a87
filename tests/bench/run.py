"""Room `tests/bench`: what every part is given. Touches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.kafka import Broker


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a part of the bench."""

    broker: Broker
    folder: Path
    """For data and logs; gone at the end."""
    plots: Path
    """For plots; kept."""
    quick: bool
    """Whether only the harness is tried: the figures mean nothing."""
    events: int
    """Of a round of part a."""
    rounds: int
    say: Callable[[str], None]
    """Shows what is done now."""
