"""Room `pipeline`: what came of one event so far: its calls, and what they leave open. Touches nothing.

What a parked copy takes along of it is a `Former`, and what is said of it in the end is a `Decision`.
"""

from __future__ import annotations

from dataclasses import replace

from completion_relay.decision import Decision, Former
from completion_relay.verdict import Answer, DeadLetter, Status
from completion_schemas.audit import Call
from completion_schemas.dispositions import Disposition
from completion_schemas.events import UnixNanos

_FIRST_CALLS, _LAST_CALLS = 5, 15
"""How many are remembered: how the trouble began, and how it ended. An hour's budget is hundreds."""


class SoFar:
    """One event's calls, before it was parked too."""

    __slots__ = (
        "_calls",
        "_might_land",
        "early_for",
        "first_failed_at",
        "may_land",
        "status",
        "tries",
    )

    def __init__(self, former: Former, *, back_at: UnixNanos | None) -> None:
        """Begin with what was before.

        Args:
            former: What a parked record brings along.
            back_at: When the cluster last came back from an outage; None: it was never away.
        """
        self.tries = former.tries
        """Completion calls."""
        self.status: Status | None = None
        """The last answer in this life; None: none was made."""
        failed_at = former.first_failed_at
        if back_at is not None and failed_at is not None and failed_at < back_at:
            failed_at = None  # the cluster has been away since: see `after_an_outage`
        self.first_failed_at = failed_at
        """When the first of the refusals was that nobody else explains; None: there was none."""
        self.early_for = former.early_for
        """For how many seconds its activity, which is not scheduled yet, has been looked for."""
        self.may_land = former.may_land
        """Whether one of the calls had no answer, and nothing has told since what came of it: so of one
        that is under way, too, which the end of a drain may cut short."""
        self._might_land = self.may_land
        """The same, of the calls before."""
        self._calls: list[Call] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        """For the audit trail: none where the only one was answered OK, some of very many."""
        return tuple(self._calls)

    def calls_now(self) -> None:
        """A call is made; `heard` comes next, unless it is cut short."""
        self.tries += 1
        self._might_land, self.may_land = self.may_land, True

    def heard(self, status: Status, now: UnixNanos) -> None:
        """A call was answered."""
        self.may_land = self._might_land
        self.status = status
        if not self._calls and status is Status.OK:
            return
        if len(self._calls) == _FIRST_CALLS + _LAST_CALLS:
            del self._calls[_FIRST_CALLS]
        self._calls.append(Call(now, str(status)))

    def failed(self, now: UnixNanos) -> None:
        """That answer was none, or told of nothing but trouble: the call may still arrive."""
        self.may_land = True
        if self.first_failed_at is None:
            self.first_failed_at = now

    def refused_for(self, now: UnixNanos) -> float:
        """Return the seconds since the first of the refusals that nobody else explains."""
        return 0.0 if self.first_failed_at is None else (now - self.first_failed_at) / 1e9

    def after_an_outage(self) -> None:
        """Begin its times anew: the refusals before were the outage's, and so were the waits."""
        self.first_failed_at = None
        self.early_for = 0.0

    def former(self, *, is_away: bool, failed_itself: bool = False) -> Former:
        """Return what a parked copy takes along.

        Args:
            is_away: Whether the cluster is: an outage takes nothing of the event's time, and nobody
                could tell later how much of it was one.
            failed_itself: See `Former`.
        """
        former = Former(tries=self.tries, may_land=self.may_land, failed_itself=failed_itself)
        if is_away:
            return former
        return replace(former, first_failed_at=self.first_failed_at, early_for=self.early_for)

    def decision(
        self, disposition: Disposition, detail: str, *, signal: Answer | None = None
    ) -> Decision:
        """Return the final outcome, after these calls; the arguments are those of `Decision`."""
        return Decision(
            disposition=disposition,
            detail=detail,
            tries=self.tries,
            rpc_status=self.status,
            calls=self.calls,
            signal=signal,
        )

    def dead_letter(self, verdict: DeadLetter) -> Decision:
        """Return the decision that a dead-letter verdict is, after these calls."""
        return Decision.dead_letter(
            verdict, stage="complete", tries=self.tries, status=self.status, calls=self.calls
        )
