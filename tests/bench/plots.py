"""Room `tests/bench`: plots, where one says more than a table. Touches PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")  # no screen

from matplotlib import pyplot as plt

_SIZE = (8, 4.5)


def distribution(path: Path, samples: Mapping[str, Sequence[float]], *, title: str) -> Path:
    """Draw for each row which share took longer than a time, so that the rare ones show."""
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    for name, values in samples.items():
        ordered = sorted(values)
        count = len(ordered)
        axes.step(ordered, [1 - number / count for number in range(count)], label=name)
    axes.set(xscale="log", yscale="log", xlabel="milliseconds", ylabel="share that took longer")
    axes.set_title(title, fontsize="medium", loc="left", wrap=True)
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def over_time(
    path: Path, seconds: Sequence[float], values: Sequence[float], *, title: str, label: str
) -> Path:
    """Draw one line over time, from zero."""
    figure, axes = plt.subplots(figsize=_SIZE, layout="constrained")
    axes.plot(seconds, values)
    axes.set(xlabel="seconds", ylabel=label, ylim=(0, max(values) * 1.1))
    axes.set_title(title, fontsize="medium", loc="left", wrap=True)
    axes.grid(visible=True, alpha=0.2)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
