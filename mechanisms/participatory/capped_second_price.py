"""Two agents who pay the other's value for what they might get: hardly worth lying to."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from ...models._check import concrete, require
from ...models.population import Population
from ..parameters import learned
from ._promises import shares_add_up
from ._softened import AbstractSoftened
from ._weights import Levers, program_of
from .externality_pricing import PricedAllocation
from .participatory import Participatory

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class CappedSecondPrice(AbstractSoftened):
    r"""The best shares for two people, who each pay the other's value of every item that comes near them.

    .. math:: p_i = \sum_j a_{-ij} \, 1\{a_{ij} \ge r_i a_{-ij}\}, \qquad
        r_i = \frac{1 - (\alpha_i + \beta_{-i})}{1 + (\alpha_i + \beta_{-i})}

    with reported alpha and beta, capped. Where each values an item at r times the other's or more, *both* pay. The printed rule
    lacks the factor a_{-ij}.

    It is not truthful, and promises nothing about it. What the paper states for alpha = beta [P]: nobody gains by reporting a
    value outside [r^2 a, a / r^2], with r at her own aversion and the cap. Its argument goes item by item and leaves out how
    items hang together; a search on a grid found no exception for one or two items.

    Args:
        report_cap: the most that a reported alpha or beta counts as, in [0, 1/2), so that every r is positive. Learned.

    Raises:
        ValueError: `report_cap` outside [0, 1/2); not two agents.

    Source: Shirali, Finocchiaro and Abebe (2024), proposition C.1 [P], corrected; r with alpha and beta apart [D].

    Example:
        >>> from fairhand.mechanisms.participatory import society
        >>> found = CappedSecondPrice(0.2).allocate(society([[1.0], [0.9]], alpha=0.1, beta=0.1))
        >>> found.payments.tolist()  # both are in the middle band
        [0.9, 1.0]
    """

    deterministic: ClassVar[bool] = True
    report_cap: Float[Array | np.ndarray, ""] = learned(constraints.interval(0.0, 0.5))
    _temperature: Float[Array | np.ndarray, ""] | float | None = eqx.field(init=False, default_factory=lambda: None)

    def __check_init__(self):
        cap = concrete(self.report_cap)
        require(
            hasattr(self.report_cap, "shape") and (cap is None or (cap.ndim == 0 and 0 <= cap < 0.5)),
            f"`report_cap` must be a number in [0, 0.5), got {self.report_cap}: two reports at half leave no weight on utility.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> PricedAllocation:
        """Who gets what and pays what; arguments as in `Participatory.allocate`, for two agents."""
        del key
        n = reported.num_agents
        require(n == 2, f"`values` must have two agents for this rule, got {n}; see `ExternalityPricing`.")
        rule = Participatory(report_cap=self.report_cap)
        soft = self._temperature
        allocation = (rule if soft is None else rule.soften(soft)).allocate(reported)
        program = program_of(reported, Levers(report_cap=self.report_cap))
        xp = np if program.known else jnp
        weight = program.alpha + program.beta[..., ::-1]
        r = ((1 - weight) / (1 + weight))[..., None]
        other = program.values[..., ::-1, :]
        edge = program.values - xp.broadcast_to(r, other.shape) * other
        # a step at 0, or the line that replaces it
        near = edge >= 0 if soft is None else xp.clip(0.5 + edge / xp.asarray(soft, other.dtype), 0, 1)
        payments = (other * near).sum(-1)
        return PricedAllocation(allocation.shares, allocation.certificate, payments)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (shares_add_up("forbidden"),)
