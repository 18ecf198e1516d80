"""How an agent chooses at given prices and budget: unit demand along the whole budget interval.

At budget `b` an agent takes the best option that costs at most `b`. Integrated over a random budget with survival
function `S(k) = P(b >= k)`, and with the options ordered by preference, the chance of option `a` is

    P(a) = max(0, S(k_a) - max over preferred options b of S(k_b)),

which is the cumulative minimum of costs in preference order (specification of paper 003, B4 [D]) written without
sorting: exact, differentiable almost everywhere, and linear in agents.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

UNROLL = 16  # options up to which the loop over rivals is unrolled, so that the compiler fuses it into one pass


def demand_lottery(
    values: Float[Array | np.ndarray, "agents options"], afford: Float[Array | np.ndarray, "#agents options"]
) -> Float[Array, "agents options"]:
    """Chance that each option is the best affordable one.

    Args:
        values: only their order counts; ties go to the lowest index; −inf is infeasible.
        afford: chance that the agent's budget covers the option's cost, `P(b >= cost)`. Rows sum to the greatest
            entry among feasible options, so to 1 when one of them is free.

    Example:
        >>> demand_lottery(jnp.array([[2.0, 1.0, 0.0]]), jnp.array([[0.25, 0.5, 1.0]])).tolist()
        [[0.25, 0.25, 0.5]]
    """
    return _lottery(jnp.asarray(values), jnp.asarray(afford))


@jax.custom_jvp
def _lottery(values: Float[Array, "agents options"], afford: Float[Array, "#agents options"]):
    return _with_rivals(values, afford)[0]


@_lottery.defjvp
def _lottery_jvp(primals, tangents):
    """A share that is bought moves with its own chance and against that of the best rival: two terms an entry.

    Differentiating through the running maximum instead keeps every step of it, and costs sixty times the demand.
    """
    shares, rival = _with_rivals(*primals)
    _, moved = tangents
    options = shares.shape[1]
    if options <= UNROLL:
        against = sum(jnp.where(rival == b, moved[:, b : b + 1], 0.0) for b in range(options))
    else:
        wide = jnp.broadcast_to(moved, shares.shape)
        against = jnp.where(rival >= 0, jnp.take_along_axis(wide, jnp.maximum(rival, 0), 1), 0.0)
    return shares, jnp.where(shares > 0, moved - against, 0.0)


def _with_rivals(values, afford):
    """Shares, and which preferred option is the most affordable one (-1 where none is preferred)."""
    options = values.shape[-1]
    index = jnp.arange(options)[None]

    def meet(state, theirs, covered, b):
        best, who = state
        preferred = ((theirs > values) | ((theirs == values) & (b < index))) & (covered > best)
        return jnp.where(preferred, covered, best), jnp.where(preferred, jnp.asarray(b, who.dtype), who)

    state = jnp.zeros(values.shape, afford.dtype), jnp.full(values.shape, -1, jnp.int32)
    if options <= UNROLL:
        for b in range(options):
            state = meet(state, values[:, b : b + 1], afford[:, b : b + 1], b)
    else:
        column = lambda x, b: jax.lax.dynamic_index_in_dim(x, b, 1)
        step = lambda state, b: (meet(state, column(values, b), column(afford, b), b), None)
        state, _ = jax.lax.scan(step, state, index[0])
    best, who = state
    # An infeasible rival is preferred to nothing that could be taken, so only own infeasible options need a mask.
    return jnp.where(jnp.isneginf(values), 0.0, jnp.maximum(afford - best, 0.0)), who


def demand_choice(
    values: Float[Array | np.ndarray, "agents options"],
    cost: Float[Array | np.ndarray, "#agents options"],
    budget: Float[Array | np.ndarray, " agents"],
) -> Float[Array, "agents options"]:
    """The best affordable option at one budget each, as 0/1 shares; a row of zeros where nothing is affordable."""
    worth = jnp.where(cost <= budget[:, None], values, -jnp.inf)
    chosen = jax.nn.one_hot(jnp.argmax(worth, -1), values.shape[-1], dtype=worth.dtype)
    return jnp.where(jnp.isneginf(worth.max(-1, keepdims=True)), 0.0, chosen)
