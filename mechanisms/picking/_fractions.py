r"""Shares, thresholds and quotas: three ways of saying how much each picker takes, and how to move between them.

The k-th picker takes the fraction :math:`r_k` of all items, which is the upper tail mass :math:`s_k` of those that reach her,
:math:`R_k = \prod_{l<k} (1 - s_l) = 1 - \sum_{l<k} r_l` (Halpern, Psomas and Zhang, definitions 3.4 and 3.5).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from numpyro.distributions import biject_to, constraints, transforms

from ...models._check import as_array, concrete, dtype_of, require


def as_r(r: Any, pickers: int | None = None) -> Any:
    """`r` as an array `[pickers]`: not negative, sums to 1. A bare number is the first of two.

    Raises:
        ValueError: an entry is negative or NaN, the sum is not 1, or there are not `pickers` of them.
    """
    r = as_array(r)
    _require_real("r", r)
    if np.ndim(r) == 0:
        known = concrete(r)
        require(known is None or 0 <= known <= 1, f"`r` must be a fraction between 0 and 1, got {r}.")
        r = np.stack([r, 1 - r]) if isinstance(r, np.ndarray) else jnp.stack([r, 1 - r])
    known = concrete(r)
    require(known is None or np.all(known >= 0), f"`r` must not be negative, got {known}.")
    if known is not None:
        loose = 1e-5 if dtype_of(r) == np.float32 and known.dtype != np.float64 else 1e-8
        total = np.sum(known, -1, dtype=np.float64)
        require(
            np.all(np.abs(total - 1) <= loose), f"`r` must sum to 1, got {total}; if these are counts, pass `quotas`."
        )
    _require_length("r", r, pickers)
    if known is None and hasattr(r, "sum"):
        bad = ~jnp.all(r >= 0) | ~jnp.all(jnp.abs(jnp.sum(r, -1) - 1) <= (1e-5 if r.dtype.itemsize <= 4 else 1e-8))
        r = stop_if(r, bad, "`r` must not be negative and must sum to 1.")
    return r


def as_s(s: Any, pickers: int | None = None) -> Any:
    """`s` as an array `[pickers]` in [0, 1] whose last entry is 1.

    Raises:
        ValueError: an entry lies outside [0, 1] or is NaN, the last is not 1, or there are not `pickers` of them.
    """
    s = as_array(s)
    _require_real("s", s)
    require(np.ndim(s) >= 1, f"`s` needs one entry a picker, such as [0.3, 1.0]; got {s!r}.")
    _require_length("s", s, pickers)
    known = concrete(s)
    if known is None and hasattr(s, "sum"):
        bad = ~jnp.all((s >= 0) & (s <= 1)) | ~jnp.all(s[..., -1] == 1)
        return stop_if(s, bad, "`s` must lie in [0, 1] and end with 1.")
    if known is not None:
        require(np.all((known >= 0) & (known <= 1)), f"`s` must lie in [0, 1], got {known}.")
        require(
            np.all(known[..., -1] == 1),
            f"`s` must end with 1, since the last picker takes all that is left; got {known}.",
        )
    _require_length("s", s, pickers)
    return s


def as_quotas(quotas: Any, items: int | None = None) -> Int[np.ndarray, " pickers"]:
    """`quotas` as whole numbers `[pickers]` that are not negative, and sum to `items` where that is known.

    Raises:
        ValueError: they are not.
    """
    t = np.asarray(quotas)
    whole = t.dtype.kind in "iuf" and np.all(np.isfinite(t)) and np.all(t == np.round(t))
    require(t.ndim == 1 and whole and np.all(t >= 0), f"`quotas` must be whole numbers, not negative; got {quotas!r}.")
    require(
        items is None or t.sum() == items, f"`quotas` must sum to the {items} items, got {quotas!r} with sum {t.sum()}."
    )
    return t.astype(np.int32)


def stop_if(x: Any, bad: Any, said: str) -> Any:
    """`x`, refused when the program runs if `bad`: the check hangs on one number, so that `x` needs no copy."""
    return x + eqx.error_if(jnp.zeros((), x.dtype), bad, said)


def _require_real(name: str, x: Any) -> None:
    fine = isinstance(x, jax.ShapeDtypeStruct) or (hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.floating))
    require(fine, f"`{name}` must be real numbers, got {x!r}.")


def _require_length(name: str, x: Any, pickers: int | None) -> None:
    count = np.shape(x)[-1]
    require(count >= 2, f"`{name}` needs at least two pickers, got {count}.")
    require(
        pickers is None or count == pickers, f"`{name}` needs one entry an agent: got {count} for {pickers} agents."
    )


def reach(s: Float[Array | np.ndarray, "*batch pickers"]) -> Float[Array, "*batch pickers"]:
    """Chance R_k that an item reaches the k-th picker, `[pickers]`; 1 for the first."""
    s = jnp.asarray(s)
    return jnp.concatenate([jnp.ones_like(s[..., :1]), jnp.cumprod(1 - s[..., :-1], -1)], -1)


def s_to_r(s: Float[Array | np.ndarray, "*batch pickers"]) -> Float[Array, "*batch pickers"]:
    """Fractions of all items from fractions of what is left, r_k = s_k R_k (definition 3.5) [P].

    Example:
        >>> s_to_r(np.array([0.25, 0.5, 1.0])).tolist()
        [0.25, 0.375, 0.375]
    """
    return jnp.asarray(s) * reach(s)


def r_to_s(r: Float[Array | np.ndarray, "*batch pickers"]) -> Float[Array, "*batch pickers"]:
    """Fractions of what is left from fractions of all items, s_k = r_k / R_k (lemma 3.6) [P]; 1 where nothing is left.

    Example:
        >>> r_to_s(np.array([0.5, 0.5, 0.0])).tolist()
        [0.5, 1.0, 1.0]
    """
    r = jnp.asarray(r)
    # Summed from the end, so that what is left is precise where it is small.
    left = lax.cumsum(r, r.ndim - 1, reverse=True)
    empty = left <= 0
    s = jnp.where(empty, 1.0, r / jnp.where(empty, 1.0, left))
    return jnp.concatenate([s[..., :-1], jnp.ones_like(s[..., -1:])], -1)


def quotas(r: Any, items: int) -> Int[Array | np.ndarray, "*batch pickers"]:
    r"""Whole numbers of items, :math:`t_k = \lfloor m \sum_{l \le k} r_l \rfloor - \lfloor m \sum_{l < k} r_l \rfloor` [P].

    Definition 3.4 of Halpern, Psomas and Zhang. A product that differs from a whole number by rounding only counts as that
    number, so ten tenths of ten items are ten ones.

    Args:
        r: `[..., pickers]`, fractions.
        items: how many there are.

    Returns:
        `[..., pickers]`, which sum to `items`; NumPy where `r` is known.

    Example:
        >>> quotas([0.1] * 10, 10).tolist(), quotas([1 / 3, 2 / 3], 10).tolist()
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [3, 7])
    """
    known = concrete(as_array(r))
    if known is None:
        return _whole(jnp, jnp.asarray(r), items, float(jnp.finfo(r.dtype).eps))
    return np.asarray(_whole(np, known.astype(np.float64), items, float(np.finfo(known.dtype).eps)))


def _whole(xp: Any, r: Any, items: int, eps: float) -> Any:
    ends = items * xp.cumsum(r[..., :-1], -1)
    near = xp.round(ends)
    ends = xp.where(xp.abs(ends - near) <= 8 * eps * xp.maximum(ends, 1.0), near, xp.floor(ends))
    ends = xp.clip(ends, 0, items).astype(xp.int32)
    shape = (*r.shape[:-1], 1)
    return xp.diff(ends, prepend=xp.zeros(shape, xp.int32), append=xp.full(shape, items, xp.int32))


class _Thresholds(constraints.Constraint):
    """Vectors in [0, 1] whose last entry is 1."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return ((x >= 0) & (x <= 1)).all(-1) & (x[..., -1] == 1)

    def feasible_like(self, prototype: Any) -> Any:
        return jnp.ones_like(prototype)

    def inside(self, x: Any, hair: float) -> Any:
        """`x` away from the edges, where the bijection would be infinite."""
        return jnp.concatenate([jnp.clip(x[..., :-1], hair, 1 - hair), x[..., -1:]], -1)

    def tree_flatten(self) -> Any:
        return (), ((), {})


thresholds = _Thresholds()


class _LogisticThenOne(transforms.ParameterFreeTransform):
    """A logistic step in every coordinate, and 1 at the end."""

    domain = constraints.real_vector  # pyright: ignore[reportAssignmentType]  NumPyro declares properties
    codomain = thresholds  # pyright: ignore[reportAssignmentType]

    def __call__(self, x: Any) -> Any:
        return jnp.concatenate([transforms.SigmoidTransform()(x), jnp.ones_like(x[..., :1])], -1)

    def _inverse(self, y: Any) -> Any:
        return transforms.SigmoidTransform()._inverse(y[..., :-1])

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        return jnp.sum(transforms.SigmoidTransform().log_abs_det_jacobian(x, y[..., :-1], intermediates), -1)

    def forward_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-1], shape[-1] - 1)


@biject_to.register(_Thresholds)
def _to_thresholds(constraint: _Thresholds) -> transforms.Transform:
    del constraint
    return _LogisticThenOne()
