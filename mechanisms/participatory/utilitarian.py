"""The benchmark: the greatest total utility, whatever people think of inequality."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.distributions import constraints

from ...models._check import concrete, require
from ...models.population import Population
from ..base import Allocation
from ..parameters import learned
from ._check import check_disposal
from ._exact import solve_program
from ._promises import shares_add_up
from ._softened import AbstractSoftened
from ._weights import Levers, program_of

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class Utilitarian(AbstractSoftened):
    r"""Shares of greatest total utility: each item goes to those who value it most, each up to her cap.

    .. math:: x^* \in \arg\max_{x \in X} \sum_i u_i(x)

    It reads values only. It is not truthful: who claims more gets more.

    Args:
        caps: one agent's largest share of an item, a number or `[items]`, in (0, 1]. Learned.
        disposal: "forbidden" or "free"; it makes no difference while values are not negative.

    Raises:
        ValueError: `caps` outside (0, 1], or too small to give everything away.

    Source: Shirali, Finocchiaro and Abebe (2024), equation 2 [P].

    Example:
        >>> from fairhand.mechanisms.participatory import society
        >>> Utilitarian(caps=0.75).allocate(society([[3.0], [1.0]])).shares.tolist()
        [[0.75], [0.25]]
    """

    deterministic: ClassVar[bool] = True
    caps: Float[Array | np.ndarray, "..."] = learned(constraints.unit_interval, default=1.0, kw_only=True)
    disposal: str = eqx.field(static=True, default="forbidden", kw_only=True)
    _temperature: Float[Array | np.ndarray, ""] | float | None = eqx.field(init=False, default_factory=lambda: None)

    def __check_init__(self):
        check_disposal(self.disposal)
        caps = concrete(self.caps)
        require(
            caps is None or (caps.ndim <= 1 and bool(((caps > 0) & (caps <= 1)).all())),
            f"`caps` must be in (0, 1], a number or one an item; got {self.caps}.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        """Who gets what; arguments and result as in `Participatory.allocate`."""
        del key
        program = program_of(reported, Levers(strength=0.0))
        program = program._replace(alpha=0 * program.alpha, beta=0 * program.beta)
        if self._temperature is not None:
            from ._soft import soft_allocation

            return soft_allocation(program, self.caps, self.disposal, self._temperature)
        certificate = solve_program(program, self.caps, self.disposal, "auto", 1e-6)
        return Allocation(certificate.shares, certificate)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (shares_add_up(self.disposal),)
