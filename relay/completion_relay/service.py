"""Room `cli`: puts the rooms together into a running relay. May touch all of them.

Starts in the order in which things can fail for good: settings and the HTTP
port end the process, a server that is away is waited for with readiness red.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from completion_relay import __version__
from completion_relay.clock import SystemClock
from completion_relay.cluster import Cluster
from completion_relay.connections import kafka_options, routes_of, temporal_connections
from completion_relay.consumer import Consumer
from completion_relay.first_of import first_of
from completion_relay.health import Health
from completion_relay.http import HttpServer
from completion_relay.introduction import Introduction, encode_introduction
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.load import ConfigurationError
from completion_relay.means import Patience
from completion_relay.neighbours import Neighbours
from completion_relay.observe import Observer
from completion_relay.pipeline import Pipeline
from completion_relay.settings import Settings
from completion_relay.status_page import ReplicaState
from completion_relay.topics import partitions_apart

_PROBE_SECONDS = 5.0
_ANSWER_SECONDS = 5.0
_RECONNECT_SECONDS = 2.0
_HEARD_SECONDS = 5.0
"""Kafka's controller answers before every broker has heard of a new topic, and any of them is asked.

Seen on three brokers: a relay that was started when all its topics had just been created was told that
there are none, and ended.
"""
_ASK_AGAIN_SECONDS = 0.2
_OLDEST = 5
"""Undecided records that /status names: what waits for longest is the same cause, as a rule."""


async def _until_done(working: asyncio.Task[None], *, unless: list[asyncio.Task[None]]) -> None:
    """Wait for `working`; a defect that ends one of the others ends all."""
    try:
        await asyncio.wait({working, *unless}, return_when=asyncio.FIRST_COMPLETED)
        for other in unless:
            if other.done():
                other.result()
        await working
    finally:
        for task in (working, *unless):
            task.cancel()
        await asyncio.gather(working, *unless, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a relay serves, once events are being decided; as text a sentence."""

    topic: str
    """The topic of the completion events."""
    kafka: str
    """Kafka's bootstrap servers, `HOST:PORT`, comma-separated."""
    group: str
    """Kafka's consumer group."""
    namespaces: tuple[str, ...]
    """Of the default cluster; the first is for events that name none."""
    temporal: str
    """`HOST:PORT` of the default cluster's frontend."""
    clusters: dict[str, tuple[str, tuple[str, ...]]]
    """`HOST:PORT` and namespaces of each further cluster, by its name."""
    http: str
    """`HOST:PORT` of /healthz, /readyz, /metrics and /status, as it became."""

    def __str__(self) -> str:
        others = "".join(
            f", {', '.join(namespaces)} of {name} on {address}"
            for name, (address, namespaces) in self.clusters.items()
        )
        return (
            f"serving {self.topic} on {self.kafka} as group {self.group}, for namespace "
            f"{', '.join(self.namespaces)} on {self.temporal}{others}; http://{self.http}/readyz"
        )


class Relay:
    """A relay of one process, from its settings to its end."""

    def __init__(self, settings: Settings, *, pages: str | None = None) -> None:
        """Connect to nothing yet.

        Args:
            settings: The relay's.
            pages: HOST:PORT at which a supervisor serves the pages of all its processes; None: this
                process serves its own for everybody.

        Raises:
            ConfigurationError: a certificate or Temporal's profile cannot be read, or a rate limit
                is for a namespace that is not served.
        """
        self._settings = settings
        self._clock = SystemClock()
        self._temporal, *self._others = connections = temporal_connections(settings.temporal)
        self._routes = routes_of(settings, connections)
        self._kafka = kafka_options(settings.kafka)
        self.health = Health()
        self.observer = Observer(
            namespaces=tuple(str(place) for place in self._routes.served()), health=self.health
        )
        self._http = HttpServer(
            settings.http.address,
            health=self.health,
            registry=self.observer.metrics.registry,
            state=self._state,
        )
        self._introduction = Introduction(
            relay_id=settings.relay.relay_id, version=__version__, http=pages or ""
        )
        self._clusters: tuple[Cluster, ...] = ()
        self._consumer: Consumer | None = None

    async def run(
        self,
        stop: asyncio.Event,
        *,
        on_ready: Callable[[Serving], None],
        on_listening: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Serve until `stop` is set, then drain.

        Args:
            stop: Ends it.
            on_ready: Given what is served, once events are being decided.
            on_listening: Given HOST:PORT of /healthz, /readyz and /metrics, before anything else.

        Raises:
            ConfigurationError: the HTTP address is taken, a topic is missing, or those of the events
                and of the parked ones differ in partitions.
        """
        http = await self._http.start()
        if not self._introduction.http:
            self._introduction = dataclasses.replace(self._introduction, http=http)
        on_listening(http)
        try:
            await self._serve(stop, lambda: on_ready(self._serving(http)))
        finally:
            await self._http.stop()

    async def _serve(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        clusters = self._clusters = await self._connect()
        kafka = KafkaProbe(self._kafka)
        try:
            # One after the other, and each of them bounded by the stop.
            if await first_of(stop.wait(), self._refuse_wrong_topics(kafka)):
                consumer = self._consumer = self._assemble(clusters)
                working = asyncio.create_task(consumer.run(stop))
                # The clusters first: each says "not asked yet" before readiness is looked at.
                probing = [
                    *(asyncio.create_task(cluster.probe_for_ever()) for cluster in clusters),
                    asyncio.create_task(self._probe_kafka_for_ever(kafka, consumer, on_ready)),
                ]
                await _until_done(working, unless=probing)
        finally:
            for cluster in clusters:
                cluster.close()
            await kafka.stop()

    async def _connect(self) -> tuple[Cluster, ...]:
        relay, further = self._settings.relay, self._settings.temporal.clusters
        patience = Patience(
            retry_initial=relay.retry_initial,
            retry_maximum=relay.retry_maximum,
            retry_budget=relay.retry_budget,
            park_after=relay.park_after,
            look_timeout=relay.look_timeout,
            early_timeout=relay.early_timeout,
        )
        neighbours = Neighbours()
        own = {cluster.name: cluster.max_in_flight for cluster in further}
        return tuple(
            [
                await Cluster.connect(
                    connection,
                    max_in_flight=own.get(connection.name) or relay.max_in_flight,
                    max_looks=relay.max_looks,
                    rates=relay.rate_limits,
                    neighbours=neighbours,
                    patience=patience,
                    observer=self.observer,
                    clock=self._clock,
                )
                for connection in (self._temporal, *self._others)
            ]
        )

    def _assemble(self, clusters: tuple[Cluster, ...]) -> Consumer:
        settings, clock, observer = self._settings, self._clock, self.observer
        pipeline = Pipeline(
            routes=self._routes,
            means={cluster.name: cluster.means for cluster in clusters},
            topics=settings.topics,
            group=settings.kafka.group_id,
            relay_id=settings.relay.relay_id,
            observer=observer,
            clock=clock,
        )
        return Consumer(
            self._kafka,
            topics=settings.topics,
            kafka=settings.kafka,
            relay=settings.relay,
            pipeline=pipeline,
            is_away=lambda: all(cluster.means.gate.is_away for cluster in clusters),
            room=lambda: sum(cluster.means.bulkheads.room for cluster in clusters),
            introduction=encode_introduction(self._introduction),
            observer=observer,
            clock=clock,
        )

    async def _refuse_wrong_topics(self, kafka: KafkaProbe) -> bool:
        """Wait for Kafka, then return True where all topics are there as they must be."""
        give_up = math.inf
        while True:
            if (there := await kafka.topics(within=_ANSWER_SECONDS)) is None:
                self.observer.problem("kafka", f"{_away(self._settings)}: waiting for it")
                await self._clock.sleep(_RECONNECT_SECONDS)
                give_up = math.inf  # a broker that has only just come back has heard of the least
                continue
            self.observer.well("kafka")
            if (problem := self._wrong_topics(there)) is None:
                return True
            now = self._clock.monotonic()
            give_up = min(give_up, now + _HEARD_SECONDS)
            if now >= give_up:
                raise ConfigurationError(problem)
            await self._clock.sleep(_ASK_AGAIN_SECONDS)

    def _wrong_topics(self, there: Mapping[str, int]) -> str | None:
        topics = self._settings.topics
        if missing := sorted(set(topics.names()) - there.keys()):
            return (
                f"topic {', '.join(missing)}: missing on {self._settings.kafka.bootstrap_servers}: "
                "run `completion-relay topics create`, or name the right ones in [topics]"
            )
        return partitions_apart(topics, there)

    async def _probe_kafka_for_ever(
        self, kafka: KafkaProbe, consumer: Consumer, on_ready: Callable[[], None]
    ) -> None:
        was_ready = False
        while True:
            there = await kafka.topics(within=_ANSWER_SECONDS)
            if there is None:
                self.observer.problem("kafka", f"{_away(self._settings)}: waiting for it")
                consumer.compare({})
            else:
                self.observer.well("kafka")
                consumer.compare(await kafka.ends(consumer.readings(), within=_ANSWER_SECONDS))
                # Somebody may add partitions to one of them under a relay that runs.
                if problem := partitions_apart(self._settings.topics, there):
                    self.observer.problem("partitions", problem)
                else:
                    self.observer.well("partitions")
            if self.health.is_ready and not was_ready:
                was_ready = True
                on_ready()
            await self._clock.sleep(_PROBE_SECONDS if was_ready else 0.2)

    def _state(self) -> ReplicaState:
        lag = None if self._consumer is None else self._consumer.lag
        states = [cluster.state() for cluster in self._clusters]
        return ReplicaState(
            relay_id=self._introduction.relay_id,
            version=self._introduction.version,
            instance=self._introduction.instance,
            problems=self.health.problems or ({} if lag else {"relay": "starting"}),
            partitions=lag.partitions() if lag else [],
            oldest=lag.oldest(_OLDEST) if lag else [],
            namespaces=[namespace for _, namespaces in states for namespace in namespaces],
            clusters=[cluster for cluster, _ in states],
        )

    def _serving(self, http: str) -> Serving:
        return Serving(
            topic=self._settings.topics.completions,
            kafka=self._settings.kafka.bootstrap_servers,
            group=self._settings.kafka.group_id,
            namespaces=self._temporal.namespaces,
            temporal=self._temporal.address,
            clusters={other.name: (other.address, other.namespaces) for other in self._others},
            http=http,
        )


def _away(settings: Settings) -> str:
    return f"{settings.kafka.bootstrap_servers} cannot be reached"
