"""Probabilistic serial: all eat their favourite option at once, at the same speed, until they have had one share."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ...models.population import Population
from ..base import AbstractMechanism, Allocation, Certificate
from ..promises import Feasible
from ._choice import Choices, advance
from ._promises import Efficient, SDEnvyFree
from ._rounding import round_lottery

if TYPE_CHECKING:
    from ..promises import AbstractPromise

SOLVED = {"float32": 2e-4, "float64": 1e-9}


class ProbabilisticSerial(AbstractMechanism):
    r"""Simultaneous eating at unit speed over the time from 0 to 1; a share is the time spent eating an option.

    With :math:`T_o` the time at which option `o` has run out (1 if it never does), agent `i` eats `o` from when all
    that she likes better are gone until `o` is gone:

    .. math:: x_{io} = \Big( T_o - \max_{p \succ_i o} T_p \Big)_+ ,\qquad
        \sum_i x_{io} = \mathrm{capacity}_o \ \text{ where } T_o < 1 .

    Run-out times are found exactly, event by event, at most one event an option; the certificate's residual is how
    far the second line is from holding, relative to capacity. Gradients in capacity are those of the formula.

    Expected shares need no key. With a key, one realisation by dependent rounding: each agent's chances are exactly
    her shares, and an option is given to its expected number of agents, rounded down or up. So a whole capacity is
    never exceeded, and a fractional one by less than one seat.

    Ordinally efficient and free of envy in the sense of stochastic dominance, which `RandomSerialDictatorship` is not.
    **Truth is not dominant**: only no lie is better in every prefix of one's own ranking (weak strategy-proofness for
    one seat each), so there is no DSIC promise and the audit refutes one.

    Supplies are `Items` and menus whose options have seats of their own, `Menu.seats(capacity)`. Ties and those left
    over are as in `SerialDictatorship`.

    Source: Bogomolnaia and Moulin (2001), Section 4; with quotas and an outside option,
    Kojima and Manea (2010).

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]))
        >>> ProbabilisticSerial().allocate(wanted).shares.tolist()
        [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]
    """

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        choices = Choices.unit_demand(reported)
        order = choices.order()
        gone = _run_out(choices, order)
        shares = _eaten(order, gone)
        room = choices.room(shares)
        short = jnp.where(gone < 1, jnp.abs(room), jnp.maximum(-room, 0)) / jnp.maximum(choices.capacity, 1)
        if key is not None:
            shares = jax.nn.one_hot(round_lottery(shares, key, choices.capacity), shares.shape[1], dtype=shares.dtype)
        unserved = choices.unserved(shares)
        certificate = Certificate(
            jnp.max(jnp.where(choices.capacity > 0, short, 0)) + unserved + choices.flaw,
            tolerance=SOLVED[str(shares.dtype)],
            parts={"gone": gone[:-1], "unserved": unserved},
            advice="Either agents were left unserved (add a free outside option), or options share a good.",
        )
        return Allocation(shares[:, :-1], certificate)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (SDEnvyFree(), Efficient(), Feasible())


def _run_out(choices: Choices, order: Int[Array, "agents choices"]) -> Float[Array, " choices"]:
    """When each choice is eaten up, infinite if never: one event after another, each the end of one or more choices."""
    agents, capacity = choices.num_agents, choices.capacity
    who = jnp.arange(agents)

    def event(state, _):
        now, left, gone, at = state
        at = advance(at, lambda i: left[order[who, i]] <= 0, choices.nothing)
        eaters = jnp.zeros_like(left).at[order[who, at]].add(1)
        lasts = jnp.where((eaters > 0) & (left > 0), left / jnp.maximum(eaters, 1), jnp.inf)
        step = jnp.minimum(jnp.min(lasts), 1 - now)
        out = lasts <= step
        left = jnp.where(out, 0.0, left - step * eaters)
        return (now + step, left, jnp.where(out & (now + step < 1), now + step, gone), at), None

    # More seats than agents never run out, and a finite number keeps gradients free of inf - inf.
    left = jnp.minimum(capacity, agents + 1).astype(capacity.dtype)
    gone = jnp.where(left > 0, jnp.inf, 0.0).astype(left.dtype)
    start = (jnp.zeros((), left.dtype), left, gone, jnp.zeros_like(who))
    return jax.lax.scan(event, start, None, length=capacity.shape[0])[0][2]


def _eaten(order: Int[Array, "agents choices"], gone: Float[Array, " choices"]) -> Float[Array, "agents choices"]:
    """The share of each choice from the times at which choices are gone, by the formula above."""
    until = jax.lax.cummax(jnp.minimum(gone, 1)[order], 1)
    share = jnp.diff(until, axis=1, prepend=jnp.zeros_like(until[:, :1]))
    return jnp.zeros_like(share).at[jnp.arange(order.shape[0])[:, None], order].set(share)
