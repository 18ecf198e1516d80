"""What of a rule may be learned: fields say it themselves, and one pair of functions moves between people and optimisers.

A field declared `learned(constraint)` is a parameter; every other array on the Module is data. NumPyro's constraint
serves the optimiser (through its bijection), a prior, and a projection alike.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.constraints import Constraint

from ..models._check import as_array

Path = tuple[str, ...]
M = TypeVar("M", bound=eqx.Module)


def learned(support: Constraint | Callable[[Any], Constraint] = constraints.real, **kwargs: Any) -> Any:
    """A field that `tune` may move inside `support`; every other array is data.

    Args:
        support: a NumPyro constraint, or a function of the rule where the set depends on its data.
        **kwargs: passed to the dataclass field (`default`, …).

    Example:
        >>> class Posted(eqx.Module):
        ...     price: Array = learned(constraints.positive)
        >>> list(supports(Posted(price=jnp.ones(2))))
        [('price',)]
    """
    kwargs.setdefault("converter", as_array)
    return eqx.field(metadata={"support": support}, **kwargs)


def supports(module: eqx.Module, prefix: Path = ()) -> dict[Path, Constraint]:
    """Path to support of every learned field, nested Modules included; a field that is None is absent."""
    found: dict[Path, Constraint] = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        path = (*prefix, field.name)
        if "support" in field.metadata:
            support = field.metadata["support"]
            if value is not None:
                found[path] = support if isinstance(support, Constraint) else support(module)
        elif isinstance(value, eqx.Module):
            found |= supports(value, path)
    return found


def get(module: Any, path: Path) -> Any:
    """The value at `path`."""
    for name in path:
        module = getattr(module, name)
    return module


def put(module: M, values: Mapping[Path, Any]) -> M:
    """A copy of `module` with `values` at their paths."""
    if not values:
        return module
    return eqx.tree_at(lambda m: [get(m, path) for path in values], module, list(values.values()))


def parameters(module: eqx.Module) -> dict[str, Array | np.ndarray]:
    """Learned values by dotted name, as people read them."""
    return {".".join(path): get(module, path) for path in supports(module)}


def to_free(module: eqx.Module) -> dict[Path, Array]:
    """Learned values in unconstrained space, where optimisers walk.

    Values on the edge of their support are moved inside by a twentieth of its width, since the edge lies at
    infinity there; `tune` compares with the rule as it was given, not with this point.
    """
    return {path: biject_to(s).inv(_inside(s, get(module, path))) for path, s in supports(module).items()}


def from_free(module: M, free: Mapping[Path, Array]) -> M:
    """The rule at an unconstrained point: inverse of `to_free` in the interior."""
    support = supports(module)
    return put(module, {path: biject_to(support[path])(x) for path, x in free.items()})


def _inside(support: Constraint, x: Array | np.ndarray, hair: float = 0.05) -> Array:
    x = jnp.asarray(x)
    if support is constraints.simplex:
        x = jnp.maximum(x, hair / x.shape[-1])
        return x / x.sum(-1, keepdims=True)
    if inside := getattr(support, "inside", None):  # a support of our own knows its edges
        return inside(x, hair)
    low = getattr(support, "lower_bound", None)
    high = getattr(support, "upper_bound", None)
    width = 1.0 if low is None or high is None else high - low
    if low is not None:
        x = jnp.maximum(x, low + hair * width)
    if high is not None:
        x = jnp.minimum(x, high - hair * width)
    return x


def check_support(module: eqx.Module) -> None:
    """Refuse learned values outside their support, by name.

    Raises:
        ValueError: a learned field is NaN or outside its declared set.
    """
    for path, support in supports(module).items():
        value = get(module, path)
        if isinstance(value, Tracer) or not hasattr(value, "shape"):
            continue
        if not np.all(np.asarray(support(np.asarray(value)))):
            raise ValueError(f"`{'.'.join(path)}` must lie in {_name(support)}, got {np.asarray(value).tolist()}.")


def _name(support: Constraint) -> str:
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if low is not None and high is not None:
        return f"[{low}, {high}]"
    return f"[{low}, inf)" if low is not None else type(support).__name__.strip("_").lower()
