# ruff: noqa: ARG002 - a script answers whatever it is asked
"""Room `tests`: scripts of answers for one event's way through the relay.

They are scripts, not models of Temporal: what it really answers is shown by
tests/integration/relay on a real server. Time is virtual: a sleep is over at once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from completion_relay.bulkheads import Bulkheads
from completion_relay.evidence import Decided, Finding, Question
from completion_relay.gate import WeatherGate
from completion_relay.identity import RecordMark
from completion_relay.means import Means, Patience
from completion_relay.neighbours import Neighbours
from completion_relay.verdict import Answer, Status
from completion_schemas.events import ActivityReference, Outcome, UnixNanos

NOW = UnixNanos(1_800_000_000 * 10**9)
"""When every script begins."""
OK = Answer(Status.OK)
_PLENTY = 60.0
"""Seconds that no test needs."""
PATIENCE = Patience(
    retry_initial=0.1,
    retry_maximum=30.0,
    retry_budget=3600.0,
    park_after=300.0,
    look_timeout=10.0,
    early_timeout=60.0,
)


class VirtualClock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> UnixNanos:
        return UnixNanos(NOW + round(self.monotonic() * 1e9))

    def monotonic(self) -> float:
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def timer(self, seconds: float, ring: Callable[[], None]) -> asyncio.Handle:
        self.waits.append(seconds)
        return asyncio.get_running_loop().call_soon(ring)


@dataclass(order=True)
class _Timer:
    at: float
    number: int
    ring: Callable[[], None] = field(compare=False)
    is_over: bool = field(default=False, compare=False)
    news: Callable[[], None] = field(default=lambda: None, compare=False)

    def cancel(self) -> None:
        self.is_over = True
        self.news()


class ManualClock:
    """Time that passes when a test says so; tests wait on the timers that wait for it."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self.set_back = 0.0
        """By how many seconds somebody has set the time of day back; the other time goes on."""
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._news = asyncio.Event()

    def now(self) -> UnixNanos:
        return UnixNanos(NOW + round((self._seconds - self.set_back) * 1e9))

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        timer = self.timer(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    def timer(self, seconds: float, ring: Callable[[], None]) -> _Timer:
        timer = _Timer(self._seconds + seconds, next(self._numbers), ring, news=self._news.set)
        heapq.heappush(self._timers, timer)
        self._news.set()
        return timer

    @property
    def pending(self) -> list[float]:
        """When the running timers end, soonest first."""
        return sorted(timer.at for timer in self._timers if not timer.is_over)

    def advance(self, seconds: float) -> None:
        """Let time pass, and each timer ring at its own time."""
        ends = self._seconds + seconds
        while self._timers and self._timers[0].at <= ends:
            timer = heapq.heappop(self._timers)
            if not timer.is_over:
                timer.is_over = True
                self._seconds = max(self._seconds, timer.at)
                timer.ring()
        self._seconds = ends

    async def until_pending(self, count: int) -> None:
        """Wait until so many timers run, or more."""
        try:
            async with asyncio.timeout(_PLENTY):
                while len(self.pending) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{count} timers expected, running: {self.pending}") from None


class Sent(NamedTuple):
    """One completion call."""

    namespace: str
    reference: ActivityReference
    outcome: Outcome
    identity: str


def fetched(
    offsets: Iterable[int], *, partition: int = 0, value: bytes = b"v"
) -> list[ConsumerRecord]:
    """Return records of the main topic as aiokafka brings them, with a key of one byte."""
    return [
        ConsumerRecord("completions", partition, offset, 1, 0, b"k", value, None, 1, 1, ())
        for offset in offsets
    ]


class ScriptedSends:
    """Answers call after call; a call that the script does not have is a failure."""

    def __init__(
        self,
        answers: Iterable[Answer],
        namespaces: Iterable[Answer],
        blob_limit: int,
        unknown: Iterable[Answer],
        journal: list[str],
    ) -> None:
        self.answers = iter(answers)
        """To completion calls; a test may put others in their place."""
        self._namespaces = iter(namespaces)
        self._blob_limit = blob_limit
        self.is_guess = False
        """Whether nobody has told that limit; a test may say so."""
        self.tells: int | None = None
        """The limit that a description tells from then on, where a test gives one."""
        self._unknown = iter(unknown)
        self._journal = journal
        self.calls: list[Sent] = []
        self.when_called: Callable[[], object] = lambda: None
        """Called with each completion call; a test may put something there."""

    async def blob_limit(self, namespace: str, size: int) -> int | Answer:
        return next(self._unknown, self._blob_limit)

    def why_guessed(self, namespace: str) -> str:
        return "nobody tells" if self.is_guess else ""

    async def describe_namespace(self, namespace: str) -> Answer:
        self._journal.append("describe namespace")
        answer = next(self._namespaces, None)
        assert answer is not None, "the script has no further answer about the namespace"
        if answer == OK and self.tells is not None:
            self._blob_limit, self.is_guess = self.tells, False
        return answer

    async def send(
        self, namespace: str, reference: ActivityReference, outcome: Outcome, identity: str
    ) -> Answer:
        self._journal.append("send")
        self.calls.append(Sent(namespace, reference, outcome, identity))
        self.when_called()
        answer = next(self.answers, None)
        assert answer is not None, "the script has no further answer to a call"
        return answer


class ScriptedLooks:
    """Finds one thing after the other."""

    def __init__(self, findings: Iterable[Finding | Answer], journal: list[str]) -> None:
        self._findings = iter(findings)
        self._journal = journal
        self.questions: list[Question] = []
        self.remembered: Decided | None = None
        """What an earlier look has proved; a test may put something there."""

    def known(self, namespace: str, question: Question) -> Decided | None:
        return self.remembered

    async def find(self, namespace: str, question: Question) -> Finding | Answer:
        self._journal.append("look")
        self.questions.append(question)
        found = next(self._findings, None)
        assert found is not None, "the script has no further finding"
        return found


class RecordingObserver:
    """Writes down what it is told."""

    def __init__(self, journal: list[str]) -> None:
        self._journal = journal
        self.halts: list[tuple[str, str]] = []
        self.limits: dict[str, int] = {}

    def called(self, outcome: str, answer: Answer, seconds: float) -> None:
        self._journal.append(f"called {answer.status}")

    def retried(
        self, namespace: str, answer: Answer, mark: RecordMark, *, waits: int, seconds: float
    ) -> None:
        self._journal.append(f"retried {answer.status}")

    def halted(self, namespace: str, detail: str) -> None:
        self._journal.append("halted")
        self.halts.append((namespace, detail))

    def resumed(self, namespace: str) -> None:
        self._journal.append("resumed")

    def limited(self, namespace: str, calls: int) -> None:
        self.limits[namespace] = calls

    def probed(self, answer: Answer) -> None:
        pass  # a script has its probes in `namespaces`

    def away(self, detail: str) -> None:
        self._journal.append("away")

    def back(self) -> None:
        self._journal.append("back")


class Script:
    """What Temporal is going to say, and what was done with it."""

    def __init__(
        self,
        answers: Iterable[Answer] = (),
        *,
        findings: Iterable[Finding | Answer] = (),
        namespaces: Iterable[Answer] = (),
        blob_limit: int = 2 * 1024 * 1024,
        unknown: Iterable[Answer] = (),
        clock: VirtualClock | ManualClock | None = None,
        neighbours: Neighbours | None = None,
        served: Iterable[str] = ("orders", "billing"),
    ) -> None:
        """Write the script.

        Args:
            answers: To completion calls.
            findings: Of looks.
            namespaces: To the question whether the namespace exists.
            blob_limit: Largest result, bytes.
            unknown: Why that cannot be told, to the first who ask.
            clock: None: a virtual one, where no wait takes any time.
            neighbours: Those of another script, whose cluster is then another one of the same relay.
            served: The namespaces; all but the one that is called are well.
        """
        self.journal: list[str] = []
        """What happened, in its order."""
        self.clock = VirtualClock()
        """Unless the test has given one of its own."""
        time = clock or self.clock
        self.sends = ScriptedSends(answers, namespaces, blob_limit, unknown, self.journal)
        self.looks = ScriptedLooks(findings, self.journal)
        self.observer = RecordingObserver(self.journal)
        rng = random.Random(7)
        wait_after = partial(PATIENCE.after, rng=rng)
        gate = WeatherGate(
            probe=partial(self.sends.describe_namespace, "orders"),
            wait_after=wait_after,
            observer=self.observer,
            clock=time,
        )
        self.means = Means(
            completer=self.sends,
            triage=self.looks,
            gate=gate,
            bulkheads=Bulkheads(
                served,
                gate=gate,
                maximum=256,
                max_looks=16,
                rates={},
                wait_after=wait_after,
                observer=self.observer,
                clock=time,
                neighbours=neighbours,
            ),
            patience=PATIENCE,
            observer=self.observer,
            clock=time,
            rng=rng,
        )

    def happened(self, *kinds: str) -> list[str]:
        """Return the journal's entries of these kinds alone, in their order."""
        return [entry for entry in self.journal if entry in kinds]
