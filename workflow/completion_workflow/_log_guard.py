"""Room `workflow`: keeps tokens out of other libraries' debug logs. Touches three loggers.

At level DEBUG the SDK logs the task token of every activity it starts
(temporalio 1.35.0, `worker/_activity.py`), and aiokafka every record it sends
and every request (0.14.0, `producer.py`, `conn.py`). Promise 4 has no exception
for debugging, so these three show bytes as a length and a fingerprint.
"""

import logging

from completion_schemas.tokens import token_fingerprint

_LOGGERS = ("temporalio.worker._activity", "aiokafka.producer.producer", "aiokafka.conn")


class _TokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_shown(argument) for argument in record.args)
        return True


_FILTER = _TokenFilter()


def guard_logs() -> None:
    """Install the filter; again does nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


def _shown(argument: object) -> object:
    if isinstance(argument, bytes | bytearray):
        return f"<{len(argument)} bytes, fingerprint {token_fingerprint(bytes(argument))}>"
    kind = type(argument).__name__
    return f"<{kind}>" if kind.startswith("ProduceRequest") else argument
