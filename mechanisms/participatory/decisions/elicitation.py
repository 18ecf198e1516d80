r"""[X] Whom to ask how many more questions, before deciding.

Knowing agent i's theta = (alpha, beta) is worth what the decision gains by it. Welfare is linear in theta at fixed shares, so
only the mean of what is believed matters [D]:

.. math:: \mathrm{EVPPI}_i = E_{\theta_i}\, W^*\bigl(E[\theta \mid \theta_i]\bigr) - W^*(E\, \theta) \ge 0

k more answers, each with Fisher information J, shrink her covariance from S to :math:`(S^{-1} + k J)^{-1}`; what the mean will be
is spread with the difference of the two. Replacing her draws by draws moved towards their mean until they have that covariance
gives the expected value of asking, and :math:`\frac12 \log \det(I + k S J)` is the expected information in nats, both exact for
normal beliefs.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ....models._check import require
from .._check import check_concave, numbers
from ..solvers.solve import solve
from .decide import draws_of


class Asking(eqx.Module):
    """What asking each agent is worth.

    Attributes:
        perfect: `[agents]`, EVPPI: what it is worth to know her alpha and beta for sure, in utils.
        value: `[agents]`, expected reduction of EVPI by `questions` more questions to her, in utils.
        information: `[agents]`, the same in nats about her alpha and beta.
        questions: how many.
    """

    perfect: Float[np.ndarray, " agents"]
    value: Float[np.ndarray, " agents"]
    information: Float[np.ndarray, " agents"]
    questions: int = eqx.field(static=True)


def value_of_asking(
    values: Any,
    alpha: Any,
    beta: Any,
    *,
    questions: int = 1,
    information: Any = None,
    caps: Any = 1.0,
    disposal: str = "forbidden",
    draws: int = 200,
) -> Asking:
    """What it is worth to ask each agent some more questions about inequality, before one allocation is chosen.

    Args:
        values: `[agents, items]`, known, in utils.
        alpha: draws `[draws, agents]` of what is believed. `beta`: the same.
        questions: how many to each, one agent at a time.
        information: `[2, 2]` or `[agents, 2, 2]`, Fisher information on (alpha, beta) in one answer; see `answer_information`.
            None is that of an answer with a standard deviation of 0.5 on each.
        caps: as in `solve`. `disposal`: as in `solve`.
        draws: at most so many draws, evenly spaced, are solved for each agent.

    Returns:
        `Asking`. Values carry the error of the draws, the same for all agents.

    Raises:
        ValueError: bad input, or draws of which a mixture with the mean is not concave.

    Source: expected value of sample information by moment matching, after Jalal and Alarid-Escudero (2018), from memory [X].

    Example:
        >>> draw = np.random.default_rng(0)
        >>> alpha = 0.3 + np.array([0.01, 0.2]) * draw.standard_normal((100, 2))
        >>> found = value_of_asking([[1.0], [0.6]], alpha, 0.1)
        >>> bool(found.value[1] > found.value[0]), bool((found.perfect >= found.value).all())
        (True, True)
    """
    values, alpha, beta = _thinned(*draws_of(values, alpha, beta), draws)
    whole = isinstance(questions, int | np.integer) and not isinstance(questions, bool)
    require(whole and questions >= 1, f"`questions` must be a whole number of at least 1, got {questions!r}.")
    n = len(values)
    each = _information(information, n)
    how = {"caps": caps, "disposal": disposal}
    now = float(solve(values, alpha.mean(0), beta.mean(0), **how).primal)
    perfect, value, nats = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        believed = np.stack([alpha[:, i], beta[:, i]], 1)
        moved, nats[i] = _preposterior(believed, questions * each[i])
        perfect[i] = _informed(values, alpha, beta, i, believed, how) - now
        value[i] = _informed(values, alpha, beta, i, moved, how) - now
    floor = lambda x: np.maximum(x, 0.0)  # convexity; below are rounding and the solver's gap
    return Asking(floor(perfect), np.minimum(floor(value), floor(perfect)), nats, int(questions))


def ask_next(
    values: Any,
    alpha: Any,
    beta: Any,
    budget: int,
    *,
    information: Any = None,
    caps: Any = 1.0,
    disposal: str = "forbidden",
    draws: int = 100,
) -> Int[np.ndarray, " agents"]:
    """How many of `budget` more questions to ask each agent, one after another where the next is worth most.

    Greedy: what asking is worth is taken to add up over agents, and each agent's next question to be worth what the last one
    added. Where the decision no longer changes, the most informative question is asked.

    Args:
        values: as in `value_of_asking`, as are `alpha`, `beta`, `information`, `caps`, `disposal` and `draws`.
        alpha: draws. beta: draws.
        budget: how many questions in all.

    Returns:
        `[agents]`, which sum to `budget`.

    Raises:
        ValueError: as `value_of_asking`.

    Example:
        >>> draw = np.random.default_rng(0)
        >>> alpha = 0.3 + np.array([0.01, 0.2]) * draw.standard_normal((50, 2))
        >>> ask_next([[1.0], [0.6]], alpha, 0.1, 3).tolist()
        [0, 3]
    """
    whole = isinstance(budget, int | np.integer) and not isinstance(budget, bool)
    require(whole and budget >= 0, f"`budget` must be a whole number of at least 0, got {budget!r}.")
    n = np.shape(values)[-2]
    how = {"information": information, "caps": caps, "disposal": disposal, "draws": draws}
    asked = np.zeros(n, int)
    worth, told = np.zeros((1, n)), np.zeros((1, n))  # after 0, 1, 2, ... questions
    for _ in range(budget):
        while len(worth) <= asked.max() + 1:
            found = value_of_asking(values, alpha, beta, questions=len(worth), **how)
            worth, told = np.vstack([worth, found.value]), np.vstack([told, found.information])
        at = np.arange(n)
        more = worth[asked + 1, at] - worth[asked, at]
        news = told[asked + 1, at] - told[asked, at]
        best = more.max()
        tied = more >= best - 1e-12 - 1e-9 * abs(best)
        asked[int(np.argmax(np.where(tied, news, -np.inf)))] += 1
    return asked


def answer_information(gaps: Any, theta: Any = (0.0, 0.0), *, precision: float = 1.0) -> Float[np.ndarray, "2 2"]:
    r"""Fisher information on (alpha, beta) in one answer to a choice between two allocations.

    .. math:: J = \lambda^2 p (1 - p)\, d d^\top, \qquad
        p = \mathrm{sigmoid}(\lambda (\Delta u - \alpha \Delta I^+ - \beta \Delta I^-)), \quad d = (\Delta I^+, \Delta I^-)

    Args:
        gaps: `[3]`, or `[questions, 3]`, of which the mean is taken: first less second option in own utility, I+ and I-.
        theta: (alpha, beta) around which.
        precision: lambda, how sharply people choose, per util.

    Raises:
        ValueError: shapes that do not fit, or `precision` that is not positive.

    Source: logistic regression; the choice model of specification 7.1 [D].

    Example:
        >>> answer_information([0.0, 2.0, 0.0]).tolist()
        [[1.0, 0.0], [0.0, 0.0]]
    """
    gaps, theta, sharp = numbers(gaps, "gaps"), numbers(theta, "theta"), numbers(precision, "precision")
    require(gaps.ndim in (1, 2) and gaps.shape[-1] == 3, f"`gaps` must be [questions, 3], got shape {gaps.shape}.")
    require(theta.shape == (2,), f"`theta` must be (alpha, beta), got shape {theta.shape}.")
    require(sharp.shape == () and sharp > 0, f"`precision` must be a positive number, got {precision!r}.")
    gaps = np.atleast_2d(gaps)
    d = gaps[:, 1:]
    chance = 1 / (1 + np.exp(-sharp * (gaps[:, 0] - d @ theta)))
    weight = sharp**2 * chance * (1 - chance)
    return np.einsum("q,qa,qb->ab", weight, d, d) / len(gaps)


def _informed(values: Any, alpha: Any, beta: Any, agent: int, known: np.ndarray, how: dict[str, Any]) -> float:
    """Mean of W* when the mean of everybody's theta follows what becomes known of one agent."""
    believed = np.stack([alpha[:, agent], beta[:, agent]], 1)
    centre = believed - believed.mean(0)
    everybody = np.concatenate([alpha, beta], 1)
    mean = everybody.mean(0)
    # the others' means move with hers as far as they go together in the draws
    slope = np.linalg.lstsq(centre, everybody - mean, rcond=1e-10)[0]
    told = mean + (known - believed.mean(0)) @ slope
    n = len(values)
    a, b = told[:, :n], told[:, n:]
    a[:, agent], b[:, agent] = known.T
    check_concave(a, b)
    return float(np.mean(np.asarray(solve(values, a, b, **how).primal)))


def _preposterior(believed: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, float]:
    """Draws of what the posterior mean will be, and the expected information in nats."""
    centre = believed - believed.mean(0)
    spread = centre.T @ centre / len(centre)
    size, ways = np.linalg.eigh(spread)
    root = ways @ np.diag(np.sqrt(np.maximum(size, 0.0))) @ ways.T
    # the share of each direction of the spread that the answers take away
    inner = root @ information @ root
    size, ways = np.linalg.eigh((inner + inner.T) / 2)
    size = np.maximum(size, 0.0)
    shrink = ways @ np.diag(np.sqrt(size / (1 + size))) @ ways.T
    inverse = np.linalg.pinv(root, rcond=1e-10)
    return believed.mean(0) + centre @ (inverse @ shrink @ root), float(0.5 * np.log1p(size).sum())


def _information(information: Any, agents: int) -> np.ndarray:
    if information is None:
        return np.broadcast_to(4.0 * np.eye(2), (agents, 2, 2))
    each = numbers(information, "information")
    require(
        each.shape in ((2, 2), (agents, 2, 2)),
        f"`information` must be [2, 2] or [{agents}, 2, 2], got shape {each.shape}.",
    )
    each = np.broadcast_to(each, (agents, 2, 2))
    good = np.allclose(each, np.swapaxes(each, 1, 2)) and np.linalg.eigvalsh(each).min() >= -1e-9
    require(good, "`information` must be symmetric, with no negative eigenvalue.")
    return each


def _thinned(
    values: np.ndarray, alpha: np.ndarray, beta: np.ndarray, most: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    whole = isinstance(most, int | np.integer) and not isinstance(most, bool)
    require(whole and most >= 2, f"`draws` must be a whole number of at least 2, got {most!r}.")
    require(len(alpha) >= 2, f"`alpha` must have at least 2 draws, got {len(alpha)}.")
    keep = np.linspace(0, len(alpha) - 1, min(int(most), len(alpha))).round().astype(int)
    return values, alpha[keep], beta[keep]
