"""What every engine is told, and what every engine gives back."""

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ._devices import Devices
from ._precision import Precision


@dataclass(frozen=True)
class Settings:
    """How to draw: the arguments of `fit` that engines share."""

    key: jax.Array
    draws: int
    warmup: int
    chains: int
    target_accept: float
    points: int | str
    precision: Precision
    devices: Devices
    guide: Any
    looping: dict[str, Any]

    @property
    def tolerance(self) -> float:
        """Greatest entry of the gradient at a mode."""
        return 1e-6 if self.precision == "float64" else 1e-2

    @property
    def seed(self) -> int:
        """For draws on the host."""
        return int(np.asarray(jax.random.key_data(self.key)).ravel()[-1])


@dataclass(frozen=True)
class Drawn:
    """Draws, and what is known of them.

    Attributes:
        sites: `[chains, draws, ...]` by site. `centre`: the sites at the mode.
        sampler: statistics `[chains, draws]`; empty where nothing was sampled step by step.
        method: how they came about, as `diagnose` knows it.
        how: one line on how, and why so.
        notes: what should be known; problems with advice come from the diagnosis.
        k_hat: of importance weights, by what they correct.
        seconds: first chunk (compilation included) and the rest.
    """

    sites: dict[str, Any]
    centre: dict[str, Any]
    sampler: dict[str, np.ndarray]
    method: str
    how: str
    notes: tuple[str, ...] = ()
    k_hat: dict[str, float] = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)
