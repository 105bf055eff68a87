"""Room `pipeline`: one Temporal cluster: its connection, its calls, its looks, its health.

Touches temporalio, through the rooms it puts together. Clusters share nothing
but the clock and the observer, so that one which is away holds up no other.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from completion_relay.bulkheads import Bulkheads
from completion_relay.calls import Calls
from completion_relay.clock import Clock
from completion_relay.completer import Completer
from completion_relay.connections import TemporalConnection
from completion_relay.gate import WeatherGate
from completion_relay.identity import RecordMark
from completion_relay.means import Means, Patience
from completion_relay.neighbours import Neighbours
from completion_relay.observe import Observer
from completion_relay.route import Destination
from completion_relay.status_page import ClusterState, NamespaceState
from completion_relay.triage import Triage
from completion_relay.verdict import (
    NAMESPACE_NOT_FOUND,
    Answer,
    Status,
    backoff,
    frontend_answered,
)

_PROBE_SECONDS: Final = 5.0
"""Between two, at most, also while the cluster is away: one call of each replica is nothing to it, and
what was noticed half a minute late was half a minute of everybody's events (seen, with the events' own
`relay.retry_maximum` for it)."""
_FIRST_PROBES_SECONDS: Final = 0.2
"""Until the cluster has answered once: a relay that starts should be ready soon."""


class ClusterObserver:
    """The observer, told under one cluster's name: a namespace of the same name may be elsewhere."""

    def __init__(self, observer: Observer, connection: TemporalConnection) -> None:
        self._observer = observer
        self._part = connection.label
        self._places = {
            namespace: str(Destination(connection.name, namespace))
            for namespace in connection.namespaces
        }

    def called(self, outcome: str, answer: Answer, seconds: float) -> None:
        """A completion call came back."""
        self._observer.called(outcome, answer, seconds)

    def retried(
        self, namespace: str, answer: Answer, mark: RecordMark, *, waits: int, seconds: float
    ) -> None:
        """A call failed by no fault of the event: see `Observes`."""
        self._observer.retried(self._places[namespace], answer, mark, waits=waits, seconds=seconds)

    def halted(self, namespace: str, detail: str) -> None:
        """Nothing of the namespace can be applied until an operator mends it."""
        self._observer.halted(self._places[namespace], detail)

    def resumed(self, namespace: str) -> None:
        """A namespace that was halted takes events again."""
        self._observer.resumed(self._places[namespace])

    def limited(self, namespace: str, calls: int) -> None:
        """So many calls to the namespace may be under way from now on."""
        self._observer.limited(self._places[namespace], calls)

    def assumed(self, namespace: str, why: str) -> None:
        """How large a result the namespace takes is not told, and will not be."""
        self._observer.assumed(self._places[namespace], why)

    def probed(self, answer: Answer) -> None:
        """The cluster, which may be away, was asked something, and this came back."""
        self._observer.probed(self._part, answer)

    def away(self, detail: str) -> None:
        """The cluster is away as a whole."""
        self.problem(f"away: {detail}")

    def back(self) -> None:
        """It is back."""
        self.well()

    def by_namespace(self, rates: Mapping[str, float]) -> dict[str, float]:
        """Return the rates of this cluster's namespaces."""
        return {
            namespace: rates[place] for namespace, place in self._places.items() if place in rates
        }

    def problem(self, problem: str, namespace: str | None = None) -> None:
        """The cluster, or one namespace of it, is in the way."""
        self._observer.problem(self._part_of(namespace), problem)

    def well(self, namespace: str | None = None) -> None:
        """The cluster, or one namespace of it, is well (again)."""
        self._observer.well(self._part_of(namespace))

    def _part_of(self, namespace: str | None) -> str:
        return self._part if namespace is None else f"namespace {self._places[namespace]}"


class Cluster:
    """One cluster, and what events need to be completed there."""

    def __init__(
        self,
        connection: TemporalConnection,
        *,
        means: Means,
        completer: Completer,
        told: ClusterObserver,
    ) -> None:
        """Put together; `connect` is the way to one.

        Args:
            connection: Where it is, and its namespaces.
            means: What an event's way to it works with.
            completer: What its probe asks with.
            told: The observer, told under this cluster's name.
        """
        self.means = means
        self._connection = connection
        self._completer = completer
        self._told = told

    @classmethod
    async def connect(
        cls,
        connection: TemporalConnection,
        *,
        max_in_flight: int,
        max_looks: int,
        rates: Mapping[str, float],
        neighbours: Neighbours,
        patience: Patience,
        observer: Observer,
        clock: Clock,
    ) -> Cluster:
        """Return the cluster; makes no call yet.

        Args:
            connection: Where it is, and its namespaces.
            max_in_flight: Completion calls under way at once in one namespace.
            max_looks: Looks under way at once in one namespace.
            rates: Completion calls a second at most, by namespace as metrics call it.
            neighbours: The namespaces of all clusters.
            patience: How long an event waits for what.
            observer: Told of what happens.
            clock: Time.
        """
        client = await connection.client(lazy=True)
        told = ClusterObserver(observer, connection)
        calls = Calls(seconds=connection.rpc_timeout)
        completer = Completer(client, calls, clock, assumed=told.assumed)
        rng = random.Random()  # noqa: S311 - jitter, not a secret
        wait_after = partial(patience.after, rng=rng)
        gate = WeatherGate(
            probe=partial(_first_to_answer, completer, connection.namespaces),
            wait_after=partial(
                backoff,
                initial=min(patience.retry_initial, _PROBE_SECONDS),
                maximum=min(patience.retry_maximum, _PROBE_SECONDS),
                rng=rng,
            ),
            observer=told,
            clock=clock,
        )
        means = Means(
            completer=completer,
            triage=Triage(client, calls, clock),
            gate=gate,
            bulkheads=Bulkheads(
                connection.namespaces,
                gate=gate,
                maximum=max_in_flight,
                max_looks=max_looks,
                rates=told.by_namespace(rates),
                wait_after=wait_after,
                observer=told,
                clock=clock,
                neighbours=neighbours,
            ),
            patience=patience,
            observer=told,
            clock=clock,
            rng=rng,
        )
        return cls(connection, means=means, completer=completer, told=told)

    @property
    def name(self) -> str:
        """By which events call it; empty for the default one."""
        return self._connection.name

    def state(self) -> tuple[ClusterState, list[NamespaceState]]:
        """Return how it is, and how each of its namespaces is."""
        namespaces = []
        for bulkhead in self.means.bulkheads:
            calls, queued = bulkhead.state
            namespaces.append(
                NamespaceState(
                    name=str(Destination(self.name, bulkhead.namespace)),
                    halted=bulkhead.halted,
                    is_sick=bulkhead.is_sick,
                    calls_limit=calls,
                    in_flight=bulkhead.in_flight,
                    queued=queued,
                )
            )
        return ClusterState(name=self.name, is_away=self.means.gate.is_away), namespaces

    def close(self) -> None:
        """Stop asking whether it is back."""
        self.means.gate.close()

    async def probe_for_ever(self) -> None:
        """Ask each namespace again and again, and tell how the cluster is."""
        self._told.problem("not asked yet")
        has_answered = False
        while True:
            has_answered = await self._probe() or has_answered
            await self.means.clock.sleep(_PROBE_SECONDS if has_answered else _FIRST_PROBES_SECONDS)

    async def _probe(self) -> bool:
        if self.means.gate.is_away:
            return True  # its own probe is the one that goes out
        whose = self._connection
        answers = await asyncio.gather(*map(self._completer.describe_namespace, whose.namespaces))
        if self.means.gate.is_away:
            return True  # meanwhile: what these answers say is older than that
        if not any(map(frontend_answered, answers)):
            self._told.problem(
                f"{whose.address} {_unreached(answers[0])}: waiting for it; see {whose.help}"
            )
            return False
        for namespace, answer in zip(whose.namespaces, answers, strict=True):
            self._judge(namespace, answer)
        self._told.well()
        return True

    def _judge(self, namespace: str, answer: Answer) -> None:
        whose = self._connection
        if not frontend_answered(answer):
            self._told.problem(_unreached(answer), namespace)
        elif answer.status is Status.UNAUTHENTICATED:
            self._told.problem(f"{answer.message}: see {whose.help}", namespace)
        elif NAMESPACE_NOT_FOUND in answer.details:
            setting = f"namespaces of cluster {whose.name}" if whose.name else "temporal.namespaces"
            self._told.problem(f"Temporal has no such namespace; see {setting}", namespace)
        else:
            # A relay needs no right to describe the namespace: a refusal of that is well.
            self._told.well(namespace)


async def _first_to_answer(completer: Completer, namespaces: Iterable[str]) -> Answer:
    """Ask about each namespace, and return the first answer of a frontend; or how the last one failed.

    One address may be a frontend that routes by namespace, and what is behind it may be away for
    some of them. All at once: one that says nothing is none to wait for.
    """
    asking = [asyncio.create_task(completer.describe_namespace(each)) for each in namespaces]
    try:
        for next_one in asyncio.as_completed(asking):
            answer = await next_one
            if frontend_answered(answer):
                break
        return answer
    finally:
        for task in asking:
            task.cancel()


def _unreached(answer: Answer) -> str:
    return f"cannot be reached ({answer.status}: {answer.message})"
