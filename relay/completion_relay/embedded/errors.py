"""Room `embedded`: why the development stack cannot run. Touches nothing.

CompletionError
└── EmbeddedError             one line for a user: name, problem, fix
    ├── NotInstalledError     the server's package is missing
    ├── PortTakenError        somebody else listens on a port that was asked for
    ├── DataInUseError        another stack runs on this data folder
    └── ServerFailedError     a server ended, or did not become ready; the text
                              ends with the last lines of its log
"""

from completion_schemas.errors import CompletionError


class EmbeddedError(CompletionError):
    """The development stack cannot run; the message names the part, the problem and the fix."""


class NotInstalledError(EmbeddedError):
    """The package that brings a server is not installed."""


class PortTakenError(EmbeddedError):
    """A port that was asked for is in use."""


class DataInUseError(EmbeddedError):
    """Another stack runs on the data folder."""


class ServerFailedError(EmbeddedError):
    """A server ended by itself or did not become ready in time."""
