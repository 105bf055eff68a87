"""Room `cli`: an outcome as the command line gives it, as the event has it. Touches nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NoReturn

from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from completion_relay.cli.token_file import InputError, read_input
from completion_schemas.events import Canceled, Completed, Failed, Heartbeat, Outcome

_OUTCOMES = "--result, --result-file, --failure, --cancel or --heartbeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeOptions:
    """What the command line said of the outcome."""

    result: str | None = None
    result_file: str | None = None
    failure: str | None = None
    failure_type: str | None = None
    non_retryable: bool = False
    cancel: bool = False
    heartbeat: bool = False
    details: str | None = None

    def outcome(self) -> Outcome:
        """Return the one outcome that was asked for.

        Raises:
            InputError: none was, or several, or an option that belongs to another one.
        """
        given = [
            name
            for name, there in (
                ("--result", self.result is not None),
                ("--result-file", self.result_file is not None),
                ("--failure", self.failure is not None),
                ("--cancel", self.cancel),
                ("--heartbeat", self.heartbeat),
            )
            if there
        ]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise InputError(f"an event has one outcome, got {got}: give one of {_OUTCOMES}")
        if self.failure is None and (self.failure_type is not None or self.non_retryable):
            raise InputError("--failure-type and --non-retryable belong to --failure: give it too")
        if self.details is not None and not (self.cancel or self.heartbeat):
            raise InputError("--details belongs to --cancel or --heartbeat: give one of them")
        return self._only()

    def _only(self) -> Outcome:
        if self.result is not None:
            return Completed(json_payloads("--result", self.result.encode()))
        if self.result_file is not None:
            content = read_input("--result-file", self.result_file)
            return Completed(json_payloads("--result-file", content))
        if self.failure is not None:
            info = ApplicationFailureInfo(
                type=self.failure_type or "", non_retryable=self.non_retryable
            )
            return Failed(Failure(message=self.failure, application_failure_info=info))
        details = Payloads()
        if self.details is not None:
            details = json_payloads("--details", self.details.encode())
        return Canceled(details) if self.cancel else Heartbeat(details)


def json_payloads(option: str, text: bytes) -> Payloads:
    """Return JSON as the one payload that any Temporal SDK's default data converter reads.

    Raises:
        InputError: it is not JSON (RFC 8259: no NaN, UTF-8).
    """
    try:
        json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, json.JSONDecodeError) else "not UTF-8 or no number"
        raise InputError(
            f"{option} is not JSON: {what}: a text needs its own quotes, for example '\"done\"'"
        ) from None
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=text.strip())])


def _refuse(_: str) -> NoReturn:
    raise ValueError
