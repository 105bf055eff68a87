"""Room `parking`: what a relay says in headers of its own, and reads again strictly. Core: touches nothing."""

from __future__ import annotations

from completion_schemas.errors import CompletionError
from completion_schemas.record import Headers


class HeaderError(CompletionError, ValueError):
    """A header that no relay has written, by its name."""


class OwnHeaders:
    """The headers of one prefix."""

    def __init__(self, headers: Headers, prefix: str) -> None:
        """Read them.

        Args:
            headers: The record's.
            prefix: Of those that count.

        Raises:
            HeaderError: one is no text, or is there twice with two values.
        """
        self._prefix = prefix
        self._said: dict[str, str] = {}
        for name, value in headers:
            if name.startswith(prefix):
                try:
                    text = (value or b"").decode()
                except UnicodeDecodeError:
                    raise HeaderError(f"header {name} is not UTF-8") from None
                if self._said.setdefault(name, text) != text:
                    raise HeaderError(f"header {name} is there twice")

    def __contains__(self, name: str) -> bool:
        """Whether the header is there."""
        return self._prefix + name in self._said

    def text(self, name: str) -> str:
        """Return a header's text.

        Raises:
            HeaderError: it is missing.
        """
        try:
            return self._said[self._prefix + name]
        except KeyError:
            raise HeaderError(f"header {self._prefix + name} is missing") from None

    def number(self, name: str, *, least: int = 0, most: int) -> int:
        """Return a header's number.

        Raises:
            HeaderError: it is missing, or no such number.
        """
        number = number_in(self._said.get(self._prefix + name, ""), least=least, most=most)
        if number is None:
            raise HeaderError(
                f"header {self._prefix + name} must be a number from {least} to {most}"
            )
        return number


def number_in(text: str, *, least: int = 0, most: int) -> int | None:
    """Return the number that a header's text is; None: it is none from `least` to `most`."""
    digits = text.removeprefix("-")
    # No number of these has more than 19 digits, and int() takes time by their square.
    if digits.isascii() and digits.isdecimal() and len(digits) < 20 and least <= int(text) <= most:
        return int(text)
    return None
