"""What the data taught beyond the prior: contraction of each number, and the direction they say least about."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

CONTRACTION, WEAK, FAR = (
    0.2,
    0.5,
    4.0,
)  # least contraction of a number; of a direction; prior sds from the prior's centre
TIED = 1e-3  # least over greatest eigenvalue of a posterior correlation matrix
NAMED = 0.3  # share of the greatest loading above which a number is named
ROWS = 25  # draws of the prior for each number, at least, to compare its covariance


class Learned(NamedTuple):
    """Contraction and prior sd by name, and sentences for what the data hardly tell."""

    contraction: dict[str, float]
    prior_sd: dict[str, float]
    cautions: tuple[str, ...]


def learned(values: dict[str, np.ndarray], prior: dict[str, np.ndarray] | None) -> Learned:
    r"""Compare posterior with prior: :math:`1 - \text{var}_\text{post} / \text{var}_\text{prior}`, number by number.

    A direction is weak where a combination of the numbers keeps most of its prior variance: the greatest eigenvalue of the
    posterior covariance in units of the prior's. Without a prior to compare (it is flat), a posterior correlation matrix
    that is almost singular is named instead.

    Args:
        values: draws of the posterior by name. `prior`: draws of the prior by the same names; None where it has none.

    Source: Betancourt, "Calibrating model-based inferences and decisions" (2018), for contraction; the direction is ours [X].
    """
    flat = {name: np.asarray(x, float).ravel() for name, x in values.items()}
    flat = {name: x for name, x in flat.items() if x.std() > 0}
    if prior is None:
        return Learned({}, {}, _tied(flat))
    known = {n: np.asarray(prior[n], float).ravel() for n in flat if n in prior}
    known = {n: x for n, x in known.items() if np.all(np.isfinite(x)) and x.std() > 0}
    sd = {n: float(x.std()) for n, x in known.items()}
    contraction = {n: 1 - float(flat[n].var()) / sd[n] ** 2 for n in known}
    cautions = [
        f"`{n}`: the data moved the prior little (contraction {c:.2f}, below {CONTRACTION}): the answer is mostly the prior's; "
        "say why you believe it, vary it, or bring data in which this varies."
        for n, c in contraction.items()
        if c < CONTRACTION
    ]
    for n, x in known.items():
        away = (flat[n].mean() - x.mean()) / sd[n]
        beyond = not np.quantile(x, 0.001) <= np.median(flat[n]) <= np.quantile(x, 0.999)
        if abs(away) > FAR and beyond:
            cautions.append(
                f"`{n}`: the posterior lies {abs(away):.1f} prior standard deviations from the prior's centre: data and prior "
                "disagree; check the units of its column, or widen the prior."
            )
    free = [n for n in known if contraction[n] >= CONTRACTION]
    return Learned(contraction, sd, (*cautions, *_weak(flat, known, free)))


def _weak(flat: dict[str, np.ndarray], prior: dict[str, np.ndarray], names: list[str]) -> list[str]:
    """The direction in which the data say least, if none of its numbers is named already."""
    if len(names) < 2 or min(len(prior[names[0]]), len(flat[names[0]])) < ROWS * len(names):
        return []
    scale = np.array([prior[n].std() for n in names])
    before = np.cov([prior[n] for n in names]) / np.outer(scale, scale)
    after = np.cov([flat[n] for n in names]) / np.outer(scale, scale)
    if np.linalg.eigvalsh(before)[0] < 1e-6:
        return []
    kept, direction = scipy.linalg.eigh(after, before)
    if kept[-1] < WEAK:
        return []
    return [
        f"The data say little of {_words(names, direction[:, -1])} (in prior standard deviations; contraction "
        f"{1 - kept[-1]:.2f}), though of each alone they say more: drop one, or bring data in which they vary apart."
    ]


def _tied(flat: dict[str, np.ndarray]) -> tuple[str, ...]:
    names = list(flat)
    if len(names) < 2 or len(flat[names[0]]) < ROWS * len(names):
        return ()
    values, vectors = np.linalg.eigh(np.corrcoef([flat[n] for n in names]))
    if values[0] > TIED * values[-1]:
        return ()
    return (
        f"The posterior is nearly flat along one combination of {_words(names, vectors[:, -1])} (least over greatest "
        f"eigenvalue of the correlations {values[0] / values[-1]:.1g}): drop one of them, or give a proper prior.",
    )


def _words(names: list[str], direction: np.ndarray) -> str:
    """A combination in words: `a` - 0.9 `b`."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    order = [i for i in np.argsort(-np.abs(direction)) if abs(direction[i]) > NAMED]
    parts = [f"{'-' if direction[i] < 0 else '+'} {abs(direction[i]):.2g} `{names[i]}`" for i in order]
    return " ".join(parts).removeprefix("+ ")
