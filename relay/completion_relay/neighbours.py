"""Room `pipeline`: whether giving a place away would help anybody. Touches `bell.py` alone."""

from __future__ import annotations

from collections.abc import Callable

from completion_relay.bell import Bell


class Neighbours:
    """Whether anybody would gain if an event gave its place away; one for all clusters of a relay."""

    def __init__(self) -> None:
        self._is_well: list[Callable[[], bool]] = []
        self.relief = Bell()
        """Rings when a namespace is well again."""

    def add(self, is_well: Callable[[], bool]) -> None:
        """Take in a namespace by the question whether it is well."""
        self._is_well.append(is_well)

    @property
    def anybody_is_well(self) -> bool:
        """Whether there is a namespace whose events would be decided if they were taken."""
        return any(is_well() for is_well in self._is_well)
