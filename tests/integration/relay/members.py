"""What the group gives the relays of a test's process."""

from __future__ import annotations

from aiokafka.structs import TopicPartition
from tests.support import eventually

from completion_relay.consumer import Consumer


class Members:
    """White-box: the relays of this process, and what the group gave them, in order."""

    def __init__(self) -> None:
        self.assignments: list[tuple[Consumer, set[TopicPartition]]] = []

    def rejoin(self) -> None:
        """Have the first one join anew, as it does when the group changes."""
        self.assignments[0][0]._consumer._coordinator.request_rejoin()

    @property
    def paused(self) -> set[TopicPartition]:
        """What the consumer of the latest assignment fetches nothing of, as aiokafka has it."""
        paused: set[TopicPartition] = self.assignments[-1][0]._consumer.paused()
        return paused

    async def assigned(self, times: int) -> None:
        """Return once partitions have been given out so often."""
        await eventually(
            lambda: len(self.assignments) >= times, timeout=60, what=f"{times} assignments"
        )
