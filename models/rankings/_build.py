"""From coefficients and rankings to a world, the outside option last."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._who_comes import asked, last_rows
from ..supply import AbstractSupply
from ..world import AbstractWorld, Draws
from ._stages import stages
from .data import RankingData
from .reports import AbstractReports
from .worlds import SamePeople, Strangers


def build_world(
    data: RankingData,
    reports: AbstractReports,
    centre: Float[Array, "*draws coefficients"],
    own: Float[Array, "*draws _ coefficients"],
    root: Float[Array, "*draws coefficients dims"] | None,
    design: Float[np.ndarray, "_ items coefficients"],
    *,
    supply: AbstractSupply,
    new: int | None = None,
    same: bool = False,
    outside: str | None = None,
    kind: Sequence[int] | np.ndarray | None = None,
    numeraire: int | None = None,
    unit: str = "utils",
) -> AbstractWorld:
    """Who comes: `new` strangers drawn from the data, or the `same` people who are in it.

    Args:
        data: the sample that was fitted. `reports`: what its lists are assumed to say.
        centre: coefficients, or their mean over people; draws in front for a posterior.
        own: those of each person of the data, or one row for all. `root`: of their law, see `Strangers`.
        design: what they multiply, by ranking, or one row for all.
        supply: what there is to share, its options in the order of `data.items`, but `outside` last.
        new: how many strangers come.
        same: the people in the data come; either this or `new`.
        outside: item that is free to all; it becomes the last option and is worth 0.
        kind: `[rankings]`, index of the group of each ranking.
        numeraire: index of the coefficient that values are divided by. `unit`: of the values.

    Raises:
        ValueError: neither or both of `new` and `same`, an outside option that is not on everybody's menu, shapes that do not
            fit.
    """
    order, group, static = asked(
        data.items, data.menu, data.labels,
        new=new, same=same, outside=outside, kind=kind, of=("item", "ranking"),
    )  # fmt: skip
    design, menu = design[:, order], data.menu[:, order]
    static |= {"numeraire": numeraire, "unit": unit}
    if same:
        people, seen = np.unique(data.person), last_rows(data.person, len(data.people))
        world = SamePeople(
            coefficient=own if own.shape[-2] == 1 else own[..., people, :],
            design=design if len(design) == 1 else design[seen],
            menu=menu[seen],
            stages=stages(reports.levels(data)[seen][:, order]),
            supply=supply,
            kind=None if group is None else group[seen],
            **static,
        )
        return world if own.ndim == 2 else Draws.of(world, lambda w: [w.coefficient])
    world = Strangers(
        coefficient=centre,
        design=design,
        menu=menu,
        chance=data.weight / data.weight.sum(),
        supply=supply,
        root=root,
        kind=group,
        agents=int(new or 0),
        **static,
    )
    varying = lambda w: [w.coefficient, *([] if root is None else [w.root])]
    return world if jnp.ndim(centre) == 1 else Draws.of(world, varying)
