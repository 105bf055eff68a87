"""Room `cli`: a report as one HTML file that needs no other. Touches Jinja2 and pygal.

Nothing in it is loaded from anywhere and nothing is run. Ids come from whoever may
write to the topic: Jinja2 escapes each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Final

from completion_relay.audit_report.figures import Figures
from completion_relay.cli.audit.asking import how_far, not_read
from completion_relay.cli.output import plural
from completion_relay.cli.times import show_duration, show_time
from completion_relay.undecided.search import Oldest
from completion_schemas.errors import CompletionError

_TEMPLATE: Final = "page.html.j2"


class ReportError(CompletionError):
    """A report cannot be made; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a report is about."""

    topic: str
    since: int | None
    """Nanoseconds since the epoch; None: from the beginning."""
    until: int
    made_at: int
    """The same; of the making."""
    namespace: str
    source: str
    """What was asked: the topic or the database, by name."""
    from_index: bool = False
    """Whether an index was asked: what was decided since it was brought up to date is not in it."""
    index_until: int | None = None
    """When the newest decision in it was made, nanoseconds since the epoch; None: it has none."""
    unreadable: int = 0
    """How many records could not be read: by the index, of all the topic; else now, of the span asked for."""


def lacking(about: About) -> str:
    """Return what is said of what could not be read; empty: nothing."""
    if not about.unreadable:
        return ""
    return (not_read if about.from_index else _left_out)(about.unreadable)


def _left_out(unreadable: int) -> str:
    return f"{plural(unreadable, 'record')} on the topic cannot be read as audit records: left out."


def page(figures: Figures, waiting: Oldest, about: About) -> str:
    """Return the page.

    Args:
        figures: What is in it.
        waiting: The oldest record that is not decided.
        about: What it says of itself.

    Raises:
        ReportError: Jinja2 or pygal is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra

        from completion_relay.cli.report import charts  # noqa: PLC0415 - pygal is one, too

        over_time = charts.over_time(figures.buckets, figures.width)
        latencies = charts.latencies(figures.latencies)
    except ImportError as error:
        raise ReportError(
            f"a page needs {error.name}, which is not installed: "
            "pip install 'completion-relay[relay,audit]'"
        ) from None
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(time=show_time, duration=show_duration, number="{:,}".format)
    template = resources.files(__package__).joinpath(_TEMPLATE).read_text("utf-8")
    return environment.from_string(template).render(
        figures=figures,
        event=waiting.event,
        is_bounded=waiting.bound is not None,
        about=about,
        how_far=how_far(about.index_until) if about.from_index else "",
        not_read=lacking(about),
        dead_letters=figures.reasons,
        totals=figures.totals,
        colours=charts.COLOURS,
        over_time=over_time,
        latencies=latencies,
    )
