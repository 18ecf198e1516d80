r"""People integrated out by importance sampling at points that stay where they are.

What a person's data say of their taste depends on what all share only through the law of tastes. So with points
:math:`b_{is}` drawn once from :math:`q_i`, and the likelihood of person i's data computed there once,

.. math::
    p(y_i \mid \theta) \approx \frac1S \sum_s \frac{p(y_i \mid b_{is})\, N(b_{is}; m_i(\theta), \Omega(\theta))}{q_i(b_{is})},

costs a few multiplications a point for each new :math:`\theta`, and no choice model at all (D. Ackerberg 2009, "A new use of
importance sampling to reduce computational burden in simulation estimation"). The proposal :math:`q_i` is a mixture of
Laplace approximations of person i's posterior, one for each of several :math:`\theta` out of the posterior of what all share,
and of their prior: so it covers wherever :math:`\theta` may go, small spreads included, and its tails are as heavy as the
prior's (a defensive mixture; T. Hesterberg 1995). Points are scrambled Sobol numbers, their bits flipped
anew for each person, and moved to have mean 0 and covariance 1 exactly: scores of a normal law are linear and quadratic.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats.qmc
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from ..models.hierarchy import AbstractHierarchy, Tastes
from ._people import Bumps, find_people


class Points(NamedTuple):
    r"""Points and weights that stay: `log_weight` is :math:`\log p(y_i|b_{is}) - \log q_i(b_{is}) - \log S`.

    Attributes:
        centre: `[people or 1, dims]`, and `root`: `[dims, dims]`: coordinates in which points are near 0 and of size 1.
        features: `[dims + dims * (dims + 1) / 2, points * people]`, the points in those coordinates, and their products:
            the log density of a normal law is linear in them, so many laws are one matrix product.
        log_weight: `[points, people]`; without the likelihood where that depends on more than the taste.
        bumps: the mixture, `[components, people, ...]`.
    """

    centre: Float[Array, "#people dims"]
    root: Float[Array, "dims dims"]
    features: Float[Array, "features points_people"]
    log_weight: Float[Array, "points people"]
    bumps: Bumps

    @property
    def near(self) -> Float[Array, "dims points people"]:
        """The points in their own coordinates."""
        return self.features[: self.root.shape[0]].reshape(-1, *self.log_weight.shape)

    @property
    def taste(self) -> Float[Array, "points people dims"]:
        """The points as tastes."""
        return self.centre + jnp.moveaxis(self.near, 0, -1) @ self.root.T


def sobol(points: int, dims: int, seed: int) -> np.ndarray:
    """Scrambled Sobol numbers `[points, dims]`, as 32-bit fractions."""
    return (scipy.stats.qmc.Sobol(dims, scramble=True, rng=seed, bits=32).random(points) * 2**32).astype(np.uint32)


def normal_numbers(bits: UInt32[Array, "*shape"], dtype: Any) -> Float[Array, "*shape"]:
    """Standard normal numbers out of 32-bit fractions; 23 bits are kept, so that none is rounded to 1 in float32."""
    return jax.scipy.special.ndtri((bits >> 9).astype(dtype) / 2**23 + 2**-24)


def mixture(bumps: Bumps, taste: Float[Array, "people dims"]) -> Float[Array, " people"]:
    """Log density of the mixture of `bumps`, components in front, with equal shares."""
    each = bumps.log_density(jnp.broadcast_to(taste, bumps.centre.shape))
    return jax.nn.logsumexp(each, 0) - jnp.log(jnp.asarray(each.shape[0], taste.dtype))


def place_points(
    model: AbstractHierarchy,
    tastes: Tastes,
    args: tuple[Any, ...],
    numbers: UInt32[Array, "points dims"],
    matched: Bool[Array, ""],
    *,
    key: PRNGKeyArray,
) -> Points:
    """Points for the mixture over several laws of tastes.

    Args:
        model: the model. `args`: its arguments.
        tastes: laws with a leading axis of components; the first is the most likely one.
        numbers: Sobol numbers; a multiple of the number of components and one more, that of the prior.
        matched: whether the mixture's own points have their moments matched: scores are then free of noise, the sum is not
            free of bias.
        key: flips their bits for each person.
    """
    people = model.people(*args)
    first = jax.tree.map(lambda x: x[0], tastes)
    found = jax.lax.map(
        lambda t: find_people(lambda b: model.person_log_likelihood(b, t.fixed, *args), t, people), tastes
    )
    prior = Bumps.of(
        jnp.broadcast_to(first.mean, found.centre.shape[1:])[None],
        jnp.broadcast_to(first.root, found.root.shape[1:])[None],
    )
    bumps = jax.tree.map(lambda *x: jnp.concatenate(x), found, prior)
    components, size = bumps.centre.shape[0], numbers.shape[0]
    flips = jax.random.bits(key, (people, numbers.shape[1]), jnp.uint32)
    dtype = first.root.dtype
    z = normal_numbers(numbers[:, None] ^ flips, dtype)
    own = size - size // components
    z = jnp.concatenate([jnp.where(matched, _matched(z[:own]), z[:own]), z[own:]]).reshape(
        components, size // components, people, -1
    )
    taste = bumps.centre[:, None] + jnp.einsum("cpij,cspj->cspi", bumps.root, z)
    taste = taste.reshape(size, people, -1)
    log_weight = -jax.lax.map(lambda b: mixture(bumps, b), taste) - jnp.log(jnp.asarray(size, taste.dtype))
    if not jax.tree.leaves(tastes.fixed):
        log_weight = log_weight + jax.lax.map(lambda b: model.person_log_likelihood(b, (), *args), taste)
    flat = (taste - first.mean).reshape(-1, taste.shape[-1]).T
    near = jax.scipy.linalg.solve_triangular(first.root, flat, lower=True)
    rows, columns = np.tril_indices(taste.shape[-1])
    features = jnp.concatenate([near, near[rows] * near[columns]])
    return Points(first.mean, first.root, features, log_weight, bumps)


def _matched(z: Float[Array, "points people dims"]) -> Float[Array, "points people dims"]:
    """Standard normal numbers moved to have mean 0 and covariance 1 exactly, person by person."""
    z = z - jnp.mean(z, 0, keepdims=True)
    root = jnp.linalg.cholesky(jnp.einsum("spi,spj->pij", z, z) / z.shape[0])
    unit = jnp.broadcast_to(jnp.eye(z.shape[-1], dtype=z.dtype), root.shape)
    return jnp.einsum("pij,spj->spi", jax.scipy.linalg.solve_triangular(root, unit, lower=True), z)


def log_sums(
    model: AbstractHierarchy, tastes: Tastes, points: Points, args: tuple[Any, ...]
) -> Float[Array, " people"]:
    """Each person's log-likelihood."""
    terms, rest = log_terms(model, tastes, points, args)
    return jax.nn.logsumexp(terms, 0) + rest


def log_terms(
    model: AbstractHierarchy, tastes: Tastes, points: Points, args: tuple[Any, ...]
) -> tuple[Float[Array, "points people"], Float[Array, "#people"]]:
    """Log of each term of the sum over points, and what is the same for all of a person's: added last, it is cheap."""
    dims, dtype = points.root.shape[0], points.features.dtype
    relative = jax.scipy.linalg.solve_triangular(points.root, tastes.root, lower=True)
    inverse = jax.scipy.linalg.solve_triangular(relative, jnp.eye(dims, dtype=dtype), lower=True)
    precision = inverse.T @ inverse
    mean = jax.scipy.linalg.solve_triangular(points.root, (tastes.mean - points.centre).T, lower=True).T
    pull = mean @ precision
    rows, columns = np.tril_indices(dims)
    square = jnp.asarray(np.where(rows == columns, -0.5, -1.0), dtype) * precision[rows, columns]
    alike = pull.shape[0] == 1
    weight = jnp.concatenate([pull[0] if alike else jnp.zeros(dims, dtype), square])
    terms = (weight @ points.features).reshape(points.log_weight.shape) + points.log_weight
    if not alike:
        terms = terms + jnp.einsum("dsp,pd->sp", points.near, pull)
    rest = -0.5 * jnp.sum(pull * mean, -1) - jnp.log(jnp.abs(jnp.diag(tastes.root))).sum()
    if jax.tree.leaves(tastes.fixed):
        evaluate = jax.checkpoint(lambda b: model.person_log_likelihood(b, tastes.fixed, *args))
        terms = terms + jax.lax.map(evaluate, points.taste)
    return terms, rest
