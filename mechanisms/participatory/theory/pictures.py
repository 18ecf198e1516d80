"""The figures of the paper, drawn from the functions of this room, with solved instances where theory can be checked.

Each returns a Matplotlib figure. Source: Shirali, Finocchiaro and Abebe (2024), figures 1–5.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..solvers.two_agents import two_agents
from .closed_forms import inside
from .dissimilar import dissimilar_bound, loss_curve, loss_majorant
from .gains import gain_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, GAIN, BOUND, PALE = "#1f4e79", "#2e7d32", "#b03a2e", "#9e9e9e"
_GRID = 801


def loss_figure(coefficient: Any = 0.8, aversion: Any = 0.2) -> "Figure":
    r"""Figure 1: what one item can add to the loss, by its worth to the poorer agent; dots are solved pairs.

    The dots are two agents with this item, of whom the richer also has ten utils that nobody else values: she stays richer,
    and the item moves as a whole as soon as it can.

    Args:
        coefficient: a₁ⱼ in (0, 1].
        aversion: A in [0, 1).

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> len(loss_figure().axes)
        1
    """
    figure, axes = _axes("worth to the poorer agent, $a_{2j}$", "loss on the item, utils")
    x = np.linspace(0, 1, _GRID)
    axes.plot(x, loss_curve(coefficient, x, aversion), color=INK, label="bound, equation (14)")
    at = np.linspace(0, 1, 26)
    axes.plot(at, _solved(coefficient, at, aversion)[0], "o", ms=3, color=BOUND, label="solved")
    axes.legend()
    return figure


def gain_figure(coefficient: Any = 0.8, aversion: Any = 0.2, thresholds: Any = (0.05, 0.1, 0.2)) -> "Figure":
    r"""Figure 2: what one item adds to the gain, for several thresholds Δ₁, above its loss in grey; dots are solved pairs.

    Args:
        coefficient: a₁ⱼ in (0, 1].
        aversion: A in (0, 1).
        thresholds: values of Δ₁ in [0, A].

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> len(gain_figure().axes[0].lines)
        5
    """
    figure, axes = _axes("worth to the poorer agent, $a_{2j}$", "utils")
    x = np.linspace(0, 1, _GRID)
    axes.plot(x, loss_curve(coefficient, x, aversion), color=PALE, label="loss")
    styles = ("-", "--", ":", "-.")
    for k, delta in enumerate(np.atleast_1d(thresholds)):
        y = gain_curve(coefficient, x, aversion, delta)
        axes.plot(x, y, styles[k % 4], color=GAIN, label=f"gain, $\\Delta_1 = {delta:g}$")
    at = np.linspace(0, 1, 26)
    axes.plot(at, _solved(coefficient, at, aversion)[1], "o", ms=3, color=BOUND, label=r"solved, $\Delta_1 = A$")
    axes.legend()
    return figure


def deviation_figure(value: Any = 0.8, aversion: Any = 0.05, other_aversion: Any = 0.05, cap: Any = 0.1) -> "Figure":
    r"""Figure 3 as an audit: what an agent gains by the best misreport, by what the other reports, and how far it lies.

    One item, two agents with α = β, who pay the other's report whenever they might have kept the item from the other:
    :math:`p_i = a'_{-i}\, 1\{a'_i \ge r a'_{-i}\}`. The richer of the two is whoever has the item. The left axes show the best
    report, with :math:`[r^2 a, a/r^2]` of proposition C.1 shaded; the right ones what it gains over the truth.

    Args:
        value: a₁ in (0, 1].
        aversion: α₁ in [0, 1/2).
        other_aversion: α₂ as reported by the other.
        cap: the largest report of aversion that is allowed, α_m, at least both.

    Returns:
        A Matplotlib figure with two axes.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> len(deviation_figure().axes)
        2
    """
    from matplotlib.figure import Figure

    a = float(inside(value, "value", np.finfo(float).tiny, 1.0, "(0, 1]"))
    own, other = (float(inside(x, "aversion", 0.0, 0.5, "[0, 1/2]")) for x in (aversion, other_aversion))
    most = float(inside(cap, "cap", max(own, other), 0.499, "[aversion, 0.5)"))
    r = lambda x: (1 - x) / (1 + x)
    rivals, reports = np.linspace(0.01, 1.5, 150), np.linspace(0.0, 2.0, 401)
    payoff = _bidder(a, own, rivals[:, None], reports[None], r(own + other))
    truth = _bidder(a, own, rivals, np.full_like(rivals, a), r(own + other))
    # Of all best reports the one nearest to the truth: many reports have the same consequences.
    best = np.where(payoff >= payoff.max(1, keepdims=True) - 1e-12, np.abs(reports - a), np.inf).argmin(1)
    profit = np.maximum(payoff.max(1) - truth, 0.0)
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    pays = profit > 1e-12
    left.axhspan(r(own + most) ** 2 * a, a / r(own + most) ** 2, color="#e0e0e0", label="$[r^2 a,\\ a / r^2]$")
    left.plot(
        rivals, np.where(pays, reports[best], np.nan), ".", color=BOUND, ms=4, label="best report, where a lie pays"
    )
    left.axhline(a, color=INK, lw=1, label="truth")
    left.set_xlabel("what the other reports")
    left.set_ylabel("report")
    left.legend(fontsize="small")
    right.plot(rivals, profit, color=BOUND)
    right.set_xlabel("what the other reports")
    right.set_ylabel("gain from the best lie, utils")
    return figure


def majorant_figure(coefficient: Any = 0.8, aversion: Any = 0.2) -> "Figure":
    """Figure 4: the loss on one item and the two parabolas above it, on which theorem D.1 rests.

    Args:
        coefficient: a₁ⱼ in (0, 1].
        aversion: A in (0, 1).

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> len(majorant_figure().axes[0].lines)
        2
    """
    figure, axes = _axes("worth to the poorer agent, $a_{2j}$", "loss on the item, utils")
    x = np.linspace(0, 1, _GRID)
    axes.plot(x, loss_curve(coefficient, x, aversion), color=INK, label="loss, (39)")
    axes.plot(x, loss_majorant(coefficient, x, aversion), color=BOUND, label="majorant, (40)")
    axes.legend()
    return figure


def dissimilar_figure(aversion: Any = 0.2, strength: Any = 0.05, taus: Any = (0.5, 2 / 3)) -> "Figure":
    r"""Figure 5: the terms of theorem D.1 by the item's worth to the richer agent, and the plain bound in grey.

    Args:
        aversion: A in [0, 1).
        strength: :math:`G = \gamma \|a_1\|_1` in (0, 1].
        taus: values of τ in [0, 1].

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> len(dissimilar_figure().axes[0].lines)
        3
    """
    g = float(inside(strength, "strength", np.finfo(float).tiny, 1.0, "(0, 1]"))
    figure, axes = _axes("worth to the richer agent, $a_{1j}$", "term of the bound, utils")
    a = np.linspace(0, 1, _GRID)
    aversion = inside(aversion, "aversion", 0.0, 1.0, "[0, 1)")
    axes.plot(a, 2 * aversion / (1 + aversion) * a, color=PALE, label="$c_1 a_{1j}$")
    for style, tau in zip(("-", "--", ":", "-."), np.atleast_1d(taus), strict=False):
        terms = dissimilar_bound(a, aversion, g / a.sum(), tau)
        axes.plot(a, terms, style, color=BOUND, label=f"$\\tau = {tau:.3g}$")
    axes.legend()
    return figure


def _axes(x: str, y: str) -> tuple["Figure", Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _solved(coefficient: Any, other: np.ndarray, aversion: Any) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gain of solved pairs: the item in question, and ten utils that only the first agent values."""
    a = float(inside(coefficient, "coefficient", np.finfo(float).tiny, 1.0, "(0, 1]"))
    side = float(inside(aversion, "aversion", 0.0, 1.0, "[0, 1)"))
    values = np.zeros((other.size, 2, 2))
    values[:, 0] = a, 10.0
    values[:, 1, 0] = other
    found = two_agents(values, side / 2, side / 2)
    first, second = np.where(other < a, a, 0.0) + 10.0, np.where(other < a, 0.0, other)
    loss = first + second - found.utilities.sum(-1)
    return loss, found.primal - (first + second - side * np.abs(first - second))


def _bidder(a: float, alpha: float, rival: np.ndarray, report: np.ndarray, r: float) -> np.ndarray:
    """Payoff of agent 1 when the item goes by the reports: all to the higher one, shares equal in reports in between."""
    both = np.maximum(report + rival, np.finfo(float).tiny)
    share = np.where(report * r > rival, 1.0, np.where(rival * r > report, 0.0, rival / both))
    mine, theirs = a * share, rival * (1 - share)
    return mine - alpha * np.abs(mine - theirs) - rival * (report >= r * rival)
