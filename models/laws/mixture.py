"""Mixtures of laws."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from .._check import as_array, require
from ._derivatives import envelope_tail_integral, implicit_quantile
from ._law import AbstractLaw
from ._quadrature import expected_max_by_quadrature
from ._regular import Strips, join
from ._validate import probabilities
from .exponential import Exponential


def _as_laws(laws: Any) -> Any:
    return tuple(laws) if isinstance(laws, list | tuple) else laws


class Mixture(AbstractLaw):
    r"""One of several laws, chosen at random: subpopulations, or a spike at zero beside a continuous law.

    .. math:: F(x) = \sum_i w_i F_i(x)

    Atoms of the components stay atoms, and the quantile returns them exactly; elsewhere it is a root between the
    smallest and the largest quantile of the components, by Newton steps kept in a bracket. It is differentiable in the
    weights too, and so are samples, which are quantiles: a drawn component would hide that gradient. Where an atom's jump
    meets the path, pathwise gradients in the weights miss the jump.

    Source: elementary [X].

    Args:
        weights: `[laws]`, probability of each component.
        laws: the components, bounded; mixtures may be nested.

    Raises:
        ValueError: `laws` is empty or holds something else, or `weights` is no probability vector that fits it.

    Example:
        >>> law = Mixture([0.25, 0.75], [Discrete([0.0], [1.0]), Uniform()])
        >>> law.quantile(jnp.array([0.1, 0.25, 0.625])).tolist(), float(law.survival(0.0)), float(law.mean)
        ([0.0, 0.0, 0.5], 1.0, 0.375)
    """

    weights: Float[Array | np.ndarray, "*draws laws"] = eqx.field(converter=as_array)
    laws: tuple[AbstractLaw, ...] = eqx.field(converter=_as_laws)
    _rank: ClassVar[int] = 1

    def __check_init__(self):
        require(
            isinstance(self.laws, tuple) and self.laws and all(isinstance(law, AbstractLaw) for law in self.laws),
            f"`laws` must be a list of at least one law, such as [Uniform(), Beta(2, 5)]; got {self.laws!r}.",
        )
        require(
            not any(isinstance(law, Exponential) for law in self.laws),
            "`laws` must be bounded, and `Exponential` is not; cut it by `TruncatedExponential`.",
        )
        probabilities("weights", self.weights)
        require(
            np.shape(self.weights)[-1] == len(self.laws),
            f"`weights` needs one entry a law: got {np.shape(self.weights)} for {len(self.laws)} laws.",
        )

    @property
    def atoms(self) -> Float[Array, " atoms"]:
        """The components' atoms, one component after another; a value shared by two is there twice."""
        return jnp.concatenate([jnp.asarray(law.atoms, self._dtype()) for law in self.laws])

    def _sum(self, parts: list[Float[Array, ""]]) -> Float[Array, ""]:
        return jnp.sum(self.weights * jnp.stack(parts))

    def _quantile(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return implicit_quantile(self, u)

    def _solve(self, u: Float[Array, ""]) -> Float[Array, ""]:
        each = jnp.stack([law._quantile(u) for law in self.laws])
        low, high = jnp.min(each), jnp.max(each)
        jump, at = jnp.zeros_like(u, bool), high
        if self.atoms.size:
            atoms = jnp.sort(self.atoms)
            k = jnp.searchsorted(
                lax.cummax(jax.vmap(self._tails)(atoms)[0]), u
            )  # the first atom at or above the quantile
            pad = lambda end, v: jnp.concatenate([jnp.full_like(v[:1], -end), v, jnp.full_like(v[:1], end)])
            under, at = pad(jnp.inf, atoms)[k], pad(jnp.inf, atoms)[k + 1]
            jump = 1 - self._tails(at)[1] < u
            low, high = jnp.maximum(low, under), jnp.minimum(high, at)
        x = jnp.where(jump, at, self._root(u, low, jnp.maximum(low, high)))
        least, greatest = self._support()
        return jnp.where(u == 0, least, jnp.where(u == 1, greatest, x))

    def _root(self, u: Float[Array, ""], low: Float[Array, ""], high: Float[Array, ""]) -> Float[Array, ""]:
        """The least x in [low, high] with F(x) ≥ u; `high` if rounding leaves none."""
        eps, tiny = jnp.finfo(u.dtype).eps, jnp.finfo(u.dtype).tiny

        def middle(low, high):
            # Digits are halved rather than distance, since a root may lie orders of magnitude nearer to 0 than `high`.
            least, greatest = jnp.minimum(jnp.abs(low), jnp.abs(high)), jnp.maximum(jnp.abs(low), jnp.abs(high))
            least = jnp.maximum(least, tiny)
            digits = jnp.where(high > 0, 1, -1) * jnp.sqrt(least) * jnp.sqrt(greatest)
            return jnp.where((low < 0) & (high > 0), 0.0, jnp.where(greatest > 4 * least, digits, (low + high) / 2))

        def step(state):
            x, low, high, last, _, count = state
            (below, above), slope = self._tails(x), self._density(x)
            gap = jnp.where(u > 0.5, (1 - u) - above, below - u)  # from the smaller tail, which is the precise one
            low, high = jnp.where(gap < 0, x, low), jnp.where(gap < 0, high, x)
            # Newton in log x where that exists: cdfs that rise like a small power of x are nearly straight there.
            usable = (slope > 0) & (slope < jnp.inf)
            straight = -gap / jnp.where(usable, slope, 1.0)
            by_digits = (low >= 0) & (x > 0)
            new = jnp.where(by_digits, x * jnp.exp(straight / jnp.where(by_digits, x, 1.0)), x + straight)
            good = usable & (new > low) & (new < high) & (jnp.abs(new - x) <= 0.5 * last)
            # Newton comes from one side: a step of rounding size is lengthened past the root, to close the bracket.
            nudge = x + jnp.where(gap < 0, 16 * eps, -16 * eps) * jnp.abs(x)
            past = usable & (jnp.abs(new - x) <= 8 * eps * jnp.abs(x)) & (nudge > low) & (nudge < high)
            # From a gap near rounding one good step is all that can be gained, and not even that where F is steep.
            settled = usable & (jnp.abs(gap) <= 256 * eps * jnp.minimum(u, 1 - u))
            other = jnp.where(settled, x, jnp.where(past, nudge, middle(low, high)))
            new = jnp.where(good & ~past & ~(settled & (slope * jnp.abs(x) > 32)), new, other)
            close = high - low <= 2 * eps * jnp.maximum(jnp.abs(low), jnp.abs(high)) + tiny
            new = jnp.where(close, high, new)
            return new, low, high, jnp.abs(new - x), close | settled, count + 1

        going = lambda state: ~state[4] & (state[5] < 200)
        first = ((low + high) / 2, low, high, high - low, jnp.zeros_like(u, bool), jnp.zeros_like(u, jnp.int32))
        return lax.while_loop(going, step, first)[0]

    def _tails(self, x: Float[Array, ""]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        each = [law._tails(x) for law in self.laws]
        return self._sum([tails[0] for tails in each]), self._sum([tails[1] for tails in each])

    def _density(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return self._sum([law._density(x) for law in self.laws])

    def _excess(self, x: Float[Array, ""]) -> Float[Array, ""]:
        return self._sum([law._excess(x) for law in self.laws])

    def _tail_integral(self, u: Float[Array, ""]) -> Float[Array, ""]:
        return envelope_tail_integral(self, u)

    def _mean(self) -> Float[Array, ""]:
        return self._sum([law._mean() for law in self.laws])

    def _expected_max(self, n: Float[Array, ""]) -> Float[Array, ""]:
        return expected_max_by_quadrature(self, n)

    def _support(self) -> tuple[Float[Array, ""], Float[Array, ""]]:
        ends = [law._support() for law in self.laws]
        low, high = jnp.stack([end[0] for end in ends]), jnp.stack([end[1] for end in ends])
        drawn = self.weights > 0
        return jnp.min(jnp.where(drawn, low, jnp.inf)), jnp.max(jnp.where(drawn, high, -jnp.inf))

    def _kinks(self) -> Float[Array, " kinks"]:
        return jnp.concatenate([law._kinks() for law in self.laws])

    def _valid(self) -> Bool[Array, ""]:
        each = jnp.stack([jnp.asarray(law._valid()) for law in self.laws])
        return jnp.all(each | (self.weights == 0))

    def _strips(self) -> Strips:
        return join([law._strips() for law in self.laws], self.weights > 0)
