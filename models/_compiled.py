"""Compiling functions of laws and rules, whose numbers may still be NumPy's."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`eqx.filter_jit`, with NumPy arrays made JAX's before the program is chosen.

    NumPy's float64 stands for single precision in one scope and double in another. A program inside another one, traced in
    one scope, is taken for the same in the other, and then fed with numbers of the wrong size.
    """
    program = eqx.filter_jit(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        ready = lambda x: jnp.asarray(x) if isinstance(x, np.ndarray | np.generic) else x
        args, kwargs = jax.tree.map(ready, (args, kwargs))
        return program(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]
