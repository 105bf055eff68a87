"""Room `verdict`: what is reported instead of an outcome that Temporal would not take. Core: touches nothing."""

from __future__ import annotations

from temporalio.api.common.v1 import Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure

from completion_relay.evidence import CALLEE_CANCELED, RESULT_TOO_LARGE
from completion_schemas.events import Completed, Failed, Outcome
from completion_schemas.failures import application_failure


def limited_payloads(outcome: Outcome) -> Payloads | None:
    """Return what of an outcome counts against the blob limit; None: Temporal shortens it by itself."""
    match outcome:
        case Failed():
            return None
        case Completed(result):
            return result
        case _:
            return outcome.details


def too_large(outcome: str, detail: str) -> Failed:
    """Return the failure that says why an outcome of that type did not arrive."""
    return _failed(RESULT_TOO_LARGE, f"the callee's {outcome} outcome is too large: {detail}")


def is_called_too_large(outcome: Outcome) -> bool:
    """Whether an outcome is itself a failure of the type that stands for one that is too large."""
    if not isinstance(outcome, Failed):
        return False
    info = application_failure(outcome.failure).application_failure_info
    return bool(info.type == RESULT_TOO_LARGE)


def callee_canceled() -> Failed:
    """Return the failure that a cancellation becomes which nobody had asked for."""
    return _failed(CALLEE_CANCELED, "the callee was canceled")


def _failed(type_name: str, message: str) -> Failed:
    info = ApplicationFailureInfo(type=type_name, non_retryable=True)
    return Failed(Failure(message=message, application_failure_info=info))
