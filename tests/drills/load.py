"""Room `tests/drills`: what is on the topic whose offsets are reset. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.chaos.script import PLAIN, Address, Item, completions, script
from tests.drills.proof import SEED


def filled(activities: Sequence[Address], records: int) -> list[Item]:
    """Return so many records: each activity's event, garbage, and for the rest duplicates.

    A duplicate is decided without a completion: it fills a topic sooner than activities would.
    """
    items = list(script(SEED, activities, PLAIN))
    rng = random.Random(SEED)
    return items + rng.choices(completions(activities), k=max(0, records - len(items)))
