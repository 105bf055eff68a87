"""Room `cli`: the charts of a report's page. Touches pygal, which draws them as SVG."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from completion_relay.audit_report.figures import Bucket, Latency

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

COLOURS: Final = {
    "applied": "#2f9e44",
    "duplicate": "#0c8599",
    "coalesced": "#66d9e8",
    "skipped": "#ffd43b",
    "superseded": "#8d5a3b",
    "conflict": "#f783ac",
    "expired": "#ae3ec9",
    "closed": "#7048e8",
    "unknown": "#868e96",
    "dead_lettered": "#e03131",
}
"""Of a disposition, the same in every chart and table; no two so close that a bar's is not known from the legend."""
_OTHER: Final = "gray"
_LABELS: Final = 8
_HEIGHT: Final = 320
_MARGIN: Final = 6
_LEGEND_SIZE: Final = 13
_LEGEND_ROW: Final = 1.5 * _LEGEND_SIZE
"""As high as pygal draws a row of the legend."""
_LEGEND_COLUMNS: Final = 5
_SHOWN: Final = 20
_LEAST: Final = 0.1
_DAY: Final = 24 * 3_600 * 10**9
_NANOS: Final = 10**9
_MILLION: Final = 10**6


def over_time(buckets: Sequence[Bucket], width: int) -> str:
    """Return the decisions of each span of time, by disposition, as SVG."""
    begins = range(buckets[0].begin, buckets[-1].begin + 1, width) if buckets else range(0)
    there = {(bucket.begin, bucket.disposition): bucket.count for bucket in buckets}
    has = {bucket.disposition for bucket in buckets}
    # A newer relay may know more of them.
    chosen = [*(name for name in COLOURS if name in has), *sorted(has - COLOURS.keys())]
    rows = -(-len(chosen) // _LEGEND_COLUMNS)
    # pygal keeps room for the full rows alone: the last one was drawn below the picture.
    kept = len(chosen) // _LEGEND_COLUMNS
    chart = _chart(
        "StackedBar",
        [COLOURS.get(name, _OTHER) for name in chosen],
        height=_HEIGHT + round(_LEGEND_ROW * max(0, rows - 1)),
        margin_bottom=_MARGIN + _LEGEND_ROW * (rows - kept),
        x_labels=[_label(begin, width) for begin in begins],
        x_labels_major_every=max(1, -(-len(begins) // _LABELS)),
        show_minor_x_labels=False,
        truncate_label=-1,
        formatter=lambda value: f"{value:,.0f}",
        legend_at_bottom=True,
        legend_at_bottom_columns=_LEGEND_COLUMNS,
    )
    for name in chosen:
        chart.add(name, [there.get((begin, name), 0) for begin in begins])
    return _svg(chart)


def latencies(found: Sequence[Latency]) -> str:
    """Return the percentiles of each type as SVG, on a logarithmic scale of milliseconds."""
    series = {
        # Not below a tenth of a millisecond, and no less than nothing where clocks differ: a
        # logarithm has no place for it.
        name: [max(_LEAST, getattr(of, name) / _MILLION) for of in found]
        for name in ("p50", "p90", "p99")
    }
    values = [value for of in series.values() for value in of] or [1.0]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # A bar of the least value has a length, too.
    powers = [10.0**power for power in range(first - 1, max(first, last) + 1)]
    chart = _chart(
        "HorizontalBar",
        ["#74c0fc", "#228be6", "#1864ab"],
        x_labels=[_shortened(of.type or "-") for of in found],
        logarithmic=True,
        range=(powers[0], powers[-1]),
        zero=powers[0],
        y_labels=[{"label": _millis(power), "value": power} for power in powers],
        truncate_label=-1,
        formatter=_millis,
        legend_at_bottom=True,
        legend_at_bottom_columns=3,
    )
    for name, of in series.items():
        chart.add(name, of)
    return _svg(chart)


def _millis(value: float) -> str:
    return f"{value / 1_000:,g} s" if value >= 1_000 else f"{value:g} ms"


def _shortened(text: str) -> str:
    # A relay knows four types; whoever else writes to the topic may call them anything.
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _chart(kind: str, colours: list[str], **options: Any) -> Any:
    import pygal  # noqa: PLC0415 - an extra
    from pygal.style import Style  # noqa: PLC0415 - the same

    # It looks for plugins of its own with a hook of Python 2's kind, of which every later import
    # that finds nothing would warn.
    sys.meta_path[:] = [hook for hook in sys.meta_path if hasattr(hook, "find_spec")]

    # The page's own colours, which follow the reader's choice of light or dark.
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--text)",
        foreground_strong="var(--text)",
        foreground_subtle="var(--faint)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        font_family="inherit",
        colors=tuple(colours),
        opacity="1",
        opacity_hover="1",
        legend_font_size=_LEGEND_SIZE,
        label_font_size=12,
        major_label_font_size=12,
    )
    chart = getattr(pygal, kind)(
        style=style,
        js=[],
        disable_xml_declaration=True,
        width=960,
        margin=_MARGIN,
        margin_right=36,
        show_y_guides=True,
        **{"height": _HEIGHT, **options},
    )
    chart.add_xml_filter(_without_script)
    return chart


def _without_script(root: Element) -> Element:
    # A page that runs nothing can be mailed and opened anywhere.
    for parent in list(root.iter()):
        for child in list(parent):
            if isinstance(child.tag, str) and child.tag.rpartition("}")[2] == "script":
                parent.remove(child)
    return root


def _svg(chart: Any) -> str:
    text: str = chart.render(is_unicode=True)
    return text


def _label(begin: int, width: int) -> str:
    when = dt.datetime.fromtimestamp(begin // _NANOS, dt.UTC)
    return f"{when:%m-%d}" if width >= _DAY else f"{when:%m-%d %H:%M}"
