"""Can these data tell these coefficients? Asked before sampling, since a posterior will not say it clearly.

Three ways to fail: a direction in which the likelihood is flat (rank), one in which it rises for ever (separation,
Albert and Anderson 1984), and a constant for an alternative that nobody chose, which is the commonest separation and
gets a sentence of its own. A proper prior makes a posterior of all three, but only the prior speaks in it.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from .. import _check
from ._separation import separating_direction
from .data import ChoiceData

if TYPE_CHECKING:
    from .logit import ConditionalLogit

PARALLEL = 1e-9  # singular value, over the largest, of unit columns: below it they are collinear
NEARLY = 1e-3  # the same, below which a note says that the data can hardly tell


@dataclasses.dataclass(frozen=True)
class Identification:
    """What the data can say about the coefficients.

    Args:
        ok: no problem was found.
        problems: sentences that name the coefficients and the cure.
        notes: what is no obstacle, but should be known: weights, near collinearity.
        names: of the coefficients.
        rank: of the design, differenced against the chosen alternative.
        condition: ratio of the greatest to the least singular value of its columns scaled to length 1; inf if the rank
            is short.
        flat: names of the coefficients in each direction that leaves the likelihood as it is.
        separating: coefficient to its part in a direction along which the likelihood rises for ever, in the units of
            the data; None if there is no such direction.
    """

    ok: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...]
    rank: int
    condition: float
    flat: tuple[tuple[str, ...], ...]
    separating: dict[str, float] | None

    def __str__(self) -> str:
        head = f"{self.rank} of {len(self.names)} coefficients can be told apart; condition {self.condition:.3g}."
        return "\n".join((head, *self.problems, *self.notes))


def check(model: "ConditionalLogit", data: ChoiceData) -> Identification:
    r"""Examine the differences :math:`d = x_{\text{chosen}} - x_j` to every other available alternative.

    * **Rank.** Where :math:`d\cdot b = 0` for all of them, :math:`\beta` and :math:`\beta + b` are the same model.
      Directions come from a pivoted QR of columns scaled to length 1, a dependent column written by independent ones.
    * **Separation.** Where :math:`d\cdot b \ge 0` for all and :math:`> 0` for some, the likelihood rises along b for
      ever and has no maximum. A linear programme decides it, and another finds a short b to name.

    Situations of weight 0 are left out, as the likelihood does not see them.

    Args:
        model: the specification.
        data: the choices.

    Returns:
        The verdict; nothing is raised for it (`require` does that).

    Raises:
        ValueError: the model names a column or an alternative that the data lack.

    Example:
        >>> from fairhand.models.choice import ConditionalLogit
        >>> data = ChoiceData(np.array([[[1.0], [1.0]], [[2.0], [2.0]]]), np.array([0, 1]), ("a", "b"), ("age",))
        >>> check(ConditionalLogit("age"), data).flat
        (('age',),)
    """
    names = model.names(data.alternatives)
    used = data.weight > 0
    design, available, chosen = model.design(data)[used], data.available[used], data.chosen[used]
    taken = np.bincount(chosen, minlength=len(data.alternatives)) > 0
    differences = _differences(design, available, chosen)
    length = np.linalg.norm(differences, axis=0)
    same = length == 0
    never = tuple(a for a, some in zip(data.alternatives, taken, strict=True) if not some)

    problems = []
    constants = any(name.startswith("constant:") for name in names)
    for a in never if constants else ():
        grows = f"constant `constant:{a}` has" if f"constant:{a}" in names else "constants, measured from it, have"
        problems.append(f"Alternative `{a}` is never chosen, so the {grows} no maximum: drop it or the constants.")
    for k in np.flatnonzero(same):
        if any(names[k].endswith(f":{a}") for a in never):
            continue
        problems.append(
            f"Column `{names[k]}` does not vary across the alternatives of any situation, so choices cannot tell it: "
            "drop it, or put it into `interactions`."
        )
    unit = differences / np.where(same, 1.0, length)
    independent, flat, condition = _dependence(unit[:, ~same])
    kept = [n for n, s in zip(names, same, strict=True) if not s]
    flat = [tuple(kept[k] for k in direction) for direction in flat]
    problems += [
        f"Columns {', '.join(f'`{n}`' for n in direction)} are collinear, so only a combination of them is identified: "
        "drop one of them."
        for direction in flat
    ]

    # Where constants name the alternatives that nobody took, what is left may still separate without them.
    varied = np.flatnonzero(~same)[independent]
    b = separating_direction(_differences(design, available & taken if constants else available, chosen)[:, varied])
    separating = None if b is None else {names[k]: float(v) for k, v in zip(varied, b, strict=True) if v != 0}
    if separating is not None:
        columns = ", ".join(f"`{n}` ({v:+.3g})" for n, v in separating.items())
        problems.append(
            f"The choices are separated along {columns}: no choice speaks against moving that way for ever, so no "
            "maximum exists: drop or merge a column, or keep a finite `prior_scale` and say that the prior decides."
        )

    notes = []
    if not same.any() and not flat and condition > 1 / NEARLY:
        notes.append(
            f"The columns are nearly collinear (condition {condition:.3g}): expect wide and correlated answers."
        )
    if np.ptp(data.weight[used]) > 1e-9 * data.weight.max():
        notes.append(
            f"Sampling weights are unequal: {data.num_situations} situations count as {data.effective_size:.1f}. The "
            f"spread of the posterior is not calibrated; the mean weight is {data.weight.mean():.3g} and should be 1."
        )
    every = tuple((names[k],) for k in np.flatnonzero(same)) + tuple(flat)
    return Identification(
        ok=not problems,
        problems=tuple(problems),
        notes=tuple(notes),
        names=names,
        rank=len(independent),
        condition=np.inf if every else condition,
        flat=every,
        separating=separating,
    )


def require(model: "ConditionalLogit", data: ChoiceData) -> Identification:
    """`check`, but a problem is an error.

    Raises:
        ValueError: all problems, one sentence each.

    Example:
        >>> from fairhand.models.choice import ConditionalLogit
        >>> data = ChoiceData(np.array([[[1.0], [2.0]], [[1.0], [2.0]]]), np.array([0, 1]), ("a", "b"), ("cost",))
        >>> require(ConditionalLogit("cost", constants=False), data).ok
        True
    """
    found = check(model, data)
    _check.require(found.ok, f"{data.source} does not identify the model: {' '.join(found.problems)}")
    return found


def _differences(
    design: Float[np.ndarray, "situations alternatives coefficients"],
    available: Bool[np.ndarray, "situations alternatives"],
    chosen: np.ndarray,
) -> Float[np.ndarray, "rows coefficients"]:
    """Chosen less other, for every other alternative that could be chosen."""
    own = np.take_along_axis(design, chosen[:, None, None], 1)
    other = available & (np.arange(design.shape[1]) != chosen[:, None])
    return (own - design)[other]


def _dependence(unit: Float[np.ndarray, "rows columns"]) -> tuple[np.ndarray, list[np.ndarray], float]:
    """Independent columns, the columns in each null direction, and the condition number, of columns of length 1."""
    import scipy.linalg

    if unit.shape[1] == 0:
        return np.zeros(0, int), [], 1.0
    square = np.linalg.qr(unit, mode="r")
    size = np.linalg.svd(square, compute_uv=False)
    rank = int(np.sum(size > PARALLEL * size[0]))
    pivoted: Any = scipy.linalg.qr(square, mode="r", pivoting=True)
    upper, order = pivoted
    by = scipy.linalg.solve_triangular(upper[:rank, :rank], upper[:rank, rank:])
    flat = [
        np.sort(np.append(order[:rank][np.abs(by[:, j]) > 1e-6], order[rank + j])) for j in range(unit.shape[1] - rank)
    ]
    least = size[-1] if rank == unit.shape[1] else 0.0
    return np.sort(order[:rank]), flat, float(size[0] / least) if least else np.inf
