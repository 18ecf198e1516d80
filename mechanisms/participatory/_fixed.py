"""A number that stays: the support of what a rule could learn, but was not asked to."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpyro.distributions import biject_to, constraints, transforms


class Fixed(constraints.Constraint):
    """The one value `value`; whatever the walker does, the rule stays there, and its gradient is 0."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, x: Any) -> Any:
        return np.asarray(x) == np.asarray(self.value)

    def feasible_like(self, prototype: Any) -> Any:
        del prototype
        return jnp.asarray(self.value)

    def inside(self, x: Any, hair: float) -> Any:
        """`x`, which has no edges."""
        del hair
        return x

    def tree_flatten(self) -> Any:
        return (self.value,), (("value",), {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and bool(jnp.array_equal(self.value, other.value))

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return id(self)


class _Stay(transforms.ParameterFreeTransform):
    domain = constraints.real  # pyright: ignore[reportAssignmentType]  NumPyro declares properties
    codomain = constraints.real  # pyright: ignore[reportAssignmentType]

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, x: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(self.value, x.dtype), x.shape)

    def _inverse(self, y: Any) -> Any:
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        del y, intermediates
        return jnp.zeros_like(x)


@biject_to.register(Fixed)
def _to_fixed(constraint: Fixed) -> transforms.Transform:
    return _Stay(constraint.value)
