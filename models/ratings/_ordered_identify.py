"""What ratings on steps can tell of an ordered model: refusals, and notes on what only the prior decides."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from .._check import require
from .data import RatingData

MOST = 5  # names in one note


def check(data: Any, design: Float[np.ndarray, "items dims"], terms: Sequence[str]) -> tuple[str, ...]:
    """Notes; a `ValueError` where the data cannot tell the model's parameters apart.

    Args:
        data: the ratings. `design`: what tastes multiply, the first column 1. `terms`: names of its columns.
    """
    name, rated = data.source, data.rated
    raters, seen = rated.any(1), rated.any(0)
    require(
        int(raters.sum()) >= 2,
        f"{name} has ratings of one agent only, who cannot tell how people differ: collect ratings of others.",
    )
    require(
        int(seen.sum()) >= 2,
        f"{name} has ratings of one item only, which cannot tell how items differ: rate others too.",
    )
    for k, term in enumerate(terms[1:], 1):
        require(
            np.ptp(design[seen, k]) > 0,
            f"{name}: attribute `{term}` is the same for every item that was rated, like generosity: drop it.",
        )
    size = np.linalg.norm(design[seen], axis=0)
    require(
        np.linalg.matrix_rank(design[seen] / size, tol=1e-8) == len(terms),
        f"{name}: attributes {', '.join(f'`{t}`' for t in terms[1:])} are collinear over the items that were rated, so "
        "their tastes cannot be told apart: drop one.",
    )
    return (*_silent(data, raters, seen), *_ends(data), *_apart(data), *_alone(data, len(terms)))


def _names(names: Sequence[str], which: np.ndarray) -> str:
    found = [f"`{name}`" for name, yes in zip(names, which, strict=True) if yes]
    return ", ".join(found[:MOST]) + (f" and {len(found) - MOST} more" if len(found) > MOST else "")


def _silent(data: RatingData, raters: np.ndarray, seen: np.ndarray) -> list[str]:
    notes = []
    if not raters.all():
        notes.append(f"Agents {_names(data.agents, ~raters)} rated nothing: only what all share speaks of them.")
    if not seen.all():
        notes.append(f"Items {_names(data.items, ~seen)} were rated by nobody: only the prior speaks of their worth.")
    return notes


def _ends(data: RatingData) -> list[str]:
    """Steps nobody used, and items with all ratings at one end of those that were used."""
    notes, used = [], np.unique(data.step)
    steps = [f"{x:g}" for x in data.steps]
    unused = np.setdiff1d(np.arange(len(steps)), used)
    if unused.size:
        notes.append(
            f"Nobody used the steps {', '.join(steps[k] for k in unused)} of {data.source}: only the prior says where their "
            "cuts lie; leave them out of `steps` to merge them with a neighbour."
        )
    for end, word in ((used[0], "lowest"), (used[-1], "highest")):
        level = data.steps[end]
        all_there = np.array(
            [r.any() and (g[r] == level).all() for g, r in zip(data.ratings.T, data.rated.T, strict=True)]
        )
        if all_there.any():
            notes.append(
                f"Items {_names(data.items, all_there)} have no rating but {steps[end]}, the {word} that was given: the "
                "likelihood of their worth has no maximum, and `prior_scale` decides how far out it lies."
            )
    return notes


def _apart(data: RatingData) -> list[str]:
    """Groups of items that nobody rated across."""
    import scipy.sparse

    people, items = data.rated.shape
    edges = scipy.sparse.coo_array((np.ones(data.num_ratings), (data.agent, people + data.item)), (people + items,) * 2)
    _, group = scipy.sparse.csgraph.connected_components(edges, directed=False)
    groups = len(np.unique(group[people:][data.rated.any(0)]))
    if groups == 1:
        return []
    return [
        f"The items fall into {groups} groups that nobody rated across: how they compare rests on their raters being alike."
    ]


def _alone(data: RatingData, dims: int) -> list[str]:
    most = int(data.rated.sum(1).max())
    if most > dims:
        return []
    return [
        f"Nobody gave more than {most} rating{'s'[: most != 1]}, and people differ in {dims} way{'s'[: dims != 1]}: how "
        "much they differ is told by the prior more than by the data."
    ]
