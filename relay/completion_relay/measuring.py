"""Room `pipeline`: whether Temporal takes an outcome of that size, before it is sent. Touches the completer, as `Means`.

Temporal answers OK to a result over its limit, and fails the activity (facts A).
A limit that nobody tells is guessed, and asked for again before a call.
"""

from __future__ import annotations

from completion_relay.decision import Park
from completion_relay.instead import limited_payloads
from completion_relay.verdict import Answer, sign_of
from completion_relay.waiting import Waiting
from completion_schemas.events import Outcome


class Measure:
    """One event's payloads beside its namespace's limit."""

    __slots__ = ("_bytes", "_is_guess", "_waiting", "over")

    def __init__(self, outcome: Outcome, waiting: Waiting) -> None:
        """Ask nothing yet.

        Args:
            outcome: Whose payloads count.
            waiting: The event's waits.
        """
        payloads = limited_payloads(outcome)
        self._bytes = None if payloads is None else payloads.ByteSize()
        self._waiting = waiting
        self._is_guess = False
        self.over = ""
        """Why it is too large, for a person; empty: it is not."""

    @property
    def is_over_a_guess(self) -> bool:
        """Whether it is only too large for a limit that nobody has told."""
        return self._is_guess and bool(self.over)

    async def take(self) -> Park | None:
        """Measure it, once the limit is known well enough to judge a result of that size; or give in."""
        if self._bytes is None:
            return None
        waiting, means = self._waiting, self._waiting.means
        while True:
            if means.gate.is_closed:  # the limit may have to be asked for
                park = await waiting.for_the_gate()
                if park is not None:
                    return park
            limit = await means.completer.blob_limit(waiting.namespace, self._bytes)
            if not isinstance(limit, Answer):
                self._compare(self._bytes, limit)
                return None
            # As a look that failed: the cluster may be away, and the event has no part in it.
            means.gate.noted(waiting.mark, sign_of(limit))
            park = await waiting.after(limit)
            if park is not None:
                return park

    async def take_again(self) -> bool:
        """Measure it by a limit that is told by now; False: none is.

        Just before a call: while all was refused, the limit could only be guessed.
        """
        completer, namespace = self._waiting.means.completer, self._waiting.namespace
        await completer.describe_namespace(namespace)
        if self._bytes is None or completer.why_guessed(namespace):
            return False
        limit = await completer.blob_limit(namespace, self._bytes)
        if isinstance(limit, Answer):
            return False
        self._compare(self._bytes, limit)
        return True

    def _compare(self, size: int, limit: int) -> None:
        namespace = self._waiting.namespace
        why = self._waiting.means.completer.why_guessed(namespace)
        self._is_guess = bool(why)
        said = f"; Temporal's default, because {why}" if why else ""
        self.over = (
            f"{size} bytes; namespace {namespace} takes {limit} (limit.blobSize.error{said})"
            if size > limit
            else ""
        )
