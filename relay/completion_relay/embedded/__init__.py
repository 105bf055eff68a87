"""Room `embedded`: a real Temporal server and a Kafka broker as ordinary processes.

The development stack behind `demo`, `up` and the tests. It touches processes,
loopback ports and files of its data folder, and imports nothing of the relay's
pipeline. Development only: `noida-db` writes to disk about a second after it
acknowledged.

Reading order: `guard` (why nothing is left running), `process`, `servers`,
`stack`.
"""

from completion_relay.embedded.errors import (
    DataInUseError,
    EmbeddedError,
    NotInstalledError,
    PortTakenError,
    ServerFailedError,
)
from completion_relay.embedded.servers import EMPTY_FETCH_PAUSE_MS, KafkaBroker, TemporalServer
from completion_relay.embedded.stack import EmbeddedStack

__all__ = [
    "EMPTY_FETCH_PAUSE_MS",
    "DataInUseError",
    "EmbeddedError",
    "EmbeddedStack",
    "KafkaBroker",
    "NotInstalledError",
    "PortTakenError",
    "ServerFailedError",
    "TemporalServer",
]
