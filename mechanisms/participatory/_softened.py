"""Rules that are trained on as the optimum of a smoothed program, and used as the exact one."""

from typing import Any, Self

import equinox as eqx
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ..base import AbstractMechanism


class AbstractSoftened(AbstractMechanism):
    """A rule with a temperature: None is the exact rule, else what it is trained on."""

    _temperature: eqx.AbstractVar[Float[Array, ""] | float | None]

    def soften(self, temperature: Any) -> Self:
        """The same rule on the smoothed program, which tends to the exact one.

        Args:
            temperature: in utils, positive: weight of the squared shares, and the width over which aversion sets in.

        Raises:
            ValueError: a temperature that is not positive.
        """
        temperature = as_array(temperature)
        known = concrete(temperature)
        require(
            hasattr(temperature, "shape") and (known is None or (known.ndim == 0 and known > 0)),
            f"`temperature` must be a positive number, got {temperature}; see `harden`.",
        )
        return self._at(temperature)

    def harden(self) -> Self:
        """The rule itself."""
        return self if self._temperature is None else self._at(None)

    def _at(self, temperature: Any) -> Self:
        return eqx.tree_at(lambda r: r._temperature, self, temperature, is_leaf=lambda x: x is None)
