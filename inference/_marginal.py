"""The posterior of what all share, people integrated out: its density, its mode, and people drawn afterwards."""

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.handlers import seed, substitute
from numpyro.infer.util import constrain_fn

from ..models._check import require
from ..models.hierarchy import AbstractHierarchy, Tastes
from ._density import Arguments, Density
from ._drawn import Settings
from ._mode import Mode, find_mode
from ._points import Points, log_sums, log_terms, mixture, place_points, sobol

TOTAL, EACH = 2**16, (128, 1024)  # points for all people and, whatever comes of that, least and most for each
FEW, EACH_OF_FEW = 2**14, (32, 256)  # the same where each point costs a likelihood each time
COMPONENTS = 3  # laws of tastes the points are made for; one more is the prior of the likeliest
ROUNDS, SETTLED = 20, 0.1  # of placing points and climbing, at most; how far the last one moved, in posterior sds
REFRESH = 1  # move of a drawn taste, which removes most of what is left of the points it was drawn among
ABREAST = 8  # draws at a time: what they share is then read once
LONE = 12  # moves of a taste that was only proposed


class Marginal:
    """A hierarchy as a density of what all share, with `(points, *arguments)` as its arguments."""

    def __init__(self, model: AbstractHierarchy, start: Mapping[str, np.ndarray], dtype: Any):
        self.model = model
        self.density = Density(self._numpyro_model, dict(start), dtype)
        self.place = jax.jit(self._place)
        self.log_likelihood = jax.jit(self._log_likelihood)
        self.tastes = jax.jit(self._tastes_of)

    def _numpyro_model(self, points: Points, *args: Any) -> None:
        numpyro.factor("people", log_sums(self.model, self.model.shared(*args), points, args).sum())

    def tastes_at(self, z: Array, args: Arguments) -> Tastes:
        """The law of tastes at one vector of what all share."""
        sites = constrain_fn(self.model.shared, args, {}, self.density.unravel(z))
        with numpyro.handlers.block():
            return Tastes(*substitute(seed(self.model.shared, jax.random.key(0)), data=sites)(*args))  # pyright: ignore

    def recycles(self, args: Arguments) -> bool:
        """Whether the likelihood of a person's data depends on their taste alone, so that it is computed once."""
        return not jax.tree.leaves(jax.eval_shape(self.tastes_at, self.density.start, args).fixed)

    def _place(
        self, z: Float[Array, "components size"], args: Arguments, numbers: Array, matched: Array, key: PRNGKeyArray
    ) -> Points:
        tastes = jax.vmap(lambda z: self.tastes_at(z, args))(z)
        return place_points(self.model, tastes, args, numbers, matched, key=key)

    def _log_likelihood(
        self, z: Float[Array, "draws size"], points: Points, args: Arguments
    ) -> Float[Array, "draws people"]:
        """Each person's log-likelihood."""
        one = lambda z: log_sums(self.model, self.tastes_at(z, args), points, args)
        return jax.lax.map(one, z, batch_size=ABREAST)

    def _tastes_of(
        self, z: Float[Array, "draws size"], points: Points, args: Arguments, key: PRNGKeyArray
    ) -> Float[Array, "draws people dims"]:
        """One draw of everybody's taste for each of what all share: a point by its weight, then independent proposals.

        Where a point's weight costs a likelihood, no points are weighed, and there are more proposals.
        """
        people = jnp.arange(points.log_weight.shape[1])

        def weighed(tastes, key):
            terms, rest = log_terms(self.model, tastes, points, args)
            weight = jnp.exp(terms - jnp.max(terms, 0, keepdims=True))
            wanted = jax.random.uniform(key, people.shape, weight.dtype) * weight.sum(0)
            # A running sum, written out: compilers for CPUs make a cumulative sum quadratic in its length.
            add = lambda state, w: ((state[0] + w, state[1] + (state[0] + w < wanted)), None)
            (_, at), _ = jax.lax.scan(add, (jnp.zeros_like(wanted), jnp.zeros(people.shape, jnp.int32)), weight)
            at = jnp.minimum(at, terms.shape[0] - 1)
            near = points.near[:, at, people].T
            size = jnp.log(jnp.asarray(terms.shape[0], terms.dtype))
            return (near @ points.root.T) + points.centre, terms[at, people] + rest + size

        def proposed(tastes, key):
            which, noise = jax.random.split(key)
            part = jax.random.randint(which, people.shape, 0, points.bumps.centre.shape[0])
            z = jax.random.normal(noise, points.bumps.centre.shape[1:], points.log_weight.dtype)
            taste = points.bumps.centre[part, people] + jnp.sum(points.bumps.root[part, people] * z[:, None], -1)
            return taste, log_sums(self.model, tastes, self._at(points, taste, tastes, args), args)

        def one(given):
            z, key = given
            tastes = self.tastes_at(z, args)
            steps = LONE if jax.tree.leaves(tastes.fixed) else REFRESH
            pick, *keys = jax.random.split(key, 1 + steps)

            def refresh(state, key):
                taste, weight = state
                offer, luck = jax.random.split(key)
                trial, density = proposed(tastes, offer)
                accept = jnp.log(jax.random.uniform(luck, people.shape, z.dtype)) < density - weight
                return (jnp.where(accept[:, None], trial, taste), jnp.where(accept, density, weight)), None

            first = proposed(tastes, pick) if steps == LONE else weighed(tastes, pick)
            (taste, _), _ = jax.lax.scan(refresh, first, jnp.stack(keys))
            return taste

        return jax.lax.map(one, (z, jax.random.split(key, z.shape[0])), batch_size=ABREAST)

    def _at(self, points: Points, taste: Float[Array, "people dims"], tastes: Tastes, args: Arguments) -> Points:
        """The single point `taste` for each person, with its weight."""
        rows, columns = np.tril_indices(taste.shape[-1])
        near = jax.scipy.linalg.solve_triangular(points.root, (taste - points.centre).T, lower=True)
        weight = -mixture(points.bumps, taste)[None]
        if not jax.tree.leaves(tastes.fixed):
            weight = weight + self.model.person_log_likelihood(taste, (), *args)[None]
        return points._replace(features=jnp.concatenate([near, near[rows] * near[columns]]), log_weight=weight)


def settle(target: Marginal, args: Arguments, start: np.ndarray, settings: Settings) -> tuple[Points, Mode]:
    """The mode, and points placed for what is likely around it: climb, place anew, until it stays where it is."""
    key, z, moved = jax.random.fold_in(settings.key, 7), start, np.inf
    law = jax.eval_shape(target.tastes_at, target.density.start, args)
    size = points_each(settings.points, target.model.people(*args), law.root.shape[0], target.recycles(args))
    for i in range(ROUNDS):
        points = placed(target, args, np.tile(z, (COMPONENTS, 1)), size, key=jax.random.fold_in(key, i))
        mode = find_mode(target.density, (points, *args), z, settings.tolerance)
        moved = np.max(np.abs(mode.z - z) / np.sqrt(np.diag(mode.covariance)))
        z = mode.z
        if moved < SETTLED:
            break
    near = np.vstack([z, mode.sample(COMPONENTS - 1, settings.seed)])
    points = placed(target, args, near, size, key=key)
    mode = find_mode(target.density, (points, *args), z, settings.tolerance)
    if not moved < SETTLED and not mode.status:
        said = f"The mode still moved by {moved:.2g} posterior sd after {ROUNDS} rounds: raise `points`, or tighten priors."
        mode = dataclasses.replace(mode, status=said)
    return points, mode


def points_each(points: int | str, people: int, dims: int, cheap: bool) -> int:
    """Points for each person: as said, or what comes to a fair total for all, the more the fewer they are."""
    if not isinstance(points, str):
        return points
    total, each = (TOTAL, EACH) if cheap else (FEW, EACH_OF_FEW)
    enough = 2 ** int(np.ceil(np.log2(4 * dims)))
    return max(enough, int(np.clip(2 ** round(np.log2(total / people)), *each)))


def placed(
    target: Marginal, args: Arguments, z: np.ndarray, points: int, *, key: PRNGKeyArray, matched: bool = True
) -> Points:
    """Points for laws of tastes `z [components, size]`, the likeliest first, with moments `matched` or as they fall."""
    dtype = target.density.start.dtype
    dims = jax.eval_shape(target.tastes_at, target.density.start, args).root.shape[0]
    require(
        points >= 4 * dims,  # moments of fewer points cannot be matched to those of a normal law
        f"`points` must be at least {4 * dims} where tastes have {dims} dimensions, got {points}.",
    )
    numbers = sobol(points, dims, int(np.asarray(jax.random.key_data(key)).ravel()[-1]))
    key = jax.random.fold_in(key, points)
    return target.place(jnp.asarray(z, dtype), args, jnp.asarray(numbers), jnp.asarray(matched), key)


@lru_cache(maxsize=16)
def _cached(model: AbstractHierarchy, names: tuple, dtype: str) -> Marginal:
    return Marginal(model, {name: np.zeros(shape) for name, shape in names}, dtype)


def marginal(model: AbstractHierarchy, start: Mapping[str, np.ndarray], dtype: Any) -> Marginal:
    """The marginal density of a hierarchy; equal models share one."""
    return _cached(model, tuple((name, np.shape(x)) for name, x in start.items()), str(dtype))
