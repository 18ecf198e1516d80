"""What verbs are given, refused by name where it is of the wrong kind: models, their data, whole numbers, keys."""

from typing import Any

import jax
import numpy as np

from ..models._check import require
from ._model import Model
from ._precision import is_key


def check_model(model: Any, data: Any) -> None:
    """A model, and data of the kind it explains.

    Raises:
        ValueError: `model` or `data` is something else.
    """
    require(
        isinstance(model, Model) and not isinstance(model, type),
        f"`model` must be a model of `fairhand.models`, such as `choice.ConditionalLogit('price')`; got {_named(model)}.",
    )
    kind, why = model.data_type, getattr(model, "other_data", "")
    require(
        isinstance(data, kind),
        f"`data` must be a `{kind.__name__}` for `{type(model).__name__}`; got {_named(data)}. {why}".rstrip(),
    )


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """A whole number, at least `least`.

    Raises:
        ValueError: it is not.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and value >= least, f"`{name}` must be a whole number, at least {least}; got {value!r}.")


def key_of(key: Any) -> jax.Array:
    """The key, or `jax.random.key(0)` for None.

    Raises:
        ValueError: it is no key.
    """
    if key is None:
        return jax.random.key(0)
    require(is_key(key) and key.ndim == 0, f"`key` must be one JAX key, such as `jax.random.key(0)`; got {key!r}.")
    return key


def _named(x: Any) -> str:
    return f"the class `{x.__name__}`: call it" if isinstance(x, type) else f"{type(x).__name__} {str(x)[:40]!r}"
