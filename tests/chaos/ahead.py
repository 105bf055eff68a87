"""Room `tests/chaos`: what commits say is settled ahead of their offsets, and which relays said it. Pure.

What is settled ahead stands in the commit's metadata (`offset_map.py`), for whoever has the
partition next. A commit does not name its member, but it is written in one transaction with the
audit records of what it settles: so it is of the relay that audited, or was the first to park, what it
says is settled and the commit before did not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.found import Commit, Finding, Found, Log, by_its_position

from completion_relay.offset_map import MetadataError, decode


@dataclass(frozen=True, slots=True)
class Settled:
    """What one commit of the main topic says of the records that are there."""

    partition: int
    behind: frozenset[int]
    """Offsets below the committed one."""
    ahead: frozenset[int]
    """Offsets of its map."""
    relay: str
    """Whose commit it is; empty where nothing tells."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Who had something settled ahead, and who went on from there."""

    committed: Counter[str]
    """Commits that had something ahead, by relay."""
    taken_over: Counter[tuple[str, str]]
    """Partitions that passed from one relay to another with something ahead, by the two."""
    held: Counter[str]
    """Partitions whose last commit has something ahead, by the relay of the last commit that tells."""


def judge_ahead(found: Found, finding: Callable[[str], Finding]) -> None:
    """Judge the metadata of the group's commits.

    Args:
        found: What is there.
        finding: Returns the finding of a name.
    """
    unreadable = finding("commits whose metadata is no map of their offset")
    forgotten = finding("records settled ahead that a later commit forgot")
    for commit in found.commits:
        try:
            decode(commit.offset, commit.metadata)
        except MetadataError as error:
            unreadable.add((commit.topic, commit.partition, commit.offset, str(error)))
    ahead: dict[int, frozenset[int]] = {}
    for one in _settled(found):
        lost = ahead.get(one.partition, frozenset()) - one.behind - one.ahead
        if lost:
            forgotten.add((one.partition, sorted(lost), one.relay), len(lost))
        ahead[one.partition] = one.ahead


def maps_of(log: Log) -> Maps:
    """Return who committed maps, and who took them over.

    Args:
        log: What is there.
    """
    committed: Counter[str] = Counter()
    taken_over: Counter[tuple[str, str]] = Counter()
    last: dict[int, Settled] = {}
    owners: dict[int, str] = {}
    for one in _settled(log):
        before, owner = last.get(one.partition), owners.get(one.partition, one.relay)
        committed[one.relay] += bool(one.ahead and one.relay)
        if before and before.ahead and one.relay and owner != one.relay:
            taken_over[owner, one.relay] += 1
        last[one.partition] = one
        if one.relay:
            owners[one.partition] = one.relay
    held = Counter(owners.get(partition, "") for partition, one in last.items() if one.ahead)
    del held[""]
    return Maps(+committed, taken_over, held)


def _settled(log: Log) -> Iterator[Settled]:
    there: defaultdict[int, set[int]] = defaultdict(set)
    for partition, offset in log.main:
        there[partition].add(offset)
    settled_by = {at: records[0].relay_id for at, records in by_its_position(log.audit).items()}
    settled_by |= {at: relays[0] for at, relays in log.parked.items()}
    before: dict[int, frozenset[int]] = {}
    for commit in log.commits:
        if commit.topic != log.topic:
            continue
        at = commit.partition
        behind = frozenset(offset for offset in there[at] if offset < commit.offset)
        ahead = frozenset(_ahead(commit, there[at] - behind))
        new = (behind | ahead) - before.get(at, frozenset())
        relays = {settled_by[at, offset] for offset in new if (at, offset) in settled_by}
        before[at] = behind | ahead
        yield Settled(at, behind, ahead, relays.pop() if len(relays) == 1 else "")


def _ahead(commit: Commit, offsets: set[int]) -> Iterator[int]:
    try:
        runs = decode(commit.offset, commit.metadata)
    except MetadataError:
        return
    for run in runs:
        yield from (offset for offset in offsets if offset in run)
