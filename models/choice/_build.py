"""From coefficients and data to a world: the outside option last, choice-based samples corrected."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._check import require
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from ._choice_based import resampling_chances
from .data import ChoiceData
from .worlds import SamePeople, Strangers

if TYPE_CHECKING:
    from .logit import ConditionalLogit


def last_situations(data: ChoiceData) -> Int[np.ndarray, " people"]:
    """The last situation of each person who has any, in the order of `data.people`."""
    last = np.zeros(len(data.people), int)
    last[data.person] = np.arange(data.num_situations)  # a later situation overwrites an earlier one
    return last[np.unique(data.person)]


def build_world(
    model: "ConditionalLogit",
    coefficient: Float[Array | np.ndarray, "*draws coefficients"],
    data: ChoiceData,
    *,
    supply: AbstractSupply,
    new: int | None = None,
    same: bool = False,
    outside: str | None = None,
    kind: Sequence[int] | np.ndarray | None = None,
) -> AbstractWorld:
    """`ConditionalLogit.world`, which documents it."""
    require(
        (new is not None) != same,
        "say either `new=` (how many strangers come) or `same=True` (the people in the data).",
    )
    require(
        outside is None or outside in data.alternatives,
        f"`outside` must be one of the alternatives {list(data.alternatives)}, got {outside!r}.",
    )
    order = np.arange(len(data.alternatives))
    if outside is not None:
        last = data.alternatives.index(outside)
        order = np.append(np.delete(order, last), last)
        lacking = np.flatnonzero(~data.available[:, last])
        require(
            lacking.size == 0,
            f"the outside option `{outside}` is not available in situation {data.situations[lacking[:1]]}: it must be "
            "free to all.",
        )
    group = None if kind is None else np.asarray(kind)
    require(
        group is None or (group.shape == data.chosen.shape and group.dtype.kind in "iu" and group.min() >= 0),
        f"`kind` must be one index of 0 or more for each of the {data.num_situations} situations.",
    )
    coefficient = model.correct(jnp.asarray(coefficient), data)
    design, available = model.design(data)[:, order], data.available[:, order]
    static: dict[str, Any] = {
        "numeraire": model.numeraire_index,
        "outside": outside is not None,
        "unit": model.unit or model.numeraire or "utils",
        "options": tuple(data.alternatives[i] for i in order),
    }
    if same:
        seen = last_situations(data)
        chosen = np.argsort(order)[data.chosen[seen]]
        world = SamePeople(
            coefficient=coefficient,
            design=design[seen],
            available=available[seen],
            chosen=chosen,
            supply=supply,
            kind=None if group is None else group[seen],
            **static,
        )
    else:
        population = None if model.population_shares is None else dict(model.population_shares)
        chance = resampling_chances(data, population)
        world = Strangers(
            coefficient=coefficient,
            design=design,
            available=available,
            chance=chance,
            supply=supply,
            kind=group,
            agents=int(new or 0),
            **static,
        )
    if coefficient.ndim == 1:
        return world
    require(
        coefficient.ndim == 2,
        f"`coefficient` must be [coefficients] or [draws, coefficients]; got {coefficient.shape}.",
    )
    return Draws.of(world, lambda w: [w.coefficient])
