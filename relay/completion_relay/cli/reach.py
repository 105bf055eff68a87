"""Room `cli`: what it means for a person when a server is not there or says no. Touches logging.

aiokafka says why it could not connect in its log and not in its error, and
Temporal's client says it in Rust's debug format; here both become one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from temporalio.service import RPCError, RPCStatusCode

from completion_relay.cli.output import is_unwritable
from completion_relay.connections import TemporalConnection, connect_reason
from completion_relay.settings import KafkaSettings
from completion_schemas.errors import CompletionError

_AWAY = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    OSError,
    asyncio.TimeoutError,
)
_MOST_REASONS = 10
_TEMPORAL_AWAY = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}

REQUEST_TIMEOUT_MS = 10_000
"""How long a command waits for one answer of Kafka: aiokafka's own 40 s feel like a hang to a person."""


class UnreachableError(CompletionError):
    """A server cannot be reached; the message says which, where, why and what to check."""


class RefusedError(CompletionError):
    """A server was reached and said no; the message says which, where, what and what to check."""


@contextlib.contextmanager
def reaching_kafka(kafka: KafkaSettings) -> Iterator[None]:
    """Turn what aiokafka raises and logs within the context into one line.

    Raises:
        UnreachableError: no broker answered.
        RefusedError: one answered with an error.
    """
    with _collected_log() as said:
        try:
            yield
        except BrokenPipeError:
            # Whoever reads standard output has gone; aiokafka's own are KafkaConnectionErrors.
            raise
        except _AWAY as error:
            if is_unwritable(error):
                # A disk that is full, behind what the command prints.
                raise
            reason = _first_reason(said) or str(error) or "no answer in time"
            raise UnreachableError(
                f"Kafka at {kafka.bootstrap_servers} cannot be reached: {reason}: check that it "
                "runs, kafka.bootstrap_servers (--kafka) and kafka.security_protocol "
                f"({kafka.security_protocol})"
            ) from error
        except KafkaError as error:
            raise RefusedError(
                f"Kafka at {kafka.bootstrap_servers}: {kafka_reason(error)}: check the broker's "
                "log and what this user may do"
            ) from error


@contextlib.contextmanager
def reaching_temporal(connection: TemporalConnection) -> Iterator[None]:
    """Turn what Temporal's client raises within the context into one line.

    Raises:
        UnreachableError: the frontend did not answer.
        RefusedError: it answered with an error.
    """
    check = f"check that it runs, {connection.help}"
    try:
        yield
    except RPCError as error:
        if error.status in _TEMPORAL_AWAY:
            raise UnreachableError(
                f"Temporal at {connection.address} cannot be reached: {error.message}: {check}"
            ) from error
        raise RefusedError(
            f"Temporal at {connection.address}: {error.status.name}: {error.message}: {check}"
        ) from error
    except (RuntimeError, OSError, TimeoutError) as error:
        if is_unwritable(error):
            raise
        raise UnreachableError(
            f"Temporal at {connection.address} cannot be reached: {connect_reason(str(error))}: {check}"
        ) from error


def kafka_reason(error: KafkaError) -> str:
    """Return the error as Kafka calls it, with what it says."""
    # The text of an aiokafka error may be empty, or a repr with the class in it.
    name = type(error).__name__.removesuffix("Error")
    said = ", ".join(str(part) for part in error.args if part)
    return f"{name}: {said or getattr(error, 'description', '')}".rstrip(": ")


def _first_reason(said: list[str]) -> str:
    reasons = [re.sub(r'^Unable connect to "[^"]*": |^KafkaConnectionError: ', "", s) for s in said]
    reasons = [re.sub(r"^KafkaConnectionError: ", "", reason) for reason in reasons]
    return "; ".join(dict.fromkeys(reasons[:2]))


@contextlib.contextmanager
def _collected_log() -> Iterator[list[str]]:
    said: list[str] = []

    class _Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # Only the first of it is told, and a command may go on through a long outage.
            if len(said) < _MOST_REASONS:
                said.append(record.getMessage())

    logger = logging.getLogger("aiokafka")
    handler = _Collect(logging.WARNING)
    propagated = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
