"""Can these rankings tell these coefficients? The same questions as of choices, asked of neighbouring groups of each list.

Every "above" of a ranking follows from those between neighbouring groups: :math:`x_1 - x_3 = (x_1 - x_2) + (x_2 - x_3)`. So
the differences between neighbours decide rank and separation, and there are as many of them as entries.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from .._check import require
from ..choice._separation import separating_direction
from ..choice.identification import NEARLY, _dependence
from ._base import check_data, named

if TYPE_CHECKING:
    from .rank_ordered import RankOrderedLogit


def examine(model: "RankOrderedLogit", data: Any) -> tuple[str, ...]:
    r"""The assumption on reports and other notes.

    * **Rank.** Where :math:`d\cdot b = 0` for the differences of all that is compared, :math:`\beta` and :math:`\beta + b`
      are the same model.
    * **Separation.** Where :math:`d\cdot b \ge 0` for all and :math:`> 0` for some, the likelihood rises along b for ever.
      Refused under a flat prior; under a proper one a note says that the prior decides.

    Raises:
        ValueError: all problems, one sentence each.
    """
    levels, notes = check_data(data, model.reports)
    names, design = model.names(data.items), model.design(data)
    if len(design) > 1:
        every = model.reports.levels(data)
        design = design[(data.weight > 0) & (every.max(1) > 0)]
    rows = differences(levels, design)
    length = np.linalg.norm(rows, axis=0)
    same = length == 0
    problems = [
        f"Column `{names[k]}` does not vary between items that are compared, so rankings cannot tell it: drop it."
        for k in np.flatnonzero(same)
    ]
    independent, flat, condition = _dependence(rows[:, ~same] / length[~same])
    kept = [n for n, s in zip(names, same, strict=True) if not s]
    problems += [
        f"Columns {', '.join(f'`{kept[k]}`' for k in direction)} are collinear, so only a combination of them is "
        "identified: drop one of them."
        for direction in flat
    ]
    varied = np.flatnonzero(~same)[independent]
    b = separating_direction(rows[:, varied])
    told = []
    if b is not None:
        columns = ", ".join(f"`{names[k]}` ({v:+.3g})" for k, v in zip(varied, b, strict=True) if v != 0)
        sentence = f"The rankings are separated along {columns}: nothing speaks against moving that way for ever"
        if model.prior_scale is None:
            problems.append(
                f"{sentence}, so no maximum exists: drop or merge a column, or give a finite `prior_scale` and say that the "
                "prior decides."
            )
        else:
            told.append(f"{sentence}, so how far it goes is the prior's word.")
    require(not problems, f"{data.source} does not identify the model: {' '.join(problems)}")
    if condition > 1 / NEARLY:
        told.append(
            f"The columns are nearly collinear (condition {condition:.3g}): expect wide and correlated answers."
        )
    idle = [i for i, some in zip(data.items, np.ravel((levels >= 0).any(0)), strict=True) if not some]
    if idle:
        told.append(f"Items {named(idle)} are compared with nothing under this assumption.")
    return (*notes, *told)


def differences(
    levels: Int[np.ndarray, "rankings items"], design: Float[np.ndarray, "_ items coefficients"]
) -> Float[np.ndarray, "pairs coefficients"]:
    """Item above less item beneath, for all pairs of neighbouring groups of each different ranking."""
    import pandas as pd

    if len(design) == 1:
        levels = np.unique(levels, axis=0)
    row, item = np.nonzero(levels >= 0)
    level = levels[row, item]
    above = pd.DataFrame({"row": row, "level": level, "one": item})
    below = pd.DataFrame({"row": row, "level": level - 1, "other": item})
    pair = above.merge(below, on=["row", "level"])
    of = np.zeros(len(pair), int) if len(design) == 1 else pair["row"].to_numpy()
    return design[of, pair["one"].to_numpy()] - design[of, pair["other"].to_numpy()]
