"""What the bench says of a relay's calls under way."""

from __future__ import annotations

from tests.bench.in_flight import InFlight

from completion_relay.status_page import NamespaceState, ReplicaState


def state(calls_limit: int, in_flight: int) -> ReplicaState:
    namespace = NamespaceState(
        name="default",
        halted=None,
        is_sick=False,
        calls_limit=calls_limit,
        in_flight=in_flight,
        queued=0,
    )
    return ReplicaState(
        relay_id="r", version="1", instance="i", problems={}, namespaces=[namespace]
    )


def test_the_lowest_limit_and_the_most_calls_of_all_looks_are_kept() -> None:
    seen = InFlight()
    for looked in ([state(64, 0)], [state(44, 31), state(64, 60)], [state(51, 2)]):
        seen.take(looked)
    assert seen == InFlight(lowest_limit=44, most=60)
    assert seen.cells() == ("44", "60")


def test_rounds_of_what_has_no_limit_of_its_own_say_that_it_is_fixed() -> None:
    seen = InFlight()
    seen.take([])
    assert InFlight.of_all([seen, InFlight()]).cells() == ("fixed", "")
    assert InFlight.of_all([seen, InFlight(64, 0), InFlight(30, 12)]) == InFlight(30, 12)
