"""Room `demo`: the order of events on the stage. Touches Temporal, Kafka and the processes."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowHandle

from completion_relay.audit_trail import AuditEntry, AuditTrail
from completion_relay.connections import kafka_options
from completion_relay.demo import script, watch
from completion_relay.demo.board import Board
from completion_relay.demo.broker import (
    all_committed,
    end_session,
    partitions_of,
    record_count,
    send_again,
)
from completion_relay.demo.company import Company, Overrides, together
from completion_relay.demo.judge import (
    Check,
    Circumstances,
    Line,
    Seen,
    judge,
    judge_scene,
)
from completion_relay.demo.script import Ending, Got, Part
from completion_relay.embedded import EmbeddedStack
from completion_relay.first_of import heed_cancellation, unless_ended
from completion_relay.settings import Settings
from completion_relay.topic_admin import create_topics
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord
from completion_schemas.times import UnixNanos

_PATIENCE_SECONDS: Final = 60.0
"""How long the scene may take; then it is judged as it is."""
_SUSPENDED_SECONDS: Final = 30.0

PROVED: Final = (
    "every outcome reached the one activity that waited for it exactly once, although an event was "
    "sent twice and a relay was killed; waiting held no worker slot, and the audit trail and "
    "Temporal's own history agree on which record did what."
)


@dataclass(frozen=True, slots=True)
class Result:
    """The scene, judged."""

    lines: tuple[Line, ...]
    checks: tuple[Check, ...]
    circumstances: Circumstances
    caller_id: str

    @property
    def is_right(self) -> bool:
        """Whether everything is as it should be."""
        return all(line.is_right for line in self.lines) and all(c.is_right for c in self.checks)


async def play(stack: EmbeddedStack, board: Board, config: Path | None) -> Result:
    """Play the scene on a running stack.

    Args:
        stack: The servers.
        board: Told of everything that happens.
        config: TOML file with settings of the relays.

    Raises:
        ConfigurationError: a setting is wrong.
        ServerFailedError: a server, a relay or the worker ended by itself.
    """
    overrides = Overrides(stack)
    settings = overrides.settings(config)
    await create_topics(settings)
    company = Company(stack.data / "logs")
    board.say(f"Temporal {stack.temporal} and Kafka {stack.kafka} serve; the topics are there")
    board.relays.update(dict.fromkeys(company.relays, "starting"))
    async with company.on_stage(overrides, settings, config):
        board.relays.update(dict.fromkeys(company.relays, "alive"))
        board.say("a worker and two relays in one group are ready")
        client = await Client.connect(stack.temporal)
        options = kafka_options(settings.kafka)
        async with AuditTrail.open(options, settings.topics.audit) as trail:
            heed_cancellation()
            scene = _Scene(client, settings, company, board, trail)
            return await unless_ended(
                scene.play(), stack.ended(), *(member.ended() for member in company.members)
            )


class _Scene:
    """One performance."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        company: Company,
        board: Board,
        trail: AuditTrail,
    ) -> None:
        self._client = client
        self._settings = settings
        self._company = company
        self._board = board
        self._trail = trail
        self._caller_id = f"demo-{uuid.uuid4().hex[:6]}"
        self._agents = {self._agent_id(part): part for part in script.script()}
        self._caller: WorkflowHandle[Any, Any] = client.get_workflow_handle(self._caller_id)
        self._records = 0
        self._sent_again = False
        self._killed = ""
        self._orphaned: frozenset[int] = frozenset()
        self._is_killed = asyncio.Event()
        self._killed_at = UnixNanos(0)
        board.expected = sum(len(part.expected.trail) for part in self._agents.values())

    async def play(self) -> Result:
        begin = await self._trail.end()
        self._records = await record_count(self._settings) + self._board.expected
        await self._raise_the_curtain()
        watching = asyncio.create_task(
            watch.watch(self._board, self._caller, self._company.worker.http)
        )
        got: dict[str, Got] = {}
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await together(
                    self._tell_of_the_suspended(), self._follow(begin), self._hand_over()
                )
                got = await self._callers_got()
                await self._agents_end(Ending.NO_CALLBACK)
                await all_committed(self._settings, records=self._records)
                self._board.say("every outcome is there, and every offset is committed")
        except TimeoutError:
            self._board.say(f"not over after {_PATIENCE_SECONDS:.0f} s: judged as it is")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return await self._judged(got, begin)

    async def _raise_the_curtain(self) -> None:
        self._caller = await self._client.start_workflow(
            script.CALLER,
            args=[[part.task for part in self._agents.values() if part.expected.got]],
            id=self._caller_id,
            task_queue=script.CALLERS,
        )
        for part in self._with(Ending.NO_CALLBACK):
            await self._client.start_workflow(
                script.AGENT,
                {"task": part.task},
                id=self._agent_id(part),
                task_queue=script.AGENTS,
            )
        self._board.say(
            f"caller workflow {self._caller_id} hands {script.HANDED_OFF} agents its activities' "
            "task tokens; one more agent gets none"
        )

    async def _tell_of_the_suspended(self) -> None:
        board = self._board
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(board.suspended.wait(), _SUSPENDED_SECONDS)
        board.say(
            f"{board.peak_waiting} activities wait for their agents; the caller's worker has "
            f"{board.free_slots} of {script.SLOTS} activity slots free"
        )

    async def _follow(self, begin: Offsets) -> None:
        """Let things happen as decisions are made, until the last one."""
        async with contextlib.aclosing(self._trail.follow(begin)) as entries:
            async for entry in entries:
                if not isinstance(entry, AuditEntry) or not self._is_ours(entry.record):
                    continue
                before = self._board.decided
                self._board.trail.append(entry.record)
                self._tell_of(entry.record, is_new=self._board.decided > before)
                if self._board.decided > before:
                    await self._react(entry.record)
                if self._board.decided >= self._board.expected:
                    return

    async def _react(self, record: AuditRecord) -> None:
        part = self._agents.get(record.origin_workflow_id)
        if part and part.ending is Ending.SENT_TWICE and not self._sent_again:
            self._sent_again = True
            await send_again(self._settings, record)
            self._board.say(f"{part.name}: its event is sent once more, as after a lost ack")
        match self._board.decided:
            case 2:
                for part in self._with(Ending.CALLER_CANCELS):
                    await self._caller.signal("cancel", part.name)
                    self._board.say(f"{part.name}: its caller cancels it")
            case 5:
                for part in self._with(Ending.OPERATOR_CANCELS):
                    await self._client.get_workflow_handle(self._agent_id(part)).cancel()
                    self._board.say(f"{part.name}: an operator cancels the agent")
            case third if third == self._board.expected // 3:
                # Early: on a machine that stands still for seconds all that is left is decided at once.
                await self._kill(record.relay_id)

    async def _kill(self, name: str) -> None:
        # The one that decided last: it surely has partitions that others must take over.
        if (relay := self._company.relays.get(name)) is None:
            return
        self._orphaned = await partitions_of(self._settings, name)
        await relay.kill()
        self._killed, self._killed_at = name, UnixNanos(time.time_ns())
        self._board.relays[name] = "killed"
        self._is_killed.set()
        self._board.say(
            f"{name} is killed (SIGKILL); its {len(self._orphaned)} partitions have no relay"
        )

    async def _hand_over(self) -> None:
        await self._is_killed.wait()
        await asyncio.sleep(self._settings.kafka.session_timeout_ms / 1_000)
        await all_committed(self._settings, records=self._records, besides=self._orphaned)
        await end_session(self._settings, self._killed)
        self._board.say(
            f"the demo ends {self._killed}'s session, as Kafka does after session.timeout.ms and "
            "the embedded broker does not; the group goes on"
        )

    def _tell_of(self, record: AuditRecord, *, is_new: bool) -> None:
        again = "" if is_new else ", which it was given again"
        self._board.say(
            f"{record.activity_id or record.event_id}: {record.type} -> {record.disposition}, "
            f"by {record.relay_id}{again}"
        )

    async def _callers_got(self) -> dict[str, Got]:
        result: dict[str, dict[str, str]] = await self._caller.result()
        return {name: Got(**got) for name, got in result.items()}

    async def _agents_end(self, ending: Ending) -> None:
        for part in self._with(ending):
            await self._client.get_workflow_handle(self._agent_id(part)).result()

    async def _judged(self, got: dict[str, Got], begin: Offsets) -> Result:
        trail = await self._whole_trail(begin)
        ended_by = await watch.who_ended(self._caller)
        lines = []
        for agent, part in self._agents.items():
            seen = Seen(
                agent=await watch.status(self._client, agent),
                got=got.get(part.name),
                ended_by=ended_by.get(part.name, ""),
                trail=tuple(record for record in trail if record.origin_workflow_id == agent),
            )
            lines.append(judge(part, seen))
        circumstances = Circumstances(
            peak_waiting=self._board.peak_waiting,
            killed=self._killed,
            orphaned=self._orphaned,
            killed_at=self._killed_at,
            trail=trail,
        )
        return Result(
            tuple(lines), judge_scene(lines, circumstances), circumstances, self._caller_id
        )

    async def _whole_trail(self, begin: Offsets) -> tuple[AuditRecord, ...]:
        starts = {partition.partition: offset for partition, offset in begin.items()}
        records = [
            entry.record
            async for entry in self._trail.read()
            if isinstance(entry, AuditEntry)
            and entry.offset >= starts[entry.partition]
            and self._is_ours(entry.record)
        ]
        return tuple(sorted(records, key=lambda record: record.decided_at))

    def _is_ours(self, record: AuditRecord) -> bool:
        # A folder that is kept may hold events of a demo that was interrupted.
        return record.workflow_id in {self._caller_id, ""}

    def _with(self, ending: Ending) -> list[Part]:
        return [part for part in self._agents.values() if part.ending is ending]

    def _agent_id(self, part: Part) -> str:
        return f"{self._caller_id}-{part.name}"
