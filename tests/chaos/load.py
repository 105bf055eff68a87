"""Room `tests/chaos`: the activities that wait. Touches Temporal, directly.

A workflow fans out to many activities that hand their tokens over; each waits for
an end that no other has, and the workflow returns how each of them ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from temporalio import activity, workflow
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from tests.chaos.script import Address
from tests.support import eventually

from completion_schemas.events import ActivityReference

TASK_QUEUE: Final = "chaos"

_SAID_EVERY = 100
_LOST_SECONDS = 5.0
"""An attempt that began so long ago and has handed nothing over never will."""
_LOOKS = 24
"""So often, `_LOST_SECONDS` apart, is waited for a second attempt: longer than any outage."""


@workflow.defn
class Fan:
    """Waits for many activities and returns how each ended, in the order of their ids."""

    def __init__(self) -> None:
        self._waiting: dict[int, workflow.ActivityHandle[str]] = {}
        self._begun: set[int] = set()

    @workflow.run
    async def run(self, width: int, late: list[int]) -> list[list[str]]:
        """Wait for as many activities as it is wide; the late ones are scheduled by `begin`."""
        ways = [self._end_of(number, is_late=number in late) for number in range(width)]
        return await asyncio.gather(*ways)

    async def _end_of(self, number: int, *, is_late: bool) -> list[str]:
        if is_late:
            await workflow.wait_condition(lambda: number in self._begun)
        self._waiting[number] = workflow.start_activity(
            "hand-off",
            activity_id=str(number),
            # Longer than any run: nothing here may end by itself.
            start_to_close_timeout=timedelta(hours=4),
            # A failure that is delivered twice burns two attempts. The next one begins at once:
            # between two attempts Temporal refuses what it would take from the second.
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=50),
                backoff_coefficient=1.0,
                maximum_attempts=3,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            result_type=str,
        )
        try:
            return _how(await self._waiting[number])
        except ActivityError as error:
            return _how(error)

    @workflow.signal
    def cancel(self, numbers: list[int]) -> None:
        """Ask for the cancellation of activities, and wait on for what they say."""
        for number in numbers:
            self._waiting[number].cancel()

    @workflow.signal
    def begin(self, number: int) -> None:
        """Schedule a late activity."""
        self._begun.add(number)


def _how(ended: str | ActivityError) -> list[str]:
    """Return how an activity ended, a type where it has one, and its text (`script.returned`)."""
    if isinstance(ended, str):
        return ["completed", "", ended]
    cause = ended.cause
    match cause:
        case ApplicationError():
            return ["failed", cause.type or "", cause.message]
        case CancelledError():
            return ["canceled", "", *(str(detail) for detail in cause.details)]
        case _:
            return ["otherwise", type(cause).__name__, str(cause)]


async def connect(temporal: str) -> Client:
    """Return a client whose library is silent about a server that is killed on purpose."""
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    return await Client.connect(temporal, runtime=Runtime(telemetry=TelemetryConfig(logging=quiet)))


@dataclass
class Waiting:
    """The activities that wait, and the worker of their workflows."""

    client: Client
    references: dict[Address, ActivityReference] = field(default_factory=dict)
    """What first attempts handed over; of a late activity, before that, its ids."""
    retried: dict[Address, ActivityReference] = field(default_factory=dict)
    """What second attempts handed over."""
    _late: set[Address] = field(default_factory=set)

    @activity.defn(name="hand-off")
    async def hand_off(self) -> str:
        reference = ActivityReference.from_info(activity.info())
        if reference.attempt <= 2:
            handed = self.references if reference.attempt == 1 else self.retried
            handed[reference.workflow_id, reference.activity_id] = reference
            activity.raise_complete_async()
        # No event is for it, and its workflow would wait for hours.
        return f"attempt {reference.attempt}"

    async def second(self, address: Address) -> ActivityReference:
        """Return what the second attempt of an activity handed over, once it has; else its ids.

        A start whose answer was lost with Temporal reaches no worker, and so hands nothing over.
        """
        for _ in range(_LOOKS):
            with contextlib.suppress(AssertionError):
                return await eventually(lambda: self.retried.get(address), timeout=_LOST_SECONDS)
            if await self._is_lost(address):
                break
        return replace(self.references[address], task_token="", token_fingerprint="", attempt=2)

    def tokens(self) -> list[bytes]:
        """Return every token that was handed over."""
        handed = (*self.references.values(), *self.retried.values())
        return [reference.token_bytes() for reference in handed]

    def worker(self) -> Worker:
        """Return the worker; it must run as long as results arrive."""
        return Worker(
            self.client,
            task_queue=TASK_QUEUE,
            workflows=[Fan],
            activities=[self.hand_off],
            # The sandbox would load this whole module again.
            workflow_runner=UnsandboxedWorkflowRunner(),
        )

    async def start(
        self,
        wanted: Sequence[Address],
        say: Callable[[str], None],
        *,
        late: Collection[Address] = (),
    ) -> None:
        """Start workflows and return when all of these activities wait.

        Args:
            wanted: The activities; those of a workflow are numbered from 0.
            say: Told how many wait already.
            late: Those that are not scheduled before `begin` says so; they count as waiting.

        Raises:
            AssertionError: a hundred more did not begin to wait within a minute.
        """
        self._late.update(late)
        for name, width in Counter(name for name, _ in wanted).items():
            numbers = [int(number) for workflow_id, number in late if workflow_id == name]
            handle = await self.client.start_workflow(
                Fan.run, args=[width, numbers], id=name, task_queue=TASK_QUEUE
            )
            for number in map(str, numbers):
                self.references[name, number] = ActivityReference(
                    namespace=self.client.namespace,
                    workflow_id=name,
                    run_id=handle.result_run_id or "",
                    activity_id=number,
                )
        count = len(wanted)
        for number in (*range(_SAID_EVERY, count, _SAID_EVERY), count):
            await eventually(
                partial(self._there_are, number),
                timeout=60,
                what=f"{number} waiting activities",
            )
            say(f"{number} of {count} activities wait")

    async def begin(self, address: Address) -> None:
        """Have a late activity scheduled, unless it is."""
        if address in self._late:
            self._late.remove(address)
            await self._signal(address)

    # Temporal may be killed meanwhile; twice is once.
    @retry(
        retry=retry_if_exception_type(RPCError),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(60),
        reraise=True,
    )
    async def _signal(self, address: Address) -> None:
        await self.client.get_workflow_handle(address[0]).signal(Fan.begin, int(address[1]))

    async def ask_to_cancel(self, wanted: Iterable[Address]) -> None:
        """Have the workflows cancel activities, and return when Temporal has it of all of them.

        Before that, it would refuse the cancellation as one that nobody had asked for.

        Raises:
            AssertionError: a workflow did not ask within a minute.
        """
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for name, number in wanted:
            numbers[name].append(int(number))
        for name, of_it in numbers.items():
            await self.client.get_workflow_handle(name).signal(Fan.cancel, of_it)
        for name, of_it in numbers.items():
            await eventually(
                partial(self._are_asked, name, {str(number) for number in of_it}),
                timeout=60,
                what=f"cancel requests of {name}",
            )

    def _there_are(self, count: int) -> bool:
        return len(self.references) >= count

    async def _is_lost(self, address: Address) -> bool:
        name, number = address
        try:
            described = await self.client.get_workflow_handle(name).describe()
        except RPCError:
            return False  # Temporal is away
        since = datetime.now(UTC) - timedelta(seconds=_LOST_SECONDS)
        return any(
            one.activity_id == number
            and one.attempt == 2
            and one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
            and one.last_started_time.ToDatetime(UTC) < since
            for one in described.raw_description.pending_activities
        )

    async def _are_asked(self, name: str, wanted: set[str]) -> bool:
        described = await self.client.get_workflow_handle(name).describe()
        asked = PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
        pending = described.raw_description.pending_activities
        return wanted <= {one.activity_id for one in pending if one.state == asked}
