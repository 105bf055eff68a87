"""Room `topics`: aiokafka's admin client, which asks again where the broker that it asked is gone. Touches aiokafka.

aiokafka's own asks a broker by lot and raises at once where that one is dead (seen:
with one of three killed, every third command of an operator failed until the
others had noticed). And of an answer about a group's offsets it reads the entries
alone: one of a broker that is not the group's coordinator any more has none, and
would mean that nothing is committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorError,
    for_code,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random

_T = TypeVar("_T")

_NOT_THIS_ONE: Final = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    NodeNotReadyError,
    NotCoordinatorError,
)
PATIENCE_SECONDS: Final = 10.0
"""A dead broker is named until its session with the controller is over: 9 s (`broker.session.timeout.ms`)."""


class PatientAdmin(AIOKafkaAdminClient):  # type: ignore[misc]
    """Asks again for `PATIENCE_SECONDS`; what only asks may be asked twice."""

    async def describe_cluster(self) -> dict[str, Any]:
        """As aiokafka's."""
        return await _patiently(super().describe_cluster)

    async def describe_topics(self, topics: list[str] | None = None) -> list[Any]:
        """As aiokafka's."""
        return await _patiently(partial(super().describe_topics, topics))

    async def describe_configs(self, *args: Any, **kwargs: Any) -> list[Any]:
        """As aiokafka's."""
        return await _patiently(partial(super().describe_configs, *args, **kwargs))

    async def describe_consumer_groups(self, *args: Any, **kwargs: Any) -> list[Any]:
        """As aiokafka's, but for a group whose coordinator is another broker by now."""
        describe = partial(super().describe_consumer_groups, *args, **kwargs)

        async def described() -> list[Any]:
            answers: list[Any] = await describe()
            for answer in answers:
                for group in answer.groups:
                    _raise_if_not_this_one(group[0])
            return answers

        return await _patiently(described)

    async def find_coordinator(self, group_id: str, coordinator_type: int = 0) -> int:
        """As aiokafka's."""
        return await _patiently(partial(super().find_coordinator, group_id, coordinator_type))

    async def list_consumer_group_offsets(
        self, *args: Any, **kwargs: Any
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """As aiokafka's."""
        return await _patiently(partial(super().list_consumer_group_offsets, *args, **kwargs))

    async def _send_request(self, request: Any, node_id: int | None = None) -> Any:
        response = await super()._send_request(request, node_id)
        _raise_if_not_this_one(getattr(response, "error_code", 0))
        return response


def _raise_if_not_this_one(code: int) -> None:
    error = for_code(code)
    if error in _NOT_THIS_ONE:
        raise error


async def _patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    again = AsyncRetrying(
        retry=retry_if_exception_type(_NOT_THIS_ONE),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_random(0.1, 0.3),
        reraise=True,
    )
    return await again(ask)
