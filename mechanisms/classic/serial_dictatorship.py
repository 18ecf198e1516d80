"""Serial dictatorship: one after another, each agent takes the best option that is left."""

from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from ...models._check import concrete, require
from ...models.population import Population
from ..base import AbstractMechanism, Allocation
from ..promises import DSIC, Feasible
from ..reports import Orders
from ._choice import Choices, as_indices, favourite
from ._promises import Efficient

if TYPE_CHECKING:
    from ..promises import AbstractPromise


class SerialDictatorship(AbstractMechanism):
    r"""In a given order, each agent takes the best option that is left.

    .. math:: x_{\sigma(k)} = \max_{\succ_{\sigma(k)}}
        \Big\{ o : \sum_{l<k} \mathrm{uses}(x_{\sigma(l)}) + \mathrm{uses}(o) \le \mathrm{capacity} \Big\}

    Under `Items` each agent takes one item (house allocation); under `Menu` one option of the menu, bundles included,
    so long as the goods it uses remain. Ties go to the lowest index, −inf is never taken. Who finds nothing gets
    nothing: fine for items, a row of zeros and an unsolved certificate for a menu.

    Args:
        order: `[agents]`, who chooses first, second, …: a permutation. Default: by index. Data.

    Returns:
        From `allocate`: 0/1 shares; the certificate has the `order` and the number `unserved`.

    Raises:
        ValueError: `order` is not a permutation, or not of as many agents as come.

    Not for you when the order itself is a privilege nobody should have: see `RandomSerialDictatorship`.

    Source: Satterthwaite and Sonnenschein (1981); Svensson (1999), Theorem 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from fairhand.models import Population
        >>> wanted = Population(jnp.array([[2.0, 1.0], [2.0, 1.0]]))
        >>> SerialDictatorship(order=[1, 0]).allocate(wanted).shares.tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    deterministic: ClassVar[bool] = True

    order: Int[Array | np.ndarray, "... agents"] | None = eqx.field(default=None, converter=as_indices)

    def __check_init__(self):
        order = concrete(self.order)
        require(
            order is None or order.ndim != 1 or np.array_equal(np.sort(order), np.arange(order.size)),
            f"`order` must name every agent once, 0 to agents - 1; got {order}.",
        )

    def allocate(self, reported: Population, key: PRNGKeyArray | None = None) -> Allocation:
        del key
        choices = Choices.of(reported)
        order = jnp.arange(choices.num_agents) if self.order is None else jnp.asarray(self.order, int)
        if order.shape != (choices.num_agents,):
            raise ValueError(f"`order` is {order.shape}, but {choices.num_agents} agents came; name each once.")

        def turn(left, agent):
            choice = favourite(choices.worth[agent], choices.fits(left))
            return choices.less(left, choice), choice

        _, chosen = jax.lax.scan(turn, choices.capacity, order)
        return choices.allocation(jnp.zeros_like(chosen).at[order].set(chosen), order=order)

    @property
    def promises(self) -> "tuple[AbstractPromise, ...]":
        return (DSIC(Orders()), Feasible(ex_post=True), Efficient(ex_post=True))
