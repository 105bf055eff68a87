"""Room `events`: the errors of the schemas. Touches nothing.

CompletionError                 every error of this project
└── SchemaError                 an event that is not what the contract asks for
    ├── InvalidEventError       refused when it was constructed
    ├── DecodeError             bytes and headers that are no event
    └── EncodeError             an event that this encoding cannot carry
"""


class CompletionError(Exception):
    """Base of every error that this project raises on purpose."""


class SchemaError(CompletionError, ValueError):
    """An event, or the bytes of one, that is not what the contract asks for."""


class InvalidEventError(SchemaError):
    """The fields given do not make an event; the message names the field, the problem and the fix."""


class DecodeError(SchemaError):
    """The bytes and headers of a record are not an event.

    The message is safe to log: it never repeats token bytes (promise 4).
    """


class EncodeError(SchemaError):
    """This encoding cannot carry the event without loss."""
