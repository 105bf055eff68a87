"""Who may call a namespace now: permits, queue, trials of a sick namespace, and who counts as well."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from tests.unit.relay.fakes import ManualClock, RecordingObserver

from completion_relay.bulkhead import Bulkhead
from completion_relay.bulkheads import Bulkheads
from completion_relay.gate import WeatherGate
from completion_relay.neighbours import Neighbours
from completion_relay.permits import Ticket
from completion_relay.verdict import Answer, Sign, Status

PLENTY = 60.0
"""Seconds that no test needs."""


class Ward(NamedTuple):
    """A bulkhead and what is around it."""

    bulkhead: Bulkhead
    clock: ManualClock
    observer: RecordingObserver
    neighbours: Neighbours
    journal: list[str]

    def enter(self, count: int) -> list[Ticket]:
        """Have so many enter, and return the places of those who queue."""
        return [self.bulkhead.queue() for _ in range(count) if not self.bulkhead.try_enter()]

    def halt(self) -> None:
        """Halt it as a refused call does."""
        assert self.bulkhead.try_enter()
        self.bulkhead.refused_all("denied", started=self.clock.monotonic())
        self.bulkhead.leave()

    def throttle_to(self, calls: int) -> None:
        """Have refusals decrease the limit to so many calls."""
        while self.observer.limits["orders"] > calls:
            self.clock.advance(1.0)
            self.bulkhead.throttled(started=self.clock.monotonic() - 0.01)

    def succeed(self) -> None:
        now = self.clock.monotonic()
        self.bulkhead.succeeded(started=now, ended=now)


def ward(*, maximum: int = 4, rate: float | None = None) -> Ward:
    clock = ManualClock()
    journal: list[str] = []
    observer = RecordingObserver(journal)
    neighbours = Neighbours()
    bulkhead = Bulkhead(
        "orders",
        maximum=maximum,
        max_looks=16,
        rate=rate,
        wait_after=float,
        observer=observer,
        neighbours=neighbours,
        clock=clock,
    )
    return Ward(bulkhead, clock, observer, neighbours, journal)


def admitted(tickets: list[Ticket]) -> list[bool]:
    return [ticket.is_admitted for ticket in tickets]


async def test_as_many_enter_as_the_limit_lets_and_the_rest_queue() -> None:
    scene = ward(maximum=4)
    queue = scene.enter(6)
    assert (scene.bulkhead.in_flight, admitted(queue)) == (4, [False, False])


async def test_who_leaves_lets_the_first_of_the_queue_in() -> None:
    scene = ward(maximum=1)
    queue = scene.enter(4)
    scene.bulkhead.leave()
    assert admitted(queue) == [True, False, False]
    scene.bulkhead.leave()
    assert admitted(queue) == [True, True, False]


async def test_who_is_next_goes_as_soon_as_the_limit_grows() -> None:
    """Not when somebody leaves: a look that makes it grow may have no permit to give back."""
    scene = ward(maximum=4)
    (ticket,) = scene.enter(5)
    scene.throttle_to(2)
    for _ in range(3):
        scene.bulkhead.leave()
    assert admitted([ticket]) == [True]
    (ticket,) = scene.enter(1)
    while scene.observer.limits["orders"] == 2:
        scene.succeed()
    assert admitted([ticket]) == [True]


async def test_nobody_overtakes_the_queue() -> None:
    scene = ward(maximum=2)
    queue = scene.enter(3)
    scene.bulkhead.leave()
    assert not scene.bulkhead.try_enter()
    assert admitted(queue) == [True]


async def test_who_gives_up_its_place_is_passed_over() -> None:
    scene = ward(maximum=1)
    queue = scene.enter(3)
    scene.bulkhead.withdraw(queue[0])
    scene.bulkhead.leave()
    assert admitted(queue) == [False, True]


async def test_who_gives_up_after_it_was_let_in_gives_the_permit_back() -> None:
    scene = ward(maximum=1)
    queue = scene.enter(3)
    scene.bulkhead.leave()
    scene.bulkhead.withdraw(queue[0])
    assert admitted(queue) == [True, True]
    assert scene.bulkhead.in_flight == 1


async def test_refusals_lower_the_limit_and_the_observer_is_told() -> None:
    scene = ward(maximum=100)
    scene.clock.advance(1.0)
    scene.bulkhead.throttled(started=0.5)
    assert scene.observer.limits == {"orders": 70}


async def test_a_namespace_that_refuses_everything_is_tried_by_one_event_at_a_time() -> None:
    scene = ward(maximum=4)
    scene.halt()
    queue = scene.enter(10)
    assert admitted(queue) == [False] * 10
    scene.clock.advance(1.0)
    assert admitted(queue).count(True) == 1
    scene.clock.advance(100.0)  # its call hangs
    assert admitted(queue).count(True) == 1


async def test_the_trials_come_with_a_growing_backoff() -> None:
    scene = ward(maximum=4)
    scene.halt()
    queue = scene.enter(10)
    waits = []
    for tried in range(1, 6):
        at = scene.clock.pending[-1]
        waits.append(at - scene.clock.monotonic())
        scene.clock.advance(waits[-1] - 0.001)
        assert admitted(queue).count(True) == tried - 1
        scene.clock.advance(0.002)
        assert admitted(queue).count(True) == tried
        scene.bulkhead.refused_all("denied", started=scene.clock.monotonic())
        scene.bulkhead.leave()
    assert waits == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0], abs=0.01)
    assert scene.journal == ["halted"]


async def test_refusals_of_calls_made_before_the_trials_make_no_trial_longer() -> None:
    scene = ward(maximum=256)
    scene.clock.advance(1.0)
    for _ in range(256):
        scene.bulkhead.refused_all("denied", started=0.5)
    (ticket,) = scene.enter(1)
    scene.clock.advance(1.0)
    assert ticket.is_admitted


async def test_a_trial_that_succeeds_resumes_the_namespace_and_lets_everybody_in() -> None:
    scene = ward(maximum=4)
    scene.halt()
    queue = scene.enter(4)
    scene.clock.advance(1.0)
    scene.succeed()
    scene.bulkhead.leave()
    assert admitted(queue) == [True] * 4
    assert (scene.bulkhead.halted, scene.journal) == (None, ["halted", "resumed"])


async def test_throttling_of_a_single_call_makes_trials_too() -> None:
    """Or a refused namespace would be asked again the moment it refused."""
    scene = ward(maximum=4)
    scene.throttle_to(1)
    queue = scene.enter(3)
    scene.clock.advance(1.0)
    scene.bulkhead.throttled(started=scene.clock.monotonic() - 0.01)
    scene.bulkhead.leave()
    assert admitted(queue) == [False, False]
    scene.clock.advance(1.0)
    assert admitted(queue) == [True, False]


async def test_a_rate_is_kept_by_the_queue() -> None:
    scene = ward(maximum=100, rate=1.0)
    queue = scene.enter(4)
    assert scene.bulkhead.in_flight == 1
    scene.clock.advance(1.0)
    assert admitted(queue) == [True, False, False]
    scene.clock.advance(2.0)
    assert admitted(queue) == [True, True, True]


@pytest.mark.parametrize("what", ["halted", "throttled", "over its rate", "streak"])
async def test_a_namespace_is_sick_when_its_events_wait_for_longer(what: str) -> None:
    scene = ward(maximum=4, rate=1.0 if what == "over its rate" else None)
    assert not scene.bulkhead.is_sick
    match what:
        case "halted":
            scene.halt()
        case "throttled":
            scene.throttle_to(1)
            scene.enter(3)
        case "over its rate":
            scene.enter(2)
        case _:
            for event in "abc":
                scene.bulkhead.failed(event, started=0.0)
    assert scene.bulkhead.is_sick


async def test_room_is_what_the_limit_leaves() -> None:
    scene = ward(maximum=4)
    rooms = [scene.bulkhead.room]
    for _ in range(5):
        scene.enter(1)
        rooms.append(scene.bulkhead.room)
    assert rooms == [4, 3, 2, 1, 0, 0]


@pytest.mark.parametrize("what", ["halted", "streak"])
async def test_a_sick_namespace_has_room_for_one_while_nobody_tries(what: str) -> None:
    """Its last events may have gone with their partitions: it would be sick for ever."""
    scene = ward(maximum=4)
    if what == "halted":
        scene.halt()
    else:
        for event in "abc":
            scene.bulkhead.failed(event, started=0.0)
    assert scene.bulkhead.is_sick
    assert scene.bulkhead.room == 1
    scene.enter(1)
    assert scene.bulkhead.room == 0
    scene.clock.advance(PLENTY)
    scene.succeed()
    scene.bulkhead.leave()
    assert scene.bulkhead.room == 4


async def test_a_namespace_with_all_its_permits_taken_is_busy_not_sick() -> None:
    scene = ward(maximum=4)
    scene.enter(100)
    assert not scene.bulkhead.is_sick


async def test_a_small_limit_that_nobody_waits_for_is_no_sickness() -> None:
    """After an outage an idle namespace stays at its small limit; it would be decided at once."""
    scene = ward(maximum=256)
    scene.bulkhead.start_small()
    assert scene.observer.limits == {"orders": 8}
    assert not scene.bulkhead.is_sick


async def test_one_event_that_fails_for_ever_makes_nobody_sick() -> None:
    scene = ward(maximum=4)
    for _ in range(100):
        scene.bulkhead.failed("poison", started=0.0)
    assert not scene.bulkhead.is_sick
    assert scene.observer.limits == {"orders": 4}


def test_a_look_ends_no_trial_that_a_completion_began() -> None:
    """A key may read and not write: each look would let all the others in, to be refused."""
    scene = ward()
    scene.halt()
    scene.clock.advance(1.0)
    scene.bulkhead.looked(started=1.0, ended=1.0)
    assert scene.bulkhead.is_on_trial
    assert not scene.bulkhead.tries_looks
    scene.succeed()
    assert not scene.bulkhead.is_on_trial


def test_looks_are_trials_until_one_is_answered_and_again_when_one_is_not() -> None:
    scene = ward()
    assert not scene.bulkhead.tries_looks
    scene.halt()
    assert scene.bulkhead.tries_looks
    scene.bulkhead.looked(started=1.0, ended=1.0)
    assert not scene.bulkhead.tries_looks
    scene.clock.advance(1.0)
    scene.bulkhead.refused_all("denied", started=1.0)
    assert not scene.bulkhead.tries_looks
    scene.bulkhead.failed("e", started=1.0, is_look=True)
    assert scene.bulkhead.tries_looks


@pytest.mark.parametrize("by", ["denied", "throttled"])
def test_a_look_ends_a_trial_that_a_look_began(by: str) -> None:
    scene = ward(maximum=1)
    if by == "denied":
        scene.bulkhead.refused_all("denied", started=0.0, is_look=True)
    else:
        scene.bulkhead.throttled(started=0.0, is_look=True)
    assert scene.bulkhead.is_on_trial
    scene.clock.advance(1.0)
    scene.bulkhead.looked(started=1.0, ended=1.0)
    assert not scene.bulkhead.is_on_trial
    assert scene.bulkhead.halted is None


def test_a_completion_that_is_refused_in_a_looks_trial_has_to_end_it() -> None:
    scene = ward()
    scene.bulkhead.refused_all("denied", started=0.0, is_look=True)
    scene.clock.advance(1.0)
    scene.bulkhead.refused_all("denied", started=1.0)
    scene.clock.advance(5.0)
    scene.bulkhead.looked(started=6.0, ended=6.0)
    assert scene.bulkhead.is_on_trial


@pytest.mark.parametrize("how", ["denied", "throttled", "failed"])
async def test_a_look_that_fails_beside_the_trials_puts_none_off(how: str) -> None:
    """Two of a hundred kept a namespace that was mended shut for two minutes."""
    scene = ward()
    scene.halt()
    (ticket,) = scene.enter(1)
    scene.bulkhead.looked(started=0.0, ended=0.0)
    for _ in range(20):
        match how:
            case "denied":
                scene.bulkhead.refused_all("denied", started=0.5, is_look=True, is_trial=False)
            case "throttled":
                scene.bulkhead.throttled(started=0.5, is_look=True, is_trial=False)
            case _:
                scene.bulkhead.failed("e", started=0.5, is_look=True, is_trial=False)
    assert scene.bulkhead.tries_looks
    scene.clock.advance(1.0)
    assert ticket.is_admitted
    scene.bulkhead.refused_all("denied", started=1.0)
    scene.bulkhead.leave()
    (ticket,) = scene.enter(1)
    scene.clock.advance(2.0)  # the second of the failed trials
    assert ticket.is_admitted


def test_a_look_that_was_made_before_the_trials_ends_none_and_frees_no_looks() -> None:
    scene = ward()
    scene.clock.advance(1.0)
    scene.halt()
    scene.bulkhead.looked(started=0.5, ended=1.5)
    assert scene.bulkhead.tries_looks
    scene = ward()
    scene.clock.advance(1.0)
    scene.bulkhead.refused_all("denied", started=1.0, is_look=True)
    scene.bulkhead.looked(started=0.5, ended=1.5)
    assert scene.bulkhead.is_on_trial


async def test_a_trial_that_a_look_ends_without_a_permit_lets_the_others_in() -> None:
    """It has none to give back: they waited for the time of the next trial."""
    scene = ward(maximum=4)
    for _ in range(10):
        scene.bulkhead.refused_all("denied", started=0.0, is_look=True)
    queue = scene.enter(5)
    assert admitted(queue) == [False] * 5
    scene.clock.advance(2.0)
    scene.bulkhead.looked(started=1.5, ended=2.0)
    assert admitted(queue) == [True] * 4 + [False]


async def test_a_rate_waits_for_no_timer_of_trials_that_are_over() -> None:
    scene = ward(maximum=100, rate=1.0)
    for _ in range(10):
        scene.bulkhead.refused_all("denied", started=0.0, is_look=True)
    queue = scene.enter(3)
    scene.clock.advance(2.0)
    scene.bulkhead.looked(started=1.5, ended=2.0)
    assert admitted(queue) == [True, False, False]
    scene.clock.advance(1.0)
    assert admitted(queue) == [True, True, False]


@pytest.mark.parametrize("by", ["a completion", "a look"])
def test_a_trial_that_is_over_leaves_nothing_to_the_next_one(by: str) -> None:
    """Which of the two has to end it, and whether looks have answers, is found out anew."""
    scene = ward()
    scene.halt()
    scene.bulkhead.looked(started=0.0, ended=0.0)
    assert not scene.bulkhead.tries_looks
    scene.succeed()
    scene.clock.advance(1.0)
    if by == "a completion":
        scene.bulkhead.refused_all("denied", started=1.0)
        assert scene.bulkhead.tries_looks
    else:
        scene.bulkhead.refused_all("denied", started=1.0, is_look=True)
        scene.bulkhead.looked(started=1.0, ended=1.0)
        assert not scene.bulkhead.is_on_trial


async def test_who_queues_is_woken_when_the_namespace_has_been_sick_for_a_second() -> None:
    scene = ward(maximum=1)
    (ticket,) = scene.enter(2)
    waiting = asyncio.create_task(
        ticket.wait(scene.clock, 100.0, scene.bulkhead.turned_sick), name="queues"
    )
    await scene.clock.until_pending(1)
    scene.bulkhead.refused_all("denied", started=0.0)
    scene.clock.advance(1.0)
    await asyncio.wait_for(waiting, PLENTY)
    assert not ticket.is_admitted


async def test_who_queues_is_woken_for_the_small_limit_of_an_outage_too() -> None:
    """Not when the first call comes back: all of them may hang, for as long as a call may take."""
    scene = ward(maximum=20)
    (ticket,) = scene.enter(21)
    waiting = asyncio.create_task(ticket.wait(scene.clock, 100.0, scene.bulkhead.turned_sick))
    await scene.clock.until_pending(1)
    scene.bulkhead.start_small()
    scene.clock.advance(1.0)
    await asyncio.wait_for(waiting, PLENTY)
    assert scene.bulkhead.is_sick
    assert not ticket.is_admitted


async def test_a_namespace_that_is_sick_for_a_moment_wakes_nobody() -> None:
    """At the edge it turns with every call, and thousands may queue."""
    scene = ward(maximum=1)
    (ticket,) = scene.enter(2)
    waiting = asyncio.create_task(ticket.wait(scene.clock, 100.0, scene.bulkhead.turned_sick))
    await scene.clock.until_pending(1)
    scene.bulkhead.refused_all("denied", started=0.0)
    scene.clock.advance(0.5)
    scene.succeed()
    scene.clock.advance(10.0)
    assert scene.bulkhead.turned_sick.waiters == {ticket}
    ticket.wake()
    await asyncio.wait_for(waiting, PLENTY)


def cluster() -> tuple[Bulkheads, WeatherGate, ManualClock, RecordingObserver]:
    clock = ManualClock()
    observer = RecordingObserver([])

    async def probe() -> Answer:
        return Answer(Status.UNAVAILABLE)

    gate = WeatherGate(probe=probe, wait_after=float, observer=observer, clock=clock)
    bulkheads = Bulkheads(
        ("orders", "billing"),
        gate=gate,
        maximum=256,
        max_looks=16,
        rates={},
        wait_after=float,
        observer=observer,
        clock=clock,
    )
    return bulkheads, gate, clock, observer


async def test_a_sick_namespace_takes_no_permit_of_another() -> None:
    bulkheads, *_ = cluster()
    bulkheads["billing"].refused_all("denied", started=0.0)
    assert not bulkheads["billing"].try_enter()
    assert bulkheads["orders"].try_enter()


async def test_somebody_gains_as_long_as_one_namespace_is_well() -> None:
    bulkheads, *_ = cluster()
    bulkheads["billing"].refused_all("denied", started=0.0)
    assert bulkheads.neighbours.anybody_is_well
    bulkheads["orders"].refused_all("denied", started=0.0)
    assert not bulkheads.neighbours.anybody_is_well


async def test_nobody_gains_while_the_cluster_is_away_and_all_begin_small_after_it() -> None:
    bulkheads, gate, clock, observer = cluster()
    for event in "abc":
        gate.noted(event, Sign.FAILING)
    await clock.until_pending(1)
    assert not bulkheads.neighbours.anybody_is_well
    assert observer.limits == {"orders": 8, "billing": 8}
    gate.answered()
    assert bulkheads.neighbours.anybody_is_well
