"""Where the search for classes begins: a few rounds of EM from several starts, in NumPy, and the best of them.

The likelihood of a mixture has several modes, so a search from one point may stay in a poor one. EM with one Newton step a
round climbs to a mode in a second, and the best of several is where `fit` starts.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

STARTS, FIRST, REST = 8, 12, 60  # starts, rounds for each, and for the best


class Classes(NamedTuple):
    """A quick penalised fit: shares, standardised coefficients `[classes, coefficients]`, and its log-likelihood."""

    share: np.ndarray
    beta: np.ndarray
    value: float


def quick_classes(
    difference: Float[np.ndarray, "situations alternatives coefficients"],
    available: Bool[np.ndarray, "situations alternatives"],
    used: Bool[np.ndarray, " situations"],
    person: Int[np.ndarray, " situations"],
    weight: Float[np.ndarray, " people"],
    classes: int,
    width: float,
) -> Classes:
    """The best of several EM searches; the same data give the same answer.

    Args:
        difference: standardised columns, of the alternative taken less each.
        available: which alternatives there were. `used`: which situations count. `person`: whose they are.
        weight: of people.
        classes: how many. `width`: standard deviation of the coefficients' prior.
    """
    x, can, who = difference[used], available[used], person[used]
    rng = np.random.default_rng(0)
    step = functools.partial(_round, x, can, who, weight, width)
    begin = [
        _Guess(rng.dirichlet(np.full(classes, 0.5), len(weight)), np.zeros((classes, x.shape[-1])))
        for _ in range(STARTS)
    ]
    tried = [_climb(step, guess, FIRST) for guess in begin]
    best = max(tried, key=lambda found: found[1].value)
    return _climb(step, best[0], REST)[1]


class _Guess(NamedTuple):
    belongs: np.ndarray
    beta: np.ndarray


def _climb(step: Any, guess: _Guess, rounds: int) -> tuple[_Guess, Classes]:
    found, last = None, -np.inf
    for _ in range(rounds):
        guess, found = step(guess)
        if abs(found.value - last) < 1e-6 * abs(found.value):
            break
        last = found.value
    assert found is not None
    return guess, found


def _round(x, can, who, weight, width, guess: _Guess) -> tuple[_Guess, Classes]:
    """One Newton step of each class on its people, then who belongs to which."""
    belongs, beta = guess
    size = weight @ belongs
    share = (size + 0.5) / (size + 0.5).sum()
    each = (weight[:, None] * belongs)[who]
    p = np.exp(_log_chance(x, can, beta))
    mean = np.einsum("csa,sak->csk", p, x)
    slope = np.einsum("sc,csk->ck", each, mean) - beta / width**2
    square = np.einsum("sc,csa,sak,sal->ckl", each, p, x, x, optimize=True)
    curve = square - np.einsum("sc,csk,csl->ckl", each, mean, mean, optimize=True)
    curve = curve + np.eye(x.shape[-1]) / width**2
    move = np.linalg.solve(curve, slope[..., None])[..., 0]
    beta = beta + move / np.maximum(1.0, np.abs(move).max(1, keepdims=True))  # no step beyond one standard unit
    taken = -_log_sum(np.where(can, -np.einsum("ck,sak->csa", beta, x), -np.inf))
    joint = np.zeros((len(weight), len(beta)))
    np.add.at(joint, who, taken.T)
    joint = joint + np.log(share)
    top = joint.max(1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(joint - top).sum(1))
    value = float(weight @ total - 0.5 * np.sum(beta**2) / width**2)
    return _Guess(np.exp(joint - total[:, None]), beta), Classes(share, beta, value)


def _log_sum(x: np.ndarray) -> np.ndarray:
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


def _log_chance(x: np.ndarray, can: np.ndarray, beta: np.ndarray) -> np.ndarray:
    worth = np.where(can, -np.einsum("ck,sak->csa", beta, x), -np.inf)
    return worth - _log_sum(worth)[..., None]
