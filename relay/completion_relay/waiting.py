"""Room `pipeline`: how one event waits, for its turn and after a refusal, and when it gives its place away.

Touches the cluster's gate and the namespace's bulkhead, as `Means`. An event
that waits where nobody gains by its going waits on: a parked copy costs a write
and a read, and its order costs those behind it a detour. One whose place is given
up waits no more: whatever waits here raises `LetGoError` then. What has a call
under way, or queues where calls come back, is not waiting in that sense. One that
an operator speaks of raises `ToldError`, from the queue too; a call under way is heard.
A look that queues only waits: whoever has the partition next has to look for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from completion_relay.bell import Bell, Waiter
from completion_relay.decision import Former, Park
from completion_relay.identity import RecordMark
from completion_relay.lanes import Lane
from completion_relay.means import Means
from completion_relay.permits import Admits, Ticket
from completion_relay.place import Place
from completion_relay.so_far import SoFar
from completion_relay.verdict import Answer, Sign, Status, sign_of

_GRACE = 1.0
"""Seconds of trouble before a crowded partition makes an event give in: with a backlog the window
is always full, and a call that fails once is no reason to park."""

_SHORT = 0.001
"""Seconds that are not worth another timer."""


class Waiting:
    """One event's waits and refusals, and what they are made with."""

    __slots__ = (
        "_gate",
        "_in_trouble_since",
        "_keeps_place",
        "_lane",
        "_place",
        "_waits",
        "bulkhead",
        "mark",
        "means",
        "namespace",
        "so_far",
    )

    def __init__(
        self,
        means: Means,
        namespace: str,
        mark: RecordMark,
        *,
        place: Place | None,
        former: Former,
        lane: Lane | None = None,
    ) -> None:
        """Wait for nothing yet; the arguments are those of `decide`."""
        self.means = means
        self.namespace = namespace
        self.mark = mark
        self.bulkhead = means.bulkheads[namespace]
        self._gate = means.gate
        self._place = place
        self._lane = lane
        self._keeps_place = max(_GRACE, former.keeps_place)
        self._waits = former.tries
        self._in_trouble_since: float | None = None
        self.so_far = SoFar(former, back_at=self._gate.back_at)

    def heard(self, answer: Answer, sign: Sign, *, started: float, ended: float) -> None:
        """Tell gate and bulkhead what came of a completion call.

        Args:
            answer: To the call.
            sign: What it says of the namespace.
            started: When it was made, seconds of the clock.
            ended: When the answer came.
        """
        self.so_far.heard(answer.status, self.means.clock.now())
        self._gate.noted(self.mark, sign)
        if answer.status is Status.OK:
            self.bulkhead.completed_at = ended
        match sign:
            case Sign.WELL:
                self.bulkhead.succeeded(started=started, ended=ended)
            case Sign.HALTED:
                self.bulkhead.refused_all(f"{answer.status}: {answer.message}", started=started)
            case Sign.THROTTLED:
                self.bulkhead.throttled(started=started)
            case Sign.FAILING:
                self.so_far.failed(self.means.clock.now())
                # CANCELLED "Timeout expired" is the SDK's own deadline (seen with 1.35.0).
                is_slow = answer.status in (Status.DEADLINE_EXCEEDED, Status.CANCELLED)
                if is_slow and not self.bulkhead.is_on_trial:  # as one failed trial it counts below
                    self.bulkhead.throttled(started=started)
                self.bulkhead.failed(self.mark, started=started)

    async def for_the_gate(self) -> Park | None:
        """Wait until the cluster is there; or give in where another cluster's events gain by it."""
        gate, returns = self._gate, self._gate.returns
        waiter = Waiter()
        while gate.is_closed:
            self._heed()
            park = self._giving_in("the cluster is away")
            if park is not None:
                return park
            gains = self.means.bulkheads.neighbours.anybody_is_well
            until = self._until_giving_in() if gate.is_away and gains else None
            bells = (gate.opened, gate.turned_away, *self._bells())
            await waiter.wait(self.means.clock, until, *bells)
        if gate.returns != returns:
            self._after_an_outage()
        return None

    async def for_a_permit(self) -> Park | None:
        """Wait until a call may be made, and hold a permit then; or give in."""
        permits = await self._enter(lambda: self.bulkhead, is_look=False)
        return permits if isinstance(permits, Park) else None

    async def for_a_look(self) -> Admits | Park:
        """Wait until a look may be made, and hold a permit then; or give in.

        Returns:
            Whose permit it is: the bulkhead's where the look has to be a trial, else one of looks alone.
        """
        bulkhead = self.bulkhead
        return await self._enter(
            lambda: bulkhead if bulkhead.tries_looks else bulkhead.looks, is_look=True
        )

    async def _enter(self, whose: Callable[[], Admits], *, is_look: bool) -> Admits | Park:
        while True:
            park = await self.for_the_gate()
            if park is not None:
                return park
            permits = whose()
            if permits.try_enter():
                return permits
            ticket = permits.queue()
            park = await self._in_the_queue(ticket, permits, whose, is_look=is_look)
            if park is not None:
                return park
            # It may be long since the gate was asked, and whose permit it has to be.
            if ticket.is_admitted and not self._gate.is_closed and whose() is permits:
                return permits
            permits.withdraw(ticket)

    async def _in_the_queue(
        self, ticket: Ticket, permits: Admits, whose: Callable[[], Admits], *, is_look: bool
    ) -> Park | None:
        """Wait until it is admitted, or has to queue elsewhere; or give in."""
        bulkhead = self.bulkhead
        try:
            while not ticket.is_admitted and whose() is permits:
                until = None
                if bulkhead.is_sick:
                    self._heed()
                    park = self._giving_in(bulkhead.why)
                    if park is not None:
                        permits.withdraw(ticket)
                        return park
                    bells, until = self._bells(), self._until_giving_in()
                    if self._gate.is_closed:
                        # In doubt nobody gives in, however long it is due: then, it has to ask again.
                        bells += [self._gate.opened, self._gate.turned_away]
                elif is_look:
                    self._heed()
                    bells = [bulkhead.turned_sick, *self._ends()]
                else:  # calls come back: its turn does too, also in a drain
                    bells = [bulkhead.turned_sick]
                    if self._place is not None:
                        self._heed_an_operator(self._place)
                        bells.append(self._place.instructions.news)
                if is_look:
                    bells.append(bulkhead.looks_freed)
                await ticket.wait(self.means.clock, until, *bells)
        except BaseException:
            permits.withdraw(ticket)
            raise
        return None

    async def after(self, answer: Answer) -> Park | None:
        """Wait before the next try, longer each time; or give in.

        An outage that ends, and throttling that does, end the wait too.
        """
        self._waits += 1
        means, gate = self.means, self._gate
        seconds = means.patience.after(self._waits, means.rng)
        means.observer.retried(
            self.bulkhead.namespace, answer, self.mark, waits=self._waits, seconds=seconds
        )
        ends = means.clock.monotonic() + seconds
        is_throttled = sign_of(answer) is Sign.THROTTLED
        if not is_throttled:
            self._keeps_place = _GRACE
        returns, recoveries = gate.returns, self.bulkhead.recoveries
        waiter = Waiter()
        while True:
            self._heed()
            if gate.is_closed:
                park = await self.for_the_gate()
                if park is not None:
                    return park
                if gate.returns == returns:
                    continue  # an operator's bell may have rung meanwhile, and it rings once
            if gate.returns != returns:
                self._after_an_outage()
                return None
            left = ends - means.clock.monotonic()
            if left < _SHORT or (is_throttled and self.bulkhead.recoveries != recoveries):
                return None
            park = self._giving_in(f"{answer.status}: {answer.message}", itself=not is_throttled)
            if park is not None:
                return park
            until = self._until_giving_in()
            bells = [gate.returned, *self._bells()]
            if is_throttled:
                bells.append(self.bulkhead.recovered)
            await waiter.wait(means.clock, left if until is None else min(left, until), *bells)

    def for_its_activity(self, reason: str) -> Park | None:
        """Give in before another look for an activity that is not there yet; None: look on.

        Args:
            reason: What was found, for a person.
        """
        self._keeps_place = _GRACE
        return self._giving_in(reason, itself=True)

    async def pause(self, seconds: float) -> None:
        """Wait before the next look."""
        if self._place is None:
            await self.means.clock.sleep(seconds)
        else:
            self.heed_later_ones()
            heed = partial(self._heed_an_operator, self._place)
            await self._place.pause(self.means.clock, seconds, heed)

    def _heed(self) -> None:
        """Ask before each wait, with nothing awaited between the two."""
        if self._place is not None:
            self._place.let_go_if_closing()
            self._heed_an_operator(self._place)
        self.heed_later_ones()

    @property
    def is_given_up(self) -> bool:
        """Whether the event is left to whoever has its place next."""
        return self._place is not None and self._place.closing.is_set()

    def heed_later_ones(self) -> None:
        """Ask before a call, too, which may have waited for long.

        Raises:
            OvertakenError: it says nothing any more.
        """
        if self._lane is not None:
            self._lane.only_the_last()

    def _heed_an_operator(self, place: Place) -> None:
        if place.instructions:
            former = self.so_far.former(is_away=self._gate.is_away)
            place.heed(self.mark, former, status=self.so_far.status, calls=self.so_far.calls)

    def park(self, reason: str, *, itself: bool) -> Park:
        """Return that it is to wait elsewhere.

        Args:
            reason: What for, for a person.
            itself: Whether for something of its own: then it is left alone for a time.
        """
        former = self.so_far.former(is_away=self._gate.is_away, failed_itself=itself)
        return Park(reason=reason, former=former, status=self.so_far.status)

    def _after_an_outage(self) -> None:
        self.so_far.after_an_outage()
        self._waits = 0

    def _bells(self) -> list[Bell]:
        """Return what makes it ask itself whether to give in, too."""
        bells = [self.means.bulkheads.neighbours.relief, *self._ends()]
        if self._place is not None and not self._place.crowded.is_set():
            bells.append(self._place.crowded)
        return bells

    def _ends(self) -> list[Bell]:
        """Return what may end any wait of its: see `_heed`."""
        ends = [] if self._lane is None else [self._lane.longer]
        if self._place is not None:
            ends += (self._place.closing, self._place.instructions.news)
        return ends

    def _trouble(self) -> float:
        """Return the seconds since the event first had to wait."""
        now = self.means.clock.monotonic()
        if self._in_trouble_since is None:
            self._in_trouble_since = now
        return now - self._in_trouble_since

    def _giving_in(self, reason: str, *, itself: bool = False) -> Park | None:
        if self._place is None:
            return None
        trouble = self._trouble()
        is_due = trouble >= self._patience() or (
            self._place.crowded.is_set() and trouble >= self._keeps_place
        )
        is_in_doubt = self._gate.is_closed and not self._gate.is_away
        if not is_due or is_in_doubt:
            return None
        if not (self.means.bulkheads.neighbours.anybody_is_well or self._gives_way()):
            return None
        return self.park(reason, itself=itself)

    def _patience(self) -> float:
        """Return the seconds of trouble for which it keeps its place where nobody needs it."""
        return max(self.means.patience.park_after, self._keeps_place)

    def _gives_way(self) -> bool:
        """Whether to let another event try, although nobody is known to be well.

        Else a few events that can never be applied, with the window full behind them, would be
        the only ones that call: their failures alone would say that the namespace is sick, and
        no success could ever say otherwise.
        """
        is_crowded = self._place is not None and self._place.crowded.is_set()
        return is_crowded and not self._gate.is_closed and self.bulkhead.gives_way()

    def _until_giving_in(self) -> float | None:
        if self._place is None:
            return None
        trouble = self._trouble()
        until = [self._patience() - trouble]
        if self._place.crowded.is_set():
            until.append(self._keeps_place - trouble)
        return min((seconds for seconds in until if seconds > 0), default=None)
