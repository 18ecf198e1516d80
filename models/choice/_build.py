"""From coefficients and data to a world: the outside option last, choice-based samples corrected."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._check import require
from .._who_comes import asked, last_rows
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from ._choice_based import resampling_chances
from .data import ChoiceData
from .worlds import SamePeople, Strangers

if TYPE_CHECKING:
    from .logit import ConditionalLogit


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
    order, group, static = asked(
        data.alternatives, data.available, data.situations,
        new=new, same=same, outside=outside, kind=kind, of=("alternative", "situation"),
    )  # fmt: skip
    coefficient = model.correct(jnp.asarray(coefficient), data)
    design, available = model.design(data)[:, order], data.available[:, order]
    static |= {"numeraire": model.numeraire_index, "unit": model.unit or model.numeraire or "utils"}
    if same:
        seen = last_rows(data.person, len(data.people))
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
