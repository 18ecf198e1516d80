"""Figures of ranks: histograms and ECDF differences, with the bands that uniform ranks keep."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ._bands import band, ecdf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .calibrate import Calibration

MOST = 12
INK, BAD, BAND = "#1f4e79", "#b03a2e", "#d9d9d9"


def draw_ranks(found: "Calibration", names: tuple[str, ...] | None) -> "Figure":
    """`Calibration.plot`, which documents it."""
    from matplotlib.figure import Figure

    if names is None:
        names = found.names if len(found.names) <= MOST else (*found.names[: MOST - 1], found.names[-1])
    unknown = [n for n in names if n not in found.names]
    if unknown or not names:
        raise ValueError(f"`names` has {unknown}, but the scalars are {', '.join(found.names)}.")
    figure = Figure(figsize=(7.5, 1.9 * len(names)), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(names), 2, sharex="col"))
    # All scalars together keep `level`, so each keeps more.
    level = 1 - (1 - found.level) / len(found.names)
    limits = band(found.fits, found.draws, level)
    for (left, right), name in zip(axes, names, strict=True):
        rank = found.ranks[:, found.names.index(name)]
        colour = BAD if name in found.flagged else INK
        _histogram(left, rank, found.draws, level, colour)
        even = limits.point
        right.fill_between(even, limits.low - even, limits.high - even, color=BAND, step="mid")
        right.step(even, ecdf(rank, found.draws) / found.fits - even, where="mid", color=colour)
        right.axhline(0, color="black", linewidth=0.5)
        left.set_ylabel(name)
        right.set_title(f"p = {found.p_values[name]:.2g}", fontsize="small", loc="right")
    axes[0, 0].set_title("ranks", loc="left")
    axes[0, 1].set_title("ECDF difference", loc="left")
    axes[-1, 0].set_xlabel("rank of the truth")
    axes[-1, 1].set_xlabel("share of the ranks")
    return figure


def _histogram(axis: Any, rank: np.ndarray, draws: int, level: float, colour: str) -> None:
    from scipy.stats import binom

    bins = max(1, min(16, draws + 1, len(rank) // 10))
    while (draws + 1) % bins:
        bins -= 1
    edges = np.linspace(0, draws + 1, bins + 1)
    chance = np.diff(edges) / (draws + 1)
    each = 1 - (1 - level) / bins
    low, high = binom.ppf((1 - each) / 2, len(rank), chance), binom.ppf((1 + each) / 2, len(rank), chance)
    axis.bar(edges[:-1], high - low, np.diff(edges), low, align="edge", color=BAND)
    axis.stairs(np.histogram(rank, edges)[0], edges, color=colour)
    axis.set_ylim(0)
