"""Rules that are trained on as the optimum of a smoothed program, and used as the exact one."""

from typing import Any, TypeVar

import equinox as eqx
from jaxtyping import Array, Float

from ...models._check import as_array, concrete, require
from ..base import AbstractMechanism

Rule = TypeVar("Rule", bound="AbstractSoftened")


class AbstractSoftened(AbstractMechanism):
    """A rule with a temperature: None is the exact rule, else what it is trained on."""

    _temperature: eqx.AbstractVar[Float[Array, ""] | float | None]

    def soften(self: Rule, temperature: Any) -> Rule:
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
        return _at(self, temperature)

    def harden(self: Rule) -> Rule:
        """The rule itself."""
        return self if self._temperature is None else _at(self, None)


def _at(rule: Any, temperature: Any) -> Any:
    return eqx.tree_at(lambda r: r._temperature, rule, temperature, is_leaf=lambda x: x is None)
