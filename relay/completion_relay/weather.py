"""Room `verdict`: whether a cluster of Temporal is away as a whole. Core: touches nothing.

An outage is told from a poison token, or from one shard that is moving, by
three signs together: several different events fail, no call of anybody gets a
definite answer in between, and a question that has nothing to do with them (the
probe) fails too. `gate.py` makes the probes and holds the events back.

    FAIR --several events fail--> DOUBTFUL --the probe fails too--> AWAY
      ^                             |                                |
      +------ a definite answer ----+--------------------------------+
"""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto

_SEVERAL = 3
"""How many different events make a doubt. Few: a doubt costs one probe, and in a quiet hour there
are no more events than these."""

_CALM_FIRST = 0.5
_CALM_MOST = 30.0
"""Seconds without another doubt after one that the probe refuted, doubled each time: with one shard
away and no event of another, every retry would raise it again."""


class State(Enum):
    """Of the weather; the arrows are in the module's first lines."""

    FAIR = auto()
    DOUBTFUL = auto()
    """No event makes a call; the probe is out."""
    AWAY = auto()
    """No event makes a call; one probe after the other goes out."""


class Weather:
    """What the answers of one cluster say of it as a whole."""

    def __init__(self) -> None:
        self.state = State.FAIR
        self._failing: set[Hashable] = set()
        self._refuted = 0
        self._calm_until = float("-inf")

    @property
    def is_uneasy(self) -> bool:
        """Whether a definite answer would be news; it is not, as a rule."""
        return bool(self._failing) or self._refuted > 0 or self.state is not State.FAIR

    def failed(self, event: Hashable, *, now: float) -> bool:
        """A call for an event had no definite answer; True if that makes it doubtful.

        Args:
            event: Which; the same one counts once.
            now: Seconds of any clock.
        """
        if self.state is not State.FAIR or now < self._calm_until:
            return False
        self._failing.add(event)
        if len(self._failing) < _SEVERAL:
            return False
        self._failing.clear()
        self.state = State.DOUBTFUL
        return True

    def answered(self) -> bool:
        """A call for an event had a definite answer; True if that ends a doubt or an outage."""
        self._failing.clear()
        self._refuted = 0
        self._calm_until = float("-inf")
        return self._clear()

    def probed(self, *, definite: bool, now: float) -> bool:
        """The probe came back; True if that ends a doubt or an outage.

        Args:
            definite: Whether Temporal answered.
            now: Seconds of any clock.
        """
        if self.state is State.FAIR:
            return False  # an event's answer was faster
        if not definite:
            self.state = State.AWAY
            return False
        if self.state is State.DOUBTFUL:
            self._calm_until = now + min(_CALM_MOST, _CALM_FIRST * 2.0 ** min(self._refuted, 60))
            self._refuted += 1
        return self._clear()

    def _clear(self) -> bool:
        changed = self.state is not State.FAIR
        self.state = State.FAIR
        return changed


class Streak:
    """Whether several different events of a namespace fail and none gets through."""

    __slots__ = ("_failing",)

    def __init__(self) -> None:
        self._failing: set[Hashable] = set()

    @property
    def is_long(self) -> bool:
        """Whether it is the namespace rather than an event."""
        return len(self._failing) >= _SEVERAL

    def failed(self, event: Hashable) -> None:
        """A call for an event had no definite answer; the same event counts once."""
        if not self.is_long:
            self._failing.add(event)

    def answered(self) -> None:
        """A call for an event had a definite answer."""
        if self._failing:
            self._failing.clear()
