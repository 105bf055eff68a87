"""Room `events`: what may become of an event. Touches nothing.

One closed set (contract section 4), the same in code, audit, metrics and logs.
"""

from enum import StrEnum


class Disposition(StrEnum):
    """What became of an event, finally."""

    APPLIED = "applied"
    """Temporal took it; also where history shows that this very record did it."""
    DUPLICATE = "duplicate"
    """The same event id had done it already, from another record."""
    CONFLICT = "conflict"
    """Another completion ended the activity."""
    SUPERSEDED = "superseded"
    """The activity is pending with a newer attempt."""
    EXPIRED = "expired"
    """The activity timed out, or the event's deadline has passed."""
    CLOSED = "closed"
    """The waiting workflow closed with the activity still open."""
    UNKNOWN = "unknown"
    """Temporal does not know the activity, and nothing tells why."""
    COALESCED = "coalesced"
    """A heartbeat overtaken by a newer one or by the decision."""
    SKIPPED = "skipped"
    """An operator decided not to apply it."""
    DEAD_LETTERED = "dead_lettered"
    """The event itself cannot be applied; the reason says why."""


class DeadLetterReason(StrEnum):
    """Why an event was dead-lettered."""

    UNDECODABLE = "undecodable"
    """Bytes and headers that are no event."""
    UNVERIFIED = "unverified"
    """A signature that is missing or wrong."""
    FORBIDDEN = "forbidden"
    """A namespace or cluster that this relay does not serve."""
    INVALID = "invalid"
    """Temporal refuses the request as malformed, or the reference is not enough to act on."""
    TOO_LARGE = "too_large"
    """More than Temporal takes."""
    EXHAUSTED = "exhausted"
    """Retried for as long as its budget lasted, while its workflow could be described."""
