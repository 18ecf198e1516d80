r"""The nearest point of a capped simplex, for many columns at once.

For each column the projection of v onto :math:`\{0 \le x \le b, \sum x = 1\}` is :math:`\mathrm{clip}(v - \lambda, 0, b)`
with the one lambda at which it sums to 1: the root of a falling piecewise-linear function, found by Newton steps from the last
lambda, which are exact once the active rows are known.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

#: How far sums may be from 1 before the last, exact, correction.
LOOSE = 1e-9
STEPS = 60


def project(
    v: Float[Array, "rows items"], caps: Float[Array, "rows items"] | None, start: Float[Array, " items"], free: bool
) -> tuple[Float[Array, "rows items"], Float[Array, " items"]]:
    """Columns of v onto their capped simplices, and lambda less the largest entry, to start from next time.

    Args:
        v: the points.
        caps: largest share of each row; None where nobody is capped below 1.
        start: a guess of lambda less the column's largest entry.
        free: whether sums may be below 1.
    """
    top = jnp.max(v, 0)
    w = v - top[None]
    x, start = _whole(w, start) if caps is None else _capped(w, caps, start)
    if not free:
        return x, start
    # lambda >= 0: where even lambda = 0 gives away less than all, that is the nearest point.
    loose = jnp.maximum(v, 0) if caps is None else jnp.clip(v, 0, caps)
    return jnp.where((column_sums(loose)[0] <= 1)[None], loose, x), start


def _whole(w: Array, start: Array) -> tuple[Array, Array]:
    def newton(carry):
        at, _, step = carry
        d = w - at[None]
        total, active = column_sums(jnp.maximum(d, 0), (d > 0).astype(w.dtype))
        at = jnp.clip(at + (total - 1) / jnp.maximum(active, 1), -1, 0)
        return at, jnp.max(jnp.abs(total - 1)), step + 1

    # Right of the root one step leads to the left of it, and from there they climb to it.
    first = (jnp.clip(start, -1, 0), jnp.asarray(jnp.inf, w.dtype), 0)
    at, _, _ = lax.while_loop(lambda c: (c[1] > _loose(w)) & (c[2] < STEPS), newton, first)
    x = jnp.maximum(w - at[None], 0)
    return x / column_sums(x)[0][None], at


def _capped(w: Array, caps: Array, start: Array) -> tuple[Array, Array]:
    target = jnp.minimum(column_sums(caps)[0], 1)

    def newton(carry):
        at, low, high, _, step = carry
        d = w - at[None]
        total, active = column_sums(jnp.clip(d, 0, caps), ((d > 0) & (d < caps)).astype(w.dtype))
        off = total - target
        low, high = jnp.where(off >= 0, at, low), jnp.where(off <= 0, at, high)
        to = at + off / jnp.maximum(active, 1)
        inside = (active > 0) & (to >= low) & (to <= high)
        return jnp.where(inside, to, (low + high) / 2), low, high, jnp.max(jnp.abs(off)), step + 1

    low, high = jnp.min(w - caps, 0), jnp.zeros_like(target)
    first = (jnp.clip(start, low, high), low, high, jnp.asarray(jnp.inf, w.dtype), 0)
    at = lax.while_loop(lambda c: (c[3] > _loose(w)) & (c[4] < STEPS), newton, first)[0]
    x = jnp.clip(w - at[None], 0, caps)
    room = caps - x
    total, left = column_sums(x, room)
    short = target - total
    more = x + room * (jnp.maximum(short, 0) / jnp.maximum(left, 1e-30))[None]
    less = x * (target / jnp.maximum(total, 1e-30))[None]
    return jnp.where((short > 0)[None], more, less), at


def column_sums(*arrays: Float[Array, "rows items"]) -> list[Float[Array, " items"]]:
    """Sums over the rows, by folding halves onto each other, which CPUs do four times faster than a reduction."""
    halves, odd = list(arrays), [jnp.zeros_like(a[0]) for a in arrays]
    while (rows := halves[0].shape[0]) > 1:
        half = rows // 2
        if rows % 2:
            odd = [o + a[-1] for o, a in zip(odd, halves, strict=True)]
        halves = [a[:half] + a[half : 2 * half] for a in halves]
    return [a[0] + o for a, o in zip(halves, odd, strict=True)]


def _loose(w: Array) -> float:
    return LOOSE if w.dtype == jnp.float64 else 1e-5
