"""Room `pipeline`: who may call now. Each namespace has its own queue, so a sick one delays no other.

The arithmetic is `limit.py`'s. A namespace that refuses everything (halted), or
that still throttles when one call is under way, is tried by one event at a time,
with a backoff between. Touches asyncio through `bell.py` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

from completion_relay.bell import Bell, Cancels
from completion_relay.clock import Clock
from completion_relay.limit import ConcurrencyLimit, Pace
from completion_relay.neighbours import Neighbours
from completion_relay.permits import Admits, Permits, Ticket
from completion_relay.weather import Streak

_AFTER_AN_OUTAGE = 8
"""Calls at once with which a namespace begins anew: everybody else comes back in the same moment."""


_SICK_SECONDS = 1.0
"""For so long a namespace is sick before those who queue are woken for it."""


class Guards(Protocol):
    """Who is told of the namespaces' state."""

    def halted(self, namespace: str, detail: str) -> None:
        """Nothing of the namespace can be applied until an operator mends it."""

    def resumed(self, namespace: str) -> None:
        """A namespace that was halted takes events again."""

    def limited(self, namespace: str, calls: int) -> None:
        """So many calls to the namespace may be under way from now on."""


class Bulkhead(Admits):
    """One namespace's: how many calls it may have under way, and who is next."""

    def __init__(
        self,
        namespace: str,
        *,
        maximum: int,
        max_looks: int,
        rate: float | None,
        wait_after: Callable[[int], float],
        observer: Guards,
        neighbours: Neighbours,
        clock: Clock,
    ) -> None:
        """Let everybody in, up to the maximum.

        Args:
            namespace: Its name.
            maximum: Calls under way at most.
            max_looks: Looks under way at most, beside these.
            rate: Calls a second at most; None: no limit.
            wait_after: The seconds to wait after so many failed trials, with jitter.
            observer: Told when it is halted and resumed, and of its limit.
            neighbours: Told when it is well again.
            clock: Time.
        """
        super().__init__()
        self.namespace = namespace
        self.halted: str | None = None
        """Why it refuses everything; None: it does not."""
        self.turned_sick = Bell()
        """Rings when it has been sick for a second: who queues asks itself whether to go on waiting."""
        self.recoveries = 0
        """How often a trial succeeded: who waits because of a refusal may go on."""
        self.recovered = Bell()
        """Rings each time one does."""
        self.looks = Permits(max_looks)
        """Of looks that are no trials: a look may read many pages, a sick namespace holds up no other, and
        a wave of NOT_FOUND takes no permit of a completion."""
        self.looks_freed = Bell()
        """Rings when looks have to be trials no more: those that queue for one need not go on with that."""
        self.completed_at = float("-inf")
        """When a completion was last answered OK, seconds of the clock: a server may describe for as long as it
        writes nothing."""
        self._limit = ConcurrencyLimit(maximum=maximum)
        self._pace = None if rate is None else Pace(rate)
        self._wait_after = wait_after
        self._observer = observer
        self._neighbours = neighbours
        self._clock = clock
        self._streak = Streak()
        self._ways_given = 0
        self._next_way = float("-inf")
        self._is_slow = False
        self._on_trial_since: float | None = None
        self._needs_completion = False
        """Whether a completion has to end the trial: one was refused."""
        self._looks_pass = False
        """Whether looks have answers in the trial that a completion has to end."""
        self._failed_trials = 0
        self._next_trial = 0.0
        self._timer: Cancels | None = None
        self._was_sick = False
        self._sick_timer: Cancels | None = None
        self._note_limit()

    @property
    def is_sick(self) -> bool:
        """Whether its events wait for longer than those of a healthy namespace.

        Halted, throttled to less than half of its calls, over its rate, or with
        several events failing and none getting through.
        """
        if self._on_trial_since is not None or self._streak.is_long:
            return True
        if not self._queue:
            return False
        return self._is_slow or (self._pace is not None and self.in_flight < self._limit.calls)

    @property
    def why(self) -> str:
        """Why an event waits here, for a person."""
        if self.halted is None:
            return f"namespace {self.namespace} takes no more calls now"
        return f"namespace {self.namespace} is halted: {self.halted}"

    @property
    def is_on_trial(self) -> bool:
        """Whether one event at a time tries: it is halted, or it throttles at one call under way."""
        return self._on_trial_since is not None

    @property
    def tries_looks(self) -> bool:
        """Whether a look has to be a trial, too."""
        return self._on_trial_since is not None and not self._looks_pass

    @property
    def state(self) -> tuple[int, int]:
        """How many calls may be under way at once, and how many events wait for their turn."""
        return self._limit.calls, len(self._queue)

    @property
    def room(self) -> int:
        """How many events more would find a permit; where it is sick, one if nobody else is trying."""
        if self.is_sick:
            # Whose failures made it sick may be gone, with the partitions they came from: if
            # nobody were let in, nobody could find out that it is well (a run of faults stood
            # still like that).
            return int(not self.in_flight and not self._queue)
        return max(0, self._limit.calls - self.in_flight - len(self._queue))

    def withdraw(self, ticket: Ticket) -> None:
        """Give a place in the queue back, and the permit if it has come to one."""
        super().withdraw(ticket)
        if not ticket.is_admitted:
            self._note_health()

    def succeeded(self, *, started: float, ended: float) -> None:
        """A call had a definite answer that another event would have had too.

        Args:
            started: When it was made.
            ended: When the answer came.
        """
        calls = self._limit.calls
        self._limit.answered(started=started, ended=ended, in_flight=self.in_flight)
        has_changed = self._limit.calls != calls
        if has_changed:
            self._note_limit()
        self._streak.answered()
        if self._ways_given:
            self._ways_given = 0
            self._next_way = float("-inf")
        if self._on_trial_since is not None and started >= self._on_trial_since:
            self._end_trial()
        elif has_changed:
            self._admit()  # a look has no permit of these to give back, which would let the next one in
        elif self._was_sick:
            self._note_health()

    def looked(self, *, started: float, ended: float) -> None:
        """A look had an answer: it ends a trial that a look began, whether it was the trial or not.

        One that a completion began a completion has to end: where workflows may be described and
        activities not completed, each event by ids would let all the others in, to be refused. But
        looks wait for no trial any more, and what needs no completion is decided by them.

        Args:
            started: When it was made.
            ended: When the answer came.
        """
        if self._on_trial_since is None or started < self._on_trial_since:
            return
        if not self._needs_completion:
            self.succeeded(started=started, ended=ended)
        elif not self._looks_pass:
            self._looks_pass = True
            self.looks_freed.ring()

    def failed(
        self, event: Hashable, *, started: float, is_look: bool = False, is_trial: bool = True
    ) -> None:
        """A call for an event, made at `started`, had no definite answer.

        Args:
            event: Which.
            started: When it was made.
            is_look: Whether it was a look, and not a completion.
            is_trial: Whether who made it had a permit: without one, it was made beside the trials.
        """
        self._streak.failed(event)
        if self._on_trial_since is not None:
            self._put_on_trial(started, is_look=is_look, is_trial=is_trial)
        self._note_health()

    def throttled(self, *, started: float, is_look: bool = False, is_trial: bool = True) -> None:
        """A call was refused for there being too many, or had no answer in time; see `failed`."""
        was_one = self._limit.calls == 1
        if self._on_trial_since is not None:
            self._put_on_trial(started, is_look=is_look, is_trial=is_trial)
        elif self._limit.refused(started=started, now=self._clock.monotonic()):
            self._note_limit()
            if was_one:
                self._put_on_trial(started, is_look=is_look, is_trial=is_trial)
        self._note_health()

    def refused_all(
        self, detail: str, *, started: float, is_look: bool = False, is_trial: bool = True
    ) -> None:
        """A call was refused as every other would have been: halt the namespace; see `failed`."""
        if self.halted is None:
            self._observer.halted(self.namespace, detail)
        self.halted = detail
        self._put_on_trial(started, is_look=is_look, is_trial=is_trial)
        self._note_health()

    def gives_way(self) -> bool:
        """Whether one event is to give its place to another, which may get through where it did not.

        Only where several events fail and none gets through, and ever more seldom: a namespace that
        can be described and takes no completions must not drain the topic.
        """
        now = self._clock.monotonic()
        if not self._streak.is_long or self._on_trial_since is not None or now < self._next_way:
            return False
        self._ways_given += 1
        self._next_way = now + self._wait_after(self._ways_given)
        return True

    def start_small(self) -> None:
        """Begin anew with few calls: the cluster is away, and all will come back at once."""
        self._limit.restart(_AFTER_AN_OUTAGE, now=self._clock.monotonic())
        self._note_limit()
        self._note_health()

    def _has_room(self) -> bool:
        if self._on_trial_since is not None:
            return not self.in_flight and self._clock.monotonic() >= self._next_trial
        if self.in_flight >= self._limit.calls:
            return False
        if self._pace is None:
            return True
        seconds = self._pace.wait(self._clock.monotonic())
        if seconds:
            self._come_back_in(seconds)
        return not seconds

    def _admit(self) -> None:
        super()._admit()
        if self._queue and self._on_trial_since is not None and not self.in_flight:
            self._come_back_in(self._next_trial - self._clock.monotonic())
        self._note_health()

    def _come_back_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._clock.timer(max(0.0, seconds), self._come_back)

    def _come_back(self) -> None:
        self._timer = None
        self._admit()

    def _put_on_trial(self, started: float, *, is_look: bool, is_trial: bool) -> None:
        now = self._clock.monotonic()
        # By those that were made before the trials began, too: they say what is refused.
        self._needs_completion |= not is_look
        self._looks_pass &= not is_look
        if self._on_trial_since is None:
            self._on_trial_since = now
        elif started < self._on_trial_since or not is_trial:
            # Made before the trials began, or beside them: no trial of its own. Two of a hundred looks
            # that failed once kept a namespace that was mended shut for two minutes.
            return
        self._failed_trials += 1
        self._next_trial = now + self._wait_after(self._failed_trials)

    def _end_trial(self) -> None:
        self._on_trial_since = None
        self._needs_completion = self._looks_pass = False
        self._failed_trials = 0
        if self.halted is not None:
            self.halted = None
            self._observer.resumed(self.namespace)
        self.recoveries += 1
        self.recovered.ring()
        self.looks_freed.ring()
        # A look without a permit has none to give back, which would let the next one in; and the timer of
        # the trials, which may be long, is one that a rate would wait for.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._admit()

    def _note_limit(self) -> None:
        limit = self._limit
        self._observer.limited(self.namespace, limit.calls)
        # Slow below a half, and until three quarters: or one call more or less would turn it.
        self._is_slow = (
            4 * limit.calls < 3 * limit.maximum
            if self._is_slow
            else 2 * limit.calls < limit.maximum
        )

    def _note_health(self) -> None:
        is_sick = self.is_sick
        if is_sick == self._was_sick:
            return
        self._was_sick = is_sick
        if is_sick:
            # Not at once: a namespace at the edge turns many times, and thousands may queue.
            self._sick_timer = self._clock.timer(_SICK_SECONDS, self.turned_sick.ring)
        else:
            if self._sick_timer is not None:
                self._sick_timer.cancel()
            self._neighbours.relief.ring()
