"""Random serial dictatorship: the order is drawn, every one equally likely."""

from typing import TYPE_CHECKING, ClassVar

import jax
from jaxtyping import PRNGKeyArray

from ...models.population import Population
from ..base import AbstractMechanism, Allocation, require_key
from ..promises import DSIC, Feasible
from ..reports import Orders
from ._promises import Efficient
from .serial_dictatorship import SerialDictatorship

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class RandomSerialDictatorship(AbstractMechanism):
    """A uniformly random order, then serial dictatorship.

    Universally truthful: truth is dominant for every order drawn, since nobody's report moves the order. Each
    realisation is Pareto efficient; the expected shares treat equals equally, but are not ordinally efficient
    (`ProbabilisticSerial` is) and are #P-complete to compute (Aziz, Brandt and Brill 2013), so the rule needs a key.

    Supplies, ties and those left over are as in `SerialDictatorship`. The certificate has the `order` drawn: with the
    published key anybody can draw it again.

    Source: Abdulkadiroglu and Sonmez (1998); Bogomolnaia and Moulin (2001).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[2.0, 1.0], [2.0, 1.0]]))
        >>> RandomSerialDictatorship().allocate(wanted, jax.random.key(0)).shares.sum(0).tolist()
        [1.0, 1.0]
    """

    needs_key: ClassVar[bool] = True

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        order = jax.random.permutation(require_key(self, key), reported.num_agents)
        return SerialDictatorship(order).allocate(reported)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (DSIC(Orders()), Feasible(ex_post=True), Efficient(ex_post=True))
