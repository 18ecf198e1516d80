"""Priors as plain values, so that a model can be compared, hashed and written down; NumPyro gives them meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpyro.distributions as dist

from .._check import require


@dataclass(frozen=True)
class Prior:
    """A NumPyro distribution of one number: the name of its class and its parameters."""

    kind: str
    numbers: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, name: str, prior: Any) -> "Prior":
        """Read a NumPyro distribution, a `Prior`, or what `to_spec` wrote.

        Raises:
            ValueError: it is none of these, or is no distribution of a single number with plain parameters.
        """
        if isinstance(prior, Prior):
            return prior
        if isinstance(prior, list | tuple):
            return cls._read(name, *prior)
        require(
            isinstance(prior, dist.Distribution) and hasattr(dist, type(prior).__name__),
            f"`prior` of `{name}` must be a distribution of NumPyro, such as `Gamma(2.0, 1.0)`; got {prior!r}.",
        )
        found: Any = prior
        require(
            found.shape() == (),
            f"`prior` of `{name}` must be the distribution of one number; its shape is {found.shape()}.",
        )
        numbers = {field: getattr(found, field) for field in found.arg_constraints}
        plain = all(np.ndim(x) == 0 for x in numbers.values())
        require(plain, f"`prior` of `{name}` must have plain numbers as parameters; got {numbers}.")
        return cls(type(found).__name__, tuple((field, float(x)) for field, x in numbers.items()))

    @classmethod
    def _read(cls, name: str, kind: str, numbers: Mapping[str, float]) -> "Prior":
        known = getattr(dist, kind, None)
        require(
            isinstance(known, type) and issubclass(known, dist.Distribution),
            f"`prior` of `{name}` must be a distribution of NumPyro, got {kind!r}.",
        )
        return cls(kind, tuple((str(field), float(x)) for field, x in numbers.items()))

    @property
    def distribution(self) -> Any:
        """The NumPyro distribution."""
        return getattr(dist, self.kind)(**dict(self.numbers))

    def to_spec(self) -> list[Any]:
        """As JSON can hold it."""
        return [self.kind, dict(self.numbers)]
