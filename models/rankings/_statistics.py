"""What to compare between lists and their replicates; each function keeps the axis of draws."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .data import RankingData


def statistics(data: "RankingData") -> dict[str, Callable[[Any], np.ndarray]]:
    """Share of lists that an item heads, and its mean place among lists that hold it."""
    share = data.weight / data.weight.sum()
    found: dict[str, Callable[[Any], np.ndarray]] = {}
    for i, name in enumerate(data.items):
        found[f"put first: {name}"] = lambda y, i=i: (np.asarray(y)[..., 0] == i) @ share
        found[f"mean place: {name}"] = lambda y, i=i: _place(np.asarray(y) == i, share)
    return found


def _place(at: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mean place, 1 is first; 0 where the item is on no list."""
    held = at.any(-1) @ share
    place = (at @ np.arange(1.0, at.shape[-1] + 1)) @ share
    return place / np.where(held > 0, held, 1.0)
