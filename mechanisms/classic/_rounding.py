"""From a lottery over options to one realisation: dependent rounding that keeps every chance and every whole count.

Edges of the bipartite graph of agents and options that carry a chance strictly between 0 and 1 are rounded along
cycles. On a cycle, chances move up and down in turn, so rows and columns keep their sums. A move in one direction or
the other goes until an edge reaches 0 or 1, with probabilities that leave every chance unchanged on average (Gandhi,
Khuller, Parthasarathy and Srinivasan 2006, Section 2). One more row holds what each column lacks to the next whole
number, so that every row and column has a whole sum, a cycle always exists, and a column ends at the floor or the
ceiling of its expected count.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


class _Walk(eqx.Module):
    """A walk along fractional edges: position `p` is a row and the column by which it was left; the walk is at `k`.

    No column is left twice, so a walk is never longer than there are columns.
    """

    table: Float[Array, "columns rows"]
    start: Int[Array, ""]
    k: Int[Array, ""]
    rows: Int[Array, " places"]
    columns: Int[Array, " places"]
    steps: Int[Array, ""]


def round_lottery(
    shares: Float[Array, "agents choices"], key: PRNGKeyArray, limit: Float[Array, " choices"] | None = None
) -> Int[Array, " agents"]:
    """One choice for each agent, drawn with probabilities `shares`.

    Args:
        shares: rows sum to 1.
        key: the coins.
        limit: seats of each choice, at least its expected number: a whole limit is kept whatever the rounding error.

    Returns:
        Each agent's choice. Chances are kept up to rounding error of the precision; the number of agents with a
        choice is its expected number, rounded down or up.
    """
    agents, columns = shares.shape
    row, column, place = (jnp.arange(n, dtype=jnp.int32) for n in (agents + 1, columns, columns + 1))
    tiny = 32 * jnp.finfo(shares.dtype).eps

    def fractional(x):
        return (x > tiny) & (x < 1 - tiny)

    def snapped(x):
        return jnp.where(x <= tiny, 0.0, jnp.where(x >= 1 - tiny, 1.0, x)).astype(shares.dtype)

    total = shares.sum(0)
    most = jnp.ceil(total) if limit is None else jnp.minimum(jnp.ceil(total), jnp.ceil(limit))
    table = snapped(jnp.concatenate([shares, (most - total)[None]]).T)

    def step(w: _Walk) -> _Walk:
        here = w.rows[w.k]
        came_by = jnp.where(w.k > 0, w.columns[w.k - 1], -1)
        ways = fractional(w.table[:, here]) & (column != came_by)
        no_way = ~jnp.any(ways)
        out = jnp.where(no_way, jnp.maximum(came_by, 0), jnp.argmax(ways).astype(jnp.int32))
        others = fractional(w.table[out]) & (row != here)
        other = jnp.argmax(others).astype(jnp.int32)

        seen_column = (w.columns == out) & (place < w.k) & ~no_way
        seen_row = (w.rows == other) & (place < w.k) & ~no_way
        by_column = jnp.any(seen_column)
        # Sums are whole, so there is a way on; rounding error can leave a lonely edge, whole up to that error.
        done = no_way & (w.k == 0)
        lonely = ~done & (no_way | (~by_column & ~jnp.any(others)))
        closed = ~lonely & (by_column | jnp.any(seen_row))
        first = jnp.where(by_column, jnp.argmax(seen_column) + 1, jnp.argmax(seen_row)).astype(jnp.int32)

        # Rows `first` to `k` are on the cycle: each is entered by the column before, the first one by the last.
        leaves = w.columns.at[w.k].set(out)
        enters = jnp.where(place == first, out, jnp.roll(leaves, 1))
        on = closed & (place >= first) & (place <= w.k)
        x_in, x_out, edge = w.table[enters, w.rows], w.table[leaves, w.rows], w.table[out, here]
        coin = jax.random.uniform(jax.random.fold_in(key, w.steps), (), shares.dtype)
        move = _move(on, x_in, x_out, coin)
        # One scatter, once all is read: XLA then works in place. An index out of range is dropped.
        spot = jnp.concatenate([jnp.where(on, enters, columns), jnp.where(on, leaves, columns)])
        spot = jnp.concatenate([spot, jnp.where(lonely, out, columns)[None]])
        value = jnp.concatenate([snapped(x_in - move), snapped(x_out + move), jnp.round(edge)[None]])
        spot, value, held = jax.lax.optimization_barrier((spot, value, w.table))
        table = held.at[spot, jnp.concatenate([w.rows, w.rows, here[None]])].set(value, mode="drop")

        start = w.start + done.astype(w.start.dtype)
        back = jnp.where(by_column, first - 1, first)  # what came before the cycle is still fractional
        k = jnp.where(done | lonely, 0, jnp.where(closed, back, w.k + 1)).astype(jnp.int32)
        onward = ~(done | lonely | closed)
        rows = w.rows.at[jnp.where(onward, w.k + 1, 0)].set(jnp.where(onward, other, start))
        return _Walk(table, start, k, rows, leaves, w.steps + 1)

    zero, nowhere = jnp.zeros((), jnp.int32), jnp.zeros(columns + 1, jnp.int32)
    end = jax.lax.while_loop(lambda w: w.start <= agents, step, _Walk(table, zero, zero, nowhere, nowhere, zero))
    return jnp.argmax(end.table[:, :-1], 0).astype(jnp.int32)


def _move(
    on: Bool[Array, " places"], x_in: Float[Array, " places"], x_out: Float[Array, " places"], coin: Float[Array, ""]
) -> Float[Array, ""]:
    """How far chances move along a cycle, `out` edges up and `in` edges down: zero on average, to an end on the way."""

    def least(x):
        return jnp.min(jnp.where(on, x, 1.0))

    up = jnp.minimum(least(1 - x_out), least(x_in))
    down = jnp.minimum(least(x_out), least(1 - x_in))
    return jnp.where(coin * (up + down) < down, up, -down)
