"""The report's pictures, as SVG in data addresses. Matplotlib loads only when one is drawn, in a style of its own."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..inference.outcome import Outcome
from .answers import GROUPS, OVER, WORST, Estimate, level, versus
from .market import EQUAL, INCUMBENT, LEARNED

INK, PALE = "#333333", "#d0d0d0"
COLOUR = {LEARNED: "#0072B2", EQUAL: "#E69F00", INCUMBENT: "#555555"}  # Okabe and Ito, told apart by colour-blind eyes
MARK = {LEARNED: "o", EQUAL: "D", INCUMBENT: "s"}
STYLE = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#ececec",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "fairhand",
}


def picture(draw: Callable[[Any], None], width: float = 4.6, height: float = 2.8) -> str:
    """Draw on fresh axes and return `data:image/svg+xml;base64,...`, the same bytes for the same picture."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()


def _span(axes: Any, found: Estimate, at: float, rule: str, **style: Any) -> None:
    """A dot and its interval, lying; nothing for a group without data."""
    if np.isfinite(found.mean):
        axes.plot([found.low, found.high], [at, at], color=COLOUR[rule], lw=1.6, solid_capstyle="round")
        axes.plot([found.mean], [at], MARK[rule], color=COLOUR[rule], ms=5, **style)


def groups_figure(outcome: Outcome, groups: Sequence[str], unit: str) -> str:
    """Mean gain by group under the learned rule, equal tokens and the incumbent, with intervals."""

    def draw(axes: Any) -> None:
        for i, _ in enumerate(groups):
            for k, rule in enumerate((LEARNED, EQUAL, INCUMBENT)):
                label = {"label": rule} if i == 0 else {}
                _span(axes, level(outcome, GROUPS, rule, i), i + 0.22 * (k - 1), rule, **label)
        axes.set_yticks(range(len(groups)), [g.replace(", ", ",\n") for g in groups])
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.grid(False, axis="y")
        axes.set_xlabel(f"gain per traveller, {unit}")
        axes.figure.legend(loc="outside upper left", ncols=2, columnspacing=1, handletextpad=0.2)

    return picture(draw, height=1.15 + 0.5 * len(groups))


def prices_figure(outcome: Outcome, goods: Sequence[str]) -> str:
    """Prices in tokens under the learned rule and under equal tokens."""

    def draw(axes: Any) -> None:
        for i, _ in enumerate(goods):
            for k, rule in enumerate((LEARNED, EQUAL)):
                label = {"label": rule} if i == 0 else {}
                _span(axes, level(outcome, "price", rule, i), i + 0.25 * (k - 0.5), rule, **label)
        axes.set_yticks(range(len(goods)), goods)
        axes.set_ylim(len(goods) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.set_xlabel("price in tokens")
        axes.figure.legend(loc="outside upper left", ncols=2, columnspacing=1, handletextpad=0.2)

    return picture(draw, height=1.0 + 0.42 * len(goods))


def _curve(axes: Any, factors: Sequence[float], found: Sequence[Estimate]) -> None:
    if not found:
        return
    low, mean, high = np.array([(e.low, e.mean, e.high) for e in found]).T
    axes.fill_between(factors, low, high, color=COLOUR[LEARNED], alpha=0.18, lw=0)
    axes.plot(factors, mean, "o-", color=COLOUR[LEARNED], ms=4)
    axes.axvline(1.0, color=PALE, lw=1, zorder=0)
    axes.set_xlabel("hold-back, in multiples of what was learned")


def holdback_chance_figure(outcome: Outcome, rules: dict[float, str], limit: float) -> str:
    """Chance of over-subscription against hold-back, with the limit."""

    def draw(axes: Any) -> None:
        _curve(axes, list(rules), [level(outcome, OVER, rule) for rule in rules.values()])
        axes.axhline(limit, color="#D55E00", lw=1.2, ls="--")
        axes.annotate(
            f"limit {100 * limit:g} %", (max(rules, default=1), limit), ha="right", va="bottom", color="#D55E00"
        )
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
        axes.set_ylim(bottom=0)
        axes.set_title("Chance that some mode\nis over-subscribed", fontsize=9.5, loc="left")

    return picture(draw)


def holdback_gain_figure(outcome: Outcome, rules: dict[float, str], unit: str) -> str:
    """Gain of the group that gains least against hold-back, less the incumbent's, paired by draw."""

    def draw(axes: Any) -> None:
        _curve(axes, list(rules), [versus(outcome, WORST, rule, INCUMBENT).gain for rule in rules.values()])
        axes.axhline(0.0, color=COLOUR[INCUMBENT], lw=1.2, ls="--")
        axes.annotate("incumbent", (max(rules, default=1), 0.0), ha="right", va="bottom", color=COLOUR[INCUMBENT])
        axes.set_title(f"Gain of the group that gains least, less\nthe incumbent's; {unit}", fontsize=9.5, loc="left")

    return picture(draw)


def trace_figure(trace: Float[np.ndarray, "steps restarts"]) -> str:
    """The objective while training, one line a restart."""

    def draw(axes: Any) -> None:
        axes.plot(np.arange(1, len(trace) + 1), trace, lw=1)
        axes.set_xlabel("step of training")
        axes.set_ylabel("objective")

    return picture(draw, height=2.1)
