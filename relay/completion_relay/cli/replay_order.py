"""Room `cli`: what the options of `replay` amount to, or why they amount to nothing. Touches files' names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from completion_relay.cli.times import parse_time
from completion_relay.cli.token_file import InputError
from completion_relay.part_file import part_of
from completion_relay.replay.again import Changes
from completion_relay.replay.checkpoint import check_name
from completion_relay.replay.file import check_free
from completion_relay.replay.progress import digest_of
from completion_relay.replay.reading import Order
from completion_relay.replay.selection import Selection, parse_offsets
from completion_relay.settings import Settings
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.times import UnixNanos

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What is done with what was asked for.

    Raises:
        InputError: two of it contradict each other.
        FileError: the file that is to be made is there already.
    """

    dry_run: bool
    yes: bool
    from_file: Path | None
    to_file: Path | None
    parked_file: Path | None
    rate: float | None
    wait: float
    as_json: bool

    def __post_init__(self) -> None:
        given = [
            name
            for name, there in (
                ("--dry-run", self.dry_run),
                ("--yes", self.yes),
                ("--to-file", self.to_file is not None),
            )
            if there
        ]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} contradict each other: give one of them")
        if self.wait and not self.yes:
            raise InputError("--wait waits for what was sent: give it with --yes")
        if self.parked_file is not None and given not in (["--yes"], ["--to-file"]):
            raise InputError("--parked-file is written with --yes or --to-file: give one of them")
        self._check_files()

    def _check_files(self) -> None:
        """Refuse one file for two things: one would write over the other, or read what it writes itself."""
        named: dict[str, str] = {}
        for option, path in (
            ("--from-file", self.from_file),
            ("--to-file", self.to_file),
            ("the .part of --to-file", None if self.to_file is None else part_of(self.to_file)),
            ("--parked-file", self.parked_file),
        ):
            if path is None:
                continue
            other = named.setdefault(os.path.realpath(path), option)
            if other != option:
                raise InputError(f"{option} and {other} are the same file, {path}: name another")
        if self.to_file is not None:
            # Asked again when it is written: but a plan may take long, and would be for nothing.
            check_free("--to-file", self.to_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for, as it was typed."""

    since: str | None
    until: str | None
    offsets: tuple[str, ...]
    event_ids: frozenset[str]
    workflow_ids: frozenset[str]
    dispositions: frozenset[Disposition]
    reasons: frozenset[DeadLetterReason]
    dead_letters: bool
    from_file: Path | None
    heartbeats: bool
    namespace_map: tuple[str, ...]
    to_topic: str | None
    is_export: bool
    """Written to a file: that has no progress, and is none of a replay that is sent."""
    name: str | None
    max_replays: int
    look_ups: int

    def order(self, settings: Settings, now: UnixNanos) -> Order:
        """Return the order that it is.

        Args:
            settings: The topics' names.
            now: The present.

        Raises:
            CompletionError: something cannot be meant; the message names it, the problem and the fix.
        """
        if self.is_export and (self.namespace_map or self.to_topic is not None):
            # A file has the events as they were: a mapping that it took no notice of would be missed.
            raise InputError(
                "--to-file writes events as they are: leave out --namespace-map and --to-topic, and give "
                "them with --from-file, when they are sent"
            )
        selection = self._selection(now)
        changes = Changes(self._topic(settings), self._namespaces())
        return Order(
            selection=selection,
            changes=changes,
            digest=self._digest(settings, changes),
            name="" if self.name is None else check_name(self.name),
            from_file=self.from_file,
            max_replays=self.max_replays,
            look_ups=self.look_ups,
        )

    def _selection(self, now: UnixNanos) -> Selection:
        if self.from_file is not None and (self.dead_letters or self.offsets):
            raise InputError(
                "--from-file has what it has: leave out --dead-letters and --offsets, or the file"
            )
        since = None if self.since is None else parse_time("--from", self.since, now)
        until = None if self.until is None else parse_time("--to", self.until, now)
        if since is not None and until is not None and until <= since:
            raise InputError("--to is not after --from: give a later time, or leave it out")
        selection = Selection(
            dead_letters=self.dead_letters,
            since=None if since is None else UnixNanos(max(0, since)),
            until=None if until is None else UnixNanos(max(0, until)),
            offsets=tuple(parse_offsets(text) for text in self.offsets),
            event_ids=self.event_ids,
            workflow_ids=self.workflow_ids,
            dispositions=self.dispositions,
            reasons=self.reasons,
            heartbeats=self.heartbeats,
        )
        if selection.is_empty and self.from_file is None:
            raise InputError(
                "nothing says which events: give --from, --offsets, --event-id, --workflow-id, "
                "--disposition, --reason, --dead-letters or --from-file (all there are is --from "
                "1970-01-01)"
            )
        return selection

    def _topic(self, settings: Settings) -> str:
        topics = settings.topics
        if self.to_topic is None:
            return topics.completions
        if not _TOPIC.fullmatch(self.to_topic):
            raise InputError(f"--to-topic {self.to_topic!r} is no topic's name: give one that is")
        if self.to_topic in topics.names()[1:]:
            raise InputError(
                f"--to-topic {self.to_topic} is one of the relay's own, and not for events: give a "
                "topic of events"
            )
        return self.to_topic

    def _namespaces(self) -> dict[str, str]:
        namespaces: dict[str, str] = {}
        for text in self.namespace_map:
            old, sign, new = text.partition("=")
            if not (sign and new) or "=" in new:
                raise InputError(f"--namespace-map {text!r}: write OLD=NEW, such as ordes=orders")
            if namespaces.setdefault(old, new) != new:
                raise InputError(
                    f"--namespace-map gives {old or 'events without a namespace'} two new ones: give "
                    "one"
                )
        return namespaces

    def _digest(self, settings: Settings, changes: Changes) -> str:
        # As it was typed: `1h` is another time each time, and the same command is to go on.
        return digest_of(
            {
                "source": settings.topics.dead_letter
                if self.dead_letters
                else settings.topics.completions,
                "is_file": self.from_file is not None,
                "from": self.since,
                "to": self.until,
                "offsets": sorted(self.offsets),
                "event_ids": sorted(self.event_ids),
                "workflow_ids": sorted(self.workflow_ids),
                "dispositions": sorted(self.dispositions),
                "reasons": sorted(self.reasons),
                "heartbeats": self.heartbeats,
                "to_topic": changes.topic,
                "is_export": self.is_export,
                "namespace_map": sorted(changes.namespaces.items()),
            }
        )
