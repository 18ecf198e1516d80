"""Choice under a budget: a logit among what one can pay for, when budgets are known, and when only their law is."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._check import require
from .._spec import fields_of
from ..budget_demand import TOLERANCE, affordable, chances
from ..world import AbstractWorld
from ._bayes import observe, sample_coefficient
from ._budget_law import as_json, as_law, plain
from ._over_budgets import budget_steps, log_probability_over_budgets
from ._utility import utility
from .data import ChoiceData
from .logit import ConditionalLogit, check_within

Sites = Mapping[str, Any]


class BudgetLogit(eqx.Module):
    r"""Conditional logit of people who can only take what they can pay for in tokens worth nothing elsewhere.

    With cost :math:`k_{ij}` of alternative j for person i and an unknown budget :math:`b \sim G`,

    .. math::
        P(y_i) = \int 1\{k_{iy} \le b\}\, \frac{e^{x_{iy}\cdot\beta}}{\sum_{j: k_{ij} \le b} e^{x_{ij}\cdot\beta}}\, dG(b),

    a finite sum over costs, exact; see `budget_logit`. Where budgets are observed, G is the one point, and this is the
    conditional logit on the affordable set.

    Tokens buy nothing else, so the cost is no part of the utility unless `logit` names it. The law of budgets is
    assumed, not learned.

    Args:
        logit: what utilities are made of; its priors and its weights are as there.
        cost: column of the data with the price of each alternative, in tokens: a full budget is 1.
        eps: unknown budgets lie in [1 − eps, 1].
        law: their law on that interval, one of `fairhand.models`; None is uniform.
        budget: column with the observed budget, the same for all alternatives of a situation; then `eps` and `law`
            play no part.

    Raises:
        ValueError: `eps` outside (0, 1], a law that cannot be written down, choice-based samples.

    Source: choice model M2 of the specification for Nguyen, Teytelboym and Vardi (2023), demand of Eq. (1) with logit
    errors [X]; the finite sum is [D].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, price = rng.normal(size=(300, 3)), rng.uniform(0.7, 1.0, (300, 3)) * [1, 1, 0]
        >>> worth = np.where(price <= rng.uniform(0.8, 1.0, (300, 1)), x + rng.gumbel(size=x.shape), -np.inf)
        >>> data = ChoiceData(np.stack([x, price], -1), worth.argmax(1), ("a", "b", "none"), ("size", "price"))
        >>> model = BudgetLogit(ConditionalLogit("size", constants=False), cost="price", eps=0.2)
        >>> import fairhand as fh
        >>> abs(fh.fit(model, data, method="map", draws=50).mean["size"] - 1) < 0.3
        True
    """

    data_type: ClassVar[type] = ChoiceData
    observation: ClassVar[tuple[str, str]] = ("chosen", "situation")

    logit: ConditionalLogit = eqx.field(static=True)
    cost: str = eqx.field(static=True)
    eps: float = eqx.field(static=True, converter=float, default=0.2)
    law: Any = eqx.field(static=True, converter=plain, default=None)
    budget: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_within(self.logit)
        require(0 < self.eps <= 1, f"`eps` must be in (0, 1], got {self.eps}.")
        law = as_law(self.law)
        if law is not None and self.budget is None:
            below, above = np.asarray(law.cdf(np.array([1 - self.eps - 1e-4, 1 + 1e-6])))
            require(
                below < 1e-4 and above > 1 - 1e-4,
                f"`law` must lie on [1 - eps, 1] = [{1 - self.eps:.6g}, 1]; its cdf is {below:.3g} below and {above:.3g} "
                "at the top: use a law on that interval, or another `eps`.",
            )

    def afford(self, data: ChoiceData) -> Float[Any, "situations alternatives"]:
        """Chance that the budget covers each alternative: 0 or 1 where budgets are observed. Traced where `data` are."""
        cost = data.column(self.cost)
        if self.budget is not None:
            return (cost <= self._budgets(data)[:, None] + TOLERANCE).astype(float)
        found = affordable(cost, self.eps, as_law(self.law))
        return np.asarray(found, float) if isinstance(cost, np.ndarray) else found

    def _budgets(self, data: ChoiceData) -> Float[Any, " situations"]:
        assert self.budget is not None
        if not isinstance(data.attributes, np.ndarray):
            return jnp.max(jnp.where(jnp.asarray(data.available), data.column(self.budget), -jnp.inf), 1)
        every = np.where(data.available, data.column(self.budget), np.nan)
        low, high = np.nanmin(every, 1), np.nanmax(every, 1)
        bad = np.flatnonzero(high - low > TOLERANCE)
        require(
            bad.size == 0,
            f"{data.source}: `{self.budget}` of situation {data.situations[bad[:1]]} is not the same for all "
            "alternatives: a person has one budget.",
        )
        return high

    def arguments(self, data: ChoiceData) -> tuple[np.ndarray, ...]:
        """What `numpyro_model` takes: as `ConditionalLogit.arguments`, then the order of costs and its log-chances."""
        return (*self.logit.arguments(data), *self._steps(data))

    def _steps(self, data: ChoiceData) -> tuple[np.ndarray, np.ndarray]:
        return budget_steps(data.column(self.cost), self.afford(data))

    def numpyro_model(
        self,
        design: Float[Array | np.ndarray, "situations alternatives coefficients"],
        available: Bool[Array | np.ndarray, "situations alternatives"],
        chosen: Int[Array | np.ndarray, " situations"] | None,
        weight: Float[Array | np.ndarray, " situations"] | None,
        scale: Float[Array | np.ndarray, " coefficients"],
        order: Int[Array | np.ndarray, "situations alternatives"],
        log_mass: Float[Array | np.ndarray, "situations alternatives"],
    ) -> None:
        """Sites as in `ConditionalLogit`; `chosen` None draws the choices instead."""
        coefficient = sample_coefficient(jnp.asarray(scale), self.logit.prior_scale, self.logit.numeraire_index)
        worth = utility(coefficient, design)
        observe(log_probability_over_budgets(worth, available, order, log_mass), available, chosen, weight)

    def simulate(self, sites: Sites, arguments: tuple[Any, ...], *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """`arguments` with choices drawn anew, for one draw of the sites; for use inside compiled programs."""
        design, available, _, weight, scale, order, log_mass = arguments
        worth = utility(sites["coefficient"], design)
        chosen = jax.random.categorical(key, log_probability_over_budgets(worth, available, order, log_mass), -1)
        return design, available, chosen, weight, scale, order, log_mass

    def start(self, data: ChoiceData) -> dict[str, np.ndarray]:
        """As `ConditionalLogit.start`."""
        return self.logit.start(data)

    def coords(self, data: ChoiceData) -> dict[str, list]:
        """Coordinates of the sites' dimensions, for ArviZ."""
        return self.logit.coords(data)

    def dims(self) -> dict[str, list[str]]:
        """Dimensions of the sites, for ArviZ."""
        return self.logit.dims()

    def scalars(self, sites: Sites, data: ChoiceData) -> dict[str, Any]:
        """The coefficients by name."""
        return self.logit.scalars(sites, data)

    def identify(self, data: ChoiceData) -> tuple[str, ...]:
        """Notes on what the data can tell; refuses choices that no budget can pay for, and designs not identified.

        Ranks and separation are those of the conditional logit on all that some budget can buy.
        """
        self.logit.names(data.alternatives)
        used, cost, afford = data.weight > 0, data.column(self.cost), self.afford(data)
        self._check_costs(data, used, cost, afford)
        self._check_paid(data, used, cost, afford)
        can = data.available & (afford > 0)
        single = self.budget is None and not np.any(np.ptp(cost[used], axis=0) > TOLERANCE)
        require(
            not (single and self.cost in self.logit.attributes),
            f"{data.source}: `{self.cost}` is the same in all situations, so a taste for dear alternatives cannot be told "
            f"from small budgets: take `{self.cost}` out of the utility, vary prices, or observe budgets (`budget=`).",
        )
        notes = list(self.logit.identify(dataclasses.replace(data, available=can)))
        bought = np.bincount(np.nonzero(can[used])[1], minlength=len(data.alternatives))
        never = [a for a, times in zip(data.alternatives, bought, strict=True) if times == 0]
        if never:
            notes.append(f"No budget ever buys {never}: what is said of them comes from the form of the utility alone.")
        if single:
            notes.append(
                f"`{self.cost}` is the same in all situations: tastes for dear alternatives are told from small budgets by "
                "the assumed law alone."
            )
        if np.all(afford[used][data.available[used]] == 1):
            notes.append("Every budget buys everything: this is the `ConditionalLogit`.")
        elif self.budget is None:
            name = "uniform" if self.law is None else self.law[0]
            notes.append(f"The law of budgets is assumed, not learned: {name} on [{1 - self.eps:g}, 1].")
        return tuple(notes)

    def _check_costs(self, data: ChoiceData, used: np.ndarray, cost: np.ndarray, afford: np.ndarray) -> None:
        bad = np.argwhere(data.available & (cost < 0))
        if len(bad):
            s, a = bad[0]
            raise ValueError(
                f"{data.source}: `{self.cost}` of alternative `{data.alternatives[a]}` in situation {data.situations[s]} "
                f"is {cost[s, a]:g}: a cost is 0 or more."
            )
        most = np.where(data.available, afford, 0.0).max(1)
        bad = np.flatnonzero(used & (most < 1 - 1e-9))
        require(
            bad.size == 0,
            f"{data.source}: in situation {data.situations[bad[:1]]} a budget may buy nothing at all: add an alternative "
            f"of cost 0, or a greater budget.",
        )

    def _check_paid(self, data: ChoiceData, used: np.ndarray, cost: np.ndarray, afford: np.ndarray) -> None:
        own = np.arange(data.num_situations), data.chosen
        bad = np.flatnonzero(used & (afford[own] <= 0))
        if bad.size:
            s = int(bad[0])
            most = "any budget" if self.budget is None else f"the budget {self._budgets(data)[s]:g}"
            raise ValueError(
                f"{data.source}: the alternative `{data.alternatives[data.chosen[s]]}` chosen in situation "
                f"{data.situations[s]} costs {cost[own][s]:g}, more than {most}: correct `{self.cost}` or the choice."
            )

    def log_probabilities(self, sites: Sites, data: ChoiceData) -> Float[Array, "draws situations alternatives"]:
        """Log-probability of each alternative, before the budget is known; far below zero where it cannot be had."""
        worth = utility(jnp.asarray(sites["coefficient"]), self.logit.design(data))
        return log_probability_over_budgets(worth, data.available, *self._steps(data))

    def choice_probabilities(
        self, sites: Sites, data: ChoiceData, changed: ChoiceData | None = None
    ) -> Float[Array, "draws situations alternatives"]:
        """Chance of each alternative in each situation, before the budget is known.

        Args:
            sites: draws of the posterior. `data`: what was fitted.
            changed: the same people at other costs or attributes; their budgets are another draw of the same law, or what
                the column says. None is `data`.
        """
        at = data if changed is None else changed
        cost, afford = at.column(self.cost), self.afford(at)
        if isinstance(cost, np.ndarray):
            self._check_costs(at, np.ones(len(cost), bool), cost, afford)
        worth = utility(jnp.asarray(sites["coefficient"]), self.logit.design(at))
        every = lambda x: jnp.broadcast_to(jnp.asarray(x), worth.shape)
        return chances(
            jnp.where(every(at.available), worth, -jnp.inf),
            every(cost).astype(worth.dtype),
            every(afford).astype(worth.dtype),
        )

    def without_slope(self, data: ChoiceData) -> dict[str, str]:
        """Columns that have no elasticity, and why."""
        del data
        steps = () if self.budget is None else (self.budget, self.cost)
        jumps = "a choice jumps where a price crosses the known budget, and has no slope: compare two `predict`"
        return {name: jumps for name in steps if name not in self.logit.attributes}

    def log_densities(self, sites: Sites, data: ChoiceData) -> Float[Array, "draws situations"]:
        """Log-probability of each choice, unweighted."""
        logits = self.log_probabilities(sites, data)
        taken = jnp.broadcast_to(jnp.asarray(data.chosen)[..., None], (*logits.shape[:-1], 1))
        return jnp.take_along_axis(logits, taken, -1)[..., 0]

    def replicate(self, sites: Sites, data: ChoiceData, *, key: PRNGKeyArray) -> Int[Array, "draws situations"]:
        """Choices that might have been made instead, one set a draw."""
        return jax.random.categorical(key, self.log_probabilities(sites, data), -1)

    def worlds(self, sites: Sites, data: ChoiceData, **where: Any) -> AbstractWorld:
        """Who comes, one world a draw; arguments are those of `ConditionalLogit.world`.

        Values are those of the options themselves: what a rule charges is the rule's matter. The same people have
        errors drawn given that they took the best of what they could pay for; what they could not, they may like more.
        """
        from .budget_worlds import same_people

        coefficient = jnp.asarray(sites["coefficient"])
        world = self.logit.world(coefficient, data, **where)
        if not where.get("same"):
            return world
        return same_people(world, coefficient, data, data.column(self.cost), self.afford(data))

    def to_spec(self) -> dict[str, Any]:
        """The model as plain values that JSON can hold; `from_spec` reads it."""
        facts = {"cost": self.cost, "eps": self.eps, "law": as_json(self.law), "budget": self.budget}
        return {"model": "BudgetLogit", "logit": self.logit.to_spec(), **facts}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "BudgetLogit":
        """The model that `to_spec` wrote; refuses keys it does not know."""
        fields = fields_of(spec, cls)
        return cls(**{**fields, "logit": ConditionalLogit.from_spec(fields["logit"])})
