"""Where the search for types begins: a few rounds of EM from several starts, in NumPy, and the best of them.

Within a type, choices are a logit on own payoff and terms, whose coefficients are the precision and the precision times
each weight: one Newton step a round, with a light ridge.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

STARTS, FIRST, REST = 8, 15, 150  # starts, rounds for each, and for the best
RIDGE = 0.1  # standard deviation of coefficients in standard units, to the minus one


class Climbed(NamedTuple):
    """Shares, coefficients `[types, columns]`, and the penalised log-likelihood."""

    share: np.ndarray
    slope: np.ndarray
    value: float


def climb(
    columns: Float[np.ndarray, "situations columns"], person: Int[np.ndarray, " situations"], people: int, types: int
) -> Climbed:
    """The best of several EM searches; the same data give the same answer.

    Args:
        columns: option taken less the other. `person`: whose. `people`: how many. `types`: how many.
    """
    size = np.sqrt((columns**2).mean(0))
    x = columns / np.where(size > 0, size, 1.0)
    order = np.argsort(person, kind="stable")
    x, person = x[order], person[order]
    rng = np.random.default_rng(0)
    begin = [
        (rng.dirichlet(np.full(types, 0.5), people), np.zeros((types, x.shape[1])), np.full(types, 1.0 / types))
        for _ in range(STARTS)
    ]
    tried = [_rounds(x, person, guess, FIRST) for guess in begin]
    (_, slope, share), value = _rounds(x, person, max(tried, key=lambda found: found[1])[0], REST)
    return Climbed(share, slope / np.where(size > 0, size, 1.0), value)


def _rounds(x: np.ndarray, person: np.ndarray, guess: tuple, rounds: int) -> tuple[tuple, float]:
    last = -np.inf
    for _ in range(rounds):
        guess, value = _round(x, person, *guess)
        if abs(value - last) < 1e-9 * abs(value):
            break
        last = value
    return guess, last


def _round(
    x: np.ndarray, person: np.ndarray, belongs: np.ndarray, slope: np.ndarray, share: np.ndarray
) -> tuple[tuple, float]:
    """One Newton step of each type on its people, then who belongs to which."""
    del share
    count = belongs.sum(0) + 0.1  # an empty type keeps a share
    share = count / count.sum()
    slope, joint = slope.copy(), np.tile(np.log(share), (len(belongs), 1))
    for k in range(len(slope)):
        p = 1 / (1 + np.exp(x @ slope[k]))  # chance of the option not taken
        each = belongs[person, k]
        curve = (x * (each * p * (1 - p))[:, None]).T @ x + RIDGE**2 * np.eye(x.shape[1])
        move = np.linalg.solve(curve, x.T @ (each * p) - RIDGE**2 * slope[k])
        slope[k] += move / max(1.0, np.abs(move).max())  # no step beyond one standard unit
        joint[:, k] += np.bincount(person, -np.logaddexp(0.0, -x @ slope[k]), len(belongs))
    top = joint.max(1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(joint - top).sum(1))
    value = float(total.sum() - 0.5 * RIDGE**2 * (slope**2).sum())
    return (np.exp(joint - total[:, None]), slope, share), value
