"""Table 1 of the paper, corrected, with what solved instances say about each line."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compare import compare
from ..solvers.two_agents import two_agents
from . import families
from .bounds import bounds
from .closed_forms import beta_bound, inside
from .clusters import clusters
from .dissimilar import dissimilar_bound, dissimilar_expected, dissimilarity
from .rates import cluster_rate, iid_rate

if TYPE_CHECKING:
    import pandas as pd


def table_1(aversion: Any = 0.2, *, items: Any = 20, agents: Any = 8, draws: Any = 20, seed: Any = 0) -> "pd.DataFrame":
    r"""Table 1 with the slips corrected, our sharper bounds, and how much of each bound solved instances really lose.

    Lines on two agents use A = B = `aversion`, with random and constructed pairs that meet the restriction; lines on many
    agents use α + β = `aversion` on average. A line is a "bound", a bound on an "expectation" (its ratio is that of the
    means), a "rate" whose constant nobody has specified, or "printed, no bound": then the ratio can exceed 1.

    Args:
        aversion: in (0, 1).
        items: m, even.
        agents: n of the lines on many agents, even; up to some 100.
        draws: random instances a line.
        seed: of the random instances.

    Returns:
        A table with columns `setting`, `restriction`, `formula`, `source`, `kind`, and `worst` and `mean` of loss over bound.

    Raises:
        ValueError: an argument is out of its range.

    Source: Shirali, Finocchiaro and Abebe (2024), table 1 [P], corrected [D].

    Example:
        >>> found = table_1(items=6, agents=4, draws=2)
        >>> sorted(found.kind[found.worst > 1.0001])
        ['printed, no bound']
    """
    import pandas as pd

    a = float(inside(aversion, "aversion", 1e-3, 0.999, "(0, 1), not too near its ends"))
    m, n, size = (int(inside(x, name, 2, np.inf, "[2, ∞)")) for x, name in _sizes(items, agents, draws))
    rng = np.random.default_rng(seed)
    lines = [*_pairs(a, m + m % 2, size, rng), *_societies(a, m, n + n % 2, size, rng)]
    return pd.DataFrame(lines, columns=["setting", "restriction", "formula", "source", "kind", "worst", "mean"])


def _sizes(items: Any, agents: Any, draws: Any):
    return zip((items, agents, draws), ("items", "agents", "draws"), strict=True)


def _line(setting: str, restriction: str, formula: str, source: str, kind: str, loss: Any, bound: Any) -> tuple:
    loss, bound = np.broadcast_arrays(np.asarray(loss, float), np.asarray(bound, float))
    known = ~np.isnan(bound)
    loss, bound = loss[known], bound[known]
    mean = loss.mean() / bound.mean() if bound.sum() > 0 else np.nan
    ratio = np.where(bound > 1e-12, loss / np.maximum(bound, 1e-12), np.where(loss > 1e-9, np.inf, 0.0))
    worst = ratio.max() if kind in ("bound", "printed, no bound") and bound.size else np.nan
    return setting, restriction, formula, source, kind, float(worst), float(mean)


def _losses(values: np.ndarray, aversion: float) -> np.ndarray:
    return values.max(-2).sum(-1) - two_agents(values, aversion / 2, aversion / 2).utilities.sum(-1)


def _pairs(a: float, m: int, size: int, rng: np.random.Generator) -> list[tuple]:
    c, r = 2 * a / (1 + a), (1 - a) / (1 + a)
    worst, halves = families.aligned(a, m).values, families.delta_similar(a, m).values
    iid = rng.random((size, 2, m))
    all_pairs = np.concatenate([iid, [worst, halves]])
    near = iid.copy()
    near[:, 1] = np.clip(near[:, 0] * rng.uniform(r, 1.02, (size, m)), 0, 1)
    near = np.concatenate([near, [worst, halves]])
    unlike = iid.copy()
    unlike[:, 1] *= rng.random((size, m)) < 0.1
    of, close, apart = (_losses(x, a) for x in (all_pairs, near, unlike))
    upper, similar = bounds(all_pairs, a / 2, a / 2), bounds(near, a / 2, a / 2)
    delta = np.abs(near[:, 0] - near[:, 1]).sum(-1)
    rich = np.where((unlike.argmax(1) * unlike.max(1)).sum(-1) > unlike.max(1).sum(-1) / 2, 1, 0)
    first = np.take_along_axis(unlike, rich[:, None, None], 1)[:, 0]
    gamma = dissimilarity(unlike)
    fine = gamma * m <= 1
    corollary = np.where(fine, dissimilar_expected(m, a, np.where(fine, gamma, 0.0)), np.nan)
    two, sure = "two agents", "bound"
    return [
        _line(two, "none", "c_1 sum a_1j", "(15) [P]", sure, of, upper.equation_15),
        _line(two, "none", "sum over items that can move", "(14) [P]", sure, of, upper.theorem_3_2),
        _line(two, "none", "A (u_1* - u_2*)", "[D]", sure, of, upper.derived_gap),
        _line(two, "similar", "m c / delta", "table 1 as printed", "printed, no bound", close, m * c / delta),
        _line(two, "similar", "delta", "section 3.1 [P]", sure, close, delta),
        _line(two, "similar", "delta / (2 - c_1)", "[D]", sure, close, similar.derived_similar),
        _line(two, "dissimilar", "D.1 at 1/2", "(38) [P]", sure, apart, dissimilar_bound(first, a, gamma).sum(-1)),
        _line(two, "dissimilar, uniform", "m c_1 K (gamma m)^(4/3)", "D.2, K [D]", "expectation", apart, corollary),
        _line(two, "independent, uniform", "m c^2 / 3", "(77) [P]", "expectation", of[:size], m * beta_bound(1, c)),
    ]


def _societies(a: float, m: int, n: int, size: int, rng: np.random.Generator) -> list[tuple]:
    weights = a / 2 * rng.uniform(0.8, 1.2, n)
    values = rng.random((size, n, m))
    spread = rng.random((size, n, m)) ** 4
    every = np.concatenate([values, spread, np.outer(families.lone_winner(a, n).values, np.ones(m))[None]])
    loss = np.asarray(compare(every, weights, weights, tol=1e-5).loss)
    upper = bounds(every, weights, weights)
    b = 2 / n
    half = np.asarray(compare(values, weights, weights, caps=b, tol=1e-5).loss)
    factors = bounds(values[0], weights, weights, caps=b).item_factors
    grouped, rates = [], []
    for _ in range(size):
        labels = np.arange(n) % 2
        own = (np.arange(m) % 2 == labels[:, None]) * rng.uniform(0.9, 1.0, (n, m))
        grouped.append(float(compare(own, weights, weights, tol=1e-5).loss))
        rates.append(cluster_rate(own, weights, weights, clusters=clusters(own, labels=labels)).rate)
    many, sure = "many agents", "bound"
    return [
        _line(many, "none", "sum c_j a_top_j", "theorem 3.4 [P]", sure, loss, upper.theorem_3_4),
        _line(many, "none", "the same with c_ik", "(101) [D]", sure, loss, upper.equation_101),
        _line(many, "none", "Q(x*)", "[D]", sure, loss, upper.derived_inequality),
        _line(many, "none", "(max alpha + max beta) f(u*)", "[D]", sure, loss, upper.derived_simple),
        _line(many, "clusters", "delta b K min(n, m/b) + ...", "theorem 3.5, corrected", "rate", grouped, rates),
        _line(many, "independent", "n b sum c_j^2 kappa_j^2", "theorem 3.6 [P]", "rate", half, _iid(n, factors, b)),
    ]


def _iid(agents: int, factors: np.ndarray, cap: float) -> float:
    return iid_rate(agents, factors, 1.0, caps=cap).rate
