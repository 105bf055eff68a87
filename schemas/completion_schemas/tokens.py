"""Room `events`: how a task token is named without being shown. Touches nothing.

Promise 4: token bytes never appear in a log, metric, label, audit record or
error text. These two names are what may appear instead.
"""

import base64
import hashlib
from functools import lru_cache

LONGEST_REMEMBERED = 4_096
"""Characters or bytes of a token whose decoding and fingerprint are remembered for a moment; one of
server 1.32.0 has some 150, and what stands in its place in a record may have megabytes."""

_PREVIEW_CHARACTERS = 20


def token_preview(token: bytes) -> str:
    """Return the beginning of the token's Base64, for a person to recognise it by.

    The first 20 characters, never more than a third of the whole, then `...`;
    empty for an empty token. Tokens begin with their namespace's id, so the
    preview is the same for all tokens of a namespace (seen on server 1.32.0):
    it says where a token is from, the fingerprint says which one it is.
    """
    if not token:
        return ""
    # 20 characters come from 15 bytes; the whole need not be encoded.
    characters = min(_PREVIEW_CHARACTERS, 4 * ((len(token) + 2) // 3) // 3)
    return base64.b64encode(token[:15]).decode("ascii")[:characters] + "..."


def token_fingerprint(token: bytes) -> str:
    """Return the lower-case hex of the first 16 bytes of SHA-256(token), empty for an empty token.

    It tells tokens apart, cannot be turned back into one, and is the Kafka key
    of every event that has a token (contract section 2).
    """
    if not token:
        return ""
    return _remembered(token) if len(token) <= LONGEST_REMEMBERED else _fingerprint(token)


def _fingerprint(token: bytes) -> str:
    return hashlib.sha256(token).digest()[:16].hex()


_remembered = lru_cache(maxsize=1_024)(_fingerprint)
