"""Rules in tokens for unit demand: prices that clear on the reports, and prices posted in advance."""

import dataclasses
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from ...models._check import as_array, concrete, dtype_of, require
from ...models.demand import demand_choice, demand_lottery
from ...models.laws import AbstractLaw
from ...models.population import Population
from ...models.supply import Menu
from ..base import AbstractMechanism, Allocation, Certificate
from ..parameters import learned
from ..promises import DSIC, Feasible
from . import clearing

if TYPE_CHECKING:
    from ..promises import AbstractPromise

SOLVED = {"float32": 2e-5, "float64": 1e-9}


class TokenPrices(AbstractMechanism):
    """Posted prices in tokens: each agent draws a budget and takes the best option it covers.

    Budgets are independent draws from `law` on `[1 - eps, 1]`, whatever is reported, so truth is a dominant strategy
    under unit demand. The last option is the outside option and costs nothing. Capacity is not enforced.

    Args:
        price: `[options - 1]`, tokens; a full budget is 1. Learned, not negative.
        eps: width of the budget interval, in (0, 1]. Learned.
        law: the law of budgets, any object with `survival(x)` and `sample`; None is uniform on `[1 - eps, 1]`.
        head: `[groups]`, head start by `Population.kind` in widths: `eps * head` tokens more. Learned; None is equal
            budgets. [X]
        lottery: draw budgets together, as in `TokenMarket`. [X]

    Raises:
        ValueError: a negative or NaN price, `eps` outside (0, 1], `head` outside [0, 1].

    Source: Nguyen, Teytelboym and Vardi (2023), demand of Eq. (1) at random budgets; specification B4, B6.

    Example:
        >>> import numpy as np
        >>> rule = TokenPrices(price=[0.9], eps=0.2)
        >>> rule.allocate(Population(np.array([[1.0, 0.0]]))).shares.round(6).tolist()
        [[0.5, 0.5]]
    """

    price: Float[Array | np.ndarray, " goods"] = learned(constraints.nonnegative)
    eps: Float[Array | np.ndarray, ""] = learned(constraints.unit_interval)
    law: AbstractLaw | None = None
    head: Float[Array | np.ndarray, " groups"] | None = learned(constraints.unit_interval, default=None)
    lottery: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        _check_budgets(self.eps, self.head)
        price = concrete(self.price)
        require(price is None or np.all(price >= 0), f"`price` must not be negative or NaN, got {price}.")

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        cost = _cost(self.price, reported)
        more = _head_start(self.eps, self.head, reported)
        if key is None:
            shares = demand_lottery(reported.values, _survival(self.law, self.eps, cost[None] - more[:, None]))
        else:
            budget = _draw(self.law, self.eps, reported, key, self.lottery) + more
            shares = demand_choice(reported.values, cost[None], budget)
        return Allocation(shares, Certificate(jnp.zeros((), shares.dtype), parts={"price": jnp.asarray(self.price)}))

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (DSIC(agents=8),)


class TokenMarket(AbstractMechanism):
    """Prices in tokens that clear in expectation on the reports, for budgets of one atomless law.

    Head starts by group and a share of seats held back per good are there to learn. With neither, every agent has the
    same budget law: that is the common-law pseudo-market of the specification (B6 [X]), and in large markets random
    serial dictatorship, since at a clearing price a budget is a place in the queue.

    Capacities hold in expectation over budgets; a realisation may exceed them, which is what holding back is for.
    A report moves the prices (by order 1/agents), so there is no incentive promise in a finite population.

    Args:
        head: `[groups]`, head start by `Population.kind`, in widths of the budget interval. Learned, in [0, 1].
        holdback: `[goods]`, share of each capacity kept out of the market. Learned, in [0, 1].
        eps: width of the budget interval, in (0, 1]. Data.
        law: as in `TokenPrices`, atomless.
        lottery: draw budgets together, as shuffled places of one queue, instead of independently. Every agent's budget
            law stays the same and so do expected shares; realised use varies less, so less need be held back. [X]

    Raises:
        ValueError: `head` or `holdback` outside [0, 1], `eps` outside (0, 1].

    Example:
        >>> import numpy as np
        >>> from fairhand.models import Menu
        >>> crowd = Population(np.array([[1.0, 0.0]] * 4), Menu.seats([1.0]), kind=np.zeros(4, int))
        >>> TokenMarket(head=[0.0], holdback=[0.0], eps=0.2).allocate(crowd).certificate["price"].round(5).tolist()
        [0.95]
    """

    head: Float[Array | np.ndarray, " groups"] = learned(constraints.unit_interval)
    holdback: Float[Array | np.ndarray, " goods"] = learned(constraints.unit_interval)
    eps: Float[Array | np.ndarray, ""] = eqx.field(default=0.2, converter=as_array)
    law: AbstractLaw | None = None
    lottery: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        _check_budgets(self.eps, self.head)
        held = concrete(self.holdback)
        require(
            held is None or np.all((held >= 0) & (held <= 1)),
            f"`holdback` is a share of capacity in [0, 1], got {held}.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        solved = self.clear(reported)
        afford = self._afford(solved.price, reported)
        certificate = Certificate(
            solved.residual,
            tolerance=SOLVED[str(dtype_of(reported.values))],
            parts={"price": solved.price},
            advice="Prices did not clear: widen `eps`, or check that the budget law has no atoms.",
        )
        expected = Allocation(demand_lottery(reported.values, afford), certificate)
        return expected if key is None else self.realise(reported, expected, key)

    def realise(self, reported: Population, expected: Allocation, key: PRNGKeyArray) -> Allocation:
        assert expected.certificate is not None
        cost = _cost(expected.certificate["price"], reported)
        budget = _draw(self.law, self.eps, reported, key, self.lottery) + _head_start(self.eps, self.head, reported)
        return Allocation(demand_choice(reported.values, cost[None], budget), expected.certificate)

    def _afford(self, price: Float[Array | np.ndarray, " goods"], reported: Population):
        more = _head_start(self.eps, self.head, reported)
        return _survival(self.law, self.eps, _cost(price, reported)[None] - more[:, None])

    def clear(self, reported: Population) -> clearing.Clearing:
        """The clearing prices on these reports, differentiable in the rule and in the capacities.

        Up to the least budget a price deters nobody, so the search is for the part above it; a good that clears there
        costs nothing.
        """
        if not isinstance(reported.supply, Menu):
            raise ValueError(f"`supply` must be a `Menu` of seats, got {type(reported.supply).__name__}.")
        capacity = jnp.asarray(reported.supply.capacity, dtype_of(reported.values)) * (1 - self.holdback)
        more = _head_start(self.eps, self.head, reported)
        agents, goods = reported.num_agents, capacity.shape[0]

        eps = jnp.asarray(self.eps, dtype_of(reported.values))
        floor = (1 - eps if self.law is None else jnp.asarray(self.law.support[0])) + more.min()

        def left(above, args):
            law, eps, more, floor, capacity = args
            afford = _survival(law, eps, _cost(floor + above, reported)[None] - more[:, None])
            return (capacity - demand_lottery(reported.values, afford)[:, :goods].sum(0)) / agents

        solved = clearing.solve(left, (self.law, eps, more, floor, capacity), jnp.full(goods, 0.5 * eps), eps)
        # Of the two sides of complementarity the greater one is the one that holds; the other is rounding.
        price = jnp.where(solved.price > solved.left, floor + solved.price, 0.0)
        residual = clearing.natural_residual(jax.lax.stop_gradient(price), solved.left)
        return dataclasses.replace(solved, price=price, residual=residual)

    def post(self, price: Float[Array | np.ndarray, " goods"]) -> TokenPrices:
        """The same budgets at prices fixed in advance, whoever comes."""
        return TokenPrices(price, self.eps, self.law, self.head, self.lottery)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (Feasible(),)

    def equal(self) -> "TokenMarket":
        """The same market with equal budgets and nothing held back."""
        return dataclasses.replace(self, head=0 * self.head, holdback=0 * self.holdback)


def _check_budgets(eps, head):
    eps, head = concrete(eps), concrete(head)
    require(eps is None or np.all((eps > 0) & (eps <= 1)), f"`eps` is a width in tokens in (0, 1], got {eps}.")
    require(head is None or np.all((head >= 0) & (head <= 1)), f"`head` is in widths, in [0, 1]; got {head}.")


def _cost(price: Float[Array | np.ndarray, " goods"], reported: Population) -> Float[Array, " options"]:
    if reported.num_options != np.shape(price)[-1] + 1:
        raise ValueError(
            f"`values` must have one option per price and a free outside option last: {np.shape(price)[-1]} prices, "
            f"{reported.num_options} options. Add a last column of zeros."
        )
    price = jnp.asarray(price, dtype_of(reported.values))
    return jnp.concatenate([price, jnp.zeros(1, price.dtype)])


def _head_start(eps, head, reported: Population) -> Float[Array, " agents"]:
    if head is None:
        return jnp.zeros(reported.num_agents, dtype_of(reported.values))
    if reported.kind is None:
        raise ValueError("`kind` is missing: head starts go by group, so the population needs each agent's group.")
    return jnp.asarray(eps * jnp.asarray(head)[reported.kind], dtype_of(reported.values))


def _survival(law, eps, cost):
    if law is None:
        return jnp.clip((1 - cost) / jnp.asarray(eps, cost.dtype), 0, 1)
    return law.survival(cost)


def _draw(law, eps, reported: Population, key: PRNGKeyArray, lottery: bool = False) -> Float[Array, " agents"]:
    n, dtype = reported.num_agents, dtype_of(reported.values)
    if lottery:
        place, within = jax.random.split(key)
        queue = jax.random.permutation(place, n).astype(dtype)
        chance = (queue + jax.random.uniform(within, (n,), dtype)) / n
        return 1 - jnp.asarray(eps, dtype) * chance if law is None else law.quantile(chance)
    if law is None:
        return 1 - jnp.asarray(eps, dtype) * jax.random.uniform(key, (n,), dtype)
    return law.sample((n,), key=key)
