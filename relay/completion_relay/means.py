"""Room `pipeline`: what an event's way to its outcome works with. Touches nothing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from completion_relay.bulkheads import Bulkheads
from completion_relay.clock import Clock
from completion_relay.evidence import Decided, Finding, Question
from completion_relay.gate import WeatherGate
from completion_relay.identity import RecordMark
from completion_relay.verdict import Answer, backoff
from completion_schemas.events import ActivityReference, Outcome


class Sends(Protocol):
    """What is needed of the completer."""

    async def describe_namespace(self, namespace: str) -> Answer:
        """Ask whether the namespace is there."""

    async def blob_limit(self, namespace: str, size: int) -> int | Answer:
        """Return the largest result that it takes, bytes; or why one of that size cannot be judged yet."""

    def why_guessed(self, namespace: str) -> str:
        """Return why that is Temporal's default, which nobody has told; empty: it is not."""

    async def send(
        self, namespace: str, reference: ActivityReference, outcome: Outcome, identity: str
    ) -> Answer:
        """Make one call."""


class Looks(Protocol):
    """What is needed of triage."""

    def known(self, namespace: str, question: Question) -> Decided | None:
        """Return what an earlier look has proved for good; Temporal is not asked."""

    async def find(self, namespace: str, question: Question) -> Finding | Answer:
        """Return what is known of an activity, or the answer of a look that failed."""


class Observes(Protocol):
    """Who is told of what happens on the way."""

    def called(self, outcome: str, answer: Answer, seconds: float) -> None:
        """A completion call came back."""

    def retried(
        self, namespace: str, answer: Answer, mark: RecordMark, *, waits: int, seconds: float
    ) -> None:
        """A call failed by no fault of the event, which waits for the `waits`th time, for `seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what; all in seconds (settings `relay.*`)."""

    retry_initial: float
    retry_maximum: float
    retry_budget: float
    park_after: float
    look_timeout: float
    early_timeout: float

    def after(self, tries: int, rng: random.Random) -> float:
        """Return the seconds to wait after so many tries."""
        return backoff(tries, initial=self.retry_initial, maximum=self.retry_maximum, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every event's way has at hand; of the event's cluster."""

    completer: Sends
    triage: Looks
    gate: WeatherGate
    bulkheads: Bulkheads
    patience: Patience
    observer: Observes
    clock: Clock
    rng: random.Random
    """For the jitter."""
