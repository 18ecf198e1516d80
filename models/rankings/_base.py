"""What all models of rankings share: what data they refuse, how a specification is read, and how worlds are asked for."""

from typing import Any

import numpy as np
from jaxtyping import Int

from .._check import require
from .data import RankingData
from .reports import AbstractReports, notes_of


def check_data(data: Any, reports: AbstractReports) -> tuple[Int[np.ndarray, "rankings items"], tuple[str, ...]]:
    """What is compared under the assumption, without rankings of weight 0, and notes; refuses data that compare nothing."""
    require(isinstance(data, RankingData), f"`data` must be `RankingData`; got {type(data).__name__}.")
    notes = list(notes_of(reports, data))
    levels = reports.levels(data)
    used = data.weight > 0
    says = levels.max(1) > 0
    require(
        bool((says & used).any()),
        f"{data.source} compares nothing: under this assumption ({reports.name}) no ranking puts an item above another.",
    )
    silent = int((used & ~says).sum())
    if silent:
        notes.append(f"{silent} of {int(used.sum())} rankings put no item above another and say nothing.")
    unseen = [i for i, some in zip(data.items, data.menu[used].any(0), strict=True) if not some]
    if unseen:
        notes.append(f"Items {named(unseen)} are on nobody's menu: nothing is learned of them.")
    if np.ptp(data.weight[used]) > 1e-9 * data.weight.max() and np.any(data.weight != np.rint(data.weight)):
        size = data.weight.sum() ** 2 / np.sum(data.weight**2)
        notes.append(
            f"Sampling weights are unequal: {data.num_rankings} rankings count as {size:.1f}. The spread of the posterior is "
            f"not calibrated; the mean weight is {data.weight.mean():.3g} and should be 1."
        )
    return levels[used & says], tuple(notes)


def named(names: Any) -> str:
    """Names for a message, the first five of them."""
    names = list(names)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{n}`" for n in names[:5]) + more


def as_scale(x: float | None) -> float | None:
    """A prior scale; infinite is none, that is flat."""
    return None if x is None or np.isinf(x) else float(x)


def check_scale(field: str, x: float | None) -> None:
    """Refuse a scale that is not positive."""
    require(x is None or x > 0, f"`{field}` must be positive, or None for a flat prior; got {x}.")
