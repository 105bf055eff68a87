"""Room `workflow`: how both sides name a reference in their logs. Touches nothing.

Promise 4: never a token, only its length, preview and fingerprint.
"""

from completion_schemas.errors import InvalidEventError
from completion_schemas.events import ActivityReference
from completion_schemas.tokens import token_fingerprint, token_preview


def describe_token(reference: ActivityReference) -> str:
    """Return what may be said about the reference's token; total, whatever the reference holds."""
    try:
        token, sealed = reference.token_bytes(), reference.sealed_bytes()
    except InvalidEventError as error:
        return f"a token that cannot be used ({error})"
    if token:
        return (
            f"a task token of {len(token)} bytes ({token_preview(token)} "
            f"fingerprint {token_fingerprint(token)})"
        )
    if sealed:
        return f"a sealed token of {len(sealed)} bytes (fingerprint {reference.token_fingerprint})"
    return "no token (0 bytes), only ids"


def describe_activity(reference: ActivityReference) -> str:
    """Return which activity is waiting, as far as the reference says."""
    if not reference.has_ids:
        return "the waiting activity"
    return (
        f"activity {reference.activity_id} of workflow {reference.workflow_id} "
        f"in namespace {reference.namespace or '(the default)'}"
    )
