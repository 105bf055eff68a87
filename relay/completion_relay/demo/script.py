"""Room `demo`: who does what, and what should come of it. Core: touches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from completion_schemas.dispositions import Disposition

CALLER: Final = "Caller"
AGENT: Final = "Agent"
CALLERS: Final = "sample-callers"
AGENTS: Final = "sample-agents"
"""Workflow types and task queues of `completion_workflow.samples`, which the relay may not import."""

SLOTS: Final = 4
"""Activity slots of the callers' worker: far fewer than activities that wait."""
HANDED_OFF: Final = 24
_UNTIL_CANCELED: Final = 600.0
_FIRST_ENDS_AFTER: Final = 4.0
_ONE_ENDS_EVERY: Final = 0.4


class Ending(StrEnum):
    """What happens to an execution, as a person is told."""

    SUCCESS = "succeeds"
    FAILURE = "fails"
    CALLER_CANCELS = "canceled by its caller"
    OPERATOR_CANCELS = "canceled by an operator"
    SENT_TWICE = "sent twice"
    NO_CALLBACK = "has no callback"


@dataclass(frozen=True, slots=True)
class Got:
    """What a caller gets from its activity; the fields of the samples' `Got`."""

    outcome: str
    """`completed`, `failed` or `canceled`."""
    text: str = ""
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class Expected:
    """What should come of an execution."""

    agent: str
    """The status of the agent's workflow, as Temporal calls it."""
    got: Got | None
    """None: nobody waits."""
    trail: tuple[tuple[str, Disposition], ...]
    """Type of event and disposition of each record that the trail should hold."""


@dataclass(frozen=True, slots=True)
class Part:
    """One agent execution."""

    name: str
    ending: Ending
    seconds: float

    @property
    def task(self) -> dict[str, object]:
        """The samples' `Task`, as JSON."""
        return {"name": self.name, "seconds": self.seconds, "error": self._error}

    @property
    def _error(self) -> str:
        return f"{self.name} gave up" if self.ending is Ending.FAILURE else ""

    @property
    def expected(self) -> Expected:
        """What should come of it."""
        done = Got("completed", f"{self.name} is done")
        applied = Disposition.APPLIED
        match self.ending:
            case Ending.SUCCESS:
                return Expected("COMPLETED", done, (("completed", applied),))
            case Ending.FAILURE:
                error = Got("failed", self._error, "AgentFailed")
                return Expected("FAILED", error, (("failed", applied),))
            case Ending.CALLER_CANCELS:
                return Expected("CANCELED", Got("canceled"), (("canceled", applied),))
            case Ending.OPERATOR_CANCELS:
                # Temporal takes `canceled` only where the caller asked for it (facts 0).
                error = Got("failed", "the callee was canceled", "CalleeCanceled")
                return Expected("CANCELED", error, (("canceled", applied),))
            case Ending.SENT_TWICE:
                twice = (("completed", applied), ("completed", Disposition.DUPLICATE))
                return Expected("COMPLETED", done, twice)
            case Ending.NO_CALLBACK:
                return Expected("COMPLETED", None, ())


def script() -> tuple[Part, ...]:
    """Return the whole cast: 24 executions that a caller waits for, and one that nobody does."""
    special = {
        3: Ending.SENT_TWICE,
        5: Ending.CALLER_CANCELS,
        8: Ending.FAILURE,
        10: Ending.OPERATOR_CANCELS,
        15: Ending.FAILURE,
        20: Ending.FAILURE,
    }
    parts = []
    for number in range(1, HANDED_OFF + 1):
        ending = special.get(number, Ending.SUCCESS)
        is_canceled = ending in (Ending.CALLER_CANCELS, Ending.OPERATOR_CANCELS)
        seconds = _FIRST_ENDS_AFTER + (number - 1) * _ONE_ENDS_EVERY
        parts.append(
            Part(f"agent-{number:02}", ending, _UNTIL_CANCELED if is_canceled else seconds)
        )
    return (*parts, Part(f"agent-{HANDED_OFF + 1:02}", Ending.NO_CALLBACK, _FIRST_ENDS_AFTER))
