"""What a constructor of a law refuses, by name and with the cure; only numbers known now are judged, never tracers."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._check import concrete, require


def numbers(name: str, x: Any) -> np.ndarray | None:
    """`x` as NumPy where its values are known now, else None.

    Raises:
        ValueError: `x` is not an array of real floating numbers, or one of them is NaN or infinite.
    """
    require(
        hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating),
        f"`{name}` must be real numbers (a number, a list or an array), got {x!r}.",
    )
    known = concrete(x)
    if known is not None:
        bad = known[~np.isfinite(known)]
        require(bad.size == 0, f"`{name}` must be finite, got {bad[:1]}; drop or replace missing and infinite entries.")
    return known


def probabilities(name: str, p: Any) -> None:
    """Refuse `p [..., k]` unless each row is nonnegative and sums to 1 (to 1e-9, or to the precision of its dtype).

    Raises:
        ValueError: an entry is negative or not finite, or a row does not sum to 1.
    """
    known = numbers(name, p)
    require(np.ndim(p) >= 1 and np.shape(p)[-1] >= 1, f"`{name}` needs one entry an atom or component; got none.")
    if known is None:
        return
    known, precision = known.astype(np.float64), float(jnp.finfo(p.dtype).eps)
    require(np.all(known >= 0), f"`{name}` must not be negative, got {known[known < 0][:1]}.")
    total = np.ravel(known.sum(-1))
    worst = total[np.argmax(np.abs(total - 1))]
    require(
        abs(worst - 1) <= max(1e-9, 100 * precision),
        f"`{name}` must sum to 1, got {worst!r}; if they are counts, divide them by their sum.",
    )
