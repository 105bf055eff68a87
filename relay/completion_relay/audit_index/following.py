"""Room `audit_index`: keeps a database as far as the topic is, for as long as it is let. Touches the topic."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aiokafka.errors import KafkaError

from completion_relay.audit_index.indexing import Indexer
from completion_relay.audit_index.store import AwayError, Store
from completion_relay.audit_trail import AuditTrail

_EVERY_SECONDS: Final = 1.0
_AGAIN_SECONDS: Final = 5.0


async def follow(
    opened: Callable[[], contextlib.AbstractAsyncContextManager[AuditTrail]],
    store: Store,
    stop: asyncio.Event,
    *,
    say: Callable[[str], None],
    added: Callable[[int], None] = lambda _: None,
) -> None:
    """Index what comes, until `stop`. While Kafka or the database is away it waits.

    Args:
        opened: Opens the topic.
        store: The database, prepared and as far as the topic was.
        stop: Ends it; what is read by then is written.
        say: Told that something is away, that it is back, and once of records that cannot be read.
        added: Told how many records were added, each time.

    Raises:
        OtherTopicError: the topic was made anew.
        AuditIndexError: the database refuses.
        TopicError: the topic is not there any more.
    """
    trouble, is_told = "", False
    while not stop.is_set():
        try:
            async with opened() as trail:
                indexer, told = Indexer(trail, store), 0
                while not stop.is_set():
                    try:
                        await indexer.catch_up(stop)
                    finally:
                        added(indexer.added.records - told)
                        told = indexer.added.records
                    if indexer.added.unreadable and not is_told:
                        is_told = True
                        say(
                            "Records come that cannot be read as audit records. If a newer relay writes "
                            "them, upgrade and make the index anew with --rebuild."
                        )
                    if trouble:
                        say("Going on.")
                        trouble = ""
                    await _pause(stop, _EVERY_SECONDS)
        except (KafkaError, OSError, AwayError) as error:
            # The same each five seconds would fill a log.
            if trouble != type(error).__name__:
                trouble = type(error).__name__
                say(f"Waiting: {str(error) or trouble}")
            await _pause(stop, _AGAIN_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
