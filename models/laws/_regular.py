"""Is the density of a law positive and bounded on one interval? Written once for all laws, mixtures included."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Strips(eqx.Module):
    """Where the density of a law lives: open intervals on which it is continuous, positive and finite.

    Attributes:
        low: `[strips]`, lower ends; they may overlap, in a mixture.
        high: `[strips]`, upper ends.
        at_low: `[strips]`, what the density tends to at the lower end, up to a positive factor: 0, 1 or infinity.
        at_high: `[strips]`, the same at the upper end. An atom is a strip with infinite ends.
    """

    low: Float[Array, " strips"]
    high: Float[Array, " strips"]
    at_low: Float[Array, " strips"]
    at_high: Float[Array, " strips"]


def strip(low: Array, high: Array, at_low: Array | float = 1.0, at_high: Array | float = 1.0) -> Strips:
    """One strip; by default the density stays positive and finite at both ends."""
    low, high = jnp.asarray(low), jnp.asarray(high)
    return Strips(*(jnp.ravel(jnp.asarray(v, low.dtype)) for v in (low, high, at_low, at_high)))


def join(strips: list[Strips], drawn: Bool[Array, " laws"]) -> Strips:
    """All strips of those laws that are drawn; the others become strips from infinity to minus infinity."""
    keep = [
        Strips(jnp.where(d, s.low, jnp.inf), jnp.where(d, s.high, -jnp.inf), s.at_low, s.at_high)
        for s, d in zip(strips, drawn, strict=True)
    ]
    return Strips(*(jnp.concatenate([getattr(s, name) for s in keep]) for name in ("low", "high", "at_low", "at_high")))


def is_regular(s: Strips) -> Bool[Array, ""]:
    """Do the strips cover one bounded interval with a density between two positive bounds?

    The density of the union is continuous but at ends of strips, so it suffices to look at both sides of each end.
    """
    least, greatest = jnp.min(s.low), jnp.max(s.high)
    present = s.low <= s.high
    bounded = ~present | (jnp.isfinite(s.at_low) & jnp.isfinite(s.at_high))
    ends = jnp.concatenate([s.low, s.high])[:, None]
    low, high = s.low[None, :], s.high[None, :]
    across = (low < ends) & (ends < high)
    right = jnp.any(across | ((low == ends) & (s.at_low > 0)[None, :]), 1)
    left = jnp.any(across | ((high == ends) & (s.at_high > 0)[None, :]), 1)
    ends, twice = ends[:, 0], jnp.concatenate([present, present])
    covered = (right | (ends >= greatest)) & (left | (ends <= least))
    finite = jnp.isfinite(least) & jnp.isfinite(greatest) & (least < greatest)
    return finite & jnp.all(bounded) & jnp.all(covered | ~twice)
