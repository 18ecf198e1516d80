"""What to compare between data and their replicates, by kind of data; each function keeps the axis of draws."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse

from ..models._check import require

Statistic = Callable[[np.ndarray], np.ndarray]


def of_choices(data: Any, groups: Mapping[str, Any]) -> dict[str, Statistic]:
    """Shares, overall and by group, and how often two choices of one person agree.

    Args:
        data: with `alternatives`, `weight` and `person`.
        groups: name to a label for each situation.
    """
    found = {f"share of {a}": _share(j, data.weight) for j, a in enumerate(data.alternatives)}
    for name, labels in groups.items():
        labels = np.asarray(labels)
        require(
            labels.shape == (data.num_situations,),
            f"`groups[{name!r}]` must have a label for each of the {data.num_situations} situations; got shape {labels.shape}.",
        )
        for label in np.unique(labels):
            weight = data.weight * (labels == label)
            for j, a in enumerate(data.alternatives) if weight.sum() > 0 else ():
                found[f"share of {a} | {name} {label}"] = _share(j, weight)
    if np.bincount(data.person).max() > 1:
        found["agreement within people"] = agreement(data.person, len(data.alternatives))
    return found


def _share(j: int, weight: np.ndarray) -> Statistic:
    return lambda y: (y == j) @ (weight / weight.sum())


def agreement(person: np.ndarray, alternatives: int) -> Statistic:
    r"""Chance that two different choices of one person agree, averaged over people who made two or more.

    .. math::
        \frac1N \sum_i \sum_j \frac{n_{ij}(n_{ij} - 1)}{n_i(n_i - 1)}.
    """
    who = scipy.sparse.csr_array((np.ones(len(person)), (person, np.arange(len(person)))))
    many = np.asarray(who.sum(1)).ravel()
    often = many > 1

    def rate(y: np.ndarray) -> np.ndarray:
        pairs = np.zeros((often.sum(), len(y)))
        for j in range(alternatives):
            count = (who @ (y == j).T.astype(float))[often]
            pairs += count * (count - 1)
        return np.mean(pairs / (many * (many - 1))[often, None], axis=0)

    return rate


def of_ratings(data: Any) -> dict[str, Statistic]:
    """Mean, sd and quantiles of the ratings, and how far the means of agents differ.

    Args:
        data: with `agent`, the agent of each rating.
    """
    found: dict[str, Statistic] = {"mean": lambda y: y.mean(-1), "sd": lambda y: y.std(-1)}
    for level in (0.05, 0.5, 0.95):
        found[f"{level:.0%} quantile"] = lambda y, level=level: np.quantile(y, level, axis=-1)
    count = np.bincount(data.agent)
    if (count > 1).sum() > 1:
        own = scipy.sparse.csr_array((np.ones(len(data.agent)), (data.agent, np.arange(len(data.agent)))))
        found["sd of agents' means"] = lambda y: ((own @ y.T)[count > 0] / count[count > 0, None]).std(0)
    return found
