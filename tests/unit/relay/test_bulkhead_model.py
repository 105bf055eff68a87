"""A bulkhead and its queue, through whatever its namespace answers, against a naive model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.relay.fakes import ManualClock, RecordingObserver

from completion_relay.bell import Waiter
from completion_relay.bulkhead import Bulkhead
from completion_relay.neighbours import Neighbours
from completion_relay.permits import Admits, Ticket

LOOKS = 2
"""How many looks may be under way at once, beside the calls."""
SMALL = 8
"""Calls at once with which a namespace begins anew after an outage."""
A_SECOND = 1.0
"""For so long a namespace is sick before those who queue are told."""
BURST = 0.1
"""Seconds' worth of calls that a rate lets come at once."""
A_HAIR = 1e-6
"""Seconds that are lost where a rate is divided."""
MANY_TIMERS = 1_000
"""More than a bulkhead starts while nothing happens to it."""


class Ends(Enum):
    """How a call or a look may end."""

    SUCCEEDS = auto()
    FAILS = auto()
    IS_THROTTLED = auto()
    IS_REFUSED_AS_ALL_WOULD_BE = auto()
    WAS_NOT_MADE = auto()


@dataclass(eq=False)
class Holder:
    """Somebody with a permit."""

    since: float
    ticket: Ticket | None


class Line:
    """Permits, and who has or waits for one as the model has it: first come, first served."""

    def __init__(self, permits: Admits, clock: ManualClock) -> None:
        self.permits = permits
        self._clock = clock
        self.waiting: list[Ticket] = []
        self.holders: list[Holder] = []

    def enter(self) -> bool:
        """Come without a wish to wait."""
        entered = self.permits.try_enter()
        if entered:
            assert not self.waiting, "somebody has overtaken the queue"
            self.holders.append(Holder(self._clock.monotonic(), None))
        return entered

    def queue(self) -> None:
        self.waiting.append(self.permits.queue())

    def withdraw(self, ticket: Ticket) -> None:
        """Give a place or a permit back, whichever it has come to."""
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        self.holders = [holder for holder in self.holders if holder.ticket is not ticket]
        self.permits.withdraw(ticket)

    def leave(self, holder: Holder) -> None:
        self.holders.remove(holder)
        self.permits.leave()

    def let_in(self) -> int:
        """Take note of those who were let in since; return how many, and fail if it was not their turn."""
        admitted = [ticket for ticket in self.waiting if ticket.is_admitted]
        assert admitted == self.waiting[: len(admitted)], "not the first of the queue"
        del self.waiting[: len(admitted)]
        self.holders += [Holder(self._clock.monotonic(), ticket) for ticket in admitted]
        assert self.permits.in_flight == len(self.holders)
        assert self.permits.queued == len(self.waiting)
        return len(admitted)

    @property
    def tickets(self) -> list[Ticket]:
        """Of those who may still give up: who waits, and who was let in from the queue."""
        return self.waiting + [one.ticket for one in self.holders if one.ticket is not None]


class LateClock(ManualClock):
    """Time whose timers may ring late, as those of a loop do that is busy."""

    def pass_in_silence(self, until: float) -> None:
        """Let it be so late; what is due rings when time passes next."""
        self._seconds = until


class Ears(Waiter):
    """Somebody who waits for a bell for ever, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    def wake(self) -> None:
        self.heard += 1


class Namespace(RuleBasedStateMachine):
    """One namespace: events come, wait, give up and call it; it answers, throttles and refuses.

    Of the limit the model only knows what the bulkhead says it is; when somebody is let in under
    it, in which order, and when one at a time has to try, it knows by itself.
    """

    @initialize(
        maximum=st.sampled_from([1, 3, 20, 20]),
        rate=st.sampled_from([None, None, None, 0.5, 4.0, 100.0]),
    )
    def create(self, maximum: int, rate: float | None) -> None:
        self.clock = LateClock()
        self.journal: list[str] = []
        self.observer = RecordingObserver(self.journal)
        neighbours = Neighbours()
        self.bulkhead = Bulkhead(
            "orders",
            maximum=maximum,
            max_looks=LOOKS,
            rate=rate,
            wait_after=float,
            observer=self.observer,
            neighbours=neighbours,
            clock=self.clock,
        )
        self.rate = rate
        self.calls = Line(self.bulkhead, self.clock)
        self.looks = Line(self.bulkhead.looks, self.clock)
        self.passed: list[float] = []
        """When somebody was let in who was no trial."""
        self.could_pass_since: float | None = None
        """Since when somebody waits while the limit has room."""
        self.trial_since: float | None = None
        self.failed_trials = 0
        self.next_trial = 0.0
        self.is_completion_refused = False
        """In this trial: then a completion has to end it."""
        self.relief, self.turned_sick = Ears(), Ears()
        neighbours.relief.waiters.add(self.relief)
        self.bulkhead.turned_sick.waiters.add(self.turned_sick)
        self.reliefs = 0
        self.sick_since: float | None = None
        self.told_at = 0

    # Who comes and goes.

    @rule()
    def comes(self) -> None:
        self._note(entered=self.calls.enter())

    @precondition(lambda self: self.calls.waiting and self.clock.pending)
    @rule()
    def comes_before_a_timer_rings(self) -> None:
        """There may be room by now, and it is for those who wait."""
        self.clock.pass_in_silence(self.clock.pending[0])
        entered = self.calls.enter()
        self.clock.advance(0.0)
        self._note(entered=entered)

    @rule(count=st.sampled_from([1, 3, 21, 21]))
    def queue(self, count: int) -> None:
        for _ in range(count):
            self.calls.queue()
            self._note()

    @precondition(lambda self: self.calls.tickets)
    @rule(data=st.data())
    def gives_up(self, data: st.DataObject) -> None:
        self.calls.withdraw(data.draw(st.sampled_from(self.calls.tickets)))
        self._note()

    @precondition(lambda self: self.calls.holders)
    @rule(
        data=st.data(),
        how=st.sampled_from(Ends),
        event=st.sampled_from("abcd"),
        is_look=st.booleans(),
        at_once=st.booleans(),
    )
    def a_call_ends(
        self, data: st.DataObject, how: Ends, event: str, *, is_look: bool, at_once: bool
    ) -> None:
        """One with a permit; it began when that was given, or right now."""
        holder = data.draw(st.sampled_from(self.calls.holders))
        started = holder.since if at_once else self.clock.monotonic()
        self._ends(how, event, started=started, is_look=is_look, is_trial=True)
        self.calls.leave(holder)
        self._note()

    @precondition(lambda self: self.calls.holders)
    @rule(how=st.sampled_from(Ends), is_look=st.booleans())
    def all_calls_end(self, how: Ends, *, is_look: bool) -> None:
        """Those that are under way, in the same way."""
        for number, holder in enumerate(list(self.calls.holders)):
            event = f"event {number}"
            self._ends(how, event, started=holder.since, is_look=is_look, is_trial=True)
            self.calls.leave(holder)
            self._note()

    # Looks, which have permits of their own, and those that are made beside the trials.

    @precondition(lambda self: len(self.looks.holders) + len(self.looks.waiting) < 2 * LOOKS)
    @rule()
    def a_look_comes(self) -> None:
        if not self.looks.enter():
            self.looks.queue()
        self._note()

    @precondition(lambda self: self.looks.tickets)
    @rule(data=st.data())
    def a_look_gives_up(self, data: st.DataObject) -> None:
        self.looks.withdraw(data.draw(st.sampled_from(self.looks.tickets)))
        self._note()

    @precondition(lambda self: self.looks.holders)
    @rule(
        data=st.data(),
        how=st.sampled_from(Ends),
        event=st.sampled_from("abcd"),
        at_once=st.booleans(),
    )
    def a_look_ends(self, data: st.DataObject, how: Ends, event: str, *, at_once: bool) -> None:
        holder = data.draw(st.sampled_from(self.looks.holders))
        started = holder.since if at_once else self.clock.monotonic()
        self._ends(how, event, started=started, is_look=True, is_trial=False)
        self.looks.leave(holder)
        self._note()

    # What becomes of the cluster, and time.

    @precondition(lambda self: self.bulkhead.state[0] > SMALL)
    @rule()
    def the_cluster_is_away(self) -> None:
        self.bulkhead.start_small()
        self._note()

    @rule()
    def a_moment_passes(self) -> None:
        self.time_passes(0.015625)

    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        """From timer to timer, so that whoever is let in is seen when he is."""
        end = self.clock.monotonic() + seconds
        while (pending := self.clock.pending) and pending[0] <= end:
            self._until(pending[0])
        self._until(end)

    @rule()
    def history_may_not_be_read(self) -> None:
        """Looks are refused, and no completion is: then a look is enough to find out that it is over."""
        now = self.clock.monotonic()
        self._ends(Ends.IS_REFUSED_AS_ALL_WOULD_BE, "a", started=now, is_look=True, is_trial=False)
        self._note()

    @precondition(lambda self: self.trial_since is not None and not self.is_completion_refused)
    @rule()
    def history_may_be_read_again(self) -> None:
        """By a look beside the trials: it has no permit to give back, which would let the next one in."""
        while self.calls.holders:
            self.calls.leave(self.calls.holders[0])
            self._note()
        self.calls.queue()
        self._note()
        now = self.clock.monotonic()
        self._ends(Ends.SUCCEEDS, "a", started=now, is_look=True, is_trial=False)
        self._note()
        self.nobody_waits_for_nothing()
        self._all_are_let_in_as_others_leave()

    @precondition(lambda self: self.trial_since is not None)
    @rule()
    def it_is_well_again(self) -> None:
        """One success of a call that is made now is enough for all who wait."""
        if not self.calls.holders:
            self.calls.queue()
            self._note()
            self._all_timers()
        assert self.calls.holders, "nobody is let in, however long it takes"
        now = self.clock.monotonic()
        self._ends(Ends.SUCCEEDS, "a", started=now, is_look=False, is_trial=True)
        self._note()
        self._all_are_let_in_as_others_leave()

    def teardown(self) -> None:
        if hasattr(self, "bulkhead"):
            self.it_is_well_again()

    def _all_are_let_in_as_others_leave(self) -> None:
        assert self.bulkhead.halted is None
        assert not self.bulkhead.is_on_trial
        if self.rate is not None:
            self._all_timers()
        while self.calls.holders:
            self.calls.leave(self.calls.holders[0])
            self._note()
            if self.rate is not None:
                self._all_timers()
        assert not self.calls.waiting
        assert not self.bulkhead.is_sick
        self._all_timers()

    # What holds at any time.

    @invariant()
    def who_is_halted_is_on_trial_and_both_are_told(self) -> None:
        assert self.bulkhead.is_on_trial == (self.trial_since is not None)
        assert self.bulkhead.is_on_trial or self.bulkhead.halted is None
        expected = ["halted", "resumed"] * len(self.journal)
        assert self.journal == expected[: len(self.journal)]
        assert (self.bulkhead.halted is not None) == (self.journal[-1:] == ["halted"])
        assert self.observer.limits["orders"] == self.bulkhead.state[0]

    @invariant()
    def looks_wait_for_their_own_permits_alone(self) -> None:
        under_way = len(self.looks.holders)
        assert under_way == LOOKS if self.looks.waiting else under_way <= LOOKS

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        now = self.clock.monotonic()
        if not self.calls.waiting:
            return
        if self.trial_since is not None:
            # A timer of the rate, which is older than the trials, may still run.
            late = 0.0 if self.rate is None else 1 / self.rate
            assert self.calls.holders or now < self.next_trial + late + A_HAIR
        elif self.rate is None:
            assert len(self.calls.holders) >= self.bulkhead.state[0]
        elif self.could_pass_since is not None:
            assert now - self.could_pass_since <= 1 / self.rate + A_HAIR

    @invariant()
    def no_timer_is_left_behind(self) -> None:
        """At most one for the next who is let in, and one for those who are told that it is sick."""
        assert len(self.clock.pending) <= 2

    def _until(self, at: float) -> None:
        self.clock.advance(at - self.clock.monotonic())
        self._note()
        self.nobody_waits_for_nothing()

    def _all_timers(self) -> None:
        for _ in range(MANY_TIMERS):
            if not self.clock.pending:
                return
            self._until(self.clock.pending[0])
        raise AssertionError(f"a timer is followed by another one for ever: {self.clock.pending}")

    def _ends(
        self, how: Ends, event: str, *, started: float, is_look: bool, is_trial: bool
    ) -> None:
        now, was_on_trial = self.clock.monotonic(), self.trial_since is not None
        limit, _ = self.bulkhead.state
        match how:
            case Ends.SUCCEEDS if is_look:
                self.bulkhead.looked(started=started, ended=now)
                if not self.is_completion_refused:
                    self._succeeded(started)
            case Ends.SUCCEEDS:
                self.bulkhead.succeeded(started=started, ended=now)
                self._succeeded(started)
            case Ends.FAILS:
                self.bulkhead.failed(event, started=started, is_look=is_look, is_trial=is_trial)
                if was_on_trial:
                    self._was_refused(started, is_look=is_look, is_trial=is_trial)
            case Ends.IS_THROTTLED:
                self.bulkhead.throttled(started=started, is_look=is_look, is_trial=is_trial)
                assert was_on_trial or limit == 1 or not self.bulkhead.is_on_trial
                if self.bulkhead.is_on_trial:
                    self._was_refused(started, is_look=is_look, is_trial=is_trial)
            case Ends.IS_REFUSED_AS_ALL_WOULD_BE:
                self.bulkhead.refused_all(
                    "denied", started=started, is_look=is_look, is_trial=is_trial
                )
                self._was_refused(started, is_look=is_look, is_trial=is_trial)
            case Ends.WAS_NOT_MADE:
                pass

    def _succeeded(self, started: float) -> None:
        if self.trial_since is not None and started >= self.trial_since:
            self.trial_since, self.failed_trials = None, 0
            self.is_completion_refused = False

    def _was_refused(self, started: float, *, is_look: bool, is_trial: bool) -> None:
        now = self.clock.monotonic()
        self.is_completion_refused |= not is_look
        if self.trial_since is None:
            self.trial_since = now
        elif started < self.trial_since or not is_trial:
            return  # made before the trials, or beside them: it puts none off
        self.failed_trials += 1
        self.next_trial = now + self.failed_trials

    def _note(self, *, entered: bool = False) -> None:
        """See who was let in by what has just happened, whether he might be, and what was told."""
        now = self.clock.monotonic()
        self.looks.let_in()
        let_in = self.calls.let_in() + entered
        limit, _ = self.bulkhead.state
        if let_in:
            assert self.bulkhead.in_flight <= limit, "over the limit"
        if let_in and self.trial_since is not None:
            assert self.bulkhead.in_flight == 1, "more than one at a time tries"
            assert now >= self.next_trial, "too soon after the last trial"
        elif let_in:
            self.passed += [now] * let_in
            self._keeps_its_rate()
        has_room = self.trial_since is None and len(self.calls.holders) < limit
        if not (self.calls.waiting and has_room):
            self.could_pass_since = None
        elif self.could_pass_since is None or let_in:
            self.could_pass_since = now
        self._health()

    def _keeps_its_rate(self) -> None:
        if self.rate is None:
            return
        for number, begin in enumerate(reversed(self.passed), 1):
            seconds = self.passed[-1] - begin + A_HAIR
            assert number <= self.rate * (seconds + BURST) + 1, "faster than its rate"

    def _health(self) -> None:
        """Those who queue are told of a sickness that lasts, and neighbours of each that ends."""
        now, is_sick = self.clock.monotonic(), self.bulkhead.is_sick
        was_well_meanwhile = self.relief.heard > self.reliefs
        self.reliefs = self.relief.heard
        if self.sick_since is not None and not is_sick:
            assert was_well_meanwhile, "it is well again, and nobody was told"
        if not is_sick:
            self.sick_since = None
        elif self.sick_since is None or was_well_meanwhile:
            self.sick_since, self.told_at = now, self.turned_sick.heard
        if self.sick_since is not None:
            is_told, due = self.turned_sick.heard > self.told_at, self.sick_since + A_SECOND
            if is_told:
                assert now > due - A_HAIR, "told before it has lasted"
            else:
                running = [at for at in self.clock.pending if abs(at - due) < A_HAIR]
                assert running, "it is sick, and nobody will be told"


TestNamespace = Namespace.TestCase
TestNamespace.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
