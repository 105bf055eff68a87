"""Room `observe`: what stands in the relay's way right now, for /healthz and /readyz. Touches nothing."""

from __future__ import annotations


class Health:
    """Problems by the part that has them; no problem, ready."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}

    def report(self, part: str, problem: str) -> bool:
        """Take note of a part's problem; True if it is news."""
        is_news = part not in self._problems
        self._problems[part] = problem
        return is_news

    def clear(self, part: str) -> bool:
        """Take note that a part is well; True if it had a problem."""
        return self._problems.pop(part, None) is not None

    @property
    def problems(self) -> dict[str, str]:
        """Problems by part, such as `temporal` or `namespace orders`."""
        return dict(self._problems)

    @property
    def is_ready(self) -> bool:
        """Whether events are being decided."""
        return not self._problems
