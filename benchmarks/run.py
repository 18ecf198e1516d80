"""Performance as ratios against a named baseline in the same run: `make bench`.

Nothing here is a test: machines differ and are shared. Each line says what is compared with what, and the ratio that we
hold ourselves to.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _timing import compare

from fairhand.models.demand import demand_lottery


def demand(dtype: jnp.dtype) -> None:
    """Unit demand of 10^6 agents over 8 options, against one copy of its input."""
    with jax.enable_x64(dtype == jnp.float64):
        values = jax.random.normal(jax.random.key(0), (10**6, 8), dtype)
        afford = jnp.linspace(0.2, 1.0, 8, dtype=dtype)[None]
        shares, copy = jax.jit(demand_lottery), jax.jit(jnp.copy)
        name = f"unit demand, 10^6 x 8, {dtype.name}, to one copy"
        print(compare(name, lambda: shares(values, afford), lambda: copy(values), 5.0))
        gradient = jax.jit(jax.grad(lambda a: jnp.sum(demand_lottery(values, a) * values)))
        name = f"  its gradient in prices, {dtype.name}, to the demand itself"
        print(compare(name, lambda: gradient(afford), lambda: shares(values, afford), 30.0))


def sorting() -> None:
    """The same demand by sorting each agent's options, which is what one would write first."""
    values = jax.random.normal(jax.random.key(0), (10**5, 8))
    afford = jnp.linspace(0.2, 1.0, 8)[None]

    @jax.jit
    def by_sorting(values, afford):
        order = jnp.argsort(-values, -1)
        covered = jax.lax.cummax(
            jnp.broadcast_to(afford, values.shape)[jnp.arange(len(values))[:, None], order], axis=1
        )
        before = jnp.concatenate([jnp.zeros_like(covered[:, :1]), covered[:, :-1]], 1)
        rows = jnp.arange(len(values))[:, None]
        return jnp.zeros_like(values).at[rows, order].set(covered - before)

    shares = jax.jit(demand_lottery)
    assert np.allclose(shares(values, afford), by_sorting(values, afford), atol=1e-6)
    print(
        compare(
            "unit demand, 10^5 x 8, to the same by sorting",
            lambda: shares(values, afford),
            lambda: by_sorting(values, afford),
            0.2,
        )
    )


if __name__ == "__main__":
    print(f"{jax.devices()[0].platform}, {len(jax.devices())} device(s); medians of pairwise ratios, with the extremes")
    for precision in ("float32", "float64"):
        demand(jnp.dtype(precision))
    sorting()
