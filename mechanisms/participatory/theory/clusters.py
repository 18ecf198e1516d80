"""Groups of agents with like values: found, and measured as theorem 3.5 asks."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ....models._check import require
from .._check import check_values, numbers

_MOST = 20


class Clusters(eqx.Module):
    """Clusters of agents, and how tight and how unlike they are.

    Attributes:
        labels: `[agents]`, the cluster of each agent, from 0.
        upper: `[clusters, items]`, the greatest value of an item in the cluster.
        lower: `[clusters, items]`, the least.
        delta: δ, the largest ‖upper − lower‖₁ of a cluster, in utils.
        gamma: γ, the least for which every upper representative is γ-dissimilar to every agent of another cluster; 0 for one
            cluster.
    """

    labels: Int[np.ndarray, " agents"]
    upper: Float[np.ndarray, "clusters items"]
    lower: Float[np.ndarray, "clusters items"]
    delta: float
    gamma: float

    @property
    def count(self) -> int:
        """K."""
        return self.upper.shape[0]


def clusters(values: Any, *, count: Any = None, radius: Any = None, labels: Any = None) -> Clusters:
    r"""Groups agents whose values are close, and measures δ and γ from the data.

    Seeds are chosen one by one, each the agent farthest in the L1 norm from all before, and agents join the nearest seed.
    That is at most twice as wide as the best choice, has no randomness, and never compares all pairs: it is one pass over
    the values a seed.
    Then, over clusters q and agents k outside,

    .. math::
        \delta = \max_q \|\bar a_q - \underline a_q\|_1, \qquad
        \gamma = \max_{q,\, k \notin q} \frac{\langle \bar a_q, a_k \rangle}{\|\bar a_q\|_1 \|a_k\|_1}.

    Args:
        values: `[agents, items]`.
        count: how many clusters.
        radius: or the largest δ allowed: the fewest seeds with δ ≤ radius.
        labels: or a grouping that is known, `[agents]` of whole numbers: then only δ and γ are measured. With none of the
            three, the number, at most 21, with which the distance to the farthest agent drops most, or 1 if it never halves.

    Returns:
        `Clusters`.

    Raises:
        ValueError: more than one of `count`, `radius` and `labels`, or one out of range.

    Source: Shirali, Finocchiaro and Abebe (2024), section 3.2 for δ and γ [P]; how clusters are found is ours [X].

    Example:
        >>> found = clusters([[1.0, 0.0], [0.9, 0.0], [0.0, 1.0]])
        >>> found.labels.tolist(), round(found.delta, 3), found.gamma
        ([0, 0, 1], 0.1, 0.0)
    """
    a = check_values(values)
    require(a.ndim == 2, f"`values` must be [agents, items] here; got shape {a.shape}. Loop over leading axes.")
    given = [x is not None for x in (count, radius, labels)]
    require(sum(given) <= 1, "give one of `count`, `radius` and `labels`, or none.")
    n = a.shape[0]
    if labels is not None:
        known = numbers(labels, "labels")
        require(known.shape == (n,), f"`labels` must be [agents], {n} of them; got shape {known.shape}.")
        return _measured(a, np.unique(known, return_inverse=True)[1])
    if count is not None:
        require(int(count) == count and 1 <= count <= n, f"`count` must be a whole number from 1 to {n}; got {count}.")
        return _measured(a, _seeded(a, int(count))[0][-1])
    if radius is not None:
        require(radius >= 0, f"`radius` must not be negative; got {radius}.")
        for found in _grow(a):
            if found.delta <= radius:
                return found
    groups, reach = _seeded(a, min(n, _MOST + 1))
    # reach[k - 1] is how far the farthest agent is from k seeds; below 5 % of the whole width nothing is told apart.
    drop = reach[:-1] / np.maximum(reach[1:], 0.05 * reach[0]) if reach[0] > 0 else np.zeros(0)
    return _measured(a, groups[int(drop.argmax()) + 1 if drop.size and drop.max() >= 2 else 0])


def _seeded(a: np.ndarray, most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Groups by 1, 2, ..., `most` seeds, and the distance of the farthest agent from its seed in each."""
    centre = np.abs(a - a.mean(0)).sum(1)
    seed, nearest = int(centre.argmin()), np.full(a.shape[0], np.inf)
    group = np.zeros(a.shape[0], int)
    groups, reach = [], []
    for k in range(most):
        distance = np.abs(a - a[seed]).sum(1)
        group = np.where(distance < nearest, k, group)
        nearest = np.minimum(distance, nearest)
        seed = int(nearest.argmax())
        groups.append(np.unique(group, return_inverse=True)[1])
        reach.append(nearest[seed])
    return groups, np.asarray(reach)


def _grow(a: np.ndarray):
    """The measured clusters of 1, 2, 4, ... and then of every number in the last interval, in growing order."""
    n, low, high = a.shape[0], 1, 1
    while high < n and _measured(a, _seeded(a, high)[0][-1]).delta > 0:
        yield _measured(a, _seeded(a, high)[0][-1])
        low, high = high + 1, min(2 * high, n)
        for group in _seeded(a, high)[0][low - 1 :]:
            yield _measured(a, group)
    yield _measured(a, np.arange(n))


def _measured(a: np.ndarray, labels: np.ndarray) -> Clusters:
    k, m = int(labels.max()) + 1, a.shape[1]
    upper, lower = np.full((k, m), -np.inf), np.full((k, m), np.inf)
    np.maximum.at(upper, labels, a)
    np.minimum.at(lower, labels, a)
    norms = a.sum(1)
    gamma = 0.0
    for q in range(k):
        top = upper[q].sum()
        others = (labels != q) & (norms > 0)
        if top > 0 and others.any():
            gamma = max(gamma, float(np.max(a[others] @ upper[q] / norms[others]) / top))
    return Clusters(labels, upper, lower, float((upper - lower).sum(1).max()), gamma)
