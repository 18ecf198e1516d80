"""How limits act on an ascent: which of them bind, what they cost, and how a rule is put onto them at the end.

Gradients come as rows `[1 + limits, parameters]`, the objective first, in the free space of one rule. Multipliers are not
integrated but read off: near a bound, and beyond it, the part of the objective's gradient that would carry the rule
further out is taken away (least squares on the gradients of the limits), and what is beyond is pushed back. So there is
no overshoot to unwind, and units do not matter. What is still off at the end is put right by Gauss-Newton steps.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

BAND = 0.1  # of a bound: so far inside it a limit begins to be felt
MEMORY = 0.9  # of running means
HAIR = 1e-4  # of a bound, kept in hand even where there is no noise
LARGEST = 10.0  # multiplier of scaled gradients, where limits nearly contradict each other

Limits = Float[Array, " limits"]


class Heard(eqx.Module):
    """What is known of the limits.

    Attributes:
        excess: of each limit at the last step, positive is beyond.
        noise: running mean of its change from step to step.
        most: the greatest size it ever had.
        binds: whether it binds.
    """

    excess: Limits
    noise: Limits
    most: Limits
    binds: Bool[Array, " limits"]

    @classmethod
    def none(cls, limits: int, dtype) -> "Heard":
        """Before the first step."""
        zero = jnp.zeros(limits, dtype)
        return cls(zero, zero, zero, jnp.zeros(limits, bool))

    def update(self, excess: Limits, step: Array) -> "Heard":
        """After hearing `excess` at `step`."""
        change = jnp.abs(excess - self.excess)
        noise = jnp.where(step <= 1, change, MEMORY * self.noise + (1 - MEMORY) * change)
        return Heard(excess, noise, jnp.maximum(self.most, jnp.abs(excess)), self.binds)

    def unit(self, bounds: tuple[float, ...]) -> Limits:
        """In what each excess is measured: the bound, or where that is 0 the greatest excess seen."""
        bound = jnp.abs(jnp.asarray(bounds, self.excess.dtype))
        return jnp.where(bound > 0, bound, jnp.where(self.most > 0, self.most, 1.0))


def multipliers(rows: Float[Array, "goals parameters"], may: Bool[Array, " limits"]) -> Limits:
    """Least-squares multipliers of the limits that `may` bind: nonnegative, 0 where they would be negative."""
    price = jnp.zeros(may.shape, rows.dtype)
    for _ in range(may.shape[0]):
        limits = rows[1:] * may[:, None]
        price = jnp.linalg.pinv(limits @ limits.T, rtol=1e-6, hermitian=True) @ (limits @ rows[0])
        may = may & (price > 0)
    return jnp.where(may, price, 0.0)


def weights(
    slopes: Float[Array, "goals parameters"], norms: Float[Array, " goals"], heard: Heard, unit: Limits
) -> tuple[Float[Array, " goals"], Heard]:
    """Weights of objective and limits in the direction of ascent, and which limits bind.

    Args:
        slopes: running mean gradients.
        norms: running gradient norms, by which everything is scaled.
        heard: the limits. `unit`: in what their excess is measured.
    """
    scale = jnp.where(norms > 0, norms, 1.0)
    beyond = jnp.clip(heard.excess / unit, -1, 1)
    near = jnp.clip(1 + beyond / jnp.maximum(BAND, 2 * heard.noise / unit), 0, 1)
    price = multipliers(slopes / scale[:, None], (norms[1:] > 0) & (near > 0))
    held = near * jnp.minimum(price, LARGEST) + jax.nn.relu(beyond)
    binds = (norms[1:] > 0) & ((price > 0) | (beyond > 0))
    return jnp.concatenate([jnp.ones(1, scale.dtype), -held]) / scale, eqx.tree_at(lambda h: h.binds, heard, binds)


def onto_bounds(
    rows: Float[Array, "goals parameters"], heard: Heard, unit: Limits, turn: Array
) -> Float[Array, " parameters"]:
    """The least change that puts binding limits onto their bounds: one Gauss-Newton step, at most half a unit long.

    Sampled excesses are averaged by steps that fall as 1 / turn. The aim lies inside a bound by half the noise of one
    step, since a judged rule may exceed it by one standard error only.
    """
    over = heard.excess + heard.noise / 2 + HAIR * unit
    size = jnp.linalg.norm(rows[1:], axis=1)
    acts = (size > 0) & (heard.binds | (over > 0))
    size = jnp.where(size > 0, size, 1.0)
    sides = jnp.where(acts, 1 / size, 0.0)[:, None] * rows[1:]
    move = -sides.T @ (jnp.linalg.pinv(sides @ sides.T, rtol=1e-3, hermitian=True) @ jnp.where(acts, over / size, 0.0))
    move = move * jnp.where(jnp.all(heard.noise < 1e-3 * unit), 1.0, 1.0 / turn)
    return move * jnp.minimum(1.0, 0.5 / jnp.maximum(jnp.linalg.norm(move), 0.5))
