"""Trying lies against the average opponent: exact for rules of ranks, by common random numbers for every other."""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from scipy import stats

from ...models._check import require
from ._batched import Batched, Laws, count_of, draw, laws_of, vectors_of
from ._types import Count
from .audit_dsic import GAIN, Witness

EXACT_ITEMS = 7  # 7! = 5040 reports
_SAMPLED = 1000  # reports tried where there are too many to try them all
_LEVEL = 1e-3  # chance to call a truthful rule untruthful


class BICAudit(eqx.Module):
    """What `audit_bic` found.

    Attributes:
        checked: how many reports were tried.
        profitable: how many of them gain more than 1e-9; where sampled, how many were found to on populations the search
            never saw, at a chance of 1 in 1000 to find any where there is none.
        max_gain: the gain of the best report found over the truth, in units of the values; where sampled, estimated afresh, so
            it is unbiased and may be slightly negative.
        witness: that report; None if nothing pays.
        truthful: interim utility of the truth.
        standard_error: of `max_gain`; 0.0 where it is computed.
    """

    checked: int
    profitable: int
    max_gain: float
    witness: Witness | None
    truthful: float
    standard_error: float


def audit_bic(
    mechanism: Any,
    values: Any,
    agents: Count = 2,
    agent: Count = 0,
    *,
    law: Laws | None = None,
    draws: Count = 0,
    key: PRNGKeyArray | None = None,
) -> BICAudit:
    r"""Does an agent with these values gain by a lie, on average over the values of the others?

    `Ranking` and `WeightedRanking`, up to seven items: exact. With :math:`p_t` the probability to win the item ranked t-th
    (`interim`), all m! reports are enumerated, :math:`u(\pi) = \sum_j p_{\pi(j)} v_j`.

    Everything else is sampled. The others' values are drawn from `law`, the same draws for every report; the reports are all m!
    permutations of the values (beyond seven items, every swap of two and random permutations, 1,000 in all) and all at the
    top: the greatest possible value claimed for every item, which is what defeats rules that compare bids. Reports that look
    better than the truth by two standard errors are tried again on as many fresh draws, by a one-sided Student test at level
    1/1000 in all (Bonferroni), so that it is not the winner's curse that finds a lie.

    Args:
        mechanism: any rule, as in `audit_dsic`.
        values: `[items]`, the true values of `agent`, not negative.
        agents: how many agents, at least two.
        agent: which of them may lie.
        law: of the others' values, independent over agents and items; or a list of one law an agent. Only where sampled.
        draws: how many profiles of the others to search on, at least 2, and as many to confirm on. Only where sampled.
        key: all randomness. Only where sampled.

    Returns:
        A `BICAudit`: `checked`, `profitable`, `max_gain`, `witness`, `truthful`, `standard_error`.

    Raises:
        ValueError: an argument has a wrong shape or entries, or `law`, `draws` or `key` is missing where it must be sampled.

    Source: Halpern, Psomas and Zhang, section 2 for the definition, theorems 4.1 and A.1 for the rules; the exact
    probabilities are [D].

    Example:
        >>> from fairhand.mechanisms import picking
        >>> picking.audit_bic(picking.Ranking(), [0.9, 0.5, 0.1]).profitable
        0
        >>> lie = dict(law=models.Uniform(), draws=200, key=jax.random.key(0))
        >>> picking.audit_bic(picking.WelfareMax(), [0.9, 0.5, 0.1], **lie).witness.report.tolist()
        [1.0, 1.0, 1.0]
    """
    v = vectors_of("values", [values] if isinstance(values, list | tuple) else np.asarray(values)[None])[0]
    agents, agent = count_of("agents", agents, 2), count_of("agent", agent, 0)
    require(agent < agents, f"`agent` must be one of the {agents} agents, 0 to {agents - 1}; got {agent}.")
    with jax.enable_x64(True):
        if ranks_only(mechanism) and v.size <= EXACT_ITEMS:
            return _exact(mechanism, v, agents, agent)
        require(
            law is not None and key is not None and draws >= 2,
            f"`law`, `draws` (at least 2) and `key` are needed: the exact audit is for `Ranking` and `WeightedRanking` up to "
            f"{EXACT_ITEMS} items, this one is sampled.",
        )
        assert key is not None
        return _sampled(Batched(mechanism), v, agents, agent, laws_of(law, agents), int(draws), key)


def ranks_only(mechanism: Any) -> bool:
    """Whether `interim` knows the rule exactly: the very classes, since a variant may not do what they do."""
    from .ranking import Ranking
    from .weighted_ranking import WeightedRanking

    return type(mechanism) in (Ranking, WeightedRanking) and mechanism.harden() is mechanism


def _exact(mechanism: Any, v: np.ndarray, agents: int, agent: int) -> BICAudit:
    from .interim import interim

    chance = np.asarray(interim(mechanism, agents, v.size), np.float64)
    require(len(chance) == agents, f"`agents` must be the {len(chance)} agents that `mechanism` is for; got {agents}.")
    utility, order = _all_rankings(chance[agent], v)
    truthful = chance[agent] @ np.sort(v)[::-1]
    gain = utility - truthful
    gain = np.where(np.abs(gain) <= 1e-12 * truthful, 0.0, gain)  # sums of the same numbers in another order
    best = int(np.argmax(gain))
    profitable = int(np.count_nonzero(gain > GAIN))
    # What is bid does not matter, only its order.
    witness = Witness(v, agent, (v.size - order[best]).astype(np.float64)) if profitable else None
    return BICAudit(len(order), profitable, max(float(gain[best]), 0.0), witness, float(truthful), 0.0)


def _all_rankings(chance: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Utility of each of the m! rankings, and the rank it gives each item."""
    order = np.array(list(itertools.permutations(range(v.size))))
    return chance[order] @ v, order


def _sampled(
    run: Batched, v: np.ndarray, agents: int, agent: int, laws: tuple, draws: int, key: PRNGKeyArray
) -> BICAudit:
    search, fresh = (np.array(draw(laws, jax.random.split(k, draws), agents, v.size)) for k in jax.random.split(key))
    reports = np.concatenate([_permutations(v), _top(laws[agent % len(laws)], v, search)])
    mean, error, before = _gains(run, v, agent, reports, search)
    best = int(np.argmax(mean))
    looks = np.flatnonzero((mean > GAIN) & (mean > 2 * error))
    again = np.union1d(looks, best)
    mean_again, error_again, after = _gains(run, v, agent, reports[again], fresh)
    bound = error_again * stats.t.isf(_LEVEL / max(looks.size, 1), draws - 1)
    sure = again[(mean_again > np.maximum(bound, GAIN)) & np.isin(again, looks)]
    if sure.size:
        best = int(sure[np.argmax(mean[sure])])
    here = int(np.searchsorted(again, best))
    witness = Witness(v, agent, reports[best]) if sure.size else None
    truthful = (before + after) / 2
    return BICAudit(
        len(reports), int(sure.size), float(mean_again[here]), witness, float(truthful), float(error_again[here])
    )


def _gains(run: Batched, v: np.ndarray, agent: int, reports: np.ndarray, others: np.ndarray):
    """Mean gain of each report over the truth and its standard error, `[reports]`; and the mean utility of the truth."""
    draws = len(others)

    def utilities(some: np.ndarray) -> np.ndarray:
        told = np.repeat(others[None], len(some), 0)
        told[:, :, agent] = some[:, None]
        got = run(told.reshape(-1, *others.shape[1:])).reshape(told.shape)[:, :, agent]
        return np.einsum("rdm,m->rd", got, v)

    truth = utilities(v[None])
    each = max(1, run.chunk(len(reports) * draws, *others.shape[1:]) // draws)
    mean, error = np.empty(len(reports)), np.empty(len(reports))
    for start in range(0, len(reports), each):
        gain = utilities(reports[start : start + each]) - truth
        mean[start : start + each] = gain.mean(1)
        error[start : start + each] = gain.std(1, ddof=1) / math.sqrt(draws)
    return mean, error, truth.mean()


def _permutations(v: np.ndarray) -> np.ndarray:
    if v.size <= EXACT_ITEMS:
        return v[np.array(list(itertools.permutations(range(v.size))))]
    rng = np.random.default_rng(0)
    swaps = np.array(list(itertools.combinations(range(v.size), 2)))
    swaps = rng.permutation(swaps)[: _SAMPLED // 2]
    order = np.tile(np.arange(v.size), (len(swaps), 1))
    order[np.arange(len(swaps))[:, None], swaps] = swaps[:, ::-1]
    rest = np.stack([rng.permutation(v.size) for _ in range(_SAMPLED - 1 - len(swaps))])
    return v[np.concatenate([np.arange(v.size)[None], order, rest])]


def _top(law: Any, v: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """All at the top of the support, or far above everything seen where there is no top."""
    high = float(law.support[1])
    return np.full((1, v.size), high if math.isfinite(high) else 10 * max(v.max(), seen.max(), 1.0))
