"""Room `replay`: how far a replay has come, read from the offsets that Kafka keeps. Touches Kafka's admin client.

Only read here: they are written in the same transaction as what was sent (`sender.py`),
and that is what makes it exactly once. Kafka forgets them when nobody has written them for
`offsets.retention.minutes`, 7 days unless set: an interrupted replay is to be taken up
before that.
"""

from __future__ import annotations

import re
from typing import Final

from completion_relay.replay.progress import Mark, missing, read_mark
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.errors import CompletionError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
_PREFIX: Final = "completion-replay"


class ReplayError(CompletionError):
    """A replay that cannot begin or go on; the message names it, the problem and the fix."""


def check_name(name: str) -> str:
    """Return the name of a replay.

    Raises:
        ReplayError: it cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ReplayError(
            f"--id {name!r}: should be 1 to 100 letters, digits, dots, dashes and underscores: name "
            "it otherwise"
        )
    return name


def group_of(name: str) -> str:
    """Return the consumer group whose offsets are the replay's progress; it has no members."""
    return f"{_PREFIX}-{name}"


def transactional_id_of(name: str) -> str:
    """Return Kafka's `transactional.id`: of two runs of one replay the later one alone can send."""
    return f"{_PREFIX}/{name}"


async def read_progress(
    admin: TopicAdmin, name: str, topic: str, *, digest: str
) -> dict[int, Mark]:
    """Return how far the replay has come, by partition; empty: it has not begun.

    Args:
        admin: To ask.
        name: Of the replay.
        topic: Whose offsets tell.
        digest: Of what is replayed.

    Raises:
        ReplayError: it was begun for something else, or Kafka has forgotten a part of its progress.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    marks: dict[int, Mark] = {}
    committed = await admin.client.list_consumer_group_offsets(group_of(name))
    for tp, offset in committed.items():
        if offset.offset < 0:
            continue
        mark = read_mark(offset.offset, offset.metadata or "")
        if tp.topic != topic or mark is None or mark.digest != digest:
            raise ReplayError(
                f"replay {name} was begun for other events, or with other changes: give another "
                "name with --id, or the same options as then"
            )
        marks[tp.partition] = mark
    if gone := missing(marks):
        numbers = ", ".join(map(str, gone))
        raise ReplayError(
            f"replay {name}: Kafka has forgotten how far it had come in the partitions {numbers} of {topic} "
            "(offsets.retention.minutes), and nobody knows what it has sent of them: give another name with "
            "--id to send all of it once more; what is decided stays decided"
        )
    return marks
