"""What the worlds of a logit refuse when they are built."""

from typing import Any

import numpy as np

from .._check import concrete, require
from ..supply import AbstractSupply, Menu


def check_shapes(coefficient: Any, design: Any, supply: AbstractSupply, numeraire: int | None) -> None:
    """Raise `ValueError` for shapes that do not fit, and for a numeraire that people like to pay."""
    shape, size = np.shape(design), np.shape(coefficient)
    require(
        len(size) >= 1 and len(shape) == 3 and shape[-1] == size[-1],
        f"`coefficient` is [..., coefficients], `design` [situations, options, coefficients]; got {size} and {shape}.",
    )
    if isinstance(supply, Menu) and np.ndim(supply.uses) == 2:
        rows = np.shape(supply.uses)[0]
        require(
            rows == shape[1],
            f"`supply` is a menu of {rows} options, but there are {shape[1]} alternatives: "
            "`Menu.seats` takes one capacity for each option but the outside option.",
        )
    cost = None if numeraire is None else concrete(coefficient)
    if cost is not None:
        most = np.max(cost[..., numeraire])
        require(
            most < 0,
            f"the coefficient of the numeraire must be negative, as values are divided by its negative; got {most}: "
            "name it as `numeraire` when fitting, or set none.",
        )
