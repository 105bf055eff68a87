"""In which order the two ways of part b complete their activities."""

from __future__ import annotations

from tests.bench.real import in_one_order

from completion_schemas.events import ActivityReference

_WORKFLOWS, _FAN = 6, 5


def references() -> list[ActivityReference]:
    return [
        ActivityReference(namespace="default", workflow_id=f"fan-{number}", activity_id=f"{place}")
        for number in range(_WORKFLOWS)
        for place in range(_FAN)
    ]


def test_both_ways_have_whole_workflows_of_their_own_in_the_same_order() -> None:
    given = references()
    halves = in_one_order(given, seed=3)
    places = [[given.index(one) for one in halves[name]] for name in ("direct", "relay")]
    half = _WORKFLOWS // 2 * _FAN
    assert places[1] == [half + place for place in places[0]]
    assert sorted(places[0]) == list(range(half))


def test_no_workflow_is_completed_in_a_row_and_the_seed_says_in_which_order() -> None:
    orders = [
        [one.workflow_id for one in in_one_order(references(), seed=seed)["direct"]]
        for seed in (3, 3, 4)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
