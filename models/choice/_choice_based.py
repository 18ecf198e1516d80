r"""Samples drawn by what people chose: the constants' offset and each situation's place in the population.

Alternative j has share :math:`H_j` of the sample and :math:`Q_j` of the population. Within a logit, sampling by choice
multiplies the odds of j by :math:`H_j/Q_j`, so with a constant for every alternative but one it moves the constants by
:math:`\log(H_j/Q_j)` and nothing else. C. Manski and S. Lerman (1977), "The estimation of choice probabilities from
choice based samples", Econometrica 45; C. Manski and D. McFadden (1981), "Alternative estimators and sample designs for
discrete choice analysis", in *Structural Analysis of Discrete Data*, section 1.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from .._check import require
from .data import ChoiceData


def constant_offsets(
    data: ChoiceData, population: Mapping[str, float], names: Sequence[str], base: str
) -> Float[np.ndarray, " coefficients"]:
    r"""What the sampling added to each coefficient: :math:`\log(H_j/Q_j) - \log(H_b/Q_b)` to constants, else 0."""
    sample = data.shares
    never = [a for a in data.alternatives if sample[a] == 0]
    require(
        not never,
        f"{data.source}: {never} is never chosen, so the sample says nothing of its constant: drop it from the data.",
    )
    log = {a: math.log(sample[a] / population[a]) for a in data.alternatives}
    offset = {f"constant:{a}": log[a] - log[base] for a in data.alternatives if a != base}
    return np.array([offset.get(name, 0.0) for name in names])


def resampling_chances(data: ChoiceData, population: Mapping[str, float] | None) -> Float[np.ndarray, " situations"]:
    r"""Chance of each situation in the population: its weight times :math:`Q_j/H_j` of its choice, normalised.

    :math:`H_j` is weighted too, so the chances of those who chose j sum to :math:`Q_j` exactly.
    """
    chance = data.weight
    if population is not None:
        sample = data.shares
        ratio = np.array([population[a] / sample[a] if sample[a] else 0.0 for a in data.alternatives])
        chance = chance * ratio[data.chosen]
    return chance / chance.sum()
