r"""Are ranks uniform? Bands that hold at all points of the empirical distribution at once.

Of N fits, the ranks of the truth among L draws are uniform on 0, ..., L where the fit is right. At each point k the count of
ranks below k is then binomial, with a probability :math:`\gamma_k` of one as far out. The band at level :math:`1 - \alpha`
takes the :math:`\gamma` such that in a share :math:`\alpha` of simulated uniform samples some count is less likely than
:math:`\gamma` (Säilynoja, Bürkner and Vehtari 2022, section 2.2, algorithm 1, whose simulation this is). The same
simulation says how often uniform ranks look as bad as those found: the p-value.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom

SIMULATED = 20_000


class Band(NamedTuple):
    """Simultaneous limits of the share of ranks below each of 1, ..., L: `low` and `high`, `[L]`."""

    point: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]


def ecdf(rank: Int[np.ndarray, "fits ..."], draws: int) -> Int[np.ndarray, "points ..."]:
    """How many ranks lie below 1, ..., `draws`."""
    return np.stack([(rank < k).sum(0) for k in range(1, draws + 1)])


def band(fits: int, draws: int, level: float = 0.95) -> Band:
    """Limits that the shares of uniform ranks keep at all points at once with probability `level`."""
    chance = np.arange(1, draws + 1) / (draws + 1)
    gamma = np.quantile(_least(fits, draws), 1 - level)
    counts, tails = np.arange(fits + 1)[:, None], _tails(fits, draws)
    inside = tails > gamma
    low = np.where(inside, counts, fits).min(0)
    high = np.where(inside, counts, 0).max(0)
    return Band(chance, low / fits, high / fits)


def p_value(rank: Int[np.ndarray, " fits"], draws: int) -> float:
    """Share of simulated uniform samples whose ranks leave some point as far as these do; at least 1 / 20,001."""
    fits = len(rank)
    worst = _tails(fits, draws)[ecdf(np.asarray(rank), draws), np.arange(draws)].min()
    return float((1 + np.sum(_least(fits, draws) <= worst * (1 + 1e-9))) / (SIMULATED + 1))


@lru_cache(maxsize=8)
def _tails(fits: int, draws: int) -> np.ndarray:
    """Twice the smaller tail of the binomial law, `[counts, points]`."""
    chance = np.arange(1, draws + 1) / (draws + 1)
    counts = np.arange(fits + 1)[:, None]
    return 2 * np.minimum(binom.cdf(counts, fits, chance), binom.sf(counts - 1, fits, chance))


@lru_cache(maxsize=8)
def _least(fits: int, draws: int) -> np.ndarray:
    """The least tail over all points of each of many samples of uniform ranks."""
    rng, tails, points = np.random.default_rng(0), _tails(fits, draws), np.arange(draws)
    least = []
    for _ in range(20):
        counts = rng.multinomial(fits, np.full(draws + 1, 1 / (draws + 1)), SIMULATED // 20)
        least.append(tails[counts.cumsum(1)[:, :-1], points].min(1))
    return np.concatenate(least)
