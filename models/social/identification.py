"""Can these choices tell what people would give up for others, of all of them and of each? Asked before sampling.

A proper prior makes a posterior of anything; where choices say nothing, only the prior speaks, and here it is said so.
"""

from typing import Any

import numpy as np

from .._check import require
from .data import SocialChoiceData
from .preferences import AbstractPreferences

DEPENDENT = 1e-9  # singular value, over the largest, of unit columns: below it they are collinear
NAMED = 5  # people named in one sentence; the others are counted
ASKED = 500  # people whose choices are asked whether they have no error at all: a linear programme each
SMALL = 1e-9

WHERE = {  # what must differ between two options to tell a term
    "alpha": "how far the person is BEHIND (`behind`)",
    "beta": "how far the person is AHEAD (`ahead`)",
    "gamma": "the gap to the other after a kind act (`kind`)",
    "delta": "the gap to the other after an unkind act (`unkind`)",
}


def identify(preferences: AbstractPreferences, data: SocialChoiceData) -> tuple[str, ...]:
    """What all choices together can tell of one set of weights.

    Refused: own payoff that never differs, a term that never differs, terms that are collinear (in a fixed pie of which
    one always has less than half, own payoff and `behind` are one column, so α and the precision are confounded).

    Args:
        preferences: what utilities are made of.
        data: the comparisons.

    Returns:
        Notes: how utility is normalised, choices without any error, acts that the model leaves out.

    Raises:
        ValueError: what cannot be told, by name, and the cure.

    Example:
        >>> from fairhand.models.social import FehrSchmidt
        >>> data = SocialChoiceData.from_payoffs([[[10.0, 0.0], [5.0, 5.0]]] * 4, [0, 1, 1, 0])
        >>> identify(FehrSchmidt(), data)
        Traceback (most recent call last):
        ...
        ValueError: arrays: no two options differ in how far the person is BEHIND (`behind`), so `alpha` cannot be told: ...
    """
    own, feature = _columns(preferences, data)
    require(
        np.any(np.abs(own) > SMALL * np.abs(data.own).max()),
        f"{data.source}: own payoff is the same in both options everywhere, so only products of weights and precision can be "
        "told: add situations in which being kinder costs something.",
    )
    for name, column in zip(preferences.terms, feature, strict=True):
        other = "use `BruhinFehrSchunk(reciprocity=False)`" if name in ("gamma", "delta") else "give both sides"
        require(
            np.any(column != 0),
            f"{data.source}: no two options differ in {WHERE[name]}, so `{name}` cannot be told: add situations in which it "
            f"does; {other}.",
        )
    columns = np.column_stack([own, *feature])
    _, size, turn = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
    if len(size) < columns.shape[1] or size[-1] < DEPENDENT * size[0]:
        null = np.abs(turn[-1]) > 1e-6
        which = [n for n, yes in zip(("own payoff", *(f"`{t}`" for t in preferences.terms)), null, strict=True) if yes]
        cure = "vary own payoff and gaps apart, as a pie of fixed size on one side of half cannot"
        if "`gamma`" in which:
            cure = "add situations before which the other did nothing, or use `BruhinFehrSchunk(reciprocity=False)`"
        raise ValueError(
            f"{data.source}: the columns of {', '.join(which)} are collinear in all situations, so weights and precision are "
            f"confounded: {cure}."
        )
    notes = [
        f"Utility is measured in {data.unit} of own payoff; gaps are averages over the others, and precision is per "
        f"{preferences.scale_of(data):.4g} {data.unit} inside, per 1 in reports."
    ]
    if without_error(own, feature):
        notes.append(
            "One set of weights explains every choice: the precision has no upper end but its prior, and a lapse cannot be "
            "told from it."
        )
    acts = int((~data.plain).sum())
    if acts and "gamma" not in preferences.terms:
        notes.append(
            f"{acts} of {data.num_situations} choices follow a kind or unkind act, which this model leaves out, so `alpha` and "
            "`beta` mix with reciprocity: take `data.where(data.plain)`, or fit `BruhinFehrSchunk`."
        )
    return tuple(notes)


def identify_people(preferences: AbstractPreferences, data: SocialChoiceData, correlated: bool) -> tuple[str, ...]:
    """What each person's own choices can tell of their own weights.

    Args:
        preferences: what utilities are made of. `data`: the comparisons.
        correlated: whether the model has correlations, which need people whose own choices tell several weights.

    Returns:
        Notes that name people: those with one-sided trials, whose weight is what the others' say; those at bounds, whose
        choices never go against one direction; those without any error, whose precision has no upper end.

    Raises:
        ValueError: nobody chooses twice.
    """
    times = np.bincount(data.person, minlength=len(data.people))
    require(
        times.max() > 1,
        f"{data.source}: nobody chooses twice, so how people differ cannot be told from the errors of one choice: say `person=` "
        f"when reading, or fit `{type(preferences).__name__}` itself.",
    )
    own, feature = _columns(preferences, data)
    notes = []
    informed = np.zeros((len(preferences.terms), len(data.people)), bool)
    for k, (name, column) in enumerate(zip(preferences.terms, feature, strict=True)):
        informed[k] = np.bincount(data.person, column != 0, len(data.people)) > 0
        if not informed[k].all():
            notes.append(
                f"{_who(data, ~informed[k])}: no two options of theirs differ in {WHERE[name]}, so their own `{name}` is what "
                "the others' choices and the priors say."
            )
    for k, name in enumerate(preferences.terms[:2]):
        asked = own * feature[k] < 0  # the option taken is better on one of the two and worse on the other
        low = np.bincount(data.person, asked & (feature[k] > 0), len(data.people))
        high = np.bincount(data.person, asked & (feature[k] < 0), len(data.people))
        bound = (low + high > 1) & ((low == 0) | (high == 0))
        if bound.any():
            notes.append(
                f"{_who(data, bound)} decided every trade-off between own payoff and the gap of `{name}` the same way: their own "
                f"choices bound `{name}` on one side only."
            )
    alone = _tells_all(data, own, feature)
    if correlated and not alone.any():
        notes.append(
            "Nobody's own choices tell all weights and the precision apart, so correlations over people are what their prior "
            "says: say `correlated=False`, or give people both sides."
        )
    some = np.flatnonzero(times > 0)[:ASKED]
    rows = {i: np.flatnonzero(data.person == i) for i in some}
    exact = np.zeros(len(data.people), bool)
    for i, at in rows.items():
        exact[i] = without_error(own[at], feature[:, at])
    if exact.any():
        of = "" if len(some) == len(data.people) else f" (of the first {ASKED} asked)"
        notes.append(
            f"{_who(data, exact)}{of}: weights exist that explain every choice of theirs, so their precision has no upper end "
            "but the prior, and could not be told from a lapse."
        )
    return tuple(notes)


def without_error(own: np.ndarray, feature: np.ndarray) -> bool:
    """Whether some weights make the option taken at least as good everywhere, and better somewhere: a linear programme.

    Args:
        own: `[situations]`, taken less other. `feature`: `[terms, situations]`.
    """
    from scipy.optimize import linprog

    size = max(float(np.abs(own).max(initial=0.0)), float(np.abs(feature).max(initial=0.0)), 1e-300)
    a, b = feature.T / size, own / size
    # own + feature @ weight >= 0 everywhere, its sum as large as can be within a box of weights.
    found = linprog(-a.sum(0), A_ub=-a, b_ub=b, bounds=(-50, 50), method="highs")
    return bool(found.status == 0 and b.sum() - found.fun > SMALL * len(b))


def _columns(preferences: AbstractPreferences, data: SocialChoiceData) -> tuple[Any, Any]:
    from ._choice import differences

    return differences(data, preferences.features(data), 1.0, taken=True)


def _tells_all(data: SocialChoiceData, own: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """`[people]`, whether a person's own columns have full rank."""
    columns = np.column_stack([own, *feature])
    columns = columns / np.maximum(np.sqrt((columns**2).mean(0)), 1e-300)
    square = np.zeros((len(data.people), columns.shape[1], columns.shape[1]))
    np.add.at(square, data.person, columns[:, :, None] * columns[:, None, :])
    values = np.linalg.eigvalsh(square)
    return values[:, 0] > 1e-9 * np.maximum(values[:, -1], 1e-300)


def _who(data: SocialChoiceData, which: np.ndarray) -> str:
    """People by name, the first few of them."""
    at = np.flatnonzero(which)
    named = ", ".join(str(data.people[i]) for i in at[:NAMED])
    rest = f" and {len(at) - NAMED} more" if len(at) > NAMED else ""
    return f"{len(at)} of {len(data.people)} people ({named}{rest})"
