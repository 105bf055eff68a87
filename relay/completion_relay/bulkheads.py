"""Room `pipeline`: the bulkheads of one cluster, and who is well among its namespaces. Touches nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from completion_relay.bulkhead import Bulkhead, Guards
from completion_relay.clock import Clock
from completion_relay.gate import WeatherGate
from completion_relay.neighbours import Neighbours


class Bulkheads:
    """Those of one cluster, by namespace."""

    def __init__(
        self,
        namespaces: Iterable[str],
        *,
        gate: WeatherGate,
        maximum: int,
        max_looks: int,
        rates: Mapping[str, float],
        wait_after: Callable[[int], float],
        observer: Guards,
        clock: Clock,
        neighbours: Neighbours | None = None,
    ) -> None:
        """Build one for each namespace.

        Args:
            namespaces: All that are served there.
            gate: The cluster's.
            maximum: Calls under way at most, for each namespace.
            max_looks: Looks under way at most, for each namespace.
            rates: Calls a second at most, for the namespaces that have such a limit.
            wait_after: The seconds to wait after so many failed trials, with jitter.
            observer: Told of what happens.
            clock: Time.
            neighbours: Those of all clusters of the relay; None: there is one cluster.
        """
        self.neighbours = neighbours or Neighbours()
        self._gate = gate
        self._bulkheads = {
            namespace: Bulkhead(
                namespace,
                maximum=maximum,
                max_looks=max_looks,
                rate=rates.get(namespace),
                wait_after=wait_after,
                observer=observer,
                neighbours=self.neighbours,
                clock=clock,
            )
            for namespace in namespaces
        }
        gate.when_open(self.neighbours.relief.ring)
        for bulkhead in self._bulkheads.values():
            gate.when_away(bulkhead.start_small)
            self.neighbours.add(_well_behind(gate, bulkhead))

    @property
    def room(self) -> int:
        """How many events more would find a permit."""
        if self._gate.is_closed:
            return 0
        return sum(bulkhead.room for bulkhead in self._bulkheads.values())

    def __iter__(self) -> Iterator[Bulkhead]:
        """Iterate over those of all namespaces."""
        return iter(self._bulkheads.values())

    def __getitem__(self, namespace: str) -> Bulkhead:
        """Return a served namespace's."""
        return self._bulkheads[namespace]


def _well_behind(gate: WeatherGate, bulkhead: Bulkhead) -> Callable[[], bool]:
    return lambda: not (gate.is_closed or bulkhead.is_sick)
