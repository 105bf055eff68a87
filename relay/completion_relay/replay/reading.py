"""Room `replay`: what one replay reads: the order, its range, what the audit trail says, how far it has come.

    progress -> range -> audit trail -> plan (`planning.py`) -> send (`sending.py`) -> follow

Each of them reads the same records through the same sieve. Nothing is written here.
Touches Kafka, through the rooms it puts together.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from completion_relay.audit_trail import AuditTrail, Unreadable
from completion_relay.replay.again import Changes, Kept
from completion_relay.replay.checkpoint import ReplayError, read_progress
from completion_relay.replay.decisions import Decisions
from completion_relay.replay.headers import Position
from completion_relay.replay.plan import Sieve
from completion_relay.replay.progress import Mark, digest_of
from completion_relay.replay.selection import END, Selection, Span, after, runs_of
from completion_relay.replay.source import Batch, FileSource, Source, TopicSource
from completion_relay.replay.trail import Named, follow, read_trail
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_relay.topic_reader import Offsets, Progress
from completion_schemas.audit import AuditRecord

_NAME_DIGITS: Final = 12

Step = Callable[[int], None]
"""Told how many more are done."""


def silent(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be replayed, and how."""

    selection: Selection
    changes: Changes
    digest: str
    """Of all that decides what is sent, `digest_of`."""
    name: str = ""
    """By which it is taken up again; empty: one that follows from what is replayed."""
    from_file: Path | None = None
    max_replays: int = 3
    """How often an event may be replayed in all."""
    look_ups: int = 1_000
    """How many events at most to look at."""


class Reading:
    """A replay whose source, trail and progress are open."""

    def __init__(
        self,
        order: Order,
        settings: Settings,
        options: dict[str, Any],
        source: Source,
        trail: AuditTrail,
    ) -> None:
        """Take what `open` has opened."""
        self.order = order
        self.trail = trail
        self.marks: dict[int, Mark] = {}
        """How far it has come; as yet only planned where `has_begun` is false."""
        self.has_begun = False
        self.finished: dict[int, Mark] = {}
        """How far another one of the same words has come, which is done: this one begins behind it."""
        self.options = options
        self.progress_topic = source.topic or order.changes.topic
        """Whose partitions the progress is kept for."""
        self.decisions = Decisions()
        self.gone = 0
        """Events that the audit trail names and the topic has no more, as far as they are asked for."""
        self.cut = 0
        """Offsets of its range that the topic has no more and that no run has come to: events at most,
        for a transaction's marker has an offset, too."""
        self.not_decided: list[str] = []
        """Of the events that are asked for by their ids, where the trail tells which records these are: those
        of which it has none."""
        self.unreadable: list[Unreadable] = []
        """Records of the trail, as far as it was read, that are no audit records."""
        self._settings = settings
        self._source = source
        self._selection = order.selection
        self._spans: dict[int, list[Span]] = {}
        self.sieve: Sieve

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, order: Order, settings: Settings, options: dict[str, Any]
    ) -> AsyncIterator[Reading]:
        """Open a replay for the length of the context, and find out how far it has come.

        Args:
            order: What is to be replayed.
            settings: Where everything is.
            options: What `connections.kafka_options` returns.

        Raises:
            TopicError: a topic is not there.
            FileError: the file cannot be read.
            ReplayError: the replay of this name is another one.
            KafkaError: Kafka cannot be reached, or refuses.
        """
        topics = settings.topics
        async with contextlib.AsyncExitStack() as opened:
            source: Source
            if order.from_file is not None:
                file = FileSource(order.from_file)
                source, digest = file, digest_of({"order": order.digest, "file": file.digest})
                order = replace(order, digest=digest)
            else:
                topic = topics.dead_letter if order.selection.dead_letters else topics.completions
                source = await opened.enter_async_context(
                    TopicSource.open(
                        options, topic, max_message_bytes=settings.relay.max_message_bytes
                    )
                )
            if not order.name:
                order = replace(order, name=order.digest[:_NAME_DIGITS])
            trail = await opened.enter_async_context(AuditTrail.open(options, topics.audit))
            replay = cls(order, settings, options, source, trail)
            await replay._find_out()
            yield replay

    @property
    def is_done(self) -> bool:
        """Whether an earlier run has sent all of it, and nothing has come since."""
        return self.has_begun and all(mark.is_done for mark in self.marks.values())

    @property
    def sent_before(self) -> int:
        """How many events earlier runs have sent."""
        return sum(mark.sent for mark in self.marks.values())

    @property
    def sent_earlier(self) -> int:
        """How many events earlier replays of the same words have sent."""
        return sum(mark.sent_earlier for mark in self.marks.values())

    @property
    def length(self) -> int:
        """How many offsets, or lines, are to be read for a plan."""
        return sum(map(_length, self._spans.values()))

    async def progress(self) -> dict[int, Mark]:
        """Return how far it has come, as Kafka has it; empty: it has not begun."""
        async with TopicAdmin.connected(self.options) as admin:
            # A producer would create it, with whatever settings the broker has.
            await admin.partitions(self.order.changes.topic)
            return await read_progress(
                admin, self.order.name, self.progress_topic, digest=self.order.digest
            )

    def check(self, found: Mapping[int, Mark], *, has_ended_it: bool = False) -> None:
        """Look whether what was planned can be sent where Kafka has this progress.

        Two runs of the same words that begin soon after one another plan two ranges, the later one from a
        later time or offset on. Gone on with by the first one's progress, all between the two would count
        as done, and nobody would have read it.

        Args:
            found: The progress.
            has_ended_it: Whether another run that has begun is ended by this one.

        Raises:
            ReplayError: another run has begun since, and what it reads is not all in this one's range.
        """
        has_moved = found != self.finished  # else nobody has begun
        if has_moved and not (
            found.keys() == self.marks.keys()
            and all(self.marks[number].covers(mark) for number, mark in found.items())
        ):
            what_now = (
                "and this one has ended it: type the same command again to go on in its place"
                if has_ended_it
                else "let the other one end, or type the same command again to go on in its place"
            )
            raise ReplayError(
                f"replay {self.order.name}: another run of it has begun since this one was planned, and "
                f"with another range, as of another time: this one sends nothing; {what_now}"
            )

    async def _find_out(self) -> None:
        found = await self.progress()
        if not all(mark.is_done for mark in found.values()):
            self.marks, self.has_begun = found, True
            mark = next(iter(found.values()))
            self._selection = replace(self._selection, since=mark.since, until=mark.until)
            return
        since, until = self._selection.since, self._selection.until
        spans = await self._source.range(since, until)
        count = len(spans)
        marks = {
            number: found[number].beyond(span, since=since, until=until, partitions=count)
            if number in found
            else Mark(self.order.digest, span, span.begin, 0, since, until, partitions=count)
            for number, span in spans.items()
        }
        if found and all(mark.is_done for mark in marks.values()):
            self.marks, self.has_begun = found, True
        else:
            self.marks, self.finished = marks, found

    async def prepare(
        self,
        progress: Callable[[Progress], None] = lambda _: None,
        *,
        known: Iterable[AuditRecord] = (),
        known_until: Mapping[int, int] | None = None,
    ) -> None:
        """Read the audit trail, and find out from it what is to be read.

        Args:
            progress: Told how far the reading has come.
            known: What the trail says of what is asked for, as far as that is known already.
            known_until: Of the trail's partitions: before which offset that is.

        Raises:
            KafkaError: Kafka cannot be reached, or refuses.
        """
        selection, topic = self._selection, self._settings.topics.completions
        is_topic = self._source.topic == topic
        begins_with_since = self._source.topic is not None and not selection.offsets
        told = await read_trail(
            self.trail,
            selection,
            topic=topic,
            since=selection.since if begins_with_since else None,
            known=known,
            known_until=known_until,
            progress=progress,
        )
        decisions, named = told.decisions, told.named
        self.unreadable = told.unreadable
        by_name = is_topic and selection.needs_trail
        there = await self._source.there({n: mark.span for n, mark in self.marks.items()})
        for number, span in there.items():
            spans, mark = selection.spans(number, span), self.marks[number]
            if not by_name:
                planned = selection.spans(number, mark.span)
                left, still = after(planned, mark.reached), after(spans, mark.reached)
                self.cut += _length(left) - _length(still)
            else:
                offsets = (o for o in named.get(number, ()) if any(o in s for s in spans))
                spans = runs_of(offsets)
            self._spans[number] = spans
        if by_name:
            self.not_decided = sorted(selection.event_ids - told.decided_ids)
            whole = await self._source.there({number: Span(0, END) for number in there})
            self.gone = self._gone(named, {number: span.begin for number, span in whole.items()})
        self.decisions = decisions
        self.sieve = Sieve(
            selection,
            decisions,
            max_replays=self.order.max_replays,
            is_read=lambda position: self._reads(position, named if by_name else None),
            is_wanted=(lambda kept: kept.at[1] in named.get(kept.at[0], ()))
            if by_name
            else lambda _: True,
        )

    def _gone(self, named: Named, begins: Mapping[int, int]) -> int:
        # What an earlier run, or an earlier replay of the same words, has sent is not missed.
        sent = self.marks if self.has_begun else self.finished
        count = 0
        for number, begin in begins.items():
            asked = self.marks[number].span
            if begin < asked.begin:
                continue  # even of what is there the oldest is not asked for
            had = sent[number].reached if number in sent else 0
            spans = self._selection.spans(number, Span(had, min(begin, asked.end)))
            count += sum(
                may_be and any(offset in span for span in spans)
                for offset, may_be in named.get(number, {}).items()
            )
        return count

    def _reads(self, position: Position, named: Named | None) -> bool:
        if position.topic != self._source.topic:
            return False
        mark = self.marks.get(position.partition)
        if mark is not None and any(position.offset in span for span in mark.before):
            return True  # by an earlier replay of the same words, which has put what is here of it
        spans = self._spans.get(position.partition, ())
        if not any(position.offset in span for span in spans):
            return False
        return named is None or position.offset in named.get(position.partition, ())

    def read(self) -> AsyncGenerator[Batch, None]:
        """Yield all that is asked for."""
        return self._source.read(self._spans)

    def read_on(self, marks: Mapping[int, Mark]) -> AsyncGenerator[Batch, None]:
        """Yield what is left of it."""
        left = {
            number: after(spans, marks[number].reached)
            for number, spans in self._spans.items()
            if number in marks
        }
        return self._source.read(left)

    def was_sent(self, kept: Kept) -> bool:
        """Whether an earlier run has had this record."""
        number, offset = kept.at
        return offset < self.marks[number].reached

    async def follow(
        self, begin: Offsets, origins: set[Position], *, within: float, step: Step = silent
    ) -> Counter[str]:
        """Return what became of replayed events, as far as it is decided in time; see `trail.follow`."""
        return await follow(self.trail, begin, origins, within=within, step=step)


def _length(spans: Iterable[Span]) -> int:
    return sum(span.end - span.begin for span in spans)
